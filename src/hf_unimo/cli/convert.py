# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Converts a UNIMO-2 checkpoint of the first implementation to transformers' format, without PaddlePaddle; --reverse
writes the official layout.

  hf-unimo convert UNIMO-2 unimo2-base --config unimo2-base.json --vocab model_files/dict
  hf-unimo convert unimo2-base UNIMO-2 --reverse
"""

import argparse
from pathlib import Path

from ..conversion.output import DTYPES
from ..conversion.unimo2 import convert_unimo2, revert_unimo2
from ..conversion.unimo2_names import TASKS
from ..errors import BadInputError


_MAX_NAMES_FILE = 1 << 24


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("source", metavar="SRC", help="folder of variables, combined file or .pdparams")
    parser.add_argument("destination", metavar="DST", help="new folder")
    parser.add_argument("--config", metavar="FILE.json", help="the release's configuration, or one of ours")
    parser.add_argument(
        "--names", metavar="FILE", help="names of a combined file's variables, one a line, in any order"
    )
    parser.add_argument("--task", metavar="HEAD", choices=TASKS, help=f"{', '.join(TASKS)} (default: pretraining)")
    parser.add_argument("--official-padding", action="store_true", help="padding acts as in the first implementation")
    parser.add_argument("--vocab", metavar="DIR", help="folder of the official vocabulary; adds the tokenizer")
    parser.add_argument("--dtype", choices=DTYPES, help="type of the weights (default: float32)")
    parser.add_argument("--image-size", type=int, metavar="N", help="side that the image processor resizes to")
    parser.add_argument("--text-layers", type=_layers, metavar="I,J,...", help="only these layers of the text encoder")
    parser.add_argument("--grounded-layers", type=_layers, metavar="I,J,...", help="only these of the fusion encoder")
    parser.add_argument("--reverse", action="store_true", help="SRC is ours, DST gets the official layout")


def run(args: argparse.Namespace) -> None:
    """Converts, then prints what became of each name. Raises [`BadInputError`]."""
    layers = {"text_layers": args.text_layers, "grounded_layers": args.grounded_layers}
    if args.reverse:
        forward_only = ("config", "names", "task", "official_padding", "vocab", "dtype", "image_size")
        given = [f"--{name.replace('_', '-')}" for name in forward_only if getattr(args, name) not in (None, False)]
        if given:
            raise BadInputError(f"{', '.join(given)} cannot be used with --reverse.")
        report = revert_unimo2(args.source, args.destination, **layers)
    else:
        report = convert_unimo2(
            args.source,
            args.destination,
            names=None if args.names is None else _read_names(Path(args.names)),
            config=args.config,
            task=args.task or "pretraining",
            official_padding=args.official_padding,
            vocabulary=args.vocab,
            dtype=args.dtype or "float32",
            image_size=args.image_size,
            **layers,
        )
    print(report.summary())
    print(f"written: {args.destination}")


def _layers(text: str) -> list[int]:
    return [int(index) for index in text.split(",")]


def _read_names(path: Path) -> list[str]:
    try:
        if not path.is_file() or path.stat().st_size > _MAX_NAMES_FILE:
            raise BadInputError(f"{path} is not a file of names, one a line.")
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line]
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path} cannot be read as text: {error}.") from error
