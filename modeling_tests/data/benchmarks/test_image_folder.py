# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Folders of classes: their order, splits, metadata; tables with a class."""

import json

import datasets
import pytest

from hf_unimo.data.benchmarks import open_benchmark
from hf_unimo.errors import BadInputError
from modeling_tests.data.benchmarks.files import as_lines, picture_bytes, pictures, text


def test_classes_are_the_sorted_folders(tmp_path):
    pictures(tmp_path, "dog/b.png", "dog/a.jpg", "cat/a.png")
    text(tmp_path / "cat" / "notes.txt", "no picture")
    text(tmp_path / "cat" / ".hidden.png", "nor this")
    benchmark = open_benchmark("image-folder", tmp_path, "all")
    assert benchmark.label_names == ("cat", "dog") and benchmark.task == "image-classification"
    assert [(row.id, row.label) for row in benchmark] == [("cat/a.png", 0), ("dog/a.jpg", 1), ("dog/b.png", 1)]
    assert benchmark[1].image.open().size == (4, 4)
    assert sorted(benchmark.protocol["ignored_files"]) == ["cat/.hidden.png", "cat/notes.txt"]
    assert benchmark.counts["classes"] == {"cat": 1, "dog": 2}
    other = open_benchmark("image-folder", tmp_path, "all", label_names=["dog", "cow", "cat"])
    assert [row.label for row in other] == [2, 0, 0] and other.counts["classes"]["cow"] == 0
    with pytest.raises(BadInputError, match=r"dog' has an unknown label: 'dog' was given"):
        open_benchmark("image-folder", tmp_path, "all", label_names=["cat"])
    with pytest.raises(BadInputError, match=r"`label_names` is 'cat'; accepted is a list of different names"):
        open_benchmark("image-folder", tmp_path, "all", label_names="cat")


def test_splits_share_their_classes(tmp_path):
    pictures(tmp_path, "train/ant/1.png", "train/cat/1.png", "test/cat/1.png")
    test = open_benchmark("image-folder", tmp_path, "test")
    assert test.label_names == ("ant", "cat") and [(row.id, row.label) for row in test] == [("cat/1.png", 1)]
    assert test[0].image.path == str(tmp_path / "test" / "cat" / "1.png")
    for split in ("all", "val"):
        with pytest.raises(BadInputError, match=f"no such split: '{split}' was given, .*known: test, train"):
            open_benchmark("image-folder", tmp_path, split)


def test_one_level_of_folders_only(tmp_path):
    pictures(tmp_path, "cat/black/1.png")
    with pytest.raises(BadInputError, match=r"cat/black' is a folder in the folder of a class"):
        open_benchmark("image-folder", tmp_path, "all")
    with pytest.raises(BadInputError, match=r"no such split: 'train' was given, .*known: all"):
        open_benchmark("image-folder", tmp_path, "train")
    with pytest.raises(BadInputError, match=r"1.png' is a file; accepted are folders"):
        open_benchmark("image-folder", tmp_path / "cat" / "black" / "1.png", "all")


def metadata(folder, ending, rows):
    path = folder / f"metadata.{ending}"
    if ending == "csv":
        lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
        text(path, "\n".join(lines) + "\n")
    elif ending == "jsonl":
        as_lines(path, rows)
    else:
        datasets.Dataset.from_list(rows).to_parquet(path)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("kind", ["names", "numbers"])
def test_metadata_count_more_than_folders(tmp_path, ending, kind):
    labels = {"names": ["dog", "cat", "dog"], "numbers": [10, 2, 10]}[kind]
    files = ["x/2.png", "x/1.png", "3.png"]
    pictures(tmp_path, *files)
    metadata(tmp_path, ending, [{"file_name": name, "label": label} for name, label in zip(files, labels)])
    benchmark = open_benchmark("image-folder", tmp_path, "all")
    assert benchmark.label_names == (("cat", "dog") if kind == "names" else ("2", "10"))
    assert [(row.id, row.label) for row in benchmark] == [("x/2.png", 1), ("x/1.png", 0), ("3.png", 1)]
    with pytest.raises(BadInputError, match=r"has no field 'labels'; the nearest is 'label'"):
        open_benchmark("image-folder", tmp_path, "all", label_column="labels")
    (tmp_path / "3.png").unlink()
    with pytest.raises(BadInputError, match=r"lacks 1 pictures .*\(3.png\)"):
        open_benchmark("image-folder", tmp_path, "all")


def test_bad_metadata(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "metadata.jsonl").write_text(
        json.dumps({"file_name": "a", "label": 1}) + "\n" + json.dumps({"file_name": "b", "label": "1"}) + "\n"
    )
    with pytest.raises(BadInputError, match=r"metadata.jsonl has labels of several types"):
        open_benchmark("image-folder", tmp_path, "all")
    (tmp_path / "metadata.jsonl").unlink()
    (tmp_path / "metadata.parquet").write_bytes(b"none")
    with pytest.raises(BadInputError, match=r"metadata.parquet' cannot be read as Parquet"):
        open_benchmark("image-folder", tmp_path, "all")


def test_tables(tmp_path):
    features = datasets.Features({"img": datasets.Image(), "label": datasets.ClassLabel(names=["plane", "car"])})
    rows = [{"img": {"bytes": picture_bytes(level=number)}, "label": label} for number, label in enumerate((1, 0, -1))]
    table = datasets.Dataset.from_list(rows, features=features)
    table.to_parquet(tmp_path / "test-00000-of-00001.parquet")
    table.save_to_disk(tmp_path / "saved")
    for place in (table, tmp_path, tmp_path / "saved"):
        benchmark = open_benchmark("image-folder", place, "test", image_column="img")
        assert benchmark.label_names == ("plane", "car") and [row.label for row in benchmark] == [1, 0, None]
        assert benchmark[1].image.open().getpixel((0, 0)) == (1, 1, 1) and benchmark.counts["pictures"] == 3
    with pytest.raises(BadInputError, match=r"no field 'image'; the nearest is 'img'"):
        open_benchmark("image-folder", table, "test")
    with pytest.raises(BadInputError, match=r"accepted is a column of type ClassLabel"):
        plain = table.cast_column("label", datasets.Value("int64"))
        open_benchmark("image-folder", plain, "test", image_column="img")
    with pytest.raises(BadInputError, match=r"no such split: 'test' was given, .*known: train"):
        open_benchmark("image-folder", datasets.DatasetDict({"train": table}), "test", image_column="img")
