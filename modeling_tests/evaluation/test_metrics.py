# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Metrics against the first implementation's numbers (`fixtures/unimo2_aux`) and by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from hf_unimo.errors import BadInputError
from hf_unimo.evaluation.metrics.classification import classification_metrics
from hf_unimo.evaluation.metrics.retrieval import fold_of_images, folded_retrieval_metrics, ranks, retrieval_metrics


FOLDER = Path(__file__).parents[1] / "fixtures" / "unimo2_aux"
ARRAYS = dict(np.load(FOLDER / "preprocess.npz"))
EXPECTED = json.loads((FOLDER / "metrics.json").read_text())


def official_retrieval():
    """Scores (6 images, 30 texts) and the image of each text, from rows of score, image id and caption id."""
    rows = ARRAYS["recall.rows"]
    images, texts = np.unique(rows[:, 1]), np.unique(rows[:, 2])
    scores = np.full((len(images), len(texts)), np.nan)
    scores[np.searchsorted(images, rows[:, 1]), np.searchsorted(texts, rows[:, 2])] = rows[:, 0]
    assert not np.isnan(scores).any()
    return scores, ((texts - 1000) // 5).astype(int)


@pytest.mark.parametrize("side, official", [("image", "img"), ("text", "cap")])
def test_retrieval_equals_the_first_implementation(side, official):
    found = retrieval_metrics(*official_retrieval())
    for k in (1, 5, 10):
        assert found[f"{side}_recall@{k}"] == pytest.approx(EXPECTED["recall"][f"{official}_recall@{k}"], abs=1e-9)
    assert found[f"{side}_mean_rank"] == pytest.approx(EXPECTED["recall"][f"{official}_avg_rank"], abs=1e-9)
    mean = np.mean([found[f"{side}_recall@{k}"] for k in (1, 5, 10)])
    assert mean == pytest.approx(EXPECTED["recall"][f"avg_{official}_recall"], abs=1e-9)


def test_classification_equals_the_first_implementation():
    found = classification_metrics(ARRAYS["glue.preds"], ARRAYS["glue.labels"])
    assert found["accuracy"] == pytest.approx(EXPECTED["simple_accuracy"]["acc"], abs=1e-9)
    # The first implementation adds 1e-8 to a denominator.
    assert found["f1"] == pytest.approx(EXPECTED["acc_and_f1"]["f1"], abs=2e-8)
    assert (found["accuracy"] + found["f1"]) / 2 == pytest.approx(EXPECTED["acc_and_f1"]["acc_and_f1"], abs=2e-8)
    assert found["matthews_correlation"] == pytest.approx(EXPECTED["matthews_corrcoef"]["mat_cor"], abs=1e-9)


def test_ties_put_the_later_candidate_first():
    assert ranks(np.array([[1.0, 2.0, 1.0, 2.0], [0.0, 0.0, 0.0, 0.0]])).tolist() == [[4, 2, 3, 1], [4, 3, 2, 1]]


def test_retrieval_by_hand():
    scores = np.array([[0.9, 0.1, 0.5], [0.8, 0.2, 0.6]])  # texts 0 and 1 belong to image 0, text 2 to image 1
    found = retrieval_metrics(scores, [0, 0, 1], ks=(1, 2))
    assert (found["image_recall@1"], found["image_recall@2"]) == (pytest.approx(2 / 3), 1.0)
    assert (found["text_recall@1"], found["text_recall@2"], found["text_median_rank"]) == (0.5, 1.0, 1.5)


@pytest.mark.parametrize("image_of_text", [[0, 0], [0, 0, 0], [0, 1, 2]])
def test_texts_without_images_and_images_without_texts_are_refused(image_of_text):
    with pytest.raises(ValueError, match="image_of_text"):
        retrieval_metrics(np.zeros((2, 3)), image_of_text)


def test_scores_without_rank_are_refused():
    with pytest.raises(ValueError, match="holds NaN"):
        retrieval_metrics(np.full((2, 2), np.nan), [0, 1])


def test_equal_scores_are_worth_chance():
    found = retrieval_metrics(np.zeros((20, 20)), np.arange(20))
    assert (found["image_recall@1"], found["text_recall@5"]) == (0.05, 0.25)


def test_labels_of_another_length_are_refused():
    with pytest.raises(ValueError, match="one class a row"):
        classification_metrics(np.zeros(3), np.zeros(4))


def test_more_than_two_classes_have_no_plain_f1():
    found = classification_metrics(np.array([0, 1, 2]), np.array([0, 1, 1]))
    assert "f1" not in found and found["accuracy"] == pytest.approx(2 / 3)


def test_folds_by_hand():
    """Four images in two folds: what other folds score does not count."""
    scores = np.array(
        # texts of images 0, 0, 1 | 2, 3, 3
        [
            [0.9, 0.1, 0.8, 9.0, 9.0, 9.0],
            [0.5, 0.2, 0.7, 9.0, 9.0, 9.0],
            [9.0, 9.0, 9.0, 0.1, 0.3, 0.4],
            [9.0, 9.0, 9.0, 0.6, 0.5, 0.2],
        ]
    )
    image_of_text = [0, 0, 1, 2, 3, 3]
    found = folded_retrieval_metrics(scores, image_of_text, 2, ks=(1,))
    # Fold 1: texts find images at ranks 1, 2, 2; images find texts at 1 (of 0: 0.9) and 1 (of 1: 0.7).
    # Fold 2: texts at ranks 2, 1, 2; images at 3 (of 2: 0.1 is the last) and 2 (of 3: 0.5 behind 0.6).
    assert found == pytest.approx(
        {
            "image_recall@1": (1 / 3 + 1 / 3) / 2,
            "text_recall@1": (1 + 0) / 2,
            "image_mean_rank": (5 / 3 + 5 / 3) / 2,
            "image_median_rank": 2,
            "text_mean_rank": (1 + 2.5) / 2,
            "text_median_rank": (1 + 2.5) / 2,
        }
    )
    assert retrieval_metrics(scores, image_of_text, ks=(1,))["text_recall@1"] == 0
    assert folded_retrieval_metrics(scores, image_of_text, 1) == retrieval_metrics(scores, image_of_text)


def test_folds_are_as_large():
    assert fold_of_images(6, 3).tolist() == [0, 0, 1, 1, 2, 2]
    assert np.bincount(fold_of_images(5000, 5)).tolist() == [1000] * 5
    for images, folds in ((7, 5), (4, 0), (4, 8), (0, 1), (4, -2)):
        with pytest.raises(BadInputError, match=rf"^{images} images cannot be divided into {folds} folds"):
            fold_of_images(images, folds)
