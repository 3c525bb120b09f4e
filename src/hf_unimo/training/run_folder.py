# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""What stands where in the folder of a run, when it can be gone on with, and the training in it."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from accelerate.utils import gather_object

from ..errors import BadInputError
from .trainer import ScheduledTrainer, last_checkpoint


RUN_FILE = "run.yaml"
"""The complete configuration of a run, in its folder."""

MODEL_FOLDER = "model"
"""Where the trained model stands in the folder of its run."""


def check_resumable(output: str | os.PathLike, changes: Callable[[Path], Sequence[str]]) -> None:
    """
    Whether the run in a folder can be resumed.

    Args:
        output: The folder.
        changes: From the file of the run that began there to what this one has otherwise.

    Raises:
        BadInputError: If there is no run, if it has ended, or if it was another one.
    """
    file = Path(output, RUN_FILE)
    if not file.is_file():
        raise BadInputError(f"{output} holds no run to resume: there is no {RUN_FILE}.")
    changed = changes(file)
    if changed:
        raise BadInputError(
            f"{output} was begun with a different configuration and cannot be resumed with this one: "
            f"{'; '.join(changed)}."
        )
    if Path(output, MODEL_FOLDER).exists():
        raise BadInputError(f"{output} holds a finished run; there is nothing to resume.")


def train_in_folder(
    trainer: ScheduledTrainer, output: str | os.PathLike, configuration: str, introduction: Sequence[str], resume: bool
) -> None:
    """
    Makes the folder of a run, which has been looked at, says what is begun, and trains.

    Args:
        trainer ([`ScheduledTrainer`]): Of the run, on every process.
        output: The folder.
        configuration (`str`): Content of its [`RUN_FILE`].
        introduction (sequence of `str`): Lines that the first process prints.
        resume (`bool`): Whether to go on from the last whole checkpoint in the folder.

    Raises:
        KeyboardInterrupt: After Ctrl-C; the message says how to resume.
    """
    checkpoint = last_checkpoint(output) if resume else None
    trainer.accelerator.wait_for_everyone()  # every process has looked at the folder before one writes to it
    if trainer.args.should_save and not resume:
        Path(output).mkdir(parents=True, exist_ok=True)
        Path(output, RUN_FILE).write_text(configuration, encoding="utf-8")
    if trainer.args.process_index == 0:
        for line in introduction:
            print(line, flush=True)
        if resume:
            print(f"resuming from {checkpoint}" if checkpoint else "no checkpoint yet: from the beginning", flush=True)
    trainer.train(resume_from_checkpoint=checkpoint)
    if trainer.stop.interrupted:
        step = trainer.state.global_step
        raise KeyboardInterrupt(f"stopped after step {step}, which is saved; add --resume to the command to go on")


def count_bad_rows(trainer: ScheduledTrainer) -> Counter[str]:
    """Source -> rows that could not be used, over all processes, each of which has to ask."""
    return Counter(source for source, _, _ in gather_object(trainer.bad_rows.state_dict()["bad_rows"]))
