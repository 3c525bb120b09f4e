# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Metrics of classification, by scikit-learn (extra `eval`)."""

import numpy as np


def classification_metrics(predictions: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """
    Accuracy, F1 and Matthews correlation of predicted classes, as GLUE reports them.

    Args:
        predictions, labels (`(rows,)`, int): Predicted and true classes.

    Returns:
        `accuracy`; `f1`, of class 1 (two classes only); `macro_f1`, the mean over classes; `matthews_correlation`.

    Raises:
        ValueError: If the two do not have one entry a row.
    """
    from sklearn import metrics

    predictions, labels = np.asarray(predictions), np.asarray(labels)
    if predictions.ndim != 1 or predictions.shape != labels.shape:
        raise ValueError(
            f"`predictions` and `labels` must be one class a row, but have shapes {predictions.shape} and "
            f"{labels.shape}."
        )
    result = {
        "accuracy": float(metrics.accuracy_score(labels, predictions)),
        "macro_f1": float(metrics.f1_score(labels, predictions, average="macro", zero_division=0.0)),
        "matthews_correlation": float(metrics.matthews_corrcoef(labels, predictions)),
    }
    if set(np.unique(np.concatenate((predictions, labels)))) <= {0, 1}:
        result["f1"] = float(metrics.f1_score(labels, predictions, zero_division=0.0))
    return result
