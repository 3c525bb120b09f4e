# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""`TrainingArguments` of [`ScheduledTrainer`]: what transformers knows, and what training of several parts needs."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import TrainingArguments
from transformers.integrations.deepspeed import is_deepspeed_available
from transformers.training_args import ParallelMode

from ..errors import BadInputError
from .run_config import TrainingOptions, to_step


@dataclass
class ScheduledTrainingArguments(TrainingArguments):
    """
    transformers' arguments and those below.

    Args:
        lr_multipliers (`dict[str, float]`): Part of a parameter's name, as whole modules (`"vision_model"`,
            `"dictionary.temperature"`) -> factor of its learning rate. 0 freezes it. Factors of several matches
            multiply.
        layerwise_lr_decay (`float`, defaults to 1): Within each encoder, every layer learns at this times the rate of
            the layer above it, the embeddings below the first layer included (Clark et al., 2020, ELECTRA).
        freeze (`dict[str, int]`): Module, as above -> optimizer step until which it does not learn. A module that is
            frozen for all steps needs no gradient memory.
        count_flops (`bool`, defaults to `False`): Whether to count floating point operations, once for each kind of
            batch, for the report.
        gradient_cache_size (`int`, *optional*): Rows that go through an encoder at a time, see
            [`~hf_unimo.Unimo2Model.encode_image`]; for models whose forward takes `chunk_size`.
    """

    lr_multipliers: dict[str, float] = field(default_factory=dict)
    layerwise_lr_decay: float = 1.0
    freeze: dict[str, int] = field(default_factory=dict)
    count_flops: bool = False
    gradient_cache_size: int | None = None

    def __post_init__(self):
        super().__post_init__()
        # A batch of texts leaves the vision encoder without gradient. Trainer's own choice would turn this off with
        # activation checkpointing, which is fine without reentrance.
        self.ddp_find_unused_parameters = True
        if self.activation_checkpointing:
            self.activation_checkpointing_kwargs = {
                "use_reentrant": False,
                **(self.activation_checkpointing_kwargs or {}),
            }
        # The loader starts at the right batch by itself, and its batches carry more than the model's arguments.
        self.ignore_data_skip = True
        self.remove_unused_columns = False
        # Batches of some kinds have no labels, but all have a loss.
        self.label_names = []
        # A loss that is not finite stops the run (see ScheduledTrainer) and is not filtered out of the log.
        self.logging_nan_inf_filter = False
        self.restore_callback_states_from_checkpoint = True


def make_arguments(
    options: TrainingOptions,
    *,
    steps: int,
    output: str,
    seed: int,
    batch_size: int,
    num_workers: int,
    given: Mapping[str, Any],
    lr_multipliers: Mapping[str, float],
) -> ScheduledTrainingArguments:
    """
    transformers' arguments for a run. Makes the processes of a distributed run meet.

    Args:
        options ([`TrainingOptions`]): What the file says.
        steps (`int`): Length of the run in optimizer steps.
        output, seed, batch_size, num_workers: Of the run.
        given (mapping): `options.arguments` with what the caller puts in their place.
        lr_multipliers (mapping): `options.lr_multipliers`, likewise.

    Raises:
        BadInputError: If transformers refuses a value.
    """
    if given.get("lr_scheduler_type") in ("reduce_lr_on_plateau", "greedy"):
        raise BadInputError(
            f"training.lr_scheduler_type is {given['lr_scheduler_type']!r}, which goes by evaluations; take one that "
            "goes by steps, such as 'cosine' or 'warmup_stable_decay'."
        )
    if given.get("deepspeed") and not is_deepspeed_available():
        raise BadInputError("training.deepspeed needs the package deepspeed: pip install deepspeed.")
    settings: dict[str, Any] = {
        "report_to": "none",
        "logging_steps": max(1, steps // 50),
        "save_strategy": "steps",
        "save_steps": max(1, steps // 5),
        "save_total_limit": 2,
        "disable_tqdm": False,
        # Unless it is told so, accelerate takes the processes of torchrun on a machine without accelerator for one.
        "use_cpu": not torch.accelerator.is_available(),
        **copy.deepcopy(dict(given)),  # transformers fills in `fsdp_config`
        "output_dir": output,
        "max_steps": steps,
        "seed": seed,
        "per_device_train_batch_size": batch_size,
        "per_device_eval_batch_size": batch_size,
        "dataloader_num_workers": num_workers,
        "lr_multipliers": dict(lr_multipliers),
        "layerwise_lr_decay": options.layerwise_lr_decay,
        "freeze": {module: to_step(until, steps) for module, until in options.freeze.items()},
    }
    try:
        arguments = ScheduledTrainingArguments(**settings)
        _ = arguments.device
    except (ValueError, TypeError, NotImplementedError) as error:
        raise BadInputError(f"The training arguments do not fit: {' '.join(str(error).split())}") from error
    if arguments.fsdp and arguments.parallel_mode != ParallelMode.DISTRIBUTED:
        raise BadInputError(
            "training.fsdp shares the weights out over processes, but there is one; launch several, e.g. with "
            "torchrun, or leave it out."
        )
    return arguments
