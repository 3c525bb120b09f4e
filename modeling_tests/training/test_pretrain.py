# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""`hf-unimo pretrain`: a whole run, what it leaves, and what it refuses before anything is written."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from transformers import AutoModelForPreTraining, AutoProcessor, RobertaConfig, RobertaModel, ViTConfig, ViTModel

from hf_unimo.cli import main
from hf_unimo.training.build import build_run
from hf_unimo.training.run_config import load_run_config
from modeling_tests.two_processes import torchrun

from . import runs


ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "examples" / "configs").glob("*.yaml"))


def write(folder, **changes) -> str:
    """A YAML file of a small run into `folder`/out."""
    path = folder / "run_config.yaml"
    path.write_text(yaml.safe_dump(runs.tree(folder / "out", **changes), sort_keys=False))
    return str(path)


def refused(capsys, *arguments) -> str:
    """The sentence with which the command ends with code 2."""
    assert main(["pretrain", *arguments]) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("hf-unimo pretrain: ")
    return message.removeprefix("hf-unimo pretrain: ")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    galleries = {"unseen": runs.GALLERY, "unseen_twice": runs.GALLERY}  # one name begins like the other
    config = write(folder, data__evaluation=galleries, training__steps=5, training__save_steps=2)
    assert main(["pretrain", config, "training.learning_rate=2e-3"]) == 0
    return folder


