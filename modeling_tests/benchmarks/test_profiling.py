# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""A profile says where the time went."""

from contextlib import contextmanager

import pytest
import torch

from benchmarks.case import Case
from benchmarks.profiling import group_of, profile_case


@contextmanager
def ready():
    states, weight = torch.ones(300, 300), torch.ones(300, 300)
    yield lambda: torch.nn.functional.gelu(states @ weight)


def test_operators_and_groups_with_shares():
    text = profile_case(Case("products", "forward", ready), torch.device("cpu"))
    assert text.startswith("### products\n")
    assert "| matrix products of the layers |" in text and "| `aten::mm` |" in text and "| activation |" in text
    groups = text.partition("| Operator |")[0]
    shares = [float(line.split("|")[2].strip(" %")) for line in groups.splitlines() if line.endswith(" % |")]
    assert sum(shares) == pytest.approx(100, abs=0.5)


@pytest.mark.parametrize(
    ("operator", "group"),
    [
        ("aten::addmm", "matrix products of the layers"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu", "attention and grounding loss"),
        ("aten::bmm", "attention and grounding loss"),
        ("aten::native_layer_norm", "normalization"),
        ("aten::gelu", "activation"),
        ("aten::sort", "dictionary"),
        ("aten::add", "other"),
    ],
)
def test_groups(operator, group):
    assert group_of(operator) == group
