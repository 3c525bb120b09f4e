# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""`python -m hf_unimo` is the program `hf-unimo`."""

import sys

from hf_unimo.cli import main


if __name__ == "__main__":
    sys.exit(main())
