# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Conversion of UNIMO-2 checkpoints, from the first implementation's files to transformers' and back."""

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from ..errors import BadInputError
from ..files import check_destination, staged_directory
from ..models.unimo2.configuration_unimo2 import Unimo2Config
from .output import DTYPES, Tensor, progress, write_safetensors
from .paddle import StoredArray, read_variables, write_variable
from .unimo2_config import check_recognised, infer_config, present_row, read_config, same_shape
from .unimo2_names import (
    BASE_PARTS,
    MAX_LAYERS,
    PARTS,
    TASKS,
    WEIGHTS,
    Weight,
    dimensions,
    official_shape,
    select_weights,
    task_name,
)


PREFIX = "unimo2."
"""What a head class puts before the names of its base model's parameters."""

_OPTIMIZER_STATE = re.compile(
    r"(_(moment[12]?|beta[12]_pow_acc|velocity|inf_norm|mean_square|mean_grad|momentum|master|fp32_master)_\d+"
    r"|^learning_rate_\d+|^@.*@|^loss_scaling_\d+|^num_(good|bad)_steps_\d+)$"
)
_MAX_NAMED = 20


@dataclass
class ConversionReport:
    """
    What a conversion did with each name.

    Args:
        used (`dict[str, str]`): Official name -> the key it was written as (in reverse: key -> official name).
        transposed (`list[str]`): Those that were transposed, (in, out) to (out, in).
        missing (`list[str]`): Weights of a head, or of a part that is trained with a head, that were not there; a
            model that loads the checkpoint starts them anew.
        unused (`list[str]`): Names that were there and are no part of the model that was asked for.
        optimizer_state (`list[str]`): Ignored names of optimizer state.
        reshaped (`dict[str, tuple]`): Name -> (shape found, shape written), of those stored with other dimensions of
            size 1 than the table has.
        remarks (`list[str]`): What else was decided.
        parameters (`int`): Number of values written.
    """

    used: dict[str, str] = field(default_factory=dict)
    transposed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    optimizer_state: list[str] = field(default_factory=list)
    reshaped: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    parameters: int = 0

    def summary(self) -> str:
        """The report as lines of text."""
        reshaped = [f"{name} {found} -> {written}" for name, (found, written) in self.reshaped.items()]
        lines = [f"used: {len(self.used)} ({self.parameters:,} values, {len(self.transposed)} transposed)"]
        lines.append(f"optimizer state, ignored: {len(self.optimizer_state)}")
        for title, names in (("missing", self.missing), ("unused", self.unused), ("reshaped", reshaped)):
            lines.append(f"{title}: {len(names)}")
            lines += [f"  {name}" for name in names[:_MAX_NAMED]]
            if len(names) > _MAX_NAMED:
                lines.append(f"  and {len(names) - _MAX_NAMED} more")
        lines += self.remarks
        if self.missing:
            lines.append("WARNING: the missing weights of heads are initialised anew when the model is loaded.")
        return "\n".join(lines)


def convert_unimo2(
    source: str | os.PathLike,
    destination: str | os.PathLike,
    *,
    names: Iterable[str] | None = None,
    config: str | os.PathLike | Mapping[str, Any] | Unimo2Config | None = None,
    task: str = "pretraining",
    official_padding: bool = False,
    vocabulary: str | os.PathLike | None = None,
    dtype: str = "float32",
    image_size: int | None = None,
    text_layers: Sequence[int] | None = None,
    grounded_layers: Sequence[int] | None = None,
) -> ConversionReport:
    """
    Converts an official checkpoint to a directory that `from_pretrained` loads. One tensor is in memory at a time, but
    of a pickle all.

    Args:
        source: A directory with one file per variable, a combined file, or a `.pdparams` file.
        destination: A directory that does not exist or is empty.
        names (*optional*): Names of the variables of a combined file, in any order.
        config (*optional*): The release's JSON or one of ours, as a file or a dictionary; see [`infer_config`].
        task (defaults to `"pretraining"`): What the checkpoint is saved as: a key of `TASKS` or a class name.
        official_padding (defaults to `False`): Sets it in the configuration.
        vocabulary (*optional*): Directory with the official vocabulary; adds the tokenizer.
        dtype (defaults to `"float32"`): `"float32"`, `"bfloat16"` or `"float16"`.
        image_size (*optional*): Side that the image processor resizes to; by default that of the release's JSON, or
            that of the position table.
        text_layers, grounded_layers (*optional*): Indices of the layers to take; all by default.

    Returns:
        A [`ConversionReport`].

    Raises:
        BadInputError: If the input cannot be converted. Nothing is left behind.
    """
    task = task_name(task)
    if dtype not in DTYPES:
        raise BadInputError(f"There is no dtype {dtype!r}; there are {', '.join(DTYPES)}.")
    check_destination(destination)
    with _file_errors():
        arrays = read_variables(source, names)
        given = read_config(config)
        plan = _Plan(arrays, given, task, text_layers, grounded_layers)
        plan.config.official_padding = plan.config.official_padding or official_padding
        plan.config.architectures = [TASKS[task][0]]
        plan.config.dtype = getattr(torch, dtype)
        if image_size is None and isinstance(given, dict):
            image_size = given.get("image_size")
        processor = _processor(plan.config, image_size, vocabulary)
        tensors = plan.tensors()
        size = plan.report.parameters * (4 if dtype == "float32" else 2)
        with staged_directory(destination, size) as folder:
            write_safetensors(folder / "model.safetensors", tensors, dtype)
            plan.config.save_pretrained(folder)
            processor.save_pretrained(folder)
    return plan.report


