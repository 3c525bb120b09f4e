# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Correlations against their definitions."""

import math

import numpy as np
import pytest

from hf_unimo.errors import BadInputError
from hf_unimo.evaluation.metrics.regression import regression_metrics


def test_correlations_equal_their_definitions():
    random = np.random.default_rng(0)
    labels = random.permutation(20).astype(float)
    predictions = labels + random.normal(size=20) * 4
    found = regression_metrics(predictions, labels)
    assert found["pearson"] == pytest.approx(np.corrcoef(predictions, labels)[0, 1], abs=1e-12)
    differences = predictions.argsort().argsort() - labels.argsort().argsort()
    assert found["spearmanr"] == pytest.approx(1 - 6 * (differences**2).sum() / (20 * (20**2 - 1)), abs=1e-12)


def test_equal_values_share_a_rank():
    # Ranks 1.5 1.5 3 4 against 1 2 3 4.
    expected = np.corrcoef([1.5, 1.5, 3, 4], [1, 2, 3, 4])[0, 1]
    assert regression_metrics([0, 0, 5, 6], [1, 2, 3, 9])["spearmanr"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.filterwarnings("error")
def test_one_value_for_all_rows_has_no_correlation():
    found = regression_metrics(np.ones(3), np.arange(3))
    assert math.isnan(found["pearson"]) and math.isnan(found["spearmanr"])


@pytest.mark.parametrize(
    "predictions, labels, message",
    [
        ([1, 2], [1, 2, 3], r"have shapes \(2,\) and \(3,\)"),
        ([1], [1], "at least two"),
        ([1, math.nan], [1, 2], "`predictions` holds 1 values that are NaN"),
        ([1, 2], [math.inf, 2], "`labels` holds 1 values"),
        ([1, 2], [3, 3], "All 2 labels are 3"),
    ],
)
def test_bad_input_is_refused(predictions, labels, message):
    with pytest.raises(BadInputError, match=message):
        regression_metrics(predictions, labels)
