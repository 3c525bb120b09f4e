# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Measures a model and writes the figures with their intervals and the protocol that produced them.

  hf-unimo evaluate MODEL --tasks retrieval,rerank --data flickr30k=DATA split=test images=DATA/images
  hf-unimo evaluate MODEL --tasks zero-shot-classification --data path=pictures split=test --prompts photo
  hf-unimo evaluate MODEL --tasks linear-probe --data path=pictures split=test --train split=train
  hf-unimo evaluate MODEL --tasks captioning --data coco-karpathy-captions=DATA images=COCO --generate num_beams=5
  hf-unimo evaluate MODEL --tasks vqa --data my-data.yaml where.split=val --card MODEL/README.md

Ctrl-C stops; the same command goes on where it stood. See docs/evaluate.md, and docs/tasks for each task.
"""

import argparse
import sys
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="folder of a saved model with its processor, or a Hub id")
    parser.add_argument("--tasks", metavar="A,B", required=True, help="what to measure, see docs/evaluate.md")
    parser.add_argument(
        "--data",
        metavar="WORD",
        nargs="+",
        required=True,
        help="NAME=PATH of a public data set, a YAML file, or path=PATH of own data; then key=value",
    )
    parser.add_argument("--train", metavar="KEY=VALUE", nargs="+", help="how the linear probe's data differ")
    parser.add_argument("--out", metavar="DIR", default="evaluation", help="folder (default: %(default)s)")
    parser.add_argument("--card", metavar="FILE", help="model card that gets the results too")
    parser.add_argument("--prompts", metavar="SET", default="photo", help="name or file of prompts (%(default)s)")
    parser.add_argument("--top-k", metavar="N", type=int, default=128, help="candidates to re-rank (%(default)s)")
    parser.add_argument("--folds", metavar="N", type=int, default=1, help="of retrieval; 5: COCO's 1K test (1: all)")
    parser.add_argument("--vqa-variant", metavar="NAME", default="official", help="official, always or v1")
    parser.add_argument("--generate", metavar="KEY=VALUE", nargs="+", help="how texts are written: num_beams=5 ...")
    parser.add_argument("--caption-tokenizer", metavar="NAME", default="rules", help="rules (default) or ptb-java")
    parser.add_argument("--caption-metrics", metavar="NAME", nargs="+", default=[], help="more: meteor (Java)")
    parser.add_argument("--allow-repeated-captions", action="store_true", help="where each image has one caption")
    parser.add_argument("--batch-size", metavar="N", type=int, default=32, help="of a forward pass (%(default)s)")
    parser.add_argument("--bootstrap", metavar="N", type=int, default=1000, help="samples (%(default)s), 0: none")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--device", metavar="NAME", default="cpu", help="cpu, cuda, ... (default: %(default)s)")


def run(args: argparse.Namespace) -> None:
    """Measures. Raises [`BadInputError`], and KeyboardInterrupt with what to do then."""
    from ..data.open_data import open_words
    from ..evaluation.adapters import check_task
    from ..evaluation.blocks import Blocks
    from ..evaluation.measuring import Options
    from ..evaluation.prompts import load_prompts
    from ..evaluation.protocol import results_to_markdown
    from ..evaluation.run import evaluate_tasks
    from ..files import public_command, public_path
    from ..retrieval.adapters import load_model

    tasks = _tasks(args)
    load_prompts(args.prompts)  # what can be refused is, before anything long starts
    model, processor = load_model(args.model, args.device)
    for task in tasks:
        check_task(task, model, processor)
    data = {task: open_words(args.data, task) for task in tasks}
    train = open_words([*args.data, *args.train], "linear-probe") if "linear-probe" in tasks else None
    options = Options(
        model_name=public_path(args.model),
        blocks=Blocks(progress=sys.stderr.isatty()),
        batch_size=args.batch_size,
        samples=args.bootstrap,
        seed=args.seed,
        command=public_command(_command(args)),
    )
    try:
        results, paths = evaluate_tasks(
            data,
            model,
            processor,
            args.out,
            options=options,
            card=args.card,
            train=train,
            prompts=args.prompts,
            top_k=args.top_k,
            folds=args.folds,
            allow_repeated_captions=args.allow_repeated_captions,
            vqa_variant=args.vqa_variant,
            generation=_generation(args),
            caption_tokenizer=args.caption_tokenizer,
            caption_metrics=args.caption_metrics,
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped; the same command goes on with what is done in {args.out}") from None
    print(results_to_markdown(results))
    print("written:", *paths)


def _tasks(args: argparse.Namespace) -> list[str]:
    from ..data.own_data import KINDS
    from ..errors import BadInputError, unknown_name

    tasks = list(dict.fromkeys(filter(None, (task.strip() for task in args.tasks.split(",")))))
    for task in tasks:
        if task not in KINDS:
            raise BadInputError(f"--tasks has an unknown task: {unknown_name(task, KINDS)}")
    if not tasks:
        raise BadInputError(f"--tasks names no task; accepted are {', '.join(KINDS)}.")
    if "linear-probe" in tasks and not args.train:
        raise BadInputError("The linear probe needs --train, e.g. --train split=train: which rows it learns from.")
    for name, value, least in (("--batch-size", args.batch_size, 1), ("--bootstrap", args.bootstrap, 0)):
        if value < least:
            raise BadInputError(f"{name} is {value}; accepted are integers from {least} on.")
    if not 0 <= args.seed < 2**32:
        raise BadInputError(f"--seed is {args.seed}; accepted are integers from 0 to {2**32 - 1}.")
    if args.card is not None and not Path(args.card).is_file():
        raise BadInputError(f"--card is {args.card}; accepted is a model card that exists.")
    return tasks


def _command(args: argparse.Namespace) -> list[str]:
    """The words that repeat the evaluation; where the results went is no part of them."""
    words = ["hf-unimo", "evaluate", args.model, "--tasks", args.tasks, "--data", *args.data]
    if args.train:
        words += ["--train", *args.train]
    words += ["--prompts", args.prompts, "--top-k", str(args.top_k), "--folds", str(args.folds)]
    words += ["--vqa-variant", args.vqa_variant]
    words += ["--generate", *args.generate] if args.generate else []
    words += ["--caption-tokenizer", args.caption_tokenizer]
    words += ["--caption-metrics", *args.caption_metrics] if args.caption_metrics else []
    words += ["--batch-size", str(args.batch_size), "--bootstrap", str(args.bootstrap), "--seed", str(args.seed)]
    return words + ["--allow-repeated-captions"] * args.allow_repeated_captions


def _generation(args: argparse.Namespace) -> dict[str, Any]:
    from ..config_tree import override_key

    tree: dict[str, Any] = {}
    for word in args.generate or []:
        override_key(tree, word)
    return tree
