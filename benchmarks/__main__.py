# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Measures UNIMO-2 on this machine, interleaved with its neighbours and with the machine's own rate of matrix products.

  python -m benchmarks                   # base size: the table; a second call goes on where an interrupted one stopped
  python -m benchmarks --quick           # one layer an encoder, a minute or two: ratios only, targets not judged
  python -m benchmarks --only forward    # a section, or cases by name, with what they are compared with
  python -m benchmarks --profile         # operators of the forward passes by time
  python -m benchmarks --pages           # brings the results into docs/speed.md

Exit codes: 0 done, 2 bad input, 130 stopped (whole rounds are kept).
"""

import argparse
import shlex
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path


RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "docs" / "speed.md"
_ROUNDS = {"base": 5, "quick": 2, "smallest": 2}
_BATCH_ON_GPU = 64


def build_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="the same as --size quick")
    parser.add_argument("--size", choices=_ROUNDS, default="base", help="of the models (default: %(default)s)")
    parser.add_argument("--only", metavar="NAME", nargs="+", default=[], help="sections or cases")
    parser.add_argument("--rounds", metavar="N", type=int, help="(default: 5; quick: 2)")
    parser.add_argument("--threads", metavar="N", type=int, help="of PyTorch (default: its own choice)")
    parser.add_argument("--batch-size", metavar="N", type=int, help="pairs of a batch (default: 8; base on cuda: 64)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(default: %(default)s)")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, default=RESULTS, help="where to (default: benchmarks/results)"
    )
    parser.add_argument("--profile", action="store_true", help="instead, profile the forward passes, or --only")
    parser.add_argument("--pages", action="store_true", help="bring the results of DIR into docs/speed.md instead")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    from hf_unimo.errors import BadInputError

    argv = sys.argv[1:] if argv is None else list(argv)
    args = build_parser().parse_args(argv)
    try:
        _run(args)
    except BadInputError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("benchmarks: stopped; the same command goes on after the rounds that are whole", file=sys.stderr)
        return 130
    return 0


def _run(args: argparse.Namespace) -> None:
    from .pages import fill

    if args.pages:
        fill(PAGE, args.out)
        return
    import torch

    from hf_unimo.errors import BadInputError
    from hf_unimo.files import write_atomically

    from .cases import all_cases, select
    from .report import to_markdown
    from .runner import run_rounds, setup
    from .sizes import SIZES

    for name, value in (("--rounds", args.rounds), ("--threads", args.threads), ("--batch-size", args.batch_size)):
        if value is not None and value < 1:
            raise BadInputError(f"{name} is {value}; accepted are integers from 1 on.")
    if args.device == "cuda" and not torch.cuda.is_available():
        raise BadInputError("--device is cuda, but PyTorch finds no such device; accepted is cpu.")
    if args.threads:
        torch.set_num_threads(args.threads)
    size, device = SIZES["quick" if args.quick else args.size], torch.device(args.device)
    on_gpu = device.type == "cuda" and size.name == "base"
    size = replace(size, batch=args.batch_size or (_BATCH_ON_GPU if on_gpu else size.batch))
    name = "_".join([device.type, *[size.name] * (size.name != "base")])
    cases = select(all_cases(size, device), args.only)
    args.out.mkdir(parents=True, exist_ok=True)
    if args.profile:
        with _quiet():
            write_atomically(args.out / f"{name}_profile.md", text := _profiles(cases, args.only, device))
    else:
        name += "_part" * bool(args.only)
        rounds = args.rounds or _ROUNDS[size.name]
        found = setup(size, device, cases, shlex.join(["python", "-m", "benchmarks", *_words(args)]))
        with _quiet():
            result = run_rounds(cases, found, rounds, args.out, name, tell=lambda line: print(line, file=sys.stderr))
        write_atomically(args.out / f"{name}.md", text := to_markdown(result))
    print(text)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings and bars of other people's models between the lines that are read."""
    from transformers import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        logging.enable_progress_bar()


def _profiles(cases: list, only: list[str], device) -> str:
    """Of the cases or sections of `only`; of the forward passes as they come by default."""
    from .profiling import profile_case
    from .unimo2_cases import FORWARD

    wanted = only or [FORWARD.format(dtype, "sdpa") for dtype in ("fp32", "bf16")]
    found = [case for case in cases if {case.name, case.section} & set(wanted)]
    return "\n\n".join(profile_case(case, device) for case in found) + "\n"


def _words(args: argparse.Namespace) -> list[str]:
    """What repeats the run; how many rounds, and where the results went, are no part of it."""
    words = ["--quick"] if args.quick else ["--size", args.size] * (args.size != "base")
    words += ["--device", args.device] * (args.device != "cpu")
    words += ["--only", *args.only] if args.only else []
    words += ["--threads", str(args.threads)] if args.threads else []
    return words + (["--batch-size", str(args.batch_size)] if args.batch_size else [])


if __name__ == "__main__":
    sys.exit(main())
