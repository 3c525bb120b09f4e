# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Zero-shot image-text retrieval over one gallery: by contrastive features, by these and a matching score for the best,
or by a cross encoder's score of all pairs. Each picture and each text is encoded once, into a folder.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import cast

import numpy as np

from ..data.benchmarks.rows import Benchmark, RetrievalRow, TokenIds
from ..errors import BadInputError
from ..retrieval.adapters import PairAdapter
from ..retrieval.candidates import Candidates, products, rows_at_once
from ..retrieval.stages import NEAR_TIE, Matches, Stages
from ..retrieval.token_ids import are_token_ids
from .bootstrap import Figure
from .measuring import Options, check_texts, count_truncated, finish, intervals, start_protocol
from .metrics.retrieval import fold_of_images, ranks
from .protocol import Result
from .token_ids import TEXT_INPUT, check_token_ids


KS = (1, 5, 10)
TASKS = {"retrieval": "contrastive", "rerank": "rerank", "matching": "matching"}
"""Task -> stage that scores."""

_MEMORY = 512
"""MiB for encoded rows, blocks of scores and what ranking them takes, see [`~hf_unimo.retrieval.stages.Stages`]."""


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
    gallery, failed, found, near_ties = _score(adapter, data, fold, stage, top_k, options)
    notes += near_ties
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
) -> tuple[_Gallery, list[tuple[int, str]], list[_Found], list[str]]:
    """All that was scored, the rows that failed and why, what each fold gave, and what should be said."""
    whole = _gallery(data, np.arange(len(data)))
    with _stages(adapter, data, whole, stage, options) as stages:
        kept = stages.images
        lost = np.setdiff1d(np.arange(fold[-1] + 1), fold[kept])
        if len(lost):
            number = np.count_nonzero(fold == lost[0])
            raise BadInputError(f"None of the {number} images of fold {lost[0] + 1} could be used.")
        # Texts of lost images are no candidates.
        texts = np.flatnonzero(np.isin(whole.image_of_text, kept))
        images_of = [np.flatnonzero(fold[kept] == number) for number in range(fold[-1] + 1)]
        texts_of = [texts[fold[whole.image_of_text[texts]] == number] for number in range(fold[-1] + 1)]
        galleries = [_gallery(data, kept[images]) for images in images_of]
        name = {"rerank": f"matching-top-{top_k}"}.get(stage, stage)
        name += f"-of-{len(galleries)}-folds" if len(galleries) > 1 else ""
        if stage == "matching":
            matches = stages.match(Candidates(texts_of, fold[kept]), name)
            found = [_found_by_scores(matches, *one) for one in zip(galleries, images_of)]
        else:
            parts = list(zip(galleries, images_of, texts_of))
            ranked = [_Ranked(stages, *one, top_k if stage == "rerank" else 0) for one in parts]
            if stage == "rerank":
                image_of_pair, text_of_pair = np.concatenate([one.pairs() for one in ranked], axis=1)
                matches = stages.match(Candidates.of_pairs(image_of_pair, text_of_pair, len(kept)), name)
                for one, scores in zip(
                    ranked, np.split(matches.scores, np.cumsum([len(one.codes) for one in ranked]))
                ):
                    one.rerank(scores)
            found = [one.found() for one in ranked]
        notes = [] if stage == "contrastive" else _near_ties(matches)
        return _gallery(data, kept), stages.failed, found, notes


def _stages(adapter: PairAdapter, data: Benchmark, whole: _Gallery, stage: str, options: Options) -> Stages:
    """All pictures and texts of the data, encoded, beside the blocks of other tasks."""
    matching = stage != "contrastive"
    place = options.blocks.folder
    stages = Stages(
        adapter,
        whole.images,
        whole.texts,
        None if place is None else place / ("encoded" if matching else "features"),
        data=data.split_hash,
        open_picture=lambda row: row.image.open(),
        matching=matching,
        memory=_MEMORY,
        block_size=options.block_size,
        progress=options.blocks.progress,
    )
    options.blocks.claim()
    try:
        stages.encode()
    except BaseException as error:
        stages.close()
        if isinstance(error, BadInputError):
            options.blocks.forget(stages.folder.name)
        raise
    return stages


