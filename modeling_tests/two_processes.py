# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Runs a function on two gloo processes."""

import torch
from torch import distributed
from torch.multiprocessing import spawn


def results(work, folder):
    """What `work(rank)`, a function at the top of a module, returned on each rank; files go into `folder`, empty."""
    spawn(_run, (work, str(folder)), nprocs=2)
    return [torch.load(f"{folder}/{rank}.pt") for rank in range(2)]


def _run(rank, work, folder):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    torch.save(work(rank), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()
