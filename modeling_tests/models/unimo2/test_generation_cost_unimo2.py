# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Captioning: what a word costs, counted: the image once, and a late word as much as an early one."""

import pytest
import torch
from torch.nn import functional as F
from transformers import DynamicCache

from hf_unimo.models.unimo2.generation_unimo2 import official_beam_search
from hf_unimo.training.throughput import flop_counter

from . import small


NAME = "Unimo2ForConditionalGeneration"
NEW_WORDS = 26
SEARCHES = {
    "greedy": {"do_sample": False},
    "sampling": {"do_sample": True},
    "beams": {"num_beams": 3},
    "official beams": {"num_beams": 3, "custom_generate": official_beam_search},
}
NUM_IMAGES = 2


def steps(model, monkeypatch, **settings) -> list[dict[str, int]]:
    """Of each forward pass: rows, new words, operations, elements of the masks, images encoded."""
    found, counter = [], flop_counter()
    attention = F.scaled_dot_product_attention

    def begun(module, args, kwargs):
        words = kwargs["input_ids"]
        found.append({"rows": len(words), "words": words.shape[1], "images": 0, "calls": 0, "mask": 0})
        found[-1]["flops"] = -counter.get_total_flops()

    def ended(*_):
        found[-1]["flops"] += counter.get_total_flops()

    def encoded(module, args, kwargs):
        found[-1]["images"] += len(kwargs["pixel_values"] if "pixel_values" in kwargs else args[0])
        found[-1]["calls"] += 1

    def masked(*args, attn_mask=None, **kwargs):
        found[-1]["mask"] += 0 if attn_mask is None else attn_mask.numel()
        return attention(*args, attn_mask=attn_mask, **kwargs)

    monkeypatch.setattr(F, "scaled_dot_product_attention", masked)
    hooks = [
        model.register_forward_pre_hook(begun, with_kwargs=True),
        model.register_forward_hook(ended),
        model.unimo2.vision_model.register_forward_pre_hook(encoded, with_kwargs=True),
    ]
    torch.manual_seed(0)
    with counter:
        model.generate(
            **small.images(NUM_IMAGES), max_new_tokens=NEW_WORDS, min_new_tokens=NEW_WORDS, pad_token_id=1, **settings
        )
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("search", SEARCHES)
def test_a_late_word_costs_what_an_early_one_does(search, monkeypatch):
    """
    Twenty words later a word costs the attention over twenty more keys in addition and nothing else: 4 x width
    operations a key, a layer of the text and the fusion encoder, and a row. At base size (24 layers of width 768) that
    is 1.5 of 430 million operations.
    """
    model = small.model(NAME)
    found = steps(model, monkeypatch, **SEARCHES[search])
    rows = NUM_IMAGES * SEARCHES[search].get("num_beams", 1)
    assert len(found) == NEW_WORDS and all(step["words"] == 1 for step in found)
    assert all(step["rows"] == rows for step in found[1:])
    layers, width = 2 + 2, 32
    growth = 20 * rows * layers * 4 * width
    for early in range(1, NEW_WORDS - 20):
        assert found[early + 20]["flops"] - found[early]["flops"] == growth
    # The masks: a row of keys for each layer, no square.
    prefix = 17 + 6
    for step, counts in enumerate(found[1:], 2):
        assert counts["mask"] <= rows * (2 * step + 2 * (prefix + step))


@pytest.mark.parametrize("search", SEARCHES)
def test_the_image_is_encoded_once(search, monkeypatch):
    found = steps(small.model(NAME), monkeypatch, **SEARCHES[search])
    assert [step["calls"] for step in found] == [1] + [0] * (NEW_WORDS - 1)
    assert found[0]["images"] == NUM_IMAGES, "the beams of an image share it"


def test_beams_of_the_official_search_share_the_image(monkeypatch):
    """The first pass, over image and grounded tokens, is that of one row an image."""
    model = small.model(NAME)
    with monkeypatch.context() as patch:
        greedy = steps(model, patch, **SEARCHES["greedy"])
    with monkeypatch.context() as patch:
        patch.setattr(DynamicCache, "reorder_cache", _refused)  # nor are the keys of the image moved with the beams
        beams = steps(model, patch, **SEARCHES["official beams"])
    assert beams[0]["images"] == NUM_IMAGES and beams[0]["flops"] == greedy[0]["flops"]


def _refused(*args, **kwargs):
    raise AssertionError("the whole cache was moved")
