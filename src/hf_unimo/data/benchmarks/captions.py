# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Captions without Karpathy's splits: COCO's official annotations, Flickr30k's `.token` file and its CSV variant."""

import re
from collections.abc import Iterator
from pathlib import Path

from ...errors import BadInputError, nearest_known
from .reading import Request, checked, not_empty, read_json, read_text_lines
from .rows import Benchmark, CaptionRow, RetrievalRow


YEARS = (2014, 2017)
SPLITS = ("train", "val")
TOKEN_FILE, CSV_FILE = "results_20130124.token", "results.csv"
CSV_HEADER = ["image_name", "comment_number", "comment"]


def read_coco_captions(request: Request, *, year: int = 2014) -> Benchmark[CaptionRow]:
    """
    COCO's `captions_{train,val}{2014,2017}.json`, with all captions of each picture, in the order of `images`.

    Args:
        request: `path` is the file, or a folder with it or with `annotations/` with it. Pictures lie in the folder
            `{train,val}{year}` of `images`, or in `images` itself.
        year (`int`, defaults to 2014): 2014 or 2017.

    Raises:
        BadInputError: If a file, split, field or picture is missing, or a caption belongs to no picture.
    """
    if year not in YEARS:
        raise BadInputError(f"`year` is {year!r}; accepted are 2014 and 2017.")
    split = request.resolve_split(SPLITS)
    name = f"captions_{split}{year}.json"
    file = request.file(name, f"annotations/{name}")
    content = checked(read_json(file), {"images": list, "annotations": list}, file.name)
    captions: dict[int, list[str]] = {}
    for number, image in enumerate(content["images"]):
        checked(image, {"id": int, "file_name": str}, f"{file.name}, image {number}")
        captions[image["id"]] = []
    for number, annotation in enumerate(content["annotations"]):
        place = f"{file.name}, annotation {number}"
        checked(annotation, {"id": int, "image_id": int, "caption": str}, place)
        if annotation["image_id"] not in captions:
            raise BadInputError(f"{place} is for the picture {annotation['image_id']}, which is not among `images`.")
        captions[annotation["image_id"]].append(not_empty(annotation["caption"], place))

    def rows() -> Iterator[CaptionRow | None]:
        for image in content["images"]:
            picture = request.pictures.find(f"{split}{year}/{image['file_name']}", image["file_name"])
            if picture is None:
                yield None
            else:
                yield CaptionRow(str(image["id"]), picture, image["id"], tuple(captions[image["id"]]))

    return request.benchmark(
        rows(),
        split=split,
        task="captioning",
        protocol={"source": file.name, "captions_per_picture": "all", "order": "as in `images`"},
    )


def read_flickr30k_captions(request: Request) -> Benchmark[RetrievalRow]:
    """
    Flickr30k's own caption files, which know no splits: `results_20130124.token` (`picture#number<TAB>caption`) or
    `results.csv` (`picture| number| caption` below a header). In one row of the latter the second separator is
    missing; it is put in, and the protocol counts it.

    Args:
        request: `path` is the file, or its folder. `split` is "all".

    Raises:
        BadInputError: If a line has another form, or a file or picture is missing.
    """
    split = request.resolve_split(("all",))
    file = request.file(TOKEN_FILE, CSV_FILE)
    repaired = 0
    captions: dict[str, dict[str, str]] = {}
    for place, image, number, text, was_repaired in _lines(file):
        repaired += was_repaired
        of_image = captions.setdefault(image, {})
        if number in of_image:
            raise BadInputError(f"{place} gives the caption {number} of {image!r} once more; accepted is each once.")
        of_image[number] = not_empty(text, place)

    def rows() -> Iterator[RetrievalRow | None]:
        for image, texts in captions.items():
            picture = request.pictures.find(image)
            ids = tuple(f"{image}#{number}" for number in texts)
            yield None if picture is None else RetrievalRow(image, picture, tuple(texts.values()), ids)

    return request.benchmark(
        rows(),
        split=split,
        task="retrieval",
        protocol={
            "source": file.name,
            "captions_per_picture": "all",
            "order": "as in the file",
            "repaired_lines": repaired,
        },
    )


def _lines(file: Path) -> Iterator[tuple[str, str, str, str, bool]]:
    """Place, picture, number and text of each caption, and whether a separator had to be put in."""
    is_csv = file.suffix == ".csv"
    for line_number, line in read_text_lines(file):
        place = f"{file.name}, line {line_number},"
        if is_csv and line_number == 1:
            header = [part.strip() for part in line.split("|")]
            if header != CSV_HEADER:
                raise BadInputError(
                    f"{file.name} has the columns {', '.join(header)}; accepted are {', '.join(CSV_HEADER)} (nearest "
                    f"to {header[0]!r}: {nearest_known(header[0], CSV_HEADER)!r}), separated by '|'."
                )
            continue
        if not line:
            continue
        # Without the second separator, the number is still followed by a blank.
        pattern = r"([^|]+)\|\s*(\d+)\s*(\||\s)(.*)" if is_csv else r"([^\t]+)#(\d+)(\t)(.*)"
        match = re.fullmatch(pattern, line)
        if match is None:
            accepted = "picture| number| caption" if is_csv else "picture#number<TAB>caption"
            raise BadInputError(f"{place} is {line[:50]!r}; accepted is {accepted}.")
        image, number, separator, text = match.groups()
        yield place, image.strip(), number, text, is_csv and separator != "|"
