# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Templates around class names for zero-shot classification."""

import os
from pathlib import Path

from ..errors import BadInputError, unknown_name


PROMPT_SETS: dict[str, tuple[str, ...]] = {
    "name": ("{}",),
    "photo": ("a photo of a {}.",),
    "pictures": (
        "a photo of a {}.",
        "a picture of the {}.",
        "a drawing of a {}.",
        "a small {}.",
        "a large {}.",
        "there is a {} here.",
        "this is {}.",
    ),
}
"""Name -> templates; `{}` is where the class name goes."""


def load_prompts(name: str | os.PathLike) -> tuple[str, tuple[str, ...]]:
    """
    A set of templates.

    Args:
        name: One of `PROMPT_SETS`, or a UTF-8 file with one template a line; empty lines do not count.

    Returns:
        Its name (of a file the last component) and the templates.

    Raises:
        BadInputError: If there is no such set or file, or a template does not have one `{}`.
    """
    path = Path(name)
    if str(name) in PROMPT_SETS:
        return str(name), PROMPT_SETS[str(name)]
    if not path.is_file():
        raise BadInputError(f"There is no set of prompts, nor a file: {unknown_name(str(name), PROMPT_SETS)}")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise BadInputError(f"{path} cannot be read as UTF-8 text: {error}.") from error
    templates = tuple(line.strip() for line in lines if line.strip())
    check_prompts(templates, str(path))
    return path.name, templates


def check_prompts(templates: tuple[str, ...], place: str) -> None:
    """Raises BadInputError if there is no template, or one does not have `{}` once."""
    wrong = [template for template in templates if template.count("{}") != 1]
    if wrong or not templates:
        found = repr(wrong[0]) if wrong else "none"
        raise BadInputError(f"The prompts of {place} hold {found}; accepted are templates with {{}} once in each.")
