# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""NLVR2: sentences about two pictures, `{train,dev,test1}.json`, one JSON object a line despite the name."""

from collections.abc import Iterator

from ...errors import BadInputError
from .reading import Pictures, Request, checked, not_empty, read_json_lines
from .rows import Benchmark, Nlvr2Row, Picture


SPLITS = ("train", "dev", "test1")
LABELS = ("False", "True")


def read_nlvr2(request: Request) -> Benchmark[Nlvr2Row]:
    """
    NLVR2. `test1` is the public test split ("test-P").

    Rows of a group (the same sentence with other pairs of pictures: the identifier without its third field) count
    as one for the consistency.

    Args:
        request: `path` is the file, or its folder. Pictures, `<identifier without its last number>-img0.png` and
            `-img1.png`, lie in `images/train/<directory>/`, `dev/` or `test1/` of `images`; with or without the
            first folder `images`, or all in `images` itself.

    Raises:
        BadInputError: If a file, split, field or picture is missing, or an identifier has another form.
    """
    split = request.resolve_split(SPLITS)
    file = request.file(f"{split}.json", f"data/{split}.json")
    fields: dict[str, type] = {"identifier": str, "sentence": str, "label": str}
    if split == "train":
        fields["directory"] = int

    def rows() -> Iterator[Nlvr2Row | None]:
        for place, row in read_json_lines(file):
            checked(row, fields, place)
            parts = row["identifier"].split("-")
            if len(parts) != 4 or parts[0] != split:
                raise BadInputError(
                    f"{place} has the identifier {row['identifier']!r}; accepted is {split}-<set>-<pair>-<sentence>."
                )
            if row["label"].capitalize() not in LABELS:
                raise BadInputError(f"{place} has the label {row['label']!r}; accepted are 'True' and 'False'.")
            folder = f"train/{row['directory']}" if split == "train" else split
            left, right = (_find(request.pictures, folder, "-".join(parts[:3]), side) for side in (0, 1))
            if left is None or right is None:
                yield None
                continue
            label = LABELS.index(row["label"].capitalize())
            group = "-".join([*parts[:2], "", parts[3]])
            yield Nlvr2Row(row["identifier"], left, right, not_empty(row["sentence"], place), label, group)

    return request.benchmark(
        rows(),
        split=split,
        task="nlvr2",
        protocol={"source": file.name, "consistency": "over identifiers without their third field"},
        label_names=LABELS,
    )


def _find(pictures: Pictures, folder: str, pair: str, side: int) -> Picture | None:
    file = f"{pair}-img{side}.png"
    return pictures.find(f"images/{folder}/{file}", f"{folder}/{file}", file)
