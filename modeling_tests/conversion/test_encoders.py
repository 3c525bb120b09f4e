# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Encoders trained apart: the model computes what ViT, RoBERTa and BERT compute; a report says what was left out."""

import copy
import os

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertModel,
    BertTokenizer,
    ElectraConfig,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaForSequenceClassification,
    RobertaModel,
    ViTConfig,
    ViTForImageClassification,
    ViTModel,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
)

from hf_unimo import Unimo2Config, Unimo2ForImageTextRetrieval, Unimo2ForPreTraining, Unimo2Model
from hf_unimo.conversion.encoders import encoder_config, load_encoders
from hf_unimo.errors import BadInputError


SIZES = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48, "initializer_range": 0.3}
VISION = {**SIZES, "num_hidden_layers": 3, "image_size": 12, "patch_size": 2}
TEXT = {
    **SIZES,
    "num_hidden_layers": 4,
    "vocab_size": 60,
    "max_position_embeddings": 20,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-5,
}


@pytest.fixture(scope="module")
def vit():
    return random(ViTModel, ViTConfig(**VISION))


@pytest.fixture(scope="module")
def roberta():
    return random(RobertaForMaskedLM, RobertaConfig(**TEXT))


@pytest.fixture(scope="module")
def bert():
    return random(BertForMaskedLM, BertConfig(**TEXT))


@pytest.fixture(scope="module")
def saved(vit, roberta, tmp_path_factory):
    """Folder with the directories `vit` and `roberta`."""
    folder = tmp_path_factory.mktemp("encoders")
    vit.save_pretrained(folder / "vit")
    roberta.save_pretrained(folder / "roberta")
    return folder


def random(cls, config, seed=0):
    """A model none of whose weights has a value by which a mix-up could go unseen: no zero biases, no norms of one."""
    torch.manual_seed(seed)
    model = cls(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def unimo(cls=Unimo2ForPreTraining, vision=None, text=None, seed=1, **overrides):
    """One of ours with the values of the checkpoints, `overrides` on top."""
    values = encoder_config(vision, text)
    for name in ("vision_config", "text_config", "grounded_config"):
        values[name] = values.get(name, {}) | overrides.pop(name, {})
    return random(cls, Unimo2Config.tiny(**values | overrides), seed)


def snapshot(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(first, second):
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)


def close(found, expected):
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def texts():
    """Words and mask of a batch with padding, whose rows hold no padding id but at the end."""
    torch.manual_seed(2)
    input_ids = torch.randint(3, 60, (3, 15))
    mask = (torch.arange(15) < torch.tensor([15, 9, 4])[:, None]).long()
    return input_ids.masked_fill(mask == 0, 1), mask


def refused(match, model, *arguments, **keywords):
    """Asserts a refusal in one sentence that leaves the model as it was."""
    before = snapshot(model)
    with pytest.raises(BadInputError, match=match) as error:
        load_encoders(model, *arguments, **keywords)
    assert "\n" not in str(error.value) and str(error.value).endswith(".")
    assert equal(snapshot(model), before)


# Vision


@torch.no_grad()
def test_vision_states_are_those_of_vit(vit):
    """Patches of two pixels are not padded, so every state is equal; images of another size as well."""
    model = unimo(vision=vit)
    load_encoders(model, vision=vit)
    for size in (12, 20):
        pixel_values = torch.randn(2, 3, size, size)
        expected = vit(pixel_values, interpolate_pos_encoding=True).last_hidden_state
        close(model.unimo2.vision_model(pixel_values).last_hidden_state, expected)


@torch.no_grad()
@pytest.mark.parametrize("patch_size", [3, 16])
def test_padded_patches_are_those_of_the_moved_image(patch_size):
    """Kernel 16 with padding 7: as many patches, each of pixels seven above and left of a ViT's."""
    vit = random(ViTModel, ViTConfig(**VISION | {"image_size": 3 * patch_size, "patch_size": patch_size}))
    model = unimo(vision=vit)
    report = load_encoders(model, vision=vit)
    pixel_values, padding = torch.randn(2, 3, 3 * patch_size, 3 * patch_size), (patch_size - 1) // 2
    moved = F.pad(pixel_values, (padding, 0, padding, 0))[..., : 3 * patch_size, : 3 * patch_size]
    states = model.unimo2.vision_model(pixel_values).last_hidden_state
    assert states.shape[1] == 10
    close(states, vit(moved).last_hidden_state)
    assert any(f"{padding} pixels above and left" in remark for remark in report.remarks)


@torch.no_grad()
@pytest.mark.parametrize("image_size", [8, 20])
def test_position_table_is_interpolated(vit, image_size):
    model = unimo(vision=vit, vision_config={"image_size": image_size})
    report = load_encoders(model, vision=vit)
    pixel_values = torch.randn(2, 3, image_size, image_size)
    expected = vit(pixel_values, interpolate_pos_encoding=True).last_hidden_state
    close(model.unimo2.vision_model(pixel_values, interpolate_pos_encoding=False).last_hidden_state, expected)
    assert any(f"interpolated for {image_size}" in remark for remark in report.remarks)


@torch.no_grad()
def test_image_size_that_patches_do_not_divide():
    """A ViT ignores the rest of the image; its table has as many patches as fit."""
    vit = random(ViTModel, ViTConfig(**VISION | {"image_size": 13}))
    model = unimo(vision=vit)
    assert model.config.vision_config.image_size == 12
    load_encoders(model, vision=vit)
    pixel_values = torch.randn(1, 3, 13, 13)
    close(
        model.unimo2.vision_model(pixel_values[..., :12, :12]).last_hidden_state, vit(pixel_values).last_hidden_state
    )


@torch.no_grad()
def test_vit_without_qkv_biases():
    vit = random(ViTModel, ViTConfig(**VISION | {"qkv_bias": False}))
    model = unimo(vision=vit)
    report = load_encoders(model, vision=vit)
    pixel_values = torch.randn(2, 3, 12, 12)
    close(model.unimo2.vision_model(pixel_values).last_hidden_state, vit(pixel_values).last_hidden_state)
    assert not any("vision_model" in name for name in report.missing)
    assert not any(name.endswith("q_proj.bias") for name in report.used)


def test_vision_alone_leaves_the_rest(vit):
    model = unimo(vision=vit)
    before = snapshot(model)
    report = load_encoders(model, vision=vit)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for names in report.used.values() for name in names}
    assert changed == {name for name in before if name.startswith("unimo2.vision_model.")}
    assert changed | set(report.missing) == {name for name, _ in model.named_parameters()}
    assert set(report.unused) == {"vit.pooler.dense.weight", "vit.pooler.dense.bias"}


