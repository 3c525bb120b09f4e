# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""SNLI-VE: the official JSON lines, the lists that OFA and ALBEF use, and tables (Hub copies)."""

from collections.abc import Iterator
from pathlib import Path

import datasets

from ...errors import BadInputError
from .reading import (
    Pictures,
    Request,
    check_columns,
    checked,
    label_index,
    missing_field,
    not_empty,
    read_json,
    read_json_lines,
    table_pictures,
    table_rows,
)
from .rows import Benchmark, EntailmentRow


SPLITS = {"train": "train", "dev": "validation", "test": "test"}  # here, and on the Hub
LABELS = ("entailment", "neutral", "contradiction")
IMAGE_FIELDS = ("Flickr30K_ID", "Flickr30kID")
TEXT_FIELDS = ("sentence2", "sentence", "hypothesis")


def read_snli_ve(request: Request) -> Benchmark[EntailmentRow]:
    """
    Visual entailment. Pairs without a majority (`-`) and those of Visual Genome (`pairID` from `vg_` on) do not count:
    the official files are without them, and the protocol tells how many another copy had.

    Args:
        request: `path` is the file, or a folder with `snli_ve_{train,dev,test}.jsonl`; a `.json` file is a list of
            objects with `image`, `sentence`, `label`; or a table with the columns `Flickr30K_ID`, `gold_label`, one of
            `sentence2`, `sentence`, `hypothesis`, and `image`. Pictures are `flickr30k_images/<id>.jpg` or `<id>.jpg`
            in `images`.

    Raises:
        BadInputError: If a file, split, field or picture is missing, or a label is unknown.
    """
    split = request.resolve_split(SPLITS)
    dropped = {"without_majority": 0, "visual_genome": 0}
    table = request.table(SPLITS[split])
    if table is not None:
        rows, source = _from_table(request.name, table, dropped), "table"
    else:
        file = request.file(f"snli_ve_{split}.jsonl", f"snli_ve_{split}.json")
        read = _from_list if file.suffix == ".json" else _from_lines
        rows, source = read(request.pictures, file, dropped), file.name
    return request.benchmark(
        rows,
        split=split,
        task="entailment",
        # A dict that the rows fill while they are read.
        protocol={"source": source, "premise": "the picture; its caption is not shown", "dropped": dropped},
        label_names=LABELS,
        unique=False,
    )


def _counts(label: str, pair: str, dropped: dict[str, int]) -> bool:
    if label == "-":
        dropped["without_majority"] += 1
    elif pair.startswith("vg_"):
        dropped["visual_genome"] += 1
    else:
        return True
    return False


def _find(pictures: Pictures, image: str):
    file = image if image.endswith(".jpg") else f"{image}.jpg"
    return pictures.find(f"flickr30k_images/{file}", file)


def _from_lines(pictures: Pictures, file: Path, dropped: dict[str, int]) -> Iterator[EntailmentRow | None]:
    fields = {"gold_label": str, "pairID": str, "sentence1": str, "sentence2": str}
    for place, row in read_json_lines(file):
        checked(row, fields, place)
        name = next((name for name in IMAGE_FIELDS if name in row), None)
        if name is None:
            raise BadInputError(missing_field(IMAGE_FIELDS[0], row, place))
        checked(row, {name: str}, place)
        if not _counts(row["gold_label"], row["pairID"], dropped):
            continue
        label = label_index(row["gold_label"], LABELS, place)
        picture = _find(pictures, row[name])
        text = not_empty(row["sentence2"], place)
        yield None if picture is None else EntailmentRow(row["pairID"], picture, text, label, row["sentence1"])


def _from_list(pictures: Pictures, file: Path, dropped: dict[str, int]) -> Iterator[EntailmentRow | None]:
    rows = read_json(file)
    if not isinstance(rows, list):
        raise BadInputError(f"{file.name} holds a {type(rows).__name__}; accepted is a list of rows.")
    for number, row in enumerate(rows):
        place = f"{file.name}, row {number}"
        checked(row, {"image": str, "sentence": str, "label": str}, place)
        if not _counts(row["label"], "", dropped):
            continue
        label = label_index(row["label"], LABELS, place)
        picture = _find(pictures, row["image"])
        yield (
            None if picture is None else EntailmentRow(str(number), picture, not_empty(row["sentence"], place), label)
        )


def _from_table(name: str, table: datasets.Dataset, dropped: dict[str, int]) -> Iterator[EntailmentRow | None]:
    place = f"The table of {name!r}"
    check_columns(table, (IMAGE_FIELDS[0], "gold_label", "image"), place)
    text = next((name for name in TEXT_FIELDS if name in table.features), TEXT_FIELDS[0])
    check_columns(table, [text], place)
    columns = [IMAGE_FIELDS[0], "gold_label", text, *({"pairID", "sentence1"} & set(table.column_names))]
    picture = table_pictures(table, "image")
    for number, row in enumerate(table_rows(table, columns)):
        where = f"{place}, row {number}"
        checked(row, dict.fromkeys((IMAGE_FIELDS[0], "gold_label", text), str), where)
        pair = row.get("pairID") or str(number)
        if _counts(row["gold_label"], pair, dropped):
            label = label_index(row["gold_label"], LABELS, where)
            image = picture(number, row[IMAGE_FIELDS[0]])
            yield EntailmentRow(pair, image, not_empty(row[text], where), label, row.get("sentence1"))
