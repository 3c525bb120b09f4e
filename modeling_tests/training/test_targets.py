# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""What a head learns to predict of a row, and what its classes are called."""

import numpy as np
import pytest

from hf_unimo.data.benchmarks.rows import Benchmark, Picture, TextRow, VqaRow
from hf_unimo.errors import BadInputError
from hf_unimo.evaluation.metrics.vqa import soft_targets
from hf_unimo.training.targets import (
    AnswerTarget,
    ClassTarget,
    ValueTarget,
    answer_vocabulary,
    class_names,
    describe_difference,
    make_target,
    numbered_names,
)


def texts(labels, names=None) -> Benchmark:
    rows = tuple(TextRow(str(number), "text", None, label) for number, label in enumerate(labels))
    return Benchmark("words", "train", "text-classification", rows, {}, names)


def question(answers=(), soft=(), choice=None) -> VqaRow:
    return VqaRow("0", 0, "what is it?", Picture("a.png"), tuple(answers), None, None, choice, tuple(soft))


def questions(*rows) -> Benchmark:
    return Benchmark("questions", "train", "vqa", rows, {})


def test_classes_by_name():
    target = ClassTarget(texts([0, 1, 1], ("bad", "good")), {"good": 0, "so so": 1, "bad": 2})
    assert [target(row) for row in texts([0, 1])] == [2, 0]


def test_classes_without_names_count_as_numbers():
    data = texts([2, 0])
    assert class_names(data) == ["LABEL_0", "LABEL_1", "LABEL_2"] == numbered_names(3)
    target = ClassTarget(data, {"x": 0, "y": 1, "z": 2})
    assert [target(row) for row in data] == [2, 0]


def test_a_class_that_the_model_has_not_is_named():
    with pytest.raises(BadInputError, match=r"'words' has the label 'worse' in its split 'train', .* model's: bad"):
        ClassTarget(texts([0, 1], ("bad", "worse")), {"bad": 0})
    with pytest.raises(BadInputError, match=r"the label 'LABEL_2' .* model's: x, y"):
        ClassTarget(texts([2]), {"x": 0, "y": 1})


def test_numbers():
    assert ValueTarget()(TextRow("0", "text", None, 3)) == 3.0


VOCABULARY = {"yes": 0, "no": 1, "2": 2}


def test_scores_of_ten_annotators_are_those_of_the_metric():
    answers = ["yes"] * 3 + ["no"] * 2 + ["maybe"] * 5
    found = AnswerTarget(VOCABULARY)(question(answers))
    np.testing.assert_array_equal(found, soft_targets(answers, VOCABULARY))
    # Of ten, leaving each one out in turn: 3 "yes" are 0.9, 2 "no" are 0.6.
    np.testing.assert_allclose(found, [0.9, 0.6, 0.0], atol=1e-6)


@pytest.mark.parametrize(
    "row, expected",
    [
        (question(["yes"]), [1, 0, 0]),
        (question(["Yes.", "no"]), [0.5, 0.5, 0]),  # as written by people
        (question(["no", "no", "maybe"]), [0, 2 / 3, 0]),
        (question(["two"]), [0, 0, 1]),  # digits, as the metric compares
        (question(["something else"]), [0, 0, 0]),
        (question(soft=[("yes", 0.3), ("no", 1.0)]), [0.3, 1, 0]),
        (question(soft=[("two", 0.7), ("2", 0.6)]), [0, 0, 1]),  # one answer after processing, at most 1
    ],
)
def test_scores_of_few_annotators_are_shares(row, expected):
    found = AnswerTarget(VOCABULARY)(row)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_vocabulary_is_the_most_frequent_usual_answers():
    data = questions(
        question(["cat"] * 6 + ["dog"] * 4),
        question(["dog"] * 10),
        question(["A dog!"] * 10),
        question(["ant"]),
        question(soft=[("bee", 0.4), ("ant", 0.9)]),
        question(["elephant"] * 9, choice="fox"),
    )
    assert answer_vocabulary(data, 100, 1) == ["ant", "dog", "cat", "fox"]  # ties by the alphabet
    assert answer_vocabulary(data, 2, 1) == ["ant", "dog"]
    assert answer_vocabulary(data, 100, 2) == ["ant", "dog"]


def test_a_vocabulary_has_no_empty_answer():
    data = questions(question(["the"]), question(["yes"]), question(["no"]))
    assert answer_vocabulary(data, 10, 1) == ["no", "yes"]


def test_a_vocabulary_of_one_answer_is_refused():
    with pytest.raises(
        BadInputError, match=r"has 1 answers that at least 2 questions have; .* options\.min_answer_count"
    ):
        answer_vocabulary(questions(question(["a b"]), question(["a b"]), question(["c"])), 10, 2)


@pytest.mark.parametrize(
    "names, known, words",
    [
        (["a", "b"], ["a"], "the data has 'b', which it has not"),
        (["a"], ["a", "b"], "it has 'b', which the data has not"),
        (["a"], ["b"], "the data has 'a', which it has not and it has 'b', which the data has not"),
        (list("abcdefgh"), ["a"], "the data has 'b', 'c', 'd', 'e', 'f' and 2 more, which it has not"),
        (["a", "b"], ["b", "a"], "their order differs"),
    ],
)
def test_the_difference_of_two_label_sets(names, known, words):
    assert describe_difference(names, known) == words


def test_the_target_of_a_task():
    data = texts([0, 1], ("bad", "good"))
    assert make_target(None, data, {}) is None
    assert make_target("values", data, {})(data[1]) == 1.0
    assert make_target("classes", data, {"good": 0, "bad": 1})(data[1]) == 0
    assert make_target("answers", data, VOCABULARY)(question(["no"])).tolist() == [0, 1, 0]
