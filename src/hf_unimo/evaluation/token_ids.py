# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Texts of the first implementation's files, which are token ids already: no tokenizer makes the model's inputs."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from transformers import PreTrainedModel

from ..data.benchmarks.rows import Benchmark, CaptionRow, TokenCaptionRow, TokenIds
from ..errors import BadInputError


TEXT_INPUT = "token ids and position ids of the data, without a tokenizer"
"""What the protocol says of such texts."""


def check_token_ids(texts: Sequence[TokenIds], data: Benchmark, model: PreTrainedModel, places: int) -> None:
    """
    That a model can take token ids.

    Args:
        texts: All of them.
        data ([`Benchmark`]), model: Whose.
        places (`int`): Of how many tokens of a text the model sees the positions; 0 if it makes its own.

    Raises:
        BadInputError: If the model is no UNIMO-2, whose ids they are, or an id or position is none of the model's.
    """
    if model.config.model_type != "unimo2":
        raise BadInputError(
            f"Data {data.name!r} has captions as token ids, which are those of UNIMO-2; {type(model).__name__} "
            "accepts captions as texts."
        )
    config: Any = model.config.get_text_config()
    tokens = set(chain.from_iterable(text.input_ids for text in texts))
    positions = set(chain.from_iterable(text.position_ids[:places] for text in texts))
    for what, ids, number in (
        ("token", tokens, config.vocab_size),
        ("position", positions, config.max_position_embeddings),
    ):
        outside = sorted(found for found in ids if not 0 <= found < number)
        if outside:
            raise BadInputError(
                f"Data {data.name!r} has the {what} id {outside[-1]}; the model accepts 0 to {number - 1}."
            )


def caption_rows(data: Benchmark, texts: Any) -> tuple[Benchmark[CaptionRow], list[TokenIds | None]]:
    """
    One row a picture of the lines of the first implementation's captioning files, which have one caption each.

    Args:
        data ([`Benchmark`]): Rows of `TokenCaptionRow`.
        texts ([`~hf_unimo.retrieval.adapters.Texts`]): Of the model; its tokenizer decodes the references.

    Returns:
        The pictures, in the order in which they first appear, and the object tokens of each (None without).

    Raises:
        BadInputError: If pictures have different objects in different lines, or only some have any.
    """
    lines: dict[str, list[TokenCaptionRow]] = {}
    for line in data:
        lines.setdefault(line.image_id, []).append(line)
    rows, objects = [], []
    for image_id, found in lines.items():
        references = [line.tokens.input_ids for line in found if line.tokens is not None]
        decoded = texts.tokenizer.batch_decode(references, skip_special_tokens=True) if references else []
        number = int(image_id) if image_id.isdecimal() else image_id  # COCO's result files have numbers
        rows.append(CaptionRow(image_id, found[0].image, number, tuple(" ".join(text.split()) for text in decoded)))
        if len({line.objects for line in found}) > 1:
            raise BadInputError(f"Data {data.name!r} has different objects of the picture {image_id!r}.")
        objects.append(found[0].objects)
    if len({found is None for found in objects}) > 1:
        raise BadInputError(f"Data {data.name!r} has objects of some pictures; accepted are objects of all, or none.")
    return replace(data, rows=tuple(rows)), objects
