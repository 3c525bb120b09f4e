# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Accuracy of visual question answering against several annotators, and the soft targets that belong to it."""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from hf_unimo.errors import BadInputError, unknown_name


# `official`: answers are processed where the annotators disagree. `always`: always. `v1`: the script of 2015-16, which
# takes other marks, does not lower-case the annotators' answers, and gives the last leave-one-out value for each type.
VARIANTS = ("official", "always", "v1")

MARKS = {"official": ';/[]"{}()=+\\_-><@`,?!', "always": ';/[]"{}()=+\\_-><@`,?!', "v1": ";:/'[]\"()=+\\_><@`,?"}
DIGITS = {"none": "0"} | {
    word: str(digit)
    for digit, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    )
}
ARTICLES = ("a", "an", "the")
DIGIT_COMMA = re.compile(r"\d,\d")
# The scripts mean to look behind the stop, too, but mistype it so that it blocks nothing, and give a flag where
# `re.sub` takes the largest number of replacements.
STOP, MOST_STOPS = re.compile(r"\.(?!\d)"), 32

# Words whose apostrophe is put back, by what follows it. "somebody'd" loses it: that is how the scripts have it.
STEMS = {
    "d": "he how it someone something there they where who you",
    "ll": "how it somebody something they what who why you",
    "re": "there they what why you",
    "s": "he how somebody someone that there what when where who why",
    "ve": "could might must not should they we what where who would you",
}
NOT_STEMS = "ai are ca could did does do had has have is might must need ought sha should was were wo would"
HAVE_STEMS = {
    "d": "he it she somebody someone something there they we who you",
    "t": "couldn hadn mightn shouldn wouldn",
}
EXCEPTIONS = {
    "maam": "ma'am",
    "oclock": "o'clock",
    "ow's'at": "'ow's'at",
    "'ows'at": "'ow's'at",
    "'ow'sat": "'ow's'at",
    "somebody'd": "somebodyd",
    "someonell": "someone'll",
    "twas": "'twas",
    "yall": "y'all",
    "yall'll": "y'all'll",
    "y'allll": "y'all'll",
    "yall'd've": "y'all'd've",
    "y'alld've": "y'all'd've",
    "y'all'dve": "y'all'd've",
}
# The first script writes these with a straight apostrophe and all others with a curly one.
STRAIGHT_IN_V1 = ("aint", "arent", "cant", "couldve", "couldnt", "weve", "wheres", "whove")


def _contractions() -> dict[str, str]:
    table = {stem + "nt": stem + "n't" for stem in NOT_STEMS.split()}
    table |= {stem + ending: f"{stem}'{ending}" for ending, stems in STEMS.items() for stem in stems.split()}
    for ending, stems in HAVE_STEMS.items():
        for stem in stems.split():
            table[f"{stem}{ending}'ve"] = table[f"{stem}'{ending}ve"] = f"{stem}'{ending}'ve"
    return table | EXCEPTIONS


def _curly(table: Mapping[str, str]) -> dict[str, str]:
    return {
        word.replace("'", "’"): whole if word in STRAIGHT_IN_V1 else whole.replace("'", "’")
        for word, whole in table.items()
    }


CONTRACTIONS = {"official": _contractions(), "always": _contractions(), "v1": _curly(_contractions())}


@lru_cache(maxsize=2**16)  # The same few thousand answers make up most of a data set.
def process_answer(answer: str, variant: str = "official") -> str:
    """
    The answer as the scripts compare it: without punctuation and articles, numbers as digits, apostrophes put back.

    Args:
        answer: An answer, a person's or a model's.
        variant: Whose marks and apostrophes, one of `VARIANTS`.

    Returns:
        The processed answer, lower-case. It may be empty ("a" is an article).

    Raises:
        BadInputError: If the variant is not known.
    """
    _check_variant(variant)
    words = [DIGITS.get(word, word) for word in _without_punctuation(answer, variant).lower().split()]
    table = CONTRACTIONS[variant]
    return " ".join(table.get(word, word) for word in words if word not in ARTICLES)


def _without_punctuation(answer: str, variant: str) -> str:
    """A mark next to a blank goes; another becomes a blank, unless a comma stands between two digits ("1,000")."""
    result, number = answer, DIGIT_COMMA.search(answer) is not None
    for mark in MARKS[variant]:
        goes = number or mark + " " in answer or " " + mark in answer
        result = result.replace(mark, "" if goes else " ")
    return STOP.sub("", result, count=MOST_STOPS)


def leave_one_out_accuracy(matches: int, annotators: int = 10) -> float:
    """
    Accuracy of an answer that `matches` of the annotators gave: the mean, over leaving each annotator out, of
    min(1, how many of the others gave it / 3). With ten annotators 0, 0.3, 0.6, 0.9 and, from four on, 1.
    """
    # One division at the end, so that the values are exact to the last digit.
    return (matches * min(3, matches - 1) + (annotators - matches) * min(3, matches)) / (3 * annotators)


def vqa_scores(
    predictions: Sequence[str], references: Sequence[Sequence[str]], variant: str = "official"
) -> np.ndarray:
    """
    Accuracy of every question.

    Args:
        predictions (`questions` strings): The model's answers.
        references (`questions` lists of strings): The annotators' answers, usually ten, repeated ones included.
        variant: Which script's processing of the answers, one of `VARIANTS`.

    Returns:
        `(questions,)`, float64, 0 to 1.

    Raises:
        BadInputError: If the numbers differ, there is no question, a question has fewer than four annotators (of whom
            three others could not agree with the one left out), an answer is no string, or the variant is not known.
    """
    matches = _matches(predictions, references, variant)
    return np.array([leave_one_out_accuracy(sum(row), len(row)) for row in matches])


