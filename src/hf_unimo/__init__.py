# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Grounded vision-language models for Hugging Face transformers.

Importing the package makes transformers' Auto classes know every family in `hf_unimo.models`, and its `pipeline` the
tasks in `hf_unimo.pipelines`. Importing `transformers.pipelines` takes as long as all the rest, so it is left to
whoever uses it.
"""

import importlib

from .after_import import after_import
from .models import FAMILIES, unimo2
from .models.unimo2 import *  # noqa: F403


__version__ = "0.1.0"

for _family in FAMILIES.values():
    _family.register()


def _pipelines():
    return importlib.import_module(".pipelines", __name__)


def __getattr__(name: str):
    if name == "pipelines":
        return _pipelines()
    if name == "pipeline":
        return _pipelines().pipeline
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


after_import("transformers.pipelines", _pipelines)

__all__ = [*unimo2.__all__, "FAMILIES", "__version__"]
__all__.remove("FAMILY")
