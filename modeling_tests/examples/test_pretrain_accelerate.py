# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The loop under plain Accelerate trains as the command's Trainer does, on two processes too, and refuses the rest."""

import importlib.util
import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import AutoProcessor

from hf_unimo import Unimo2ForPreTraining, Unimo2Processor
from hf_unimo.training.build import build_run
from hf_unimo.training.pretrain import make_trainer, training_arguments
from hf_unimo.training.run_config import RunConfig, load_run_config
from modeling_tests.training import runs, two_process_run
from modeling_tests.two_processes import torchrun


ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "examples" / "pretrain_accelerate.py"
EMOJI = ROOT / "examples" / "configs" / "emoji.yaml"

spec = importlib.util.spec_from_file_location("pretrain_accelerate", SCRIPT)
pretrain_accelerate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pretrain_accelerate)

# The example's own file, made short and small; all objectives and kinds of batches come within ten steps.
SMALL = [
    "model.config={vision_config: {num_hidden_layers: 1}, grounded_config: {num_hidden_layers: 1}}",
    *("data.batch_size=8", "data.evaluation={}", "data.sources.emoji.weight=2", "objectives.fusion_share=0.5"),
    *("objectives.matching.start=0.4", "objectives.mlm.start=0.2", "dictionary.health_every=0"),
    *("training.steps=10", "training.warmup_steps=3", "training.lr_scheduler_kwargs.num_decay_steps=4"),
    *("training.eval_strategy=no", "training.logging_steps=1", "training.save_strategy=no"),
]
# With dropout.
CASES = {
    "accumulating": {
        "data__sampler": "accumulating",
        "dictionary__restart_dead_every": 2,
        "training__layerwise_lr_decay": 0.5,
        "training__lr_multipliers": {"text_model": 0.5},
        "training__freeze": {"vision_model": 0.5, "lm_head": True},
    },
    "accumulation": {
        "data__sources__words__batch_size": 6,
        "objectives__matching": {"hardness": [[0, 0.0], [0.8, 0.9]]},
        "training__gradient_accumulation_steps": 2,
        "training__max_grad_norm": 0.0,
        "training__weight_decay": 0.1,
    },
}


def small_run(case, output):
    if case == "emoji":
        return load_run_config(EMOJI, [*SMALL, f"output={output}"])
    return runs.config(output, training__steps=10, training__save_strategy="no", **CASES[case])


@pytest.mark.parametrize("case", ["emoji", *CASES])
def test_losses_and_parameters_are_those_of_the_trainer(case, tmp_path):
    config = small_run(case, tmp_path / "theirs")
    trainer = make_trainer(build_run(config), training_arguments(config))
    trainer.train()
    theirs = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    ours = pretrain_accelerate.train(small_run(case, tmp_path / "ours"))

    assert len(ours) == 10 and all(trainer.batches_drawn.values())
    assert ours == pytest.approx(theirs, rel=1e-6)
    start = build_run(config).model.state_dict()
    saved = load_file(tmp_path / "ours" / "model" / "model.safetensors")
    expected = trainer.model.state_dict()
    for name, parameter in saved.items():
        torch.testing.assert_close(
            parameter, expected[name], rtol=0, atol=1e-6, msg=lambda text, n=name: f"{n}: {text}"
        )
    assert max((parameter - start[name]).abs().max() for name, parameter in saved.items()) > 1e-3

    _, found = Unimo2ForPreTraining.from_pretrained(tmp_path / "ours" / "model", output_loading_info=True)
    assert not found["missing_keys"] and not found["unexpected_keys"] and not found["mismatched_keys"]
    assert type(AutoProcessor.from_pretrained(tmp_path / "ours" / "model")) is Unimo2Processor


def to_file(tree, path):
    path.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    return str(path)


