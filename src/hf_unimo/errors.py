# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The two ways in which a command ends without success."""


class BadInputError(ValueError):
    """The caller's input cannot be used. The message is one sentence: what was found, and what would be accepted."""


class CheckFailedError(RuntimeError):
    """The input was fine, but a check that the command makes did not hold."""
