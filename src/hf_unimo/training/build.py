# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""From a [`RunConfig`] to what a training loop needs: model, processor, open sources, schedule, collator, weights."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from transformers import (
    PreTrainedConfig,
    PreTrainedModel,
    ProcessorMixin,
    set_seed,
)

from ..conversion.encoders import EncoderReport, load_encoders
from ..data.collator import PretrainingCollator
from ..data.schedule import Schedule, Source
from ..data.sources import MapSource, StreamSource, open_source
from ..errors import BadInputError
from ..models import FAMILIES
from ..models.registry import Family
from .lora import add_lora
from .objective_schedule import ObjectiveSchedule, Ramp
from .parts import check_sizes, load_image_processor, load_part, load_tokenizer, make_model_config
from .run_config import RunConfig, to_step


@dataclass
class Run:
    """
    All that a training loop needs; made by [`build_run`].

    Args:
        config ([`RunConfig`]): What it was made from.
        family ([`~hf_unimo.models.registry.Family`]): The model's.
        model ([`PreTrainedModel`]): The family's pre-training class; with `training.lora` a `PeftModel`.
        encoders ([`~hf_unimo.conversion.encoders.EncoderReport`], *optional*): What foreign encoders gave it.
        processor ([`ProcessorMixin`]): Saved with the model.
        sources, evaluation_sources (`list`): Open data.
        schedule ([`Schedule`]): Which source feeds which batch.
        collator ([`PretrainingCollator`]): From rows to tensors.
        objectives ([`ObjectiveSchedule`]): What counts when.
    """

    config: RunConfig
    family: Family
    model: PreTrainedModel
    encoders: EncoderReport | None
    processor: ProcessorMixin
    sources: list[MapSource | StreamSource]
    evaluation_sources: list[MapSource]
    schedule: Schedule
    collator: PretrainingCollator
    objectives: ObjectiveSchedule


def build_run(config: RunConfig) -> Run:
    """
    Reads what the configuration names and makes what it describes. Nothing is written; weights are drawn from `seed`.

    Raises:
        BadInputError: If something is not there, cannot be read, or does not fit together.
    """
    family = FAMILIES[config.model.family]
    sources, evaluation_sources = open_sources(config)
    tokenizer = load_tokenizer(config.model, family, config.data.max_text_length)
    model_config = build_model_config(config, family, len(tokenizer))
    image_size = config.data.image_size or model_config.vision_config.image_size
    check_sizes(model_config, tokenizer, image_size, config.data.max_text_length)
    image_processor = load_image_processor(config.model, family, image_size)
    set_seed(config.seed)
    model, encoders = _load_model(config, family, model_config)
    objectives = _objectives(config, model)
    if config.training.lora is not None:
        model = add_lora(model, config.training.lora)
    schedule = build_schedule(config, sources)
    objectives.check({source.name: source.kind for source in schedule.active})
    collator = PretrainingCollator(
        tokenizer,
        image_processor,
        image_size=image_size,
        max_length=config.data.max_text_length,
        masking=config.data.masking,
        augmentation=config.data.augmentation,
        own_masked_pass=getattr(config.objectives.get("mlm"), "own_pass", False),
    )
    assert family.processor is not None  # a family that can be pre-trained has one
    processor = family.processor(image_processor, tokenizer)
    return Run(
        config,
        family,
        model,
        encoders,
        processor,
        sources,
        evaluation_sources,
        schedule,
        collator,
        objectives,
    )


def build_schedule(config: RunConfig, sources: list[MapSource | StreamSource]) -> Schedule:
    """Which source feeds which batch of the run."""
    steps = config.training.steps
    if config.data.sampler != "accumulating":
        steps *= config.training.arguments.get("gradient_accumulation_steps", 1)
    rows = {source.name: len(source) if isinstance(source, MapSource) else None for source in sources}
    described = [
        Source(name, options.kind, options.weight, rows[name]) for name, options in config.data.sources.items()
    ]
    return Schedule(described, steps, config.seed, config.data.sampler)


def open_sources(config: RunConfig) -> tuple[list[MapSource | StreamSource], list[MapSource]]:
    """The sources of the training and of the evaluation, open."""
    both: list[list[Any]] = [
        [open_source(options, max_image_pixels=config.data.max_image_pixels) for options in sources.values()]
        for sources in (config.data.sources, config.data.evaluation)
    ]
    return both[0], both[1]


def build_model_config(config: RunConfig, family: Family, vocab_size: int) -> PreTrainedConfig:
    """The configuration of the run's model, for a vocabulary of `vocab_size` words if nothing else says its size."""
    options = config.model
    overrides = dict(options.config)
    if config.fusion_share is not None:
        overrides["fusion_share"] = config.fusion_share
    negatives = getattr(config.objectives.get("matching"), "negatives", None)
    if negatives is not None:
        overrides["matching_negatives"] = negatives
    for name, objective in config.objectives.items():
        if objective.weight is not None:
            overrides[f"{name}_weight"] = objective.weight
    return make_model_config(options, family, vocab_size, overrides)


def _load_model(
    config: RunConfig, family: Family, model_config: PreTrainedConfig
) -> tuple[PreTrainedModel, EncoderReport | None]:
    model_class = family.auto_models["AutoModelForPreTraining"]
    options = config.model
    if options.checkpoint is not None:
        return load_part(model_class, options.checkpoint, "model", config=model_config), None
    model = model_class(model_config)
    if options.vision_checkpoint is None and options.text_checkpoint is None:
        return model, None
    return model, load_encoders(model, options.vision_checkpoint, options.text_checkpoint)


def _objectives(config: RunConfig, model: PreTrainedModel) -> ObjectiveSchedule:
    steps = config.training.steps
    ramps = {}
    for name, options in config.objectives.items():
        weight = getattr(model.config, f"{name}_weight") if options.weight is None else options.weight
        if name == "masked_grounding" and not getattr(model.config, "grounding_mask_ratio", 0):
            if options.weight:
                raise BadInputError(
                    "objectives.masked_grounding.weight is given, but nothing is hidden: set "
                    "model.config.grounding_mask_ratio, e.g. to 0.15."
                )
            weight = 0.0
        ramps[name] = Ramp(weight, to_step(options.start, steps), to_step(options.warmup, steps))
    hardness = getattr(config.objectives.get("matching"), "hardness", None)
    if hardness is None:
        hardness = getattr(model.config, "matching_hardness", 0.0)
    points: Any = hardness if isinstance(hardness, list | tuple) else [(0, hardness)]
    return ObjectiveSchedule(ramps, [(to_step(start, steps), value) for start, value in points])


def describe_objectives(run: Run) -> list[dict[str, Any]]:
    """The objectives as rows of a table: name, weight, start and warm-up in steps, and their own options."""
    rows = []
    for name, ramp in run.objectives.ramps.items():
        own = dataclasses.asdict(run.config.objectives[name])
        own = {key: value for key, value in own.items() if key not in ("weight", "start", "warmup") and value}
        rows.append({"name": name, "weight": ramp.weight, "start": ramp.start, "warmup": ramp.warmup, **own})
    return rows
