# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The files of the first implementation of UNIMO-2: TSV with a header, and `;` between lists of token ids."""

import gzip
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from ...errors import BadInputError, unknown_name
from .glue import read_tsv
from .reading import Request, missing_field, read_text_lines
from .rows import Benchmark, Picture, RetrievalRow, TextRow, TokenCaptionRow, TokenIds


# Split -> file. The first implementation's own names, and GLUE's for those of MNLI.
TSV_SPLITS = {
    "train": "train.tsv",
    "validation_matched": "m/dev.tsv",
    "validation_mismatched": "mm/dev.tsv",
    "test_matched": "m/test.tsv",
    "test_mismatched": "mm/test.tsv",
    "diagnostic": "diagnostic.tsv",
    "dev": "dev.tsv",
    "test": "test.tsv",
}
TSV_COLUMNS = ("qid", "text_a", "text_b", "label")
FLICKR30K_SPLITS = {"train": "train.ids", "val": "val.all.ids", "test": "test.all.ids"}
COCO_SPLITS = ("train", "val", "test")
IMAGE_PREFIX = 9  # characters before the id of a picture in the captioning files


def read_unimo2_tsv(request: Request, *, label_names: Sequence[str] | None = None) -> Benchmark[TextRow]:
    """
    TSV with the columns `text_a`, `text_b` (optional), `label` (integer; optional), `qid` (optional); no quoting.

    The files number their classes themselves, not as GLUE does: without `label_names` the numbers are all there is.

    Args:
        request: `path` is a file, or the folder with those of `TSV_SPLITS`.
        label_names (sequence of `str`, *optional*): The names of classes 0, 1, ...

    Raises:
        BadInputError: If a file, split or column is missing or unknown, or a label is no integer, or has no name.
    """
    split = request.resolve_split(TSV_SPLITS)
    file = request.file(TSV_SPLITS[split])

    def rows() -> Iterator[TextRow]:
        for place, row in read_tsv(file):
            if "text_a" not in row:
                raise BadInputError(missing_field("text_a", row, file.name))
            for column in row:
                if column not in TSV_COLUMNS:
                    raise BadInputError(f"{file.name} has an unknown column: {unknown_name(column, TSV_COLUMNS)}")
            label = _label(row["label"], place, label_names) if "label" in row else None
            yield TextRow(row.get("qid", place.rsplit(" ", 1)[1]), row["text_a"], row.get("text_b"), label)

    return request.benchmark(
        rows(),
        split=split,
        task="text-classification",
        protocol={"source": file.name, "labels": "as numbered in the file"},
        label_names=label_names,
        unique=False,  # `qid` is free to the writer
    )


def _label(text: str, place: str, names: Sequence[str] | None) -> int:
    if not re.fullmatch(r"\d+", text) or (names is not None and int(text) >= len(names)):
        accepted = "integers from 0 on" if names is None else f"integers from 0 to {len(names) - 1}"
        raise BadInputError(f"{place} has the label {text!r}; accepted are {accepted}.")
    return int(text)


def read_unimo2_flickr30k(request: Request) -> Benchmark[RetrievalRow]:
    """
    `*.ids`: one caption a line, as token ids; segment ids; position ids; id of the picture; id of the sentence.

    Captions of one picture become one row, in the order in which pictures and captions first appear.

    Args:
        request: `path` is a file, or the folder with those of `FLICKR30K_SPLITS`. Pictures are
            `flickr30k-images/<id>.jpg` or `<id>.jpg` in `images`.

    Raises:
        BadInputError: If a file, split or picture is missing, or a line has another form.
    """
    split = request.resolve_split(FLICKR30K_SPLITS)
    file = request.file(FLICKR30K_SPLITS[split])
    captions: dict[str, dict[str, TokenIds]] = {}
    for place, fields in _lines(file, 5):
        of_image = captions.setdefault(fields[3], {})
        if fields[4] in of_image:
            raise BadInputError(f"{place}, has the sentence id {fields[4]!r} of {fields[3]!r} a second time.")
        of_image[fields[4]] = _tokens(fields[:3], place)

    def rows() -> Iterator[RetrievalRow | None]:
        for image, texts in captions.items():
            picture = request.pictures.find(f"flickr30k-images/{image}.jpg", f"{image}.jpg")
            yield None if picture is None else RetrievalRow(image, picture, tuple(texts.values()), tuple(texts))

    protocol = {"source": file.name, "captions_per_picture": "all", "text": "token ids of the file"}
    return request.benchmark(rows(), split=split, task="retrieval", protocol=protocol)


