# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Grounding loss: pulls the dictionary's entries and the tokens that choose them together (UNIMO-2, section 3.2)."""

import torch

from .cross_entropy import TINY
from .ranks import mean_count


EPSILON = 1e-18
"""Guard of the score divisions. It is 0 in half precision, one reason why everything here runs in float32."""


def topk_grounding_loss(
    tokens: torch.Tensor,
    entries: torch.Tensor,
    token_scores: torch.Tensor,
    token_mask: torch.Tensor,
    *,
    token_weight: float = 1.0,
    entry_weight: float = 0.25,
    across_ranks: bool = False,
) -> torch.Tensor:
    """
    Loss of a dictionary whose entries were chosen by summed scores.

    With s the scores of N tokens x for the K chosen entries g, E the score-weighted mean of the tokens for each entry
    and Q the score-weighted mean of the entries for each token:

        token_weight * mean((stop(x) - Q)^2) + entry_weight * mean((stop(g) - E)^2)

    Only what `stop` names is detached: the scores, the x in E and the g in Q carry gradient to the encoders, the
    entries and the temperature.

    Args:
        tokens (`(batch, tokens, width)`, float32): Patches and words, x.
        entries (`(batch, chosen, width)`, float32): Chosen rows of the dictionary, g.
        token_scores (`(batch, tokens, chosen)`, float32): `sigmoid(temperature * x g)`.
        token_mask (`(batch, tokens)`, bool): True for tokens that take part.
        token_weight, entry_weight (`float`): alpha and beta of the first implementation.
        across_ranks (`bool`): Whether ranks with different numbers of tokens count as one batch; every rank must then
            call.

    Returns:
        Scalar, float32: means over the tokens that take part and over the rows that have one; 0 without any.
    """
    scores = token_scores * token_mask[..., None]
    entry_means = (scores / (scores.sum(1, keepdim=True) + EPSILON)).transpose(1, 2) @ tokens
    token_means = (scores / (scores.sum(2, keepdim=True) + EPSILON)) @ entries
    token_loss = _masked_mean_square(tokens.detach() - token_means, token_mask, across_ranks)
    entry_loss = _masked_mean_square(entries.detach() - entry_means, token_mask.any(1, keepdim=True), across_ranks)
    return token_weight * token_loss + entry_weight * entry_loss


def nearest_grounding_loss(
    tokens: torch.Tensor,
    entries: torch.Tensor,
    token_mask: torch.Tensor,
    *,
    token_weight: float = 1.0,
    entry_weight: float = 0.25,
    across_ranks: bool = False,
) -> torch.Tensor:
    """
    Loss of a dictionary that maps every token to its nearest entry (van den Oord et al., 2017, eq. 3):
    `token_weight * mean((g - stop(x))^2) + entry_weight * mean((stop(g) - x)^2)`.

    Args:
        tokens, entries (`(batch, tokens, width)`, float32): Tokens x and the nearest entry g of each.
        token_mask (`(batch, tokens)`, bool): True for tokens that take part.
        token_weight, entry_weight (`float`): alpha and beta of the first implementation.
        across_ranks (`bool`): Whether ranks with different numbers of tokens count as one batch; every rank must then
            call.

    Returns:
        Scalar, float32, mean over the tokens that take part; 0 without any.
    """
    token_loss = _masked_mean_square(entries - tokens.detach(), token_mask, across_ranks)
    entry_loss = _masked_mean_square(entries.detach() - tokens, token_mask, across_ranks)
    return token_weight * token_loss + entry_weight * entry_loss


def _masked_mean_square(difference: torch.Tensor, mask: torch.Tensor, across_ranks: bool) -> torch.Tensor:
    """Mean square of the rows that `mask`, broadcast to all dimensions but the last, lets through."""
    mask = mask.expand(difference.shape[:-1])
    total = (difference.square() * mask[..., None]).sum()
    count = mean_count(mask.sum()) if across_ranks else mask.sum()
    return total / (count * difference.shape[-1]).clamp(min=TINY)
