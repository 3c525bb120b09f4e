# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The loop of a fine-tuning: what learns and how fast, when it is measured, which checkpoint is kept."""

import logging
from types import SimpleNamespace

import pytest
import torch

from hf_unimo.errors import BadInputError, CheckFailedError
from hf_unimo.evaluation.bootstrap import Figure
from hf_unimo.training.finetune import build_finetuning, finetuning_arguments, make_finetuner
from hf_unimo.training.finetune_trainer import PRIMARY
from hf_unimo.training.lora import without_adapters
from hf_unimo.training.trainer import last_checkpoint

from . import finetune_runs, runs


NOT_MEASURED = {"data__validation": None, "data__test": None}


def trained(task, folder, **changes):
    """The trainer, and the parameters before."""
    trainer = finetune_runs.trainer(task, folder, **changes)
    before = runs.parameters(trainer.model)
    trainer.train()
    return trainer, before


def moved(trainer, before) -> set[str]:
    """Names of the parameters that are others now, to the bit."""
    return {name for name, value in runs.parameters(trainer.model).items() if not torch.equal(value, before[name])}


# What learns ---------------------------------------------------------------------------------------------------------


def test_everything_learns_by_default(tmp_path):
    trainer, before = trained("entailment", tmp_path, **NOT_MEASURED)
    found = moved(trainer, before)
    parts = {".".join(name.split(".")[:2]) for name in found}
    assert {"unimo2.vision_model", "unimo2.text_model", "unimo2.grounded_model", "classifier.weight"} <= parts


def test_a_linear_probe_trains_the_classifier_only(tmp_path):
    trainer, before = trained("linear-probe", tmp_path, **NOT_MEASURED, training__weight_decay=0.5)
    assert moved(trainer, before) == {"classifier.weight", "classifier.bias"}
    assert {name for name, value in trainer.model.named_parameters() if value.requires_grad} == moved(trainer, before)


def test_frozen_parts_stay(tmp_path):
    trainer, before = trained("entailment", tmp_path, **NOT_MEASURED, training__freeze={"vision_model": True})
    found = moved(trainer, before)
    assert found and not any("vision_model" in name for name in found)
    assert any("text_model" in name for name in found)


def test_a_part_can_thaw(tmp_path):
    trainer = finetune_runs.trainer("entailment", tmp_path, **NOT_MEASURED, training__freeze={"vision_model": 2})
    weight, seen = trainer.model.unimo2.vision_model.layers[0].mlp.fc1.weight, []
    watch(trainer, lambda: seen.append(weight.detach().clone()))
    start = weight.detach().clone()
    trainer.train()
    assert [torch.equal(value, start) for value in seen] == [True, True, False, False]


def watch(trainer, function):
    """Calls `function` after every step."""
    from transformers import TrainerCallback

    class Watch(TrainerCallback):
        def on_step_end(self, *args, **kwargs):
            function()

    trainer.add_callback(Watch())


def test_layers_learn_at_rates_of_their_own(tmp_path):
    config = {"vision_config": finetune_runs.ENCODER | {"image_size": 32, "num_hidden_layers": 3}}
    trainer = finetune_runs.trainer(
        "image-classification",
        tmp_path,
        **NOT_MEASURED,
        model__config=finetune_runs.MODEL["config"] | config,
        training__layerwise_lr_decay=0.5,
        training__lr_multipliers={"classifier": 10.0},
    )
    rates = {}
    for group in trainer.create_optimizer().param_groups:
        rates |= dict.fromkeys(map(id, group["params"]), group["lr"] / 1e-3)
    rate = {name: rates[id(value)] for name, value in trainer.model.named_parameters()}
    layers = [rate[f"unimo2.vision_model.layers.{layer}.mlp.fc1.weight"] for layer in range(3)]
    assert layers == pytest.approx([0.25, 0.5, 1.0]) and rate["classifier.weight"] == pytest.approx(10.0)


