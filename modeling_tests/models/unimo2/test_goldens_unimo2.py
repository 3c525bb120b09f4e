# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Every array of the first implementation, by name (`fixtures/unimo2_tiny`)."""

import numpy as np
import pytest
import torch

from . import goldens


EAGER_ONLY: set[str] = set()
"""Arrays that the sdpa back end cannot give. The additive masks suit both, so there is none."""

CASES = [
    pytest.param(name, attention, id=f"{name}-{attention}")
    for name in goldens.EXPECTED
    for attention in ("eager", "sdpa")
    if attention == "eager" or name not in EAGER_ONLY
]


def test_every_array_of_the_fixture_is_compared():
    assert set(goldens.EXPECTED) >= EAGER_ONLY
    assert len(goldens.EXPECTED) == 249


@pytest.mark.parametrize("name, attention", CASES)
def test_array(name, attention):
    case, array = name.split(".", 1)
    expected = goldens.EXPECTED[name] if case not in goldens.BEAM else goldens.best_first(case, array)
    found = goldens.compute(case, attention)[array]
    if array == "names":
        assert found.tolist() == sorted(expected.tolist())
        return
    found = found.detach().numpy().reshape(expected.shape)
    if np.issubdtype(expected.dtype, np.integer):
        np.testing.assert_array_equal(found, expected)
    elif case.startswith("grad_") and array != "loss":
        # Component by component. The floor is for sums that nearly cancel and for the bias of keys, which is noise.
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6 if array == "norms" else 1e-5)
    else:
        padded = padded_positions(array, expected)
        error = np.abs(found - expected)
        assert error[~padded].max(initial=0) <= 2e-5
        assert error[padded].max(initial=0) <= 1e-4


def padded_positions(array, expected):
    """Which elements of a text array belong to padding (scores there are rounded at a magnitude of 10,000)."""
    padded = np.zeros(expected.shape, dtype=bool)
    if array.split(".")[-1] in ("text_enc_out", "enc_l_out", "text_embeddings") and len(expected) > 1:
        mask = goldens.INPUTS["text_mask"][: len(expected), 0].numpy() == 0
        padded[mask] = True
    return padded


def test_default_captioning_positions_are_those_of_the_data_files():
    model = goldens.official_model(goldens.Unimo2ForConditionalGeneration)
    batch = goldens.caption_batch()
    found = model._position_ids(batch["input_ids"], batch["attention_mask"], batch["token_type_ids"], 0)
    assert torch.equal(found, goldens.INPUTS["caption.pos_ids"][..., 0])


def test_smallest_gap_between_neighbouring_scores():
    """The exact comparison of grounded ids stands on this margin."""
    model = goldens.official_model(goldens.Unimo2ForPreTraining)
    with torch.no_grad():
        scores = model.unimo2.encode_text(**goldens.text_inputs()).dictionary_scores
    ordered = scores.sort(descending=True).values[:, : model.config.num_grounded_tokens + 1]
    assert (ordered[:, :-1] - ordered[:, 1:]).min() > 1e-4


@pytest.mark.parametrize("case", goldens.BEAM)
def test_smallest_gap_between_the_scores_of_hypotheses(case):
    """The comparison of hypotheses by the order of their scores stands on this margin."""
    scores = goldens.best_first(case, "scores")
    assert (scores[:, :-1] - scores[:, 1:]).min() > 1e-3


@pytest.mark.parametrize("case", goldens.BEAM)
def test_tags_may_be_padded_on_either_side(case):
    found = goldens.compute(case, "eager")
    with torch.no_grad():
        left = goldens.run_beam(case, "eager", side="left")
    assert torch.equal(found["sequences"], left["sequences"])
    torch.testing.assert_close(found["scores"], left["scores"], atol=2e-5, rtol=0)


def test_only_official_padding_shows_padded_tags_to_the_search():
    """Without it the rows that are padded differ from the first implementation's, and only they."""
    with torch.no_grad():
        found = goldens.run_beam("beam", "eager", official_padding=False)
    error = np.abs(found["scores"].numpy() - goldens.best_first("beam", "scores")).max(1)
    padded = goldens.INPUTS["caption.obj_token_mask"][:, 0].numpy().min(1) == 0
    assert padded.tolist() == [True, True, False]
    assert error[padded].min() > 1e-3 and error[~padded].max() < 2e-5
