# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Builds sentences from film reviews with a rating and a sentiment: the movie snippets of the VADER paper.

    python examples/data/build_vader.py --output DIR [--packages DIR] [--sample N]

Source: the source distribution of `vaderSentiment` 3.3.2 on the Python package index (MIT), in it the data of C.J.
Hutto and Eric Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text", ICWSM
2014. Fetched with pip, which runs the package's metadata step and only after the hash is right, or read from
`--packages`. Writes `vader_movies.parquet` with the columns text, rating (mean of about 20 persons, -4 to 4), label
(negative: rating <= -0.5, positive: rating >= 0.5), split, and prints what it wrote.

The sentences were cut from reviews that others wrote: they may be used, but not passed on. Neither this repository nor
its tests hold any of them; do not publish what this command writes.

10,605 sentences; two occur twice and stay once, and the 533 between the thresholds are left out. Which sentences come
from one review is not recorded, so the split goes by a hash of the sentence.

| split | negative | positive |
| --- | ---: | ---: |
| train | 4,059 | 3,985 |
| validation | 528 | 545 |
| test | 488 | 465 |
"""

import io
import sys
from pathlib import Path

from builder import Row, run_builder, split_by_hash, spread_sample
from datasets import ClassLabel, Features, Value
from packages import Package, read_member, read_tar


PACKAGES = {
    "vader": Package(
        "vaderSentiment==3.3.2",
        "vaderSentiment-3.3.2.tar.gz",
        "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
    )
}
INNER = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
SNIPPETS = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
THRESHOLD = 0.5
LABELS = ["negative", "positive"]
FEATURES = Features(
    {
        "text": Value("string"),
        "rating": Value("float64"),
        "label": ClassLabel(names=LABELS),
        "split": Value("string"),
    }
)


def read_snippets(table: str) -> dict[str, float]:
    """Sentence -> rating, from lines of number, rating and sentence; of equal sentences the first."""
    ratings = {}
    for line in table.splitlines():
        _, rating, text = line.split("\t")
        ratings.setdefault(text.strip(), float(rating))
    return ratings


def label_of(rating: float) -> int | None:
    """The class of a rating; None between the thresholds."""
    return None if abs(rating) < THRESHOLD else int(rating > 0)


def make_rows(archives: dict[str, Path], sample: int | None = None) -> list[Row]:
    """All rows in the order of the file."""
    [(_, table)] = read_tar(io.BytesIO(read_member(archives["vader"], INNER)), SNIPPETS.__eq__)
    rows = [
        {"text": text, "rating": rating, "label": label_of(rating), "split": split_by_hash(text)}
        for text, rating in read_snippets(table.decode("utf-8")).items()
        if label_of(rating) is not None
    ]
    if sample is None:
        return rows
    return spread_sample(rows, sample, lambda row: (row["split"], row["label"]), "text")


def main(arguments=None):
    return run_builder(
        arguments,
        doc=__doc__,
        packages=PACKAGES,
        file="vader_movies.parquet",
        features=FEATURES,
        make_rows=make_rows,
        counted="label",
    )


if __name__ == "__main__":
    sys.exit(main())
