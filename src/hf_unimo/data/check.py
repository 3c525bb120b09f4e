# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
What is in the sources of a run: sizes, lengths, repetitions, rows that cannot be read, and above all whether what the
model is evaluated on is in what it is trained on.
"""

import io
import warnings
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import combinations, product
from typing import Any

import numpy as np
from PIL import Image
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

from ..errors import BadInputError
from .captions import caption_texts
from .check_report import BrokenRow, DataReport, Distribution, ImageFacts, Matches, Overlap, SourceReport, TextFacts
from .images import BadRowError, opened_image
from .schedule import random_state
from .sources import MapSource, shown_file_name
from .streams import StreamSource


STREAM_ROWS = 10_000
"""Rows of a stream that are read, if it is not said how many."""

MAX_BROKEN_LISTED = 20
MAX_EXAMPLES = 5

_BATCH = 16  # raw rows fetched at once: several times faster than one by one, and small enough for large pictures
_TEXTS_AT_ONCE = 1000
_DIGEST_SIZE = 16  # bytes; with 10^9 contents, two have the same digest by accident with a probability of 10^-21


def check_sources(
    train: Sequence[MapSource | StreamSource],
    evaluation: Sequence[MapSource | StreamSource] = (),
    tokenizer: PreTrainedTokenizerBase | None = None,
    *,
    max_text_length: int = 64,
    image_size: int | None = None,
    rows: int | None = None,
    seed: int = 0,
    progress: bool = False,
) -> DataReport:
    """
    Reads sources and reports what is in them, every row of every group included.

    Contents are compared by digests of 16 bytes: pictures by size and RGB pixels, so that a copy in another lossless
    format is found (one that was scaled, or saved as JPEG again, is not), texts without regard to case and blanks. A
    pair is a picture with one of its texts. All that is kept of a row is some hundred bytes.

    Args:
        train, evaluation (sequences of sources): Open, see [`~hf_unimo.data.sources.open_source`].
        tokenizer (`PreTrainedTokenizerBase`, *optional*): Counts tokens.
        max_text_length (`int`, defaults to 64): Tokens of a text, special ones included; what is longer counts as
            cut off.
        image_size (`int`, *optional*): Height and width of the model's pictures in pixels.
        rows (`int`, *optional*): So many rows of each source are read: the first ones of a stream, else a sample that
            `seed` decides. By default all, of streams the first `STREAM_ROWS`.
        seed (`int`, defaults to 0): 0 or greater.
        progress (`bool`, defaults to `False`): Whether to show a bar on standard error, if that is a terminal.

    Raises:
        BadInputError: If `rows` is below 1.
    """
    if rows is not None and rows < 1:
        raise BadInputError(f"{rows} rows are to be read of each source; accepted are integers from 1 on.")
    checked = []
    for split, sources in (("train", train), ("evaluation", evaluation)):
        for source in sources:
            check = _SourceCheck(source, split, _Texts(tokenizer, max_text_length), _Images(image_size), rows, seed)
            check.run(progress)
            checked.append(check)
    reports = [check.report() for check in checked]
    first, second = checked[: len(train)], checked[len(train) :]
    couples = [*product(first, second), *combinations(first, 2), *combinations(second, 2)]
    overlaps = [_overlap(one, other) for one, other in couples]
    return DataReport(reports, overlaps, rows, seed, max_text_length, image_size)


# ---------------------------------------------------------------------------------------------------------------------
# Reading
# ---------------------------------------------------------------------------------------------------------------------


class _RawRows:
    """Numbers and cells of a source's rows in the order of its files: all rows of a group, all captions of a row."""

    def __init__(self, source: MapSource | StreamSource, rows: int | None, seed: int):
        self.source, self.options = source, source.options
        self.total = self.items = None
        self.limit = STREAM_ROWS if rows is None else rows
        if isinstance(source, StreamSource):
            self.to_row: Any = source.to_row
            return
        self.to_row, self.items = source.to_row, len(source)
        numbers = np.arange(len(source)) if source.row_numbers is None else source.row_numbers
        self.total = len(numbers)
        if rows is not None and rows < self.total:
            numbers = random_state(seed, "check", source.name).permutation(numbers)[:rows]
        self._numbers = np.sort(numbers)

    def __len__(self) -> int:
        """How many rows are read, of a stream at most."""
        return self.limit if self.total is None else len(self._numbers)

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        if isinstance(self.source, StreamSource):
            yield from self._of_stream(self.source)
            return
        for start in range(0, len(self), _BATCH):
            numbers = self._numbers[start : start + _BATCH].tolist()
            columns = self.source.dataset[numbers]
            for index, number in enumerate(numbers):
                yield number, {name: cells[index] for name, cells in columns.items()}

    def _of_stream(self, source: StreamSource) -> Iterator[tuple[int, dict[str, Any]]]:
        try:
            yield from enumerate(source.dataset.take(self.limit))
        except Exception as error:  # whatever the format's reader raises
            raise source.unreadable(error) from error

    def image_cell(self, cells: dict[str, Any]) -> Any:
        """Bytes, or a path that can be opened, as `read_image` takes them; None if the source has no pictures."""
        column = self.options.image_column
        return None if column is None else self.to_row.located(cells.get(column))

    def captions(self, cells: dict[str, Any]) -> list[str]:
        return [text for column in self.options.text_columns for text in caption_texts(cells.get(column)) if text]

    def place(self, number: int) -> str:
        """As messages name the row. Reads it again, if it can: there are few of these."""
        if isinstance(self.source, StreamSource) or self.options.image_column is None:
            return f"row {number}"
        return f"row {number}{shown_file_name(self.image_cell(self.source.dataset[number]))}"


