# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Rows of a stream: shared out over its readers, shuffled, endless, and resumable to the row."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from datasets import IterableDataset
from datasets.distributed import split_dataset_by_node

from ..errors import BadInputError
from .schedule import random_state


if TYPE_CHECKING:
    from .sources import Row, SourceOptions


MAX_BLOCK_BYTES = 1 << 29
"""A block of rows that are shuffled ends when it holds so much, however few rows these are."""


class StreamSource:
    """
    A source whose rows come one after another. Made by `hf_unimo.data.sources.open_source`.

    Args:
        options (`SourceOptions`): What was asked for.
        dataset (`datasets.IterableDataset`): Its rows, filtered, pictures not decoded.
        to_row: (cells of a row, place, random state) -> `Row`.
        unreadable: Turns what `datasets` raises while iterating into a `BadInputError`.
    """

    def __init__(
        self,
        options: "SourceOptions",
        dataset: IterableDataset,
        to_row: Callable[[dict, str, np.random.RandomState | None], "Row"],
        unreadable: Callable[[Exception], BadInputError],
    ):
        self.options, self.name, self.kind = options, options.name, options.kind
        self.batch_size = options.batch_size
        self.dataset, self.to_row, self.unreadable = dataset, to_row, unreadable

    def reader(self, seed: int, rank: int = 0, world_size: int = 1) -> "StreamReader":
        """The rows of reader `rank` of `world_size` in the order that `seed` gives."""
        return StreamReader(self, seed, rank, world_size)


class StreamReader:
    """
    One reader's rows of a stream, epoch after epoch, each in an order of its own.

    Readers share the stream as `split_dataset_by_node` does: whole shards (files) if their number is a multiple of the
    readers', else every `world_size`-th row, for which each reader reads all of the files. In one epoch each row is
    read once, by one reader; the readers' epochs end independently of each other.

    The order is a function of (seed, source name, epoch, rank). First the shards are permuted, then the rows within
    blocks of `shuffle_buffer` consecutive ones, or fewer, if they hold `MAX_BLOCK_BYTES`. `IterableDataset.shuffle`
    mixes better, as its buffer slides, but what its buffer holds is lost on resuming. Here the state is a few numbers:
    which block, how far into it, and where in the stream it starts (`IterableDataset.state_dict`). Resuming reads that
    one block anew (and, as `datasets` can only skip within a file, the part of the file ahead of it) and goes on with
    the exact same rows. A block's rows are held in memory, pictures still compressed.

    A reader is one, whatever process it reads in: the worker processes of a DataLoader need readers of their own.

    Args:
        source (`StreamSource`): The stream.
        seed (`int`): 0 or greater.
        rank (`int`, defaults to 0), world_size (`int`, defaults to 1): This reader and the number of readers: those of
            all processes, and of all their workers.

    Raises:
        BadInputError: If the rank is not one of the `world_size`.
    """

    def __init__(self, source: StreamSource, seed: int, rank: int = 0, world_size: int = 1):
        if not 0 <= rank < world_size:
            raise BadInputError(f"The rank is {rank} of {world_size}; accepted are 0 to world_size - 1.")
        self.source, self.seed, self.rank, self.world_size = source, seed, rank, world_size
        self._dataset = split_dataset_by_node(source.dataset, rank, world_size)
        self._begin_epoch(0)

    def _begin_epoch(self, epoch: int) -> None:
        self._epoch, self._block, self._place, self._first_row = epoch, 0, 0, 0
        self._start: dict[str, Any] | None = None  # where in the stream the block starts; None: at the beginning
        self._rows: list[dict] | None = None  # the block; None: not read yet
        self._iterator: Iterator[dict] | None = None

    def read(self, rng: np.random.RandomState | None) -> "Row":
        """
        The next row. `rng` decides what is random within the row; None takes the first caption, or all in order.

        Raises:
            BadRowError: If the row cannot be used. The next call gives the one after it.
            BadInputError: If the stream itself breaks, e.g. at a line that is not JSON (each further call raises it
                again), or this reader's share of it is empty.
        """
        while self._rows is None or self._place == len(self._rows):
            self._advance()
        index = self._order[self._place]
        self._place += 1
        place = f"row {self._first_row + index}"
        if self.source.dataset.num_shards > 1:  # another order of shards, other numbers
            place += f" of epoch {self._epoch}"
        if self.world_size > 1:
            place += f" for reader {self.rank} of {self.world_size}"
        return self.source.to_row(self._rows[index], place, rng)

    def state_dict(self) -> dict:
        """Where the reader stands: a few numbers, JSON-able, for a reader of the same source, seed and rank."""
        return {
            "epoch": self._epoch,
            "block": self._block,
            "place": self._place,
            "first_row": self._first_row,
            "start": self._start,
        }

    def load_state_dict(self, state: dict) -> None:
        """Makes the next row the one that would have followed when `state` was taken."""
        self._begin_epoch(state["epoch"])
        self._block, self._place, self._first_row = state["block"], state["place"], state["first_row"]
        self._start = state["start"]

    def _advance(self) -> None:
        """Reads the block that the state names, if it is not there yet, else the next one."""
        if self._rows is not None:
            self._block, self._place, self._first_row = self._block + 1, 0, self._first_row + len(self._rows)
            self._start, self._rows = self._dataset.state_dict(), None
        try:
            if self._iterator is None:
                self._iterator = self._iterate()
            rows = self._next_block(self._iterator)
        except BadInputError:
            raise
        except Exception as error:  # whatever the format's reader raises
            self._iterator = None  # the next call starts at the same block and fails as clearly
            raise self.source.unreadable(error) from error
        if self._place > len(rows):
            raise BadInputError(f"The state of source {self.source.name!r} does not fit its rows: they have changed.")
        if rows:
            self._rows = rows
            keys = (self.seed, self.source.name, self._epoch, self.rank, self._block)
            self._order = random_state(*keys).permutation(len(rows)).tolist()
        elif self._first_row:
            self._begin_epoch(self._epoch + 1)
        else:
            raise BadInputError(
                f"Source {self.source.name!r} has no rows for reader {self.rank} of {self.world_size}; use fewer "
                "processes or workers, or a stream with more rows in each of its files."
            )

    def _next_block(self, iterator: Iterator[dict]) -> list[dict]:
        rows, size = [], 0
        for row in iterator:
            rows.append(row)
            size += _size(row)
            if len(rows) == self.source.options.shuffle_buffer or size >= MAX_BLOCK_BYTES:
                break
        return rows

    def _iterate(self) -> Iterator[dict]:
        # `datasets` permutes the shards by what it takes for the epoch, 0 excepted: the same permutation for all.
        order = random_state(self.seed, self.source.name, "shards", self._epoch).randint(1, 2**31 - 1)
        self._dataset.set_epoch(int(order))
        self._dataset.load_state_dict(self._start)
        # Plain iteration would share the rows out over the workers of a DataLoader, of which no reader knows.
        for rows in self._dataset.iter(batch_size=1):
            yield {column: cells[0] for column, cells in rows.items()}


def _size(cell: Any) -> int:
    """Bytes of what is large in a cell, or in the cells of a row."""
    if isinstance(cell, dict | list):
        return sum(map(_size, cell.values() if isinstance(cell, dict) else cell))
    return len(cell) if isinstance(cell, bytes | str) else 0
