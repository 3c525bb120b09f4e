# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Targets name rows that exist, and are judged by their bounds."""

from dataclasses import replace

import pytest
import torch

from benchmarks import targets
from benchmarks.captioning_cases import LATE
from benchmarks.cases import all_cases
from benchmarks.loading_cases import PEAK
from benchmarks.retrieval_cases import FUSING, IMAGES, TEXTS, WHOLE
from benchmarks.sizes import BASE
from benchmarks.summary import Row


def row(name, seconds=2.0, flops=8e9, share=0.5, items=8, **figures):
    return Row(
        name=name,
        section="",
        unit="pairs",
        dtype="bf16",
        items=items,
        rounds=1,
        seconds=seconds,
        spread=0.0,
        flops=flops,
        ratio=1.0,
        relative_to="",
        share=share,
        figures=figures,
    )


def rows():
    """One of every case of the full run."""
    figures = {LATE: 1.0, PEAK: 5.0} | dict.fromkeys(targets.SEARCH_LIMITS, 1.5)
    return {case.name: row(case.name, **figures) for case in all_cases(BASE, torch.device("cpu"))}


@pytest.mark.parametrize("target", targets.targets("NVIDIA H200"), ids=lambda target: target.text)
def test_every_target_finds_its_rows_and_without_them_is_not_judged(target):
    assert target.measured(rows()) > 0
    assert target.measured({}) is None and target.met({}) is None


def test_bounds_are_inclusive():
    target = targets.Target("x", lambda rows: rows["x"], 0.9)
    assert target.met({"x": 0.9}) is True and target.met({"x": 0.89}) is False
    target = replace(target, at_least=False)
    assert target.met({"x": 0.9}) is True and target.met({"x": 0.91}) is False


def test_retrieval_by_shortlists_from_its_parts():
    parts = {IMAGES: 3.0, TEXTS: 1.0, FUSING: 6.0, WHOLE: 10.0}
    found = targets.fraction_of_naive({name: row(name, flops=8 * value) for name, value in parts.items()})
    assert found == pytest.approx((1000 * 3 + 5000 * 1 + 288_000 * 6) / (5_000_000 * 10))


def test_utilization_counts_three_forward_passes():
    found = {
        targets.BF16: row(targets.BF16, flops=800.0),
        targets.TRAINING.format("bf16", "sdpa, compiled"): row("", seconds=4.0),
    }
    assert targets.utilization("NVIDIA A100-SXM")(found) == pytest.approx(3 * 100 * 2 / 312e12)
    assert targets.utilization("unknown")(found) is None


def test_speed_of_bf16_is_judged_relative_to_the_limits():
    (target,) = [target for target in targets.targets("cpu") if "speed of bf16" in target.text]
    found = {
        targets.FP32: row("", share=0.5),
        targets.BF16: row("", share=0.375),
    }
    assert target.measured(found) == pytest.approx(0.75) and target.met(found)
