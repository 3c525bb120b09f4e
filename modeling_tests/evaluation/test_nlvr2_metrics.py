# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Accuracy and consistency by hand."""

import numpy as np
import pytest

from hf_unimo.errors import BadInputError
from hf_unimo.evaluation.metrics.nlvr2 import nlvr2_metrics


# Sentences: set 0 sentence 0 (pairs 0, 1, 3), set 0 sentence 1 (pair 0), and the same of another split.
IDENTIFIERS = ["dev-0-0-0", "dev-0-1-0", "dev-0-0-1", "dev-0-3-0", "test1-0-0-0"]
LABELS = ["True", "False", "True", "True", "False"]


def test_a_sentence_counts_if_all_its_pairs_are_right():
    found = nlvr2_metrics(["True", "True", "True", "True", "False"], LABELS, IDENTIFIERS)
    assert found == {"accuracy": 0.8, "consistency": pytest.approx(2 / 3), "sentences": 3}
    assert nlvr2_metrics(LABELS, LABELS, IDENTIFIERS)["consistency"] == 1.0


@pytest.mark.parametrize(
    "as_given", [str.lower, str.upper, lambda text: text == "True", lambda text: int(text == "True")]
)
def test_truth_comes_in_any_form(as_given):
    predictions = [as_given(label) for label in LABELS]
    assert nlvr2_metrics(predictions, LABELS, IDENTIFIERS)["accuracy"] == 1.0


def test_arrays_are_taken():
    assert nlvr2_metrics(np.array([1, 0, 1, 0, 0]), LABELS, IDENTIFIERS)["accuracy"] == 0.8


@pytest.mark.parametrize(
    "labels, identifiers, message",
    [
        (["True"], ["dev-0-0-0", "dev-0-1-0"], "1 predictions came with 1 labels and 2 identifiers"),
        ([], [], "at least one"),
        (["-1"], ["dev-0-0-0"], "label of 'dev-0-0-0' is '-1'; True and False"),
        (["True"], ["dev-0-0"], "has 3 fields; split-set-pair-sentence is accepted"),
        (["True", "True"], ["dev-0-0-0", "dev-0-0-0"], "'dev-0-0-0' comes more than once"),
    ],
)
def test_bad_input_is_refused(labels, identifiers, message):
    with pytest.raises(BadInputError, match=message):
        nlvr2_metrics(["True"] * len(labels), labels, identifiers)
