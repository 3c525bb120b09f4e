# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Weights shared out over two processes (FSDP2 over gloo): the run, its checkpoints and its model are those of one.
"""

import os
import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.distributed.run
import yaml
from accelerate import PartialState
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import DistributedType
from accelerate.utils.deepspeed import HfDeepSpeedConfig
from accelerate.utils.launch import prepare_multi_gpu_env
from huggingface_hub import ModelCard
from transformers import AutoModelForPreTraining
from transformers.integrations.deepspeed import HfTrainerDeepSpeedConfig

from hf_unimo.cli import main
from hf_unimo.errors import BadInputError
from hf_unimo.training import arguments, sharding
from hf_unimo.training.lora import add_lora
from hf_unimo.training.run_config import load_run_config
from modeling_tests.models.unimo2 import small
from modeling_tests.two_processes import torchrun

from . import runs, sharded_run


RUN = "modeling_tests.training.sharded_run"
FOLDER = Path(__file__).parents[2] / "examples" / "distributed"
LAYERS = [f"unimo2.{part}_model.layers.0" for part in ("vision", "text", "grounded")]


# Two processes ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Name of a run -> what it left, of one process (`one`) and of each of two."""
    two, one = tmp_path_factory.mktemp("two"), tmp_path_factory.mktemp("one")
    torchrun("-m", RUN, two, *sharded_run.RUNS, "load_sharded")  # DDP first: accelerate remembers FSDP
    sharded_run.main(one, ["full", "lora"])
    names = [*sharded_run.RUNS, "load_sharded", *(f"{name}-resumed" for name in ("full", "shards", "lora"))]
    found = {name: [torch.load(two / f"{name}.{rank}.pt") for rank in range(2)] for name in names}
    found["one"] = {name: torch.load(one / f"{name}.0.pt") for name in ("full", "lora")}
    return SimpleNamespace(**found, two=two, one_folder=one)


def assert_same(first, second, atol=2e-6, rel=2e-5):
    """Two runs end with the same parameters, on each of their processes, and logged the same losses."""
    assert first["end"].keys() == second["end"].keys()
    for name, parameter in first["end"].items():
        torch.testing.assert_close(second["end"][name], parameter, rtol=0, atol=atol, msg=lambda t, n=name: f"{n} {t}")
    moved = max((value - first["end"][name]).abs().max().item() for name, value in first["start"].items())
    assert moved > 1e-3  # they have moved far more than that
    assert len(first["log"]) == len(second["log"]) == 8
    for alone, shared in zip(first["log"], second["log"]):
        assert alone.keys() == shared.keys()
        for name in alone:
            assert shared[name] == pytest.approx(alone[name], rel=rel), (alone["step"], name)


@pytest.mark.slow
def test_sharded_is_one_process(results):
    for found in results.full:
        assert_same(results.one["full"], found)
        for name in ("candidates", "image_recall@5", "text_mean_rank", "entries_used_by_images", "own_overlap"):
            name = f"eval_unseen_{name}"
            assert found["metrics"][name] == pytest.approx(results.one["full"]["metrics"][name], abs=1e-6)
    names = {name for entry in results.full[0]["log"] for name in entry}
    assert {"loss_mlm", "loss_matching", "loss_contrastive", "loss_visual_contrastive"} <= names


@pytest.mark.slow
def test_each_process_has_half_of_the_weights_in_units_of_layers(results):
    first, second = results.full
    whole = results.one["full"]["own"]
    assert first["own"] + second["own"] == whole and 0.45 < first["own"] / whole < 0.55
    # accelerate makes a unit of the words and the head that shares their weight; a sub-model is never one.
    tied = {"unimo2.text_model.embeddings.word_embeddings", "lm_head.decoder"}
    assert set(first["units"]) - tied == {"", *LAYERS}
    assert set(results.load_sharded[0]["units"]) == {"", *LAYERS}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["full", "shards", "lora"])
def test_resumed_is_uninterrupted(name, results):
    whole, resumed = getattr(results, name), getattr(results, f"{name}-resumed")
    for found, again in zip(whole, resumed):
        assert_same(found, again, atol=0, rel=0)
        assert again["metrics"] == found["metrics"]
    kind = "pytorch_model_fsdp_0" if name == "shards" else "pytorch_model_fsdp.bin"
    assert (results.two / name / "checkpoint-8" / kind).exists()


@pytest.mark.slow
def test_checkpoints_in_shards_are_of_the_same_run(results):
    assert_same(results.full[0], results.shards[0], atol=0, rel=0)


