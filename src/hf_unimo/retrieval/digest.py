# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Tells models apart, wherever they lie: what was computed with one is not mixed with another's."""

import hashlib
import json
from typing import Any

import torch
from transformers import PreTrainedModel


_SAY_NOTHING = ("_name_or_path", "transformers_version", "_attn_implementation", "attn_implementation", "dtype")
"""Entries of a configuration that change no result, or that the weights tell better."""


def weights_digest(model: torch.nn.Module) -> str:
    """
    A digest of all weights: names, types, shapes and values, bit by bit. Sums would be shorter work, but their last
    bits depend on the number of threads.
    """
    digest = hashlib.blake2b(digest_size=8)
    for name, value in model.state_dict().items():
        digest.update(repr((name, str(value.dtype), tuple(value.shape))).encode())
        for part in _plain(value):
            digest.update(part.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _plain(value: torch.Tensor) -> list[torch.Tensor]:
    """The tensors that a quantised one, which has no memory of its own, is made of."""
    if not hasattr(value, "__tensor_flatten__"):
        return [value]
    return [part for name in value.__tensor_flatten__()[0] for part in _plain(getattr(value, name))]


def model_fingerprint(model: PreTrainedModel) -> dict[str, str]:
    """What a model's answers depend on: its class, its weights and its configuration, the latter two as digests."""

    def meant(tree: Any) -> Any:
        if not isinstance(tree, dict):
            return tree
        return {str(key): meant(value) for key, value in tree.items() if key not in _SAY_NOTHING}

    settings = json.dumps(meant(model.config.to_dict()), sort_keys=True, default=str)
    return {
        "model": weights_digest(model),
        "class of the model": type(model).__name__,
        "configuration": hashlib.blake2b(settings.encode(), digest_size=8).hexdigest(),
    }