def test_what_a_run_leaves(finished):
    out = finished / "out"
    left = {path.name for path in out.iterdir()}
    assert left == {"run.yaml", "model", "metrics.json", "README.md", "losses.png", "checkpoint-4", "checkpoint-5"}
    model, info = AutoModelForPreTraining.from_pretrained(out / "model", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    processor = AutoProcessor.from_pretrained(out / "model")
    inputs = processor(text=["a cat"], return_tensors="pt")
    assert model.unimo2.get_text_features(**inputs).pooler_output.shape == (1, 32)
    again = load_run_config(out / "run.yaml")
    assert again.training.arguments["learning_rate"] == 2e-3 and again.training.steps == 5


def test_its_card_and_metrics_tell_what_was_done(finished):
    card = ModelCard.load(finished / "out" / "README.md")
    assert card.data.library_name == "transformers"
    assert "hf-unimo pretrain" in card.text and "training.learning_rate=2e-3" in card.text
    assert str(finished) not in card.text  # no paths of this machine
    for row in ("| emoji | pairs |", "| pictures | images |", "| words | text |"):
        assert row in card.text
    metrics = json.loads((finished / "out" / "metrics.json").read_text())
    assert str(finished) not in json.dumps(metrics)
    assert "| unseen | twice_" not in card.text
    assert (
        card.text.count("| unseen | image to text | 18 |")
        == card.text.count("| unseen_twice | image to text | 18 |")
        == 1
    )
    found = json.dumps(metrics)
    assert '"loss_mlm"' in found and '"mean_recall"' in found and '"share_of_peak"' in found


def test_a_finished_run_is_not_begun_again(finished, capsys):
    config = str(finished / "run_config.yaml")
    before = {path: path.stat().st_mtime_ns for path in (finished / "out").rglob("*")}
    message = refused(capsys, config, "training.learning_rate=2e-3")
    assert "exists and is not empty" in message
    message = refused(capsys, config, "training.learning_rate=2e-3", "--resume")
    assert "holds a finished run" in message
    message = refused(capsys, config, "training.learning_rate=3e-3", "--resume")
    assert "different configuration" in message and "training.learning_rate: 0.002 -> 0.003" in message
    assert before == {path: path.stat().st_mtime_ns for path in (finished / "out").rglob("*")}


@pytest.mark.parametrize(
    "changes, overrides, words",
    [
        ({}, ["training.step=3"], "training.step is no known key; the nearest known is training.steps"),
        ({}, ["data.sources.emoji.columns.text=labels"], "'labels'"),
        ({}, ["data.sources.emoji.columns={image: image}"], "emoji"),
        ({}, ["data.sources.words.where={group: [nothing]}"], "words"),
        (
            {"objectives": {}},
            [f"data.sources.{name}.weight=0" for name in ("emoji", "pictures", "words")],
            "data.sources has weights that sum to 0",
        ),
        ({}, ["data.sources.emoji.path=nowhere.parquet"], "nowhere.parquet"),
        (
            {},
            ["model.config.text_config.vocab_size=100"],
            "The tokenizer has 3,000 words, but the model has embeddi",
        ),
        ({}, ["data.image_size=60"], "data.image_size is 60, but must be a multiple of the model's patch size 16"),
        ({}, ["data.max_text_length=80"], "data.max_text_length is 80, but the model has positions for 64"),
        ({}, ["model.processor=null"], "model.processor is missing"),
        ({}, ["model.config.num_grounded_tokens=99"], "`num_grounded_tokens` must lie between 1 and"),
        ({}, ["training.optim=adamm"], "training.optim"),
        ({}, ["training.optim=galore_adamw"], "training.optim galore_adamw cannot be used"),
        ({}, ["training.lr_scheduler_type=reduce_lr_on_plateau"], "which goes by evaluations"),
        ({}, ["objectives.masked_grounding.weight=1"], "nothing is hidden: set model.config.grounding_mask_ratio"),
        ({}, ["--resume"], "holds no run to resume"),
        ({"dictionary": {"row_constraint": True}}, ["model.config.grounding_method=none"], "has no dictionary"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(changes, overrides, words, tmp_path, capsys):
    message = refused(capsys, write(tmp_path, **changes), *overrides)
    assert words in message and message.count("\n") == 0
    assert not (tmp_path / "out").exists()


def test_a_run_that_was_killed_at_its_end_is_finished_by_resuming(finished, tmp_path, capsys):
    shutil.copytree(finished / "out", tmp_path / "out")
    for name in ("README.md", "metrics.json", "losses.png"):
        (tmp_path / "out" / name).unlink()
    shutil.rmtree(tmp_path / "out" / "model")
    config = (finished / "run_config.yaml", "training.learning_rate=2e-3", f"output={tmp_path / 'out'}", "--resume")
    assert main(["pretrain", *map(str, config)]) == 0
    assert "resuming from" in capsys.readouterr().out
    weights = [load_file(folder / "out" / "model" / "model.safetensors") for folder in (finished, tmp_path)]
    assert all(torch.equal(weights[0][name], value) for name, value in weights[1].items())
    assert (tmp_path / "out" / "README.md").is_file()


def test_a_checkpoint_goes_on_with_its_configuration(finished, tmp_path, capsys):
    start = {"checkpoint": str(finished / "out" / "model"), "config": {}}
    config = write(tmp_path, model=start, training__steps=1, training__learning_rate=0.0)
    assert main(["pretrain", config]) == 0
    files = [load_file(folder / "out" / "model" / "model.safetensors") for folder in (finished, tmp_path)]
    assert all(torch.equal(files[0][name], value) for name, value in files[1].items())
    capsys.readouterr()
    other = write(tmp_path, model=start | {"config": {"dictionary_size": 64}}, training__steps=2)
    Path(other).write_text(Path(other).read_text().replace(f"{tmp_path}/out", f"{tmp_path}/other"))
    assert "model could be loaded" in refused(capsys, other)
    assert not (tmp_path / "other").exists()


def test_separate_encoders_are_mapped_in(tmp_path):
    shared = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64, "num_hidden_layers": 1}
    vision, text = (
        ViTModel(ViTConfig(**shared, image_size=64)),
        RobertaModel(RobertaConfig(**shared, vocab_size=3000, max_position_embeddings=80, type_vocab_size=1)),
    )
    vision.save_pretrained(tmp_path / "vit")
    text.save_pretrained(tmp_path / "roberta")
    config = write(
        tmp_path,
        model={
            "preset": "tiny",
            "vision_checkpoint": str(tmp_path / "vit"),
            "text_checkpoint": str(tmp_path / "roberta"),
            "processor": str(runs.EMOJI / "tokenizer"),
        },
    )
    run = build_run(load_run_config(config))
    model = run.model.unimo2
    assert torch.equal(model.vision_model.layers[0].mlp.fc1.weight, vision.layers[0].mlp.fc1.weight)
    for encoder in (model.text_model, model.grounded_model):
        assert torch.equal(encoder.layers[0].mlp.fc1.weight, text.encoder.layer[0].intermediate.dense.weight)
    assert run.encoders.used


def test_ctrl_c_says_how_to_go_on(tmp_path):
    config = write(tmp_path, training__steps=400, training__save_steps=1000)
    command = [sys.executable, "-m", "hf_unimo", "pretrain", config]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as run:
        for line in run.stdout:
            if "loss" in line:  # it has begun
                break
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=120)
    assert run.returncode == 130
    assert "which is saved; add --resume to the command to go on" in errors.splitlines()[-1]
    step = int(errors.splitlines()[-1].split("after step ")[1].split(",")[0])
    assert (tmp_path / "out" / f"checkpoint-{step}" / "trainer_state.json").is_file()
    assert not (tmp_path / "out" / "model").exists()


# The configurations of the examples ----------------------------------------------------------------------------------


def short(config, output):
    return [
        *("pretrain", str(config), f"output={output}", "training.steps=4", "data.batch_size=4"),
        *("training.warmup_steps=1", "training.lr_scheduler_kwargs={num_decay_steps: 1}", "dictionary.health_every=0"),
        "data.evaluation={}",
        "training.eval_strategy=no",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
@pytest.mark.parametrize("processes", [1, 2])
def test_every_example_runs(config, processes, tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = ["-m", "hf_unimo", *short(config, tmp_path / "out")]
    done = torchrun(*command, processes=processes, env=environment)
    assert f"{processes} process" in done.stdout and "written: " in done.stdout
    assert (tmp_path / "out" / "model" / "model.safetensors").is_file()


ABLATIONS = {
    "no dictionary": ["model.config.grounding_method=none", "dictionary={}"],
    "nearest": ["model.config.grounding_method=nearest", "dictionary={}"],
    "ordinary fusion attention": ["model.config.fusion_attention=full"],
    "no text corpus": ["data.sources.words.weight=0"],
    "no image corpus": ["data.sources.noto.weight=0", "objectives.visual_contrastive.weight=0"],
    "neither": [
        "data.sources.words.weight=0",
        "data.sources.noto.weight=0",
        "objectives.visual_contrastive.weight=0",
    ],
}


@pytest.mark.parametrize("name", ABLATIONS)
def test_the_ablations_of_the_paper_are_configuration(name, tmp_path):
    config = ROOT / "examples" / "configs" / "emoji.yaml"
    run = build_run(load_run_config(config, [*short(config, tmp_path)[2:], *ABLATIONS[name]]))
    trainer = runs.make_trainer(run, runs.training_arguments(run.config))
    trainer.train()
    assert trainer.state.global_step == 4
