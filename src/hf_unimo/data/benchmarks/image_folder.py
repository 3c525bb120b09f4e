# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Pictures in a folder for each class, with or without a file of metadata, and tables with a class (Hub copies)."""

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
from PIL import Image

from ...errors import BadInputError
from .reading import (
    Pictures,
    Request,
    check_columns,
    checked,
    label_index,
    read_json_lines,
    table_pictures,
    table_rows,
)
from .rows import Benchmark, ImageLabelRow


METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
SPLITS = ("train", "val", "validation", "dev", "test")


def read_image_folder(
    request: Request,
    *,
    label_names: Sequence[str] | None = None,
    label_column: str = "label",
    image_column: str = "image",
) -> Benchmark[ImageLabelRow]:
    """
    `root/<class>/*.png`, or `root/{train,test}/<class>/*.png`: class i is the i-th of the sorted folder names.

    With folders of splits, the classes are those of all splits together, so that a split that lacks one numbers them
    as the others do. Pictures are in the order of class, then name. Files that Pillow knows no format for are
    left out and counted.

    Args:
        request: `path` is the folder. `split` is the name of a folder in it, or "all" where there are classes at once.
            If there is `metadata.csv`, `.jsonl` or `.parquet` beside the classes, it says which pictures there are
            (`file_name`, relative to it) and their labels, in its order, and folder names say nothing. Or a
            table with a column of pictures and one of classes.
        label_names (sequence of `str`, *optional*): The classes in another order, or more of them: those of a model.
        label_column (`str`, defaults to `"label"`), image_column (`str`, defaults to `"image"`): The columns of a
            table, the former of metadata too.

    Raises:
        BadInputError: If there is no such folder or column, a class is not among `label_names`, or pictures are
            missing.
    """
    if label_names is not None and (isinstance(label_names, str) or len(set(label_names)) < len(label_names)):
        raise BadInputError(f"`label_names` is {label_names!r}; accepted is a list of different names.")
    rows: Iterator[ImageLabelRow | None]
    table = None if _is_folder(request.path) else request.table(request.split)
    if table is not None:
        given, rows = _from_table(request.name, table, label_column, image_column, label_names)
        return _benchmark(request, rows, request.split, given, {"source": "table"})
    root, split = _split_folder(request)
    metadata = next((root / name for name in METADATA if (root / name).is_file()), None)
    prefix = "" if split == "all" else f"{split}/"
    if metadata is not None:
        names, rows = _from_metadata(request.pictures, metadata, prefix, label_column, label_names)
        return _benchmark(request, rows, split, names, {"source": metadata.name})
    ignored: list[str] = []
    found = _classes(root if split == "all" else root.parent, split)
    names = tuple(found if label_names is None else label_names)
    rows = _from_folders(request.pictures, root, prefix, found, names, ignored)
    return _benchmark(request, rows, split, names, {"source": "folders", "ignored_files": ignored})


def _benchmark(request: Request, rows: Iterator, split: str, names: tuple[str, ...], protocol: dict) -> Benchmark:
    return request.benchmark(rows, split=split, task="image-classification", protocol=protocol, label_names=names)


def _is_folder(path: Any) -> bool:
    """Whether it is a folder with folders of pictures, not one of tables."""
    if not isinstance(path, Path) or not path.is_dir():
        return False
    tables = [name for name in os.listdir(path) if name.endswith(".parquet") and name not in METADATA]
    saved = (path / "state.json").is_file() or (path / "dataset_dict.json").is_file()
    return not (tables or saved or any((path / "data").glob("*.parquet")))


