# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The project's Trainer on the rows of one task: measured by the task's own evaluator."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from accelerate.utils import broadcast_object_list
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel

from ..data.batches import BatchInfo
from ..errors import BadInputError
from ..evaluation.protocol import Result
from .lora import without_adapters
from .run_config import to_step
from .trainer import ScheduledTrainer


PRIMARY = "primary"
"""What `evaluate` calls the figure by which models are compared, beside its own name."""


class FinetuneTrainer(ScheduledTrainer):
    """
    [`ScheduledTrainer`] on one source of rows.

    Args:
        model: A head; its forward takes the collator's batch and returns a loss.
        args ([`ScheduledTrainingArguments`]): As for [`ScheduledTrainer`].
        validate (`Callable`, *optional*): Model -> [`~hf_unimo.evaluation.protocol.Result`] on the validation split,
            which `evaluate` turns into `eval_<figure>`.
        primary (`Callable`, *optional*): Figures -> name of the one by which models are compared.
        forward_options (mapping, *optional*): What forward gets with every training batch.
        lr_drops, decay_from_start: See [`~hf_unimo.training.finetune_config.FinetuneTraining`].
        kwargs: Of [`ScheduledTrainer`].
    """

    def __init__(
        self,
        model: PreTrainedModel,
        args,
        *,
        validate: Callable[[PreTrainedModel], Result] | None = None,
        primary: Callable[[Mapping[str, float]], str] | None = None,
        forward_options: Mapping[str, Any] | None = None,
        lr_drops: Sequence[tuple[float, float]] = (),
        decay_from_start: bool = False,
        **kwargs,
    ):
        self.validate, self.primary, self.forward_options = validate, primary, dict(forward_options or {})
        self.lr_drops, self.decay_from_start = list(lr_drops), decay_from_start
        self._forward_takes = inspect.signature(without_adapters(model).forward).parameters
        super().__init__(model, args, **kwargs)

    def model_arguments(self, info: BatchInfo) -> dict[str, Any]:
        """Seed and step where forward draws something, and `forward_options`."""
        drawn = super().model_arguments(info)
        return {name: value for name, value in drawn.items() if name in self._forward_takes} | self.forward_options

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """As of [`ScheduledTrainer`]; losses that are means over words count the words of the whole step."""
        if num_items_in_batch is None or not self.model_accepts_loss_kwargs:
            return super().compute_loss(model, inputs, return_outputs)
        inputs = {**inputs, "num_items_in_batch": num_items_in_batch}
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True)
        if self.args.average_tokens_across_devices:  # then the words are those of all processes
            loss = loss * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    def _finalize_training(self, *args, **kwargs):
        limit = self.args.save_total_limit
        if self.stop.interrupted:  # a limit of 1 would cost the checkpoint that the run is to go on from
            self.args.save_total_limit = None
        try:
            return super()._finalize_training(*args, **kwargs)
        finally:
            self.args.save_total_limit = limit

    def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix="eval"):
        """`<prefix>_<figure>` of the validation split. The first process measures, and tells the others."""
        figures: dict[str, float] = {}
        if self.validate is not None:
            shared: list[Any] = [None]
            model = self.whole_model()
            if self.args.process_index == 0:
                result = self.validate(without_adapters(model))
                shared = [{name: figure.value for name, figure in result.figures.items()}]
            if self.args.world_size > 1:
                broadcast_object_list(shared)
            figures = {f"{metric_key_prefix}_{name}": value for name, value in shared[0].items()}
        self.log(dict(figures))
        if figures and self.primary is not None:
            figures[f"{metric_key_prefix}_{PRIMARY}"] = shared[0][self.primary(shared[0])]
        wanted = self.args.metric_for_best_model
        if figures and wanted is not None and f"eval_{wanted.removeprefix('eval_')}" not in figures:
            raise BadInputError(
                f"training.metric_for_best_model is {wanted!r}; accepted are {', '.join(shared[0])}, and {PRIMARY}."
            )
        self.last_evaluation = (self.state.global_step, figures)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, figures)
        return figures

    def create_scheduler(self, num_training_steps: int, optimizer=None):
        """transformers' schedule, or one of those that only the first implementation has."""
        if self.lr_scheduler is not None or not (self.lr_drops or self.decay_from_start):
            return super().create_scheduler(num_training_steps, optimizer)
        warmup = self.args.get_warmup_steps(num_training_steps)
        drops = [(to_step(moment, num_training_steps), factor) for moment, factor in self.lr_drops]

        def factor(step: int) -> float:
            if step < warmup:
                return step / warmup
            rate = max(0.0, 1 - step / num_training_steps) if self.decay_from_start else 1.0
            for start, drop in drops:
                rate *= drop if step >= start else 1.0
            return rate

        self.lr_scheduler = LambdaLR(optimizer or self.optimizer, factor)  # type: ignore[arg-type]
        self._created_lr_scheduler = True
        return self.lr_scheduler