def official_state_dict(
    source: str | os.PathLike | Mapping[str, np.ndarray],
    config: Unimo2Config,
    task: str,
    *,
    text_layers: Sequence[int] | None = None,
    grounded_layers: Sequence[int] | None = None,
) -> dict[str, torch.Tensor]:
    """
    An official checkpoint as a state dict of ours, in memory.

    Args:
        source: Official name -> array, or a path that [`read_variables`] reads.
        config: The model's configuration; it says which optional weights there are (projections, untied outputs).
        task: A key of `TASKS` or the name of a class.
        text_layers, grounded_layers (*optional*): Indices of the layers to take.

    Raises:
        BadInputError: If backbone weights are missing or a shape is not the configuration's.
    """
    arrays = source if isinstance(source, Mapping) else read_variables(source)
    plan = _Plan(arrays, config, task_name(task), text_layers, grounded_layers)
    return {tensor.name: torch.from_numpy(np.array(tensor.load(), order="C")) for tensor in plan.tensors()}


class _Plan:
    """Which official array becomes which tensor of ours, with all checks made and no data read."""

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray] | Mapping[str, StoredArray],
        config: dict[str, Any] | Unimo2Config,
        task: str,
        text_layers: Sequence[int] | None,
        grounded_layers: Sequence[int] | None,
    ):
        chosen = {"text": text_layers, "grounded": grounded_layers}
        self.layers = {encoder: list(indices) for encoder, indices in chosen.items() if indices is not None}
        for encoder, indices in self.layers.items():
            if not indices:
                raise BadInputError(f"The list of the {encoder} encoder's layers is empty.")
        self.arrays = arrays
        self.class_name, self.heads = TASKS[task]
        check_recognised(arrays)
        self.index = self._index()
        self.config, remarks = infer_config(self.shapes, config, layers=self.layers)
        self.prefix = PREFIX if self.heads else ""
        self.report = ConversionReport(remarks=remarks)
        self.rows = self._select()

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Official name -> shape of every array that the table knows."""
        return {name: tuple(array.shape) for name, array in self.index.items()}

    def _index(self) -> dict[str, Any]:
        """The arrays that the table knows. Other files of a directory are never opened."""
        index = {}
        for name in self.arrays:
            if not is_parameter(name):
                continue
            array = self.arrays[name]
            if np.dtype("f4" if array.dtype == "bfloat16" else array.dtype).kind != "f":
                raise BadInputError(
                    f"{name} is of type {np.dtype(array.dtype)}; parameters are floating-point numbers."
                )
            index[name] = array
        return index

    def _select(self) -> list[Weight]:
        """The rows that are there; notes what is missing and what is left over."""
        parts = (*BASE_PARTS, *self.heads)
        rows = [present_row(row, self.index) for row in select_weights(self.config, parts, self.layers)]
        self.report.missing = [row.official for row in rows if row.official not in self.index]
        rows = [row for row in rows if row.official in self.index]
        wanted = {row.official for row in rows}
        for name in self.arrays:
            if name not in wanted:
                other = self.report.optimizer_state if _OPTIMIZER_STATE.search(name) else self.report.unused
                other.append(name)
        return rows

    def tensors(self) -> list[Tensor]:
        """What to write, in the table's order; fills the report."""
        sizes = dimensions(self.config)
        tensors = []
        for row in self.rows:
            wanted = official_shape(row, sizes)
            found = tuple(self.index[row.official].shape)
            if not same_shape(found, wanted):
                raise BadInputError(f"{row.official} has shape {found}, but {wanted} is needed.")
            shape = wanted[::-1] if row.transposed else wanted
            name = (self.prefix if row.part in BASE_PARTS else "") + row.ours
            tensors.append(Tensor(name, shape, self._loader(row, wanted)))
            self.report.used[row.official] = name
            self.report.parameters += math.prod(shape)
            if row.transposed:
                self.report.transposed.append(row.official)
            if found != wanted:
                self.report.reshaped[row.official] = (found, shape)
        return tensors

    def _loader(self, row: Weight, wanted: tuple[int, ...]) -> Callable[[], np.ndarray]:
        def load() -> np.ndarray:
            stored = self.index[row.official]
            array = stored.load() if isinstance(stored, StoredArray) else np.asarray(stored)
            array = array.reshape(wanted)
            return array.T if row.transposed else array

        return load


