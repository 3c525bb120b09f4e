# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Tiny random models with processors, of this package and of transformers: what the tests of this folder share."""

import io

import numpy as np
import torch
import transformers
from PIL import Image
from tokenizers.pre_tokenizers import ByteLevel

from hf_unimo import Unimo2ImageProcessorPil, Unimo2Processor, Unimo2Tokenizer
from hf_unimo.data.benchmarks.rows import Benchmark, Picture, RetrievalRow
from modeling_tests.models.unimo2 import small


ENCODER = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
WORDS = 261
SIZE = {"height": 16, "width": 16}


def tokenizer(**kwargs) -> Unimo2Tokenizer:
    """All bytes, no merges: every model here takes its ids."""
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(ByteLevel.alphabet())]
    return Unimo2Tokenizer({token: index for index, token in enumerate(tokens)}, [], **kwargs)


def unimo2(name: str = "Unimo2ForImageTextRetrieval", **overrides):
    """A model of 64 positions and its processor."""
    text_config = small.ENCODER | {"vocab_size": WORDS, "max_position_embeddings": 66}
    processor = Unimo2Processor(Unimo2ImageProcessorPil(size=16), tokenizer())
    return small.model(name, text_config=text_config, **overrides), processor


class Processor:
    """Image processor and tokenizer side by side: the real processors of other families want tokenizers of theirs."""

    def __init__(self, image_processor):
        self.image_processor, self.tokenizer = image_processor, tokenizer(model_max_length=40)


def clip(name: str = "clip"):
    """CLIP or SigLIP."""
    text = ENCODER | {"vocab_size": WORDS, "max_position_embeddings": 40, "pad_token_id": 1, "eos_token_id": 2}
    parts = {"text_config": text | {"bos_token_id": 0}, "vision_config": ENCODER | {"image_size": 16, "patch_size": 4}}
    torch.manual_seed(0)
    if name == "siglip":
        return transformers.SiglipModel(transformers.SiglipConfig(**parts)).eval(), Processor(
            transformers.SiglipImageProcessorPil(size=SIZE)
        )
    model = transformers.CLIPModel(transformers.CLIPConfig(projection_dim=24, **parts)).eval()
    return model, Processor(transformers.CLIPImageProcessorPil(size=SIZE, crop_size=SIZE))


def vilt(name: str = "ViltForImageAndTextRetrieval", **overrides):
    """ViLT with a head."""
    torch.manual_seed(0)
    config = transformers.ViltConfig(
        **ENCODER | {"vocab_size": WORDS, "image_size": 16, "patch_size": 4, "initializer_range": 0.2} | overrides
    )
    images = transformers.ViltImageProcessorPil(size={"shortest_edge": 16}, size_divisor=4)
    return getattr(transformers, name)(config).eval(), Processor(images)


def blip(name: str = "BlipForImageTextRetrieval"):
    """BLIP with a head."""
    torch.manual_seed(0)
    text = ENCODER | {"vocab_size": WORDS, "max_position_embeddings": 40, "encoder_hidden_size": 32}
    text |= {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "sep_token_id": 2, "initializer_range": 0.2}
    vision = ENCODER | {"image_size": 16, "patch_size": 4, "initializer_range": 0.2}
    config = transformers.BlipConfig(text_config=text, vision_config=vision, image_text_hidden_size=24)
    return getattr(transformers, name)(config).eval(), Processor(transformers.BlipImageProcessorPil(size=SIZE))


def bridgetower(name: str):
    """BridgeTower with a head. Its image tower has heads of width 64."""
    torch.manual_seed(0)
    encoder = ENCODER | {"hidden_size": 64, "num_attention_heads": 1, "initializer_range": 0.2}
    text = encoder | {"vocab_size": WORDS, "max_position_embeddings": 42, "pad_token_id": 1}
    vision = encoder | {"image_size": 16, "patch_size": 4}
    more = {"contrastive_hidden_size": 24, "logit_scale_init_value": 2.6592}  # the latter has no default
    config = transformers.BridgeTowerConfig(**encoder, **more, text_config=text, vision_config=vision)
    size = {"shortest_edge": 16}
    images = transformers.BridgeTowerImageProcessorPil(size=size, crop_size=size, size_divisor=4)
    return getattr(transformers, name)(config).eval(), Processor(images)


def flava(name: str):
    """FLAVA, all or without heads."""
    torch.manual_seed(0)
    encoder = ENCODER | {"initializer_range": 0.2}
    text = encoder | {"vocab_size": WORDS, "max_position_embeddings": 40, "pad_token_id": 1}
    image = encoder | {"image_size": 16, "patch_size": 4, "vocab_size": 16}
    config = transformers.FlavaConfig(
        text_config=text,
        image_config=image,
        multimodal_config=encoder,
        hidden_size=32,
        projection_dim=24,
        initializer_range=0.2,
        init_codebook=False,
    )
    images = transformers.FlavaImageProcessorPil(size=SIZE, crop_size=SIZE)
    return getattr(transformers, name)(config).eval(), Processor(images)


PAIRS = {
    "unimo2": unimo2,
    "clip": clip,
    "siglip": lambda: clip("siglip"),
    "vilt": vilt,
    "blip": blip,
    "bridgetower": lambda: bridgetower("BridgeTowerForContrastiveLearning"),
    "bridgetower-matching": lambda: bridgetower("BridgeTowerForImageAndTextRetrieval"),
    "flava": lambda: flava("FlavaModel"),
    "flava-matching": lambda: flava("FlavaForPreTraining"),
}
"""Models of images and texts."""


def picture(seed: int, height: int = 16, width: int = 16) -> Image.Image:
    """Coloured squares."""
    levels = np.random.RandomState(seed).randint(0, 256, (2, 2, 3), dtype=np.uint8)
    return Image.fromarray(levels).resize((width, height), Image.Resampling.NEAREST)


def png(image: Image.Image) -> bytes:
    """A picture as a file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


class Cells(list):
    """A table with one column, as far as `Picture` asks."""

    def __getitem__(self, row):
        return {"image": super().__getitem__(row)}


def gallery(number: int = 7, captions: tuple[int, ...] = (2, 3, 1), broken: tuple[int, ...] = ()) -> Benchmark:
    """Pictures with different numbers of captions; those of `broken` cannot be read."""
    cells = Cells(b"broken" if row in broken else png(picture(row)) for row in range(number))
    rows = []
    for row in range(number):
        texts = tuple(
            f"{row}{index} are the numbers of this caption" for index in range(captions[row % len(captions)])
        )
        image = Picture(f"{row}.png", table=cells, row=row, column="image")
        rows.append(RetrievalRow(str(row), image, texts, tuple(f"{row}#{index}" for index in range(len(texts)))))
    return Benchmark("squares", "test", "retrieval", tuple(rows), {"made": "for tests"})
