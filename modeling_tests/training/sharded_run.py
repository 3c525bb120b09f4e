# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Runs whose results go into a folder; started once alone and once by torchrun, which shards them: `python -m ... FOLDER
RUN ...`, with names of `RUNS`.
"""

import os
import sys
from pathlib import Path

import torch
from transformers import AutoModelForPreTraining
from transformers.distributed import DistributedConfig

from modeling_tests.training import runs
from modeling_tests.training.two_process_run import SETTINGS


MEASURED = SETTINGS | {"training__eval_strategy": "steps", "training__eval_steps": 4}  # the settings are those for DDP
UNSAVED = SETTINGS | {"data__evaluation": {}, "training__save_strategy": "no"}
DROPOUT = UNSAVED | {"model__config__grounded_config__hidden_dropout_prob": 0.1}
RESTARTS = UNSAVED | {"dictionary": {"row_constraint": True, "restart_dead_every": 3}}
RUNS = {
    "restarts_by_ddp": RESTARTS | {"training__fsdp": None},
    "restarts": RESTARTS,
    "full": MEASURED,
    "shards": MEASURED | {"training__fsdp_config": {"state_dict_type": "SHARDED_STATE_DICT"}},
    "lora": MEASURED | {"dictionary": {}, "training__lora": {"r": 2, "lora_alpha": 64}},
    "cached": UNSAVED | {"training__gradient_cache_size": 3},
    "low_precision": UNSAVED | {"training__bf16": True},
    "dropout": DROPOUT,
    "checkpointing": DROPOUT | {"training__fsdp_config": {"activation_checkpointing": True}},
}


def run(folder, name, resumed=False):
    """One of `RUNS`, with what it left in the file `folder`/`name`.`rank`.pt."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    settings = {"training__fsdp": True} | RUNS[name]
    if processes == 1:
        settings = {key: value for key, value in settings.items() if not key.startswith("training__fsdp")}
    made = runs.trainer(folder / name, data__batch_size=8 // processes, **settings)
    start = runs.parameters(made.model)
    made.train(resume_from_checkpoint=str(folder / name / "checkpoint-4") if resumed else None)
    found = {
        "start": start,
        "end": runs.parameters(made.whole_model()),
        "log": [entry for entry in made.state.log_history if "loss" in entry],
        "metrics": made.last_evaluation[1],
        "units": [name for name, module in made.model.named_modules() if type(module).__name__.startswith("FSDP")],
        "own": sum(_local(parameter).numel() for parameter in made.model.parameters()),
        "checkpointing": made.model.is_activation_checkpointing,
        "restarted": sum(getattr(callback, "restarted", 0) for callback in made.callback_handler.callbacks),
    }
    torch.save(found, folder / f"{name}{'-resumed' if resumed else ''}.{made.args.process_index}.pt")
    made.accelerator.wait_for_everyone()


def _local(parameter):
    return parameter.to_local() if hasattr(parameter, "to_local") else parameter


def load_sharded(folder):
    """The other way of transformers to FSDP2, by the plan alone: logits of a batch, and the units."""
    model = AutoModelForPreTraining.from_pretrained(
        folder / "full" / "checkpoint-8", distributed_config=DistributedConfig(fsdp_size=2)
    )
    units = [name for name, module in model.named_modules() if type(module).__name__.startswith("FSDP")]
    found = {"logits": logits(model), "units": units}
    torch.save(found, folder / f"load_sharded.{torch.distributed.get_rank()}.pt")


@torch.no_grad()
def logits(model):
    """What a model says of three pairs that are drawn by a fixed seed."""
    generator = torch.Generator().manual_seed(0)
    pixel_values = torch.rand((3, 3, 64, 64), generator=generator) * 2 - 1
    input_ids = torch.randint(5, 1000, (3, 7), generator=generator)
    output = model.eval()(input_ids=input_ids, pixel_values=pixel_values)
    return torch.cat((output.mlm_logits.flatten(), output.logits_per_image.flatten()))


def main(folder, names):
    for name in names:
        if name == "load_sharded":
            load_sharded(folder)
            continue
        run(folder, name)
        if (folder / name / "checkpoint-4").exists() and "WORLD_SIZE" in os.environ:
            run(folder, name, resumed=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), sys.argv[2:])
