# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Batches by length: every row once, the longest first, equal lengths in their order, less padding."""

from itertools import pairwise

import numpy as np
import pytest

from hf_unimo.data.buckets import bucketed
from hf_unimo.errors import BadInputError


def test_batches():
    assert bucketed([3, 7, 3, 9, 7], 2) == [[3, 1], [4, 0], [2]]
    assert bucketed([5, 5, 5, 5], 3) == [[0, 1, 2], [3]]
    assert bucketed([4], 8) == [[0]] and bucketed([], 8) == []


@pytest.mark.parametrize("batch_size", (1, 3, 32, 1000))
@pytest.mark.parametrize("max_tokens", (None, 1, 64, 300))
def test_every_row_once(batch_size, max_tokens):
    lengths = np.random.RandomState(0).randint(0, 80, 500).tolist()
    batches = bucketed(lengths, batch_size, max_tokens)
    rows = [row for batch in batches for row in batch]
    assert sorted(rows) == list(range(500))
    ordered = [lengths[row] for row in rows]
    assert ordered == sorted(ordered, reverse=True)
    assert all(one < two for one, two in pairwise(rows) if lengths[one] == lengths[two])
    assert all(0 < len(batch) <= batch_size for batch in batches)
    if max_tokens is not None:
        assert all(len(batch) * lengths[batch[0]] <= max_tokens or len(batch) == 1 for batch in batches)
    assert bucketed(lengths, batch_size, max_tokens) == batches


def test_no_batch_is_smaller_than_it_has_to_be():
    lengths = np.random.RandomState(1).randint(1, 50, 200).tolist()
    assert len(bucketed(lengths, 32)) == 7
    batches = bucketed(lengths, 32, 400)
    for batch in batches[:-1]:  # one row more would be too many
        assert len(batch) == 32 or (len(batch) + 1) * lengths[batch[0]] > 400


def test_padding():
    """In order a batch is padded to the longest of any rows; sorted, nearly nothing is padding."""
    lengths = np.random.RandomState(2).randint(4, 65, 1024)

    def padded(batches) -> int:
        return sum(len(batch) * max(lengths[row] for row in batch) for batch in batches) - lengths.sum()

    in_order = padded([list(range(start, start + 32)) for start in range(0, 1024, 32)])
    assert padded(bucketed(lengths.tolist(), 32)) < in_order / 20


@pytest.mark.parametrize("settings", ({"batch_size": 0}, {"batch_size": 2, "max_tokens": 0}))
def test_refused(settings):
    with pytest.raises(BadInputError, match=f"`{list(settings)[-1]}` is 0; accepted are"):
        bucketed([1, 2], **settings)
