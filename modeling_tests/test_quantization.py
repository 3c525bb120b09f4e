# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Weight-only int8 by torchao: quantised on load, the same after saving, and float where it has to be."""

import copy
import re
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModel

import hf_unimo
from hf_unimo import Unimo2ImageProcessorPil, Unimo2Processor
from hf_unimo.evaluation.measuring import Options
from hf_unimo.evaluation.run import evaluate_task
from hf_unimo.retrieval.adapters import load_model
from modeling_tests.evaluation import models
from modeling_tests.models.unimo2 import small


pytest.importorskip("torchao", reason="int8 needs torchao")

TIED = {"lm_head.decoder", "masked_grounding_head.decoder"}


def int8():
    from torchao.quantization import Int8WeightOnlyConfig
    from transformers import TorchAoConfig

    return TorchAoConfig(Int8WeightOnlyConfig())


def is_int8(weight) -> bool:
    return type(weight).__name__ == "Int8Tensor"


def linear(model) -> dict[str, nn.Linear]:
    return {name: part for name, part in model.named_modules() if isinstance(part, nn.Linear)}


def answers(model, name) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return small.predictions(model.eval()(**small.inputs(name)))


@pytest.fixture(scope="module", params=small.ALL)
def loaded(request, tmp_path_factory):
    """Name, float model, its folder, the int8 model, and the folder that it was saved to."""
    folder = tmp_path_factory.mktemp("models")
    whole = small.model(request.param, contrastive_projection="shared")  # the dictionary has projections then
    whole.save_pretrained(folder / "float")
    converted = type(whole).from_pretrained(folder / "float", quantization_config=int8()).eval()
    converted.save_pretrained(folder / "int8")
    return request.param, whole, converted, folder / "int8"


def test_every_linear_layer_is_int8_but_those_tied_to_embeddings(loaded):
    _, whole, converted, _ = loaded
    float_layers = {layer for layer, part in linear(converted).items() if not is_int8(part.weight)}
    assert float_layers == TIED & linear(whole).keys()
    weights = dict(whole.named_parameters())
    for key, value in converted.named_parameters():
        if not is_int8(value):
            assert torch.equal(value, weights[key])
            continue
        # Rounded to the nearest of 255 steps of a row.
        step = weights[key].abs().amax(1, keepdim=True) / 127
        assert value.qdata.dtype == torch.int8
        assert ((value.dequantize() - weights[key]).abs() <= 0.51 * step).all()
    base = converted.base_model
    for table in (base.dictionary.embeddings, base.text_model.embeddings.word_embeddings):
        assert table.weight.dtype == torch.float32 and not is_int8(table.weight)


def test_it_computes_with_the_rounded_weights(loaded):
    name, whole, converted, _ = loaded
    rounded = copy.deepcopy(whole)
    with torch.no_grad():
        for layer, part in linear(rounded).items():
            weight = converted.get_submodule(layer).weight
            part.weight.copy_(weight.dequantize() if is_int8(weight) else weight)
    expected, found, original = answers(rounded, name), answers(converted, name), answers(whole, name)
    for key in expected:
        torch.testing.assert_close(found[key], expected[key], atol=2e-5, rtol=1e-5)

    def distance(other) -> float:
        return max((found[key] - other[key]).abs().max().item() for key in found)

    assert 0 < 10 * distance(expected) < distance(original)


def test_saved_and_loaded_again_it_is_the_same_to_the_bit(loaded):
    """By the folder alone: the configuration says how."""
    name, whole, converted, folder = loaded
    again = type(whole).from_pretrained(folder).eval()
    assert AutoConfig.from_pretrained(folder).quantization_config["quant_method"] == "torchao"
    for (key, one), (other, two) in zip(converted.named_parameters(), again.named_parameters(), strict=True):
        assert key == other and type(one) is type(two)
        pairs = [(one, two)] if not is_int8(one) else [(one.qdata, two.qdata), (one.scale, two.scale)]
        assert all(torch.equal(*pair) for pair in pairs)
    expected, found = answers(converted, name), answers(again, name)
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    for head, source in getattr(again, "all_tied_weights_keys", {}).items():
        assert again.get_parameter(head) is again.get_parameter(source)


def test_by_auto_class_and_in_bfloat16(tmp_path):
    whole = small.model("Unimo2Model")
    whole.save_pretrained(tmp_path)
    found = AutoModel.from_pretrained(tmp_path, quantization_config=int8(), dtype=torch.bfloat16)
    assert type(found) is hf_unimo.Unimo2Model and found.dtype == torch.bfloat16
    assert all(is_int8(part.weight) for part in linear(found).values())
    states = answers(found, "Unimo2Model")
    assert all(value.isfinite().all() for value in states.values())


@pytest.mark.parametrize("beams", [1, 3])
def test_captions(beams, tmp_path):
    name = "Unimo2ForConditionalGeneration"
    whole = small.model(name)
    whole.save_pretrained(tmp_path)
    converted = type(whole).from_pretrained(tmp_path, quantization_config=int8()).eval()
    settings = {"max_new_tokens": 6, "num_beams": beams, "do_sample": False, "pad_token_id": 1}
    cached = converted.generate(**small.images(2), **settings)
    assert torch.equal(cached, converted.generate(**small.images(2), **settings, use_cache=False))


def test_the_page_s_lines_run(tmp_path, monkeypatch):
    page = (Path(__file__).parents[1] / "docs" / "int8.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    small.model("Unimo2ForPreTraining").save_pretrained("runs/demo/model")
    found: dict = {}
    exec(code, found)
    assert all(is_int8(part.weight) for part in linear(found["model"]).values())


@pytest.mark.parametrize("own", [None, ["itm_head", *sorted(TIED)]], ids=("default", "own"))
def test_more_can_be_kept_float(own, tmp_path):
    whole = small.model("Unimo2ForPreTraining")
    whole.save_pretrained(tmp_path)
    config = int8()
    config.modules_to_not_convert = own
    converted = type(whole).from_pretrained(tmp_path, quantization_config=config)
    float_layers = {layer for layer, part in linear(converted).items() if not is_int8(part.weight)}
    assert float_layers == TIED | {*(own or ())}


def test_a_saved_model_is_evaluated(tmp_path):
    """The folder goes where a float model's goes."""
    model, processor = models.unimo2("Unimo2ForImageTextRetrieval")
    model.save_pretrained(tmp_path / "float")
    type(model).from_pretrained(tmp_path / "float", quantization_config=int8()).save_pretrained(tmp_path / "int8")
    Unimo2Processor(Unimo2ImageProcessorPil(size=16), processor.tokenizer).save_pretrained(tmp_path / "int8")
    found, parts = load_model(tmp_path / "int8", "cpu")
    assert any(is_int8(part.weight) for part in linear(found).values())
    for task in ("retrieval", "rerank"):
        result = evaluate_task(task, found, parts, models.gallery(), options=Options(samples=0))
        assert 0 <= result.figures["mean_recall"].value <= 1
