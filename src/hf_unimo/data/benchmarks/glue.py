# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""GLUE: the Parquet files of the Hub (`nyu-mll/glue`, one configuration a task) and the old TSV files."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets

from ...errors import BadInputError
from .reading import (
    Request,
    check_class_names,
    check_columns,
    checked,
    label_index,
    missing_field,
    read_text_lines,
    table_rows,
)
from .rows import Benchmark, TextRow


@dataclass(frozen=True)
class GlueTask:
    """
    A task of GLUE.

    Args:
        columns: The texts in the table on the Hub, one or two. The label is `label`, the row's number `idx`.
        labels: The class names in the order of their numbers; None for a number from 0 to 5.
        metrics: What is reported.
        folder: The folder of the old TSV files.
        tsv_columns: The texts there, if they are called differently,
        tsv_label: the label,
        tsv_words: whether it is a name, not a number,
        tsv_id: and the row's number, where there is one; otherwise lines are counted.
    """

    columns: tuple[str, ...]
    labels: tuple[str, ...] | None
    metrics: tuple[str, ...]
    folder: str
    tsv_columns: tuple[str, ...] = ()
    tsv_label: str = "label"
    tsv_words: bool = False
    tsv_id: str = "index"


ENTAILMENT = ("entailment", "neutral", "contradiction")
PAIR = ("sentence1", "sentence2")
TASKS = {
    "cola": GlueTask(("sentence",), ("unacceptable", "acceptable"), ("matthews_correlation",), "CoLA"),
    "sst2": GlueTask(("sentence",), ("negative", "positive"), ("accuracy",), "SST-2"),
    "mrpc": GlueTask(
        PAIR,
        ("not_equivalent", "equivalent"),
        ("accuracy", "f1"),
        "MRPC",
        tsv_columns=("#1 String", "#2 String"),
        tsv_label="Quality",
    ),
    "qqp": GlueTask(
        ("question1", "question2"),
        ("not_duplicate", "duplicate"),
        ("accuracy", "f1"),
        "QQP",
        tsv_label="is_duplicate",
        tsv_id="id",
    ),
    "stsb": GlueTask(PAIR, None, ("pearson", "spearman"), "STS-B", tsv_label="score"),
    "mnli": GlueTask(
        ("premise", "hypothesis"),
        ENTAILMENT,
        ("accuracy",),
        "MNLI",
        tsv_columns=PAIR,
        tsv_label="gold_label",
        tsv_words=True,
    ),
    "qnli": GlueTask(
        ("question", "sentence"), ("entailment", "not_entailment"), ("accuracy",), "QNLI", tsv_words=True
    ),
    "rte": GlueTask(PAIR, ("entailment", "not_entailment"), ("accuracy",), "RTE", tsv_words=True),
    "wnli": GlueTask(PAIR, ("not_entailment", "entailment"), ("accuracy",), "WNLI"),
    "ax": GlueTask(
        ("premise", "hypothesis"),
        ENTAILMENT,
        ("matthews_correlation",),
        "AX",
        tsv_columns=PAIR,
        tsv_label="",
    ),
}
# Split -> the old file.
SPLITS = {"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"}
TASK_SPLITS = {
    "mnli": {
        "train": "train.tsv",
        "validation_matched": "dev_matched.tsv",
        "validation_mismatched": "dev_mismatched.tsv",
        "test_matched": "test_matched.tsv",
        "test_mismatched": "test_mismatched.tsv",
    },
    "ax": {"test": "diagnostic.tsv"},
}
COLA_COLUMNS = ("source", "label", "star", "sentence")  # of the two files without a header


