# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Tar shards as WebDataset writes them: the files of a sample stand side by side and have one name with different
endings, `000123.jpg`, `000123.txt`, `000123.json`. Local or at a URL, read in sequence; nothing is ever unpacked.
"""

import json
import os
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import datasets
from datasets.utils.file_utils import xopen
from fsspec.compression import compr
from fsspec.utils import infer_compression

from ..errors import BadInputError
from .captions import caption_texts
from .images import BadRowError


PICTURE_ENDINGS = ("jpg", "jpeg", "jpe", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "jp2", "ppm", "pgm")
"""What the column `image` stands for: the sample's first file with one of these endings."""

TEXT_ENDINGS = ("txt", "text", "caption", "json")
"""What the column `text` stands for: the first of these endings that the sample has."""

PROBLEM = "__problem__"
"""Column that says why a sample cannot be used; None for all others."""

MAX_FILE_BYTES = 100 << 20
"""A sample's file that is read and larger than this makes the sample unusable."""

MAX_UNUSED_BYTES, MAX_UNUSED_FILES = 8 << 30, 100_000
"""So much of a shard may go by without a sample; what has more, perhaps no end, is refused."""

MAX_SHARDS = 1_000_000
"""So many files may braces stand for."""

_SAMPLES_LOOKED_AT = 20
# Of what a header carries beside itself, such as a long name: tarfile reads it whole, and a thousand in a row.
_MAX_HEADER_BYTES = 1 << 16
_READ_AT_ONCE = 1 << 16
_BRACES = re.compile(r"\{([^{}]*)\}")


def expand_braces(path: str) -> list[str]:
    """
    The paths that braces stand for: `{000..099}` for numbers, with zeros ahead if one of the two has them, `{a,b}` for
    one after the other. Any other braces stay as they are.

    Raises:
        BadInputError: If the numbers fall, or there are more than `MAX_SHARDS` paths.
    """
    found = _BRACES.search(path)
    if found is None:
        return [path]
    span = re.fullmatch(r"(\d{1,18})\.\.(\d{1,18})", found[1])
    if span:
        first, last = int(span[1]), int(span[2])
        if not 0 <= last - first < MAX_SHARDS:
            raise BadInputError(
                f"The braces of {path!r} count from {first} to {last}; accepted are 1 to {MAX_SHARDS:,} numbers that "
                "rise."
            )
        padded = any(len(text) > 1 and text.startswith("0") for text in span.groups())
        width = max(map(len, span.groups())) if padded else 0
        choices = [f"{number:0{width}}" for number in range(first, last + 1)]
    else:
        choices = found[1].split(",") if "," in found[1] else [found[0]]
    rests = expand_braces(path[found.end() :])
    if len(choices) * len(rests) > MAX_SHARDS:
        raise BadInputError(f"The braces of {path!r} stand for more than {MAX_SHARDS:,} files.")
    return [path[: found.start()] + choice + rest for choice in choices for rest in rests]


def is_url(path: str) -> bool:
    """Whether `path` is something that fsspec opens, and not a file's path."""
    return "://" in path


def shard_columns(shard: str) -> dict[str, Any]:
    """
    What the first samples of a shard have: column -> a value. Columns are endings (`jpg`, `seg.png`, `txt`), the keys
    of objects in `.json` files behind `json.` (`json.lang`, `json.meta.lang`), and `image` and `text`, for what
    `PICTURE_ENDINGS` and `TEXT_ENDINGS` name.
    """
    found: dict[str, Any] = {}
    for sample in islice(read_samples(shard, None), _SAMPLES_LOOKED_AT):
        for column in [*sample.files, *(column for column in ("image", "text") if sample.ending(column))]:
            found.setdefault(column, "")
        if "json" in sample.files:
            try:
                inside = sample.value("json")
            except BadRowError:
                continue
            found |= {name: value for name, value in _flat("json", inside) if found.get(name) is None}
    return found


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and name.count(".") < 5:
        for key, inner in value.items():
            yield f"{name}.{key}", inner
            yield from _flat(f"{name}.{key}", inner)


