# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""A whole fine-tuning, from its configuration to a saved model with a card."""

import math
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from accelerate.utils import gather_object
from torch import nn
from transformers import EarlyStoppingCallback, PreTrainedConfig, PreTrainedModel, set_seed
from transformers.utils.logging import disable_progress_bar

from ..conversion.encoders import load_encoders
from ..data.benchmarks.rows import Benchmark
from ..data.collator import read_augmentation
from ..data.open_data import open_tree
from ..data.schedule import Schedule, Source
from ..data.task_collators import RowSource, TaskCollator
from ..errors import BadInputError
from ..evaluation.measuring import Options
from ..evaluation.protocol import Result, merge_into_card, write_results
from ..evaluation.run import evaluate_task
from ..files import check_destination, public_command, public_path, staged_directory, write_atomically
from ..models import FAMILIES
from ..models.registry import Family
from .arguments import ScheduledTrainingArguments, make_arguments
from .finetune_card import finetune_card
from .finetune_config import FinetuneConfig, load_finetune_config
from .finetune_trainer import PRIMARY, FinetuneTrainer, without_adapters
from .parts import check_sizes, load_image_processor, load_part, load_tokenizer, make_model_config
from .progress import ProgressLines, show_lines
from .run_config import tree_differences
from .run_folder import MODEL_FOLDER, RUN_FILE, check_resumable
from .targets import (
    AnswerTarget,
    ClassTarget,
    ValueTarget,
    answer_vocabulary,
    check_split,
    class_names,
    describe_difference,
)
from .tasks import CaptioningOptions, RetrievalOptions, make_collator, primary_metric
from .trainer import last_checkpoint


CARD_FILE = "README.md"


@dataclass
class Finetuning:
    """
    All that a training loop needs; made by [`build_finetuning`].

    Args:
        config ([`FinetuneConfig`]): What it was made from.
        family ([`~hf_unimo.models.registry.Family`]): The model's.
        model ([`PreTrainedModel`]): The class of the task; with `training.lora` a `PeftModel`.
        processor: Saved with the model.
        new_weights (list of `str`): Names of the weights that no checkpoint gave.
        source ([`RowSource`]): The training rows.
        validation, test ([`Benchmark`], *optional*): Other splits.
        collator ([`TaskCollator`]): From rows to tensors.
        steps (`int`): Length of the run in optimizer steps.
        epoch_steps (`int`): Steps of a pass over the rows.
    """

    config: FinetuneConfig
    family: Family
    model: PreTrainedModel
    processor: Any
    new_weights: list[str]
    source: RowSource
    validation: Benchmark | None
    test: Benchmark | None
    collator: TaskCollator
    steps: int
    epoch_steps: int

    def schedule(self) -> Schedule:
        """Every batch is one of the training rows."""
        batches = self.steps * self.config.training.arguments.get("gradient_accumulation_steps", 1)
        rows = len(self.source)
        return Schedule([Source(self.source.name, self.source.kind, rows=rows)], batches, self.config.seed)

    def evaluate(self, model: PreTrainedModel, data: Benchmark, **options: Any) -> Result:
        """The task's evaluation of a model (without `peft`'s shell)."""
        own, task = self.config.options, self.config.task.evaluation
        more: dict[str, Any] = {}
        if isinstance(own, CaptioningOptions):
            more["generation"] = own.generation
        if isinstance(own, RetrievalOptions):
            more["allow_repeated_captions"] = True
            if own.rerank_top_k:
                task, more["top_k"] = "rerank", own.rerank_top_k
        chosen = Options(batch_size=self.config.data.batch_size, seed=self.config.seed, **options)
        return evaluate_task(task, model, self.processor, data, options=chosen, **more)


