# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""`StreamReader`: shuffled and shared out without loss, and resumed to the row."""

import io
import json
import tarfile

import datasets
import pytest
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from hf_unimo.data.images import BadRowError
from hf_unimo.data.schedule import random_state
from hf_unimo.data.sources import SourceOptions, open_source
from hf_unimo.data.streams import StreamReader
from hf_unimo.errors import BadInputError
from modeling_tests.data.test_sources import cache, pictures  # noqa: F401


ROWS = 23


def json_files(folder, files):
    """ROWS texts in so many files of unequal lengths, at least one each."""
    numbers, first = list(range(ROWS)), 0
    for file in range(files):
        last = ROWS if file == files - 1 else first + 1 + 3 * file
        text = "".join(json.dumps({"text": str(n), "odd": n % 2}) + "\n" for n in numbers[first:last])
        (folder / f"{file}.jsonl").write_text(text)
        first = last
    return {"path": "*.jsonl"}


def parquet(folder):
    texts = datasets.Dataset.from_dict({"text": [str(n) for n in range(ROWS)]})
    texts.to_parquet(folder / "texts.parquet", batch_size=5)  # rows of a group
    return {"path": "texts.parquet"}


def csv(folder):
    (folder / "texts.csv").write_text("text\n" + "".join(f"no. {n}\n" for n in range(ROWS)))
    return {"path": "texts.csv"}


def saved(folder):
    datasets.Dataset.from_dict({"text": [str(n) for n in range(ROWS)]}).save_to_disk(folder / "saved")
    return {"path": "saved"}


def images(folder):
    pictures(folder / "images", ROWS)
    return {"path": "images", "kind": "images"}


def tar(folder, files=1):
    """As `json_files`, with a picture's place beside each text."""
    numbers = iter(range(ROWS))
    for file in range(files):
        with tarfile.open(folder / f"{file}.tar", "w") as shard:
            for n in numbers if file == files - 1 else [next(numbers) for _ in range(1 + 3 * file)]:
                for name, content in ((f"{n}.jpg", b"not read"), (f"{n}.txt", str(n).encode())):
                    header = tarfile.TarInfo(name)
                    header.size = len(content)
                    shard.addfile(header, io.BytesIO(content))
    return {"path": f"{{0..{files - 1}}}.tar"}


STREAMS = {
    "json": lambda folder: json_files(folder, 1),
    "json, 4 files": lambda folder: json_files(folder, 4),
    "json, 3 files, where": lambda folder: {**json_files(folder, 3), "where": {"odd": 0}},
    "parquet": parquet,
    "csv": csv,
    "saved": saved,
    "images": images,
    "tar": tar,
    "tar, 4 files": lambda folder: tar(folder, 4),
}


def opened(folder, name="json", shuffle_buffer=5, **changes):
    options = {"kind": "text", "name": "mine", "streaming": True, "shuffle_buffer": shuffle_buffer}
    options |= (STREAMS[name](folder) if name in STREAMS else {}) | changes
    return open_source(SourceOptions(**options), folder=folder)


def content(row):
    return row.text if row.image is None else row.place.split("(")[1]


def read(reader, number):
    """The next rows, each with the state after it."""
    return [(content(reader.read(None)), json.dumps(reader.state_dict())) for _ in range(number)]


def epochs(reader, number):
    """The contents of the next whole epochs, for a reader that stands at the beginning of one."""
    found = []
    first = reader.state_dict()["epoch"]
    while True:
        row = reader.read(None)
        epoch = reader.state_dict()["epoch"] - first
        if epoch == number:
            return found
        found += [[]] * (epoch == len(found))
        found[epoch] = [*found[epoch], content(row)]


