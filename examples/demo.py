# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Trains a small UNIMO-2 from scratch on emoji, and measures what it learnt.

    python examples/demo.py --output runs/demo

Three sources in one run: 3,099 pictures with their words, 1,436 pictures of another drawing style without any, and
words alone. About five minutes on two cores. Then retrieval in both directions and zero-shot classification on
concepts that were never trained on, with chance beside every figure.

The output folder gets `model/` (for `AutoModel.from_pretrained`), `report.md`, `retrieval.png` and `metrics.json`. A
second run replaces these files and touches no others.

Exit codes: 0 done, 1 a check failed (the files are there all the same), 2 bad input, 130 stopped. With 2 and 130 no
file is written.
"""

import argparse
import ctypes
import hashlib
import importlib.util
import io
import json
import math
import os
import platform
import random
import re
import shlex
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import transformers
from demo_evaluation import CHECKED, GALLERIES, Encoder, caption, evaluate, full_caption, times_chance
from PIL import Image
from torch.nn import functional as F
from transformers import AutoModel, AutoProcessor, set_seed

from hf_unimo import Unimo2Config, Unimo2ForPreTraining, Unimo2ImageProcessorPil, Unimo2Processor, Unimo2Tokenizer
from hf_unimo.data.collator import PretrainingCollator
from hf_unimo.data.schedule import Schedule, Source
from hf_unimo.data.sources import SourceOptions, open_source
from hf_unimo.errors import BadInputError, CheckFailedError
from hf_unimo.training.arguments import ScheduledTrainingArguments
from hf_unimo.training.dictionary import DictionaryCallback
from hf_unimo.training.progress import ProgressLines, show_lines
from hf_unimo.training.trainer import ScheduledTrainer


STEPS, BATCH_SIZE = 1000, 128
SHARES = {"emoji": 8, "noto": 1, "words": 1}  # of the steps
UNUSED = ("matching", "masked_grounding")
UNCAPTIONED = "noto"  # the drawing style that is seen without words
LEAST_TIMES_CHANCE = 5  # recall at 10 on unseen concepts, after STEPS
PAIRS, TOKENIZER = "emoji.parquet", "tokenizer/tokenizer.json"  # below --data
TRAIN_PARTS = (3, 6)  # label and tags count as one each
CUT_RATE = 0.5  # share of the words that are cut in two; of the pieces again
SIDES = {"left", "right", "clockwise", "counterclockwise", "anticlockwise"}  # words that forbid mirroring
SCALES, GAINS = (0.8, 1.15), (0.85, 1.15)
MOST_DEGREES, MOST_SHIFT = 8, 0.075


# ---------------------------------------------------------------------------------------------------------------------
# Data
# ---------------------------------------------------------------------------------------------------------------------


def read_pairs(folder):
    """The rows of `emoji.parquet`, each with its picture as `pixels`, uint8 (height, width, 3)."""
    path = folder / PAIRS
    if not path.is_file():
        raise BadInputError(f"{path} was not found: --data takes a folder made by examples/data/build_emoji.py.")
    needed = {"image", "label", "tags", "group", "subgroup", "concept", "style", "split"}
    try:
        rows = pq.read_table(path).to_pylist()
        missing = needed - set(rows[0] if rows else ())
        if missing:
            raise BadInputError(f"{path} lacks the columns {', '.join(sorted(missing))}.")
        for row in rows:
            row["pixels"] = np.array(Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB"))
    except (pa.ArrowException, OSError) as error:
        raise BadInputError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    for split, style in [("train", None), *GALLERIES.values()]:
        if not select(rows, split, style):
            raise BadInputError(
                f"{path} has no rows of split {split!r}" + (f" and style {style!r}." if style else ".")
            )
    return rows


def select(rows, split, style=None):
    return [row for row in rows if row["split"] == split and style in (None, row["style"])]


def count_concepts(rows):
    return len({row["concept"] for row in rows})


def make_processor(folder):
    """Pictures of 64 pixels, and the byte-level BPE that was trained on the words of the split `train`."""
    path = folder / TOKENIZER
    if not path.is_file():
        raise BadInputError(f"{path} was not found: --data takes a folder made by examples/data/build_emoji.py.")
    tokenizer = Unimo2Tokenizer.from_pretrained(path.parent)
    tokenizer.model_max_length = 64
    return Unimo2Processor(Unimo2ImageProcessorPil(size=64), tokenizer)


def cut_words(text, rng):
    """
    The text as a list of words, commas and pieces of words (subword regularisation, a form of BPE-dropout that `rng`
    decides). A third of the words of held-out captions were never trained on and fall into pieces for the tokenizer;
    whole words alone would teach the model that a rare piece means the one concept that it came with.
    """

    def cut(word):
        if len(word) < 3 or rng.random() >= CUT_RATE:
            return [word]
        place = rng.randint(2, len(word) - 1)
        return cut(word[:place]) + cut(word[place:])

    return [piece for word in re.findall(r" [^ ,]+|,", text) for piece in cut(word)]


@dataclass
class Item:
    """A picture with its words, and how it is to be distorted."""

    pixels: np.ndarray
    words: list
    change: dict
    place: str


class Concepts:
    """
    The source of pairs, one item per concept: a batch never holds two pictures of one concept, which would be each
    other's negatives. Each visit draws one of the drawings of the concept, a caption (some of label and tags, in any
    order) and how the picture is distorted.
    """

    kind = "pairs"
    batch_size = None  # that of the run

    def __init__(self, name, rows):
        self.name = name
        self.rows_of = {}
        for row in rows:
            self.rows_of.setdefault(row["concept"], []).append(row)
        self.concepts = list(self.rows_of)

    def __len__(self):
        return len(self.concepts)

    def read(self, item, rng):
        """Item number `item`, as `rng`, a numpy `RandomState`, decides."""
        rng = random.Random(int(rng.randint(2**31)))
        concept = self.concepts[item]
        row = rng.choice(self.rows_of[concept])
        parts = [row["label"], *row["tags"]]
        words = set(" ".join(parts).lower().replace("-", " ").split())
        change = {
            "mirror": -1.0 if rng.random() < 0.5 and not words & SIDES else 1.0,
            "scale": rng.uniform(*SCALES),
            "angle": math.radians(rng.uniform(-MOST_DEGREES, MOST_DEGREES)),
            "shift": [rng.uniform(-MOST_SHIFT, MOST_SHIFT) for _ in range(2)],
            "gain": [rng.uniform(*GAINS) for _ in range(3)],
        }
        parts = rng.sample(parts, min(rng.randint(*TRAIN_PARTS), len(parts)))
        return Item(row["pixels"], cut_words(caption(parts), rng), change, f"concept {concept}")


def distort(pixels, mirror, scale, angle, shift, gain):
    """
    Mirrors, scales, turns and shifts pictures on their white ground and changes their colours.

    All of it is mild, or it would contradict the words: "red heart", "north-east arrow".

    Args:
        pixels (`(batch, height, width, 3)`, uint8): Pictures.
        mirror, scale, angle (`(batch,)`): -1 for mirrored, else 1; size relative to before; radians.
        shift (`(batch, 2)`), gain (`(batch, 3)`): Shares of the side; factors of each colour's ink.

    Returns:
        `pixel_values` (batch, 3, height, width), float32 in -1..1, as the image processor gives them.
    """
    ink = 1 - pixels.permute(0, 3, 1, 2).float() / 255  # 0 is white, which is what the sampler fills up with
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    rotation = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], 1)
    rotation = rotation * torch.stack([mirror, torch.ones_like(mirror)], -1)[:, None]
    theta = torch.cat([rotation, 2 * shift[..., None]], -1)  # the grid runs from -1 to 1
    grid = F.affine_grid(theta, list(ink.shape), align_corners=False)
    ink = F.grid_sample(ink, grid, align_corners=False) * gain[..., None, None]
    return 1 - 2 * ink.clamp(0, 1)


class Collator(PretrainingCollator):
    """Pairs as this demo distorts and cuts them, whole batches at once; images and texts as the library does."""

    def __call__(self, kind, rows, generators, train=True):
        if kind != "pairs":
            return super().__call__(kind, rows, generators, train)
        pixels = torch.from_numpy(np.stack([row.pixels for row in rows]))
        change = {name: torch.tensor([row.change[name] for row in rows]) for name in rows[0].change}
        words = self.tokenizer(
            [row.words for row in rows], is_split_into_words=True, padding=True, truncation=True, return_tensors="pt"
        )
        return {"pixel_values": distort(pixels, **change), **words}


def open_sources(folder, rows):
    """Pairs; pictures of a style that never comes with words; words alone, those of the pairs."""
    path = str(folder / PAIRS)
    images = SourceOptions(
        "noto", "images", path, columns={"image": "image"}, where={"style": [UNCAPTIONED], "split": ["unseen_style"]}
    )
    words = SourceOptions(
        "words", "text", path, columns={"text": ["label", "tags"]}, captions="shuffle", where={"split": ["train"]}
    )
    return [Concepts("emoji", select(rows, "train")), open_source(images), open_source(words)]


# ---------------------------------------------------------------------------------------------------------------------
# Training
# ---------------------------------------------------------------------------------------------------------------------


def train(rows, processor, options, folder):
    """A model trained from scratch, the log of its contrastive loss, the batches of each source, and the seconds."""
    set_seed(options.seed)
    config = Unimo2Config.tiny(
        text_config={"vocab_size": len(processor.tokenizer)},
        matching_weight=0,  # no false pairs here: the fusion encoder learns from words alone
        visual_contrastive_weight=0.5,
        mlm_weight=0.2,
    )
    model = Unimo2ForPreTraining(config)
    sources = open_sources(options.data, rows)
    schedule = Schedule(
        [Source(source.name, source.kind, SHARES[source.name], len(source)) for source in sources],
        options.steps,
        options.seed,
    )
    arguments = ScheduledTrainingArguments(
        output_dir=str(folder),
        max_steps=options.steps,
        per_device_train_batch_size=options.batch_size,
        learning_rate=1.5e-3,
        adam_beta2=0.98,
        weight_decay=0.05,
        max_grad_norm=1.0,
        lr_scheduler_type="warmup_stable_decay",
        warmup_steps=min(50, options.steps // 4),
        lr_scheduler_kwargs={"num_decay_steps": round(0.3 * options.steps), "decay_type": "linear"},
        lr_multipliers={"dictionary.temperature": 0.0},
        logging_steps=max(1, options.steps // 12),
        save_strategy="no",
        report_to="none",
        disable_tqdm=False,
        use_cpu=True,
        seed=options.seed,
    )
    trainer = ScheduledTrainer(
        model,
        arguments,
        sources=sources,
        schedule=schedule,
        collator=Collator(processor.tokenizer, processor.image_processor),
        callbacks=[DictionaryCallback(row_constraint=True)],
    )
    show_lines(trainer, ProgressLines([name for name in model.objectives if name not in UNUSED]))
    seconds = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - seconds
    history = trainer.state.log_history
    log = [(entry["step"], entry["loss_contrastive"]) for entry in history if "loss_contrastive" in entry]
    return model.eval(), log, trainer.batches_drawn, seconds


def keep_freed_memory():
    """
    Tells glibc to keep the memory of freed tensors. By default it goes back to the kernel and is fetched and zeroed
    again at every step, which costs about a quarter of the time. Other C libraries have no such call.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for parameter, value in ((-3, 2**30), (-1, 2**31 - 1), (-2, 2**28)):  # mmap threshold, trim threshold, top pad
            mallopt(parameter, value)


