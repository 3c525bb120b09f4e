# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Measures what a conversion takes: peak anonymous memory above the level after imports, as a share of the model's size.

    python modeling_tests/conversion/memory.py WORK_DIR [--size base|small] [--layouts directory combined pdparams]
"""

import argparse
import multiprocessing
import pickle
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from hf_unimo.conversion.paddle import write_variable
from hf_unimo.conversion.unimo2 import convert_unimo2
from hf_unimo.conversion.unimo2_names import BASE_PARTS, dimensions, official_shape, select_weights
from hf_unimo.models.unimo2.configuration_unimo2 import Unimo2Config


LIMITS = {"directory": 0.3, "combined": 0.3, "pdparams": 1.3, "pdparams2": 1.3}
"""Layout -> the share of the model's size that its conversion may take."""

_IMPORTS = ["hf_unimo.conversion.unimo2", "hf_unimo.models.unimo2.image_processing_pil_unimo2", __name__]


def synthetic_config(size: str) -> Unimo2Config:
    """`"base"`: the release's size, 1.19 GB; `"small"`: a ninth of it, with the same share in the largest tensor."""
    if size == "base":
        return Unimo2Config.base()
    encoder = {"hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 1024}
    text = encoder | {"vocab_size": 16700}
    return Unimo2Config(vision_config=encoder, text_config=text, grounded_config=encoder)


def write_checkpoint(folder: Path, layout: str, config: Unimo2Config) -> tuple[Path, list[str] | None, int]:
    """Writes random weights in one of the layouts. Returns its path, the names that go with it, the model's size."""
    sizes = dimensions(config)
    shapes = {row.official: official_shape(row, sizes) for row in select_weights(config, BASE_PARTS)}
    generator = np.random.default_rng(0)
    arrays = {name: generator.standard_normal(shapes[name], dtype=np.float32) for name in sorted(shapes)}
    total = sum(array.nbytes for array in arrays.values())
    if layout == "directory":
        source = folder / "variables"
        source.mkdir()
        for name, array in arrays.items():
            with open(source / name, "wb") as handle:
                write_variable(handle, array)
        return source, None, total
    if layout == "combined":
        source = folder / "combined"
        with open(source, "wb") as handle:
            for array in arrays.values():
                write_variable(handle, array)
        return source, list(arrays), total
    source = folder / "model.pdparams"
    with open(source, "wb") as handle:
        pickle.dump(arrays, handle, protocol=2 if layout == "pdparams2" else 4)
    return source, None, total


def measure(folder: Path, layout: str, config: Unimo2Config) -> dict[str, float]:
    """Converts a synthetic checkpoint in a process of its own. Returns bytes, seconds, share of the model's size."""
    source, names, total = write_checkpoint(folder, layout, config)
    destination = folder / "converted"
    # A process that begins with everything imported: it is ready at once, and what a conversion takes is above that.
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(_IMPORTS)
    ours, theirs = processes.Pipe()
    process = processes.Process(target=_convert, args=(theirs, source, destination, names))
    process.start()
    theirs.close()
    assert process.pid is not None and ours.recv() == "ready"
    before = peak = _anonymous(process.pid)
    start = time.perf_counter()
    ours.send("go")
    while process.is_alive():
        peak = max(peak, _anonymous(process.pid))
        time.sleep(0.001)
    seconds = time.perf_counter() - start
    if process.exitcode:
        raise RuntimeError(f"the conversion ended with exit code {process.exitcode}")
    return {
        "model": total,
        "before": before,
        "peak": peak - before,
        "share": (peak - before) / total,
        "seconds": seconds,
    }


def _convert(connection: Connection, source: Path, destination: Path, names: list[str] | None) -> None:
    """What the child process does."""
    connection.send("ready")
    connection.recv()
    convert_unimo2(source, destination, names=names, task="base")


def _anonymous(pid: int) -> int:
    """Anonymous resident memory of a process in bytes; 0 once it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon")), 0)


def main() -> None:
    """Prints one line a layout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work_dir", type=Path)
    parser.add_argument("--size", choices=["base", "small"], default="base")
    parser.add_argument("--layouts", nargs="+", choices=LIMITS, default=list(LIMITS))
    args = parser.parse_args()
    args.work_dir.mkdir(parents=True, exist_ok=True)
    for layout in args.layouts:
        with tempfile.TemporaryDirectory(dir=args.work_dir) as folder:
            result = measure(Path(folder), layout, synthetic_config(args.size))
        print(
            f"{layout}: model {result['model'] / 1e9:.3f} GB, after imports {result['before'] / 1e6:.0f} MB, "
            f"peak above it {result['peak'] / 1e6:.0f} MB = {result['share']:.3f} of the model "
            f"(limit {LIMITS[layout]}), {result['seconds']:.1f} s"
        )


if __name__ == "__main__":
    main()
