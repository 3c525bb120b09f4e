# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Results in a page of the documentation."""

from pathlib import Path

import pytest

from benchmarks.__main__ import PAGE, RESULTS
from benchmarks.pages import NOT_MEASURED, fill, filled
from hf_unimo.errors import BadInputError


TEXT = """before
<!-- benchmarks: cpu.md -->
old
<!-- end of benchmarks -->
between
<!-- benchmarks: cuda.md -->
<!-- end of benchmarks -->
after
"""


def test_blocks_hold_their_files(tmp_path: Path):
    (tmp_path / "cpu.md").write_text("new \\1\n")
    page = tmp_path / "page.md"
    page.write_text(TEXT)
    fill(page, tmp_path)
    expected = TEXT.replace("old", r"new \1").replace("cuda.md -->\n", f"cuda.md -->\n{NOT_MEASURED}\n")
    assert page.read_text() == expected
    assert filled(expected, tmp_path) == expected


def test_a_page_without_blocks_is_refused(tmp_path: Path):
    (tmp_path / "page.md").write_text("nothing")
    with pytest.raises(BadInputError, match=r"page\.md has no lines"):
        fill(tmp_path / "page.md", tmp_path)
    assert (tmp_path / "page.md").read_text() == "nothing"


def test_the_page_of_this_repository_is_up_to_date():
    """`python -m benchmarks --pages` would change nothing."""
    assert filled(PAGE.read_text(), RESULTS) == PAGE.read_text()
