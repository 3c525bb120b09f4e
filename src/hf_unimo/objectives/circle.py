# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Circle loss over one positive and many negatives (Sun et al., 2020), as the first implementation ranks pairs."""

import torch


def circle_loss(
    positive_scores: torch.Tensor, negative_scores: torch.Tensor, *, margin: float = 0.2, scale: float = 1.0
) -> torch.Tensor:
    """
    `mean log(1 + sum_n exp(scale a_n (s_n - margin)) * sum_p exp(-scale a_p (s_p - 1 + margin)))` with the detached
    weights `a_p = relu(1 + margin - s_p)` and `a_n = relu(s_n + margin)`; exponentials in float64.

    Retrieval is trained on the mean of two of these, one for image negatives and one for caption negatives of a pair.

    Args:
        positive_scores (`(groups, positives)`), negative_scores (`(groups, negatives)`): Matching scores.
        margin, scale (`float`): m and gamma of the paper.

    Returns:
        Scalar of the scores' type, mean over the groups.
    """
    positive, negative = positive_scores.double(), negative_scores.double()
    positive_weight = (1 + margin - positive).relu().detach()
    negative_weight = (negative + margin).relu().detach()
    positive_sum = torch.exp(-scale * positive_weight * (positive - (1 - margin))).sum(-1)
    negative_sum = torch.exp(scale * negative_weight * (negative - margin)).sum(-1)
    return torch.log1p(negative_sum * positive_sum).mean().to(positive_scores.dtype)
