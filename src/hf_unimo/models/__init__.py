# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The families. A new one is a folder beside these and a line in `FAMILIES`."""

from . import unimo2
from .registry import Family


FAMILIES: dict[str, Family] = {family.model_type: family for family in (unimo2.FAMILY,)}
"""`model_type` -> family."""
