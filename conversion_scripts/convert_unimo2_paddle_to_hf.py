#!/usr/bin/env python
# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The same as `hf-unimo convert`, as a script: see `convert_unimo2_paddle_to_hf.py --help`."""

import sys

from hf_unimo.cli import main


if __name__ == "__main__":
    sys.exit(main(["convert", *sys.argv[1:]]))
