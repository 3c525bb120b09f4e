# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Sources of training data: image-text pairs, pictures or texts in files, folders and Hub data sets."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets.data_files import EmptyDatasetError
from pandas.errors import EmptyDataError
from PIL import Image

from ..errors import BadInputError, nearest_known, unknown_name
from .captions import TEXT_KEYS, caption_texts
from .images import BadRowError, read_image
from .locating import FORMATS, FoundData, find_data
from .schedule import Source
from .shards import PROBLEM, ShardRows, shard_columns
from .streams import StreamSource


CAPTIONS = ("any", "join", "shuffle")
MAX_IMAGE_PIXELS = 50_000_000


@dataclass(frozen=True)
class SourceOptions:
    """
    What a source is and how it is read.

    Args:
        name (`str`): Its name, different from those of the other sources.
        kind (`str`): `"pairs"`, `"images"` or `"text"`. What the kind does not need is not read.
        path (`str` or list of `str`): A file, a glob, a folder, or the id of a Hub data set. Braces stand for several
            files, `{000..099}` and `{a,b}`; a list may name several files, globs and braces. A `.tar` that is streamed
            may also be a URL: what fsspec opens, `https://`, `hf://`, `s3://`, ...
        format (`str`, *optional*): One of `FORMATS`. Default: by the files' ending; `"imagefolder"` for a folder (what
            `save_to_disk` has written is recognised); the Hub if nothing is in place and the path could be an id.
        split (`str`, defaults to `"train"`): The split of a folder or Hub data set (`"train[:1000]"` works where
            `load_dataset` allows it). Files have one split, "train".
        columns (`dict`, *optional*): Under `image` the column of pictures (default "image"), under `text` the column,
            or columns, of captions (default "text"). A picture is bytes, `{"bytes", "path"}`, or a path, relative to
            the folder that the source's files have in common. A caption is a string, or an object with one under one
            of `TEXT_KEYS`, or a list of these. Of tar shards, columns are the endings of a sample's files, and the
            keys of JSON behind `json.` (`hf_unimo.data.shards`); "image" and "text" find the usual ones.
        captions (`str`, defaults to `"any"`): What becomes of several captions: `"any"` draws one, `"join"` joins all
            by ", ", `"shuffle"` joins a random number of them, from 1 on, in random order (for tags).
        where (`dict`, *optional*): Column -> value or values; only rows that have one of them in each column count.
        group_by (`str`, *optional*): Rows with the same value in this column are one item: each reading draws one of
            them. Not for streams.
        streaming (`bool`, defaults to False): Read in sequence, instead of by number from memory-mapped files.
        shuffle_buffer (`int`, defaults to 1000): Rows of a block that a stream shuffles.
        weight (`float`, defaults to 1): See `hf_unimo.data.schedule.Source`.
        batch_size (`int`, *optional*): Rows of a batch on one process, if different from the other sources'.

    Raises:
        BadInputError: If an option is not as said above.
    """

    name: str
    kind: str
    path: str | list[str]
    format: str | None = None
    split: str = "train"
    columns: dict[str, Any] = field(default_factory=dict)
    captions: str = "any"
    where: dict[str, Any] = field(default_factory=dict)
    group_by: str | None = None
    streaming: bool = False
    shuffle_buffer: int = 1000
    weight: float = 1.0
    batch_size: int | None = None

    def __post_init__(self):
        Source(self.name, self.kind, self.weight)
        self._check("split", isinstance(self.split, str) and self.split, "a text that is not empty")
        several = isinstance(self.path, list | tuple) and self.path and self.format != "hub"
        paths = self.path if several else [self.path]
        texts = all(isinstance(path, str) and path for path in paths)
        self._check("path", texts, "a text that is not empty, or for files a list of these")
        for name, known in (("format", (None, *FORMATS)), ("captions", CAPTIONS)):
            if getattr(self, name) not in known:
                raise BadInputError(
                    f"Source {self.name!r} has `{name}`: {unknown_name(getattr(self, name), filter(None, known))}"
                )
        self._check("streaming", isinstance(self.streaming, bool), "true and false")
        for name in ("shuffle_buffer", "batch_size"):
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
            self._check(name, whole or (name, value) == ("batch_size", None), "integers from 1 on")
        self._check("group_by", self.group_by is None or isinstance(self.group_by, str), "a column's name")
        if self.group_by is not None and self.streaming:
            raise BadInputError(
                f"Source {self.name!r} has `group_by` and `streaming`; rows are grouped only if not streaming."
            )
        for name in ("columns", "where"):
            value = {} if getattr(self, name) is None else getattr(self, name)
            names = isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
            self._check(name, names, "a mapping with names as keys")
            object.__setattr__(self, name, dict(value))
        for column, values in self.where.items():
            values = values if isinstance(values, list | tuple) else [values]
            self._check("where", values, "at least one value for each column")
            self.where[column] = list(values)
        self._check_columns()

    def _check(self, name: str, fine: Any, accepted: str) -> None:
        if not fine:
            found = getattr(self, name)
            raise BadInputError(f"Source {self.name!r} has `{name}`: {found!r}; accepted: {accepted}.")

    def _check_columns(self) -> None:
        for name in self.columns:
            if name not in ("image", "text"):
                raise BadInputError(f"Source {self.name!r} has `columns`: {unknown_name(name, ('image', 'text'))}")
        image = self.columns.get("image", "image")
        text = self.columns.get("text", "text")
        text = [text] if isinstance(text, str) else text
        if self.kind != "text":
            self._check("columns", image and isinstance(image, str), "one column's name under `image`")
        if self.kind != "images":
            names = isinstance(text, list | tuple) and text and all(isinstance(name, str) and name for name in text)
            self._check("columns", names, "a column's name, or a list of them, under `text`")

    @property
    def paths(self) -> tuple[str, ...]:
        """`path` as several."""
        return (self.path,) if isinstance(self.path, str) else tuple(self.path)

    @property
    def place(self) -> str:
        """`path` for messages."""
        more = len(self.paths) - 1
        return self.paths[0] + (f" and {more} more" if more else "")

    @property
    def image_column(self) -> str | None:
        """The column of pictures; None for a source of texts."""
        return None if self.kind == "text" else self.columns.get("image", "image")

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The columns of captions or texts; empty for a source of pictures."""
        if self.kind == "images":
            return ()
        text = self.columns.get("text", "text")
        return (text,) if isinstance(text, str) else tuple(text)

    @property
    def read_columns(self) -> list[str]:
        """The columns that a row is made of, each once."""
        return list(dict.fromkeys([*filter(None, [self.image_column]), *self.text_columns]))


@dataclass(frozen=True)
class Row:
    """
    One row: what its source's kind has of picture (RGB, upright) and text (not empty, no blanks around it), and its
    place for messages, e.g. "row 17 (dog.png)". Numbers count from 0, without regard to `where` (streams: after it).
    """

    image: Image.Image | None
    text: str | None
    place: str


class MapSource:
    """
    A source whose items can be read in any order. Made by [`open_source`].

    `len(source)` is the number of items: of rows, or with `group_by` of different values, where rows without a value
    are items of their own. Rows are read from memory-mapped Arrow files: copies for other processes are cheap.

    Attributes:
        options, name, kind, batch_size: Of the source.
        dataset (`datasets.Dataset`): The columns that are read, of all rows; pictures as they are in the file.
        row_numbers (`(rows,)`, int, or None): Rows of `dataset` that count, group by group; None for all, in order.
        to_row (`Callable`): `to_row(cells, place, rng)` makes a [`Row`] of the cells of a row.
    """

    def __init__(self, options: SourceOptions, dataset: datasets.Dataset, to_row: "_RowReader"):
        self.options, self.name, self.kind = options, options.name, options.kind
        self.batch_size = options.batch_size
        rows = matching_rows(dataset, options)
        self._ends = None
        if options.group_by is not None:
            rows, self._ends = _grouped(dataset, options, rows)
        # Row numbers in the order of the items; None if they are 0, 1, 2, ...
        self.row_numbers = rows if len(rows) < len(dataset) or options.group_by is not None else None
        self._length = len(rows) if self._ends is None else len(self._ends)
        self.dataset = dataset.select_columns(_kept_columns(options, dataset.features))
        if isinstance(dataset.features.get(options.image_column), datasets.Image):
            # One by one in `read`, so that a broken picture spoils no more than its row.
            self.dataset = self.dataset.cast_column(options.image_column, datasets.Image(decode=False))
        self.to_row = to_row

    def __len__(self) -> int:
        return self._length

    def read(self, item: int, rng: np.random.RandomState | None) -> Row:
        """
        One row of item `item` (0 to `len(self) - 1`).

        `rng` draws what is random: which row of a group, which captions. None takes the first row, and the first
        caption or all of them in order.

        Raises:
            BadRowError: If the row has no text or no picture that can be used.
        """
        if not 0 <= item < self._length:
            raise IndexError(f"item {item} lies outside of the source's {self._length} items")
        row = self._row(item, rng)
        return self.to_row(self.dataset[row], f"row {row}", rng)

    def _row(self, item: int, rng: np.random.RandomState | None) -> int:
        if self.row_numbers is None:
            return item
        if self._ends is None:
            return int(self.row_numbers[item])
        first = self._ends[item - 1] if item else 0
        return int(self.row_numbers[first if rng is None else rng.randint(first, self._ends[item])])


def open_source(
    options: SourceOptions, *, folder: str | os.PathLike = ".", max_image_pixels: int = MAX_IMAGE_PIXELS
) -> MapSource | StreamSource:
    """
    Opens a source and checks that its columns are there, are of the right types, and that it has rows.

    All but what is saved as Arrow by `save_to_disk` is converted once to Arrow files in the cache of `datasets`
    (`HF_DATASETS_CACHE`), unless streaming. Nothing is written elsewhere.

    Args:
        options (`SourceOptions`): Which and how.
        folder (`str` or path, defaults to "."): What `options.path` is relative to.
        max_image_pixels (`int`, defaults to 50 million): Rows with larger pictures are bad rows.

    Raises:
        BadInputError: If there is no such source, it cannot be read, is empty or lacks what the options name.
    """
    found = find_data(options, Path(folder))
    unreadable = partial(unreadable_data, options, found)
    try:
        dataset = load_data(options, found)
    except BadInputError:
        raise
    except Exception as error:  # builders of `datasets` raise what the format's reader raises, or wrap it
        raise unreadable(error) from error
    to_row = _RowReader(options, found.folder, max_image_pixels)
    if options.streaming:
        return _open_stream(options, dataset, to_row, unreadable)
    if not len(dataset):
        raise BadInputError(f"Source {options.name!r} ({options.place}) has no rows.")
    check_features(options, dataset.features)
    return MapSource(options, dataset, to_row)


def load_data(options: SourceOptions, found: FoundData) -> datasets.Dataset | datasets.IterableDataset:
    """The data of one split, by `datasets`; memory-mapped, or a stream if `options.streaming`."""
    if found.format == "webdataset":
        return _load_shards(options, found)
    if found.format == "saved":
        saved = datasets.load_from_disk(found.path)
        splits = saved if isinstance(saved, dict) else {"train": saved}
        if options.split not in splits:
            raise BadInputError(
                f"Source {options.name!r} ({options.place}) has no split {options.split!r} (found: "
                f"{', '.join(splits)})."
            )
        dataset = splits[options.split]
        return dataset.to_iterable_dataset() if options.streaming else dataset
    arguments: dict[str, Any] = {"split": options.split, "streaming": options.streaming}
    if found.files:
        arguments["data_files"] = found.files
    elif found.format == "imagefolder":
        arguments["data_dir"] = found.path
    if found.format == "csv":  # captions such as "NA" and "None" are words; only nothing is nothing
        arguments |= {"keep_default_na": False, "na_values": [""]}
    return datasets.load_dataset(found.path if found.format == "hub" else found.format, **arguments)


def _load_shards(options: SourceOptions, found: FoundData) -> datasets.Dataset | datasets.IterableDataset:
    """
    Of tar shards. `datasets` has a reader too; it stops at the first text that is no UTF-8 or JSON, holds files of any
    size in memory, and takes a shard that was cut off between two files for a whole one.
    """
    splits = found.files if isinstance(found.files, dict) else {"train": found.files or []}
    if options.split not in splits:
        raise BadInputError(
            f"Source {options.name!r} ({options.place}) has no split {options.split!r} (found: {', '.join(splits)})."
        )
    shards = splits[options.split]
    if options.image_column is not None and options.image_column.startswith("json"):
        raise BadInputError(
            f"Source {options.name!r} has the column of pictures {options.image_column!r}; accepted are the endings "
            "of pictures in the shards."
        )
    columns = shard_columns(shards[0])
    if not columns:
        raise BadInputError(f"Source {options.name!r} ({options.place}) has no rows.")
    group_by = [] if options.group_by is None else [options.group_by]
    for column in [*options.read_columns, *options.where, *group_by]:
        if column not in columns:
            raise BadInputError(missing_column(options, column, list(columns)))
    values = {
        column: kind if (kind := type(columns[column])) in (int, float, bool) else str
        for column in [*options.where, *group_by]
    }
    rows = ShardRows(options.image_column, options.text_columns, values)
    return rows.stream(shards) if options.streaming else rows.table(shards)


def unreadable_data(options: SourceOptions, found: FoundData, error: Exception) -> BadInputError:
    """What `datasets` says, in one sentence."""
    if isinstance(error, datasets.exceptions.DatasetGenerationError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    text = " ".join(str(error).split()) or type(error).__name__
    empty = isinstance(error, StopIteration | EmptyDatasetError | EmptyDataError) or "corresponds to no data" in text
    if empty:
        return BadInputError(f"Source {options.name!r} ({options.place}) has no rows.")
    files = found.files if isinstance(found.files, list) else (found.files or {}).get(options.split, [])
    if found.format == "json":
        text = _broken_line(files) or text
    elif found.format == "hub" and options.format is None:
        text += "; nor is there such a file or folder"
    place = files[0] if len(files) == 1 else options.place
    return BadInputError(f"Source {options.name!r} ({place}) cannot be read: {text.rstrip('.')}.")


def _broken_line(files: Iterable[str]) -> str | None:
    """The first line that is not JSON, as pyarrow and pandas count in blocks, if at all."""
    for file in files:
        if not file.endswith((".jsonl", ".ndjson")):
            continue
        with open(file, "rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    json.loads(line.strip() or b"{}")
                except ValueError as error:
                    return f"line {number} of {os.path.basename(file)!r} is not JSON ({error})"
    return None


def _open_stream(
    options: SourceOptions,
    dataset: datasets.IterableDataset,
    to_row: "_RowReader",
    unreadable: Callable[[Exception], BadInputError],
) -> StreamSource:
    declared = dataset.features or {}
    if declared:
        dataset = dataset.decode(False)
    for column in filter(lambda column: _is_mixed(declared[column]), declared):  # its cells would stay JSON
        dataset = dataset.cast_column(column, declared[column])
    first = _first_row(dataset, unreadable)
    if first is None:
        raise BadInputError(f"Source {options.name!r} ({options.place}) has no rows.")
    # Those of CSV are not declared: what the first row tells.
    features = declared or datasets.Dataset.from_list([first]).features
    check_features(options, features, all_rows=bool(declared))
    if options.where:
        allowed = [_values(options, column, features[column]).to_pylist() for column in options.where]
        dataset = dataset.filter(partial(_is_allowed, allowed), input_columns=list(options.where))
        if _first_row(dataset, unreadable) is None:
            raise BadInputError(f"Source {options.name!r} has no rows with {_in_words(options.where)}.")
    return StreamSource(options, dataset.select_columns(_kept_columns(options, features)), to_row, unreadable)


def _kept_columns(options: SourceOptions, features: datasets.Features) -> list[str]:
    return [*options.read_columns, *([PROBLEM] if PROBLEM in features else [])]


def _first_row(dataset: datasets.IterableDataset, unreadable: Callable[[Exception], BadInputError]) -> dict | None:
    try:
        return next(iter(dataset.take(1)), None)
    except Exception as error:  # as in `open_source`
        raise unreadable(error) from error


def _is_allowed(allowed: Sequence[Sequence], *cells) -> bool:
    return all(cell in values for cell, values in zip(cells, allowed))


def check_features(options: SourceOptions, features: datasets.Features, all_rows: bool = True) -> None:
    """That the columns are there and can hold what they should. `all_rows`: the features are not those of one row."""
    group_by = [] if options.group_by is None else [options.group_by]
    for column in [*options.read_columns, *options.where, *group_by]:
        if column not in features:
            raise BadInputError(missing_column(options, column, list(features)))
    for column in options.read_columns:
        feature = features[column]
        if not all_rows and feature == datasets.Value("null"):
            continue
        if column == options.image_column and not _can_hold_image(feature):
            accepted = "pictures are bytes, paths or objects of both"
        elif column in options.text_columns and not _can_hold_text(feature):
            accepted = "captions are strings, lists of strings or lists of objects with one of " + ", ".join(TEXT_KEYS)
        else:
            continue
        raise BadInputError(f"Source {options.name!r} has a column {column!r} of type {_type(feature)}; {accepted}.")


def missing_column(options: SourceOptions, column: str, found: list[str]) -> str:
    """A sentence about a column that is not among those found."""
    nearest = nearest_known(column, found)
    what = f"has no column {column!r}"
    if options.kind == "pairs" and column in options.text_columns:
        what = f"is of kind 'pairs' and has no captions: there is no column {column!r}"
    return f"Source {options.name!r} {what}; the nearest is {nearest!r} (found: {', '.join(found)})."


def _can_hold_text(feature) -> bool:
    if isinstance(feature, datasets.Value):
        return feature.dtype in ("string", "large_string")
    if isinstance(feature, dict):
        return any(_can_hold_text(feature[key]) for key in TEXT_KEYS if key in feature)
    if hasattr(feature, "feature"):  # the kinds of lists
        return _can_hold_text(feature.feature)
    return _is_mixed(feature)


def _can_hold_image(feature) -> bool:
    if isinstance(feature, datasets.Value):
        return feature.dtype in ("string", "large_string", "binary", "large_binary")
    if isinstance(feature, dict):
        return "bytes" in feature or "path" in feature
    return isinstance(feature, datasets.Image) or _is_mixed(feature)


def _is_mixed(feature) -> bool:
    """JSON lines whose cells differ in type: each row is checked when it is read."""
    return isinstance(feature, getattr(datasets, "Json", ()))


def _column(dataset: datasets.Dataset, name: str) -> pa.ChunkedArray:
    """A column as Arrow array, still memory-mapped."""
    return dataset.select_columns([name]).with_format("arrow")[:][name]


def _values(options: SourceOptions, column: str, feature) -> pa.Array:
    """The values of `where` for a column, in the column's type."""
    _check_scalar(options, column, feature)
    values = options.where[column]
    try:
        if isinstance(feature, datasets.ClassLabel):
            values = [feature.str2int(value) if isinstance(value, str) else value for value in values]
        if feature == datasets.Value("null"):  # a stream whose first row has none
            return pa.array(values)
        return pa.array(values).cast(datasets.Features({column: feature}).arrow_schema.field(column).type)
    except (pa.ArrowException, ValueError) as error:
        raise BadInputError(
            f"Source {options.name!r} selects by column {column!r} of type {_type(feature)}, which cannot have the "
            f"values {options.where[column]}."
        ) from error


