# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
From rows of a task to the tensors of a training step. A collator serves as `data_collator` of a plain
`transformers.Trainer` whose `train_dataset` is a [`~hf_unimo.data.benchmarks.rows.Benchmark`], and the same collator
makes the batches of `hf-unimo finetune`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from PIL import Image
from transformers import BaseImageProcessor, PreTrainedTokenizerBase

from ..errors import BadInputError
from .augmentation import Augmentation
from .benchmarks.rows import Benchmark, CaptionRow, RetrievalRow, Row, TokenCaptionRow, TokenIds
from .collator import Generators
from .images import BadRowError
from .masking import IGNORED, WholeWordMasking
from .pictures import PictureTensors
from .sources import MAX_IMAGE_PIXELS


RowT = TypeVar("RowT", bound=Row)

Target = Callable[[Row], int | float | np.ndarray]
"""What is to be predicted of a row: a class, a number, or a score for each class."""

Batch = dict[str, Any]


@dataclass(frozen=True)
class Example(Generic[RowT]):
    """A row with its pictures open: upright RGB."""

    row: RowT
    images: tuple[Image.Image, ...]

    @property
    def place(self) -> str:
        """What messages call it."""
        return self.row.id


def open_example(row: RowT, max_image_pixels: int = MAX_IMAGE_PIXELS) -> Example[RowT]:
    """
    Opens the pictures of a row.

    Raises:
        BadRowError: If one cannot be read. Its `place` is the row's.
    """
    try:
        return Example(row, tuple(picture.open(max_image_pixels) for picture in row.pictures))
    except BadRowError as error:
        error.place = row.id
        raise


@dataclass(frozen=True)
class ExamplesOfPicture:
    """Some rows about one picture, drawn together so that the picture is encoded once."""

    examples: tuple[Example, ...]

    @property
    def place(self) -> str:
        """What messages call them."""
        return ", ".join(example.place for example in self.examples)


class RowSource:
    """
    A split of a data set as a source of batches (see [`~hf_unimo.data.batches.Batches`]): its pictures are opened when
    a row is read.

    Args:
        data ([`Benchmark`]): At least one row.
        kind (`str`): One of [`~hf_unimo.data.schedule.KINDS`].
        max_image_pixels (`int`): Larger pictures count as rows that cannot be used.
        rows_per_image (`int`, *optional*): Makes every picture an item, which stands for so many of its rows, a row
            with several captions counting as one for each, drawn without repetition (all of them where it has fewer).
            By default every row is an item.
    """

    def __init__(
        self,
        data: Benchmark,
        kind: str,
        max_image_pixels: int = MAX_IMAGE_PIXELS,
        rows_per_image: int | None = None,
    ):
        self.data, self.name, self.kind, self.max_image_pixels = data, "train", kind, max_image_pixels
        self.rows_per_image, self.batch_size = rows_per_image, None
        self.groups: list[list[Row]] = []
        if rows_per_image is not None:
            found: dict[tuple[str, ...], list[Row]] = {}
            for row in data:
                key = tuple(picture.content_key() for picture in row.pictures)
                found.setdefault(key, []).extend(_rows_of_one_caption(row))
            self.groups = list(found.values())

    def __len__(self) -> int:
        return len(self.groups) or len(self.data)

    def read(self, item: int, rng: np.random.RandomState | None) -> Example | ExamplesOfPicture:
        """Item `item`. Raises BadRowError if a picture cannot be read."""
        if self.rows_per_image is None:
            return open_example(self.data[item], self.max_image_pixels)
        rows = self.groups[item]
        if len(rows) > self.rows_per_image:
            rows = [rows[place] for place in (rng or np.random).permutation(len(rows))[: self.rows_per_image]]
        first = open_example(rows[0], self.max_image_pixels)
        return ExamplesOfPicture((first, *(Example(row, first.images) for row in rows[1:])))