@pytest.mark.slow
def test_saved_models_load_whole_and_sharded(results):
    models = [
        AutoModelForPreTraining.from_pretrained(folder / "full" / "checkpoint-8")
        for folder in (results.one_folder, results.two)
    ]
    expected, found = map(sharded_run.logits, models)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    for sharded in results.load_sharded:
        torch.testing.assert_close(sharded["logits"], found, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_low_rank_updates_are_those_of_one_process(results):
    for found in results.lora:
        assert_same(results.one["lora"], found)


@pytest.mark.slow
def test_gradient_caching_changes_nothing(results):
    for found in results.cached:
        assert_same(results.full[0], found)


@pytest.mark.slow
def test_restarts_are_those_of_plain_processes(results):
    for plain, found in zip(results.restarts_by_ddp, results.restarts):
        assert_same(plain, found)
        assert found["restarted"] == plain["restarted"] > 0
    assert not results.restarts_by_ddp[0]["units"]


@pytest.mark.slow
def test_activation_checkpointing_repeats_dropout(results):
    for plain, found in zip(results.dropout, results.checkpointing):
        assert found["checkpointing"] and not plain["checkpointing"]
        assert_same(plain, found, atol=0, rel=0)
    without = results.full[0]["log"]
    assert any(entry["loss"] != other["loss"] for entry, other in zip(results.dropout[0]["log"], without))


@pytest.mark.slow
def test_low_precision_is_close(results):
    low, full = results.low_precision[0], results.full[0]
    differences = set()
    for entry, exact in zip(low["log"], full["log"]):
        for name in (name for name in exact if name.startswith("loss")):
            assert entry[name] == pytest.approx(exact[name], rel=2e-2), (exact["step"], name)
            differences.add(entry[name] - exact[name])
    assert any(differences)
    assert all(value.dtype == torch.float32 for value in low["end"].values())  # what is kept and saved


# The files of examples/distributed ----------------------------------------------------------------------------------


def launched(name) -> dict[str, str]:
    """What `accelerate launch --config_file` tells its processes."""
    parsed = launch_command_parser().parse_args(["--config_file", str(FOLDER / name), "-m", "hf_unimo"])
    parsed, _, _ = _validate_launch_command(parsed)
    told = prepare_multi_gpu_env(parsed)
    return {key: value for key, value in told.items() if key.startswith(("ACCELERATE_", "FSDP_"))}


@pytest.mark.slow
def test_the_command_launched_with_fsdp2(tmp_path, capsys):
    """Measured, the best checkpoint taken, saved with a card; the model is that of one process."""
    settings = sharded_run.MEASURED | {
        "training__steps": 4,
        "training__eval_steps": 2,
        "training__save_steps": 2,
        "training__load_best_model_at_end": True,
    }
    for name, batch_size in (("two", 4), ("one", 8)):
        tree = runs.tree(tmp_path / name, data__batch_size=batch_size, **settings)
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    environment = {**os.environ, **launched("fsdp2.yaml")}
    torchrun("-m", "hf_unimo", "pretrain", tmp_path / "two.yaml", env=environment)
    assert main(["pretrain", str(tmp_path / "one.yaml")]) == 0
    assert (tmp_path / "two" / "checkpoint-4" / "optimizer_0").is_dir()
    two, one = (AutoModelForPreTraining.from_pretrained(tmp_path / name / "model") for name in ("two", "one"))
    assert type(two) is type(one) and two.config.architectures == ["Unimo2ForPreTraining"]
    torch.testing.assert_close(sharded_run.logits(two), sharded_run.logits(one), rtol=0, atol=1e-5)
    card = ModelCard.load(tmp_path / "two" / "README.md").text
    assert "`Unimo2ForPreTraining`" in card and "FSDPUnimo2" not in card and "2 processes of 1 CPU thread" in card


def test_ddp_is_launched():
    told = launched("ddp.yaml")
    assert told["ACCELERATE_MIXED_PRECISION"] == "no"
    assert told.get("ACCELERATE_USE_FSDP", "false") == "false"


class State(SimpleNamespace):
    """Of accelerate, with sharding by the variables of a launch."""


def trainer_of(monkeypatch, told):
    """As far as `set_up_fsdp` looks at it."""
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(PartialState, "_shared_state", {})
    state = State(distributed_type=DistributedType.MULTI_CPU, mixed_precision=told["ACCELERATE_MIXED_PRECISION"])
    args = SimpleNamespace(fsdp_plugin_args=None, activation_checkpointing=False, activation_checkpointing_kwargs=None)
    model = small.model("Unimo2ForPreTraining")
    return SimpleNamespace(accelerator=SimpleNamespace(state=state), args=args, is_fsdp_enabled=False, model=model)


@pytest.mark.parametrize("name", ["fsdp2.yaml", "fsdp2_bf16_checkpointing.yaml"])
def test_what_the_launch_files_ask_for(name, monkeypatch):
    trainer = trainer_of(monkeypatch, launched(name))
    sharding.set_up_fsdp(trainer)
    plugin, low = trainer.accelerator.state.fsdp_plugin, "bf16" in name
    assert trainer.is_fsdp_enabled and trainer.accelerator.state.distributed_type == DistributedType.FSDP
    assert plugin.fsdp_version == 2 and plugin.reshard_after_forward is True
    assert plugin.transformer_cls_names_to_wrap == ["Unimo2Layer"]
    assert plugin.state_dict_type.name == "SHARDED_STATE_DICT" and not plugin.cpu_ram_efficient_loading
    assert plugin.activation_checkpointing is False and trainer.args.activation_checkpointing is low
    if low:
        policy = plugin.mixed_precision_policy
        assert (policy.param_dtype, policy.reduce_dtype, policy.output_dtype) == (torch.bfloat16, torch.float32, None)
        assert trainer.args.activation_checkpointing_kwargs == {"use_reentrant": False}
    else:
        assert plugin.mixed_precision_policy is None


def test_version_1_is_refused(monkeypatch):
    first = {"FSDP_VERSION": "1", "FSDP_RESHARD_AFTER_FORWARD": "FULL_SHARD", "FSDP_SYNC_MODULE_STATES": "false"}
    trainer = trainer_of(monkeypatch, launched("fsdp2.yaml") | first)
    with pytest.raises(BadInputError, match="by FSDP version 1; accepted is version 2"):
        sharding.set_up_fsdp(trainer)


def test_classes_that_are_named_are_the_units(monkeypatch):
    trainer = trainer_of(monkeypatch, launched("fsdp2.yaml") | {"FSDP_TRANSFORMER_CLS_TO_WRAP": "Unimo2MLP"})
    sharding.set_up_fsdp(trainer)
    assert trainer.accelerator.state.fsdp_plugin.transformer_cls_names_to_wrap == ["Unimo2MLP"]


class CheckedDeepSpeed(HfTrainerDeepSpeedConfig, HfDeepSpeedConfig):
    """transformers' reading of a file, which does not need the package."""

    def __init__(self, path):
        HfDeepSpeedConfig.__init__(self, path)
        self._dtype, self.mismatches = None, []


@pytest.mark.parametrize("stage", [2, 3])
def test_what_trainer_fills_in_for_deepspeed(stage, tmp_path):
    made = runs.trainer(tmp_path, training__max_grad_norm=0.5)
    config = CheckedDeepSpeed(str(FOLDER / f"zero{stage}.json"))
    config.trainer_config_process(made.args)
    config.trainer_config_finalize(made.args, made.model, 8)
    assert config.mismatches == [] and config._stage == stage and not config.is_offload()
    assert config.config["gradient_clipping"] == 0.5 and config.config["train_batch_size"] == 8
    assert config.config["bf16"] == {"enabled": False}
    assert "auto" not in str(config.config)
    assert not {"optimizer", "scheduler"} & config.config.keys()  # Trainer's own have a group for each learning rate


def write(folder, **changes) -> str:
    path = folder / "run_config.yaml"
    path.write_text(yaml.safe_dump(runs.tree(folder / "out", **changes), sort_keys=False))
    return str(path)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"training__fsdp": True}, "training.fsdp shares the weights out over processes, but there is one"),
        ({"training__deepspeed": "nowhere.json"}, "nowhere.json cannot be read as JSON"),
        ({"training__fsdp_config": "run_config.yaml"}, "run_config.yaml cannot be read as JSON"),
        ({"training__deepspeed": str(FOLDER / "zero2.json")}, "training.deepspeed needs the package deepspeed"),
        ({"training__fsdp": "full_shard"}, 'training.fsdp is "full_shard"; accepted is true or false'),
    ],
)
def test_what_is_refused(changes, words, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(arguments, "is_deepspeed_available", lambda: False)
    assert main(["pretrain", write(tmp_path, **changes)]) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("hf-unimo pretrain: ") and words in message
    assert not (tmp_path / "out").exists()


def test_the_content_of_an_engines_file_belongs_to_the_run(tmp_path):
    (tmp_path / "zero.json").write_text('{"zero_optimization": {"stage": 2}}')
    config = runs.config(tmp_path / "out", training__deepspeed=str(tmp_path / "zero.json"))
    assert config.training.arguments["deepspeed"] == {"zero_optimization": {"stage": 2}}


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"training__freeze": {"vision_model": 3}}, "training.freeze of 'vision_model' ends at step 3"),
        ({"dictionary": {"row_constraint": True}}, "dictionary.row_constraint and dictionary.restart_dead_every"),
        ({}, "one kind, but data.sources has images and pairs and text; use FSDP2 or ZeRO-2"),
    ],
)
def test_what_deepspeed_cannot_do(changes, words, tmp_path, monkeypatch):
    stage = 2 if changes else 3
    monkeypatch.setattr("hf_unimo.training.trainer.ScheduledTrainer._engine", lambda self: f"DeepSpeed ZeRO-{stage}")
    monkeypatch.setattr("hf_unimo.training.trainer.ScheduledTrainer._shares_weights", lambda self: False)
    monkeypatch.setattr(
        "hf_unimo.training.trainer.set_up_fsdp", lambda trainer: setattr(trainer, "is_deepspeed_enabled", True)
    )
    with pytest.raises(BadInputError, match=words):
        runs.trainer(tmp_path, **changes)


