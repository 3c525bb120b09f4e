# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Low-rank updates in pre-training: what learns, what is saved, resumption (of fine-tuning: `test_finetune*.py`)."""

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from transformers import AutoModelForPreTraining, TrainerCallback

from hf_unimo.cli import main
from hf_unimo.training.build import build_run
from hf_unimo.training.lora import merged, without_adapters
from modeling_tests.models.unimo2 import small

from . import runs


LORA = {"training__lora": {"r": 2, "lora_alpha": 64}}
HEADS = ("itm_head", "lm_head.dense", "lm_head.layernorm", "masked_grounding_head.dense")


class StopAt(TrainerCallback):
    """Ends a run after a step, with a checkpoint."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            control.should_save = control.should_training_stop = True


def test_low_rank_updates_and_heads_learn_alone(tmp_path):
    trainer = runs.trainer(tmp_path, **LORA)
    before = runs.parameters(trainer.model)
    trainer.train()
    moved = {name for name, value in runs.parameters(trainer.model).items() if not torch.equal(value, before[name])}
    of_base = {name for name in moved if ".unimo2." in name}
    assert of_base and all("lora_" in name for name in of_base)
    for encoder in ("vision", "text", "grounded"):
        assert any(f"{encoder}_model" in name and "lora_B" in name for name in of_base)
    heads = moved - of_base
    assert heads and all("modules_to_save" in name and any(head in name for head in HEADS) for name in heads)
    dictionary = without_adapters(trainer.model).unimo2.dictionary
    assert not any(parameter.requires_grad for parameter in dictionary.parameters())


def test_resumed_is_uninterrupted(tmp_path):
    whole = runs.trainer(tmp_path / "whole", **LORA)
    whole.train()
    begun = runs.trainer(tmp_path / "begun", **LORA)
    begun.add_callback(StopAt(3))
    begun.train()
    assert (tmp_path / "begun" / "checkpoint-3" / "adapter_model.safetensors").exists()  # and no whole model
    resumed = runs.trainer(tmp_path / "begun", **LORA)
    resumed.train(resume_from_checkpoint=True)
    end, again = runs.parameters(whole.model), runs.parameters(resumed.model)
    assert end.keys() == again.keys() and all(torch.equal(value, again[name]) for name, value in end.items())
    assert [entry["loss"] for entry in whole.state.log_history if "loss" in entry] == [
        entry["loss"] for entry in resumed.state.log_history if "loss" in entry
    ]


def test_accumulation_and_rates_by_module_go_along(tmp_path):
    changes = {"training__lr_multipliers": {"vision_model": 0}, "training__freeze": {"text_model": True}}
    trainer = runs.trainer(tmp_path, data__sampler="accumulating", training__steps=2, **changes, **LORA)
    assert trainer.model_accepts_loss_kwargs is False
    before = runs.parameters(trainer.model)
    trainer.train()
    for name, value in runs.parameters(trainer.model).items():
        assert torch.equal(value, before[name]) or not ("vision_model" in name or "text_model" in name), name


def test_the_saved_model_is_merged_and_its_card_says_so(tmp_path, capsys):
    """A second run adapts the model of a first; dictionary and words stay as they were."""
    galleries = {"data__evaluation": {"unseen": runs.GALLERY}}
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text(yaml.safe_dump(runs.tree(tmp_path / "base", training__steps=2)))
    assert main(["pretrain", str(first)]) == 0
    tree = runs.tree(tmp_path / "out", training__steps=3, **galleries, **LORA)
    tree["model"] = {"checkpoint": str(tmp_path / "base" / "model")}
    second.write_text(yaml.safe_dump(tree, sort_keys=False))
    capsys.readouterr()
    assert main(["pretrain", str(second)]) == 0
    assert "of them learn" in capsys.readouterr().out
    before, after = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("base", "out"))
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert "unimo2.vision_model.layers.0.mlp.fc1.weight" in changed
    assert not {name for name in changed if "dictionary" in name or "embeddings" in name}
    _, info = AutoModelForPreTraining.from_pretrained(tmp_path / "out" / "model", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    card = ModelCard.load(tmp_path / "out" / "README.md").text
    assert "(LoRA: r 2, lora_alpha 64) and merged into the weights" in card and "`Unimo2ForPreTraining`" in card
    assert "LoRA" not in ModelCard.load(tmp_path / "base" / "README.md").text


@pytest.mark.parametrize(
    "changes, overrides, words",
    [
        ({}, ["training.lora={rank: 3}"], "training.lora does not fit"),
        ({}, ["training.lora=yes"], "training.lora is"),
        (
            {"dictionary": {"row_constraint": True}},
            ["training.lora={r: 2}"],
            "stands beside dictionary.row_constraint",
        ),
        (
            {"dictionary": {"restart_dead_every": 2}},
            ["training.lora={}"],
            "stands beside dictionary.restart_dead_every",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(changes, overrides, words, tmp_path, capsys):
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(runs.tree(tmp_path / "out", **changes)))
    assert main(["pretrain", str(path), *overrides]) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("hf-unimo pretrain: ") and words in message
    assert not (tmp_path / "out").exists()


def test_a_model_without_adapters_is_itself(tmp_path):
    model = small.model("Unimo2ForPreTraining")
    assert without_adapters(model) is model and merged(model) is model
    adapted = build_run(runs.config(tmp_path, **LORA)).model
    inner = without_adapters(adapted)
    assert type(inner).__name__ == "Unimo2ForPreTraining" and inner is not adapted
    assert merged(adapted) is inner and not any("lora" in name for name, _ in inner.named_parameters())
