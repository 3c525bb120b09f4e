# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Brings results into a page of the documentation, between two lines that name the file."""

import re
from pathlib import Path

from hf_unimo.errors import BadInputError
from hf_unimo.files import write_atomically


_BLOCK = re.compile(r"(<!-- benchmarks: (\S+) -->\n).*?(<!-- end of benchmarks -->)", flags=re.DOTALL)
NOT_MEASURED = "Not measured."


def filled(text: str, folder: Path) -> str:
    """The text, every block with what its file in `folder` holds, `NOT_MEASURED` where there is no such file."""

    def block(found: re.Match) -> str:
        path = folder / found[2]
        content = path.read_text().strip() if path.is_file() else NOT_MEASURED
        return f"{found[1]}{content}\n{found[3]}"

    return _BLOCK.sub(block, text)


def fill(page: Path, folder: Path) -> None:
    """
    Writes the page anew.

    Raises:
        BadInputError: If it has no such block.
    """
    text = page.read_text()
    if not _BLOCK.search(text):
        raise BadInputError(f"{page.name} has no lines '<!-- benchmarks: FILE -->' and '<!-- end of benchmarks -->'.")
    write_atomically(page, filled(text, folder))
