# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The captions of a cell, whatever it is."""

from collections.abc import Iterator

from .images import BadRowError


# Where a caption stands if it is an object: the "sentences" of Karpathy's splits, and the annotations of COCO.
TEXT_KEYS = ("raw", "caption", "text")


def caption_texts(cell) -> Iterator[str]:
    """The captions of a cell: a text, an object with one under one of `TEXT_KEYS`, or a list of these."""
    if isinstance(cell, str):
        yield cell.strip()
    elif isinstance(cell, list):
        for part in cell:
            yield from caption_texts(part)
    elif isinstance(cell, dict) and any(key in cell for key in TEXT_KEYS):
        yield from caption_texts(next(cell[key] for key in TEXT_KEYS if key in cell))
    elif cell is not None:
        raise BadRowError(f"its text is {str(cell)[:50]!r} of type {type(cell).__name__}")
