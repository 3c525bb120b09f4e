# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Long computations in blocks of rows, each stored when it is done: what was stopped goes on where it stood."""

import io
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from ..errors import BadInputError
from ..files import write_atomically


_FINGERPRINT = "fingerprint.json"


class Blocks:
    """
    Runs functions over ranges of rows and concatenates what they give.

    Args:
        folder (*optional*): Where finished blocks are kept; without it nothing is stored.
        fingerprint (`dict`, *optional*): What the numbers depend on, as JSON can hold it. Blocks of another
            fingerprint are refused.
        progress (`bool`, defaults to False): Whether to show bars.

    Raises:
        BadInputError: If the folder holds blocks of another fingerprint; the sentence says what differs.
    """

    def __init__(
        self,
        folder: str | os.PathLike | None = None,
        fingerprint: Mapping[str, Any] | None = None,
        progress: bool = False,
    ):
        self.folder, self.progress = None if folder is None else Path(folder), progress
        self._fingerprint = json.loads(json.dumps(fingerprint or {}))
        path = None if self.folder is None else self.folder / _FINGERPRINT
        if path is None or not path.is_file():  # the folder is made when there is something to store
            return
        found = json.loads(path.read_bytes())
        if found != self._fingerprint:
            keys = [key for key in {**found, **self._fingerprint} if found.get(key) != self._fingerprint.get(key)]
            raise BadInputError(
                f"{self.folder} holds an unfinished evaluation that differs in {', '.join(keys)}; accepted are the "
                "same model, data and options, or another output folder."
            )

    def run(
        self, name: str, total: int, size: int, compute: Callable[[int, int], Mapping[str, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        """
        Computes rows 0 to `total`, `size` at a time; blocks that are stored already are read.

        Args:
            name (`str`): Of the computation, a file name.
            total, size (`int`): Number of rows, at least 1, and rows of a block.
            compute: From first and last row (exclusive) to arrays by name; each is concatenated along its first axis.
        """
        parts = []
        bar = tqdm(total=total, desc=name, unit="row", disable=not self.progress)
        for start in range(0, total, size):
            stop = min(start + size, total)
            path = None if self.folder is None else self.folder / f"{name}-{start:09d}-{stop:09d}.npz"
            if path is not None and path.is_file():
                with np.load(path, allow_pickle=False) as stored:
                    parts.append({key: stored[key] for key in stored})
            else:
                parts.append({key: np.asarray(value) for key, value in compute(start, stop).items()})
                if path is not None:
                    self._store(path, parts[-1])
            bar.update(stop - start)
        bar.close()
        # A block without rows does not know how wide they would be.
        return {
            key: np.concatenate([part[key] for part in parts if len(part[key])] or [parts[0][key]]) for key in parts[0]
        }

    def forget(self, name: str) -> None:
        """Removes what is stored of a computation, and the folder with the last one."""
        if self.folder is None or not self.folder.is_dir():
            return
        for path in list(self.folder.iterdir()):
            if re.fullmatch(rf"{re.escape(name)}-\d{{9}}-\d{{9}}\.npz", path.name):
                path.unlink()
        if not any(self.folder.glob("*.npz")):
            shutil.rmtree(self.folder)

    def claim(self) -> None:
        """Marks the folder as one of this fingerprint, for what others store in it."""
        if self.folder is not None and not (self.folder / _FINGERPRINT).is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self.folder / _FINGERPRINT, json.dumps(self._fingerprint, indent=2) + "\n")

    def _store(self, path: Path, part: Mapping[str, np.ndarray]) -> None:
        self.claim()
        buffer = io.BytesIO()
        np.savez(buffer, **part)  # type: ignore[arg-type]
        write_atomically(path, buffer.getvalue())
