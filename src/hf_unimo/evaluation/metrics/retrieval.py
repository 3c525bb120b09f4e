# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Recall at k and ranks of image-text retrieval, in both directions."""

from collections.abc import Sequence

import numpy as np

from hf_unimo.errors import BadInputError


def retrieval_metrics(
    scores: np.ndarray, image_of_text: np.ndarray | Sequence[int], ks: Sequence[int] = (1, 5, 10)
) -> dict[str, float]:
    """
    Both directions of retrieval over one gallery, several texts an image allowed.

    `image_*`: a text looks for its image. `text_*`: an image looks for any of its texts, the best-ranked one counts.
    Ranks start at 1. Equal scores are ranked as the first implementation does: the later candidate comes first.

    Args:
        scores (`(images, texts)`): Higher is better.
        image_of_text (`(texts,)`, int): Row of the image that each text belongs to.
        ks: Ranks to measure recall at.

    Returns:
        `image_recall@k`, `text_recall@k` (shares, 0 to 1), `image_mean_rank`, `image_median_rank` and the same for
        `text`.

    Raises:
        ValueError: If `image_of_text` does not give one existing row for each text, an image has no text, or a score
            is NaN.
    """
    scores, image_of_text = np.asarray(scores), np.asarray(image_of_text)
    num_images, num_texts = scores.shape
    if image_of_text.shape != (num_texts,):
        raise ValueError(f"`image_of_text` must have shape ({num_texts},), but has {image_of_text.shape}.")
    if set(np.unique(image_of_text)) != set(range(num_images)):
        raise ValueError(f"`image_of_text` must name each of the {num_images} images at least once and no other.")
    if np.isnan(scores).any():
        raise ValueError("`scores` holds NaN, which has no rank.")
    texts = np.arange(num_texts)
    image_ranks = ranks(scores.T)[texts, image_of_text]
    text_ranks = np.full(num_images, num_texts)
    np.minimum.at(text_ranks, image_of_text, ranks(scores)[image_of_text, texts])
    return _summary("image", image_ranks, ks) | _summary("text", text_ranks, ks)


def folded_retrieval_metrics(
    scores: np.ndarray, image_of_text: np.ndarray | Sequence[int], folds: int, ks: Sequence[int] = (1, 5, 10)
) -> dict[str, float]:
    """
    Means over folds of the images, each a gallery of its own, as the "1K test" of COCO is reported (e.g. Faghri et
    al., 2018): five folds of 1,000 of Karpathy's 5,000 test images.

    Args:
        scores, image_of_text, ks: As for [`retrieval_metrics`].
        folds (`int`): See [`fold_of_images`].

    Returns:
        As [`retrieval_metrics`], each the mean over the folds.

    Raises:
        BadInputError: As [`fold_of_images`].
    """
    image_of_text = np.asarray(image_of_text)
    fold = fold_of_images(len(scores), folds)
    found = []
    for number in range(folds):
        images, texts = np.flatnonzero(fold == number), fold[image_of_text] == number
        found.append(retrieval_metrics(scores[np.ix_(images, texts)], image_of_text[texts] - images[0], ks))
    return {name: float(np.mean([metrics[name] for metrics in found])) for name in found[0]}


def fold_of_images(images: int, folds: int) -> np.ndarray:
    """
    The fold of each image: consecutive images, as many in each fold.

    Returns:
        `(images,)`, int, from 0.

    Raises:
        BadInputError: If the images cannot be divided so.
    """
    if folds < 1 or images % folds or not images:
        raise BadInputError(
            f"{images} images cannot be divided into {folds} folds; accepted are folds from 1 on, as many as divide "
            "the number of images."
        )
    return np.arange(images) // (images // folds)


def ranks(scores: np.ndarray) -> np.ndarray:
    """
    Rank of every candidate for every query, from 1.

    Args:
        scores (`(queries, candidates)`): Higher is better; among equal ones the later candidate comes first.

    Returns:
        `(queries, candidates)`, int.
    """
    best_first = np.argsort(scores, axis=1, kind="stable")[:, ::-1]
    positions = np.broadcast_to(np.arange(1, scores.shape[1] + 1), scores.shape)
    result = np.empty(scores.shape, dtype=int)
    np.put_along_axis(result, best_first, positions, axis=1)
    return result


def _summary(side: str, found: np.ndarray, ks: Sequence[int]) -> dict[str, float]:
    recalls = {f"{side}_recall@{k}": float(np.mean(found <= k)) for k in ks}
    return recalls | {f"{side}_mean_rank": float(found.mean()), f"{side}_median_rank": float(np.median(found))}
