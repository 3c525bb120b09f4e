# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Conversion of UNIMO-2: every name has its place, the round trip is bit-equal, bad input leaves nothing behind."""

import json
import os
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoImageProcessor, AutoModel, AutoProcessor, AutoTokenizer

from hf_unimo.cli import main
from hf_unimo.conversion.paddle import write_variable
from hf_unimo.conversion.unimo2 import convert_unimo2, infer_config, official_state_dict, revert_unimo2
from hf_unimo.conversion.unimo2_names import PARTS, TASKS, WEIGHTS, dimensions, official_shape, select_weights
from hf_unimo.errors import BadInputError
from hf_unimo.models.unimo2 import modeling_unimo2
from hf_unimo.models.unimo2.configuration_unimo2 import Unimo2Config


GOLDENS = Path(__file__).parents[1] / "fixtures" / "unimo2_tiny"
VARIABLES = GOLDENS / "checkpoint_persistables"
OFFICIAL_JSON = GOLDENS / "config.json"
EVERYTHING = {
    "grounding_projection": True,
    "contrastive_projection": "separate",
    "tie_word_embeddings": False,
    "tie_dictionary": False,
}
"""What makes a model that has all the optional weights of the goldens."""

OPTIONAL = {
    *(f"grounded.{name}" for name in ("mask_lm_out_fc.w_0", "mask_g_out_fc.w_0")),
    *(f"grounded.cmcl_pooled_fc_{side}.{kind}" for side in ("image", "text") for kind in ("w_0", "b_0")),
    *(f"grounded.grounding_{side}_projection.{kind}" for side in ("patch", "token") for kind in ("w_0", "b_0")),
}


@pytest.fixture(scope="module")
def weights():
    return dict(np.load(GOLDENS / "weights.npz"))


@pytest.fixture(scope="module")
def official_json():
    return json.loads(OFFICIAL_JSON.read_text())


@pytest.fixture
def variables(tmp_path):
    """A copy of the goldens' variables to damage."""
    folder = tmp_path / "UNIMO-2"
    shutil.copytree(VARIABLES, folder)
    return folder


def shapes_of(weights):
    return {name: array.shape for name, array in weights.items()}


def config_with(weights, official_json, **changes):
    config, _ = infer_config(shapes_of(weights), official_json)
    return Unimo2Config.from_dict({**config.to_dict(), **changes})


def refused(tmp_path, match, source=VARIABLES, **arguments):
    """Asserts that a conversion is refused in one sentence, and that nothing appears beside its destination."""
    place = tmp_path / "place"
    place.mkdir()
    arguments = {"config": OFFICIAL_JSON} | arguments
    with pytest.raises(BadInputError, match=match) as error:
        convert_unimo2(source, place / "deep" / "converted", **arguments)
    assert "\n" not in str(error.value)
    assert list(place.iterdir()) == []


# The table


def test_table_covers_every_weight_of_the_first_implementation(weights, official_json):
    config = config_with(weights, official_json, **EVERYTHING)
    assert {row.official for row in select_weights(config, PARTS)} == set(weights)


def test_table_names_nothing_twice():
    for names in ([row.official for row in WEIGHTS], [row.ours for row in WEIGHTS]):
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("changes", [{}, EVERYTHING, {"grounding_method": "none"}], ids=["default", "all", "none"])
def test_table_is_the_models_state_dict(task, changes):
    """Keys and shapes of every class, from the table alone."""
    config = Unimo2Config.tiny(**({"contrastive_projection": "none"} | changes))
    model = getattr(modeling_unimo2, TASKS[task][0])(config)
    tied = set(model.all_tied_weights_keys)
    expected = {key: tuple(value.shape) for key, value in model.state_dict().items() if key not in tied}
    sizes = dimensions(config)
    arrays = {row.official: np.zeros(official_shape(row, sizes), "f4") for row in select_weights(config, PARTS)}
    state = official_state_dict(arrays, config, task)
    assert {key: tuple(value.shape) for key, value in state.items()} == expected


def test_state_dict_values(weights, official_json):
    config = config_with(weights, official_json)
    state = official_state_dict(weights, config, "Unimo2ForPreTraining")
    affine = "grounded_model.layers.1.mlp.fc1.weight"
    expected = weights["grounded.encoder_layer_1_ffn_fc_0.w_0"].T
    assert (state[f"unimo2.{affine}"].numpy() == expected).all()
    assert (official_state_dict(weights, config, "base")[affine].numpy() == expected).all()
    name = "vit.patch_embeddings_projection_weight"
    assert (state["unimo2.vision_model.embeddings.patch_embedding.weight"].numpy() == weights[name]).all()
    assert "lm_head.decoder.weight" not in state and "classifier.weight" not in state


