# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The measured models: how they are held, switched and fed."""

from functools import partial

import pytest
import torch
from torch import nn

from benchmarks.models import (
    NEIGHBOURS,
    Held,
    attention,
    captioning_model,
    compiled,
    images,
    retrieval_model,
    without_dropout,
    words,
)
from benchmarks.sizes import SMALLEST
from benchmarks.unimo2_cases import _optimizer
from hf_unimo.models.unimo2.modeling_unimo2 import Unimo2Layer


CPU = torch.device("cpu")


def dtypes(model):
    return {parameter.dtype for parameter in model.parameters()}


def test_a_model_is_built_once_and_rests_in_bfloat16():
    built = []
    held = Held(lambda: built.append(1) or nn.Linear(2, 2), CPU)
    assert not built
    with held.at(torch.float32) as model:
        assert dtypes(model) == {torch.float32} and not model.training
    assert dtypes(model) == {torch.bfloat16}
    with held.at(torch.float32) as again:
        assert again is model
    assert built == [1]


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_neighbours_take_the_same_batch(name):
    with Held(partial(NEIGHBOURS[name], SMALLEST), CPU).at(torch.bfloat16) as model, torch.no_grad():
        pixel_values = images(SMALLEST, 2, CPU, torch.bfloat16)
        output = model(input_ids=words(SMALLEST, 2, CPU), pixel_values=pixel_values)
    assert any(isinstance(value, torch.Tensor) and len(value) == 2 for value in output.values())


def test_switches_are_set_back():
    model = retrieval_model(SMALLEST)
    dropouts = [module for module in model.modules() if isinstance(module, nn.Dropout)]
    config = model.config.grounded_config
    before = [module.p for module in dropouts], config.attention_probs_dropout_prob, config._attn_implementation
    assert max(before[0]) > 0 and before[1] > 0 and before[2] == "sdpa"
    with without_dropout(model), attention(model, "eager"):
        assert not any(module.p for module in dropouts) and not config.attention_probs_dropout_prob
        assert config._attn_implementation == "eager"
    after = [module.p for module in dropouts], config.attention_probs_dropout_prob, config._attn_implementation
    assert after == before


def test_compiled_layers_are_set_back(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **settings: function)
    model = captioning_model(SMALLEST)
    layers = [module for module in model.modules() if isinstance(module, Unimo2Layer)]
    with compiled(model):
        assert all("forward" in vars(layer) for layer in layers)
    assert layers and not any("forward" in vars(layer) for layer in layers)


def test_the_optimizers_state_is_there_before_the_first_step():
    model = nn.Linear(3, 2)
    before = [parameter.clone() for parameter in model.parameters()]
    optimizer = _optimizer(model)
    assert len(optimizer.state) == 2 and all(parameter.grad is None for parameter in model.parameters())
    torch.testing.assert_close(list(model.parameters()), before)
