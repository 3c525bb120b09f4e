# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Models in formats that other runtimes serve."""
