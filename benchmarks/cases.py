# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""All cases, in the order of a round."""

from functools import partial

import torch

from hf_unimo.errors import BadInputError, unknown_name

from .captioning_cases import captioning_cases
from .case import Case
from .loading_cases import loading_cases
from .models import Held, captioning_model, retrieval_model
from .retrieval_cases import bucket_cases, retrieval_cases, search_cases
from .sizes import Size
from .unimo2_cases import limit_cases, model_cases, training_cases


def all_cases(size: Size, device: torch.device) -> list[Case]:
    """Nothing is built yet: a case builds its model when it first runs."""
    retrieval = Held(partial(retrieval_model, size), device)
    captioning = Held(partial(captioning_model, size), device)
    found = [
        *limit_cases(size, device),
        *model_cases(size, device, retrieval),
        *training_cases(size, device, retrieval),
        *retrieval_cases(size, device, retrieval),
        *bucket_cases(size, device, retrieval),
        *search_cases(size),
        *captioning_cases(size, device, captioning),
        *loading_cases(size),
    ]
    return found if size.name == "base" else [case for case in found if not case.only_full]


def select(cases: list[Case], only: list[str]) -> list[Case]:
    """
    The cases of the given sections, or of the given names, and those that they are compared with.

    Raises:
        BadInputError: If a word of `only` is neither.
    """
    if not only:
        return cases
    known = {case.section for case in cases} | {case.name for case in cases}
    for word in only:
        if word not in known:
            raise BadInputError(f"--only names no section and no case: {unknown_name(word, sorted(known))}")
    wanted = {case.name for case in cases if {case.section, case.name} & set(only)}
    while True:
        needed = {name for case in cases if case.name in wanted for name in (case.relative_to, case.flops_of)}
        dtypes = {case.dtype for case in cases if case.name in wanted}
        needed |= {case.name for case in cases if case.section == "limit" and case.dtype in dtypes}
        more = (needed & known) - wanted
        if not more:
            return [case for case in cases if case.name in wanted]
        wanted |= more
