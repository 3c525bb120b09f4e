# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Every array of the first implementation, by name (`fixtures/unimo2_tiny`)."""

import numpy as np
import pytest
import torch

from . import goldens


WAITING = {
    # The first implementation's own beam search comes with the captioning task; `generate` has transformers' beam
    # search.
    f"{case}.{array}"
    for case in ("beam", "beam_long", "beam_trigram", "beam_nopenalty", "beam_baseline", "beam_normal")
    for array in ("sequences", "scores")
}

EAGER_ONLY: set[str] = set()
"""Arrays that the sdpa back end cannot give. The additive masks suit both, so there is none."""

CASES = [
    pytest.param(name, attention, id=f"{name}-{attention}")
    for name in goldens.EXPECTED
    if name not in WAITING
    for attention in ("eager", "sdpa")
    if attention == "eager" or name not in EAGER_ONLY
]


def test_the_waiting_list_names_only_arrays_of_the_fixture():
    assert set(goldens.EXPECTED) >= WAITING | EAGER_ONLY
    assert len(goldens.EXPECTED) - len(WAITING) == 237


@pytest.mark.parametrize("name, attention", CASES)
def test_array(name, attention):
    case, array = name.split(".", 1)
    expected = goldens.EXPECTED[name]
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
