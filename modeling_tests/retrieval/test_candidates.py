# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The best by contrastive features, whatever the blocks they are found in."""

import tracemalloc

import numpy as np
import pytest

from hf_unimo.retrieval.candidates import Candidates, best, products, shortlist


def features(images=9, texts=14, width=5):
    random = np.random.RandomState(0)
    return random.randn(images, width).astype(np.float32), random.randn(texts, width).astype(np.float32)


def test_products_in_blocks_are_the_whole():
    images, texts = features()
    whole = images @ texts.T
    for size in (1, 3 * 14 * 32, 2**20):
        blocks = list(products(images, texts, size))
        assert [start for start, _ in blocks] == np.cumsum([0, *(len(scores) for _, scores in blocks[:-1])]).tolist()
        np.testing.assert_allclose(np.concatenate([scores for _, scores in blocks]), whole, atol=1e-6)
    assert [len(scores) for _, scores in products(images, texts, 3 * 14 * 32)] == [3, 3, 3]


@pytest.mark.parametrize("number", [1, 3, 6, 9])
def test_among_equal_scores_the_lower_are_best(number):
    scores = np.random.RandomState(1).randint(0, 3, (40, 6)).astype(np.float32)
    expected = np.zeros(scores.shape, bool)
    for row, order in enumerate(np.argsort(-scores, axis=1, kind="stable")):
        expected[row, order[:number]] = True
    assert np.array_equal(best(scores, number), expected)


@pytest.mark.parametrize(("best_texts", "best_images"), [(3, 2), (1, 0), (0, 4), (100, 1)])
@pytest.mark.parametrize("size", [1, 2**20])
def test_the_shortlist_is_the_union_of_both_directions(best_texts, best_images, size):
    images, texts = features()
    scores = images @ texts.T
    expected = set()
    for image in range(9):
        expected |= {(image, int(text)) for text in np.argsort(-scores[image], kind="stable")[:best_texts]}
    for text in range(14):
        expected |= {(int(image), text) for image in np.argsort(-scores[:, text], kind="stable")[:best_images]}
    found = list(zip(*(side.tolist() for side in shortlist(images, texts, best_texts, best_images, size))))
    assert found == sorted(expected)


def test_pairs_are_numbered_image_by_image():
    pairs = [(0, 2), (0, 5), (2, 0), (2, 1), (2, 9), (3, 4)]
    candidates = Candidates.of_pairs(*np.array(pairs).T, 5)
    assert len(candidates) == 6 and candidates.offsets.tolist() == [0, 2, 2, 5, 6, 6]
    for start in range(6):
        for stop in range(start + 1, 7):
            found = candidates.pairs(start, stop)
            assert list(zip(*(side.tolist() for side in found))) == pairs[start:stop]
    shared = Candidates([np.array([1, 3]), np.array([0])], np.array([0, 1, 0]))
    assert list(zip(*(side.tolist() for side in shared.pairs(1, 5)))) == [(0, 3), (1, 0), (2, 1), (2, 3)]
    assert len(Candidates.all(3, 4)) == 12 and Candidates.all(3, 4).pairs(5, 7)[1].tolist() == [1, 2]
    digests = {one.digest() for one in (candidates, shared, Candidates.all(3, 4), Candidates.all(4, 3))}
    assert len(digests) == 4


def test_the_matrix_of_all_scores_is_never_there():
    images, texts = features(300, 20_000, 4)
    tracemalloc.start()
    found = shortlist(images, texts, 4, 1, 2 * 2**20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    pairs = len(found[0])
    assert 20_000 <= pairs <= 21_200
    assert peak < 2 * 2**20 + 48 * 21_200 < images.shape[0] * texts.shape[0] * 4 / 7
