# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Runs a function on two gloo processes, or a command by torchrun."""

import subprocess
import sys
from pathlib import Path

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
    # Without it a thread of gloo may still want Python's lock for the last work while the process group waits for it.
    distributed.barrier()
    distributed.destroy_process_group()


def torchrun(*arguments, processes=2, **options) -> subprocess.CompletedProcess:
    """
    The ended run of `torchrun ... arguments`, which must succeed.

    The processes meet at the loopback address: torchrun's own choice is the host's name, and where that cannot be
    looked up (a container, a laptop without its network) they would wait for each other without end.
    """
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1"]
    command += [f"--nproc-per-node={processes}", *map(str, arguments)]
    options = {"cwd": Path(__file__).parents[1], **options}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, **options)
    assert done.returncode == 0, done.stderr[-3000:]
    return done
