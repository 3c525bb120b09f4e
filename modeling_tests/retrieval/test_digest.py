# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The digest is that of the values, whatever computes it."""

import torch

from hf_unimo.retrieval.digest import weights_digest


def test_a_digest_tells_weights_apart():
    torch.manual_seed(0)
    first, second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    assert weights_digest(first) != weights_digest(second)
    second.load_state_dict(first.state_dict())
    assert weights_digest(first) == weights_digest(second)
    with torch.no_grad():  # same sum, same sum of squares
        second.weight.copy_(second.weight.flip(0))
    assert weights_digest(first) != weights_digest(second)


def test_it_does_not_depend_on_threads_and_takes_every_type():
    torch.manual_seed(0)
    model, threads = torch.nn.BatchNorm1d(100_003).bfloat16(), torch.get_num_threads()
    found = set()
    for number in (1, 2):
        torch.set_num_threads(number)
        found.add(weights_digest(model))
    torch.set_num_threads(threads)
    assert len(found) == 1 and weights_digest(model.float()) not in found