@dataclass(frozen=True)
class ShardRows:
    """
    The rows of shards, one for each sample that has a file that is asked for. Made to be a generator of `datasets`:
    `ShardRows(...)(shards=[...])`.

    Args:
        image_column (`str`, *optional*): Ending of pictures, or "image". None: no pictures.
        text_columns (sequence of `str`): Endings of texts, keys behind `json.`, or "text".
        value_columns (mapping of `str` to `type`): Further columns, of `str`, `int`, `float` or `bool`; what is of
            another type, or not there, is None.

    A picture is `{"bytes", "path"}`, a text column the list of its captions (`hf_unimo.data.captions`). A sample that
    cannot be used is a row that says why under `PROBLEM`.
    """

    image_column: str | None
    text_columns: Sequence[str]
    value_columns: Mapping[str, type] = field(default_factory=dict)

    @property
    def features(self) -> datasets.Features:
        """The columns' types."""
        types = {str: "string", int: "int64", float: "float64", bool: "bool"}
        features: dict[str, Any] = {column: datasets.Value(types[kind]) for column, kind in self.value_columns.items()}
        features |= dict.fromkeys(self.text_columns, datasets.List(datasets.Value("string")))
        if self.image_column is not None:
            features[self.image_column] = datasets.Image(decode=False)
        return datasets.Features({**features, PROBLEM: datasets.Value("string")})

    def stream(self, shards: Sequence[str]) -> datasets.IterableDataset:
        """The rows in sequence; each shard can be read by itself."""
        return datasets.IterableDataset.from_generator(self, self.features, {"shards": list(shards)})

    def table(self, shards: Sequence[str]) -> datasets.Dataset:
        """The rows by number, from a copy in the cache of `datasets`, which is made anew when a shard has changed."""
        stamped = [(shard, os.stat(shard).st_size, os.stat(shard).st_mtime_ns) for shard in shards]
        # Few rows at once, because each may have MAX_FILE_BYTES.
        return datasets.Dataset.from_generator(
            self, self.features, gen_kwargs={"shards": stamped}, writer_batch_size=16
        )

    def __call__(self, shards: Sequence[str | tuple[str, int, int]]) -> Iterator[dict[str, Any]]:
        columns = [*filter(None, [self.image_column]), *self.text_columns, *self.value_columns]
        wanted = set().union(*map(_endings, columns))
        for shard in shards:
            for sample in read_samples(shard if isinstance(shard, str) else shard[0], wanted):
                yield self._row(sample)

    def _row(self, sample: "Sample") -> dict[str, Any]:
        row: dict[str, Any] = dict.fromkeys(self.features)
        try:
            if sample.problem is not None:
                raise BadRowError(sample.problem)
            for column in self.text_columns:
                row[column] = list(caption_texts(sample.value(column)))
            for column, kind in self.value_columns.items():
                row[column] = _typed(sample.value(column), kind)
            if self.image_column is not None:
                row[self.image_column] = sample.picture(self.image_column)
        except BadRowError as error:
            row[PROBLEM] = f"{error} ({sample.name})"
        return row


def _endings(column: str) -> tuple[str, ...]:
    """The endings of the files that a column can be made of, the first one first."""
    if column in ("image", "text"):
        return PICTURE_ENDINGS if column == "image" else TEXT_ENDINGS
    return ("json",) if column.startswith("json.") else (column,)


def _typed(value: Any, kind: type) -> Any:
    if isinstance(value, str) and kind in (int, float):  # of a file such as `000123.cls`
        try:
            return kind(value)
        except ValueError:
            return None
    return value if type(value) is kind else float(value) if kind is float and type(value) is int else None


@dataclass
class Sample:
    """
    A sample of a shard.

    Args:
        shard (`str`): Name of its file.
        key (`str`): Its files' path up to the first dot of the name.
        files (mapping of `str` to `bytes`): Ending -> content, in the order of the shard.
        problem (`str`, *optional*): Why it cannot be used.
    """

    shard: str
    key: str
    files: dict[str, bytes] = field(default_factory=dict)
    problem: str | None = None

    @property
    def name(self) -> str:
        """For messages: `00000.tar: 000123`."""
        return f"{self.shard}: {os.path.basename(self.key)}"

    def ending(self, column: str) -> str | None:
        """The ending of the file that holds a column, if there is one."""
        if column == "image":
            return next((ending for ending in self.files if ending in PICTURE_ENDINGS), None)
        return next((ending for ending in _endings(column) if ending in self.files), None)

    def picture(self, column: str) -> dict[str, Any] | None:
        """A column of pictures as `hf_unimo.data.images.read_image` takes them. Never a path: a stranger wrote it."""
        ending = self.ending(column)
        return None if ending is None else {"bytes": self.files[ending], "path": f"{self.name}.{ending}"}

    def value(self, column: str) -> Any:
        """A text, or what JSON holds; None if it is not there. Raises a `BadRowError` if it cannot be read."""
        ending = self.ending(column)
        if ending is None:
            return None
        try:
            text = self.files[ending].decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise BadRowError(f"its .{ending} is no UTF-8") from error
        if ending != "json":
            return text
        try:
            value = json.loads(text)
            json.dumps(value, ensure_ascii=False).encode()  # half a character, which no file can hold, can be escaped
        except (ValueError, RecursionError) as error:
            raise BadRowError("its .json is not JSON") from error
        for key in column.split(".")[1:] if column.startswith("json.") else ():
            value = value.get(key) if isinstance(value, dict) else None
        return value


