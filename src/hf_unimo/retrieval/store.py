# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""What was encoded, in a folder: rows of named arrays of any shapes, appended block by block, read as memory maps."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import BadInputError
from ..files import write_atomically
from .adapters import Parts


RECORD = "record.json"
_TYPES = {"float32": np.float32, "bfloat16": np.uint16, "int32": np.int32}
"""How each type lies in its file; numpy has no bfloat16."""


class RowStore:
    """
    Rows, in the order of their items. Items that could not be used have no row.

    `NAME.values` holds the elements of one array after the other, `NAME.shapes` the shape of each (int32). The record
    says how much of both is valid: what a stopped process wrote after it is cut off by the next one.

    Args:
        folder: Where it lies; made with the first rows.
        fingerprint (`dict`): What the values depend on, as JSON can hold it.
        types (`dict[str, str]`): Name of an array -> `"float32"`, `"bfloat16"` or `"int32"`. Of others, floating point
            numbers are kept as float32, integers as int32.

    Raises:
        BadInputError: If the folder holds rows with another fingerprint; the sentence says what differs.
    """

    def __init__(
        self, folder: str | os.PathLike, fingerprint: Mapping[str, Any], types: Mapping[str, str] | None = None
    ):
        self.folder, self._types = Path(folder), dict(types or {})
        self._record: dict[str, Any] = {"fingerprint": dict(fingerprint), "items": 0, "failed": [], "arrays": {}}
        found = read_record(self.folder / RECORD, self._record["fingerprint"], "encodings")
        if found is not None:
            self._record = found
            self._cut()
        self._known: dict[str, Any] = {}

    @property
    def items(self) -> int:
        """How many items were dealt with, whether they have a row or not."""
        return self._record["items"]

    @property
    def failed(self) -> list[tuple[int, str]]:
        """Number and reason of each item without a row."""
        return [(number, reason) for number, reason in self._record["failed"]]

    @property
    def kept(self) -> np.ndarray:
        """The numbers of the items that have a row, `(rows,)`, int64."""
        return np.setdiff1d(np.arange(self.items), [number for number, _ in self._record["failed"]])

    def __len__(self) -> int:
        return self.items - len(self._record["failed"])

    @property
    def names(self) -> list[str]:
        """The names of the arrays of each row."""
        return list(self._record["arrays"])

    @property
    def size(self) -> int:
        """Bytes of all values."""
        return sum(array["elements"] * self._element(name).itemsize for name, array in self._record["arrays"].items())

    def pack(self, row: Parts) -> dict[str, np.ndarray]:
        """A row as it is kept: a copy in the types of the store."""
        packed = {}
        for name, values in row.items():
            kind = self._type_of(name, values)
            if kind == "bfloat16":
                packed[name] = values.to(torch.bfloat16).contiguous().view(torch.int16).numpy().view(np.uint16).copy()
            else:
                values = values.float() if kind == "float32" else values  # numpy cannot take bfloat16
                packed[name] = values.numpy().astype(_TYPES[kind])
        return packed

    def append(
        self, rows: Sequence[Mapping[str, np.ndarray]], items: int, failed: Sequence[tuple[int, str]] = ()
    ) -> None:
        """
        Adds what [`pack`] gave, all of it or, if the process is stopped meanwhile, nothing.

        Args:
            rows: The new rows.
            items (`int`): How many items they were: rows, and failed ones.
            failed: Number, among all items, and reason of those without a row.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        arrays = {name: dict(array) for name, array in self._record["arrays"].items()}
        for name in rows[0] if rows else ():
            values = [row[name] for row in rows]
            kind = next(kind for kind, found in _TYPES.items() if found == values[0].dtype)
            array = arrays.setdefault(name, {"type": kind, "dimensions": values[0].ndim, "elements": 0})
            shapes = np.array([value.shape for value in values], np.int32)
            with open(self._path(name, "values"), "ab") as file:
                for value in values:
                    file.write(np.ascontiguousarray(value).data)
                _flush(file)
            with open(self._path(name, "shapes"), "ab") as file:
                file.write(shapes.tobytes())
                _flush(file)
            array["elements"] += int(sum(value.size for value in values))
        self._record |= {
            "arrays": arrays,
            "items": self.items + items,
            "failed": [*self._record["failed"], *map(list, failed)],
        }
        write_atomically(self.folder / RECORD, json.dumps(self._record, indent=2) + "\n")
        self._known.clear()

    def shapes(self, name: str) -> np.ndarray:
        """The shape of each row's array, `(rows, dimensions)`, int32."""
        key = f"{name}.shapes"
        if key not in self._known:
            shape = len(self), self._record["arrays"][name]["dimensions"]
            found = np.fromfile(self._path(name, "shapes"), np.int32, shape[0] * shape[1])
            self._known[key] = found.reshape(shape)
        return self._known[key]

    def sizes(self) -> np.ndarray:
        """Bytes of each row's arrays in 4-byte numbers, `(rows,)`, int64."""
        if "sizes" not in self._known:
            elements = [self.shapes(name).astype(np.int64).prod(1) for name in self.names]
            self._known["sizes"] = 4 * np.sum(elements, axis=0, dtype=np.int64)
        return self._known["sizes"]

    def matrix(self, name: str) -> np.ndarray:
        """`(rows, ...)`, a memory map, of an array that has one shape in all rows."""
        shapes = self.shapes(name)
        if len(shapes) and (shapes != shapes[0]).any():
            raise ValueError(f"The rows of {name!r} differ in shape.")
        return self._values(name).reshape(len(self), *shapes[0]) if len(shapes) else np.zeros((0, 0), np.float32)

    def row(self, name: str, number: int) -> torch.Tensor:
        """One row's array, a copy, in the type it is kept in; integers as int64."""
        offsets, values = self._places(name)
        found = torch.from_numpy(np.array(values[offsets[number] : offsets[number + 1]]).view(self._view(name)))
        if self._record["arrays"][name]["type"] == "bfloat16":
            found = found.view(torch.bfloat16)
        return (found.long() if found.dtype == torch.int32 else found).reshape(tuple(self.shapes(name)[number]))

    def parts(self, number: int, leave_out: Sequence[str] = ()) -> Parts:
        """All arrays of a row."""
        return {name: self.row(name, number) for name in self.names if name not in leave_out}

    def forget(self) -> None:
        """Removes the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _places(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Where each row's elements begin, and all elements."""
        if name not in self._known:
            sizes = self.shapes(name).astype(np.int64).prod(1)
            self._known[name] = np.concatenate([[0], np.cumsum(sizes)]), self._values(name)
        return self._known[name]

    def _values(self, name: str) -> np.ndarray:
        elements = self._record["arrays"][name]["elements"]
        return np.memmap(self._path(name, "values"), self._element(name), "r", shape=(elements,))

    def _element(self, name: str) -> np.dtype:
        return np.dtype(_TYPES[self._record["arrays"][name]["type"]])

    def _view(self, name: str) -> np.dtype:
        """torch knows no shifts of unsigned 16-bit integers, and numpy no bfloat16."""
        element = self._element(name)
        return np.dtype(np.int16) if element == np.uint16 else element

    def _type_of(self, name: str, values: torch.Tensor) -> str:
        return self._types.get(name, "float32") if values.is_floating_point() else "int32"

    def _path(self, name: str, ending: str) -> Path:
        return self.folder / f"{name}.{ending}"

    def _cut(self) -> None:
        """Removes what was written after the last record."""
        for name, array in self._record["arrays"].items():
            sizes = {
                "values": array["elements"] * self._element(name).itemsize,
                "shapes": len(self) * array["dimensions"] * 4,
            }
            for ending, size in sizes.items():
                path = self._path(name, ending)
                if not path.is_file() or path.stat().st_size < size:
                    raise BadInputError(f"{path} is not whole; remove {self.folder} and encode again.")
                os.truncate(path, size)
        for path in [*self.folder.glob("*.values"), *self.folder.glob("*.shapes")]:
            if path.stem not in self._record["arrays"]:
                path.unlink()


def read_record(path: Path, fingerprint: Mapping[str, Any], what: str) -> dict[str, Any] | None:
    """
    A record that an earlier process left, None if there is none.

    Raises:
        BadInputError: If its fingerprint is another one; the sentence says what differs.
    """
    if not path.is_file():
        return None
    record = json.loads(path.read_bytes())
    found, asked = record["fingerprint"], json.loads(json.dumps(fingerprint))
    if found != asked:
        keys = [key for key in {**found, **asked} if found.get(key) != asked.get(key)]
        raise BadInputError(
            f"{path.parent} holds {what} that differ in {', '.join(keys)}; accepted are the same model, data and "
            "settings, or another folder."
        )
    return record


def _flush(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())
