# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
A restricted unpickler for `.pdparams`: numpy arrays by name, in plain containers, and nothing else.

A pickle is a program. This one is run by a machine that imports and calls nothing: each global it names must be in
[`ALLOWED`], which says what the call *means* here, and every other is refused by name. Python's own unpickler, with
`find_class` restricted, would still allocate what a stranger's file declares (an array of any shape, a memo of any
length), and would hold all data at once. Here an array is an entry of an index, a [`StoredArray`]: its data stay in
the file.
"""

import math
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import BadInputError
from .paddle import StoredArray, check_shape


ALLOWED = {
    "numpy.ndarray": "array class",
    "numpy.dtype": "data type",
    "numpy.core.multiarray._reconstruct": "empty array",
    "numpy._core.multiarray._reconstruct": "empty array",
    "numpy.core.numeric._frombuffer": "array from bytes",
    "numpy._core.numeric._frombuffer": "array from bytes",
    "_codecs.encode": "bytes from text",
    "collections.OrderedDict": "dictionary",
    "builtins.tuple": "tuple",
    "__builtin__.tuple": "tuple",
}
"""Every global that may stand in a pickle of arrays -> what it stands for."""

_MAX_OPERATIONS = 1_000_000  # the large model with optimizer state takes a fifth
_SHORT = 4096  # longer strings are data: they stay in the file
_MARK = object()
_PROTOCOLS = range(2, 6)


@dataclass(frozen=True)
class _Global:
    name: str


@dataclass(frozen=True)
class _Bytes:
    """Bytes that stay in the file; `text` where the file holds them as UTF-8 text with a character for a byte."""

    offset: int
    length: int
    text: bool = False


@dataclass
class _DataType:
    name: str
    order: str = "="


@dataclass
class _Array:
    """What `_reconstruct` made and BUILD fills."""

    stored: StoredArray | None = None


@dataclass
class _Machine:
    """The pickle machine: a stack, a memo, and a file that is read once, front to back."""

    handle: BinaryIO
    path: Path
    size: int
    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def run(self) -> Any:
        """Runs to STOP and returns the value. Raises [`BadInputError`]."""
        protocol = self.read(2)
        if protocol[0] != 0x80 or protocol[1] not in _PROTOCOLS:
            raise BadInputError(f"{self.path} is not a pickle of protocol 2 to 5, as a .pdparams file is.")
        for _ in range(_MAX_OPERATIONS):
            code = self.read(1)
            if code == b".":
                return self.pop()
            operation = _OPERATIONS.get(code)
            if operation is None:
                raise BadInputError(
                    f"{self.path}: pickle operation {code!r} is not needed for arrays, and is refused."
                )
            operation(self)
        raise BadInputError(
            f"{self.path}: more than {_MAX_OPERATIONS} pickle operations, more than any checkpoint takes."
        )

    def read(self, length: int) -> bytes:
        data = self.handle.read(length)
        if len(data) != length:
            raise BadInputError(f"{self.path} is truncated.")
        return data

    def unpack(self, layout: str) -> int:
        return struct.unpack(layout, self.read(struct.calcsize(layout)))[0]

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise self.damaged()
        return self.stack.pop()

    def top(self) -> Any:
        if not self.stack:
            raise self.damaged()
        return self.stack[-1]

    def pop_to_mark(self) -> list[Any]:
        for index in range(len(self.stack) - 1, -1, -1):
            if self.stack[index] is _MARK:
                values = self.stack[index + 1 :]
                del self.stack[index:]
                return values
        raise self.damaged()

    def damaged(self) -> BadInputError:
        return BadInputError(f"{self.path} is a damaged pickle, or one of something else than arrays.")

    # Reading values

    def text(self, layout: str) -> None:
        """A string; a long one is an array's data, written as text by protocol 2."""
        data = self.data(layout, text=True)
        self.push(data if isinstance(data, _Bytes) else self.decode(data))

    def raw(self, layout: str) -> None:
        """Bytes. They are an array's data however short, so their place is noted, too."""
        length = self.unpack(layout)
        self.push(self.skip(length, text=False))

    def byte_string(self, layout: str) -> None:
        """A string of Python 2: a name or an array's data, in the same operation."""
        length = self.unpack(layout)
        offset = self.handle.tell()
        if length < 0 or length > _SHORT:
            self.push(self.skip(length, text=False))
        else:
            self.push(_ShortString(self.read(length).decode("latin-1"), _Bytes(offset, length)))

    def data(self, layout: str, text: bool) -> bytes | _Bytes:
        length = self.unpack(layout)
        return self.skip(length, text) if length > _SHORT else self.read(length)

    def skip(self, length: int, text: bool) -> _Bytes:
        offset = self.handle.tell()
        if length < 0 or length > self.size - offset:
            raise BadInputError(f"{self.path} is truncated: it declares {length} bytes that are not there.")
        self.handle.seek(length, 1)
        return _Bytes(offset, length, text)

    def decode(self, data: bytes) -> "_ShortString":
        offset = self.handle.tell() - len(data)
        try:
            return _ShortString(data.decode("utf-8", "surrogatepass"), _Bytes(offset, len(data), text=True))
        except UnicodeDecodeError:
            raise self.damaged() from None

    # Globals and calls

    def global_by_lines(self) -> None:
        lines = [self.handle.readline(_SHORT) for _ in range(2)]
        if not all(line.endswith(b"\n") for line in lines):
            raise self.damaged()
        self.push(self.find(*(line[:-1].decode("utf-8", "replace") for line in lines)))

    def global_from_stack(self) -> None:
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise self.damaged()
        self.push(self.find(module, name))

    def find(self, module: str, name: str) -> _Global:
        if f"{module}.{name}" not in ALLOWED:
            raise BadInputError(
                f"{self.path} asks for {module}.{name}, which is neither an array nor a plain container; "
                "nothing was run."
            )
        return _Global(f"{module}.{name}")

    def reduce(self) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, _Global) or not isinstance(arguments, tuple):
            raise self.damaged()
        self.push(self.call(ALLOWED[function.name], arguments))

    def call(self, meaning: str, arguments: tuple) -> Any:
        """What the call of an allowed global stands for."""
        match meaning, arguments:
            case "empty array", (_Global("numpy.ndarray"), _, _):
                return _Array()
            case "data type", (str() as name, *_):
                return _DataType(str(name))
            case "array from bytes", (_Bytes() as data, _DataType() as dtype, tuple() as shape, str() as order):
                return _Array(self.store(data, dtype, shape, order == "F"))
            case "bytes from text", (_Bytes(text=True) as data, str() as codec) if codec == "latin1":
                return data
            case "bytes from text", (_ShortString() as string, str() as codec) if codec == "latin1":
                return string.place
            case "dictionary", ():
                return {}
            case "tuple", (tuple() as values,):
                return values
        raise self.damaged()

    def build(self) -> None:
        state, value = self.pop(), self.top()
        match value, state:
            case _DataType(), (int(), str() as order, None, None, None, *_):
                value.order = str(order)
            case _Array(stored=None), (int(), tuple() as shape, _DataType() as dtype, bool() as fortran, data):
                if isinstance(data, _ShortString):
                    data = data.place
                if not isinstance(data, _Bytes):
                    raise BadInputError(f"{self.path}: an array's data are objects, not numbers; refused.")
                value.stored = self.store(data, dtype, shape, fortran)
            case _:
                raise self.damaged()

    def store(self, data: _Bytes, dtype: _DataType, shape: tuple, fortran: bool) -> StoredArray:
        """An index entry, once the type is a number's and the sizes agree."""
        if dtype.name not in _NUMBERS:
            raise BadInputError(f"{self.path}: an array's type {dtype.name!r} is not a number's; refused.")
        name = np.dtype(dtype.name).newbyteorder(">" if dtype.order == ">" else "<").str
        stored = StoredArray(
            self.path, data.offset, name, check_shape(shape, self.path), fortran, data.length if data.text else None
        )
        # Of text, a character is a byte of the array and one or two of the file; the exact count comes out on reading.
        if not (data.length if not data.text else (data.length + 1) // 2) <= stored.nbytes <= data.length:
            raise BadInputError(
                f"{self.path}: an array of shape {stored.shape} takes {stored.nbytes} bytes, {data.length} are there."
            )
        return stored

    # Containers

    def set_items(self, values: list[Any]) -> None:
        target = self.top()
        if not isinstance(target, dict) or len(values) % 2:
            raise self.damaged()
        for key, value in zip(values[::2], values[1::2]):
            if not isinstance(key, str | int):
                raise self.damaged()
            target[str(key) if isinstance(key, str) else key] = value

    def append_items(self, values: list[Any]) -> None:
        if not isinstance(self.top(), list):
            raise self.damaged()
        self.top().extend(values)

    def put(self, index: int) -> None:
        self.memo[index] = self.top()

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise self.damaged()
        self.push(self.memo[index])

    def take(self, count: int) -> tuple:
        return tuple(reversed([self.pop() for _ in range(count)]))


class _ShortString(str):
    """A string that also knows where it lies: it may turn out to be a small array's data."""

    place: _Bytes

    def __new__(cls, value: str, place: _Bytes) -> "_ShortString":
        string = super().__new__(cls, value)
        string.place = place
        return string


_NUMBERS = {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"}

_OPERATIONS: dict[bytes, Any] = {
    b"\x95": lambda machine: machine.read(8),  # FRAME
    b"\x94": lambda machine: machine.put(len(machine.memo)),  # MEMOIZE
    b"q": lambda machine: machine.put(machine.unpack("<B")),  # BINPUT
    b"r": lambda machine: machine.put(machine.unpack("<I")),  # LONG_BINPUT
    b"h": lambda machine: machine.get(machine.unpack("<B")),  # BINGET
    b"j": lambda machine: machine.get(machine.unpack("<I")),  # LONG_BINGET
    b"N": lambda machine: machine.push(None),
    b"\x88": lambda machine: machine.push(True),
    b"\x89": lambda machine: machine.push(False),
    b"J": lambda machine: machine.push(machine.unpack("<i")),  # BININT
    b"K": lambda machine: machine.push(machine.unpack("<B")),  # BININT1
    b"M": lambda machine: machine.push(machine.unpack("<H")),  # BININT2
    b"\x8a": lambda machine: machine.push(int.from_bytes(machine.read(machine.unpack("<B")), "little", signed=True)),
    b"G": lambda machine: machine.push(machine.unpack(">d")),  # BINFLOAT
    b"\x8c": lambda machine: machine.text("<B"),  # SHORT_BINUNICODE
    b"X": lambda machine: machine.text("<I"),  # BINUNICODE
    b"\x8d": lambda machine: machine.text("<Q"),  # BINUNICODE8
    b"C": lambda machine: machine.raw("<B"),  # SHORT_BINBYTES
    b"B": lambda machine: machine.raw("<I"),  # BINBYTES
    b"\x8e": lambda machine: machine.raw("<Q"),  # BINBYTES8
    b"\x96": lambda machine: machine.raw("<Q"),  # BYTEARRAY8
    b"U": lambda machine: machine.byte_string("<B"),  # SHORT_BINSTRING
    b"T": lambda machine: machine.byte_string("<i"),  # BINSTRING
    b"c": lambda machine: machine.global_by_lines(),  # GLOBAL
    b"\x93": lambda machine: machine.global_from_stack(),  # STACK_GLOBAL
    b"R": lambda machine: machine.reduce(),  # REDUCE
    b"b": lambda machine: machine.build(),  # BUILD
    b"(": lambda machine: machine.push(_MARK),
    b"}": lambda machine: machine.push({}),
    b"]": lambda machine: machine.push([]),
    b")": lambda machine: machine.push(()),
    b"\x85": lambda machine: machine.push(machine.take(1)),  # TUPLE1
    b"\x86": lambda machine: machine.push(machine.take(2)),  # TUPLE2
    b"\x87": lambda machine: machine.push(machine.take(3)),  # TUPLE3
    b"t": lambda machine: machine.push(tuple(machine.pop_to_mark())),  # TUPLE
    b"s": lambda machine: machine.set_items(list(machine.take(2))),  # SETITEM
    b"u": lambda machine: machine.set_items(machine.pop_to_mark()),  # SETITEMS
    b"a": lambda machine: machine.append_items(list(machine.take(1))),  # APPEND
    b"e": lambda machine: machine.append_items(machine.pop_to_mark()),  # APPENDS
}
"""The operations that pickles of arrays are written with, protocols 2 to 5."""


def read_pickle(path: Path) -> dict[str, StoredArray]:
    """
    Indexes a `.pdparams` file: a dictionary of arrays by name; entries that are no arrays are left out.

    Raises:
        BadInputError: For a pickle of anything else, naming what it asks for; a truncated or damaged one.
    """
    size = path.stat().st_size
    with open(path, "rb") as handle:
        value = _Machine(handle, path, size).run()
    if not isinstance(value, dict):
        raise BadInputError(f"{path} holds no dictionary of arrays by name, as a .pdparams file does.")
    arrays = {}
    for name, entry in value.items():
        # A parameter that was pickled as a tensor object is a pair of its name and its array.
        if isinstance(entry, tuple) and len(entry) == 2:
            entry = entry[1]
        if isinstance(name, str) and isinstance(entry, _Array) and entry.stored is not None:
            arrays[name] = entry.stored
    if not arrays:
        raise BadInputError(f"{path} holds no arrays by name.")
    declared = sum(math.prod(array.shape) for array in arrays.values())
    if declared > size:  # the same data under very many names
        raise BadInputError(f"{path} declares {declared} numbers, more than its {size} bytes can hold.")
    return arrays
