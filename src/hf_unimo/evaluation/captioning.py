# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Captioning: one generated caption a picture, against people's."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import PreTrainedModel

from ..data.benchmarks.rows import Benchmark, CaptionRow
from ..errors import BadInputError, unknown_name
from ..files import write_atomically
from .adapters import Pictures, Texts, check_task, preprocessing
from .bootstrap import Figure
from .measuring import Options, finish, intervals, run_rows, start_protocol
from .metrics.caption_tokens import tokenize
from .metrics.captions import bleu, bleu_statistics, cider_d, rouge_l, tokenize_captions
from .protocol import Result


DEFAULT_LENGTH = 30
"""Tokens of a caption at most, where neither the caller nor the model says it."""

LEAST: dict[str, int | None] = {
    "num_beams": 1,
    "max_new_tokens": 1,
    "min_new_tokens": 0,
    "no_repeat_ngram_size": 0,
    "length_penalty": None,
    "repetition_penalty": None,
    "early_stopping": None,
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
        data ([`Benchmark`]): Rows of `CaptionRow`.
        generation (`dict`, *optional*): Keys of `LEAST`, in place of those in the model's generation config. Nothing
            is sampled. Without a length in either, [`DEFAULT_LENGTH`] tokens, or as many as there are positions for.
        tokenizer (`str`, defaults to `"rules"`): Of the metrics, see
            [`~hf_unimo.evaluation.metrics.caption_tokens.tokenize`].
        predictions (*optional*): File for the captions: a JSON list of `{"image_id", "caption"}`.
        batch_size (`int`, defaults to 32): Pictures that are captioned at once.
        options ([`Options`], *optional*): How it runs.

    Returns:
        [`Result`] with `bleu_1` to `bleu_4` and `rouge_l`, 0 to 1, and `cider_d`, 0 to 10. The interval draws
        pictures; the weights of CIDEr-D's n-grams stay those of all of them.

    Raises:
        BadInputError: If the model or the data are not for the task, references are hidden or have no word, a
            setting or the tokenizer is not accepted, or no row can be used.
    """
    options = options or Options()
    check_task("captioning", model, processor)
    writer = _Writer(model, processor, generation or {}, batch_size)
    references = _references(data, tokenizer)  # before the long part: it refuses what cannot be scored
    captions, kept, failed = run_rows(writer.name, data, lambda row: row.image.open(), writer.captions, options)
    rows = [data[number] for number in kept]
    figures = _figures(tokenize(captions.tolist(), tokenizer), [references[number] for number in kept], options)
    notes = []
    if predictions is not None:
        _write_predictions(Path(predictions), rows, captions.tolist())
        notes.append(f"The captions are in `{Path(predictions).name}`.")
    if len(kept) == 1:
        notes.append("CIDEr-D weighs n-grams by how few pictures they describe: of one picture it is always 0.")
    numbers = [len(row.references) for row in rows]
    protocol = start_protocol(
        data,
        options,
        model,
        writer.images,
        None,
        rows=len(kept),
        images=len(kept),
        captions_per_image=(min(numbers), max(numbers)),
        scoring="one generated caption a picture, against all its references",
        generation=writer.settings,
        metric_variant=f"tokenizer {tokenizer}",
    )
    if protocol.bootstrap:
        protocol = replace(protocol, bootstrap=protocol.bootstrap | {"unit": "pictures"})
    failures = [(data[number].id, reason) for number, reason in failed]
    return finish("captioning", model, options, protocol, figures, failures, notes)


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

    @property
    def name(self) -> str:
        """Of the computation. Other settings give other captions, so what is stored of them has another name."""
        return f"captioning-{hashlib.sha256(json.dumps(self.settings, default=str).encode()).hexdigest()[:12]}"

    @torch.inference_mode()
    def captions(self, images: Sequence[Image.Image]) -> np.ndarray:
        """`(images,)`, texts."""
        found: list[str] = []
        for start in range(0, len(images), self.batch_size):
            inputs = self.images(images[start : start + self.batch_size])
            pixel_values = inputs["pixel_values"].to(self.model.dtype)
            sequences = self.model.generate(pixel_values=pixel_values, **self.settings)
            found += self.texts.tokenizer.batch_decode(sequences, skip_special_tokens=True)
        return np.array([" ".join(caption.split()) for caption in found], dtype=np.str_)


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


def _check_setting(key: str, value: Any) -> None:
    if key not in LEAST:
        raise BadInputError(f"The generation has an unknown setting: {unknown_name(key, LEAST)}")
    least = LEAST[key]
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    if least is not None:
        fits, accepted = is_integer and value >= least, f"integers from {least} on"
    elif key == "early_stopping":
        fits, accepted = isinstance(value, bool), "true and false"
    elif key == "repetition_penalty":
        fits, accepted = (is_integer or isinstance(value, float)) and value > 0, "numbers above 0"
    else:
        fits, accepted = is_integer or isinstance(value, float), "numbers"
    if not fits:
        raise BadInputError(f"The generation has {key} {value!r}; accepted are {accepted}.")


def _references(data: Benchmark, tokenizer: str) -> list[list[list[str]]]:
    """Words of the references of every row."""
    if not all(isinstance(row, CaptionRow) for row in data):
        raise BadInputError(
            f"Data {data.name!r} is for {data.task}; the task 'captioning' accepts rows of CaptionRow, e.g. of "
            "coco-captions and coco-karpathy-captions."
        )
    data.require_labels()
    return tokenize_captions([""] * len(data), [row.references for row in data], tokenizer)[1]


def _figures(words: list[list[str]], references: list[list[list[str]]], options: Options) -> dict[str, Figure]:
    statistics = bleu_statistics(words, references)
    cider_of_pictures, rouge_of_pictures = cider_d(words, references), rouge_l(words, references)

    def statistic(rows: np.ndarray) -> dict[str, float]:
        return {
            **bleu(statistics[rows]),
            "cider_d": float(cider_of_pictures[rows].mean()),
            "rouge_l": float(rouge_of_pictures[rows].mean()),
        }

    return intervals(statistic, len(words), options)


def _write_predictions(path: Path, rows: Sequence[CaptionRow], captions: Sequence[str]) -> None:
    tree = [{"image_id": row.image_id, "caption": caption} for row, caption in zip(rows, captions)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(tree, indent=1, ensure_ascii=False) + "\n")