def is_parameter(name: str) -> bool:
    """Whether an official name is in the table, at any layer."""
    return bool(_PARAMETER.fullmatch(name))


def _parameter_pattern() -> re.Pattern[str]:
    names = [name for row in WEIGHTS for name in (row.official, *row.aliases)]
    return re.compile("|".join(re.escape(name).replace(r"\{layer\}", r"\d{1,4}") for name in names))


_PARAMETER = _parameter_pattern()


def revert_unimo2(
    source: str | os.PathLike,
    destination: str | os.PathLike,
    *,
    text_layers: Sequence[int] | None = None,
    grounded_layers: Sequence[int] | None = None,
) -> ConversionReport:
    """
    Writes a checkpoint of ours in the official layout, one float32 file per variable. What was converted before comes
    back bit by bit.

    Args:
        source: A directory with `config.json` and `model.safetensors` (or shards and their index).
        destination: A directory that does not exist or is empty.
        text_layers, grounded_layers (*optional*): Official indices that the layers get; 0, 1, 2, ... by default.

    Returns:
        A [`ConversionReport`]; `used` has our names as keys.

    Raises:
        BadInputError: If the source is no UNIMO-2 checkpoint or lacks backbone weights. Nothing is left behind.
    """
    source = Path(source)
    check_destination(destination)
    config = read_config(source / "config.json")
    if not isinstance(config, Unimo2Config):
        raise BadInputError(f"{source / 'config.json'} is not a configuration of ours.")
    layers = _official_layers(config, text_layers, grounded_layers)
    with _file_errors():
        files = _weight_files(source)
        rows, report = _reverse_rows(config, files, layers)
        sizes = dimensions(config)
        tensors = [_reverse_tensor(row, files, official_shape(row, sizes)) for row in rows.values()]
        report.parameters = sum(math.prod(tensor.shape) for tensor in tensors)
        report.used = {key: row.official for key, row in rows.items()}
        report.transposed = [key for key, row in rows.items() if row.transposed]
        with staged_directory(destination, 4 * report.parameters) as folder:
            for tensor in progress(tensors, "converting"):
                with open(folder / tensor.name, "wb") as handle:
                    write_variable(handle, tensor.load())
    return report


def _official_layers(
    config: Unimo2Config, text_layers: Sequence[int] | None, grounded_layers: Sequence[int] | None
) -> dict[str, list[int]]:
    layers = {}
    for encoder, indices in (("text", text_layers), ("grounded", grounded_layers)):
        if indices is None:
            continue
        count = getattr(config, f"{encoder}_config").num_hidden_layers
        if len(indices) != count or len(set(indices)) != count or min(indices) < 0 or max(indices) >= MAX_LAYERS:
            raise BadInputError(
                f"The {encoder} encoder has {count} layers; {list(indices)} is no list of their indices."
            )
        layers[encoder] = list(indices)
    return layers


def _weight_files(folder: Path) -> dict[str, Path]:
    """Key -> the safetensors file it is in."""
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file():
        shards = [single]
    elif index.is_file():
        if index.stat().st_size > 1 << 24:
            raise BadInputError(f"{index} is too large for an index.")
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BadInputError(f"{index} is no index of shards.") from error
        for name in names:
            if not isinstance(name, str) or name != Path(name).name or not (folder / name).is_file():
                raise BadInputError(f"{index} names {name!r}, which is no file of its folder.")
        shards = [folder / name for name in names]
    else:
        raise BadInputError(f"{folder} has no model.safetensors.")
    files = {}
    for shard in shards:
        try:
            with safe_open(shard, framework="pt") as handle:
                files.update(dict.fromkeys(handle.keys(), shard))
        except SafetensorError as error:
            raise BadInputError(f"{shard} is no safetensors file: {error}.") from error
    return files