def test_layer_lists(weights, official_json):
    config = config_with(weights, official_json)
    state = official_state_dict(weights, config, "base", text_layers=[1], grounded_layers=[0])
    name = "layers.0.self_attn.q_proj.weight"
    for model, layer in (("text", 1), ("grounded", 0), ("vision", 0)):
        official = {"vision": "vit"}.get(model, model)
        expected = weights[f"{official}.encoder_layer_{layer}_multi_head_att_query_fc.w_0"].T
        assert (state[f"{model}_model.{name}"].numpy() == expected).all()
    assert "text_model.layers.1.mlp.fc1.bias" not in state


# Inference of the configuration


def test_inferred_configuration(weights, official_json):
    config, remarks = infer_config(shapes_of(weights), official_json)
    assert (config.vision_config.image_size, config.vision_config.patch_size) == (56, 4)
    assert [getattr(config, f"{part}_config").num_hidden_layers for part in ("vision", "text", "grounded")] == [
        2,
        2,
        2,
    ]
    assert config.text_config.num_attention_heads == 4 and config.text_config.intermediate_size == 128
    assert (config.text_config.vocab_size, config.text_config.max_position_embeddings) == (300, 40)
    assert (config.dictionary_size, config.num_grounded_tokens, config.num_labels) == (64, 8, 3)
    assert config.contrastive_mean == "batch" and config.contrastive_normalization == "image"
    assert config.vision_config.hidden_dropout_prob == 0.0 and config.text_config.hidden_dropout_prob == 0.1
    assert remarks == []


def test_base_size_needs_no_json():
    config = Unimo2Config.base()
    sizes = dimensions(config)
    shapes = {row.official: official_shape(row, sizes) for row in select_weights(config, PARTS)}
    inferred, _ = infer_config(shapes)
    expected = Unimo2Config.base(contrastive_mean="batch").to_dict()
    assert inferred.to_dict() == expected


def test_number_of_grounded_tokens_is_clamped_only_if_it_is_a_default(weights, official_json):
    values = {key: value for key, value in official_json.items() if key not in ("topk_value", "num_codebook")}
    config, remarks = infer_config(shapes_of(weights), values)
    assert config.num_grounded_tokens == 64 and "64 grounded tokens" in remarks[0]
    with pytest.raises(BadInputError, match="num_grounded_tokens"):
        infer_config(shapes_of(weights), official_json | {"topk_value": 65})


def test_baseline(weights, official_json):
    dictionary = ("vq_emb", "topk_temperature", "grounded.pre_encoder", "grounded.mask_g")
    baseline = {name: array for name, array in weights.items() if not name.startswith(dictionary)}
    config, remarks = infer_config(shapes_of(baseline), official_json)
    assert config.grounding_method == "none" and "baseline" in remarks[0]
    assert not any("dictionary" in key for key in official_state_dict(baseline, config, "pretraining"))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"hidden_size": 64}, "hidden_size 64, the tensors have 32"),
        ({"text_vocab_size": 301}, "text_vocab_size 301"),
        ({"resolution": 16}, "resolution 16"),
        ({"num_codebook": 65}, "num_codebook 65"),
        ({"text_max_position_embeddings": 41}, "text_max_position_embeddings 41"),
        ({"num_hidden_layers": 1}, "grounded encoder 1 layers, the checkpoint has 2"),
        ({"vit_num_hidden_layers": 3}, "Missing.*vit.encoder_layer_2_multi_head_att_query_fc.w_0"),
        ({"num_hidden_layers": 10**9}, "Missing.*grounded.encoder_layer_2.* and 15948 more"),
        ({"num_hidden_layers": "2"}, "whole number"),
        ({"num_attention_heads": 5}, "not a multiple"),
        ({"num_attention_heads": 0}, "at least 1"),
        ({"hidden_act": "swoosh"}, "no activation"),
        ({"hidden_dropout_prob": "much"}, "does not make a UNIMO-2 model"),
    ],
)
def test_contradictions_are_refused(change, match, official_json, tmp_path):
    refused(tmp_path, match, config=official_json | change)


