# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""UNIMO-2 image processor on torchvision: on any device, equal to the PIL one up to rounding in the interpolation."""

from transformers.image_processing_backends import TorchvisionBackend

from .image_processing_pil_unimo2 import Unimo2ImageSteps


class Unimo2ImageProcessor(Unimo2ImageSteps, TorchvisionBackend):  # type: ignore[misc]
    __doc__ = Unimo2ImageSteps.__doc__


__all__ = ["Unimo2ImageProcessor"]
