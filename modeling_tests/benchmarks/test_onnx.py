# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""onnxruntime beside PyTorch: that it runs and what it reports, not how fast it is."""

import importlib.util
import json

import pytest

from benchmarks import onnx as measuring
from benchmarks.sizes import SMALLEST


MISSING = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}; they are hf-unimo[onnx]")
def test_both_are_measured(capsys, tmp_path, monkeypatch):
    whole = measuring.measure_onnx
    monkeypatch.setattr(measuring, "measure_onnx", lambda size, rounds: whole(size, rounds, ["fusion"]))
    assert measuring.main(["--size", "smallest", "--rounds", "2", "--out", str(tmp_path / "onnx.json")]) == 0
    found = json.loads((tmp_path / "onnx.json").read_text())
    assert json.loads(capsys.readouterr().out) == found
    rates = found["parts"].pop("fusion")
    assert not found["parts"] and all(rates[name] > 0 for name in ("pytorch", "onnxruntime", "ratio"))
    assert found["size"] == "smallest" and found["batch"] == SMALLEST.batch and "onnxruntime" in found["versions"]


def test_rates_are_medians_and_the_ratio_is_within_a_round():
    found = measuring._summary({"pytorch": [1.0, 2.0, 8.0], "onnxruntime": [2.0, 1.0, 2.0]}, items=4)
    assert found == {"pytorch": 2.0, "onnxruntime": 2.0, "ratio": 2.0}


def test_bad_input_exits_with_2(monkeypatch, capsys):
    from hf_unimo.exporting import onnx as exporting

    monkeypatch.setattr(exporting, "find_spec", lambda name: None)
    assert measuring.main(["--size", "smallest"]) == 2
    assert "onnxruntime are not installed: pip install 'hf-unimo[onnx]'." in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        measuring.main(["--rounds", "0"])
    assert stop.value.code == 2
