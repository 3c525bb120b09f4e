# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Zero-shot image-text retrieval over one gallery: by contrastive features, by these and a matching score for the best,
or by a cross encoder's score of all pairs. Features and scores of some rows at a time, never states of all.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import comb
from typing import cast

import numpy as np
from PIL import Image

from ..data.benchmarks.rows import Benchmark, RetrievalRow, TokenIds
from ..errors import BadInputError
from .adapters import PairAdapter
from .bootstrap import Figure
from .measuring import Options, check_texts, count_truncated, finish, intervals, run_rows, start_protocol
from .metrics.retrieval import fold_of_images, ranks
from .protocol import Result
from .token_ids import TEXT_INPUT, are_token_ids, check_token_ids


KS = (1, 5, 10)
TASKS = {"retrieval": "contrastive", "rerank": "rerank", "matching": "matching"}
"""Task -> stage that scores."""

_QUERIES = 128  # ranked at once: integers of 128 queries times 25,000 candidates are 26 MB
_IMAGES = 16  # encoded at once for matching


@dataclass(frozen=True)
class _Found:
    """What a gallery gave: the rank of each text's image, and of each image's best text."""

    image_ranks: np.ndarray
    text_ranks: np.ndarray
    chance: Mapping[str, float]


@dataclass(frozen=True)
class _Gallery:
    images: list[RetrievalRow]
    texts: list[str] | list[TokenIds]
    image_of_text: np.ndarray

    def texts_of(self) -> list[np.ndarray]:
        """For each image the numbers of its texts."""
        ends = np.cumsum(np.bincount(self.image_of_text, minlength=len(self.images)))
        return np.split(np.argsort(self.image_of_text, kind="stable"), ends[:-1])


def evaluate_retrieval(
    adapter: PairAdapter,
    data: Benchmark,
    task: str = "retrieval",
    *,
    top_k: int = 128,
    folds: int = 1,
    allow_repeated: bool = False,
    options: Options | None = None,
) -> Result:
    """
    Recall at 1, 5 and 10, mean and median rank in both directions.

    `image_*`: each text looks for its image. `text_*`: each image looks for its texts, the best-ranked one counts.
    Equal scores rank as in [`~hf_unimo.evaluation.metrics.retrieval.retrieval_metrics`].

    Args:
        adapter ([`PairAdapter`]): The model.
        data ([`Benchmark`]): Its rows are `RetrievalRow`. Captions that are token ids are for UNIMO-2 alone.
        task (`str`, defaults to `"retrieval"`): `"retrieval"` by contrastive features; `"rerank"`: the `top_k` of each
            query by contrastive features are ordered by their matching scores, all others stay behind them as they
            are; `"matching"`: matching scores of all pairs.
        top_k (`int`, defaults to 128): Candidates of a query that are re-ranked.
        folds (`int`, defaults to 1): Galleries of as many consecutive images, in the order of the data, into which
            they are divided; figures are means over them. 5 on Karpathy's test split of COCO is the "1K test". An
            image that cannot be read is missing from its fold. Intervals draw within the folds.
        allow_repeated (`bool`, defaults to False): Whether captions may repeat where each image has only one: the
            right image of such a caption is not the only right one.
        options ([`Options`], *optional*): How it runs.

    Raises:
        BadInputError: If the model cannot score so, the rows are none of retrieval or cannot be divided into folds,
            texts are empty or repeated, token ids are not the model's, or no row of a fold can be used.
    """
    options = options or Options()
    stage = TASKS[task]
    if stage not in adapter.stages:
        known = [name for name, value in TASKS.items() if value in adapter.stages]
        raise BadInputError(
            f"{type(adapter.model).__name__} cannot do the task {task!r}; it can do: {', '.join(known)}."
        )
    if stage == "rerank" and top_k < 1:
        raise BadInputError(f"The number of candidates to re-rank is {top_k}; accepted are integers from 1 on.")
    notes = _check(adapter, data, allow_repeated)
    fold = fold_of_images(len(data), folds)
    gallery, failed, found = _score(adapter, data, fold, stage, top_k, options)
    figures = _figures(found, options)
    sizes = np.bincount(gallery.image_of_text)
    size = f"; of each query the best {top_k}" if stage == "rerank" else ""
    failures = [(data[number].id, reason) for number, reason in failed]
    protocol = start_protocol(
        data,
        options,
        adapter.model,
        adapter.images,
        adapter.texts,
        rows=len(gallery.images),
        images=len(gallery.images),
        texts=len(gallery.texts),
        captions_per_image=(int(sizes.min()), int(sizes.max())),
        truncated_texts=count_truncated(adapter.texts, gallery.texts),
        text_input=TEXT_INPUT if are_token_ids(gallery.texts) else None,
        scoring=adapter.scoring[stage] + size,
        metric_variant=None if folds == 1 else f"mean of {folds} folds of {len(data) // folds} consecutive images",
    )
    return finish(task, adapter.model, options, protocol, figures, failures, notes)


