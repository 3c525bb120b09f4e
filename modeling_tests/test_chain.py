# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The whole way: first implementation -> `convert` -> `export` -> remote code without the package -> its numbers."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from transformers import AutoModel

from hf_unimo.cli import main
from modeling_tests.models.unimo2 import goldens


SCRIPT = """
import importlib.util, sys
import numpy as np, torch
sys.meta_path.insert(0, type("Blocker", (), {"find_spec": staticmethod(
    lambda name, *_: (_ for _ in ()).throw(ImportError(name)) if name.split(".")[0] == "hf_unimo" else None
)}))
from transformers import AutoModel
repository, inputs, outputs = sys.argv[1:]
model = AutoModel.from_pretrained(repository, trust_remote_code=True).eval()
assert "hf_unimo" not in sys.modules and type(model).__module__.startswith("transformers_modules.")
with torch.no_grad():
    found = model(**{name: torch.from_numpy(array) for name, array in np.load(inputs).items()})
np.savez(outputs, **{name: value for name, value in found.items() if isinstance(value, torch.Tensor)})
"""

ARRAYS = {
    "pooled_text": "text_pooler_output",
    "pooled_image": "image_pooler_output",
    "grounded_indices": "grounded_token_ids",
    "enc_g_out": "grounded_last_hidden_state",
    "vq_loss": "grounding_loss",
}


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chain")
    source = goldens.FOLDER / "checkpoint_persistables"
    arguments = ["--config", str(goldens.FOLDER / "config.json"), "--official-padding"]
    assert main(["convert", str(source), str(folder / "converted"), *arguments]) == 0
    assert main(["export", str(folder / "converted"), "--out", str(folder / "repository")]) == 0
    return folder


def inputs():
    return {**goldens.text_inputs(), **goldens.image_inputs()}


def compare(found):
    for name, ours in ARRAYS.items():
        expected, array = goldens.EXPECTED[f"multimodal.{name}"], np.asarray(found[ours])
        if expected.dtype.kind == "i":
            np.testing.assert_array_equal(array, expected)
        else:
            np.testing.assert_allclose(array.reshape(expected.shape), expected, rtol=0, atol=2e-5)


def test_a_converted_checkpoint_loads_by_auto_model(converted):
    model = AutoModel.from_pretrained(converted / "converted").eval()
    with torch.no_grad():
        compare(model(**inputs()))


@pytest.mark.slow
def test_a_converted_checkpoint_loads_by_remote_code(converted, tmp_path):
    np.savez(tmp_path / "inputs.npz", **{name: value.numpy() for name, value in inputs().items()})
    environment = os.environ | {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(converted / "repository"), "inputs.npz", "outputs.npz"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    compare(np.load(tmp_path / "outputs.npz"))
