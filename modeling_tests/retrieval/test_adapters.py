# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Adapters give what the models' own forward passes give, whatever the batches."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from hf_unimo import Unimo2Processor
from hf_unimo.errors import BadInputError
from hf_unimo.retrieval import adapters
from modeling_tests.evaluation import models


TEXTS = ["a cat", "two dogs on a lawn", "x", "nothing"]
IMAGES = [models.picture(seed) for seed in range(4)]


def forward(name, model, adapter):
    """Contrastive scores of all combinations and matching scores of the pairs, by the model itself."""
    with torch.inference_mode():
        inputs = adapter.images(IMAGES) | adapter.texts(TEXTS)
        if name == "vilt":
            return None, model(**inputs).logits[:, 0].numpy()
        if name == "blip":
            similarity = model(**inputs, use_itm_head=False).itm_score.numpy()
            return similarity, model(**inputs).itm_score[:, 1].numpy() + similarity.diagonal()
        if name == "bridgetower-matching":
            return None, model(**inputs).logits[:, 1].numpy()
        if name == "flava-matching":
            output = model(**inputs, input_ids_masked=inputs["input_ids"], return_loss=False)
            scale = model.flava.logit_scale.exp()
            return (output.contrastive_logits_per_image / scale).numpy(), output.itm_logits[:, 1].numpy()
        output = model(**inputs)
        if name == "flava":  # it projects nothing in its forward pass
            image = F.normalize(model.image_projection(output.image_embeddings[:, 0]), dim=-1)
            text = F.normalize(model.text_projection(output.text_embeddings[:, 0]), dim=-1)
            return (image @ text.T).numpy(), None
        if name == "unimo2":
            return None, output.logits.numpy()
        return (output.image_embeds @ output.text_embeds.T).numpy(), None


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("name", models.PAIRS)
def test_scores_are_those_of_the_model(name, batch_size):
    model, processor = models.PAIRS[name]()
    adapter = adapters.pair_adapter(model, processor, batch_size)
    contrastive, matching = forward(name, model, adapter)
    if contrastive is not None:
        found = adapter.image_features(IMAGES) @ adapter.text_features(TEXTS).T
        np.testing.assert_allclose(found, contrastive, atol=1e-5)
    if matching is not None:
        order = np.array([2, 0, 3, 1])
        found = adapter.match(IMAGES, order, [TEXTS[row] for row in order])
        np.testing.assert_allclose(found, matching[order], atol=1e-5)


def test_unimo2_features_are_those_of_its_logits():
    model, processor = models.unimo2()
    adapter = adapters.pair_adapter(model, processor, 2)
    with torch.inference_mode():
        logits = model(**adapter.images(IMAGES), **adapter.texts(TEXTS)).logits_per_image
        image, text = (torch.tensor(part) for part in (adapter.image_features(IMAGES), adapter.text_features(TEXTS)))
        torch.testing.assert_close(model.unimo2.contrastive.logits(image, text), logits, atol=1e-5, rtol=1e-5)


def test_stages():
    found = {name: adapters.pair_adapter(*build()).stages for name, build in models.PAIRS.items()}
    assert found == {
        "unimo2": ["contrastive", "rerank", "matching"],
        "clip": ["contrastive"],
        "siglip": ["contrastive"],
        "vilt": ["matching"],
        "blip": ["contrastive", "rerank", "matching"],
        "bridgetower": ["contrastive"],
        "bridgetower-matching": ["matching"],
        "flava": ["contrastive"],
        "flava-matching": ["contrastive", "rerank", "matching"],
    }
    assert adapters.pair_adapter(*models.vilt("ViltForQuestionAnswering")) is None


def test_long_texts_are_cut_and_counted():
    model, processor = models.unimo2()
    texts = adapters.pair_adapter(model, processor).texts
    assert texts.max_length == 64
    assert texts.count_too_long(["a" * 62, "a" * 63, "b"]) == 1
    assert texts.count_too_long(["a" * 31, "a" * 31], ["b" * 30, "b" * 31]) == 1
    assert texts(["a" * 100])["input_ids"].shape == (1, 64)


def test_a_saved_model_comes_back(tmp_path):
    model, processor = models.unimo2()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded, loaded_processor = adapters.load_model(tmp_path)
    assert type(loaded) is type(model) and not loaded.training and isinstance(loaded_processor, Unimo2Processor)
    size, steps = adapters.preprocessing(loaded, loaded_processor)[0].describe()
    assert size == {"height": 16, "width": 16} and steps["image_mean"] == [0.5, 0.5, 0.5]


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(BadInputError, match="cannot be loaded as a model with a processor"):
        adapters.load_model(tmp_path)
    model, processor = models.unimo2("Unimo2Model")
    processor.save_pretrained(tmp_path)
    model.save_pretrained(tmp_path)
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace('"Unimo2Model"', '"Unimo2ForImageTextRetrieval"'))
    with pytest.raises(BadInputError, match="lacks 2 weights of Unimo2ForImageTextRetrieval"):
        adapters.load_model(tmp_path)
    (tmp_path / "config.json").write_text(config.replace('"Unimo2Model"', '"Other"'))
    with pytest.raises(BadInputError, match="names Other as its class"):
        adapters.load_model(tmp_path)
