# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Correlations of a regression, by SciPy (extra `eval`)."""

import warnings

import numpy as np

from hf_unimo.errors import BadInputError


def regression_metrics(predictions: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """
    Pearson's and Spearman's correlation, as GLUE reports them for STS-B.

    Args:
        predictions, labels (`(rows,)`, float): Predicted and true values.

    Returns:
        `pearson` and `spearmanr`, -1 to 1. Both are NaN if all predictions are equal: no correlation is defined then.

    Raises:
        BadInputError: If the two do not have one value a row and at least two rows, a value is not finite, or all
            labels are equal.
    """
    from scipy import stats

    predictions, labels = np.asarray(predictions, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if predictions.ndim != 1 or predictions.shape != labels.shape or len(labels) < 2:
        raise BadInputError(
            f"`predictions` and `labels` have shapes {predictions.shape} and {labels.shape}; one value a row is "
            "accepted, the same number of both, at least two."
        )
    for name, values in (("predictions", predictions), ("labels", labels)):
        if not np.isfinite(values).all():
            raise BadInputError(f"`{name}` holds {(~np.isfinite(values)).sum()} values that are NaN or infinite.")
    if (labels == labels[0]).all():
        raise BadInputError(f"All {len(labels)} labels are {labels[0]:g}; a correlation needs different ones.")
    with warnings.catch_warnings():
        # The NaN is documented above; a warning in the middle of a report helps nobody.
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        return {
            "pearson": float(stats.pearsonr(predictions, labels).statistic),
            "spearmanr": float(stats.spearmanr(predictions, labels).statistic),
        }
