# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Rates and shares by kind; operations are counted as known by hand; the machine's rate is one a product reaches."""

import json
import time

import pytest
import torch
from torch.nn import functional as F

from hf_unimo.errors import BadInputError
from hf_unimo.training.throughput import Throughput, count_flops, flop_counter, matrix_product_rate


def filled() -> Throughput:
    throughput = Throughput()
    throughput.add("pairs", rows=100, seconds=4.0, flops=6e9)
    throughput.add("pairs", rows=50, seconds=2.0)
    throughput.add("text", rows=300, seconds=2.0, flops=1e9)
    return throughput


def test_summary():
    summary = filled().summary(peak_flops=2e9)
    assert (summary["rows"], summary["seconds"], summary["peak_flops"]) == (450, 8.0, 2e9)
    pairs, text = summary["kinds"]["pairs"], summary["kinds"]["text"]
    assert pairs == {
        "rows": 150,
        "seconds": 6.0,
        "rows_per_second": 25.0,
        "share_of_time": 0.75,
        "share_of_peak": 0.75,  # of the 4 seconds whose operations are known
    }
    assert (text["rows_per_second"], text["share_of_time"], text["share_of_peak"]) == (150.0, 0.25, 0.25)


def test_what_is_not_known_is_none():
    assert Throughput().summary(1e9) == {"rows": 0, "seconds": 0, "peak_flops": 1e9, "kinds": {}}
    throughput = Throughput()
    throughput.add("images", rows=10, seconds=1.0)
    throughput.add("text", rows=10, seconds=0.0)
    kinds = throughput.summary(1e9)["kinds"]
    assert kinds["images"]["share_of_peak"] is None and kinds["text"]["rows_per_second"] is None
    assert filled().summary()["kinds"]["pairs"]["share_of_peak"] is None


@pytest.mark.parametrize(
    "rows, seconds, flops", [(-1, 1.0, None), (1, -1.0, None), (1, 1.0, -1.0), (1, float("nan"), 1)]
)
def test_negative_numbers(rows, seconds, flops):
    with pytest.raises(ValueError, match="must be finite and 0 or greater"):
        Throughput().add("pairs", rows, seconds, flops)


def test_it_goes_on_after_resumption():
    resumed = Throughput()
    resumed.add("images", rows=1, seconds=1.0)
    resumed.load_state_dict(json.loads(json.dumps(filled().state_dict())))
    whole = filled()
    for throughput in (resumed, whole):
        throughput.add("pairs", rows=7, seconds=0.5, flops=1e9)
    assert resumed.summary(2e9) == whole.summary(2e9)


@pytest.mark.parametrize("total", [3, {"rows": 1}, {"rows": 1, "seconds": "2", "counted_seconds": 0, "flops": 0}])
def test_wrong_state(total):
    throughput = filled()
    with pytest.raises(BadInputError, match=r"saved throughput of 'pairs' is .*expected a number for each of counted"):
        throughput.load_state_dict({"pairs": total})
    assert throughput.summary() == filled().summary()


def test_flops_of_a_linear_layer():
    layer = torch.nn.Linear(3, 7)
    plain, tracked = torch.randn(5, 3), torch.randn(5, 3, requires_grad=True)
    product = 2 * 5 * 3 * 7
    assert count_flops(lambda: layer(plain)) == product
    assert count_flops(lambda: layer(plain).sum().backward()) == 2 * product
    assert count_flops(lambda: layer(tracked).sum().backward()) == 3 * product


@pytest.mark.parametrize("fused", [True, False])
def test_flops_of_attention(fused):
    """The fused attention of the CPU is not among what `FlopCounterMode` knows."""
    rows, heads, length, width = 2, 3, 16, 8
    query, key, value = (torch.randn(rows, heads, length, width, requires_grad=True) for _ in range(3))
    product = 2 * rows * heads * length * length * width

    def attend():
        if fused:
            return F.scaled_dot_product_attention(query, key, value)
        return (query @ key.mT * width**-0.5).softmax(-1) @ value

    assert count_flops(attend) == 2 * product
    # Four products backward; the fused one multiplies query and key again.
    assert count_flops(lambda: attend().sum().backward()) == (2 + 4 + fused) * product


def test_counting_changes_nothing():
    def train():
        torch.manual_seed(0)
        layers = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(0.5), torch.nn.Linear(4, 1))
        layers(torch.randn(8, 4)).sum().backward()
        return torch.stack([layers[0].weight.grad.sum(), torch.rand(())])

    expected = train()
    with flop_counter() as counter:
        assert torch.equal(train(), expected)
    # Forward and the weights' gradients in both layers; the states' gradient in the second.
    assert counter.get_total_flops() == 2 * 8 * 4 * (2 * (4 + 1) + 1)


def test_the_machine_reaches_its_rate():
    state = torch.get_rng_state()
    start = time.perf_counter()
    rate = matrix_product_rate("cpu", seconds=0.5)
    assert time.perf_counter() - start < 5
    assert torch.equal(torch.get_rng_state(), state)

    # A run made of products alone: at the rate or below, and not at a small part of it.
    size = 512
    left, right = torch.randn(size, size), torch.randn(size, size)
    operations = count_flops(lambda: left @ right)
    assert operations == 2 * size**3
    throughput, best = Throughput(), 0.0
    for _ in range(20):
        start = time.perf_counter()
        left @ right
        seconds = time.perf_counter() - start
        throughput.add("pairs", rows=size, seconds=seconds, flops=operations)
        best = max(best, operations / seconds)
    share = throughput.summary(rate)["kinds"]["pairs"]["share_of_peak"]
    assert 0 < share < 1.5  # other processes may have had the machine while the rate was measured
    assert best / 3 < rate < 20 * best


def test_rate_in_a_short_time_and_in_half_precision():
    start = time.perf_counter()
    assert matrix_product_rate("cpu", seconds=0.0) > 0
    assert matrix_product_rate(torch.device("cpu"), torch.bfloat16, seconds=0.05) > 0
    assert time.perf_counter() - start < 5
