# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""A fine-tuning on two processes ends where one on a process with the double batch does: DDP over gloo."""

import json

import pytest
import torch
from safetensors.torch import load_file

from modeling_tests.two_processes import torchrun

from . import finetune_two_process_run


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    two, one = tmp_path_factory.mktemp("two"), tmp_path_factory.mktemp("one")
    torchrun("-m", "modeling_tests.training.finetune_two_process_run", two, 4)
    finetune_two_process_run.main(one, 8)
    found = [torch.load(place) for place in (one / "0.pt", two / "0.pt", two / "1.pt")]
    return found, (one, two)


@pytest.mark.slow
@pytest.mark.parametrize("name", finetune_two_process_run.RUNS)
def test_parameters_are_those_of_one_process(name, results):
    one, first, second = (found[name] for found in results[0])
    largest = 0.0
    for weight, parameter in one["end"].items():
        assert torch.equal(first["start"][weight], one["start"][weight]), weight
        assert torch.equal(first["end"][weight], second["end"][weight]), weight
        torch.testing.assert_close(
            first["end"][weight], parameter, rtol=0, atol=2e-6, msg=lambda text, n=weight: f"{n}: {text}"
        )
        largest = max(largest, (parameter - one["start"][weight]).abs().max().item())
    assert largest > 1e-3  # they have moved far more than that
    assert len(one["log"]) == 3 and first["log"] == pytest.approx(one["log"], rel=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", finetune_two_process_run.RUNS)
def test_the_first_process_measures_and_tells_the_other(name, results):
    one, first, second = (found[name] for found in results[0])
    assert first["evaluation"] == second["evaluation"] and first["best"] == second["best"]
    step, figures = one["evaluation"]
    assert first["evaluation"][0] == step == 3 and first["best"][0] == one["best"][0]
    assert first["evaluation"][1] == pytest.approx(figures, abs=1e-5) and figures["eval_primary"] <= one["best"][1]


@pytest.mark.slow
def test_a_whole_run_is_saved_once(results):
    (one, first, second), (alone, together) = results
    assert second["result"] is None and first["result"] == pytest.approx(one["result"])
    weights = [load_file(folder / "whole" / "model" / "model.safetensors") for folder in (alone, together)]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=0, atol=2e-6)
    assert json.loads((together / "whole" / "results.json").read_text())[0]["figures"]
    card = (together / "whole" / "model" / "README.md").read_text()
    assert "2 processes" in card
