# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Karpathy's splits of Flickr30k, Flickr8k and COCO: `dataset_<name>.json`; Flickr30k as a table (Hub copies)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import datasets

from ...errors import BadInputError
from .reading import Request, check_columns, checked, not_empty, read_json, table_pictures, table_rows
from .rows import Benchmark, CaptionRow, Picture, RetrievalRow


SPLITS = ("train", "val", "test")
COCO_SPLITS = (*SPLITS, "restval")
TASKS = ("retrieval", "captioning")
TABLE_COLUMNS = ("caption", "sentids", "img_id", "filename")


@dataclass(frozen=True)
class _Image:
    """One picture of a split, whichever form it comes in. `image_id` is COCO's own, or Flickr's file name."""

    image_id: int | str
    picture: Picture
    captions: tuple[str, ...]
    caption_ids: tuple[str, ...]


def read_karpathy(
    request: Request,
    *,
    dataset: str,
    task: str,
    captions: int | None = None,
    restval: bool = True,
    table_split: str | None = None,
) -> Benchmark:
    """
    A gallery for retrieval, or pictures to be captioned.

    A caption is `raw` without the blanks around it; pictures are in the order of the file. COCO trains on `train` and
    `restval`. Some of its pictures have 6 or 7 captions: retrieval keeps the first five of each, captioning all.

    Args:
        request: `path` is the JSON file, or a folder with `dataset_<dataset>.json`; or a table with the columns
            `image`, `caption` (list), `sentids` (list), `img_id`, `filename` and, if it holds all splits, `split`.
            Pictures lie in `images` itself; COCO's in its folders `train2014` and `val2014`.
        dataset (`str`): `"flickr30k"`, `"flickr8k"` or `"coco"`.
        task (`str`): `"retrieval"` or `"captioning"`.
        captions (`int`, *optional*): How many captions of each picture are kept, from the first on. Default: 5 for
            retrieval in COCO, otherwise all (0 means all).
        restval (`bool`, defaults to True): Whether COCO's `train` has the pictures of `restval`.
        table_split (`str`, *optional*): The split of a copy on the Hub, or of its Parquet files, that holds `split`:
            some hold all splits in their "test". Default: the same name.

    Raises:
        BadInputError: If a file, split, field or picture is missing, or is for another data set.
    """
    if captions is None:
        captions = 5 if (dataset, task) == ("coco", "retrieval") else 0
    if not isinstance(captions, int) or captions < 0:
        raise BadInputError(f"`captions` is {captions!r}; accepted are integers from 0 (all captions) on.")
    split = request.resolve_split(COCO_SPLITS if dataset == "coco" else SPLITS)
    parts = ("train", "restval") if restval and (dataset, split) == ("coco", "train") else (split,)
    table = request.table(table_split or split) if dataset != "coco" else None
    if table is None:
        file = request.file(f"dataset_{dataset}.json")
        found, source = _from_file(request, read_json(file), file.name, dataset, parts), file.name
    else:
        found, source = _from_table(request.name, table, split), "table"
    return request.benchmark(
        (None if image is None else _row(image, task, captions) for image in found),
        split=split,
        task=task,
        protocol={
            "source": source,
            "split_parts": list(parts),
            "captions_per_picture": captions or "all",
            "text": "raw, without blanks around it",
            "order": "as in the file",
        },
    )


def _row(image: _Image, task: str, captions: int) -> RetrievalRow | CaptionRow:
    kept = slice(captions or None)
    texts = image.captions[kept]
    if task == "captioning":
        return CaptionRow(str(image.image_id), image.picture, image.image_id, texts)
    return RetrievalRow(str(image.image_id), image.picture, texts, image.caption_ids[kept])


def _from_file(
    request: Request, content: Any, name: str, dataset: str, parts: tuple[str, ...]
) -> Iterator[_Image | None]:
    checked(content, {"dataset": str, "images": list}, name)
    if content["dataset"] != dataset:
        raise BadInputError(f"{name} is of the data set {content['dataset']!r}; accepted is {dataset!r}.")
    fields: dict[str, Any] = {"filename": str, "imgid": int, "split": str, "sentences": list}
    if dataset == "coco":
        fields |= {"filepath": str, "cocoid": int}
    splits = set()
    empty = True
    for number, image in enumerate(content["images"]):
        place = f"{name}, image {number}"
        checked(image, fields, place)
        splits.add(image["split"])
        if image["split"] not in parts:
            continue
        empty = False
        if dataset == "coco":
            picture = request.pictures.find(f"{image['filepath']}/{image['filename']}", image["filename"])
            image_id = image["cocoid"]
        else:
            picture = request.pictures.find(image["filename"])
            image_id = image["filename"]
        captions, caption_ids = _sentences(image, place)
        yield None if picture is None else _Image(image_id, picture, captions, caption_ids)
    if empty:
        raise BadInputError(
            f"{name} has no pictures of the split {' or '.join(parts)} (found: {', '.join(sorted(splits))})."
        )


def _sentences(image: Mapping[str, Any], place: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if not image["sentences"]:
        raise BadInputError(f"{place} has no sentences; accepted are pictures with at least one.")
    captions, ids = [], []
    for sentence in image["sentences"]:
        checked(sentence, {"raw": str, "sentid": int}, f"{place}, a sentence")
        captions.append(not_empty(sentence["raw"], f"{place}, sentence {sentence['sentid']}"))
        ids.append(str(sentence["sentid"]))
    return tuple(captions), tuple(ids)


def _from_table(name: str, table: datasets.Dataset, split: str) -> Iterator[_Image]:
    place = f"The table of {name!r}"
    check_columns(table, ("image", *TABLE_COLUMNS), place)
    has_split = "split" in table.features
    picture = table_pictures(table, "image")
    for number, row in enumerate(table_rows(table, [*TABLE_COLUMNS, "split"] if has_split else TABLE_COLUMNS)):
        if has_split and row["split"] != split:
            continue
        where = f"{place}, row {number}"
        checked(row, {"caption": list, "sentids": list, "filename": str}, where)
        if not row["caption"] or len(row["caption"]) != len(row["sentids"]):
            raise BadInputError(
                f"{where}, has {len(row['caption'])} captions and {len(row['sentids'])} `sentids`; accepted are as "
                "many of each, at least one."
            )
        captions = tuple(not_empty(str(caption), where) for caption in row["caption"])
        yield _Image(row["filename"], picture(number, row["filename"]), captions, tuple(map(str, row["sentids"])))