def read_unimo2_coco(request: Request, *, objects: str | os.PathLike | None = None) -> Benchmark[TokenCaptionRow]:
    """
    Captioning: a line has the id of the picture behind 9 other characters; its path; id of the caption; token ids;
    segment ids; position ids; word labels; label. The three lists and the word labels may be empty in the test split.

    Args:
        request: `path` is a file of such lines, or a list of files, one a line, relative to the list's folder, or
            a folder with `{train,val,test}.list` (a list) or `{train,val,test}.ids`. Names that end in `.gz` are
            unpacked. Pictures lie at their path in `images`, or by file name in `images` itself.
        objects (path, *optional*): A file with, a line each, id of a picture; object token ids; segment ids; position
            ids. Pictures may be called by their id with or without the 9 characters.

    Raises:
        BadInputError: If a file, split or picture is missing, a line has another form, or a picture has no objects.
    """
    split = request.resolve_split(COCO_SPLITS)
    file = request.file(f"{split}.list", f"{split}.ids", f"{split}.ids.gz")
    files = _listed(file)
    by_image = None
    if objects is not None:
        by_image = {fields[0]: _tokens(fields[1:], place) for place, fields in _lines(Path(objects), 4)}

    def rows() -> Iterator[TokenCaptionRow | None]:
        for place, fields in (line for part in files for line in _lines(part, 8)):
            yield _caption(request, fields, place, split, by_image)

    protocol = {
        "source": [part.name for part in files],
        "objects": None if objects is None else Path(objects).name,
        "text": "token ids of the file, not cut",
    }
    return request.benchmark(rows(), split=split, task="captioning", protocol=protocol, unique=False)


def _caption(
    request: Request, fields: list[str], place: str, split: str, objects: dict[str, TokenIds] | None
) -> TokenCaptionRow | None:
    if len(fields[0]) <= IMAGE_PREFIX:
        raise BadInputError(
            f"{place}, calls its picture {fields[0]!r}; accepted are {IMAGE_PREFIX} characters and then the id."
        )
    image_id = fields[0][IMAGE_PREFIX:]
    tokens = None
    if fields[3].strip():
        tokens = _tokens(fields[3:6], place)
    elif split != "test":
        raise BadInputError(f"{place}, has no token ids; accepted is that in the test split only.")
    word_labels = _integers(fields[6], place, lowest=-1) if fields[6].strip() else ()
    if tokens is not None and len(word_labels) != len(tokens.input_ids):
        raise BadInputError(
            f"{place}, has {len(word_labels)} word labels for {len(tokens.input_ids)} tokens; accepted are as many."
        )
    found = None
    if objects is not None:
        found = objects.get(fields[0], objects.get(image_id))
        if found is None:
            raise BadInputError(f"{place}, has the picture {image_id!r}, which has no line in the file of objects.")
    picture = _find(request, fields[1])
    return (
        None
        if picture is None
        else TokenCaptionRow(fields[2], picture, image_id, tokens, word_labels, fields[7], found)
    )


def _find(request: Request, path: str) -> Picture | None:
    """By its path, or, where the writer's machine had it elsewhere, by its name."""
    name = PurePosixPath(path).name
    return request.pictures.find(name) if PurePosixPath(path).is_absolute() else request.pictures.find(path, name)


def _listed(file: Path) -> list[Path]:
    """The data files: those in the list, or the file itself if its first line is one of data."""
    lines = [line for _, line in read_text_lines(file, _opener(file)) if line.strip()]
    if not lines or ";" in lines[0]:
        return [file]
    files = [file.parent / line.strip() for line in lines]
    for part in files:
        if not part.is_file():
            raise BadInputError(f"{file.name} lists {str(part)!r}, which is not there.")
    return files


def _opener(file: Path):
    return gzip.open if file.suffix == ".gz" else open


def _lines(file: Path, number: int) -> Iterator[tuple[str, list[str]]]:
    """Place and fields of each line that is not empty."""
    if not file.is_file():
        raise BadInputError(f"There is no file {str(file)!r}.")
    for line_number, line in read_text_lines(file, _opener(file)):
        place = f"{file.name}, line {line_number}"
        if line.strip():
            fields = line.split(";")
            if len(fields) != number:
                raise BadInputError(f"{place}, has {len(fields)} fields between ';'; accepted are {number}.")
            yield place, fields


def _tokens(fields: Sequence[str], place: str) -> TokenIds:
    lists = [_integers(field, place) for field in fields]
    if len({len(numbers) for numbers in lists}) > 1 or not lists[0]:
        lengths = ", ".join(str(len(numbers)) for numbers in lists)
        raise BadInputError(
            f"{place}, has {lengths} token, segment and position ids; accepted are as many of each, at least one."
        )
    return TokenIds(*lists)


def _integers(field: str, place: str, lowest: int = 0) -> tuple[int, ...]:
    parts = field.split()
    if not all(re.fullmatch(r"-?\d+", part) and int(part) >= lowest for part in parts):
        raise BadInputError(
            f"{place}, has {field[:50]!r}; accepted are integers from {lowest} on with blanks between."
        )
    return tuple(map(int, parts))
