# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Export of a saved model to ONNX: a folder from which it is served without PyTorch.

Up to four graphs: the image encoder and the text encoder, which run once an item; the fusion stage with its head,
which runs once a pair and takes what the encoders gave; and the whole model. Batch, text length and image size are
free in all of them. `transformers.exporters` does the work; here their free axes are declared and named.
"""

import io
import json
import logging
import math
import os
import re
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm
from transformers.utils import IMAGE_PROCESSOR_NAME, PROCESSOR_NAME

from .. import __version__
from ..errors import BadInputError, CheckFailedError, unknown_name
from ..files import check_destination, staged_directory
from ..hub import COPIED_FILES, TOKENIZER_CONFIG_NAME, SavedModel, read_saved_model
from .parts import NOT_OF_A_PAIR, PARTS, ModelParts, Sizes


OPSETS = range(18, 24)
"""What torch's exporter writes. The default, 20, is its own."""

DESCRIPTION_NAME = "graphs.json"
TOLERANCE = 1e-4
"""How far onnxruntime may be from PyTorch: times the largest number of the output where that is above 1."""

MARGIN = 1e-4
"""Two runtimes sum in different orders, so the choice of grounded tokens is compared where it is this clear."""

_PROCESSOR_FILES = (
    PROCESSOR_NAME,
    IMAGE_PROCESSOR_NAME,
    TOKENIZER_CONFIG_NAME,
    *(name for name in COPIED_FILES if Path(name).suffix in (".json", ".txt", ".jinja")),
)

_DESCRIPTIONS = {
    "pixel_values": "images as the image processor gives them; both sides are multiples of the patch size",
    "input_ids": "texts as the tokenizer gives them",
    "attention_mask": "1 for words, 0 for padding",
    "image_hidden_states": "states of the image encoder, the class token first",
    "image_dictionary_scores": "scores of the dictionary's entries, summed over the image's tokens",
    "image_features": "contrastive features of the image",
    "text_hidden_states": "states of the text encoder",
    "text_dictionary_scores": "scores of the dictionary's entries, summed over the text's tokens",
    "text_features": "contrastive features of the text",
    "grounded_token_ids": "entries of the dictionary that were chosen, highest score first, ties to the lower id",
    "logits": "what the class's `logits` are in PyTorch",
    "itm_logits": "image-text matching; class 1 is `match`",
    "similarity": "product of the contrastive features of each pair",
}


@dataclass(frozen=True)
class OnnxExport:
    """
    What [`export_onnx`] wrote.

    Args:
        folder (`Path`): Where.
        parts (`tuple[str, ...]`): Of [`PARTS`].
        from_dtype (`str`): Type of the weights that were saved; the graphs are float32.
        differences (`dict[str, float]`, *optional*): Part -> largest difference between onnxruntime and PyTorch, as a
            share of the output's scale (see [`TOLERANCE`]). None if it was not checked.
    """

    folder: Path
    parts: tuple[str, ...]
    from_dtype: str
    differences: dict[str, float] | None = None


