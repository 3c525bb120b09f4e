# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""From rows of one kind to the tensors of a training step: pictures resized and augmented, words hidden."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import torch
from transformers import BaseImageProcessor, PreTrainedTokenizerBase

from ..errors import BadInputError, unknown_name
from .augmentation import Augmentation, two_views
from .masking import WholeWordMasking
from .pictures import PictureTensors
from .schedule import KINDS


if TYPE_CHECKING:
    from .sources import Row

Generators = Callable[[str], Sequence[torch.Generator]]

PRESETS = {"contrastive": Augmentation.contrastive, "caption_safe": Augmentation.caption_safe}
NO_AUGMENTATION = "none"
DEFAULT_AUGMENTATION = {"pairs": "caption_safe", "images": "contrastive"}
# `min_masked` is missing, as its top-ups look at a whole batch: with them a row's outcome would depend on how many
# processes share the batch. Nothing is lost: a ratio above 0 hides a word of every row that has one.
MASKING_OPTIONS = ("ratio", "span_p", "longest_span", "mask_share", "random_share")
DEFAULT_RATIO = 0.15


class PretrainingCollator:
    """
    Makes the tensors of a batch from rows of one kind, for any tokenizer and image processor of transformers.

    All randomness comes from one generator a row, so what becomes of a row depends neither on its neighbours nor on
    the number of processes (but for the padding on the right of its text).

    Args:
        tokenizer (`PreTrainedTokenizerBase`, *optional*): Needed for kinds `"pairs"` and `"text"`.
        image_processor (`BaseImageProcessor`, *optional*): Needed for kinds `"pairs"` and `"images"`. Its rescaling
            and normalisation must treat each pixel by itself.
        image_size (`int`, *optional*): Height and width of the pictures in pixels. Without it the image processor's.
        max_length (`int`, defaults to 64): Tokens of a text, special ones included; what is longer is cut off.
        masking (mapping, *optional*): For `"pairs"` and `"text"` a mapping of options of `WholeWordMasking` (`ratio`,
            `span_p`, `longest_span`, `mask_share`, `random_share`). A kind that is missing gets the defaults; with
            ratio 0 its words stay as they are and there are no labels.
        augmentation (mapping, *optional*): For `"pairs"` and `"images"` the name of a preset of `Augmentation`
            (`"caption_safe"`, the default for pairs; `"contrastive"`, the default for images), `"none"`, a mapping of
            its arguments other than `size`, or an `Augmentation`.
        own_masked_pass (`bool`, defaults to `False`): Whether the masked texts of pairs come beside the whole ones
            instead of in their place.

    Raises:
        BadInputError: If an option is unknown or out of range, or the tokenizer has no mask token.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase | None,
        image_processor: BaseImageProcessor | None,
        *,
        image_size: int | None = None,
        max_length: int = 64,
        masking: Mapping[str, Mapping[str, float]] | None = None,
        augmentation: Mapping[str, str | Mapping[str, Any] | Augmentation] | None = None,
        own_masked_pass: bool = False,
    ):
        least = tokenizer.num_special_tokens_to_add() + 1 if tokenizer is not None else 1
        if not isinstance(max_length, int) or max_length < least:
            raise BadInputError(f"The longest text has {max_length!r} tokens; accepted are integers from {least} on.")
        self.tokenizer: Any = tokenizer
        self.max_length, self.own_masked_pass = max_length, own_masked_pass
        self.masking = _maskings(tokenizer, masking or {})
        self.augmentation = _augmentations(augmentation or {})
        self.pictures = None if image_processor is None else PictureTensors(image_processor, image_size)

    def __call__(
        self, kind: str, rows: Sequence["Row"], generators: Generators, train: bool = True
    ) -> dict[str, torch.Tensor]:
        """
        Args:
            kind (`str`): `"pairs"`, `"images"` or `"text"`: what the rows hold.
            rows (sequence of `Row`): At least one; their `image` is an upright RGB picture, their `text` a string.
            generators (`str -> sequence of torch.Generator`): Gives fresh generators, one for each row, for the name
                of what is drawn (`"masking"`, `"augmentation"`), e.g. `hf_unimo.data.schedule.row_generators` with
                all other keys filled in.
            train (`bool`, defaults to `True`): Whether pictures of pairs are augmented. Those of kind `"images"` are
                in evaluation too, as visual contrastive learning has no loss without two views.

        Returns:
            What the kind and the options call for, of:

            * `pixel_values` (`(batch, 3, height, width)`, float32), and `second_pixel_values`, alike: another view of
              the pictures. There is none if kind `"images"` is not augmented.
            * `input_ids`, `attention_mask` (`(batch, length)`, int64): padded on the right to the longest text. Words
              are hidden in `input_ids`; those of pairs with `own_masked_pass`, and always in evaluation, in
              `masked_input_ids`, alike: retrieval is measured with whole captions.
            * `labels` (`(batch, length)`, int64): the hidden ids, -100 elsewhere.

        Raises:
            BadInputError: If the kind is unknown, or the part that it needs is missing.
        """
        if kind not in KINDS:
            raise BadInputError(f"The kind of a batch is unknown: {unknown_name(kind, KINDS)}")
        batch: dict[str, torch.Tensor] = {}
        if kind != "text":
            batch |= self._pictures(kind, rows, generators, train)
        if kind != "images":
            batch |= self._texts(kind, rows, generators, train)
        return batch

    def _pictures(self, kind, rows, generators, train) -> dict[str, torch.Tensor]:
        if self.pictures is None:
            raise BadInputError(f"A batch of kind {kind!r} needs an image processor, and there is none.")
        pixels = self.pictures.resize([row.image for row in rows])
        augmentation = self.augmentation[kind]
        if augmentation is None or not (train or kind == "images"):
            return {"pixel_values": self.pictures.normalise(pixels)}
        if kind == "images":
            views = two_views(augmentation, pixels, generators("augmentation"))
            names = ("pixel_values", "second_pixel_values")
            return {name: self.pictures.normalise(view) for name, view in zip(names, views)}
        return {"pixel_values": self.pictures.normalise(augmentation(pixels, generators("augmentation")))}

    def _texts(self, kind, rows, generators, train) -> dict[str, torch.Tensor]:
        if self.tokenizer is None:
            raise BadInputError(f"A batch of kind {kind!r} needs a tokenizer, and there is none.")
        encoded = self.tokenizer(
            [row.text for row in rows],
            truncation=True,
            max_length=self.max_length,
            padding=True,
            padding_side="right",  # masking draws by position: padding on the left would move the words
            return_attention_mask=True,
            return_tensors="pt",
        )
        batch = {name: encoded[name] for name in ("input_ids", "attention_mask")}
        if (masking := self.masking[kind]) is None:
            return batch
        masked, labels = masking(**batch, generator=generators("masking"))
        own = kind == "pairs" and (self.own_masked_pass or not train)
        return batch | {"masked_input_ids" if own else "input_ids": masked, "labels": labels}


def _maskings(tokenizer, options: Mapping[str, Mapping[str, float]]) -> dict[str, WholeWordMasking | None]:
    """The masking of each kind with texts; None for one whose ratio is 0."""
    kinds = ("pairs", "text")
    for kind, found in options.items():
        if kind not in kinds:
            raise BadInputError(f"Masking is set for an unknown kind: {unknown_name(kind, kinds)}")
        if not isinstance(found, Mapping):
            raise BadInputError(f"Masking of {kind} is {found!r}; accepted is a mapping, e.g. {{ratio: 0.15}}.")
        for name, value in found.items():
            if name not in MASKING_OPTIONS:
                raise BadInputError(f"Masking of {kind} has an unknown option: {unknown_name(name, MASKING_OPTIONS)}")
            if not _is_number(value):
                raise BadInputError(f"`{name}` of the masking of {kind} is {value!r}; accepted is a number.")
    given = {kind: {"ratio": DEFAULT_RATIO, **options.get(kind, {})} for kind in kinds}
    if tokenizer is None or not any(found["ratio"] for found in given.values()):
        return dict.fromkeys(kinds)
    base = WholeWordMasking.from_tokenizer(tokenizer, min_masked=0)
    return {kind: replace(base, **found) if found["ratio"] else None for kind, found in given.items()}  # type: ignore[arg-type]


def _augmentations(options: Mapping[str, Any]) -> dict[str, Augmentation | None]:
    """The augmentation of each kind with pictures; None for one without."""
    for kind in options:
        if kind not in DEFAULT_AUGMENTATION:
            raise BadInputError(
                f"Augmentation is set for an unknown kind: {unknown_name(kind, (*DEFAULT_AUGMENTATION,))}"
            )
    return {kind: read_augmentation(kind, options.get(kind, usual)) for kind, usual in DEFAULT_AUGMENTATION.items()}


def read_augmentation(kind: str, found: Any) -> Augmentation | None:
    """The augmentation that an option of `kind` means; None for none."""
    if isinstance(found, Augmentation):
        return found
    if isinstance(found, str):
        if found == NO_AUGMENTATION:
            return None
        if found not in PRESETS:
            raise BadInputError(
                f"Augmentation of {kind} is unknown: {unknown_name(found, (*PRESETS, NO_AUGMENTATION))}"
            )
        return PRESETS[found]()
    names = tuple(field.name for field in fields(Augmentation) if field.name != "size")  # the image size decides
    if not isinstance(found, Mapping):
        raise BadInputError(
            f"Augmentation of {kind} is {found!r}; accepted are {', '.join(PRESETS)}, {NO_AUGMENTATION} and a mapping "
            f"of {', '.join(names)}."
        )
    for name, value in found.items():
        if name not in names:
            raise BadInputError(f"Augmentation of {kind} has an unknown option: {unknown_name(name, names)}")
        if not all(_is_number(part) for part in (value if isinstance(value, list | tuple) else [value])):
            raise BadInputError(f"`{name}` of the augmentation of {kind} is {value!r}; accepted are numbers.")
    return Augmentation(**found)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
