# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Accuracy of answers: what the official scripts give, by their rules and by cases worked out by hand."""

import numpy as np
import pytest

from hf_unimo.errors import BadInputError
from hf_unimo.evaluation.metrics.vqa import (
    CONTRACTIONS,
    VARIANTS,
    leave_one_out_accuracy,
    process_answer,
    soft_targets,
    vqa_accuracy,
    vqa_scores,
)


PROCESSED = {
    "Two dogs.": "2 dogs",
    "the cat": "cat",
    "1,000": "1000",
    "red-and-white": "red and white",
    "t-shirt": "t shirt",
    "yes!": "yes",
    "dont know": "don't know",
    "2.5": "2.5",
    "St. Louis": "st louis",
    "yes, please": "yes please",
    "a": "",
    "None": "0",
    "somebody'd": "somebodyd",
    "Ive": "ive",
    "5:30": "5:30",
    "1,000 - 2-3": "1000 23",
    "a .b": "b",
    "twas Y'allll oclock": "'twas y'all'll o'clock",
}


@pytest.mark.parametrize("answer, expected", PROCESSED.items())
def test_answers_are_processed_as_by_the_script(answer, expected):
    assert process_answer(answer) == process_answer(answer, "always") == expected


def test_only_32_full_stops_go():
    assert process_answer("." * 40) == "." * 8


def test_the_first_script_takes_other_marks_and_apostrophes():
    assert process_answer("red-and-white!", "v1") == "red-and-white!"
    assert process_answer("don't", "v1") == "don t" and process_answer("5:30", "v1") == "5 30"
    assert process_answer("dont", "v1") == "don’t" and process_answer("cant", "v1") == "can't"
    assert process_answer("he’dve", "v1") == "he’d’ve"


def test_contractions():
    # The scripts list 120 words; 6 of them never change a word: four are in capitals, two are whole already.
    assert len(CONTRACTIONS["official"]) == len(CONTRACTIONS["v1"]) == 114
    for word, whole in CONTRACTIONS["official"].items():
        if word != "somebody'd":
            assert whole.replace("'", "") == word.replace("'", "") or (word, whole) == ("someonell", "someone'll")
            assert whole.count("'") > word.count("'") or "ow" in word


def by_leaving_out(prediction, answers):
    """The script's loop, over places."""
    scores = []
    for left_out in range(len(answers)):
        others = answers[:left_out] + answers[left_out + 1 :]
        scores.append(min(1, others.count(prediction) / 3))
    return float(np.mean(scores))


@pytest.mark.parametrize("annotators", [4, 5, 10])
def test_leave_one_out_equals_the_loop(annotators):
    for matches in range(annotators + 1):
        answers = ["yes"] * matches + ["no"] * (annotators - matches)
        assert leave_one_out_accuracy(matches, annotators) == pytest.approx(by_leaving_out("yes", answers), abs=1e-12)


def test_ten_annotators():
    assert [leave_one_out_accuracy(matches) for matches in range(6)] == [0, 0.3, 0.6, 0.9, 1, 1]
    # Equal answers are several annotators: leaving one out does not leave out all of them.
    assert vqa_scores(["yes"] * 2, [["yes"] * 10, ["yes"] * 2 + ["no"] * 8]).tolist() == [1.0, 0.6]


def test_variants_differ_where_all_annotators_agree():
    agreed, disagreed = ["The cat"] * 10, ["The cat"] * 9 + ["dog"]
    assert vqa_scores(["cat", "The cat\n"], [agreed, agreed]).tolist() == [0.0, 1.0]
    assert vqa_scores(["cat", "a cat"], [disagreed, disagreed]).tolist() == [1.0, 1.0]
    assert vqa_scores(["cat", "The cat\n"], [agreed, agreed], "always").tolist() == [1.0, 1.0]
    # v1 neither lower-cases the references nor drops their articles, and always processes the prediction.
    assert vqa_scores(["cat", "The cat"], [disagreed, agreed], "v1").tolist() == [0.0, 0.0]
    assert vqa_scores(["dogs.", "dogs."], [["dogs."] * 10, ["dogs."] * 9 + ["cat"]], "v1").tolist() == [0.0, 1.0]


def test_accuracy_by_types():
    answers = [["2"] * 3 + ["3"] * 7, ["red"] * 10, ["blue"] * 10]
    types = {"answer_types": ["number", "other", "other"], "question_types": ["how many", "what", "what color"]}
    found = vqa_accuracy(["two", "red", "red"], answers, **types)
    assert found == {
        "vqa_accuracy": pytest.approx(1.9 / 3),
        "vqa_variant": "official",
        "vqa_accuracy_per_answer_type": {"number": 0.9, "other": 0.5},
        "vqa_accuracy_per_question_type": {"how many": 0.9, "what": 1.0, "what color": 0.0},
    }
    assert vqa_accuracy(["two"], answers[:1]) == {"vqa_accuracy": 0.9, "vqa_variant": "official"}


def test_the_first_script_gives_types_the_last_value_left_out():
    answers = [["no"] * 7 + ["yes"] * 3]
    found = vqa_accuracy(["yes"], answers, answer_types=["yes/no"], variant="v1")
    assert found["vqa_accuracy"] == 0.9
    assert found["vqa_accuracy_per_answer_type"] == {"yes/no": pytest.approx(2 / 3)}


def test_soft_targets_are_the_accuracies():
    vocabulary = {"2": 0, "3": 1, "t shirt": 2, "cat": 3}
    answers = ["Two", "2", "3", "t-shirt", "t-shirt", "t-shirt", "dog", "dog", "dog", "dog"]
    found = soft_targets(answers, vocabulary)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [0.6, 0.3, 0.9, 0.0], rtol=1e-6)
    np.testing.assert_allclose(soft_targets(answers, vocabulary, process=str), [0.3, 0.3, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(soft_targets(["dog"] * 10, vocabulary), 0)
    few = soft_targets([*list(vocabulary)[:2], next(iter(vocabulary))], vocabulary)  # three people: none is left out
    np.testing.assert_allclose(few[:2], [2 / 3, 1 / 3], rtol=1e-6)
    for answer, index in vocabulary.items():
        assert vqa_scores([answer], [answers])[0] == pytest.approx(found[index], abs=1e-6)


def test_bad_input_is_refused():
    with pytest.raises(BadInputError, match="2 predictions came with the answers to 1 questions"):
        vqa_scores(["a", "b"], [["a"] * 10])
    with pytest.raises(BadInputError, match="at least one"):
        vqa_scores([], [])
    with pytest.raises(BadInputError, match=r"Question 0 .* comes with 3 answers"):
        vqa_scores(["a"], [["a"] * 3])
    with pytest.raises(BadInputError, match="comes with 'yes' as reference"):
        vqa_scores(["a"], ["yes"])
    with pytest.raises(BadInputError, match=r"Question 0 .from 0. has the answer 2; strings"):
        vqa_scores(["2"], [["2"] * 9 + [2]])
    with pytest.raises(BadInputError, match="'offical' was given, the nearest known is 'official'"):
        vqa_accuracy(["a"], [["a"] * 10], variant="offical")
    with pytest.raises(BadInputError, match="`answer_types` holds 2 types for 1 questions"):
        vqa_accuracy(["a"], [["a"] * 10], answer_types=["x", "y"])
    with pytest.raises(BadInputError, match="gives 'cat' class 7"):
        soft_targets(["cat"], {"cat": 7})
    with pytest.raises(BadInputError, match="without answers"):
        soft_targets([], {"cat": 0})
    assert VARIANTS[0] == "official"
