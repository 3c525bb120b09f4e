# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The file of a fine-tuning: its keys, its presets, and what is wrong with it in one sentence."""

import math

import pytest
import yaml
from torch.optim import AdamW

from hf_unimo.errors import BadInputError
from hf_unimo.training.finetune_config import FinetuneConfig, load_finetune_config
from hf_unimo.training.finetune_presets import PRESETS
from hf_unimo.training.tasks import TASKS, CaptioningOptions

from . import finetune_runs


@pytest.mark.parametrize("task", TASKS)
def test_a_configuration_comes_back_from_its_file(task, tmp_path):
    lora = None if TASKS[task].freeze_base else {"r": 4}
    config = finetune_runs.config(task, tmp_path, training__lora=lora, training__freeze={"vision_model": True})
    (tmp_path / "run.yaml").write_text(config.to_yaml(), encoding="utf-8")
    again = load_finetune_config(tmp_path / "run.yaml", task)
    assert (
        again == config and again.task is TASKS[task] and again.options == TASKS[task].options(**vars(config.options))
    )
    assert config.training.freeze == {"vision_model": 1.0}


def test_overrides_and_places(tmp_path):
    tree = finetune_runs.tree("vqa", tmp_path)
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(tree))
    config = load_finetune_config(
        tmp_path / "run.yaml",
        "vqa",
        ["training.steps=7", "data.batch_size=2", "options.max_answers=5", "output=there"],
    )
    assert config.training.steps == 7 and config.data.batch_size == 2 and config.options.max_answers == 5
    assert config.output.endswith("/there")


def test_places_are_those_of_the_file_and_stay_when_it_moves(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"a": "x", "label": 1}\n')
    tree = finetune_runs.tree("text-classification", tmp_path)
    tree["data"] = {
        "common": {"columns": {"text": "a"}},
        "train": {"path": "rows.jsonl"},
        "validation": {"benchmark": "sst2", "path": "owner/name"},
        "test": {"benchmark": "nlvr2", "path": "there.json", "images": "pictures"},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(tree))
    data = load_finetune_config(tmp_path / "run.yaml", "text-classification").data
    assert data.train == {"path": str(tmp_path / "rows.jsonl")} and data.common == {"columns": {"text": "a"}}
    assert data.validation["path"] == "owner/name"  # of the Hub
    assert data.test["path"] == str(tmp_path / "there.json") and data.test["images"] == str(tmp_path / "pictures")
    (tmp_path / "elsewhere").mkdir()
    made = load_finetune_config(tmp_path / "run.yaml", "text-classification")
    (tmp_path / "elsewhere" / "run.yaml").write_text(made.to_yaml())
    assert load_finetune_config(tmp_path / "elsewhere" / "run.yaml", "text-classification") == made


