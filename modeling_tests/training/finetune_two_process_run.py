# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Fine-tunings whose results go into a file; started once alone and once by torchrun: `python -m ... FOLDER SIZE`."""

import sys
from pathlib import Path

import torch

from hf_unimo.training.finetune import finetune
from modeling_tests.training import finetune_runs, runs


COMMON = {
    "training__steps": 3,
    # Adam's first steps are signs of gradients; without this a gradient of 1e-9 that rounds to -1e-9 moves as far.
    "training__adam_epsilon": 1e-3,
    "training__learning_rate": 3e-3,
    "data__test": None,
}
RUNS = {
    # Wrong partners from the rows of all processes, as they are drawn from the whole batch of one.
    "retrieval": ("retrieval", {"model__config__matching_negatives": "global"}),
    # By default each process draws its own; the contrast alone is over all of them.
    "contrast": ("retrieval", {"model__config__matching_weight": 0.0, "data__augmentation": "contrastive"}),
    "vqa": ("vqa", {}),
    "masked-lm": ("masked-lm", {}),  # every row hides another number of words
}


def main(folder, batch_size):
    found = {}
    for name, (task, changes) in RUNS.items():
        changes = {**COMMON, **changes, "data__batch_size": batch_size}
        trainer = finetune_runs.trainer(task, folder, output=f"{name}_run", **changes)
        start = runs.parameters(trainer.model)
        trainer.train()
        found[name] = {
            "start": start,
            "end": runs.parameters(trainer.model),
            "log": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry],
            "evaluation": trainer.last_evaluation,
            "best": (trainer.state.best_global_step, trainer.state.best_metric),
        }
    changes = {**COMMON, "data__batch_size": batch_size}
    result = finetune(finetune_runs.config("vqa", folder, output="whole", **changes))
    found["result"] = None if result is None else {name: figure.value for name, figure in result.figures.items()}
    torch.save(found, folder / f"{trainer.args.process_index}.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), int(sys.argv[2]))
