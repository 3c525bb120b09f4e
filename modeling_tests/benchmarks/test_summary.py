# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Medians, rates, ratios."""

import pytest

from benchmarks.summary import summarize

from .made_up import result


def test_medians_and_ratios():
    rows = summarize(result())
    assert list(rows) == ["products", "one", "two", "two, compiled"]  # what has no round has no row
    one, two, fast = rows["one"], rows["two"], rows["two, compiled"]
    assert one.seconds == 2.0 and one.spread == 4.0 and one.rounds == 3
    assert one.per_second == 4.0 and one.flops_per_item == 100
    # The machine is slow in the last round, and so is its limit; the share is that of each round.
    assert one.share == 0.2 and two.share == 0.4 and rows["products"].share is None
    assert (one.ratio, two.ratio, fast.ratio) == (1.0, 1.0, 2.0)
    assert fast.flops == two.flops == 1600 and fast.share == 2 * two.share
    assert one.figures == {"late over early": 2.0}


def test_without_a_limit_there_is_no_share_and_without_a_partner_no_ratio():
    found = result()
    for turn in found["rounds"]:
        del turn["samples"]["one"], turn["samples"]["two"]["limit"]
    rows = summarize(found)
    assert rows["two"].share is None and rows["two"].ratio is None
    assert rows["two"].seconds == pytest.approx(2.0)
