# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""From pictures to pixels, in two halves with room for an augmentation between them, as an image processor would."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import BaseImageProcessor

from ..errors import BadInputError


class PictureTensors:
    """
    An image processor of transformers, taken apart: `resize` to bytes, `normalise` to what the model takes.

    Args:
        image_processor (`BaseImageProcessor`): Its rescaling and normalisation must treat each pixel by itself.
        image_size (`int`, *optional*): Height and width of the pictures in pixels. Without it the image processor's.

    Raises:
        BadInputError: If the image size is no number of pixels.
    """

    def __init__(self, image_processor: BaseImageProcessor, image_size: int | None = None):
        if image_size is not None and (not isinstance(image_size, int) or image_size < 1):
            raise BadInputError(f"The image size is {image_size!r}; accepted are pixels from 1 on.")
        self.image_processor: Any = image_processor
        self._resizing: dict[str, Any] = {}
        if image_size is not None:
            square = {"height": image_size, "width": image_size}
            self._resizing = {"do_resize": True, "size": square, "crop_size": square}
        self._plain_size = _plain_size(image_processor, self._resizing)
        self._normalised = _normalised_values(image_processor)

    def resize(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Pictures (RGB) as the image processor makes them, short of rescaling: `(batch, 3, height, width)`, uint8."""
        if all(image.size == self._plain_size for image in images):
            # Resizing would give back the same pixels, several times slower.
            return torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2).contiguous()
        processed = self.image_processor(
            list(images), do_rescale=False, do_normalize=False, return_tensors="pt", **self._resizing
        )
        pixels = processed["pixel_values"]
        if pixels.dtype != torch.uint8:
            raise BadInputError(
                f"The image processor {type(self.image_processor).__name__} resizes to {pixels.dtype}; accepted are "
                "image processors that resize to uint8."
            )
        return pixels

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """Rescaled and normalised `pixels` (uint8): looked up, so that they are the image processor's numbers."""
        flat = (pixels[:, channel].reshape(-1).int() for channel in range(3))
        channels = [values.index_select(0, numbers) for values, numbers in zip(self._normalised, flat)]
        return torch.stack([channel.view_as(pixels[:, 0]) for channel in channels], dim=1)


def _plain_size(image_processor: BaseImageProcessor, resizing: Mapping[str, Any]) -> tuple[int, int] | None:
    """Width and height of the pictures that `image_processor` leaves as they are; None if that cannot be said."""
    if any(getattr(image_processor, name, None) for name in ("do_center_crop", "do_pad")):
        return None
    size = resizing.get("size") or getattr(image_processor, "size", None) or {}
    sides = {side: length for side, length in dict(size).items() if length is not None}
    return (sides["width"], sides["height"]) if sides.keys() == {"height", "width"} else None


def _normalised_values(image_processor: BaseImageProcessor) -> torch.Tensor:
    """What `image_processor` makes of the values 0 to 255 of each channel: `(3, 256)`, float32."""
    values = np.broadcast_to(np.arange(256, dtype=np.uint8).reshape(16, 16), (3, 16, 16)).copy()
    processed: Any = image_processor
    processed = processed(
        values,
        do_resize=False,
        do_center_crop=False,
        do_pad=False,
        do_convert_rgb=False,
        input_data_format="channels_first",
        return_tensors="pt",
    )
    return processed["pixel_values"].reshape(3, 256).float()
