# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""What the readers of benchmarks share: files, fields, splits, places of pictures, and tables as the Hub has them."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets

from ...errors import BadInputError, nearest_known, unknown_name
from ..locating import could_be_hub_id
from .rows import Benchmark, Picture, Row


MISSING = ("refuse", "drop", "unchecked")
# Different data sets call the same split differently; each of a line is taken for the one that a reader knows.
SPLIT_SYNONYMS = (("val", "validation", "dev"), ("test", "test1"), ("test-dev", "testdev", "test-dev2015"))


@dataclass
class Pictures:
    """
    Finds pictures in a folder, and keeps account of those that are not there.

    Args:
        root: The folder.
        missing: `"refuse"` ends in an error, `"drop"` leaves out rows with missing pictures, `"unchecked"` does not
            look (for predictions that are made already).
    """

    root: Path
    missing: str = "refuse"
    not_found: dict[str, None] = field(default_factory=dict)
    _listings: dict[str, frozenset[str]] = field(default_factory=dict)

    def find(self, *places: str) -> Picture | None:
        """
        The picture at the first of the places, relative to the folder, where there is one. None if there is none.

        Raises:
            BadInputError: If a place lies outside of the folder: a stranger's file names it.
        """
        for place in places:
            *folders, name = place.replace(os.sep, "/").split("/")
            if os.path.isabs(place) or ".." in folders or name in ("", ".", ".."):
                raise BadInputError(
                    f"A picture is named {place!r}; accepted are relative paths that stay in the folder of pictures."
                )
            if self.missing == "unchecked" or name in self._names("/".join(folders)):
                return Picture(name, os.path.join(self.root, *folders, name))
        self.not_found[places[0]] = None
        return None

    def _names(self, folder: str) -> frozenset[str]:
        """The names in a folder: one look per folder, where one per picture takes minutes on network disks."""
        if folder not in self._listings:
            path = self.root / folder
            self._listings[folder] = frozenset(os.listdir(path) if path.is_dir() else ())
        return self._listings[folder]


@dataclass
class Request:
    """What was asked of a reader: the data set's name, where it lies, which split, and where its pictures are."""

    name: str
    path: Path | datasets.Dataset | datasets.DatasetDict
    split: str
    pictures: Pictures

    def resolve_split(self, known: Iterable[str]) -> str:
        """The split as the reader calls it: the name itself, or a synonym. Raises BadInputError for others."""
        names = list(known)
        if self.split in names:
            return self.split
        for synonyms in SPLIT_SYNONYMS:
            matching = [name for name in names if name in synonyms]
            if self.split in synonyms and len(matching) == 1:
                return matching[0]
        raise BadInputError(f"Benchmark {self.name!r} has no such split: {unknown_name(self.split, names)}")

    def file(self, *names: str) -> Path:
        """The path itself if it is a file, or the first of the names that there is in the folder."""
        if not isinstance(self.path, Path):
            raise BadInputError(
                f"Benchmark {self.name!r} cannot be read from a {type(self.path).__name__}; accepted are the official "
                f"files ({names[0]})."
            )
        if self.path.is_file():
            return self.path
        for name in names:
            if (self.path / name).is_file():
                return self.path / name
        if not self.path.exists():
            raise BadInputError(f"Benchmark {self.name!r} was not found: there is no {str(self.path)!r}.")
        found = ", ".join(sorted(os.listdir(self.path))[:10]) or "nothing"
        raise BadInputError(
            f"Benchmark {self.name!r} was not found in {str(self.path)!r}: it has no file {' or '.join(names)} "
            f"(found: {found})."
        )

    def table(self, split: str, config: str | None = None) -> datasets.Dataset | None:
        """
        The split as a table, if `path` is a table, Parquet, what `save_to_disk` has written, or an id on the Hub;
        None if it is a file or folder of another kind.
        """
        if isinstance(self.path, datasets.DatasetDict):
            return _split_of(self.name, self.path, split)
        if isinstance(self.path, datasets.Dataset):
            return self.path
        if self.path.exists():
            return _local_table(self.name, self.path, split, config)
        if not could_be_hub_id(str(self.path)):
            raise BadInputError(f"Benchmark {self.name!r} was not found: there is no {str(self.path)!r}.")
        return _load(
            self.name, str(self.path), {"name": config, "split": split}, "; nor is there such a file or folder"
        )

    def benchmark(
        self,
        rows: Iterable[Row | None],
        *,
        split: str,
        task: str,
        protocol: dict[str, Any],
        label_names: Iterable[str] | None = None,
        unique: bool = True,
    ) -> Benchmark:
        """
        The rows, without the Nones that stand for rows whose pictures are missing.

        Raises:
            BadInputError: If there are none, pictures are missing and refused, or an id is repeated (if `unique`).
        """
        kept = tuple(row for row in rows if row is not None)
        missing = tuple(self.pictures.not_found)
        if missing and (self.pictures.missing == "refuse" or not kept):
            some = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
            raise BadInputError(
                f"Benchmark {self.name!r}, split {split!r}, lacks {len(missing)} pictures in "
                f"{str(self.pictures.root)!r} ({some}); accepted are a folder of pictures that has them, and "
                "missing='drop' to leave out some rows."
            )
        if not kept:
            raise BadInputError(f"Benchmark {self.name!r} has no rows of its split {split!r}.")
        if unique:
            _check_unique(self.name, kept)
        names = None if label_names is None else tuple(label_names)
        return Benchmark(self.name, split, task, kept, protocol, names, missing)


