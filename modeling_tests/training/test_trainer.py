# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""`ScheduledTrainer`: resumption to the bit, what is logged, what learns and what does not, how it stops."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import TrainerCallback

from hf_unimo.errors import BadInputError, CheckFailedError
from hf_unimo.training.trainer import PARTIAL, last_checkpoint

from . import runs


class At(TrainerCallback):
    """Calls `act(control)` at the end of a step."""

    def __init__(self, step, act):
        self.step, self.act = step, act

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            self.act(control)


def stop(control):
    control.should_save = control.should_training_stop = True


def train(output, interrupted_at=None, **changes):
    trainer = runs.trainer(output, **changes)
    if interrupted_at is not None:
        trainer.add_callback(At(interrupted_at, stop))
        trainer.train()
        trainer = runs.trainer(output, **changes)
        trainer.train(resume_from_checkpoint=True)
    else:
        trainer.train()
    return trainer


def losses(trainer):
    return {
        entry["step"]: {name: value for name, value in entry.items() if name.startswith("loss")}
        for entry in trainer.state.log_history
        if "loss" in entry
    }


CASES = {
    "map": {},
    "workers": {"data__num_workers": 2},
    "stream": {"data__sources__emoji__streaming": True, "data__sources__emoji__group_by": None},
    "accumulating": {"data__sampler": "accumulating", "training__steps": 6},
    "accumulation": {"training__gradient_accumulation_steps": 2},
    "dictionary": {"dictionary": {"row_constraint": True, "restart_dead_every": 3, "temperature_lr": 0}},
    "freezing": {"training__freeze": {"vision_model": 0.7}, "training__layerwise_lr_decay": 0.5},
}


@pytest.mark.parametrize("case", CASES)
def test_resumed_equals_uninterrupted(case, tmp_path):
    whole = train(tmp_path / "whole", **CASES[case])
    # Step 5 is none that is saved anyway.
    resumed = train(tmp_path / "resumed", interrupted_at=5, **CASES[case])
    assert whole.state.global_step == resumed.state.global_step == whole.args.max_steps
    assert losses(whole) == losses(resumed)
    for name, parameter in whole.model.named_parameters():
        assert torch.equal(parameter, resumed.model.get_parameter(name)), name
    assert whole.batches_drawn == resumed.batches_drawn
    assert whole.batches_drawn == whole.schedule.counts()


def test_losses_are_logged_by_name_and_kind(tmp_path):
    trainer = train(tmp_path)
    kinds = [trainer.schedule.at(step)[0].kind for step in range(8)]
    log = losses(trainer)
    for step, kind in enumerate(kinds, 1):
        expected = {
            "pairs": {"mlm", "contrastive", "grounding", "score_contrast"} | ({"matching"} if step > 2 else set()),
            "images": {"grounding", "visual_contrastive"},
            "text": {"grounding", "mlm"},
        }[kind]
        assert {name.removeprefix("loss_") for name in log[step]} - {"loss"} == expected
    step = next(step for step, kind in enumerate(kinds, 1) if kind == "pairs" and step > 5)
    parts = log[step]
    expected = sum(parts[f"loss_{name}"] for name in ("mlm", "contrastive", "grounding", "matching"))
    assert parts["loss"] == pytest.approx(expected + 0.5 * parts["loss_score_contrast"], rel=1e-5)


def test_matching_warms_up(tmp_path):
    trainer = runs.trainer(tmp_path)
    weights = [trainer.objectives.weights_at(step)["matching"] for step in range(7)]
    assert weights == pytest.approx([0, 0, 1 / 3, 2 / 3, 1, 1, 1])


def test_accumulating_is_the_sum_of_the_sources(tmp_path):
    trainer = train(tmp_path, data__sampler="accumulating", training__steps=2, training__logging_steps=1)
    log = losses(trainer)[1]
    # Every source gives one batch a step; grounding and mlm are means over the batches that had them.
    assert trainer.batches_drawn == {"emoji": 2, "pictures": 2, "words": 2}
    expected = 3 * log["loss_grounding"] + 2 * log["loss_mlm"] + log["loss_contrastive"]
    expected += log["loss_visual_contrastive"] + 0.5 * log["loss_score_contrast"]
    assert log["loss"] == pytest.approx(expected, rel=1e-5)


