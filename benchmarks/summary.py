# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""From rounds to figures: medians, rates, and the ratios that are claimed."""

import statistics
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """
    What the rounds of a case say.

    Args:
        name, section, unit, dtype (`str`), items (`int`): As in [`~benchmarks.case.Case`].
        rounds (`int`): In how many it was measured.
        seconds (`float`): Median.
        spread (`float`): (slowest - fastest) / median.
        flops (`float`, *optional*): Operations of a run.
        ratio (`float`, *optional*): Items per second relative to `relative_to`.
        relative_to (`str`): The row whose ratio is 1.
        share (`float`, *optional*): Operations per second relative to the matrix products of its type around it.
        figures (`dict[str, float]`): Medians of whatever else was measured.
    """

    name: str
    section: str
    unit: str
    dtype: str
    items: int
    rounds: int
    seconds: float
    spread: float
    flops: float | None
    ratio: float | None
    relative_to: str
    share: float | None
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def per_second(self) -> float:
        """Items per second."""
        return self.items / self.seconds

    @property
    def flops_per_item(self) -> float | None:
        """Operations of one item."""
        return None if self.flops is None else self.flops / self.items


def summarize(result: dict) -> dict[str, Row]:
    """Name of a case -> its row, in the order of a round. Cases without a round have none."""
    cases = result["setup"]["cases"]
    medians = {name: _medians(_samples(result, name)) for name in cases if _samples(result, name)}
    rows = {}
    for name, found in medians.items():
        case, samples = cases[name], _samples(result, name)
        seconds = [sample["seconds"] for sample in samples]
        flops = result["flops"].get(case["flops_of"] or name, found.get("flops"))
        base = case["relative_to"]
        ratio = None
        if base in medians:
            ratio = case["items"] / found["seconds"] / (cases[base]["items"] / medians[base]["seconds"])
        rows[name] = Row(
            name=name,
            section=case["section"],
            unit=case["unit"],
            dtype=case["dtype"],
            items=case["items"],
            rounds=len(samples),
            seconds=found["seconds"],
            spread=(max(seconds) - min(seconds)) / found["seconds"],
            flops=flops,
            ratio=ratio,
            relative_to=base,
            share=_share(flops, samples),
            figures={key: value for key, value in found.items() if key not in ("seconds", "flops", "limit")},
        )
    return rows


def _share(flops: float | None, samples: list[dict[str, float]]) -> float | None:
    """Median over the rounds of operations per second, relative to the matrix products right before and after."""
    shares = [flops / sample["seconds"] / sample["limit"] for sample in samples if flops and "limit" in sample]
    return statistics.median(shares) if shares else None


def _samples(result: dict, name: str) -> list[dict[str, float]]:
    return [found["samples"][name] for found in result["rounds"] if name in found["samples"]]


def _medians(samples: list[dict[str, float]]) -> dict[str, float]:
    numbers = [key for key, value in samples[0].items() if isinstance(value, int | float)]
    return {key: statistics.median(sample[key] for sample in samples) for key in numbers}
