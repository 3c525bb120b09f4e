# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""An index keeps what was committed, through kills, damage, two writers, and manifests that strangers wrote."""

import json
import multiprocessing
import os
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from hf_unimo.errors import BadInputError
from hf_unimo.retrieval import index as module
from hf_unimo.retrieval.index import VectorIndex


def features(number=20, width=8, seed=0) -> np.ndarray:
    return np.random.RandomState(seed).randn(number, width).astype(np.float32)


def made(folder, dtype="fp32", **given) -> VectorIndex:
    """Two segments: 20 rows and 5."""
    index = VectorIndex.create(folder, 8, dtype, **given)
    index.append(features(), [{"name": f"row {number}"} for number in range(20)])
    index.append(features(5, seed=1))
    return index


def refused(words) -> "pytest.RaisesExc":
    """One sentence with `words`."""
    return pytest.raises(BadInputError, match=rf"(?s)^(?!.*\n)(?=.*{words}).*\.$")


def tree_of(folder) -> dict:
    return json.loads((folder / "manifest.json").read_text())


# ---------------------------------------------------------------------------------------------------------------------
# What is written is read
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_rows_entries_and_stamp_come_back(tmp_path, dtype):
    made(tmp_path / "index", dtype, stamp={"model": "abc", "size": (3, 4)}, notes={"from": "Zürich"})
    index = VectorIndex.open(tmp_path / "index", {"model": "abc", "size": [3, 4]})
    expected = torch.from_numpy(np.concatenate([features(), features(5, seed=1)]))
    assert torch.equal(index.features, expected.to({"fp32": torch.float32, "bf16": torch.bfloat16}[dtype]))
    assert len(index) == 25 and [segment.rows for segment in index.segments] == [20, 5]
    assert index.entries == [{"name": f"row {number}"} for number in range(20)] + [{}] * 5
    assert (index.width, index.dtype, index.notes) == (8, dtype, {"from": "Zürich"})
    index.check()
    assert sorted(path.name for path in index.folder.iterdir()) == [
        "entries.jsonl",
        "features.bin",
        "lock",
        "manifest.json",
    ]
    size = {"fp32": 4, "bf16": 2}[dtype]
    assert (index.folder / "features.bin").stat().st_size == 25 * 8 * size


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("number", [1, 6])
def test_search_is_a_ranking_of_what_is_stored(tmp_path, dtype, number):
    index = VectorIndex.open(made(tmp_path / "index", dtype).folder)
    queries = features(number, seed=2)
    scores = (index.features.double().numpy() @ queries.astype(np.float64).T).T.astype(np.float32)
    rows = np.argsort(-scores, axis=1, kind="stable")[:, :7]
    for given in (queries, torch.from_numpy(queries), queries.tolist()):
        found = index.search(given, top_k=7)
        assert np.array_equal(found.rows, rows)
        assert np.array_equal(found.scores, np.take_along_axis(scores, rows, axis=1))
    assert index.search(queries, top_k=100).rows.shape == (number, 25)
    assert np.array_equal(index.search(queries[0], 3).rows, rows[:1, :3])
    assert index.search(queries[0]).rows.shape == (1, 10)


def test_replaced_rows_are_not_found_any_more(tmp_path):
    index = made(tmp_path / "index")
    query = features()[4]
    assert index.search(query, 1).rows.tolist() == [[4]]
    index.append(features(1, seed=9), replaced=[4])
    for opened in (index, VectorIndex.open(index.folder)):
        assert 4 not in opened.search(query, 100).rows and opened.search(query, 100).rows.shape == (1, 25)
        assert opened.replaced.tolist() == [4] and len(opened) == 26
    index.append(np.empty((0, 8)), replaced=[4, 25])
    assert VectorIndex.open(index.folder).replaced.tolist() == [4, 25]


