# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""A directory appears whole or not at all; a file is replaced whole or stays."""

import os

import pytest

from hf_unimo.errors import BadInputError
from hf_unimo.files import (
    check_destination,
    public_command,
    public_path,
    public_text,
    staged_directory,
    write_atomically,
)


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


def test_a_file_is_replaced_whole(tmp_path, monkeypatch):
    path = tmp_path / "card.md"
    write_atomically(path, "größer\n")
    assert path.read_bytes() == "größer\n".encode()
    write_atomically(str(path), b"\x00")
    assert path.read_bytes() == b"\x00"
    plain = tmp_path / "plain"
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode

    def fail(*args):
        assert path.read_bytes() == b"\x00"
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, "new")
    assert path.read_bytes() == b"\x00" and sorted(os.listdir(tmp_path)) == ["card.md", "plain"]


def test_no_place_is_told():
    assert [public_path(path) for path in ("/home/me/model", "~/model", "~me/model", "C:\\me\\model")] == ["model"] * 4
    assert public_path("name/model") == "name/model"
    words = ["hf-unimo", "evaluate", "/home/me/model", "--data", "flickr30k=/data/a b", "split=test"]
    assert public_command(words) == "hf-unimo evaluate model --data 'flickr30k=a b' split=test"
    assert public_command("hf-unimo pretrain a.yaml 'x=[/me/a,/me/b]' --hub_token secret") == (
        "hf-unimo pretrain a.yaml 'x=[a,b]' --hub_token TOKEN"
    )
    assert public_text("row 3 (/home/me/dog.png): broken, 3/4 read") == "row 3 (dog.png): broken, 3/4 read"
