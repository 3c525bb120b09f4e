# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""What [`~hf_unimo.data.check.check_sources`] finds in the sources of a run: as numbers, as JSON and to read."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Distribution:
    """Whole numbers in short. All four occur among them; `p95` is the least that 95 % of them do not exceed."""

    min: int
    median: int
    p95: int
    max: int

    @classmethod
    def of(cls, values: Sequence[int]) -> "Distribution | None":
        """None for no values."""
        if not len(values):
            return None
        return cls(*(int(value) for value in np.percentile(values, (0, 50, 95, 100), method="inverted_cdf")))


@dataclass(frozen=True)
class BrokenRow:
    """Where a row that cannot be used stands, and why it cannot."""

    place: str
    reason: str


@dataclass(frozen=True)
class Matches:
    """How often something occurs again, and the first few cases: its place, and where it occurred before."""

    count: int = 0
    examples: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class ImageFacts:
    """
    The pictures of a source.

    Args:
        count (`int`): Pictures that could be decoded.
        width, height ([`Distribution`]): In pixels, upright.
        modes (`dict[str, int]`): Pillow's mode of the files -> how many: `L` is grey, `P` has a palette.
        smaller (`int`, *optional*): Pictures that must be enlarged for the model; None if its image size is not known.
    """

    count: int
    width: Distribution
    height: Distribution
    modes: dict[str, int]
    smaller: int | None

    @property
    def all_alike(self) -> bool:
        """Whether all have one size."""
        return self.width.min == self.width.max and self.height.min == self.height.max


@dataclass(frozen=True)
class TextFacts:
    """
    The texts of a source. With `captions: any` each caption is a text, else all captions of a row, joined.

    Args:
        count (`int`): Texts.
        captions (`int`): Captions, before they are joined.
        captions_per_row ([`Distribution`]): How many of them a row has.
        several (`int`): Rows with more than one caption.
        characters ([`Distribution`]): Of a text.
        tokens ([`Distribution`], *optional*): Of a text that is not cut off, special ones included; None without a
            tokenizer, as all that follows.
        truncated (`int`, *optional*): Texts with more than `max_text_length` tokens.
        token_count (`int`, *optional*): Tokens of all texts, special ones not counted.
        unknown (`int`, *optional*): How many of them are the unknown token; None if the tokenizer has none.
        fragments (`int`, *optional*): How many of them are less than a character: bytes, as tokenizers use them for
            characters that they do not know.
    """

    count: int
    captions: int
    captions_per_row: Distribution
    several: int
    characters: Distribution
    tokens: Distribution | None = None
    truncated: int | None = None
    token_count: int | None = None
    unknown: int | None = None
    fragments: int | None = None


@dataclass(frozen=True)
class SourceReport:
    """
    What [`check_sources`] found in one source.

    Args:
        name, kind (`str`): Of the source.
        split (`str`): `"train"` or `"evaluation"`.
        rows (`int`, *optional*): Rows that the source's options select; None if it is a stream.
        items (`int`, *optional*): `len(source)`: less than `rows` if they are grouped; None if it is a stream.
        read (`int`): Rows that were read, broken ones included.
        complete (`bool`): Whether these are all rows.
        images ([`ImageFacts`], *optional*), texts ([`TextFacts`], *optional*): None if there are none.
        repeated (`dict`): Under `images` [`Matches`] of pictures with the pixels of an earlier one, under `files`
            those that are an earlier one byte by byte, and under `texts` and `pairs` likewise.
        broken (`int`): Rows that cannot be used.
        first_broken (`list[BrokenRow]`): The first few of them.
    """

    name: str
    kind: str
    split: str
    rows: int | None
    items: int | None
    read: int
    complete: bool
    images: ImageFacts | None
    texts: TextFacts | None
    repeated: dict[str, Matches]
    broken: int
    first_broken: list[BrokenRow]


