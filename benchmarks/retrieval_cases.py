# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Retrieval by stages against the whole model for every pair, texts in batches by length, and search."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch

from hf_unimo.data.buckets import bucketed
from hf_unimo.models.unimo2.modeling_unimo2 import Unimo2EncoderOutput

from .case import Case, Run
from .models import Held, images, words
from .search import measure_search
from .sizes import Size


WHOLE, STAGED = "every pair through the whole model", "encoded once, every pair fused"
IMAGES, TEXTS, FUSING = "encoding images", "encoding texts", "fusing pairs of encodings"
UNSORTED, BUCKETED = "texts as they come", "texts in batches by length"
SEARCH = "search over stored vectors"
_DTYPE = torch.bfloat16


def retrieval_cases(size: Size, device: torch.device, unimo2: Held) -> Iterator[Case]:
    """A small retrieval in both ways, and the parts of the second."""
    common = {"section": "retrieval", "dtype": "bf16", "relative_to": WHOLE}
    pairs = size.images * size.texts
    yield Case(WHOLE, ready=partial(_whole, size, device, unimo2), items=pairs, unit="pairs", **common)
    yield Case(STAGED, ready=partial(_staged, size, device, unimo2), items=pairs, unit="pairs", **common)
    for name, unit in ((IMAGES, "images"), (TEXTS, "texts"), (FUSING, "pairs")):
        yield Case(name, ready=partial(_part, size, device, unimo2, name), items=size.batch, unit=unit, **common)


def bucket_cases(size: Size, device: torch.device, unimo2: Held) -> Iterator[Case]:
    """Texts of the lengths of captions, in the order in which they come and by length."""
    for name in (UNSORTED, BUCKETED):
        yield Case(
            name,
            "texts",
            partial(_texts, size, device, unimo2, name == BUCKETED),
            items=size.rows,
            unit="texts",
            dtype="bf16",
            relative_to=UNSORTED,
        )


def search_cases(size: Size) -> Iterator[Case]:
    """What `search.py` measures, in rounds of its own."""
    yield Case(SEARCH, "search", partial(_search, size), flops_of="-", most_rounds=1, warm_up=False)


@contextmanager
def _search(size: Size) -> Iterator[Run]:
    def run() -> dict[str, float]:
        found = measure_search(rows=size.vectors, width=size.width)
        return found["ratios"] | {f"{name}, seconds": median for name, (median, *_) in found["seconds"].items()}

    yield run


def _pairs(size: Size) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Numbers of images and texts, a batch of pairs at a time."""
    image, text = torch.meshgrid(torch.arange(size.images), torch.arange(size.texts), indexing="ij")
    yield from zip(image.flatten().split(size.batch), text.flatten().split(size.batch))


def _rows(encoded: Unimo2EncoderOutput, rows: torch.Tensor) -> Unimo2EncoderOutput:
    tensors = {name: value for name, value in encoded.items() if isinstance(value, torch.Tensor)}
    return Unimo2EncoderOutput(**{name: value[rows.to(value.device)] for name, value in tensors.items()})


@contextmanager
def _whole(size: Size, device: torch.device, held: Held) -> Iterator[Run]:
    pixel_values, input_ids = images(size, size.images, device, _DTYPE), words(size, size.texts, device)
    with held.at(_DTYPE) as model, torch.no_grad():

        def run() -> None:
            for image, text in _pairs(size):
                model.unimo2(input_ids[text.to(device)], pixel_values=pixel_values[image.to(device)])

        yield run


@contextmanager
def _staged(size: Size, device: torch.device, held: Held) -> Iterator[Run]:
    pixel_values, input_ids = images(size, size.images, device, _DTYPE), words(size, size.texts, device)
    with held.at(_DTYPE) as model, torch.no_grad():

        def run() -> None:
            encoded = model.unimo2.encode_image(pixel_values), model.unimo2.encode_text(input_ids)
            for image, text in _pairs(size):
                model.match_pairs(_rows(encoded[0], image), _rows(encoded[1], text))

        yield run


@contextmanager
def _part(size: Size, device: torch.device, held: Held, name: str) -> Iterator[Run]:
    pixel_values, input_ids = images(size, size.batch, device, _DTYPE), words(size, size.batch, device)
    with held.at(_DTYPE) as model, torch.no_grad():
        if name == IMAGES:
            yield partial(model.unimo2.encode_image, pixel_values)
        elif name == TEXTS:
            yield partial(model.unimo2.encode_text, input_ids)
        else:
            encoded = model.unimo2.encode_image(pixel_values), model.unimo2.encode_text(input_ids)
            yield partial(model.match_pairs, *encoded)


def caption_lengths(size: Size) -> list[int]:
    """Lengths of texts in tokens: log-normal around 13, as those of captions, at least 3."""
    generator = torch.Generator().manual_seed(3)
    drawn = torch.exp(math.log(13) + 0.4 * torch.randn(size.rows, generator=generator)).round().long()
    return drawn.clamp(3, size.words).tolist()


@contextmanager
def _texts(size: Size, device: torch.device, held: Held, by_length: bool) -> Iterator[Run]:
    lengths = caption_lengths(size)
    if by_length:
        batches = bucketed(lengths, size.batch)
    else:
        batches = [list(rows) for rows in torch.arange(size.rows).split(size.batch)]
    input_ids = words(size, size.rows, device)
    inputs = []
    for batch in batches:
        lengths_of = torch.tensor([lengths[row] for row in batch], device=device)
        longest = int(lengths_of.max())
        mask = (torch.arange(longest, device=device)[None] < lengths_of[:, None]).long()
        inputs.append((input_ids[torch.tensor(batch, device=device), :longest], mask))
    with held.at(_DTYPE) as model, torch.no_grad():

        def run() -> None:
            for ids, mask in inputs:
                model.unimo2.encode_text(ids, mask)

        yield run
