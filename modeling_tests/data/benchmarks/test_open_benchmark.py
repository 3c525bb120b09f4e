# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Names, options, places, and pictures that are opened when asked."""

import json

import datasets
import pytest

from hf_unimo.data.benchmarks import BENCHMARKS, open_benchmark
from hf_unimo.data.benchmarks import reading as reading_module
from hf_unimo.data.images import BadRowError
from hf_unimo.errors import BadInputError
from modeling_tests.data.benchmarks.files import pictures, text


def test_names_and_options(tmp_path):
    with pytest.raises(BadInputError, match=r"no such benchmark: 'vqa_v2' was given, the nearest known is 'vqav2'"):
        open_benchmark("vqa_v2", tmp_path, "val")
    with pytest.raises(BadInputError, match=r"`missing` has no such value: 'skip' was given"):
        open_benchmark("vqav2", tmp_path, "val", missing="skip")
    with pytest.raises(BadInputError, match=r"no such option: 'year' was given, it has none"):
        open_benchmark("gqa", tmp_path, "val", year=2014)
    with pytest.raises(BadInputError, match=r"no such option: 'caption' was given, the nearest known is 'captions'"):
        open_benchmark("coco", tmp_path, "val", caption=5)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_reader_refuses_in_one_sentence(name, tmp_path):
    for place in (tmp_path, tmp_path / "no where"):
        for split in ("all", "train", "test", "val", "nothing"):
            with pytest.raises(BadInputError) as error:
                open_benchmark(name, place, split)
            assert "\n" not in str(error.value) and str(error.value).endswith(".")


def test_tables_are_for_readers_that_know_one():
    with pytest.raises(BadInputError, match=r"cannot be read from a Dataset; accepted are the official files"):
        open_benchmark("nlvr2", datasets.Dataset.from_dict({"a": [1]}), "dev")


def test_an_id_on_the_hub(tmp_path, monkeypatch):
    """What is asked of `datasets`; the tests reach no network."""
    monkeypatch.chdir(tmp_path)
    asked = []

    def load_dataset(builder, **arguments):
        asked.append((builder, arguments))
        raise ConnectionError("no\nnetwork.")

    monkeypatch.setattr(reading_module.datasets, "load_dataset", load_dataset)
    with pytest.raises(BadInputError, match=r"'mnli' \(nyu-mll/glue\) cannot be read: no network; nor is there such"):
        open_benchmark("mnli", "nyu-mll/glue", "validation_mismatched")
    assert asked == [("nyu-mll/glue", {"name": "mnli", "split": "validation_mismatched"})]
    with pytest.raises(BadInputError, match=r"nor is there such a file or folder"):
        open_benchmark("vqav2", "HuggingFaceM4/VQAv2", "test-dev")
    assert asked[1] == ("HuggingFaceM4/VQAv2", {"name": None, "split": "testdev"})


@pytest.mark.parametrize("place", ["/etc/1.png", "../1.png", "a/../../1.png", "a/..", "a/", ""])
def test_pictures_lie_in_their_folder(tmp_path, place):
    (tmp_path / "images").mkdir()
    pictures(tmp_path, "1.png")
    with pytest.raises(BadInputError, match=r"accepted are relative paths that stay in the folder of pictures"):
        reading_module.Pictures(tmp_path / "images", "unchecked").find(place)


def test_pictures_are_opened_when_asked(tmp_path):
    pictures(tmp_path, "cat/1.png")
    text(tmp_path / "cat" / "2.png", "broken")
    benchmark = open_benchmark("image-folder", str(tmp_path), "all")
    with pytest.raises(BadRowError, match=r"of no format that Pillow knows") as error:
        benchmark[1].image.open()
    assert error.value.place == "2.png"
    with pytest.raises(BadRowError, match=r"has 4 x 4 pixels; accepted are up to 15 pixels"):
        benchmark[0].image.open(max_pixels=15)


def test_a_benchmark_is_a_sequence(tmp_path):
    pictures(tmp_path, "cat/1.png", "cat/2.png", "dog/1.png")
    benchmark = open_benchmark("image-folder", tmp_path, "all")
    assert benchmark[1:] == tuple(benchmark)[1:] and benchmark[-1].id == "dog/1.png"
    description = json.loads(json.dumps(benchmark.describe()))
    assert description["label_names"] == ["cat", "dog"] and description["counts"]["rows"] == 3
    assert description["split_hash"] == benchmark.split_hash and len(benchmark.split_hash) == 64
