# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Batches of rows of similar length: a batch is padded to its longest row, so rows of one length pad nothing."""

from collections.abc import Sequence

from ..errors import BadInputError


def bucketed(lengths: Sequence[int], batch_size: int, max_tokens: int | None = None) -> list[list[int]]:
    """
    Sorts rows into batches by length, the longest first: what does not fit into memory fails at once.

    Args:
        lengths (sequence of `int`): Of each row, in tokens.
        batch_size (`int`): Rows of a batch at most.
        max_tokens (`int`, *optional*): Tokens of a batch at most, padding included; a longer row is a batch of its
            own.

    Returns:
        `list[list[int]]`: Row numbers, each once. Rows of equal length stay in their order.

    Raises:
        BadInputError: If `batch_size` or `max_tokens` is below 1.
    """
    for name, value in (("batch_size", batch_size), ("max_tokens", max_tokens)):
        if value is not None and value < 1:
            raise BadInputError(f"`{name}` is {value}; accepted are integers from 1 on.")
    batches: list[list[int]] = []
    room = 0
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if not room:
            batches.append([])
            room = batch_size
            if max_tokens is not None:  # the first row of a batch is its longest
                room = max(1, min(room, max_tokens // max(1, lengths[row])))
        batches[-1].append(row)
        room -= 1
    return batches
