# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The files of the first implementation: TSV, captions with 5 fields, captions with 8, objects with 4."""

import gzip

import pytest

from hf_unimo.data.benchmarks import TokenIds, open_benchmark
from hf_unimo.errors import BadInputError
from modeling_tests.data.benchmarks.files import as_tsv, pictures, text


HEADER = ("qid", "label", "text_a", "text_b")


@pytest.mark.parametrize(
    "split, name",
    [
        ("train", "train.tsv"),
        ("validation_matched", "m/dev.tsv"),
        ("validation_mismatched", "mm/dev.tsv"),
        ("test_matched", "m/test.tsv"),
        ("test_mismatched", "mm/test.tsv"),
        ("diagnostic", "diagnostic.tsv"),
    ],
)
def test_tsv(tmp_path, split, name):
    as_tsv(tmp_path / name, HEADER, ("7", "2", 'A "quoted', "two"), ("8", "0", "three", "four"))
    benchmark = open_benchmark("unimo2-tsv", tmp_path, split)
    assert [(row.id, row.text, row.text_pair, row.label) for row in benchmark] == [
        ("7", 'A "quoted', "two", 2),
        ("8", "three", "four", 0),
    ]
    assert benchmark.label_names is None and benchmark.split == split
    named = open_benchmark("unimo2-tsv", tmp_path, split, label_names=["neutral", "entailment", "contradiction"])
    assert named.counts["classes"] == {"neutral": 1, "entailment": 0, "contradiction": 1}


def test_tsv_with_one_text_and_no_more(tmp_path):
    as_tsv(tmp_path / "any.tsv", ("text_a",), ("one",), ("two",))
    benchmark = open_benchmark("unimo2-tsv", tmp_path / "any.tsv", "dev")
    assert [(row.id, row.text, row.text_pair, row.label) for row in benchmark] == [
        ("2", "one", None, None),
        ("3", "two", None, None),
    ]
    assert benchmark.counts["unlabelled_rows"] == 2


@pytest.mark.parametrize(
    "header, line, message",
    [
        (("text", "label"), ("a", "1"), "no field 'text_a'; the nearest is 'text'"),
        (("text_a", "lable"), ("a", "1"), "unknown column: 'lable' was given, the nearest known is 'label'"),
        (("text_a", "label"), ("a", "neutral"), "line 2 has the label 'neutral'; accepted are integers from 0 to 2"),
        (("text_a", "label"), ("a", "3"), "line 2 has the label '3'; accepted are integers from 0 to 2"),
    ],
)
def test_bad_tsv(tmp_path, header, line, message):
    as_tsv(tmp_path / "dev.tsv", header, line)
    with pytest.raises(BadInputError, match=message):
        open_benchmark("unimo2-tsv", tmp_path, "dev", label_names=["a", "b", "c"])


def test_flickr30k(tmp_path):
    lines = ["0 9 2;0 0 0;2 3 4;36979;0", "0 8 7 2;0 0 0 0;2 3 4 5;11;5", "0 6 2;0 0 0;2 3 4;36979;1"]
    text(tmp_path / "val.all.ids", "\n".join(lines) + "\n")
    pictures(tmp_path, "flickr30k-images/36979.jpg", "flickr30k-images/11.jpg")
    benchmark = open_benchmark("unimo2-flickr30k", tmp_path, "val")
    assert [(row.id, row.caption_ids) for row in benchmark] == [("36979", ("0", "1")), ("11", ("5",))]
    assert benchmark[0].captions[1] == TokenIds((0, 6, 2), (0, 0, 0), (2, 3, 4))
    assert benchmark[1].image.open().size == (4, 4) and benchmark.counts["captions"] == 3


CAPTION = "COCO_val_391895;val2014/391895.jpg;770337;0 9 8 2;0 0 0 0;2 3 4 5;-1 0 1 -1;0"
UNKNOWN = "COCO_val_391896;/data/coco/391896.jpg;0;;;;;0"