def _check_unique(name: str, rows: tuple[Row, ...]) -> None:
    seen = set()
    for row in rows:
        if row.id in seen:
            raise BadInputError(f"Benchmark {name!r} has two rows with the id {row.id!r}; accepted is each id once.")
        seen.add(row.id)


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises BadInputError if it is not JSON."""
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:  # of JSON, and of UTF-8
        raise BadInputError(f"{str(path)!r} is not a JSON file: {str(error).rstrip('.')}.") from error


def read_json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    """Place and content of each line that is not empty. Raises BadInputError for a line that is not JSON."""
    with open(path, "rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield f"{path.name}, line {number}", json.loads(line)
            except ValueError as error:
                raise BadInputError(
                    f"Line {number} of {str(path)!r} is not JSON: {str(error).rstrip('.')}."
                ) from error


def read_text_lines(path: Path, opener: Callable = open) -> Iterator[tuple[int, str]]:
    """Number, from 1 on, and content of each line of a UTF-8 file. Only line feeds end a line, as tools count them."""
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="\n") as lines:
            for number, line in enumerate(lines, start=1):
                yield number, line.rstrip("\r\n")
    except (UnicodeDecodeError, EOFError, OSError) as error:  # gzip's errors are the latter two
        raise BadInputError(f"{str(path)!r} cannot be read as UTF-8 text: {str(error).rstrip('.')}.") from error


def checked(row: Any, types: Mapping[str, type | tuple[type, ...]], place: str) -> dict[str, Any]:
    """
    The row, if it is an object with these fields of these types.

    Raises:
        BadInputError: If not; the sentence says which fields were found, and which is nearest.
    """
    if not isinstance(row, dict):
        raise BadInputError(f"{place} is of type {type(row).__name__}; accepted is an object with {', '.join(types)}.")
    for name, accepted in types.items():
        if name not in row:
            raise BadInputError(missing_field(name, row, place))
        value = row[name]
        if not isinstance(value, accepted) or (isinstance(value, bool) and accepted is int):
            raise BadInputError(
                f"{place} has under {name!r} {str(value)[:50]!r} of type {type(value).__name__}; accepted is "
                f"{_names_of(accepted)}."
            )
    return row


def missing_field(name: str, found: Iterable[str], place: str) -> str:
    """One sentence about a field or column that is not there."""
    names = [str(key) for key in found]
    if not names:
        return f"{place} has no field {name!r}, nor any other."
    return f"{place} has no field {name!r}; the nearest is {nearest_known(name, names)!r} (found: {', '.join(names)})."


def _names_of(types: type | tuple[type, ...]) -> str:
    return " or ".join(kind.__name__ for kind in (types if isinstance(types, tuple) else (types,)))


def not_empty(text: str, place: str) -> str:
    """The text without blanks around it. Raises BadInputError if nothing is left."""
    text = text.strip()
    if not text:
        raise BadInputError(f"{place} has an empty text; accepted are texts with at least one character.")
    return text


def label_index(label: str, names: tuple[str, ...], place: str) -> int:
    """The number of a class. Raises BadInputError for unknown ones."""
    if label not in names:
        raise BadInputError(f"{place} has an unknown label: {unknown_name(label, names)}")
    return names.index(label)


def check_columns(table: datasets.Dataset, columns: Iterable[str], place: str) -> None:
    """Raises BadInputError if the table lacks one of the columns."""
    for column in columns:
        if column not in table.features:
            raise BadInputError(missing_field(column, table.column_names, place))


def check_class_names(table: datasets.Dataset, column: str, names: tuple[str, ...], place: str) -> None:
    """Raises BadInputError if the table numbers its classes in another order than `names`."""
    feature = table.features[column]
    if isinstance(feature, datasets.ClassLabel) and tuple(feature.names) != names:
        raise BadInputError(
            f"{place} numbers its classes {', '.join(feature.names)}; accepted is the order {', '.join(names)}."
        )


def table_rows(table: datasets.Dataset, columns: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The rows of some columns, without those of pictures; a thousand at a time."""
    columns = list(columns)
    for batch in table.select_columns(columns).iter(batch_size=1000):
        yield from (dict(zip(columns, cells)) for cells in zip(*(batch[column] for column in columns)))


