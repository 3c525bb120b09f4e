# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The operations from the shape alone are those that the counter finds."""

import pytest
import torch

from benchmarks.by_hand import pair_flops
from benchmarks.sizes import BASE, SMALLEST
from hf_unimo import Unimo2Config, Unimo2Model
from hf_unimo.training.throughput import count_flops


def parts(model, size, device):
    """Operations of the three stages of one pair, and of the whole."""
    pixel_values = torch.zeros(1, 3, size.image, size.image, device=device)
    input_ids = torch.full((1, size.words), 7, device=device)
    with torch.no_grad():
        image, text = model.encode_image(pixel_values), model.encode_text(input_ids)
        stages = [
            count_flops(lambda: model.encode_image(pixel_values)),
            count_flops(lambda: model.encode_text(input_ids)),
            count_flops(lambda: model.ground(image, text)),
        ]
        return stages, count_flops(lambda: model(input_ids, pixel_values=pixel_values))


@pytest.mark.parametrize("size", (SMALLEST, BASE), ids=lambda size: size.name)
@pytest.mark.parametrize("attention", ("eager", "sdpa"))
def test_parts_add_up_to_the_whole_and_are_those_by_hand(size, attention):
    # Without memory for weights and results; what is counted depends on shapes alone.
    device = "cpu" if size is SMALLEST else "meta"
    with torch.device(device):
        model = Unimo2Model._from_config(size.config(), attn_implementation=attention).eval()
    stages, whole = parts(model, size, device)
    assert sum(stages) == whole
    by_hand = [pair_flops(size.config(), size.image, size.words, three_calls=flag) for flag in (True, False)]
    assert stages[0] == by_hand[0]["image encoder"] + by_hand[0]["dictionary, image"]
    assert stages[1] == by_hand[0]["text encoder"] + by_hand[0]["dictionary, text"]
    # A kind of attention may need the mask; no other number is possible.
    assert whole in [sum(found.values()) for found in by_hand]
    if attention == "sdpa":
        assert whole == sum(by_hand[0].values())


def test_base_size():
    """The figures of the documentation, in GFLOP."""
    found = pair_flops(Unimo2Config(), 224, 64)
    rounded = {name: round(value / 1e9, 1) for name, value in found.items()}
    assert rounded["image encoder"] == 35.1
    assert rounded["text encoder"] == 11.0
    assert (rounded["dictionary, image"], rounded["dictionary, text"]) == (0.6, 0.2)
    assert rounded["fusion encoder"] == 65.2
    assert round(pair_flops(Unimo2Config(), 224, 64, three_calls=False)["fusion encoder"] / 1e9, 1) == 66.1
    assert BASE.config().to_diff_dict() == Unimo2Config().to_diff_dict()
