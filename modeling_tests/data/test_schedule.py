# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""`Schedule`: exact counts, pure functions of seed and step, and the random numbers of a row."""

import time

import numpy as np
import pytest
import torch

from hf_unimo.data.schedule import SAMPLERS, Schedule, Source, apportion, random_state, row_generators, uniform_draws
from hf_unimo.errors import BadInputError


SOURCES = (Source("coco", "pairs", 5, 100), Source("openimages", "images", 3, 70), Source("books", "text", 2))
WEIGHTED, UNIFORM, PERMUTATION = "cococcbcobccboocbcco", "cbcboobbcoboocboccob", [3, 7, 1, 2, 6, 4, 5, 0]


def names(schedule):
    return [tuple(source.name for source in sources) for sources in schedule]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_pure_function_of_seed_and_step(sampler):
    one, other = (Schedule(SOURCES, 101, seed=3, sampler=sampler) for _ in range(2))
    assert one == other and len(one) == 101
    backwards = [other.at(step) for step in reversed(range(101))][::-1]
    assert list(one) == backwards
    for before in (0, 1, 57, 101):
        drawn = [source.name for sources in backwards[:before] for source in sources]
        assert one.counts(before) == {source.name: drawn.count(source.name) for source in SOURCES}
    assert sum(one.counts().values()) == 101 * one.batches_per_step


@pytest.mark.parametrize("sampler", ["uniform", "weighted"])
def test_random_samplers_depend_on_the_seed(sampler):
    first, second = (Schedule(SOURCES, 100, seed=seed, sampler=sampler) for seed in (0, 1))
    assert names(first) != names(second)


def test_task_by_task():
    assert (
        names(Schedule(SOURCES, 10, sampler="task_by_task"))
        == [("coco",)] * 5 + [("openimages",)] * 3 + [("books",)] * 2
    )


def test_alternating():
    expected = [("coco",), ("openimages",), ("books",), ("coco",), ("openimages",)]
    assert names(Schedule(SOURCES, 5, sampler="alternating")) == expected


def test_uniform_draws_every_source_equally_likely():
    counts = Schedule(SOURCES, 30_000, sampler="uniform").counts()
    for count in counts.values():
        assert abs(count - 10_000) < 4 * (30_000 * 1 / 3 * 2 / 3) ** 0.5
    assert len(set(counts.values())) > 1  # no exact counts: that is `weighted`


@pytest.mark.parametrize("steps", [1, 7, 10, 999, 1000])
@pytest.mark.parametrize("seed", [0, 1])
def test_weighted_counts_are_exact(steps, seed):
    counts = Schedule(SOURCES, steps, seed).counts()
    assert sum(counts.values()) == steps
    for source in SOURCES:
        assert abs(counts[source.name] - source.weight * steps / 10) < 1


def test_weighted_is_mixed_all_along():
    """In each tenth of the run every source comes about as often as in the whole."""
    order = np.array([name == "coco" for (name,) in names(Schedule(SOURCES, 10_000))])
    assert abs(order.reshape(10, -1).mean(1) - 0.5).max() < 4 * (0.25 / 1000) ** 0.5


def test_accumulating_takes_every_source_at_every_step():
    schedule = Schedule(SOURCES, 4, sampler="accumulating")
    assert names(schedule) == [("coco", "openimages", "books")] * 4
    assert schedule.batches_per_step == 3
    assert schedule.counts() == {"coco": 4, "openimages": 4, "books": 4}
    assert schedule.counts(before=3) == {"coco": 3, "openimages": 3, "books": 3}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_weight_0_switches_a_source_off(sampler):
    off = Source("off", "text", 0.0)
    with_it, without = Schedule((SOURCES[0], off, *SOURCES[1:]), 50, 1, sampler), Schedule(SOURCES, 50, 1, sampler)
    assert names(with_it) == names(without)
    assert with_it.counts() == {**without.counts(), "off": 0}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_single_source(sampler):
    assert names(Schedule(SOURCES[:1], 3, sampler=sampler)) == [("coco",)] * 3