def table_pictures(table: datasets.Dataset, column: str) -> Callable[[int, str], Picture]:
    """From row number and name to the picture in that column."""
    cells = table.select_columns([column])
    if isinstance(table.features[column], datasets.Image):
        cells = cells.cast_column(column, datasets.Image(decode=False))
    return lambda row, name: Picture(name, table=cells, row=row, column=column)


def _local_table(name: str, path: Path, split: str, config: str | None) -> datasets.Dataset | None:
    if path.is_file():
        is_parquet = path.suffix == ".parquet"
        return _load(name, "parquet", {"data_files": [str(path)], "split": "train"}) if is_parquet else None
    if (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
        saved = datasets.load_from_disk(str(path))
        return _split_of(name, saved, split) if isinstance(saved, datasets.DatasetDict) else saved
    folders = [path / config, path] if config else [path, path / "data"]
    for folder in filter(Path.is_dir, folders):
        # As on the Hub: <split>-00000-of-00001.parquet, or simply <split>.parquet.
        files = sorted(map(str, [*folder.glob(f"{split}-*-of-*.parquet"), *folder.glob(f"{split}.parquet")]))
        if files:
            return _load(name, "parquet", {"data_files": files, "split": "train"})
        found = sorted(file.name for file in folder.glob("*.parquet"))
        if found:
            raise BadInputError(
                f"Benchmark {name!r}: {str(folder)!r} has no Parquet files of the split {split!r} (found: "
                f"{', '.join(found[:10])})."
            )
    return None


def _split_of(name: str, tables: datasets.DatasetDict, split: str) -> datasets.Dataset:
    if split not in tables:
        raise BadInputError(f"Benchmark {name!r} has no such split: {unknown_name(split, tables)}")
    return tables[split]


def _load(name: str, builder: str, arguments: dict[str, Any], hint: str = "") -> datasets.Dataset:
    try:
        return datasets.load_dataset(builder, **arguments)
    except Exception as error:  # builders of `datasets` raise what the format's reader raises, or wrap it
        cause = error.__cause__ if isinstance(error, datasets.exceptions.DatasetGenerationError) else None
        text = " ".join(str(cause or error).split()).rstrip(".") or type(error).__name__
        files = arguments.get("data_files", [builder])
        raise BadInputError(f"Benchmark {name!r} ({', '.join(files)}) cannot be read: {text}{hint}.") from error
