# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""A text about two images: each is fused with it alone, and the classifier sees both in their order."""

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError

from hf_unimo import Unimo2Config, Unimo2ForImageTextClassification

from . import small


NAME = "Unimo2ForImageTextClassification"
NLVR2 = {"num_images": 2, "num_labels": 2}


def images(height: int = 16, width: int = 16) -> torch.Tensor:
    """(3, 2, 3, height, width)."""
    return small.images(6, height, width)["pixel_values"].view(3, 2, 3, height, width)


@pytest.mark.parametrize("number", [0, 3, "2", 2.0])
def test_other_numbers_are_refused(number):
    with pytest.raises((StrictDataclassError, TypeError), match="num_images"):
        Unimo2Config(num_images=number)


def test_one_image_is_the_default():
    assert Unimo2Config().num_images == 1
    one, two = small.model(NAME), small.model(NAME, num_images=2)
    assert one.classifier.in_features == 32 and two.classifier.in_features == 64
    for name in ("Unimo2ForImageClassification", "Unimo2ForSequenceClassification"):
        assert small.model(name, num_images=2).classifier.in_features == 32


@pytest.mark.parametrize("method", ["topk", "nearest", "none"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("fusion", ["mul", "sum"])
def test_two_single_fusions_side_by_side(method, attention, fusion):
    model = small.model(NAME, attention=attention, grounding_method=method, matching_fusion=fusion, **NLVR2)
    pixels, calls = images(), []
    model.unimo2.text_model.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        logits = model(**small.texts(), pixel_values=pixels).logits
        assert len(calls) == 1  # the text is encoded once
        single = [model._fuse_poolers(model.unimo2(**small.texts(), pixel_values=pixels[:, side])) for side in (0, 1)]
        expected = model.classifier(torch.cat(single, dim=1))
    assert logits.shape == (3, 2)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)


def test_order_and_both_images_matter():
    model, pixels = small.model(NAME, initializer_range=1.0, **NLVR2), images()  # a fresh classifier sees little
    with torch.no_grad():
        both = model(**small.texts(), pixel_values=pixels).logits
        turned = model(**small.texts(), pixel_values=pixels.flip(1)).logits
        for side in (0, 1):
            changed = pixels.clone()
            changed[:, side] = changed[:, side].flip(0)
            other = model(**small.texts(), pixel_values=changed).logits
            assert (other - both).abs().amax(1)[[0, 2]].min() > 1e-3
            torch.testing.assert_close(other[1], both[1])  # the middle row kept its image
    assert (turned - both).abs().amax(1).min() > 1e-3


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_row_does_not_depend_on_its_batch(side):
    model, pixels, texts = small.model(NAME, **NLVR2), images(24, 16), small.texts(side=side)
    with torch.no_grad():
        batch = model(**texts, pixel_values=pixels).logits
        for row in range(3):
            words = texts["input_ids"][row][texts["attention_mask"][row] == 1][None]
            alone = model(input_ids=words, pixel_values=pixels[row : row + 1]).logits
            torch.testing.assert_close(alone[0], batch[row], atol=1e-5, rtol=1e-5)


def test_hidden_states_and_tuples():
    model, inputs = small.model(NAME, attention="eager", **NLVR2), {**small.texts(), "pixel_values": images()}
    with torch.no_grad():
        output = model(**inputs, output_hidden_states=True, output_attentions=True)
        as_tuple = model(**inputs, return_dict=False)
        second = model.unimo2(**small.texts(), pixel_values=inputs["pixel_values"][:, 1], output_hidden_states=True)
    assert len(output.hidden_states) == 3 and len(output.attentions) == 2
    assert output.attentions[0].shape == (3, 2, 4, 32, 32)
    torch.testing.assert_close(output.hidden_states[-1][:, 1], second.hidden_states[-1], atol=1e-5, rtol=1e-5)
    # Recording runs the last fusion layer whole, other calls its class rows only.
    torch.testing.assert_close(as_tuple[0], output.logits, atol=1e-6, rtol=0)


def test_saved_and_loaded(tmp_path):
    model, inputs = small.model(NAME, **NLVR2), {**small.texts(), "pixel_values": images()}
    model.save_pretrained(tmp_path)
    loaded = Unimo2ForImageTextClassification.from_pretrained(tmp_path)
    assert loaded.config.num_images == 2
    with torch.no_grad():
        assert torch.equal(loaded(**inputs).logits, model(**inputs).logits)


def test_the_gradient_reaches_both_images():
    model, pixels = small.model(NAME, **NLVR2), images().requires_grad_()
    loss = model(**small.texts(), pixel_values=pixels, labels=torch.tensor([0, 1, 1])).loss
    loss.backward()
    assert pixels.grad.flatten(2).abs().sum(-1).min() > 0
    assert model.unimo2.text_model.embeddings.word_embeddings.weight.grad.abs().sum() > 0
    halves = model.classifier.weight.grad.chunk(2, dim=1)
    assert min(half.abs().sum() for half in halves) > 0


def test_the_loss_is_that_of_the_logits():
    model, labels = small.model(NAME, **NLVR2), torch.tensor([0, 1, 1])
    with torch.no_grad():
        output = model(**small.texts(), pixel_values=images(), labels=labels)
    torch.testing.assert_close(output.loss, torch.nn.functional.cross_entropy(output.logits, labels))


@pytest.mark.parametrize(
    ("number", "shape", "message"),
    [
        (2, (3, 3, 16, 16), r"shape \(3, 3, 16, 16\), but 3 texts .* 2 need \(3, 2, 3, height, width\)"),
        (2, (3, 1, 3, 16, 16), r"shape \(3, 1, 3, 16, 16\), but 3 texts"),
        (2, (3, 3, 3, 16, 16), r"shape \(3, 3, 3, 16, 16\), but 3 texts"),
        (2, (2, 2, 3, 16, 16), r"shape \(2, 2, 3, 16, 16\), but 3 texts"),
        (2, (3, 2, 1, 16, 16), "1 channels, but the model takes 3"),
        (1, (3, 2, 3, 16, 16), r"shape \(3, 2, 3, 16, 16\), but 3 texts .* 1 need \(3, 3, height, width\)"),
    ],
)
def test_wrong_shapes_are_refused(number, shape, message):
    model = small.model(NAME, num_images=number)
    with pytest.raises(ValueError, match=message):
        model(**small.texts(), pixel_values=torch.zeros(shape))


def test_questions_about_two_images():
    model = small.model("Unimo2ForVisualQuestionAnswering", num_images=2)
    with torch.no_grad():
        output = model(**small.texts(), pixel_values=images(), labels=torch.rand(3, 3))
    assert output.logits.shape == (3, 3) and output.loss.isfinite()
