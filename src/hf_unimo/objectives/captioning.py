# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Captioning: predict each next word with label smoothing (UNIMO-2, section 4.1; first implementation: 0.1)."""

import torch
from torch.nn import functional as F

from .cross_entropy import IGNORE_INDEX, mean_cross_entropy


def captioning_loss(
    logits: torch.Tensor,
    labels: torch.Tensor | None,
    *,
    shift_labels: torch.Tensor | None = None,
    label_smoothing: float = 0.1,
    num_items_in_batch: torch.Tensor | int | None = None,
) -> torch.Tensor:
    """
    Mean cross-entropy of the next word, target `(1 - e) * onehot + e / vocab`.

    Args:
        logits (`(batch, length, vocab)`): Position t predicts the word at t + 1.
        labels (`(batch, length)`, int64): The input ids themselves (the shift happens here), -100 where a word is no
            target: object tags, the first token, padding.
        shift_labels (`(batch, length)`, int64, *optional*): Targets shifted already; `labels` is then ignored.
        label_smoothing (`float`): e above.
        num_items_in_batch (*optional*): Divisor instead of the number of target words.

    Returns:
        Scalar, float32; 0 without a target word.

    Raises:
        ValueError: With neither `labels` nor `shift_labels`.
    """
    if shift_labels is None:
        if labels is None:
            raise ValueError("`captioning_loss` needs `labels` or `shift_labels`.")
        shift_labels = F.pad(labels[:, 1:], (0, 1), value=IGNORE_INDEX)
    return mean_cross_entropy(
        logits, shift_labels, label_smoothing=label_smoothing, num_items_in_batch=num_items_in_batch
    )
