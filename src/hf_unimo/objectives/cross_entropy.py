# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Cross-entropy over the labelled items only: what masked words, captions and hidden grounded tokens share."""

import torch
from torch.nn import functional as F

from .ranks import mean_count


IGNORE_INDEX = -100
"""Label of an item that does not count, as everywhere in PyTorch and transformers."""

TINY = 1e-6
"""Divisor in place of a count of 0, whose sum is 0 as well."""


def mean_cross_entropy(
    logits: torch.Tensor,
    labels: torch.Tensor,
    *,
    label_smoothing: float = 0.0,
    num_items_in_batch: torch.Tensor | int | None = None,
    across_ranks: bool = False,
) -> torch.Tensor:
    """
    Mean over the labelled items of `-log softmax(logits)[label]`, in float32.

    Args:
        logits (`(..., num_classes)`): Any float type.
        labels (`(...)`, int64): Class of each item; -100 leaves the item out.
        label_smoothing (`float`): Share of the target that is spread evenly over all classes.
        num_items_in_batch (`int` or scalar tensor, *optional*): Divisor instead of the number of labelled items, given
            by `Trainer` when a batch is accumulated in parts.
        across_ranks (`bool`): Whether ranks with different numbers of labelled items count as one batch; every rank
            must then call. See `hf_unimo.objectives.ranks`.

    Returns:
        Scalar, float32. Without a labelled item it is 0, with gradient 0 (not NaN).
    """
    flat_logits = logits.reshape(-1, logits.shape[-1]).float()
    flat_labels = labels.reshape(-1).to(flat_logits.device)
    total = F.cross_entropy(
        flat_logits, flat_labels, ignore_index=IGNORE_INDEX, reduction="sum", label_smoothing=label_smoothing
    )
    if num_items_in_batch is not None:
        return total / torch.as_tensor(num_items_in_batch, device=total.device)
    count = (flat_labels != IGNORE_INDEX).sum()
    return total / (mean_count(count) if across_ranks else count).clamp(min=TINY)