def export_onnx(
    source: str | os.PathLike,
    destination: str | os.PathLike,
    *,
    parts: Sequence[str] | None = None,
    modalities: Sequence[str] | None = None,
    opset: int = 20,
    check: bool = False,
) -> OnnxExport:
    r"""
    Writes a saved model as ONNX graphs, each with its weights in a `.onnx.data` file beside it; `graphs.json`, which
    describes their inputs and outputs; the configuration; the processor's files; and `export.json`, by which
    `transformers.exporters.ExportedModel.from_pretrained` loads the folder.

    The weights are float32 in the graphs, whatever they were saved as: CPU runtimes compute in it, and the scores of
    the dictionary must.

    Args:
        source: A saved model: `config.json` and `model.safetensors` (or shards and their index).
        destination: A directory that does not exist, or is empty. It appears complete or not at all.
        parts: Of [`PARTS`]; by default all that the modalities allow.
        modalities: `"image"`, `"text"` or both, for classes that answer with one of the two missing; by default those
            that the class names. A graph takes all its inputs.
        opset (defaults to 20): Of [`OPSETS`].
        check (defaults to False): Whether to run what was written by onnxruntime on random inputs of two sizes and
            compare it with PyTorch.

    Raises:
        BadInputError: If `source` is not a saved model of a known family, or one that cannot be exported (captioning,
            quantised weights); if a part, a modality or the opset is not known or does not fit; if `destination` is
            taken; if a package is missing.
        CheckFailedError: If an axis that should be free came out fixed, or onnxruntime differs from PyTorch by more
            than [`TOLERANCE`]. Nothing is left then.

    Example:

    ```python
    >>> from hf_unimo.exporting.onnx import export_onnx

    >>> export_onnx("out/checkpoint-500", "unimo2-onnx").parts  # doctest: +SKIP
    ('image-encoder', 'text-encoder', 'fusion', 'model')
    ```
    """
    check_packages(run=check)
    if opset not in OPSETS:
        raise BadInputError(f"The opset is {opset}, but {OPSETS[0]} to {OPSETS[-1]} can be written.")
    for part in parts or ():
        if part not in PARTS:
            raise BadInputError(f"No such part: {unknown_name(part, PARTS)}")
    destination = check_destination(destination)
    saved = read_saved_model(source)
    _check_can_be_exported(saved)
    modalities = _modalities(saved, modalities)
    parts = _parts(saved, parts, modalities)

    model = saved.head.from_pretrained(saved.folder, dtype=torch.float32, attn_implementation="sdpa").eval()  # type: ignore[attr-defined]
    model.config._name_or_path = ""  # a path on this machine
    model.config.architectures = [saved.head.__name__]
    graphs = ModelParts(model, modalities)
    _try(graphs)
    size = 4 * sum(math.prod(shape) for shape in saved.shapes.values()) * (("model" in parts) + (parts != ("model",)))
    with staged_directory(destination, size=size) as folder:
        exported = export_graphs(graphs, parts, opset)
        exported.save_pretrained(folder)
        description = _describe(graphs, {part: graph.program for part, graph in exported.components.items()}, opset)
        (folder / DESCRIPTION_NAME).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
        _copy_processor(saved.folder, folder)
        differences = check_graphs(graphs, parts, folder) if check else None
    dtype = str(saved.config.dtype or torch.float32).removeprefix("torch.")
    return OnnxExport(destination, parts, dtype, differences)


# ---------------------------------------------------------------------------------------------------------------------
# What is asked for
# ---------------------------------------------------------------------------------------------------------------------


def check_packages(run: bool = False) -> None:
    """Raises [`BadInputError`] if a package is missing that writing graphs needs, or also running them."""
    needed = ["onnx", "onnxscript", *["onnxruntime"] * run]
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise BadInputError(
            f"This export needs {' and '.join(needed)}, of which {' and '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not installed: pip install 'hf-unimo[onnx]'."
        )


def _check_can_be_exported(saved: SavedModel) -> None:
    if saved.head.can_generate():  # type: ignore[attr-defined]
        raise BadInputError(
            f"{saved.folder} holds a {saved.head.__name__}, which writes word by word with a cache that these graphs "
            "do not hold; accepted are the family's other classes."
        )


def _modalities(saved: SavedModel, asked: Sequence[str] | None) -> tuple[str, ...]:
    known: tuple[str, ...] = saved.head.input_modalities  # type: ignore[attr-defined]
    for modality in asked or ():
        if modality not in known:
            raise BadInputError(f"Not an input of a {saved.head.__name__}: {unknown_name(modality, known)}")
    return tuple(modality for modality in known if not asked or modality in asked)


def _parts(saved: SavedModel, asked: Sequence[str] | None, modalities: tuple[str, ...]) -> tuple[str, ...]:
    possible = tuple(part for part in PARTS if part.removesuffix("-encoder") in (*modalities, "fusion", "model"))
    for part in asked or ():
        if part not in possible:
            raise BadInputError(
                f"There is no {part} in what is exported of the {saved.head.__name__}: its inputs are "
                f"{' and '.join(modalities)}, so the parts are {', '.join(possible)}."
            )
    return tuple(part for part in possible if not asked or part in asked)


def _try(graphs: ModelParts) -> None:
    """Runs the model once: what says that an input is missing is the model itself."""
    try:
        with torch.no_grad():
            graphs.module("model")(**graphs.draw(graphs.sizes()))
    except ValueError as error:
        if graphs.modalities == tuple(graphs.model.input_modalities):
            raise
        raise BadInputError(
            f"{error} An export with the input {' and '.join(graphs.modalities)} alone is for classes that can do "
            "without the other."
        ) from error


# ---------------------------------------------------------------------------------------------------------------------
# Writing
# ---------------------------------------------------------------------------------------------------------------------


def export_graphs(graphs: ModelParts, parts: Sequence[str], opset: int = 20) -> Any:
    """
    The graphs in memory, as transformers' `ExportedModel`: `.save_pretrained(folder)` writes them,
    `.runners[part](**inputs)` runs them by onnxruntime. Raises [`CheckFailedError`] if an axis came out fixed.
    """
    from transformers.exporters import ExportedModel

    inputs = graphs.inputs(graphs.draw(graphs.sizes()))
    components = {
        part: _export_part(graphs, part, inputs[part], opset)
        for part in tqdm(parts, desc="exporting", unit="graph", disable=None, leave=False)
    }
    return ExportedModel(components, "onnx", config=graphs.model.config)