def test_another_engine_does_not_resume(tmp_path, monkeypatch):
    made = runs.trainer(tmp_path, training__steps=2, training__save_steps=1)
    made.train()
    made = runs.trainer(tmp_path, training__steps=2, training__save_steps=1)
    monkeypatch.setattr(made, "is_fsdp_enabled", True)
    with pytest.raises(BadInputError, match="was saved by plain processes and cannot be resumed by FSDP2"):
        made.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))


# Parts --------------------------------------------------------------------------------------------------------------


def test_units_are_the_layers_of_the_plan():
    model = small.model("Unimo2ForPreTraining")
    assert model.fsdp_plan == {f"{name[:-1]}*": "free_full_weight" for name in LAYERS}
    assert sharding.unit_classes(model) == ["Unimo2Layer"]
    assert model.unimo2.vision_model.fsdp_plan == {"layers.*": "free_full_weight"}
    assert "fsdp_plan" not in str(model.config.to_dict())
    assert sharding.unit_classes(add_lora(model, {"r": 2})) == ["Unimo2Layer"]


def test_an_outline_needs_no_memory_and_keeps_ties():
    model = small.model("Unimo2ForPreTraining")
    model.itm_head.requires_grad_(False)
    outline = sharding.outline(model)
    assert all(parameter.device.type == "meta" for parameter in outline.parameters())
    assert all(parameter.device.type == "cpu" for parameter in model.parameters())
    assert outline.lm_head.decoder.weight is outline.unimo2.text_model.embeddings.word_embeddings.weight
    assert not outline.itm_head.weight.requires_grad and outline.lm_head.dense.weight.requires_grad


