# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The models that are measured, with random weights: UNIMO-2, and the transformers classes that are most like it."""

import functools
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from transformers import (
    BlipConfig,
    BlipForImageTextRetrieval,
    BridgeTowerConfig,
    BridgeTowerModel,
    CLIPConfig,
    CLIPModel,
    FlavaConfig,
    FlavaModel,
    ViltConfig,
    ViltModel,
)

from hf_unimo import Unimo2ForConditionalGeneration, Unimo2ForImageTextRetrieval
from hf_unimo.models.unimo2.modeling_unimo2 import Unimo2Layer

from .sizes import Size


_GRAPHS = 64
"""Graphs of a layer at most: three shapes in two types, for inference and training, are more than dynamo's 8."""


class Held:
    """
    A model that is built when it is first asked for. It rests in bfloat16, because all models of a round are held at
    once, and is cast outside the timed part: its weights are random anyway.
    """

    def __init__(self, make: Callable[[], nn.Module], device: torch.device):
        self._make, self._device, self._model = make, device, None

    @contextmanager
    def at(self, dtype: torch.dtype) -> Iterator[nn.Module]:
        """The model in `dtype`, for inference."""
        if self._model is None:
            torch.manual_seed(0)
            self._model = self._make().to(self._device)
        try:
            yield self._model.to(dtype).eval()
        finally:
            self._model.to(torch.bfloat16)


def retrieval_model(size: Size) -> nn.Module:
    """UNIMO-2 with the retrieval head: each pair passes all three encoders once, in training too."""
    return Unimo2ForImageTextRetrieval(size.config())


def captioning_model(size: Size) -> nn.Module:
    """UNIMO-2 that writes captions."""
    return Unimo2ForConditionalGeneration(size.config())


@contextmanager
def attention(model: nn.Module, name: str) -> Iterator[None]:
    """`model` with the attention function of that name; afterwards with the one that it came with."""
    before = model.config._attn_implementation
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


@contextmanager
def compiled(model: nn.Module) -> Iterator[None]:
    """
    `model` with its layers compiled: a graph for each shape and type of a layer serves all layers of an encoder, which
    takes seconds; one graph of the whole model takes minutes and makes the same kernels.
    """
    settings = {"recompile_limit": _GRAPHS, "fail_on_recompile_limit_hit": True}
    fast = _compiled_layer()
    found = [module for module in model.modules() if isinstance(module, Unimo2Layer)]
    with torch._dynamo.config.patch(settings):
        for layer in found:
            layer.forward = types.MethodType(fast, layer)
        try:
            yield
        finally:
            for layer in found:
                del layer.forward


@functools.cache
def _compiled_layer() -> Callable:
    return torch.compile(Unimo2Layer.forward, dynamic=False)


@contextmanager
def without_dropout(model: nn.Module) -> Iterator[None]:
    """`model` with all dropout at 0; afterwards as it was."""
    modules = [(module, module.p) for module in model.modules() if isinstance(module, nn.Dropout)]
    configs = {id(module.config): module.config for module in model.modules() if hasattr(module, "config")}
    name = "attention_probs_dropout_prob"
    given = [(config, getattr(config, name)) for config in configs.values() if hasattr(config, name)]
    try:
        for module, _ in modules:
            module.p = 0.0
        for config, _ in given:
            setattr(config, name, 0.0)
        yield
    finally:
        for module, value in modules:
            module.p = value
        for config, value in given:
            setattr(config, name, value)


def images(size: Size, number: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Random images (number, 3, side, side)."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(number, 3, size.image, size.image, generator=generator).to(device, dtype)


def words(size: Size, number: int, device: torch.device) -> torch.Tensor:
    """Random texts (number, L) without padding; the ids of special words stay out."""
    generator = torch.Generator().manual_seed(2)
    return torch.randint(5, size.vocabulary - 1, (number, size.words), generator=generator).to(device)


# ---------------------------------------------------------------------------------------------------------------------
# Neighbours
# ---------------------------------------------------------------------------------------------------------------------


def _encoder(size: Size) -> dict:
    return {
        "hidden_size": size.width,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "intermediate_size": 4 * size.width,
    }


def vilt(size: Size) -> nn.Module:
    """One encoder over words and patches of 32 pixels."""
    settings = _encoder(size) | {"vocab_size": size.vocabulary, "max_position_embeddings": size.words}
    return ViltModel(ViltConfig(**settings, image_size=size.image, patch_size=2 * size.patch))


def bridgetower(size: Size) -> nn.Module:
    """Two encoders, and between their upper layers cross attention in both directions, half as many layers."""
    encoder = _encoder(size)
    vision = encoder | {"image_size": size.image, "patch_size": size.patch}
    text = encoder | {"vocab_size": size.vocabulary}
    fusion = encoder | {"num_hidden_layers": max(1, size.layers // 2)}
    return BridgeTowerModel(BridgeTowerConfig(**fusion, vision_config=vision, text_config=text))


def flava(size: Size) -> nn.Module:
    """Two encoders and a fusion encoder of half as many layers."""
    encoder = _encoder(size)
    config = FlavaConfig(
        image_config=encoder | {"image_size": size.image, "patch_size": size.patch},
        text_config=encoder | {"vocab_size": size.vocabulary},
        multimodal_config=encoder | {"num_hidden_layers": max(1, size.layers // 2)},
        image_codebook_config={},
        hidden_size=size.width,
        projection_dim=size.width,
    )
    return FlavaModel(config)


def blip(size: Size) -> nn.Module:
    """An image encoder, and a text encoder with cross attention to the image in every layer."""
    encoder = _encoder(size)
    vision = encoder | {"image_size": size.image, "patch_size": size.patch}
    text = encoder | {"vocab_size": size.vocabulary, "encoder_hidden_size": size.width}
    return BlipForImageTextRetrieval(BlipConfig(vision_config=vision, text_config=text))


def clip(size: Size) -> nn.Module:
    """Two encoders; the text's is narrower by a third, nothing is fused."""
    text_width = size.width * 2 // 3 if size.width % 3 == 0 else size.width
    text_heads = size.heads * text_width // size.width
    config = CLIPConfig(
        vision_config=_encoder(size) | {"image_size": size.image, "patch_size": size.patch},
        text_config={
            "hidden_size": text_width,
            "intermediate_size": 4 * text_width,
            "num_hidden_layers": size.layers,
            "num_attention_heads": text_heads,
            "vocab_size": size.vocabulary,
            "max_position_embeddings": max(77, size.words),
            "eos_token_id": size.vocabulary - 1,
        },
    )
    return CLIPModel(config)


NEIGHBOURS = {
    "ViLT-B/32": vilt,
    "BridgeTower base": bridgetower,
    "FLAVA": flava,
    "BLIP base": blip,
    "CLIP B/16": clip,
}
"""Name -> builds a model for `input_ids` and `pixel_values`."""