def _export_part(graphs: ModelParts, part: str, inputs: dict[str, torch.Tensor], opset: int) -> Any:
    """One graph as transformers' `ExportedComponent`, its free axes named. Raises [`CheckFailedError`]."""
    from transformers.exporters import OnnxConfig, OnnxExporter

    axes = graphs.axes(part)
    # AUTO, as no bounds hold for all models. torch would make an axis a constant without a word; `_name_axes` looks.
    dynamic_shapes = {
        name: {index: torch.export.Dim.AUTO for index, axis in enumerate(shape) if isinstance(axis, str)}
        for name, shape in axes.items()
        if name in inputs
    }
    config = OnnxConfig(dynamic=True, dynamic_shapes=dynamic_shapes, opset_version=opset)
    with _quiet():
        try:
            exporter = OnnxExporter()
        except ImportError as error:  # a version that is too old
            raise BadInputError(f"{str(error).rstrip('.')}: pip install -U 'hf-unimo[onnx]'.") from error
        component = exporter.export(graphs.module(part), dict(inputs), config).components["model"]
    _name_axes(component.program, part, axes)
    for node in component.program.graph.all_nodes():
        node.metadata_props.clear()  # where in which file of this machine it came from, most of the graph's bytes
    component.metadata.architecture = type(graphs.model).__name__
    component.program.metadata_props.update(
        family=graphs.config.model_type, architecture=type(graphs.model).__name__, part=part, hf_unimo=__version__
    )
    return component


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch and transformers tell of an export: progress in lines, operators of packages not here."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _name_axes(program: Any, part: str, known: dict[str, tuple[str | int, ...]]) -> None:
    """Gives the free axes of a graph their names in place of torch's symbols; raises [`CheckFailedError`] if one is
    not free, or two are held to be one."""
    import onnx_ir

    names: dict[str, str] = {}
    for value in program.graph.inputs:
        for axis, dim in zip(known[value.name], value.shape):
            if isinstance(axis, str) and names.setdefault(str(getattr(dim, "value", dim)), axis) != axis:
                raise CheckFailedError(f"The graph {part} takes {names[str(dim.value)]} and {axis} for one size.")
            if isinstance(axis, str) and not isinstance(dim, onnx_ir.SymbolicDim):
                raise CheckFailedError(f"The graph {part} takes {value.name} with a {axis} of {dim} only.")
    symbol = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in names))

    def name_of(dim: Any) -> Any:
        if not isinstance(dim, onnx_ir.SymbolicDim) or dim.value is None:
            return dim
        return onnx_ir.SymbolicDim(symbol.sub(lambda found: names[found[0]], str(dim.value)))

    inner = (output for node in program.graph.all_nodes() for output in node.outputs)
    for value in (*program.graph.inputs, *inner):
        if value.shape is not None:
            value.shape = onnx_ir.Shape([name_of(dim) for dim in value.shape])
    for value in program.graph.outputs:
        if value.name in known:  # what another part takes is called there as here
            value.shape = onnx_ir.Shape(
                [onnx_ir.SymbolicDim(a) if isinstance(a, str) else a for a in known[value.name]]
            )


def _describe(graphs: ModelParts, programs: dict[str, Any], opset: int) -> dict[str, Any]:
    """What a server must know: the content of `graphs.json`."""
    config = graphs.config
    text, vision = config.text_config, config.vision_config

    def port(value: Any) -> dict[str, Any]:
        shape = [dim if isinstance(dim, int) else dim.value for dim in value.shape]
        entry = {"name": value.name, "type": value.dtype.numpy().name, "shape": shape}
        return entry | ({"description": _DESCRIPTIONS[value.name]} if value.name in _DESCRIPTIONS else {})

    description: dict[str, Any] = {
        "family": config.model_type,
        "architecture": type(graphs.model).__name__,
        "hf_unimo": __version__,
        "opset": opset,
        "graphs": {
            part: {
                "file": f"{part}.onnx",
                "inputs": [port(value) for value in program.graph.inputs],
                "outputs": [port(value) for value in program.graph.outputs],
            }
            for part, program in programs.items()
        },
        "free_axes": ["batch_size"],
    }
    if "text" in graphs.modalities:
        description["free_axes"].append("text_length")
        description["text_length"] = {"min": 2, "max": text.max_position_embeddings - text.position_offset}
    if "image" in graphs.modalities:
        description["free_axes"] += ["height", "width"]
        description["height_and_width"] = {"multiple_of": vision.patch_size}
    if len(graphs.modalities) == 2:
        base: Any = graphs.model.base_model
        temperature = base.contrastive.temperature
        description["contrastive_temperature"] = float(temperature.detach().clamp(0.001, 0.5))
    if config.num_labels and hasattr(graphs.model, "classifier"):
        description["id2label"] = config.id2label
    return description


