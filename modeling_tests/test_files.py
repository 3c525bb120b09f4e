# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""A directory appears whole or not at all."""

import os

import pytest

from hf_unimo.errors import BadInputError
from hf_unimo.files import check_destination, staged_directory


def test_it_appears_when_it_is_whole(tmp_path):
    with staged_directory(tmp_path / "deep" / "out") as folder:
        (folder / "file").write_text("text")
        assert not (tmp_path / "deep" / "out").exists()
    assert (tmp_path / "deep" / "out" / "file").read_text() == "text"
    assert os.listdir(tmp_path / "deep") == ["out"]


def test_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), staged_directory(tmp_path / "deep" / "out") as folder:
        (folder / "file").write_text("text")
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_no_room(tmp_path):
    with pytest.raises(BadInputError, match="bytes free, but"), staged_directory(tmp_path / "deep" / "out", 1 << 62):
        pass
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", ["file", "link", "full"])
def test_nothing_is_overwritten(kind, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("text")
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(BadInputError, match="exists and is not"):
        check_destination(tmp_path / kind)