def test_an_index_without_rows(tmp_path):
    VectorIndex.create(tmp_path / "index", 8)
    index = VectorIndex.open(tmp_path / "index")
    assert len(index) == 0 and index.entries == [] and index.features.shape == (0, 8)
    assert index.search(features(3)).rows.shape == (3, 0)
    index.check()
    index.remove()
    assert not (tmp_path / "index").exists()
    with refused("has 25 rows"):
        made(tmp_path / "index").remove()


def test_searching_changes_nothing(tmp_path):
    index = made(tmp_path / "index")
    before = (index.folder / "features.bin").read_bytes()
    opened = VectorIndex.open(index.folder)
    opened.features.zero_()  # a private map
    assert (index.folder / "features.bin").read_bytes() == before


# ---------------------------------------------------------------------------------------------------------------------
# Stopped and at once
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["features", "entries", "manifest"])
def test_what_a_killed_writer_left_is_no_part_of_it(tmp_path, monkeypatch, step):
    """The process dies after some bytes of a step: a copy of the folder as it was then."""
    index = made(tmp_path / "index")
    state = tmp_path / "state"

    def die(write):
        def half(path, *args):
            if step in Path(path).name:
                if step != "manifest":
                    write(path, *args[:-1], args[-1][: len(args[-1]) // 2])
                shutil.copytree(index.folder, state)
                raise KeyboardInterrupt
            return write(path, *args)

        return half

    monkeypatch.setattr(module, "_write_behind", die(module._write_behind))
    monkeypatch.setattr(module, "write_atomically", die(module.write_atomically))
    with pytest.raises(KeyboardInterrupt):
        index.append(features(7, seed=3), [{"lost": True}] * 7)
    monkeypatch.undo()
    assert len(index) == 25
    left = VectorIndex.open(state)
    size = (state / "features.bin").stat().st_size
    assert size > 25 * 8 * 4
    left.check()
    assert len(left) == 25 and len(left.entries) == 25
    left.append(features(2, seed=4), [{"kept": True}] * 2)
    again = VectorIndex.open(state)
    again.check()
    assert again.entries[25:] == [{"kept": True}] * 2
    assert np.array_equal(again.features[25:].numpy(), features(2, seed=4))
    assert (state / "features.bin").stat().st_size == 27 * 8 * 4


def _hold(folder, connection):
    with VectorIndex.open(folder).writing():
        connection.send("held")
        time.sleep(60)


def test_a_second_writer_is_refused_and_a_reader_is_not(tmp_path):
    index = made(tmp_path / "index")
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_hold, args=(index.folder, theirs))
    process.start()
    try:
        assert ours.recv() == "held"
        with refused("Another process writes"):
            index.append(features(1))
        assert len(VectorIndex.open(index.folder)) == 25
    finally:
        process.kill()
        process.join()
    index.append(features(1))  # a killed writer holds no lock
    assert len(VectorIndex.open(index.folder)) == 26


def test_a_writer_sees_what_others_committed(tmp_path):
    first = made(tmp_path / "index")
    second = VectorIndex.open(first.folder)
    first.append(features(3, seed=5))
    assert len(second) == 25
    second.append(features(2, seed=6))
    assert len(second) == 30
    VectorIndex.open(first.folder).check()
    shutil.rmtree(first.folder)
    VectorIndex.create(first.folder, 9)
    with refused("replaced by another index"):
        second.append(features(1))


def test_a_full_disk_is_told_before_anything_is_written(tmp_path, monkeypatch):
    index = made(tmp_path / "index")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage._replace(free=100))
    with refused("100 bytes free"):
        index.append(features(9))
    monkeypatch.undo()
    assert len(VectorIndex.open(index.folder)) == 25

    def full(path, size, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_write_behind", full)
    with refused("cannot be written .No space left"):
        index.append(features(9))


# ---------------------------------------------------------------------------------------------------------------------
# Refused
# ---------------------------------------------------------------------------------------------------------------------


def test_another_model_is_refused(tmp_path):
    folder = made(tmp_path / "index", stamp={"model": "abc", "size": 3}).folder
    with refused('made with model "abc", but "def" is given'):
        VectorIndex.open(folder, {"size": 3, "model": "def"})
    with refused("made with kind null"):
        VectorIndex.open(folder, {"kind": 1})


def test_a_place_that_is_taken_or_no_index(tmp_path):
    (tmp_path / "file").write_text("here")
    for folder in (tmp_path, tmp_path / "file"):
        with refused("exists and is not"):
            VectorIndex.create(folder, 8)
    for folder in (tmp_path, tmp_path / "file", tmp_path / "nothing"):
        with refused("is no index"):
            VectorIndex.open(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("width, dtype", [(0, "fp32"), (True, "fp32"), (2.5, "fp32"), (2**21, "fp32"), (8, "fp16")])
def test_widths_and_types_that_cannot_be(tmp_path, width, dtype):
    with refused("The (width|type) of"):
        VectorIndex.create(tmp_path / "index", width, dtype)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "values, words",
    [
        (np.zeros((2, 7)), "have the shape"),
        (np.zeros((1, 2, 8)), "have the shape"),
        (np.zeros(()), "have the shape"),
        ([["a"] * 8], "no real numbers"),
        ([[1.0] * 8, [1.0]], "no real numbers"),
        (np.full((2, 8), np.nan), "Row 0 of the .* not finite"),
        (np.array([[0.0] * 8, [1e16] * 8]), "Row 1 of the .* beyond 1e.15"),
        (np.zeros((1, 8), complex), "no real numbers"),
    ],
)
def test_features_and_queries_that_are_none(tmp_path, values, words):
    index = made(tmp_path / "index")
    with refused(words):
        index.append(values)
    with refused(words):
        index.search(values)
    assert len(VectorIndex.open(index.folder)) == 25


def test_calls_that_do_not_fit(tmp_path):
    index = made(tmp_path / "index")
    for top_k in (0, -1, True, 1.5, None):
        with refused("number of hits"):
            index.search(features(1), top_k)
    with refused("2 entries for 1 rows"):
        index.append(features(1), [{}, {}])
    for entry in ({"a": object()}, {"a": float("nan")}):
        with refused("entry cannot be stored"):
            index.append(features(1), [entry])
    for row in (26, -1):
        with refused("accepted are rows from 0 to 25"):
            index.append(features(1), replaced=[row])
    with refused("stamp cannot be stored"):
        VectorIndex.create(tmp_path / "other", 8, stamp={"a": b"b"})
    assert len(VectorIndex.open(index.folder)) == 25 and not (tmp_path / "other").exists()


# ---------------------------------------------------------------------------------------------------------------------
# Damage, and strangers
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["features.bin", "entries.jsonl"])
def test_files_that_are_too_short_or_missing(tmp_path, name):
    path = made(tmp_path / "index").folder / name
    os.truncate(path, path.stat().st_size - 1)
    with refused(f"{name} is damaged: it has"):
        VectorIndex.open(path.parent)
    path.unlink()
    with refused(f"{name} is damaged: there is no such file"):
        VectorIndex.open(path.parent)