@pytest.mark.parametrize("name", STREAMS)
def test_each_epoch_holds_every_row_in_an_order_of_its_own(tmp_path, name):
    source = opened(tmp_path, name)
    found = epochs(source.reader(seed=0), 3)
    rows = sorted(found[0])
    assert len(set(rows)) == len(rows) == (ROWS // 2 + 1 if "where" in name else ROWS)
    assert all(sorted(epoch) == rows for epoch in found)
    assert len({tuple(epoch) for epoch in [*found, rows]}) == 4
    assert epochs(source.reader(seed=0), 3) == found
    assert epochs(source.reader(seed=1), 1)[0] != found[0]


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("name", STREAMS)
def test_resuming_is_exact(tmp_path, name, ranks):
    """From any row on, over the ends of blocks and epochs, and once more from what was resumed."""
    source, rank = opened(tmp_path, name), ranks - 1
    last = (ROWS + 8) // ranks
    uninterrupted = read(source.reader(7, rank, ranks), last + 20)
    expected = [row for row, _ in uninterrupted]
    for stop in range(0, last, 2):  # and from 7 rows on
        state = json.dumps(source.reader(7, rank, ranks).state_dict()) if stop == 0 else uninterrupted[stop - 1][1]
        for start, number in ((stop, 7), (stop + 7, 13)):
            loaded, reader = json.loads(state), source.reader(7, rank, ranks)
            reader.load_state_dict(loaded)
            assert json.dumps(reader.state_dict()) == state
            found = read(reader, number)
            assert [row for row, _ in found] == expected[start : start + number]
            assert json.dumps(loaded) == state  # the reader goes on, what was handed in does not
            state = found[-1][1]
    assert max(len(state) for _, state in uninterrupted) < 2000


@pytest.mark.parametrize("name", STREAMS)
def test_ranks_share_each_epoch(tmp_path, name):
    """4 files on 2 ranks: whole files. All others: every second row."""
    source = opened(tmp_path, name)
    alone = epochs(source.reader(seed=0), 2)
    shares = [epochs(source.reader(0, rank, 2), 2) for rank in range(2)]
    for epoch in range(2):
        both = [set(share[epoch]) for share in shares]
        assert both[0] and both[1] and not both[0] & both[1]
        assert both[0] | both[1] == set(alone[epoch])


def test_blocks(tmp_path):
    """Within a block any order, the blocks one after another; the last block is the rest."""
    found = epochs(opened(tmp_path, shuffle_buffer=10).reader(seed=0), 1)[0]
    blocks = [found[:10], found[10:20], found[20:]]
    assert [sorted(map(int, block)) for block in blocks] == [list(range(10)), list(range(10, 20)), [20, 21, 22]]
    assert found[:10] != sorted(found[:10])
    assert len(set(epochs(opened(tmp_path, shuffle_buffer=1000).reader(seed=0), 1)[0][:10]) - set(found[:10])) > 1
    unshuffled = epochs(opened(tmp_path, shuffle_buffer=1).reader(seed=0), 1)[0]
    assert unshuffled == [str(n) for n in range(ROWS)]


@pytest.mark.parametrize("name", ["json", "tar"])
def test_a_block_ends_when_it_is_full(tmp_path, monkeypatch, name):
    """However large the rows of a stranger are: a row of these has one or two bytes."""
    monkeypatch.setattr("hf_unimo.data.streams.MAX_BLOCK_BYTES", 4)
    source = opened(tmp_path, name, shuffle_buffer=1000)
    uninterrupted = read(source.reader(seed=0), 2 * ROWS)
    rows = [int(row) for row, _ in uninterrupted]
    assert sorted(rows[:4]) == [0, 1, 2, 3] and sorted(rows[4:8]) == [4, 5, 6, 7] and sorted(rows[10:12]) == [10, 11]
    assert sorted(rows[:ROWS]) == sorted(rows[ROWS:]) == list(range(ROWS))
    for stop in (2, 11, 30):
        reader = source.reader(seed=0)
        reader.load_state_dict(json.loads(uninterrupted[stop - 1][1]))
        assert read(reader, 10) == uninterrupted[stop : stop + 10]


def test_files_come_in_another_order_each_epoch(tmp_path):
    found = epochs(opened(tmp_path, "json, 4 files", shuffle_buffer=1).reader(seed=0), 6)
    files = [[0], [1, 2, 3, 4], list(range(5, 12)), list(range(12, ROWS))]
    orders = set()
    for epoch in found:
        numbers = [int(text) for text in epoch]
        order = sorted(range(4), key=lambda file: numbers.index(files[file][0]))
        assert numbers == [number for file in order for number in files[file]]
        orders.add(tuple(order))
    assert len(orders) > 3


def test_places_are_unique(tmp_path):
    """With one file they are the row's in all epochs, else they name the epoch, and of several readers the reader."""
    reader = opened(tmp_path).reader(seed=0)
    assert len({reader.read(None).place for _ in range(2 * ROWS)}) == ROWS
    source = opened(tmp_path, "json, 4 files")
    readers = [source.reader(0, rank, 2) for rank in range(2)]
    places = [reader.read(None).place for reader in readers for _ in range(ROWS)]
    assert len(set(places)) == 2 * ROWS
    assert "row 0 of epoch 0 for reader 1 of 2" in places


def test_bad_rows_do_not_stop_the_stream(tmp_path):
    rows = [{"text": text} for text in ("a", None, "b", " ", "c")]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    reader = opened(tmp_path, None, path="texts.jsonl", shuffle_buffer=2).reader(seed=0)
    good, bad = [], []
    for _ in range(10):
        try:
            good.append(reader.read(None).text)
        except BadRowError as error:
            bad.append((error.place, str(error)))
    assert sorted(good) == sorted("aabbcc")
    assert sorted(bad) == [(f"row {row}", "its text is empty") for row in (1, 1, 3, 3)]


def test_rng_draws_captions(tmp_path):
    (tmp_path / "texts.jsonl").write_text(json.dumps({"text": ["a", "b", "c"]}) + "\n")
    reader = opened(tmp_path, None, path="texts.jsonl").reader(seed=0)
    assert [reader.read(None).text for _ in range(5)] == ["a"] * 5
    assert {reader.read(random_state(n)).text for n in range(30)} == {"a", "b", "c"}


@pytest.mark.parametrize("rank", [-1, 2])
def test_unknown_rank(tmp_path, rank):
    with pytest.raises(BadInputError, match="accepted are 0 to"):
        opened(tmp_path).reader(0, rank, 2)


def test_rank_without_rows(tmp_path):
    for file, rows in enumerate(('{"text": "a"}\n' * 5, "\n")):
        (tmp_path / f"{file}.jsonl").write_text(rows)
    (tmp_path / "one.jsonl").write_text('{"text": "a"}\n')
    for path in ("?.jsonl", "one.jsonl"):
        source = opened(tmp_path, None, path=path)
        told = []
        for rank in range(2):
            reader = source.reader(0, rank, 2)
            for _ in range(2):
                try:
                    reader.read(None)
                except BadInputError as error:
                    told.append(str(error))
        assert len(told) == 2 and all("'mine' has no rows for reader" in text for text in told), told


def test_a_broken_file_stops_the_stream_with_its_name(tmp_path):
    json_files(tmp_path, 3)
    with open(tmp_path / "1.jsonl", "a") as file:
        file.write('{"text":')
    reader = opened(tmp_path, None, path="*.jsonl").reader(seed=0)
    for _ in range(3):
        with pytest.raises(BadInputError, match=r"line 5 of '1.jsonl' is not JSON"):
            read(reader, 2 * ROWS)


def test_a_state_of_other_data(tmp_path):
    source = opened(tmp_path, shuffle_buffer=1000)
    state = read(source.reader(seed=0), 20)[-1][1]
    (tmp_path / "0.jsonl").write_text('{"text": "a"}\n')
    reader = source.reader(seed=0)
    reader.load_state_dict(json.loads(state))
    with pytest.raises(BadInputError, match="does not fit its rows"):
        reader.read(None)


class Worker(IterableDataset):
    """What the worker processes of a DataLoader do with a stream: each has a reader of its own."""

    def __init__(self, source, states):
        self.source, self.states = source, states

    def __iter__(self):
        worker = get_worker_info()
        reader = StreamReader(self.source, 0, worker.id, worker.num_workers)
        if self.states:
            reader.load_state_dict(self.states[worker.id])
        yield from read(reader, 30)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("name", ["json, 4 files", "parquet", "tar, 4 files"])
def test_in_worker_processes(tmp_path, name, workers):
    """A reader reads the same rows in whatever process it is."""
    source = opened(tmp_path, name)
    expected = [read(source.reader(0, number, workers), 40) for number in range(workers)]
    for start in (0, 7):
        states = [json.loads(rows[start - 1][1]) for rows in expected] if start else None
        found = [row for row, _ in DataLoader(Worker(source, states), batch_size=None, num_workers=workers)]
        for number, rows in enumerate(expected):
            assert found[number::workers] == [row for row, _ in rows[start : start + 30]]
