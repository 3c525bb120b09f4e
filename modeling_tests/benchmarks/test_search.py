# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The measurement of searches runs, and its ratios are those of its times. How long it takes is no test's matter."""

import pytest

from benchmarks import search


QUERIES = ("1 query", "32 queries")


def test_a_small_measurement():
    found = search.measure_search(rows=50, width=16, rounds=3, top_k=4)
    assert (found["rows"], found["width"], found["rounds"], found["top_k"]) == (50, 16, 3, 4)
    assert set(found["ratios"]) == {f"{dtype}, {queries}" for dtype in ("fp32", "bf16") for queries in QUERIES}
    assert set(found["limits"]) == set(search.LIMITS) < set(found["ratios"])
    for name, (median, least, most) in found["seconds"].items():
        assert 0 < least <= median <= most, name
    for name, ratio in found["ratios"].items():
        read = found["seconds"][f"{name[:4]}, read"][0]
        assert ratio == pytest.approx(found["seconds"][name][0] / read)
