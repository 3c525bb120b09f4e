# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Classes of pictures without training for them: by prompts, or by a linear classifier on frozen features."""

import warnings
from collections.abc import Sequence

import numpy as np
from PIL import Image

from ..data.benchmarks.rows import Benchmark, ImageLabelRow
from ..errors import BadInputError
from ..retrieval.adapters import PairAdapter
from .measuring import Options, check_texts, count_truncated, finish, intervals, run_rows, start_protocol
from .prompts import PROMPT_SETS, check_prompts
from .protocol import Result


TASK, PROBE_TASK = "zero-shot-classification", "linear-probe"


def evaluate_zero_shot(
    adapter: PairAdapter,
    data: Benchmark,
    *,
    prompts: Sequence[str] = PROMPT_SETS["photo"],
    prompt_set: str | None = None,
    options: Options | None = None,
) -> Result:
    """
    Accuracy of the class whose prompts score best.

    With features, those of a class are the mean of its prompts' features, each of length one (Radford et al., 2021,
    section 3.1.4). A cross encoder's score of a class is the mean of its prompts' scores. Underscores in class names
    become blanks.

    Args:
        adapter ([`PairAdapter`]): The model.
        data ([`Benchmark`]): Its rows are `ImageLabelRow`, and it has `label_names`.
        prompts (sequence of `str`): Templates with `{}`.
        prompt_set (`str`, *optional*): What they are called.
        options ([`Options`], *optional*): How it runs.

    Returns:
        [`Result`] with `accuracy`, `top5_accuracy` (with more than five classes) and `mean_class_accuracy`, the mean
        over the classes that occur. Chance is that of uniform guesses.

    Raises:
        BadInputError: If the data are none of labelled pictures, a label is hidden, the classes have no names or two
            have the same, or no row can be used.
    """
    options = options or Options()
    prompts = tuple(prompts)
    check_prompts(prompts, prompt_set or "this set")
    names = _class_names(data)
    texts = [template.replace("{}", name) for name in names for template in prompts]
    truncated = count_truncated(adapter.texts, texts)
    classes = _class_features(adapter, texts, len(names)) if adapter.features else None

    def score(images: list[Image.Image]) -> np.ndarray:
        if classes is not None:
            return adapter.image_features(images) @ classes.T
        pairs = np.repeat(np.arange(len(images)), len(texts))
        return adapter.match(images, pairs, texts * len(images)).reshape(len(images), len(names), -1).mean(2)

    scores, kept, failed = run_rows("zero-shot", data, lambda row: row.image.open(), score, options)
    labels = _labels(data)[kept]
    figures = intervals(
        _Accuracies(scores, labels).of,
        len(labels),
        options,
        {"accuracy": 1 / len(names), "top5_accuracy": 5 / len(names)},
    )
    stage = "contrastive" if adapter.features else "matching"
    protocol = start_protocol(
        data,
        options,
        adapter.model,
        adapter.images,
        adapter.texts,
        rows=len(kept),
        images=len(kept),
        texts=len(texts),
        truncated_texts=truncated,
        prompts=list(prompts),
        prompt_set=prompt_set,
        scoring=f"{adapter.scoring[stage]}; mean over the prompts of a class",
    )
    failures = [(data[number].id, reason) for number, reason in failed]
    return finish(TASK, adapter.model, options, protocol, figures, failures)


