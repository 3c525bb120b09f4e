# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
One graph without breaks for every class; one that serves every batch size and text length; and export that is dynamic
in both and in the size of images.
"""

import pytest
import torch
from torch._dynamo.testing import CompileCounter, CompileCounterWithBackend

from . import small


ONE = small.ENCODER | {"num_hidden_layers": 1}
THIN = {
    "vision_config": ONE | {"image_size": 16, "patch_size": 4},
    "text_config": ONE | {"vocab_size": 40, "max_position_embeddings": 34},
}
BATCHES = [(9, 5, 7, 6), (4, 3), (12, 6, 9, 10, 3), (8, 8, 8, 8, 8, 8)]
"""Lengths of texts. The first batch has no size by chance that another axis has, such as the 3 of the channels."""


def batch(name: str, lengths, height: int = 16, width: int = 16) -> dict[str, torch.Tensor]:
    """A batch of as many texts and images, as far as the class `name` takes them."""
    words = {} if name in small.IMAGE_HEADS else small.texts(lengths, seed=len(lengths))
    return words if name in small.TEXT_HEADS else words | small.images(len(lengths), height, width)


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


@pytest.mark.parametrize("name", ["Unimo2Model", "Unimo2ForImageTextRetrieval", "Unimo2ForMaskedLM"])
def test_compiles_once_for_all_batch_sizes_and_text_lengths(name):
    model, counter = small.model(name, **THIN), CompileCounter()
    compiled = torch.compile(model, fullgraph=True, backend=counter, dynamic=True)
    with torch.no_grad():
        for lengths in BATCHES:
            inputs = batch(name, lengths)
            assert_same(model(**inputs), compiled(**inputs))
    assert counter.frame_count == 1


def test_compiles_once_when_the_free_axes_are_named():
    """Without `dynamic=True`, which frees the images' axes too."""
    model, counter = small.model("Unimo2ForImageTextRetrieval", **THIN), CompileCounter()
    compiled = torch.compile(model, fullgraph=True, backend=counter)
    with torch.no_grad():
        for lengths in [small.LENGTHS, *BATCHES]:
            inputs = batch("Unimo2ForImageTextRetrieval", lengths)
            for value in inputs.values():
                torch._dynamo.mark_dynamic(value, 0)
            for key in ("input_ids", "attention_mask"):
                torch._dynamo.mark_dynamic(inputs[key], 1)
            compiled(**inputs)
        assert counter.frame_count == 1
        # torch compiles 1 for itself: here one image and one text.
        inputs = batch("Unimo2ForImageTextRetrieval", (7,))
        assert_same(model(**inputs), compiled(**inputs))
    assert counter.frame_count == 2


def test_compiles_once_more_for_all_other_image_sizes():
    """The stored position table is taken as it is, and interpolated for every other size by one graph."""
    model, counter = small.model("Unimo2ForImageClassification", **THIN), CompileCounter()
    compiled = torch.compile(model, fullgraph=True, backend=counter, dynamic=True)
    with torch.no_grad():
        for graphs, side in ((1, 16), (2, 24), (2, 20), (2, 32), (2, 16)):
            inputs = batch("Unimo2ForImageClassification", (1, 1), side, side)
            assert_same(model(**inputs), compiled(**inputs))
            assert counter.frame_count == graphs


@pytest.mark.slow
def test_compiles_with_inductor():
    model = small.model("Unimo2Model")
    inputs = small.inputs("Unimo2Model")
    with torch.no_grad():
        expected = model(**inputs)
        assert_same(expected, torch.compile(model, fullgraph=True)(**inputs))


@pytest.mark.slow
def test_compiles_with_inductor_for_all_batch_sizes_and_text_lengths():
    name, counter = "Unimo2ForImageTextRetrieval", CompileCounterWithBackend("inductor")
    model = small.model(name, **THIN)
    compiled = torch.compile(model, fullgraph=True, backend=counter, dynamic=True)
    with torch.no_grad():
        inputs = batch(name, BATCHES[0])
        assert_same(model(**inputs), compiled(**inputs))
        first = counter.frame_count
        for lengths in BATCHES[1:]:
            inputs = batch(name, lengths)
            assert_same(model(**inputs), compiled(**inputs))
    assert counter.frame_count == first


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
def test_exports_with_any_batch_text_length_and_image_size(name):
    """Traced from images of the stored size, whose position table is interpolated all the same."""
    model = small.model(name)
    rows = torch.export.Dim("rows", min=2, max=64)
    length = torch.export.Dim("length", min=3, max=32)
    shapes = {
        "input_ids": {0: rows, 1: length},
        "attention_mask": {0: rows, 1: length},
        "pixel_values": {0: rows, 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO},
    }
    inputs = small.inputs(name)
    with torch.no_grad():
        program = torch.export.export(
            model, (), inputs, dynamic_shapes={key: shapes[key] for key in inputs}, strict=False
        )
        for lengths, *size in (((9, 5, 7), 16, 16), ((4, 3), 24, 16), ((12, 6, 9, 10, 3), 8, 12)):
            other = small.texts(lengths, seed=9) | (
                small.images(len(lengths), *size) if "pixel_values" in inputs else {}
            )
            assert_same(model(**other), program.module()(**other))
