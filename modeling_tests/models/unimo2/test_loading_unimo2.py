# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Saving and loading: Auto classes, heads from heads, parts from wholes, shards."""

import json
import subprocess
import sys

import pytest
import torch
import transformers
from transformers import AutoConfig, AutoModel

import hf_unimo
from hf_unimo import FAMILIES, Unimo2GroundedModel, Unimo2TextModel, Unimo2VisionModel

from . import small


AUTO = FAMILIES["unimo2"].auto_models


def load(loader, folder):
    model, info = loader.from_pretrained(folder, output_loading_info=True)
    return model.eval(), info


@pytest.mark.parametrize("auto_class", AUTO)
def test_auto_classes(auto_class, tmp_path):
    model_class = AUTO[auto_class]
    saved = small.model(model_class.__name__)
    saved.save_pretrained(tmp_path)
    loaded, info = load(getattr(transformers, auto_class), tmp_path)
    assert type(loaded) is model_class
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    with torch.no_grad():
        inputs = small.inputs(model_class.__name__)
        expected, found = small.predictions(saved(**inputs)), small.predictions(loaded(**inputs))
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_every_public_model_is_served_or_named():
    family = FAMILIES["unimo2"]
    served = {*family.auto_models.values(), *family.sub_models.values(), *family.other_models}
    models = {getattr(hf_unimo, name) for name in hf_unimo.__all__ if name.startswith("Unimo2")}
    assert {model for model in models if issubclass(model, transformers.PreTrainedModel)} == served


@pytest.mark.parametrize("name", small.HEADS)
def test_every_head_loads_from_the_pretraining_repository(name, tmp_path):
    small.model("Unimo2ForPreTraining").save_pretrained(tmp_path)
    _, info = load(getattr(hf_unimo, name), tmp_path)
    new = {"classifier.weight", "classifier.bias"} if name.endswith(("Classification", "Answering")) else set()
    assert set(info["missing_keys"]) == new


@pytest.mark.parametrize("source", ["Unimo2Model", *small.HEADS])
@pytest.mark.parametrize("part", [Unimo2VisionModel, Unimo2TextModel, Unimo2GroundedModel])
def test_parts_load_from_every_repository(source, part, tmp_path):
    whole = small.model(source)
    whole.save_pretrained(tmp_path / "whole")
    loaded, info = load(part, tmp_path / "whole")
    assert not info["missing_keys"] and not info["unexpected_keys"]
    original = getattr(getattr(whole, "unimo2", whole), part.base_model_prefix)
    expected = original.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.state_dict().items())
    # ... and from their own repository, also through AutoModel
    loaded.save_pretrained(tmp_path / "part")
    for loader in (part, AutoModel):
        again, info = load(loader, tmp_path / "part")
        assert type(again) is part and not info["missing_keys"] and not info["unexpected_keys"]
        assert all(torch.equal(tensor, expected[name]) for name, tensor in again.state_dict().items())


def test_the_base_model_loads_from_a_head_and_a_head_from_the_base(tmp_path):
    small.model("Unimo2ForMaskedLM").save_pretrained(tmp_path / "head")
    base, info = load(AutoModel, tmp_path / "head")
    assert not info["missing_keys"]
    base.save_pretrained(tmp_path / "base")
    _, info = load(hf_unimo.Unimo2ForImageTextRetrieval, tmp_path / "base")
    assert set(info["missing_keys"]) == {"itm_head.weight", "itm_head.bias"}


def test_shards(tmp_path):
    saved = small.model("Unimo2ForPreTraining")
    saved.save_pretrained(tmp_path, max_shard_size="100KB")
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 1
    loaded, info = load(hf_unimo.Unimo2ForPreTraining, tmp_path)
    assert not info["missing_keys"]
    assert all(torch.equal(tensor, saved.state_dict()[name]) for name, tensor in loaded.state_dict().items())


def test_tied_weights_are_tied_after_loading(tmp_path):
    small.model("Unimo2ForPreTraining").save_pretrained(tmp_path / "tied")
    loaded, _ = load(hf_unimo.Unimo2ForPreTraining, tmp_path / "tied")
    assert loaded.lm_head.decoder.weight is loaded.unimo2.text_model.embeddings.word_embeddings.weight
    assert loaded.masked_grounding_head.decoder.weight is loaded.unimo2.dictionary.embeddings.weight
    saved = small.model("Unimo2ForPreTraining", tie_word_embeddings=False, tie_dictionary=True)
    assert saved.lm_head.decoder.weight is not saved.unimo2.text_model.embeddings.word_embeddings.weight
    saved.save_pretrained(tmp_path / "untied")
    loaded, info = load(hf_unimo.Unimo2ForPreTraining, tmp_path / "untied")
    assert not info["missing_keys"] and torch.equal(loaded.lm_head.decoder.weight, saved.lm_head.decoder.weight)
    assert loaded.masked_grounding_head.decoder.weight is loaded.unimo2.dictionary.embeddings.weight


def test_configuration_survives_saving(tmp_path):
    config = small.config(grounding_method="nearest", fusion_attention="full", dictionary_initializer_range=0.25)
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert type(loaded) is type(config)
    ignored = {"transformers_version", "_name_or_path"}
    first, second = ({k: v for k, v in c.to_dict().items() if k not in ignored} for c in (config, loaded))
    assert first == second


def test_import_is_light():
    """No optional dependency, no pipelines (they double the time) and no data library at import."""
    unwanted = ["transformers.pipelines", "torchvision", "peft", "datasets", "evaluate", "matplotlib", "onnx"]
    script = f"import sys, hf_unimo; print([name for name in {unwanted} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
