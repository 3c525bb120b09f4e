# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""A whole fine-tuning, from its configuration to a saved model with a card."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transformers import EarlyStoppingCallback, PreTrainedModel, set_seed
from transformers.utils.logging import disable_progress_bar

from ..conversion.encoders import EncoderReport
from ..data.benchmarks.rows import Benchmark
from ..data.collator import read_augmentation
from ..data.schedule import Schedule, Source
from ..data.task_collators import RowSource, TaskCollator
from ..errors import BadInputError
from ..evaluation.captioning import generation_settings
from ..evaluation.measuring import Options
from ..evaluation.protocol import Result, merge_into_card, write_results
from ..evaluation.run import evaluate_task
from ..evaluation.token_ids import check_token_ids
from ..files import check_destination, public_command, public_path, staged_directory, write_atomically
from ..models import FAMILIES
from ..models.registry import Family
from ..objectives import ranks
from ..retrieval.adapters import Texts
from .arguments import ScheduledTrainingArguments, make_arguments
from .finetune_card import finetune_card
from .finetune_config import FinetuneConfig, load_finetune_config
from .finetune_trainer import PRIMARY, FinetuneTrainer
from .head import head_config, load_head
from .lora import add_lora, merged, without_adapters
from .parts import check_sizes, load_image_processor, load_tokenizer
from .progress import ProgressLines, show_lines
from .run_config import read_file, tree_differences
from .run_folder import MODEL_FOLDER, check_resumable, count_bad_rows, train_in_folder
from .splits import Splits, check_labels, check_number, open_splits, token_ids
from .targets import make_target
from .tasks import CaptioningOptions, RetrievalOptions, make_collator, primary_metric


CARD_FILE = "README.md"


@dataclass
class Finetuning:
    """
    All that a training loop needs; made by [`build_finetuning`].

    Args:
        config ([`FinetuneConfig`]): What it was made from.
        family ([`~hf_unimo.models.registry.Family`]): The model's.
        model ([`PreTrainedModel`]): The class of the task; with `training.lora` a `PeftModel`.
        encoders ([`~hf_unimo.conversion.encoders.EncoderReport`], *optional*): What foreign encoders gave it.
        new_weights (list of `str`): Names of the weights that no checkpoint gave.
        processor: Saved with the model.
        splits ([`~hf_unimo.training.splits.Splits`]): The rows.
        source ([`RowSource`]): Those of the training as a source of batches.
        collator ([`TaskCollator`]): From rows to tensors.
    """

    config: FinetuneConfig
    family: Family
    model: PreTrainedModel
    encoders: EncoderReport | None
    new_weights: list[str]
    processor: Any
    splits: Splits
    source: RowSource
    collator: TaskCollator

    @property
    def steps(self) -> int:
        """Length of the run in optimizer steps."""
        training = self.config.training
        return training.steps or max(1, math.ceil((training.epochs or 0) * len(self.source) / self._step_rows))

    @property
    def epoch_steps(self) -> int:
        """Steps of a pass over the training rows."""
        return math.ceil(len(self.source) / self._step_rows)

    @property
    def _accumulated(self) -> int:
        return self.config.training.arguments.get("gradient_accumulation_steps", 1)

    @property
    def _step_rows(self) -> int:
        return _batch_rows(self.config) * self._accumulated

    def schedule(self) -> Schedule:
        """Every batch is one of the training rows."""
        rows, batches = len(self.source), self.steps * self._accumulated
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
    train_in_folder(trainer, config.output, config.to_yaml(), _introduction(run, trainer), resume)
    bad_rows = sum(count_bad_rows(trainer).values())
    model = trainer.whole_model()
    result = _save(run, trainer, merged(model), bad_rows, command) if arguments.should_save else None
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
    splits = open_splits(config)
    pictures = splits.train[0].pictures
    shares = _shares_pictures(config, len(pictures))
    tokenizer = _load_tokenizer(config, family)
    words = None if tokenizer is None else len(tokenizer)
    model_config, kept_head = head_config(config, family, splits.train, words)
    image_size = config.data.image_size or model_config.vision_config.image_size
    check_sizes(model_config, tokenizer, image_size, config.data.max_text_length)
    label2id: Any = model_config.label2id
    for name, data in splits.named().items():
        check_labels(config.task, data, f"data.{name}", label2id)
    source = RowSource(splits.train, config.task.kind, config.data.max_image_pixels, config.data.rows_per_image)
    check_number(len(source), _batch_rows(config))
    image_processor = load_image_processor(config.model, family, image_size)
    set_seed(config.seed)
    model, new_weights, encoders = load_head(config, family, model_config, kept_head)
    _check_with_model(config, splits, model, tokenizer)
    if config.training.lora is not None:
        model = add_lora(model, config.training.lora)
    collator = make_collator(
        config.options,
        tokenizer,
        image_processor if pictures else None,
        splits.train,
        target=make_target(config.task.labels, splits.train, label2id),
        image_size=image_size if pictures else None,
        max_length=config.data.max_text_length,
        max_image_pixels=config.data.max_image_pixels,
        augmentation=read_augmentation("pairs", config.data.augmentation),
        share_images=shares,
    )
    processor = image_processor if tokenizer is None else family.processor(image_processor, tokenizer)  # type: ignore[misc]
    return Finetuning(config, family, model, encoders, new_weights, processor, splits, source, collator)


