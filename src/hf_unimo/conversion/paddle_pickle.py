# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
A restricted unpickler for `.pdparams`: numpy arrays by name, in plain containers, and nothing else.

A pickle is a program that calls what it names. Here it gets a stand-in of ours for each name in [`ALLOWED`], and every
other name is refused. numpy itself is not called: it would allocate any shape that a stranger's file declares.
"""

import pickle
import pickletools
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import BadInputError
from .paddle import StoredArray, check_shape


_NAME_TABLE = "StructuredToParameterName@@"  # what Paddle saves beside the arrays
_NUMBERS = {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"}
_MAX_TUPLES = 50_000  # eight an array; a key of more, one in the other, would overflow the interpreter's stack


class _Refusal(pickle.UnpicklingError):
    """Says what is refused, as the rest of a sentence that begins with the path."""


class _StandIn:
    """A pickle may set the state of whatever it holds, of these classes too; it ends here."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        raise _Refusal("sets the state of something that has none")


class _AsItIs(_StandIn):
    """For `_codecs.encode`, around bytes that protocol 2 holds as text, and `tuple`, around one: no copy is made."""

    def __new__(cls, value: Any, codec: str = "latin1") -> Any:
        if codec != "latin1" or not isinstance(value, str | tuple):
            raise _Refusal(f"encodes a {type(value).__name__} as {codec!r:.80}")
        return value


class _Dictionary(_StandIn, dict):
    """For `OrderedDict`. Without arguments, with which one could be copied over and over."""

    def __init__(self) -> None:
        super().__init__()


class _DataType(_StandIn):
    """For `numpy.dtype`."""

    def __init__(self, name: str, *_: Any):
        if name not in _NUMBERS:
            raise _Refusal(f"holds an array of type {name!r:.80}, which is not a number's")
        self.name, self.order = name, "="

    def __setstate__(self, state: tuple) -> None:
        self.order = state[1]


class _Array(_StandIn):
    """For `numpy.ndarray` and for `_reconstruct`, which makes an empty one that gets its content as state."""

    content: tuple = ()

    def __init__(self, *_: Any):
        pass

    def __setstate__(self, state: tuple) -> None:
        self.content = state[1:]

    def stored(self, path: Path, name: str) -> StoredArray:
        """The array, if its parts fit together. Its data are those of the pickle, not a copy."""
        match self.content:
            case (tuple() as shape, _DataType() as dtype, bool() as fortran, (bytes() | bytearray() | str()) as data):
                kind = np.dtype((">" if dtype.order == ">" else "<") + dtype.name).str
                stored = StoredArray(path, 0, kind, check_shape(shape, f"{path}, {name}"), fortran, data)
            case _:
                raise _Refusal(f"holds {name}, an array whose content is not numbers")
        if stored.nbytes != len(data):
            raise _Refusal(f"holds {name}, whose shape {shape} takes {stored.nbytes} bytes, but {len(data)} are there")
        return stored


class _ArrayOfBuffer(_Array):
    """For `_frombuffer` of protocol 5."""

    def __init__(self, data: Any, dtype: Any, shape: Any, order: str, *_: Any):
        if order not in ("C", "F"):
            raise _Refusal(f"holds an array of memory order {order!r:.80}, neither C nor F")
        self.content = (shape, dtype, order == "F", data)


ALLOWED = {
    "numpy.ndarray": _Array,
    "numpy.dtype": _DataType,
    "numpy.core.multiarray._reconstruct": _Array,
    "numpy._core.multiarray._reconstruct": _Array,
    "numpy.core.numeric._frombuffer": _ArrayOfBuffer,
    "numpy._core.numeric._frombuffer": _ArrayOfBuffer,
    "_codecs.encode": _AsItIs,
    "collections.OrderedDict": _Dictionary,  # what `state_dict()` gives
    "builtins.tuple": _AsItIs,  # Paddle 2.1 and later save a tensor as the pair of its name and its array
    "__builtin__.tuple": _AsItIs,
}
"""Every name that may stand in a pickle of arrays -> what the pickle gets for it."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        if f"{module}.{name}" not in ALLOWED:
            asked = ascii(f"{module}.{name}")[1:-1]
            raise _Refusal(f"asks for {asked:.200}, which is neither an array nor a plain container; nothing was run")
        return ALLOWED[f"{module}.{name}"]

    def persistent_load(self, pid: Any) -> None:
        raise _Refusal("refers to objects outside of it by persistent ids")


def read_pickle(path: Path) -> dict[str, StoredArray]:
    """
    Reads a `.pdparams` file: a dictionary of arrays by name, and perhaps Paddle's table of names, which is ignored.

    Raises:
        BadInputError: For a pickle of anything else, naming what it asks for; a truncated or damaged one.
    """
    size = path.stat().st_size
    try:
        with open(path, "rb") as handle:
            _check_program(handle, size)
            handle.seek(0)
            # Python 2 wrote bytes as it wrote text; as Latin-1, nothing is lost.
            value = _Unpickler(handle, encoding="latin1").load()
        if not isinstance(value, dict):
            raise _Refusal(f"holds a {type(value).__name__}, not a dictionary of arrays by name")
        arrays = {name: _stored(path, name, entry) for name, entry in value.items() if name != _NAME_TABLE}
    except (BadInputError, OSError):
        raise
    except _Refusal as error:
        raise BadInputError(f"{path} {error}.") from None
    except MemoryError:
        raise BadInputError(f"{path} asks for more memory than there is.") from None
    except Exception as error:  # the documentation of pickle names no complete list
        reason = ascii(str(error))[1:-1]
        raise BadInputError(f"{path} is truncated, damaged or no pickle of arrays: {reason:.200}.") from None
    # The same data may stand under several names, but not under so many that converting them fills the disk.
    if not 0 < sum(array.nbytes for array in arrays.values()) <= 4 * size:
        raise BadInputError(f"{path} declares no arrays, or many times more than its {size} bytes can hold.")
    return arrays


def _check_program(handle: BinaryIO, size: int) -> None:
    """Refuses what would exhaust the interpreter before the unpickler asks us: a memo of any length, deep tuples."""
    tuples = 0
    for operation, argument, _ in pickletools.genops(handle):
        tuples += operation.name.startswith("TUPLE")
        puts = operation.name in ("PUT", "BINPUT", "LONG_BINPUT")
        if tuples > _MAX_TUPLES or (puts and (argument or 0) > size):
            raise _Refusal("is a pickle that no arrays need, with more objects than there can be")


def _stored(path: Path, name: Any, entry: Any) -> StoredArray:
    if isinstance(entry, tuple) and len(entry) == 2:
        entry = entry[1]
    if not isinstance(name, str):
        raise _Refusal(f"holds an entry whose key is of type {type(name).__name__}, not a name")
    if not isinstance(entry, _Array):
        raise _Refusal(f"holds an entry {ascii(name)[:80]} of type {type(entry).__name__.lstrip('_')}, not an array")
    return entry.stored(path, ascii(name)[:80])