def read_samples(shard: str, wanted: set[str] | None) -> Iterator[Sample]:
    """
    The samples of a shard that have a file with one of the endings `wanted` (None: any), with these files' contents.

    Links, folders and devices are passed over, whatever their paths are. Files without an ending belong to no sample.

    Raises:
        ShardError: If the shard is not whole, is no tar file, or goes on without samples.
    """
    place = os.path.basename(urlsplit(shard).path if is_url(shard) else shard)
    try:
        with _opened(shard) as file:
            yield from _samples(place, _Limited(file), wanted)
    except Exception as error:  # whatever fsspec, a decompressor and tarfile raise
        text = " ".join(str(error).split()) or type(error).__name__
        raise ShardError(f"{place!r}: {text}") from error


class ShardError(Exception):
    """A shard cannot be read to its end."""


def _samples(place: str, file: "_Limited", wanted: set[str] | None) -> Iterator[Sample]:
    sample = None
    with tarfile.open(fileobj=file, mode="r|", tarinfo=_Header, bufsize=_READ_AT_ONCE) as archive:  # type: ignore
        for member in iter(archive.next, None):
            archive.members.clear()  # kept, they would grow with the shard
            archive.pax_headers.clear()
            file.count_file()
            if not 0 <= member.size <= MAX_UNUSED_BYTES:  # tarfile would pass over what is not there in small steps
                raise ShardError(f"{member.name[:100]!r} in it is said to have {member.size} bytes")
            folder, name = os.path.split(member.name)
            stem, dot, ending = name.partition(".")
            if not (member.isreg() and not member.issparse() and stem and dot and ending):
                continue
            key, ending = os.path.join(folder, stem), ending.lower()
            if sample is None or sample.key != key:
                if sample is not None and (sample.files or sample.problem):
                    yield sample
                    file.start_again()
                sample = Sample(place, key)
            if wanted is not None and ending not in wanted:
                continue
            if ending in sample.files:
                sample.problem = f"it has two files that end in .{ending}"
            elif member.size > MAX_FILE_BYTES:
                sample.problem = f"its .{ending} has {member.size} bytes; accepted are up to {MAX_FILE_BYTES}"
            else:
                sample.files[ending] = archive.extractfile(member).read()  # type: ignore[union-attr]
    if sample is not None and (sample.files or sample.problem):
        yield sample


class _Header(tarfile.TarInfo):
    """A header that is refused where tarfile would take its time or its memory, or end as if all had been read."""

    @classmethod
    def frombuf(cls, buf, encoding, errors):
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise  # the end, as it should be
        except tarfile.HeaderError as error:
            raise ShardError("it ends, or goes wrong, in the middle") from error
        additional = header.type not in (*tarfile.REGULAR_TYPES, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE)
        large = header.size > (_MAX_HEADER_BYTES if additional else MAX_UNUSED_BYTES)
        if header.size < 0 or large or header.type == tarfile.GNUTYPE_SPARSE:
            raise ShardError("it has a header that no data set needs")
        return header


class _Limited:
    """A file that may be read up to `MAX_UNUSED_BYTES` in `MAX_UNUSED_FILES` without a sample between."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self.start_again()

    def start_again(self) -> None:
        self._bytes = self._files = 0

    def count_file(self) -> None:
        self._files += 1
        self._check()

    def read(self, size: int) -> bytes:
        found = self._file.read(size)
        self._bytes += len(found)
        self._check()
        return found

    def _check(self) -> None:
        if self._bytes > MAX_UNUSED_BYTES or self._files > MAX_UNUSED_FILES:
            raise ShardError(f"{self._bytes} bytes in {self._files} files went by without a sample")


@contextmanager
def _opened(shard: str) -> Iterator[BinaryIO]:
    """The tar file, decompressed, so that what is read is what is counted. `datasets` tries lost connections again."""
    with ExitStack() as stack:
        file = stack.enter_context(xopen(shard, "rb"))
        compression = infer_compression(urlsplit(shard).path if is_url(shard) else shard)
        if compression is not None:
            file = stack.enter_context(compr[compression](file, mode="rb"))
        yield file
