# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Predictions row by row: from options or a file of rows to one line of JSON a row, through the pipelines."""

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from transformers import GenerationConfig, Pipeline
from transformers.pipelines.base import PipelineException

from ..config_tree import check_known, fit, override_key, shown
from ..data.buckets import bucketed
from ..errors import BadInputError, unknown_name
from ..retrieval.adapters import Texts, load_model, preprocessing
from . import FAMILIAR_NAMES, pipeline
from . import TASKS as OUR_TASKS
from .base import tasks_of
from .inputs import check_count, read_image


Row = dict[str, Any]
"""Inputs of a task by name, pictures by path or address; `id` may stand beside them."""


@dataclass(frozen=True)
class Inputs:
    """
    What a task takes.

    Args:
        kinds (`dict[str, str]`): Name of an input -> `"one"` text or path, `"two"` or `"several"` in a list, or
            `"either"` one or several.
        optional (`tuple[str, ...]`): Names that a row may lack.
        settings (`dict[str, Any]`): Name of an argument of the pipeline -> its type.
        alone (`bool`, defaults to False): Whether every row is a call of its own.
    """

    kinds: dict[str, str]
    optional: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    alone: bool = False

    @property
    def pictures(self) -> list[str]:
        """Names of what is read as pictures."""
        return [name for name in self.kinds if name in ("image", "images")]

    @property
    def texts(self) -> list[str]:
        """Names of the other inputs."""
        return [name for name in self.kinds if name not in self.pictures]


_PAIR = {"image": "one", "text": "one"}
_TOKENS = {"truncation": bool, "max_length": int}
_ACTIVATION = {"function_to_apply": Literal["sigmoid", "softmax", "none"]}

TASKS = {
    "image-captioning": Inputs({"image": "one", "prompt": "one"}, ("prompt",), {"generate_kwargs": dict}),
    "image-question-answering": Inputs(
        {"image": "one", "question": "one"}, (), {"top_k": int, "generate_kwargs": dict}
    ),
    "image-text-matching": Inputs(_PAIR),
    "image-text-retrieval": Inputs(
        {"images": "either", "texts": "either"},
        (),
        {"top_k": int, "rerank": int, "query": Literal["image", "text"]},
        alone=True,
    ),
    "nlvr2": Inputs({"images": "two", "text": "one"}, (), {"top_k": int}),
    "visual-entailment": Inputs(_PAIR, (), {"top_k": int}),
    "fill-mask": Inputs(_PAIR, ("image",), {"top_k": int, "targets": list[str], "tokenizer_kwargs": dict}),
    "text-classification": Inputs(
        {"text": "one", "text_pair": "one"}, ("text_pair",), {"top_k": int | None, **_ACTIVATION, **_TOKENS}
    ),
    "image-classification": Inputs({"image": "one"}, (), {"top_k": int, **_ACTIVATION}),
    "zero-shot-image-classification": Inputs(
        {"image": "one", "candidate_labels": "several"}, (), {"hypothesis_template": str, "tokenizer_kwargs": dict}
    ),
    # Alone: in a batch a text would get states of its padding.
    "feature-extraction": Inputs({"text": "one"}, (), {"truncation": bool, "tokenize_kwargs": dict}, alone=True),
    "image-feature-extraction": Inputs({"image": "one"}, (), {"pool": bool, "image_processor_kwargs": dict}),
}
"""The tasks that can be predicted, by the names of [`hf_unimo.pipeline`], and what each takes."""

_OF_THE_BASE = ("feature-extraction", "image-feature-extraction")
_ROW_BY_NAMES = ("fill-mask", "text-classification")
_CUTTING = {"fill-mask": "tokenizer_kwargs.truncation", "text-classification": "truncation"}
_CUTTING["feature-extraction"] = "truncation"
_ADDRESSES = ("http://", "https://", "data:image/")
_ACCEPTED = {
    "one": "a text",
    "two": "a list of two texts",
    "several": "a list of texts",
    "either": "a text or a list of texts",
}
_WINDOW = 16
"""Batches whose rows are sorted by length among themselves: no line waits for more rows than these."""
_FAILURES = (ValueError, TypeError, IndexError, RuntimeError, PipelineException)
"""What the pipelines of transformers raise for a row that they cannot take."""


