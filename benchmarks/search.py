# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""How long an exact search takes, against reading the stored features once."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hf_unimo.retrieval.index import DTYPES, VectorIndex


QUERIES = 32
LIMITS = {"fp32, 1 query": 2.0, "bf16, 1 query": 4.0, "fp32, 32 queries": 8.0}
"""
What a search may take at most, as a multiple of one read of its own features. 32 queries of bf16 have no limit: the
products take as long as those of fp32, against a read of half the bytes.
"""

_ROWS_AT_ONCE = 10_000


def measure_search(rows: int = 100_000, width: int = 768, rounds: int = 7, top_k: int = 10) -> dict:
    """
    Searches an index of random unit vectors in a temporary folder, pages in the cache, with as many threads as torch
    and numpy are set to. Reads and searches take turns.

    Args:
        rows, width (`int`): Of the index.
        rounds (`int`, defaults to 7): Turns after a first one that does not count.
        top_k (`int`, defaults to 10): Hits of a query; the choice of the best is part of the time.

    Returns:
        `dict` with `rows`, `width`, `rounds`, `top_k`; `seconds`: name -> median, the least and the most; `ratios`:
        name -> median search / median read; `limits`: name -> [`LIMITS`]. Reads are `torch.sum` over the map.
    """
    random = np.random.default_rng(0)
    queries = _unit(random, QUERIES, width)
    with tempfile.TemporaryDirectory() as folder:
        indices = {dtype: VectorIndex.create(Path(folder) / dtype, width, dtype) for dtype in DTYPES}
        for start in range(0, rows, _ROWS_AT_ONCE):
            features = _unit(random, min(_ROWS_AT_ONCE, rows - start), width)
            for index in indices.values():
                index.append(features)
        steps: dict[str, Callable[[], object]] = {}
        for dtype, index in indices.items():
            steps[f"{dtype}, read"] = index.features.sum
            steps[f"{dtype}, 1 query"] = lambda index=index: index.search(queries[0], top_k)
            steps[f"{dtype}, {QUERIES} queries"] = lambda index=index: index.search(queries, top_k)
        seconds: dict[str, list[float]] = {name: [] for name in steps}
        for turn in range(rounds + 1):
            for name, step in steps.items():
                start_time = time.perf_counter()
                step()
                if turn:
                    seconds[name].append(time.perf_counter() - start_time)
    median = {name: statistics.median(found) for name, found in seconds.items()}
    return {
        "rows": rows,
        "width": width,
        "rounds": rounds,
        "top_k": top_k,
        "seconds": {name: [median[name], min(found), max(found)] for name, found in seconds.items()},
        "ratios": {
            name: median[name] / median[f"{name.partition(',')[0]}, read"] for name in steps if "read" not in name
        },
        "limits": dict(LIMITS),
    }


def _unit(random: np.random.Generator, rows: int, width: int) -> np.ndarray:
    values = random.standard_normal((rows, width), dtype=np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)
