# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""SNLI-VE: the official lines, lists as OFA and ALBEF have them, tables; what does not count."""

import datasets
import pytest

from hf_unimo.data.benchmarks import open_benchmark
from hf_unimo.errors import BadInputError
from modeling_tests.data.benchmarks.files import as_json, as_lines, picture_bytes, pictures


def line(number, label, name="Flickr30K_ID", image="341", pair=None):
    return {
        "annotator_labels": [label],
        "captionID": "341.jpg#4",
        "gold_label": label,
        "pairID": pair or f"341.jpg#4r{number}n",
        "sentence1": "A man jumps.",
        "sentence1_parse": "(ROOT)",
        "sentence1_binary_parse": "( A man )",
        "sentence2": f"Hypothesis {number} ",
        "sentence2_parse": "(ROOT)",
        "sentence2_binary_parse": "( )",
        name: image,
    }


@pytest.mark.parametrize("name, image", [("Flickr30K_ID", "341"), ("Flickr30kID", "341"), ("Flickr30K_ID", "341.jpg")])
def test_lines(tmp_path, name, image):
    labels = ("contradiction", "neutral", "entailment", "-", "neutral")
    rows = [line(number, label, name, image) for number, label in enumerate(labels)]
    rows[4]["pairID"] = "vg_1r1n"
    as_lines(tmp_path / "snli_ve_dev.jsonl", rows)
    pictures(tmp_path, "flickr30k_images/341.jpg")
    dev = open_benchmark("snli-ve", tmp_path, "dev")
    assert dev.label_names == ("entailment", "neutral", "contradiction") and [row.label for row in dev] == [2, 1, 0]
    assert dev[0].id == "341.jpg#4r0n" and dev[0].hypothesis == "Hypothesis 0" and dev[0].caption == "A man jumps."
    assert dev[0].image.path == str(tmp_path / "flickr30k_images" / "341.jpg")
    assert dev.protocol["dropped"] == {"without_majority": 1, "visual_genome": 1}
    assert dev.counts["classes"] == {"entailment": 1, "neutral": 1, "contradiction": 1}
    assert dev.counts["pictures"] == 1 and dev.task == "entailment"


def test_lists(tmp_path):
    as_json(tmp_path / "ve.json", [{"image": "341.jpg", "sentence": "A man.", "label": "entailment"}])
    pictures(tmp_path, "341.jpg")
    [row] = open_benchmark("snli-ve", tmp_path / "ve.json", "test")
    assert (row.id, row.hypothesis, row.label, row.caption) == ("0", "A man.", 0, None)
    assert row.image.open().size == (4, 4)


def test_tables(tmp_path):
    rows = [
        {"Flickr30K_ID": "341", "gold_label": "neutral", "sentence": "A man.", "image": {"bytes": picture_bytes()}},
        {"Flickr30K_ID": "342", "gold_label": "-", "sentence": "A dog.", "image": {"bytes": picture_bytes()}},
    ]
    table = datasets.Dataset.from_list(rows).cast_column("image", datasets.Image())
    table.to_parquet(tmp_path / "validation-00000-of-00001.parquet")
    dev = open_benchmark("snli-ve", tmp_path, "dev")
    assert [(row.hypothesis, row.label, row.image.name) for row in dev] == [("A man.", 1, "341")]
    assert dev[0].image.open().size == (4, 4) and dev.protocol["dropped"]["without_majority"] == 1
    with pytest.raises(BadInputError, match=r"no field 'sentence2'"):
        open_benchmark("snli-ve", table.rename_column("sentence", "text"), "dev")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"gold_label": "entails"}, "line 1 has an unknown label: 'entails' was given, the nearest known is 'entail"),
        ({"sentence2": ""}, "line 1 has an empty text"),
        ({"Flickr30K_ID": "342"}, "lacks 1 pictures .* .flickr30k_images/342.jpg"),
    ],
)
def test_bad_rows(tmp_path, change, message):
    as_lines(tmp_path / "snli_ve_test.jsonl", [line(0, "neutral") | change])
    pictures(tmp_path, "flickr30k_images/341.jpg")
    with pytest.raises(BadInputError, match=message):
        open_benchmark("snli-ve", tmp_path, "test")


def test_bad_files(tmp_path):
    as_lines(tmp_path / "snli_ve_test.jsonl", [line(0, "neutral", name="Flickr_ID")])
    with pytest.raises(BadInputError, match=r"no field 'Flickr30K_ID'; the nearest is 'Flickr_ID'"):
        open_benchmark("snli-ve", tmp_path, "test")
    (tmp_path / "snli_ve_test.jsonl").write_text('\n{"a": 1\n')
    with pytest.raises(BadInputError, match=r"Line 2 of '.*snli_ve_test.jsonl' is not JSON"):
        open_benchmark("snli-ve", tmp_path, "test")
    (tmp_path / "snli_ve_test.jsonl").write_text("")
    with pytest.raises(BadInputError, match=r"has no rows of its split 'test'"):
        open_benchmark("snli-ve", tmp_path, "test")
