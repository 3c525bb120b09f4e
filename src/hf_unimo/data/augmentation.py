# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Random changes to batches of pictures, in plain torch: crop, flip, colour."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from ..errors import BadInputError
from .schedule import uniform_draws


LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, the weights of PIL's convert("L")


@dataclass(frozen=True)
class Augmentation:
    """
    Crops, flips and recolours each picture of a batch by draws of its own. The defaults change nothing.

    Args:
        scale (`(float, float)`, defaults to `(1, 1)`): Share of the picture's area that the crop keeps, drawn
            uniformly, above 0, up to 1. The crop is stretched to the output size (bilinear).
        ratio (`(float, float)`, defaults to `(1, 1)`): Aspect ratio (width / height) of the crop relative to that of
            the picture, drawn log-uniformly among those with which the crop fits into it; the range includes 1.
        flip (`float`, defaults to 0): Probability of mirroring left and right.
        brightness, contrast, saturation (`float`, default to 0): With x, the factor is drawn uniformly from
            max(0, 1 - x) to 1 + x. Brightness multiplies; contrast moves away from the picture's mean grey; saturation
            away from each pixel's grey. They come in this order, and each result is cut off at the ends of the range.
        greyscale (`float`, defaults to 0): Probability of losing all colour.
        size (`(int, int)`, *optional*): Height and width of the result; that of the input without it. There is no
            filter against aliasing: read pictures at about the size that comes out.

    Raises:
        BadInputError: If a range or the size is not as said above, a probability lies outside of 0 to 1, or a strength
            is below 0.
    """

    scale: tuple[float, float] = (1.0, 1.0)
    ratio: tuple[float, float] = (1.0, 1.0)
    flip: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    greyscale: float = 0.0
    size: tuple[int, int] | None = None

    def __post_init__(self):
        for name in ("scale", "ratio", "size"):  # lists, if they come from a file
            value = getattr(self, name)
            if not ((isinstance(value, list | tuple) and len(value) == 2) or (name, value) == ("size", None)):
                raise BadInputError(f"`{name}` of the augmentation is {value!r}; accepted are two numbers.")
            object.__setattr__(self, name, None if value is None else tuple(value))
        if self.size is not None and min(self.size) < 1:
            raise BadInputError(f"`size` of the augmentation is {self.size}; accepted are height and width from 1 on.")
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise BadInputError(f"`scale` of the augmentation is {self.scale}; accepted are 0 < low <= high <= 1.")
        if not 0 < self.ratio[0] <= 1 <= self.ratio[1]:
            raise BadInputError(f"`ratio` of the augmentation is {self.ratio}; accepted are 0 < low <= 1 <= high.")
        for name in ("flip", "greyscale"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadInputError(f"`{name}` of the augmentation is {getattr(self, name)}; accepted are 0 to 1.")
        for name in ("brightness", "contrast", "saturation"):
            if not getattr(self, name) >= 0:
                raise BadInputError(f"`{name}` of the augmentation is {getattr(self, name)}; accepted is 0 or more.")

    @classmethod
    def contrastive(cls, size: tuple[int, int] | None = None) -> "Augmentation":
        """
        For visual contrastive learning on pictures without captions: the settings of MoCo v2 (Chen et al., 2020, arXiv
        2003.04297), without its hue and blur, and with colour jitter on every picture instead of on 80 %.
        """
        return cls(
            (0.2, 1.0),
            (3 / 4, 4 / 3),
            flip=0.5,
            brightness=0.4,
            contrast=0.4,
            saturation=0.4,
            greyscale=0.2,
            size=size,
        )

    @classmethod
    def caption_safe(cls, size: tuple[int, int] | None = None) -> "Augmentation":
        """
        For pictures with captions: nothing that makes a true caption false.

        No flip, as it turns "left" into "right" and mirrors writing. No change of saturation or contrast and no
        greyscale, as captions name colours. Brightness by at most 15 %, which does not turn day into night. A crop
        that keeps 85 % of the area or more, with at most 5 % distortion, as captions name and count things at the
        margin.
        """
        return cls((0.85, 1.0), (0.95, 1 / 0.95), brightness=0.15, size=size)

    def __call__(self, images: torch.Tensor, generator: torch.Generator | Sequence[torch.Generator]) -> torch.Tensor:
        """
        Args:
            images (`(batch, 3, height, width)`): uint8, or floats from 0 to 1 (before normalisation).
            generator: Source of all randomness: one for the batch, or one for each picture
                (`hf_unimo.data.schedule.row_generators`). Each picture uses nine numbers whatever the settings are, so
                that switching one part off leaves the others as they were.

        Returns:
            `(batch, 3, height, width)`, or of `size`; type of `images`, and of their range. What is switched off is
            not computed: with the defaults the result is `images`, not a copy.

        Raises:
            BadInputError: If `images` are not as above.
        """
        _check(images)
        # Rounded to float32, a number can become 1, which a probability of 1 would not exceed.
        draws = uniform_draws(generator, len(images), 9).float().clamp(max=1 - 2**-24).to(images.device)
        area, ratio, across, down, flip, brightness, contrast, saturation, grey = draws.T
        if not images.numel():
            return images.new_empty(len(images), 3, *(self.size or images.shape[2:]))

        result = images
        if self.scale != (1, 1) or self.ratio != (1, 1) or self.size not in (None, tuple(images.shape[2:])):
            result = self._crop(_to_float(result), area, ratio, across, down)
        if self.flip:
            result = torch.where(_each(flip < self.flip), result.flip(-1), result)
        if self.brightness or self.contrast or self.saturation or self.greyscale:
            result = self._recolour(_to_float(result), brightness, contrast, saturation, grey)
        return _to_type(result, images.dtype)

    def _crop(self, images, area, ratio, across, down) -> torch.Tensor:
        """The crops, stretched to the output size. Coordinates are `grid_sample`'s: -1 to 1 over the picture."""
        area = self.scale[0] + (self.scale[1] - self.scale[0]) * area
        # A crop of area a and ratio r is sqrt(a r) wide and sqrt(a / r) high: it fits if r lies between a and 1 / a.
        low = area.log().clamp(min=math.log(self.ratio[0]))
        high = (-area.log()).clamp(max=math.log(self.ratio[1]))
        ratio = (low + (high - low) * ratio).exp()
        width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
        zero = torch.zeros_like(area)
        x, y = (2 * across - 1) * (1 - width), (2 * down - 1) * (1 - height)
        affine = torch.stack([width, zero, x, zero, height, y], dim=1).view(-1, 2, 3)
        grid = F.affine_grid(affine, [len(images), 3, *(self.size or images.shape[2:])], align_corners=False)
        crops = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
        return crops.clamp_(0, 1)  # interpolation weights sum to 1 only up to rounding

    def _recolour(self, images, brightness, contrast, saturation, grey) -> torch.Tensor:
        if self.brightness:
            images = (images * _factor(self.brightness, brightness)).clamp_(0, 1)
        if self.contrast:
            mean = _grey(images).mean(dim=(2, 3), keepdim=True)
            images = mean.lerp(images, _factor(self.contrast, contrast)).clamp_(0, 1)
        if self.saturation:
            images = _grey(images).lerp(images, _factor(self.saturation, saturation)).clamp_(0, 1)
        if self.greyscale:
            images = torch.where(_each(grey < self.greyscale), _grey(images), images)
        return images


def two_views(
    augmentation: Augmentation, images: torch.Tensor, generator: torch.Generator | Sequence[torch.Generator]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Two results of `augmentation(images, generator)`, drawn independently, e.g. for visual contrastive learning."""
    return augmentation(images, generator), augmentation(images, generator)


def _check(images: torch.Tensor) -> None:
    if images.dim() != 4 or images.shape[1] != 3:
        raise BadInputError(
            f"Pictures to augment are of shape {tuple(images.shape)}; accepted is (batch, 3, height, width)."
        )
    if images.dtype == torch.uint8 or not images.numel():
        return
    if not images.is_floating_point():
        raise BadInputError(f"Pictures to augment are of type {images.dtype}; accepted are uint8 and floats.")
    low, high = images.aminmax()
    if not (low >= 0 and high <= 1):
        raise BadInputError(
            f"Pictures to augment have values from {low.item():.4g} to {high.item():.4g}; accepted are floats from 0 "
            "to 1, before normalisation, or uint8."
        )


def _to_float(images: torch.Tensor) -> torch.Tensor:
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()


def _to_type(images: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    if dtype == torch.uint8 and images.is_floating_point():
        return (images * 255).round_().clamp_(0, 255).to(dtype)
    return images.to(dtype)


def _each(per_image: torch.Tensor) -> torch.Tensor:
    return per_image.view(-1, 1, 1, 1)


def _factor(strength: float, uniform: torch.Tensor) -> torch.Tensor:
    low = max(0.0, 1 - strength)
    return _each(low + (1 + strength - low) * uniform)


def _grey(images: torch.Tensor) -> torch.Tensor:
    return (images * images.new_tensor(LUMA).view(3, 1, 1)).sum(1, keepdim=True)
