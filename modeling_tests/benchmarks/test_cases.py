# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Which cases there are, which a part of them needs, and that stages do what the whole does."""

import pytest
import torch

from benchmarks.case import warm_up
from benchmarks.cases import all_cases, select
from benchmarks.retrieval_cases import FUSING, IMAGES, STAGED, TEXTS, WHOLE, caption_lengths
from benchmarks.sizes import BASE, QUICK, SMALLEST
from benchmarks.unimo2_cases import FORWARD, LIMIT, TRAINING
from hf_unimo.errors import BadInputError


CPU = torch.device("cpu")


def names(cases):
    return [case.name for case in cases]


@pytest.mark.parametrize("device", ("cpu", "cuda"))
def test_names_are_unique_and_what_they_refer_to_exists(device):
    cases = all_cases(BASE, torch.device(device))
    assert len(set(names(cases))) == len(cases)
    for case in cases:
        assert case.relative_to in (*names(cases), "")
        assert case.flops_of in (*names(cases), "", "-")


def test_the_full_run_has_every_kind_and_the_quick_one_compiles_nothing():
    full, quick = names(all_cases(BASE, CPU)), names(all_cases(QUICK, CPU))
    for dtype in ("fp32", "bf16"):
        for kind in ("eager", "sdpa", "sdpa, compiled"):
            assert FORWARD.format(dtype, kind) in full and TRAINING.format(dtype, kind) in full
    assert set(quick) < set(full) and not any("compiled" in name for name in quick)


def test_only_brings_what_it_is_compared_with():
    cases = all_cases(BASE, CPU)
    found = names(select(cases, ["CLIP B/16 forward, bf16"]))
    assert found == [*(LIMIT.format(dtype) for dtype in ("fp32", "bf16")), FORWARD.format("fp32", "sdpa"), found[-1]]
    compiled = FORWARD.format("bf16", "sdpa, compiled")
    assert FORWARD.format("bf16", "sdpa") in names(select(cases, [compiled]))
    assert names(select(cases, ["limit"])) == [LIMIT.format(dtype) for dtype in ("fp32", "bf16")]
    assert select(cases, []) == cases
    with pytest.raises(BadInputError, match="'forwards' was given, the nearest known is 'forward'"):
        select(cases, ["forwards"])


def test_retrieval_by_stages_is_made_of_its_parts():
    cases = {case.name: case for case in all_cases(SMALLEST, CPU) if case.section == "retrieval"}
    counted = {name: warm_up(case) / case.items for name, case in cases.items()}
    pairs = SMALLEST.images * SMALLEST.texts
    stages = SMALLEST.images * counted[IMAGES] + SMALLEST.texts * counted[TEXTS] + pairs * counted[FUSING]
    assert counted[STAGED] * pairs == stages
    assert counted[FUSING] < counted[STAGED] < counted[WHOLE]


def test_lengths_of_captions():
    lengths = caption_lengths(BASE)
    assert len(lengths) == BASE.rows and min(lengths) >= 3 and max(lengths) <= BASE.words
    assert 10 < sum(lengths) / len(lengths) < 18 and len(set(lengths)) > 10
