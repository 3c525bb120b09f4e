# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""From a result to Markdown: what is written is what was measured."""

from dataclasses import asdict

import pytest

from benchmarks.report import table, to_markdown
from benchmarks.sizes import BASE, SMALLEST

from .made_up import described, result


def whole(size=SMALLEST, **cases):
    found = result()
    found["setup"] |= {
        "command": "python -m benchmarks",
        "size": asdict(size),
        "device": "cpu",
        "processor": "Some Processor",
        "cores": 2,
        "threads": 2,
        "versions": {"torch": "2.0"},
        "code": "0123456789ab",
    }
    found["setup"]["cases"] |= cases
    for turn in found["rounds"]:
        turn["samples"]["products"]["inner products"] = 3e9
        turn["samples"] |= {name: {"seconds": 0.5, "limit": 2000.0} for name in cases}
    return found


def cells(text, name):
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_row_says_what_the_rounds_say():
    text = to_markdown(whole())
    # name, GFLOP a pair, share, relative speed, late over early, pairs a second, spread, rounds
    assert cells(text, "one") == ["one", "1e-07", "0.200", "1.00", "2.00", "4", "400.0 %", "3"]
    assert cells(text, "two, compiled") == ["two, compiled", "2e-07", "0.800", "2.00", "", "8", "400.0 %", "3"]
    assert cells(text, "products") == ["products", "1.00", "3", "400.0 %"]
    assert "Relative to: one." in text
    assert "2026-01-01, Some Processor, 2 threads on 2 cores, load average 0.1 at the start and 0.2 at the end" in text


def test_targets_are_judged_at_base_size_only():
    assert "### What was aimed at" not in to_markdown(whole())
    fp32 = {"UNIMO-2 forward, fp32, sdpa": described("forward", "one", "fp32", items=8, flops_of="two")}
    found = whole(BASE, **fp32)
    text = to_markdown(found)
    # 1600 operations in half a second, of 2000 a second
    assert cells(text, "forward, fp32: share of the limit")[1:] == ["at least 0.92", "1.6", "yes"]
    found["flops"]["two"] = 900
    assert cells(to_markdown(found), "forward, fp32: share of the limit")[1:] == ["at least 0.92", "0.9", "**no**"]


def test_the_optimizers_part():
    case = {"AdamW step alone, fp32": described("optimizer", "one", unit="", flops_of="-")}
    assert cells(to_markdown(whole(**case)), "AdamW step alone, fp32")[1:] == ["25.0 %"]


def test_parts_of_a_pair_stand_there():
    text = to_markdown(whole(BASE))
    assert cells(text, "image encoder")[1:] == ["35.13", "31.3 %"]
    assert cells(text, r"**pair**")[1] == "112.28"


@pytest.mark.parametrize("lines", ([], [("a", "b")]))
def test_a_table(lines):
    assert table(("x", "y"), lines).splitlines()[:2] == ["| x | y |", "| --- | ---: |"]
    assert len(table(("x", "y"), lines).splitlines()) == 2 + len(lines)