# Text


@torch.no_grad()
@pytest.mark.parametrize(
    "config, cls", [(RobertaConfig, RobertaForMaskedLM), (XLMRobertaConfig, XLMRobertaForMaskedLM)]
)
def test_text_states_are_those_of_roberta(config, cls):
    source = random(cls, config(**TEXT))
    model = unimo(text=source)
    load_encoders(model, text=source)
    input_ids, mask = texts()
    expected = source.base_model(input_ids, attention_mask=mask).last_hidden_state
    states = model.unimo2.text_model(input_ids, attention_mask=mask).last_hidden_state
    close(states[mask.bool()], expected[mask.bool()])


@torch.no_grad()
@pytest.mark.parametrize("cls", [BertModel, BertForMaskedLM, BertForPreTraining])
@pytest.mark.parametrize("offset", [1, 2, 5])
def test_text_states_are_those_of_bert(cls, offset):
    """Whatever stands before the first word of our table, and up to the last position."""
    source = random(cls, BertConfig(**TEXT))
    positions = {"position_offset": offset, "max_position_embeddings": 20 + offset}
    model = unimo(text=source, text_config=positions)
    load_encoders(model, text=source)
    input_ids, mask = texts()
    whole = torch.randint(3, 60, (2, 20))
    for ids, words in ((input_ids, mask), (whole, torch.ones_like(whole))):
        expected = source.base_model(ids, attention_mask=words).last_hidden_state
        states = model.unimo2.text_model(ids, attention_mask=words).last_hidden_state
        close(states[words.bool()], expected[words.bool()])
    types = source.base_model.embeddings.token_type_embeddings.weight
    table = model.unimo2.text_model.embeddings.position_embeddings.weight
    assert torch.equal(table[:offset], types[:1].expand(offset, -1))