def finetune(config: FinetuneConfig, *, resume: bool = False, command: str = "") -> Result | None:
    """
    Trains, keeps the best checkpoint, saves the model with processor and card in `<output>/model` and its figures in
    `<output>/results.json`. Call it on every process of a distributed run.

    Args:
        config ([`FinetuneConfig`]): What to do.
        resume (`bool`, defaults to `False`): Whether to go on from the last whole checkpoint in `<output>`.
        command (`str`, defaults to `""`): The command line, for the card.

    Returns:
        [`~hf_unimo.evaluation.protocol.Result`] on the test split, or without one on the validation split; None
        without either, and on all processes but the first.

    Raises:
        BadInputError: If the configuration cannot be carried out; nothing has been written then. Or in the middle of
            the run, if too many rows cannot be read.
        CheckFailedError: If the loss is not finite.
        KeyboardInterrupt: After Ctrl-C; the message says how to resume.
    """
    disable_progress_bar()
    if resume:
        check_resumable(config.output, lambda file: _changes(file, config))
    else:
        check_destination(config.output)
    run = build_finetuning(config)
    arguments = finetuning_arguments(run)
    trainer = make_finetuner(run, arguments)
    checkpoint = last_checkpoint(config.output) if resume else None
    trainer.accelerator.wait_for_everyone()
    if arguments.should_save and not resume:
        Path(config.output).mkdir(parents=True, exist_ok=True)
        Path(config.output, RUN_FILE).write_text(config.to_yaml(), encoding="utf-8")
    if arguments.process_index == 0:
        for line in _introduction(run, trainer):
            print(line, flush=True)
        if resume:
            print(f"resuming from {checkpoint}" if checkpoint else "no checkpoint yet: from the beginning", flush=True)
    trainer.train(resume_from_checkpoint=checkpoint)
    if trainer.stop.interrupted:
        step = trainer.state.global_step
        raise KeyboardInterrupt(f"stopped after step {step}, which is saved; add --resume to the command to go on")
    bad_rows = Counter(source for source, _, _ in gather_object(trainer.bad_rows.state_dict()["bad_rows"]))
    result = None
    if arguments.should_save:
        result = _save(run, trainer, sum(bad_rows.values()), command)
    trainer.accelerator.wait_for_everyone()
    return result


def build_finetuning(config: FinetuneConfig) -> Finetuning:
    """
    Reads what the configuration names and makes what it describes. Nothing is written; new weights are drawn from
    `seed`.

    Raises:
        BadInputError: If something is not there, cannot be read, or does not fit together.
    """
    family = FAMILIES[config.model.family]
    if config.task.name not in family.task_models:
        raise BadInputError(
            f"The family {family.model_type} cannot learn {config.task.name!r}; it can learn "
            f"{', '.join(family.task_models)}."
        )
    train, validation, test = _open_splits(config)
    needs_text = config.task.kind != "images"
    has_tokenizer = config.model.processor or config.model.checkpoint or config.model.text_checkpoint
    tokenizer = None
    if needs_text or has_tokenizer:
        tokenizer = load_tokenizer(config.model, family, config.data.max_text_length)
    model_config, kept_head = _model_config(config, family, train, tokenizer)
    image_size = config.data.image_size or model_config.vision_config.image_size
    if tokenizer is not None:
        check_sizes(model_config, tokenizer, image_size, config.data.max_text_length)
    image_processor = load_image_processor(config.model, family, image_size)
    set_seed(config.seed)
    model, new_weights = _load_model(config, family, model_config, kept_head)
    if config.training.lora is not None:
        model = _with_lora(model, config.training.lora)
    pictures = train[0].pictures
    collator = make_collator(
        config.task,
        config.options,
        tokenizer,
        image_processor if pictures else None,
        train,
        target=_target(config, train, model_config),
        image_size=image_size if pictures else None,
        max_length=config.data.max_text_length,
        augmentation=read_augmentation("pairs", config.data.augmentation),
        share_images=needs_text and len(pictures) == 1 and not isinstance(config.options, RetrievalOptions),
    )
    processor = image_processor if tokenizer is None else family.processor(image_processor, tokenizer)  # type: ignore[misc]
    source = RowSource(train, config.task.kind, config.data.max_image_pixels, config.data.rows_per_image)
    rows = len(source)
    step_rows = config.data.batch_size * _world_size()
    if rows < step_rows:
        check_split(replace(train, rows=train.rows[:rows]), "data.train", step_rows)
    step_rows *= config.training.arguments.get("gradient_accumulation_steps", 1)
    epoch_steps = math.ceil(rows / step_rows)
    steps = config.training.steps or max(1, math.ceil((config.training.epochs or 0) * rows / step_rows))
    return Finetuning(
        config,
        family,
        model,
        processor,
        new_weights,
        source,
        validation,
        test,
        collator,
        steps,
        min(epoch_steps, steps),
    )


