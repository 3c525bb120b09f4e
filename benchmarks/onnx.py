# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
onnxruntime beside PyTorch: the whole model and the fusion stage of UNIMO-2 with the retrieval head, as ONNX graphs, in
float32 on the processor. Both take turns, and each figure is the median of the rounds.

  python -m benchmarks.onnx                   # base size; tracing alone takes minutes
  python -m benchmarks.onnx --size quick

The JSON that it prints is written with --out FILE too. Exit codes: 0 done, 2 bad input.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from hf_unimo.errors import BadInputError
from hf_unimo.exporting.onnx import check_packages, export_graphs
from hf_unimo.exporting.parts import ModelParts, Sizes
from hf_unimo.files import write_atomically
from hf_unimo.training.report import versions

from .models import retrieval_model
from .runner import processor_name
from .sizes import BASE, SIZES, Size


MEASURED = ("model", "fusion")


def measure_onnx(size: Size = BASE, rounds: int = 5, parts: Sequence[str] = MEASURED) -> dict:
    """
    Items a second of PyTorch and of onnxruntime, on as many threads as torch has.

    Args:
        size ([`Size`]): Its `batch` pairs of an image and `words` words, without padding, are one run.
        rounds (`int`, defaults to 5): Runs of each, after one that is not timed.
        parts: Of [`PARTS`](hf_unimo.exporting.parts.PARTS).

    Returns:
        `dict`: `parts`: part -> `pytorch` and `onnxruntime` in items a second, and `ratio`, the median over the rounds
        of onnxruntime's rate divided by PyTorch's; and what it was measured with.

    Raises:
        BadInputError: If a package is missing.
    """
    check_packages(run=True)
    import onnxruntime

    torch.manual_seed(0)
    graphs = ModelParts(retrieval_model(size).eval(), ("image", "text"))  # type: ignore[arg-type]
    exported = export_graphs(graphs, parts)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    runners = exported.to("cpu", session_options=options).runners

    drawn = graphs.draw(Sizes(size.batch, size.words, size.image, size.image))
    drawn["attention_mask"] = torch.ones_like(drawn["attention_mask"])
    inputs = graphs.inputs(drawn)
    seconds: dict[str, dict[str, list[float]]] = {part: {"pytorch": [], "onnxruntime": []} for part in parts}
    modules = {part: graphs.module(part) for part in parts}
    with torch.inference_mode():
        for number in range(rounds + 1):
            for part in parts:
                for name, run in (("pytorch", modules[part]), ("onnxruntime", runners[part])):
                    passed = _seconds(run, inputs[part])
                    if number:
                        seconds[part][name].append(passed)
    return {
        "parts": {part: _summary(found, size.batch) for part, found in seconds.items()},
        "size": size.name,
        "batch": size.batch,
        "rounds": rounds,
        "threads": torch.get_num_threads(),
        "processor": processor_name(),
        "versions": versions() | {"onnxruntime": onnxruntime.__version__},
    }


def _seconds(run: Callable, inputs: dict[str, torch.Tensor]) -> float:
    start = time.perf_counter()
    run(**inputs)
    return time.perf_counter() - start


def _summary(seconds: dict[str, list[float]], items: int) -> dict[str, float]:
    ratios = [own / other for own, other in zip(seconds["pytorch"], seconds["onnxruntime"])]
    rates = {name: items / statistics.median(found) for name, found in seconds.items()}
    return rates | {"ratio": statistics.median(ratios)}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.onnx", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=list(SIZES), default="base", help="of the model (default: %(default)s)")
    parser.add_argument("--rounds", metavar="N", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--out", metavar="FILE", type=Path, help="where the JSON goes too")
    args = parser.parse_args(argv)
    if args.rounds < 1:
        parser.error(f"--rounds is {args.rounds}, but at least one is needed")
    try:
        found = json.dumps(measure_onnx(SIZES[args.size], args.rounds), indent=2)
    except BadInputError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    print(found)
    if args.out is not None:
        write_atomically(args.out, found + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
