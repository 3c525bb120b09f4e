# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Writing a converted checkpoint, never more than a piece of it in memory."""

import json
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from ..errors import BadInputError
from .paddle import iterate_blocks


DTYPES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}
"""Types that a checkpoint can be written in -> their names in a safetensors header."""


@dataclass(frozen=True)
class Tensor:
    """
    One tensor to write.

    Args:
        name (`str`): Its key.
        shape (`tuple[int, ...]`): Its shape as written.
        load (`Callable[[], np.ndarray]`): Gives the array, of that shape and any memory order.
    """

    name: str
    shape: tuple[int, ...]
    load: Callable[[], np.ndarray]


def write_safetensors(path: Path, tensors: Sequence[Tensor], dtype: str) -> None:
    """
    Writes a safetensors file tensor by tensor, in the given order. The library's own `save_file` wants all at once.

    Args:
        path: The file.
        tensors: What to write.
        dtype: One of [`DTYPES`].

    Raises:
        BadInputError: If a value is finite and float16 is too small for it.
    """
    item_size = 4 if dtype == "float32" else 2
    header: dict[str, dict] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in tensors:
        start, end = end, end + math.prod(tensor.shape) * item_size
        header[tensor.name] = {"dtype": DTYPES[dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    with open(path, "wb") as handle:
        handle.write(struct.pack("<Q", len(encoded)) + encoded)
        for tensor in progress(tensors, "converting"):
            for block in iterate_blocks(tensor.load()):
                handle.write(_encode(block, dtype, tensor.name))


def progress(items: Sequence[Tensor], description: str) -> tqdm:
    """A bar over the tensors, on a terminal only."""
    return tqdm(items, desc=description, unit="tensor", disable=None, leave=False)


def _encode(block: np.ndarray, dtype: str, name: str) -> memoryview:
    """The block's bytes in the type asked for, little-endian."""
    if dtype == "float32":
        return np.ascontiguousarray(block, dtype="<f4").data.cast("B")
    if dtype == "bfloat16":
        # numpy has no bfloat16. The copy is torch's to write on: a map of a read-only file is not.
        values = torch.from_numpy(np.array(block, dtype=np.float32, order="C")).to(torch.bfloat16)
        return values.view(torch.int16).numpy().data.cast("B")
    with np.errstate(over="ignore"):
        values16 = np.ascontiguousarray(block, dtype="<f2")
    if np.isinf(values16).sum() > np.isinf(block).sum():
        raise BadInputError(f"{name} has values beyond the range of float16; bfloat16 holds them.")
    return values16.data.cast("B")
