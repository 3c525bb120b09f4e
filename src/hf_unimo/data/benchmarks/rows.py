# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""What readers of benchmarks give: rows by task, pictures that are opened when asked, and the split as a whole."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar, overload

import datasets
from PIL import Image

from ...errors import BadInputError
from ..images import BadRowError, read_image
from ..sources import MAX_IMAGE_PIXELS


@dataclass(frozen=True)
class Picture:
    """
    Where a picture lies: a file at `path`, or a cell of a table of `datasets`. Nothing is read before `open`.

    Args:
        name (`str`): What the data set calls it, for messages.
        path (`str`, *optional*): The file.
        table (`datasets.Dataset`, *optional*): Where there is no file: the table, with pictures not decoded,
        row (`int`), column (`str`): and the cell.
    """

    name: str
    path: str | None = None
    table: datasets.Dataset | None = field(default=None, repr=False, compare=False)
    row: int = 0
    column: str = ""

    def content_key(self) -> str:
        """What is the same for two pictures of one file, or of the same bytes in a table."""
        if self.table is None:
            return str(self.path)
        value = self.table[self.row][self.column]
        content = value["bytes"] if isinstance(value, dict) else value
        return hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else str(content or value)

    def open(self, max_pixels: int = MAX_IMAGE_PIXELS) -> Image.Image:
        """
        The picture as upright RGB, by content, whatever its ending says (see `hf_unimo.data.images.read_image`).

        Raises:
            BadRowError: If it cannot be read. Its `place` is the picture's name.
        """
        value = self.path if self.table is None else self.table[self.row][self.column]
        try:
            return read_image(value, max_pixels)
        except BadRowError as error:
            error.place = self.name
            raise


@dataclass(frozen=True)
class Row:
    """A row of any task. `id` is the data set's own name of it, unless the data set has none: then its number."""

    id: str

    @property
    def ids(self) -> tuple[str, ...]:
        """All that tells this row from others of the data set; `Benchmark.split_hash` is made of it."""
        return (self.id,)

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """Its pictures."""
        return ()

    @property
    def texts(self) -> tuple[str, ...]:
        """What a classifier reads of it: no text, one, or two."""
        return ()

    @property
    def labelled(self) -> bool:
        """Whether it can be scored; not if its label is hidden."""
        return True


@dataclass(frozen=True)
class TokenIds:
    """A text of the official `;` files, already in token ids with the special tokens in; the three are as long."""

    input_ids: tuple[int, ...]
    segment_ids: tuple[int, ...]
    position_ids: tuple[int, ...]


