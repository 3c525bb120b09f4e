# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""How good is a model? Metrics as pure functions of arrays."""
