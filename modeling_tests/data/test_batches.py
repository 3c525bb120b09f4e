# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""`Batches`, `StreamedBatches`, `train_loader`, `evaluation_batches`: order, ranks, resumption, bad rows."""

import io
import itertools
import json
import logging
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from hf_unimo.data.batch_sampler import ScheduledBatchSampler
from hf_unimo.data.batches import (
    BadRowCount,
    Batches,
    BatchInfo,
    StreamedBatches,
    evaluation_batches,
    train_loader,
)
from hf_unimo.data.collator import PretrainingCollator
from hf_unimo.data.images import BadRowError
from hf_unimo.data.schedule import SAMPLERS, Schedule, Source
from hf_unimo.data.sources import Row, SourceOptions, open_source
from hf_unimo.errors import BadInputError
from hf_unimo.models.unimo2.image_processing_pil_unimo2 import Unimo2ImageProcessorPil
from hf_unimo.models.unimo2.tokenization_unimo2 import Unimo2Tokenizer


TOKENIZER = Path(__file__).parents[2] / "examples" / "data" / "emoji" / "tokenizer"


class Rows:
    """A map-style source of numbered rows, which keeps a list of what was read."""

    def __init__(self, name, kind="text", count=20, bad=()):
        self.name, self.kind, self.count, self.bad, self.seen = name, kind, count, set(bad), []

    def __len__(self):
        return self.count

    def read(self, item, rng):
        self.seen.append(item)
        return row_of(self, item, rng)


class Stream(Rows):
    """A stream of numbered rows; each rank reads every `world_size`-th."""

    def __len__(self):
        raise TypeError("a stream has no length")

    def reader(self, seed, rank=0, world_size=1):
        return Reader(self, rank, world_size)


class Reader:
    def __init__(self, source, rank, world_size):
        self.source, self.world_size = source, world_size
        self.state = {"next": [rank]}

    def read(self, rng):
        item = self.state["next"][0]
        self.state["next"][0] += self.world_size
        self.source.seen.append(item)
        return row_of(self.source, item % self.source.count, rng)

    def state_dict(self):
        return self.state  # the very object that goes on changing

    def load_state_dict(self, state):
        self.state = state


def row_of(source, item, rng):
    place = f"row {item}"
    if item in source.bad:
        error = BadRowError(f"item {item} is broken")
        error.place = place
        raise error
    drawn = -1 if rng is None else rng.randint(10**6)
    if source.kind == "text":
        return Row(None, f"{item} {drawn}", place)
    image = Image.fromarray(np.random.RandomState(item).randint(0, 256, (16, 16, 3), dtype=np.uint8))
    return Row(image, f"flag {item} cat {drawn}" if source.kind == "pairs" else None, place)


def numbers(kind, rows, generators, train):
    """In place of a collator: what each row is and drew, and what the collator would draw for it."""
    return {
        "items": torch.tensor([[int(number) for number in row.text.split()] for row in rows]),
        "masking": torch.stack([torch.rand(2, generator=generator) for generator in generators("masking")]),
        "augmentation": torch.stack([torch.rand(2, generator=each) for each in generators("augmentation")]),
    }


def schedule_of(sources, steps=12, seed=4, sampler="weighted"):
    return Schedule(
        [Source(s.name, s.kind, 1 + i, None if isinstance(s, Stream) else len(s)) for i, s in enumerate(sources)],
        steps,
        seed,
        sampler,
    )


def two(**options):
    return [Rows("a", **options), Rows("b", count=7)]


def mixed():
    return [Rows("a"), Stream("s", count=50, bad=[5, 6]), Stream("t", count=9)]


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name in found:
        if name == "info":
            assert found[name] == expected[name]
        else:
            assert torch.equal(found[name], expected[name]), name


def loader(sources, schedule=None, collator=numbers, **options):
    return train_loader(sources, schedule or schedule_of(sources), collator, **{"batch_size": 4, **options})