def vqa_type_scores(
    predictions: Sequence[str], references: Sequence[Sequence[str]], variant: str = "official"
) -> np.ndarray:
    """
    What each question adds to the accuracy of its types: its accuracy, but in the script `v1` the last leave-one-out
    value alone, so that its means by type do not add up to the mean of all.

    Arguments, result and errors are those of [`vqa_scores`].
    """
    if variant != "v1":
        return vqa_scores(predictions, references, variant)
    return np.array([min(1.0, sum(row[:-1]) / 3) for row in _matches(predictions, references, variant)])


def vqa_accuracy(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    answer_types: Sequence[str] | None = None,
    question_types: Sequence[str] | None = None,
    variant: str = "official",
) -> dict[str, Any]:
    """
    Accuracy of visual question answering over all questions, and for each type of answer and question. The scripts
    print these times 100, rounded to two digits.

    Args:
        predictions, references, variant: See `vqa_scores`.
        answer_types, question_types (`questions` strings): Types of the questions, where the data names them.

    Returns:
        `vqa_accuracy`, 0 to 1; `vqa_variant`, the variant it is of; `vqa_accuracy_per_answer_type` and
        `vqa_accuracy_per_question_type`, type to accuracy, where types are given.

    Raises:
        BadInputError: See `vqa_scores`; also if there is not one type a question.
    """
    scores = vqa_scores(predictions, references, variant)
    result: dict[str, Any] = {"vqa_accuracy": float(np.mean(scores)), "vqa_variant": variant}
    of_types = vqa_type_scores(predictions, references, variant)
    for name, types in (("answer_type", answer_types), ("question_type", question_types)):
        if types is not None:
            if len(types) != len(scores):
                raise BadInputError(
                    f"`{name}s` holds {len(types)} types for {len(scores)} questions, but one a question is accepted."
                )
            grouped = defaultdict(list)
            for kind, score in zip(types, of_types):
                grouped[kind].append(score)
            result[f"vqa_accuracy_per_{name}"] = {kind: float(np.mean(found)) for kind, found in grouped.items()}
    return result


FEWEST_ANNOTATORS = 4
"""From so many on, one can be left out: three others may agree with the answer."""


def soft_targets(
    answers: Sequence[str], vocabulary: Mapping[str, int], process: Callable[[str], str] = process_answer
) -> np.ndarray:
    """
    What a classifier over a vocabulary of answers learns: for every answer the accuracy that it would get (Goyal et
    al., 2017), or with fewer than [`FEWEST_ANNOTATORS`] the share of them who gave it.

    Args:
        answers: The annotators' answers to one question.
        vocabulary: Answer to class, a model's `label2id`.
        process: What an answer goes through before it is looked up. `str` leaves it as it is.

    Returns:
        `(len(vocabulary),)`, float32, 0 to 1. All zero if no answer is in the vocabulary.

    Raises:
        BadInputError: If there is no answer, or the classes of the vocabulary do not count from 0.
    """
    if not answers:
        raise BadInputError("A question without answers has no target; at least one answer is accepted.")
    processed = [process(answer) for answer in answers]
    targets = np.zeros(len(vocabulary), dtype=np.float32)
    for answer in set(processed) & vocabulary.keys():
        if not 0 <= vocabulary[answer] < len(vocabulary):
            raise BadInputError(
                f"The vocabulary gives {answer!r} class {vocabulary[answer]}, but its {len(vocabulary)} answers must "
                f"have the classes 0 to {len(vocabulary) - 1}."
            )
        count = processed.count(answer)
        few = len(processed) < FEWEST_ANNOTATORS
        targets[vocabulary[answer]] = count / len(processed) if few else leave_one_out_accuracy(count, len(processed))
    return targets


def _matches(predictions: Sequence[str], references: Sequence[Sequence[str]], variant: str) -> list[list[bool]]:
    """For every question, which annotators gave the predicted answer, by place: equal answers are several people's."""
    _check_variant(variant)
    if len(predictions) != len(references) or not len(predictions):
        raise BadInputError(
            f"{len(predictions)} predictions came with the answers to {len(references)} questions; the same number of "
            "both is accepted, at least one."
        )
    result = []
    for row, (prediction, answers) in enumerate(zip(predictions, references)):
        if isinstance(answers, str) or len(answers) < FEWEST_ANNOTATORS:
            found = repr(answers) if isinstance(answers, str) else f"{len(answers)} answers"
            raise BadInputError(
                f"Question {row} (from 0) comes with {found} as reference, but one annotator is left out and three "
                "others must agree: a list of at least four answers is accepted."
            )
        for answer in (prediction, *answers):
            if not isinstance(answer, str):
                raise BadInputError(f"Question {row} (from 0) has the answer {answer!r}; strings are accepted.")
        prediction, answers = _comparable(prediction, answers, variant)
        result.append([answer == prediction for answer in answers])
    return result


def _comparable(prediction: str, answers: Sequence[str], variant: str) -> tuple[str, list[str]]:
    """Prediction and references as the variant compares them."""
    prediction = _on_one_line(prediction)
    if variant == "v1":
        if len(set(answers)) > 1:
            answers = [_without_punctuation(answer, variant) for answer in answers]
        return process_answer(prediction, variant), list(answers)
    answers = [_on_one_line(answer) for answer in answers]
    if variant == "official" and len(set(answers)) == 1:
        return prediction, answers
    return process_answer(prediction, variant), [process_answer(answer, variant) for answer in answers]


def _on_one_line(answer: str) -> str:
    return answer.replace("\n", " ").replace("\t", " ").strip()


def _check_variant(variant: str) -> None:
    if variant not in VARIANTS:
        raise BadInputError(f"The variant of VQA accuracy is not known: {unknown_name(variant, VARIANTS)}")