@torch.no_grad()
def test_bert_with_padding_on_the_left(bert):
    """Ours counts positions from the first word; BERT does when it is told to."""
    model = unimo(text=bert)
    load_encoders(model, text=bert)
    input_ids, mask = (side.flip(1) for side in texts())
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    expected = bert.bert(input_ids, attention_mask=mask, position_ids=positions).last_hidden_state
    close(model.unimo2.text_model(input_ids, mask).last_hidden_state[mask.bool()], expected[mask.bool()])


@torch.no_grad()
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", ["roberta", "bert"])
def test_language_head_and_fusion_layers(kind, tied, request):
    """
    Fusion layers behind RoBERTa's embeddings are RoBERTa, so the head behind them gives its logits; likewise BERT's.
    In float64, as what float32 rounds off of logits is about as large as the tolerance.
    """
    source = copy.deepcopy(request.getfixturevalue(kind)).double()
    model = unimo(text=source, tie_word_embeddings=tied).double()
    report = load_encoders(model, text=source)
    input_ids, mask = texts()
    text = model.unimo2.text_model
    expected = source(input_ids, attention_mask=mask).logits[mask.bool()]
    states = text(input_ids, attention_mask=mask).last_hidden_state
    close(model.lm_head(states)[mask.bool()], expected)

    embedded = text.embeddings(text.embeddings.word_embeddings(input_ids[:1]), torch.arange(2, 17)[None])
    fused = model.unimo2.grounded_model(embedded).last_hidden_state
    close(model.lm_head(fused)[0], expected[:15])
    assert equal(text.layers.state_dict(), model.unimo2.grounded_model.layers.state_dict())
    assert (model.lm_head.decoder.weight is text.embeddings.word_embeddings.weight) == tied
    assert not any("lm_head" in name for name in report.missing)
    assert set(report.unused) == set()


@torch.no_grad()
@pytest.mark.parametrize(
    "config, cls, head",
    [(RobertaConfig, RobertaForMaskedLM, "lm_head"), (BertConfig, BertForMaskedLM, "cls.predictions")],
)
def test_untied_language_head_of_the_checkpoint(config, cls, head):
    source = random(cls, config(**TEXT, tie_word_embeddings=False)).double()
    input_ids, mask = texts()
    expected = source(input_ids, attention_mask=mask).logits[mask.bool()]
    model = unimo(text=source, tie_word_embeddings=False).double()
    load_encoders(model, text=source)
    states = model.unimo2.text_model(input_ids, attention_mask=mask).last_hidden_state
    close(model.lm_head(states)[mask.bool()], expected)

    tied = unimo(text=source).double()
    report = load_encoders(tied, text=source)
    assert "shares its word embeddings" in report.unused[f"{head}.decoder.weight"]
    assert torch.equal(tied.lm_head.decoder.weight, source.get_input_embeddings().weight)


def test_models_without_language_head(vit, roberta):
    """A base model and a head get the same encoders."""
    states = []
    for cls, prefix in ((Unimo2Model, ""), (Unimo2ForImageTextRetrieval, "unimo2.")):
        model = unimo(cls, vit, roberta)
        report = load_encoders(model, vit, roberta)
        assert {name for name, reason in report.unused.items() if reason == "the model has no language head"} == {
            f"lm_head.{name}"
            for name in ("dense.weight", "dense.bias", "layer_norm.weight", "layer_norm.bias", "bias")
        }
        assert report.used["vit.layernorm.bias"] == [f"{prefix}vision_model.layernorm.bias"]
        encoders = model.base_model
        states.append(snapshot(encoders.vision_model) | snapshot(encoders.text_model))
        states.append(snapshot(encoders.grounded_model))
    assert equal(states[0], states[2]) and equal(states[1], states[3])


@pytest.mark.parametrize("cls, name", [(RobertaModel, "roberta"), (BertModel, "bert")])
@pytest.mark.parametrize("from_disk", [False, True])
def test_checkpoint_without_language_head(cls, name, from_disk, request, tmp_path):
    """From a directory transformers makes one up, which must not reach ours."""
    source = random(cls, request.getfixturevalue(name).config)
    model = unimo(text=source)
    if from_disk:
        source.save_pretrained(tmp_path)
        source = tmp_path
    report = load_encoders(model, text=source)
    assert {name for name in report.missing if "lm_head" in name} == {
        f"lm_head.{name}"
        for name in ("dense.weight", "dense.bias", "layernorm.weight", "layernorm.bias", "decoder.bias")
    }
    where = "text: pooler" if from_disk else f"{name}.pooler"
    assert set(report.unused) == {f"{where}.dense.weight", f"{where}.dense.bias"}


