# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Two processes equal one: the mean of their losses is the loss of the whole batch, the mean gradient its gradient."""

import pytest
import torch

from hf_unimo.objectives import ranks
from hf_unimo.objectives.contrastive import contrastive_loss
from hf_unimo.objectives.grounding import nearest_grounding_loss, topk_grounding_loss
from hf_unimo.objectives.masked_grounding import masked_grounding_loss
from hf_unimo.objectives.masked_language_modeling import masked_language_modeling_loss
from hf_unimo.objectives.matching import matching_loss
from hf_unimo.objectives.score_contrast import score_contrast_loss
from hf_unimo.objectives.visual_contrastive import visual_contrastive_loss
from modeling_tests import two_processes


ROWS, WORDS, WIDTH = 6, 5, 8


def inputs():
    """Inputs of the whole batch; the halves have different numbers of words, pairs and masked items."""
    generator = torch.Generator().manual_seed(3)
    return {
        "features": torch.randn(ROWS, 2, WIDTH, generator=generator),
        "tokens": torch.randn(ROWS, WORDS, WIDTH, generator=generator),
        "labels": torch.tensor(
            [[1, 2, 3, -100, 0], [4, 5, 6, 7, 1], [-100] * 5, [-100] * 5, [-100, 3] * 2 + [0], [1] + [-100] * 4]
        ),
        "pairs": torch.tensor([True, True, True, False, True, False]),
        "mask": torch.arange(WORDS)[None] < torch.tensor([5, 4, 1, 2, 3, 0])[:, None],
    }


def losses(weight, batch, across):
    """Every objective on linear features of `batch`, by name."""
    features, tokens = batch["features"] @ weight, batch["tokens"] @ weight
    image, text = features.unbind(1)
    gather = ranks.gather_with_gradient if across else lambda rows: rows
    entries = weight[None, :4].expand(len(tokens), -1, -1)
    scores = torch.sigmoid(tokens @ entries.transpose(1, 2))
    nearest = weight[None, :WORDS].expand(len(tokens), -1, -1)
    pairs, labels, mask = batch["pairs"], batch["labels"], batch["mask"]
    shared = {"across_ranks": across}
    per_image, per_text = image @ gather(text).t(), text @ gather(image).t()
    return {
        "contrastive": contrastive_loss(per_image, per_text, **shared),
        "contrastive of pairs": contrastive_loss(per_image, per_text, pairs, label_smoothing=0.1, **shared),
        "contrastive over the batch": contrastive_loss(per_image, per_text, pairs, mean="batch", **shared),
        "mlm": masked_language_modeling_loss(tokens, labels, **shared),
        "matching": matching_loss(image[:, :2], pairs.long().masked_fill(batch["mask"][:, 2], -100), **shared),
        "masked grounding": masked_grounding_loss(tokens, labels.clamp(min=0), mask, **shared),
        "grounding": topk_grounding_loss(tokens, entries, scores, mask, **shared),
        "nearest grounding": nearest_grounding_loss(tokens, nearest, mask, **shared),
        "score contrast": score_contrast_loss(image.sigmoid(), text.sigmoid(), pairs, **shared),
        "visual": visual_contrastive_loss(image, text, **shared),
    }


def values_and_gradients(weight, batch, across):
    found = {}
    for name in losses(weight, batch, across):
        leaf = weight.clone().requires_grad_()
        loss = losses(leaf, batch, across)[name]
        (gradient,) = torch.autograd.grad(loss, leaf)
        found[name] = (loss.detach(), gradient)
    return found


def first_weight():
    return torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(4)) / WIDTH**0.5


def work(rank):
    half = {name: value[rank * 3 : rank * 3 + 3] for name, value in inputs().items()}
    found = values_and_gradients(first_weight(), half, across=True)
    return found, ranks.gather(torch.tensor([rank])), ranks.rank(), ranks.world_size()


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return two_processes.results(work, tmp_path_factory.mktemp("ranks"))


@pytest.mark.slow
@pytest.mark.parametrize("name", losses(first_weight(), inputs(), across=False))
def test_the_mean_over_ranks_is_the_whole(name, both):
    loss, gradient = values_and_gradients(first_weight(), inputs(), across=False)[name]
    found = [result[0][name] for result in both]
    torch.testing.assert_close((found[0][0] + found[1][0]) / 2, loss, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close((found[0][1] + found[1][1]) / 2, gradient, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_rows_are_gathered_in_rank_order(both):
    assert [result[2:] for result in both] == [(0, 2), (1, 2)]
    assert all(result[1].tolist() == [0, 1] for result in both)


def test_one_process_gathers_nothing():
    rows = torch.randn(3, 2)
    assert ranks.gather_with_gradient(rows) is rows and ranks.gather(rows) is rows
    assert (ranks.rank(), ranks.world_size(), ranks.mean_count(torch.tensor(5)).item()) == (0, 1, 5.0)