# ---------------------------------------------------------------------------------------------------------------------
# The command
# ---------------------------------------------------------------------------------------------------------------------


@contextmanager
def staged(output):
    """A folder inside `output` whose files move to the same places below `output` when the block ends well."""
    for folder in (output, output / "model"):
        if folder.exists() and not folder.is_dir():
            raise BadInputError(f"{folder} is not a folder: --output takes one, new or old.")
    try:
        output.mkdir(parents=True, exist_ok=True)
        staging = tempfile.TemporaryDirectory(prefix=".partial-", dir=output)
    except OSError as error:
        raise BadInputError(f"{output} cannot be written: {error.strerror}.") from error
    with staging as folder:
        yield Path(folder)
        for file in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
            place = output / file.relative_to(folder)
            place.parent.mkdir(exist_ok=True)
            os.replace(file, place)


def run(options, command):
    """Everything from data to report. Raises CheckFailedError when a check failed, after the files are in place."""
    from demo_report import draw_retrieval, results_tables, write_report  # needs the extra `demo`

    rows = read_pairs(options.data)
    processor = make_processor(options.data)
    training = select(rows, "train")
    if options.batch_size > count_concepts(training):
        raise BadInputError(
            f"--batch-size is {options.batch_size}, but the data has {count_concepts(training)} concepts to train on."
        )
    with staged(options.output) as folder:
        trained, log, batches, seconds = train(rows, processor, options, folder)
        # Without the heads: matching was not trained, and whoever loads a head should be told that it is new.
        trained.unimo2.save_pretrained(folder / "model")
        processor.save_pretrained(folder / "model")
        model = AutoModel.from_pretrained(folder / "model")
        encoder = Encoder(model, AutoProcessor.from_pretrained(folder / "model"))
        sample = select(rows, *GALLERIES[CHECKED[0]])
        difference = largest_difference(Encoder(trained.unimo2, processor), encoder, sample)

        groups = encoder.groups(training)
        results = {name: evaluate(encoder, select(rows, *GALLERIES[name]), groups) for name in GALLERIES}
        facts = {
            "command": command,
            "times chance": times_chance(results),
            "steps": options.steps,
            "rows": options.steps * options.batch_size,
            "pairs": batches["emoji"] * options.batch_size,
            "batches": batches,
            "seed": options.seed,
            "seconds": seconds,
            "threads": torch.get_num_threads(),
            "reload difference": difference,
            "entries": model.config.dictionary_size,
            "chosen": model.config.num_grounded_tokens,
            "versions": f"Python {platform.python_version()}, torch {torch.__version__}, "
            f"transformers {transformers.__version__}, {platform.machine()}",
            "protocol": protocol(options, rows, model, batches),
        }
        draw_retrieval(folder / "retrieval.png", encoder, sample)
        write_report(folder / "report.md", results, log, facts)
        metrics = {"run": facts, "loss": log, "results": results}
        (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")

    print(f"\n{results_tables(results)}\n")
    print(f"R@10 on unseen concepts: {facts['times chance']:.1f} times chance after {facts['pairs']:,} pairs")
    print(f"written: {options.output / 'report.md'}")
    check(facts)


def protocol(options, rows, model, batches):
    """How the model was trained, line by line, for the report."""
    sums = [hashlib.sha256((options.data / name).read_bytes()).hexdigest() for name in (PAIRS, TOKENIZER)]
    training = select(rows, "train")
    drawn = {name: number * options.batch_size for name, number in batches.items()}
    return [
        f"Data: `{PAIRS}`, SHA-256 {sums[0]}; `{TOKENIZER}`, SHA-256 {sums[1]}.",
        f"Pairs: {len(training):,} pictures (split `train`) of {count_concepts(training):,} concepts; a batch has one "
        f"picture of a concept. Caption: {TRAIN_PARTS[0]} to {TRAIN_PARTS[1]} of label and tags, in random order; "
        f"{100 * CUT_RATE:.0f} % of the words, and again of their pieces, cut at a random place. Contrastive loss, "
        "score contrast and grounding loss.",
        f"Pictures of pairs are scaled by {SCALES[0]} to {SCALES[1]}, turned by up to {MOST_DEGREES} degrees, shifted "
        f"by up to {100 * MOST_SHIFT:g} % of their side, each colour's ink times {GAINS[0]} to {GAINS[1]}; half are "
        "mirrored, unless their words name a side.",
        f"Images without words: {len(select(rows, 'unseen_style', UNCAPTIONED)):,} pictures of the same concepts in "
        f"the style {UNCAPTIONED}. Visual contrast of two views (crop, flip, colour) and grounding loss.",
        f"Texts without pictures: labels and tags of the {len(training):,} pairs. Masked words (15 %, whole words, in "
        "spans) and grounding loss.",
        f"{options.steps:,} steps of {options.batch_size} rows of one kind: {drawn['emoji']:,} pairs, "
        f"{drawn['noto']:,} images, {drawn['words']:,} texts, mixed in these exact shares; seed {options.seed}.",
        "AdamW 1.5e-3 (0.9, 0.98), weight decay 0.05 on all but biases and layer norms, clipping at 1; linear "
        "warm-up, constant, linear decay over the last 30 % of the steps. The dictionary's entries are kept at unit "
        "norm and orthogonal to the running token means; its temperature is fixed.",
    ]


def check(facts):
    """Raises CheckFailedError if the reloaded model is another one, or a full run has learnt too little."""
    if not facts["reload difference"] <= 1e-6:
        raise CheckFailedError(f"features of the reloaded model differ by {facts['reload difference']:.1e}.")
    if (
        facts["steps"] >= STEPS
        and facts["pairs"] >= STEPS * BATCH_SIZE / 2
        and not facts["times chance"] >= LEAST_TIMES_CHANCE
    ):
        raise CheckFailedError(
            f"R@10 on unseen concepts is {facts['times chance']:.1f} times chance, less than {LEAST_TIMES_CHANCE}."
        )


def largest_difference(encoder, other, rows):
    """Between the features that two encoders give for the same pictures and captions."""
    texts = [full_caption(row) for row in rows]
    pairs = ((encoder.images(rows), other.images(rows)), (encoder.texts(texts), other.texts(texts)))
    return max((one - two).abs().max().item() for one, two in pairs)


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = Path(__file__).parent
    parser.add_argument("--output", type=Path, required=True, help="folder for the model and the report")
    parser.add_argument("--data", type=Path, default=here / "data" / "emoji", help="folder of emoji.parquet")
    parser.add_argument("--steps", type=int, default=STEPS, help="training steps (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=BATCH_SIZE, help="pairs a step (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and distortions (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    return parser


def main(arguments=None):
    arguments = sys.argv[1:] if arguments is None else arguments
    options = build_parser().parse_args(arguments)
    try:
        for name, least in (("steps", 2), ("batch_size", 2), ("seed", 0), ("threads", 1)):
            value = getattr(options, name)
            if value is not None and value < least:
                raise BadInputError(f"--{name.replace('_', '-')} is {value}, but must be at least {least}.")
        if importlib.util.find_spec("matplotlib") is None:
            raise BadInputError("matplotlib was not found: install it with `pip install 'hf-unimo[demo]'`.")
        if options.threads is not None:
            torch.set_num_threads(options.threads)
        keep_freed_memory()
        run(options, shlex.join(["python", "examples/demo.py", *arguments]))
    except (BadInputError, CheckFailedError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2 if isinstance(error, BadInputError) else 1
    except KeyboardInterrupt:
        print("demo: stopped; nothing was written", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
