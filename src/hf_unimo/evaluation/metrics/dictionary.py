# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Is a dictionary alive, and does it mean something? Which entries inputs choose, whether partners agree."""

import numpy as np

from .retrieval import retrieval_metrics


def dictionary_usage(chosen: np.ndarray, dictionary_size: int) -> dict[str, float]:
    """
    How many entries a set of inputs uses, how evenly, and how alike two inputs choose.

    Args:
        chosen (`(rows, K)`, int): Entries that each input chose, all different within a row.
        dictionary_size (`int`): Number of entries.

    Returns:
        `entries_used`; `perplexity` of the choices (exp of their entropy: the number of entries as if used evenly);
        `overlap`, the mean Jaccard overlap of two inputs' choices (NaN with one row); `chance_overlap`, about that of
        random choices.
    """
    rows, number = chosen.shape
    counts = np.bincount(chosen.ravel(), minlength=dictionary_size)
    shares = counts[counts > 0] / chosen.size
    # A pair of rows shares an entry if both chose it, so sums over pairs need no (rows, rows) loop over sets.
    overlaps = _jaccard(chosen, chosen, dictionary_size)
    others = overlaps[~np.eye(rows, dtype=bool)]
    common = number**2 / dictionary_size
    return {
        "entries_used": int((counts > 0).sum()),
        "perplexity": float(np.exp(-(shares * np.log(shares)).sum())),
        "overlap": float(others.mean()) if rows > 1 else float("nan"),
        "chance_overlap": float(common / (2 * number - common)),
    }


def dictionary_alignment(
    image_chosen: np.ndarray, text_chosen: np.ndarray, image_scores: np.ndarray, text_scores: np.ndarray
) -> dict[str, float]:
    """
    Whether images and their texts, row by row partners, choose alike.

    Args:
        image_chosen, text_chosen (`(rows, K)`, int): Entries that image and text chose, each alone.
        image_scores, text_scores (`(rows, dictionary_size)`): Their dictionary scores, as a mean over tokens.

    Returns:
        `own_overlap` and `foreign_overlap`, mean Jaccard overlaps with the own and with the other texts; and
        `image_recall@k`, `text_recall@k` of retrieval by the cosine of the scores alone, centred by the mean of each
        side.

    Raises:
        ValueError: With fewer than two rows, or different numbers of them.
    """
    rows = len(image_chosen)
    if rows < 2 or not rows == len(text_chosen) == len(image_scores) == len(text_scores):
        raise ValueError("Images and texts must come as the same number of rows, at least two.")
    overlaps = _jaccard(image_chosen, text_chosen, image_scores.shape[1])
    own = np.eye(rows, dtype=bool)
    centred = [scores - scores.mean(0) for scores in (np.asarray(image_scores), np.asarray(text_scores))]
    image, text = (scores / np.maximum(np.linalg.norm(scores, axis=1, keepdims=True), 1e-12) for scores in centred)
    recalls = retrieval_metrics(image @ text.T, np.arange(rows))
    return {
        "own_overlap": float(overlaps[own].mean()),
        "foreign_overlap": float(overlaps[~own].mean()),
        **{name: value for name, value in recalls.items() if "recall" in name},
    }


def _jaccard(first: np.ndarray, second: np.ndarray, size: int) -> np.ndarray:
    """Jaccard overlap of every row of `first` with every row of `second`: `(rows, rows)`."""
    members = []
    for chosen in (first, second):
        member = np.zeros((len(chosen), size), dtype=np.float32)
        np.put_along_axis(member, chosen, 1.0, axis=1)
        members.append(member)
    common = members[0] @ members[1].T
    return common / (first.shape[1] + second.shape[1] - common)
