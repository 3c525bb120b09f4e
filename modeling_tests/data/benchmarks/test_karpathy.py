# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Karpathy's splits: which pictures, which captions, in which order."""

import hashlib

import datasets
import pytest

from hf_unimo.data.benchmarks import open_benchmark
from hf_unimo.errors import BadInputError
from modeling_tests.data.benchmarks.files import as_json, karpathy_image, picture_bytes, pictures


FIVE = [f"Caption {letter} . \n" for letter in "abcde"]


def flickr(folder, name="flickr30k"):
    images = [
        karpathy_image(0, "train", FIVE, filename="10.jpg"),
        karpathy_image(1, "test", FIVE, filename="30.jpg"),
        karpathy_image(2, "val", FIVE, filename="20.jpg"),
        karpathy_image(3, "test", FIVE, filename="11.jpg"),
    ]
    as_json(folder / f"dataset_{name}.json", {"dataset": name, "images": images})
    pictures(folder / "images", "10.jpg", "30.jpg", "20.jpg", "11.jpg")


def coco(folder):
    def image(number, split, part, captions):
        file = f"COCO_{part}_{100 + number:012d}.jpg"
        pictures(folder, f"{part}/{file}")
        return karpathy_image(number, split, captions, filename=file, filepath=part, cocoid=100 + number)

    images = [
        image(0, "test", "val2014", [*FIVE, "six", "seven"]),
        image(1, "restval", "val2014", [*FIVE, "six"]),
        image(2, "train", "train2014", FIVE),
        image(3, "val", "val2014", FIVE),
    ]
    as_json(folder / "dataset_coco.json", {"dataset": "coco", "images": images})


@pytest.mark.parametrize("name", ["flickr30k", "flickr8k"])
def test_flickr(tmp_path, name):
    flickr(tmp_path, name)
    test = open_benchmark(name, tmp_path, "test", tmp_path / "images")
    assert (test.name, test.split, test.task, len(test)) == (name, "test", "retrieval", 2)
    assert [row.id for row in test] == ["30.jpg", "11.jpg"]
    assert test[0].captions == tuple(f"Caption {letter} ." for letter in "abcde")
    assert test[0].caption_ids == ("10", "11", "12", "13", "14")
    assert test[0].image.path == str(tmp_path / "images" / "30.jpg")
    assert test[0].image.open().getpixel((0, 0)) == (10, 10, 10)
    assert test.counts == {
        "rows": 2,
        "unlabelled_rows": 0,
        "pictures": 2,
        "missing_pictures": 0,
        "captions": 10,
        "captions_per_picture": [5, 5],
    }
    assert test.protocol["captions_per_picture"] == "all"
    test.require_labels()
    for synonym in ("val", "validation", "dev"):
        assert [row.id for row in open_benchmark(name, tmp_path, synonym, tmp_path / "images")] == ["20.jpg"]


def test_the_hash_is_of_the_ids_in_order(tmp_path):
    flickr(tmp_path)
    test = open_benchmark("flickr30k", tmp_path, "test", tmp_path / "images")
    lines = '["30.jpg", "10", "11", "12", "13", "14"]\n["11.jpg", "30", "31", "32", "33", "34"]\n'
    assert test.split_hash == hashlib.sha256(lines.encode()).hexdigest()
    one = open_benchmark("flickr30k", tmp_path, "test", tmp_path / "images", captions=1)
    assert one.split_hash != test.split_hash and one.counts["captions"] == 2
    assert test.describe()["split_hash"] == test.split_hash


def test_coco_keeps_five_captions_for_retrieval_and_all_for_captioning(tmp_path):
    coco(tmp_path)
    [row] = open_benchmark("coco", tmp_path, "test")
    assert row.id == "100" and row.captions[-1] == "Caption e ." and row.caption_ids == ("0", "1", "2", "3", "4")
    assert row.image.path == str(tmp_path / "val2014" / "COCO_val2014_000000000100.jpg")
    [whole] = open_benchmark("coco", tmp_path, "test", captions=0)
    assert len(whole.captions) == 7
    [captions] = open_benchmark("coco-karpathy-captions", tmp_path / "dataset_coco.json", "test")
    assert captions.image_id == 100 and captions.references[5:] == ("six", "seven")


def test_coco_trains_on_restval_too(tmp_path):
    coco(tmp_path)
    train = open_benchmark("coco", tmp_path, "train")
    assert [row.id for row in train] == ["101", "102"] and train.protocol["split_parts"] == ["train", "restval"]
    assert [row.id for row in open_benchmark("coco", tmp_path, "train", restval=False)] == ["102"]
    assert [row.id for row in open_benchmark("coco", tmp_path, "restval")] == ["101"]


