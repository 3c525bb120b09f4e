# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Image-text matching (ITM): does this text belong to this picture? (UNIMO-2, section 3.3)"""

import torch

from .cross_entropy import mean_cross_entropy


def matching_loss(logits: torch.Tensor, labels: torch.Tensor, *, across_ranks: bool = False) -> torch.Tensor:
    """
    Mean two-class cross-entropy over the rows that are image-text pairs.

    Use it with negatives that are hard enough to teach but not so hard that it stays at ln 2: random ones first.

    Args:
        logits (`(batch, 2)`): Class 1 is "match".
        labels (`(batch,)`, int64): 1 match, 0 no match, -100 not a pair.
        across_ranks (`bool`): Whether ranks with different numbers of pairs count as one batch; every rank must then
            call.

    Returns:
        Scalar, float32; 0 without a pair.
    """
    return mean_cross_entropy(logits, labels, across_ranks=across_ranks)
