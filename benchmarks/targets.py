# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""What was aimed at, as data: each target names a ratio of the table, and a bound. They are about base size."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .captioning_cases import BEAMS, GREEDY, LATE
from .loading_cases import BERT, OURS, PEAK
from .retrieval_cases import BUCKETED, FUSING, IMAGES, SEARCH, TEXTS, WHOLE
from .search import LIMITS as SEARCH_LIMITS
from .summary import Row
from .unimo2_cases import FORWARD, TRAINING


Rows = Mapping[str, Row]

GALLERY, CAPTIONS, TEXTS_AN_IMAGE, IMAGES_A_TEXT = 1000, 5000, 128, 32
"""A test set of 1,000 images with five captions each, and the candidates that are fused in either direction."""

PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12}
"""Part of a device's name -> bfloat16 operations a second without sparsity, by its data sheet."""


@dataclass(frozen=True)
class Target:
    """
    One line of "what was aimed at".

    Args:
        text (`str`): What is measured, in words.
        measured: Finds it among the rows; None where a row is missing.
        bound (`float`): Inclusive.
        at_least (`bool`): Or at most.
        devices: Where it is judged.
    """

    text: str
    measured: Callable[[Rows], float | None]
    bound: float
    at_least: bool = True
    devices: tuple[str, ...] = ("cpu", "cuda")

    def met(self, rows: Rows) -> bool | None:
        """None if it was not measured."""
        found = self.measured(rows)
        if found is None:
            return None
        return found >= self.bound if self.at_least else found <= self.bound


def share(name: str) -> Callable[[Rows], float | None]:
    """Share of the limit of that row."""
    return lambda rows: rows[name].share if name in rows else None


def figure(name: str, key: str) -> Callable[[Rows], float | None]:
    """Another figure of that row."""
    return lambda rows: rows[name].figures.get(key) if name in rows else None


def quotient(over: Callable[[Rows], float | None], under: Callable[[Rows], float | None]) -> Callable:
    """Of two figures."""

    def find(rows: Rows) -> float | None:
        first, second = over(rows), under(rows)
        return first / second if first is not None and second else None

    return find


def seconds(name: str) -> Callable[[Rows], float | None]:
    """Median seconds of that row."""
    return lambda rows: rows[name].seconds if name in rows else None


def flops(name: str) -> Callable[[Rows], float | None]:
    """Operations of one item of that row."""
    return lambda rows: rows[name].flops_per_item if name in rows else None


def fraction_of_naive(rows: Rows) -> float | None:
    """Operations of a retrieval by shortlists relative to all pairs through the whole model, from counted parts."""
    parts = [flops(name)(rows) for name in (IMAGES, TEXTS, FUSING, WHOLE)]
    if any(part is None for part in parts):
        return None
    image, text, pair, whole = parts
    pairs = GALLERY * TEXTS_AN_IMAGE + CAPTIONS * IMAGES_A_TEXT
    return (GALLERY * image + CAPTIONS * text + pairs * pair) / (GALLERY * CAPTIONS * whole)


def utilization(device_name: str) -> Callable[[Rows], float | None]:
    """Three forward passes' operations per second of a compiled bf16 training step, of the data sheet's peak."""
    peak = next((value for name, value in PEAKS.items() if name in device_name), None)

    def find(rows: Rows) -> float | None:
        forward, step = rows.get(FORWARD.format("bf16", "sdpa")), rows.get(TRAINING.format("bf16", "sdpa, compiled"))
        if peak is None or forward is None or step is None or forward.flops_per_item is None:
            return None
        return 3 * forward.flops_per_item * step.per_second / peak

    return find


FP32, BF16 = FORWARD.format("fp32", "sdpa"), FORWARD.format("bf16", "sdpa")


def targets(device_name: str) -> list[Target]:
    """All of them; that of the utilization depends on the device's peak."""
    cpu, cuda = ("cpu",), ("cuda",)
    return [
        Target("forward, fp32: share of the limit", share(FP32), 0.92, devices=cpu),
        Target("training step, fp32: share of the limit", share(TRAINING.format("fp32", "sdpa")), 0.88, devices=cpu),
        Target("forward, bf16: share of the limit", share(BF16), 0.72, devices=cpu),
        Target("forward, bf16: share of the limit (stretch)", share(BF16), 0.80, devices=cpu),
        Target(
            "forward, speed of bf16 over fp32, relative to that of the limits",
            quotient(share(BF16), share(FP32)),
            0.75,
            devices=cpu,
        ),
        Target(
            "forward, bf16: share of the limit relative to BridgeTower's",
            quotient(share(BF16), share("BridgeTower base forward, bf16")),
            1.0,
        ),
        Target(
            "forward, bf16: share of the limit relative to CLIP's",
            quotient(share(BF16), share("CLIP B/16 forward, bf16")),
            1.0,
        ),
        Target(
            "retrieval, operations of a fused pair relative to a pair through the whole model",
            quotient(flops(FUSING), flops(WHOLE)),
            0.56,
            at_least=False,
        ),
        Target(
            f"retrieval, {GALLERY:,} x {CAPTIONS:,}, {TEXTS_AN_IMAGE} texts an image and {IMAGES_A_TEXT} images a "
            "text: operations relative to all pairs, from the counted parts",
            fraction_of_naive,
            1 / 31,
            at_least=False,
        ),
        *[
            Target(
                f"search, {name}: time relative to one read of the vectors",
                figure(SEARCH, name),
                bound,
                at_least=False,
            )
            for name, bound in SEARCH_LIMITS.items()
        ],
        Target("captions, greedy: time of a late word over an early one", figure(GREEDY, LATE), 1.1, at_least=False),
        Target("captions, 5 beams: time of a late word over an early one", figure(BEAMS, LATE), 1.1, at_least=False),
        Target("texts by length, relative to as they come", lambda rows: _ratio(rows, BUCKETED), 1.0),
        Target("loading: time relative to BERT's", quotient(seconds(OURS), seconds(BERT)), 1.2, at_least=False),
        Target(
            "loading, weights read: peak memory relative to BERT's",
            quotient(figure(OURS, PEAK), figure(BERT, PEAK)),
            1.2,
            at_least=False,
        ),
        Target(
            "training step, bf16, compiled: model-FLOP utilization of the data sheet's peak",
            utilization(device_name),
            0.45,
            devices=cuda,
        ),
    ]


def _ratio(rows: Rows, name: str) -> float | None:
    return rows[name].ratio if name in rows else None