class TaskCollator:
    """
    Images and texts of rows as inputs of a classifier or regressor, with labels: question answering, entailment,
    NLVR2, images, single texts and pairs of texts.

    Args:
        tokenizer (`PreTrainedTokenizerBase`, *optional*): For rows with texts.
        image_processor (`BaseImageProcessor`, *optional*): For rows with pictures.
        target (`Callable`, *optional*): Row -> label; no labels without it.
        image_size (`int`, *optional*): Height and width in pixels; by default the image processor's.
        max_length (`int`, defaults to 64): Tokens of a text, special ones included; what is longer is cut off.
        max_image_pixels (`int`): Larger pictures cannot be read; of rows that come with their pictures open it is
            not asked.
        augmentation ([`Augmentation`], *optional*): Of training pictures; none by default.
        share_images (`bool`, defaults to `False`): Whether a picture that several rows of a batch are about comes
            once, with `image_index` saying which row is about which. They are augmented by the draws of the first.

    Raises:
        BadInputError: If a size is out of range.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase | None,
        image_processor: BaseImageProcessor | None,
        *,
        target: Target | None = None,
        image_size: int | None = None,
        max_length: int = 64,
        max_image_pixels: int = MAX_IMAGE_PIXELS,
        augmentation: Augmentation | None = None,
        share_images: bool = False,
    ):
        least = tokenizer.num_special_tokens_to_add() + 1 if tokenizer is not None else 1
        if not isinstance(max_length, int) or max_length < least:
            raise BadInputError(f"The longest text has {max_length!r} tokens; accepted are integers from {least} on.")
        self.tokenizer: Any = tokenizer
        self.pictures = None if image_processor is None else PictureTensors(image_processor, image_size)
        self.target, self.max_length, self.augmentation = target, max_length, augmentation
        self.max_image_pixels, self.share_images = max_image_pixels, share_images

    def __call__(
        self,
        rows: Sequence[Row | Example | ExamplesOfPicture],
        generators: Generators | None = None,
        train: bool = True,
    ) -> dict[str, Any]:
        """
        Args:
            rows (sequence of rows or examples): At least one.
            generators (`str -> sequence of torch.Generator`, *optional*): As for
                [`~hf_unimo.data.collator.PretrainingCollator`]; by default seeded from torch's global generator.
            train (`bool`, defaults to `True`): Whether pictures are augmented.

        Returns:
            What the rows have, of `pixel_values` (`(batch, 3, height, width)`; `(batch, 2, 3, height, width)` of rows
            with two pictures), `input_ids`, `attention_mask` (`(batch, length)`), `image_index` (`(batch,)`) and
            `labels` (`(batch,)` or `(batch, classes)`).

        Raises:
            BadRowError: If a picture cannot be read.
        """
        generators = generators or _drawn_generators(len(rows))
        groups = [row.examples if isinstance(row, ExamplesOfPicture) else (row,) for row in rows]
        examples = [row if isinstance(row, Example) else self.open(row) for group in groups for row in group]
        return self.tensors(examples, _for_each(generators, [len(group) for group in groups]), train)

    def open(self, row: Row) -> Example:
        """The row with its pictures. Raises BadRowError if one cannot be read."""
        return open_example(row, self.max_image_pixels)

    def batch(
        self, kind: str, rows: Sequence[Example | ExamplesOfPicture], generators: Generators, train: bool = True
    ) -> Batch:
        """As the collator of a run calls it; the kind says nothing that the rows do not."""
        return self(rows, generators, train)

    def tensors(self, examples: Sequence[Example], generators: Generators, train: bool) -> Batch:
        """The batch; subclasses override it."""
        batch: Batch = {}
        if examples[0].images:
            batch |= self.image_inputs(examples, generators, train)
        texts = [example.row.texts for example in examples]
        if texts[0]:
            batch |= self.text_inputs(texts)
        if self.target is not None:
            batch["labels"] = torch.as_tensor(np.stack([np.asarray(self.target(example.row)) for example in examples]))
            if batch["labels"].dtype == torch.float64:
                batch["labels"] = batch["labels"].float()
        return batch

    def image_inputs(self, examples: Sequence[Example], generators: Generators, train: bool) -> Batch:
        """`pixel_values`, and `image_index` if pictures are shared."""
        number = len(examples[0].images)
        chosen: Sequence[int] = range(len(examples))
        index: list[int] = []
        if self.share_images and number == 1:
            first: dict[tuple, int] = {}
            contents = [(example.images[0].size, example.images[0].tobytes()) for example in examples]
            for row, content in enumerate(contents):
                first.setdefault(content, row)
            if len(first) < len(examples):
                places = {content: place for place, content in enumerate(first)}
                chosen, index = list(first.values()), [places[content] for content in contents]
        images = [image for row in chosen for image in examples[row].images]
        pixels = self.pixels(images, _of_rows(generators, chosen) if train else None)
        batch: Batch = {"pixel_values": pixels.unflatten(0, (-1, number)) if number > 1 else pixels}
        return batch | ({"image_index": torch.tensor(index)} if index else {})

    def pixels(self, images: Sequence[Image.Image], generators: Generators | None = None) -> torch.Tensor:
        """What the model takes of pictures; with generators, one for each row, augmented."""
        if self.pictures is None:
            raise BadInputError("The rows have pictures, but there is no image processor.")
        pixels = self.pictures.resize(images)
        if generators is not None and self.augmentation is not None:
            drawn = generators("augmentation")
            repeats = len(images) // len(drawn)
            # Two pictures of a row draw one after the other from the row's generator.
            pixels = self.augmentation(pixels, [generator for generator in drawn for _ in range(repeats)])
        return self.pictures.normalise(pixels)

    def text_inputs(self, texts: Sequence[Sequence[str]]) -> Batch:
        """
        `input_ids` and `attention_mask` of single texts or pairs of texts, padded on the right. Among pairs a text
        alone has an empty second one.
        """
        if self.tokenizer is None:
            raise BadInputError("The rows have texts, but there is no tokenizer.")
        length = max(len(text) for text in texts)
        columns = zip(*((*text, *[""] * (length - len(text))) for text in texts))
        encoded = self.tokenizer(
            *map(list, columns),
            truncation=True,
            max_length=self.max_length,
            padding=True,
            padding_side="right",
            return_attention_mask=True,
            return_tensors="pt",
        )
        return {name: encoded[name] for name in ("input_ids", "attention_mask")}

    def cut(self, text: TokenIds) -> tuple[Sequence[int], Sequence[int]]:
        """Token and position ids; of a text that is too long the token that closes it stays."""
        ids, most = text.input_ids, self.max_length
        return (ids if len(ids) <= most else (*ids[: most - 1], ids[-1])), text.position_ids[:most]

    def padded(self, rows: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Batch:
        """`input_ids`, `attention_mask` and `position_ids` of token and position ids, padded on the right."""
        shape = (len(rows), max(len(ids) for ids, _ in rows))
        batch = {
            "input_ids": torch.full(shape, self.tokenizer.pad_token_id),
            "attention_mask": torch.zeros(shape, dtype=torch.long),
            "position_ids": torch.ones(shape, dtype=torch.long),  # of the padding, in the official files too
        }
        for row, (ids, positions) in enumerate(rows):
            batch["input_ids"][row, : len(ids)] = torch.tensor(ids)
            batch["position_ids"][row, : len(ids)] = torch.tensor(positions)
            batch["attention_mask"][row, : len(ids)] = 1
        return batch


class RetrievalCollator(TaskCollator):
    """
    Pairs of a picture and one of its captions, drawn in training, the first one else; `return_loss` asks the model for
    the loss of pairs (contrast, and matching with hard wrong partners). Captions of the official files come in token
    ids.
    """

    def tensors(self, examples: Sequence[Example], generators: Generators, train: bool) -> Batch:
        captions = [example.row.captions for example in examples]
        chosen = _draw(captions, generators("caption")) if train else [found[0] for found in captions]
        images = self.image_inputs(examples, generators, train)
        return {**images, **self.caption_inputs(chosen), "return_loss": True}

    def caption_inputs(self, captions: Sequence[str | TokenIds]) -> Batch:
        """As `text_inputs`; of token ids with `position_ids`."""
        token_ids = [caption for caption in captions if isinstance(caption, TokenIds)]
        if token_ids:
            return self.padded([self.cut(caption) for caption in token_ids])
        return self.text_inputs([(caption,) for caption in captions if isinstance(caption, str)])


class GroupedRetrievalCollator(RetrievalCollator):
    """
    Groups of the first implementation: a pair, n wrong images for its caption and n wrong captions for its image, all
    drawn evenly from the rows of the data with other pictures and other captions. Every image and caption of the batch
    is encoded once. Also without training everything is drawn: this loss has no other form.

    Args:
        data ([`Benchmark`]): Rows that wrong partners are drawn from: those of the training.
        negatives (`int`, defaults to 20): Wrong pairs of a group, an even number: half of them have another image.

        Others as for `TaskCollator`.
    """

    def __init__(self, tokenizer, image_processor, *, data: Benchmark, negatives: int = 20, **options):
        super().__init__(tokenizer, image_processor, **options)
        if negatives < 2 or negatives % 2:
            raise BadInputError(f"A group has {negatives} wrong pairs; accepted are even numbers from 2 on.")
        if len(data) < 2:
            raise BadInputError("Wrong partners are drawn from other rows, but the data has one row only.")
        self.data, self.number = data, negatives // 2

    def tensors(self, examples: Sequence[Example], generators: Generators, train: bool) -> Batch:
        captions = _draw([example.row.captions for example in examples], generators("caption"))
        images = [example.images[0] for example in examples]
        owners = list(range(len(examples)))
        image_index, text_index = [], []
        for group, (example, generator) in enumerate(zip(examples, generators("negatives"))):
            wrong_images = range(len(images), len(images) + self.number)
            wrong_texts = range(len(captions), len(captions) + self.number)
            images += [self._other(example.row, generator).images[0] for _ in wrong_images]
            others = [self._other_row(example.row, generator) for _ in wrong_texts]
            captions += _draw([other.captions for other in others], [generator] * self.number)
            owners += [group] * self.number
            image_index.append([group, *wrong_images, *[group] * self.number])
            text_index.append([group, *[group] * self.number, *wrong_texts])
        return {
            "pixel_values": self.pixels(images, _of_rows(generators, owners) if train else None),
            **self.caption_inputs(captions),
            "image_index": torch.tensor(image_index),
            "text_index": torch.tensor(text_index),
            "return_loss": True,
        }

    def _other_row(self, row: RetrievalRow, generator: torch.Generator) -> RetrievalRow:
        """Another row with another picture, none of whose captions is one of this row's."""
        for _ in range(1000):
            other = self.data[int(torch.randint(len(self.data), (), generator=generator))]
            if other.id != row.id and other.image != row.image and not {*other.captions} & {*row.captions}:
                return other
        raise BadInputError(f"No row with another picture and other captions than {row.id} was found in 1,000 draws.")

    def _other(self, row: RetrievalRow, generator: torch.Generator) -> Example:
        """Another row with its picture, which can be read."""
        for _ in range(100):
            try:
                return self.open(self._other_row(row, generator))
            except BadRowError:
                continue  # it is counted when it is drawn as a row of its own
        raise BadInputError("None of 100 wrong partners that were drawn has a picture that can be read.")


