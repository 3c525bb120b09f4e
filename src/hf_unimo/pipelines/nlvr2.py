# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
# mypy: disable-error-code="override"
"""Pipeline: is a sentence true of two pictures?"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import BadInputError
from .base import Row
from .inputs import is_list, read_image
from .visual_entailment import VisualEntailmentPipeline


@dataclass(frozen=True)
class _Pair:
    """Two pictures as one input: a list would count as several."""

    pictures: Any


class Nlvr2Pipeline(VisualEntailmentPipeline):
    """
    Classifies a sentence about two pictures, in their order: true or false, or whatever classes the head was trained
    for (`config.id2label`). Task `nlvr2`.
    """

    own_task = "nlvr2"
    image_name = "images"
    needs = ("images", "text")
    num_images = 2

    def __call__(self, images: Any = None, text: Any = None, **kwargs) -> Any:
        """
        Args:
            images (list or tuple of two, or several of them): The left and the right picture, each a picture, path,
                http(s) address or base64 text. Or rows `{"images": [left, right], "text": ...}`, one, a list or an
                iterator.
            text (`str`, list or iterator): The sentence. One goes with every two pictures, two pictures go with every
                text; lists are paired.
            top_k (`int`, *optional*): How many classes; all by default.
            timeout (`float`, *optional*): Seconds to wait for an address.
            batch_size, num_workers (`int`, *optional*): As in `transformers.Pipeline`.

        Returns:
            `list[dict]`: `{"label", "score"}`, the likeliest first, as [`VisualEntailmentPipeline`] gives them. For a
            list of rows a list of such lists, for an iterator a generator of them.

        Raises:
            BadInputError: If an input is missing or of another kind, or there are not two pictures.
        """
        return self.run(images if text is None else _as_pairs(images), text, **kwargs)

    def _pixels(self, image: Any, timeout: float | None) -> Row:
        pictures = image.pictures if isinstance(image, _Pair) else image
        if not is_list(pictures) or len(pictures) != 2:
            found = f"holds {len(pictures)}" if is_list(pictures) else f"is of type {type(pictures).__name__}"
            raise BadInputError(f"`images` {found}; expected a list or tuple of two pictures.")
        read = [read_image(picture, timeout) for picture in pictures]
        try:
            return dict(self.image_processor(images=read, return_tensors="pt"))
        except ValueError as error:  # a processor that neither resizes nor pads cannot stack them
            sizes = " and ".join(f"{picture.width}x{picture.height}" for picture in read)
            raise BadInputError(
                f"`images` are {sizes} pixels, which the image processor cannot put side by side "
                f"({' '.join(str(error).split())[:100]}); expected equal sizes."
            ) from error


def _as_pairs(images: Any) -> Any:
    """One pair, a list of pairs or an iterator of pairs, with each pair as one object; what is none stays."""
    if isinstance(images, Iterator):
        return (_Pair(pair) for pair in images)
    if is_list(images) and images and all(map(is_list, images)):
        return [_Pair(pair) for pair in images]
    return _Pair(images) if is_list(images) and images else images
