# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
How fast UNIMO-2 is on this machine: `python -m benchmarks`, one command, one table, everything measured in one run.

`case.py` says what a case is, `cases.py` lists them all, `runner.py` goes round by round over them and keeps every
round, `summary.py` takes medians and ratios, `targets.py` holds what was aimed at, `report.py` writes the table. What
the numbers mean stands in docs/speed.md.
"""
