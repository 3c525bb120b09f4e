# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""A user's own data by column names, as the rows that evaluators take."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import datasets

from ..errors import BadInputError
from .benchmarks.nlvr2 import LABELS
from .benchmarks.rows import (
    Benchmark,
    CaptionRow,
    EntailmentRow,
    ImageLabelRow,
    Nlvr2Row,
    Picture,
    RetrievalRow,
    Row,
    TextRow,
    VqaRow,
)
from .captions import caption_texts
from .images import BadRowError
from .locating import FoundData, find_data
from .sources import (
    SourceOptions,
    check_features,
    load_data,
    matching_rows,
    missing_column,
    unreadable_data,
)


KINDS = {
    **dict.fromkeys(("retrieval", "rerank", "matching", "vqa", "entailment", "nlvr2", "captioning"), "pairs"),
    **dict.fromkeys(("zero-shot-classification", "linear-probe", "image-classification"), "images"),
    **dict.fromkeys(("text-classification", "regression", "masked-words"), "text"),
}
"""Task -> what it reads of a row, as `kind` of a source; masked words read images where `columns` names one."""

MORE_COLUMNS = ("label", "text_pair", "answers", "second_image", "group")
"""What `columns` may name beside `image` and `text`."""

_HIDDEN = (None, -1)
_TRUTH = {"false": 0, "true": 1, "0": 0, "1": 1}


@dataclass(frozen=True)
class _Table:
    """The rows of a source, its pictures not decoded."""

    options: SourceOptions
    dataset: datasets.Dataset
    rows: list[int]
    folder: str
    _cells: dict[str, datasets.Dataset] = field(default_factory=dict)

    def read(self, columns: list[str]) -> Iterator[dict[str, Any]]:
        """Some columns of each row."""
        chosen = self.dataset.select_columns(columns)
        for row in self.rows:
            yield chosen[row]

    def cells(self, column: str) -> datasets.Dataset:
        """A column of pictures, as they are in the file."""
        if column not in self._cells:
            chosen = self.dataset.select_columns([column])
            if isinstance(self.dataset.features[column], datasets.Image):
                chosen = chosen.cast_column(column, datasets.Image(decode=False))
            self._cells[column] = chosen
        return self._cells[column]

    def picture(self, row: int, column: str | None = None) -> Picture:
        """The picture of row `row` of the file; by default that of the image column."""
        column = column or self.options.image_column
        assert column is not None
        cells = self.cells(column)
        value = cells[row][column]
        path = value.get("path") if isinstance(value, dict) else value
        name = os.path.basename(path) if isinstance(path, str) and path else f"row {row}"
        if isinstance(path, str) and not (isinstance(value, dict) and value.get("bytes") is not None):
            return Picture(name, path if "://" in path else os.path.join(self.folder, path))
        return Picture(name, None, cells, row, column)


def open_own_data(
    options: SourceOptions,
    task: str,
    columns: Mapping[str, str] | None = None,
    *,
    folder: str | os.PathLike = ".",
    missing: str = "refuse",
) -> Benchmark:
    """
    Reads a source as rows of a task.

    Rows of retrieval and captioning that show the same picture (the same path, or the same bytes) are one image with
    several captions. Classes that are texts are numbered in alphabetical order over all rows of the file, whatever
    `options.where` says; the label -1, or none, is a hidden one. Labels of NLVR2 are true and false, 1 and 0, or these
    as texts in any case.

    Args:
        options ([`~hf_unimo.data.sources.SourceOptions`]): Which and how. Its `kind` does not count: the task says it.
            `captions: join` makes one text of several.
        task (`str`): A key of `KINDS`.
        columns (`dict`, *optional*): The columns of `label` (default "label"), `answers` (default "answers": a text, a
            list of them, or a list of objects with `answer`), `second_image` (default "second_image": of NLVR2, the
            right one), `group` (default: none; of NLVR2, texts or integers: rows of a group count as one for the
            consistency) and `text_pair` (default: none).
        folder (defaults to "."): What `options.path` is relative to.
        missing (`str`, defaults to `"refuse"`): `"drop"` leaves out rows whose picture is a path where no file is.

    Raises:
        BadInputError: If there is no such source or column, or texts are empty, labels of the wrong type, or pictures
            missing; the sentence says how many.
    """
    columns = {"label": "label", "answers": "answers", "second_image": "second_image", **(columns or {})}
    kind = "pairs" if task == "masked-words" and "image" in options.columns else KINDS[task]
    table = _open(replace(options, kind=kind), Path(folder))
    made = _Maker(table, columns)
    kind_of_rows, maker = made.makers(task)
    rows = list(maker())
    rows, lost = _without_missing(options, rows, missing)
    protocol = {"path": os.path.basename(options.place.rstrip("/")), "columns": {**options.columns, **made.used}}
    if options.where:
        protocol["where"] = options.where
    return Benchmark(options.name, options.split, kind_of_rows, tuple(rows), protocol, made.label_names, lost)


