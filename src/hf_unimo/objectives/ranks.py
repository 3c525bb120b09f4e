# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""What losses need of several processes, so that the mean of their losses is the loss of one process on the whole
batch.

With W ranks of equal batches, DDP averages the gradients of the W losses. A loss that is a mean over rows does that by
itself; one that compares rows needs the other ranks' rows (`gather_with_gradient`), and one that divides by a count
which differs between ranks needs the mean count (`mean_count`).
"""

import torch
from torch import distributed


def world_size() -> int:
    """Number of processes; 1 when none were started."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return distributed.get_rank() if world_size() > 1 else 0


def gather_with_gradient(rows: torch.Tensor) -> torch.Tensor:
    """
    The rows of all ranks, in rank order, with gradient to each rank's own rows from every rank's loss.

    Args:
        rows (`(batch, ...)`): The same shape on every rank. Every rank must call.

    Returns:
        `(world_size * batch, ...)`; with one process `rows` itself.
    """
    return rows if world_size() == 1 else _Gather.apply(rows)


def gather(rows: torch.Tensor) -> torch.Tensor:
    """The rows of all ranks, in rank order, without gradient: labels, masks, ids. Every rank must call."""
    if world_size() == 1:
        return rows
    parts = [torch.empty_like(rows) for _ in range(world_size())]
    distributed.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def mean_count(count: torch.Tensor) -> torch.Tensor:
    """
    Mean over the ranks of a count, to divide a rank's sum by: the mean over the ranks of these quotients is the sum
    over all divided by the count of all.

    Args:
        count (scalar): The rank's own count. Every rank must call.

    Returns:
        Scalar, float32; with one process the count itself.
    """
    total = count.detach().float()
    if world_size() > 1:
        distributed.all_reduce(total := total.clone())
    return total / world_size()


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows: torch.Tensor) -> torch.Tensor:
        ctx.batch_size = rows.shape[0]
        return gather(rows)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:
        total = gradient.contiguous().clone()
        distributed.all_reduce(total)
        first = rank() * ctx.batch_size
        return total[first : first + ctx.batch_size]