# ---------------------------------------------------------------------------------------------------------------------
# What is asked for
# ---------------------------------------------------------------------------------------------------------------------


def resolve_task(task: str) -> str:
    """The key of `TASKS` for a task or one of its familiar names. Raises BadInputError for another."""
    found = FAMILIAR_NAMES.get(task, task)
    if found not in TASKS:
        raise BadInputError(f"The task is none to predict: {unknown_name(task, [*TASKS, *FAMILIAR_NAMES])}")
    return found


def settings_of(task: str, words: Sequence[str]) -> dict[str, Any]:
    """
    The arguments of a pipeline in words such as `top_k=3` or `generate_kwargs.num_beams=5`.

    Args:
        task (`str`): A key of `TASKS`.
        words: As of [`~hf_unimo.config_tree.override_key`].

    Raises:
        BadInputError: If a word is none, or the task has no such argument, or not with that value.
    """
    given: dict[str, Any] = {}
    for word in words:
        override_key(given, word)
    known = TASKS[task].settings | ({"timeout": float} if TASKS[task].pictures else {})
    if not known and given:
        raise BadInputError(f"The argument {next(iter(given))} was set, but {task} has none.")
    check_known(given, known, "")
    settings = {name: fit(value, known[name], name) for name, value in given.items()}
    if settings.get("top_k") is not None:
        check_count("top_k", settings["top_k"])
    if "generate_kwargs" in settings:
        check_known(settings["generate_kwargs"], vars(GenerationConfig()), "generate_kwargs")
    return settings


def row_of_options(
    task: str, images: Sequence[str], texts: Sequence[str], settings: Mapping[str, Any] | None = None
) -> Row:
    """
    The row that options give.

    Args:
        task (`str`): A key of `TASKS`.
        images, texts: Pictures by path or address, and texts, in the order of the task's inputs.
        settings: Of the pipeline; retrieval's `query` says which side is to be a list although it is one.

    Raises:
        BadInputError: If there are too few, or more than the task takes.
    """
    inputs, row = TASKS[task], {}
    for option, values, names in (("--image", images, inputs.pictures), ("--text", texts, inputs.texts)):
        kinds = [inputs.kinds[name] for name in names]
        if kinds and kinds[0] != "one":
            if values:
                query = (settings or {}).get("query")
                single = kinds[0] == "either" and len(values) == 1 and query in (None, names[0].removesuffix("s"))
                row[names[0]] = values[0] if single else list(values)
        elif len(values) > len(names):
            takes = f"{len(names)} at most" if names else "none"
            raise BadInputError(f"{option} was given {_times(len(values))}; {task} takes {takes}.")
        else:
            row |= zip(names, values)
    for name in inputs.kinds:
        if name not in row and name not in inputs.optional:
            option = "--image" if name in inputs.pictures else "--text"
            raise BadInputError(f"{option} is missing: {task} needs `{name}`.")
    return _checked(task, row, "The row")