def _open(options: SourceOptions, folder: Path) -> _Table:
    found: FoundData = find_data(options, folder)
    try:
        dataset = load_data(options, found)
    except BadInputError:
        raise
    except Exception as error:  # builders of `datasets` raise what the format's reader raises, or wrap it
        raise unreadable_data(options, found, error) from error
    if not len(dataset):
        raise BadInputError(f"Source {options.name!r} ({options.place}) has no rows.")
    check_features(options, dataset.features)
    return _Table(options, dataset, matching_rows(dataset, options).tolist(), found.folder)


class _Maker:
    """From the rows of a table to those of a task."""

    def __init__(self, table: _Table, columns: Mapping[str, str]):
        self.table, self.columns = table, columns
        self.used: dict[str, str] = {}
        self.label_names: tuple[str, ...] | None = None

    def makers(self, task: str) -> tuple[str, Callable[[], Iterator[Row]]]:
        """What the rows are for, and what makes them."""
        if task in ("retrieval", "rerank", "matching") or (task == "masked-words" and self.table.options.image_column):
            return "retrieval", self._retrieval
        if task == "captioning":
            return "captioning", self._captioning
        if task == "vqa":
            return "vqa", self._questions
        if task == "entailment":
            return "entailment", self._entailment
        if task == "nlvr2":
            return "nlvr2", self._two_pictures
        if KINDS[task] == "images":
            return "image-classification", self._pictures
        if task == "regression":
            return "text-regression", partial(self._text, numbers=True)
        return "text-classification", partial(self._text, labelled=task != "masked-words")

    def _of_pictures(self) -> dict[str, tuple[int, list[str]]]:
        """Each picture's first row and all its captions."""
        groups: dict[str, tuple[int, list[str]]] = {}
        for row, texts in zip(self.table.rows, self._captions()):
            groups.setdefault(self._key(row), (row, []))[1].extend(texts)
        return groups

    def _captioning(self) -> Iterator[Row]:
        groups = self._of_pictures()
        pictures = [self.table.picture(row) for row, _ in groups.values()]
        times = Counter(picture.name for picture in pictures)
        for (key, (row, texts)), picture in zip(groups.items(), pictures):
            # Folders may hold pictures of the same name.
            image_id = picture.name if times[picture.name] == 1 else f"{picture.name} (row {row})"
            yield CaptionRow(f"row {row} ({_digest(key, *texts)})", picture, image_id, tuple(texts))

    def _retrieval(self) -> Iterator[Row]:
        for key, (row, texts) in self._of_pictures().items():
            identifiers = tuple(_digest(text) for text in texts)
            yield RetrievalRow(f"row {row} ({key})", self.table.picture(row), tuple(texts), identifiers)

    def _questions(self) -> Iterator[Row]:
        answers = self._cells("answers")
        for row, text, cell in zip(self.table.rows, self._one_text(), answers):
            found = tuple(_answers(cell))
            yield VqaRow(self._id(row, text, found), row, text, self.table.picture(row), found)

    def _entailment(self) -> Iterator[Row]:
        for row, text, label in zip(self.table.rows, self._one_text(), self._labels()):
            if label is None:
                raise BadInputError(self._hidden())
            yield EntailmentRow(self._id(row, text, label), self.table.picture(row), text, label)

    def _two_pictures(self) -> Iterator[Row]:
        right = self._column("second_image")
        as_image = replace(self.table.options, kind="images", columns={"image": right}, where={}, group_by=None)
        check_features(as_image, self.table.dataset.features)
        groups: Iterator[Any] = iter([None] * len(self.table.rows))
        if "group" in self.columns:
            groups = self._cells("group")
        for row, text, label, group in zip(self.table.rows, self._one_text(), self._truths(), groups):
            if "group" in self.columns and (isinstance(group, bool) or not isinstance(group, str | int)):
                raise BadInputError(
                    f"Source {self.table.options.name!r} has in row {row} the group {group!r}; accepted are texts and "
                    "integers."
                )
            pictures = self.table.picture(row), self.table.picture(row, right)
            name = self._id(row, self._key(row, right), text, label, group)
            yield Nlvr2Row(name, *pictures, text, label, None if group is None else str(group))

    def _pictures(self) -> Iterator[Row]:
        for row, label in zip(self.table.rows, self._labels()):
            yield ImageLabelRow(self._id(row, label), self.table.picture(row), label)

    def _text(self, numbers: bool = False, labelled: bool = True) -> Iterator[Row]:
        labels = self._numbers() if numbers else self._labels() if labelled else iter([None] * len(self.table.rows))
        pairs: Iterator[Any] = iter([None] * len(self.table.rows))
        if "text_pair" in self.columns:
            pairs = self._cells("text_pair")
        for row, text, pair, label in zip(self.table.rows, self._one_text(), pairs, labels):
            if pair is not None and not isinstance(pair, str):
                raise BadInputError(
                    f"Source {self.table.options.name!r} has in row {row} a second text of type "
                    f"{type(pair).__name__}; accepted are texts."
                )
            yield TextRow(self._id(row, text, pair, label), text, pair, label)

    def _cells(self, name: str) -> Iterator[Any]:
        column = self._column(name)
        return (cells[column] for cells in self.table.read([column]))

    def _column(self, name: str) -> str:
        """The column that is called so, which the table must have."""
        column, table = self.columns[name], self.table
        if column not in table.dataset.features:
            raise BadInputError(
                missing_column(replace(table.options, kind="images"), column, list(table.dataset.features))
            )
        self.used[name] = column
        return column

    def _captions(self) -> Iterator[list[str]]:
        options = self.table.options
        for row, cells in zip(self.table.rows, self.table.read(list(options.text_columns))):
            try:
                parts = [part for column in options.text_columns for part in caption_texts(cells[column])]
            except BadRowError as error:
                raise BadInputError(f"Source {options.name!r}, row {row}: {error}.") from error
            if not parts or not all(parts):
                raise BadInputError(
                    f"Source {options.name!r} has an empty text in row {row}; accepted are texts with at least one "
                    "character that is no blank."
                )
            yield [", ".join(parts)] if options.captions == "join" else parts

    def _one_text(self) -> Iterator[str]:
        for row, texts in zip(self.table.rows, self._captions()):
            if len(texts) != 1:
                raise BadInputError(
                    f"Source {self.table.options.name!r} has {len(texts)} texts in row {row}; this task accepts one "
                    "a row, or `captions: join`."
                )
            yield texts[0]

    def _labels(self) -> Iterator[int | None]:
        """Class numbers, None where hidden; sets the names."""
        column = self.columns["label"]
        cells = self._cells("label")
        feature = self.table.dataset.features[column]
        if isinstance(feature, datasets.ClassLabel):
            self.label_names = tuple(feature.names)
        elif feature == datasets.Value("string"):
            self.label_names = tuple(sorted(set(self.table.dataset.unique(column)) - {None}))
            numbers = {name: number for number, name in enumerate(self.label_names)}
            return (None if name is None else numbers[name] for name in cells)
        elif not (isinstance(feature, datasets.Value) and feature.dtype.lstrip("u").startswith(("int", "bool"))):
            raise BadInputError(
                f"Source {self.table.options.name!r} has labels of type {getattr(feature, 'dtype', feature)} in "
                f"column {column!r}; accepted are integers and texts."
            )
        return (None if label in _HIDDEN else int(label) for label in cells)

    def _truths(self) -> Iterator[int]:
        """1 for true, 0 for false; sets the names."""
        column = self.columns["label"]
        feature = self.table.dataset.features.get(column)
        names = feature.names if isinstance(feature, datasets.ClassLabel) else None
        cells = self._cells("label")
        self.label_names = LABELS
        for row, cell in zip(self.table.rows, cells):
            if cell in _HIDDEN:
                raise BadInputError(self._hidden())
            value = str(names[cell] if names is not None else cell).strip().lower()
            if value not in _TRUTH:
                raise BadInputError(
                    f"Source {self.table.options.name!r} has in row {row} the label {cell!r} in column {column!r}; "
                    "accepted are true and false, 1 and 0, and these as texts."
                )
            yield _TRUTH[value]

    def _numbers(self) -> Iterator[float | None]:
        column = self.columns["label"]
        cells = self._cells("label")
        feature = self.table.dataset.features[column]
        if not (isinstance(feature, datasets.Value) and feature.dtype.lstrip("u").startswith(("int", "float"))):
            raise BadInputError(
                f"Source {self.table.options.name!r} has values of type {getattr(feature, 'dtype', feature)} in "
                f"column {column!r}; accepted are numbers."
            )
        return (None if value is None else float(value) for value in cells)

    def _hidden(self) -> str:
        return (
            f"Source {self.table.options.name!r} hides labels (-1, or none) in column {self.columns['label']!r}; "
            "accepted are rows with labels."
        )

    def _key(self, row: int, column: str | None = None) -> str:
        """What tells pictures apart."""
        picture = self.table.picture(row, column)
        if picture.path is not None:
            return _digest(os.path.relpath(picture.path, self.table.folder))
        value = picture.table[row][picture.column]  # type: ignore[index]
        content = value["bytes"] if isinstance(value, dict) else value
        # What is no picture is refused when it is opened.
        return hashlib.sha256(content if isinstance(content, bytes) else repr(content).encode()).hexdigest()[:16]

    def _id(self, row: int, *content: Any) -> str:
        """Number and content: the hash of a split is made of ids."""
        key = self._key(row) if self.table.options.image_column is not None else ""
        return f"row {row} ({_digest(key, *content)})"


