# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""What a head learns to predict of a row: classes, numbers, scores of answers; and the names of the classes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..data.benchmarks.rows import Benchmark, Row, VqaRow
from ..data.task_collators import Target
from ..errors import BadInputError
from ..evaluation.metrics.vqa import process_answer, soft_targets


class ClassTarget:
    """
    A row's `label` as a class of the model: that of the same name, or where the data has numbers only, number.

    Args:
        data ([`Benchmark`]): Whose labels they are.
        label2id (mapping of `str` to `int`): The model's classes.

    Raises:
        BadInputError: If the data has classes that the model has not.
    """

    def __init__(self, data: Benchmark, label2id: Mapping[str, int]):
        names, known = class_names(data), dict(label2id)
        if data.label_names is None:
            known = {f"LABEL_{number}": number for number in label2id.values()}
        outside = [name for name in names if name not in known]
        if outside:
            raise BadInputError(
                f"Data {data.name!r} has the label {outside[0]!r} in its split {data.split!r}, which is none of the "
                f"model's: {', '.join(list(label2id)[:20])}."
            )
        self.classes = [known[name] for name in names]

    def __call__(self, row: Row) -> int:
        return self.classes[row.label]  # type: ignore[attr-defined]


class ValueTarget:
    """A row's `label` as a number."""

    def __call__(self, row: Row) -> float:
        return float(row.label)  # type: ignore[attr-defined]


class AnswerTarget:
    """
    Scores (`(answers,)`, 0 to 1) of every answer of the vocabulary to a row's question: those of
    [`~hf_unimo.evaluation.metrics.vqa.soft_targets`], or the weights that the data gives instead of people's answers.

    Args:
        label2id (mapping of `str` to `int`): Answer -> class.
    """

    def __init__(self, label2id: Mapping[str, int]):
        self.label2id = dict(label2id)

    def __call__(self, row: VqaRow) -> np.ndarray:
        if row.answers:
            return soft_targets(row.answers, self.label2id)
        scores = np.zeros(len(self.label2id), dtype=np.float32)
        for answer, weight in row.soft_answers:
            place = self.label2id.get(process_answer(answer))
            if place is not None:
                scores[place] += weight
        return scores.clip(0, 1)


def make_target(labels: str | None, data: Benchmark, label2id: Mapping[str, int]) -> Target | None:
    """
    What a head learns to predict of a row.

    Args:
        labels (`str`, *optional*): As of a [`~hf_unimo.training.tasks.Task`].
        data ([`Benchmark`]): The rows.
        label2id (mapping of `str` to `int`): The model's classes or answers.

    Raises:
        BadInputError: If the data has classes that the model has not.
    """
    if labels == "values":
        return ValueTarget()
    answers: Any = AnswerTarget  # of rows of `VqaRow` alone
    return answers(label2id) if labels == "answers" else ClassTarget(data, label2id) if labels == "classes" else None


def class_names(data: Benchmark) -> list[str]:
    """Names of a data set's classes, in the order of their numbers; `LABEL_0`, ... where it names none."""
    if data.label_names is not None:
        return list(data.label_names)
    return numbered_names(1 + max(row.label for row in data))  # type: ignore[attr-defined]


def numbered_names(number: int) -> list[str]:
    """What transformers calls classes without names."""
    return [f"LABEL_{label}" for label in range(number)]


def answer_vocabulary(data: Benchmark, most: int, least_count: int) -> list[str]:
    """
    The answers that a classifier chooses from: of each question the one that most people gave, as VQA accuracy
    compares them, counted over the questions.

    Args:
        data ([`Benchmark`]): Rows of `VqaRow`.
        most (`int`): So many answers at most, the most frequent ones.
        least_count (`int`): Questions that an answer has at least.

    Returns:
        Answers by frequency, on ties by the alphabet.

    Raises:
        BadInputError: If fewer than two are left.
    """
    counts: Counter[str] = Counter()
    for row in data:
        if answer := process_answer(_usual_answer(row) or ""):
            counts[answer] += 1
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    found = [answer for answer, count in ordered if count >= least_count][:most]
    if len(found) < 2:
        raise BadInputError(
            f"Data {data.name!r} has {len(found)} answers that at least {least_count} questions have; a classifier "
            "needs two. Lower options.min_answer_count."
        )
    return found


def describe_difference(names: Sequence[str], known: Sequence[str]) -> str:
    """In what the classes of the data and of a checkpoint differ."""
    more = [name for name in names if name not in known]
    less = [name for name in known if name not in names]
    parts = [f"the data has {_some(more)}, which it has not"] if more else []
    parts += [f"it has {_some(less)}, which the data has not"] if less else []
    return " and ".join(parts) or "their order differs"


def _some(names: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(map(repr, names[:most]))
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _usual_answer(row: VqaRow) -> str | None:
    if row.multiple_choice_answer:
        return row.multiple_choice_answer
    if row.answers:
        return Counter(row.answers).most_common(1)[0][0]
    return max(row.soft_answers, key=lambda found: found[1])[0] if row.soft_answers else None
