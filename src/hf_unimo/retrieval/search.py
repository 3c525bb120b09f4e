# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The rows of a matrix that have the greatest products with queries: exact, and about as fast as memory is read."""

from typing import NamedTuple

import numpy as np
import torch


ROWS_AT_ONCE = 2048
"""Rows of a product: as float32 they stay in the processor's caches, and threads meet seldom."""

ROWS_OF_ONE_QUERY = 65_536  # a product with one vector reads each row once: caches do not matter, calls do
QUERIES_AT_ONCE = 64

_UNIT = 2.0**-24  # of float32's rounding


class Hits(NamedTuple):
    """
    The best rows of each query, best first.

    Args:
        scores (`(queries, hits)`, float32): Products.
        rows (`(queries, hits)`, int64): Row numbers.
    """

    scores: np.ndarray
    rows: np.ndarray


def exact_top_k(
    matrix: torch.Tensor,
    queries: np.ndarray,
    top_k: int,
    largest_norm: float,
    hidden: np.ndarray | None = None,
) -> Hits:
    """
    The `top_k` rows with the greatest products.

    Products in float32, block by block, leave those rows that can be among the best, as rounding errors are bounded;
    they are multiplied again in float64. So scores depend neither on blocks nor on other queries, equal rows have
    equal scores, and equal scores, as float32, rank by row, the lower one first. Memory: `ROWS_AT_ONCE` rows in
    float32 and their scores of 64 queries, whatever the number of rows (more if many rows are equally good).

    Args:
        matrix (`(rows, width)`): float32 or bfloat16, on the CPU, contiguous; may be a map of a file.
        queries (`(queries, width)`): float32.
        top_k (`int`): At least 1.
        largest_norm (`float`): No row is longer.
        hidden (`(n,)`, int64, *optional*): Row numbers, ascending, that are never found.

    Returns:
        [`Hits`] with as many hits as there are rows that are not hidden, at most `top_k`.
    """
    hidden = np.empty(0, np.int64) if hidden is None else hidden
    top_k = min(top_k, len(matrix) - len(hidden))
    scores, rows = np.empty((len(queries), top_k), np.float32), np.empty((len(queries), top_k), np.int64)
    if top_k:
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            part = slice(start, start + QUERIES_AT_ONCE)
            scores[part], rows[part] = _search(matrix, queries[part], top_k, largest_norm, hidden)
    return Hits(scores, rows)


def _search(
    matrix: torch.Tensor, queries: np.ndarray, top_k: int, largest_norm: float, hidden: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    # A sum of `width` float32 products, in any order, is off by at most width * unit * |row| * |query|; the margin is
    # twice that (once for the k-th best, once for the row), and more for the rounding of the final scores.
    lengths = np.linalg.norm(queries.astype(np.float64), axis=1)
    margin = 2.1 * (matrix.shape[1] + 8) * _UNIT * lengths * largest_norm
    best = _Best(len(queries), top_k, margin)
    product = _Product(matrix, queries)
    for start in range(0, len(matrix), product.rows):
        scores = product(start)
        first, last = np.searchsorted(hidden, (start, start + len(scores)))
        if last > first:
            scores[torch.from_numpy(hidden[first:last] - start)] = -torch.inf
        best.add(scores, start)
    return best.finish(matrix, queries)


class _Product:
    """Products of some rows with all queries, in float32."""

    def __init__(self, matrix: torch.Tensor, queries: np.ndarray):
        self.matrix = matrix
        # A view, which is faster than columns that are contiguous, of a copy: the strides of a single query may be
        # anything, and with some of them a product takes five times as long.
        self.columns = torch.from_numpy(queries).clone(memory_format=torch.contiguous_format).t()
        converted = matrix.dtype != torch.float32
        rows = ROWS_OF_ONE_QUERY if len(queries) == 1 and not converted else ROWS_AT_ONCE
        self.rows = min(rows, len(matrix))
        self.converted = torch.empty(self.rows, matrix.shape[1]) if converted else None
        self.scores = torch.empty(self.rows, len(queries))

    def __call__(self, start: int) -> torch.Tensor:
        """`(rows from start on, queries)`, valid until the next call."""
        block = self.matrix[start : start + self.rows]
        if self.converted is not None:
            block = self.converted[: len(block)].copy_(block)
        scores = self.scores[: len(block)]
        # A part of the rows for each thread: left alone, torch multiplies a matrix by one vector in a single thread.
        parts = min(torch.get_num_threads(), len(block))
        even = len(block) // parts * parts
        shape = (parts, even // parts)
        columns = self.columns.expand(parts, *self.columns.shape)
        torch.bmm(block[:even].view(*shape, -1), columns, out=scores[:even].view(*shape, -1))
        if even < len(block):
            torch.mm(block[even:], self.columns, out=scores[even:])
        return scores


class _Best:
    """Rows that can be among the best so far."""

    def __init__(self, queries: int, top_k: int, margin: np.ndarray):
        self.top_k, self.margin = top_k, margin
        self.least = np.full(queries, -np.inf, np.float32)
        self._clear([])
        self.limit = max(4096, 4 * queries * top_k)

    def _clear(self, kept: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> None:
        self.found = kept
        self.number = sum(len(rows) for _, rows, _ in kept)

    def add(self, scores: torch.Tensor, start: int) -> None:
        """`scores` `(rows, queries)` of the rows from `start` on; those of -inf do not count."""
        if start == 0 and len(scores) >= self.top_k:
            self._raise(scores.t().topk(self.top_k).values[:, -1].double().numpy())
        # numpy finds the few that are true in half torch's time.
        values = scores.numpy().ravel()
        places = np.flatnonzero(scores.numpy() >= self.least)
        places = places[values[places] > -np.inf]
        rows, queries = np.divmod(places, scores.shape[1])
        self.found.append((queries, rows + start, values[places]))
        self.number += len(places)
        if self.number > self.limit:
            self._prune()
            self.limit = max(4096, 2 * self.number)

    def _raise(self, kth: np.ndarray) -> None:
        """What a row must reach, given the `top_k`-th best so far of each query, `(queries,)`; rounded down."""
        least = (kth - self.margin).astype(np.float32)
        self.least = np.maximum(self.least, np.nextafter(least, np.float32(-np.inf)))

    def _prune(self) -> None:
        queries, rows, values = self._ordered()
        starts = np.searchsorted(queries, np.arange(len(self.margin) + 1))
        places = starts[:-1] + self.top_k - 1
        enough = places < starts[1:]
        kth = np.full(len(self.margin), -np.inf)
        kth[enough] = values[places[enough]]
        self._raise(kth)
        kept = values >= self.least[queries]
        self._clear([(queries[kept], rows[kept], values[kept])])

    def _ordered(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """By query, then the best first, then by row."""
        queries, rows, values = (np.concatenate(parts) for parts in zip(*self.found))
        order = np.lexsort((rows, -values, queries))
        return queries[order], rows[order], values[order]

    def finish(self, matrix: torch.Tensor, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores and rows, `(queries, top_k)`: what is left, multiplied again."""
        self._prune()
        queries, rows, values = self.found[0]
        exact = vectors.astype(np.float64)
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            read = matrix[torch.from_numpy(rows[part])].double().numpy()
            values[part] = np.einsum("pw,pw->p", read, exact[queries[part]])
        self._clear([(queries, rows, values)])
        queries, rows, values = self._ordered()
        starts = np.searchsorted(queries, np.arange(len(vectors)))
        places = starts[:, None] + np.arange(self.top_k)
        return values[places], rows[places]