def _check_scalar(options: SourceOptions, column: str, feature) -> None:
    if not isinstance(feature, datasets.Value | datasets.ClassLabel):
        raise BadInputError(
            f"Source {options.name!r} cannot select or group by column {column!r} of type {_type(feature)}; accepted "
            "are columns of texts and numbers."
        )


def _type(feature) -> str:
    return feature.dtype if isinstance(feature, datasets.Value) else shorten(str(feature), 100)


def matching_rows(dataset: datasets.Dataset, options: SourceOptions) -> np.ndarray:
    """The numbers of the rows that `where` selects."""
    mask = np.ones(len(dataset), dtype=bool)
    for column in options.where:
        values = _values(options, column, dataset.features[column])
        cells = _column(dataset, column)
        mask &= pc.is_in(cells, value_set=values).to_numpy()
        if not mask.any():
            some = ", ".join(map(repr, pc.unique(cells).slice(0, 5).to_pylist()))
            raise BadInputError(
                f"Source {options.name!r} has no rows with {_in_words(options.where)}; {column!r} holds, for example, "
                f"{some}."
            )
    return np.flatnonzero(mask).astype(np.min_scalar_type(len(mask)))


def _grouped(dataset: datasets.Dataset, options: SourceOptions, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`rows` in an order that puts each group's side by side, and where each group ends."""
    column = str(options.group_by)
    _check_scalar(options, column, dataset.features[column])
    coded = pc.dictionary_encode(_column(dataset, column)).unify_dictionaries()
    codes = np.concatenate([pc.fill_null(chunk.indices, -1).to_numpy() for chunk in coded.chunks]).astype(np.int64)[
        rows
    ]
    alone = codes < 0
    codes[alone] = len(dataset) + np.arange(alone.sum())
    _, sizes = np.unique(codes, return_counts=True)
    return rows[np.argsort(codes, kind="stable")], np.cumsum(sizes)


@dataclass(frozen=True)
class _RowReader:
    """From the cells of a row to a `Row`."""

    options: SourceOptions
    folder: str
    max_pixels: int

    def __call__(self, cells: dict[str, Any], place: str, rng: np.random.RandomState | None) -> Row:
        image = text = None
        try:
            if cells.get(PROBLEM) is not None:
                raise BadRowError(cells[PROBLEM])
            if self.options.text_columns:
                parts = [
                    part for column in self.options.text_columns for part in caption_texts(cells.get(column)) if part
                ]
                if not parts:
                    raise BadRowError("its text is empty")
                text = self._caption(parts, rng)
            if self.options.image_column is not None:
                value = self.located(cells.get(self.options.image_column))
                place += shown_file_name(value)
                image = read_image(value, self.max_pixels)
        except BadRowError as error:
            error.place = place
            raise
        return Row(image, text, place)

    def _caption(self, parts: list[str], rng: np.random.RandomState | None) -> str:
        if self.options.captions == "any":
            return parts[0 if rng is None else rng.randint(len(parts))]
        if self.options.captions == "shuffle" and rng is not None:
            number = rng.randint(1, len(parts) + 1)
            parts = [parts[index] for index in rng.permutation(len(parts))[:number]]
        return ", ".join(parts)

    def located(self, value):
        """The cell, with its path, if it is one, relative to the source's folder."""
        if isinstance(value, dict) and value.get("bytes") is None:
            value = value.get("path")
        if isinstance(value, str) and "://" not in value:
            return os.path.join(self.folder, value)
        return value


def shown_file_name(value) -> str:
    """The name of a picture's file in brackets, behind a blank; nothing for a picture without a file."""
    path = value.get("path") if isinstance(value, dict) else value
    return f" ({os.path.basename(path)})" if isinstance(path, str) and path else ""


def _in_words(where: Mapping[str, list]) -> str:
    return " and ".join(f"{column!r} in {values}" for column, values in where.items())