# Fewer layers, fewer positions


@torch.no_grad()
def test_fewer_layers_take_the_first(vit, roberta):
    model = unimo(
        vision=vit,
        text=roberta,
        vision_config={"num_hidden_layers": 2},
        text_config={"num_hidden_layers": 3, "max_position_embeddings": 12},
        grounded_config={"num_hidden_layers": 1},
    )
    report = load_encoders(model, vit, roberta)
    shorter, vision = copy.deepcopy(roberta), copy.deepcopy(vit)
    shorter.roberta.encoder.layer = shorter.roberta.encoder.layer[:3]
    vision.layers = vision.layers[:2]
    input_ids, pixel_values = texts()[0][:1, :10], torch.randn(1, 3, 12, 12)
    close(model.unimo2.text_model(input_ids).last_hidden_state, shorter.roberta(input_ids).last_hidden_state)
    close(model.unimo2.vision_model(pixel_values).last_hidden_state, vision(pixel_values).last_hidden_state)
    text_layers = model.unimo2.text_model.layers
    assert equal(model.unimo2.grounded_model.layers[0].state_dict(), text_layers[0].state_dict())
    names = {name for name, reason in report.unused.items() if reason == "in layers that no encoder takes"}
    assert "vit.layers.2.mlp.fc1.weight" in names and "roberta.encoder.layer.3.output.dense.bias" in names
    assert not any(name.startswith(("roberta.encoder.layer.2", "vit.layers.1.")) for name in names)
    text = report.summary()
    assert "the fusion encoder gets the first 1" in text and "20 positions" in text


@torch.no_grad()
def test_fewer_positions_of_bert(bert):
    model = unimo(text=bert, text_config={"max_position_embeddings": 12})
    report = load_encoders(model, text=bert)
    input_ids = texts()[0][:1, :10]
    close(model.unimo2.text_model(input_ids).last_hidden_state, bert.bert(input_ids).last_hidden_state)
    assert any("Of the 20 positions" in remark and "first 10 are taken" in remark for remark in report.remarks)
    message = "`max_position_embeddings` 23, .* BertForMaskedLM 20 and 2 before its first; no more"
    refused(message, unimo(text=bert, text_config={"max_position_embeddings": 23}), text=bert)


def test_chosen_layers(roberta):
    """A RoBERTa divided: its lower half the text encoder, its upper half the fusion encoder."""
    half = {"num_hidden_layers": 2}
    model = unimo(text=roberta, text_config=half, grounded_config=half)
    report = load_encoders(model, text=roberta, text_layers=range(2), grounded_layers=range(2, 4))
    layers = roberta.roberta.encoder.layer
    for place, encoder in ((0, "text_model"), (2, "grounded_model")):
        ours = getattr(model.unimo2, encoder).layers
        for index in range(2):
            assert torch.equal(ours[index].mlp.fc2.weight, layers[place + index].output.dense.weight)
    assert not report.unused
    refused(r"\[2, 4\] is no choice .* needs 2, from 0 to 3", model, text=roberta, grounded_layers=[2, 4])
    refused(r"\[0\] is no choice", model, text=roberta, text_layers=[0])


# Files


def test_directories_give_what_models_give(vit, roberta, saved, tmp_path):
    """One file, shards, a pickle of tensors, and the same encoders under other heads."""
    expected = unimo(vision=vit, text=roberta)
    load_encoders(expected, vit, roberta)
    roberta.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 2
    roberta.config.save_pretrained(tmp_path / "pickle")
    torch.save(load_file(saved / "roberta" / "model.safetensors"), tmp_path / "pickle" / "pytorch_model.bin")
    classifier = ViTForImageClassification(vit.config)
    classifier.vit.load_state_dict(vit.state_dict(), strict=False)
    classifier.save_pretrained(tmp_path / "classifier")
    for vision, text in (
        (saved / "vit", saved / "roberta"),
        (str(tmp_path / "classifier"), tmp_path / "shards"),
        (classifier, tmp_path / "pickle"),
    ):
        model = unimo(vision=vision, text=text)
        report = load_encoders(model, vision, text)
        assert equal(snapshot(model), snapshot(expected))
        assert not any("_model." in name or "lm_head" in name for name in report.missing)
        assert ("vision: classifier.weight" in report.unused) == (vision == str(tmp_path / "classifier"))


