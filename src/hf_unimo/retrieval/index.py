# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
An index of feature vectors in a folder: memory-mapped, append-only, searched exactly.

    manifest.json   what there is: type, width, stamp, and the segments with their sizes and checksums
    features.bin    rows of little-endian float32 or bfloat16
    entries.jsonl   a JSON object a row: what it is
    lock            held by who writes

A segment is what was appended at once. Its rows are written behind those of the others, then the manifest is replaced:
that commits them. What lies behind the last segment was never committed, and the next writer cuts it off. The manifest
names no files, and files are never followed elsewhere, so an index from a stranger is no more than numbers and texts.
"""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import filelock
import numpy as np
import torch

from ..errors import BadInputError, unknown_name
from ..files import staged_directory, write_atomically
from .search import Hits, exact_top_k


FORMAT, VERSION = "hf_unimo vector index", 1
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

MAX_WIDTH = 2**20
MAX_VALUE = 1e15
"""Of a feature: products of accepted vectors are always finite."""

_MANIFEST, _FEATURES, _ENTRIES, _LOCK = "manifest.json", "features.bin", "entries.jsonl", "lock"
_CHUNK = 2**24  # bytes that a checksum reads at once


@dataclass(frozen=True)
class Segment:
    """
    Rows that were appended at once.

    Args:
        rows (`int`): How many.
        entries_bytes (`int`): Size of their entries.
        features_sha256, entries_sha256 (`str`): Checksums of both.
        largest_norm (`float`): The length of the longest row.
        replaced (`tuple[int]`): Rows of the index, before these or among them, that are not found any more.
    """

    rows: int
    entries_bytes: int
    features_sha256: str
    entries_sha256: str
    largest_norm: float
    replaced: tuple[int, ...] = ()


class VectorIndex:
    """
    Feature vectors with what they stand for, in a folder.

        index = VectorIndex.open("pictures.index")
        scores, rows = index.search(queries, top_k=10)

    What was committed when it was opened, or when this object last wrote, is what it shows. Made by
    [`VectorIndex.create`] and [`VectorIndex.open`].

    Args:
        folder (path): Where it lies.
        dtype (`str`): Type of the stored features, `"fp32"` or `"bf16"`.
        width (`int`): Of a row.
        stamp (`dict`): What the features depend on, e.g. the digest of a model. Others are refused by `open`.
        notes (`dict`): What else is known of the whole; nothing depends on it.
    """

    def __init__(self, folder: Path, dtype: str, width: int, stamp: dict[str, Any], notes: dict[str, Any]):
        self.folder, self.dtype, self.width, self.stamp, self.notes = folder, dtype, width, stamp, notes
        self._lock = filelock.FileLock(folder / _LOCK)
        self._map: torch.Tensor | None = None
        self._entries: list[dict[str, Any]] | None = None
        self._set_segments(())

    # -----------------------------------------------------------------------------------------------------------------
    # Making and opening
    # -----------------------------------------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        folder: str | os.PathLike,
        width: int,
        dtype: str = "fp32",
        stamp: Mapping[str, Any] | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> "VectorIndex":
        """
        An index without rows.

        Args:
            folder: A folder that does not exist, or is empty.
            width (`int`): Of the feature vectors.
            dtype (`str`, defaults to `"fp32"`): `"bf16"` halves the size; features are rounded to 8 bits.
            stamp, notes (`dict`, *optional*): See the class; as JSON can hold them.

        Raises:
            BadInputError: If the folder is taken, or width or type are none.
        """
        _check_shape(width, dtype, str(folder))
        folder = Path(folder)
        index = cls(folder, dtype, width, _as_json(stamp, "stamp"), _as_json(notes, "notes"))
        try:
            with staged_directory(folder) as staging:
                (staging / _FEATURES).touch()
                (staging / _ENTRIES).touch()
                write_atomically(staging / _MANIFEST, index._manifest(()))
        except OSError as error:  # also if another process makes the same folder at this moment
            raise BadInputError(f"{folder} cannot be made ({error.strerror}); name another folder.") from error
        return index

    @classmethod
    def open(cls, folder: str | os.PathLike, stamp: Mapping[str, Any] | None = None) -> "VectorIndex":
        """
        An index that is there.

        Args:
            folder: Where it lies.
            stamp (`dict`, *optional*): What the features must depend on; keys that it does not have are not compared.

        Raises:
            BadInputError: If there is no index, its files are damaged or too short, or its stamp is another.
        """
        folder = Path(folder)
        fields, segments = _read_manifest(folder)
        index = cls(folder, **fields)
        for key, value in _as_json(stamp, "stamp").items():
            if index.stamp.get(key) != value:
                raise BadInputError(
                    f"{folder} was made with {key} {_short(index.stamp.get(key))}, but {_short(value)} is given; "
                    "accepted is the same, or a new index."
                )
        index._set_segments(segments)
        return index

    @staticmethod
    def is_index(folder: str | os.PathLike) -> bool:
        """Whether a folder claims to be one."""
        return (Path(folder) / _MANIFEST).is_file()

    # -----------------------------------------------------------------------------------------------------------------
    # What there is
    # -----------------------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Rows, replaced ones included."""
        return self._rows

    @property
    def segments(self) -> tuple[Segment, ...]:
        """What was appended, in order."""
        return self._segments

    @property
    def replaced(self) -> np.ndarray:
        """`(n,)`, int64, ascending: rows that are not found any more."""
        return self._replaced

    @property
    def features(self) -> torch.Tensor:
        """`(rows, width)`, of the stored type: a map of the file. Writing to it changes this map alone."""
        if self._map is None:
            stored, size = ("<f4", 4) if self.dtype == "fp32" else ("<i2", 2)
            if not self._rows:
                return torch.empty(0, self.width, dtype=DTYPES[self.dtype])
            with _opened(self.folder / _FEATURES, "rb", self._rows * self.width * size) as file:
                # "c": a private map. torch wants what it could write to; nobody does.
                mapped = np.memmap(file, dtype=stored, mode="c", shape=(self._rows, self.width))
            self._map = torch.from_numpy(np.asarray(mapped)).view(DTYPES[self.dtype])
        return self._map

    @property
    def entries(self) -> list[dict[str, Any]]:
        """
        What each row is, as it was appended; replaced rows included.

        Raises:
            BadInputError: If the file does not fit its checksums.
        """
        if self._entries is None:
            path = self.folder / _ENTRIES
            found: list[dict[str, Any]] = []
            with _opened(path, "rb", sum(segment.entries_bytes for segment in self._segments)) as file:
                for number, segment in enumerate(self._segments):
                    data = file.read(segment.entries_bytes)
                    if hashlib.sha256(data).hexdigest() != segment.entries_sha256:
                        raise _damaged(path, f"segment {number + 1} does not fit its checksum")
                    found += _parse_entries(path, data, segment.rows)
            self._entries = found
        return self._entries

    def check(self) -> None:
        """
        Reads all and compares it with the checksums.

        Raises:
            BadInputError: If something was changed; the sentence says in which file and segment.
        """
        path, size = self.folder / _FEATURES, DTYPES[self.dtype].itemsize * self.width
        with _opened(path, "rb", self._rows * size) as file:
            for number, segment in enumerate(self._segments):
                digest, left = hashlib.sha256(), segment.rows * size
                while left and (data := file.read(min(_CHUNK, left))):
                    digest.update(data)
                    left -= len(data)
                if digest.hexdigest() != segment.features_sha256:
                    raise _damaged(path, f"segment {number + 1} does not fit its checksum")
        self._entries = None
        assert len(self.entries) == self._rows

    def search(self, queries: Any, top_k: int = 10) -> Hits:
        """
        The rows whose products with queries are greatest: of normalised features, the cosine. Exact: see
        [`~hf_unimo.retrieval.search.exact_top_k`]; features of bf16 are what was stored, products are in full.

        Args:
            queries (`(queries, width)` or `(width,)`, array or tensor): Features of the queries.
            top_k (`int`, defaults to 10): Hits of a query; fewer if there are fewer rows.

        Returns:
            [`Hits`]: `scores` (float32) and `rows` (int64), both `(queries, hits)`, best first; equal scores rank by
            row.

        Raises:
            BadInputError: If the shape is another, or values are not finite.
        """
        if isinstance(top_k, bool) or not isinstance(top_k, int | np.integer) or top_k < 1:
            raise BadInputError(f"The number of hits is {top_k!r}; accepted are integers from 1 on.")
        vectors = self._vectors(queries, "queries")
        norm = max((segment.largest_norm for segment in self._segments), default=0.0)
        return exact_top_k(self.features, vectors, int(top_k), norm, self._replaced)

    # -----------------------------------------------------------------------------------------------------------------
    # Writing
    # -----------------------------------------------------------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[None]:
        """
        Holds the lock for several calls of `append`. What others have committed since this was opened shows then.

        Raises:
            BadInputError: If another process writes, or the folder cannot be written.
        """
        if self._lock.is_locked:
            yield
            return
        if (self.folder / _LOCK).is_symlink():
            raise _damaged(self.folder / _LOCK, "it is a link")
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise BadInputError(f"Another process writes to {self.folder}; try again when it is done.") from error
        except OSError as error:
            raise BadInputError(f"{self.folder} cannot be written ({error.strerror}).") from error
        try:
            fields, segments = _read_manifest(self.folder)
            if any(fields[name] != getattr(self, name) for name in ("dtype", "width", "stamp")):
                raise BadInputError(f"{self.folder} was replaced by another index; open it again.")
            self._set_segments(segments)
            yield
        finally:
            self._lock.release()

    def append(
        self, features: Any, entries: Sequence[Mapping[str, Any]] | None = None, replaced: Sequence[int] = ()
    ) -> None:
        """
        Appends rows as one segment: when this returns, all of them are committed; if it does not, none is.

        Args:
            features (`(n, width)`, array or tensor): Finite values up to 1e15.
            entries (`n` dictionaries, *optional*): What the rows are, as JSON can hold it.
            replaced (*optional*): Rows, those of this call included, that are not to be found any more.

        Raises:
            BadInputError: If something does not fit, there is no room, or another process writes.
        """
        vectors = self._vectors(features, "features")
        entries = [{}] * len(vectors) if entries is None else entries
        if len(entries) != len(vectors):
            raise BadInputError(f"There are {len(entries)} entries for {len(vectors)} rows; accepted is one a row.")
        lines = "".join(json.dumps(_as_json(entry, "entry")) + "\n" for entry in entries).encode()
        stored = torch.from_numpy(vectors).to(DTYPES[self.dtype])
        # numpy has no bfloat16.
        data = (stored.view(torch.int16) if self.dtype == "bf16" else stored).numpy().tobytes()
        norms = np.linalg.norm(stored.double().numpy(), axis=1)
        with self.writing():
            end = self._rows + len(vectors)
            numbers = tuple(sorted({int(row) for row in replaced} - set(self._replaced.tolist())))
            if numbers and not 0 <= numbers[0] <= numbers[-1] < end:
                raise BadInputError(f"Row {numbers[-1]} is to be replaced; accepted are rows from 0 to {end - 1}.")
            segment = Segment(
                len(vectors),
                len(lines),
                hashlib.sha256(data).hexdigest(),
                hashlib.sha256(lines).hexdigest(),
                float(norms.max(initial=0.0)),
                numbers,
            )
            segments = (*self._segments, segment)
            manifest = self._manifest(segments)
            free = shutil.disk_usage(self.folder).free
            if (needed := len(data) + len(lines) + len(manifest)) > free:
                raise BadInputError(f"{self.folder} has {free:,} bytes free, but {needed:,} are needed.")
            try:
                _write_behind(self.folder / _FEATURES, self._rows * self.width * stored.element_size(), data)
                _write_behind(self.folder / _ENTRIES, sum(one.entries_bytes for one in self._segments), lines)
                write_atomically(self.folder / _MANIFEST, manifest)
            except OSError as error:
                raise BadInputError(f"{self.folder} cannot be written ({error.strerror}).") from error
            self._set_segments(segments)

    def remove(self) -> None:
        """
        Deletes the folder of an index without rows, as a build leaves it that found nothing.

        Raises:
            BadInputError: If there are rows, or another process writes.
        """
        with self.writing():
            if self._rows:
                raise BadInputError(f"{self.folder} has {self._rows} rows; accepted is an index without any.")
        shutil.rmtree(self.folder)

    # -----------------------------------------------------------------------------------------------------------------
    # Within
    # -----------------------------------------------------------------------------------------------------------------

    def _set_segments(self, segments: tuple[Segment, ...]) -> None:
        self._segments = segments
        self._rows = sum(segment.rows for segment in segments)
        hidden = {row for segment in segments for row in segment.replaced}
        self._replaced = np.array(sorted(hidden), dtype=np.int64)
        self._map = self._entries = None

    def _manifest(self, segments: Sequence[Segment]) -> str:
        tree = {"format": FORMAT, "version": VERSION, "dtype": self.dtype, "width": self.width}
        tree |= {"stamp": self.stamp, "notes": self.notes, "segments": [asdict(segment) for segment in segments]}
        return json.dumps(tree, indent=1) + "\n"

    def _vectors(self, values: Any, name: str) -> np.ndarray:
        """`(n, width)`, float32, contiguous."""
        if isinstance(values, torch.Tensor):
            values = values.detach().cpu().float().numpy()
        try:
            vectors = np.asarray(values)
            real = vectors.dtype.kind in "fiu"
        except ValueError:  # rows of different lengths
            real = False
        if not real:
            raise BadInputError(f"The {name} are no real numbers; accepted is an array (n, {self.width}) of them.")
        if vectors.shape == (self.width,):
            vectors = vectors[None]
        if vectors.ndim != 2 or vectors.shape[1] != self.width:
            raise BadInputError(f"The {name} have the shape {vectors.shape}; accepted is (n, {self.width}).")
        wrong = ~(np.abs(vectors) <= MAX_VALUE).all(axis=1)
        if wrong.any():
            raise BadInputError(
                f"Row {wrong.argmax()} of the {name} has values that are not finite or beyond {MAX_VALUE:g}; accepted "
                "are others."
            )
        return np.ascontiguousarray(vectors, dtype=np.float32)


