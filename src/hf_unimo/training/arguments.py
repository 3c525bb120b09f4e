# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""`TrainingArguments` of [`ScheduledTrainer`]: what transformers knows, and what training of several parts needs."""

from dataclasses import dataclass, field

from transformers import TrainingArguments


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
    """

    lr_multipliers: dict[str, float] = field(default_factory=dict)
    layerwise_lr_decay: float = 1.0
    freeze: dict[str, int] = field(default_factory=dict)
    count_flops: bool = False

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
