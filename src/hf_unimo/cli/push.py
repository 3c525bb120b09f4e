# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Pushes a saved model, or a repository that `hf-unimo export` wrote, to the Hub: weights, processor, code and card, as
one commit. It loads with trust_remote_code=True wherever transformers is installed. Log in with `hf auth login`, or
set HF_TOKEN.

  hf-unimo push out/checkpoint-500 --repo me/unimo2-flickr30k --private
"""

import argparse

from ..push import push_repository


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("source", metavar="DIR", help="saved model, or exported repository")
    parser.add_argument("--repo", metavar="USER/NAME", required=True, help="made if it does not exist")
    parser.add_argument("--private", action="store_true", help="only you, or your organisation, can see it")
    parser.add_argument("--message", metavar="TEXT", help="of the commit")
    parser.add_argument(
        "--license", metavar="ID", help="license in the card (default: the one it names, or apache-2.0)"
    )
    parser.add_argument(
        "--pipelines", action="store_true", help="carry the pipelines of the head's tasks (custom_pipelines)"
    )


def run(args: argparse.Namespace) -> None:
    """Pushes, then says where. Raises [`BadInputError`]."""
    options = {name: getattr(args, name) for name in ("private", "message", "license", "pipelines")}
    commit = push_repository(args.source, args.repo, **options)
    print(f"pushed: {commit.repo_url} (commit {commit.oid[:12]})")
