# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""A small UNIMO-2, every public class of it, and inputs for each: what the tests of this folder share."""

import torch

import hf_unimo
from hf_unimo import Unimo2Config


ENCODER = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "initializer_range": 0.2,
}

TEXT_HEADS = ("Unimo2ForMaskedLM", "Unimo2ForSequenceClassification")
IMAGE_HEADS = ("Unimo2ForImageClassification",)
PAIR_HEADS = (
    "Unimo2Model",
    "Unimo2ForPreTraining",
    "Unimo2ForImageTextRetrieval",
    "Unimo2ForVisualQuestionAnswering",
    "Unimo2ForImageTextClassification",
    "Unimo2ForConditionalGeneration",
)
ALL = PAIR_HEADS + TEXT_HEADS + IMAGE_HEADS
HEADS = tuple(name for name in ALL if name != "Unimo2Model")

LENGTHS = (9, 5, 7)


def config(**overrides) -> Unimo2Config:
    """Three encoders of 2 layers and width 32, 16-pixel images of 4x4 patches, 40 words, 6 of 24 entries."""
    settings = {
        "vision_config": ENCODER | {"image_size": 16, "patch_size": 4},
        "text_config": ENCODER | {"vocab_size": 40, "max_position_embeddings": 34},
        "grounded_config": ENCODER,
        "dictionary_size": 24,
        "num_grounded_tokens": 6,
        "dictionary_temperature_init": 1.0,
        "dictionary_initializer_range": 0.5,
        "contrastive_projection": "separate",
        "classifier_dropout": 0.0,
        "num_labels": 3,
    }
    return Unimo2Config(**settings | overrides)


def model(name: str, seed: int = 0, attention: str = "sdpa", **overrides):
    """A random model in evaluation mode; the same seed gives the same weights."""
    torch.manual_seed(seed)
    model_class = getattr(hf_unimo, name)
    return model_class._from_config(config(**overrides), attn_implementation=attention).eval()


def texts(lengths=LENGTHS, side: str = "right", seed: int = 1) -> dict[str, torch.Tensor]:
    """A padded batch of texts; padding holds id 1."""
    generator = torch.Generator().manual_seed(seed)
    longest = max(lengths)
    input_ids = torch.ones(len(lengths), longest, dtype=torch.long)
    mask = torch.zeros(len(lengths), longest, dtype=torch.long)
    for row, length in enumerate(lengths):
        place = slice(0, length) if side == "right" else slice(longest - length, longest)
        input_ids[row, place] = torch.randint(5, 40, (length,), generator=generator)
        mask[row, place] = 1
    return {"input_ids": input_ids, "attention_mask": mask}


def images(number: int = 3, height: int = 16, width: int = 16, seed: int = 2) -> dict[str, torch.Tensor]:
    """Random images in the value range of real ones."""
    generator = torch.Generator().manual_seed(seed)
    return {"pixel_values": torch.rand(number, 3, height, width, generator=generator) * 2 - 1}


def inputs(name: str) -> dict[str, torch.Tensor]:
    """Inputs of the class `name`."""
    if name in IMAGE_HEADS:
        return images()
    return texts() if name in TEXT_HEADS else {**texts(), **images()}


def labels(name: str) -> dict[str, torch.Tensor]:
    """Labels with which the head `name` gives a loss."""
    words = texts()
    masked = torch.where(words["attention_mask"] == 1, words["input_ids"], -100)
    return {
        "Unimo2ForPreTraining": {"labels": masked, "matching_labels": torch.tensor([1, 0, 1])},
        "Unimo2ForImageTextRetrieval": {"labels": torch.tensor([1, 0, 1])},
        "Unimo2ForVisualQuestionAnswering": {"labels": torch.tensor([[1.0, 0, 0.3], [0, 1, 0], [0, 0, 0.6]])},
        "Unimo2ForMaskedLM": {"labels": masked},
        "Unimo2ForConditionalGeneration": {"labels": masked},
    }.get(name, {"labels": torch.tensor([0, 2, 1])})


def predictions(output) -> dict[str, torch.Tensor]:
    """The float tensors of an output, nested ones and dictionaries of losses aside."""
    return {
        name: value for name, value in output.items() if isinstance(value, torch.Tensor) and value.is_floating_point()
    }