def read_rows(path: str | os.PathLike, task: str) -> list[tuple[int, Row]]:
    """
    Rows of a file of JSON lines, with the number of each line, from 1. Blank lines are passed over.

    Args:
        path: Each line an object of the task's inputs by name; an `id` may stand beside them.
        task (`str`): A key of `TASKS`.

    Raises:
        BadInputError: If there is no such file, it holds no rows, or a line is no row of the task.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise BadInputError(f"{path} cannot be read ({reason}); accepted is a file of JSON lines.") from error
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", "it cannot be parsed")
            raise BadInputError(f"{path}, line {number} is no JSON ({reason}); accepted is an object.") from error
        rows.append((number, _checked(task, row, f"{path}, line {number}")))
    if not rows:
        raise BadInputError(f"{path} holds no rows; accepted is at least one line of JSON.")
    return rows


def _checked(task: str, row: Any, where: str) -> Row:
    """A row whose inputs are those of the task. Whether pictures are there and texts hold words is seen row by row."""
    inputs = TASKS[task]
    if not isinstance(row, dict):
        names = ", ".join(f'"{name}"' for name in inputs.kinds)
        raise BadInputError(f"{where} is {shown(row)}; accepted is an object with {names}.")
    row = {name: value for name, value in row.items() if value is not None}
    for name, value in row.items():
        if name == "id":
            continue
        if name not in inputs.kinds:
            raise BadInputError(f"{where} has an unknown input: {unknown_name(name, [*inputs.kinds, 'id'])}")
        if not _is_of(value, kind := inputs.kinds[name]):
            raise BadInputError(f"{where} has `{name}` {shown(value)}; {task} accepts {_ACCEPTED[kind]}.")
    for name in inputs.kinds:
        if name not in row and name not in inputs.optional:
            raise BadInputError(f"{where} lacks `{name}`, which {task} needs.")
    return row


def _is_of(value: Any, kind: str) -> bool:
    if isinstance(value, str):
        return kind in ("one", "either")
    if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
        return False
    return kind in ("several", "either") or (kind == "two" and len(value) == 2)


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


# ---------------------------------------------------------------------------------------------------------------------
# Answers
# ---------------------------------------------------------------------------------------------------------------------


def open_pipeline(name: str | os.PathLike, task: str, device: str = "cpu", **settings: Any) -> Pipeline:
    """
    The pipeline of a saved model.

    Args:
        name: A folder, or the id of a Hub repository.
        task (`str`): A key of `TASKS`.
        device (defaults to `"cpu"`): Where it runs.
        settings: Those that rows will be asked with; they are looked at.

    Raises:
        BadInputError: If there is no such model or device, its class cannot do the task, or a part or a setting does
            not serve.
    """
    loaded, processor = load_model(name, device)
    pictures, texts = preprocessing(loaded, processor)
    model: Any = loaded
    if task in _OF_THE_BASE:
        model = model.base_model  # as `AutoModel` would load it
    able = tasks_of(model)
    if task not in OUR_TASKS and task not in able:  # ours say it themselves
        known = ", ".join(one for one in able if one in TASKS) or "none of the known tasks"
        raise BadInputError(f"A {type(model).__name__} cannot do {task}; it can do {known}.")
    parts = {
        "tokenizer": None if texts is None else texts.tokenizer,
        "image_processor": None if pictures is None else pictures.image_processor,
    }
    inputs = TASKS[task]
    needed = {"tokenizer": bool(inputs.texts), "image_processor": bool({*inputs.pictures} - {*inputs.optional})}
    for part, value in parts.items():
        if value is None and needed[part]:
            raise BadInputError(f"{os.fspath(name)} has no {part.replace('_', ' ')}, which {task} needs.")
    pipe: Any = pipeline(task, model, device=device, **parts)
    try:
        if task == "image-text-retrieval":
            pipe.check_rerank(settings.get("rerank", 0), settings.get("top_k", 10))
        else:
            pipe._sanitize_parameters(**settings)
    except BadInputError:
        raise
    except _FAILURES as error:
        raise BadInputError(f"The arguments of {task} are not accepted: {_sentence(error)}.") from error
    return pipe


def predict(
    pipe: Pipeline,
    task: str,
    rows: Sequence[tuple[int, Row]],
    *,
    folder: str | os.PathLike = ".",
    settings: Mapping[str, Any] | None = None,
    batch_size: int = 1,
) -> Iterator[dict[str, Any]]:
    """
    One line a row, in order: `{"row", the row's own inputs, "answer"}`, or `{"row", "error"}` for one that fails.

    Rows whose texts are as long share a batch, so a line can come up to 15 batches later than in the rows' order; with
    `batch_size=1` each comes at once.

    Args:
        pipe (`Pipeline`): For the task.
        task (`str`): A key of `TASKS`.
        rows: Number and inputs of each.
        folder (defaults to the current one): What paths of pictures are relative to.
        settings: Arguments of the pipeline, see [`settings_of`].
        batch_size (`int`, defaults to 1): Rows of a forward pass. Pictures of so many are held at a time.

    Raises:
        BadInputError: If the memory of the device does not suffice.
    """
    settings = dict(settings or {})
    window = batch_size * (_WINDOW if batch_size > 1 and _pads_texts(pipe, task) else 1)
    for start in range(0, len(rows), window):
        part = rows[start : start + window]
        lengths = [_length(pipe, task, row) if window > batch_size else 0 for _, row in part]
        lines: dict[int, dict[str, Any]] = {}
        waiting = [number for number, _ in reversed(part)]
        for batch in bucketed(lengths, batch_size):
            lines |= _lines(pipe, task, [part[place] for place in batch], Path(folder), settings, batch_size)
            while waiting and waiting[-1] in lines:
                yield lines.pop(waiting.pop())


def _lines(
    pipe: Pipeline,
    task: str,
    rows: Sequence[tuple[int, Row]],
    folder: Path,
    settings: Mapping[str, Any],
    batch_size: int,
) -> dict[int, dict[str, Any]]:
    """The lines of the rows of one batch, by their numbers."""
    lines: dict[int, dict[str, Any]] = {}
    ready: dict[int, Row] = {}
    for number, row in rows:
        try:
            ready[number] = _prepared(pipe, task, row, folder, settings)
        except BadInputError as error:
            lines[number] = _failed(number, row, error)
    try:
        answers: Sequence[Any] = _ask(pipe, task, list(ready.values()), settings, batch_size)
    except _FAILURES as error:
        _refuse_fatal(error, batch_size)
        answers = [_ask_one(pipe, task, row, settings, batch_size) for row in ready.values()]
    given = dict(rows)
    for number, answer in zip(ready, answers, strict=True):
        if isinstance(answer, Exception):
            lines[number] = _failed(number, given[number], answer)
            continue
        names = _names_of_pictures(task, given[number], ready[number])
        lines[number] = {"row": number, **given[number], "answer": _plain(answer, names)}
    return lines


def _pads_texts(pipe: Pipeline, task: str) -> bool:
    """Whether texts of several rows share a batch, and their padding does not count."""
    inputs = TASKS[task]
    shared = not inputs.alone and any(inputs.kinds[name] == "one" for name in inputs.texts)
    return shared and not getattr(pipe.model.config, "official_padding", False)


def _length(pipe: Pipeline, task: str, row: Row) -> int:
    """Of the texts of a row, in tokens."""
    assert pipe.tokenizer is not None
    texts = [row[name] for name in TASKS[task].texts if name in row]
    return len(pipe.tokenizer(*texts, verbose=False)["input_ids"]) if texts else 0


def _prepared(pipe: Pipeline, task: str, row: Row, folder: Path, settings: Mapping[str, Any]) -> Row:
    """The row with its pictures read. Raises BadInputError for what of it cannot be used."""
    inputs = TASKS[task]
    ready: Row = {}
    for name in inputs.kinds:
        if name not in row:
            continue
        values: list[Any] = row[name] if isinstance(row[name], list) else [row[name]]
        if name in inputs.pictures:
            values = [_read(value, folder, settings.get("timeout")) for value in values]
        elif not all(value.strip() for value in values):
            raise BadInputError(f"`{name}` is empty; expected a text.")
        ready[name] = values if isinstance(row[name], list) else values[0]
    if task in _CUTTING:
        _check_length(pipe, task, [ready[name] for name in inputs.texts if name in ready], settings)
    return ready


def _read(value: str, folder: Path, timeout: float | None) -> Image.Image:
    if value.startswith(_ADDRESSES):
        return read_image(value, timeout)
    if not os.path.isfile(folder / value):  # unlike pathlib's it also says so of a text too long for a name
        found = value if len(value) < 80 else f"{value[:60]}..."
        raise BadInputError(f"`image` is {found!r}, which is no file; expected a path or an http(s) address.")
    try:
        return read_image(folder / value)
    except BadInputError as error:
        reason = type(error.__cause__).__name__
        raise BadInputError(f"`image` {value!r} cannot be read ({reason}); expected a picture.") from error


def _check_length(pipe: Pipeline, task: str, texts: list[str], settings: Mapping[str, Any]) -> None:
    """transformers' own pipelines cut no text; on a GPU one that is too long would end all the rows after it."""
    assert pipe.tokenizer is not None
    cutting = _CUTTING[task]
    nested = [settings.get(name) or {} for name in ("tokenizer_kwargs", "tokenize_kwargs")]
    if any(options.get("truncation") for options in (settings, *nested)):
        return
    ours = task == "fill-mask" and getattr(pipe.tokenizer, "split_special_tokens", False)
    ids = pipe.tokenizer(*texts, verbose=False, **({"split_special_tokens": False} if ours else {}))["input_ids"]
    limit = Texts(pipe.tokenizer, pipe.model).max_length
    if len(ids) > limit:
        raise BadInputError(
            f"`text` has {len(ids)} tokens, but the model takes {limit}; `{cutting}=true` among the arguments cuts it."
        )