def test_completed_states_are_those_of_the_beginning():
    ends = []
    for complete in (False, True):
        weights = [torch.nn.Parameter(torch.ones(2, 3)), torch.nn.Parameter(torch.ones(4))]
        optimizer = torch.optim.AdamW(weights, lr=0.1)
        sharding.complete_state(optimizer)
        assert not optimizer.state  # nothing is known yet
        for learning in ([0], [0, 1], [1]):
            for number, weight in enumerate(weights):
                weight.grad = torch.full_like(weight, 0.5 + number) if number in learning else None
            optimizer.step()
            if complete:
                sharding.complete_state(optimizer)
                assert all(optimizer.state[weight]["exp_avg"].shape == weight.shape for weight in weights)
        ends.append(weights)
    for one, other in zip(*ends):
        assert torch.equal(one, other) and not torch.equal(one, torch.ones_like(one))


def test_all_rows_of_a_plain_tensor_are_the_tensor():
    tensor = torch.zeros(3)
    with sharding.all_rows(tensor) as rows:
        rows += 1
    assert rows is tensor and tensor.tolist() == [1, 1, 1]


def test_the_lines_of_the_page_are_understood():
    """Launchers know their options, files exist, and a configuration takes the overrides."""
    text = (FOLDER / "README.md").read_text().replace("\\\n", " ")
    lines = re.findall(r"(?:torchrun|accelerate launch) .*?hf_unimo pretrain CONFIG\.yaml[^`\n]*", text)
    assert len(lines) > 7 and sum(line.startswith("accelerate") for line in lines) >= 4
    config = FOLDER.parent / "configs" / "emoji.yaml"
    for line in lines:
        words = [re.sub(r"^N$", "1", word) for word in shlex.split(line)]
        if words[0] == "torchrun":
            parsed = torch.distributed.run.get_args_parser().parse_args(words[1:])
        else:
            parsed = launch_command_parser().parse_args(words[2:])
            assert (FOLDER.parents[1] / parsed.config_file).is_file()
        load_run_config(config, parsed.training_script_args[2:])
