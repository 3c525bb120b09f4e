# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Which source feeds which step, and the random numbers of a row: functions of a seed, without state to save."""

import math
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
import torch

from ..errors import BadInputError, unknown_name


KINDS = ("pairs", "images", "text")
SAMPLERS = ("task_by_task", "alternating", "uniform", "weighted", "accumulating")


@dataclass(frozen=True)
class Source:
    """
    What a schedule knows of a data set.

    Args:
        name (`str`): Its name, different from those of the other sources.
        kind (`str`): `"pairs"`, `"images"` or `"text"`. A batch holds rows of one source, hence of one kind.
        weight (`float`, defaults to 1): Share of the steps, relative to the other sources, for the samplers
            `"weighted"` and `"task_by_task"`. With 0 no sampler draws the source.
        rows (`int`, *optional*): Number of rows; None for a stream.

    Raises:
        BadInputError: If the name is empty, the kind unknown, the weight negative or not finite, or there are no rows.
    """

    name: str
    kind: str
    weight: float = 1.0
    rows: int | None = None

    def __post_init__(self):
        if not self.name:
            raise BadInputError("A source has no name; give each source one of its own.")
        if self.kind not in KINDS:
            raise BadInputError(f"Source {self.name!r} is of an unknown kind: {unknown_name(self.kind, KINDS)}")
        if not (isinstance(self.weight, int | float) and 0 <= self.weight < math.inf):
            raise BadInputError(f"Source {self.name!r} has weight {self.weight!r}; accepted are numbers from 0 on.")
        if self.rows is not None and self.rows < 1:
            raise BadInputError(f"Source {self.name!r} has {self.rows} rows; at least one is needed.")


@dataclass(frozen=True)
class Schedule:
    """
    The sources of every step, as a function of seed and step alone: `schedule.at(step)`.

    The samplers are those of PolyViT (Likhosherstov et al., 2021, arXiv 2111.12993, "co-training procedure"):

    * `"task_by_task"`: one source after another in the order given, each as many steps as its weight says.
    * `"alternating"`: the sources in turn, in the order given. Weights do not count.
    * `"uniform"`: each step draws a source, all equally likely. Weights do not count.
    * `"weighted"`: shares by weight without sampling noise: a random permutation of a multiset that holds each source
      exactly as often as its share of the steps, rounded by largest remainder, says.
    * `"accumulating"`: each step takes one batch of every source, in the order given; the step's loss is the sum of
      theirs, i.e. gradients are accumulated over `batches_per_step` batches. Weights do not count.

    Random orders come from numpy's frozen `RandomState`, so that they are the same in every version of numpy.

    Args:
        sources (sequence of `Source`): At least one with a weight above 0; names differ.
        steps (`int`): Length of the run in optimizer steps (in batches, if gradients are accumulated for other
            reasons than the sampler's).
        seed (`int`, defaults to 0): 0 or greater.
        sampler (`str`, defaults to `"weighted"`): One of the above.

    Raises:
        BadInputError: If there are no sources, two share a name, all weights are 0, `steps` is below 1, `seed` is
            negative or the sampler is unknown.
    """

    sources: Sequence[Source]
    steps: int
    seed: int = 0
    sampler: str = "weighted"

    def __post_init__(self):
        object.__setattr__(self, "sources", tuple(self.sources))
        if not self.sources:
            raise BadInputError("The schedule has no sources; name at least one.")
        name, uses = Counter(source.name for source in self.sources).most_common(1)[0]
        if uses > 1:
            raise BadInputError(f"{uses} sources are called {name!r}; give each a name of its own.")
        if not self.active:
            raise BadInputError("The weights of the sources sum to 0; give at least one source a weight above 0.")
        if not isinstance(self.steps, int) or self.steps < 1:
            raise BadInputError(f"The schedule has {self.steps!r} steps; accepted are integers from 1 on.")
        if not isinstance(self.seed, int) or self.seed < 0:
            raise BadInputError(f"The seed is {self.seed!r}; accepted are integers from 0 on.")
        if self.sampler not in SAMPLERS:
            raise BadInputError(f"The sampler is unknown: {unknown_name(self.sampler, SAMPLERS)}")

    @cached_property
    def active(self) -> tuple[Source, ...]:
        """The sources that are drawn, in the order given: those with a weight above 0."""
        return tuple(source for source in self.sources if source.weight > 0)

    @property
    def batches_per_step(self) -> int:
        """How many batches make one step: 1, or the number of active sources when accumulating."""
        return len(self.active) if self.sampler == "accumulating" else 1

    def at(self, step: int) -> tuple[Source, ...]:
        """The sources whose batches make step `step` (0 to steps - 1): one, or all active ones when accumulating."""
        if not 0 <= step < self.steps:
            raise IndexError(f"step {step} lies outside of the schedule's {self.steps} steps")
        return self.active if self.sampler == "accumulating" else (self.active[self._order[step]],)

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[tuple[Source, ...]]:
        return map(self.at, range(self.steps))

    def counts(self, before: int | None = None) -> dict[str, int]:
        """
        Batches that each source, switched-off ones included, gives in the steps ahead of step `before` (*optional*,
        0 to steps; all steps without it). One pass over an array of a byte or so a step.
        """
        before = self.steps if before is None else before
        if not 0 <= before <= self.steps:
            raise IndexError(f"step {before} lies outside of the schedule's {self.steps} steps")
        counts = dict.fromkeys((source.name for source in self.sources), 0)
        if self.sampler == "accumulating":
            return counts | {source.name: before for source in self.active}
        found = np.bincount(self._order[:before], minlength=len(self.active))
        return counts | {source.name: int(count) for source, count in zip(self.active, found)}

    @cached_property
    def _order(self) -> np.ndarray:
        """Index into `active` of each step (`(steps,)`, the smallest unsigned type that holds it)."""
        kinds = np.arange(len(self.active), dtype=np.min_scalar_type(len(self.active) - 1))
        if self.sampler == "alternating":
            order = np.resize(kinds, self.steps)
        elif self.sampler == "uniform":
            order = random_state(self.seed).randint(len(kinds), size=self.steps, dtype=kinds.dtype)
        else:
            order = np.repeat(kinds, apportion([source.weight for source in self.active], self.steps))
            if self.sampler == "weighted":
                random_state(self.seed).shuffle(order)
        order.setflags(write=False)
        return order