def _check(adapter: PairAdapter, data: Benchmark, allow_repeated: bool) -> list[str]:
    """That the rows fit; what should be said about them."""
    if not all(isinstance(row, RetrievalRow) for row in data):
        raise BadInputError(f"Data {data.name!r} is for {data.task}; accepted are images with captions.")
    captions = [caption for row in data for caption in row.captions]
    ids = [caption for caption in captions if isinstance(caption, TokenIds)]
    if ids and len(ids) < len(captions):
        raise BadInputError(
            f"Data {data.name!r} has {len(ids)} of {len(captions)} captions as token ids; accepted are all or none."
        )
    if ids:
        check_token_ids(ids, data, adapter.model, adapter.texts.max_length)
    else:
        check_texts(captions, data)
    without = sum(not row.captions for row in data)
    if without:
        raise BadInputError(f"Data {data.name!r} has {without} images without captions; each needs at least one.")
    owners = Counter((_text(caption), row.id) for row in data for caption in row.captions)
    images = Counter(caption for caption, _ in owners)
    repeated = [caption for caption, number in images.items() if number > 1]
    if not repeated:
        return []
    number, first = sum(images[caption] for caption in repeated), str(repeated[0])[:60]
    if len(captions) == len(data) and not allow_repeated:
        raise BadInputError(
            f"Data {data.name!r} has one caption an image, but {len(repeated)} captions repeat over {number} of its "
            f"{len(data)} images (the first: {first!r}); accepted are captions that differ, several an image, or to "
            "allow repeated ones."
        )
    return [
        f"{len(repeated)} captions belong to more than one image ({number} in all); only the image of the row counts "
        "as right."
    ]


def _text(caption: str | TokenIds) -> Hashable:
    """What makes two captions the same."""
    return caption.strip() if isinstance(caption, str) else caption.input_ids


def _score(
    adapter: PairAdapter, data: Benchmark, fold: np.ndarray, stage: str, top_k: int, options: Options
) -> tuple[_Gallery, list[tuple[int, str]], list[_Found]]:
    """All that was scored, the rows that failed and why, and what each fold gave."""
    numbers = [np.flatnonzero(fold == number) for number in range(fold[-1] + 1)]
    if stage == "matching":
        parts = [_match_all(adapter, data, rows, _named("matching", rows, data), options) for rows in numbers]
        gallery = _gallery(data, np.concatenate([kept for kept, _, _ in parts]))
        return gallery, [row for _, failed, _ in parts for row in failed], [found for _, _, found in parts]
    image_features, kept, failed = run_rows(
        "image-features", data, lambda row: row.image.open(), adapter.image_features, options
    )
    gallery = _gallery(data, kept)
    # Texts of lost images are no candidates, so they are encoded anew if others were lost.
    text_features = options.blocks.run(
        f"text-features-{len(gallery.texts)}",
        len(gallery.texts),
        options.block_size,
        lambda start, stop: {"values": adapter.text_features(gallery.texts[start:stop])},
    )["values"]
    found = []
    for number, rows in enumerate(numbers):
        images = fold[kept] == number
        if not images.any():
            raise BadInputError(f"None of the {len(rows)} images of fold {number + 1} could be used.")
        texts = images[gallery.image_of_text]
        ranked = _rank_all(
            adapter,
            _gallery(data, kept[images]),
            image_features[images],
            text_features[texts],
            top_k if stage == "rerank" else 0,
            _named(f"matching-top-{top_k}", rows, data),
            options,
        )
        found.append(ranked)
    return gallery, failed, found