def _folders(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _split_folder(request: Request) -> tuple[Path, str]:
    assert isinstance(request.path, Path)
    if not request.path.is_dir():
        raise BadInputError(
            f"Benchmark {request.name!r}: {str(request.path)!r} is a file; accepted are folders, Parquet and tables."
        )
    folders = _folders(request.path)
    of_splits = [name for name in folders if name in SPLITS]
    if not of_splits or of_splits != folders:
        split = request.resolve_split(("all",))
        return request.path, split
    split = request.resolve_split(of_splits)
    return request.path / split, split


def _classes(path: Path, split: str) -> list[str]:
    parts = [path] if split == "all" else [path / name for name in _folders(path)]
    return sorted({name for part in parts for name in _folders(part)})


def _from_folders(
    pictures: Pictures, root: Path, prefix: str, classes: list[str], names: tuple[str, ...], ignored: list[str]
) -> Iterator[ImageLabelRow | None]:
    endings = Image.registered_extensions()
    for name in classes:
        if not (root / name).is_dir():
            continue
        label = label_index(name, names, f"The folder {str(root / name)!r}")
        for entry in sorted(os.scandir(root / name), key=lambda entry: entry.name):
            place = f"{name}/{entry.name}"
            if entry.is_dir():
                raise BadInputError(
                    f"{str(root / place)!r} is a folder in the folder of a class; accepted are pictures."
                )
            if Path(entry.name).suffix.lower() in endings and not entry.name.startswith("."):
                picture = pictures.find(prefix + place)
                yield None if picture is None else ImageLabelRow(place, picture, label)
            else:
                ignored.append(place)


def _from_metadata(
    pictures: Pictures, file: Path, prefix: str, label_column: str, given: Sequence[str] | None
) -> tuple[tuple[str, ...], Iterator[ImageLabelRow | None]]:
    rows = list(_metadata(file))
    for place, row in rows:
        checked(row, {"file_name": str, label_column: (str, int)}, place)
    found = {row[label_column] for _, row in rows}
    if given is None and len({type(label) for label in found}) > 1:
        raise BadInputError(f"{file.name} has labels of several types; accepted are names or integers.")
    # Numbers count as numbers in CSV too, where all cells are texts: 2 comes before 10.
    key = int if all(str(label).isdecimal() for label in found) else None
    names = tuple(map(str, sorted(found, key=key) if given is None else given))

    def read() -> Iterator[ImageLabelRow | None]:
        for place, row in rows:
            label = label_index(str(row[label_column]), names, place)
            picture = pictures.find(prefix + row["file_name"])
            yield None if picture is None else ImageLabelRow(row["file_name"], picture, label)

    return names, read()


def _metadata(file: Path) -> Iterator[tuple[str, Any]]:
    if file.suffix == ".jsonl":
        yield from read_json_lines(file)
    elif file.suffix == ".csv":
        try:
            with open(file, encoding="utf-8-sig", newline="") as lines:
                for number, row in enumerate(csv.DictReader(lines)):
                    yield f"{file.name}, row {number}", row
        except (UnicodeDecodeError, csv.Error) as error:
            raise BadInputError(f"{str(file)!r} cannot be read as UTF-8 CSV: {str(error).rstrip('.')}.") from error
    else:
        try:
            rows = pq.read_table(file).to_pylist()
        except (OSError, ValueError) as error:  # pyarrow's errors are either
            raise BadInputError(f"{str(file)!r} cannot be read as Parquet: {str(error).rstrip('.')}.") from error
        yield from ((f"{file.name}, row {number}", row) for number, row in enumerate(rows))


def _from_table(
    name: str, table: datasets.Dataset, label_column: str, image_column: str, given: Sequence[str] | None
) -> tuple[tuple[str, ...], Iterator[ImageLabelRow | None]]:
    place = f"The table of {name!r}"
    check_columns(table, (label_column, image_column), place)
    feature = table.features[label_column]
    if not isinstance(feature, datasets.ClassLabel):
        raise BadInputError(f"{place} has under {label_column!r} {feature}; accepted is a column of type ClassLabel.")
    names = tuple(feature.names if given is None else given)

    def read() -> Iterator[ImageLabelRow]:
        picture = table_pictures(table, image_column)
        for number, row in enumerate(table_rows(table, [label_column])):
            found = row[label_column]
            hidden = found is None or found < 0
            label = None if hidden else label_index(feature.names[found], names, f"{place}, row {number}")
            yield ImageLabelRow(str(number), picture(number, f"row {number}"), label)

    return names, read()
