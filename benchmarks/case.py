# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""What is measured: a case, and one measurement of it."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from hf_unimo.training.throughput import count_flops


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

Run = Callable[[], object]
"""Does the work once. A dict of numbers that it returns is kept beside the seconds, its `seconds` in their place."""


@dataclass(frozen=True)
class Case:
    """
    One row of the table.

    Args:
        name (`str`): Unique.
        section (`str`): Which table it stands in.
        ready: Gives a context that yields what is timed. What it does before and after is not timed.
        items (`int`): What one run gets done, in `unit`.
        unit (`str`): "pairs", "images", "texts", "tokens" or "" where only ratios of other figures count.
        dtype (`str`): "fp32" or "bf16": which limit it is compared with; "" for none.
        relative_to (`str`): Name of the case whose items per second are 1.
        flops_of (`str`): Name of the case whose floating point operations it does too, e.g. before compilation; its
            own are counted by default. "-" for none.
        most_rounds (`int`, *optional*): It is left out of later rounds: slow, and not the point.
        only_full (`bool`): Whether it is left out of `--quick`.
        warm_up (`bool`): Whether it runs once before the first round.
    """

    name: str
    section: str
    ready: Callable[[], AbstractContextManager[Run]]
    items: int = 1
    unit: str = ""
    dtype: str = ""
    relative_to: str = ""
    flops_of: str = ""
    most_rounds: int | None = None
    only_full: bool = False
    warm_up: bool = True


def measure(case: Case, device: torch.device) -> dict[str, float]:
    """Runs a case once: its seconds, and what else it returned."""
    with case.ready() as run:
        synchronize(device)
        start = time.perf_counter()
        found = run()
        synchronize(device)
        seconds = time.perf_counter() - start
    own = found if type(found) is dict else {}  # the output of a model is a kind of dict too
    return {"seconds": seconds} | own


def warm_up(case: Case) -> int | None:
    """Runs a case once without timing it. Its floating point operations, where they are its own."""
    with case.ready() as run:
        if not case.flops_of:
            return count_flops(run)
        run()
    return None


def synchronize(device: torch.device) -> None:
    """Waits for all work that was given to `device`."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