class CaptioningCollator(TaskCollator):
    """
    A picture and one of its captions, drawn in training: `labels` are the ids of all words but the first token.
    Rows of the official files come in token ids, with their object tags in front (`token_type_ids` 0).
    """

    def tensors(self, examples: Sequence[Example], generators: Generators, train: bool) -> Batch:
        images = self.image_inputs(examples, generators, train)
        if isinstance(examples[0].row, TokenCaptionRow):
            return {**images, **self._given(examples)}
        references = [example.row.references for example in examples]
        chosen = _draw(references, generators("caption")) if train else [found[0] for found in references]
        texts = self.text_inputs([(caption,) for caption in chosen])
        labels = texts["input_ids"].masked_fill(texts["attention_mask"] == 0, IGNORED)
        labels[:, 0] = IGNORED
        return {**images, **texts, "labels": labels}

    def _given(self, examples: Sequence[Example[TokenCaptionRow]]) -> Batch:
        """Object tags, cut off at the longest text; the caption, cut off with the token that closes it."""
        rows, tags_of = [], []
        for example in examples:
            caption, objects = example.row.tokens, example.row.objects
            if caption is None:
                raise BadInputError(f"{example.place} has no caption; training accepts splits with captions.")
            ids, positions = self.cut(caption)
            tags = () if objects is None else objects.input_ids[: self.max_length]
            places = () if objects is None else objects.position_ids[: self.max_length]
            rows.append(((*tags, *ids), (*places, *positions)))
            tags_of.append(len(tags))
        batch = self.padded(rows)
        words = torch.arange(batch["input_ids"].shape[1])
        tags_end = torch.tensor(tags_of)[:, None]
        targets = (words > tags_end) & (batch["attention_mask"] == 1)  # not the token that begins the caption
        return {
            **batch,
            "token_type_ids": (words >= tags_end).long(),
            "labels": batch["input_ids"].masked_fill(~targets, IGNORED),
        }


