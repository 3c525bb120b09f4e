# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Masked language modelling: predict the hidden words (Devlin et al., 2019; UNIMO-2, section 3.3)."""

import torch

from .cross_entropy import mean_cross_entropy


def masked_language_modeling_loss(
    logits: torch.Tensor,
    labels: torch.Tensor,
    *,
    weights: torch.Tensor | None = None,
    num_items_in_batch: torch.Tensor | int | None = None,
    across_ranks: bool = False,
) -> torch.Tensor:
    """
    Mean cross-entropy over the masked words.

    Args:
        logits (`(batch, length, vocab)` or `(words, vocab)`): Predictions.
        labels (`(batch, length)` or `(words,)`, int64): The hidden words' ids, -100 elsewhere. Words of a text that
            does not belong to its picture are best left out (-100), as the first implementation does.
        weights (same shape as `labels`, *optional*): The loss is multiplied by the mean of `weights`. This is what the
            first implementation does with its weight for words of pairs (`mm_lr_weight`): a broadcast makes it
            the mean over all words instead of one factor for each.
        num_items_in_batch (*optional*): Divisor instead of the number of masked words.
        across_ranks (`bool`): Whether ranks with different numbers of masked words count as one batch; every rank must
            then call.

    Returns:
        Scalar, float32; 0 when nothing is masked.
    """
    loss = mean_cross_entropy(logits, labels, num_items_in_batch=num_items_in_batch, across_ranks=across_ranks)
    return loss if weights is None else loss * weights.float().mean()
