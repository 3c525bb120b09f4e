# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Metrics: pure functions from NumPy arrays to dictionaries of floats, one file for each kind of task."""