def _named(name: str, rows: np.ndarray, data: Benchmark) -> str:
    """What a computation over some of the rows is called where it is stored."""
    return name if len(rows) == len(data) else f"{name}-of-{rows[0]}-to-{rows[-1]}"


def _gallery(data: Benchmark, kept: np.ndarray) -> _Gallery:
    images = [cast(RetrievalRow, data[int(row)]) for row in kept]
    texts = [caption.strip() if isinstance(caption, str) else caption for row in images for caption in row.captions]
    image_of_text = np.repeat(np.arange(len(images)), [len(row.captions) for row in images])
    return _Gallery(images, cast("list[str]", texts), image_of_text)


def _rank_all(
    adapter: PairAdapter,
    gallery: _Gallery,
    images: np.ndarray,
    texts: np.ndarray,
    top_k: int,
    name: str,
    options: Options,
) -> _Found:
    """By features, and by matching scores, stored as `name`, if `top_k`."""
    texts_of = gallery.texts_of()
    image_of = [np.array([image]) for image in gallery.image_of_text]
    image_ranks, best_images = _contrastive_ranks(texts, images, image_of, top_k)
    text_ranks, best_texts = _contrastive_ranks(images, texts, texts_of, top_k)
    if not top_k:
        return _Found(_best(image_ranks), _best(text_ranks), _chance(gallery))
    number = len(texts)
    queries = np.arange(len(images))[:, None] * number + best_texts
    pairs = np.unique(np.concatenate([queries.ravel(), (best_images * number + np.arange(number)[:, None]).ravel()]))
    scores = _match_pairs(adapter, gallery, pairs, name, options)

    def score(codes: np.ndarray) -> np.ndarray:
        return scores[np.searchsorted(pairs, codes)]

    for text in range(number):
        found = score(best_images[text] * number + text)
        _rerank(image_ranks[text], image_of[text], best_images[text], found)
    for image in range(len(images)):
        found = score(image * number + best_texts[image])
        _rerank(text_ranks[image], texts_of[image], best_texts[image], found)
    return _Found(_best(image_ranks), _best(text_ranks), _chance(gallery))