def _check_shape(width: Any, dtype: Any, place: str) -> None:
    if isinstance(width, bool) or not isinstance(width, int) or not 1 <= width <= MAX_WIDTH:
        raise BadInputError(f"The width of {place} is {width!r}; accepted are integers from 1 to {MAX_WIDTH}.")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise BadInputError(f"The type of {place} is unknown: {unknown_name(dtype, DTYPES)}")


def _as_json(tree: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    """As it will be read again. Raises BadInputError for what JSON does not hold."""
    try:
        return json.loads(json.dumps(dict(tree or {}), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise BadInputError(f"The {name} cannot be stored ({error}); accepted is what JSON can hold.") from error


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _damaged(path: Path, reason: str) -> BadInputError:
    return BadInputError(f"{path} is damaged: {reason}; build the index anew, or restore it from a copy.")


# ---------------------------------------------------------------------------------------------------------------------
# Files, which may come from a stranger
# ---------------------------------------------------------------------------------------------------------------------


@contextmanager
def _opened(path: Path, mode: str, size: int) -> Iterator[IO[bytes]]:
    """A file of an index, no link, of at least `size` bytes."""
    if path.is_symlink() or not path.is_file():
        raise _damaged(path, "it is a link" if path.is_symlink() else "there is no such file")
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open(path, mode))
        except OSError as error:
            raise BadInputError(f"{path} cannot be opened ({error.strerror}).") from error
        if (found := os.fstat(file.fileno()).st_size) < size:
            raise _damaged(path, f"it has {found:,} bytes, and {size:,} were committed")
        yield file


def _write_behind(path: Path, size: int, data: bytes) -> None:
    """Writes `data` behind the first `size` bytes, which were committed, in place of what else is there."""
    with _opened(path, "r+b", size) as file:
        file.truncate(size)
        file.seek(size)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _read_manifest(folder: Path) -> tuple[dict[str, Any], tuple[Segment, ...]]:
    """What the constructor takes, and the segments; that all is as it must be, and the files long enough."""
    path = folder / _MANIFEST
    if not path.exists() and not path.is_symlink():
        raise BadInputError(f"{folder} is no index: it has no {_MANIFEST}; make one with `hf-unimo index build`.")
    with _opened(path, "rb", 0) as file:
        data = file.read()
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "it is no JSON") from error
    if not isinstance(tree, dict) or tree.get("format") != FORMAT:
        raise BadInputError(f"{folder} is no index: {path} does not say {FORMAT!r}.")
    if tree.get("version") != VERSION:
        raise BadInputError(
            f"{folder} is an index of version {_short(tree.get('version'))}; accepted is version {VERSION}."
        )
    fields: dict[str, Any] = {name: tree.get(name) for name in ("dtype", "width", "stamp", "notes")}
    _check_shape(fields["width"], fields["dtype"], str(path))
    if not isinstance(fields["stamp"], dict) or not isinstance(fields["notes"], dict):
        raise _damaged(path, "stamp and notes are no objects")
    segments = _parse_segments(path, tree.get("segments"))
    rows = sum(segment.rows for segment in segments)
    for name, size in (
        (_FEATURES, rows * fields["width"] * DTYPES[fields["dtype"]].itemsize),
        (_ENTRIES, sum(segment.entries_bytes for segment in segments)),
    ):
        with _opened(folder / name, "rb", size):
            pass
    return fields, segments


def _parse_segments(path: Path, tree: Any) -> tuple[Segment, ...]:
    if not isinstance(tree, list):
        raise _damaged(path, "it has no list of segments")
    segments, rows = [], 0
    for number, one in enumerate(tree):
        try:
            segment = Segment(**{**one, "replaced": tuple(one["replaced"])})
        except (TypeError, KeyError) as error:
            raise _damaged(path, f"segment {number + 1} has other fields") from error
        rows += segment.rows if _is_count(segment.rows) else 0
        fine = _is_count(segment.rows) and _is_count(segment.entries_bytes)
        fine &= all(isinstance(text, str) for text in (segment.features_sha256, segment.entries_sha256))
        fine &= isinstance(segment.largest_norm, float) and 0 <= segment.largest_norm < math.inf
        fine &= all(_is_count(row) and row < rows for row in segment.replaced)
        if not fine:
            raise _damaged(path, f"segment {number + 1} has values that cannot be")
        segments.append(segment)
    return tuple(segments)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _parse_entries(path: Path, data: bytes, rows: int) -> list[dict[str, Any]]:
    try:
        found = [json.loads(line) for line in data.split(b"\n")[:-1]]
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "a line is no JSON") from error
    if len(found) != rows or not all(isinstance(entry, dict) for entry in found):
        raise _damaged(path, f"{len(found)} lines stand for {rows} rows")
    return found
