# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The batches of a run, one after another along its schedule, from any of its batches on; those of an evaluation."""

import copy
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from ..errors import BadInputError, unknown_name
from .batch_sampler import ScheduledBatchSampler
from .collator import PretrainingCollator
from .images import BadRowError
from .schedule import Schedule, Source, random_state, row_generators
from .sources import MapSource, Row
from .streams import StreamReader, StreamSource


logger = logging.getLogger(__name__)

# Rows that are tried for one place beyond `max_bad_rows`. Only a source without good rows comes that far.
SPARE_TRIES = 100


@dataclass
class BatchInfo:
    """
    Where a batch comes from; rides along with its tensors as `batch["info"]`.

    Args:
        index (`int`): Number of the batch in the run, or in the evaluation, from 0.
        step (`int`): Optimizer step that it is part of; in an evaluation `index` again.
        kind, source (`str`): Of its rows.
        places (list of `str`): Each row's `place`.
        bad_rows (list of `(source, place, why)`): Rows that were found bad while it was read.
        stream_states (mapping of `str` to `list`): What `StreamedBatches` needs to go on after this batch: for each
            stream the states of its readers, None for one that has read nothing. JSON-able.
    """

    index: int
    step: int
    kind: str
    source: str
    places: list[str] = field(default_factory=list)
    bad_rows: list[tuple[str, str, str]] = field(default_factory=list)
    stream_states: dict[str, list[dict | None]] = field(default_factory=dict)


