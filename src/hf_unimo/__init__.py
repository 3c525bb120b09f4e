# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Grounded vision-language models for Hugging Face transformers.

Importing the package makes transformers' Auto classes know every family in `hf_unimo.models`.
"""

from .models import FAMILIES, unimo2
from .models.unimo2 import *  # noqa: F403


__version__ = "0.1.0"

for _family in FAMILIES.values():
    _family.register()

__all__ = [*unimo2.__all__, "FAMILIES", "__version__"]
__all__.remove("FAMILY")
