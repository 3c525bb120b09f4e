# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""`ScheduledBatchSampler`: exactness, ranks, resumption."""

from collections import Counter

import pytest
from torch.utils.data import ConcatDataset, DataLoader

from hf_unimo.data.batch_sampler import ScheduledBatchSampler
from hf_unimo.data.schedule import SAMPLERS, Schedule, Source
from hf_unimo.errors import BadInputError


SOURCES = (Source("coco", "pairs", 5, 23), Source("openimages", "images", 3, 7), Source("books", "text", 2, 40))
OFFSETS = {"coco": 0, "openimages": 23, "books": 30}


def sampler(*args, steps=60, seed=2, kind="weighted", **kwargs):
    return ScheduledBatchSampler(Schedule(SOURCES, steps, seed, kind), *args, **kwargs)


@pytest.mark.parametrize("kind", SAMPLERS)
def test_batches_hold_the_source_of_the_schedule(kind):
    found = sampler(4, kind=kind)
    sources = [source for step in found.schedule for source in step]
    batches = list(found)
    assert len(batches) == len(found) == len(sources)
    assert found.offsets == OFFSETS
    for source, batch in zip(sources, batches):
        assert len(batch) == 4
        assert all(0 <= row - OFFSETS[source.name] < source.rows for row in batch)


@pytest.mark.parametrize("kind", SAMPLERS)
@pytest.mark.parametrize("batch_size", [1, 5, 64])  # 64 is more than any source has
def test_every_row_is_drawn_equally_often(kind, batch_size):
    found = sampler(batch_size, kind=kind)
    drawn = Counter(row for batch in found for row in batch)
    for name, count in found.schedule.counts().items():
        rows = next(source.rows for source in SOURCES if source.name == name)
        times = [drawn[OFFSETS[name] + row] for row in range(rows)]
        assert sum(times) == count * batch_size
        assert max(times) - min(times) <= 1


def test_an_epoch_is_a_permutation_and_its_rest_opens_the_next():
    schedule = Schedule([Source("only", "text", rows=10)], 50)
    rows = [row for batch in ScheduledBatchSampler(schedule, 4) for row in batch]
    epochs = [tuple(rows[start : start + 10]) for start in range(0, 200, 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len(set(epochs)) == 20


@pytest.mark.parametrize("kind", SAMPLERS)
@pytest.mark.parametrize("start", [0, 1, 33, 59, 60])
def test_resumed_equals_uninterrupted(kind, start):
    whole, resumed = sampler(5, kind=kind), sampler(5, kind=kind, start_step=start)
    expected = list(whole)[start * whole.schedule.batches_per_step :]
    assert list(resumed) == expected and len(resumed) == len(expected)
    assert list(resumed) == expected  # a second pass begins at the same place
    assert [batch for step in range(start, 60) for batch in whole.at(step)] == expected


@pytest.mark.parametrize("kind", SAMPLERS)
@pytest.mark.parametrize("batch_size", [3, {"coco": 2, "openimages": 3, "books": 6}])
def test_ranks_together_are_one_process(kind, batch_size):
    ranks = [list(sampler(batch_size, rank, 3, kind=kind)) for rank in range(3)]
    together = [[row for part in parts for row in part] for parts in zip(*ranks)]
    size = {name: 3 * size for name, size in batch_size.items()} if isinstance(batch_size, dict) else 3 * batch_size
    assert together == list(sampler(size, kind=kind))


def test_the_order_is_a_function_of_seed_source_and_epoch():
    assert list(sampler(4)) == list(sampler(4))
    assert list(sampler(4)) != list(sampler(4, seed=3))
    # A source keeps its order whatever stands beside it.
    schedule = Schedule([Source("other", "text", rows=9), SOURCES[0]], 8, 2, "alternating")
    alone = Schedule([SOURCES[0]], 4, 2)
    beside = [[row - 9 for row in batch] for batch in list(ScheduledBatchSampler(schedule, 4))[1::2]]
    assert beside == list(ScheduledBatchSampler(alone, 4))


def test_large_sources_and_late_steps_cost_no_reading():
    schedule = Schedule([Source("large", "images", rows=1_000_000), SOURCES[0]], 2_000_000, sampler="weighted")
    found = ScheduledBatchSampler(schedule, 64, rank=1, world_size=4, start_step=1_999_999)
    assert [len(batch) for batch in found] == [64]


class Rows:
    """Remembers what was read."""

    def __init__(self, source):
        self.source, self.read = source, 0

    def __len__(self):
        return self.source.rows

    def __getitem__(self, row):
        self.read += 1
        return self.source.kind, row


@pytest.mark.parametrize("workers", [0, 2])
def test_in_a_data_loader(workers):
    datasets = [Rows(source) for source in SOURCES]
    batches = sampler(4, start_step=50)
    loader = DataLoader(ConcatDataset(datasets), batch_sampler=batches, collate_fn=list, num_workers=workers)
    kinds = [{kind for kind, _ in batch} for batch in loader]
    assert kinds == [{batches.schedule.at(step)[0].kind} for step in range(50, 60)]
    assert workers or sum(dataset.read for dataset in datasets) == 40


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: ScheduledBatchSampler(Schedule([Source("web", "pairs")], 5), 4), "'web' is a stream"),
        (lambda: sampler(0), "batch size of source 'coco' is 0"),
        (lambda: sampler({"coco": 4, "books": 2}), "batch size of source 'openimages' is missing"),
        (lambda: sampler(4, rank=2, world_size=2), "rank is 2 of 2"),
        (lambda: sampler(4, start_step=61), "start_step is 61"),
    ],
)
def test_bad_input_gets_one_sentence(make, message):
    with pytest.raises(BadInputError, match=message):
        make()
