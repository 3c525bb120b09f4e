# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Measures a model and writes the figures with their intervals and the protocol that produced them.

  hf-unimo evaluate MODEL --tasks retrieval,rerank --data flickr30k=DATA split=test images=DATA/images
  hf-unimo evaluate MODEL --tasks zero-shot-classification --data path=pictures split=test --prompts photo
  hf-unimo evaluate MODEL --tasks linear-probe --data path=pictures split=test --train split=train
  hf-unimo evaluate MODEL --tasks captioning --data coco-karpathy-captions=DATA images=COCO --generate num_beams=5
  hf-unimo evaluate MODEL --tasks vqa --data my-data.yaml where.split=val --card MODEL/README.md

Ctrl-C stops; the same command goes on where it stood. See docs/evaluate.md for tasks and data.
"""

import argparse
import json
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from ..data.benchmarks.rows import Benchmark
    from ..evaluation.measuring import Options
    from ..evaluation.protocol import Result


_BLOCKS = ".unfinished-evaluation"
"""Folder in the output folder: what is done of an evaluation that has not ended."""


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
    parser.add_argument("--vqa-variant", metavar="NAME", default="official", help="official, always or v1")
    parser.add_argument("--generate", metavar="KEY=VALUE", nargs="+", help="how captions are written: num_beams=5 ...")
    parser.add_argument("--caption-tokenizer", metavar="NAME", default="rules", help="rules (default) or ptb-java")
    parser.add_argument("--allow-repeated-captions", action="store_true", help="where each image has one caption")
    parser.add_argument("--batch-size", metavar="N", type=int, default=32, help="of a forward pass (%(default)s)")
    parser.add_argument("--bootstrap", metavar="N", type=int, default=1000, help="samples (%(default)s), 0: none")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--device", metavar="NAME", default="cpu", help="cpu, cuda, ... (default: %(default)s)")


def run(args: argparse.Namespace) -> None:
    """Measures. Raises [`BadInputError`], and KeyboardInterrupt with what to do then."""
    from ..data.open_data import open_words
    from ..errors import BadInputError
    from ..evaluation.adapters import check_task, load_model
    from ..evaluation.protocol import merge_into_card, results_to_markdown, write_results

    tasks = _tasks(args)
    if args.card is not None and not Path(args.card).is_file():
        raise BadInputError(f"--card is {args.card}; accepted is a model card that exists.")
    model, processor = load_model(args.model, args.device)
    for task in tasks:
        check_task(task, model, processor)
    data = {task: open_words(args.data, task) for task in tasks}  # refused before anything long starts
    earlier = _earlier_results(Path(args.out))
    results: list[Result] = []
    try:
        for task in tasks:
            results.append(_measure(task, model, processor, data[task], _options(args, model, data[task]), args))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped; the same command goes on with what is done in {args.out}") from None
    new = {(result.task, result.protocol.dataset, result.protocol.split, result.model) for result in results}
    kept = [old for old in earlier if (old.task, old.protocol.dataset, old.protocol.split, old.model) not in new]
    paths = write_results(args.out, [*kept, *results])
    if args.card is not None:
        # The folder may hold results of other models, which are none of this one's card.
        merge_into_card(args.card, [*(old for old in kept if old.model == results[0].model), *results])
    shutil.rmtree(Path(args.out) / _BLOCKS, ignore_errors=True)
    print(results_to_markdown(results))
    print("written:", *paths, *([args.card] if args.card else []))


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
    return tasks


def _options(args: argparse.Namespace, model: Any, data: "Benchmark") -> "Options":
    from ..evaluation.blocks import Blocks, weights_digest
    from ..evaluation.measuring import Options
    from ..evaluation.prompts import load_prompts
    from ..evaluation.protocol import public_command, public_name

    depends: Mapping[str, Any] = {
        "model": weights_digest(model),
        "data": data.split_hash,
        "training data": args.train,
        "prompts": load_prompts(args.prompts),
        "seed": args.seed,
    }
    return Options(
        model_name=public_name(args.model),
        blocks=Blocks(Path(args.out) / _BLOCKS / data.split_hash[:16], depends, progress=sys.stderr.isatty()),
        batch_size=args.batch_size,
        samples=args.bootstrap,
        seed=args.seed,
        command=public_command(_command(args)),
    )


def _command(args: argparse.Namespace) -> list[str]:
    """The words that repeat the evaluation; where the results went is no part of them."""
    words = ["hf-unimo", "evaluate", args.model, "--tasks", args.tasks, "--data", *args.data]
    if args.train:
        words += ["--train", *args.train]
    words += ["--prompts", args.prompts, "--top-k", str(args.top_k), "--vqa-variant", args.vqa_variant]
    words += ["--generate", *args.generate] if args.generate else []
    words += ["--caption-tokenizer", args.caption_tokenizer]
    words += ["--batch-size", str(args.batch_size), "--bootstrap", str(args.bootstrap), "--seed", str(args.seed)]
    return words + ["--allow-repeated-captions"] * args.allow_repeated_captions


def _measure(
    task: str, model: Any, processor: Any, data: "Benchmark", options: "Options", args: argparse.Namespace
) -> "Result":
    from ..data.open_data import open_words
    from ..evaluation.adapters import HEADS, pair_adapter
    from ..evaluation.captioning import evaluate_captioning
    from ..evaluation.heads import evaluate_head
    from ..evaluation.prompts import load_prompts
    from ..evaluation.retrieval import evaluate_retrieval
    from ..evaluation.zero_shot import evaluate_linear_probe, evaluate_zero_shot

    if task == "captioning":
        return evaluate_captioning(
            model,
            processor,
            data,
            generation=_generation(args),
            tokenizer=args.caption_tokenizer,
            predictions=_captions_file(args, options, data),
            batch_size=args.batch_size,
            options=options,
        )
    if task in HEADS:
        return evaluate_head(
            task,
            model,
            processor,
            data,
            metric_variant=args.vqa_variant,
            batch_size=args.batch_size,
            options=options,
        )
    adapter = pair_adapter(model, processor, args.batch_size)
    assert adapter is not None  # `check_task` has seen to it
    if task == "zero-shot-classification":
        prompt_set, prompts = load_prompts(args.prompts)
        return evaluate_zero_shot(adapter, data, prompts=prompts, prompt_set=prompt_set, options=options)
    if task == "linear-probe":
        train = open_words([*args.data, *args.train], task)
        return evaluate_linear_probe(adapter, train, data, options=options)
    return evaluate_retrieval(
        adapter, data, task, top_k=args.top_k, allow_repeated=args.allow_repeated_captions, options=options
    )


def _generation(args: argparse.Namespace) -> dict[str, Any]:
    from ..config_tree import override_key

    tree: dict[str, Any] = {}
    for word in args.generate or []:
        override_key(tree, word)
    return tree


def _captions_file(args: argparse.Namespace, options: "Options", data: "Benchmark") -> Path:
    """Beside the results, which may be of several models and data."""
    name = re.sub(r"[^\w.-]+", "-", f"captions-{options.model_name}-{data.name}-{data.split}")
    return Path(args.out) / f"{name}.json"


def _earlier_results(folder: Path) -> "list[Result]":
    """What an earlier evaluation left in the folder."""
    from ..errors import BadInputError
    from ..evaluation.protocol import JSON_NAME, Result

    if not (folder / JSON_NAME).is_file():
        return []
    try:
        return [Result.from_dict(tree) for tree in json.loads((folder / JSON_NAME).read_bytes())]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInputError(
            f"{folder / JSON_NAME} holds no results of this command; accepted is another --out."
        ) from error
