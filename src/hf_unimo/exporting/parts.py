# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
What a model is cut into for serving: image encoder, text encoder, the fusion stage with its head, and the whole; each
a module of tensors in and a dictionary of tensors out, named alike wherever one part gives what another takes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel


PARTS = ("image-encoder", "text-encoder", "fusion", "model")
"""The parts, in the order of their names in all that is written."""

NOT_OF_A_PAIR = ("logits_per_image", "logits_per_text")
"""Products of all images with all texts: they come from the encoders' features, not from the fusion stage."""

_NOT_INFERENCE = ("loss", "grounding_loss")


class ImageEncoderPart(nn.Module):
    """`pixel_values` (B, 3, height, width) to what the fusion part wants of an image, and its contrastive features."""

    def __init__(self, model: PreTrainedModel):
        super().__init__()
        self.model: Any = model.base_model

    def forward(self, pixel_values: torch.Tensor) -> dict[str, torch.Tensor]:
        encoded = self.model.encode_image(pixel_values)
        return _encoder_outputs("image", encoded, self.model.image_features(encoded))


class TextEncoderPart(nn.Module):
    """`input_ids`, `attention_mask` (B, L) to what the fusion part wants of a text, and its contrastive features."""

    def __init__(self, model: PreTrainedModel):
        super().__init__()
        self.model: Any = model.base_model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> dict[str, torch.Tensor]:
        encoded = self.model.encode_text(input_ids, attention_mask)
        return _encoder_outputs("text", encoded, self.model.text_features(encoded))


class FusionPart(nn.Module):
    """
    What comes after the encoders: the choice of grounded tokens, fusion, and the head. It is the model's own `forward`
    with encodings in the place of what its doors would return, so every head is served as it is.
    """

    def __init__(self, model: PreTrainedModel):
        super().__init__()
        self.model: Any = model

    def forward(self, **encodings: torch.Tensor) -> dict[str, torch.Tensor]:
        base, inputs = self.model.base_model, {}
        image = text = None
        if (states := encodings.get("image_hidden_states")) is not None:
            scores = encodings.get("image_dictionary_scores")
            inputs["pixel_values"] = states.unsqueeze(-3)  # only that it is there counts, and its number of axes
            if states.dim() == 4:  # several images a text
                states, scores = states.flatten(0, 1), None if scores is None else scores.flatten(0, 1)
            image = base.encoding(states, dictionary_scores=scores, modality="image")
        if (states := encodings.get("text_hidden_states")) is not None:
            inputs["input_ids"] = encodings["attention_mask"]
            text = base.encoding(
                states, encodings["attention_mask"], encodings.get("text_dictionary_scores"), modality="text"
            )
        base.encode_image, base.encode_text = lambda *_, **__: image, lambda *_, **__: text
        try:
            output = _inference(self.model, inputs)
        finally:
            del base.encode_image, base.encode_text
        # Products of all images with all texts come from the encoders' features.
        return {name: value for name, value in output.items() if name not in NOT_OF_A_PAIR}