def finetuning_arguments(run: Finetuning) -> ScheduledTrainingArguments:
    """
    transformers' arguments for a run: by default the model is measured and saved after each pass over the rows, and
    the best one is kept.

    Raises:
        BadInputError: If transformers refuses a value, or an evaluation is asked for that has no rows.
    """
    config, given = run.config, dict(run.config.training.arguments)
    defaults: dict[str, Any] = {"save_steps": run.epoch_steps, "save_total_limit": 1}
    asked = given.get("eval_strategy", "no") != "no" or config.training.early_stopping_patience is not None
    if run.validation is None:
        if asked or given.get("load_best_model_at_end") or given.get("eval_on_start"):
            raise BadInputError("The model is to be measured in training, but data.validation names no rows for it.")
    elif given.get("eval_strategy", "steps") != "no":
        defaults |= {
            "eval_strategy": "steps",
            "eval_steps": run.epoch_steps,
            "load_best_model_at_end": True,
            "metric_for_best_model": PRIMARY,
            "greater_is_better": True,
        }
        if given.get("eval_strategy") == "steps" and "eval_steps" in given:
            defaults["save_steps"] = given["eval_steps"]
    multipliers = dict(config.training.lr_multipliers)
    training = config.training
    if config.task.freeze_base:
        training = replace(training, freeze={run.model.base_model_prefix: True, **training.freeze})
    return make_arguments(
        training,
        steps=run.steps,
        output=config.output,
        seed=config.seed,
        batch_size=config.data.batch_size,
        num_workers=config.data.num_workers,
        given={**defaults, **given},
        lr_multipliers=multipliers,
    )


def make_finetuner(run: Finetuning, arguments: ScheduledTrainingArguments) -> FinetuneTrainer:
    """The Trainer of a run, with its callbacks."""
    config, validation = run.config, run.validation
    patience = config.training.early_stopping_patience

    def validate(model: PreTrainedModel) -> Result:
        assert validation is not None
        return run.evaluate(model, validation, samples=0)

    forward_options: dict[str, Any] = {}
    if isinstance(config.options, RetrievalOptions) and config.options.loss == "matching":
        forward_options["matching_hardness"] = config.options.hardness
    trainer = FinetuneTrainer(
        run.model,
        arguments,
        sources=[run.source],
        schedule=run.schedule(),
        collator=run.collator.batch,
        validate=None if validation is None else validate,
        primary=lambda figures: primary_metric(config.task, figures),
        forward_options=forward_options,
        lr_drops=config.training.lr_drops,
        decay_from_start=config.training.decay_from_start,
        max_bad_rows=config.data.max_bad_rows,
        evaluation_sources=[] if validation is None else [RowSource(validation, config.task.kind)],
        processing_class=run.processor,
        callbacks=[] if patience is None else [EarlyStoppingCallback(patience)],
    )
    show_lines(trainer, ProgressLines())
    return trainer


# ---------------------------------------------------------------------------------------------------------------------
# Parts
# ---------------------------------------------------------------------------------------------------------------------


def _open_splits(config: FinetuneConfig) -> tuple[Benchmark, Benchmark | None, Benchmark | None]:
    found: list[Benchmark | None] = []
    for name in ("train", "validation", "test"):
        tree = getattr(config.data, name)
        split = None
        if tree is not None:
            key, tree = f"data.{name}", {**config.data.common, **tree}
            named = {"name": Path(str(tree.get("path", name))).stem} if "benchmark" not in tree else {}
            split = open_tree(named | tree, config.task.evaluation, config.folder, key)
            if named and "split" not in tree:  # which rows of a file it is, only this file knows
                split = replace(split, split=name)
            check_split(split, key, 1)
        found.append(split)
    assert found[0] is not None
    return found[0], found[1], found[2]