class _ScheduledBatches:
    """What `Batches` and `StreamedBatches` share; see there for the arguments."""

    takes_streams = False

    def __init__(
        self,
        sources: Iterable[MapSource | StreamSource],
        schedule: Schedule,
        collator: PretrainingCollator,
        *,
        batch_size: int | Mapping[str, int],
        rank: int = 0,
        world_size: int = 1,
        max_bad_rows: int = 100,
    ):
        self.sources = {source.name: source for source in sources}
        self.schedule, self.collator, self.max_bad_rows = schedule, collator, max_bad_rows
        self.rank, self.world_size = rank, world_size
        for wanted in schedule.active:
            if wanted.name not in self.sources:
                known = tuple(self.sources) or ("none",)
                raise BadInputError(f"The schedule has a source without data: {unknown_name(wanted.name, known)}")
            source: Any = self.sources[wanted.name]
            if wanted.rows is not None and wanted.rows != len(source):
                raise BadInputError(
                    f"The schedule takes source {wanted.name!r} to have {wanted.rows} rows, but it has {len(source)}."
                )
        # The sampler takes map-style data only; it checks all else for streams too, but is not asked for their rows.
        with_rows = [replace(source, rows=source.rows or 1) for source in schedule.sources]
        self.sampler = ScheduledBatchSampler(replace(schedule, sources=with_rows), batch_size, rank, world_size)
        self.streams = [source.name for source in schedule.active if source.rows is None]
        if self.streams and not self.takes_streams:
            raise BadInputError(f"Source {self.streams[0]!r} is a stream, whose batches can only be read in order.")
        self._drawn_before = (0, schedule.counts(before=0))

    @property
    def num_batches(self) -> int:
        """Batches of the whole run."""
        return self.schedule.steps * self.schedule.batches_per_step

    def check_start(self, start_batch: int, stream_states: Mapping[str, list]) -> None:
        """Whether a run can go on at `start_batch` with `stream_states`; raises a `BadInputError` if not."""
        if not 0 <= start_batch <= self.num_batches:
            raise BadInputError(f"start_batch is {start_batch}; the run has batches 0 to {self.num_batches}.")
        for name in stream_states:
            if name not in self.streams:
                streams = ", ".join(self.streams) or "none"
                raise BadInputError(f"There is a stream state for {name!r}; the streams of this run are: {streams}.")
        missing = [name for name in self.streams if name not in stream_states]
        if start_batch and missing:
            raise BadInputError(
                f"Batch {start_batch} cannot be reached without the state of stream {missing[0]!r} after the batch "
                "before it; pass the `stream_states` of that batch."
            )
        readers = {len(states) if isinstance(states, list) else 0 for states in stream_states.values()}
        if len(readers) > 1 or 0 in readers:
            raise BadInputError("The stream states do not belong together; pass the `stream_states` of one batch.")

    def place(self, index: int) -> tuple[int, Source, int]:
        """The step and the source of batch `index`, and how many batches that source gave before."""
        step, within = divmod(index, self.schedule.batches_per_step)
        source = self.schedule.at(step)[within]
        return step, source, self._drawn(step)[source.name]

    def _drawn(self, step: int) -> dict[str, int]:
        """Batches of each source ahead of `step`: counted on from the step asked for last, if that is near."""
        last, drawn = self._drawn_before
        if not last <= step <= last + 1000:
            last, drawn = step, self.schedule.counts(before=step)
        for between in range(last, step):
            for source in self.schedule.at(between):
                drawn[source.name] += 1
        self._drawn_before = step, drawn
        return drawn

    def batch(self, index: int, reader: StreamReader | None = None) -> dict[str, Any]:
        """Batch `index`; rows of a stream are the next ones of `reader`."""
        step, source, number = self.place(index)
        info = BatchInfo(index, step, source.kind, source.name)
        size = self.sampler.batch_sizes[source.name]
        positions = range(self.rank * size, (self.rank + 1) * size)  # in the batch over all ranks
        if reader is not None:
            rows = list(self._stream_rows(reader, positions, info))
        else:
            rows = list(self._map_rows(source, number, positions, info))
        info.places = [row.place for row in rows]

        def generators(name: str):
            return row_generators(positions, self.schedule.seed, index, name)

        return {**self.collator(source.kind, rows, generators, train=True), "info": info}

    def _map_rows(self, source: Source, number: int, positions: range, info: BatchInfo) -> Iterator[Row]:
        data: Any = self.sources[source.name]
        items = (row - self.sampler.offsets[source.name] for row in self.sampler.rows(source, number))
        for item, position, rng in zip(items, positions, self._row_states(positions, info)):
            others = self._replacements(data, position, info)
            yield self._first_good(itertools.chain([partial(data.read, item, rng)], others), info)

    def _replacements(self, data: Any, position: int, info: BatchInfo) -> Iterator[Callable[[], Row]]:
        """Rows drawn at random, without end."""
        rng = random_state(self.schedule.seed, "replacement", info.source, info.index, position)
        while True:
            yield partial(data.read, int(rng.randint(len(data))), rng)

    def _stream_rows(self, reader: StreamReader, positions: range, info: BatchInfo) -> Iterator[Row]:
        for rng in self._row_states(positions, info):
            yield self._first_good(itertools.repeat(partial(reader.read, rng)), info)

    def _row_states(self, positions: range, info: BatchInfo) -> Iterator[np.random.RandomState]:
        """A random stream for each row. It is one object, seeded anew: to make one takes fifty times as long."""
        seeds = random_state(self.schedule.seed, "row", info.source, info.index)
        state = np.random.RandomState(0)
        for seed in seeds.randint(2**32, size=positions.stop, dtype=np.uint32)[positions.start :]:
            state.seed(int(seed))
            yield state

    def _first_good(self, reads: Iterable[Callable[[], Row]], info: BatchInfo) -> Row:
        """The first row that can be used; those before it are noted in `info`."""
        for read in itertools.islice(reads, self.max_bad_rows + SPARE_TRIES):
            try:
                return read()
            except BadRowError as error:
                info.bad_rows.append((info.source, error.place, str(error)))
            # Distinct ones, as a small source meets the same bad row again and again.
            if len(set(info.bad_rows)) > self.max_bad_rows:
                raise _too_many(info.bad_rows[-1], self.max_bad_rows)
        raise BadInputError(
            f"No row that can be used was found in source {info.source!r} for batch {info.index}; the last one tried "
            f"is {info.bad_rows[-1][1]}: {info.bad_rows[-1][2]}"
        )


