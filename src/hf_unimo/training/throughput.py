# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""How fast a run is, by kind of batch, and which share of the machine's rate of matrix products that is."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from ..errors import BadInputError


MATRIX_SIZES = (512, 1024, 2048, 4096, 8192)
"""Sides of the squares that are multiplied; the larger ones only on machines that have the time for them."""

_REPETITIONS = 20
_SHARES = 4  # a size takes one of them at most, unless two products take longer


@dataclass
class _Total:
    """What one kind of batch took so far."""

    rows: int = 0
    seconds: float = 0.0
    counted_seconds: float = 0.0
    flops: float = 0.0


class Throughput:
    """
    Adds up what the batches of each kind took: rows, seconds, and floating point operations where they are known.

    All of it is about one process: its rows, its operations, against the rate of the device it has for itself.

    Example:

    ```python
    >>> from hf_unimo.training.throughput import Throughput

    >>> throughput = Throughput()
    >>> throughput.add("pairs", rows=128, seconds=2.0, flops=5e10)
    >>> throughput.add("text", rows=128, seconds=0.5)
    >>> throughput.summary(peak_flops=1e11)["kinds"]["pairs"]["share_of_peak"]
    0.25
    ```
    """

    def __init__(self) -> None:
        self._totals: dict[str, _Total] = {}

    def add(self, kind: str, rows: int, seconds: float, flops: float | None = None) -> None:
        """
        Adds a batch.

        Args:
            kind (`str`): `"pairs"`, `"images"`, `"text"`, or any other name.
            rows (`int`): Rows of the batch on this process.
            seconds (`float`): What forward and backward of the batch took.
            flops (`float`, *optional*): What [`count_flops`] counts for such a batch. Seconds of batches without it
                do not enter the share of the machine's rate.

        Raises:
            ValueError: If a number is negative or not finite.
        """
        if not all(math.isfinite(number) and number >= 0 for number in (rows, seconds, flops or 0)):
            raise ValueError(f"Rows {rows}, seconds {seconds} and flops {flops} must be finite and 0 or greater.")
        total = self._totals.setdefault(kind, _Total())
        total.rows += rows
        total.seconds += seconds
        if flops is not None:
            total.counted_seconds += seconds
            total.flops += flops

    def summary(self, peak_flops: float | None = None) -> dict:
        """
        What was added, as rates and shares.

        Args:
            peak_flops (`float`, *optional*): The machine's rate, see [`matrix_product_rate`].

        Returns:
            `dict`: `rows`, `seconds`, `peak_flops`, and `kinds`: kind -> `rows`, `seconds`, `rows_per_second`,
            `share_of_time` (of the seconds of all kinds), `share_of_peak` (operations per second relative to
            `peak_flops`). What cannot be known is None: a rate without seconds, a share of the peak without operations
            or without a peak.
        """
        seconds = sum(total.seconds for total in self._totals.values())
        kinds = {
            kind: {
                "rows": total.rows,
                "seconds": total.seconds,
                "rows_per_second": _ratio(total.rows, total.seconds),
                "share_of_time": _ratio(total.seconds, seconds),
                "share_of_peak": _ratio(total.flops, total.counted_seconds * (peak_flops or 0)),
            }
            for kind, total in self._totals.items()
        }
        rows = sum(total.rows for total in self._totals.values())
        return {"rows": rows, "seconds": seconds, "peak_flops": peak_flops, "kinds": kinds}

    def state_dict(self) -> dict[str, dict[str, float]]:
        """Everything added so far; goes through JSON."""
        return {kind: asdict(total) for kind, total in self._totals.items()}

    def load_state_dict(self, state: dict[str, dict[str, float]]) -> None:
        """Goes on from where `state` was taken. Raises [`BadInputError`] if it is not of `state_dict`."""
        names = {field.name for field in fields(_Total)}
        for kind, total in state.items():
            known = isinstance(total, dict) and total.keys() == names
            if not known or not all(isinstance(number, int | float) for number in total.values()):
                raise BadInputError(
                    f"The saved throughput of {kind!r} is {total!r}; expected a number for each of "
                    f"{', '.join(sorted(names))}."
                )
        self._totals = {kind: _Total(**total) for kind, total in state.items()}  # type: ignore[arg-type]


def matrix_product_rate(device: torch.device | str, dtype: torch.dtype = torch.float32, seconds: float = 1.0) -> float:
    """
    Floating point operations per second of square matrix products, as PyTorch does them here: with its current number
    of threads and its current precision settings. The best of several products of several sizes.

    A product of n x n matrices counts 2 n^3 operations, as in [`count_flops`].

    Args:
        device: Where to multiply.
        dtype (defaults to `torch.float32`): What to multiply; that of autocast, if the run uses it.
        seconds (`float`, defaults to 1): About how long to measure. A size is left out if it would take longer.

    Returns:
        `float`: Operations per second. Random states are left as they were.
    """
    generator = torch.Generator(device).manual_seed(0)
    end = time.perf_counter() + seconds
    best = 0.0
    for size in MATRIX_SIZES:
        operations = 2 * size**3
        # Two runs at least: the first one of a size pays for pages, kernels and plans.
        if best and 2 * operations / best > end - time.perf_counter():
            break
        left, right = (torch.randn(size, size, generator=generator, device=device, dtype=dtype) for _ in range(2))
        product = torch.empty_like(left)
        until = min(end, time.perf_counter() + seconds / _SHARES)
        for repetition in range(_REPETITIONS):
            start = _now(left.device)
            torch.mm(left, right, out=product)
            stop = _now(left.device)
            best = max(best, operations / max(stop - start, 1e-9))
            if repetition and stop + operations / best > until:
                break
    return best


def flop_counter() -> FlopCounterMode:
    """
    A context manager; its `get_total_flops()` is the number of floating point operations done within, backward passes
    included.

    Counted are matrix products (a multiplication and an addition are two operations), convolutions and fused
    attention, that of the CPU too, which `FlopCounterMode` passes over by itself. Not counted: everything element by
    element (activations, normalisation, softmax, dropout, masks), look-ups, top-k, reductions, the optimizer's step,
    copies and communication between processes. What gradient checkpointing computes again is counted again. Causal
    attention counts in full.
    """
    return FlopCounterMode(
        display=False,
        custom_mapping={
            torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
            torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward_flops,
        },
    )


def count_flops(function: Callable[[], object]) -> int:
    """
    Floating point operations of one call, see [`flop_counter`] for what counts.

    Args:
        function: Runs forward and backward. It really runs, gradients and random states included, only slower: once a
            kind is enough, and its time belongs into no measurement.
    """
    with flop_counter() as counter:
        function()
    return counter.get_total_flops()


def _attention_flops(query_shape, key_shape, value_shape, *args, out_shape=None, **kwargs) -> int:
    return sdpa_flop_count(query_shape, key_shape, value_shape)


def _attention_backward_flops(
    grad_out_shape, query_shape, key_shape, value_shape, *args, out_shape=None, **kwargs
) -> int:
    return sdpa_backward_flop_count(grad_out_shape, query_shape, key_shape, value_shape)


def _now(device: torch.device) -> float:
    """The time when all work given to `device` is done."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return time.perf_counter()


def _ratio(part: float, whole: float) -> float | None:
    """`part / whole`; None if either is 0, which here means that it was not measured."""
    return part / whole if part and whole else None