@pytest.mark.parametrize(
    "name, place, segment", [("features.bin", 3, 1), ("features.bin", -1, 2), ("entries.jsonl", 5, 1)]
)
def test_a_changed_byte_is_found(tmp_path, name, place, segment):
    path = made(tmp_path / "index").folder / name
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with refused(f"{name} is damaged: segment {segment} does not fit its checksum"):
        VectorIndex.open(path.parent).check()
    if name == "entries.jsonl":
        with refused("does not fit its checksum"):
            VectorIndex.open(path.parent).entries  # noqa: B018


@pytest.mark.parametrize("name", ["features.bin", "entries.jsonl", "manifest.json", "lock"])
def test_links_are_not_followed(tmp_path, name):
    """Else `append` would cut off, or write to, what a stranger's link points to."""
    path = made(tmp_path / "index").folder / name
    target = tmp_path / "mine"
    target.write_bytes(path.read_bytes() + b"and more")
    path.unlink()
    path.symlink_to(target)
    content = target.read_bytes()
    with refused("it is a link"):
        VectorIndex.open(path.parent).append(features(1))
    assert target.read_bytes() == content


CHANGES = {
    "version": (lambda tree: tree.update(version=2), "version 2"),
    "format": (lambda tree: tree.update(format="other"), "is no index"),
    "type": (lambda tree: tree.update(dtype="fp8"), "type of .* is unknown"),
    "type, a list": (lambda tree: tree.update(dtype=["fp32"]), "type of .* is unknown"),
    "width": (lambda tree: tree.update(width="8"), "width of"),
    "wider": (lambda tree: tree.update(width=9), "features.bin is damaged: it has"),
    "width, huge": (lambda tree: tree.update(width=10**30), "width of"),
    "stamp": (lambda tree: tree.update(stamp=None), "stamp and notes"),
    "segments": (lambda tree: tree.update(segments={}), "no list of segments"),
    "segment": (lambda tree: tree.update(segments=[3]), "segment 1 has other fields"),
    "files": (lambda tree: tree["segments"][0].update(file="/etc/passwd"), "segment 1 has other fields"),
    "field": (lambda tree: tree["segments"][1].pop("rows"), "segment 2 has other fields"),
    "rows, negative": (lambda tree: tree["segments"][0].update(rows=-20), "values that cannot be"),
    "rows, a fraction": (lambda tree: tree["segments"][0].update(rows=1.5), "values that cannot be"),
    "rows, too many": (lambda tree: tree["segments"][0].update(rows=10**12), "features.bin is damaged: it has"),
    "bytes": (lambda tree: tree["segments"][0].update(entries_bytes=-1), "values that cannot be"),
    "norm": (lambda tree: tree["segments"][0].update(largest_norm=float("nan")), "values that cannot be"),
    "norm, infinite": (lambda tree: tree["segments"][0].update(largest_norm=float("inf")), "values that cannot be"),
    "replaced": (lambda tree: tree["segments"][0].update(replaced=[20]), "values that cannot be"),
    "replaced, a text": (lambda tree: tree["segments"][0].update(replaced="12"), "values that cannot be"),
    "replaced, none": (lambda tree: tree["segments"][0].update(replaced=None), "other fields"),
    "checksum": (lambda tree: tree["segments"][0].update(features_sha256=5), "values that cannot be"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_manifests_that_cannot_be(tmp_path, change):
    folder = made(tmp_path / "index").folder
    tree = tree_of(folder)
    alter, words = CHANGES[change]
    alter(tree)
    (folder / "manifest.json").write_text(json.dumps(tree))
    with refused(words):
        VectorIndex.open(folder)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b"3"])
def test_manifests_that_are_no_objects(tmp_path, data):
    folder = made(tmp_path / "index").folder
    (folder / "manifest.json").write_bytes(data)
    with refused("(is no JSON|it is no JSON|is no index)"):
        VectorIndex.open(folder)


def test_entries_that_cannot_be(tmp_path):
    """With checksums that fit: a stranger can compute them."""
    for lines, words in ((b"{}\n" * 3, "stand for 20 rows"), (b"[]\n" * 20, "stand for"), (b"{\n" * 20, "no JSON")):
        folder = tmp_path / re.sub(r"\W", "", words)
        index = VectorIndex.create(folder, 8)
        index.append(features())
        tree = tree_of(folder)
        (folder / "entries.jsonl").write_bytes(lines)
        tree["segments"][0] |= {
            "entries_bytes": len(lines),
            "entries_sha256": module.hashlib.sha256(lines).hexdigest(),
        }
        (folder / "manifest.json").write_text(json.dumps(tree))
        with refused(words):
            VectorIndex.open(folder).entries  # noqa: B018