def test_the_order_is_the_same_in_every_environment():
    """A run that is resumed elsewhere must find the same order: numbers written down once (numpy 2.4)."""
    assert [name[0] for (name,) in names(Schedule(SOURCES, 20, seed=0))] == list(WEIGHTED)
    assert [name[0] for (name,) in names(Schedule(SOURCES, 20, seed=0, sampler="uniform"))] == list(UNIFORM)
    assert random_state(7, "coco", 1).permutation(8).tolist() == PERMUTATION


def test_millions_of_steps_are_a_matter_of_a_moment_and_a_byte_each():
    start = time.perf_counter()
    schedule = Schedule(SOURCES, 5_000_000, seed=1)
    assert schedule.counts() == {"coco": 2_500_000, "openimages": 1_500_000, "books": 1_000_000}
    assert sum(schedule.counts(before=4_000_000).values()) == 4_000_000
    schedule.at(4_999_999)
    assert schedule._order.nbytes == 5_000_000
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize("step", [-1, 10])
def test_steps_outside_of_the_schedule(step):
    with pytest.raises(IndexError, match=f"step {step} "):
        Schedule(SOURCES, 10).at(step)


@pytest.mark.parametrize(
    "weights, total, expected",
    [
        ([1, 1, 1], 10, [4, 3, 3]),  # ties go to the earlier one
        ([0.1, 0.2, 0.7], 10, [1, 2, 7]),  # floats would give 0.7 * 10 / 1.0 = 6.999...
        ([1e-9, 1], 5, [0, 5]),
        ([1, 0, 2], 1, [0, 0, 1]),
        ([3, 1], 0, [0, 0]),
    ],
)
def test_largest_remainder(weights, total, expected):
    assert apportion(weights, total) == expected


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Source("", "text"), "no name"),
        (lambda: Source("a", "txt"), "'txt' was given, the nearest known is 'text'"),
        (lambda: Source("a", "text", -1), "has weight -1;"),
        (lambda: Source("a", "text", float("nan")), "has weight nan"),
        (lambda: Source("a", "text", float("inf")), "has weight inf"),
        (lambda: Source("a", "text", "1e-3"), "has weight '1e-3'"),
        (lambda: Source("a", "text", rows=0), "has 0 rows"),
        (lambda: Schedule([], 5), "no sources"),
        (lambda: Schedule([SOURCES[0], SOURCES[1], SOURCES[0]], 5), "2 sources are called 'coco'"),
        (lambda: Schedule([Source("a", "text", 0)], 5), "sum to 0"),
        (lambda: Schedule(SOURCES, 0), "has 0 steps"),
        (lambda: Schedule(SOURCES, 1.5), "has 1.5 steps"),
        (lambda: Schedule(SOURCES, 5, seed=-1), "seed is -1"),
        (lambda: Schedule(SOURCES, 5, sampler="wieghted"), "nearest known is 'weighted'"),
        (lambda: Schedule(SOURCES, 5, sampler="task by task"), "nearest known is 'task_by_task'"),
    ],
)
def test_bad_input_gets_one_sentence(make, message):
    with pytest.raises(BadInputError, match=message) as error:
        make()
    assert str(error.value).endswith(".") and "\n" not in str(error.value)


def test_row_generators_depend_on_keys_and_row_alone():
    def draw(rows, *keys, count=5):
        return uniform_draws(row_generators(rows, *keys), len(rows), count)

    both = draw([4, 9], 1, 2, "masking")
    assert torch.equal(both[1:], draw([9], 1, 2, "masking"))
    assert torch.equal(both, draw([4, 9], 1, 2, "masking", count=500)[:, :5])
    assert both.dtype == torch.float64 and both.min() >= 0 and both.max() < 1
    others = [draw([4, 9], *keys) for keys in ((1, 2, "crops"), (1, 3, "masking"), (0, 2, "masking"))]
    assert all(not torch.equal(both, other) for other in others)
    assert both[0, 0] != both[1, 0]


def test_uniform_draws_wants_a_generator_for_each_row():
    with pytest.raises(BadInputError, match="2 generators came with 3 rows"):
        uniform_draws(row_generators([0, 1], 0), 3, 1)
    assert uniform_draws([], 0, 4).shape == (0, 4)
