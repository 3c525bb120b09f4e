# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Accuracy and consistency of NLVR2: is a sentence true of two pictures?"""

from collections import defaultdict
from collections.abc import Sequence

from hf_unimo.errors import BadInputError


TRUTH = {"true": True, "1": True, "false": False, "0": False}


def nlvr2_metrics(
    predictions: Sequence[object], labels: Sequence[object], identifiers: Sequence[str]
) -> dict[str, float]:
    """
    Accuracy over the rows, and the share of sentences that are right for every pair of pictures they come with.

    Args:
        predictions, labels (`rows`): `True` or `False`, as truth values, as 1 and 0 or as strings in any case.
        identifiers (`rows` strings): `split-set-pair-sentence`, as the data names its rows. Rows that differ in the
            third field only belong to one sentence.

    Returns:
        `accuracy` and `consistency`, 0 to 1; `sentences`, the number of groups of the latter.

    Raises:
        BadInputError: If the numbers differ, there is no row, a value is no truth value, or an identifier is repeated
            or does not have four fields.
    """
    if not len(predictions) == len(labels) == len(identifiers) or not len(labels):
        raise BadInputError(
            f"{len(predictions)} predictions came with {len(labels)} labels and {len(identifiers)} identifiers; the "
            "same number of each is accepted, at least one."
        )
    if len(set(identifiers)) != len(identifiers):
        repeated = next(name for name in identifiers if list(identifiers).count(name) > 1)
        raise BadInputError(f"The identifier {repeated!r} comes more than once; one row for each is accepted.")
    right = [
        _truth(prediction, "prediction", name) == _truth(label, "label", name)
        for prediction, label, name in zip(predictions, labels, identifiers)
    ]
    sentences = defaultdict(list)
    for name, correct in zip(identifiers, right):
        sentences[_sentence(name)].append(correct)
    return {
        "accuracy": sum(right) / len(right),
        "consistency": sum(map(all, sentences.values())) / len(sentences),
        "sentences": len(sentences),
    }


def _truth(value: object, what: str, identifier: str) -> bool:
    truth = TRUTH.get(str(value).lower())
    if truth is None:
        raise BadInputError(f"The {what} of {identifier!r} is {value!r}; True and False (or 1 and 0) are accepted.")
    return truth


def _sentence(identifier: str) -> tuple[str, str, str]:
    fields = identifier.split("-")
    if len(fields) != 4:
        raise BadInputError(
            f"The identifier {identifier!r} has {len(fields)} fields; split-set-pair-sentence is accepted, as in "
            "'train-10171-0-0'."
        )
    return fields[0], fields[1], fields[3]