@pytest.fixture(scope="module")
def real_collator():
    tokenizer = Unimo2Tokenizer.from_pretrained(TOKENIZER)
    return PretrainingCollator(tokenizer, Unimo2ImageProcessorPil(size=16), own_masked_pass=True)


# Map-style sources


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("batch_size", [3, {"a": 2, "b": 5}])
def test_rows_are_those_of_the_batch_sampler_in_any_order(sampler, batch_size):
    sources = two()
    schedule = schedule_of(sources, 30, sampler=sampler)
    expected = list(ScheduledBatchSampler(schedule, batch_size))
    names = [source.name for step in schedule for source in step]
    batches = Batches(sources, schedule, numbers, batch_size=batch_size)
    assert len(batches) == len(expected)
    for index in np.random.RandomState(0).permutation(len(batches)).tolist():
        batch, info = batches[index], batches[index]["info"]
        items = batch["items"][:, 0] + (0 if info.source == "a" else len(sources[0]))
        assert items.tolist() == expected[index]
        assert (info.index, info.step, info.source) == (index, index // schedule.batches_per_step, names[index])
        assert info.places == [f"row {item}" for item in batch["items"][:, 0]] and info.kind == "text"
    with pytest.raises(IndexError):
        batches[len(batches)]


def test_the_place_of_a_batch_is_counted_on(monkeypatch):
    schedule = schedule_of(two(), 5000)
    drawn, expected = Counter(), []
    for (source,) in schedule:
        expected.append((source, drawn[source.name]))
        drawn[source.name] += 1
    batches = Batches(two(), schedule, numbers, batch_size=1)
    counted = []
    counts = Schedule.counts
    monkeypatch.setattr(Schedule, "counts", lambda *args, **kwargs: counted.append(0) or counts(*args, **kwargs))
    for indices, most in [(range(5000), 0), (range(0, 5000, 3), 1), ((4999, 0, 2500, 2501), 3)]:
        counted.clear()
        assert [batches.place(index) for index in indices] == [(index, *expected[index]) for index in indices]
        assert len(counted) <= most


def test_ranks_together_are_one_process():
    whole = Batches(two(bad=[3, 4]), schedule_of(two()), numbers, batch_size={"a": 6, "b": 3})
    options = {"batch_size": {"a": 2, "b": 1}, "world_size": 3}
    ranks = [Batches(two(bad=[3, 4]), schedule_of(two()), numbers, rank=rank, **options) for rank in range(3)]
    replaced = 0
    for index in range(len(whole)):
        expected, parts = whole[index], [batches[index] for batches in ranks]
        replaced += len(expected["info"].bad_rows)
        for name in ("items", "masking", "augmentation"):
            assert torch.equal(torch.cat([part[name] for part in parts]), expected[name])
        for name in ("places", "bad_rows"):
            assert [x for part in parts for x in getattr(part["info"], name)] == getattr(expected["info"], name)
    assert replaced


def test_random_numbers_differ_from_row_to_row_and_batch_to_batch():
    batches = list(Batches(two(), schedule_of(two()), numbers, batch_size=8))
    for name in ("items", "masking", "augmentation"):
        drawn = torch.cat([batch[name][:, -1] for batch in batches])
        assert len(drawn.unique()) == len(drawn)
    assert not torch.equal(batches[0]["masking"], batches[0]["augmentation"])
    other = Batches(two(), schedule_of(two(), seed=5), numbers, batch_size=8)[0]
    assert not torch.equal(other["masking"], batches[0]["masking"])


@pytest.mark.parametrize("sampler", ["weighted", "accumulating"])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_resumed_equals_uninterrupted(sampler, num_workers):
    sources = two(bad=[3])
    schedule = schedule_of(sources, sampler=sampler)
    whole = list(loader(sources, schedule))
    assert any(batch["info"].bad_rows for batch in whole)
    for source in sources:
        source.seen.clear()
    resumed = loader(sources, schedule, start_batch=5, num_workers=num_workers)
    assert len(resumed) == len(whole) - 5
    found = list(resumed)
    for batch, expected in zip(found, whole[5:], strict=True):
        assert_equal(batch, expected)
    if num_workers == 0:  # what is skipped is not read
        extra = sum(len(batch["info"].bad_rows) for batch in found)
        assert sum(len(source.seen) for source in sources) == 4 * len(found) + extra


@pytest.mark.parametrize("num_workers", [0, 2])
def test_resumed_equals_uninterrupted_with_tensors_of_all_kinds(real_collator, num_workers):
    sources = [Rows("pairs", "pairs", 9, bad=[2]), Rows("images", "images", 5), Rows("text", "text", 7)]
    schedule = schedule_of(sources, 9)
    whole = list(loader(sources, schedule, real_collator))
    assert {batch["info"].kind: batch.keys() - {"info"} for batch in whole} == {
        "pairs": {"pixel_values", "input_ids", "attention_mask", "masked_input_ids", "labels"},
        "images": {"pixel_values", "second_pixel_values"},
        "text": {"input_ids", "attention_mask", "labels"},
    }
    resumed = loader(sources, schedule, real_collator, start_batch=3, num_workers=num_workers)
    for batch, expected in zip(resumed, whole[3:], strict=True):
        assert_equal(batch, expected)


def test_two_ranks_tensors_are_one_process(real_collator):
    """But for the padding of texts, which goes up to the longest of a rank."""
    sources = [Rows("pairs", "pairs", 9, bad=[2]), Rows("images", "images", 5), Rows("text", "text", 7)]
    schedule = schedule_of(sources, 9)
    ranks = [loader(sources, schedule, real_collator, batch_size=3, rank=rank, world_size=2) for rank in range(2)]
    for whole, *parts in zip(loader(sources, schedule, real_collator, batch_size=6), *ranks, strict=True):
        for rank, part in enumerate(parts):
            assert part["info"].places == whole["info"].places[rank * 3 : rank * 3 + 3]
            for name in part.keys() - {"info"}:
                among = whole[name][rank * 3 : rank * 3 + 3]
                if part[name].dim() == 2:
                    assert (whole["attention_mask"][rank * 3 : rank * 3 + 3, part[name].shape[1] :] == 0).all()
                    among = among[:, : part[name].shape[1]]
                assert torch.equal(part[name], among), name


@pytest.mark.parametrize("sources", [two, mixed])
def test_the_global_random_numbers_are_left_alone(sources):
    """A resumed run could not repeat what a loader takes from torch's or numpy's generator."""
    torch.manual_seed(0)
    np.random.seed(0)
    expected = torch.rand(1), np.random.rand()
    torch.manual_seed(0)
    np.random.seed(0)
    assert len(list(loader(sources()))) == 12
    assert (torch.rand(1), np.random.rand()) == expected


# Streams


@pytest.mark.parametrize("sampler", ["weighted", "accumulating"])
@pytest.mark.parametrize("num_workers", [0, 1])
def test_streams_resumed_equal_uninterrupted(sampler, num_workers):
    schedule = schedule_of(mixed(), sampler=sampler)
    whole = list(loader(mixed(), schedule))
    assert any(batch["info"].bad_rows for batch in whole)
    for start in (1, 5, len(whole)):
        sources, before = mixed(), whole[start - 1]["info"]
        states = json.loads(json.dumps(before.stream_states))
        resumed = loader(sources, schedule, start_batch=start, stream_states=states, num_workers=num_workers)
        assert len(resumed) == len(whole) - start
        for _ in range(2):  # a second pass begins at the same place
            for batch, expected in zip(resumed, whole[start:], strict=True):
                assert_equal(batch, expected)
        assert states == before.stream_states
        if num_workers == 0:
            first = before.stream_states["s"][0] or {"next": [0]}
            assert all(item >= first["next"][0] for item in sources[1].seen)


@pytest.mark.parametrize("sampler", ["weighted", "accumulating"])
@pytest.mark.parametrize("begun, resumed", [(2, 0), (2, 2), (2, 3), (3, 2), (0, 2)])
def test_streams_begun_and_resumed_with_any_number_of_workers(sampler, begun, resumed):
    """How many have begun decides the batches, and how many go on nothing."""
    schedule = schedule_of(mixed(), sampler=sampler)
    whole = list(loader(mixed(), schedule, num_workers=begun))
    assert [batch["info"].index for batch in whole] == list(range(len(whole)))
    alone = StreamedBatches(mixed(), schedule, numbers, batch_size=4, num_readers=max(1, begun))
    for batch, expected in zip(alone, whole, strict=True):
        assert_equal(batch, expected)
    for start in (1, 4, 11):
        states = json.loads(json.dumps(whole[start - 1]["info"].stream_states))
        assert all(len(of_readers) == max(1, begun) for of_readers in states.values())
        found = loader(mixed(), schedule, start_batch=start, stream_states=states, num_workers=resumed)
        assert len(found) == len(whole) - start
        for batch, expected in zip(found, whole[start:], strict=True):
            assert_equal(batch, expected)


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("sampler", ["alternating", "accumulating"])
def test_readers_of_ranks_and_workers_share_the_rows(sampler, num_workers):
    """2 ranks of 2 workers: four readers, each with its share, whatever the order of the sources is."""
    sources = [Stream("s", count=1000), Stream("t", count=1000)]
    schedule = schedule_of(sources, sampler=sampler, steps=8)
    drawn = {"s": [], "t": []}
    for rank in range(2):
        # Without workers the readers are told by the states.
        states = {name: [{"next": [2 * rank]}, {"next": [2 * rank + 1]}] for name in drawn}
        options = {"num_workers": 2} if num_workers else {"stream_states": states}
        for batch in loader(sources, schedule, rank=rank, world_size=2, **options):
            drawn[batch["info"].source] += batch["items"][:, 0].tolist()
    for items in drawn.values():
        # Each reader has read the rows r, r + 4, r + 8, ... from the beginning on: nothing twice, nothing left out.
        assert sorted(items) == list(range(len(items))) and len(items) >= 32


def test_batches_of_workers_hardly_wait_for_their_turn():
    sources = [Rows("a"), Stream("s", count=50), Stream("t", count=9)]
    batches = StreamedBatches(sources, schedule_of(sources, steps=600), numbers, batch_size=1, num_readers=4)
    shares = [[], [], [], []]
    for batch in batches:
        _, _, drawn = batches.place(batch["info"].index)
        shares[drawn % 4].append(batch)
    given = 0

    def as_a_loader_gives_them():
        nonlocal given
        for turn in itertools.zip_longest(*shares):
            for batch in filter(None, turn):
                given += 1
                yield batch

    waiting = [given - number for number, _ in enumerate(batches.in_order(as_a_loader_gives_them()), start=1)]
    assert len(waiting) == 600 and max(waiting) <= 4 * len(sources)


def test_states_are_those_after_their_batch():
    """And not those of the reader as it is by now: batches wait while the reader goes on."""
    drawn = Counter()
    for batch in list(loader([Stream("s", count=50), Stream("t")], schedule_of([Stream("s"), Stream("t")]))):
        drawn[batch["info"].source] += 4
        assert batch["info"].stream_states == {
            name: [{"next": [drawn[name]]} if name in drawn else None] for name in ("s", "t")
        }
        assert batch["items"][:, 0].tolist() == [
            item % (50 if batch["info"].source == "s" else 20)
            for item in range(drawn[batch["info"].source] - 4, drawn[batch["info"].source])
        ]


def test_map_style_sources_are_the_same_beside_a_stream():
    schedule = schedule_of(mixed())
    batches = loader(mixed(), schedule)
    rows = ScheduledBatchSampler(Schedule([schedule.sources[0]], 12, seed=4), 4)
    found = [batch["items"][:, 0].tolist() for batch in batches if batch["info"].source == "a"]
    assert found and found == list(rows)[: len(found)]


def test_ranks_share_streams_and_draw_the_same_kinds():
    schedule = schedule_of(mixed())
    ranks = [list(loader(mixed(), schedule, rank=rank, world_size=2)) for rank in range(2)]
    for first, second in zip(*ranks, strict=True):
        assert first["info"].source == second["info"].source
        if first["info"].source == "s":
            assert (first["items"][:, 0] % 2 == 0).all() and (second["items"][:, 0] % 2 == 1).all()
        assert not torch.isin(first["masking"], second["masking"]).any()


def test_bad_rows_of_streams_are_passed_over():
    batches = list(loader(mixed()))
    streamed = [batch for batch in batches if batch["info"].source == "s"]
    items = torch.cat([batch["items"][:, 0] for batch in streamed]).tolist()
    assert items[:8] == [0, 1, 2, 3, 4, 7, 8, 9]
    assert streamed[1]["info"].bad_rows == [
        ("s", "row 5", "item 5 is broken"),
        ("s", "row 6", "item 6 is broken"),
    ]
    assert all(len(batch["items"]) == 4 for batch in batches)


# Bad rows


def test_bad_rows_are_replaced_by_others_of_their_source():
    clean = Batches(two(), schedule_of(two()), numbers, batch_size=6)
    dirty = Batches(two(bad=range(10)), schedule_of(two()), numbers, batch_size=6)
    replacements = []
    for index in range(len(clean)):
        expected, found = clean[index], dirty[index]
        was_bad = (expected["items"][:, 0] < 10) & (expected["info"].source == "a")
        assert torch.equal(found["items"][~was_bad], expected["items"][~was_bad])
        assert torch.equal(found["masking"], expected["masking"])
        replacements += found["items"][was_bad, 0].tolist()
        assert found["info"].places == [f"row {item}" for item in found["items"][:, 0]]
        noted = [int(place.split()[1]) for _, place, _ in found["info"].bad_rows]
        assert set(expected["items"][was_bad, 0].tolist()) <= set(noted) <= set(range(10))
        assert all(source == "a" and "is broken" in why for source, _, why in found["info"].bad_rows)
        assert_equal(dirty[index], found)
    assert min(replacements) >= 10 and len(set(replacements)) > 5  # not always the same one


def test_too_many_bad_rows_in_one_batch():
    sources = [Rows("only", count=40, bad=range(30))]
    with pytest.raises(BadInputError, match=r"More than 3 rows .*row \d+ of source 'only'.*is broken"):
        Batches(sources, schedule_of(sources), numbers, batch_size=20, max_bad_rows=3)[0]
    # One bad row that is met many times is one.
    sources = [Rows("only", count=2, bad=[0])]
    info = Batches(sources, schedule_of(sources), numbers, batch_size=20, max_bad_rows=1)[0]["info"]
    assert len(info.bad_rows) > 5 and set(info.places) == {"row 1"}
    with pytest.raises(BadInputError, match="More than 0 rows"):
        Batches(sources, schedule_of(sources), numbers, batch_size=20, max_bad_rows=0)[0]


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("make", [Rows, Stream])
def test_no_good_row_at_all(make, num_workers):
    sources = [make("only", count=5, bad=range(5))]
    with pytest.raises(BadInputError, match=r"No row .* source 'only' .* row \d: item \d is broken$") as caught:
        next(iter(loader(sources, max_bad_rows=5, num_workers=num_workers)))
    assert str(caught.value).startswith("No row") and "\n" not in str(caught.value)  # not a worker's traceback


def test_bad_row_count(caplog):
    def info(*items):
        return BatchInfo(0, 0, "text", "a", [], [("a", f"row {item}", "broken") for item in items])

    count = BadRowCount(3)
    with caplog.at_level(logging.WARNING):
        for items in ((1, 2), (), (2, 1, 1), (3,)):
            count.add(info(*items))
    assert len(count) == 3
    assert [record.getMessage() for record in caplog.records] == [
        f"Source 'a', row {item} cannot be used: broken" for item in (1, 2, 3)
    ]
    resumed = BadRowCount(3)
    resumed.load_state_dict(json.loads(json.dumps(count.state_dict())))
    assert resumed.state_dict() == count.state_dict()
    caplog.clear()
    resumed.add(info(1, 2, 3))
    assert not caplog.records
    for counted in (count, resumed):
        with pytest.raises(BadInputError, match=r"More than 3 rows .* row 7 of source 'a' \(broken\)"):
            counted.add(info(7))


# Evaluation


@pytest.mark.parametrize("world_size, shares", [(1, [11]), (3, [3, 4, 4])])
def test_evaluation_reads_every_row_once_in_order(world_size, shares):
    source = Rows("a", count=11)
    expected = torch.cat([batch["masking"] for batch in evaluation_batches(source, numbers, 11)])
    ranks = [list(evaluation_batches(source, numbers, 3, rank, world_size)) for rank in range(world_size)]
    items = [torch.cat([batch["items"] for batch in batches]) for batches in ranks]
    assert [len(share) for share in items] == shares
    assert torch.cat(items).tolist() == [[item, -1] for item in range(11)]
    # What is drawn depends on the row, not on batch and rank.
    assert torch.equal(torch.cat([batch["masking"] for batches in ranks for batch in batches]), expected)
    for batches in ranks:
        assert all(len(batch["items"]) == 3 for batch in batches[:-1])
        assert [batch["info"].index for batch in batches] == list(range(len(batches)))
        assert all(batch["info"].source == "a" for batch in batches)


def test_evaluation_leaves_bad_rows_out():
    source = Rows("a", count=9, bad=[1, 6, 7, 8])
    first, second = evaluation_batches(source, numbers, 3)
    assert first["items"][:, 0].tolist() == [0, 2, 3] and second["items"][:, 0].tolist() == [4, 5]
    assert [place for _, place, _ in first["info"].bad_rows] == ["row 1"]
    assert [place for _, place, _ in second["info"].bad_rows] == ["row 6", "row 7", "row 8"]
    with pytest.raises(BadInputError, match=r"No row of source 'a'.*row 2"):
        list(evaluation_batches(Rows("a", count=3, bad=range(3)), numbers, 3))


def test_evaluation_of_pictures(real_collator):
    (pairs,) = evaluation_batches(Rows("p", "pairs", 4), real_collator, 8)
    images = [Rows("p", "pairs", 4).read(item, None).image for item in range(4)]
    plain = Unimo2ImageProcessorPil(size=16)(images, return_tensors="pt")["pixel_values"]
    assert torch.equal(pairs["pixel_values"], plain)
    once, twice = (next(evaluation_batches(Rows("i", "images", 4), real_collator, 8)) for _ in range(2))
    assert_equal(once, twice)
    assert not torch.equal(once["pixel_values"], once["second_pixel_values"])


# Bad input


@pytest.mark.parametrize(
    "options, expected",
    [
        ({"start_batch": 13}, "0 to 12"),
        ({"start_batch": -1}, "0 to 12"),
        ({"stream_states": {"s": {}}}, "of this run are: none"),
        ({"rank": 2, "world_size": 2}, "0 to world_size - 1"),
        ({"batch_size": {"a": 3}}, "'b' is missing"),
        ({"sources": [Rows("a")]}, "source without data: 'b'"),
        ({"sources": [Rows("a"), Rows("b", count=8)]}, "'b' to have 7 rows, but it has 8"),
    ],
)
def test_bad_options(options, expected):
    with pytest.raises(BadInputError, match=expected):
        loader(options.pop("sources", two()), schedule_of(two()), **options)


@pytest.mark.parametrize(
    "options, expected",
    [
        ({"start_batch": 3, "stream_states": {"s": [None], "t": [None] * 2}}, "do not belong together"),
        ({"start_batch": 3, "stream_states": {"s": {}, "t": {}}}, "do not belong together"),
        ({"start_batch": 3}, "without the state of stream 's'"),
        ({"start_batch": 3, "stream_states": {"s": {}}}, "without the state of stream 't'"),
        ({"stream_states": {"a": {}}}, "of this run are: s, t"),
        ({"batch_size": {"a": 3, "s": 2}}, "'t' is missing"),
    ],
)
def test_bad_options_with_streams(options, expected):
    with pytest.raises(BadInputError, match=expected):
        loader(mixed(), **options)


def test_bad_use(monkeypatch):
    with pytest.raises(BadInputError, match="'s' is a stream"):
        Batches(mixed(), schedule_of(mixed()), numbers, batch_size=2)
    streamed = StreamedBatches(mixed(), schedule_of(mixed()), numbers, batch_size=2)
    with (
        monkeypatch.context() as patch,
        pytest.raises(BadInputError, match="cannot share 1 readers"),
    ):
        patch.setattr("hf_unimo.data.batches.get_worker_info", lambda: SimpleNamespace(id=0, num_workers=2))
        next(iter(streamed))
    with pytest.raises(BadInputError, match="from 1 on"):
        evaluation_batches(Rows("a"), numbers, 0)
    with pytest.raises(BadInputError, match="world_size - 1"):
        evaluation_batches(Rows("a"), numbers, 2, rank=1)


# Real sources


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Pairs of which one picture is broken, map-style; texts as a stream."""
    folder = tmp_path_factory.mktemp("data")
    pictures = []
    for row in range(9):
        file = io.BytesIO()
        image = Image.fromarray(np.random.RandomState(row).randint(0, 256, (20, 16, 3), dtype=np.uint8))
        image.save(file, "PNG")
        pictures.append({"bytes": file.getvalue()[: 60 if row == 4 else None], "path": f"{row}.png"})
    captions = [[f"flag {row}", f"the flag with number {row}"] for row in range(9)]
    pairs = datasets.Dataset.from_dict({"image": pictures, "text": captions})
    pairs.cast_column("image", datasets.Image(decode=False)).save_to_disk(folder / "pairs")
    datasets.Dataset.from_dict({"text": [f"cat {row}" for row in range(14)]}).save_to_disk(folder / "text")
    options = [
        SourceOptions("pairs", "pairs", "pairs"),
        SourceOptions("text", "text", "text", streaming=True, shuffle_buffer=5),
    ]
    return [open_source(option, folder=folder) for option in options]


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_real_sources_resumed_equal_uninterrupted(opened, real_collator, num_workers):
    schedule = Schedule([Source("pairs", "pairs", rows=9), Source("text", "text")], 10, 1, "alternating")
    whole = list(loader(opened, schedule, real_collator, num_workers=num_workers))
    bad_rows = {bad for batch in whole for bad in batch["info"].bad_rows}
    assert [(source, place) for source, place, _ in bad_rows] == [("pairs", "row 4 (4.png)")]
    assert not any("row 4 (4.png)" in batch["info"].places for batch in whole)
    for start in (3, 6):
        states = whole[start - 1]["info"].stream_states
        resumed = loader(
            opened, schedule, real_collator, start_batch=start, stream_states=states, num_workers=num_workers
        )
        for batch, expected in zip(resumed, whole[start:], strict=True):
            assert_equal(batch, expected)


def test_evaluation_of_a_real_source(opened, real_collator):
    pairs, text = opened
    batches = list(evaluation_batches(pairs, real_collator, 5))
    assert [len(batch["pixel_values"]) for batch in batches] == [5, 3]
    assert [place for batch in batches for place in batch["info"].places] == [
        f"row {row} ({row}.png)" for row in range(9) if row != 4
    ]
    assert real_collator.tokenizer.decode(batches[0]["input_ids"][0], skip_special_tokens=True) == "flag 0"
    with pytest.raises(BadInputError, match="'text' is a stream"):
        evaluation_batches(text, real_collator, 5)
