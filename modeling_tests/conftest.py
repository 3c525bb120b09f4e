# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Set-up for all tests: nothing reaches the network but pip, once, for transformers' common tests."""

import os


os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import pytest
import torch

import hf_unimo  # noqa: F401
from modeling_tests import common_suite


def pytest_configure(config):
    # Under pytest-xdist the controller comes first and fetches; the workers only find what it left.
    config.stash[REASON] = common_suite.fetch()
    if "PYTEST_XDIST_WORKER" in os.environ:
        torch.set_num_threads(1)


REASON = pytest.StashKey[str | None]()


def pytest_report_header(config):
    reason = config.stash[REASON]
    return f"transformers' common tests: {'not run, ' + reason if reason else common_suite.folder().name}"
