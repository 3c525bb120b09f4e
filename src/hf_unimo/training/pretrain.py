# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""A whole pre-training run, from its configuration to a saved model with a report."""

from pathlib import Path

import torch
from transformers import EarlyStoppingCallback, PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from ..data.sources import MapSource
from ..errors import BadInputError
from ..files import check_destination, staged_directory
from .arguments import ScheduledTrainingArguments, make_arguments
from .build import Run, build_run, describe_objectives
from .dictionary import DictionaryCallback, check_dictionary
from .lora import merged, without_adapters
from .objective_schedule import OBJECTIVES_OF_KIND
from .progress import ProgressLines, show_lines
from .report import RunFacts, describe_hardware, write_report
from .run_config import RunConfig, differences, load_run_config
from .run_folder import MODEL_FOLDER, check_resumable, count_bad_rows, train_in_folder
from .throughput import matrix_product_rate
from .trainer import ScheduledTrainer


METRIC = "mean_recall"


def pretrain(config: RunConfig, *, resume: bool = False, command: str = "") -> dict[str, float]:
    """
    Trains, evaluates, saves the model in `<output>/model` and writes the report beside it (`README.md`,
    `metrics.json`, `losses.png`). Call it on every process of a distributed run.

    Args:
        config ([`RunConfig`]): What to do.
        resume (`bool`, defaults to `False`): Whether to go on from the last whole checkpoint in `<output>`.
        command (`str`, defaults to `""`): The command line, for the report.

    Returns:
        Metrics at the end, as of [`ScheduledTrainer.evaluate`]; empty without evaluation sources.

    Raises:
        BadInputError: If the configuration cannot be carried out; nothing has been written then. Or in the middle of
            the run, if too many rows cannot be read.
        CheckFailedError: If the loss is not finite.
        KeyboardInterrupt: After Ctrl-C; the message says how to resume.
    """
    disable_progress_bar()  # of each file that transformers loads or saves
    if resume:
        check_resumable(config.output, lambda file: differences(load_run_config(file), config))
    else:
        check_destination(config.output)
    run = build_run(config)  # before the arguments: with ZeRO-3 those would have new weights made in parts
    arguments = training_arguments(config)
    trainer = make_trainer(run, arguments)
    train_in_folder(trainer, config.output, config.to_yaml(), _introduction(run, trainer), resume)
    step, metrics = trainer.last_evaluation
    if run.evaluation_sources and (step != trainer.state.global_step or arguments.load_best_model_at_end):
        metrics = trainer.evaluate()
    bad_rows = count_bad_rows(trainer)
    model = trainer.whole_model()
    if arguments.should_save:
        _save(run, trainer, merged(model), metrics, bad_rows, command)
    trainer.accelerator.wait_for_everyone()
    return metrics


def training_arguments(config: RunConfig) -> ScheduledTrainingArguments:
    """
    transformers' arguments for a run. Makes the processes of a distributed run meet.

    Raises:
        BadInputError: If transformers refuses a value.
    """
    options, steps = config.training, config.training.steps
    given = dict(options.arguments)
    multipliers = dict(options.lr_multipliers)
    learning_rate = given.get("learning_rate", ScheduledTrainingArguments.learning_rate)
    if config.dictionary.temperature_lr is not None:
        if not learning_rate:
            raise BadInputError("dictionary.temperature_lr is given, but training.learning_rate is 0.")
        multipliers["dictionary.temperature"] = config.dictionary.temperature_lr / learning_rate
    if options.early_stopping_patience is not None or given.get("load_best_model_at_end"):
        given.setdefault("metric_for_best_model", METRIC)
        given.setdefault("greater_is_better", True)
    if config.data.sampler == "accumulating":
        active = [source for source in config.data.sources.values() if source.weight]
        given["gradient_accumulation_steps"] = len(active)
    return make_arguments(
        options,
        steps=steps,
        output=config.output,
        seed=config.seed,
        batch_size=config.data.batch_size,
        num_workers=config.data.num_workers,
        given={**given, "count_flops": True, "gradient_cache_size": options.gradient_cache_size},
        lr_multipliers=multipliers,
    )


def make_trainer(run: Run, arguments: ScheduledTrainingArguments) -> ScheduledTrainer:
    """The Trainer of a run, with its callbacks."""
    options = run.config.dictionary
    callbacks: list = []
    if options.row_constraint or options.restart_dead_every:
        check_dictionary(run.model)
        callbacks.append(DictionaryCallback(options.row_constraint, options.restart_dead_every, run.config.seed))
    if run.config.training.early_stopping_patience is not None:
        callbacks.append(EarlyStoppingCallback(run.config.training.early_stopping_patience))
    trainer = ScheduledTrainer(
        run.model,
        arguments,
        sources=run.sources,
        schedule=run.schedule,
        collator=run.collator,
        objectives=run.objectives,
        evaluation_sources=run.evaluation_sources,
        health_every=options.health_every,
        max_bad_rows=run.config.data.max_bad_rows,
        processing_class=run.processor,
        callbacks=callbacks,
    )
    galleries = [source.name for source in run.evaluation_sources]
    weighted = [name for name, ramp in run.objectives.ramps.items() if ramp.weight]
    show_lines(trainer, ProgressLines([name for name in weighted if _has_data(name, run)], galleries))
    return trainer


