# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The floating point operations of UNIMO-2 from its shape alone: what the counter must find."""

from hf_unimo import Unimo2Config


def layers(number: int, width: int, inner: int, tokens: int, meetings: int) -> int:
    """
    Operations of transformer layers; a multiplication and an addition are two.

    Args:
        number (`int`): Of layers.
        width, inner (`int`): Of the states and of the feed-forward layer.
        tokens (`int`): Of a row.
        meetings (`int`): Pairs of a query and a key that attention computes.
    """
    return number * (2 * tokens * (4 * width**2 + 2 * width * inner) + 4 * meetings * width)


def pair_flops(config: Unimo2Config, image: int, words: int, three_calls: bool = True) -> dict[str, int]:
    """
    Operations of one image-text pair through [`Unimo2Model`], by part.

    Args:
        config ([`Unimo2Config`]): With `grounding_method="topk"`, `fusion_attention="grounded"` and no projections.
        image (`int`): Side, in pixels.
        words (`int`): Tokens of the text, no padding.
        three_calls (`bool`, defaults to `True`): Whether image, grounded and text tokens attend in a call each, to
            those that they see; otherwise in one call with a mask, which computes what is forbidden too.
    """
    vision, text, fusion = config.vision_config, config.text_config, config.grounded_config
    width, grounded = fusion.hidden_size, config.num_grounded_tokens
    patches = (image // vision.patch_size) ** 2
    images, tokens = patches + 1, patches + words - 1
    total = images + grounded + words
    if three_calls:
        meetings = images * (images + grounded) + grounded * total + words * (grounded + words)
    else:
        meetings = total**2
    convolution = 2 * patches * vision.num_channels * vision.patch_size**2 * width
    return {
        "image encoder": convolution
        + layers(vision.num_hidden_layers, width, vision.intermediate_size, images, images**2),
        "text encoder": layers(text.num_hidden_layers, width, text.intermediate_size, words, words**2),
        "dictionary, image": 2 * patches * config.dictionary_size * width,
        "dictionary, text": 2 * (words - 1) * config.dictionary_size * width,
        "grounding loss": 3 * 2 * tokens * grounded * width,
        "fusion encoder": layers(fusion.num_hidden_layers, width, fusion.intermediate_size, total, meetings),
        "poolers": 2 * 2 * width**2,
    }
