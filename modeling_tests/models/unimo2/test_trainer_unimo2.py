# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Plain `transformers.Trainer` trains, evaluates, accumulates, saves and resumes our heads."""

import pytest
import torch
from transformers import Trainer, TrainingArguments

from . import small


def dataset(name, copies=4):
    """Rows of the batch that `small` makes for the head `name`."""
    batch = {**small.inputs(name), **small.labels(name)}
    return [{key: value[row] for key, value in batch.items()} for row in range(3)] * copies


def arguments(folder, **settings):
    defaults = {
        "output_dir": str(folder),
        "max_steps": 4,
        "per_device_train_batch_size": 3,
        "learning_rate": 1e-3,
        "report_to": "none",
        "use_cpu": True,
        "save_strategy": "no",
        "disable_tqdm": True,
        "logging_steps": 1,
    }
    return TrainingArguments(**defaults | settings)


@pytest.mark.parametrize("name", small.HEADS)
def test_trains_and_evaluates(name, tmp_path):
    model, rows = small.model(name), dataset(name)
    trainer = Trainer(model, arguments(tmp_path), train_dataset=rows, eval_dataset=rows[:3])
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < before


def test_pretraining_evaluates_without_labels(tmp_path):
    rows = [{"pixel_values": row["pixel_values"]} for row in dataset("Unimo2ForPreTraining")]
    settings = arguments(tmp_path, label_names=[])
    trainer = Trainer(small.model("Unimo2ForPreTraining"), settings, train_dataset=rows, eval_dataset=rows)
    assert trainer.evaluate()["eval_loss"] > 0


@pytest.mark.parametrize("name", ["Unimo2ForMaskedLM", "Unimo2ForConditionalGeneration"])
def test_accumulated_steps_equal_one_step(name, tmp_path):
    """The rows have different numbers of words: means of means would differ."""
    parameters = []
    for size, steps in ((6, 1), (2, 3)):
        model = small.model(name)
        settings = arguments(
            tmp_path,
            max_steps=1,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=steps,
            optim="sgd",
            learning_rate=0.1,
            seed=3,
        )
        Trainer(model, settings, train_dataset=dataset(name, copies=2)).train()
        parameters.append(dict(model.named_parameters()))
    for key, one in parameters[0].items():
        torch.testing.assert_close(parameters[1][key], one, atol=1e-5, rtol=1e-4, msg=lambda t, key=key: f"{key}: {t}")


def test_resumes(tmp_path):
    name = "Unimo2ForPreTraining"
    whole = Trainer(
        small.model(name), arguments(tmp_path / "a", save_strategy="steps", save_steps=2), train_dataset=dataset(name)
    )
    whole.train()
    resumed = Trainer(small.model(name, seed=1), arguments(tmp_path / "b"), train_dataset=dataset(name))
    resumed.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-2"))
    expected = whole.model.state_dict()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in resumed.model.state_dict().items())
