# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Captioning: one generated caption a picture, against people's."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from ..data.benchmarks.rows import Benchmark, CaptionRow, TokenCaptionRow, TokenIds
from ..errors import BadInputError, unknown_name
from ..files import write_atomically
from ..retrieval.adapters import Pictures, Texts, preprocessing
from ..retrieval.token_ids import pad_token_ids
from .adapters import check_task
from .bootstrap import Figure
from .measuring import Options, finish, intervals, padded_lengths, run_rows, start_protocol
from .metrics.caption_tokens import tokenize
from .metrics.captions import (
    bleu,
    bleu_statistics,
    check_metric,
    cider_d,
    meteor_file,
    meteor_program,
    rouge_l,
    tokenize_captions,
)
from .protocol import Result
from .token_ids import caption_rows, check_token_ids


DEFAULT_LENGTH = 30
"""Tokens of a caption at most, where neither the caller nor the model says it."""

MAX_OBJECTS = 100
"""Object tokens of a picture at most, as in the first implementation."""

MORE_METRICS = ("meteor",)
"""What can be asked for beside BLEU, CIDEr-D and ROUGE-L."""

LEAST: dict[str, int | None] = {
    "num_beams": 1,
    "max_new_tokens": 1,
    "min_new_tokens": 0,
    "no_repeat_ngram_size": 0,
    "length_penalty": None,
    "repetition_penalty": None,
    "early_stopping": None,
    "official_beam_search": None,
}
"""What of the generation can be set -> the least of those that are integers."""

