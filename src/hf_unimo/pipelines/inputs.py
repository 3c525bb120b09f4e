# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The forms in which a caller hands over pictures and texts, and what is refused."""

import os
from collections.abc import Iterator
from typing import Any

from PIL import Image
from transformers.image_utils import load_image

from ..errors import BadInputError


def is_list(value: object) -> bool:
    """Whether a caller means several values."""
    return isinstance(value, list | tuple)


def read_image(value: object, timeout: float | None = None) -> Image.Image:
    """
    A picture as RGB, upright.

    Args:
        value (`PIL.Image.Image`, `str` or path): A picture, its path, its http(s) address, or base64 text.
        timeout (`float`, *optional*): Seconds to wait for an address.

    Raises:
        BadInputError: If it is anything else, or cannot be read.
    """
    accepted = "expected a PIL image, a path, an http(s) address or base64 text"
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str | Image.Image):
        raise BadInputError(f"`image` is of type {type(value).__name__}; {accepted}.")
    try:
        return load_image(value, timeout=timeout)  # type: ignore[arg-type]
    except Exception as error:
        # Broken data make Pillow raise whatever its plugins run into, and base64 text would fill the message.
        found = value if isinstance(value, Image.Image) or len(value) < 80 else f"{value[:60]}..."
        raise BadInputError(f"`image` {found!r} cannot be read ({type(error).__name__}); {accepted}.") from error


def as_rows(image: Any, text: Any, text_name: str, image_name: str = "image") -> Any:
    """
    Pictures and texts as what `transformers.Pipeline` takes: a row, a list of rows, or a generator of rows.

    Args:
        image: A picture, a list of pictures, or an iterator of them; with `text=None` rows in any of these forms.
        text: A text, a list of texts, an iterator, or `None`. One text goes with every picture, one picture with every
            text, and lists are paired.
        text_name (`str`): The key of the text in a row `{"image": ..., text_name: ...}`, and the argument's name.
        image_name (`str`, defaults to `"image"`): The same of the picture.

    Raises:
        BadInputError: If lists differ in length, or an iterator meets more than one of the other.
    """

    def row(one_image: Any, one_text: Any) -> dict[str, Any]:
        return {image_name: one_image, text_name: one_text}

    if text is None:
        if isinstance(image, Iterator):
            return (one for one in image)  # transformers streams generators only
        return list(image) if is_list(image) else image
    if isinstance(image, Iterator) or isinstance(text, Iterator):
        several = [name for name, value in ((image_name, image), (text_name, text)) if not _is_single(value)]
        if len(several) > 1:
            raise BadInputError(
                f"`{several[0]}` and `{several[1]}` are an iterator and several more; expected one of them single, or "
                f'an iterator of {{"{image_name}": ..., "{text_name}": ...}}.'
            )
        if isinstance(image, Iterator):
            return (row(one, text) for one in image)
        return (row(image, one) for one in text)
    if is_list(image) and is_list(text):
        if len(image) != len(text):
            raise BadInputError(
                f"`{image_name}` has {len(image)} and `{text_name}` {len(text)} elements; expected as many of both, "
                "or one."
            )
        return [row(*pair) for pair in zip(image, text)]
    if is_list(image):
        return [row(one, text) for one in image]
    return [row(image, one) for one in text] if is_list(text) else row(image, text)


def _is_single(value: object) -> bool:
    return not isinstance(value, Iterator) and not is_list(value)


def check_row(
    row: Any, text_name: str, needs: tuple[str, ...], task: str, image_name: str = "image"
) -> tuple[Any, str | None]:
    """
    Picture and text of a row, by their keys; either is `None` if it is missing and not among `needs`.

    Raises:
        BadInputError: If the row is no dictionary, has other keys, lacks one, or its text is no text or blank.
    """
    if not isinstance(row, dict):
        keys = " and ".join(f"`{name}`" for name in needs)
        raise BadInputError(f"{task} needs {keys}, or dictionaries with these keys; found a {type(row).__name__}.")
    if unknown := [key for key in row if key not in (image_name, text_name)]:
        raise BadInputError(f"`{unknown[0]}` is no input of {task}; expected `{image_name}` and `{text_name}`.")
    for name in needs:
        if row.get(name) is None:
            raise BadInputError(f"`{name}` is missing; {task} needs {' and '.join(f'`{one}`' for one in needs)}.")
    text = row.get(text_name)
    if text is not None and not isinstance(text, str):
        raise BadInputError(f"`{text_name}` is of type {type(text).__name__}; expected a string.")
    if text is not None and not text.strip():
        raise BadInputError(f"`{text_name}` is empty; expected a text.")
    return row.get(image_name), text


def check_count(name: str, value: Any) -> int:
    """A number of answers. Raises a [`BadInputError`] unless it is a whole number of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise BadInputError(f"`{name}` is {value!r}; expected a whole number of at least 1.")
    return value