def read_glue(request: Request, *, task: str, broken_lines: str = "refuse") -> Benchmark[TextRow]:
    """
    One task of GLUE. The labels of its test splits are hidden (-1 on the Hub, no column in TSV files).

    Texts are taken as they are, empty ones too (QQP has some; `counts` tells how many).

    Args:
        request: `path` is a table, a Parquet file, a folder with `<split>-00000-of-00001.parquet` in it or in
            `<task>/`, or the id `nyu-mll/glue`; or a TSV file, or a folder with `train.tsv`, `dev.tsv`, ... in it or
            in the folder of the task's usual name (`SST-2/`). MNLI's splits are `validation_matched`,
            `validation_mismatched` and the same for `test`.
        task (`str`): One of `TASKS`.
        broken_lines (`str`, defaults to `"refuse"`): `"drop"` leaves out lines of a TSV file with another number of
            fields than the header (old copies of QQP have some), and the protocol counts them.

    Raises:
        BadInputError: If a file, split or field is missing, a label is unknown, or its classes have another order.
    """
    if broken_lines not in ("refuse", "drop"):
        raise BadInputError(f"`broken_lines` is {broken_lines!r}; accepted are 'refuse' and 'drop'.")
    spec = TASKS[task]
    files = TASK_SPLITS.get(task, SPLITS)
    split = request.resolve_split(files)
    protocol: dict[str, Any] = {"metrics": list(spec.metrics), "texts": list(spec.columns)}
    if task == "mnli":
        protocol["report"] = "matched and mismatched, both"
    table = request.table(split, config=task)
    rows: Iterator[TextRow]
    if table is not None:
        rows = _from_table(f"The table of {request.name!r}", table, spec)
        protocol["source"] = "table"
    else:
        file = request.file(files[split], f"{spec.folder}/{files[split]}", f"{task}/{files[split]}")
        protocol |= {"source": file.name, "dropped_lines": 0}
        headerless = task == "cola" and split != "test"
        rows = _from_tsv(file, spec, split, COLA_COLUMNS if headerless else None, broken_lines, protocol)
    return request.benchmark(
        rows,
        split=split,
        task="text-regression" if spec.labels is None else "text-classification",
        protocol=protocol,
        label_names=spec.labels,
    )


def _from_table(place: str, table: datasets.Dataset, spec: GlueTask) -> Iterator[TextRow]:
    columns = [*spec.columns, "label", "idx"]
    check_columns(table, columns, place)
    if spec.labels is not None:
        check_class_names(table, "label", spec.labels, place)
    for number, row in enumerate(table_rows(table, columns)):
        where = f"{place}, row {number},"
        checked(row, dict.fromkeys(spec.columns, str) | {"idx": int}, where)
        texts = [row[column] for column in spec.columns]
        hidden = row["label"] in (None, -1)
        label = None if hidden else _number(row["label"], spec, where)
        yield TextRow(str(row["idx"]), texts[0], texts[1] if len(texts) > 1 else None, label)


def _from_tsv(
    file: Path, spec: GlueTask, split: str, header: tuple[str, ...] | None, broken: str, protocol: dict[str, Any]
) -> Iterator[TextRow]:
    texts = spec.tsv_columns or spec.columns
    has_label = bool(spec.tsv_label) and not split.startswith("test")

    def drop():
        protocol["dropped_lines"] += 1

    for place, row in read_tsv(file, header, drop if broken == "drop" else None):
        for column in [*texts, spec.tsv_label] if has_label else texts:
            if column not in row:
                raise BadInputError(missing_field(column, row, file.name))
        label: int | float | None = None
        if has_label and spec.tsv_words and spec.labels is not None:
            label = label_index(row[spec.tsv_label], spec.labels, place)
        elif has_label:
            label = _number(row[spec.tsv_label], spec, place)
        number = row.get(spec.tsv_id, place.rsplit(" ", 1)[1])
        yield TextRow(number, row[texts[0]], row[texts[1]] if len(texts) > 1 else None, label)


def read_tsv(
    file: Path, header: tuple[str, ...] | None = None, drop: Callable[[], None] | None = None
) -> Iterator[tuple[str, dict[str, str]]]:
    """
    Place ("dev.tsv, line 2") and fields of each line. A quotation mark is a character like others.

    Args:
        file: The file.
        header (*optional*): The columns, if the first line does not name them.
        drop (*optional*): Called for each line with another number of fields, which is left out.

    Raises:
        BadInputError: For such a line, without `drop`.
    """
    columns = header
    for number, line in read_text_lines(file):
        if not line:
            continue
        fields = line.split("\t")
        if columns is None:
            columns = tuple(fields)
            if len(set(columns)) < len(columns):
                raise BadInputError(f"{file.name} has the columns {', '.join(columns)}; accepted is each name once.")
        elif len(fields) == len(columns):
            yield f"{file.name}, line {number}", dict(zip(columns, fields))
        elif drop is not None:
            drop()
        else:
            raise BadInputError(
                f"{file.name}, line {number}, has {len(fields)} fields; accepted are {len(columns)} "
                f"({', '.join(columns)})."
            )


def _number(found: Any, spec: GlueTask, place: str) -> int | float:
    """The label, if it is a number that the task knows."""
    try:
        value = float(found)
    except (TypeError, ValueError):
        value = math.nan
    if spec.labels is None:
        if 0 <= value <= 5:
            return value
        raise BadInputError(f"{place} has the label {found!r}; accepted are numbers from 0 to 5.")
    if value in range(len(spec.labels)):
        return int(value)
    known = ", ".join(f"{index} ({name})" for index, name in enumerate(spec.labels))
    raise BadInputError(f"{place} has the label {found!r}; accepted are {known}.")
