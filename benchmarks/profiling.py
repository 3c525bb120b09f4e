# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Where the time of a forward pass goes, operator by operator, by `torch.profiler`."""

from collections import defaultdict

import torch
from torch.profiler import ProfilerActivity, profile

from .case import Case
from .report import table


_SHOWN, _PASSES = 12, 3

GROUPS = {
    "matrix products of the layers": ("mm", "addmm", "mkldnn_linear", "linear"),
    "patches": ("convolution",),
    "attention and grounding loss": (
        "flash_attention",
        "efficient_attention",
        "cudnn_attention",
        "bmm",
        "baddbmm",
        "softmax",
    ),
    "activation": ("gelu", "relu", "sigmoid"),
    "normalization": ("layer_norm",),
    "copies": ("copy_", "cat", "clone", "contiguous", "empty", "fill_", "zero_"),
    "dictionary": ("sort", "topk", "where", "gather", "index"),
}
"""Group -> endings or parts of operators' names; the first group that fits counts."""


def profile_case(case: Case, device: torch.device) -> str:
    """Two Markdown tables of a case: its operators by their own time, and these in groups."""
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
    with case.ready() as run:
        run()
        with profile(activities=activities) as profiler:
            for _ in range(_PASSES):
                run()
    time_of = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    events = [(event.key, getattr(event, time_of), event.count) for event in profiler.key_averages()]
    events = sorted((event for event in events if event[1]), key=lambda event: -event[1])
    total = sum(time for _, time, _ in events)
    operators = table(
        ("Operator", "Share of the time", "Calls a pass"),
        [
            (f"`{key}`", f"{100 * time / total:.1f} %", f"{count / _PASSES:.0f}")
            for key, time, count in events[:_SHOWN]
        ],
    )
    groups: dict[str, float] = defaultdict(float)
    for key, time, _ in events:
        groups[group_of(key)] += time
    lines = [(name, f"{100 * time / total:.1f} %") for name, time in sorted(groups.items(), key=lambda item: -item[1])]
    return f"### {case.name}\n\n{table(('Group', 'Share of the time'), lines)}\n\n{operators}"


def group_of(operator: str) -> str:
    """The group of an operator such as `aten::addmm`; "other" if it is in none."""
    name = operator.rpartition("::")[2]
    for group, parts in GROUPS.items():
        exact = group == "matrix products of the layers"
        if any(name == part if exact else part in name for part in parts):
            return group
    return "other"
