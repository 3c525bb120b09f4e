# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Use and alignment of a dictionary, by hand."""

import numpy as np
import pytest

from hf_unimo.evaluation.metrics.dictionary import dictionary_alignment, dictionary_usage


def test_usage_of_a_collapsed_and_of_an_even_dictionary():
    collapsed = dictionary_usage(np.array([[0, 1], [0, 1], [1, 0]]), 8)
    assert (collapsed["entries_used"], collapsed["overlap"]) == (2, 1.0)
    assert collapsed["perplexity"] == pytest.approx(2)
    even = dictionary_usage(np.array([[0, 1], [2, 3], [4, 5], [6, 7]]), 8)
    assert (even["entries_used"], even["overlap"]) == (8, 0.0)
    assert even["perplexity"] == pytest.approx(8)
    assert np.isnan(dictionary_usage(np.array([[0, 1]]), 8)["overlap"])


def test_overlap_is_the_mean_of_jaccard_overlaps():
    rows = [[0, 1, 2], [1, 2, 3], [5, 6, 7]]
    pairs = [(0, 1), (0, 2), (1, 2)]
    expected = np.mean([len({*rows[a]} & {*rows[b]}) / len({*rows[a]} | {*rows[b]}) for a, b in pairs])
    assert dictionary_usage(np.array(rows), 8)["overlap"] == pytest.approx(expected)


def test_chance_overlap_is_that_of_random_choices():
    generator = np.random.default_rng(0)
    chosen = np.stack([generator.permutation(256)[:16] for _ in range(200)])
    found = dictionary_usage(chosen, 256)
    assert found["overlap"] == pytest.approx(found["chance_overlap"], rel=0.05)


def test_alignment():
    generator = np.random.default_rng(1)
    scores = generator.random((20, 64))
    chosen = np.argsort(-scores, axis=1)[:, :8]
    aligned = dictionary_alignment(chosen, chosen, scores, scores + 5)
    assert aligned["own_overlap"] == 1.0 > aligned["foreign_overlap"]
    assert aligned["image_recall@1"] == aligned["text_recall@1"] == 1.0
    foreign = dictionary_alignment(chosen, np.roll(chosen, 1, 0), scores, np.roll(scores, 1, 0))
    assert foreign["own_overlap"] < 0.3 and foreign["image_recall@1"] == 0.0


def test_rows_must_be_partners():
    chosen, scores = np.zeros((3, 1), dtype=int), np.zeros((3, 4))
    with pytest.raises(ValueError, match="the same number of rows"):
        dictionary_alignment(chosen, chosen[:2], scores, scores[:2])
