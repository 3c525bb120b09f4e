# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Metrics of captions, as the scripts of COCO captions define them: BLEU-1 to 4 (by sacrebleu, extra `eval`), CIDEr-D,
ROUGE-L and METEOR 1.5 (by its Java program in pycocoevalcap, extra `captions`).
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hf_unimo.errors import BadInputError, unknown_name

from .caption_tokens import java_conversation, java_program, tokenize


METRICS = ("bleu", "cider_d", "rouge_l", "meteor")
MAX_ORDER = 4  # of the n-grams, in BLEU and CIDEr-D
CIDER_SIGMA = 6.0
ROUGE_BETA = 1.2

Tokens = Sequence[str]


def caption_metrics(
    candidates: Sequence[str],
    references: Sequence[Sequence[str]],
    metrics: Sequence[str] = ("bleu", "cider_d", "rouge_l"),
    tokenizer: str = "rules",
) -> dict[str, float | str]:
    """
    Metrics of generated captions over a whole set of pictures. Papers print them times 100.

    Args:
        candidates (`pictures` strings): A caption for each picture. An empty one is allowed and scores 0.
        references (`pictures` lists of strings): People's captions of each picture.
        metrics: Which, among `METRICS`.
        tokenizer: See `hf_unimo.evaluation.metrics.caption_tokens.tokenize`.

    Returns:
        `bleu_1` to `bleu_4`, `rouge_l`, `meteor` (version 1.5), 0 to 1; `cider_d`, 0 to 10; `caption_tokenizer`.

    Raises:
        BadInputError: If the numbers differ, a caption is no string, a picture has no reference with a word, or a
            metric or the tokenizer is not known or cannot run here.
        CheckFailedError: If a Java program fails.
    """
    for name in metrics:
        check_metric(name)
    words, of_pictures = tokenize_captions(candidates, references, tokenizer)
    result: dict[str, float | str] = {}
    if "bleu" in metrics:
        result |= bleu(bleu_statistics(words, of_pictures))
    if "cider_d" in metrics:
        result["cider_d"] = float(cider_d(words, of_pictures).mean())
    if "rouge_l" in metrics:
        result["rouge_l"] = float(rouge_l(words, of_pictures).mean())
    if "meteor" in metrics:
        result["meteor"] = meteor(words, of_pictures)[0]
    return result | {"caption_tokenizer": tokenizer}


def tokenize_captions(
    candidates: Sequence[str], references: Sequence[Sequence[str]], tokenizer: str = "rules"
) -> tuple[list[list[str]], list[list[list[str]]]]:
    """
    Tokens of the candidates, `(pictures, tokens)`, and of the references, `(pictures, references, tokens)`: what the
    functions below take. Arguments and errors are those of `caption_metrics`.
    """
    if len(candidates) != len(references) or not len(candidates):
        raise BadInputError(
            f"{len(candidates)} captions came with references for {len(references)} pictures; the same number of both "
            "is accepted, at least one."
        )
    for row, (candidate, captions) in enumerate(zip(candidates, references)):
        if isinstance(captions, str):
            raise BadInputError(
                f"Picture {row} (from 0) has the string {captions!r} as references, not a list of them."
            )
        for text in (candidate, *captions):
            if not isinstance(text, str):
                raise BadInputError(f"Picture {row} (from 0) has the caption {text!r}; strings are accepted.")
    tokens = iter(tokenize([*candidates, *(text for captions in references for text in captions)], tokenizer))
    words = [next(tokens) for _ in candidates]
    of_pictures = [[next(tokens) for _ in captions] for captions in references]
    for row, captions_words in enumerate(of_pictures):
        if not any(captions_words):
            raise BadInputError(
                f"Picture {row} (from 0) has no reference caption with a word; at least one is accepted."
            )
    return words, of_pictures


