# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""VQA v2 from files and tables, OK-VQA, GQA and easy-VQA."""

import datasets
import pytest

from hf_unimo.data.benchmarks import open_benchmark
from hf_unimo.errors import BadInputError
from modeling_tests.data.benchmarks.files import (
    as_json,
    picture_bytes,
    pictures,
    text,
    vqa_annotation,
    vqa_files,
    vqa_question,
)


TEN = ["net", "net ", "net", "Netting", "net", "net", "mesh", "net", "net", "pitcher"]
IDS = (262148000, 262148001, 393225000)


def val(folder):
    annotations = [vqa_annotation(number, TEN) for number in reversed(IDS)]
    vqa_files(folder, "val2014", [vqa_question(number) for number in IDS], annotations)
    pictures(folder, *(f"val2014/COCO_val2014_{number:012d}.jpg" for number in (262148, 393225)))


def test_vqav2(tmp_path):
    val(tmp_path)
    rows = open_benchmark("vqav2", tmp_path, "val")
    assert [row.question_id for row in rows] == list(IDS) and rows.task == "vqa"
    row = rows[2]
    assert row.answers == tuple(TEN) and row.question == "What is this?"
    assert (row.answer_type, row.question_type, row.multiple_choice_answer) == ("other", "what is", "net")
    assert row.image.path == str(tmp_path / "val2014" / "COCO_val2014_000000393225.jpg")
    assert rows.counts == {"rows": 3, "unlabelled_rows": 0, "pictures": 2, "missing_pictures": 0}
    rows.require_labels()
    moved = tmp_path / "moved.json"
    (tmp_path / "v2_mscoco_val2014_annotations.json").rename(moved)
    again = open_benchmark("vqav2", tmp_path, "validation", annotations=moved)
    assert again.rows == rows.rows and again.split_hash == rows.split_hash
    with pytest.raises(BadInputError, match=r"there is no '.*v2_mscoco_val2014_annotations.json'"):
        open_benchmark("vqav2", tmp_path, "val")


@pytest.mark.parametrize("split, subtype", [("test", "test2015"), ("test-dev", "test-dev2015")])
def test_hidden_answers(tmp_path, split, subtype):
    vqa_files(tmp_path, subtype, [vqa_question(1000)])
    pictures(tmp_path, "test2015/COCO_test2015_000000000001.jpg")
    rows = open_benchmark("vqav2", tmp_path, split)
    assert rows[0].answers == () and not rows[0].labelled
    with pytest.raises(BadInputError, match=r"hides the labels of 1 of 1 rows of its split 'test"):
        rows.require_labels()
    with pytest.raises(BadInputError, match=r"are hidden; `annotations` go with train and val"):
        open_benchmark("vqav2", tmp_path, split, annotations="answers.json")


def test_okvqa(tmp_path):
    """The same schema; answers carry `raw_answer`, there is no prefix."""
    annotation = vqa_annotation(1000, TEN)
    del annotation["multiple_choice_answer"]
    for answer in annotation["answers"]:
        answer["raw_answer"] = answer["answer"] + "s"
    vqa_files(tmp_path, "val2014", [vqa_question(1000)], [annotation], prefix="")
    pictures(tmp_path, "COCO_val2014_000000000001.jpg")
    [row] = open_benchmark("okvqa", tmp_path, "val")
    assert row.answers == tuple(TEN) and row.multiple_choice_answer is None
    with pytest.raises(BadInputError, match=r"no such split: 'test' was given, .*known: train, val"):
        open_benchmark("okvqa", tmp_path, "test")
    with pytest.raises(BadInputError, match=r"no such option: 'prefix' was given, the nearest known is 'annotations'"):
        open_benchmark("okvqa", tmp_path, "val", prefix="v2_")


@pytest.mark.parametrize(
    "question, annotation, message",
    [
        ({"question": " "}, {}, "question 0 has an empty text"),
        ({"question_id": "x"}, {}, "question 0 has under 'question_id' 'x' of type str; accepted is int"),
        ({"question_id": 7}, {}, "question 0 has the id 7, for which there is no annotation"),
        ({"image_id": 7}, {}, "the picture 7, its annotation has 1; accepted is the same picture"),
        ({}, {"answers": [{"answer": "net"}] * 9}, "annotation 0 has 9 answers; accepted are ten"),
        ({}, {"answers": [{"answers": "net"}] * 10}, "no field 'answer'; the nearest is 'answers'"),
    ],
)
def test_bad_rows(tmp_path, question, annotation, message):
    vqa_files(tmp_path, "val2014", [vqa_question(1000) | question], [vqa_annotation(1000, TEN) | annotation])
    with pytest.raises(BadInputError, match=message):
        open_benchmark("vqav2", tmp_path, "val", missing="unchecked")


def test_bad_files(tmp_path):
    path = vqa_files(tmp_path, "val2014", [vqa_question(1000)] * 2, [vqa_annotation(1000, TEN)])
    with pytest.raises(BadInputError, match=r"`data_subtype` 'val2014'; accepted for this split is 'train2014'"):
        open_benchmark("vqav2", path, "train")
    with pytest.raises(BadInputError, match=r"two rows with the id '1000'"):
        open_benchmark("vqav2", path, "val", missing="unchecked")
    as_json(tmp_path / "v2_mscoco_val2014_annotations.json", {"data_subtype": "val2014", "annotation": []})
    with pytest.raises(BadInputError, match=r"no field 'annotations'; the nearest is 'annotation'"):
        open_benchmark("vqav2", path, "val")