def _model_config(
    config: FinetuneConfig, family: Family, train: Benchmark, tokenizer: Any
) -> tuple[PreTrainedConfig, bool]:
    """The configuration, its classes named; whether the checkpoint's head is kept."""
    overrides = dict(config.model.config)
    if config.task.name == "nlvr2":
        overrides["num_images"] = 2
    if isinstance(config.options, CaptioningOptions):
        overrides["caption_label_smoothing"] = config.options.label_smoothing
    vocab_size = None if tokenizer is None else len(tokenizer)
    made: Any = make_model_config(config.model, family, vocab_size, overrides)
    head = family.task_models[config.task.name].__name__
    kept = config.model.checkpoint is not None and made.architectures == [head] and not config.reset_head
    if config.task.labels == "values":
        if kept and made.num_labels != 1:
            raise BadInputError(_other_head(config, f"it predicts {made.num_labels} classes, the data has numbers"))
        made.id2label, made.label2id, made.problem_type = {0: "LABEL_0"}, {"LABEL_0": 0}, "regression"
    elif config.task.labels is not None:
        known = [str(made.id2label[number]) for number in range(made.num_labels)]
        answers = config.task.labels == "answers"
        if kept and answers and known != [f"LABEL_{number}" for number in range(len(known))]:
            return made, kept  # the checkpoint's vocabulary
        names = class_names(train) if not answers else _answers(config, train)
        if kept and (len(names) != len(known) or (set(names) != set(known) and not _unnamed(names, known))):
            raise BadInputError(_other_head(config, describe_difference(names, known)))
        if not kept or _unnamed(names, known):
            made.id2label = dict(enumerate(names))
            made.label2id = {name: number for number, name in enumerate(names)}
        if not answers:
            made.problem_type = "single_label_classification"
    return made, kept


def _answers(config: FinetuneConfig, train: Benchmark) -> list[str]:
    options: Any = config.options
    return answer_vocabulary(train, options.max_answers, options.min_answer_count)


def _unnamed(names: list[str], known: list[str]) -> bool:
    """Whether one of two label sets of equal size has numbers only."""
    numbers = [f"LABEL_{number}" for number in range(len(known))]
    return len(names) == len(known) and numbers in (names, known)


def _other_head(config: FinetuneConfig, difference: str) -> str:
    return (
        f"The head of {config.model.checkpoint} is for other labels: {difference}. Use --reset-head to begin with a "
        "new head, or data with its labels."
    )


def _target(config: FinetuneConfig, train: Benchmark, model_config: PreTrainedConfig) -> Any:
    label2id = {str(name): int(number) for name, number in (model_config.label2id or {}).items()}
    if config.task.labels == "values":
        return ValueTarget()
    if config.task.labels == "answers":
        return AnswerTarget(label2id)
    return ClassTarget(train, label2id) if config.task.labels == "classes" else None


def _load_model(
    config: FinetuneConfig, family: Family, model_config: PreTrainedConfig, kept_head: bool
) -> tuple[PreTrainedModel, list[str]]:
    model_class: Any = family.task_models[config.task.name]
    options = config.model
    if options.checkpoint is None:
        model = model_class(model_config)
        names = [name for name, _ in model.named_parameters()]
        if options.vision_checkpoint is not None or options.text_checkpoint is not None:
            given = load_encoders(model, options.vision_checkpoint, options.text_checkpoint)
            print(given.summary(), flush=True)
        return model, names
    model, loading = load_part(
        model_class,
        options.checkpoint,
        "model",
        config=model_config,
        output_loading_info=True,
        ignore_mismatched_sizes=not kept_head,
    )
    outside = sorted(entry[0] for entry in loading["mismatched_keys"])
    of_base = [name for name in outside if name.startswith(f"{model.base_model_prefix}.")]
    if of_base:
        raise BadInputError(
            f"model.config changes the shape of {len(of_base)} weights of {options.checkpoint} (the first: "
            f"{of_base[0]}); accepted are changes that keep the encoders as they are."
        )
    if config.reset_head:
        return model, _reset_head(model)
    return model, sorted({*loading["missing_keys"], *outside})