class _SourceCheck:
    """Reads one source, and keeps numbers and digests of it."""

    def __init__(
        self,
        source: MapSource | StreamSource,
        split: str,
        texts: "_Texts",
        images: "_Images",
        rows: int | None,
        seed: int,
    ):
        self.name, self.kind, self.split, self.texts, self.images = source.name, source.kind, split, texts, images
        self.rows = _RawRows(source, rows, seed)
        self.contents = {sort: _Contents() for sort in ("images", "files", "texts", "pairs")}
        self.read = self.broken = 0
        self.first_broken: list[BrokenRow] = []
        self.complete = True

    def run(self, progress: bool) -> None:
        bar = {"desc": f"reading {self.name}", "unit": "row", "leave": False, "disable": None if progress else True}
        try:
            for number, cells in tqdm(self.rows, **bar):
                self.read += 1
                try:
                    self._take(number, cells)
                except BadRowError as error:
                    self._break(error.place or f"row {number}", error)
        except BadInputError as error:  # a stream that breaks: nothing after this row can be read
            self._break(f"after row {self.read - 1}" if self.read else "at its beginning", error)
            self.complete = False
        if self.rows.total is None:
            # Whether a stream that gives as many rows as were asked for goes on is not known.
            self.complete &= self.read < self.rows.limit
        else:
            self.complete = self.read == self.rows.total

    def _break(self, place: str, error: Exception) -> None:
        self.broken += 1
        if len(self.first_broken) < MAX_BROKEN_LISTED:
            self.first_broken.append(BrokenRow(place, str(error)))

    def _take(self, number: int, cells: dict[str, Any]) -> None:
        row = self.rows.to_row(cells, f"row {number}", None)  # as training reads it: raises if it cannot be used
        picture = b""
        if row.image is not None:
            data = _file_content(self.rows.image_cell(cells))
            self.images.add(row.image.size, data)
            picture = _digest(repr(row.image.size).encode(), row.image.tobytes())
            self.contents["images"].add(picture, number)
            self.contents["files"].add(_digest(data), number)
        if row.text is not None:
            captions = self.rows.captions(cells)
            texts = captions if self.rows.options.captions == "any" else [", ".join(captions)]
            self.texts.add(texts, len(captions))
            for text in texts:
                words = _digest(" ".join(text.casefold().split()).encode("utf-8", "surrogatepass"))
                self.contents["texts"].add(words, number)
                if picture:
                    self.contents["pairs"].add(_digest(picture, words), number)

    def report(self) -> SourceReport:
        repeated = {sort: _matches(self, self, sort) for sort, contents in self.contents.items() if len(contents)}
        rows = self.rows
        return SourceReport(
            self.name,
            self.kind,
            self.split,
            rows.total,
            rows.items,
            self.read,
            self.complete,
            self.images.facts(),
            self.texts.facts(),
            repeated,
            self.broken,
            self.first_broken,
        )


class _Images:
    """Sizes and modes of pictures."""

    def __init__(self, image_size: int | None):
        self._least = image_size
        self._widths, self._heights = array("l"), array("l")
        self._modes: Counter[str] = Counter()

    def add(self, size: tuple[int, int], data: bytes) -> None:
        self._widths.append(size[0])
        self._heights.append(size[1])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as `read_image`, which has read it
            self._modes[Image.open(io.BytesIO(data)).mode] += 1

    def facts(self) -> ImageFacts | None:
        width, height = Distribution.of(self._widths), Distribution.of(self._heights)
        if width is None or height is None:
            return None
        smaller = None
        if self._least is not None:
            smaller = int((np.minimum(self._widths, self._heights) < self._least).sum())
        return ImageFacts(len(self._widths), width, height, dict(self._modes.most_common()), smaller)


