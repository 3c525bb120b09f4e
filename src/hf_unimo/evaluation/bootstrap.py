# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""How far would a figure move with other queries? Percentile intervals of the bootstrap (Efron, 1979)."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Figure:
    """
    One number of a result.

    Args:
        value (`float`): Over all queries.
        low, high (`float`, *optional*): Its interval; None where none was made.
        chance (`float`, *optional*): What a model that guesses reaches.
    """

    value: float
    low: float | None = None
    high: float | None = None
    chance: float | None = None


def with_intervals(
    statistic: Callable[..., Mapping[str, float]],
    number: int | Sequence[int],
    *,
    samples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    chance: Mapping[str, float] | None = None,
) -> dict[str, Figure]:
    """
    Figures and what they would be if other queries had been drawn from the same population.

    Each sample draws as many queries as there are, with replacement. Queries count as independent: several captions of
    one picture, which are not quite, make the interval somewhat too narrow. The model's own randomness (seeds of
    training) is no part of it.

    Args:
        statistic: From the numbers of the queries that count (`(number,)`, int) to figures by name.
        number (`int` or sequence of `int`): Queries, at least 1. Of several kinds, which are drawn apart, `statistic`
            takes one array each.
        samples (`int`, defaults to 1000): Samples; 0 leaves the intervals out.
        seed (`int`, defaults to 0): Of the draws, which numpy's frozen `RandomState` makes.
        level (`float`, defaults to 0.95): Share of the samples within the interval.
        chance (*optional*): Name of a figure -> what guessing reaches.

    Returns:
        `dict[str, Figure]`: For each figure of all queries. Samples where it is missing or NaN do not count.

    Raises:
        ValueError: If `number` is below 1, or `level` does not lie between 0 and 1.
    """
    numbers = [number] if isinstance(number, int) else list(number)
    if min(numbers) < 1 or not 0 < level < 1:
        raise ValueError(f"`number` must be at least 1 and `level` within (0, 1), but they are {number} and {level}.")
    values = statistic(*map(np.arange, numbers))
    random = np.random.RandomState(seed)
    drawn = [statistic(*(random.randint(size, size=size) for size in numbers)) for _ in range(samples)]
    figures = {}
    for name, value in values.items():
        found = np.array([sample.get(name, math.nan) for sample in drawn])
        found = found[~np.isnan(found)]
        low = high = None
        if len(found):
            low, high = (float(edge) for edge in np.quantile(found, [(1 - level) / 2, (1 + level) / 2]))
        figures[name] = Figure(float(value), low, high, (chance or {}).get(name))
    return figures