def test_low_rank_updates_leave_the_base_weights(tmp_path):
    trainer = finetune_runs.trainer("vqa", tmp_path, **NOT_MEASURED, training__lora={"r": 4})
    inputs, before = next(iter(trainer.get_train_dataloader())), runs.parameters(trainer.model)
    inputs.pop("info")
    trainer.train()
    found = moved(trainer, before)
    assert found and all("lora_" in name or "classifier.modules_to_save" in name for name in found)
    assert any("vision_model" in name and "lora_B" in name for name in found)
    base = without_adapters(trainer.model)
    with torch.no_grad():
        adapted = base.eval()(**inputs).logits
        merged = trainer.model.merge_and_unload().eval()(**inputs).logits
    torch.testing.assert_close(adapted, merged, atol=1e-5, rtol=1e-4)


# Steps ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["vqa", "entailment", "captioning", "masked-lm", "text-regression"])
def test_accumulated_batches_are_one_batch(task, tmp_path):
    """Losses over words count the words of the whole step, those over rows its rows."""
    ends = []
    for size in (8, 4):
        trainer = finetune_runs.trainer(
            task,
            tmp_path,
            output=f"batches of {size}",
            **NOT_MEASURED,
            data__batch_size=size,
            training__steps=1,
            training__gradient_accumulation_steps=8 // size,
            training__optim="sgd",
            training__learning_rate=1.0,
            training__max_grad_norm=0.0,
            training__lr_scheduler_type="constant",
        )
        if size == 8:
            batch = next(iter(trainer.get_train_dataloader()))
        else:
            replay(batch, trainer)
        before = runs.parameters(trainer.model)
        trainer.train()
        ends.append((before, runs.parameters(trainer.model), trainer.state.log_history[0]["loss"]))
    (start, whole, loss), (other, halves, other_loss) = ends
    assert all(torch.equal(value, other[name]) for name, value in start.items())
    assert max((whole[name] - start[name]).abs().max() for name in whole) > 1e-3
    for name, value in whole.items():
        torch.testing.assert_close(halves[name], value, atol=2e-5, rtol=1e-3, msg=lambda text, n=name: f"{n}: {text}")
    assert other_loss == pytest.approx(loss, rel=1e-4)


def replay(batch, trainer):
    """Makes a trainer's batches the halves of a batch, as what is drawn for a row depends on its place in one."""
    info, size, halves = batch.pop("info"), 4, []
    for start in (0, size):
        rows = slice(start, start + size)
        half = {name: value[rows] for name, value in batch.items() if name not in ("image_index", "pixel_values")}
        if "pixel_values" in batch:  # which rows may share
            index = batch.get("image_index", torch.arange(2 * size))
            half["pixel_values"] = batch["pixel_values"][index[rows]]
        halves.append({**half, "info": info})
    trainer.get_train_dataloader = lambda: _Batches(halves)


class _Batches(list):
    """What Trainer asks of a loader."""

    dataset = None


def test_seed_and_step_reach_a_loss_that_draws(tmp_path):
    trainer = finetune_runs.trainer("retrieval", tmp_path, **NOT_MEASURED, options={"hardness": 0.25})
    info = SimpleNamespace(index=3)
    assert trainer.model_arguments(info) == {"seed": 0, "step": 3, "matching_hardness": 0.25}
    trainer = finetune_runs.trainer("vqa", tmp_path, **NOT_MEASURED)
    assert trainer.model_arguments(info) == {}


def test_a_loss_that_is_not_finite_names_the_batch(tmp_path):
    trainer = finetune_runs.trainer("vqa", tmp_path, **NOT_MEASURED)
    trainer.model.classifier.weight.data.fill_(float("nan"))
    with pytest.raises(CheckFailedError, match=r"not finite at step 0 .*, in batch 0 of source 'train' .* row \d+"):
        trainer.train()


# When it is measured, and what is kept -------------------------------------------------------------------------------


def figures_in_turn(trainer, values):
    """Lets the evaluations of the trainer give these values, and notes the steps."""
    steps, turn = [], iter(values)

    def validate(model):
        steps.append(trainer.state.global_step)
        assert not hasattr(model, "merge_and_unload")
        return SimpleNamespace(figures={"accuracy": Figure(next(turn)), "macro_f1": Figure(-len(steps))})

    trainer.validate = validate
    return steps


