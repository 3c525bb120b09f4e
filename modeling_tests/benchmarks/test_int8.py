# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The comparison of int8 with float: that it runs, and that its bytes are those of the tensors."""

import json

import pyarrow
import pyarrow.parquet
import pytest
from safetensors import safe_open

from benchmarks.int8 import FIGURES, int8_bytes, int8_config, main, measure_int8, to_markdown, weight_bytes
from benchmarks.sizes import SMALLEST
from hf_unimo import Unimo2ForPreTraining
from hf_unimo.errors import BadInputError
from modeling_tests.evaluation import models


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model with its processor, and pairs."""
    root = tmp_path_factory.mktemp("int8")
    model, processor = models.unimo2("Unimo2ForPreTraining")
    model.save_pretrained(root / "model")
    processor.save_pretrained(root / "model")
    pictures = [{"bytes": models.png(models.picture(number)), "path": None} for number in range(8)]
    texts = [f"picture {number}" for number in range(8)]
    pyarrow.parquet.write_table(pyarrow.table({"image": pictures, "text": texts}), root / "pairs.parquet")
    return root


def words(folder) -> list[str]:
    return [f"path={folder / 'pairs.parquet'}", "columns.image=image", "columns.text=text"]


def test_the_bytes_are_those_of_the_file(folder, tmp_path):
    pytest.importorskip("torchao", reason="int8 needs torchao")
    whole = Unimo2ForPreTraining.from_pretrained(folder / "model")
    converted = Unimo2ForPreTraining.from_pretrained(folder / "model", quantization_config=int8_config())
    converted.save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        stored = sum(file.get_tensor(name).nbytes for name in file.keys())  # noqa: SIM118
    buffers = sum(buffer.nbytes for buffer in converted.buffers())
    assert weight_bytes(converted) == int8_bytes(whole) == stored + buffers < weight_bytes(whole)


def test_it_measures(folder, capsys):
    pytest.importorskip("torchao", reason="int8 needs torchao")
    result = measure_int8(str(folder / "model"), {"squares": words(folder)}, SMALLEST, rounds=1)
    assert json.loads(json.dumps(result))["retrieval"]["squares"]["pairs"] == 8
    assert result["base bytes"][0] == 4 * 297_662_978 > 2.5 * result["base bytes"][1]
    assert set(FIGURES) < set(result["retrieval"]["squares"]) and min(result["seconds"]) > 0
    assert 0 < result["largest difference of scores"] < 0.1 and 0.5 < result["same grounded tokens"] <= 1
    table = to_markdown(result)
    assert "| squares | 8 |" in table and "base size, MB of weights | 1190.7" in table


def test_what_is_missing_is_said(monkeypatch, capsys):
    pytest.importorskip("torchao", reason="int8 needs torchao")
    assert main(["--model", "no-such-model"]) == 2
    assert "no-such-model cannot be loaded" in capsys.readouterr().err

    def missing():
        raise ImportError("torchao")

    monkeypatch.setattr("benchmarks.int8.int8_config", missing)
    with pytest.raises(BadInputError, match="torchao is missing, which int8 needs"):
        measure_int8()