def _copy_processor(source: Path, folder: Path) -> None:
    """Copies the files of tokenizer and image processor that there are, without paths of the machine that trained."""
    for path in (source / name for name in _PROCESSOR_FILES):
        if path.is_file() and path.name == TOKENIZER_CONFIG_NAME:
            settings = json.loads(path.read_text(encoding="utf-8"))
            settings.pop("name_or_path", None)
            (folder / path.name).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        elif path.is_file():
            shutil.copyfile(path, folder / path.name)


# ---------------------------------------------------------------------------------------------------------------------
# Checking
# ---------------------------------------------------------------------------------------------------------------------


def check_graphs(graphs: ModelParts, parts: Sequence[str], folder: str | os.PathLike) -> dict[str, float]:
    """
    Runs the graphs in `folder` by onnxruntime on random inputs of two sizes, beside PyTorch.

    Rows whose choice of grounded tokens is not clear by [`MARGIN`] are left out; other rows are drawn in their place,
    up to ten times.

    Returns:
        `dict[str, float]`: Part -> largest difference, divided by the largest number of the output if that is above 1.

    Raises:
        CheckFailedError: If it is above [`TOLERANCE`], other grounded tokens were chosen, or no choice was clear.
    """
    from transformers.exporters import ExportedModel

    runners: dict[str, Any]
    with _quiet():
        runners = ExportedModel.from_pretrained(os.fspath(folder), device="cpu").runners
    differences = dict.fromkeys(parts, 0.0)
    for sizes in graphs.other_sizes():
        inputs, rows = _clear_inputs(graphs, sizes)
        for part in parts:
            with torch.no_grad():
                expected = graphs.module(part)(**inputs[part])
            found = runners[part](**inputs[part])  # type: ignore[arg-type]
            for name, value in expected.items():
                every_row = part.endswith("-encoder") or name in NOT_OF_A_PAIR
                one, other = (value, found[name]) if every_row else (value[rows], found[name][rows])
                if not one.is_floating_point():
                    difference = 0.0 if torch.equal(one, other) else math.inf
                else:
                    difference = float((one - other).abs().max() / one.abs().max().clamp(min=1))
                if not difference <= TOLERANCE:
                    raise CheckFailedError(
                        f"onnxruntime and PyTorch differ by {difference:.2g} in {name} of {part} at {sizes}, by more "
                        f"than {TOLERANCE}."
                    )
                differences[part] = max(differences[part], difference)
    return differences


def _clear_inputs(graphs: ModelParts, sizes: Sizes) -> tuple[dict[str, dict[str, torch.Tensor]], torch.Tensor]:
    """Inputs of the parts, and the rows (B,) of them whose choice of grounded tokens is clear."""
    for seed in range(10):
        inputs = graphs.inputs(graphs.draw(sizes, seed))
        rows = clear_rows(graphs, inputs["fusion"])
        if rows.any():
            return inputs, rows
    raise CheckFailedError(
        f"In 10 random batches no row chose its grounded tokens by a margin of {MARGIN}: there is nothing to compare."
    )


def clear_rows(graphs: ModelParts, fusion_inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Rows (B,), bool, whose K-th and (K+1)-th dictionary scores differ by more than [`MARGIN`]."""
    scores = [value for name, value in fusion_inputs.items() if name.endswith("_dictionary_scores")]
    number = graphs.config.num_grounded_tokens
    if not scores or number >= graphs.config.dictionary_size:
        return torch.ones(len(next(iter(fusion_inputs.values()))), dtype=torch.bool)
    if graphs.several and len(scores) == 2:
        scores[1] = scores[1][:, None]
    ordered = torch.stack(torch.broadcast_tensors(*scores)).sum(0).sort(-1, descending=True).values
    margins = ordered[..., number - 1] - ordered[..., number]
    return (margins.flatten(1) if margins.dim() > 1 else margins[:, None]).gt(MARGIN).all(1)


__all__ = [
    "MARGIN",
    "OPSETS",
    "PARTS",
    "TOLERANCE",
    "OnnxExport",
    "check_graphs",
    "check_packages",
    "clear_rows",
    "export_graphs",
    "export_onnx",
]