def _reset_head(model: PreTrainedModel) -> list[str]:
    """Draws all weights outside of the base model anew; tied ones stay."""
    base = {id(parameter) for parameter in model.base_model.parameters()}
    names = []
    for name, module in model.named_modules():
        own = [part for part, parameter in module.named_parameters(recurse=False) if id(parameter) not in base]
        if not own:
            continue
        for part in own:
            parameter = getattr(module, part)
            parameter._is_hf_initialized = False
            names.append(f"{name}.{part}")
        if len(own) == len(list(module.named_parameters(recurse=False))):
            model._init_weights(module)
        else:  # a map whose weight is that of the embeddings
            nn.init.zeros_(module.bias)
    return names


def _with_lora(model: PreTrainedModel, options: Mapping[str, Any]) -> Any:
    """`peft`'s model: low-rank updates of the linear maps of the base model; the head learns whole."""
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise BadInputError("training.lora needs the package peft: pip install 'hf-unimo[peft]'.") from error
    prefix = model.base_model_prefix
    linear = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.startswith(f"{prefix}.")
    ]
    heads = [
        name for name, module in model.named_children() if name != prefix and any(True for _ in module.parameters())
    ]
    try:
        lora = LoraConfig(**{"target_modules": linear, "modules_to_save": heads or None, **options})
        return get_peft_model(model, lora)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise BadInputError(f"training.lora does not fit: {' '.join(str(error).split())}") from error


def _world_size() -> int:
    """Before transformers makes the processes meet, torchrun says how many there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _changes(file: Path, config: FinetuneConfig) -> list[str]:
    return list(tree_differences(load_finetune_config(file, _task_of(file, config)).to_dict(), config.to_dict()))


def _task_of(file: Path, config: FinetuneConfig) -> str:
    """The task of a run's file; that of `config` if the file is no fine-tuning, which is then refused by its keys."""
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("task: "):
            return line.removeprefix("task: ").strip()
    return config.task.name


def _introduction(run: Finetuning, trainer: FinetuneTrainer) -> list[str]:
    model: Any = run.model
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    head = without_adapters(model)
    lines = [f"model: {type(head).__name__}, {head.num_parameters():,} parameters, {trained:,} of them learn"]
    if run.config.model.checkpoint is not None and run.new_weights:
        modules = list(dict.fromkeys(name.rpartition(".")[0] for name in run.new_weights))
        lines.append(
            f"new: {', '.join(modules[:6])}{' ...' if len(modules) > 6 else ''}; all else is the checkpoint's"
        )
    for name, data in (("train", run.source.data), ("validation", run.validation), ("test", run.test)):
        if data is not None:
            lines.append(f"{name}: {data.name}, {len(data):,} rows")
    lines.append(f"steps: {run.steps:,}, {run.epoch_steps:,} a pass over the training rows")
    return lines


def _save(run: Finetuning, trainer: FinetuneTrainer, bad_rows: int, command: str) -> Result | None:
    output = Path(run.config.output)
    model: Any = trainer.accelerator.unwrap_model(trainer.model)
    if hasattr(model, "merge_and_unload"):
        model = model.merge_and_unload()
    model.eval()
    data = run.test if run.test is not None else run.validation
    result = None
    if data is not None:
        result = run.evaluate(model, data, model_name=public_path(run.config.output), command=public_command(command))
        print(result.to_markdown())
    card = finetune_card(run, trainer, type(model), bad_rows, command)
    with staged_directory(output / MODEL_FOLDER) as folder:
        model.save_pretrained(folder)
        run.processor.save_pretrained(folder)
        write_atomically(folder / CARD_FILE, card)
        if result is not None:
            merge_into_card(folder / CARD_FILE, [result])
    if result is not None:
        for path in write_results(output, [result]):
            print(f"written: {path}")
    print(f"written: {output / MODEL_FOLDER}")
    return result
