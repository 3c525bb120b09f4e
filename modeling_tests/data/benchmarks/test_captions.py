# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""COCO's official captions, and Flickr30k's two files of captions."""

import pytest

from hf_unimo.data.benchmarks import open_benchmark
from hf_unimo.errors import BadInputError
from modeling_tests.data.benchmarks.files import as_json, pictures, text


def coco(folder, year, names, annotations):
    images = [
        {
            "id": number,
            "file_name": name,
            "height": 4,
            "width": 4,
            "license": 1,
            "coco_url": "",
            "flickr_url": "",
            "date_captured": "2013-11-14 17:02:52",
        }
        for number, name in names.items()
    ]
    annotations = [
        {"id": 50 + number, "image_id": image, "caption": caption}
        for number, (image, caption) in enumerate(annotations)
    ]
    content = {"info": {}, "licenses": [], "images": images, "annotations": annotations}
    return as_json(folder / "annotations" / f"captions_val{year}.json", content)


@pytest.mark.parametrize("year, prefix", [(2014, "COCO_val2014_"), (2017, "")])
def test_coco(tmp_path, year, prefix):
    names = {9: f"{prefix}000000000009.jpg", 5: f"{prefix}000000000005.jpg"}
    coco(tmp_path, year, names, [(5, "a dog "), (9, "a cat"), (5, "the dog")])
    pictures(tmp_path, *(f"val{year}/{name}" for name in names.values()))
    val = open_benchmark("coco-captions", tmp_path, "val", year=year)
    assert [(row.image_id, row.references) for row in val] == [(9, ("a cat",)), (5, ("a dog", "the dog"))]
    assert val[1].image.open().size == (4, 4) and val.task == "captioning"
    assert val.counts["captions_per_picture"] == [1, 2]
    val.require_labels()


def test_bad_coco(tmp_path):
    coco(tmp_path, 2014, {5: "5.jpg"}, [(6, "a dog")])
    pictures(tmp_path, "5.jpg")
    with pytest.raises(BadInputError, match=r"annotation 0 is for the picture 6, which is not among `images`"):
        open_benchmark("coco-captions", tmp_path, "val")
    with pytest.raises(BadInputError, match=r"no file captions_train2014.json or annotations/captions_train2014.json"):
        open_benchmark("coco-captions", tmp_path, "train")
    with pytest.raises(BadInputError, match=r"`year` is 2015; accepted are 2014 and 2017"):
        open_benchmark("coco-captions", tmp_path, "val", year=2015)
    coco(tmp_path, 2014, {5: "5.jpg"}, [])
    val = open_benchmark("coco-captions", tmp_path, "val")
    with pytest.raises(BadInputError, match=r"hides the labels of 1 of 1 rows"):
        val.require_labels()


def test_flickr30k_tokens(tmp_path):
    lines = "".join(f"{image}#{number}\tCaption {number} .\n" for image in ("10.jpg", "9.jpg") for number in range(5))
    text(tmp_path / "results_20130124.token", lines)
    pictures(tmp_path, "10.jpg", "9.jpg")
    rows = open_benchmark("flickr30k-captions", tmp_path, "all")
    assert [row.id for row in rows] == ["10.jpg", "9.jpg"]
    assert rows[0].captions[4] == "Caption 4 ." and rows[0].caption_ids[4] == "10.jpg#4"
    assert rows.protocol["repaired_lines"] == 0


def test_flickr30k_csv_with_its_broken_row(tmp_path):
    lines = "image_name| comment_number| comment\n9.jpg| 0| A | b .\n9.jpg| 4   A dog runs .\n"
    text(tmp_path / "results.csv", lines)
    pictures(tmp_path, "9.jpg")
    rows = open_benchmark("flickr30k-captions", tmp_path, "all")
    assert rows[0].captions == ("A | b .", "A dog runs .") and rows[0].caption_ids == ("9.jpg#0", "9.jpg#4")
    assert rows.protocol["repaired_lines"] == 1


@pytest.mark.parametrize(
    "name, lines, message",
    [
        ("results.csv", "image| number| comment\n", "has the columns image, number, comment; accepted are image_name"),
        ("results.csv", "image_name| comment_number| comment\n9.jpg, 0, A\n", "line 2, is '9.jpg, 0, A'; accepted is"),
        ("results_20130124.token", "9.jpg#0 A\n", "line 1, is '9.jpg#0 A'; accepted is picture#number<TAB>caption"),
        ("results_20130124.token", "9.jpg#0\tA\n9.jpg#0\tB\n", "line 2, gives the caption 0 of '9.jpg' once more"),
    ],
)
def test_bad_flickr30k(tmp_path, name, lines, message):
    text(tmp_path / name, lines)
    with pytest.raises(BadInputError, match=message):
        open_benchmark("flickr30k-captions", tmp_path, "all")
    with pytest.raises(BadInputError, match=r"no such split: 'test' was given, .*known: all"):
        open_benchmark("flickr30k-captions", tmp_path, "test")
