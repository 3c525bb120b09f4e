# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Training whose processes share out the model's weights: FSDP2 by accelerate, DeepSpeed.

Trainer leaves FSDP2 to accelerate, which is told here what the family's plan (`base_model_fsdp_plan` of its
configurations) says: each layer is a unit, all else belongs to the root. What needs whole weights (measuring through
the doors of the model, saving, merging) takes a copy of the model that the processes fill together.
"""

import copy
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import PreTrainedModel, Trainer

from ..errors import BadInputError
from .lora import without_adapters


_LOW_PRECISION = {"bf16": torch.bfloat16, "fp16": torch.float16}
_LAYER_NUMBER = re.compile(r"\.\d+(?=\.|$)")


def set_up_fsdp(trainer: Trainer) -> None:
    """
    Makes accelerate shard as the family's plan says, if sharding was asked for (`training.fsdp`, or `accelerate
    launch`); to be called when the trainer has its accelerator, before it prepares the model.

    * Units are the plan's layers, unless classes are named (`transformer_layer_cls_to_wrap`).
    * In mixed precision gradients are summed and losses returned in float32.
    * FSDP's own activation checkpointing would not repeat dropout (accelerate passes `preserve_rng_state=False`), so
      the model's takes its place.
    * accelerate shards on accelerators only, and would go on with DDP on a CPU; here a CPU shards too, so that a run
      can be rehearsed.

    Raises:
        BadInputError: If FSDP version 1 was asked for.
    """
    state, args = trainer.accelerator.state, trainer.args
    asked = args.fsdp_plugin_args is not None or os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"
    if asked and not trainer.is_fsdp_enabled and state.distributed_type == DistributedType.MULTI_CPU:
        state.fsdp_plugin = FullyShardedDataParallelPlugin(**(args.fsdp_plugin_args or {}))
        state.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP
        trainer.is_fsdp_enabled = True
    if not trainer.is_fsdp_enabled:
        return
    plugin = state.fsdp_plugin
    if plugin.fsdp_version != 2:
        raise BadInputError("The run is to be sharded by FSDP version 1; accepted is version 2 (`fsdp_version: 2`).")
    if plugin.transformer_cls_names_to_wrap is None:
        plugin.transformer_cls_names_to_wrap = unit_classes(trainer.model)
    if state.mixed_precision in _LOW_PRECISION:
        plugin.mixed_precision_policy = MixedPrecisionPolicy(
            param_dtype=_LOW_PRECISION[state.mixed_precision], reduce_dtype=torch.float32
        )
    if plugin.activation_checkpointing:
        plugin.activation_checkpointing = False
        args.activation_checkpointing = True
        args.activation_checkpointing_kwargs = {"use_reentrant": False}
    # Of embeddings and losses, which nothing here changes in place.
    warnings.filterwarnings("ignore", message=r"FSDP2-wrapped module .* returned a view tensor")


def unit_classes(model: Any) -> list[str]:
    """Names of the classes whose modules a model's plan makes units of, sorted."""
    inner = without_adapters(model)
    plan = inner.fsdp_plan
    return sorted(
        {type(module).__name__ for name, module in inner.named_modules() if _LAYER_NUMBER.sub(".*", name) in plan}
    )


def is_sharded(model: nn.Module) -> bool:
    """Whether this process has a part of a model's weights only."""
    return isinstance(model, FSDPModule) or any(hasattr(parameter, "ds_id") for parameter in model.parameters())


def outline(model: PreTrainedModel) -> PreTrainedModel:
    """A copy of a model whose parameters have shapes, but no values, and so need no memory."""
    empty: dict[int, Any] = {
        id(parameter): nn.Parameter(torch.empty_like(parameter, device="meta"), requires_grad=parameter.requires_grad)
        for parameter in model.parameters()
    }
    return copy.deepcopy(model, empty)


def filled(outline: PreTrainedModel, model: nn.Module, device: torch.device | str) -> PreTrainedModel:
    """
    A copy of a model with all its weights on this process. Every process has to call.

    Args:
        outline (`nn.Module`): Of [`outline`], made before the model was sharded. It is not changed.
        model (`nn.Module`): The model, sharded by FSDP2 or by DeepSpeed's ZeRO-3.
        device: Where the copy is to be.
    """
    whole = copy.deepcopy(outline)
    whole.load_state_dict(_whole_weights(model), assign=True)
    without_adapters(whole).tie_weights()
    whole.to(device)  # type: ignore[arg-type]
    return whole.train(model.training)


def _whole_weights(model: nn.Module) -> dict[str, Any]:
    if isinstance(model, FSDPModule):
        return get_model_state_dict(model, options=StateDictOptions(full_state_dict=True))
    import deepspeed  # which a run without it does not need

    with deepspeed.zero.GatheredParameters(list(model.parameters())):
        return {name: value.detach().clone() for name, value in model.state_dict().items()}


def complete_state(optimizer: Any) -> None:
    """
    Gives the parameters that had no gradient so far the state that an optimizer like Adam begins with, zeros: the
    state of a sharded model is loaded for all parameters or not at all, and an objective may start later.
    """
    known = next(((parameter, state) for parameter, state in optimizer.state.items() if state), None)
    if known is None or any(value.dim() and value.shape != known[0].shape for value in known[1].values()):
        return  # nothing to go by: no step yet, or a state of another shape than its parameter
    for parameter in (parameter for group in optimizer.param_groups for parameter in group["params"]):
        if not optimizer.state.get(parameter):
            optimizer.state[parameter] = {
                name: torch.zeros_like(parameter if value.dim() else value, dtype=value.dtype)
                for name, value in known[1].items()
            }


@contextmanager
def all_rows(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """
    All rows of a tensor, to be changed in place inside of the block: the tensor itself, or if processes share it, its
    rows put together, of which each takes its own back. Every process has to come here, and change them alike.
    """
    if not isinstance(tensor, DTensor):
        yield tensor
        return
    rows = tensor.full_tensor()
    yield rows
    tensor.copy_(distribute_tensor(rows, tensor.device_mesh, tensor.placements))
