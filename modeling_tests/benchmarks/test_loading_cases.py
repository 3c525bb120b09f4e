# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""What is loaded, and that a process of its own tells what it took."""

import sys

import pytest
import torch
from torch import nn

from benchmarks.case import measure
from benchmarks.loading_cases import OURS, PEAK, bert_of, loading_cases, num_parameters
from benchmarks.sizes import BASE, SMALLEST
from hf_unimo import Unimo2Model


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_bert_has_as_many_parameters():
    assert num_parameters(SMALLEST) == count(Unimo2Model(SMALLEST.config()))
    assert num_parameters(BASE) == 297_662_978
    for size in (SMALLEST, BASE):
        wanted = num_parameters(size)
        with torch.device("meta"):
            found = count(bert_of(wanted, size.width, size.heads))
        assert wanted - size.width < found <= wanted


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is read from /proc")
def test_a_load_in_its_own_process():
    (case,) = [case for case in loading_cases(SMALLEST) if case.name == OURS]
    # What this process holds is no part of what the other one takes.
    ballast = torch.ones(150_000_000, dtype=torch.uint8)
    found = measure(case, torch.device("cpu"))
    assert found["bytes"] == 4 * num_parameters(SMALLEST)
    assert 0 < found["peak bytes"] <= found[PEAK] < ballast.nbytes
    assert found["seconds"] <= found["weights read, seconds"]
