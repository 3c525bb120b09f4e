# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""One graph without breaks for every class, and export that is dynamic in batch and text length."""

import pytest
import torch

from . import small


def assert_same(expected, found):
    for name, value in small.predictions(expected).items():
        torch.testing.assert_close(
            found[name], value, atol=1e-5, rtol=1e-4, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.mark.slow
@pytest.mark.parametrize("name", small.ALL)
def test_compiles_into_one_graph(name):
    model = small.model(name)
    inputs, labels = small.inputs(name), small.labels(name) if name in small.HEADS else {}
    with torch.no_grad():
        expected = model(**inputs, **labels)
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
        assert_same(expected, compiled(**inputs, **labels))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Unimo2Model", "Unimo2ForImageTextRetrieval"])
def test_compiles_with_inductor(name):
    model = small.model(name)
    inputs = small.inputs(name)
    with torch.no_grad():
        expected = model(**inputs)
        assert_same(expected, torch.compile(model, fullgraph=True)(**inputs))


@pytest.mark.slow
def test_training_compiles():
    model = small.model("Unimo2ForPreTraining").train()
    inputs = {**small.inputs("Unimo2ForPreTraining"), **small.labels("Unimo2ForPreTraining")}
    model(**inputs).loss.backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    torch.compile(model, fullgraph=True, backend="aot_eager")(**inputs).loss.backward()
    for name, gradient in expected.items():
        torch.testing.assert_close(model.get_parameter(name).grad, gradient, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Unimo2Model", "Unimo2ForImageTextRetrieval", "Unimo2ForMaskedLM"])
def test_exports_with_any_batch_and_text_length(name):
    model = small.model(name)
    batch = torch.export.Dim("batch", min=2, max=64)
    length = torch.export.Dim("length", min=3, max=32)
    shapes = {
        "input_ids": {0: batch, 1: length},
        "attention_mask": {0: batch, 1: length},
        "pixel_values": {0: batch},
    }
    inputs = small.inputs(name)
    with torch.no_grad():
        program = torch.export.export(
            model, (), inputs, dynamic_shapes={key: shapes[key] for key in inputs}, strict=False
        )
        for lengths in ((9, 5, 7), (4, 3), (12, 6, 9, 10, 3)):
            other = small.texts(lengths, seed=9) | (small.images(len(lengths)) if "pixel_values" in inputs else {})
            assert_same(model(**other), program.module()(**other))