def test_width_that_no_head_divides_needs_a_configuration(tmp_path):
    refused(tmp_path, "number of attention heads cannot be guessed", config=None)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("{", "not a readable JSON"),
        ("[" * 100_000, "not a readable JSON"),
        ("[]", "no JSON object"),
        ("{}", "neither the keys"),
        ('{"model_type": "bert"}', "'bert' model"),
        ('{"model_type": "unimo2", "num_labels": 1000000000}', "labels"),
        ('{"model_type": "unimo2", "text_config": 3}', "does not make"),
        ('{"model_type": "unimo2"}', "the checkpoint has|Missing"),
    ],
    ids=lambda text: text[:40],
)
def test_bad_configuration_files(content, match, tmp_path):
    (tmp_path / "config.json").write_text(content)
    refused(tmp_path, match, config=tmp_path / "config.json")


# Conversion


@pytest.mark.parametrize("task", TASKS)
def test_converted_checkpoints_load(task, tmp_path):
    report = convert_unimo2(VARIABLES, tmp_path / "model", config=OFFICIAL_JSON, task=task)
    assert report.missing == [] and report.reshaped == {}
    assert len(report.optimizer_state) == 5
    assert set(report.used) | set(report.unused) | set(report.optimizer_state) == set(os.listdir(VARIABLES))
    model_class = getattr(modeling_unimo2, TASKS[task][0])
    model, info = model_class.from_pretrained(tmp_path / "model", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    assert model.config.architectures == [TASKS[task][0]]
    if TASKS[task][1] == ("classifier",):
        assert model.config.num_labels == 3


def test_auto_classes_load_it(tmp_path):
    convert_unimo2(VARIABLES, tmp_path / "model", config=OFFICIAL_JSON)
    model, info = AutoModel.from_pretrained(tmp_path / "model", output_loading_info=True)
    assert type(model).__name__ == "Unimo2Model" and not info["missing_keys"]
    processor = AutoImageProcessor.from_pretrained(tmp_path / "model", backend="pil")
    assert processor.size["height"] == 56


def test_vocabulary(tmp_path):
    """With the official vocabulary the result is complete: `AutoProcessor` takes images and texts."""
    folder = tmp_path / "dict"
    folder.mkdir()
    strings = ["a", "b", "ab", "\u0120", "\u0120a"]
    (folder / "encoder.json").write_text(json.dumps({string: 10 + index for index, string in enumerate(strings)}))
    (folder / "vocab.bpe").write_text("#version: 0.2\na b\n\u0120 a\n", encoding="utf-8")
    lines = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", *map(str, range(10, 15)), "[MASK]"]
    (folder / "vocab.txt").write_text("\n".join(lines) + "\n")
    convert_unimo2(VARIABLES, tmp_path / "model", config=OFFICIAL_JSON, vocabulary=folder)
    processor = AutoProcessor.from_pretrained(tmp_path / "model", backend="pil")
    inputs = processor(text="ab a", images=np.zeros((3, 20, 30), "u1"), return_tensors="pt")
    assert inputs["input_ids"].tolist() == [[0, 6, 8, 2]]
    assert inputs["pixel_values"].shape == (1, 3, 56, 56)
    assert AutoTokenizer.from_pretrained(tmp_path / "model").model_max_length == 38
    assert AutoImageProcessor.from_pretrained(tmp_path / "model", backend="pil").size["height"] == 56
    (folder / "vocab.txt").write_text("\n".join(lines + [f"madeupword{index}" for index in range(300)]) + "\n")
    refused(tmp_path, "310 tokens, the checkpoint has embeddings for 300", vocabulary=folder)


def test_official_padding_and_image_size(tmp_path):
    convert_unimo2(VARIABLES, tmp_path / "a", config=OFFICIAL_JSON, official_padding=True, image_size=64)
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    assert config["official_padding"] is True and config["vision_config"]["image_size"] == 56
    assert json.loads((tmp_path / "a" / "preprocessor_config.json").read_text())["size"]["height"] == 64
    refused(tmp_path, "multiple of the patch", image_size=63)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_dtypes(dtype, weights, tmp_path):
    convert_unimo2(VARIABLES, tmp_path / "model", config=OFFICIAL_JSON, dtype=dtype, task="base")
    state = load_file(tmp_path / "model" / "model.safetensors")
    expected = torch.from_numpy(weights["text.encoder_layer_0_ffn_fc_0.w_0"].T.copy()).to(getattr(torch, dtype))
    assert torch.equal(state["text_model.layers.0.mlp.fc1.weight"], expected)
    assert json.loads((tmp_path / "model" / "config.json").read_text())["dtype"] == dtype


def test_float16_overflow_is_refused(variables, tmp_path):
    with open(variables / "topk_temperature", "wb") as handle:
        write_variable(handle, np.array([1e5], "f4"))
    refused(tmp_path, "beyond the range of float16", source=variables, dtype="float16")


def test_the_three_layouts_give_the_same_file(weights, tmp_path):
    with open(tmp_path / "combined", "wb") as handle:
        for name in sorted(weights):
            write_variable(handle, weights[name])
    convert_unimo2(VARIABLES, tmp_path / "a", config=OFFICIAL_JSON)
    convert_unimo2(tmp_path / "combined", tmp_path / "b", config=OFFICIAL_JSON, names=weights)
    convert_unimo2(GOLDENS / "checkpoint_pdparams" / "model.pdparams", tmp_path / "c", config=OFFICIAL_JSON)
    contents = {(tmp_path / name / "model.safetensors").read_bytes() for name in "abc"}
    assert len(contents) == 1


def test_missing_heads_are_reported(variables, tmp_path):
    for name in ("grounded.img_text_matching_fc.w_0", "grounded.img_text_matching_fc.b_0"):
        (variables / name).unlink()
    report = convert_unimo2(variables, tmp_path / "model", config=OFFICIAL_JSON)
    assert report.missing == ["grounded.img_text_matching_fc.w_0", "grounded.img_text_matching_fc.b_0"]
    assert "WARNING" in report.summary()


def test_reshaped_names_are_reported(variables, weights, tmp_path):
    with open(variables / "vit.position_embeddings", "wb") as handle:
        write_variable(handle, weights["vit.position_embeddings"][0])
    report = convert_unimo2(variables, tmp_path / "model", config=OFFICIAL_JSON)
    assert report.reshaped == {"vit.position_embeddings": ((197, 32), (1, 197, 32))}


def test_second_names_of_the_classifier(variables, tmp_path):
    for kind in ("w", "b"):
        (variables / f"cls_out_{kind}").rename(variables / f"cls_out_new_{kind}")
    report = convert_unimo2(variables, tmp_path / "model", config=OFFICIAL_JSON, task="sequence-classification")
    assert report.used["cls_out_new_w"] == "classifier.weight" and report.missing == []


def test_our_own_configuration(weights, official_json, tmp_path):
    config = config_with(weights, official_json, **EVERYTHING)
    config.save_pretrained(tmp_path / "config")
    report = convert_unimo2(VARIABLES, tmp_path / "model", config=tmp_path / "config" / "config.json")
    assert set(report.unused) == {"cls_out_w", "cls_out_b"}
    assert Unimo2Config.from_pretrained(tmp_path / "model").contrastive_projection == "separate"


# Refusals


def test_missing_backbone_is_refused_by_name(variables, tmp_path):
    names = ["text.encoder_layer_0_ffn_fc_0.w_0", "vq_emb", "vit.post_encoder_layer_norm_scale"]
    for name in names:
        (variables / name).unlink()
    refused(tmp_path, "".join(f"(?=.*{name})" for name in names), source=variables)


def test_a_whole_missing_layer_is_refused(variables, tmp_path):
    for path in variables.glob("text.encoder_layer_0_*"):
        path.unlink()
    refused(tmp_path, "text.encoder_layer_0_", source=variables)


def test_unimo_1_is_refused(tmp_path):
    source = tmp_path / "UNIMO"
    source.mkdir()
    for name in ("word_embedding", "pos_embedding", "encoder_layer_0_ffn_fc_0.w_0", "image_emb.w_0"):
        with open(source / name, "wb") as handle:
            write_variable(handle, np.ones((2, 2), "f4"))
    refused(tmp_path, "UNIMO-1", source=source)


def test_other_folders_are_refused(tmp_path):
    refused(tmp_path, "no UNIMO-2 checkpoint", source=GOLDENS)


def test_shapes_that_disagree_are_refused(variables, tmp_path):
    with open(variables / "vit.cls_token_embeddings", "wb") as handle:
        write_variable(handle, np.ones((1, 1, 31), "f4"))
    refused(tmp_path, "vit.cls_token_embeddings .*31.* hidden should be 32", source=variables)


def test_integers_are_refused(variables, tmp_path):
    data = (variables / "vq_emb").read_bytes()
    (variables / "vq_emb").write_bytes(data.replace(b"\x08\x05", b"\x08\x02", 1))
    refused(tmp_path, "vq_emb is of type int32", source=variables)


def test_truncated_variable_is_refused(variables, tmp_path):
    data = (variables / "text.word_embedding").read_bytes()
    (variables / "text.word_embedding").write_bytes(data[:-4])
    refused(tmp_path, "text.word_embedding is truncated", source=variables)


def test_links_out_of_the_folder_are_refused(variables, tmp_path):
    (variables / "vq_emb").unlink()
    (variables / "vq_emb").symlink_to(VARIABLES / "vq_emb")
    refused(tmp_path, "symbolic link", source=variables)


def test_unknown_arguments_are_refused(tmp_path):
    for arguments in ({"task": "juggling"}, {"dtype": "int4"}, {"text_layers": []}, {"text_layers": [0, 0]}):
        refused(tmp_path, "There is no|is empty|different indices", **arguments)
        (tmp_path / "place").rmdir()
    refused(tmp_path, "text.encoder_layer_7", text_layers=[0, 7])


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "model").mkdir()
    convert_unimo2(VARIABLES, tmp_path / "model", config=OFFICIAL_JSON)  # an empty folder is as good as none
    before = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    for convert in (lambda: convert_unimo2(VARIABLES, tmp_path / "model"), lambda: revert_unimo2(tmp_path, tmp_path)):
        with pytest.raises(BadInputError, match="not empty"):
            convert()
    assert {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()} == before


