# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Visual contrastive learning (VCL): two views of one picture find each other (Chen et al., 2020, SimCLR)."""

import torch
from torch.nn import functional as F

from .contrastive import contrastive_loss
from .ranks import gather_with_gradient


def visual_contrastive_loss(
    first_features: torch.Tensor,
    second_features: torch.Tensor,
    *,
    temperature: float = 0.1,
    across_ranks: bool = False,
) -> torch.Tensor:
    """
    Cross-entropy of each view finding the other view of its picture among the other views of all pictures, both ways.

    For pictures without a caption. It needs views that keep what a picture shows: crops, flips and colour changes.

    Args:
        first_features, second_features (`(batch, width)`): Features of two views of the same pictures, row by row.
            They are L2-normalised here.
        temperature (`float`): Divides the cosines.
        across_ranks (`bool`): Whether the candidates are those of all ranks; every rank must then call.

    Returns:
        Scalar, float32. With one picture there is nothing to tell apart and the loss is 0.
    """
    first = F.normalize(first_features.float(), dim=-1)
    second = F.normalize(second_features.float(), dim=-1)
    all_first = gather_with_gradient(first) if across_ranks else first
    all_second = gather_with_gradient(second) if across_ranks else second
    return contrastive_loss(
        first @ all_second.t() / temperature, second @ all_first.t() / temperature, across_ranks=across_ranks
    )