def bleu_statistics(candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> np.ndarray:
    """
    What BLEU counts, picture by picture, so that it can be taken over any set of them.

    Returns:
        `(pictures, 10)`, int: length of the candidate and of the reference closest to it (of two, the shorter), number
        of its n-grams, n from 1 to 4, that a reference holds, and of all its n-grams.
    """
    from sacrebleu.metrics import BLEU

    counter = BLEU(tokenize="none", smooth_method="none", max_ngram_order=MAX_ORDER, force=True)
    rows = []
    for candidate, captions in zip(candidates, references):
        found = counter.corpus_score([" ".join(candidate)], [[" ".join(caption)] for caption in captions])
        rows.append([found.sys_len, found.ref_len, *found.counts, *found.totals])
    return np.array(rows, dtype=np.int64)


def bleu(statistics: np.ndarray) -> dict[str, float]:
    """
    Corpus BLEU-1 to 4 without smoothing.

    Args:
        statistics (`(pictures, 10)`): From `bleu_statistics`.

    Returns:
        `bleu_1` to `bleu_4`, 0 to 1.
    """
    from sacrebleu.metrics import BLEU

    candidate_length, reference_length, *counts = (int(total) for total in statistics.sum(axis=0))
    result = {}
    for order in range(1, MAX_ORDER + 1):
        score = BLEU.compute_bleu(
            correct=counts[:order],
            total=counts[MAX_ORDER : MAX_ORDER + order],
            sys_len=candidate_length,
            ref_len=reference_length,
            smooth_method="none",
            max_ngram_order=order,
        )
        result[f"bleu_{order}"] = score.score / 100
    return result


def cider_d(candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> np.ndarray:
    """
    CIDEr-D (Vedantam et al., 2015) of every picture: agreement of n-grams, weighed by how few pictures they describe.

    The weights come from the references given here, so a score depends on the whole set, and one picture alone has
    score 0.

    Returns:
        `(pictures,)`, float64, 0 to 10.
    """
    counted = [[_ngrams(caption) for caption in captions] for captions in references]
    pictures_with: Counter = Counter()
    for captions in counted:
        pictures_with.update({ngram for caption in captions for ngram in caption})
    log_pictures = math.log(len(counted))

    def weigh(counts: Counter) -> dict[tuple[str, ...], float]:
        return {
            ngram: count * (log_pictures - math.log(max(1, pictures_with[ngram]))) for ngram, count in counts.items()
        }

    scores = []
    for candidate, tokens, captions in zip(candidates, references, counted):
        own = weigh(_ngrams(candidate))
        similarities = [
            # The script takes the number of bigrams as the length.
            _similarity(own, weigh(caption)) * _length_penalty(max(len(candidate), 1) - max(len(words), 1))
            for words, caption in zip(tokens, captions)
        ]
        scores.append(10 * sum(similarities) / len(similarities))
    return np.array(scores)


def _ngrams(tokens: Tokens) -> Counter:
    return Counter(
        tuple(tokens[start : start + order])
        for order in range(1, MAX_ORDER + 1)
        for start in range(len(tokens) - order + 1)
    )


def _similarity(candidate: dict[tuple[str, ...], float], reference: dict[tuple[str, ...], float]) -> float:
    """Mean over n of the cosine of the weights of n-grams, the candidate's clipped to the reference's."""
    products, squares, reference_squares = [0.0] * MAX_ORDER, [0.0] * MAX_ORDER, [0.0] * MAX_ORDER
    for ngram, weight in candidate.items():
        squares[len(ngram) - 1] += weight**2
        if ngram in reference:
            products[len(ngram) - 1] += min(weight, reference[ngram]) * reference[ngram]
    for ngram, weight in reference.items():
        reference_squares[len(ngram) - 1] += weight**2
    cosines = (
        product / math.sqrt(one * other) if one and other else 0.0
        for product, one, other in zip(products, squares, reference_squares)
    )
    return sum(cosines) / MAX_ORDER


def _length_penalty(difference: int) -> float:
    return math.exp(-(difference**2) / (2 * CIDER_SIGMA**2))


def rouge_l(candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> np.ndarray:
    """
    ROUGE-L of every picture in the form of COCO captions: F (beta 1.2) of the best precision and the best recall,
    which may come from different references. Other packages take the best F of one reference, which is another number.

    Returns:
        `(pictures,)`, float64, 0 to 1.
    """
    return np.array([_rouge_l(candidate, captions) for candidate, captions in zip(candidates, references)])


def _rouge_l(candidate: Tokens, captions: Sequence[Tokens]) -> float:
    common = [_longest_common_subsequence(candidate, caption) for caption in captions]
    if not any(common):
        return 0.0
    precision = max(common) / len(candidate)
    recall = max(length / len(caption) for length, caption in zip(common, captions) if caption)
    return (1 + ROUGE_BETA**2) * precision * recall / (recall + ROUGE_BETA**2 * precision)


def _longest_common_subsequence(first: Tokens, second: Tokens) -> int:
    lengths = [0] * (len(second) + 1)
    for word in first:
        previous = lengths
        lengths = [0]
        for place, other in enumerate(second):
            lengths.append(previous[place] + 1 if word == other else max(previous[place + 1], lengths[place]))
    return lengths[-1]


def meteor(candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> tuple[float, np.ndarray]:
    """
    METEOR 1.5 (Denkowski and Lavie, 2014) with its English paraphrases, by its own program. No other implementation
    gives its numbers, so there is none to fall back on.

    Returns:
        The score of the set (not the mean of the pictures' scores), and `(pictures,)`, float64; 0 to 1.

    Raises:
        BadInputError: If Java or pycocoevalcap is missing.
        CheckFailedError: If the program fails.
    """
    with meteor_program() as program:
        return program.score(program.statistics(candidates, references))


@dataclass(frozen=True)
class MeteorProgram:
    """The running program of [`meteor`], for scores of several sets. Made by [`meteor_program`]."""

    write: Callable[[str], None]
    read: Callable[[], str]

    def statistics(self, candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> list[str]:
        """What it counts of each picture, in a form of its own."""
        found = []
        for candidate, captions in zip(candidates, references):
            # "|||" separates the parts of a line.
            texts = (" ".join(text).replace("|||", "") for text in (*captions, candidate))
            self.write(" ||| ".join(["SCORE", *texts]))
            found.append(self.read())
        return found

    def score(self, statistics: Sequence[str]) -> tuple[float, np.ndarray]:
        """As [`meteor`], from the [`statistics`] of a set of pictures; they may repeat."""
        # It answers with the scores of the pictures, and last with that of their summed statistics.
        self.write(" ||| ".join(["EVAL", *statistics]))
        scores = np.array([float(self.read()) for _ in statistics])
        return float(self.read()), scores


@contextmanager
def meteor_program() -> Iterator[MeteorProgram]:
    """Starts the program of [`meteor`], which takes some ten seconds and 2 GB; errors are those of [`meteor`]."""
    arguments = ["-Xmx2G", "-jar", str(meteor_file()), "-", "-", "-stdio", "-l", "en", "-norm"]
    with java_conversation(arguments) as (write, read):
        yield MeteorProgram(write, read)


def meteor_file() -> Path:
    """Where the program of [`meteor`] is. Raises BadInputError if it, or Java, is missing."""
    return java_program("meteor/meteor-1.5.jar", "METEOR")


def check_metric(name: str, known: Sequence[str] = METRICS) -> None:
    """Raises BadInputError, for SPICE with the reason, unless `known` has the name."""
    if name == "spice":
        raise BadInputError(
            "SPICE is not offered: its program fetches the Stanford CoreNLP 3.6.0 models from the network at first "
            f"use, and no other implementation gives its number; accepted are {', '.join(known)}."
        )
    if name not in known:
        raise BadInputError(f"The metric of captions is not known: {unknown_name(name, known)}")