class Batches(_ScheduledBatches, Dataset):
    """
    The batches of this rank, by their number: `batches[k]` is a function of the schedule, its seed and `k` alone, so
    a run goes on at any batch without having read those before, with any number of worker processes.

    A row that cannot be used is replaced by another one of its source, drawn by a function of seed, batch and place
    in the batch, and noted in the batch's `info`.

    Args:
        sources (`MapSource`s): The data of all sources that the schedule draws.
        schedule (`Schedule`): Which source feeds which batch. With `"accumulating"` each step has several batches.
        collator (`PretrainingCollator`): Makes tensors of rows.
        batch_size (`int` or mapping of source name to `int`): Rows of a batch on one rank.
        rank (`int`, defaults to 0), world_size (`int`, defaults to 1): This process and the number of processes. The
            ranks' parts in rank order are the batch of a single process, but for the padding of texts.
        max_bad_rows (`int`, defaults to 100): Different bad rows that one batch may meet. For a limit on the whole
            run use `BadRowCount`.

    Raises:
        BadInputError: If a source is missing or a stream, or as `ScheduledBatchSampler` says; on reading a batch, if
            too many rows are bad.
    """

    def __len__(self) -> int:
        """Batches of the whole run."""
        return self.num_batches

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Batch `index` (from 0): the collator's tensors and `"info"`, a `BatchInfo`."""
        return self.batch(index)


