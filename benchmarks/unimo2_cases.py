# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The limit, forward passes and training steps, of UNIMO-2 and of its neighbours."""

import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial

import torch

from hf_unimo.models.unimo2.modeling_unimo2 import Unimo2PreTrainedModel

from .case import DTYPES, Case, Run, synchronize
from .models import NEIGHBOURS, Held, attention, compiled, images, without_dropout, words
from .sizes import Size


LIMIT = "matrix products {}"
FORWARD = "UNIMO-2 forward, {}, {}"
TRAINING = "UNIMO-2 training step, {}, {}"
OPTIMIZER = "AdamW step alone, {}"
_SECONDARY_ROUNDS = 2
_REPEATS = 3  # of a product at least


def limit_cases(size: Size, device: torch.device) -> Iterator[Case]:
    """The products of a fusion layer and nothing else, into memory that is there already."""
    for dtype in DTYPES:
        yield Case(
            LIMIT.format(dtype),
            "limit",
            partial(_products, size, device, DTYPES[dtype]),
            dtype=dtype,
            relative_to=LIMIT.format("fp32"),
            flops_of="-",  # `run` tells them
        )


@contextmanager
def _products(size: Size, device: torch.device, dtype: torch.dtype) -> Iterator[Run]:
    tokens, width = size.batch * size.tokens, size.width
    shapes = (("attention", 4, width, width), ("inner", 1, width, 4 * width), ("outer", 1, 4 * width, width))
    operands = {}
    for name, times, wide, out in shapes:
        states = torch.randn(tokens, wide, device=device).to(dtype)
        weight = torch.randn(out, wide, device=device).to(dtype)  # as a linear layer keeps it
        operands[name] = times, states, weight, torch.empty(tokens, out, device=device, dtype=dtype)

    def median_seconds(states: torch.Tensor, weight: torch.Tensor, result: torch.Tensor) -> float:
        found: list[float] = []
        while len(found) < _REPEATS or sum(found) < size.product_seconds:
            synchronize(device)
            start = time.perf_counter()
            torch.mm(states, weight.t(), out=result)
            synchronize(device)
            found.append(time.perf_counter() - start)
        return statistics.median(found)

    def run() -> dict[str, float]:
        seconds = {name: median_seconds(*tensors) for name, (_, *tensors) in operands.items()}
        flops = {name: 2 * states.numel() * weight.shape[0] for name, (_, states, weight, _) in operands.items()}
        total = sum(operands[name][0] * flops[name] for name in operands)
        layer = sum(operands[name][0] * seconds[name] for name in operands)
        rates = {f"{name} products": flops[name] / seconds[name] for name in operands}
        # Each product weighs what its share of a layer's operations is.
        return {"seconds": layer, "flops": total, **rates}

    yield run


def model_cases(size: Size, device: torch.device, unimo2: Held) -> Iterator[Case]:
    """Forward passes, interleaved by type: UNIMO-2 with each kind of attention, then its neighbours."""
    neighbours = {name: Held(partial(make, size), device) for name, make in NEIGHBOURS.items()}
    for dtype in DTYPES:
        for kind, only_full in kinds(device):
            yield Case(
                FORWARD.format(dtype, kind),
                "forward",
                partial(_forward, size, device, unimo2, DTYPES[dtype], kind),
                items=size.batch,
                unit="pairs",
                dtype=dtype,
                relative_to=FORWARD.format("fp32", "sdpa"),
                flops_of=FORWARD.format(dtype, "sdpa") if "compiled" in kind else "",
                only_full=only_full,
            )
        for name, held in neighbours.items():
            yield Case(
                f"{name} forward, {dtype}",
                "forward",
                partial(_neighbour_forward, size, device, held, DTYPES[dtype]),
                items=size.batch,
                unit="pairs",
                dtype=dtype,
                relative_to=FORWARD.format("fp32", "sdpa"),
            )


def training_cases(size: Size, device: torch.device, unimo2: Held) -> Iterator[Case]:
    """Training steps of UNIMO-2: loss, gradients, fused AdamW. The variants in fewer rounds."""
    for dtype in DTYPES:
        for kind, only_full in (*kinds(device), ("sdpa, no dropout", True)):
            yield Case(
                TRAINING.format(dtype, kind),
                "training",
                partial(_training, size, device, unimo2, DTYPES[dtype], kind),
                items=size.batch,
                unit="pairs",
                dtype=dtype,
                relative_to=TRAINING.format("fp32", "sdpa"),
                flops_of=TRAINING.format(dtype, "sdpa") if "compiled" in kind else "",
                most_rounds=None if kind == "sdpa" else _SECONDARY_ROUNDS,
                only_full=only_full or kind == "eager",
            )
        yield Case(
            OPTIMIZER.format(dtype),
            "optimizer",
            partial(_optimizer_step, device, unimo2, DTYPES[dtype]),
            relative_to=TRAINING.format(dtype, "sdpa"),
            flops_of="-",
            most_rounds=_SECONDARY_ROUNDS,
        )


def kinds(device: torch.device) -> list[tuple[str, bool]]:
    """Kinds of attention of UNIMO-2, and whether only the full run has them: compiling takes its time."""
    found = [("eager", False), ("sdpa", False), ("sdpa, compiled", True)]
    if device.type == "cuda" and Unimo2PreTrainedModel._supports_flex_attn:
        found.append(("flex_attention, compiled", True))
    return found


@contextmanager
def _forward(size: Size, device: torch.device, held: Held, dtype: torch.dtype, kind: str) -> Iterator[Run]:
    pixel_values, input_ids = images(size, size.batch, device, dtype), words(size, size.batch, device)
    with held.at(dtype) as model, _as_kind(model, kind), torch.no_grad():
        yield lambda: model.unimo2(input_ids, pixel_values=pixel_values)


@contextmanager
def _neighbour_forward(size: Size, device: torch.device, held: Held, dtype: torch.dtype) -> Iterator[Run]:
    pixel_values, input_ids = images(size, size.batch, device, dtype), words(size, size.batch, device)
    with held.at(dtype) as model, torch.no_grad():
        yield lambda: model(input_ids=input_ids, pixel_values=pixel_values)


@contextmanager
def _training(size: Size, device: torch.device, held: Held, dtype: torch.dtype, kind: str) -> Iterator[Run]:
    pixel_values, input_ids = images(size, size.batch, device, dtype), words(size, size.batch, device)
    labels = torch.ones(size.batch, dtype=torch.long, device=device)
    with held.at(dtype) as model, _as_kind(model, kind):
        optimizer = _optimizer(model.train())

        def run() -> None:
            model(input_ids, pixel_values=pixel_values, labels=labels).loss.backward()
            optimizer.step()
            optimizer.zero_grad()

        yield run


@contextmanager
def _optimizer_step(device: torch.device, held: Held, dtype: torch.dtype) -> Iterator[Run]:
    with held.at(dtype) as model:
        optimizer = _optimizer(model)
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        yield optimizer.step
        optimizer.zero_grad()


def _optimizer(model: torch.nn.Module) -> torch.optim.Optimizer:
    """AdamW with its state made, which happens once in a run; its rate is too small to change a weight."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-12, fused=True)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    return optimizer


@contextmanager
def _as_kind(model: torch.nn.Module, kind: str) -> Iterator[None]:
    """The model with the attention, the compilation and the dropout that `kind` names."""
    name, *more = kind.split(", ")
    with ExitStack() as stack:
        stack.enter_context(attention(model, name))
        stack.enter_context(compiled(model) if "compiled" in more else nullcontext())
        stack.enter_context(without_dropout(model) if "no dropout" in more else nullcontext())
        yield