def _reverse_rows(
    config: Unimo2Config, files: Mapping[str, Path], layers: Mapping[str, Sequence[int]]
) -> tuple[dict[str, Weight], ConversionReport]:
    """Our key -> its row, for every part of which the checkpoint has something."""
    prefix = PREFIX if any(key.startswith(PREFIX) for key in files) else ""
    report = ConversionReport()
    rows = {}
    lacking = []
    for row in select_weights(config, PARTS, layers):
        key = (prefix if row.part in BASE_PARTS else "") + row.ours
        if key in files:
            rows[key] = row
        elif PARTS[row.part].required:
            lacking.append(key)
        elif row.part in BASE_PARTS:
            report.missing.append(key)
    if lacking:
        more = f" and {len(lacking) - _MAX_NAMED} more" if len(lacking) > _MAX_NAMED else ""
        raise BadInputError(f"Missing from the checkpoint: {', '.join(lacking[:_MAX_NAMED])}{more}.")
    report.unused = sorted(set(files) - set(rows))
    return rows, report


def _reverse_tensor(row: Weight, files: Mapping[str, Path], shape: tuple[int, ...]) -> Tensor:
    """The official variable of a row. Raises if ours has not the shape that the configuration says."""
    key = PREFIX + row.ours if PREFIX + row.ours in files and row.part in BASE_PARTS else row.ours
    expected = shape[::-1] if row.transposed else shape
    with safe_open(files[key], framework="pt") as handle:
        stored = handle.get_slice(key)
        found, dtype = tuple(stored.get_shape()), stored.get_dtype()
    if dtype not in ("F32", "F16", "BF16", "F64"):
        raise BadInputError(f"{key} is of type {dtype}; only plain floating-point weights can be converted.")
    if found != expected:
        raise BadInputError(f"{key} has shape {found}, the configuration asks for {expected}.")

    def load() -> np.ndarray:
        with safe_open(files[key], framework="pt") as handle:
            tensor = handle.get_tensor(key)
        array = (tensor if tensor.dtype == torch.float32 else tensor.float()).numpy()
        return array.T if row.transposed else array

    return Tensor(row.official, shape, load)


def _processor(config: Unimo2Config, image_size: Any, vocabulary: str | os.PathLike | None) -> Any:
    """The image processor, or with a vocabulary the processor. Raises if either does not fit the configuration."""
    from ..models.unimo2.image_processing_pil_unimo2 import Unimo2ImageProcessorPil

    vision: Any = config.vision_config
    text: Any = config.text_config
    patch_size = vision.patch_size
    image_size = vision.image_size if image_size is None else image_size
    if not isinstance(image_size, int) or isinstance(image_size, bool) or image_size < 1 or image_size % patch_size:
        raise BadInputError(
            f"The image size must be a multiple of the patch's {patch_size} pixels, not {image_size!r}."
        )
    image_processor = Unimo2ImageProcessorPil(size={"height": image_size, "width": image_size})
    if vocabulary is None:
        return image_processor
    from ..models.unimo2.processing_unimo2 import Unimo2Processor
    from ..models.unimo2.tokenization_unimo2 import Unimo2Tokenizer
    from .unimo2_vocabulary import read_official_vocabulary

    special_tokens: Any
    vocab, merges, special_tokens = read_official_vocabulary(vocabulary)
    size = max(vocab.values(), default=-1) + 1
    if size > text.vocab_size:
        raise BadInputError(f"{vocabulary} has {size} tokens, the checkpoint has embeddings for {text.vocab_size}.")
    tokenizer = Unimo2Tokenizer(
        vocab=vocab,
        merges=merges,
        model_max_length=text.max_position_embeddings - text.position_offset,
        **special_tokens,
    )
    return Unimo2Processor(image_processor, tokenizer)


@contextmanager
def _file_errors() -> Iterator[None]:
    """What the system says about a file, as a sentence."""
    try:
        yield
    except OSError as error:
        raise BadInputError(f"{error.filename or 'A file'}: {error.strerror or error}.") from error


__all__ = ["ConversionReport", "convert_unimo2", "infer_config", "official_state_dict", "revert_unimo2"]