def test_text_steps_leave_the_vision_encoder_alone(tmp_path):
    trainer = runs.trainer(
        tmp_path,
        data__sources__emoji__weight=0,
        data__sources__pictures__weight=0,
        objectives={},
        training__weight_decay=0.1,
    )
    before = runs.parameters(trainer.model)
    trainer.train()
    for name, parameter in trainer.model.named_parameters():
        if "vision_model" in name:
            assert torch.equal(parameter, before[name]), name
    assert not torch.equal(
        trainer.model.unimo2.text_model.layers[0].mlp.fc1.weight, before["unimo2.text_model.layers.0.mlp.fc1.weight"]
    )


def test_gradient_caching_changes_nothing(tmp_path):
    kinds = ("hidden", "attention_probs")
    without = [f"{part}_config__{kind}_dropout_prob" for part in ("text", "grounded") for kind in kinds]
    settings = dict.fromkeys((f"model__config__{name}" for name in without), 0.0)
    plain = train(tmp_path / "plain", **settings)
    cached = train(tmp_path / "cached", training__gradient_cache_size=3, **settings)
    assert cached.args.gradient_cache_size == 3
    for step, found in losses(cached).items():
        assert found == pytest.approx(losses(plain)[step], rel=1e-4)


def test_activation_checkpointing_changes_nothing(tmp_path):
    settings = {"model__config__grounded_config__hidden_dropout_prob": 0.0}
    plain = train(tmp_path / "plain", **settings)
    saving = train(tmp_path / "saving", training__activation_checkpointing=True, **settings)
    assert saving.model.is_activation_checkpointing and saving.args.ddp_find_unused_parameters
    assert saving.args.activation_checkpointing_kwargs == {"use_reentrant": False}
    for name, parameter in plain.model.named_parameters():
        torch.testing.assert_close(parameter, saving.model.get_parameter(name), rtol=0, atol=1e-6)


def test_what_is_frozen_does_not_move(tmp_path):
    trainer = runs.trainer(
        tmp_path,
        training__freeze={"vision_model": True, "text_model": 4},
        training__lr_multipliers={"grounded_model": 0.0},
        dictionary={"temperature_lr": 0.0},
    )
    start = runs.parameters(trainer.model)
    seen = {}
    trainer.add_callback(At(4, lambda control: seen.update(runs.parameters(trainer.model))))
    trainer.train()
    end = runs.parameters(trainer.model)

    def moved(after, before, part):
        return any(not torch.equal(after[name], before[name]) for name in before if part in name)

    for part in ("vision_model", "grounded_model", "dictionary.temperature"):
        assert not moved(end, start, part), part
    assert not moved(seen, start, "text_model") and moved(end, seen, "text_model")
    assert moved(seen, start, "dictionary.embeddings")
    assert not trainer.model.unimo2.vision_model.embeddings.patch_embedding.weight.requires_grad
    assert trainer.model.unimo2.text_model.layers[0].mlp.fc1.weight.requires_grad


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    trainer = runs.trainer(tmp_path)

    def poison(control):
        with torch.no_grad():
            trainer.model.unimo2.dictionary.embeddings.weight[:] = float("nan")

    before = signal.getsignal(signal.SIGINT)
    trainer.add_callback(At(5, poison))
    with pytest.raises(CheckFailedError) as error:
        trainer.train()
    assert signal.getsignal(signal.SIGINT) is before  # however the run ended
    source = trainer.schedule.at(5)[0].name
    message = str(error.value)
    assert "not finite at step 5" in message and "grounding nan" in message
    assert f"in batch 5 of source {source!r} (pairs) on process 0: row " in message
    assert last_checkpoint(tmp_path).endswith("checkpoint-4")


def test_ctrl_c_saves_and_a_resumed_run_goes_on(tmp_path):
    whole = train(tmp_path / "whole")
    trainer = runs.trainer(tmp_path / "run")
    before = signal.getsignal(signal.SIGINT)
    trainer.add_callback(At(3, lambda control: os.kill(os.getpid(), signal.SIGINT)))
    trainer.train()
    assert trainer.stop.interrupted and signal.getsignal(signal.SIGINT) is before
    # The signal came after the callback that looks for it, so the next step is the last.
    assert trainer.state.global_step == 4 and last_checkpoint(tmp_path / "run").endswith("checkpoint-4")
    resumed = runs.trainer(tmp_path / "run")
    resumed.train(resume_from_checkpoint=True)
    for name, parameter in whole.model.named_parameters():
        assert torch.equal(parameter, resumed.model.get_parameter(name)), name


