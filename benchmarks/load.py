# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Loads a model in this process and prints its seconds and its peak memory above that of the imports, as JSON: of
`from_pretrained` alone, which maps the file, and with every weight read once, which brings it into memory.

    python -m benchmarks.load CLASS FOLDER
"""

import json
import sys
import time
from pathlib import Path

import transformers

import hf_unimo


def peak_memory() -> int:
    """
    Most resident bytes so far. Of this program alone: what `getrusage` says is at least what the process had that
    started this one, because Linux carries it over.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def main(name: str, folder: str) -> None:
    """Imports the class first: that is no part of loading."""
    model_class = getattr(hf_unimo if hasattr(hf_unimo, name) else transformers, name)
    on_linux = sys.platform.startswith("linux")
    before = peak_memory() if on_linux else 0
    start = time.perf_counter()
    model = model_class.from_pretrained(folder)
    found = {"seconds": time.perf_counter() - start}
    loaded = peak_memory() if on_linux else 0
    for parameter in model.parameters():
        parameter.sum()
    found["weights read, seconds"] = time.perf_counter() - start
    found["bytes"] = sum(parameter.nbytes for parameter in model.parameters())
    if on_linux:
        found["peak bytes"] = loaded - before
        found["weights read, peak bytes"] = peak_memory() - before
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
