# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""NLVR2: places of pictures, groups for the consistency, files that are not what their name says."""

import pytest

from hf_unimo.data.benchmarks import open_benchmark
from hf_unimo.errors import BadInputError
from modeling_tests.data.benchmarks.files import as_lines, picture_bytes, pictures


def line(identifier, label="True", **more):
    return {
        "identifier": identifier,
        "sentence": "There are two dogs. ",
        "label": label,
        "left_url": "http://a/b.png",
        "right_url": "http://a/c.png",
        "writer": 1,
        "synset": "dog",
        "query": "dogs0",
        **more,
    }


def test_train(tmp_path):
    rows = [line("train-10171-0-0", directory=66), line("train-10171-1-0", "False", directory=66)]
    as_lines(tmp_path / "train.json", rows)
    pictures(tmp_path, *(f"images/train/66/train-10171-{pair}-img{side}.png" for pair in (0, 1) for side in (0, 1)))
    train = open_benchmark("nlvr2", tmp_path, "train")
    assert [row.label for row in train] == [1, 0] and train.label_names == ("False", "True")
    assert train[0].left.path == str(tmp_path / "images/train/66/train-10171-0-img0.png")
    assert train[1].right.name == "train-10171-1-img1.png" and train[0].sentence == "There are two dogs."
    assert [row.group for row in train] == ["train-10171--0"] * 2
    assert train.counts["pictures"] == 4 and train.counts["classes"] == {"False": 1, "True": 1}


@pytest.mark.parametrize("name, split, folder", [("dev", "dev", "dev/"), ("test", "test1", "images/test1/")])
def test_the_other_splits(tmp_path, name, split, folder):
    rows = [
        line(f"{split}-3-{pair}-1", "true", validation={"3": "True"}, extra_validations={}, writer="w")
        for pair in range(3)
    ]
    as_lines(tmp_path / f"{split}.json", rows)
    pictures(tmp_path, *(f"{folder}{split}-3-{pair}-img{side}.png" for pair in (0, 1) for side in (0, 1)))
    (tmp_path / folder / f"{split}-3-0-img0.png").write_bytes(picture_bytes("JPEG"))
    benchmark = open_benchmark("nlvr2", tmp_path, name, missing="drop")
    assert benchmark.split == split and [row.id for row in benchmark] == [f"{split}-3-{pair}-1" for pair in (0, 1)]
    assert len(benchmark.missing) == 2 and benchmark.counts["missing_pictures"] == 2
    assert benchmark[0].left.open().size == (4, 4)  # a JPEG inside a .png


@pytest.mark.parametrize(
    "row, message",
    [
        (line("dev-3-0"), "identifier 'dev-3-0'; accepted is dev-<set>-<pair>-<sentence>"),
        (line("test1-3-0-0"), "identifier 'test1-3-0-0'; accepted is dev-"),
        (line("dev-3-0-0", "yes"), "label 'yes'; accepted are 'True' and 'False'"),
        (line("dev-3-0-0", True), "'label' 'True' of type bool; accepted is str"),
        (line("dev-3-0-0"), "lacks 2 pictures"),
    ],
)
def test_bad_rows(tmp_path, row, message):
    as_lines(tmp_path / "dev.json", [row])
    with pytest.raises(BadInputError, match=message):
        open_benchmark("nlvr2", tmp_path, "dev")


def test_bad_files(tmp_path):
    as_lines(tmp_path / "train.json", [line("train-1-0-0")])
    with pytest.raises(BadInputError, match=r"train.json, line 1 has no field 'directory'"):
        open_benchmark("nlvr2", tmp_path, "train")
    with pytest.raises(BadInputError, match=r"no such split: 'test2' was given, the nearest known is 'test1'"):
        open_benchmark("nlvr2", tmp_path, "test2")