def _contrastive_ranks(
    queries: np.ndarray, candidates: np.ndarray, right: Sequence[np.ndarray], top_k: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """For each query the ranks of its right candidates, and the numbers of its `top_k`, in ascending order."""
    found, best = [], []
    top_k = min(top_k, len(candidates))
    for start in range(0, len(queries), _QUERIES):
        ranked = ranks(queries[start : start + _QUERIES] @ candidates.T)
        found += [row[right[start + offset]] for offset, row in enumerate(ranked)]
        best.append(np.nonzero(ranked <= top_k)[1].reshape(len(ranked), top_k))
    return found, np.concatenate(best)


def _rerank(found: np.ndarray, right: np.ndarray, candidates: np.ndarray, scores: np.ndarray) -> None:
    """Replaces the ranks of those right ones that are among the candidates, whose numbers ascend."""
    places = np.searchsorted(candidates, right)
    among = candidates[np.minimum(places, len(candidates) - 1)] == right
    found[among] = ranks(scores[None])[0][places[among]]


def _best(found: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([row.min() for row in found])


def _match_pairs(
    adapter: PairAdapter, gallery: _Gallery, pairs: np.ndarray, name: str, options: Options
) -> np.ndarray:
    """Scores of pairs, given as image * texts + text in ascending order; a few images are encoded at a time."""
    image_of_pair, text_of_pair = np.divmod(pairs, len(gallery.texts))
    starts = np.searchsorted(image_of_pair, np.arange(len(gallery.images) + 1))

    def compute(start: int, stop: int) -> Mapping[str, np.ndarray]:
        chosen = slice(starts[start], starts[stop])
        texts = cast("list[str]", [gallery.texts[text] for text in text_of_pair[chosen]])
        images = [row.image.open() for row in gallery.images[start:stop]]
        return {"values": adapter.match(images, image_of_pair[chosen] - start, texts)}

    return options.blocks.run(name, len(gallery.images), _IMAGES, compute)["values"]


def _match_all(
    adapter: PairAdapter, data: Benchmark, rows: np.ndarray, name: str, options: Options
) -> tuple[np.ndarray, list[tuple[int, str]], _Found]:
    """
    By scores of all pairs of some rows: those that were scored, those that failed, and what they gave. Texts of
    images that are lost are scored and dropped.
    """
    whole = _gallery(data, rows)

    def compute(images: list[Image.Image]) -> np.ndarray:
        pairs = np.repeat(np.arange(len(images)), len(whole.texts))
        return adapter.match(images, pairs, whole.texts * len(images)).reshape(len(images), -1)

    few = replace(options, block_size=_IMAGES, batch_size=_IMAGES)
    scores, kept, failed = run_rows(name, whole.images, lambda row: row.image.open(), compute, few)
    gallery = _gallery(data, rows[kept])
    found = _Found(*_ranks_by_scores(gallery, scores[:, np.isin(whole.image_of_text, kept)]), _chance(gallery))
    return rows[kept], [(int(rows[number]), reason) for number, reason in failed], found


def _ranks_by_scores(gallery: _Gallery, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    image_ranks, text_ranks = [], []
    for start in range(0, len(gallery.texts), _QUERIES):
        part = slice(start, start + _QUERIES)
        ranked = ranks(scores[:, part].T)
        image_ranks.append(ranked[np.arange(len(ranked)), gallery.image_of_text[part]])
    texts_of = gallery.texts_of()
    for start in range(0, len(gallery.images), _QUERIES):
        ranked = ranks(scores[start : start + _QUERIES])
        text_ranks += [row[texts_of[start + offset]].min() for offset, row in enumerate(ranked)]
    return np.concatenate(image_ranks), np.array(text_ranks)


def _figures(found: Sequence[_Found], options: Options) -> dict[str, Figure]:
    """Of both directions, means over the galleries; texts and images of each are drawn apart."""

    def statistic(*drawn: np.ndarray) -> dict[str, float]:
        parts = [
            _summary("image", gallery.image_ranks[texts]) | _summary("text", gallery.text_ranks[images])
            for gallery, texts, images in zip(found, drawn[::2], drawn[1::2])
        ]
        means = {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}
        recalls = [value for name, value in means.items() if "recall" in name]
        return {"mean_recall": float(np.mean(recalls)), **means}

    numbers = [len(queries) for gallery in found for queries in (gallery.image_ranks, gallery.text_ranks)]
    chance = {name: float(np.mean([gallery.chance[name] for gallery in found])) for name in found[0].chance}
    return intervals(statistic, numbers, options, chance)


def _summary(side: str, found: np.ndarray) -> dict[str, float]:
    recalls = {f"{side}_recall@{k}": float(np.mean(found <= k)) for k in KS}
    return recalls | {f"{side}_mean_rank": float(found.mean()), f"{side}_median_rank": float(np.median(found))}


def _chance(gallery: _Gallery) -> dict[str, float]:
    """Recalls of a random order: k of all images, and one of an image's texts among the first k."""
    images, texts = len(gallery.images), len(gallery.texts)
    result = {f"image_recall@{k}": min(1.0, k / images) for k in KS}
    sizes, counts = np.unique(np.bincount(gallery.image_of_text), return_counts=True)
    for k in KS:
        missed = [comb(texts - int(size), k) / comb(texts, k) if k <= texts else 0.0 for size in sizes]
        result[f"text_recall@{k}"] = 1 - float(np.average(missed, weights=counts))
    return {"mean_recall": float(np.mean(list(result.values()))), **result}