def _answers(cell: Any) -> Iterator[str]:
    if isinstance(cell, str):
        yield cell
    elif isinstance(cell, Mapping) and "answer" in cell:
        yield from _answers(cell["answer"])
    elif isinstance(cell, list):
        for part in cell:
            yield from _answers(part)
    elif cell is not None:
        raise BadInputError(f"An answer is {str(cell)[:50]!r} of type {type(cell).__name__}; accepted are texts.")


def _without_missing(options: SourceOptions, rows: list[Row], missing: str) -> tuple[list[Row], tuple[str, ...]]:
    lost: dict[str, None] = {}
    kept = []
    for row in rows:
        paths = [picture.path for picture in row.pictures if picture.path is not None and "://" not in picture.path]
        gone = [path for path in paths if not os.path.isfile(path)]
        lost.update(dict.fromkeys(map(os.path.basename, gone)))
        if not gone:
            kept.append(row)
    if len(kept) < len(rows) and (missing == "refuse" or not kept):
        raise BadInputError(
            f"Source {options.name!r} lacks the images of {len(rows) - len(kept)} of {len(rows)} rows (the first: "
            f"{next(iter(lost))}); accepted are paths, relative to the data, of files that exist, or missing=drop."
        )
    return kept, tuple(lost)


def _digest(*content: Any) -> str:
    return hashlib.sha256(json.dumps(content, ensure_ascii=False, default=str).encode()).hexdigest()[:16]