def test_once_an_epoch_and_at_the_end(tmp_path):
    """20 rows, 8 a step: an epoch is 3 steps, 2.5 epochs are 7."""
    trainer = finetune_runs.trainer(
        "entailment", tmp_path, data__batch_size=8, training={"epochs": 2.5, "use_cpu": True}
    )
    steps = figures_in_turn(trainer, [0.1, 0.2, 0.3])
    trainer.train()
    assert trainer.args.max_steps == 7 and steps == [3, 6, 7]
    evaluations = [entry["step"] for entry in trainer.state.log_history if "eval_accuracy" in entry]
    assert evaluations == [3, 6, 7] and trainer.state.best_global_step == 7


def test_the_best_checkpoint_is_loaded_at_the_end(tmp_path):
    trainer = finetune_runs.trainer(
        "entailment", tmp_path, data__batch_size=8, training={"epochs": 4, "use_cpu": True, "learning_rate": 1e-2}
    )
    kept = []
    steps = figures_in_turn(trainer, [0.3, 0.7, 0.5, 0.6])
    watch(trainer, lambda: kept.append(trainer.model.classifier.weight.detach().clone()))
    trainer.train()
    assert steps == [3, 6, 9, 10]
    assert trainer.state.best_metric == 0.7 and trainer.state.best_global_step == 6
    assert torch.equal(trainer.model.classifier.weight, kept[5]) and not torch.equal(kept[5], kept[-1])
    assert {path.name for path in (tmp_path / "out").glob("checkpoint-*")} == {"checkpoint-6", "checkpoint-10"}


def test_another_figure_can_tell_the_best(tmp_path):
    changes = {"training": {"steps": 4, "eval_steps": 2, "metric_for_best_model": "macro_f1", "use_cpu": True}}
    trainer = finetune_runs.trainer("entailment", tmp_path, **changes)
    steps = figures_in_turn(trainer, [0.1, 0.9])
    trainer.train()
    assert steps == [2, 4] and trainer.state.best_global_step == 2 and trainer.state.best_metric == -1
    assert trainer.args.greater_is_better
    loss = {"training": {"steps": 4, "metric_for_best_model": "masked_loss", "use_cpu": True}}
    assert not finetune_runs.trainer("masked-lm", tmp_path, **loss).args.greater_is_better


def test_a_figure_that_the_task_does_not_have_is_refused(tmp_path):
    changes = {"training": {"steps": 4, "eval_steps": 2, "metric_for_best_model": "bleu", "use_cpu": True}}
    trainer = finetune_runs.trainer("entailment", tmp_path, **changes)
    figures_in_turn(trainer, [0.1])
    with pytest.raises(BadInputError, match=r"metric_for_best_model is 'bleu'; accepted are accuracy, macro_f1"):
        trainer.train()


def test_early_stopping(tmp_path):
    training = {"steps": 8, "eval_steps": 1, "early_stopping_patience": 2, "use_cpu": True}
    trainer = finetune_runs.trainer("entailment", tmp_path, training=training)
    steps = figures_in_turn(trainer, [0.5, 0.4, 0.6, 0.5, 0.6, 0.9, 0.9, 0.9])
    trainer.train()
    assert steps == [1, 2, 3, 4, 5] and trainer.state.best_global_step == 3


def test_without_validation_nothing_is_measured(tmp_path):
    trainer, _ = trained("entailment", tmp_path, **NOT_MEASURED, training__save_steps=3)
    assert not any(name.startswith("eval") for entry in trainer.state.log_history for name in entry)
    assert trainer.args.eval_strategy == "no" and not trainer.args.load_best_model_at_end
    assert last_checkpoint(tmp_path / "out").endswith("checkpoint-4")


def arguments(tmp_path, **training):
    changes = {"training": {"epochs": 3, "use_cpu": True, **training}, "data__batch_size": 8}
    return finetuning_arguments(build_finetuning(finetune_runs.config("entailment", tmp_path, **changes)))


