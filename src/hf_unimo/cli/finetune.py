# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Trains a model for one task, as a YAML file says; any key of it can be overridden.

  hf-unimo finetune vqa examples/configs/easy_vqa.yaml
  hf-unimo finetune image-classification animals.yaml training.epochs=2 data.batch_size=64
  hf-unimo finetune text-classification mnli.yaml preset=official-mnli

Ctrl-C saves a checkpoint and stops; the same command with --resume goes on as if nothing had happened. See
docs/finetune.md for tasks, keys and presets.
"""

import argparse
import shlex


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("task", metavar="TASK", help="what is learned, see docs/finetune.md")
    parser.add_argument("config", metavar="CONFIG.yaml", help="the run")
    parser.add_argument("overrides", metavar="KEY=VALUE", nargs="*", help="keys of the file, e.g. training.epochs=1")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in the output folder")
    parser.add_argument("--reset-head", action="store_true", help="begin with a new head on the checkpoint's encoders")


def run(args: argparse.Namespace) -> None:
    """Trains. Raises [`BadInputError`], [`CheckFailedError`] and KeyboardInterrupt."""
    from ..training.finetune import finetune  # heavy
    from ..training.finetune_config import load_finetune_config

    overrides = [*args.overrides, *(["reset_head=true"] if args.reset_head else [])]
    words = ["hf-unimo", "finetune", args.task, args.config, *args.overrides]
    words += ["--reset-head"] * args.reset_head
    finetune(load_finetune_config(args.config, args.task, overrides), resume=args.resume, command=shlex.join(words))
