# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""A conversion streams: what it holds is a fraction of the checkpoint. Base size: `memory.py` beside this file."""

import os
import sys

import pytest

from .memory import LIMITS, measure, synthetic_config


pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@pytest.mark.slow
@pytest.mark.parametrize("layout", LIMITS)
def test_peak_anonymous_memory(layout, tmp_path):
    size = "base" if os.environ.get("HF_UNIMO_BASE_SIZE") else "small"
    assert measure(tmp_path, layout, synthetic_config(size))["share"] < LIMITS[layout]