KILLED = """
import os, signal, sys
from modeling_tests.training import runs
from transformers import Trainer

whole = Trainer._save_optimizer_and_scheduler

def killed(self, output_dir):
    if self.state.global_step == 6:  # the model is there, the optimizer half
        open(os.path.join(output_dir, "optimizer.pt"), "wb").write(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    whole(self, output_dir)

Trainer._save_optimizer_and_scheduler = killed
runs.trainer(sys.argv[1], training__save_steps=3).train()
"""


@pytest.mark.slow
def test_killed_while_saving_resumes_from_the_last_whole_checkpoint(tmp_path):
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "run")], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (tmp_path / "run" / PARTIAL / "checkpoint-6" / "optimizer.pt").read_bytes() == b"half"
    assert last_checkpoint(tmp_path / "run") == str(tmp_path / "run" / "checkpoint-3")
    resumed = runs.trainer(tmp_path / "run", training__save_steps=3)
    resumed.train(resume_from_checkpoint=True)
    whole = train(tmp_path / "whole", training__save_steps=3)
    for name, parameter in whole.model.named_parameters():
        assert torch.equal(parameter, resumed.model.get_parameter(name)), name
    assert not (tmp_path / "run" / PARTIAL).exists()


def test_checkpoints_know_the_best_and_the_oldest_goes(tmp_path):
    trainer = runs.trainer(
        tmp_path,
        data__evaluation={"unseen": runs.GALLERY},
        training__eval_strategy="steps",
        training__eval_steps=2,
        training__save_steps=2,
        training__save_total_limit=2,
        training__load_best_model_at_end=True,
        dictionary={"health_every": 3},
    )
    trainer.train()
    history = trainer.state.log_history
    found = {entry["step"]: entry["eval_mean_recall"] for entry in history if "eval_mean_recall" in entry}
    assert sorted(found) == [2, 4, 6, 8]
    best = max(found, key=lambda step: (found[step], -step))
    assert trainer.state.best_model_checkpoint == str(tmp_path / f"checkpoint-{best}")
    left = sorted(int(path.name.split("-")[1]) for path in tmp_path.glob("checkpoint-*"))
    assert left == sorted({best, 8}) or left == sorted({best, 6, 8})
    state = json.loads((tmp_path / f"checkpoint-{best}" / "trainer_state.json").read_text())
    assert state["best_model_checkpoint"] == str(tmp_path / f"checkpoint-{best}")
    health = [entry for entry in history if "health_own_overlap" in entry]
    assert [entry["step"] for entry in health] == [3, 6]
    assert sorted(losses(trainer)) == list(range(1, 9))  # each step has its line, those of the health log too
    assert {"health_entries_used_by_images", "health_perplexity_of_texts", "health_score_text_recall@10"} <= set(
        health[0]
    )
    assert trainer.evaluate()["eval_mean_recall"] == pytest.approx(found[best])


def test_early_stopping(tmp_path):
    trainer = runs.trainer(
        tmp_path,
        data__evaluation={"unseen": runs.GALLERY},
        training__eval_strategy="steps",
        training__eval_steps=1,
        training__early_stopping_patience=1,
        training__learning_rate=0.0,
    )
    trainer.train()
    assert trainer.state.global_step == 2  # the second evaluation is no better than the first


def test_the_negatives_are_told(tmp_path):
    assert runs.trainer(tmp_path).negatives() == (
        "negatives: 7 for each row in contrast (8 rows x 1 process); matching draws 1 wrong partner of up to 7"
    )


def test_bad_input(tmp_path):
    with pytest.raises(BadInputError, match=r"`training.lr_multipliers` names 'visoin_model', .*'vision_model'"):
        runs.trainer(tmp_path, training__lr_multipliers={"visoin_model": 0.5})
    with pytest.raises(BadInputError, match=r"Source 'words' \(text\) is drawn from step 0 on"):
        runs.trainer(
            tmp_path, objectives={"mlm": {"start": 3}, "grounding": {"weight": 0}, "masked_grounding": {"weight": 0}}
        )
    with pytest.raises(BadInputError, match=r"`dictionary.health_every` needs an evaluation source of pairs"):
        runs.trainer(tmp_path, dictionary={"health_every": 1})
    with pytest.raises(BadInputError, match=r"There is no checkpoint in .* to resume from"):
        runs.trainer(tmp_path).train(resume_from_checkpoint=True)