def _has_data(objective: str, run: Run) -> bool:
    return any(objective in OBJECTIVES_OF_KIND[source.kind] for source in run.schedule.active)


def _introduction(run: Run, trainer: ScheduledTrainer) -> list[str]:
    counts = run.schedule.counts()
    model = without_adapters(run.model)
    total, learn = (model.num_parameters(only_trainable) for only_trainable in (False, True))
    some = f", {learn:,} of them learn" if learn < total else ""
    lines = [f"model: {type(model).__name__}, {total:,} parameters{some}"]
    if run.encoders is not None:
        lines.append(run.encoders.summary())
    for source in run.sources:
        size = f"{len(source):,} rows" if isinstance(source, MapSource) else "stream"
        lines.append(f"source {source.name}: {source.kind}, {size}, {counts[source.name]:,} batches")
    lines.append(trainer.negatives())
    return lines


def _save(
    run: Run,
    trainer: ScheduledTrainer,
    model: PreTrainedModel,
    metrics: dict[str, float],
    bad_rows: dict[str, int],
    command: str,
) -> None:
    output = Path(run.config.output)
    with staged_directory(output / MODEL_FOLDER) as folder:
        model.save_pretrained(folder)
        run.processor.save_pretrained(folder)
    facts = run_facts(run, trainer, model, metrics, bad_rows, command)
    for path in write_report(output, facts, model_folder=output / MODEL_FOLDER):
        print(f"written: {path}")
    print(f"written: {output / MODEL_FOLDER}")


def run_facts(
    run: Run,
    trainer: ScheduledTrainer,
    model: PreTrainedModel,
    metrics: dict[str, float],
    bad_rows: dict[str, int],
    command: str,
) -> RunFacts:
    """What the report tells of a run and of `model`, which it leaves."""
    world_size, device = trainer.args.world_size, trainer.args.device
    dtype = torch.bfloat16 if trainer.args.bf16 else torch.float16 if trainer.args.fp16 else torch.float32
    sources = []
    for source in run.sources:
        batches = trainer.batches_drawn[source.name]
        sources.append(
            {
                "name": source.name,
                "kind": source.kind,
                "path": source.options.place,
                "format": source.options.format,
                "weight": source.options.weight,
                "rows": len(source) if isinstance(source, MapSource) else None,
                "batches": batches,
                "rows_drawn": batches * trainer.batch_sizes[source.name] * world_size,
            }
        )
    evaluation: dict[str, dict] = {source.name: {} for source in run.evaluation_sources}
    for name, value in metrics.items():
        # The longest name that fits: with galleries `unseen` and `unseen_noto` both begin `eval_unseen_noto_...`.
        galleries = [gallery for gallery in evaluation if name.startswith(f"eval_{gallery}_")]
        if galleries:
            gallery = max(galleries, key=len)
            evaluation[gallery][name.removeprefix(f"eval_{gallery}_")] = value
    return RunFacts(
        title=Path(run.config.output).name,
        command=command,
        seed=run.config.seed,
        steps=trainer.state.global_step,
        model_class=type(model).__name__,
        family=run.family.model_type,
        num_parameters=model.num_parameters(),
        config=run.config.to_dict(),
        sources=sources,
        objectives=describe_objectives(run),
        log_history=trainer.state.log_history,
        evaluation=evaluation,
        throughput=trainer.throughput.summary(matrix_product_rate(device, dtype)),
        bad_rows=dict(bad_rows),
        protocol=[
            "Every evaluation source is read once, in order, without augmentation; of several captions the first "
            "counts, or all of them joined, as the source says.",
            "Retrieval ranks the whole source by the cosine of the contrastive features; losses are means over "
            f"batches of {trainer.args.per_device_eval_batch_size}.",
            "Throughput counts forward and backward passes, without reading data and optimizer steps.",
        ],
        notes=[trainer.negatives(), *_note_on_lora(run.config)],
        hardware=describe_hardware(device, world_size),
    )


def _note_on_lora(config: RunConfig) -> list[str]:
    if config.training.lora is None:
        return []
    options = ", ".join(f"{name} {value}" for name, value in config.training.lora.items()) or "defaults"
    return [
        f"Low-rank updates of the encoders' linear maps were learned (LoRA: {options}) and merged into the weights; "
        "words, positions and dictionary are those that the run started from."
    ]
