# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The rows of a fine-tuning, opened and looked at before anything is written."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..config_tree import merge_trees
from ..data.benchmarks.rows import Benchmark, CaptionRow, RetrievalRow, TextRow, TokenCaptionRow, TokenIds
from ..data.open_data import open_tree
from ..errors import BadInputError
from ..evaluation.measuring import check_texts
from ..evaluation.metrics.regression import regression_metrics
from .finetune_config import FinetuneConfig
from .targets import AnswerTarget, ClassTarget
from .tasks import Task


@dataclass(frozen=True)
class Splits:
    """
    Rows of a task.

    Args:
        train ([`Benchmark`]): What is learned from.
        validation, test ([`Benchmark`], *optional*): What is measured on.
    """

    train: Benchmark
    validation: Benchmark | None = None
    test: Benchmark | None = None

    def named(self) -> dict[str, Benchmark]:
        """Key in the section `data` -> rows, of those that there are."""
        found = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: data for name, data in found.items() if data is not None}


def open_splits(config: FinetuneConfig) -> Splits:
    """
    Opens the rows that a configuration names.

    Raises:
        BadInputError: If data cannot be read, is not for the task, hides its labels, or has empty texts.
    """
    found = {}
    for name in ("train", "validation", "test"):
        tree = getattr(config.data, name)
        if tree is not None:
            found[name] = _open(config, name, merge_trees(config.data.common, tree))
    return Splits(**found)


def _open(config: FinetuneConfig, name: str, tree: dict[str, Any]) -> Benchmark:
    key, task = f"data.{name}", config.task
    if "benchmark" in tree:
        data = open_tree({"split": name} | tree, task.evaluation, key=key)
    else:
        named = {"name": Path(str(tree.get("path", name))).stem}
        data = open_tree(named | tree, task.evaluation, key=key)
        if "split" not in tree:  # which rows of a file it is, only the configuration knows
            data = replace(data, split=name)
    check_rows(task, data, key)
    return data


def check_rows(task: Task, data: Benchmark, key: str) -> None:
    """
    Whether rows are those of a task.

    Args:
        task ([`Task`]): Which.
        data ([`Benchmark`]): The rows.
        key (`str`): Where they are named, for messages.

    Raises:
        BadInputError: If they are for another task, labels are hidden, texts empty, or captions come as token ids
            where the task cannot take them.
    """
    numbers = data.task == "text-regression"
    wrong_kind = task.rows == (TextRow,) and task.labels is not None and numbers != (task.labels == "values")
    if wrong_kind or not all(isinstance(row, task.rows) for row in data):
        accepted = " or ".join(kind.__name__ for kind in task.rows)
        kind = {"values": " with numbers", "classes": " with classes"}.get(task.labels or "", "")
        raise BadInputError(f"{key} is for {data.task}; the task {task.name!r} accepts rows of {accepted}{kind}.")
    if task.name != "masked-lm":  # which makes its own labels
        data.require_labels()
    tokens, texts = token_ids(data), _texts(data)
    if tokens and task.rows == (RetrievalRow,) and texts:
        raise BadInputError(f"{key} has captions as texts and {len(tokens)} as token ids; accepted are all or none.")
    if tokens and RetrievalRow in task.rows and task.name != "retrieval":
        raise BadInputError(f"{key} has captions as token ids; the task {task.name!r} accepts captions as texts.")
    check_texts(texts, data)


def token_ids(data: Benchmark) -> list[TokenIds]:
    """Captions and object tags that come as token ids, not as texts."""
    found: list[Any] = []
    for row in data:
        if isinstance(row, RetrievalRow):
            found += row.captions
        elif isinstance(row, TokenCaptionRow):
            found += [row.tokens, row.objects]
    return [ids for ids in found if isinstance(ids, TokenIds)]


def check_number(rows: int, needed: int) -> None:
    """Raises BadInputError if the training rows (or pictures) are fewer than a step of all processes takes."""
    if rows < needed:
        raise BadInputError(
            f"data.train has {rows} rows, or pictures with data.rows_per_image, fewer than the {needed} of a batch "
            "over all processes; lower data.batch_size or give it more."
        )


def check_labels(task: Task, data: Benchmark, key: str, label2id: Mapping[str, int]) -> None:
    """
    Whether the labels of rows are those of a model, and can be measured.

    Args:
        task ([`Task`]): Which.
        data ([`Benchmark`]): The rows.
        key (`str`): Where they are named, for messages.
        label2id (mapping of `str` to `int`): The model's classes.

    Raises:
        BadInputError: If they have classes that the model has not, no answer of its vocabulary, or are all the same
            number.
    """
    if task.labels == "classes":
        ClassTarget(data, label2id)
    elif task.labels == "answers":
        target = AnswerTarget(label2id)
        if not any(target(row).any() for row in data):
            raise BadInputError(
                f"{key} has {len(data)} questions, and no answer of the model's ({', '.join(list(label2id)[:5])}, "
                "...) to any of them; accepted are questions that it has answers to."
            )
    elif task.labels == "values" and key != "data.train":
        labels = np.array([row.label for row in data])  # type: ignore[attr-defined]
        try:
            regression_metrics(labels, labels)
        except BadInputError as error:
            raise BadInputError(f"{key} cannot be measured on: {error}") from error


def _texts(data: Benchmark) -> list[str]:
    """Captions of pictures, or what a row says itself; an empty text for a picture without a caption."""
    texts: list[Any] = []
    for row in data:
        if isinstance(row, RetrievalRow):
            texts += row.captions or ("",)
        else:
            texts += row.references if isinstance(row, CaptionRow) else row.texts[:1]
    return [text for text in texts if isinstance(text, str)]
