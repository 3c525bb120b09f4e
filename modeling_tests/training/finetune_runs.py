# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Small fine-tunings of every task on real rows, as trees of a configuration. What the tests of this folder share."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from hf_unimo import Unimo2Config, Unimo2ForPreTraining, Unimo2ImageProcessorPil, Unimo2Processor, Unimo2Tokenizer
from hf_unimo.training.finetune import build_finetuning, finetuning_arguments, make_finetuner
from hf_unimo.training.finetune_config import FinetuneConfig


ROOT = Path(__file__).parents[2]
EMOJI = ROOT / "examples" / "data" / "emoji"
ROWS = ROOT / "modeling_tests" / "fixtures" / "tasks"

ENCODER = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "num_hidden_layers": 1}
MODEL = {
    "preset": "tiny",
    "processor": str(EMOJI / "tokenizer"),
    "config": {
        "vision_config": ENCODER | {"image_size": 32},
        "text_config": ENCODER,
        "grounded_config": ENCODER,
        "dictionary_size": 16,
        "num_grounded_tokens": 4,
    },
}

_TWEMOJI = {"style": ["twemoji"], "subgroup": ["face-smiling", "animal-mammal"]}
_TRAIN, _UNSEEN = (
    {"split": ["train"], **_TWEMOJI},
    {"split": ["test"], "style": ["twemoji"], "group": ["animals-nature"]},
)


def _emoji(where: dict, **columns) -> dict:
    return {"path": str(EMOJI / "emoji.parquet"), "where": where, "columns": {"text": "label", **columns}}


def _fixture(name: str, split: str, **columns) -> dict:
    return {"path": str(ROWS / f"{name}.parquet"), "where": {"split": [split]}, "columns": columns}


def _splits(make, validation: str = "validation") -> dict:
    return {"train": make("train"), "validation": make(validation), "test": make("test")}


def splits(task: str, folder: Path) -> dict:
    """The splits of a task; data that no file of the repository has is written into `folder`."""
    emoji = {"train": _TRAIN, "validation": _UNSEEN, "test": _UNSEEN}
    if task == "retrieval":
        return {name: _emoji(where) for name, where in emoji.items()}
    if task == "captioning":
        return {name: _emoji(where, text=["label", "tags"]) for name, where in emoji.items()}
    if task == "masked-lm":
        return {name: _emoji(where) for name, where in emoji.items()}
    if task == "vqa":
        return _splits(lambda split: _fixture("easy_vqa", split, text="question", answers="answer"))
    if task == "entailment":
        return _splits(lambda split: _fixture("entailment", split, text="hypothesis"))
    if task == "nlvr2":
        path = two_pictures(folder)
        columns = {"text": "sentence", "second_image": "right"}
        return _splits(lambda split: {"path": str(path), "where": {"split": [split]}, "columns": columns})
    if task in ("image-classification", "linear-probe"):
        return _splits(lambda split: _fixture("animals", split))
    if task == "text-classification":
        return {name: _emoji(where, label="group") for name, where in emoji.items()}
    assert task == "text-regression", task
    paths = {name: lengths(folder, name, where) for name, where in emoji.items()}
    return {name: {"path": str(path), "columns": {"text": "name", "label": "words"}} for name, path in paths.items()}


def two_pictures(folder: Path) -> Path:
    """Sentences about two pictures: each row of the entailment sample with the picture of the next one beside it."""
    path = folder / "two_pictures.parquet"
    if not path.exists():
        rows = pq.read_table(ROWS / "entailment.parquet").to_pylist()
        pairs = [
            {
                "image": row["image"],
                "right": other["image"],
                "sentence": row["hypothesis"],
                "label": bool(row["label"]),
                "split": row["split"],
            }
            for row, other in zip(rows, [*rows[1:], rows[0]])
        ]
        pq.write_table(pa.Table.from_pylist(pairs), path)
    return path


def lengths(folder: Path, name: str, where: dict) -> Path:
    """Names of emoji with their numbers of letters."""
    path = folder / f"lengths_{name}.jsonl"
    if not path.exists():
        table = pq.read_table(EMOJI / "emoji.parquet", columns=["label", *where])
        chosen = [row["label"] for row in table.to_pylist() if all(row[key] in where[key] for key in where)]
        path.write_text("".join(json.dumps({"name": text, "words": len(text)}) + "\n" for text in chosen))
    return path


def with_broken_pictures(folder: Path, numbers) -> Path:
    """The animals for training, some of their pictures being none."""
    path = folder / "broken.parquet"
    table = pq.read_table(ROWS / "animals.parquet")
    rows = [row for row in table.to_pylist() if row["split"] == "train"]
    for number in numbers:
        rows[number]["image"] = {"bytes": b"no picture", "path": f"{number}.png"}
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    return path


def pretrained(folder: Path) -> Path:
    """A saved pre-training model with its processor, as `hf-unimo pretrain` leaves it."""
    torch.manual_seed(1)
    words = {"text_config": MODEL["config"]["text_config"] | {"vocab_size": 3000}}
    model = Unimo2ForPreTraining(Unimo2Config.tiny(**MODEL["config"] | words))
    model.save_pretrained(folder)
    tokenizer = Unimo2Tokenizer.from_pretrained(EMOJI / "tokenizer")
    Unimo2Processor(Unimo2ImageProcessorPil(size=32), tokenizer).save_pretrained(folder)
    return folder


def tree(task: str, folder: Path, output: str = "out", **changes) -> dict:
    """The configuration of a run into `folder`/`output`; `changes` are dotted keys with `__` for the dots."""
    tree: dict = {
        "output": str(folder / output),
        "model": MODEL,
        "data": {**splits(task, folder), "batch_size": 4},
        "training": {"steps": 4, "save_steps": 2, "logging_steps": 1, "learning_rate": 1e-3, "use_cpu": True},
    }
    if task == "captioning":
        tree["options"] = {"generation": {"max_new_tokens": 3}}
    for key, value in changes.items():
        *path, last = key.split("__")
        branch = tree
        for name in path:
            branch[name] = dict(branch.get(name) or {})
            branch = branch[name]
        branch[last] = value
    return tree


def config(task: str, folder: Path, **changes) -> FinetuneConfig:
    """[`tree`], checked."""
    return FinetuneConfig.from_dict(tree(task, folder, **changes), task)


def trainer_of(made: FinetuneConfig):
    """The Trainer of a configuration."""
    run = build_finetuning(made)
    return make_finetuner(run, finetuning_arguments(run))


def trainer(task: str, folder: Path, **changes):
    """The Trainer of [`config`]."""
    return trainer_of(config(task, folder, **changes))
