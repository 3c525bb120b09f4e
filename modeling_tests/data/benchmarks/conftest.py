# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Tables that the tests open are cached beside their files."""

import datasets
import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """Nothing goes into the user's cache."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
