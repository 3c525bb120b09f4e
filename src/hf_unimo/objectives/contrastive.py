# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Image-text contrast within a batch (ITC; Radford et al., 2021; the first implementation's CMCL)."""

from typing import Literal

import torch
from torch.nn import functional as F

from .cross_entropy import TINY
from .ranks import mean_count, rank


def contrastive_loss(
    logits_per_image: torch.Tensor,
    logits_per_text: torch.Tensor,
    pair_mask: torch.Tensor | None = None,
    *,
    mean: Literal["pairs", "batch"] = "pairs",
    label_smoothing: float = 0.0,
    across_ranks: bool = False,
) -> torch.Tensor:
    """
    Half the sum of the cross-entropies image -> text and text -> image, the partner being on the diagonal.

    With several processes each rank has the logits of its own rows against the rows of all ranks, gathered with
    gradient (`hf_unimo.objectives.ranks.gather_with_gradient`).

    Args:
        logits_per_image, logits_per_text (`(batch, candidates)`): Similarities divided by the temperature. As many
            candidates as rows, or those of all ranks.
        pair_mask (`(batch,)`, bool, *optional*): True for rows whose image and text belong together. The other rows
            have no loss of their own and serve as negatives. All rows by default.
        mean: `"pairs"` divides by the number of pairs; `"batch"` by the batch size whatever the mask, as the first
            implementation does.
        label_smoothing (`float`): Share of the target that is spread evenly over the candidates.
        across_ranks (`bool`): Whether the candidates are those of all ranks; every rank must then call.

    Returns:
        Scalar, float32; 0 without a pair.
    """
    batch_size = logits_per_image.shape[0]
    first = rank() * batch_size if across_ranks else 0
    targets = torch.arange(batch_size, device=logits_per_image.device) + first
    per_image = F.cross_entropy(logits_per_image.float(), targets, reduction="none", label_smoothing=label_smoothing)
    per_text = F.cross_entropy(logits_per_text.float(), targets, reduction="none", label_smoothing=label_smoothing)
    losses = (per_image + per_text) / 2
    if pair_mask is None:
        return losses.mean()
    total = torch.where(pair_mask, losses, torch.zeros_like(losses)).sum()
    if mean == "batch":
        return total / batch_size
    count = pair_mask.sum()
    return total / (mean_count(count) if across_ranks else count).clamp(min=TINY)
