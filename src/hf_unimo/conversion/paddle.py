# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
PaddlePaddle's parameter files, read and written without PaddlePaddle.

Three layouts hold the same thing, arrays by name: a directory with one binary file per variable (the file's name is
the variable's), one combined file (the same records one behind the other, sorted by variable name, without the names),
and `.pdparams` (a pickle, see `paddle_pickle.py`).

A reader only indexes: it checks every size that a header declares against the file before anything is allocated, and
hands out [`StoredArray`]s, which map their part of the file when they are loaded. So reading costs no anonymous
memory, except of a pickle, whose data are held from the beginning.

One record of the binary format, little-endian:

| bytes | meaning |
|---|---|
| uint32 | version of the outer format, 0 |
| uint64 | number of level-of-detail entries (0 for parameters), each a uint64 size and that many bytes |
| uint32 | version of the tensor, 0 |
| int32 | length of the descriptor |
| descriptor | protobuf: field 1 is the data type, field 2 (repeated) one dimension each |
| rest | the data, C order |
"""

import math
import os
import stat
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from ..errors import BadInputError


DATA_TYPES = {
    0: "bool",
    1: "<i2",
    2: "<i4",
    3: "<i8",
    4: "<f2",
    5: "<f4",
    6: "<f8",
    20: "u1",
    21: "i1",
    22: "bfloat16",
    23: "<c8",
    24: "<c16",
}
"""Number of a data type in a record's descriptor -> its numpy name; numpy has no `bfloat16`, it is held as `<u2`."""

_FLOAT32 = 5
_MAX_LEVELS = 16
_MAX_DESCRIPTOR = 4096
_MAX_RANK = 8
_MAX_NAME = 255


@dataclass(frozen=True)
class StoredArray:
    """
    An array that lies in a file, not yet read, or in the data of a pickle.

    Args:
        path (`Path`): The file.
        offset (`int`): Where the data begin.
        dtype (`str`): A numpy type name, or `"bfloat16"`.
        shape (`tuple[int, ...]`): Dimensions, all at least 1.
        fortran (`bool`): Whether the first dimension runs fastest.
        data (`bytes`, `bytearray` or `str`, *optional*): The data, if a pickle held them; as text if it was of
            protocol 2, where each byte is one character.
    """

    path: Path
    offset: int
    dtype: str
    shape: tuple[int, ...]
    fortran: bool = False
    data: bytes | bytearray | str | None = field(default=None, repr=False)

    @property
    def nbytes(self) -> int:
        """Size of the data in bytes."""
        return math.prod(self.shape) * item_size(self.dtype)

    def load(self) -> np.ndarray:
        """The array: a read-only map of the file or a view of the data where the bytes are as numpy wants them."""
        dtype = np.dtype("<u2" if self.dtype == "bfloat16" else self.dtype)
        order: Literal["F", "C"] = "F" if self.fortran else "C"
        array: np.ndarray
        if self.data is None:
            array = np.memmap(self.path, dtype=dtype, mode="r", offset=self.offset, shape=self.shape, order=order)
        else:
            array = np.frombuffer(self._data_bytes(), dtype).reshape(self.shape, order=order)
        if self.dtype == "bfloat16":
            return (array.astype("<u4") << 16).view("<f4")
        return array

    def _data_bytes(self) -> bytes | bytearray:
        if not isinstance(self.data, str):
            return self.data or b""
        try:
            return self.data.encode("latin-1")
        except UnicodeEncodeError:
            raise BadInputError(f"{self.path}: the text that holds an array is not bytes as text.") from None


def item_size(dtype: str) -> int:
    """Bytes of one element."""
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


def read_variables(source: str | os.PathLike, names: Iterable[str] | None = None) -> Mapping[str, StoredArray]:
    """
    Indexes a checkpoint in any of the three layouts.

    Args:
        source: A directory with one file per variable, a combined file, or a `.pdparams` file.
        names (*optional*): For a combined file, which holds none: its variables' names, in any order.

    Returns:
        Name -> [`StoredArray`]. A directory's headers are read when a name is asked for, because it may hold other
        files too; the other two layouts are checked as a whole, now.

    Raises:
        BadInputError: For anything that is none of the three, with the file and what is wrong with it.
    """
    source = Path(source)
    kind = _mode(source)
    if stat.S_ISDIR(kind):
        if names is not None:
            raise BadInputError(
                f"{source} is a directory, whose files carry their names; names go with a combined file."
            )
        return VariableDirectory(source)
    if not stat.S_ISREG(kind):
        raise BadInputError(f"{source} is neither a file nor a directory.")
    with open(source, "rb") as handle:
        first = handle.read(1)
    if first == b"\x80" or source.suffix == ".pdparams":
        from .paddle_pickle import read_pickle

        if names is not None:
            raise BadInputError(f"{source} is a pickle, which carries its names; names go with a combined file.")
        return read_pickle(source)
    return read_combined(source, names)


class VariableDirectory(Mapping[str, StoredArray]):
    """A directory with one file per variable. Links are refused: they could lead out of the directory."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._names: dict[str, None] = {}
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_symlink():
                    raise BadInputError(
                        f"{entry.path} is a symbolic link, which could lead out of the folder; copy the file."
                    )
                if entry.is_file(follow_symlinks=False):
                    self._names[entry.name] = None
        self._names = dict.fromkeys(sorted(self._names))

    def __getitem__(self, name: str) -> StoredArray:
        if name not in self._names:
            raise KeyError(name)
        path = self.folder / name
        size = path.stat().st_size
        with open(path, "rb") as handle:
            array = read_record(handle, path, size)
        if array.offset + array.nbytes != size:
            extra = size - array.offset - array.nbytes
            raise BadInputError(f"{path}: {extra} bytes too many for shape {array.shape}, so it is not one variable.")
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def read_combined(path: Path, names: Iterable[str] | None) -> dict[str, StoredArray]:
    """Indexes a combined file; its records belong to `sorted(names)`. Raises [`BadInputError`] on unequal counts."""
    size = path.stat().st_size
    records: list[StoredArray] = []
    with open(path, "rb") as handle:
        position = 0
        while position < size or not records:
            handle.seek(position)
            record = read_record(handle, path, size)
            records.append(record)
            position = record.offset + record.nbytes
    if names is None:
        raise BadInputError(
            f"{path} is a combined file of {len(records)} variables, which holds no names; give them "
            "(--names FILE, one a line)."
        )
    ordered = sorted(check_names(names))
    if len(ordered) != len(records):
        raise BadInputError(f"{path} holds {len(records)} variables, but {len(ordered)} names were given.")
    return dict(zip(ordered, records))


def check_names(names: Iterable[str]) -> list[str]:
    """The names as a list, if each could be a file's name and none is there twice; else [`BadInputError`]."""
    names = list(names)
    seen = set()
    for name in names:
        if not name or len(name) > _MAX_NAME or name in {".", ".."} or any(char in name for char in "/\\\0"):
            raise BadInputError(f"{name[:80]!r} cannot be a variable's name: it would lead out of its folder.")
        if name in seen:
            raise BadInputError(f"The name {name!r} is given twice.")
        seen.add(name)
    return names


def read_record(handle: BinaryIO, path: Path, size: int) -> StoredArray:
    """
    Reads one record's header, at the handle's position.

    Args:
        handle: The open file.
        path: Its path, for messages and for the result.
        size: Its size; a record that declares more than that is refused before anything is allocated.

    Raises:
        BadInputError: Wrong version numbers, a truncated file, impossible dimensions, an unknown data type.
    """
    version, levels = _unpack(handle, path, "<IQ")
    if version != 0 or levels > _MAX_LEVELS:
        raise BadInputError(f"{path} is not a Paddle variable: it does not begin with the format's version number.")
    for _ in range(levels):
        (length,) = _unpack(handle, path, "<Q")
        if length > size - handle.tell():
            raise BadInputError(f"{path} is truncated: it declares {length} bytes that are not there.")
        handle.seek(length, os.SEEK_CUR)
    tensor_version, length = _unpack(handle, path, "<Ii")
    if tensor_version != 0 or not 0 < length <= _MAX_DESCRIPTOR:
        raise BadInputError(
            f"{path} is not a Paddle variable: the tensor's version or descriptor length is impossible."
        )
    dtype, shape = _parse_descriptor(_read(handle, path, length), path)
    array = StoredArray(path, handle.tell(), dtype, shape)
    if array.offset + array.nbytes > size:
        raise BadInputError(
            f"{path} is truncated or damaged: shape {shape} takes {array.nbytes} bytes, "
            f"{size - array.offset} are there."
        )
    return array


def check_shape(shape: Iterable[int], where: object) -> tuple[int, ...]:
    """The shape as a tuple, if it is one that a parameter can have; else [`BadInputError`]."""
    shape = tuple(shape)
    if len(shape) > _MAX_RANK or any(not isinstance(size, int) or size < 1 for size in shape):
        raise BadInputError(f"{where}: {shape[: _MAX_RANK + 1]} is not a possible shape.")
    return shape


def write_variable(handle: BinaryIO, array: np.ndarray) -> None:
    """Writes one record: a float32 array of any memory order, in pieces."""
    dimensions = b"".join(b"\x10" + _varint(size) for size in array.shape)
    descriptor = bytes([0x08, _FLOAT32]) + dimensions
    handle.write(struct.pack("<IQIi", 0, 0, 0, len(descriptor)) + descriptor)
    for block in iterate_blocks(array):
        handle.write(np.ascontiguousarray(block, dtype="<f4").data)


def iterate_blocks(array: np.ndarray, elements: int = 1 << 20) -> Iterator[np.ndarray]:
    """Slices along the first dimension of about `elements` elements, so that a copy of one is small."""
    array = array.reshape(1) if array.ndim == 0 else array
    rows = max(1, elements // max(1, math.prod(array.shape[1:])))
    for start in range(0, array.shape[0], rows):
        yield array[start : start + rows]


def _parse_descriptor(descriptor: bytes, path: Path) -> tuple[str, tuple[int, ...]]:
    number, dimensions, position = None, [], 0
    while position < len(descriptor):
        tag = descriptor[position]
        value, position = _read_varint(descriptor, position + 1, path)
        if tag == 0x08:
            number = value
        elif tag == 0x10:
            dimensions.append(value)
        elif tag == 0x12:
            end = position + value
            while position < min(end, len(descriptor)):
                dimension, position = _read_varint(descriptor, position, path)
                dimensions.append(dimension)
            if position != end:
                raise BadInputError(f"{path}: the tensor's descriptor is damaged.")
        else:
            raise BadInputError(f"{path}: the tensor's descriptor has the unknown field {tag:#x}.")
    if number not in DATA_TYPES:
        raise BadInputError(f"{path}: data type number {number} is unknown.")
    # A negative dimension is a varint of 64 bits with the highest set.
    signed = [size - (1 << 64) if size >> 63 else size for size in dimensions]
    return DATA_TYPES[number], check_shape(signed, path)


def _read_varint(data: bytes, position: int, path: Path) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise BadInputError(f"{path}: the tensor's descriptor is damaged.")


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _unpack(handle: BinaryIO, path: Path, layout: str) -> tuple[int, ...]:
    return struct.unpack(layout, _read(handle, path, struct.calcsize(layout)))


def _read(handle: BinaryIO, path: Path, length: int) -> bytes:
    data = handle.read(length)
    if len(data) != length:
        raise BadInputError(f"{path} is truncated: it ends inside a header.")
    return data


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError as error:
        raise BadInputError(f"{path} cannot be read: {error.strerror}.") from None
