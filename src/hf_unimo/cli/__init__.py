# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""`hf-unimo COMMAND`: one thin file per command.

A command file has a docstring (its help text), `add_arguments(parser)` and `run(args)`. It is imported only when its
command is asked for or helped with, so `hf-unimo --help` answers at once.

Exit codes: 0 done, 1 a check failed, 2 bad input (one sentence on standard error, nothing written).
"""

import argparse
import importlib
import sys
from collections.abc import Sequence

from ..errors import BadInputError, CheckFailedError


COMMANDS = {
    "convert": "convert a checkpoint of the first implementation to transformers' format, or back",
    "check-data": "read the sources of a run: sizes, lengths, repetitions, broken rows, leaks into the evaluation",
    "pretrain": "train a model on pairs, images and texts, as a YAML file says",
    "finetune": "train a model for one task: retrieval, captions, questions, entailment, classes, masked words",
    "evaluate": "measure a model: retrieval, zero-shot, fine-tuned heads; figures with intervals and their protocol",
    "index": "search in own pictures: encode them once, add to them, find them by text or picture",
    "predict": "answer with a model: one row by options or many by a file, any task, one line of JSON a row",
    "export": "write a complete model repository: weights, processor, code, card",
    "export-onnx": "write a saved model as ONNX graphs: encoders, fusion stage, whole model",
    "push": "push a saved model or an exported repository to the Hub",
}
"""Command name (the file in this folder, with `_` for `-`) -> its one-line summary."""


def build_parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """The parser for `argv`: every command by its summary, the arguments of the one that `argv` names."""
    parser = argparse.ArgumentParser(
        prog="hf-unimo", description="Grounded vision-language models in the Hugging Face ecosystem."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        subparser = commands.add_parser(name, help=summary, formatter_class=argparse.RawDescriptionHelpFormatter)
        if name in argv[:1]:
            module = importlib.import_module(f".{name.replace('-', '_')}", __name__)
            subparser.description = module.__doc__
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code (0, 1 or 2); argparse itself exits with 2 on a usage error."""
    argv = sys.argv[1:] if argv is None else list(argv)
    args = build_parser(argv).parse_args(argv)
    try:
        args.run(args)
    except BadInputError as error:
        print(f"hf-unimo {args.command}: {error}", file=sys.stderr)
        return 2
    except CheckFailedError as error:
        print(f"hf-unimo {args.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as interrupt:
        print(f"hf-unimo {args.command}: {interrupt or 'stopped'}", file=sys.stderr)
        return 130
    return 0
