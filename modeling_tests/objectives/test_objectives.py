# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Losses by hand, and what empty input does. The first implementation's numbers are in `test_goldens_unimo2.py`."""

import pytest
import torch
from torch.nn import functional as F

from hf_unimo.objectives.captioning import captioning_loss
from hf_unimo.objectives.contrastive import contrastive_loss
from hf_unimo.objectives.cross_entropy import mean_cross_entropy
from hf_unimo.objectives.grounding import nearest_grounding_loss, topk_grounding_loss
from hf_unimo.objectives.masked_grounding import masked_grounding_loss
from hf_unimo.objectives.matching import matching_loss
from hf_unimo.objectives.matching_negatives import draw_matching_negatives
from hf_unimo.objectives.score_contrast import score_contrast_loss
from hf_unimo.objectives.visual_contrastive import visual_contrastive_loss


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_cross_entropy_is_the_mean_over_labelled_items():
    logits, labels = torch.randn(2, 3, 5), torch.tensor([[1, -100, 2], [-100, -100, 4]])
    expected = F.cross_entropy(logits[labels != -100], labels[labels != -100])
    torch.testing.assert_close(mean_cross_entropy(logits, labels), expected)
    torch.testing.assert_close(mean_cross_entropy(logits, labels, num_items_in_batch=6), expected / 2)
    torch.testing.assert_close(mean_cross_entropy(logits, labels, num_items_in_batch=torch.tensor(6)), expected / 2)


def zero_with_gradient(loss, *leaves):
    assert loss.item() == 0
    loss.backward()
    assert all(leaf.grad is not None and (leaf.grad == 0).all() for leaf in leaves)


def test_empty_input_gives_zero_and_zero_gradient():
    logits = torch.randn(2, 3, 5, requires_grad=True)
    nothing = torch.full((2, 3), -100)
    zero_with_gradient(mean_cross_entropy(logits, nothing), logits)
    zero_with_gradient(captioning_loss(logits, nothing), logits)
    zero_with_gradient(masked_grounding_loss(logits, nothing, torch.zeros(2, 3, dtype=torch.bool)), logits)
    pairs = torch.randn(4, 4, requires_grad=True)
    zero_with_gradient(contrastive_loss(pairs, pairs.t(), torch.zeros(4, dtype=torch.bool)), pairs)
    match = torch.randn(4, 2, requires_grad=True)
    zero_with_gradient(matching_loss(match, torch.full((4,), -100)), match)
    tokens, entries = torch.randn(2, 3, 4, requires_grad=True), torch.randn(2, 3, 4, requires_grad=True)
    mask = torch.zeros(2, 3, dtype=torch.bool)
    scores = torch.sigmoid(tokens @ entries.transpose(1, 2))
    zero_with_gradient(topk_grounding_loss(tokens, entries, scores, mask), tokens, entries)
    tokens, entries = torch.randn(2, 3, 4, requires_grad=True), torch.randn(2, 3, 4, requires_grad=True)
    zero_with_gradient(nearest_grounding_loss(tokens, entries, mask), tokens, entries)


def test_half_precision_input_gives_float32():
    loss = mean_cross_entropy(torch.randn(2, 5).half(), torch.tensor([0, 1]))
    assert loss.dtype == torch.float32


def test_contrast_leaves_out_rows_that_are_no_pairs():
    logits = torch.randn(4, 4)
    pairs = torch.tensor([True, False, True, True])
    rows = (
        F.cross_entropy(logits, torch.arange(4), reduction="none")
        + F.cross_entropy(logits.t(), torch.arange(4), reduction="none")
    ) / 2
    torch.testing.assert_close(contrastive_loss(logits, logits.t(), pairs), rows[pairs].mean())
    torch.testing.assert_close(contrastive_loss(logits, logits.t(), pairs, mean="batch"), rows[pairs].sum() / 4)
    torch.testing.assert_close(contrastive_loss(logits, logits.t()), rows.mean())


def test_captioning_needs_targets():
    with pytest.raises(ValueError, match="`labels` or `shift_labels`"):
        captioning_loss(torch.randn(1, 2, 3), None)


def test_score_contrast_rewards_equal_choices():
    scores = torch.rand(6, 20)
    aligned = score_contrast_loss(scores, scores + 0.01 * torch.rand(6, 20))
    foreign = score_contrast_loss(scores, scores.roll(1, 0))
    chance = score_contrast_loss(torch.rand(6, 20), torch.rand(6, 20))
    assert aligned < 0.1 < chance < foreign
    # what all rows have in common does not count
    torch.testing.assert_close(
        score_contrast_loss(scores + torch.rand(20), scores), score_contrast_loss(scores, scores)
    )


def test_visual_contrast():
    views = torch.randn(5, 8)
    assert visual_contrastive_loss(views, views * 3) < visual_contrastive_loss(views, views.roll(1, 0))
    assert visual_contrastive_loss(views[:1], torch.randn(1, 8)).item() == 0


def test_negatives_are_never_forbidden_and_depend_on_seed_step_and_row_only():
    logits = torch.randn(8, 8)
    forbidden = torch.eye(8, dtype=torch.bool)
    forbidden[0, 1:5] = True  # the same caption
    forbidden[7] = True
    for step in range(50):
        drawn = draw_matching_negatives(logits, forbidden, hardness=0.5, step=step)
        assert drawn[7] == -1
        assert not forbidden[torch.arange(7), drawn[:7]].any()
    first = draw_matching_negatives(logits, forbidden, seed=1, step=2)
    assert torch.equal(first, draw_matching_negatives(logits, forbidden, seed=1, step=2))
    assert not torch.equal(first, draw_matching_negatives(logits, forbidden, seed=1, step=3))
    halves = [
        draw_matching_negatives(
            logits[i : i + 4], forbidden[i : i + 4], seed=1, step=2, row_ids=torch.arange(i, i + 4)
        )
        for i in (0, 4)
    ]
    assert torch.equal(torch.cat(halves), first)


def test_hardness_goes_from_even_to_the_softmax():
    logits = torch.tensor([[5.0, 2.0, 1.0, 0.0]])
    forbidden = torch.tensor([[True, False, False, False]])
    for hardness in (0.0, 1.0):
        draws = torch.cat([draw_matching_negatives(logits, forbidden, hardness=hardness, step=s) for s in range(3000)])
        shares = torch.bincount(draws, minlength=4) / 3000
        expected = (hardness * logits[0, 1:]).softmax(0)
        assert shares[0] == 0
        assert (shares[1:] - expected).abs().max() < 4 * (0.25 / 3000) ** 0.5


def test_bad_hardness_and_shapes_are_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        draw_matching_negatives(torch.zeros(2, 2), torch.eye(2, dtype=torch.bool), hardness=1.5)
    with pytest.raises(ValueError, match="differ in shape"):
        draw_matching_negatives(torch.zeros(2, 3), torch.eye(2, dtype=torch.bool))
