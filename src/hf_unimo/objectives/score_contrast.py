# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Score contrast: a picture and its caption should choose the same dictionary entries (ours; not in the paper)."""

import torch
from torch.nn import functional as F

from .contrastive import contrastive_loss
from .ranks import gather_with_gradient


def score_contrast_loss(
    image_scores: torch.Tensor,
    text_scores: torch.Tensor,
    pair_mask: torch.Tensor | None = None,
    *,
    temperature: float = 0.1,
    across_ranks: bool = False,
) -> torch.Tensor:
    """
    Image-text contrast between the two sides' dictionary scores: cosine of the score vectors, centred by the batch
    mean.

    Use it when the dictionary should mean something: the grounding loss alone never aligns the entries that a picture
    and its caption choose, it only pulls them towards a common core. It touches training only; the choice itself stays
    as it is.

    Args:
        image_scores, text_scores (`(batch, dictionary_size)`): Mean over a row's tokens of
            `sigmoid(temperature * token . entry)`, of the image alone and of the text alone, with gradient.
        pair_mask (`(batch,)`, bool, *optional*): True for rows whose image and text belong together; all by default.
        temperature (`float`): Divides the cosines.
        across_ranks (`bool`): Whether the batch is that of all ranks; every rank must then call.

    Returns:
        Scalar, float32; 0 without a pair.
    """
    image, text = image_scores.float(), text_scores.float()
    all_image = gather_with_gradient(image) if across_ranks else image
    all_text = gather_with_gradient(text) if across_ranks else text
    image_mean, text_mean = all_image.mean(0), all_text.mean(0)
    image, all_image = (F.normalize(scores - image_mean, dim=-1) for scores in (image, all_image))
    text, all_text = (F.normalize(scores - text_mean, dim=-1) for scores in (text, all_text))
    return contrastive_loss(
        image @ all_text.t() / temperature, text @ all_image.t() / temperature, pair_mask, across_ranks=across_ranks
    )
