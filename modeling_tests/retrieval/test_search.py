# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The best rows are those of a naive ranking in float64, whatever the blocks, types and numbers of queries."""

import numpy as np
import pytest
import torch

from hf_unimo.retrieval import search
from hf_unimo.retrieval.search import exact_top_k


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of a few rows, so that a small matrix has many of them."""
    monkeypatch.setattr(search, "ROWS_AT_ONCE", 16)
    monkeypatch.setattr(search, "ROWS_OF_ONE_QUERY", 48)
    monkeypatch.setattr(search, "QUERIES_AT_ONCE", 4)


def rows_of(number=203, width=24, seed=0) -> torch.Tensor:
    return torch.from_numpy(np.random.RandomState(seed).randn(number, width).astype(np.float32))


def longest(matrix) -> float:
    return float(np.linalg.norm(matrix.double().numpy(), axis=1).max(initial=0))


def naive(matrix, queries, top_k, hidden=()):
    """All products in float64, as float32; the best first, equal ones by row."""
    scores = (matrix.double().numpy() @ queries.astype(np.float64).T).T.astype(np.float32)
    scores[:, list(hidden)] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, : min(top_k, len(matrix) - len(hidden))]
    return np.take_along_axis(scores, order, axis=1), order


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("number", [1, 3, 4, 9])
@pytest.mark.parametrize("top_k", [1, 10, 60, 500])
def test_hits_are_those_of_a_naive_ranking(dtype, number, top_k):
    matrix = rows_of().to(dtype)
    queries = rows_of(number, seed=1).numpy()
    found = exact_top_k(matrix, queries, top_k, longest(matrix))
    scores, rows = naive(matrix, queries, top_k)
    assert np.array_equal(found.rows, rows)
    assert np.array_equal(found.scores, scores)
    assert found.scores.dtype == np.float32 and found.rows.dtype == np.int64


@pytest.mark.parametrize("number", [1, 5])
def test_hidden_rows_are_never_found(number):
    matrix, queries = rows_of(), rows_of(number, seed=1).numpy()
    hidden = np.unique(np.concatenate([naive(matrix, queries, 3)[1].ravel(), np.arange(40, 90)]))
    found = exact_top_k(matrix, queries, 10, longest(matrix), hidden)
    scores, rows = naive(matrix, queries, 10, hidden)
    assert np.array_equal(found.rows, rows) and np.array_equal(found.scores, scores)
    everything = np.arange(len(matrix))
    assert exact_top_k(matrix, queries, 10, longest(matrix), everything).rows.shape == (number, 0)
    (left,) = exact_top_k(matrix, queries[:1], 10, longest(matrix), everything[:-1]).rows
    assert left.tolist() == [len(matrix) - 1]


@pytest.mark.parametrize("number", [1, 5])
def test_equal_rows_rank_by_number(number):
    """A row again and again, at places that blocks and vector units treat in different ways."""
    matrix = rows_of(seed=2)
    queries = rows_of(number, seed=3).numpy()
    places = [3, 16, 17, 47, 48, 95, 130, 202]
    matrix[places] = torch.from_numpy(queries[0]) * 3
    found = exact_top_k(matrix, queries, 8, longest(matrix))
    assert found.rows[0].tolist() == places
    assert len(set(found.scores[0].tolist())) == 1
    same = torch.ones(150, 24)
    assert exact_top_k(same, queries, 7, longest(same)).rows.tolist() == [list(range(7))] * number


def test_rows_that_float32_cannot_tell_apart():
    """Sums that cancel: float32 gets them wrong by more than they differ, and float64 decides."""
    random = np.random.RandomState(0)
    row = random.randn(400).astype(np.float32)
    queries = np.concatenate([row, row])[None] * np.float32(1000)
    matrix = np.tile(np.concatenate([row, -row]), (60, 1))
    matrix[:, 7] += random.permutation(60).astype(np.float32) * np.float32(2e-6)  # exact products: up to 0.02
    matrix = torch.from_numpy(matrix)
    scores, rows = naive(matrix, queries, 10)
    rounded = (matrix.numpy() @ queries[0]).astype(np.float32)
    assert not np.array_equal(np.argsort(-rounded, kind="stable")[:10], rows[0])
    found = exact_top_k(matrix, queries, 10, longest(matrix))
    assert np.array_equal(found.rows, rows)
    # Both sum 800 products of up to 10^4 in float64, each in its order.
    np.testing.assert_allclose(found.scores, scores, rtol=1e-6, atol=1e-9)


def test_queries_together_are_queries_alone():
    matrix, queries = rows_of().bfloat16(), rows_of(6, seed=4).numpy()
    together = exact_top_k(matrix, queries, 10, longest(matrix))
    for number in range(6):
        alone = exact_top_k(matrix, queries[number : number + 1], 10, longest(matrix))
        assert np.array_equal(alone.rows[0], together.rows[number])
        assert np.array_equal(alone.scores[0], together.scores[number])


def test_few_rows_are_multiplied_twice(monkeypatch):
    """What makes it fast: the second, exact product is for those alone that can be among the best."""
    read = []
    whole = torch.Tensor.double
    monkeypatch.setattr(torch.Tensor, "double", lambda tensor: read.append(tensor.shape) or whole(tensor))
    matrix, queries = rows_of(2000), rows_of(5, seed=5).numpy()
    norm = longest(matrix)
    read.clear()
    exact_top_k(matrix, queries, 4, norm)
    assert sum(shape[0] for shape in read if len(shape) == 2) < 5 * 4 + 5


def test_a_matrix_without_rows_and_no_queries():
    empty = torch.empty(0, 24)
    assert exact_top_k(empty, rows_of(3).numpy(), 10, 0.0).rows.shape == (3, 0)
    assert exact_top_k(rows_of(), np.empty((0, 24), np.float32), 10, 9.0).rows.shape == (0, 10)