def _ask_one(pipe: Pipeline, task: str, row: Row, settings: Mapping[str, Any], batch_size: int) -> Any:
    """The answer to a row, or the error that it ran into."""
    try:
        return _ask(pipe, task, [row], settings, batch_size)[0]
    except _FAILURES as error:
        _refuse_fatal(error, 1)
        return error


def _ask(pipe: Pipeline, task: str, rows: list[Row], settings: Mapping[str, Any], batch_size: int) -> list[Any]:
    """The pipeline's answers."""
    if not rows:
        return []
    if task == "image-text-retrieval":
        return [pipe(**row, **settings, batch_size=batch_size) for row in rows]
    if task in OUR_TASKS or task in _ROW_BY_NAMES:
        values: list[Any] = rows
    else:
        values = [row["image" if "image" in row else "text"] for row in rows]
    labels = [{name: row[name] for name in ("candidate_labels",) if name in row} for row in rows]
    if len(rows) == 1 or TASKS[task].alone or any(one != labels[0] for one in labels):
        return [pipe(value, **label, **settings) for value, label in zip(values, labels)]
    return pipe(values, **labels[0], **settings, batch_size=batch_size)


def _refuse_fatal(error: Exception, batch_size: int) -> None:
    """Goes on with an error that no other row would escape."""
    if isinstance(error, torch.OutOfMemoryError):
        raise BadInputError(f"The device has too little memory for batches of {batch_size}.") from error
    if isinstance(error, torch.AcceleratorError):
        raise error


def _failed(number: int, row: Row, error: Exception) -> dict[str, Any]:
    return {"row": number, **{name: row[name] for name in ("id",) if name in row}, "error": _sentence(error)}


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, BadInputError):
        return text
    return f"{type(error).__name__}: {text[:200]}"


def _names_of_pictures(task: str, given: Row, ready: Row) -> dict[int, str]:
    """Identity of a picture -> how the row names it."""
    names: dict[int, str] = {}
    for name in TASKS[task].pictures:
        if isinstance(ready.get(name), list):
            names |= {id(picture): path for picture, path in zip(ready[name], given[name])}
    return names


def _plain(value: Any, names: Mapping[int, str]) -> Any:
    """A pipeline's answer as JSON can hold it: numbers that are not finite are null, pictures are their names."""
    if isinstance(value, Image.Image):
        return names[id(value)]
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(part, names) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part, names) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
