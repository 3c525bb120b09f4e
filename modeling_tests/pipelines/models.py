# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Small random models of ours and of transformers with what turns pictures and words into their inputs."""

from functools import cache
from string import ascii_lowercase

import numpy as np
import torch
import transformers
from PIL import Image
from tokenizers.pre_tokenizers import ByteLevel
from transformers import BertTokenizer

from hf_unimo import Unimo2ImageProcessorPil, Unimo2Tokenizer
from modeling_tests.models.unimo2 import small


ENCODER = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "attention_dropout": 0.0,
    "initializer_range": 0.5,
}
PICTURE = {"image_size": 32, "patch_size": 8}
LABELS = {0: "yes", 1: "no", 2: "two"}
TEXTS = ["a red cat", "two", "why is the sea so blue"]


@cache
def our_tokenizer() -> Unimo2Tokenizer:
    """All bytes, no merges, 32 positions."""
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(ByteLevel.alphabet())]
    return Unimo2Tokenizer({token: index for index, token in enumerate(tokens)}, [], model_max_length=32)


def word_pieces() -> BertTokenizer:
    """Letters, no words. A new one each time: saving it with a processor marks it as that processor's part."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *ascii_lowercase, *(f"##{one}" for one in ascii_lowercase)]
    return BertTokenizer({token: index for index, token in enumerate(tokens)})


def ours(name: str, **overrides) -> dict:
    """Model, tokenizer and image processor, as keyword arguments of `pipeline`."""
    text = small.ENCODER | {"vocab_size": len(our_tokenizer()), "max_position_embeddings": 34}
    settings = {"text_config": text, "id2label": LABELS} | overrides
    return {
        "model": _stirred(small.model(name, **settings)),
        "tokenizer": our_tokenizer(),
        "image_processor": Unimo2ImageProcessorPil(size=16),
    }


def theirs(name: str) -> dict:
    """The same of a class of transformers."""
    family = name.split("For")[0].removesuffix("Model")
    config = {"Vilt": _vilt, "Blip": _blip, "CLIP": _clip, "BridgeTower": _bridgetower}[family]()
    torch.manual_seed(0)
    model = _stirred(getattr(transformers, name)(config).eval())
    return {"model": model, "tokenizer": word_pieces(), "image_processor": _image_processor(family)}


def _stirred(model):
    """Fresh heads have weights so small that they answer nearly the same to everything."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def _image_processor(family: str):
    settings = {
        "Blip": {"size": {"height": 32, "width": 32}},
        "BridgeTower": {"size": {"shortest_edge": 32}, "crop_size": {"shortest_edge": 32}, "size_divisor": 8},
        "CLIP": {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}},
        "Vilt": {"size": {"shortest_edge": 32}, "size_divisor": 8},
    }
    return getattr(transformers, f"{family}ImageProcessorPil")(**settings[family])


def _vilt():
    return transformers.ViltConfig(
        **ENCODER, **PICTURE, vocab_size=len(word_pieces()), max_position_embeddings=40, id2label=LABELS
    )


def _blip():
    ids = {"bos_token_id": 2, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0}
    text = ENCODER | ids | {"vocab_size": len(word_pieces()), "max_position_embeddings": 40, "encoder_hidden_size": 16}
    return transformers.BlipConfig(
        text_config=text, vision_config=ENCODER | PICTURE, projection_dim=8, image_text_hidden_size=8
    )


def _clip():
    ids = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
    text = ENCODER | ids | {"vocab_size": len(word_pieces()), "max_position_embeddings": 40}
    return transformers.CLIPConfig(text_config=text, vision_config=ENCODER | PICTURE, projection_dim=8)


def _bridgetower():
    encoder = ENCODER | {"hidden_size": 64, "num_attention_heads": 1}  # its vision part has heads of 64
    text = encoder | {"vocab_size": len(word_pieces()), "max_position_embeddings": 40, "pad_token_id": 0}
    return transformers.BridgeTowerConfig(
        **encoder, text_config=text, vision_config=encoder | PICTURE, contrastive_hidden_size=8
    )


def pictures(number: int = 3, seed: int = 0) -> list[Image.Image]:
    """Random pictures of several sizes."""
    rng = np.random.default_rng(seed)
    sizes = [(40, 32), (32, 48), (64, 36), (50, 50)]
    return [
        Image.fromarray(rng.integers(0, 256, (*sizes[index % len(sizes)], 3), dtype=np.uint8))
        for index in range(number)
    ]
