# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Which wrong partners image-text matching learns from (Li et al., 2021, ALBEF, section 3.2)."""

import hashlib

import torch


def draw_matching_negatives(
    logits: torch.Tensor,
    forbidden: torch.Tensor,
    *,
    hardness: float = 0.0,
    seed: int = 0,
    step: int = 0,
    first_row: int = 0,
) -> torch.Tensor:
    """
    A wrong partner for each row, drawn with probability proportional to `exp(hardness * logits)`.

    0 draws evenly, 1 from the contrastive softmax. Negatives that are hard from the start keep the matching loss at
    ln 2, so begin at 0 and raise it later, if at all. The noise depends on seed, step and global row only: several
    processes with `first_row = rank * batch` draw what one process would draw from the same candidates.

    Args:
        logits (`(rows, candidates)`): Contrastive logits of the queries; no gradient flows.
        forbidden (`(rows, candidates)`, bool): True for candidates that are no negatives: the partner itself, and any
            with the same caption or picture.
        hardness (`float`): 0 to 1.
        seed, step, first_row (`int`): What the noise depends on.

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
    noise = torch.stack([_gumbel(candidates, f"{seed} {step} {first_row + row}") for row in range(rows)])
    # The largest of logit + Gumbel noise is a draw from the softmax.
    keys = hardness * logits.detach().float() + noise.to(logits.device)
    drawn = keys.masked_fill(forbidden, -torch.inf).argmax(1)
    return drawn.masked_fill(forbidden.all(1), -1)


def _gumbel(number: int, key: str) -> torch.Tensor:
    seed = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=7).digest(), "big")
    uniform = torch.rand(number, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return -torch.log(-torch.log(uniform.clamp(min=1e-300))).float()
