# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Reads the data of a run, before it is trained: sizes of pictures, lengths of texts, repetitions, rows that cannot be
used, and what the training and the evaluation share. Nothing is trained, and nothing written but the JSON file.

  hf-unimo check-data examples/configs/emoji.yaml
  hf-unimo check-data examples/configs/emoji.yaml --rows 1000 --json report.json
  hf-unimo check-data examples/configs/emoji.yaml data.max_text_length=16

Exit code 1: a picture of the evaluation is in the training data, or a row cannot be used (`data.max_bad_rows`, which
training puts up with, does not count here). Equal texts alone are told, but are no fault.
"""

import argparse
import json
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("config", metavar="CONFIG.yaml", help="the run")
    parser.add_argument("overrides", metavar="KEY=VALUE", nargs="*", help="keys of the file, e.g. seed=1")
    parser.add_argument(
        "--rows",
        metavar="N",
        type=int,
        help="rows of each source that are read (default: all, of streams 10,000)",
    )
    parser.add_argument("--json", metavar="FILE", help="where the report is written as JSON")


def run(args: argparse.Namespace) -> None:
    """Checks. Raises [`BadInputError`], and [`CheckFailedError`] if the data leak or a row cannot be used."""
    from ..data.check import check_sources  # heavy
    from ..errors import BadInputError, CheckFailedError
    from ..files import write_atomically
    from ..models import FAMILIES
    from ..training.build import build_model_config, open_sources
    from ..training.parts import load_tokenizer
    from ..training.run_config import load_run_config

    if args.json is not None and (Path(args.json).is_dir() or not Path(args.json).parent.is_dir()):
        raise BadInputError(f"--json is {args.json}; accepted is a file in a folder that exists.")
    config = load_run_config(args.config, args.overrides)
    family = FAMILIES[config.model.family]
    tokenizer = load_tokenizer(config.model, family, config.data.max_text_length)
    model_config = build_model_config(config, family, len(tokenizer))
    report = check_sources(
        *open_sources(config),
        tokenizer,
        max_text_length=config.data.max_text_length,
        image_size=config.data.image_size or model_config.vision_config.image_size,
        rows=args.rows,
        seed=config.seed,
        progress=True,
    )
    print(report)
    if args.json is not None:
        write_atomically(args.json, json.dumps(report.to_dict(), indent=2, ensure_ascii=False) + "\n")
        print(f"written: {args.json}")
    if report.problems:
        raise CheckFailedError(f"{'; '.join(report.problems)}.")
