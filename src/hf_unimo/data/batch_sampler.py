# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Batches of map-style sources along a schedule: the rows of a rank at a step, without state to save."""

import itertools
from collections.abc import Iterator, Mapping

import numpy as np
from torch.utils.data import Sampler

from ..errors import BadInputError
from .schedule import Schedule, Source, random_state


class ScheduledBatchSampler(Sampler[list[int]]):
    """
    Row numbers of this rank's batches, one source a batch, for sources laid end to end in the order of
    `schedule.sources` (as `torch.utils.data.ConcatDataset` lays them).

    A source's rows form an endless sequence: epoch after epoch, each shuffled by a function of (seed, source name,
    epoch). Each batch takes the next `world_size * batch_size` of them, rank r the r-th part, so that the ranks' parts
    in rank order are the batch of a single process. An epoch's rest opens the next batch, nothing is dropped: at any
    time the rows of a source have been drawn equally often, up to one. Only a batch in which an epoch ends can hold a
    row twice.

    Where a source stands at a step follows from the schedule, so resuming at `start_step` gives the batches of an
    uninterrupted run and reads nothing of what is skipped. Hand the sampler to a `DataLoader` as `batch_sampler`, and
    do not let accelerate prepare that loader: it would split the batches over the ranks once more.

    Args:
        schedule (`Schedule`): Its sources must have `rows`.
        batch_size (`int` or mapping of source name to `int`): Rows of a batch on one rank.
        rank (`int`, defaults to 0), world_size (`int`, defaults to 1): This process and the number of processes.
        start_step (`int`, defaults to 0): First step to give, up to `schedule.steps`.

    Raises:
        BadInputError: If a source is a stream, a batch size is below 1 or missing, the rank is not one of the
            `world_size`, or `start_step` lies outside of the schedule.
    """

    def __init__(
        self,
        schedule: Schedule,
        batch_size: int | Mapping[str, int],
        rank: int = 0,
        world_size: int = 1,
        start_step: int = 0,
    ):
        super().__init__()
        streams = [source.name for source in schedule.sources if source.rows is None]
        if streams:
            raise BadInputError(
                f"Source {streams[0]!r} is a stream without a number of rows; batches need map-style data."
            )
        if not 0 <= rank < world_size:
            raise BadInputError(f"The rank is {rank} of {world_size}; accepted are 0 to world_size - 1.")
        if not 0 <= start_step <= schedule.steps:
            raise BadInputError(f"start_step is {start_step}; the schedule has steps 0 to {schedule.steps}.")
        names = [source.name for source in schedule.active]
        self.batch_sizes = dict.fromkeys(names, batch_size) if isinstance(batch_size, int) else dict(batch_size)
        for name in names:
            if self.batch_sizes.get(name, 0) < 1:
                found = self.batch_sizes.get(name, "missing")
                raise BadInputError(f"The batch size of source {name!r} is {found}; accepted are integers from 1 on.")
        self.schedule, self.rank, self.world_size, self.start_step = schedule, rank, world_size, start_step
        self._num_rows = {source.name: source.rows or 0 for source in schedule.sources}
        ends = itertools.accumulate(self._num_rows.values())
        self.offsets = {name: end - self._num_rows[name] for name, end in zip(self._num_rows, ends)}
        self._shuffled: dict[str, tuple[int, np.ndarray]] = {}

    def __len__(self) -> int:
        """Batches from `start_step` to the end of the schedule."""
        return (self.schedule.steps - self.start_step) * self.schedule.batches_per_step

    def __iter__(self) -> Iterator[list[int]]:
        drawn = self.schedule.counts(before=self.start_step)
        for step in range(self.start_step, self.schedule.steps):
            for source in self.schedule.at(step):
                yield self.rows(source, drawn[source.name])
                drawn[source.name] += 1

    def at(self, step: int) -> list[list[int]]:
        """The batches of step `step`: one, or one of every active source when accumulating."""
        drawn = self.schedule.counts(before=step)
        return [self.rows(source, drawn[source.name]) for source in self.schedule.at(step)]

    def rows(self, source: Source, batch: int) -> list[int]:
        """Global row numbers of this rank in the `batch`-th batch (from 0) of `source`."""
        size = self.batch_sizes[source.name]
        first = (batch * self.world_size + self.rank) * size
        found: list[int] = []
        while len(found) < size:
            epoch, place = divmod(first + len(found), self._num_rows[source.name])
            found += self._epoch(source, epoch)[place : place + size - len(found)].tolist()
        return [self.offsets[source.name] + row for row in found]

    def _epoch(self, source: Source, epoch: int) -> np.ndarray:
        """The rows of `source` (from 0) in the order of `epoch`. The latest is kept."""
        if source.name not in self._shuffled or self._shuffled[source.name][0] != epoch:
            number = self._num_rows[source.name]
            rows = np.arange(number, dtype=np.min_scalar_type(number))
            random_state(self.schedule.seed, source.name, epoch).shuffle(rows)
            self._shuffled[source.name] = (epoch, rows)
        return self._shuffled[source.name][1]