def _near_ties(matches: Matches) -> list[str]:
    number = matches.near_ties
    if not number:
        return []
    return [
        f"Of {number} of {len(matches.candidates)} scored pairs the choice of grounded tokens is a near tie (at most "
        f"{NEAR_TIE:g} apart): in another order of computation they may get others, and another score."
    ]


def _gallery(data: Benchmark, kept: np.ndarray) -> _Gallery:
    images = [cast(RetrievalRow, data[int(row)]) for row in kept]
    texts = [caption.strip() if isinstance(caption, str) else caption for row in images for caption in row.captions]
    image_of_text = np.repeat(np.arange(len(images)), [len(row.captions) for row in images])
    return _Gallery(images, cast("list[str]", texts), image_of_text)


class _Ranked:
    """
    A gallery ranked by features, in both directions.

    Args:
        stages ([`Stages`]): With the encoded rows.
        gallery ([`_Gallery`]): Its
        images, texts: places of images and numbers of texts there, in ascending order.
        top_k (`int`): Candidates of a query that are to be ordered anew.
    """

    def __init__(self, stages: Stages, gallery: _Gallery, images: np.ndarray, texts: np.ndarray, top_k: int):
        self.gallery, self.images, self.texts = gallery, images, texts
        self.image_of = [np.array([image]) for image in gallery.image_of_text]
        self.texts_of = gallery.texts_of()
        of_images = stages.image_store.matrix("features")[images]
        of_texts = stages.text_store.matrix("features")[texts]
        self.image_ranks, self.best_images = _contrastive_ranks(of_texts, of_images, self.image_of, top_k)
        self.text_ranks, self.best_texts = _contrastive_ranks(of_images, of_texts, self.texts_of, top_k)
        number = len(texts)
        of_queries = np.arange(len(images))[:, None] * number + self.best_texts
        of_candidates = self.best_images * number + np.arange(number)[:, None]
        self.codes = np.unique(np.concatenate([of_queries.ravel(), of_candidates.ravel()]))

    def pairs(self) -> np.ndarray:
        """Images and texts, as the stages number them, of the candidates, `(2, pairs)`."""
        image_of_pair, text_of_pair = np.divmod(self.codes, len(self.texts))
        return np.stack([self.images[image_of_pair], self.texts[text_of_pair]])

    def rerank(self, scores: np.ndarray) -> None:
        """Orders the candidates by scores, those of `pairs`."""
        number = len(self.texts)

        def score(codes: np.ndarray) -> np.ndarray:
            return scores[np.searchsorted(self.codes, codes)]

        for text in range(number):
            found = score(self.best_images[text] * number + text)
            _rerank(self.image_ranks[text], self.image_of[text], self.best_images[text], found)
        for image in range(len(self.images)):
            found = score(image * number + self.best_texts[image])
            _rerank(self.text_ranks[image], self.texts_of[image], self.best_texts[image], found)

    def found(self) -> _Found:
        return _Found(_best(self.image_ranks), _best(self.text_ranks), _chance(self.gallery))


def _contrastive_ranks(
    queries: np.ndarray, candidates: np.ndarray, right: Sequence[np.ndarray], top_k: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """For each query the ranks of its right candidates, and the numbers of its `top_k`, in ascending order."""
    found, best = [], []
    top_k = min(top_k, len(candidates))
    for start, scores in products(queries, candidates, _MEMORY * 2**20 // 2):
        ranked = ranks(scores)
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


def _found_by_scores(matches: Matches, gallery: _Gallery, images: np.ndarray) -> _Found:
    """Of a gallery all pairs of which were scored."""
    start, stop = matches.candidates.offsets[[images[0], images[-1] + 1]]
    scores = matches.scores[start:stop].reshape(len(images), -1)
    at_once = rows_at_once(max(scores.shape), _MEMORY * 2**20 // 2)
    image_ranks, text_ranks = [], []
    for begin in range(0, len(gallery.texts), at_once):
        part = slice(begin, begin + at_once)
        ranked = ranks(scores[:, part].T)
        image_ranks.append(ranked[np.arange(len(ranked)), gallery.image_of_text[part]])
    texts_of = gallery.texts_of()
    for begin in range(0, len(images), at_once):
        ranked = ranks(scores[begin : begin + at_once])
        text_ranks += [row[texts_of[begin + offset]].min() for offset, row in enumerate(ranked)]
    return _Found(np.concatenate(image_ranks), np.array(text_ranks), _chance(gallery))


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