def test_coco(tmp_path):
    (tmp_path / "parts").mkdir()
    with gzip.open(tmp_path / "parts" / "a.gz", "wt") as file:
        file.write(CAPTION + "\n")
    text(tmp_path / "parts" / "b", UNKNOWN + "\n")
    text(tmp_path / "test.list", "parts/a.gz\nparts/b\n")
    text(tmp_path / "objects", "391895;0 5 2;0 0 0;2 3 4\nCOCO_val_391896;0 6;0 0;2 3\n")
    pictures(tmp_path, "val2014/391895.jpg", "391896.jpg")
    test = open_benchmark("unimo2-coco", tmp_path, "test", objects=tmp_path / "objects")
    assert [(row.id, row.image_id) for row in test] == [("770337", "391895"), ("0", "391896")]
    assert test[0].tokens == TokenIds((0, 9, 8, 2), (0, 0, 0, 0), (2, 3, 4, 5))
    assert test[0].word_labels == (-1, 0, 1, -1) and test[0].label == "0"
    assert test[0].objects == TokenIds((0, 5, 2), (0, 0, 0), (2, 3, 4)) and test[1].objects.input_ids == (0, 6)
    assert test[1].tokens is None and test.counts["unlabelled_rows"] == 1
    assert test[1].image.path == str(tmp_path / "391896.jpg")
    assert test.protocol["source"] == ["a.gz", "b"]
    text(tmp_path / "alone", CAPTION + "\n")
    assert open_benchmark("unimo2-coco", tmp_path / "alone", "val")[0].objects is None


def test_tokens_are_missing_in_the_test_split_only(tmp_path):
    text(tmp_path / "a", UNKNOWN)
    with pytest.raises(BadInputError, match=r"a, line 1, has no token ids; accepted is that in the test split only"):
        open_benchmark("unimo2-coco", tmp_path / "a", "val")


@pytest.mark.parametrize(
    "name, line, message",
    [
        ("unimo2-flickr30k", "0 2;0 0;2 3;1", "line 1, has 4 fields between ';'; accepted are 5"),
        ("unimo2-flickr30k", "0 2;0;2 3;1;0", "has 2, 1, 2 token, segment and position ids"),
        ("unimo2-flickr30k", ";;;1;0", "has 0, 0, 0 token, segment and position ids"),
        ("unimo2-flickr30k", "0 x;0 0;2 3;1;0", "has '0 x'; accepted are integers from 0 on"),
        ("unimo2-flickr30k", "0 -2;0 0;2 3;1;0", "has '0 -2'; accepted are integers from 0 on"),
        ("unimo2-flickr30k", "0 2;0 0;2 3;1;0\n0 2;0 0;2 3;1;0", "line 2, has the sentence id '0' of '1' a second"),
        ("unimo2-coco", CAPTION.replace("COCO_val_", ""), "calls its picture '391895'; accepted are 9 characters"),
        ("unimo2-coco", CAPTION.replace("-1 0 1 -1", "-1 0 1"), "has 3 word labels for 4 tokens"),
        ("unimo2-coco", CAPTION.replace("-1 0 1 -1", "-2 0 1 -1"), "accepted are integers from -1 on"),
        ("unimo2-coco", "nowhere.gz", "a lists '.*nowhere.gz', which is not there"),
    ],
)
def test_bad_lines(tmp_path, name, line, message):
    text(tmp_path / "a", line + "\n")
    with pytest.raises(BadInputError, match=message):
        open_benchmark(name, tmp_path / "a", "val", missing="unchecked")


def test_bad_files(tmp_path):
    text(tmp_path / "a", CAPTION)
    text(tmp_path / "objects", "17;0;0;2\n")
    with pytest.raises(BadInputError, match=r"the picture '391895', which has no line in the file of objects"):
        open_benchmark("unimo2-coco", tmp_path / "a", "val", objects=tmp_path / "objects")
    with pytest.raises(BadInputError, match=r"There is no file '.*nowhere'"):
        open_benchmark("unimo2-coco", tmp_path / "a", "val", objects=tmp_path / "nowhere")
    (tmp_path / "test.ids.gz").write_bytes(gzip.compress(b"text")[:-6])
    with pytest.raises(BadInputError, match=r"test.ids.gz' cannot be read as UTF-8 text"):
        open_benchmark("unimo2-coco", tmp_path, "test")
