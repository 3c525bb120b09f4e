# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Many images and many texts: each is encoded once, and only what depends on a pair is computed for pairs."""
