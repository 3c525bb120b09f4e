# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""A run on two processes ends where a run on one does: steps of pairs, images and texts, DDP over gloo."""

import pytest
import torch

from modeling_tests.two_processes import torchrun

from . import two_process_run


RUN = "modeling_tests.training.two_process_run"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    two, one = tmp_path_factory.mktemp("two"), tmp_path_factory.mktemp("one")
    torchrun("-m", RUN, two, 4)
    two_process_run.main(one, 8)
    return torch.load(one / "0.pt"), [torch.load(two / f"{rank}.pt") for rank in range(2)]


@pytest.mark.slow
def test_parameters_are_those_of_one_process(results):
    one, (first, second) = results
    assert set(one["kinds"]) == {"pairs", "images", "text"} and first["find_unused"]
    largest = 0.0
    for name, parameter in one["end"].items():
        assert torch.equal(first["end"][name], second["end"][name]), name
        assert torch.equal(first["start"][name], one["start"][name]), name
        torch.testing.assert_close(first["end"][name], parameter, rtol=0, atol=2e-6, msg=lambda t, n=name: f"{n}: {t}")
        largest = max(largest, (parameter - one["start"][name]).abs().max().item())
    assert largest > 1e-3  # they have moved far more than that


@pytest.mark.slow
def test_logged_losses_are_those_of_one_process(results):
    one, (first, _) = results
    assert len(one["log"]) == len(first["log"]) == 8
    for alone, shared in zip(one["log"], first["log"]):
        assert alone.keys() == shared.keys()
        for name in alone:
            assert shared[name] == pytest.approx(alone[name], rel=2e-5), (alone["step"], name)


@pytest.mark.slow
def test_retrieval_is_measured_over_both(results):
    one, both = results
    for found in both:
        for name in ("candidates", "image_recall@5", "text_mean_rank", "entries_used_by_images", "own_overlap"):
            assert found["metrics"][f"eval_unseen_{name}"] == pytest.approx(
                one["metrics"][f"eval_unseen_{name}"], abs=1e-6
            )
