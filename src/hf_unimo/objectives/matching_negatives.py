# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Which wrong partners image-text matching learns from (Li et al., 2021, ALBEF, section 3.2)."""

import torch


def draw_matching_negatives(
    logits: torch.Tensor,
    forbidden: torch.Tensor,
    *,
    hardness: float = 0.0,
    seed: int = 0,
    step: int = 0,
    row_ids: torch.Tensor | None = None,
) -> torch.Tensor:
    """
    A wrong partner for each row, drawn with probability proportional to `exp(hardness * logits)`.

    0 draws evenly, 1 from the contrastive softmax. Negatives that are hard from the start keep the matching loss at
    ln 2, so begin at 0 and raise it later, if at all. The noise depends on seed, step and row number only: several
    processes that number their rows through draw what one process would draw from the same candidates.

    Args:
        logits (`(rows, candidates)`): Contrastive logits of the queries; no gradient flows.
        forbidden (`(rows, candidates)`, bool): True for candidates that are no negatives: the partner itself, and any
            with the same caption or picture.
        hardness (`float`): 0 to 1.
        seed, step (`int`): What the noise depends on,
        row_ids (`(rows,)`, int64, *optional*): and the number of each row in the batch of all ranks; 0, 1, ... by
            default.

    Returns:
        `(rows,)`, int64: candidate of each row; -1 where every candidate is forbidden.

    Raises:
        ValueError: If `hardness` lies outside 0 to 1 or the shapes differ.
    """
    if not 0 <= hardness <= 1:
        raise ValueError(f"`hardness` must lie between 0 and 1, but is {hardness}.")
    if logits.shape != forbidden.shape:
        raise ValueError(f"`logits` {tuple(logits.shape)} and `forbidden` {tuple(forbidden.shape)} differ in shape.")
    rows, candidates = logits.shape
    if row_ids is None:
        row_ids = torch.arange(rows, device=logits.device)
    noise = _gumbel(seed, step, row_ids, candidates)
    # The largest of logit + Gumbel noise is a draw from the softmax.
    keys = hardness * logits.detach().float() + noise
    drawn = keys.masked_fill(forbidden, -torch.inf).argmax(1)
    return drawn.masked_fill(forbidden.all(1), -1)


def text_keys(words: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
    """
    A number for each text, the same for the same words whatever their padding (different texts share one with
    probability 2^-64): equal captions are no negatives of each other.

    Args:
        words (`(rows, length)`, int64, or `(rows, length, width)`, float): Ids or embeddings.
        attention_mask (`(rows, length)`, *optional*): 0 at padding.

    Returns:
        `(rows,)`, int64.
    """
    if words.is_floating_point():
        words = words.detach().float().sum(-1).view(torch.int32).long()
    mask = torch.ones_like(words) if attention_mask is None else attention_mask.long()
    return (_mix(_mix(words) + mask.cumsum(1)) * mask).sum(1)


def _gumbel(seed: int, step: int, rows: torch.Tensor, candidates: int) -> torch.Tensor:
    """
    Gumbel noise (rows, candidates) that depends on its arguments only. A hash (SplitMix64) instead of a generator: it
    runs on any device and inside a compiled graph, and a row's noise does not depend on the other rows.
    """
    columns = torch.arange(candidates, device=rows.device)
    bits = _mix(_mix(_mix(_mix(rows.new_zeros(()) + seed) + step) + rows[:, None]) + columns[None])
    uniform = (((bits >> 40) & (2**24 - 1)).float() + 0.5) / 2**24
    return -torch.log(-torch.log(uniform))


def _mix(bits: torch.Tensor) -> torch.Tensor:
    """One step of SplitMix64 (Steele et al., 2014) on int64, whose products wrap around; shifts are made logical."""
    bits = bits - 0x61C8864680B583EB
    bits = (bits ^ ((bits >> 30) & (2**34 - 1))) * -0x40A7B892E31B1A47
    bits = (bits ^ ((bits >> 27) & (2**37 - 1))) * -0x6B2FB644ECCEEE15
    return bits ^ ((bits >> 31) & (2**33 - 1))
