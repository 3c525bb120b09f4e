# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Host memory stays flat over the batches of a stream, in short; and what is measured shows a leak."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import memory
from hf_unimo.data.collator import PretrainingCollator


BATCHES = 150
BOUND = memory.LIMIT * BATCHES / 2000
"""
The limit's share of so many batches, 3.75 MB: what leaks 50 MB in 2,000 batches comes to it. Six runs grew by 0.4 to
1.6 MB.
"""

SMALL = {"warm_up": 30, "batch_size": 4, "rows": 40, "side": 48, "shuffle_buffer": 20}
"""A block of 20 rows is read anew every 5 batches, an epoch ends every 10: 15 epochs are counted."""


def test_memory_is_flat(tmp_path):
    """In a process of its own: one that has given memory back, as this one has, takes it again without growing."""
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    command = [sys.executable, "-m", "benchmarks.memory", f"--batches={BATCHES}", f"--limit={BOUND}", *options]
    root = Path(memory.__file__).parents[1]
    ended = subprocess.run([*command, f"--json={tmp_path / 'found.json'}"], cwd=root, capture_output=True, text=True)
    found = json.loads((tmp_path / "found.json").read_text())
    assert ended.returncode == 0 and found["fine"], ended.stdout + ended.stderr
    assert found["growth"] <= BOUND
    assert f"limit {BOUND:g} MB: fine" in ended.stdout
    assert {name: found[name] for name in SMALL} == SMALL


def test_a_leak_is_found(monkeypatch, capsys):
    """A collator that keeps 1 MB a batch, in arrays that no memory given back is used for."""
    kept = []

    class Leaking(PretrainingCollator):
        def __call__(self, *arguments, **options):
            kept.append(np.ones(1_000_000 // 8))
            return super().__call__(*arguments, **options)

    monkeypatch.setattr(memory, "PretrainingCollator", Leaking)
    arguments = ["--batches=20", "--warm-up=5", "--batch-size=2", "--rows=8", "--side=32", "--shuffle-buffer=4"]
    assert memory.main([*arguments, "--limit=10"]) == 1
    assert "limit 10 MB: TOO MUCH" in capsys.readouterr().out
    found = memory.measure_memory(20, warm_up=5, batch_size=2, rows=8, side=32, shuffle_buffer=4, limit=1000)
    assert found["fine"] and found["growth"] == pytest.approx(20, abs=4)
    assert found["per_1000_batches"] == pytest.approx(1000, rel=0.2)
    kept.clear()


def test_memory_of_workers_counts(monkeypatch):
    """The memory of the processes that a process has started is added to its own."""

    class Process:
        def __init__(self, rss=1, children=()):
            self.rss, self.started = rss, children

        def memory_info(self):
            return self

        def children(self, recursive):
            assert recursive
            return self.started

    monkeypatch.setattr(memory.psutil, "Process", lambda: Process(1, [Process(20), Process(300)]))
    assert memory.resident_bytes() == 321


@pytest.mark.parametrize("arguments", [["--batches=1"], ["--warm-up=0"]])
def test_bad_numbers(arguments, capsys):
    assert memory.main(arguments) == 2
    assert "at least 2 and 1 are needed" in capsys.readouterr().err
