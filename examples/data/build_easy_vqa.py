# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Builds easy-VQA: questions about one coloured shape in a 64x64 picture, with 13 answers.

    python examples/data/build_easy_vqa.py --output DIR [--packages DIR] [--sample N]

Source: `easy-vqa` 1.0 of the Python package index, by Victor Zhou, MIT: pictures and questions may be passed on with
its notice. Fetched with pip, or read from `--packages`; checked by SHA-256. Writes `easy_vqa.parquet` with the columns
image (the PNG of the package), question, answer, image_id ("train-17"), split, and prints what it wrote.

The package's test set is the split test. Validation are the pictures whose hash falls into the lowest tenth of its
training set, with all their questions. No two pictures of the package are equal.

| split | pictures | questions |
| --- | ---: | ---: |
| train | 3,595 | 34,720 |
| validation | 405 | 3,855 |
| test | 1,000 | 9,673 |

The questions alone give away two thirds of the answers (`baselines.py vqa`): a model uses the picture only if it is
well above that.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

from builder import SPLITS, Row, hash_key, is_within_share, run_builder
from datasets import Features, Image, Value
from packages import Package, read_members


PACKAGES = {
    "easy-vqa": Package(
        "easy-vqa==1.0",
        "easy_vqa-1.0-py3-none-any.whl",
        "fcb51b309b78c7b00f97b64cdbcbcf5c105f94da1b39c0796cee5a787c4f650f",
    )
}
VALIDATION_SHARE = 0.1
QUESTIONS_PER_PICTURE = 3  # in a sample
FEATURES = Features({"image": Image()} | dict.fromkeys(("question", "answer", "image_id", "split"), Value("string")))


def split_of(part: str, image_id: str) -> str:
    """The split of a picture of the package's `part`, "train" or "test"."""
    return "validation" if part == "train" and is_within_share(VALIDATION_SHARE, image_id) else part


def make_rows(archives: dict[str, Path], sample: int | None = None) -> list[Row]:
    """All rows in the order of the package; train and validation come first."""
    files = dict(read_members(archives["easy-vqa"], lambda name: name.startswith("easy_vqa/data/")))
    rows = []
    for part in ("train", "test"):
        for question, answer, number in json.loads(files[f"easy_vqa/data/{part}/questions.json"]):
            image_id = f"{part}-{number}"
            content = files[f"easy_vqa/data/{part}/images/{number}.png"]
            rows.append(
                {
                    "image": {"bytes": content, "path": f"{image_id}.png"},
                    "question": question,
                    "answer": answer,
                    "image_id": image_id,
                    "split": split_of(part, image_id),
                }
            )
    return rows if sample is None else sample_of(rows, sample)


def sample_of(rows: list[Row], count: int) -> list[Row]:
    """About `count` rows, three of five in train, a few of a picture, chosen so that all answers come early."""
    chosen = []
    for split, share in zip(SPLITS, (0.6, 0.2, 0.2)):
        by_picture = defaultdict(dict)  # picture -> the first question of each answer
        for row in rows:
            if row["split"] == split:
                by_picture[row["image_id"]].setdefault(row["answer"], row)
        waiting = sorted(by_picture.values(), key=lambda found: hash_key(next(iter(found.values()))["image_id"]))
        taken, seen = [], set()
        while waiting and len(taken) < share * count:
            richest = max(waiting, key=lambda found: len(found.keys() - seen))
            waiting.remove(richest)
            newest = sorted(richest, key=lambda answer: answer in seen)[:QUESTIONS_PER_PICTURE]
            taken += [richest[answer] for answer in newest]
            seen |= set(newest)
        chosen += taken
    return chosen


def main(arguments=None):
    return run_builder(
        arguments,
        doc=__doc__,
        packages=PACKAGES,
        file="easy_vqa.parquet",
        features=FEATURES,
        make_rows=make_rows,
        counted="answer",
    )


if __name__ == "__main__":
    sys.exit(main())
