# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The metrics as `evaluate` modules give what the functions give."""

import evaluate
import numpy as np
import pytest

from hf_unimo.errors import BadInputError
from hf_unimo.evaluation.metrics import evaluate_interface
from hf_unimo.evaluation.metrics.captions import caption_metrics
from hf_unimo.evaluation.metrics.classification import classification_metrics
from hf_unimo.evaluation.metrics.nlvr2 import nlvr2_metrics
from hf_unimo.evaluation.metrics.regression import regression_metrics
from hf_unimo.evaluation.metrics.retrieval import retrieval_metrics
from hf_unimo.evaluation.metrics.vqa import VARIANTS, vqa_accuracy


ANSWERS, ANNOTATORS = ["two", "a cat"], [["2"] * 3 + ["3"] * 7, ["cat"] * 9 + ["dog"]]
CAPTIONS, PEOPLES = ["a man rides a horse", "two dogs play"], [["a man on a horse", "a horse"], ["two dogs play ball"]]
SCORES = np.array([[0.9, 0.1, 0.5], [0.8, 0.2, 0.6]])
IDENTIFIERS = ["dev-0-0-0", "dev-0-1-0", "dev-1-0-1"]
CASES = {
    "VqaAccuracy": (ANSWERS, ANNOTATORS, {"answer_types": ["number", "other"]}, vqa_accuracy),
    "CaptionMetrics": (CAPTIONS, PEOPLES, {"metrics": ["bleu", "cider_d", "rouge_l"]}, caption_metrics),
    "ClassificationMetrics": ([0, 1, 1], [0, 1, 0], {}, classification_metrics),
    "RegressionMetrics": ([0.5, 1.5, 1.0], [0.0, 2.0, 3.0], {}, regression_metrics),
    "Nlvr2Metrics": (["True", "False", "True"], ["True"] * 3, {"identifiers": IDENTIFIERS}, nlvr2_metrics),
    "RetrievalMetrics": (SCORES.T, [0, 0, 1], {"ks": [1, 2]}, lambda p, r, ks: retrieval_metrics(p.T, r, ks)),
}


@pytest.mark.parametrize("name", CASES)
def test_modules_give_what_the_functions_give(name, tmp_path):
    predictions, references, options, function = CASES[name]
    metric = getattr(evaluate_interface, name)(cache_dir=tmp_path)
    expected = function(predictions, references, **options)
    assert metric.compute(predictions=predictions, references=references, **options) == expected
    for prediction, reference in zip(predictions, references):
        metric.add_batch(predictions=[prediction], references=[reference])
    assert metric.compute(**options) == expected


def test_metrics_combine(tmp_path):
    variants = {name: evaluate_interface.VqaAccuracy(name, cache_dir=tmp_path) for name in VARIANTS}
    found = evaluate.combine(variants).compute(predictions=ANSWERS, references=ANNOTATORS)
    for name in VARIANTS:
        assert found[f"{name}_vqa_accuracy"] == vqa_accuracy(ANSWERS, ANNOTATORS, variant=name)["vqa_accuracy"]
        assert found[f"{name}_vqa_variant"] == name


def test_options_of_one_metric_leave_the_others_of_a_combination_alone(tmp_path):
    kinds = (evaluate_interface.VqaAccuracy, evaluate_interface.CaptionMetrics)
    found = evaluate.combine([kind(cache_dir=tmp_path) for kind in kinds]).compute(
        predictions=ANSWERS, references=ANNOTATORS, answer_types=["number", "other"], metrics=["rouge_l"]
    )
    assert found["vqa_accuracy_per_answer_type"] == {"number": 0.9, "other": 1.0} and "rouge_l" in found


def test_what_is_not_known_is_refused(tmp_path):
    with pytest.raises(BadInputError, match="'v2' was given, the nearest known is 'v1'"):
        evaluate_interface.VqaAccuracy("v2", cache_dir=tmp_path)
    metric = evaluate_interface.VqaAccuracy(cache_dir=tmp_path)
    with pytest.raises(BadInputError, match="the nearest known is 'answer_types'"):
        metric.compute(predictions=ANSWERS, references=ANNOTATORS, answer_type=["number", "other"])
    with pytest.raises(BadInputError, match="accepts them as `identifiers`"):
        evaluate_interface.Nlvr2Metrics(cache_dir=tmp_path).compute(predictions=["True"], references=["True"])
