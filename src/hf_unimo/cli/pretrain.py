# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Trains a model on image-text pairs, images and texts, as a YAML file says; any key of it can be overridden.

  hf-unimo pretrain examples/configs/emoji.yaml
  hf-unimo pretrain examples/configs/emoji.yaml output=runs/short training.steps=50 objectives.matching.weight=0
  torchrun --nproc-per-node 2 -m hf_unimo pretrain examples/configs/emoji.yaml

Ctrl-C saves a checkpoint and stops; the same command with --resume goes on as if nothing had happened. See
docs/pretrain.md for the file and the recipe.
"""

import argparse
import shlex


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("config", metavar="CONFIG.yaml", help="the run")
    parser.add_argument("overrides", metavar="KEY=VALUE", nargs="*", help="keys of the file, e.g. training.steps=50")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in the output folder")


def run(args: argparse.Namespace) -> None:
    """Trains. Raises [`BadInputError`], [`CheckFailedError`] and KeyboardInterrupt."""
    from ..training.pretrain import pretrain  # heavy
    from ..training.run_config import load_run_config

    words = ["hf-unimo", "pretrain", args.config, *args.overrides]
    pretrain(load_run_config(args.config, args.overrides), resume=args.resume, command=shlex.join(words))
