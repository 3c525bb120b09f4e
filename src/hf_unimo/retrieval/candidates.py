# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Which pairs of images and texts are to be scored: all, or the best of each image and of each text."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np


_BYTES_AN_ENTRY = 32
"""Of a block of scores: the scores, and what ranking them takes (a copy, integers, masks)."""


@dataclass(frozen=True)
class Candidates:
    """
    The texts that each image is paired with. Pairs are numbered image by image, texts in the order of their list.

    Args:
        lists: Some lists of texts, each in ascending order.
        list_of_image (`(images,)`, int): Which of them each image has: thousands of images can share a list.
    """

    lists: Sequence[np.ndarray]
    list_of_image: np.ndarray

    @classmethod
    def all(cls, images: int, texts: int) -> "Candidates":
        """Every image with every text."""
        return cls([np.arange(texts)], np.zeros(images, np.int64))

    @classmethod
    def of_pairs(cls, image_of_pair: np.ndarray, text_of_pair: np.ndarray, images: int) -> "Candidates":
        """From pairs in ascending order, of the first `images` images."""
        starts = np.searchsorted(image_of_pair, np.arange(1, images))
        return cls(np.split(text_of_pair, starts), np.arange(images))

    @cached_property
    def offsets(self) -> np.ndarray:
        """The number of the first pair of each image, and of all pairs, `(images + 1,)`."""
        lengths = np.array([len(one) for one in self.lists], np.int64)[self.list_of_image]
        return np.concatenate([[0], np.cumsum(lengths)])

    def __len__(self) -> int:
        return int(self.offsets[-1])

    def pairs(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Image and text of the pairs `start` to `stop`."""
        first = int(np.searchsorted(self.offsets, start, side="right")) - 1
        last = int(np.searchsorted(self.offsets, stop))
        starts, stops = (
            self.offsets[first:last].clip(start, stop),
            self.offsets[first + 1 : last + 1].clip(start, stop),
        )
        texts = [
            self.lists[self.list_of_image[image]][begin - self.offsets[image] : end - self.offsets[image]]
            for image, begin, end in zip(range(first, last), starts, stops)
        ]
        return np.repeat(np.arange(first, last), stops - starts), np.concatenate(texts)

    def digest(self) -> str:
        """Tells lists of candidates apart."""
        digest = hashlib.blake2b(np.ascontiguousarray(self.list_of_image, np.int64).data, digest_size=8)
        for one in self.lists:
            digest.update(str(len(one)).encode())
            digest.update(np.ascontiguousarray(one, np.int64).data)
        return digest.hexdigest()


def rows_at_once(candidates: int, size: int) -> int:
    """How many queries' scores of all candidates, and what ranking them takes, fit into `size` bytes; one at least."""
    return max(1, size // (max(1, candidates) * _BYTES_AN_ENTRY))


def products(queries: np.ndarray, candidates: np.ndarray, size: int) -> Iterator[tuple[int, np.ndarray]]:
    """
    Contrastive scores, block by block.

    Args:
        queries (`(queries, width)`), candidates (`(candidates, width)`): Features, which may be memory maps.
        size (`int`): Bytes that a block and the ranking of it may take; one query is the least.

    Yields:
        The number of the first query, and scores `(some queries, candidates)`, float32.
    """
    rows = rows_at_once(len(candidates), size)
    for start in range(0, len(queries), rows):
        yield start, queries[start : start + rows] @ candidates.T


def best(scores: np.ndarray, number: int) -> np.ndarray:
    """True for the `number` best of each row, `(queries, candidates)`; among equal ones the lower come first."""
    if number >= scores.shape[1]:
        return np.ones(scores.shape, bool)
    last = np.partition(scores, -number, axis=1)[:, -number, None]
    chosen = scores > last
    equal = scores == last
    return chosen | (equal & (np.cumsum(equal, axis=1, dtype=np.int32) <= number - chosen.sum(1, keepdims=True)))


def shortlist(
    images: np.ndarray, texts: np.ndarray, best_texts: int, best_images: int, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """
    The pairs of the best `best_texts` texts of each image and the best `best_images` images of each text.

    Args:
        images (`(images, width)`), texts (`(texts, width)`): Features.
        best_texts, best_images (`int`): Numbers; 0 for none.
        size (`int`): As for [`products`]. The pairs themselves, about 24 bytes each, come on top.

    Returns:
        Image and text of each pair, in ascending order.
    """
    found = [np.zeros(0, np.int64)]
    for start, scores in products(images, texts, size) if best_texts else ():
        rows, columns = np.nonzero(best(scores, best_texts))
        found.append((start + rows) * len(texts) + columns)
    for start, scores in products(texts, images, size) if best_images else ():
        rows, columns = np.nonzero(best(scores, best_images))
        found.append(columns * len(texts) + start + rows)
    image_of_pair, text_of_pair = np.divmod(np.unique(np.concatenate(found)), max(1, len(texts)))
    return image_of_pair, text_of_pair
