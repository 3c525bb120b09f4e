# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Losses as functions of tensors, one file each. They import torch and each other, nothing else."""