@pytest.mark.parametrize(
    "training, measured, saved",
    [
        ({}, 3, 3),
        ({"eval_steps": 2}, 2, 2),
        ({"save_steps": 2}, 2, 2),
        ({"eval_steps": 2, "save_steps": 4}, 2, 4),
        ({"eval_strategy": "epoch"}, 3, 3),
        ({"eval_strategy": "epoch", "save_strategy": "epoch", "logging_strategy": "epoch"}, 3, 3),
        ({"eval_strategy": "steps", "eval_steps": 4}, 4, 4),
    ],
)
def test_how_often_it_is_measured_and_saved(training, measured, saved, tmp_path):
    found = arguments(tmp_path, **training)
    assert (found.eval_strategy, found.eval_steps, found.save_steps) == ("steps", measured, saved)
    assert found.load_best_model_at_end and found.metric_for_best_model == PRIMARY and found.greater_is_better
    if "logging_strategy" in training:
        assert (found.logging_strategy, found.logging_steps) == ("steps", 3)


def test_measuring_can_be_turned_off(tmp_path):
    found = arguments(tmp_path, eval_strategy="no")
    assert found.eval_strategy == "no" and found.save_steps == 3 and not found.load_best_model_at_end
    found = arguments(tmp_path, save_strategy="no")
    assert found.eval_strategy == "steps" and not found.load_best_model_at_end


def test_what_the_figures_are_called(tmp_path):
    trainer = finetune_runs.trainer("vqa", tmp_path)
    found = trainer.evaluate()
    assert found["eval_primary"] == found["eval_exact_match"] and trainer.last_evaluation == (0, found)
    assert "eval_primary" not in trainer.state.log_history[-1]


def test_evaluation_draws_nothing_and_changes_nothing(tmp_path):
    for task in ("masked-lm", "retrieval"):
        trainer = finetune_runs.trainer(task, tmp_path)
        trainer.model.train()
        state, before = torch.get_rng_state(), runs.parameters(trainer.model)
        first, second = trainer.evaluate(), trainer.evaluate()
        assert first == second and trainer.model.training
        assert torch.equal(torch.get_rng_state(), state) and not moved(trainer, before)


# Rows ----------------------------------------------------------------------------------------------------------------


def test_rows_that_cannot_be_read_are_counted_and_replaced(tmp_path, caplog):
    path = finetune_runs.with_broken_pictures(tmp_path, [0, 3])
    splits = {"data__train": {"path": str(path)}, **NOT_MEASURED}
    with caplog.at_level(logging.WARNING):
        trainer, _ = trained("image-classification", tmp_path, **splits, training__steps=8)
    assert len(trainer.bad_rows) == 2 and len([text for text in caplog.messages if "cannot be used" in text]) == 2
    with pytest.raises(BadInputError, match=r"More than 1 rows cannot be used.* raise `max_bad_rows`"):
        trained("image-classification", tmp_path, output="b", **splits, training__steps=8, data__max_bad_rows=1)


def test_batches_do_not_depend_on_the_workers(tmp_path):
    augmented = {"data__augmentation": "contrastive", "data__rows_per_image": 2, **NOT_MEASURED}
    loaders = [
        finetune_runs.trainer("vqa", tmp_path, data__num_workers=workers, **augmented).get_train_dataloader()
        for workers in (0, 2)
    ]
    for one, other in zip(*loaders):
        info = one.pop("info"), other.pop("info")
        assert info[0].places == info[1].places
        assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_picture_with_many_questions_is_encoded_once_a_batch(tmp_path):
    changes = {"data__rows_per_image": 3, **NOT_MEASURED, "training__steps": 2}
    trainer = finetune_runs.trainer("vqa", tmp_path, **changes)
    calls, rows = [], []
    vision, head = trainer.model.unimo2.vision_model, trainer.model.classifier
    vision.register_forward_hook(
        lambda module, args, kwargs, out: calls.append(len(out.last_hidden_state)), with_kwargs=True
    )
    head.register_forward_hook(lambda module, args, out: rows.append(len(out)))
    trainer.train()
    assert calls == [4, 4] and all(number > 8 for number in rows)  # four pictures, up to three questions each


def test_a_run_is_made_of_its_parts(tmp_path):
    run = build_finetuning(finetune_runs.config("retrieval", tmp_path, **NOT_MEASURED))
    trainer = make_finetuner(run, finetuning_arguments(run))
    assert trainer.model is run.model and trainer.sources == [run.source] and trainer.validate is None
    assert run.schedule().steps == run.steps == 4
