# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""What fine-tuning asks of the heads: the losses of retrieval, and images that several texts share."""

import itertools

import pytest
import torch

from hf_unimo.objectives.contrastive import contrastive_loss
from hf_unimo.objectives.matching import matching_loss

from . import goldens, small


NAME = "Unimo2ForImageTextRetrieval"


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_group_has_the_loss_of_the_first_implementation(attention):
    """As the golden of the same name, but every image and caption is encoded once, and the model gives the loss."""
    run = goldens.RUN
    settings = {"circle_margin": run["margin"], "circle_scale": run["scale"], "similarity_weight": run["cmcl_w"]}
    model = goldens.official_model(goldens.Unimo2ForImageTextRetrieval, attention, **settings)
    rows = torch.as_tensor(goldens.INPUTS["retrieval.caption_index"])
    captions, text_index = rows.unique(return_inverse=True)
    index = torch.as_tensor(goldens.INPUTS["retrieval.image_index"])
    images, image_index = index.unique(return_inverse=True)
    assert len(captions) < len(rows) and len(images) < len(index)
    output = model(
        **goldens.text_inputs(captions),
        pixel_values=goldens.image_inputs()["pixel_values"][images],
        image_index=image_index[None],
        text_index=text_index[None],
        return_loss=True,
    )
    expected = goldens.EXPECTED
    torch.testing.assert_close(
        output.logits[None], torch.as_tensor(expected["retrieval.scores"]).view(1, -1), atol=2e-5, rtol=0
    )
    torch.testing.assert_close(output.loss, torch.tensor(expected["retrieval.loss"]).view(()), atol=2e-5, rtol=0)


def test_groups_that_are_none_are_refused():
    model, batch = small.model(NAME), small.inputs(NAME)
    index = torch.tensor([[0, 1], [1, 2]])
    with pytest.raises(ValueError, match=r"shape \(2, 2\), but the loss needs \(groups, 1 \+ 2 n\)"):
        model(**batch, image_index=index, text_index=index, return_loss=True)
    with pytest.raises(ValueError, match="3 images and 2 texts, without `image_index`"):
        model(**small.texts((4, 5)), **small.images(), return_loss=True)


@torch.no_grad()
def test_the_loss_of_pairs_is_contrast_and_matching_with_drawn_partners():
    model, batch = small.model(NAME, similarity_weight=0.7), small.inputs(NAME)
    output = model(**batch, return_loss=True, matching_hardness=1.0, seed=3, step=5)
    everything = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    pairs = model(**batch, image_index=everything[:, 0], text_index=everything[:, 1]).itm_logits.view(3, 3, 2)
    contrast = contrastive_loss(output.logits_per_image, output.logits_per_text)
    # Rows take a wrong text, a wrong image, a wrong text: one of eight possible draws is what was judged.
    found = []
    for first, second, third in itertools.product((1, 2), (0, 2), (0, 1)):
        wrong = torch.stack((pairs[0, first], pairs[second, 1], pairs[2, third]))
        judged = torch.cat((output.itm_logits, wrong)), torch.tensor([1, 1, 1, 0, 0, 0])
        found.append(float(matching_loss(*judged) + contrast))
    assert min(abs(value - float(output.loss)) for value in found) < 1e-6
    again = model(**batch, return_loss=True, matching_hardness=1.0, seed=3, step=5)
    assert torch.equal(again.loss, output.loss)
    others = {float(model(**batch, return_loss=True, seed=0, step=step).loss) for step in range(12)}
    assert len(others) > 1  # other steps draw other partners


def test_no_loss_unless_it_is_asked_for():
    model, batch = small.model(NAME), small.inputs(NAME)
    assert model(**batch).loss is None
    weighted = small.model(NAME, matching_weight=0.0, contrastive_weight=2.0)
    output = weighted(**batch, return_loss=True)
    contrast = contrastive_loss(output.logits_per_image, output.logits_per_text)
    torch.testing.assert_close(output.loss, 2 * contrast)
    fused = []
    weighted.unimo2.grounded_model.register_forward_pre_hook(lambda *args, **kwargs: fused.append(1))
    trained = weighted.train()(**batch, return_loss=True)
    torch.testing.assert_close(trained.loss, output.loss)
    assert not fused and trained.logits is None and output.logits is not None


@pytest.mark.parametrize(
    "name",
    [
        "Unimo2Model",
        "Unimo2ForVisualQuestionAnswering",
        "Unimo2ForImageTextClassification",
        "Unimo2ForConditionalGeneration",
    ],
)
def test_texts_may_share_an_image(name):
    model, pixels, words = small.model(name), small.images(2)["pixel_values"], small.texts()
    index = torch.tensor([1, 0, 1])
    calls = []
    encoder = model.base_model.vision_model
    encoder.register_forward_pre_hook(lambda module, args, kwargs: calls.append(args[0].shape[0]), with_kwargs=True)
    shared = model(**words, pixel_values=pixels, image_index=index)
    apart = model(**words, pixel_values=pixels[index])
    assert calls == [2, 3]
    for key, value in small.predictions(apart).items():
        torch.testing.assert_close(shared[key], value, atol=1e-5, rtol=1e-5)
