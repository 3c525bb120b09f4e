# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""UNIMO-2 image processor on PIL and NumPy, which reproduces the first implementation."""

import numpy as np
from PIL import Image, ImageOps
from transformers.image_processing_backends import PilBackend
from transformers.image_utils import ChannelDimension, PILImageResampling, SizeDict


class Unimo2ImageSteps:
    """
    What both back ends of the image processor share; stands before the back end in a class's bases.

    An image is turned upright by its EXIF orientation, made RGB (transparency is dropped, not blended with a
    background), resized to `size` by bicubic interpolation without regard to its aspect, and mapped from 0..255 to
    -1..1. Images of any size are accepted. The result is `pixel_values`, float32, shape `(batch, 3, height, width)`.

    Arguments are those of `transformers.image_utils.ImagesKwargs`, with the defaults below. `size` is
    `{"height": ..., "width": ...}` or one number for both; other kinds of size raise a `ValueError`.
    """

    do_convert_rgb = True
    do_resize = True
    size = {"height": 224, "width": 224}
    resample = PILImageResampling.BICUBIC
    do_rescale = True
    do_normalize = True
    image_mean = [0.5, 0.5, 0.5]
    image_std = [0.5, 0.5, 0.5]

    def process_image(self, image, do_convert_rgb=None, input_data_format=None, **kwargs):
        """One image (PIL, array or tensor) -> array or tensor of shape `(channels, height, width)`."""
        if isinstance(image, Image.Image):
            image = ImageOps.exif_transpose(image)
            if do_convert_rgb:
                image, input_data_format = np.array(image.convert("RGB")), ChannelDimension.LAST
        # The library's own conversion would blend transparent pixels with white.
        image = super().process_image(image, do_convert_rgb=False, input_data_format=input_data_format, **kwargs)
        if not do_convert_rgb:
            return image
        return image[[0, 0, 0]] if image.shape[0] == 1 else image[:3]

    def _standardize_kwargs(self, size=None, **kwargs):
        if isinstance(size, (dict, SizeDict)):
            size = {side: length for side, length in dict(size).items() if length is not None}
            if size.keys() != {"height", "width"}:
                raise ValueError(f"`size` must give `height` and `width` (or be one number for both), but is {size}.")
        return super()._standardize_kwargs(size=size, **kwargs)


class Unimo2ImageProcessorPil(Unimo2ImageSteps, PilBackend):  # type: ignore[misc]
    __doc__ = Unimo2ImageSteps.__doc__


__all__ = ["Unimo2ImageProcessorPil"]
