# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Writing a converted checkpoint: all of it or nothing, and never more than a piece of it in memory."""

import json
import math
import os
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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


def check_destination(destination: str | os.PathLike) -> Path:
    """The path, if nothing would be overwritten there: it does not exist, or is an empty directory."""
    destination = Path(destination)
    if destination.is_symlink() or (destination.exists() and not destination.is_dir()):
        raise BadInputError(f"{destination} exists and is not a directory; name a new one.")
    if destination.is_dir() and any(destination.iterdir()):
        raise BadInputError(f"{destination} exists and is not empty; name a new directory.")
    return destination


@contextmanager
def staged_directory(destination: str | os.PathLike, size: int = 0) -> Iterator[Path]:
    """
    Gives a temporary directory beside `destination` that takes its name when the block ends well, and is removed when
    it does not, together with the parent directories that were made for it.

    Args:
        destination: A directory that does not exist, or is empty.
        size (defaults to 0): Bytes that will be written.

    Raises:
        BadInputError: If `destination` is taken or there is no room for `size` bytes.
    """
    destination = Path(os.path.abspath(check_destination(destination)))
    missing = [folder for folder in destination.parents if not folder.exists()]
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(destination.parent).free
        if size > free:
            raise BadInputError(f"{destination.parent} has {free:,} bytes free, the checkpoint takes {size:,}.")
        staging = Path(tempfile.mkdtemp(prefix=f".{destination.name}.", suffix=".partial", dir=destination.parent))
        try:
            staging.chmod(0o777 & ~_umask())
            yield staging
            os.rename(staging, destination)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
    except BaseException:
        for folder in missing:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        raise


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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