# Of a model's generation settings: ids, which its `generate` finds by itself; what changes no greedy or beam search;
# and what is decided here.
_NOT_PASSED = (
    *("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id"),
    *("use_cache", "cache_implementation", "return_dict_in_generate", "transformers_version", "_from_model_config"),
    *("do_sample", "temperature", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff"),
    *("num_return_sequences", "max_length"),
)


def evaluate_captioning(
    model: PreTrainedModel,
    processor: Any,
    data: Benchmark,
    *,
    generation: Mapping[str, Any] | None = None,
    tokenizer: str = "rules",
    more_metrics: Sequence[str] = (),
    predictions: str | os.PathLike | None = None,
    batch_size: int = 32,
    options: Options | None = None,
) -> Result:
    """
    Captions each picture once and compares with the references.

    Args:
        model: A `Unimo2ForConditionalGeneration` or transformers' `BlipForConditionalGeneration`, in evaluation mode,
            on its device.
        processor: Of the model.
        data ([`Benchmark`]): Rows of `CaptionRow`; or for UNIMO-2 of `TokenCaptionRow`, whose captions are decoded by
            the tokenizer to be references, and whose object tokens, if any, stand before the caption: the first
            [`MAX_OBJECTS`], or as many as there are positions for.
        generation (`dict`, *optional*): Keys of `LEAST`, in place of those in the model's generation config. Nothing
            is sampled. Without a length in either, [`DEFAULT_LENGTH`] tokens, or as many as there are positions for.
            `official_beam_search` searches as UNIMO-2's first implementation did.
        tokenizer (`str`, defaults to `"rules"`): Of the metrics, see
            [`~hf_unimo.evaluation.metrics.caption_tokens.tokenize`].
        more_metrics (sequence of `str`): `"meteor"`, which needs Java and pycocoevalcap (extra `captions`).
        predictions (*optional*): File for the captions: a JSON list of `{"image_id", "caption"}`.
        batch_size (`int`, defaults to 32): Pictures that are captioned at once.
        options ([`Options`], *optional*): How it runs.

    Returns:
        [`Result`] with `bleu_1` to `bleu_4` and `rouge_l`, 0 to 1, `cider_d`, 0 to 10, and `meteor`, 0 to 1, if it was
        asked for. The interval draws pictures; the weights of CIDEr-D's n-grams stay those of all of them.

    Raises:
        BadInputError: If the model or the data are not for the task, references are hidden or have no word, token ids
            are not the model's, a setting, metric or the tokenizer is not accepted or cannot run here, or no row can
            be used.
        CheckFailedError: If a Java program fails.
    """
    options = options or Options()
    check_task("captioning", model, processor)
    for metric in more_metrics:
        check_metric(metric, MORE_METRICS)
    if "meteor" in more_metrics:
        meteor_file()  # before the long part: it refuses what is not there
    writer = _Writer(model, processor, generation or {}, batch_size)
    rows, objects = _rows(data, writer.texts, model)
    references = _references(rows, tokenizer)
    cut = writer.take_objects(objects)
    items = [_Item(row.image, found) for row, found in zip(rows, objects)]
    lengths = writer.lengths(objects)
    captions, kept, failed = run_rows(writer.name, items, _Item.opened, writer.captions, options, lengths)
    rows_kept = [rows[number] for number in kept]
    words = tokenize(captions.tolist(), tokenizer)
    figures = _figures(words, [references[number] for number in kept], "meteor" in more_metrics, options)
    notes = []
    if predictions is not None:
        _write_predictions(Path(predictions), rows_kept, captions.tolist())
        notes.append(f"The captions are in `{Path(predictions).name}`.")
    if len(kept) == 1:
        notes.append("CIDEr-D weighs n-grams by how few pictures they describe: of one picture it is always 0.")
    if cut:
        notes.append(f"Of {cut} pictures the object tokens were cut to {writer.max_objects}.")
    numbers = [len(row.references) for row in rows_kept]
    from_ids = rows is not data
    scoring = "one generated caption a picture, against all its references"
    scoring += "; the object tokens of the data before the caption" if objects[0] is not None else ""
    scoring += "; METEOR 1.5, English, by its Java program" if "meteor" in more_metrics else ""
    protocol = start_protocol(
        data,
        options,
        model,
        writer.images,
        None,
        rows=len(kept),
        images=len(kept),
        captions_per_image=(min(numbers), max(numbers)),
        text_input="references from token ids of the data, by the model's tokenizer" if from_ids else None,
        scoring=scoring,
        generation=writer.settings,
        metric_variant=f"tokenizer {tokenizer}",
    )
    if protocol.bootstrap:
        protocol = replace(protocol, bootstrap=protocol.bootstrap | {"unit": "pictures"})
    failures = [(rows[number].id, reason) for number, reason in failed]
    return finish("captioning", model, options, protocol, figures, failures, notes)


@dataclass(frozen=True)
class _Item:
    """What a caption is written from."""

    image: Any
    objects: TokenIds | None

    def opened(self) -> "_Item":
        return replace(self, image=self.image.open())


@dataclass
class _Writer:
    """Captions of pictures."""

    model: Any
    processor: Any
    generation: Mapping[str, Any]
    batch_size: int

    def __post_init__(self) -> None:
        images, texts = preprocessing(self.model, self.processor)
        if images is None or texts is None:
            raise BadInputError("Captioning needs a processor with an image processor and a tokenizer.")
        self.images: Pictures = images
        self.texts: Texts = texts
        self.settings = generation_settings(self.model, self.generation, texts.max_length)
        self._given = generate_arguments(self.model, self.settings)
        self.max_objects = min(MAX_OBJECTS, texts.max_length - 1 - self.settings["max_new_tokens"])
        self._depends: list[Any] = [self.settings]

    def take_objects(self, objects: Sequence[TokenIds | None]) -> int:
        """That there is room for those of all pictures; of how many they will be cut."""
        given = [found for found in objects if found is not None]
        if not given:
            return 0
        if self.max_objects < 1:
            raise BadInputError(
                f"The generation has max_new_tokens {self.settings['max_new_tokens']}, which leaves no position for "
                f"object tokens; accepted are 1 to {self.texts.max_length - 2}."
            )
        self._depends.append([found.input_ids for found in given])
        return sum(len(found.input_ids) > self.max_objects for found in given)

    def lengths(self, objects: Sequence[TokenIds | None]) -> list[int] | None:
        """Of the pictures' object tokens, by which they are sorted into batches, see [`padded_lengths`]."""
        given = [found for found in objects if found is not None]
        return padded_lengths(self.model, self.texts, given) if given else None

    @property
    def name(self) -> str:
        """Of the computation. Other settings give other captions, so what is stored of them has another name."""
        return block_name("captioning", self._depends)

    @torch.inference_mode()
    def captions(self, items: Sequence[_Item]) -> np.ndarray:
        """`(items,)`, texts."""
        found: list[str] = []
        for start in range(0, len(items), self.batch_size):
            part = items[start : start + self.batch_size]
            inputs = self.images([item.image for item in part])
            pixel_values = inputs["pixel_values"].to(self.model.dtype)
            before = self._objects([item.objects for item in part if item.objects is not None])
            sequences = self.model.generate(pixel_values=pixel_values, **before, **self._given)
            if before:
                sequences = sequences[:, before["input_ids"].shape[1] - 1 :]
            found += self.texts.tokenizer.batch_decode(sequences, skip_special_tokens=True)
        return np.array([" ".join(caption.split()) for caption in found], dtype=np.str_)

    def _objects(self, objects: Sequence[TokenIds]) -> dict[str, torch.Tensor]:
        """Object tokens, padded on the left, and the first token of the caption; nothing without objects."""
        if not objects:
            return {}
        cut = [
            TokenIds(found.input_ids[: self.max_objects], (), found.position_ids[: self.max_objects])
            for found in objects
        ]
        batch = pad_token_ids(cut, self.model.config.get_text_config(), self.max_objects, side="left")
        first = torch.full((len(objects), 1), self.model.generation_config.bos_token_id)
        kinds = torch.zeros_like(batch["input_ids"])
        inputs = {
            "input_ids": torch.cat([batch["input_ids"], first], dim=1),
            "attention_mask": torch.cat([batch["attention_mask"], torch.ones_like(first)], dim=1),
            "token_type_ids": torch.cat([kinds, torch.ones_like(first)], dim=1),
        }
        return {name: values.to(self.model.device) for name, values in inputs.items()}


def generation_settings(model: Any, given: Mapping[str, Any], max_length: int) -> dict[str, Any]:
    """
    What `generate` is called with: the model's generation config, and what is given in place of it.

    Args:
        model: Of which `generation_config` counts, but for what samples.
        given: Keys of `LEAST`.
        max_length (`int`): Positions of the model, in tokens.

    Raises:
        BadInputError: If a key or a value is not accepted.
    """
    saved = model.generation_config
    settings = {
        key: value
        for key, value in saved.to_diff_dict().items()
        if value is not None and key not in _NOT_PASSED and not key.startswith("output_")
    }
    if "max_new_tokens" not in settings:
        settings["max_new_tokens"] = min(DEFAULT_LENGTH, max_length - 1)
        if saved.max_length is not None:
            settings["max_new_tokens"] = saved.max_length - 1  # it counts the start token
    settings = {"num_beams": 1, **settings}
    for key, value in given.items():
        _check_setting(key, value)
        settings[key] = value
    if not 1 <= settings["max_new_tokens"] < max_length:
        raise BadInputError(
            f"The generation has max_new_tokens {settings['max_new_tokens']}; the model's positions accept 1 to "
            f"{max_length - 1}."
        )
    if settings.get("min_new_tokens", 0) > settings["max_new_tokens"]:
        raise BadInputError(
            f"The generation has min_new_tokens {settings['min_new_tokens']}; accepted is at most max_new_tokens, "
            f"{settings['max_new_tokens']}."
        )
    return {**settings, "do_sample": False, "num_return_sequences": 1}


def generate_arguments(model: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """[`generation_settings`] as the model's `generate` takes them. Raises BadInputError if it has no such search."""
    arguments = dict(settings)
    if arguments.pop("official_beam_search", False):
        if not hasattr(model, "official_beam_search"):
            raise BadInputError(
                f"The generation has official_beam_search, the search of UNIMO-2's first implementation; "
                f"{type(model).__name__} accepts that of transformers."
            )
        arguments["custom_generate"] = model.official_beam_search
    return arguments


def block_name(task: str, depends: Any) -> str:
    """Of a computation that depends on more than its task: what was stored of it otherwise has another name."""
    return f"{task}-{hashlib.sha256(json.dumps(depends, default=str).encode()).hexdigest()[:12]}"


def _check_setting(key: str, value: Any) -> None:
    if key not in LEAST:
        raise BadInputError(f"The generation has an unknown setting: {unknown_name(key, LEAST)}")
    least = LEAST[key]
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    if least is not None:
        fits, accepted = is_integer and value >= least, f"integers from {least} on"
    elif key in ("early_stopping", "official_beam_search"):
        fits, accepted = isinstance(value, bool), "true and false"
    elif key == "repetition_penalty":
        fits, accepted = (is_integer or isinstance(value, float)) and value > 0, "numbers above 0"
    else:
        fits, accepted = is_integer or isinstance(value, float), "numbers"
    if not fits:
        raise BadInputError(f"The generation has {key} {value!r}; accepted are {accepted}.")


def _rows(data: Benchmark, texts: Texts, model: PreTrainedModel) -> tuple[Benchmark, list[TokenIds | None]]:
    """The pictures with their references (`data` itself, if it has them), and the object tokens of each."""
    if not data or not all(isinstance(row, TokenCaptionRow) for row in data):
        if all(isinstance(row, CaptionRow) for row in data):
            return data, [None] * len(data)
        raise BadInputError(
            f"Data {data.name!r} is for {data.task}; the task 'captioning' accepts rows of CaptionRow, e.g. of "
            "coco-captions and coco-karpathy-captions, and of TokenCaptionRow."
        )
    data.require_labels()
    found = [ids for row in data for ids in (row.tokens, row.objects) if ids is not None]
    check_token_ids(found, data, model, places=0)
    rows, objects = caption_rows(data, texts)
    offset = model.config.get_text_config().position_offset
    for row, ids in zip(rows, objects):
        if ids is not None and ids.position_ids != tuple(range(offset, offset + len(ids.position_ids))):
            raise BadInputError(
                f"Data {data.name!r} has object tokens of the picture {row.id!r} with other positions than {offset}, "
                f"{offset + 1}, ...; accepted are these, which the model counts by itself."
            )
    return rows, objects


def _references(data: Benchmark, tokenizer: str) -> list[list[list[str]]]:
    """Words of the references of every row."""
    data.require_labels()
    return tokenize_captions([""] * len(data), [row.references for row in data], tokenizer)[1]


def _figures(
    words: list[list[str]], references: list[list[list[str]]], with_meteor: bool, options: Options
) -> dict[str, Figure]:
    statistics = bleu_statistics(words, references)
    cider_of_pictures, rouge_of_pictures = cider_d(words, references), rouge_l(words, references)
    with meteor_program() if with_meteor else nullcontext() as program:
        counted = program.statistics(words, references) if program is not None else []

        def statistic(rows: np.ndarray) -> dict[str, float]:
            more = {}
            if program is not None:
                more["meteor"] = program.score([counted[row] for row in rows])[0]
            return {
                **bleu(statistics[rows]),
                "cider_d": float(cider_of_pictures[rows].mean()),
                "rouge_l": float(rouge_of_pictures[rows].mean()),
                **more,
            }

        return intervals(statistic, len(words), options)


def _write_predictions(path: Path, rows: Sequence[CaptionRow], captions: Sequence[str]) -> None:
    tree = [{"image_id": row.image_id, "caption": caption} for row, caption in zip(rows, captions)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(tree, indent=1, ensure_ascii=False) + "\n")