def apportion(weights: Sequence[float], total: int) -> list[int]:
    """
    Whole numbers that sum to `total` in proportion to `weights` (at least one above 0), by largest remainder: each
    share is rounded down, what is left goes to the largest fractions, on ties to the earlier one. Exact: no rounding
    of floats comes in.
    """
    exact = [Fraction(weight) for weight in weights]
    shares = [weight * total / sum(exact) for weight in exact]
    counts = [math.floor(share) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda index: counts[index] - shares[index])
    for index in by_remainder[: total - sum(counts)]:
        counts[index] += 1
    return counts


def random_state(*keys: int | str) -> np.random.RandomState:
    """
    A random stream for `keys` (integers >= 0, texts), the same on every machine and in every version of numpy:
    `RandomState` is frozen (numpy's NEP 19), `Generator` is not.
    """
    return np.random.RandomState(np.random.MT19937(_seed_sequence(*keys)))


def row_generators(rows: Sequence[int], *keys: int | str) -> list[torch.Generator]:
    """
    A generator for each row of a batch that depends on `keys` and the row's number alone: what is drawn from it is the
    same whichever process holds the row, and whatever its neighbours are.

    Args:
        rows (sequence of `int`, >= 0): Number of each row, e.g. in the batch over all ranks.
        keys (`int` >= 0 or `str`): What else decides: seed, step, and a name for what is drawn, such as `"masking"`.
            Without that name, two parts of the code that ask for the same rows would get the same numbers.
    """
    seeds = [int(_seed_sequence(*keys, row).generate_state(1)[0]) for row in rows]
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def uniform_draws(generator: torch.Generator | Sequence[torch.Generator], rows: int, count: int) -> torch.Tensor:
    """
    Uniform numbers in [0, 1), (rows, count), float64.

    Args:
        generator: One for the batch, or one for each row (`row_generators`). With one for each row, the first numbers
            of a row do not depend on `count`.
        rows, count (`int`): Shape.

    Raises:
        BadInputError: If the number of generators is not the number of rows.
    """
    if isinstance(generator, torch.Generator):
        return torch.rand(rows, count, generator=generator, device=generator.device, dtype=torch.float64)
    if len(generator) != rows:
        raise BadInputError(
            f"{len(generator)} generators came with {rows} rows; pass one for each row, or a single one."
        )
    draws = [uniform_draws(single, 1, count) for single in generator]
    return torch.cat(draws) if draws else torch.empty(0, count, dtype=torch.float64)


def _seed_sequence(*keys: int | str) -> np.random.SeedSequence:
    # crc32 and not hash(), which differs from process to process.
    return np.random.SeedSequence([zlib.crc32(key.encode()) if isinstance(key, str) else int(key) for key in keys])