def test_half_precision_checkpoint(roberta):
    model = unimo(text=roberta)
    source = copy.deepcopy(roberta).half()
    load_encoders(model, text=source)
    embeddings = source.roberta.embeddings
    expected = embeddings.position_embeddings.weight.float() + embeddings.token_type_embeddings.weight[0].float()
    found = model.unimo2.text_model.embeddings.position_embeddings.weight
    assert found.dtype == torch.float32 and torch.equal(found, expected)


def test_head_that_we_lack(roberta, tmp_path):
    """The classifier of a fine-tuned text model is named; nothing that transformers made up reaches ours."""
    random(RobertaForSequenceClassification, roberta.config).save_pretrained(tmp_path / "classifier")
    model = unimo(text=tmp_path / "classifier")
    report = load_encoders(model, text=tmp_path / "classifier")
    assert report.unused["text: classifier.out_proj.weight"] == "without a counterpart in UNIMO-2"
    assert "lm_head.dense.weight" in report.missing


def test_unreadable_checkpoints(vit, roberta, saved, tmp_path):
    model = unimo(vision=vit, text=roberta)
    weights = load_file(saved / "roberta" / "model.safetensors")

    def directory(name):
        roberta.config.save_pretrained(tmp_path / name)
        return tmp_path / name

    refused("no such directory", model, text="nowhere/at-all")
    refused("is of model type 'unimo2'; accepted: roberta", model, text=unimo())
    refused("is of model type 'roberta'; accepted: vit", model, vision=saved / "roberta")
    ElectraConfig().save_pretrained(tmp_path / "electra")
    refused(
        "electra is of model type 'electra'; accepted: roberta, xlm-roberta, bert", model, text=tmp_path / "electra"
    )
    refused("cannot be loaded", model, text=directory("empty"))

    garbage = directory("garbage")
    (garbage / "model.safetensors").write_bytes(b"nothing of the kind" * 10)
    refused("garbage cannot be loaded", model, text=garbage)

    lacking = directory("lacking")
    rest = {name: value for name, value in weights.items() if ".layer.1.output.dense" not in name}
    save_file(rest, lacking / "model.safetensors", metadata={"format": "pt"})
    refused(r"lacks weights: roberta\.encoder\.layer\.1\.output\.dense\.weight", model, text=lacking)

    misfit = directory("misfit")
    name = "roberta.embeddings.word_embeddings.weight"
    save_file(weights | {name: weights[name][:-1].clone()}, misfit / "model.safetensors", metadata={"format": "pt"})
    refused(r"shape \(59, 32\), its configuration asks for \(60, 32\)", model, text=misfit)