@dataclass(frozen=True)
class Overlap:
    """
    What two sources share.

    Args:
        first, second (`tuple[str, str]`): Split and name of the sources; that of the evaluation is the second.
        images, texts, pairs ([`Matches`]): Contents of the second source that are in the first one.
    """

    first: tuple[str, str]
    second: tuple[str, str]
    images: Matches
    texts: Matches
    pairs: Matches

    @property
    def is_leak(self) -> bool:
        """
        Whether the model is trained on what it is evaluated on: a picture, with its text or another. Equal texts alone
        are none, as short ones come up again without anybody's fault.
        """
        return self.first[0] != self.second[0] and bool(self.images.count or self.pairs.count)

    def __bool__(self) -> bool:
        return bool(self.images.count or self.texts.count or self.pairs.count)


@dataclass(frozen=True)
class DataReport:
    """
    What [`check_sources`] found; `str` gives it readably.

    Args:
        sources (`list[SourceReport]`): Those of the training, then those of the evaluation.
        overlaps (`list[Overlap]`): Of each two sources: training and evaluation first, then within each of them.
        rows (`int`, *optional*), seed (`int`), max_text_length (`int`), image_size (`int`, *optional*): As given.
    """

    sources: list[SourceReport]
    overlaps: list[Overlap]
    rows: int | None
    seed: int
    max_text_length: int
    image_size: int | None

    @property
    def leaks(self) -> list[Overlap]:
        """The overlaps that spoil the evaluation."""
        return [overlap for overlap in self.overlaps if overlap.is_leak]

    @property
    def problems(self) -> list[str]:
        """A clause for each leak and each source with broken rows; empty if the data are fine."""
        found = []
        for leak in self.leaks:
            found.append(
                f"{_counted(leak.images.count, 'picture')} and {_counted(leak.pairs.count, 'pair')} of the evaluation "
                f"source {leak.second[1]!r} are in the training source {leak.first[1]!r}"
            )
        for source in self.sources:
            if source.broken:
                found.append(f"{_counted(source.broken, 'row')} of source {source.name!r} cannot be used")
        return found

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON can hold it, with `ok`, `problems` and for each overlap `is_leak`."""
        tree = {"ok": not self.problems, "problems": self.problems, **asdict(self)}
        for overlap, found in zip(self.overlaps, tree["overlaps"]):
            found["is_leak"] = overlap.is_leak
        return tree

    def __str__(self) -> str:
        return "\n".join(_report_lines(self))


# ---------------------------------------------------------------------------------------------------------------------
# To read
# ---------------------------------------------------------------------------------------------------------------------


def _report_lines(report: DataReport) -> Iterator[str]:
    for source in report.sources:
        yield from _source_lines(source, report)
        yield ""
    for title, splits in _GROUPS.items():
        overlaps = [overlap for overlap in report.overlaps if {overlap.first[0], overlap.second[0]} == splits]
        if overlaps:
            yield title
            yield from _overlap_lines(overlaps)
            yield ""
    if not all(source.complete for source in report.sources):
        yield "Not all rows were read: what else is repeated, shared or broken is not known."
    if report.problems:
        yield f"Problems: {'; '.join(report.problems)}."
    elif all(source.split == "train" for source in report.sources):
        yield "No broken rows; no leaks, as there is no evaluation source."
    else:
        yield "No broken rows, no leaks."


_GROUPS = {
    "shared by training and evaluation": {"train", "evaluation"},
    "shared within the training data": {"train"},
    "shared within the evaluation data": {"evaluation"},
}


def _source_lines(source: SourceReport, report: DataReport) -> Iterator[str]:
    split = {"train": "training"}.get(source.split, source.split)
    yield f"{source.name} ({split}, {source.kind}): {_extent(source)}"
    images, texts = source.images, source.texts
    table: dict[str, Distribution | None] = {}
    if images is not None and not images.all_alike:
        table |= {"pixels wide": images.width, "pixels high": images.height}
    if texts is not None:
        table |= {"captions a row": texts.captions_per_row} if texts.several else {}
        table |= {"characters a text": texts.characters, "tokens a text": texts.tokens}
    if table:
        yield f"  {'':<20}" + "".join(f"{name:>9}" for name in ("min", "median", "95%", "max"))
    for name, found in table.items():
        if found is not None:
            yield f"  {name:<20}" + "".join(f"{value:>9,}" for value in asdict(found).values())
    facts = {
        "pictures": _image_words(images, report.image_size),
        "texts": _text_words(texts, report.max_text_length),
        "tokens": _token_words(texts),
        "repeated": _repeated_words(source),
    }
    for name, words in facts.items():
        if words:
            yield f"  {name:<10} {words}"
    if "images" in source.repeated:
        yield from _examples(source.repeated["images"], "has the pixels of")
    if source.broken:
        yield f"  broken     {_counted(source.broken, 'row')} that cannot be used"
        yield from (f"    {row.place}: {row.reason}" for row in source.first_broken)
        yield from _more(source.broken - len(source.first_broken))


def _extent(source: SourceReport) -> str:
    """How many rows there are, and how many of them were read."""
    if source.rows is None:
        return f"stream, {'all' if source.complete else 'the first'} {_counted(source.read, 'row')}"
    words = _counted(source.rows, "row")
    if source.items is not None and source.items < source.rows:
        words += f" in {_counted(source.items, 'group')}"
    return words if source.complete else f"{words}, of which a sample of {source.read:,}"


def _image_words(images: ImageFacts | None, image_size: int | None) -> str:
    if images is None:
        return ""
    modes = {_MODES.get(mode, mode): count for mode, count in images.modes.items()}
    only = "" if len(modes) > 1 else f"all {next(iter(modes))}"
    words = f"{images.count:,} ({only or ', '.join(f'{count:,} {mode}' for mode, count in modes.items())}"
    if images.all_alike:
        words += f", all of {images.width.min:,} x {images.height.min:,} pixels"
    if images.smaller is None:
        return words + ")"
    return f"{words}); {_share(images.smaller, images.count)} smaller than the model's {image_size} pixels"


_MODES = {
    "1": "black and white",
    "L": "grey",
    "LA": "grey with transparency",
    "P": "palette",
    "PA": "palette with transparency",
    "I;16": "16-bit grey",
}


def _text_words(texts: TextFacts | None, max_length: int) -> str:
    if texts is None:
        return ""
    words = f"{texts.count:,}"
    if texts.several:
        how = "joined" if texts.count < texts.captions else "each a text"
        words += f" ({_counted(texts.several, 'row')} with several captions, {how})"
    if texts.truncated is None:
        return words
    return f"{words}; {_share(texts.truncated, texts.count)} cut off at {max_length} tokens"


def _token_words(texts: TextFacts | None) -> str:
    if texts is None or texts.token_count is None:
        return ""
    words = f"{texts.token_count:,}"
    if texts.unknown is not None:
        words += f"; {_share(texts.unknown, texts.token_count)} unknown"
    if texts.fragments:
        words += f"; {_share(texts.fragments, texts.token_count)} single bytes of rare characters"
    return words


def _repeated_words(source: SourceReport) -> str:
    counts = {sort: matches.count for sort, matches in source.repeated.items()}
    words = []
    for sort in ("images", "texts", "pairs"):
        if sort in counts:
            words.append(_counted(counts[sort], _WORDS[sort]))
        if sort == "images" and counts.get("images"):
            words[-1] += f" ({counts['files']:,} as equal files)"
    return ", ".join(words)


def _overlap_lines(overlaps: list[Overlap]) -> Iterator[str]:
    """One line for each two sources that share something."""
    if not any(overlaps):
        yield "  nothing"
    for overlap in filter(None, overlaps):
        found = {"images": overlap.images, "texts": overlap.texts, "pairs": overlap.pairs}
        words = ", ".join(_counted(matches.count, _WORDS[sort]) for sort, matches in found.items() if matches.count)
        leak = "LEAK: " if overlap.is_leak else ""
        yield f"  {leak}{words} of {overlap.second[1]} in {overlap.first[1]}"
        if overlap.is_leak:
            yield from _examples(overlap.images, f"has the pixels of {overlap.first[1]},")


_WORDS = {"images": "picture", "texts": "text", "pairs": "pair"}


def _examples(matches: Matches, relation: str) -> Iterator[str]:
    yield from (f"    {later} {relation} {earlier}" for later, earlier in matches.examples)
    yield from _more(matches.count - len(matches.examples))


def _more(count: int) -> Iterator[str]:
    if count:
        yield f"    and {count:,} more"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _share(count: int, total: int) -> str:
    return f"{count:,} ({count / total:.1%})" if count else "none"