def evaluate_linear_probe(
    adapter: PairAdapter,
    train: Benchmark,
    data: Benchmark,
    *,
    strength: float = 1.0,
    options: Options | None = None,
) -> Result:
    """
    Accuracy of a logistic regression (scikit-learn, extra `eval`) on the image features of a frozen model. Features
    are scaled to mean 0 and variance 1 of the training rows.

    Args:
        adapter ([`PairAdapter`]): The model; it needs features.
        train, data ([`Benchmark`]): What is learnt from and what is scored: `ImageLabelRow`, the same classes.
        strength (`float`, defaults to 1): Inverse of the L2 penalty (`C` of scikit-learn). It is not searched for.
        options ([`Options`], *optional*): How it runs.

    Returns:
        [`Result`] as of [`evaluate_zero_shot`].

    Raises:
        BadInputError: If the model has no features, the data are none of labelled pictures, the classes differ, both
            splits are the same, only one class occurs, or no row can be used.
    """
    options = options or Options()
    if not adapter.features:
        raise BadInputError(f"{type(adapter.model).__name__} has no image features; a linear probe needs them.")
    if not strength > 0:
        raise BadInputError(f"The strength of the probe is {strength}; accepted are numbers above 0.")
    names = _class_names(data)
    if _class_names(train) != names:
        raise BadInputError(
            f"Split {train.split!r} has the classes {', '.join(_class_names(train)[:10])} and split {data.split!r} "
            f"{', '.join(names[:10])}; accepted are the same classes in the same order."
        )
    if (train.split, train.split_hash) == (data.split, data.split_hash):
        raise BadInputError(f"The probe would learn from split {data.split!r}, which it is scored on; name another.")
    learnt, learnt_rows, _ = _features(adapter, train, "train", options)
    features, kept, failed = _features(adapter, data, "test", options)
    scores, converged = _probe(learnt, _labels(train)[learnt_rows], features, len(names), strength)
    figures = intervals(_Accuracies(scores, _labels(data)[kept]).of, len(kept), options, {"accuracy": 1 / len(names)})
    protocol = start_protocol(
        data,
        options,
        adapter.model,
        adapter.images,
        None,
        rows=len(kept),
        images=len(kept),
        scoring=f"logistic regression on standardised contrastive image features, C={strength:g}, learnt from "
        f"{len(learnt_rows)} rows of split {train.split!r} ({train.split_hash})",
    )
    notes = [] if converged else ["The regression stopped before it had converged."]
    failures = [(data[number].id, reason) for number, reason in failed]
    return finish(PROBE_TASK, adapter.model, options, protocol, figures, failures, notes)


class _Accuracies:
    """Accuracies of `scores` (rows, classes) on any of the rows."""

    def __init__(self, scores: np.ndarray, labels: np.ndarray):
        better = scores > np.take_along_axis(scores, labels[:, None], 1)
        # Of equal scores the class with the lower number wins, as for argmax.
        equal = scores == np.take_along_axis(scores, labels[:, None], 1)
        self.ranks = better.sum(1) + (equal & (np.arange(scores.shape[1]) < labels[:, None])).sum(1)
        self.labels, self.classes = labels, scores.shape[1]

    def of(self, rows: np.ndarray) -> dict[str, float]:
        ranks, labels = self.ranks[rows], self.labels[rows]
        occurring = np.bincount(labels, minlength=self.classes)
        right = np.bincount(labels[ranks == 0], minlength=self.classes)
        top5 = {"top5_accuracy": float(np.mean(ranks < 5))} if self.classes > 5 else {}
        per_class = right[occurring > 0] / occurring[occurring > 0]
        return {"accuracy": float(np.mean(ranks == 0)), **top5, "mean_class_accuracy": float(per_class.mean())}


def _class_names(data: Benchmark) -> list[str]:
    if not all(isinstance(row, ImageLabelRow) for row in data):
        raise BadInputError(f"Data {data.name!r} is for {data.task}; accepted are pictures with a class.")
    if not data.label_names:
        raise BadInputError(f"Data {data.name!r} has classes without names; accepted are classes with names.")
    data.require_labels()
    names = [" ".join(name.replace("_", " ").split()) for name in data.label_names]
    check_texts(names, data)
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise BadInputError(f"Data {data.name!r} has two classes named {repeated!r}; accepted are different names.")
    return names


def _labels(data: Benchmark) -> np.ndarray:
    return np.array([row.label for row in data])


def _class_features(adapter: PairAdapter, texts: list[str], classes: int) -> np.ndarray:
    features = adapter.text_features(texts).reshape(classes, len(texts) // classes, -1)
    means = _unit(features).mean(1)
    return _unit(means)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _features(
    adapter: PairAdapter, data: Benchmark, part: str, options: Options
) -> tuple[np.ndarray, np.ndarray, list[tuple[int, str]]]:
    return run_rows(f"probe-{part}", data, lambda row: row.image.open(), adapter.image_features, options)


def _probe(
    features: np.ndarray, labels: np.ndarray, queries: np.ndarray, classes: int, strength: float
) -> tuple[np.ndarray, bool]:
    """Log-probabilities (queries, classes), -inf for classes that were not learnt, and whether it converged."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    known = np.unique(labels)
    if len(known) < 2:
        raise BadInputError("The rows to learn from have one class; a probe needs at least two.")
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        probe.fit(features.astype(np.float64), labels)
    scores = np.full((len(queries), classes), -np.inf)
    scores[:, known] = probe.predict_log_proba(queries.astype(np.float64))
    return scores, not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
