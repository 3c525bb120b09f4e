# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The rows of a fine-tuning before it begins: those of the task, whole, and with labels that the model has."""

from dataclasses import replace

import pytest

from hf_unimo.data.benchmarks.rows import Benchmark, CaptionRow, Picture, RetrievalRow, TextRow, TokenIds, VqaRow
from hf_unimo.errors import BadInputError
from hf_unimo.training.splits import check_labels, check_number, check_rows, open_splits, token_ids
from hf_unimo.training.tasks import TASKS
from modeling_tests.data.benchmarks.files import as_lines, picture_bytes, pictures

from . import finetune_runs


@pytest.mark.parametrize("task", TASKS)
def test_every_task_opens_its_splits(task, tmp_path):
    splits = open_splits(finetune_runs.config(task, tmp_path))
    assert list(splits.named()) == ["train", "validation", "test"]
    for name, data in splits.named().items():
        assert data.split == name and all(isinstance(row, TASKS[task].rows) for row in data)
    assert splits.train.split_hash != splits.validation.split_hash


def test_splits_share_keys(tmp_path):
    common = finetune_runs.splits("entailment", tmp_path)["train"]
    changes = {"data__common": common | {"name": "pairs"}, "data__train": {}, "data__test": None}
    changes["data__validation"] = {"where": {"label": [0]}}
    splits = open_splits(finetune_runs.config("entailment", tmp_path, **changes))
    assert len(splits.train) == 20 and splits.train.name == "pairs" and splits.test is None
    # Mappings are joined key by key: the training rows with this label.
    assert 0 < len(splits.validation) < 20 and {row.label for row in splits.validation} == {0}
    assert {row.id for row in splits.validation} < {row.id for row in splits.train}


def test_a_public_data_set_by_its_name(tmp_path):
    pictures(tmp_path, *(f"images/train/1/train-1-{pair}-img{side}.png" for pair in (0, 1) for side in (0, 1)))
    lines = [
        {
            **{"identifier": f"train-1-{pair}-0", "sentence": "There are two dogs.", "label": str(not pair)},
            **{"left_url": "a", "right_url": "b", "writer": 1, "synset": "dog", "query": "dogs0", "directory": 1},
        }
        for pair in (0, 1)
    ]
    as_lines(tmp_path / "train.json", lines)
    tree = {"benchmark": "nlvr2", "path": str(tmp_path)}
    config = finetune_runs.config("nlvr2", tmp_path, data={"train": tree})
    splits = open_splits(config)  # the key says which split it is
    assert [row.label for row in splits.train] == [1, 0] and splits.train.split == "train"
    with pytest.raises(BadInputError, match=r"data\.train is for nlvr2; the task 'vqa' accepts rows of VqaRow\."):
        open_splits(finetune_runs.config("vqa", tmp_path, data={"train": tree}))


def benchmark(task, *rows, names=None) -> Benchmark:
    return Benchmark("rows", "train", task, rows, {}, names)


PICTURE = Picture("a.png", "a.png")
IDS = TokenIds((0, 5, 2), (0, 0, 0), (2, 3, 4))


@pytest.mark.parametrize(
    "task, data, words",
    [
        ("vqa", benchmark("text-classification", TextRow("0", "a", None, 1)), "accepts rows of VqaRow"),
        (
            "text-regression",
            benchmark("text-classification", TextRow("0", "a", None, 1)),
            "the task 'text-regression' accepts rows of TextRow with numbers",
        ),
        (
            "text-classification",
            benchmark("text-regression", TextRow("0", "a", None, 1.5)),
            "the task 'text-classification' accepts rows of TextRow with classes",
        ),
        (
            "captioning",
            benchmark("retrieval", RetrievalRow("0", PICTURE, ("a",), ("a",))),
            "accepts rows of CaptionRow or TokenCaptionRow",
        ),
        (
            "text-classification",
            benchmark("text-classification", TextRow("0", "a", None, 1), TextRow("1", "b", None, None)),
            "hides the labels of 1 of 2 rows",
        ),
        ("vqa", benchmark("vqa", VqaRow("0", 0, "what?", PICTURE)), "hides the labels of 1 of 1 rows"),
        ("captioning", benchmark("captioning", CaptionRow("0", PICTURE, 0, ())), "hides the labels of 1 of 1 rows"),
        (
            "text-classification",
            benchmark("text-classification", TextRow("0", " ", None, 1), TextRow("1", "b", None, 0)),
            "has 1 empty texts among 2",
        ),
        ("masked-lm", benchmark("text-classification", TextRow("0", "", None, None)), "has 1 empty texts among 1"),
        ("retrieval", benchmark("retrieval", RetrievalRow("0", PICTURE, (), ())), "has 1 empty texts among 1"),
        (
            "retrieval",
            benchmark("retrieval", RetrievalRow("0", PICTURE, ("a", IDS), ("a", "b"))),
            "has captions as texts and 1 as token ids; accepted are all or none",
        ),
        (
            "masked-lm",
            benchmark("retrieval", RetrievalRow("0", PICTURE, (IDS,), ("b",))),
            "has captions as token ids; the task 'masked-lm' accepts captions as texts",
        ),
    ],
)
def test_rows_that_a_task_cannot_learn_from(task, data, words):
    with pytest.raises(BadInputError) as caught:
        check_rows(TASKS[task], data, "data.train")
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_rows_that_it_can():
    check_rows(TASKS["masked-lm"], benchmark("text-classification", TextRow("0", "a", None, None)), "data.train")
    check_rows(TASKS["masked-lm"], benchmark("retrieval", RetrievalRow("0", PICTURE, ("a",), ("a",))), "data.train")
    official = benchmark("retrieval", RetrievalRow("0", PICTURE, (IDS,), ("a",)))
    check_rows(TASKS["retrieval"], official, "data.train")
    assert token_ids(official) == [IDS]


