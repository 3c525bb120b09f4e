# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Captions: words a second with a cache, and whether a late word costs more than an early one."""

import itertools
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from transformers import LogitsProcessor, LogitsProcessorList

from .case import Case, Run, synchronize
from .models import Held, images
from .sizes import Size


GREEDY, BEAMS = "captions, greedy", "captions, 5 beams"
LATE = "late over early"
_DTYPE = torch.bfloat16


def captioning_cases(size: Size, device: torch.device, unimo2: Held) -> Iterator[Case]:
    """Captions of a fixed length for a few images."""
    for name, beams in ((GREEDY, 1), (BEAMS, 5)):
        yield Case(
            name,
            "captioning",
            partial(_captions, size, device, unimo2, beams),
            items=size.captioned * size.new_words,
            unit="tokens",
            dtype="bf16",
            relative_to=GREEDY,
        )


class _Clock(LogitsProcessor):
    """Notes when the scores of each word are there, and changes nothing."""

    def __init__(self, device: torch.device):
        self.device, self.times = device, []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        synchronize(self.device)
        self.times.append(time.perf_counter())
        return scores


@contextmanager
def _captions(size: Size, device: torch.device, held: Held, beams: int) -> Iterator[Run]:
    pixel_values = images(size, size.captioned, device, _DTYPE)
    input_ids = torch.zeros(size.captioned, 1, dtype=torch.long, device=device)
    with held.at(_DTYPE) as model, torch.no_grad():

        def run() -> dict[str, float]:
            clock = _Clock(device)
            model.generate(
                input_ids,
                pixel_values=pixel_values,
                num_beams=beams,
                do_sample=False,
                min_new_tokens=size.new_words,
                max_new_tokens=size.new_words,
                logits_processor=LogitsProcessorList([clock]),
            )
            return {LATE: late_over_early(clock.times)}

        yield run


def late_over_early(times: list[float]) -> float:
    """
    Median time between words in the last quarter relative to the first quarter.

    Args:
        times (`list[float]`): When each word was there. Before the first one stands the image, which counts for none.
    """
    steps = [after - before for before, after in itertools.pairwise(times)]
    quarter = max(1, len(steps) // 4)
    return statistics.median(steps[-quarter:]) / statistics.median(steps[:quarter])
