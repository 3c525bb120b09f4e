# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""A small run on the emoji data: pairs, images and texts. What the tests of this folder share."""

from pathlib import Path

from hf_unimo.training.build import build_run
from hf_unimo.training.pretrain import make_trainer, training_arguments
from hf_unimo.training.run_config import RunConfig


EMOJI = Path(__file__).parents[2] / "examples" / "data" / "emoji"
GALLERY = {
    "kind": "pairs",
    "path": str(EMOJI / "emoji.parquet"),
    "where": {"split": ["test"], "style": ["twemoji"], "group": ["animals-nature"]},
    "columns": {"text": "label"},
}
"""18 pairs of unseen concepts, as a source of `data.evaluation`."""

ENCODER = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}


def tree(output, **changes) -> dict:
    """The configuration; `changes` are dotted keys with `__` for the dots."""
    source = {"path": str(EMOJI / "emoji.parquet"), "where": {"subgroup": ["face-smiling", "animal-mammal"]}}
    tree = {
        "output": str(output),
        "model": {
            "preset": "tiny",
            "processor": str(EMOJI / "tokenizer"),
            "config": {
                "vision_config": ENCODER | {"num_hidden_layers": 1},
                "text_config": ENCODER | {"num_hidden_layers": 1},
                "grounded_config": ENCODER | {"num_hidden_layers": 1, "hidden_dropout_prob": 0.1},
                "dictionary_size": 32,
                "num_grounded_tokens": 4,
            },
        },
        "data": {
            "batch_size": 8,
            "sources": {
                "emoji": source
                | {
                    "kind": "pairs",
                    "group_by": "concept",
                    "captions": "shuffle",
                    "columns": {"text": ["label", "tags"]},
                    "weight": 2,
                },
                "pictures": source | {"kind": "images"},
                "words": source | {"kind": "text", "columns": {"text": "label"}},
            },
        },
        "objectives": {"score_contrast": {"weight": 0.5}, "matching": {"start": 2, "warmup": 3}},
        "training": {"steps": 8, "save_steps": 4, "logging_steps": 1, "learning_rate": 1e-3, "use_cpu": True},
    }
    for key, value in changes.items():
        *path, last = key.split("__")
        branch = tree
        for name in path:
            branch = branch.setdefault(name, {})
        branch[last] = value
    return tree


def config(output, **changes) -> RunConfig:
    """[`tree`], checked."""
    return RunConfig.from_dict(tree(output, **changes))


def trainer(output, **changes):
    """The Trainer of [`config`]."""
    made = config(output, **changes)
    arguments = training_arguments(made)
    return make_trainer(build_run(made), arguments)


def parameters(model) -> dict:
    """Copies of a model's parameters."""
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
