# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Low-rank updates (LoRA, Hu et al., 2021) by `peft`, for pre-training and fine-tuning: `training.lora`."""

from collections.abc import Mapping
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from ..errors import BadInputError


def add_lora(model: PreTrainedModel, options: Mapping[str, Any]) -> Any:
    """
    `peft`'s model: low-rank updates of the linear maps of the base model; the heads learn whole, but for what they
    share with the base model.

    Args:
        model (`PreTrainedModel`): With a base model and heads. It is changed.
        options (mapping): Arguments of `peft.LoraConfig`.

    Raises:
        BadInputError: If `peft` is missing or refuses a value.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise BadInputError("training.lora needs the package peft: pip install 'hf-unimo[peft]'.") from error
    linear = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.startswith(f"{model.base_model_prefix}.")
    ]
    # A copy of a map that shares its weight, which `modules_to_save` would make, could not be merged.
    heads = [name for name, own in outside_of_base(model).items() if is_whole(model.get_submodule(name), own)]
    try:
        lora = LoraConfig(**{"target_modules": linear, "modules_to_save": heads or None, **options})
        return get_peft_model(model, lora)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise BadInputError(f"training.lora does not fit: {' '.join(str(error).split())}") from error


def without_adapters(model: Any) -> Any:
    """The model inside of `peft`'s shell, its linear maps with their updates; any other model as it is."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def merged(model: Any) -> Any:
    """The model without `peft`'s shell, the updates added to its weights, which changes it; any other as it is."""
    return model.merge_and_unload() if hasattr(model, "merge_and_unload") else model


def outside_of_base(model: PreTrainedModel) -> dict[str, list[str]]:
    """Name of a module -> those of its own weights that the base model does not have."""
    base = {id(parameter) for parameter in model.base_model.parameters()}
    found = {}
    for name, module in model.named_modules():
        own = [part for part, parameter in module.named_parameters(recurse=False) if id(parameter) not in base]
        if own:
            found[name] = own
    return found


def is_whole(module: nn.Module, own: list[str]) -> bool:
    """Whether `own` are all weights that a module has by itself."""
    return len(own) == len(list(module.parameters(recurse=False)))
