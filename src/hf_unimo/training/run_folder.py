# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""What stands where in the folder of a run, and when it can be gone on with."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import BadInputError


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
