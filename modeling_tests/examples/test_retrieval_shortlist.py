# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The table of what a shortlist costs, by hand and on a small model."""

import sys
from pathlib import Path

import numpy as np
import pytest

from modeling_tests.evaluation import models


ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples"))

import retrieval_shortlist  # noqa: E402


DATA = [f"path={ROOT / 'examples' / 'data' / 'emoji' / 'emoji.parquet'}", "columns.text=label", "where.split=test"]
DATA += ["where.style=twemoji", "where.group=animals-nature"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folders = {}
    for name in ("unimo2", "vilt"):
        folders[name] = tmp_path_factory.mktemp(name)
        model, processor = models.PAIRS[name]()
        model.save_pretrained(folders[name])
        for part in (processor.image_processor, processor.tokenizer) if name == "vilt" else (processor,):
            part.save_pretrained(folders[name])
    return folders


def test_others_stay_behind_candidates():
    contrastive = np.array([[0.9, 0.1, 0.5], [0.3, 0.8, 0.2]])
    matching = np.array([[-3.0, -1.0, 9.0], [-2.0, 5.0, -4.0]])
    candidates = np.array([[1, 1, 0], [0, 1, 0]], bool)
    found = retrieval_shortlist.shortlisted(contrastive, matching, candidates)
    assert np.argsort(-found, axis=1).tolist() == [[1, 0, 2], [1, 0, 2]]


@pytest.mark.parametrize(
    ("recalls", "expected"),
    [
        ({1: [0.1, 0.5], 2: [0.3, 0.5], 4: [0.2, 0.6]}, (2, [])),
        ({1: [0.3, 0.5], 2: [0.1, 0.9], 4: [0.2, 0.5]}, (1, [2])),
        ({1: [0.1, 0.5], 2: [0.1, 0.9]}, (None, [])),
    ],
)
def test_the_smallest_that_loses_nothing(recalls, expected):
    assert retrieval_shortlist.losses(recalls, [0.2, 0.5]) == expected


def test_the_table(saved, tmp_path, capsys):
    words = ["--model", str(saved["unimo2"]), "--data", *DATA, "--k", "18,2", "--folder", str(tmp_path / "kept")]
    retrieval_shortlist.main(words)
    printed = capsys.readouterr().out
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in printed.splitlines()]
    assert [line[0] for line in lines[2:6]] == ["features alone", "2", "18", "all"]
    assert lines[4][1:] == lines[5][1:] and lines[5][1] == "100.0%"  # 18 pictures and texts
    assert lines[3][1] != "100.0%" and "18 pictures, 18 texts; k = " in printed
    retrieval_shortlist.main(words)
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("unimo2", ["--k", "1,none"], "--k is '1,none'; accepted are integers from 1 on, separated by commas"),
        ("vilt", [], "has no contrastive features with a matching score"),
    ],
)
def test_what_is_refused(saved, name, more, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        retrieval_shortlist.main(["--model", str(saved[name]), "--data", *DATA, *more])
    assert stopped.value.code == 2 and message in capsys.readouterr().err