class MaskedWordsCollator(TaskCollator):
    """
    Texts with whole words hidden, beside a picture where the rows have one.

    Args:
        masking ([`WholeWordMasking`]): Which words are hidden, and behind what.

        Others as for `TaskCollator`.
    """

    def __init__(self, tokenizer, image_processor, *, masking: WholeWordMasking, **options):
        super().__init__(tokenizer, image_processor, **options)
        self.masking = masking

    def tensors(self, examples: Sequence[Example], generators: Generators, train: bool) -> Batch:
        captions = [texts_of(example.row) for example in examples]
        chosen = _draw(captions, generators("caption")) if train else [found[0] for found in captions]
        batch = self.image_inputs(examples, generators, train) if examples[0].images else {}
        words = self.text_inputs([(text,) for text in chosen])
        words["input_ids"], labels = self.masking(**words, generator=generators("masking"))
        return {**batch, **words, "labels": labels}


def texts_of(row: Row) -> Sequence[str]:
    """The captions of a picture, one of which counts, or a row's own text, or both of its texts as one."""
    if isinstance(row, RetrievalRow):
        return [caption for caption in row.captions if not isinstance(caption, TokenIds)]
    return row.references if isinstance(row, CaptionRow) else (" ".join(row.texts),)


def _rows_of_one_caption(row: Row) -> list[Row]:
    """A row for each caption of a picture; any other row alone."""
    if isinstance(row, RetrievalRow):
        pairs = zip(row.captions, row.caption_ids)
        return [replace(row, captions=(caption,), caption_ids=(name,)) for caption, name in pairs]
    if isinstance(row, CaptionRow):
        return [replace(row, references=(caption,)) for caption in row.references]
    return [row]


def _draw(choices: Sequence[Sequence[Any]], generators: Sequence[torch.Generator]) -> list[Any]:
    """One of each row's choices."""
    return [
        found[int(torch.randint(len(found), (), generator=generator))] for found, generator in zip(choices, generators)
    ]


def _drawn_generators(rows: int) -> Generators:
    """For a plain `Trainer`, whose only source of randomness is torch's global generator."""

    def generators(name: str) -> list[torch.Generator]:
        return [torch.Generator().manual_seed(int(torch.randint(2**31, ()))) for _ in range(rows)]

    return generators


def _for_each(generators: Generators, sizes: Sequence[int]) -> Generators:
    """Generators of groups as those of their rows, which draw one after the other."""
    return lambda name: [found for found, size in zip(generators(name), sizes) for _ in range(size)]


def _of_rows(generators: Generators, rows: Sequence[int]) -> Generators:
    """The generators of some of the rows."""

    def chosen(name: str) -> list[torch.Generator]:
        found = generators(name)
        return [found[row] for row in rows]

    return chosen
