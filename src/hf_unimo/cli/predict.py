# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Answers of a model for one row, by options, or for the rows of a file: one line of JSON a row.

  hf-unimo predict MODEL --task vqa --image photo.jpg --text "what is in the picture?"
  hf-unimo predict MODEL --task image-captioning --image photo.jpg --set generate_kwargs.num_beams=5
  hf-unimo predict MODEL --task nlvr2 --image left.jpg --image right.jpg --text "both show a dog"
  hf-unimo predict MODEL --task image-text-retrieval --image photo.jpg --text "a dog" --text "a cat" --set top_k=1
  hf-unimo predict MODEL --task visual-entailment --rows rows.jsonl --out answers.jsonl --batch-size 16

See docs/pipelines.md for what each task takes and answers.
"""

import argparse
import json
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="folder of a saved model with its processor, or a Hub id")
    parser.add_argument("--task", metavar="NAME", required=True, help="a task of hf_unimo.pipeline, e.g. vqa")
    parser.add_argument("--image", metavar="FILE", action="append", help="picture of the row; again for more")
    parser.add_argument("--text", metavar="TEXT", action="append", help="text of the row; again for more")
    parser.add_argument("--rows", metavar="FILE", help="JSON lines instead: {INPUT: VALUE, ...}, paths relative to it")
    parser.add_argument("--out", metavar="FILE", help="JSON lines of answers (default: standard output)")
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="the pipeline's: top_k=3 ...")
    parser.add_argument("--batch-size", metavar="N", type=int, default=8, help="of a forward pass (%(default)s)")
    parser.add_argument("--device", metavar="NAME", default="cpu", help="cpu, cuda, ... (default: %(default)s)")


def run(args: argparse.Namespace) -> None:
    """Predicts. Raises [`BadInputError`] for what cannot be asked, and for the one row of options if it fails."""
    from ..errors import BadInputError
    from ..files import write_atomically
    from ..pipelines.predict import open_pipeline, predict, read_rows, resolve_task, row_of_options, settings_of

    task = resolve_task(args.task)
    settings = settings_of(task, args.set)
    if args.batch_size < 1:
        raise BadInputError(f"--batch-size is {args.batch_size}; accepted are integers from 1 on.")
    images, texts = args.image or [], args.text or []
    if args.rows is not None and (images or texts):
        raise BadInputError(f"--rows is given beside {'--image' if images else '--text'}; accepted is one of them.")
    _check_out(args)
    if args.rows is None:
        rows, folder = [(1, row_of_options(task, images, texts, settings))], Path()
    else:
        rows, folder = read_rows(args.rows, task), Path(args.rows).parent
    pipe = open_pipeline(args.model, task, args.device, **settings)
    kept: list[str] = []
    errors: list[str] = []
    for line in predict(pipe, task, rows, folder=folder, settings=settings, batch_size=args.batch_size):
        if "error" in line:
            if args.rows is None:
                raise BadInputError(line["error"])
            errors.append(f"row {line['row']}: {line['error']}")
        text = json.dumps(line, ensure_ascii=False, allow_nan=False)
        if args.out is None:
            print(text, flush=True)
        else:
            kept.append(f"{text}\n")
    if args.out is not None:
        write_atomically(args.out, "".join(kept))
    failed = f"; the first: {errors[0]}" if errors else ""
    print(f"{len(rows) - len(errors)} answered, {len(errors)} failed{failed}", file=sys.stderr)


def _check_out(args: argparse.Namespace) -> None:
    from ..errors import BadInputError

    if args.out is None:
        return
    out = Path(args.out)
    if out.is_dir() or not out.parent.is_dir():
        raise BadInputError(f"--out is {out}; accepted is a file in a folder that exists.")
    if args.rows is not None and out.resolve() == Path(args.rows).resolve():
        raise BadInputError(f"--out is {out}, the rows themselves; accepted is another file.")