class WholePart(nn.Module):
    """The model's own `forward`, its losses aside."""

    def __init__(self, model: PreTrainedModel):
        super().__init__()
        self.model: Any = model

    def forward(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        return _inference(self.model, inputs)


_MODULES = dict(zip(PARTS, (ImageEncoderPart, TextEncoderPart, FusionPart, WholePart)))


def _encoder_outputs(modality: str, encoded: Any, features: torch.Tensor) -> dict[str, torch.Tensor]:
    outputs = {f"{modality}_hidden_states": encoded.last_hidden_state}
    if encoded.dictionary_scores is not None:
        outputs[f"{modality}_dictionary_scores"] = encoded.dictionary_scores
    return outputs | {f"{modality}_features": features}


def _inference(model: Any, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of the model's output that are not losses."""
    # A pre-training class computes its losses unless told not to; the other classes take the flag or ignore it.
    output = model(**inputs, return_dict=True, return_loss=False)
    return {
        name: value for name, value in output.items() if isinstance(value, torch.Tensor) and name not in _NOT_INFERENCE
    }


@dataclass(frozen=True)
class Sizes:
    """Sizes of a batch: rows, words with padding, pixels."""

    batch: int
    text_length: int
    height: int
    width: int


class ModelParts:
    """
    A model's parts as modules, with the shapes of their inputs, and inputs to trace and to check them with.

    Args:
        model ([`PreTrainedModel`]): In evaluation mode, float32.
        modalities: `"image"`, `"text"` or both.
    """

    def __init__(self, model: PreTrainedModel, modalities: Sequence[str]):
        self.model, self.modalities = model, tuple(modalities)
        self.config: Any = model.config
        self.num_images: int = getattr(self.config, "num_images", 1)
        self.several = (self.num_images,) if self.num_images > 1 else ()

    def module(self, part: str) -> Any:
        """The part, sharing the model's weights."""
        return _MODULES[part](self.model)

    def axes(self, part: str) -> dict[str, tuple[str | int, ...]]:
        """The shapes of what a part takes, or gives to another: a name where the axis is free."""
        several = self.several if part in ("model", "fusion") else ()
        channels = self.config.vision_config.num_channels
        hidden = self.config.grounded_config.hidden_size
        return {
            "pixel_values": ("batch_size", *several, channels, "height", "width"),
            "input_ids": ("batch_size", "text_length"),
            "attention_mask": ("batch_size", "text_length"),
            "image_hidden_states": ("batch_size", *several, "image_length", hidden),
            "image_dictionary_scores": ("batch_size", *several, self.config.dictionary_size),
            "text_hidden_states": ("batch_size", "text_length", hidden),
            "text_dictionary_scores": ("batch_size", self.config.dictionary_size),
        }

    def sizes(self) -> Sizes:
        """Sizes to trace with: no two free axes are equal, none is 1, and the image is not of the stored size."""
        patch = self.config.vision_config.patch_size
        return Sizes(batch=2, text_length=5, height=2 * patch, width=3 * patch)

    def other_sizes(self) -> list[Sizes]:
        """Sizes to check with: an image of the stored size, and one that is not square."""
        patch, side = self.config.vision_config.patch_size, self.config.vision_config.image_size
        text_config = self.config.text_config
        longest = min(24, text_config.max_position_embeddings - text_config.position_offset)
        return [Sizes(3, longest, side, side), Sizes(1, 2, side + patch, max(patch, side - 2 * patch))]

    def draw(self, sizes: Sizes, seed: int = 0) -> dict[str, torch.Tensor]:
        """Random inputs of the whole model, texts padded by up to two words."""
        generator = torch.Generator().manual_seed(seed)
        inputs = {}
        if "image" in self.modalities:
            shape = (sizes.batch, *self.several, self.config.vision_config.num_channels, sizes.height, sizes.width)
            inputs["pixel_values"] = torch.rand(shape, generator=generator) * 2 - 1
        if "text" in self.modalities:
            shape = (sizes.batch, sizes.text_length)
            inputs["input_ids"] = torch.randint(self.config.text_config.vocab_size, shape, generator=generator)
            words = (sizes.text_length - torch.arange(sizes.batch) % 3).clamp(min=2)
            inputs["attention_mask"] = (torch.arange(sizes.text_length) < words[:, None]).long()
        return inputs

    @torch.no_grad()
    def inputs(self, drawn: dict[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
        """Inputs of the whole model -> part -> its inputs, those of the fusion stage by PyTorch."""
        found, fusion = {"model": drawn}, dict[str, torch.Tensor]()
        if "pixel_values" in drawn:
            pixels = drawn["pixel_values"]
            found["image-encoder"] = {"pixel_values": pixels.flatten(0, 1) if self.several else pixels}
            encoded = self.module("image-encoder")(**found["image-encoder"])
            fusion |= {name: value.unflatten(0, (-1, *self.several)) for name, value in encoded.items()}
        if "input_ids" in drawn:
            found["text-encoder"] = {name: drawn[name] for name in ("input_ids", "attention_mask")}
            fusion |= self.module("text-encoder")(**found["text-encoder"])
            fusion["attention_mask"] = drawn["attention_mask"]
        found["fusion"] = {name: value for name, value in fusion.items() if not name.endswith("_features")}
        return {part: found[part] for part in PARTS if part in found}
