# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Texts that are token ids already, as the first implementation's files have them: batches without a tokenizer."""

from collections.abc import Sequence
from typing import Any, TypeGuard

import torch

from ..data.benchmarks.rows import TokenIds


def are_token_ids(texts: Sequence[str | TokenIds]) -> TypeGuard[Sequence[TokenIds]]:
    """Whether these are token ids; texts if not. Both at once are not accepted anywhere."""
    return bool(texts) and isinstance(texts[0], TokenIds)


def pad_token_ids(
    texts: Sequence[TokenIds], config: Any, max_length: int, side: str = "right"
) -> dict[str, torch.Tensor]:
    """
    A batch as a tokenizer would make it. Of a text that is too long the last token stays, as after a tokenizer, and
    the positions are the first ones (first implementation: the first tokens, and the last).

    Args:
        texts: At least one.
        config: The model's of texts: padding is `pad_token_id`, at the position before `position_offset`.
        max_length (`int`): Tokens at most, at least 2.
        side (`str`, defaults to `"right"`): Where padding goes.

    Returns:
        `input_ids`, `attention_mask` and `position_ids`, `(texts, longest)`, int64.
    """
    rows = [text.input_ids for text in texts]
    rows = [row if len(row) <= max_length else (*row[: max_length - 1], row[-1]) for row in rows]
    longest = max(map(len, rows))

    def padded(row: Sequence[int], value: int) -> list[int]:
        padding = [value] * (longest - len(row))
        return [*padding, *row] if side == "left" else [*row, *padding]

    before = config.position_offset - 1
    return {
        "input_ids": torch.tensor([padded(row, config.pad_token_id) for row in rows]),
        "attention_mask": torch.tensor([padded([1] * len(row), 0) for row in rows]),
        "position_ids": torch.tensor([padded(text.position_ids[:max_length], before) for text in texts]),
    }