@dataclass(frozen=True)
class RetrievalRow(Row):
    """A picture of a retrieval gallery with the captions that belong to it (`TokenIds` in the official files)."""

    image: Picture
    captions: tuple[str | TokenIds, ...]
    caption_ids: tuple[str, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        return (self.id, *self.caption_ids)

    @property
    def pictures(self) -> tuple[Picture, ...]:
        return (self.image,)


@dataclass(frozen=True)
class CaptionRow(Row):
    """A picture to be captioned, with all its references. `image_id` is what a result file calls it."""

    image: Picture
    image_id: int | str
    references: tuple[str, ...]

    @property
    def pictures(self) -> tuple[Picture, ...]:
        return (self.image,)

    @property
    def labelled(self) -> bool:
        return bool(self.references)


@dataclass(frozen=True)
class TokenCaptionRow(Row):
    """
    A line of the official captioning files. `tokens` is None in the test split, where there are none; `word_labels`
    are 0 for the first piece of a word, 1 for the others, -1 for special tokens; `objects` are the object tokens.
    """

    image: Picture
    image_id: str
    tokens: TokenIds | None
    word_labels: tuple[int, ...]
    label: str
    objects: TokenIds | None = None

    @property
    def pictures(self) -> tuple[Picture, ...]:
        return (self.image,)

    @property
    def labelled(self) -> bool:
        return self.tokens is not None


@dataclass(frozen=True)
class VqaRow(Row):
    """
    A question about a picture.

    `answers` are those of the annotators as written, in their order: ten in VQA v2 and OK-VQA, one in GQA and easy-VQA
    (exact match), none where they are hidden. `soft_answers` are answers with weights from 0 to 1, for copies
    that have lost the ten. `question_id` is what a result file calls it.
    """

    question_id: int | str
    question: str
    image: Picture
    answers: tuple[str, ...] = ()
    answer_type: str | None = None
    question_type: str | None = None
    multiple_choice_answer: str | None = None
    soft_answers: tuple[tuple[str, float], ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        return (self.question,)

    @property
    def pictures(self) -> tuple[Picture, ...]:
        return (self.image,)

    @property
    def labelled(self) -> bool:
        return bool(self.answers or self.soft_answers)


@dataclass(frozen=True)
class EntailmentRow(Row):
    """
    Does the picture entail the hypothesis? `caption` is the sentence in whose place the picture stands (None where a
    copy leaves it out): the standard protocol does not show it to the model. `label` counts in `label_names`.
    """

    image: Picture
    hypothesis: str
    label: int
    caption: str | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        return (self.hypothesis,)

    @property
    def pictures(self) -> tuple[Picture, ...]:
        return (self.image,)


@dataclass(frozen=True)
class Nlvr2Row(Row):
    """
    A sentence about two pictures, true (label 1) or not (0). Consistency counts the rows of one `group` as one; None
    where the data do not say which belong together.
    """

    left: Picture
    right: Picture
    sentence: str
    label: int
    group: str | None

    @property
    def texts(self) -> tuple[str, ...]:
        return (self.sentence,)

    @property
    def pictures(self) -> tuple[Picture, ...]:
        return (self.left, self.right)


@dataclass(frozen=True)
class TextRow(Row):
    """One text or two, with a class (counts in `label_names`), a number, or None where the label is hidden."""

    text: str
    text_pair: str | None
    label: int | float | None

    @property
    def texts(self) -> tuple[str, ...]:
        return (self.text,) if self.text_pair is None else (self.text, self.text_pair)

    @property
    def labelled(self) -> bool:
        return self.label is not None


@dataclass(frozen=True)
class ImageLabelRow(Row):
    """A picture with a class (counts in `label_names`), or None where the label is hidden."""

    image: Picture
    label: int | None

    @property
    def pictures(self) -> tuple[Picture, ...]:
        return (self.image,)

    @property
    def labelled(self) -> bool:
        return self.label is not None


RowT = TypeVar("RowT", bound=Row)


@dataclass(frozen=True)
class Benchmark(Sequence[RowT], Generic[RowT]):
    """
    One split of a data set: a sequence of rows, and what must be said beside a number that they give.

    Args:
        name (`str`): As in `open_benchmark`.
        split (`str`): As the reader calls it.
        task (`str`): `"retrieval"`, `"captioning"`, `"vqa"`, `"entailment"`, `"nlvr2"`, `"text-classification"`,
            `"text-regression"` or `"image-classification"`.
        rows: The rows, in the order of the files.
        protocol (`dict`): What was read and how, as JSON would hold it.
        label_names (`tuple[str, ...]`, *optional*): The class names; class i of a row's `label` is the i-th.
        missing (`tuple[str, ...]`): Pictures that are named but not there; rows that need them were left out.
    """

    name: str
    split: str
    task: str
    rows: tuple[RowT, ...] = field(repr=False)
    protocol: dict[str, Any]
    label_names: tuple[str, ...] | None = None
    missing: tuple[str, ...] = ()

    @overload
    def __getitem__(self, index: int) -> RowT: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[RowT, ...]: ...
    def __getitem__(self, index):
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[RowT]:
        return iter(self.rows)

    @cached_property
    def split_hash(self) -> str:
        """SHA-256 (hexadecimal) over the rows in order: for each the JSON list of its `ids`, a line each."""
        digest = hashlib.sha256()
        for row in self.rows:
            digest.update(json.dumps(row.ids).encode() + b"\n")
        return digest.hexdigest()

    @cached_property
    def counts(self) -> dict[str, Any]:
        """
        Rows, unlabelled rows, distinct pictures, missing pictures; captions (sum, and least and most of a picture);
        rows of each class by name; empty texts.
        """
        pictures = {image.path or image.name for row in self.rows for image in row.pictures}
        counts: dict[str, Any] = {
            "rows": len(self.rows),
            "unlabelled_rows": sum(not row.labelled for row in self.rows),
            "pictures": len(pictures),
            "missing_pictures": len(self.missing),
        }
        captions = [
            len(row.captions if isinstance(row, RetrievalRow) else row.references)
            for row in self.rows
            if isinstance(row, RetrievalRow | CaptionRow)
        ]
        if captions:
            counts["captions"] = sum(captions)
            counts["captions_per_picture"] = [min(captions), max(captions)]
        if self.label_names is not None and self.task != "vqa":
            found = Counter(getattr(row, "label", None) for row in self.rows)
            counts["classes"] = {name: found[index] for index, name in enumerate(self.label_names)}
        texts = [text for row in self.rows if isinstance(row, TextRow) for text in (row.text, row.text_pair)]
        if texts:
            counts["empty_texts"] = texts.count("")
        return counts

    def require_labels(self) -> None:
        """
        To be called before scoring.

        Raises:
            BadInputError: If labels are hidden.
        """
        hidden = self.counts["unlabelled_rows"]
        if hidden:
            raise BadInputError(
                f"Benchmark {self.name!r} hides the labels of {hidden} of {len(self)} rows of its split "
                f"{self.split!r}, which can be predicted but not scored; accepted are splits with labels."
            )

    def describe(self) -> dict[str, Any]:
        """What stands beside a result, as JSON would hold it."""
        return {
            "benchmark": self.name,
            "task": self.task,
            "split": self.split,
            "split_hash": self.split_hash,
            "counts": self.counts,
            "label_names": None if self.label_names is None else list(self.label_names),
            "missing_pictures": list(self.missing),
            "protocol": self.protocol,
        }
