# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""One measurement of a case."""

from contextlib import contextmanager

import torch

from benchmarks.case import Case, measure, warm_up

from .made_up import case


CPU = torch.device("cpu")


def test_what_a_run_returns_is_kept_and_its_seconds_count():
    assert measure(case("a", figures={"seconds": 7.0, "peak bytes": 3}), CPU) == {"seconds": 7.0, "peak bytes": 3}
    found = measure(case("a"), CPU)
    assert found.keys() == {"seconds"} and 0 <= found["seconds"] < 1


def test_the_context_is_not_timed_and_is_left():
    order = []

    @contextmanager
    def ready():
        order.append("ready")
        yield lambda: order.append("run")
        order.append("left")

    measure(Case("a", "forward", ready), CPU)
    assert order == ["ready", "run", "left"]


def test_operations_are_counted_unless_they_are_another_cases():
    @contextmanager
    def ready():
        yield lambda: torch.ones(2, 3) @ torch.ones(3, 5)

    assert warm_up(Case("a", "forward", ready)) == 2 * 2 * 3 * 5
    assert warm_up(Case("a", "forward", ready, flops_of="b")) is None
