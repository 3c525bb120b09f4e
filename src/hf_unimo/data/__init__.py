# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""From files to batches: exact mixing of sources, masking of words, augmentation of pictures. Knows no model."""
