# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The two ways in which a command ends without success, and what a message says of a name that is not known."""

import difflib
from collections.abc import Iterable


class BadInputError(ValueError):
    """The caller's input cannot be used. The message is one sentence: what was found, and what would be accepted."""


class CheckFailedError(RuntimeError):
    """The input was fine, but a check that the command makes did not hold."""


def nearest_known(found: object, known: Iterable[str]) -> str:
    """The name among `known`, at least one, that is most like `found`."""
    return difflib.get_close_matches(str(found), list(known), n=1, cutoff=0)[0]


def unknown_name(found: object, known: Iterable[str]) -> str:
    """The end of a sentence about a name that is not `known`: what was given, what is nearest, what there is."""
    names = list(known)
    return f"{found!r} was given, the nearest known is {nearest_known(found, names)!r} (known: {', '.join(names)})."
