# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Builds Animal-MNIST: 9,716 white silhouettes of ten animals on black, 28x28, grey.

    python examples/data/build_animals.py --output DIR [--packages DIR] [--sample N]

Source: `animal-mnist` 0.4 of the Python package index, by SinaSR-6 (Sina Mohammadi), MIT: the pictures may be passed
on with its notice. Fetched with pip, without what it depends on, or read from `--packages`; checked by SHA-256. Writes
`animals.parquet` with the columns image (PNG), label, split, and prints what it wrote.

The package has 1,000 pictures of each animal. 284 of the 10,000 equal another one, of the same animal; one of each is
kept, and only then are the rest split by a hash of the pixels. Pictures that are alike but not equal stay, on both
sides of the split too: the picture of the training split nearest to one of the test split has the right label 86 times
of 100 (`baselines.py animals`).

| split | pictures |
| --- | ---: |
| train | 7,823 |
| validation | 944 |
| test | 949 |
"""

import gzip
import io
import pickletools
import sys
from pathlib import Path

import numpy as np
from builder import Row, run_builder, split_by_hash, spread_sample
from datasets import ClassLabel, Features, Image, Value
from packages import Package, read_member
from PIL import Image as PILImage


PACKAGES = {
    "animals": Package(
        "animal-mnist==0.4",
        "animal_mnist-0.4-py3-none-any.whl",
        "aeebf3d9de4552d6fd2d5701424e1a5b9020f8e5115d68df9db252f2f53ce2ce",
    )
}
FOLDER = "animal_mnist/data/Animal_MNIST"
ANIMALS = ["bear", "bird", "cat", "cow", "dog", "elephant", "giraffe", "horse", "sheep", "zebra"]
IMAGE_SIZE = 28
FEATURES = Features({"image": Image(), "label": ClassLabel(names=ANIMALS), "split": Value("string")})


def array_bytes(pickled: bytes) -> bytes:
    """
    The content of the one array in a pickle, which is not run: the opcodes are read, and the longest literal is it.
    """
    literals = (value for _, value, _ in pickletools.genops(pickled) if isinstance(value, bytes))
    return max(literals, key=len)


def read_array(archive: Path, name: str, dtype: str) -> np.ndarray:
    """The array in one of the package's compressed pickles, flat."""
    return np.frombuffer(array_bytes(gzip.decompress(read_member(archive, f"{FOLDER}/{name}.gz"))), dtype)


def without_duplicates(images: np.ndarray, labels: np.ndarray) -> list[tuple[np.ndarray, int]]:
    """The first of all equal pictures, with its label."""
    first = {}
    for image, label in zip(images, labels):
        first.setdefault(image.tobytes(), (image, int(label)))
    return list(first.values())


def make_row(number: int, image: np.ndarray, label: int) -> Row:
    """One row of the Parquet file."""
    buffer = io.BytesIO()
    PILImage.fromarray(image).save(buffer, "PNG", optimize=True)
    picture = {"bytes": buffer.getvalue(), "path": f"{number:05}.png"}
    return {"image": picture, "label": label, "split": split_by_hash(image.tobytes())}


def make_rows(archives: dict[str, Path], sample: int | None = None) -> list[Row]:
    """All rows in the order of the package."""
    images = read_array(archives["animals"], "animal_data_version_3", "u1").reshape(-1, IMAGE_SIZE, IMAGE_SIZE)
    labels = read_array(archives["animals"], "animal_label_version_3", "<i8")
    rows = [make_row(number, *item) for number, item in enumerate(without_duplicates(images, labels))]
    return rows if sample is None else sample_of(rows, sample)


def sample_of(rows: list[Row], count: int) -> list[Row]:
    """`count` rows: as many of each animal, and of these as many in each split."""
    named = [row | {"name": row["image"]["path"]} for row in rows]
    return [
        {column: row[column] for column in FEATURES}
        for row in spread_sample(named, count, lambda row: (row["label"], row["split"]), "name")
    ]


def main(arguments=None):
    return run_builder(
        arguments,
        doc=__doc__,
        packages=PACKAGES,
        file="animals.parquet",
        features=FEATURES,
        make_rows=make_rows,
        counted="label",
    )


if __name__ == "__main__":
    sys.exit(main())
