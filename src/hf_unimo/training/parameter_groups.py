# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Which parameter learns how fast: factors by module and by layer."""

import re
from collections.abc import Iterable, Mapping

from torch import nn

from ..errors import BadInputError, nearest_known


_LAYER = re.compile(r"^(?P<encoder>.*?)\.(?:encoder\.)?layers?\.(?P<number>\d+)\.")


def belongs_to(parameter: str, module: str) -> bool:
    """Whether `module` (`"vision_model"`, `"dictionary.temperature"`) is a whole part of the parameter's name."""
    return f".{module}." in f".{parameter}."


def check_modules(model: nn.Module, modules: Iterable[str], key: str) -> None:
    """Refuses names that no parameter of `model` belongs to. `key` is where they come from, for the message."""
    names = [name for name, _ in model.named_parameters()]
    for module in modules:
        if not any(belongs_to(name, module) for name in names):
            parts = sorted({part for name in names for part in name.split(".") if not part.isdigit()})
            nearest = nearest_known(module, parts)
            raise BadInputError(
                f"`{key}` names {module!r}, which the model does not have; the nearest is {nearest!r}."
            )


def learning_rate_factors(
    model: nn.Module, multipliers: Mapping[str, float], layerwise_decay: float = 1.0
) -> dict[str, float]:
    """
    Factor of the learning rate of every parameter.

    Args:
        model (`nn.Module`): Encoders hold their layers as `layers.<number>` or `layer.<number>`.
        multipliers (mapping of `str` to `float`): Module -> factor; several that match multiply.
        layerwise_decay (`float`, defaults to 1): Factor from each layer of an encoder to the one below it. What is in
            an encoder below its layers (embeddings) comes one step after its first layer; what is above or outside
            (norms behind the last layer, heads) learns at the full rate.

    Returns:
        Parameter name -> factor.
    """
    names = [name for name, _ in model.named_parameters()]
    depths: dict[str, int] = {}
    for name in names:
        if found := _LAYER.match(name):
            depths[found["encoder"]] = max(depths.get(found["encoder"], 0), int(found["number"]) + 1)

    def below_top(name: str) -> int:
        if found := _LAYER.match(name):
            return depths[found["encoder"]] - 1 - int(found["number"])
        encoder = next((encoder for encoder in depths if name.startswith(f"{encoder}.")), None)
        return depths[encoder] if encoder is not None and "embeddings" in name.split(".") else 0

    factors = {}
    for name in names:
        factor = layerwise_decay ** below_top(name)
        for module, multiplier in multipliers.items():
            factor *= multiplier if belongs_to(name, module) else 1
        factors[name] = factor
    return factors


def parameter_groups(
    model: nn.Module, factors: Mapping[str, float], decayed: Iterable[str], learning_rate: float, weight_decay: float
) -> list[dict]:
    """
    Groups of an optimizer: one for each factor, with and without weight decay. The full rate comes first: it is what
    Trainer logs.

    Args:
        model (`nn.Module`): Parameters that need no gradient are left out.
        factors (mapping of `str` to `float`): Parameter name -> factor.
        decayed (iterable of `str`): Names of the parameters that decay.
        learning_rate, weight_decay (`float`): Of the full rate, and of those that decay.
    """
    decayed = set(decayed)
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((factors[name], name in decayed), []).append(parameter)
    order = sorted(groups, key=lambda key: (abs(key[0] - 1), key[0], not key[1]))
    return [
        {
            "params": groups[factor, decays],
            "lr": learning_rate * factor,
            "weight_decay": weight_decay if decays else 0.0,
        }
        for factor, decays in order
    ]
