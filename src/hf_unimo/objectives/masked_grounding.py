# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Masked grounding: predict which dictionary entries stood at the hidden grounded tokens (first implementation)."""

import torch

from .cross_entropy import IGNORE_INDEX, mean_cross_entropy


def masked_grounding_loss(
    logits: torch.Tensor,
    grounded_token_ids: torch.Tensor,
    grounded_token_mask: torch.Tensor,
    *,
    across_ranks: bool = False,
) -> torch.Tensor:
    """
    Mean cross-entropy over the hidden grounded tokens.

    Args:
        logits (`(batch, grounded, dictionary_size)`): Scores of the entries.
        grounded_token_ids (`(batch, grounded)`, int64): Chosen entries.
        grounded_token_mask (`(batch, grounded)`, bool): True where a grounded token was hidden.
        across_ranks (`bool`): Whether ranks with different numbers of hidden tokens count as one batch; every rank
            must then call.

    Returns:
        Scalar, float32; 0 when none is hidden.
    """
    labels = grounded_token_ids.masked_fill(~grounded_token_mask, IGNORE_INDEX)
    return mean_cross_entropy(logits, labels, across_ranks=across_ranks)
