# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Writes a complete model repository of a saved model: weights, processor, code, generation config and card. It loads
with trust_remote_code=True wherever transformers is installed.

  hf-unimo export out/checkpoint-500 --out unimo2-flickr30k
  hf-unimo export out/answers --out unimo2-answers --pipelines
"""

import argparse

from ..hub import export_repository


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("source", metavar="DIR", help="saved model: config.json, model.safetensors, processor files")
    parser.add_argument("--out", metavar="REPO", required=True, help="new folder")
    parser.add_argument(
        "--license", metavar="ID", default="apache-2.0", help="license in the card (default: %(default)s)"
    )
    parser.add_argument(
        "--pipelines", action="store_true", help="carry the pipelines of the head's tasks (custom_pipelines)"
    )


def run(args: argparse.Namespace) -> None:
    """Exports, then says where. Raises [`BadInputError`]."""
    folder = export_repository(args.source, args.out, license=args.license, pipelines=args.pipelines)
    print(f"written: {folder}")
