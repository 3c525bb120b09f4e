# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""A run whose results go into a file; started once alone and once by torchrun: `python -m ... FOLDER BATCH_SIZE`."""

import sys
from pathlib import Path

import torch

from modeling_tests.training import runs


# Without dropout, and with wrong partners from all rows, two halves of a batch are the whole one.
SETTINGS = {
    "model__config__grounded_config__hidden_dropout_prob": 0.0,
    "objectives__matching": {"negatives": "global", "hardness": 0.5},
    "objectives__fusion_share": 0.5,
    "dictionary": {"row_constraint": True},
    # Adam's first steps are signs of gradients; without this a gradient of 1e-9 that rounds to -1e-9 moves as far.
    "training__adam_epsilon": 1e-3,
    "data__evaluation": {"unseen": runs.GALLERY},
}


def main(folder, batch_size):
    trainer = runs.trainer(folder / "run", data__batch_size=batch_size, **SETTINGS)
    start = runs.parameters(trainer.model)
    metrics = trainer.evaluate()  # of weights that are the same to the bit
    trainer.train()
    found = {
        "start": start,
        "end": runs.parameters(trainer.model),
        "log": [entry for entry in trainer.state.log_history if "loss" in entry],
        "metrics": metrics,
        "kinds": [trainer.schedule.at(step)[0].kind for step in range(trainer.schedule.steps)],
        "find_unused": trainer.args.ddp_find_unused_parameters,
    }
    torch.save(found, folder / f"{trainer.args.process_index}.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), int(sys.argv[2]))