def test_a_table_gives_the_same(tmp_path):
    """The schema of nlphuji/flickr30k: all splits in one, told by a column."""
    flickr(tmp_path)
    feature = datasets.Features(
        {
            "image": datasets.Image(),
            "caption": datasets.List(datasets.Value("string")),
            "sentids": datasets.List(datasets.Value("string")),
            "split": datasets.Value("string"),
            "img_id": datasets.Value("string"),
            "filename": datasets.Value("string"),
        }
    )
    rows = [
        {
            "image": {"bytes": picture_bytes(level=number), "path": name},
            "caption": FIVE,
            "sentids": [str(10 * number + index) for index in range(5)],
            "split": split,
            "img_id": str(number),
            "filename": name,
        }
        for number, (split, name) in enumerate([("train", "10.jpg"), ("test", "30.jpg"), ("val", "20.jpg")])
    ]
    rows.append(rows[1] | {"filename": "11.jpg", "sentids": ["30", "31", "32", "33", "34"], "img_id": "3"})
    table = datasets.Dataset.from_list(rows, features=feature)
    (tmp_path / "hub" / "data").mkdir(parents=True)
    table.to_parquet(tmp_path / "hub" / "data" / "test-00000-of-00001.parquet")
    from_files = open_benchmark("flickr30k", tmp_path, "test", tmp_path / "images")
    for place in (table, datasets.DatasetDict({"test": table}), tmp_path / "hub"):
        test = open_benchmark("flickr30k", place, "test")
        assert test.split_hash == from_files.split_hash and test.counts == from_files.counts
        assert test[0].captions == from_files[0].captions
        assert test[0].image.open().getpixel((0, 0)) == (1, 1, 1)
    val = open_benchmark("flickr30k", tmp_path / "hub", "val", table_split="test")
    assert [row.id for row in val] == ["20.jpg"]
    table = table.remove_columns("sentids")
    with pytest.raises(BadInputError, match=r"no field 'sentids'.*found: image, caption, split"):
        open_benchmark("flickr30k", table, "test")
    with pytest.raises(
        BadInputError, match=r"no Parquet files of the split 'val' .found: test-00000-of-00001.parquet"
    ):
        open_benchmark("flickr30k", tmp_path / "hub", "val")


def test_missing_pictures_are_refused_dropped_or_not_looked_for(tmp_path):
    flickr(tmp_path)
    (tmp_path / "images" / "30.jpg").unlink()
    with pytest.raises(BadInputError, match=r"split 'test', lacks 1 pictures in .*images' \(30.jpg\)"):
        open_benchmark("flickr30k", tmp_path, "test", tmp_path / "images")
    test = open_benchmark("flickr30k", tmp_path, "test", tmp_path / "images", missing="drop")
    assert [row.id for row in test] == ["11.jpg"] and test.missing == ("30.jpg",)
    assert test.counts["missing_pictures"] == 1 and test.describe()["missing_pictures"] == ["30.jpg"]
    assert len(open_benchmark("flickr30k", tmp_path, "test", tmp_path / "images", missing="unchecked")) == 2
    with pytest.raises(BadInputError, match=r"lacks 2 pictures"):
        open_benchmark("flickr30k", tmp_path, "test", tmp_path / "nowhere", missing="drop")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"sentences": None}, "image 1 has under 'sentences' 'None' of type NoneType; accepted is list"),
        ({"sentences": []}, "image 1 has no sentences"),
        ({"sentences": [{"raw": " ", "sentid": 1}]}, "image 1, sentence 1 has an empty text"),
        ({"sentences": [{"raws": "a", "sentid": 1}]}, "no field 'raw'; the nearest is 'raws' .found: raws, sentid"),
        ({"filename": "../30.jpg"}, "named '../30.jpg'; accepted are relative paths that stay"),
        ({"filename": "11.jpg"}, "two rows with the id '11.jpg'"),
    ],
)
def test_bad_images(tmp_path, change, message):
    flickr(tmp_path)
    images = [karpathy_image(n, "test", FIVE, filename=name) for n, name in enumerate(["11.jpg", "30.jpg"])]
    images[1] |= change
    as_json(tmp_path / "dataset_flickr30k.json", {"dataset": "flickr30k", "images": images})
    with pytest.raises(BadInputError, match=message):
        open_benchmark("flickr30k", tmp_path, "test", tmp_path / "images")


def test_bad_files(tmp_path):
    flickr(tmp_path)
    path = tmp_path / "dataset_flickr30k.json"
    with pytest.raises(BadInputError, match=r"no such split: 'restval' was given, .* .known: train, val, test"):
        open_benchmark("flickr30k", tmp_path, "restval")
    with pytest.raises(BadInputError, match=r"`captions` is -1; accepted are integers from 0"):
        open_benchmark("flickr30k", tmp_path, "test", captions=-1)
    with pytest.raises(BadInputError, match=r"is of the data set 'flickr30k'; accepted is 'flickr8k'"):
        open_benchmark("flickr8k", path, "test")
    with pytest.raises(BadInputError, match=r"no file dataset_coco.json .found: dataset_flickr30k.json, images"):
        open_benchmark("coco", tmp_path, "test")
    with pytest.raises(BadInputError, match=r"there is no '.*/nowhere'"):
        open_benchmark("coco", tmp_path / "nowhere", "test")
    as_json(path, {"dataset": "flickr30k", "images": [karpathy_image(0, "train", FIVE, filename="10.jpg")]})
    with pytest.raises(BadInputError, match=r"no pictures of the split test .found: train"):
        open_benchmark("flickr30k", path, "test")
    path.write_text('{"dataset": ')
    with pytest.raises(BadInputError, match=r"is not a JSON file"):
        open_benchmark("flickr30k", path, "test")
