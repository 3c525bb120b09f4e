# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Public data sets by name, each read in its own schema and splits: `open_benchmark`.

Readers copy no picture and download nothing but what an id on the Hub names.
"""

import inspect
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import datasets

from ...errors import BadInputError, unknown_name
from .captions import read_coco_captions, read_flickr30k_captions
from .glue import TASKS as GLUE_TASKS
from .glue import read_glue
from .image_folder import read_image_folder
from .karpathy import read_karpathy
from .nlvr2 import read_nlvr2
from .official_unimo2 import read_unimo2_coco, read_unimo2_flickr30k, read_unimo2_tsv
from .reading import MISSING, Pictures, Request
from .rows import (
    Benchmark,
    CaptionRow,
    EntailmentRow,
    ImageLabelRow,
    Nlvr2Row,
    Picture,
    RetrievalRow,
    Row,
    TextRow,
    TokenCaptionRow,
    TokenIds,
    VqaRow,
)
from .snli_ve import read_snli_ve
from .vqa import read_easy_vqa, read_gqa, read_vqav2


__all__ = [
    "BENCHMARKS",
    "Benchmark",
    "CaptionRow",
    "EntailmentRow",
    "ImageLabelRow",
    "Nlvr2Row",
    "Picture",
    "RetrievalRow",
    "Row",
    "TextRow",
    "TokenCaptionRow",
    "TokenIds",
    "VqaRow",
    "open_benchmark",
]

# Name -> reader. What a `partial` sets is no option.
BENCHMARKS: dict[str, Callable[..., Benchmark]] = {
    **{name: partial(read_karpathy, dataset=name, task="retrieval") for name in ("flickr30k", "flickr8k", "coco")},
    **{
        f"{name}-karpathy-captions": partial(read_karpathy, dataset=name, task="captioning")
        for name in ("flickr30k", "flickr8k", "coco")
    },
    "flickr30k-captions": read_flickr30k_captions,
    "coco-captions": read_coco_captions,
    "vqav2": partial(read_vqav2, prefix="v2_"),
    "okvqa": partial(read_vqav2, prefix=""),
    "gqa": read_gqa,
    "easy-vqa": read_easy_vqa,
    "snli-ve": read_snli_ve,
    "nlvr2": read_nlvr2,
    **{task: partial(read_glue, task=task) for task in GLUE_TASKS},
    "image-folder": read_image_folder,
    "unimo2-tsv": read_unimo2_tsv,
    "unimo2-flickr30k": read_unimo2_flickr30k,
    "unimo2-coco": read_unimo2_coco,
}


def open_benchmark(
    name: str,
    path: str | os.PathLike | datasets.Dataset | datasets.DatasetDict,
    split: str,
    images: str | os.PathLike | None = None,
    *,
    missing: str = "refuse",
    **options,
) -> Benchmark:
    """
    One split of a public data set.

    Args:
        name (`str`): One of `BENCHMARKS`.
        path: The file, or the folder that has it under its official name; where the reader knows a copy on the Hub,
            also Parquet of that schema, an opened table, or the copy's id (see the readers).
        split (`str`): The data set's own name of it. "val", "validation" and "dev" mean the same, and so do "test" and
            NLVR2's "test1".
        images (path, *optional*): The folder of pictures; the readers say how it is laid out. Default: `path`, or its
            folder. Tables bring their pictures with them.
        missing (`str`, defaults to `"refuse"`): What becomes of rows whose pictures are not there: `"refuse"` ends in
            an error, `"drop"` leaves them out and lists the pictures, `"unchecked"` does not look.
        options: Those of the reader.

    Returns:
        `Benchmark`: The rows with their `split_hash`, `counts`, `label_names`, and what the protocol must say.
        Pictures are opened when asked.

    Raises:
        BadInputError: If something is not known, not there or not in the data set's schema.
    """
    if name not in BENCHMARKS:
        raise BadInputError(f"There is no such benchmark: {unknown_name(name, BENCHMARKS)}")
    if missing not in MISSING:
        raise BadInputError(f"`missing` has no such value: {unknown_name(missing, MISSING)}")
    reader = BENCHMARKS[name]
    known = _options(reader)
    for option in options:
        if option not in known:
            accepted = unknown_name(option, known) if known else f"{option!r} was given, it has none."
            raise BadInputError(f"Benchmark {name!r} has no such option: {accepted}")
    place = path if isinstance(path, datasets.Dataset | datasets.DatasetDict) else Path(path).expanduser()
    folder = Path(".")
    if images is not None:
        folder = Path(images).expanduser()
    elif isinstance(place, Path):
        folder = place.parent if place.is_file() else place
    return reader(Request(name, place, split, Pictures(folder, missing)), **options)


def _options(reader: Callable) -> list[str]:
    set_already = reader.keywords if isinstance(reader, partial) else {}
    parameters = inspect.signature(reader).parameters.values()
    keyword_only = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    return [option for option in keyword_only if option not in set_already]
