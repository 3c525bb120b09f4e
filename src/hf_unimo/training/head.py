# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The model of a fine-tuning: whether a checkpoint's head stays, and what a new one predicts."""

from typing import Any

from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from ..conversion.encoders import EncoderReport, load_encoders
from ..data.benchmarks.rows import Benchmark
from ..errors import BadInputError
from ..models.registry import Family
from .finetune_config import FinetuneConfig
from .lora import is_whole, outside_of_base
from .parts import load_part, make_model_config
from .targets import answer_vocabulary, class_names, describe_difference, numbered_names
from .tasks import CaptioningOptions, VqaOptions


def head_config(
    config: FinetuneConfig, family: Family, train: Benchmark, vocab_size: int | None
) -> tuple[PreTrainedConfig, bool]:
    """
    The model's configuration, its classes named.

    Args:
        config ([`FinetuneConfig`]): Of the run.
        family ([`Family`]): Of the model.
        train ([`Benchmark`]): Rows whose labels a new head predicts.
        vocab_size (`int`, *optional*): Words of a new model.

    Returns:
        The configuration, and whether the head is that of the checkpoint.

    Raises:
        BadInputError: If the checkpoint cannot be read, keys do not fit, or its head is for other labels.
    """
    overrides = dict(config.model.config)
    overrides["num_images"] = 2 if config.task.name == "nlvr2" else 1
    if isinstance(config.options, CaptioningOptions):
        overrides["caption_label_smoothing"] = config.options.label_smoothing
    made: Any = make_model_config(config.model, family, vocab_size, overrides)
    head = family.task_models[config.task.name].__name__
    kept = config.model.checkpoint is not None and made.architectures == [head] and not config.reset_head
    if config.task.labels == "values":
        if kept and made.num_labels != 1:
            raise BadInputError(_other_head(config, f"it predicts {made.num_labels} classes, the data has numbers"))
        _name_classes(made, numbered_names(1))
        made.problem_type = "regression"
    elif config.task.labels is not None:
        known = [str(made.id2label[number]) for number in range(made.num_labels)] if kept else None
        _name_classes(made, _classes(config, train, known))
        made.problem_type = "single_label_classification" if config.task.labels == "classes" else None
    return made, kept


def _name_classes(made: Any, names: list[str]) -> None:
    made.id2label = dict(enumerate(names))
    made.label2id = {name: number for number, name in enumerate(names)}


def _classes(config: FinetuneConfig, train: Benchmark, known: list[str] | None) -> list[str]:
    """Names of the classes: those of the head that is kept, `known`, if the data has the same ones."""
    numbered = known is not None and known == numbered_names(len(known))
    if isinstance(config.options, VqaOptions):
        if known is not None and not numbered:
            return known  # the checkpoint's vocabulary
        names = answer_vocabulary(train, config.options.max_answers, config.options.min_answer_count)
    else:
        names = class_names(train)
    if known is None:
        return names
    same_number = len(names) == len(known)
    if same_number and (train.label_names is None and names == numbered_names(len(names))):
        return known  # the data has numbers only
    if (same_number and numbered) or set(names) == set(known):
        return names if numbered else known
    raise BadInputError(_other_head(config, describe_difference(names, known)))


def _other_head(config: FinetuneConfig, difference: str) -> str:
    return (
        f"The head of {config.model.checkpoint} is for other labels: {difference}. Use --reset-head to begin with a "
        "new head, or data with its labels."
    )


def load_head(
    config: FinetuneConfig, family: Family, model_config: PreTrainedConfig, kept_head: bool
) -> tuple[PreTrainedModel, list[str], EncoderReport | None]:
    """
    The model of the task.

    Args:
        config ([`FinetuneConfig`]): Of the run.
        family ([`Family`]): Of the model.
        model_config (`PreTrainedConfig`), kept_head (`bool`): Of [`head_config`].

    Returns:
        The model, names of the weights that neither a checkpoint nor an encoder's gave, and what encoders gave.

    Raises:
        BadInputError: If a checkpoint cannot be read, or keys of the configuration change its encoders.
    """
    model_class: Any = family.task_models[config.task.name]
    options = config.model
    if options.checkpoint is None:
        model = model_class(model_config)
        encoders = None
        if options.vision_checkpoint is not None or options.text_checkpoint is not None:
            encoders = load_encoders(model, options.vision_checkpoint, options.text_checkpoint)
        return model, [name for name, _ in model.named_parameters()], encoders
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
    if config.reset_head or (config.task.labels is not None and not kept_head):
        # A classifier of another task can have the same name and shape.
        return model, _reset_head(model), None
    return model, sorted({*loading["missing_keys"], *outside}), None


def _reset_head(model: PreTrainedModel) -> list[str]:
    """Draws all weights outside of the base model anew; tied ones stay. Gives their names."""
    names = []
    for name, own in outside_of_base(model).items():
        module = model.get_submodule(name)
        for part in own:
            getattr(module, part)._is_hf_initialized = False
            names.append(f"{name}.{part}")
        if is_whole(module, own):
            model._init_weights(module)
        else:  # a map whose weight is that of the embeddings
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    return names