def test_labels_that_the_model_has_not():
    classes = benchmark("text-classification", TextRow("0", "a", None, 1), names=("bad", "good"))
    check_labels(TASKS["text-classification"], classes, "data.test", {"good": 0, "bad": 1})
    with pytest.raises(BadInputError, match="has the label 'good'"):
        check_labels(TASKS["text-classification"], classes, "data.test", {"bad": 0})
    question = VqaRow("0", 0, "what?", PICTURE, ("cat",))
    questions = benchmark("vqa", question, replace(question, answers=("dog",)))
    check_labels(TASKS["vqa"], questions, "data.test", {"dog": 0})
    with pytest.raises(
        BadInputError, match=r"data.test has 2 questions, and no answer of the model's \(ant, bee, \.\.\."
    ):
        check_labels(TASKS["vqa"], questions, "data.test", {"ant": 0, "bee": 1})


def test_numbers_that_cannot_be_measured_on():
    same = benchmark("text-regression", TextRow("0", "a", None, 1.0), TextRow("1", "a", None, 1.0))
    check_labels(TASKS["text-regression"], same, "data.train", {})
    with pytest.raises(BadInputError, match=r"data\.validation cannot be measured on: All 2 labels are 1"):
        check_labels(TASKS["text-regression"], same, "data.validation", {})


def test_too_few_rows():
    check_number(8, 8)
    with pytest.raises(BadInputError, match=r"data.train has 7 rows.* fewer than the 8 of a batch"):
        check_number(7, 8)


def own(tmp_path, name, rows, task, **columns):
    """The sentence about data of one's own."""
    as_lines(tmp_path / name, rows)
    tree = {"path": str(tmp_path / name), "columns": columns}
    with pytest.raises(BadInputError) as caught:
        open_splits(finetune_runs.config(task, tmp_path, data={"train": tree}))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "rows, task, columns, words",
    [
        ([{"a": "x", "label": 1.5}], "text-classification", {"text": "a"}, "has labels of type float64"),
        ([{"a": "x", "label": "one"}], "text-regression", {"text": "a"}, "has values of type string"),
        ([{"a": "x", "label": -1}], "text-classification", {"text": "a"}, "hides the labels of 1 of 1 rows"),
        ([{"a": "", "label": 1}], "text-classification", {"text": "a"}, "has an empty text in row 0"),
        ([{"a": "x"}], "text-classification", {"text": "a"}, "'label'"),
        ([{"a": "x", "image": "gone.png", "answers": "y"}], "vqa", {"text": "a"}, "lacks the images of 1 of 1 rows"),
        ([{"a": "x"}], "text-classification", {"text": "b"}, "'b'"),
    ],
)
def test_data_of_ones_own(rows, task, columns, words, tmp_path):
    assert words in own(tmp_path, "rows.jsonl", rows, task, **columns)


def test_answers_that_are_hidden(tmp_path):
    (tmp_path / "a.png").write_bytes(picture_bytes())
    rows = [{"a": "what?", "image": "a.png", "answers": []}, {"a": "what?", "image": "a.png", "answers": ["x"]}]
    assert "hides the labels of 1 of 2 rows" in own(tmp_path, "rows.jsonl", rows, "vqa", text="a")