def table(**columns):
    rows = [{"question": "What is this?", "question_id": number, "image_id": number // 1000} for number in IDS]
    for number, row in enumerate(rows):
        row["image"] = {"bytes": picture_bytes(level=number), "path": None}
        row |= {name: cells[number] for name, cells in columns.items()}
    return datasets.Dataset.from_list(rows).cast_column("image", datasets.Image())


def test_tables_give_the_same(tmp_path):
    """The schema of HuggingFaceM4/VQAv2."""
    val(tmp_path)
    from_files = open_benchmark("vqav2", tmp_path, "val")
    annotations = [vqa_annotation(number, TEN) for number in IDS]
    names = ("question_type", "answer_type", "multiple_choice_answer", "answers")
    flat = table(**{name: [annotation[name] for annotation in annotations] for name in names})
    (tmp_path / "hub").mkdir()
    flat.to_parquet(tmp_path / "hub" / "validation-00000-of-00001.parquet")
    rows = open_benchmark("vqav2", tmp_path / "hub", "val")
    assert rows.split_hash == from_files.split_hash and rows.counts == from_files.counts
    for row, expected in zip(rows, from_files):
        assert (row.answers, row.answer_type, row.question_type) == (tuple(TEN), "other", "what is")
        assert row.multiple_choice_answer == expected.multiple_choice_answer
    assert rows[2].image.open().getpixel((0, 0)) == (2, 2, 2)
    with pytest.raises(BadInputError, match=r"no field 'answer_type'; the nearest is 'answers' .found: question, "):
        open_benchmark("vqav2", flat.remove_columns("answer_type"), "val")
    hidden = open_benchmark("vqav2", table(**{name: [None] * 3 for name in names}), "test")
    assert hidden.counts["unlabelled_rows"] == 3 and hidden[0].answer_type is None


def test_tables_of_soft_answers():
    """Older copies: answers with weights."""
    label = {"ids": ["net", "netting"], "weights": [1.0, 0.3]}
    rows = open_benchmark("vqav2", table(label=[label, label, None]), "val")
    assert rows[0].soft_answers == (("net", 1.0), ("netting", 0.3)) and rows[0].answers == ()
    assert [row.labelled for row in rows] == [True, True, False]
    with pytest.raises(BadInputError, match=r"row 0, has 1 answers but 2 weights"):
        open_benchmark("vqav2", table(label=[{"ids": ["net"], "weights": [1.0, 0.3]}] * 3), "val")


def test_gqa(tmp_path):
    question = {
        "imageId": "2405722",
        "question": "What is this bird called?",
        "answer": "parrot",
        "fullAnswer": "This is a parrot.",
        "isBalanced": True,
        "types": {"detailed": "categoryThis", "semantic": "cat", "structural": "query"},
        "semantic": [],
    }
    as_json(tmp_path / "testdev_balanced_questions.json", {"20602949": question})
    pictures(tmp_path, "images/2405722.jpg")
    [row] = open_benchmark("gqa", tmp_path, "test-dev")
    assert (row.question_id, row.answers) == ("20602949", ("parrot",))
    assert row.image.path == str(tmp_path / "images" / "2405722.jpg")
    hidden = {name: value for name, value in question.items() if name != "answer"}
    as_json(tmp_path / "test_balanced_questions.json", {"1": hidden})
    assert not open_benchmark("gqa", tmp_path, "test")[0].labelled
    as_json(tmp_path / "val_balanced_questions.json", {"1": hidden})
    with pytest.raises(BadInputError, match=r"question '1' has no field 'answer'; the nearest is 'fullAnswer'"):
        open_benchmark("gqa", tmp_path, "val")


def test_easy_vqa(tmp_path):
    as_json(tmp_path / "data/test/questions.json", [["what color is it?", "red", 1], ["is it a box?", "yes", 0]])
    text(tmp_path / "data" / "answers.txt", "circle\nred\nyes\n")
    pictures(tmp_path, "data/test/images/0.png", "data/test/images/1.png")
    for place in (tmp_path, tmp_path / "data", tmp_path / "data" / "test" / "questions.json"):
        images = tmp_path / "data" if place.is_file() else None
        rows = open_benchmark("easy-vqa", place, "test", images)
        assert [(row.question, row.answers, row.image.name) for row in rows] == [
            ("what color is it?", ("red",), "1.png"),
            ("is it a box?", ("yes",), "0.png"),
        ]
        assert rows.label_names == ("circle", "red", "yes")
    as_json(tmp_path / "data/test/questions.json", [["is it a box?", "no", 0]])
    with pytest.raises(BadInputError, match=r"question 0 has an unknown label: 'no' was given"):
        open_benchmark("easy-vqa", tmp_path, "test")
    as_json(tmp_path / "data/test/questions.json", [{"question": "is it?"}])
    with pytest.raises(BadInputError, match=r"accepted is \[question, answer, number of picture\]"):
        open_benchmark("easy-vqa", tmp_path, "test")
