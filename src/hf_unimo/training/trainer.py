# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
`Trainer` along a schedule of sources: pairs, images and texts, each batch of one kind, resumable to the bit.
"""

import json
import logging
import os
import shutil
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import nn
from transformers import PreTrainedModel, Trainer, TrainerCallback
from transformers.trainer_utils import rotate_checkpoints

from ..data.batches import BadRowCount, BatchInfo, evaluation_batches, train_loader
from ..data.collator import PretrainingCollator
from ..data.schedule import Schedule
from ..data.sources import MapSource, StreamSource
from ..errors import BadInputError, CheckFailedError
from ..evaluation.pretraining import evaluate_batch, summarize
from ..objectives import ranks
from .arguments import ScheduledTrainingArguments
from .dictionary import DictionaryCallback
from .lora import without_adapters
from .objective_schedule import ObjectiveSchedule
from .parameter_groups import belongs_to, check_modules, learning_rate_factors, parameter_groups
from .sharding import complete_state, filled, is_sharded, outline, set_up_fsdp
from .throughput import Throughput, count_flops


logger = logging.getLogger(__name__)

PARTIAL = ".partial"
"""Folder in the output folder in which a checkpoint stands while it is written."""

_TRAINER_STATE = "trainer_state.json"


class ScheduledTrainer(Trainer):
    """
    Trains one model on several sources at once, mixed by a [`Schedule`].

    * A batch is a function of (seed, batch number), or continues a stream whose place is saved, so a resumed run sees
      the batches of an uninterrupted one, and on a CPU ends with the same parameters to the bit.
    * Every process draws the same kind at the same step. The loader is not prepared by accelerate, which would split
      the batches once more.
    * Losses are logged by name (`loss_mlm`, ...; means over the steps that had them and over the processes), with the
      batches drawn from each source so far (`batches_<source>`).
    * Checkpoints are written beside their place and moved there, so a killed run leaves whole ones only.
    * A loss that is not finite stops the run and names the batch.

    Args:
        model: A pre-training model: its forward takes `objective_weights`, `seed` and `step` and returns `losses` and
            `counts` by name; `matching_hardness` if it has an objective of that name.
        args ([`ScheduledTrainingArguments`]): `max_steps` is the schedule's number of steps, and
            `gradient_accumulation_steps` its `batches_per_step`, if the sampler accumulates; otherwise their product
            is the schedule's number of steps. `per_device_train_batch_size` is for sources without one of their own.
        sources (sequence): Open sources, one for each of the schedule's.
        schedule ([`Schedule`]): Which source feeds which batch.
        collator ([`PretrainingCollator`]): From rows to tensors.
        objectives ([`ObjectiveSchedule`], *optional*): Weights by step; those of the model's configuration without it.
        evaluation_sources (sequence of [`MapSource`], *optional*): What `evaluate` measures: losses of all kinds,
            zero-shot retrieval and dictionary health of pairs.
        health_every (`int`, defaults to 0): Steps between two measurements of the dictionary on the first evaluation
            source of pairs, up to 512 of them, logged as `health_*`; 0 is never.
        max_bad_rows (`int`, defaults to 0): Most broken rows of the whole run; each is logged, one more stops the run.
        kwargs: Of `Trainer`, e.g. `callbacks` and `processing_class`.

    Raises:
        BadInputError: If the schedule does not fit the arguments, or a source's batches have no loss.
    """

    args: ScheduledTrainingArguments
    model: PreTrainedModel

    def __init__(
        self,
        model: PreTrainedModel,
        args: ScheduledTrainingArguments,
        *,
        sources: Sequence[MapSource | StreamSource],
        schedule: Schedule,
        collator: PretrainingCollator,
        objectives: ObjectiveSchedule | None = None,
        evaluation_sources: Sequence[MapSource] = (),
        health_every: int = 0,
        max_bad_rows: int = 0,
        **kwargs,
    ):
        self.sources, self.schedule, self.batch_collator = list(sources), schedule, collator
        self.objectives, self.evaluation_sources = objectives, list(evaluation_sources)
        self.batch_sizes = {
            source.name: source.batch_size or args.per_device_train_batch_size for source in self.sources
        }
        self.bad_rows = BadRowCount(max_bad_rows)
        self.throughput = Throughput()
        self.batches_drawn = dict.fromkeys((source.name for source in schedule.sources), 0)
        self._next_batch: int = 0
        self._stream_states: dict[str, dict] = {}
        self._loss_sums: dict[str, torch.Tensor] = {}
        self._loss_counts: dict[str, int] = {}
        self._flops: dict[str, float] = {}
        self._saving_in: str | None = None
        self.last_evaluation: tuple[int, dict[str, float]] = (-1, {})
        """Step of the last call of `evaluate`, and what it returned."""
        _check_steps(schedule, args)
        check_modules(model, args.lr_multipliers, "training.lr_multipliers")
        check_modules(model, args.freeze, "training.freeze")
        if objectives is not None:
            objectives.check({source.name: source.kind for source in schedule.active})
        freeze_parameters(model, args)
        self._optimizer = _optimizer_class(model, args)
        super().__init__(model=model, args=args, eval_dataset=self.evaluation_sources or None, **kwargs)
        self._outline = outline(model) if self._shares_weights() else None
        if self.is_deepspeed_enabled:
            _check_deepspeed(args, schedule, kwargs.get("callbacks") or (), self._engine())
        self.add_callback(_Progress(self, health_every))
        self.stop = StopOnInterrupt()
        self.add_callback(self.stop)

    # Processes

    def create_accelerator_and_postprocess(self):
        """As Trainer's; sharding follows the family's plan."""
        super().create_accelerator_and_postprocess()
        set_up_fsdp(self)

    def _engine(self) -> str:
        """What the checkpoints are of."""
        if self.is_deepspeed_enabled:
            return f"DeepSpeed ZeRO-{self.accelerator.state.deepspeed_plugin.zero_stage}"
        return "FSDP2" if self.is_fsdp_enabled else "plain processes"

    def _shares_weights(self) -> bool:
        """Whether each process has a part of the weights only."""
        return self._engine() in ("FSDP2", "DeepSpeed ZeRO-3")

    def whole_model(self) -> PreTrainedModel:
        """
        The model with all its weights on this process: itself, or if training shares them out, a copy, made anew at
        each call. Every process has to call.
        """
        model = self.accelerator.unwrap_model(self.model)
        if self._outline is None or not is_sharded(model):
            return model
        return filled(self._outline, model, self.args.device)

    # Data

    def get_train_dataloader(self):
        """The batches from where the run stands, not prepared: they are this process's already."""
        return train_loader(
            self.sources,
            self.schedule,
            self.batch_collator,
            batch_size=self.batch_sizes,
            rank=self.args.process_index,
            world_size=self.args.world_size,
            start_batch=self._next_batch,
            stream_states=self._stream_states or None,
            max_bad_rows=self.bad_rows.max_bad_rows,
            num_workers=self.args.dataloader_num_workers,
        )

    def set_initial_training_values(self, args, dataloader):
        """As Trainer's, for the whole run: its loader has the rest of the batches only."""
        values = list(super().set_initial_training_values(args, dataloader))
        total = self.schedule.steps * self.schedule.batches_per_step
        values[0], values[1], values[5] = 1, args.max_steps, total  # epochs, updates and batches of an epoch
        return tuple(values)

    # Steps

    def training_step(self, model, inputs, num_items_in_batch=None):
        """One forward and backward pass, timed by kind; frozen modules lose their gradients."""
        info: BatchInfo = inputs["info"]
        if self.args.count_flops and self._parts(info) not in self._flops:
            found = {}
            operations = count_flops(
                lambda: found.update(loss=Trainer.training_step(self, model, inputs, num_items_in_batch))
            )
            self._flops[self._parts(info)] = operations
            loss = found["loss"]
        else:
            start = time.perf_counter()
            loss = super().training_step(model, inputs, num_items_in_batch)
            if loss.device.type == "cuda":
                torch.cuda.synchronize(loss.device)  # the call came back before the work was done
            seconds = time.perf_counter() - start
            self.throughput.add(info.kind, len(info.places), seconds, self._flops.get(self._parts(info)))
        self._drop_frozen_gradients()
        self.bad_rows.add(info)
        self.batches_drawn[info.source] += 1
        self._next_batch, self._stream_states = info.index + 1, info.stream_states
        return loss

    def floating_point_ops(self, inputs):
        """Of one batch, as counted (forward and backward pass); 0 when they are not counted."""
        return self._flops.get(self._parts(inputs["info"]), 0)

    def _parts(self, info: BatchInfo) -> str:
        """What decides the cost of a batch: its source and the objectives that are on."""
        weights = {} if self.objectives is None else self.objectives.weights_at(self.state.global_step)
        return " ".join([info.source, *(name for name, weight in weights.items() if weight)])

    def _drop_frozen_gradients(self) -> None:
        # Not `requires_grad`: DDP would go on without a parameter that is off when training begins.
        frozen = [module for module, until in self.args.freeze.items() if self.state.global_step < until]
        if frozen:
            for name, parameter in self.model.named_parameters():
                if any(belongs_to(name, module) for module in frozen):
                    parameter.grad = None

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """The model's loss at this step's weights. Raises [`CheckFailedError`] if it is not finite."""
        inputs = dict(inputs)
        info: BatchInfo = inputs.pop("info")
        outputs = model(**inputs, **self.model_arguments(info))
        if outputs.loss is None:
            raise BadInputError(
                f"A batch of source {info.source!r} ({info.kind}) has no loss at step {self.state.global_step}: no "
                "objective with a weight applies to it."
            )
        if not torch.isfinite(outputs.loss):
            raise CheckFailedError(self._not_finite(info, outputs.get("losses") or {"loss": outputs.loss}))
        for name, value in (outputs.get("losses") or {}).items():
            self._loss_sums[name] = self._loss_sums.get(name, 0) + value.detach()
            self._loss_counts[name] = self._loss_counts.get(name, 0) + 1
        # An accumulating schedule's step is the sum over its sources, of which Trainer takes the mean.
        loss = outputs.loss * self.schedule.batches_per_step
        return (loss, outputs) if return_outputs else loss

    def model_arguments(self, info: BatchInfo) -> dict[str, Any]:
        """What forward gets beside the batch."""
        arguments: dict[str, Any] = {"seed": self.args.seed, "step": info.index}
        if self.args.gradient_cache_size is not None:
            arguments["chunk_size"] = self.args.gradient_cache_size
        if self.objectives is None:
            return arguments
        step = self.state.global_step
        arguments["objective_weights"] = self.objectives.weights_at(step)
        if "matching" in self.objectives.ramps:
            arguments["matching_hardness"] = self.objectives.hardness_at(step)
        return arguments

    def _not_finite(self, info: BatchInfo, losses: Mapping[str, torch.Tensor]) -> str:
        parts = ", ".join(f"{name} {value.item():g}" for name, value in losses.items())
        rows = ", ".join(info.places[:8]) + (f" and {len(info.places) - 8} more" if len(info.places) > 8 else "")
        return (
            f"The loss is not finite at step {self.state.global_step} ({parts}), in batch {info.index} of source "
            f"{info.source!r} ({info.kind}) on process {self.args.process_index}: {rows}."
        )

    def create_optimizer(self, model=None):
        """An optimizer with a group for each learning rate; see [`ScheduledTrainingArguments`]."""
        if self.optimizer is None:
            model = self.model if model is None else model
            factors = learning_rate_factors(model, self.args.lr_multipliers, self.args.layerwise_lr_decay)
            groups = parameter_groups(
                model,
                factors,
                self.get_decay_parameter_names(model),
                self.args.learning_rate,
                self.args.weight_decay,
            )
            optimizer_class, settings = self._optimizer
            self.optimizer = optimizer_class(groups, **settings)
        return self.optimizer

    def log(self, logs, start_time=None):
        """Adds the losses by name since the last time, and the batches of each source so far."""
        if "loss" in logs and self._loss_sums:
            names = sorted(self._loss_sums)  # the same on every process, as every process has the same kinds
            means = torch.stack([self._loss_sums[name] / self._loss_counts[name] for name in names])
            means = self.accelerator.reduce(means, "mean").tolist()
            logs |= {f"loss_{name}": mean for name, mean in zip(names, means)}
            logs |= {f"batches_{name}": count for name, count in self.batches_drawn.items()}
            self._loss_sums, self._loss_counts = {}, {}
        super().log(logs, start_time)

    def negatives(self) -> str:
        """How many others each row is told apart from: a line for the log."""
        sizes = [self.batch_sizes[source.name] for source in self.schedule.active if source.kind == "pairs"]
        rows, processes = max(sizes, default=1), self.args.world_size
        wrong = rows * processes if getattr(self.model.config, "matching_negatives", "local") == "global" else rows
        return (
            f"negatives: {rows * processes - 1} for each row in contrast ({rows} rows x {processes} process"
            f"{'es' if processes > 1 else ''}); matching draws 1 wrong partner of up to {wrong - 1}"
        )

    # Evaluation

    def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix="eval"):
        """
        Measures every evaluation source: `<prefix>_<source>_<metric>` (see
        [`hf_unimo.evaluation.pretraining.summarize`]), and `<prefix>_mean_recall`, the mean over the sources of pairs.
        The processes share the batches.
        """
        metrics: dict[str, float] = {}
        recalls = []
        model = self.whole_model()
        for source in self.evaluation_sources:
            found = self.measure(source, model=model)
            metrics |= {f"{metric_key_prefix}_{source.name}_{name}": value for name, value in found.items()}
            recalls += [found["mean_recall"]] if "mean_recall" in found else []
        if recalls:
            metrics[f"{metric_key_prefix}_mean_recall"] = sum(recalls) / len(recalls)
        self.log(dict(metrics))
        self.last_evaluation = (self.state.global_step, metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def measure(
        self,
        source: MapSource,
        max_rows: int | None = None,
        with_losses: bool = True,
        model: PreTrainedModel | None = None,
    ) -> dict[str, float]:
        """
        Losses, and of pairs retrieval and dictionary health, on the first `max_rows` rows of a source (or all), by
        `model` or by [`whole_model`].
        """
        model = without_adapters(self.whole_model() if model is None else model)
        weights = (
            None if self.objectives is None else {name: ramp.weight for name, ramp in self.objectives.ramps.items()}
        )
        size = self.args.per_device_eval_batch_size
        most = None if max_rows is None else max(1, max_rows // (size * self.args.world_size))
        own = []
        batches = evaluation_batches(
            source, self.batch_collator, size, rank=self.args.process_index, world_size=self.args.world_size
        )
        for inputs in batches:
            info = inputs.pop("info")
            if most is not None and info.index >= most:
                break
            self.bad_rows.add(info)
            own.append(evaluate_batch(model, self._prepare_inputs(inputs), weights, with_losses))
        results = gather_object(own)  # the processes' stretches of the source, in order
        has_dictionary = getattr(model.config, "grounding_method", "none") == "topk"
        return summarize(results, model.config.dictionary_size if has_dictionary else None)

    # Checkpoints

    def _load_callback_state(self):
        super()._load_callback_state()
        self.control.should_training_stop = False  # that was about the run that stopped, e.g. by Ctrl-C
        best = os.path.join(self.args.output_dir, f"checkpoint-{self.state.best_global_step}")
        if os.path.isdir(best):  # also if the folder of the run was moved since
            self.state.best_model_checkpoint = best

    def _issue_warnings_after_load(self, load_result):
        tied = self.model.all_tied_weights_keys  # not in the file, but not missing either
        missing = [name for name in load_result.missing_keys if name not in tied]
        super()._issue_warnings_after_load(type(load_result)(missing, load_result.unexpected_keys))

    def train(self, resume_from_checkpoint=None, **kwargs):
        """As `Trainer.train`. Raises [`BadInputError`] for a checkpoint of another number of processes or engine."""
        if resume_from_checkpoint is True:
            resume_from_checkpoint = last_checkpoint(self.args.output_dir)
            if resume_from_checkpoint is None:
                raise BadInputError(f"There is no checkpoint in {self.args.output_dir} to resume from.")
        if resume_from_checkpoint:
            self._load_data_state(resume_from_checkpoint)
        if self.args.should_save:  # what a killed run left
            shutil.rmtree(Path(self.args.output_dir) / PARTIAL, ignore_errors=True)
        with self.stop.listening():
            return super().train(resume_from_checkpoint=resume_from_checkpoint or None, **kwargs)

    def _get_output_dir(self, trial):
        return self._saving_in or super()._get_output_dir(trial)

    def _save_checkpoint(self, model, trial):
        output, name = self.args.output_dir, f"checkpoint-{self.state.global_step}"
        self._saving_in = os.path.join(output, PARTIAL)
        try:
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            is_best = self.state.best_global_step == self.state.global_step
            if is_best:  # on every process, each of which loads it at the end
                self.state.best_model_checkpoint = os.path.join(output, name)
            if self.args.should_save:
                if is_best:
                    self.state.save_to_json(os.path.join(self._saving_in, name, _TRAINER_STATE))
                shutil.rmtree(os.path.join(output, name), ignore_errors=True)
                os.rename(os.path.join(self._saving_in, name), os.path.join(output, name))
        finally:
            if self.args.should_save:
                shutil.rmtree(self._saving_in, ignore_errors=True)
            self._saving_in = None
        if self.args.should_save:
            rotate_checkpoints(
                output_dir=output,
                save_total_limit=self.args.save_total_limit,
                best_model_checkpoint=self.state.best_model_checkpoint,
                use_mtime=True,
            )
        self.accelerator.wait_for_everyone()

    def _save_optimizer_and_scheduler(self, output_dir):
        if self.is_fsdp_enabled:
            complete_state(self.optimizer)
        super()._save_optimizer_and_scheduler(output_dir)

    def _save_rng_state(self, output_dir):
        super()._save_rng_state(output_dir)
        state = {
            "world_size": self.args.world_size,
            "next_batch": self._next_batch,
            "stream_states": self._stream_states,
            "bad_rows": self.bad_rows.state_dict(),
            "throughput": self.throughput.state_dict(),
            "batches_drawn": self.batches_drawn,
            "flops": self._flops,
            "engine": self._engine(),
        }
        Path(output_dir, _data_state_name(self.args.process_index)).write_text(json.dumps(state), encoding="utf-8")

    def _load_data_state(self, checkpoint):
        path = Path(checkpoint, _data_state_name(self.args.process_index))
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BadInputError(
                f"{checkpoint} cannot be resumed by process {self.args.process_index}: {path.name}: {error}."
            ) from error
        if state["world_size"] != self.args.world_size:
            raise BadInputError(
                f"{checkpoint} was saved by {state['world_size']} processes and cannot be resumed by "
                f"{self.args.world_size}: the batches would be others."
            )
        engine = state.get("engine", "plain processes")
        if engine != self._engine():
            raise BadInputError(
                f"{checkpoint} was saved by {engine} and cannot be resumed by {self._engine()}: launch the "
                "run as it was begun."
            )
        self._next_batch, self._stream_states = state["next_batch"], state["stream_states"]
        self.bad_rows.load_state_dict(state["bad_rows"])
        self.throughput.load_state_dict(state["throughput"])
        self.batches_drawn, self._flops = state["batches_drawn"], state["flops"]


class StopOnInterrupt(TrainerCallback):
    """
    Ctrl-C ends the run after the step it came in, with a checkpoint; a second one ends it at once. With several
    processes all stop when one was interrupted. `interrupted` tells afterwards.
    """

    def __init__(self):
        self.interrupted = False

    @contextmanager
    def listening(self):
        """Takes Ctrl-C to itself inside the block, however it ends."""
        self.interrupted = False
        if threading.current_thread() is not threading.main_thread():  # which alone may set handlers
            yield
            return
        before = signal.signal(signal.SIGINT, self._interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _interrupt(self, number, frame):
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True

    def on_step_end(self, args, state, control, **kwargs):
        if ranks.world_size() > 1:
            flag = torch.tensor(float(self.interrupted), device=args.device)
            self.interrupted = bool(ranks.mean_count(flag) > 0)
        if self.interrupted:
            control.should_save = control.should_training_stop = True


class _Progress(TrainerCallback):
    """Keeps the share of the run as `epoch`, and measures the dictionary every so often."""

    def __init__(self, trainer: ScheduledTrainer, health_every: int):
        self.trainer, self.health_every = trainer, health_every
        self.source = next((source for source in trainer.evaluation_sources if source.kind == "pairs"), None)
        if health_every and self.source is None:
            raise BadInputError("`dictionary.health_every` needs an evaluation source of pairs to measure on.")

    def on_step_end(self, args, state, control, **kwargs):
        state.epoch = state.global_step / state.max_steps
        if self.health_every and state.global_step % self.health_every == 0:
            found = self.trainer.measure(self.source, max_rows=512, with_losses=False)
            names = ("entries_used", "perplexity", "overlap", "own_", "foreign_", "chance_", "score_")
            wanted = control.should_log
            self.trainer.log({f"health_{name}": value for name, value in found.items() if name.startswith(names)})
            control.should_log = wanted  # which logging took back: the losses of this step are still to come


def freeze_parameters(model: nn.Module, args: ScheduledTrainingArguments) -> None:
    """Parameters that never learn, by `freeze` or a factor of 0, need no gradient."""
    factors = learning_rate_factors(model, args.lr_multipliers)
    for name, parameter in model.named_parameters():
        for_good = any(belongs_to(name, module) and until >= args.max_steps for module, until in args.freeze.items())
        if for_good or factors[name] == 0:
            parameter.requires_grad_(False)


def _check_deepspeed(
    args: ScheduledTrainingArguments, schedule: Schedule, callbacks: Sequence[Any], engine: str
) -> None:
    """Refuses what would come out wrong, and what reaches into gradients and weights that DeepSpeed has copies of."""
    kinds = sorted({source.kind for source in schedule.active})
    if engine == "DeepSpeed ZeRO-3" and len(kinds) > 1:
        # Seen in 0.19.8: the partitions of the last step's gradients stay where a step leaves a module out.
        raise BadInputError(
            f"{engine} would use the last gradient of a module again at a step that leaves it out, so it takes "
            f"batches of one kind, but data.sources has {' and '.join(kinds)}; use FSDP2 or ZeRO-2."
        )
    late = [module for module, until in args.freeze.items() if until < args.max_steps]
    if late:
        raise BadInputError(
            f"training.freeze of {late[0]!r} ends at step {args.freeze[late[0]]}, which DeepSpeed cannot do; accepted "
            "is true, for the whole run."
        )
    if any(isinstance(callback, DictionaryCallback) for callback in callbacks):
        raise BadInputError(
            "dictionary.row_constraint and dictionary.restart_dead_every change weights between steps, of which "
            "DeepSpeed would take no notice; leave them out, or use FSDP2."
        )


def last_checkpoint(output_dir: str | os.PathLike) -> str | None:
    """The whole checkpoint of the highest step in a folder, or None."""
    found = [path for path in Path(output_dir).glob("checkpoint-*") if (path / _TRAINER_STATE).is_file()]
    found = [path for path in found if path.name.removeprefix("checkpoint-").isdigit()]
    return str(max(found, key=lambda path: int(path.name.removeprefix("checkpoint-")))) if found else None


def _check_steps(schedule: Schedule, args: ScheduledTrainingArguments) -> None:
    """The schedule's batches and Trainer's steps are two counts of the same run."""
    accumulation = args.gradient_accumulation_steps
    if schedule.sampler == "accumulating":
        fits = accumulation == schedule.batches_per_step and args.max_steps == schedule.steps
        needed = f"{schedule.steps} steps of {schedule.batches_per_step} batches"
    else:
        fits = args.max_steps * accumulation == schedule.steps
        needed = f"{schedule.steps} batches"
    if not fits:
        raise BadInputError(
            f"The schedule has {needed}, but the arguments {args.max_steps} steps of {accumulation} batches."
        )


def _optimizer_class(model: PreTrainedModel, args: ScheduledTrainingArguments) -> tuple[Any, dict[str, Any]]:
    """The optimizer's class and settings. Refuses what is not installed and what makes groups of its own."""
    name = getattr(args.optim, "value", args.optim)
    try:
        optimizer_class, settings = Trainer.get_optimizer_cls_and_kwargs(args, model)
    except (ImportError, ValueError) as error:
        raise BadInputError(f"training.optim {name} cannot be used: {' '.join(str(error).split())}") from error
    if {"params", "model", "optimizer_dict"} & settings.keys():
        raise BadInputError(f"training.optim {name} makes parameter groups of its own; use another.")
    return optimizer_class, settings


def _data_state_name(rank: int) -> str:
    return f"data_state_{rank}.json"
