# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""`python -m benchmarks`, smaller than `--quick`: it runs, goes on, and its table is what its JSON says. No times."""

import json

import pytest

from benchmarks.__main__ import main
from benchmarks.runner import read
from benchmarks.summary import summarize


PART = ["--size", "smallest", "--only", "forward", "training", "retrieval", "captioning", "texts"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    assert main([*PART, "--out", str(folder), "--rounds", "2"]) == 0
    return folder


def test_json_and_markdown(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["cpu_smallest_part.json", "cpu_smallest_part.md"]
    result = read(folder / "cpu_smallest_part.json")
    assert len(result["rounds"]) == 2
    assert result["setup"]["command"] == f"python -m benchmarks {' '.join(PART)}"
    text = (folder / "cpu_smallest_part.md").read_text()
    rows = summarize(result)
    assert set(rows) == set(result["setup"]["cases"])
    for name, row in rows.items():
        (line,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
        cells = [cell.strip() for cell in line.split("|")]
        assert f"{row.ratio:.2f}" in cells
        if row.share is not None and row.section != "limit":
            assert f"{row.share:.3f}" in cells


def test_kinds_of_attention_do_the_same_work_and_training_more(folder):
    flops = read(folder / "cpu_smallest_part.json")["flops"]
    for dtype in ("fp32", "bf16"):
        forward = flops[f"UNIMO-2 forward, {dtype}, sdpa"]
        assert forward <= flops[f"UNIMO-2 forward, {dtype}, eager"] < 1.02 * forward
        assert flops[f"UNIMO-2 training step, {dtype}, sdpa"] > 1.5 * forward
    # Cached words are counted too: five beams do more than one.
    assert flops["captions, 5 beams"] > 3 * flops["captions, greedy"]
    assert flops["texts in batches by length"] <= flops["texts as they come"]


def test_a_second_call_goes_on(folder, tmp_path, capsys):
    result = read(folder / "cpu_smallest_part.json")
    first = result["rounds"][:1]
    (tmp_path / "cpu_smallest_part.partial.json").write_text(json.dumps(result | {"rounds": first}))
    assert main([*PART, "--out", str(tmp_path), "--rounds", "1"]) == 0
    assert read(tmp_path / "cpu_smallest_part.json")["rounds"] == first
    assert "going on after 1 rounds" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "fast"], "--only names no section and no case: 'fast' was given"),
        (["--rounds", "0"], "--rounds is 0; accepted are integers from 1 on."),
        (["--device", "cuda"], "--device is cuda, but PyTorch finds no such device; accepted is cpu."),
    ],
)
def test_bad_input(words, message, tmp_path, capsys):
    assert main([*words, "--out", str(tmp_path / "new")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