class StreamedBatches(_ScheduledBatches, IterableDataset):
    """
    The batches of this rank in order, for schedules with streams, also beside map-style sources.

    A stream has to be read in order, so each batch's `info.stream_states` says where the streams stand after it. With
    the states of batch `k - 1`, `start_batch=k` gives the batches of an uninterrupted run and reads nothing of what is
    skipped. Every pass begins at `start_batch`.

    Each stream has `num_readers` readers (`StreamReader`) on each rank, which share its rows and take turns: its n-th
    batch is of reader `n % num_readers`. So the batches depend on their number, but not on the processes that they
    work in: with `w` workers, the batches of reader r come from worker `r % w`. What a `DataLoader` then gives stands
    in another order, which `train_loader` mends.

    Args:
        start_batch (`int`, defaults to 0): Number of the first batch.
        stream_states (mapping of source name to `list`, *optional*): `info.stream_states` of the batch before.
        num_readers (`int`, defaults to 1): Readers of each stream; with `stream_states`, as many as they are of.

        Others as for `Batches`.

    Raises:
        BadInputError: As `Batches`, and if `start_batch` lies outside of the run or `stream_states` are not those of
            the schedule's streams, or if the number of readers is not a multiple of that of the worker processes.
    """

    takes_streams = True

    def __init__(
        self,
        sources: Iterable[MapSource | StreamSource],
        schedule: Schedule,
        collator: PretrainingCollator,
        *,
        start_batch: int = 0,
        stream_states: Mapping[str, list] | None = None,
        num_readers: int = 1,
        **options,
    ):
        super().__init__(sources, schedule, collator, **options)
        self.start_batch, self.stream_states = start_batch, dict(stream_states or {})
        self.check_start(start_batch, self.stream_states)
        self.num_readers = len(next(iter(self.stream_states.values()), range(num_readers)))

    def __len__(self) -> int:
        """Batches from `start_batch` to the end of the run."""
        return self.num_batches - self.start_batch

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        number, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        if self.num_readers % workers:
            raise BadInputError(
                f"{workers} worker processes cannot share {self.num_readers} readers of the streams evenly; accepted "
                "is a number that divides the readers'."
            )
        readers: dict[tuple[str, int], StreamReader] = {}
        states = self.states_at_start()
        for index in range(self.start_batch, self.num_batches):
            _, source, drawn = self.place(index)
            turn = drawn % self.num_readers
            if turn % workers != number:
                continue
            if source.name not in states:
                batch = self.batch(index)
            else:
                if (source.name, turn) not in readers:
                    readers[source.name, turn] = self._reader(source.name, turn)
                reader = readers[source.name, turn]
                batch = self.batch(index, reader)
                # A copy, because the batch may wait for its turn while the reader goes on.
                states[source.name][turn] = copy.deepcopy(reader.state_dict())
            batch["info"].stream_states = {name: list(found) for name, found in states.items()}
            yield batch

    def states_at_start(self) -> dict[str, list[dict | None]]:
        """Where each reader of each stream stands ahead of the first batch."""
        return {name: list(self.stream_states.get(name) or [None] * self.num_readers) for name in self.streams}

    def _reader(self, name: str, turn: int) -> StreamReader:
        source: Any = self.sources[name]
        place = self.rank * self.num_readers + turn
        reader: StreamReader = source.reader(self.schedule.seed, place, self.world_size * self.num_readers)
        state = self.states_at_start()[name][turn]
        if state is not None:
            reader.load_state_dict(copy.deepcopy(state))
        return reader

    def in_order(self, batches: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """
        The batches of several workers in the order of the run, each with the states of all readers. Few of them wait:
        the workers' shares of each source differ by one batch at most, at any place of the run.
        """
        states, waiting, following = self.states_at_start(), {}, self.start_batch
        for batch in batches:
            waiting[batch["info"].index] = batch
            while following in waiting:
                found = waiting.pop(following)
                info: BatchInfo = found["info"]
                if info.source in states:
                    turn = self.place(following)[2] % self.num_readers
                    states[info.source][turn] = info.stream_states[info.source][turn]
                info.stream_states = {name: list(of_readers) for name, of_readers in states.items()}
                following += 1
                yield found


def train_loader(
    sources: Iterable[MapSource | StreamSource],
    schedule: Schedule,
    collator: PretrainingCollator,
    *,
    batch_size: int | Mapping[str, int],
    rank: int = 0,
    world_size: int = 1,
    start_batch: int = 0,
    stream_states: Mapping[str, list] | None = None,
    max_bad_rows: int = 100,
    num_workers: int = 0,
    pin_memory: bool = False,
) -> DataLoader:
    """
    A loader of this rank's batches from `start_batch` to the end of the run: `Batches`, or `StreamedBatches` if the
    schedule draws a stream. Its length is the number of batches left. Each item is a dict of tensors and `"info"`, a
    `BatchInfo`. Do not let accelerate prepare it: it would split the batches over the ranks once more.

    Args:
        num_workers (`int`, defaults to 0): Worker processes that read ahead, two batches each. They share the rows of
            streams, so which rows make a batch then depends on how many workers the run was begun with. It can be gone
            on with by any number: of more, or of one that does not divide the first, as many work as do divide it.
        pin_memory (`bool`, defaults to `False`): As `DataLoader`'s.

        Others as for `Batches` and `StreamedBatches`.

    Raises:
        BadInputError: As `Batches` and `StreamedBatches`.
    """
    options: dict[str, Any] = {
        "batch_size": batch_size,
        "rank": rank,
        "world_size": world_size,
        "max_bad_rows": max_bad_rows,
    }
    # The loader would draw a seed for its workers from torch's global generator, which a resumed run could not repeat.
    loading: dict[str, Any] = {
        "batch_size": None,
        "collate_fn": _as_it_is,
        "num_workers": num_workers,
        "pin_memory": pin_memory,
        "generator": torch.Generator(),
    }
    if all(source.rows is not None for source in schedule.active):
        batches = Batches(sources, schedule, collator, **options)
        batches.check_start(start_batch, stream_states or {})
        return _Loader(batches, sampler=range(start_batch, len(batches)), **loading)
    streamed = StreamedBatches(
        sources,
        schedule,
        collator,
        start_batch=start_batch,
        stream_states=stream_states,
        num_readers=max(1, num_workers),
        **options,
    )
    if num_workers:
        loading["num_workers"] = max(n for n in range(1, num_workers + 1) if streamed.num_readers % n == 0)
    return _Loader(streamed, **loading)


class _Loader(DataLoader):
    """
    A `DataLoader` that gives the batches of a run in order, and passes on what a worker process found wrong with the
    input as the one sentence it was.
    """

    def __iter__(self):
        batches = super().__iter__()
        if isinstance(self.dataset, StreamedBatches):
            batches = self.dataset.in_order(batches)
        try:
            yield from batches
            return
        except BadInputError as error:
            if not self.num_workers:
                raise
            # What arrives is the worker's traceback as text; the sentence is its end.
            message = str(error).rsplit(f"{BadInputError.__name__}: ", 1)[-1].strip()
            error.__traceback__ = None  # holds the iterator in a cycle: its workers would end seconds after the rest
        del batches
        raise BadInputError(message)


def evaluation_batches(
    source: MapSource, collator: PretrainingCollator, batch_size: int, rank: int = 0, world_size: int = 1
) -> Iterator[dict[str, Any]]:
    """
    The rows of `source` in order, once, always the same: nothing is drawn (the first caption is taken) but which words
    are hidden and the two views of pictures without captions, which depend on the row alone.

    Args:
        source (`MapSource`): What to read.
        collator (`PretrainingCollator`): Called with `train=False`.
        batch_size (`int`): Rows of a batch; the last one can be smaller.
        rank (`int`, defaults to 0), world_size (`int`, defaults to 1): With several processes each reads one of
            `world_size` stretches of the rows, the ranks' stretches in order being the whole. Their lengths differ by
            up to one, and so may the numbers of batches.

    Yields:
        The collator's tensors and `"info"`, a `BatchInfo`. Rows that cannot be used are left out and noted there.

    Raises:
        BadInputError: If the source is a stream, the batch size is below 1, the rank is not one of the `world_size`,
            or none of the rows of this rank can be used.
    """
    if isinstance(source, StreamSource):
        raise BadInputError(f"Source {source.name!r} is a stream; evaluation takes map-style sources only.")
    if batch_size < 1:
        raise BadInputError(f"The batch size of the evaluation is {batch_size}; accepted are integers from 1 on.")
    if not 0 <= rank < world_size:
        raise BadInputError(f"The rank is {rank} of {world_size}; accepted are 0 to world_size - 1.")
    return _evaluation_batches(source, collator, batch_size, rank, world_size)


def _evaluation_batches(source, collator, batch_size: int, rank: int, world_size: int) -> Iterator[dict[str, Any]]:
    items = range(rank * len(source) // world_size, (rank + 1) * len(source) // world_size)
    rows: list[tuple[int, Row]] = []
    bad_rows: list[tuple[str, str, str]] = []
    indices = itertools.count()

    def batch() -> dict[str, Any]:
        index = next(indices)
        numbers, found = [item for item, _ in rows], [row for _, row in rows]
        info = BatchInfo(index, index, source.kind, source.name, [row.place for row in found], list(bad_rows))
        rows.clear()
        bad_rows.clear()
        generators = partial(row_generators, numbers, "evaluation", source.name)
        return {**collator(source.kind, found, generators, train=False), "info": info}

    for item in items:
        try:
            row = source.read(item, None)
        except BadRowError as error:
            bad_rows.append((source.name, error.place, str(error)))
            continue
        if len(rows) == batch_size:  # only now, so that bad rows at the end belong to the last batch
            yield batch()
        rows.append((item, row))
    if rows:
        yield batch()
    elif bad_rows:
        _, place, why = bad_rows[-1]
        raise BadInputError(f"No row of source {source.name!r} can be used; the last one is {place}: {why}")


class BadRowCount:
    """
    Counts the different rows of a run that could not be used, logs each once, and stops the run at too many.

    Args:
        max_bad_rows (`int`, defaults to 100): How many are accepted, on this process.
    """

    def __init__(self, max_bad_rows: int = 100):
        self.max_bad_rows = max_bad_rows
        self._found: dict[tuple[str, str], str] = {}

    def __len__(self) -> int:
        """Different bad rows up to now."""
        return len(self._found)

    def add(self, info: BatchInfo) -> None:
        """
        Counts the bad rows of a batch.

        Raises:
            BadInputError: If there are more than `max_bad_rows` now.
        """
        for source, place, why in info.bad_rows:
            if (source, place) in self._found:
                continue
            self._found[source, place] = why
            logger.warning("Source %r, %s cannot be used: %s", source, place, why)
            if len(self) > self.max_bad_rows:
                raise _too_many((source, place, why), self.max_bad_rows)

    def state_dict(self) -> dict[str, list[list[str]]]:
        """What has been counted, for a file of JSON."""
        return {"bad_rows": [[*row, why] for row, why in self._found.items()]}

    def load_state_dict(self, state: Mapping[str, list[list[str]]]) -> None:
        """Goes on from `state_dict()`."""
        self._found = {(source, place): why for source, place, why in state["bad_rows"]}


def _too_many(last: tuple[str, str, str], limit: int) -> BadInputError:
    source, place, why = last
    return BadInputError(
        f"More than {limit} rows cannot be used, the last of them {place} of source {source!r} ({why}); repair the "
        "data or raise `max_bad_rows`."
    )


def _as_it_is(batch: dict[str, Any]) -> dict[str, Any]:
    return batch
