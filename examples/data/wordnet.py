# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The nouns of WordNet 3.0, read from its own files: senses of a word, and what each of them is a kind of."""

from collections.abc import Callable
from functools import cache

from hf_unimo.errors import BadInputError


ENDINGS = (
    *(("s", ""), ("ses", "s"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"), ("men", "man")),
    ("ies", "y"),
)
"""How plurals end, and what stands there in the singular: WordNet's own rules (its manual page `morphy`)."""
HYPERNYM = ("@", "@i")  # the second for instances, such as cities


class Nouns:
    """
    The noun part of WordNet. A sense is the number of its line in `data.noun`.

    Args:
        index (`str`): `index.noun`: for each noun its senses, the most frequent first.
        data (`str`): `data.noun`: for each sense what it points to.
        exceptions (`str`): `noun.exc`: irregular plurals.

    The format is that of the manual page `wndb`. Licence and copyright lines, which begin with blanks, are skipped.
    """

    def __init__(self, index: str, data: str, exceptions: str = ""):
        self.index = {fields[0]: tuple(map(int, fields[-int(fields[2]) :])) for fields in _lines(index)}
        self.singular = {fields[0]: fields[1] for fields in _lines(exceptions)}
        self.parents = {int(fields[0]): _parents(fields) for fields in _lines(data)}
        self.ancestors: Callable[[int], frozenset[int]] = cache(self._ancestors)

    def base(self, phrase: str) -> str | None:
        """The form in which WordNet has a phrase: small letters, "_" for blanks, singular; None if it has none."""
        noun = "_".join(phrase.lower().replace(".", "").replace("’", "'").split())
        for form in dict.fromkeys((noun, noun.replace("-", "_"))):
            forms = [form, self.singular.get(form, "")]
            forms += [form.removesuffix(plural) + singular for plural, singular in ENDINGS if form.endswith(plural)]
            found = next((form for form in forms if form in self.index), None)
            if found is not None:
                return found
        return None

    def senses(self, phrase: str) -> tuple[int, ...]:
        """The senses of a phrase, the most frequent first."""
        base = self.base(phrase)
        return () if base is None else self.index[base]

    def sense(self, noun: str, number: int) -> int:
        """
        One sense of a noun, counted from 1 as WordNet does.

        Raises:
            BadInputError: If there is none.
        """
        senses = self.senses(noun)
        if number > len(senses):
            raise BadInputError(f"WordNet has {len(senses)} senses of {noun!r}, number {number} was asked for.")
        return senses[number - 1]

    def _ancestors(self, sense: int) -> frozenset[int]:
        """A sense and all that it is a kind of."""
        return frozenset({sense}.union(*(self.ancestors(parent) for parent in self.parents[sense])))


def _lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line and not line.startswith(" ")]


def _parents(fields: list[str]) -> tuple[int, ...]:
    """Of number, file, type, count of words (base 16), words and numbers, count of pointers, pointers (four each)."""
    first = 4 + 2 * int(fields[3], 16)
    pointers = (fields[first + 1 + 4 * number :][:4] for number in range(int(fields[first])))
    return tuple(int(target) for symbol, target, *_ in pointers if symbol in HYPERNYM)
