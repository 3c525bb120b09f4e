# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Rounds over all cases: each round has every case once, so that what disturbs the machine hits all alike. The limit, to
which cases are compared, is taken right before and right after each of them.
"""

import datetime
import hashlib
import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from hf_unimo.errors import BadInputError
from hf_unimo.files import write_atomically
from hf_unimo.training.report import versions

from .case import Case, measure, warm_up
from .sizes import Size


CODE = ("src/hf_unimo/models", "src/hf_unimo/objectives", "src/hf_unimo/retrieval", "src/hf_unimo/data", "benchmarks")
"""What was measured and what measured it, below the repository's root."""


def setup(size: Size, device: torch.device, cases: list[Case], command: str) -> dict:
    """
    What must be equal for rounds to belong together: shapes, cases, versions, machine (its kind, not its name), code.

    Args:
        size ([`Size`]): Of what is measured.
        device: Where.
        cases: In the order of a round.
        command (`str`): The command line that repeats it.
    """
    return {
        "command": command,
        "size": asdict(size),
        "device": device.type if device.type == "cpu" else torch.cuda.get_device_name(device),
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "code": code_hash(),
        "cases": {case.name: described(case) for case in cases},
    }


def described(case: Case) -> dict:
    """What the JSON says of a case."""
    keys = ("section", "items", "unit", "dtype", "relative_to", "flops_of")
    return {key: getattr(case, key) for key in keys}


def processor_name() -> str:
    """The model of the processor, such as "AMD EPYC 9B14"."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def code_hash() -> str:
    """Of all Python files below `CODE`: 12 digits."""
    root, digest = Path(__file__).parents[1], hashlib.sha256()
    for place in CODE:
        path = root / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def run_rounds(
    cases: list[Case],
    setup: dict,
    rounds: int,
    folder: Path,
    name: str,
    tell: Callable[[str], None] = lambda line: None,
) -> dict:
    """
    Measures, and goes on where an interrupted run of the same setup stopped. Rounds are kept in `NAME.partial.json`,
    each as soon as it is whole; `NAME.json` of an earlier run is replaced at the end.

    Args:
        cases: In the order of a round.
        setup (`dict`): From [`setup`].
        rounds (`int`): How many there shall be.
        folder (`Path`), name (`str`): Where the results go.
        tell: Gets a line a case.

    Returns:
        `dict`: `setup`, `flops` (case -> operations of a run), `rounds` (a list of `date`, `load`, `samples`: case ->
        figures, among them `limit`: operations per second of the matrix products around it), `ended` (`date`, `load`).

    Raises:
        BadInputError: If the partial file cannot be read.
    """
    device = torch.device("cpu" if setup["device"] == "cpu" else "cuda")
    partial = folder / f"{name}.partial.json"
    result = read(partial) if partial.exists() else None
    if result is not None and result["setup"] != setup:
        different = [key for key in setup if result["setup"].get(key) != setup[key]]
        tell(f"the rounds in {partial.name} are of another setup ({', '.join(different)}): starting anew")
        result = None
    if result is None:
        result = {"setup": setup, "flops": {}, "rounds": []}
    elif result["rounds"]:
        tell(f"going on after {len(result['rounds'])} rounds that were kept")
    missing = [case for case in cases if _in_round(case, len(result["rounds"]))]
    if len(result["rounds"]) < rounds:
        for number, case in enumerate(missing, 1):
            if case.warm_up:
                tell(f"warming up {number}/{len(missing)}: {case.name}")
                flops = warm_up(case)
                if flops is not None:
                    result["flops"][case.name] = flops
    folder.mkdir(parents=True, exist_ok=True)
    limits = {case.dtype: case for case in cases if case.section == "limit"}
    while len(result["rounds"]) < rounds:
        done = len(result["rounds"])
        found = {"date": _now(), "load": os.getloadavg()[0], "samples": {}}
        due = [case for case in cases if _in_round(case, done)]
        before: dict[str, float] = {}
        for number, case in enumerate(due, 1):
            limit = limits.get(case.dtype) if case.flops_of != "-" else None
            if limit is not None and not before:
                before = {limit.dtype: _rate(limit, device)}
            figures = measure(case, device)
            if limit is not None:
                after = _rate(limit, device)
                figures["limit"] = (before.get(limit.dtype, after) + after) / 2
                before = {limit.dtype: after}
            else:
                before = {}
            found["samples"][case.name] = figures
            tell(f"round {done + 1}/{rounds}, {number}/{len(due)}: {case.name}: {figures['seconds']:.2f} s")
        result["rounds"].append(found)
        result["ended"] = {"date": _now(), "load": os.getloadavg()[0]}
        write_atomically(partial, to_json(result))
    write_atomically(folder / f"{name}.json", to_json(result))
    partial.unlink(missing_ok=True)
    return result


def read(path: Path) -> dict:
    """
    A result that was written.

    Raises:
        BadInputError: If it is none.
    """
    try:
        result = json.loads(path.read_text())
        if {"setup", "flops", "rounds"} <= result.keys():
            return result
    except (OSError, ValueError, AttributeError) as error:
        raise BadInputError(f"{path} cannot be read as a result of a benchmark: {error}") from error
    raise BadInputError(f"{path} is no result of a benchmark: it lacks setup, flops or rounds; remove it.")


def to_json(result: dict) -> str:
    """As it is written."""
    return json.dumps(result, indent=1, allow_nan=False) + "\n"


def _rate(limit: Case, device: torch.device) -> float:
    """Operations per second of the matrix products, now."""
    found = measure(limit, device)
    return found["flops"] / found["seconds"]


def _in_round(case: Case, done: int) -> bool:
    return case.most_rounds is None or done < case.most_rounds


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