def finetuning_arguments(run: Finetuning) -> ScheduledTrainingArguments:
    """
    transformers' arguments for a run: by default the model is measured and saved after each pass over the rows, and
    the best one is kept.

    Raises:
        BadInputError: If transformers refuses a value, or an evaluation is asked for that has no rows.
    """
    config, given = run.config, dict(run.config.training.arguments)
    for name in ("eval", "save", "logging"):
        if given.get(f"{name}_strategy") == "epoch":  # Trainer sees one epoch, the whole run
            given |= {f"{name}_strategy": "steps", f"{name}_steps": run.epoch_steps}
    every = given.get("eval_steps", given.get("save_steps", run.epoch_steps))
    defaults: dict[str, Any] = {"save_steps": every, "save_total_limit": 2}
    if given.get("eval_strategy") == "no" or run.splits.validation is None:
        _check_not_measured(run, given)
    else:
        defaults |= {
            "eval_strategy": "steps",
            "eval_steps": every,
            "load_best_model_at_end": given.get("save_strategy") != "no",
        }
        if "metric_for_best_model" not in given:
            defaults |= {"metric_for_best_model": PRIMARY, "greater_is_better": True}
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
        lr_multipliers=training.lr_multipliers,
    )


def make_finetuner(run: Finetuning, arguments: ScheduledTrainingArguments) -> FinetuneTrainer:
    """The Trainer of a run, with its callbacks."""
    config, validation = run.config, run.splits.validation
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


def _shares_pictures(config: FinetuneConfig, pictures: int) -> bool:
    """Whether rows about one picture can share its encoding. Raises BadInputError if they are to, but cannot."""
    # In retrieval every other pair of a batch is a wrong one.
    shares = config.task.kind != "images" and pictures == 1 and config.task.name != "retrieval"
    if config.data.rows_per_image is not None and not shares:
        raise BadInputError(
            f"data.rows_per_image is {config.data.rows_per_image}, but in the task {config.task.name!r} with this "
            "data a picture has one row; accepted is the key for several texts about a picture, such as vqa."
        )
    return shares


def _load_tokenizer(config: FinetuneConfig, family: Family) -> Any:
    """The tokenizer; where texts are not read, that of the checkpoint if it has one, else None."""
    model = config.model
    if config.task.kind != "images" or model.processor or model.text_checkpoint:
        return load_tokenizer(model, family, config.data.max_text_length)
    try:
        return None if model.checkpoint is None else load_tokenizer(model, family, config.data.max_text_length)
    except BadInputError:
        return None  # a model of pictures, saved without one


def _check_with_model(config: FinetuneConfig, splits: Splits, model: PreTrainedModel, tokenizer: Any) -> None:
    """What only the model can tell: whether it knows token ids of the data, and can write as evaluation asks."""
    length = config.data.max_text_length
    for data in splits.named().values():
        if ids := token_ids(data):
            check_token_ids(ids, data, model, places=length)
    if isinstance(config.options, CaptioningOptions):
        generation_settings(model, config.options.generation, Texts(tokenizer, model).max_length)


def _check_not_measured(run: Finetuning, given: Mapping[str, Any]) -> None:
    """Raises BadInputError if a key asks for an evaluation in training where there is none."""
    wanted = [name for name in ("load_best_model_at_end", "eval_on_start") if given.get(name)]
    wanted += ["eval_strategy"] if given.get("eval_strategy", "no") != "no" else []
    wanted += ["early_stopping_patience"] if run.config.training.early_stopping_patience is not None else []
    if wanted:
        why = "data.validation names no rows" if run.splits.validation is None else "training.eval_strategy is 'no'"
        raise BadInputError(f"training.{wanted[0]} needs the model to be measured in training, but {why}.")


def _batch_rows(config: FinetuneConfig) -> int:
    """Rows of a batch over all processes."""
    # Before transformers makes the processes meet, torchrun says how many there are.
    return config.data.batch_size * max(int(os.environ.get("WORLD_SIZE", "1")), ranks.world_size())


def _changes(file: Path, config: FinetuneConfig) -> list[str]:
    """What the run of a file did otherwise. A file of another command is refused by its keys."""
    task = str(read_file(file).get("task", config.task.name))
    return list(tree_differences(load_finetune_config(file, task).to_dict(), config.to_dict()))


def _introduction(run: Finetuning, trainer: FinetuneTrainer) -> list[str]:
    model: Any = run.model
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    head = without_adapters(model)
    lines = [] if run.encoders is None else [run.encoders.summary()]
    lines += [f"model: {type(head).__name__}, {head.num_parameters():,} parameters, {trained:,} of them learn"]
    if run.config.model.checkpoint is not None and run.new_weights:
        modules = list(dict.fromkeys(name.rpartition(".")[0] for name in run.new_weights))
        lines.append(
            f"new: {', '.join(modules[:6])}{' ...' if len(modules) > 6 else ''}; all else is the checkpoint's"
        )
    lines += [f"{name}: {data.name}, {len(data):,} rows" for name, data in run.splits.named().items()]
    lines.append(f"steps: {run.steps:,}, {run.epoch_steps:,} a pass over the training rows")
    return lines


def _save(
    run: Finetuning, trainer: FinetuneTrainer, model: PreTrainedModel, bad_rows: int, command: str
) -> Result | None:
    output = Path(run.config.output)
    model.eval()
    data = run.splits.test if run.splits.test is not None else run.splits.validation
    result = None
    if data is not None:
        result = run.evaluate(model, data, model_name=public_path(run.config.output), command=public_command(command))
        print(result.to_markdown())
    card = finetune_card(run, trainer, model, bad_rows, command)
    # The model last: where it is, the run has ended.
    written = [] if result is None else write_results(output, [result])
    with staged_directory(output / MODEL_FOLDER) as folder:
        model.save_pretrained(folder)
        run.processor.save_pretrained(folder)
        write_atomically(folder / CARD_FILE, card)
        if result is not None:
            merge_into_card(folder / CARD_FILE, [result])
    for path in [*written, output / MODEL_FOLDER]:
        print(f"written: {path}")
    return result