class _Texts:
    """Lengths of texts, in characters and in tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase | None, max_length: int):
        self._tokenizer: Any = tokenizer
        self._max_length = max_length
        self._captions, self._characters, self._tokens = array("l"), array("l"), array("l")
        self._ids: Counter[int] = Counter()
        self._waiting: list[str] = []

    def add(self, texts: list[str], captions: int) -> None:
        self._captions.append(captions)
        self._characters.extend(map(len, texts))
        if self._tokenizer is not None:
            self._waiting += texts
            if len(self._waiting) >= _TEXTS_AT_ONCE:
                self._tokenize()

    def _tokenize(self) -> None:
        # Without special tokens, so that one that is in a text's place, such as an unknown one, is told from them.
        options = {"add_special_tokens": False, "return_attention_mask": False, "verbose": False}
        special = self._tokenizer.num_special_tokens_to_add()
        for ids in self._tokenizer(self._waiting, **options)["input_ids"]:
            self._tokens.append(len(ids) + special)
            self._ids.update(ids)
        self._waiting = []

    def facts(self) -> TextFacts | None:
        captions, characters = Distribution.of(self._captions), Distribution.of(self._characters)
        if captions is None or characters is None:
            return None
        several = int((np.asarray(self._captions) > 1).sum())
        facts = (len(self._characters), sum(self._captions), captions, several, characters)
        if self._tokenizer is None:
            return TextFacts(*facts)
        if self._waiting:
            self._tokenize()
        unknown_id = self._tokenizer.unk_token_id
        return TextFacts(
            *facts,
            tokens=Distribution.of(self._tokens),
            truncated=int((np.asarray(self._tokens) > self._max_length).sum()),
            token_count=self._ids.total(),
            unknown=None if unknown_id is None else self._ids[unknown_id],
            fragments=sum(count for token, count in self._ids.items() if "\ufffd" in self._tokenizer.decode([token])),
        )


def _file_content(value: Any) -> bytes:
    """The bytes of the file that `read_image` would open, and has opened before."""
    with opened_image(value) as file:
        return file.read()


# ---------------------------------------------------------------------------------------------------------------------
# Comparing
# ---------------------------------------------------------------------------------------------------------------------


def _digest(*parts: bytes) -> bytes:
    found = blake2b(digest_size=_DIGEST_SIZE)
    for part in parts:
        found.update(part)
    return found.digest()


class _Contents:
    """Digests of contents of one sort, each with the number of its row: 24 bytes for each."""

    def __init__(self):
        self._digests, self._rows = bytearray(), array("q")

    def add(self, digest: bytes, row: int) -> None:
        self._digests += digest
        self._rows.append(row)

    def __len__(self) -> int:
        return len(self._rows)

    def found_in(self, earlier: "_Contents") -> tuple[int, list[tuple[int, int]]]:
        """
        How many contents are in `earlier` (in itself: how many are there again), and for the first `MAX_EXAMPLES` of
        them the own row and the first row there.
        """
        if not (len(self) and len(earlier)):
            return 0, []
        # Strings of bytes: sorted and searched fast. That zeros at their end do not count is harmless at equal length.
        digests, others = (np.frombuffer(side._digests, dtype=f"S{_DIGEST_SIZE}") for side in (self, earlier))
        values, first = np.unique(others, return_index=True)
        places = np.minimum(np.searchsorted(values, digests), len(values) - 1)
        found = values[places] == digests
        if earlier is self:
            found &= first[places] != np.arange(len(self))
        indices = np.flatnonzero(found)
        shown = [(self._rows[index], earlier._rows[first[places[index]]]) for index in indices[:MAX_EXAMPLES]]
        return len(indices), shown


def _matches(later: _SourceCheck, earlier: _SourceCheck, sort: str) -> Matches:
    count, rows = later.contents[sort].found_in(earlier.contents[sort])
    return Matches(count, [(later.rows.place(row), earlier.rows.place(before)) for row, before in rows])


def _overlap(first: _SourceCheck, second: _SourceCheck) -> Overlap:
    images, texts, pairs = (_matches(second, first, sort) for sort in ("images", "texts", "pairs"))
    return Overlap((first.split, first.name), (second.split, second.name), images, texts, pairs)
