# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The parts, one after the other, give what the whole model gives: all classes, all kinds of dictionary."""

import pytest
import torch

from hf_unimo.exporting.parts import NOT_OF_A_PAIR, PARTS, ModelParts, Sizes
from modeling_tests.models.unimo2 import small


CASES = {
    "Unimo2Model": ("Unimo2Model", ("image", "text"), {}),
    "Unimo2Model, texts": ("Unimo2Model", ("text",), {}),
    "Unimo2Model, images": ("Unimo2Model", ("image",), {}),
    "Unimo2ForPreTraining": ("Unimo2ForPreTraining", ("image", "text"), {}),
    "Unimo2ForImageTextRetrieval": ("Unimo2ForImageTextRetrieval", ("image", "text"), {}),
    "Unimo2ForVisualQuestionAnswering": ("Unimo2ForVisualQuestionAnswering", ("image", "text"), {}),
    "Unimo2ForImageTextClassification": ("Unimo2ForImageTextClassification", ("image", "text"), {}),
    "two images": ("Unimo2ForImageTextClassification", ("image", "text"), {"num_images": 2}),
    "Unimo2ForMaskedLM": ("Unimo2ForMaskedLM", ("image", "text"), {}),
    "Unimo2ForMaskedLM, texts": ("Unimo2ForMaskedLM", ("text",), {}),
    "Unimo2ForSequenceClassification": ("Unimo2ForSequenceClassification", ("text",), {}),
    "Unimo2ForImageClassification": ("Unimo2ForImageClassification", ("image",), {}),
    "nearest entries": ("Unimo2ForImageTextRetrieval", ("image", "text"), {"grounding_method": "nearest"}),
    "no dictionary": ("Unimo2ForImageTextRetrieval", ("image", "text"), {"grounding_method": "none"}),
    "projections": ("Unimo2ForImageTextRetrieval", ("image", "text"), {"grounding_projection": True}),
    "official padding": ("Unimo2ForImageTextRetrieval", ("image", "text"), {"official_padding": True}),
}


def model_parts(case: str) -> ModelParts:
    name, modalities, settings = CASES[case]
    return ModelParts(small.model(name, **settings), modalities)


@pytest.mark.parametrize("case", CASES)
def test_one_after_the_other_they_are_the_whole(case):
    graphs = model_parts(case)
    drawn = graphs.draw(Sizes(batch=3, text_length=9, height=12, width=20))
    inputs = graphs.inputs(drawn)
    assert list(inputs) == [part for part in PARTS if part in inputs]
    assert inputs["model"] is drawn
    with torch.no_grad():
        whole, fused = graphs.module("model")(**drawn), graphs.module("fusion")(**inputs["fusion"])
        model = graphs.model(**drawn)
    assert set(fused) == set(whole) - set(NOT_OF_A_PAIR) and fused
    assert "loss" not in whole and "grounding_loss" not in whole
    for name, value in fused.items():
        torch.testing.assert_close(value, whole[name], atol=1e-6, rtol=1e-5)
    for name, value in whole.items():
        torch.testing.assert_close(value, model[name], atol=1e-6, rtol=1e-5)


def test_the_products_of_the_features_are_the_contrastive_logits():
    graphs = model_parts("Unimo2ForImageTextRetrieval")
    inputs = graphs.inputs(graphs.draw(graphs.sizes()))
    with torch.no_grad():
        image = graphs.module("image-encoder")(**inputs["image-encoder"])["image_features"]
        text = graphs.module("text-encoder")(**inputs["text-encoder"])["text_features"]
        logits = graphs.module("model")(**inputs["model"])["logits_per_image"]
    temperature = graphs.model.unimo2.contrastive.temperature.clamp(0.001, 0.5)
    torch.testing.assert_close(image @ text.t() / temperature, logits)


def test_the_model_is_left_as_it_was():
    """The fusion part puts encodings in the place of the doors."""
    graphs = model_parts("Unimo2ForImageTextRetrieval")
    inputs = graphs.inputs(graphs.draw(graphs.sizes()))
    before = graphs.model(**inputs["model"]).logits
    graphs.module("fusion")(**inputs["fusion"])
    with pytest.raises(KeyError):  # also when it stops half-way
        graphs.module("fusion")(text_hidden_states=inputs["fusion"]["text_hidden_states"])
    assert torch.equal(before, graphs.model(**inputs["model"]).logits)


@pytest.mark.parametrize("case", ["Unimo2ForImageTextRetrieval", "two images", "Unimo2ForSequenceClassification"])
def test_inputs_have_the_shapes_that_are_declared(case):
    graphs = model_parts(case)
    for sizes in (graphs.sizes(), *graphs.other_sizes()):
        for part, inputs in graphs.inputs(graphs.draw(sizes)).items():
            free = {}
            for name, value in inputs.items():
                axes = graphs.axes(part)[name]
                assert len(axes) == value.dim()
                for axis, size in zip(axes, value.shape):
                    assert free.setdefault(axis, size) == size if isinstance(axis, str) else axis == size
            if sizes == graphs.sizes() and part in ("model", "fusion"):
                # What is equal by chance in tracing could become one, what is 1 a constant.
                assert len(set(free.values())) == len(free) and min(free.values()) > 1


def test_texts_are_padded_and_images_are_not_of_the_stored_size():
    graphs = model_parts("Unimo2ForImageTextRetrieval")
    side = graphs.config.vision_config.image_size
    shapes = [(sizes.height, sizes.width) for sizes in (graphs.sizes(), *graphs.other_sizes())]
    assert (
        shapes[0] != (side, side) and (side, side) in shapes and any(height != width for height, width in shapes[1:])
    )
    mask = graphs.draw(Sizes(batch=4, text_length=6, height=8, width=8))["attention_mask"]
    assert mask.sum(1).tolist() == [6, 5, 4, 6]
