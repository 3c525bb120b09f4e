# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""How large everything is that is measured."""

from dataclasses import dataclass, replace

from hf_unimo import Unimo2Config


@dataclass(frozen=True)
class Size:
    """
    One shape for UNIMO-2 and its neighbours.

    Args:
        name (`str`): Targets are about "base" alone.
        layers (`int`): Of each encoder; of the neighbours' fusion encoders half of it, as at their base size.
        width, heads (`int`): Of all encoders; the feed-forward layers are four times as wide.
        image, patch (`int`): Sides, in pixels.
        words, vocabulary (`int`): Tokens of a text, and how many there are.
        entries, grounded (`int`): Of the dictionary; how many an input chooses.
        batch (`int`): Pairs of a batch.
        images, texts (`int`): Of the small retrieval.
        captioned, new_words (`int`): Images that get a caption, and how long it is.
        rows (`int`): Texts that are put into batches by length.
        vectors (`int`): Of the search.
        product_seconds (`float`): How long a matrix product of the limit is repeated.
    """

    name: str = "base"
    layers: int = 12
    width: int = 768
    heads: int = 12
    image: int = 224
    patch: int = 16
    words: int = 64
    vocabulary: int = 50265
    entries: int = 2048
    grounded: int = 100
    batch: int = 8
    images: int = 2
    texts: int = 8
    captioned: int = 4
    new_words: int = 64
    rows: int = 64
    vectors: int = 100_000
    product_seconds: float = 0.3

    @property
    def image_tokens(self) -> int:
        """Patches and the class token."""
        return (self.image // self.patch) ** 2 + 1

    @property
    def tokens(self) -> int:
        """Of the fusion encoder: image, grounded, text."""
        return self.image_tokens + self.grounded + self.words

    def config(self, **overrides) -> Unimo2Config:
        """UNIMO-2 of this size."""
        encoder = {
            "hidden_size": self.width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "intermediate_size": 4 * self.width,
        }
        settings = {
            "vision_config": encoder | {"image_size": self.image, "patch_size": self.patch},
            "text_config": encoder | {"vocab_size": self.vocabulary},
            "grounded_config": encoder,
            "dictionary_size": self.entries,
            "num_grounded_tokens": self.grounded,
        }
        return Unimo2Config(**settings | overrides)


BASE = Size()
QUICK = replace(
    BASE,
    name="quick",
    layers=1,
    images=2,
    texts=4,
    captioned=1,
    new_words=16,
    rows=32,
    vectors=30_000,
    product_seconds=0.1,
)
SMALLEST = replace(
    QUICK,
    name="smallest",
    width=64,  # BridgeTower's heads are 64 wide
    heads=1,
    image=32,
    patch=16,
    words=8,
    vocabulary=100,
    entries=24,
    grounded=6,
    batch=2,
    new_words=8,
    rows=6,
    vectors=1000,
    product_seconds=0.001,
)
SIZES = {size.name: size for size in (BASE, QUICK, SMALLEST)}
