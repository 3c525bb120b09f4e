# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""From a YAML file to a trained model: the run's configuration, the trainer, what it watches and reports."""
