# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Image-text contrast within a batch (ITC; Radford et al., 2021; the first implementation's CMCL)."""

from typing import Literal

import torch
from torch.nn import functional as F


def contrastive_loss(
    logits_per_image: torch.Tensor,
    pair_mask: torch.Tensor | None = None,
    *,
    mean: Literal["pairs", "batch"] = "pairs",
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """
    Half the sum of the cross-entropies image -> text and text -> image, the partner being on the diagonal.

    Args:
        logits_per_image (`(batch, batch)`): Similarities divided by the temperature.
        pair_mask (`(batch,)`, bool, *optional*): True for rows whose image and text belong together. The other rows
            have no loss of their own and serve as negatives. All rows by default.
        mean: `"pairs"` divides by the number of pairs; `"batch"` by the batch size whatever the mask, as the first
            implementation does.
        label_smoothing (`float`): Share of the target that is spread evenly over the batch.

    Returns:
        Scalar, float32; 0 without a pair.
    """
    logits = logits_per_image.float()
    targets = torch.arange(logits.shape[0], device=logits.device)
    per_image = F.cross_entropy(logits, targets, reduction="none", label_smoothing=label_smoothing)
    per_text = F.cross_entropy(logits.t(), targets, reduction="none", label_smoothing=label_smoothing)
    losses = (per_image + per_text) / 2
    if pair_mask is None:
        return losses.mean()
    total = torch.where(pair_mask, losses, torch.zeros_like(losses)).sum()
    return total / (pair_mask.sum().clamp(min=1) if mean == "pairs" else losses.shape[0])