class Intruder:
    """Unpickled, it leaves a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_code_in_a_pickle_is_not_run(roberta, tmp_path):
    folder = tmp_path / "pickle"
    roberta.config.save_pretrained(folder)
    torch.save({"weights": Intruder(tmp_path / "ran")}, folder / "pytorch_model.bin")
    refused("pickle cannot be loaded: .* more than tensors", unimo(text=roberta), text=folder)
    assert not (tmp_path / "ran").exists()


# What does not fit


def test_misfits_are_refused(vit, roberta):
    text_sizes = {"text_config": {"num_attention_heads": 2}}
    vocabulary = {"text_config": {"vocab_size": 59}}
    for match, overrides in (
        ("vision encoder has `patch_size` 4, the vision checkpoint ViTModel 2", {"vision_config": {"patch_size": 4}}),
        ("vision encoder has `intermediate_size` 50, .* 48", {"vision_config": {"intermediate_size": 50}}),
        ("vision encoder has 4 layers, the vision checkpoint ViTModel 3", {"vision_config": {"num_hidden_layers": 4}}),
        ("text encoder has `num_attention_heads` 2, .* 4", text_sizes),
        ("text encoder has `vocab_size` 59, the text checkpoint RobertaForMaskedLM 60", vocabulary),
        ("`max_position_embeddings` 21, .* 20", {"text_config": {"max_position_embeddings": 21}}),
        ("`position_offset` 1, .* 2; they must be equal", {"text_config": {"position_offset": 1}}),
        ("fusion encoder has `intermediate_size` 50", {"grounded_config": {"intermediate_size": 50}}),
        ("fusion encoder has 5 layers", {"grounded_config": {"num_hidden_layers": 5}}),
    ):
        refused(match, unimo(vision=vit, text=roberta, **overrides), vit, roberta)
    wider = {f"{encoder}_config": {"hidden_size": 64} for encoder in ("vision", "text", "grounded")}
    refused("`hidden_size` 64, .* 32", unimo(vision=vit, **wider), vit)


def test_pair_of_different_widths(vit, roberta):
    wide = RobertaModel(RobertaConfig(**TEXT | {"hidden_size": 64}))
    message = "vision checkpoint has `hidden_size` 32, the text checkpoint 64"
    refused(message, unimo(vision=vit, text=roberta), vit, wide)
    with pytest.raises(BadInputError, match=message):
        encoder_config(vit, wide)


def test_other_bad_arguments(vit, roberta):
    refused("no checkpoint to load", unimo(vision=vit))
    with pytest.raises(BadInputError, match="not RobertaForMaskedLM"):
        load_encoders(roberta, text=roberta)
    with pytest.raises(BadInputError, match="only squares"):
        encoder_config(ViTModel(ViTConfig(**VISION | {"image_size": [12, 16]})))
    with pytest.raises(BadInputError, match="no `pad_token_id`"):
        encoder_config(text=RobertaModel(RobertaConfig(**TEXT | {"pad_token_id": None})))


def test_silent_differences_are_warned_of(vit, roberta):
    """Activation and epsilon of the model stay, and are named with both values."""
    model = unimo(
        vision=vit,
        text=roberta,
        vision_config={"hidden_act": "relu"},
        text_config={"layer_norm_eps": 1e-6},
        grounded_config={"hidden_act": "silu"},
    )
    report = load_encoders(model, vit, roberta)
    assert len(report.warnings) == 4
    for warning, parts in zip(
        report.warnings,
        (
            ("vision", "'relu'", "'gelu'"),
            ("text", "1e-06", "1e-05"),
            ("fusion", "'silu'"),
            ("language head", "'silu'"),
        ),
    ):
        assert all(part in warning for part in parts)
    assert model.config.vision_config.hidden_act == "relu"
    assert report.summary().count("WARNING: ") == 4

    assert not load_encoders(unimo(vision=vit, text=roberta), vit, roberta).warnings


def test_activation_of_the_language_head():
    """RoBERTa's has "gelu" whatever its layers have, BERT's that of its layers."""
    for config, cls, number in ((RobertaConfig, RobertaForMaskedLM, 1), (BertConfig, BertForMaskedLM, 0)):
        source = random(cls, config(**TEXT, hidden_act="relu"))
        assert len(load_encoders(unimo(text=source), text=source).warnings) == number
    warnings = load_encoders(unimo(text=source, grounded_config={"hidden_act": "gelu"}), text=source).warnings
    assert len(warnings) == 2 and "language head has 'gelu', that of the" in warnings[1] and "'relu'" in warnings[1]


@pytest.mark.parametrize("kind", ["roberta", "bert"])
@pytest.mark.parametrize(
    "key, value", [("is_decoder", True), ("add_cross_attention", True), ("position_embedding_type", "relative_key")]
)
def test_what_is_no_encoder_with_a_position_table_is_refused(kind, key, value, request, tmp_path):
    source = copy.deepcopy(request.getfixturevalue(kind))
    model = unimo(text=source)
    setattr(source.config, key, value)
    message = f"has `{key}` {value!r}; only {_accepted(value)} is accepted"
    refused(message, model, text=source)
    source.config.save_pretrained(tmp_path)
    with pytest.raises(BadInputError, match=message):
        encoder_config(text=tmp_path)


def _accepted(value):
    return "'absolute'" if isinstance(value, str) else "False"


# Configuration and report


def test_encoder_config(saved):
    layers = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48, "hidden_act": "gelu"}
    vision = layers | {"num_hidden_layers": 3, "layer_norm_eps": 1e-12}
    vision |= {"image_size": 12, "patch_size": 2, "num_channels": 3}
    fusion = layers | {"num_hidden_layers": 4, "layer_norm_eps": 1e-5}
    text = fusion | {"vocab_size": 60, "max_position_embeddings": 20, "position_offset": 2}
    text |= {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    values = encoder_config(saved / "vit", saved / "roberta")
    assert values == {"vision_config": vision, "text_config": text, "grounded_config": fusion}
    width = {"hidden_size": 32}
    assert encoder_config(vision=saved / "vit") == {
        "vision_config": vision,
        "text_config": width,
        "grounded_config": width,
    }
    assert encoder_config() == {}


def test_encoder_config_of_bert(tmp_path):
    """Two positions before the first word; the ids that its configuration lacks are those of the tokenizer beside."""
    BertConfig(**TEXT).save_pretrained(tmp_path)
    layers = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48, "hidden_act": "gelu"}
    fusion = layers | {"num_hidden_layers": 4, "layer_norm_eps": 1e-5}
    text = fusion | {"vocab_size": 60, "max_position_embeddings": 22, "position_offset": 2}
    without = {"bos_token_id": None, "pad_token_id": 0, "eos_token_id": None}
    assert encoder_config(text=tmp_path) == {
        "vision_config": {"hidden_size": 32},
        "text_config": text | without,
        "grounded_config": fusion,
    }
    assert encoder_config(text=BertModel(BertConfig(**TEXT)))["text_config"] == text | without
    words = ["[PAD]", "[UNK]", "cat", "[SEP]", "##s", "[MASK]", "[CLS]"]
    BertTokenizer({word: index for index, word in enumerate(words)}).save_pretrained(tmp_path)
    ids = {"bos_token_id": 6, "pad_token_id": 0, "eos_token_id": 3}
    assert encoder_config(text=tmp_path)["text_config"] == text | ids
    BertConfig().save_pretrained(tmp_path)
    values = encoder_config(text=tmp_path)
    assert [values[f"{name}_config"]["layer_norm_eps"] for name in ("text", "grounded")] == [1e-12, 1e-12]


def test_report_of_bert(bert):
    """Every weight is used or unused, and what becomes of the token types is said."""
    source = random(BertForPreTraining, bert.config)
    report = load_encoders(unimo(text=source), text=source)
    duplicates = {"cls.predictions.decoder.bias", "cls.predictions.bias", "cls.predictions.decoder.weight"}
    assert set(report.used) | set(report.unused) | duplicates == set(source.state_dict()) | duplicates
    assert set(report.unused) == {
        f"{name}.{kind}" for name in ("bert.pooler.dense", "cls.seq_relationship") for kind in ("weight", "bias")
    }
    assert not any(name.startswith(("lm_head", "unimo2.text_model")) for name in report.missing)
    text = report.summary()
    assert "first token type of the text checkpoint" in text and "Position 0 of the text checkpoint" in text


def test_report(vit, roberta):
    """Every parameter is either set or missing, every weight of a checkpoint used or unused."""
    model = unimo(vision=vit, text=roberta)
    before = snapshot(model)
    report = load_encoders(model, vit, roberta)
    targets = {name for names in report.used.values() for name in names}
    parameters = dict(model.named_parameters())
    assert targets | set(report.missing) == set(parameters) and not targets & set(report.missing)
    assert report.parameters == sum(parameters[name].numel() for name in targets)
    assert all(torch.equal(before[name], parameters[name]) for name in report.missing)
    assert {name.partition(".")[0] for name in report.missing} == {"unimo2", "itm_head", "masked_grounding_head"}
    names = {f"vit.{name}" for name in vit.state_dict()} | set(roberta.state_dict())
    duplicates = {"lm_head.bias", "lm_head.decoder.weight"}
    assert set(report.used) | set(report.unused) == names - duplicates
    text = report.summary()
    assert f"used: {len(report.used)} ({report.parameters:,} values" in text
    assert "without a counterpart in UNIMO-2: vit.pooler.dense.weight, vit.pooler.dense.bias" in text
    assert "  dictionary: 2" in text and "the other 1 are dropped" in text