@pytest.mark.slow
def test_two_processes_end_where_one_does(tmp_path, capsys):
    settings = two_process_run.SETTINGS | {"training__steps": 5}
    two = to_file(runs.tree(tmp_path / "two", data__batch_size=4, **settings), tmp_path / "two.yaml")
    done = torchrun(SCRIPT, two)
    one = to_file(runs.tree(tmp_path / "one", data__batch_size=8, **settings), tmp_path / "one.yaml")
    assert pretrain_accelerate.main([one]) == 0
    printed = [
        re.findall(r"^step (\d+)/5  (\w+)  loss (\S+)$", text, re.M) for text in (done.stdout, capsys.readouterr().out)
    ]
    assert [line[:2] for line in printed[0]] == [line[:2] for line in printed[1]] and len(printed[0]) == 5
    assert {source for _, source, _ in printed[0]} == {"emoji", "pictures", "words"}
    losses = [[float(loss) for _, _, loss in lines] for lines in printed]
    assert losses[0] == pytest.approx(losses[1], abs=2e-4)
    saved = [load_file(tmp_path / name / "model" / "model.safetensors") for name in ("two", "one")]
    for name, parameter in saved[0].items():
        torch.testing.assert_close(
            parameter, saved[1][name], rtol=0, atol=2e-6, msg=lambda text, n=name: f"{n}: {text}"
        )


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"training__learning_rat": 1}, "training.learning_rat is no known key"),
        ({"training__optim": "sgd"}, "cannot do what training.optim asks for"),
        ({"training__lr_scheduler_type": "greedy"}, "cannot do what training.lr_scheduler_type asks for"),
        ({"training__freeze": {"visoin_model": 0.5}}, "names 'visoin_model'"),
        ({"training__lr_multipliers": {"visoin_model": 0.5}}, "names 'visoin_model'"),
        ({"dictionary__row_constraint": True, "model__config__grounding_method": "none"}, "has no dictionary"),
        ({"data__sources__emoji__path": "nowhere.parquet"}, "nowhere.parquet"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(changes, words, tmp_path, capsys):
    file = to_file(runs.tree(tmp_path / "out", **changes), tmp_path / "run.yaml")
    assert pretrain_accelerate.main([file]) == 2
    message = capsys.readouterr().err
    assert message.startswith("pretrain_accelerate: ") and message.count("\n") == 1 and words in message
    assert not (tmp_path / "out").exists()


def test_an_evaluation_is_not_passed_over_where_it_decides(tmp_path, capsys):
    evaluation = "data.evaluation={unseen: {kind: pairs, path: ../data/emoji/emoji.parquet, columns: {text: label}}}"
    for key in ("early_stopping_patience=2", "load_best_model_at_end=true"):
        assert pretrain_accelerate.main([str(EMOJI), evaluation, f"training.{key}", f"output={tmp_path}/out"]) == 2
        assert f"cannot do what training.{key.split('=')[0]} asks for" in capsys.readouterr().err


def test_a_folder_that_holds_something_is_left_alone(tmp_path, capsys):
    (tmp_path / "mine.txt").touch()
    assert pretrain_accelerate.main([str(EMOJI), *SMALL, f"output={tmp_path}"]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_broken_rows_are_counted_over_the_whole_run(tmp_path, capsys):
    rows = [{"text": "" if number % 10 == 0 else f"word {number}"} for number in range(30)]
    (tmp_path / "words.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    settings = {"path": str(tmp_path / "words.jsonl"), "where": {}, "columns": {"text": "text"}, "batch_size": 2}
    changes = {f"data__sources__words__{name}": value for name, value in settings.items()}
    changes |= {f"data__sources__{name}__weight": 0 for name in ("emoji", "pictures")}
    changes |= {"training__steps": 15, "objectives": {}}
    file = to_file(runs.tree(tmp_path / "out", **changes), tmp_path / "run.yaml")
    assert pretrain_accelerate.main([file, "data.max_bad_rows=2"]) == 2
    found = capsys.readouterr()
    assert "More than 2 rows cannot be used" in found.err and "step 1/15" in found.out
    assert not (tmp_path / "out").exists()
    assert pretrain_accelerate.main([file, "data.max_bad_rows=3"]) == 0


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, monkeypatch, capsys):
    def broken(config: RunConfig):
        run = build_run(config)
        torch.nn.init.constant_(run.model.unimo2.dictionary.embeddings.weight, torch.nan)
        return run

    monkeypatch.setattr(pretrain_accelerate, "build_run", broken)
    file = to_file(runs.tree(tmp_path / "out"), tmp_path / "run.yaml")
    assert pretrain_accelerate.main([file]) == 1
    message = capsys.readouterr().err
    assert "not finite at step 0, in batch 0: ['row " in message
    assert not (tmp_path / "out").exists()