def test_a_failure_while_writing_leaves_nothing(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(Unimo2Config, "save_pretrained", fail)
    with pytest.raises(KeyboardInterrupt):
        convert_unimo2(VARIABLES, tmp_path / "deep" / "model", config=OFFICIAL_JSON)
    assert list(tmp_path.iterdir()) == []


# The way back


def test_round_trip_is_bit_equal(weights, official_json, tmp_path):
    """Everything but the classifier in one model, the classifier in another."""
    everything = config_with(weights, official_json, **EVERYTHING)
    for task, leftover in (("pretraining", {"cls_out_w", "cls_out_b"}), ("sequence-classification", None)):
        convert_unimo2(VARIABLES, tmp_path / task, config=everything.to_dict() | {"num_labels": 3}, task=task)
        revert_unimo2(tmp_path / task, tmp_path / f"{task} back")
        names = set(os.listdir(tmp_path / f"{task} back"))
        assert leftover is None or names == set(weights) - leftover
        assert leftover is not None or {"cls_out_w", "cls_out_b"} <= names
        for name in names:
            assert (tmp_path / f"{task} back" / name).read_bytes() == (VARIABLES / name).read_bytes(), name


def test_round_trip_of_a_saved_model(tmp_path):
    """Through the model itself, which ties what the configuration ties, in shards."""
    convert_unimo2(VARIABLES, tmp_path / "model", config=OFFICIAL_JSON)
    model = modeling_unimo2.Unimo2ForPreTraining.from_pretrained(tmp_path / "model")
    model.save_pretrained(tmp_path / "saved", max_shard_size="100KB")
    assert (tmp_path / "saved" / "model.safetensors.index.json").is_file()
    report = revert_unimo2(tmp_path / "saved", tmp_path / "back")
    assert report.unused == [] and report.missing == []
    assert set(os.listdir(tmp_path / "back")) == set(np.load(GOLDENS / "weights.npz")) - OPTIONAL - {
        "cls_out_w",
        "cls_out_b",
    }
    for name in os.listdir(tmp_path / "back"):
        assert (tmp_path / "back" / name).read_bytes() == (VARIABLES / name).read_bytes(), name


def test_layer_lists_on_the_way_back(tmp_path):
    convert_unimo2(VARIABLES, tmp_path / "model", config=OFFICIAL_JSON, text_layers=[1])
    revert_unimo2(tmp_path / "model", tmp_path / "back", text_layers=[1])
    name = "text.encoder_layer_1_ffn_fc_0.w_0"
    assert (tmp_path / "back" / name).read_bytes() == (VARIABLES / name).read_bytes()
    assert not list((tmp_path / "back").glob("text.encoder_layer_0_*"))


def test_bad_sources_of_the_way_back(tmp_path):
    convert_unimo2(VARIABLES, tmp_path / "model", config=OFFICIAL_JSON)
    file, config_file = tmp_path / "model" / "model.safetensors", tmp_path / "model" / "config.json"
    data, config = file.read_bytes(), json.loads(config_file.read_text())
    index = file.with_name("model.safetensors.index.json")

    def refuse(match):
        with pytest.raises(BadInputError, match=match):
            revert_unimo2(tmp_path / "model", tmp_path / "back")
        assert not (tmp_path / "back").exists()

    file.write_bytes(data[: len(data) // 2])
    refuse("no safetensors file")
    state = load_file_bytes(data, tmp_path)
    save_file({key: value for key, value in state.items() if "fc1" not in key}, file)
    refuse("Missing.*fc1")
    save_file({key: value.int() for key, value in state.items()}, file)
    refuse("is of type I32")
    file.write_bytes(data)
    config_file.write_text(json.dumps(config | {"dictionary_size": 65}))
    refuse("dictionary.embeddings.weight has shape")
    config_file.write_text(json.dumps(config | {"text_config": config["text_config"] | {"num_hidden_layers": 10**9}}))
    refuse("layers")
    config_file.write_text(json.dumps(config))
    file.unlink()
    refuse("no model.safetensors")
    for name in ("../model.safetensors", "/etc/passwd", 3, "absent.safetensors"):
        index.write_text(json.dumps({"weight_map": {"a": name}}))
        refuse("no file of its folder")


def load_file_bytes(data, folder):
    (folder / "copy.safetensors").write_bytes(data)
    return load_file(folder / "copy.safetensors")


# The command


def run_script(monkeypatch, path, *arguments):
    """Runs a file as Python would and returns its exit code, in this process: importing again would take long."""
    monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(path), run_name="__main__")
    return end.value.code


def test_command_both_ways(tmp_path, capsys):
    arguments = ["--config", OFFICIAL_JSON, "--task", "masked-lm", "--dtype", "float32"]
    assert main(["convert", *map(str, [VARIABLES, tmp_path / "model", *arguments])]) == 0
    output = capsys.readouterr().out
    assert "optimizer state, ignored: 5" in output and "missing: 0" in output
    assert main(["convert", str(tmp_path / "model"), str(tmp_path / "back"), "--reverse"]) == 0
    names = os.listdir(tmp_path / "back")
    assert len(names) > 50
    for name in names:
        assert (tmp_path / "back" / name).read_bytes() == (VARIABLES / name).read_bytes()


def test_command_with_a_combined_file(weights, tmp_path, capsys):
    with open(tmp_path / "params", "wb") as handle:
        for name in sorted(weights):
            write_variable(handle, weights[name])
    (tmp_path / "names").write_text("\n".join(weights) + "\n")
    arguments = ["--config", OFFICIAL_JSON, "--names", tmp_path / "names", "--text-layers", "1"]
    assert main(["convert", *map(str, [tmp_path / "params", tmp_path / "model", *arguments])]) == 0
    assert "unused: " in capsys.readouterr().out
    assert json.loads((tmp_path / "model" / "config.json").read_text())["text_config"]["num_hidden_layers"] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["{nothing}", "{out}"],
        [VARIABLES, "{out}"],
        [VARIABLES, "{out}", "--config", "{nothing}"],
        [VARIABLES, "{out}", "--config", OFFICIAL_JSON, "--vocab", "{nothing}"],
        [VARIABLES, "{out}", "--reverse"],
        [VARIABLES, "{out}", "--reverse", "--task", "vqa"],
    ],
)
def test_command_with_bad_input(arguments, tmp_path, capsys):
    """Exit code 2, one line, and nothing written."""
    names = {"nothing": tmp_path / "nothing", "out": tmp_path / "out"}
    assert main(["convert", *(str(argument).format(**names) for argument in arguments)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_script(tmp_path, capsys, monkeypatch):
    script = GOLDENS.parents[2] / "conversion_scripts" / "convert_unimo2_paddle_to_hf.py"
    assert run_script(monkeypatch, script, VARIABLES, tmp_path / "model", "--config", OFFICIAL_JSON) == 0
    assert (tmp_path / "model" / "model.safetensors").is_file()
    capsys.readouterr()
    assert run_script(monkeypatch, script, tmp_path / "nothing", tmp_path / "out") == 2
    assert "No such file" in capsys.readouterr().err
