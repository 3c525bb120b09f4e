# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
# mypy: disable-error-code="override"
"""What the pipelines share: pictures and texts become rows, rows become batches that change no answer."""

import inspect
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence
from transformers import GenerationMixin
from transformers.pipelines import PIPELINE_REGISTRY, Pipeline
from transformers.utils import logging

from ..data.buckets import bucketed
from ..errors import BadInputError
from .heads import HEADS
from .inputs import as_rows, check_row, read_image


logger = logging.get_logger(__name__)

Row = dict[str, torch.Tensor]
"""One picture and/or text, encoded: `pixel_values` (3, height, width), `input_ids` (L,) and so on."""


class ImageTextPipeline(Pipeline):
    """
    Base of the pipelines on pictures and texts.

    A subclass names its heads, its inputs and `_outputs`, which turns rows into tensors of as many rows. Rows travel
    unpadded up to there and are batched by [`grouped`], so that a batch gives the answers one by one would.
    """

    # transformers annotates these by what most pipelines lack.
    model: Any
    tokenizer: Any
    image_processor: Any

    # Optional for transformers, as a processor may bring both; that they are there is checked below.
    _load_tokenizer = None
    _load_image_processor = None
    _load_processor: Any = False
    _load_feature_extractor: Any = False
    _load_video_processor: Any = False

    own_task: str
    """The task, by our name for it. `task` may be another name of it."""
    text_name = "text"
    image_name = "image"
    needs: tuple[str, ...] = ("image", "text")

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.task = self.task or self.own_task
        heads = HEADS[self.own_task]
        if not heads.include(type(self.model)):
            raise BadInputError(
                f"A {type(self.model).__name__} cannot do {self.task}, which takes {heads}; it can do "
                f"{', '.join(tasks_of(self.model)) or 'none of the known tasks'}."
            )
        for name in ("tokenizer", "image_processor"):
            if getattr(self, name) is None:
                raise BadInputError(
                    f"`{name}` is missing: {self.task} needs one, or a `processor`, or a model folder that has it."
                )
        self._accepted = set(inspect.signature(self.model.forward).parameters)
        self._num_rows = self._num_cut = 0

    def run(self, image: Any, text: Any, **kwargs) -> Any:
        """
        The answers for pictures and texts in the forms of [`as_rows`]; `kwargs` are those of `Pipeline`.

        Rows of a list are batched by the lengths of their texts, and answered in their own order.
        """
        rows = as_rows(image, text, self.text_name, self.image_name)
        if isinstance(rows, list) and not rows:
            return []  # transformers looks at the first element
        self._num_rows = self._num_cut = 0
        batch_size = kwargs.get("batch_size") or self._batch_size or 1
        if isinstance(rows, list) and 1 < batch_size < len(rows) and not self._sees_padding():
            order = list(chain.from_iterable(bucketed([self._length(row) for row in rows], batch_size)))
            found = super().__call__([rows[number] for number in order], **kwargs)
            by_number = dict(zip(order, found))
            answers: Any = [by_number[number] for number in range(len(rows))]
        else:
            answers = super().__call__(rows, **kwargs)
        if isinstance(rows, Iterator):
            return self._then_warn(answers)
        self._warn()
        return answers

    def _sees_padding(self) -> bool:
        """Whether the model does as the first implementation: a batch then decides the answers."""
        return getattr(self.model.config, "official_padding", False)

    def _length(self, row: Any) -> int:
        """Of a row's text, in tokens; 0 of what [`check_row`] will refuse."""
        text = row.get(self.text_name) if isinstance(row, dict) else None
        return len(self.tokenizer(text, verbose=False)["input_ids"]) if isinstance(text, str) else 0

    def _then_warn(self, answers: Any) -> Iterator:
        yield from answers
        self._warn()

    def _warn(self) -> None:
        if self._num_cut:
            logger.warning(
                f"{self._num_cut} of {self._num_rows} texts were longer than the {self._max_length()} tokens that the "
                "model takes, and were truncated."
            )

    def _max_length(self) -> int:
        """How many tokens a text may have, special ones included."""
        config = self.model.config.get_text_config()
        positions = getattr(config, "max_position_embeddings", None)
        limit = self.tokenizer.model_max_length
        return limit if positions is None else min(limit, positions - getattr(config, "position_offset", 0))

    def preprocess(self, row: Any, timeout: float | None = None) -> dict[str, Any]:
        """One row, encoded and unpadded."""
        image, text = check_row(row, self.text_name, self.needs, self.task, self.image_name)
        encoded: Row = {}
        cut = False
        if text is not None:
            limit = self._max_length()
            words = self.tokenizer(text, verbose=False)
            if cut := len(words["input_ids"]) > limit:
                words = self.tokenizer(text, truncation=True, max_length=limit)
            encoded |= {name: torch.tensor(values) for name, values in words.items()}
        if image is not None:
            encoded |= self._pixels(image, timeout)
        return {"rows": {name: value for name, value in encoded.items() if name in self._accepted}, "cut": cut}

    def _pixels(self, image: Any, timeout: float | None) -> Row:
        """The picture of a row, encoded."""
        pixels = self.image_processor(images=read_image(image, timeout), return_tensors="pt")
        return {name: values[0] for name, values in pixels.items()}

    def _forward(self, model_inputs: dict[str, Any], **parameters) -> dict[str, torch.Tensor]:
        rows, cut = model_inputs["rows"], model_inputs["cut"]
        if isinstance(rows, dict):  # a row by itself comes uncollated
            rows, cut = [rows], [cut]
        self._num_rows += len(rows)
        self._num_cut += sum(cut)
        return self._outputs(rows, **parameters)

    def _outputs(self, rows: list[Row], **parameters: Any) -> dict[str, torch.Tensor]:
        raise NotImplementedError

    def grouped(
        self, rows: list[Row], run: Callable[[dict[str, torch.Tensor]], torch.Tensor], same_length: bool = False
    ) -> list[torch.Tensor]:
        """
        What `run` gives for each row, in the rows' order, with as few calls as possible.

        Pictures of several sizes share a batch only if the model takes a `pixel_mask`; texts of several lengths do
        unless `same_length`.

        Args:
            rows (`list[Row]`): Encoded rows.
            run (`Callable`): Takes the model's inputs of N rows and returns a tensor (N, ...).
            same_length (`bool`): For what does not shield itself from padding.
        """
        groups: dict[tuple, list[int]] = {}
        for place, row in enumerate(rows):
            size = row["pixel_values"].shape if "pixel_values" in row and "pixel_mask" not in row else None
            length = len(row["input_ids"]) if same_length and "input_ids" in row else None
            groups.setdefault((size, length), []).append(place)
        results: dict[int, torch.Tensor] = {}
        for places in groups.values():
            results |= zip(places, run(self._batch([rows[place] for place in places])))
        return [results[place] for place in range(len(rows))]

    def _batch(self, rows: list[Row]) -> dict[str, torch.Tensor]:
        batch = {}
        for name in rows[0]:
            values = [row[name] for row in rows]
            if values[0].dim() == 1:
                padding = self.tokenizer.pad_token_id or 0 if name == "input_ids" else 0
                batch[name] = pad_sequence(values, batch_first=True, padding_value=padding)
            else:
                height, width = (max(value.shape[side] for value in values) for side in (-2, -1))
                batch[name] = torch.stack(
                    [F.pad(value, (0, width - value.shape[-1], 0, height - value.shape[-2])) for value in values]
                )
        if "pixel_values" in batch:
            batch["pixel_values"] = batch["pixel_values"].to(self.dtype)
        return batch

    def logits(self, rows: list[Row]) -> torch.Tensor:
        """The classifier's logits (rows, classes), float32, of as many as `config.id2label` has names for."""
        logits = torch.stack(self.grouped(rows, lambda batch: self.model(**batch).logits)).float()
        names = len(self.model.config.id2label)
        if logits.shape[1] != names:
            raise BadInputError(
                f"`config.id2label` names {names} answers, but the classifier has {logits.shape[1]}; expected as many."
            )
        return logits

    def generate(self, rows: list[Row], settings: dict[str, Any], prompts: bool) -> torch.Tensor:
        """
        Token ids (rows, sequences a row, length), padded.

        Args:
            rows (`list[Row]`): Encoded rows.
            settings (`dict`): For the model's `generate`. Without a length in them, at most 30 tokens are added, and
                as many as there are positions for.
            prompts (`bool`): Whether the texts are continued.
        """
        add_length = not settings.keys() & {"max_new_tokens", "max_length", "generation_config"}
        padding = self.tokenizer.pad_token_id or 0

        def run(batch: dict[str, torch.Tensor]) -> torch.Tensor:
            taken = batch["input_ids"].shape[1] if prompts and "input_ids" in batch else 1
            length = {"max_new_tokens": max(1, min(30, self._max_length() - taken))} if add_length else {}
            sequences = self.model.generate(**batch, **length, **settings)
            return sequences.view(len(batch["pixel_values"]), -1, sequences.shape[-1])

        results = self.grouped(rows, run, same_length=True)
        by_length = pad_sequence([one.t() for one in results], batch_first=True, padding_value=padding)
        return by_length.transpose(1, 2)

    def continues_prompts(self) -> bool:
        """Whether `generate` continues the given tokens as they are, instead of preparing them itself."""
        return type(self.model).generate is GenerationMixin.generate

    def read(self, sequences: torch.Tensor) -> list[str]:
        """The texts of token ids (sequences, length)."""
        return [text.strip() for text in self.tokenizer.batch_decode(sequences, skip_special_tokens=True)]


def tasks_of(model: Any) -> list[str]:
    """The tasks that take the model's class: transformers' by their Auto classes, ours by name."""
    tasks = {task: None for task, heads in HEADS.items() if heads.include(type(model))}
    for task, known in PIPELINE_REGISTRY.supported_tasks.items():
        for auto_class in known["pt"]:
            found = auto_class._model_mapping.get(type(model.config), None)
            if type(model) in (found if isinstance(found, tuple) else (found,)):
                tasks[task] = None
    return list(tasks)