def refused(tmp_path, task="vqa", **changes) -> str:
    with pytest.raises(BadInputError) as caught:
        finetune_runs.config(task, tmp_path, **changes)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"trainig": {}}, "trainig is no known key; the nearest known is training"),
        ({"training__lr": 1e-3}, "training.lr is no known key"),
        ({"training__max_steps": 3}, "training.max_steps is not set here; use training.steps"),
        ({"training__epochs": 3}, "training has both of training.epochs and training.steps"),
        ({"training__steps": None}, "training has neither of training.epochs and training.steps"),
        ({"training__steps": None, "training__epochs": 0}, "training.epochs is 0; accepted is a number above 0"),
        ({"training__steps": None, "training__epochs": math.inf}, "accepted is a number above 0"),
        ({"training__lr_drops": {"0.5": 0.1}}, "training.lr_drops is"),
        ({"training__lr_drops": [[2.5, 0.1]]}, "training.lr_drops is"),
        ({"training__lr_drops": [[0.5, 0.1]]}, "stands beside training.lr_scheduler_type 'linear'; it goes with"),
        (
            {"training__decay_from_start": True, "training__lr_scheduler_type": "cosine"},
            "training.decay_from_start stands beside training.lr_scheduler_type 'cosine'; it goes with 'linear'",
        ),
        ({"training__lora": "yes"}, "training.lora is"),
        ({"data__batch_size": 0}, "data.batch_size is 0; accepted is an integer from 1 on"),
        ({"data__rows_per_image": 0}, "data.rows_per_image is 0; accepted is an integer from 1 on"),
        ({"data__augmentation": "flip"}, "data.augmentation is 'flip'"),
        ({"data__train": None}, "data.train is missing"),
        ({"data__train": "emoji.parquet"}, 'data.train is "emoji.parquet"; accepted is a mapping'),
        ({"data__valid": {}}, "data.valid is no known key; the nearest known is data.validation"),
        ({"options__max_answer": 3}, "options.max_answer is no known key; the nearest known is options.max_answers"),
        ({"options__min_answer_count": 0}, "options.min_answer_count is 0; accepted is an integer from 1 on"),
        ({"preset": "official-vqa"}, "preset is 'official-vqa'; the nearest known is"),
        ({"model": None}, "model is missing"),
        ({"model": {}}, "model has neither of model.preset"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_what_is_wrong_is_one_sentence(changes, words, tmp_path):
    assert words in refused(tmp_path, **changes)


def test_an_option_of_another_task_is_no_key(tmp_path):
    assert "options.loss is no known key" in refused(tmp_path, options__loss="circle")
    assert 'options.loss is "hinge"; accepted is one of matching, circle' in refused(
        tmp_path, "retrieval", options__loss="hinge"
    )


def test_what_is_no_key_of_a_section(tmp_path):
    tree = finetune_runs.tree("vqa", tmp_path)
    for changed, task, words in (
        (tree, "vqq", "The task is 'vqq'; the nearest known is vqa"),
        (tree | {"task": "captioning"}, "vqa", "is for the task 'captioning', but 'vqa' is to be learned"),
        ({**tree, "output": None}, "vqa", "output is missing"),
    ):
        with pytest.raises(BadInputError, match=words):
            FinetuneConfig.from_dict(changed, task)


# Presets -------------------------------------------------------------------------------------------------------------


def preset(name, tmp_path, **changes) -> FinetuneConfig:
    """A preset over a file that names model and data alone."""
    task = PRESETS[name]["task"]
    tree = {"preset": name, "output": str(tmp_path / "out"), "model": {"preset": "base", "processor": "x"}}
    tree["data"] = {"train": finetune_runs.splits(task, tmp_path)["train"]}
    return FinetuneConfig.from_dict({**tree, **changes}, task)


ADAM = {"adam_beta1": 0.9, "adam_beta2": 0.98, "adam_epsilon": 1e-6, "max_grad_norm": 1.0, "weight_decay": 0.0}


def test_official_flickr30k(tmp_path):
    config = preset("official-flickr30k", tmp_path)
    assert (config.data.batch_size, config.data.image_size, config.data.max_text_length) == (2, 384, 128)
    assert (config.training.epochs, config.seed, config.training.lr_drops) == (40, 1, [(0.6, 0.1), (0.8, 0.1)])
    assert (config.options.loss, config.options.negatives) == ("circle", 20)
    assert config.model.config == {"similarity_weight": 0.3, "circle_margin": 0.2, "circle_scale": 1.0}
    assert config.training.arguments == {
        **ADAM,
        "learning_rate": 5e-6,
        "lr_scheduler_type": "constant_with_warmup",
    }


def test_official_coco(tmp_path):
    config = preset("official-coco", tmp_path)
    assert (config.data.batch_size, config.data.image_size, config.training.epochs, config.seed) == (32, 384, 10, 1)
    written = {"num_beams": 5, "length_penalty": 0.6, "max_new_tokens": 50, "min_new_tokens": 5}
    assert config.options == CaptioningOptions(label_smoothing=0.1, generation=written)
    assert config.data.max_text_length > 100 + 50  # object tags, and a whole caption
    assert config.training.arguments == {
        **ADAM,
        "learning_rate": 1e-5,
        "lr_scheduler_type": "linear",
        "warmup_steps": 0.06,
    }


def test_official_mnli(tmp_path):
    config = preset("official-mnli", tmp_path)
    assert (config.data.batch_size, config.data.max_text_length, config.training.epochs) == (16, 512, 20)
    assert config.training.decay_from_start and config.training.arguments["learning_rate"] in (1e-5, 2e-5, 3e-5)
    assert config.training.arguments.items() >= {**ADAM, "lr_scheduler_type": "linear", "warmup_steps": 0.06}.items()


@pytest.mark.parametrize("name", PRESETS)
def test_keys_of_the_file_go_over_the_preset(name, tmp_path):
    whole = preset(name, tmp_path)
    changed = preset(
        name,
        tmp_path,
        seed=5,
        data={"train": whole.data.train, "batch_size": 3},
        training={"steps": 9, "adam_beta2": 0.5},
    )
    assert (changed.seed, changed.data.batch_size, changed.training.steps, changed.training.epochs) == (5, 3, 9, None)
    assert changed.training.arguments == whole.training.arguments | {"adam_beta2": 0.5}
    assert changed.data.max_text_length == whole.data.max_text_length and changed.options == whole.options
    assert preset(name, tmp_path, training={"epochs": 2}).training.epochs == 2


def test_a_preset_is_for_its_task(tmp_path):
    tree = finetune_runs.tree("vqa", tmp_path) | {"preset": "official-coco"}
    with pytest.raises(BadInputError, match="is for the task 'captioning', but 'vqa' is to be learned"):
        FinetuneConfig.from_dict(tree, "vqa")


def rates(trainer, steps: int) -> list[float]:
    """The learning rate at each step of the schedule."""
    optimizer = AdamW([next(trainer.model.parameters())], lr=1.0)
    scheduler = trainer.create_scheduler(steps, optimizer)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def small_run(name, tmp_path, steps, **changes):
    """A tiny model with the preset's training."""
    task = PRESETS[name]["task"]
    tree = finetune_runs.tree(task, tmp_path, **changes)
    tree["training"] = {"steps": steps, "use_cpu": True}
    tree["data"] |= {"image_size": 32, "max_text_length": 64, "validation": None, "test": None}
    tree |= {"preset": name, "options": {"generation": {}} if task == "captioning" else {}}
    return finetune_runs.trainer_of(FinetuneConfig.from_dict(tree, task))


def test_flickr30k_drops_after_24_and_32_of_40_epochs(tmp_path):
    trainer = small_run("official-flickr30k", tmp_path, 400)
    expected = [1.0] * 240 + [0.1] * 80 + [0.01] * 80  # ten steps an epoch
    assert rates(trainer, 400) == pytest.approx(expected, rel=1e-9)
    assert trainer.args.adam_beta2 == 0.98 and trainer.args.learning_rate == 5e-6 and trainer.args.weight_decay == 0


def test_coco_warms_up_and_decays(tmp_path):
    trainer = small_run("official-coco", tmp_path, 100)
    expected = [step / 6 for step in range(6)] + [(100 - step) / 94 for step in range(6, 100)]
    assert rates(trainer, 100) == pytest.approx(expected, abs=1e-9)


def test_mnli_drops_at_the_joint(tmp_path):
    trainer = small_run("official-mnli", tmp_path, 100)
    expected = [step / 6 for step in range(6)] + [1 - step / 100 for step in range(6, 100)]
    found = rates(trainer, 100)
    assert found == pytest.approx(expected, abs=1e-9)
    assert found[6] == pytest.approx(0.94)  # where a decay that counts from the joint would be at 1
