# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The configuration of a UNIMO-2 checkpoint: what its tensors say, completed by a JSON, official or ours."""

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers.activations import ACT2FN

from ..errors import BadInputError
from ..models.unimo2.configuration_unimo2 import Unimo2Config
from .unimo2_names import (
    BASE_PARTS,
    MAX_LAYERS,
    PARTS,
    WEIGHTS,
    Weight,
    dimensions,
    infer_dimensions,
    layer_indices,
    official_shape,
)


ENCODERS = {"vision": "vit_", "text": "text_", "grounded": ""}
"""Encoder -> the prefix of its keys in an official JSON."""

_CARRIED_KEYS = ("num_attention_heads", "hidden_act", "hidden_dropout_prob", "attention_probs_dropout_prob")
_CHECKED_KEYS = {
    "hidden_size": "hidden",
    "text_vocab_size": "vocabulary",
    "text_max_position_embeddings": "positions",
    "resolution": "patch side",
    "num_codebook": "entries",
}
"""Keys of an official JSON that the tensors settle -> the dimension in the table."""

_HEAD_WIDTH = 64
_DEFAULT_TOP_K = 100
_MAX_JSON = 1 << 24  # the labels of a large classifier take megabytes
_MAX_LABELS = 1_000_000
_MAX_NAMED = 20


def read_config(config: str | os.PathLike | Mapping[str, Any] | Unimo2Config | None) -> dict[str, Any] | Unimo2Config:
    """
    Reads a configuration: a JSON file or dictionary with the official keys gives a dictionary, one of ours (it names
    `model_type` or holds `text_config`) gives a `Unimo2Config`.

    Raises:
        BadInputError: If the file cannot be read, is not JSON, or describes another model.
    """
    if config is None or config == {}:
        return {}
    if isinstance(config, Unimo2Config):
        return config
    origin = "The configuration" if isinstance(config, Mapping) else str(config)
    values = dict(config) if isinstance(config, Mapping) else _read_json(Path(config))
    if "model_type" in values or "text_config" in values:
        if values.get("model_type", Unimo2Config.model_type) != Unimo2Config.model_type:
            raise BadInputError(
                f"{origin} describes a {values['model_type']!r} model, not {Unimo2Config.model_type!r}."
            )
        # The code that a repository brought along, and how it stored its weights, do not hold for what is written.
        values.pop("auto_map", None)
        values.pop("quantization_config", None)
        return _build(values, origin)
    if not {"hidden_size", "num_hidden_layers", "text_vocab_size", "resolution"} & values.keys():
        raise BadInputError(f"{origin} has neither the keys of an official UNIMO-2 configuration nor those of ours.")
    return values


def infer_config(
    shapes: Mapping[str, tuple[int, ...]],
    config: str | os.PathLike | Mapping[str, Any] | Unimo2Config | None = None,
    *,
    layers: Mapping[str, Sequence[int]] | None = None,
) -> tuple[Unimo2Config, list[str]]:
    """
    The configuration of a checkpoint. Layer counts, widths, vocabulary, positions, patches and dictionary come from
    the tensors and are checked against `config`, which gives the rest: heads (width / 64 without it), activations,
    dropout, number of grounded tokens (`topk_value`). The model behaves as the first implementation does.

    Args:
        shapes: Official name -> shape. Names that are no parameter of the model are passed over.
        config (*optional*): A JSON file, a dictionary, or a configuration; official or ours.
        layers (*optional*): `"text"` or `"grounded"` -> indices of the layers to take, in order.

    Returns:
        The configuration, and remarks: sentences for the report.

    Raises:
        BadInputError: If backbone weights are missing (their names are listed), shapes do not agree with each other or
            with `config`, or the checkpoint is one of UNIMO-1.
    """
    given = read_config(config)
    check_recognised(shapes)
    layers = layers or {}
    baseline = _is_baseline(shapes, given)
    _check_layers(shapes, given, layers)
    rows = _rows(shapes, given, layers, baseline)
    _check_complete(rows, shapes)
    sizes = infer_dimensions(rows, shapes)
    if isinstance(given, Unimo2Config):
        built = Unimo2Config.from_dict(given.to_dict())
        if layers:
            built = _with_layer_counts(built, layers)
        _check_ours(built, rows, shapes)
        return built, []
    return _from_official(sizes, given, {encoder: _count(shapes, layers, encoder) for encoder in ENCODERS}, baseline)


def check_recognised(names: Iterable[str]) -> None:
    """Raises [`BadInputError`] unless some of the names are those of UNIMO-2; says so if they are UNIMO-1's."""
    names = list(names)
    if any(name.startswith(("text.", "vit.", "grounded.")) for name in names):
        return
    if any(name.startswith(("word_embedding", "encoder_layer_", "image_emb.")) for name in names):
        raise BadInputError(
            "This is a checkpoint of UNIMO-1 (no name begins with text., vit. or grounded.), not UNIMO-2."
        )
    found = f"the names begin with {names[0][:80]!r}" if names else "it holds no variables"
    raise BadInputError(f"This is no UNIMO-2 checkpoint: {found}, where text., vit. and grounded. are expected.")


def _is_baseline(shapes: Mapping[str, tuple[int, ...]], given: dict[str, Any] | Unimo2Config) -> bool:
    """The first implementation's baseline has no dictionary at all; one with a part of it is damaged."""
    if isinstance(given, Unimo2Config):
        return given.grounding_method == "none"
    return not any(row.official in shapes for row in WEIGHTS if row.part == "dictionary")


def _count(shapes: Iterable[str], layers: Mapping[str, Sequence[int]], encoder: str) -> int:
    """Number of layers an encoder is to have; a gap counts, so that it is reported as missing."""
    if layers.get(encoder):
        return len(layers[encoder])
    found = layer_indices(shapes, encoder)
    return found[-1] + 1 if found else 0


def _check_layers(
    shapes: Mapping[str, tuple[int, ...]], given: dict[str, Any] | Unimo2Config, layers: Mapping[str, Sequence[int]]
) -> None:
    """Raises if the checkpoint has more layers than the configuration names; fewer are missing weights."""
    for encoder, wanted in layers.items():
        if len(set(wanted)) != len(wanted) or any(not 0 <= index < MAX_LAYERS for index in wanted):
            raise BadInputError(
                f"The layers of the {encoder} encoder must be different indices from 0, not {list(wanted)}."
            )
    for encoder in ENCODERS:
        declared = _declared_layers(given, encoder)
        found = _count(shapes, {}, encoder)
        if declared is not None and found > declared and not layers.get(encoder):
            raise BadInputError(
                f"The configuration gives the {encoder} encoder {declared} layers, the checkpoint has {found}; "
                "name the ones to run if only some are wanted."
            )


def _declared_layers(given: dict[str, Any] | Unimo2Config, encoder: str) -> int | None:
    if isinstance(given, Unimo2Config):
        return getattr(given, f"{encoder}_config").num_hidden_layers
    return _integer(given, f"{ENCODERS[encoder]}num_hidden_layers")


def _rows(
    shapes: Mapping[str, tuple[int, ...]],
    given: dict[str, Any] | Unimo2Config,
    layers: Mapping[str, Sequence[int]],
    baseline: bool,
) -> list[Weight]:
    """The table's rows that bear on the checkpoint, by the names they have in it, with its layers' indices."""
    rows = []
    for row in WEIGHTS:
        if isinstance(given, Unimo2Config):
            skipped = not PARTS[row.part].exists(given)
        else:
            skipped = (row.part == "dictionary" and baseline) or row.part == "grounding projection"
        if skipped:
            continue
        if row.encoder:
            count = max(
                _count(shapes, layers, row.encoder), 0 if layers.get(row.encoder) else _needed(given, row.encoder)
            )
            rows += [row.at(index, own) for own, index in enumerate(layers.get(row.encoder) or range(count))]
        else:
            rows.append(present_row(row, shapes))
    return rows


def present_row(row: Weight, names: Iterable[str]) -> Weight:
    """The row by the first of its official names that the checkpoint has."""
    for name in (row.official, *row.aliases):
        if name in names:
            return Weight(name, row.ours, row.shape, row.part, row.transposed, row.encoder)
    return row


def _needed(given: dict[str, Any] | Unimo2Config, encoder: str) -> int:
    return min(_declared_layers(given, encoder) or 1, MAX_LAYERS)


def _check_complete(rows: Iterable[Weight], shapes: Mapping[str, tuple[int, ...]]) -> None:
    missing = [
        row.official
        for row in rows
        if row.part in BASE_PARTS and PARTS[row.part].required and row.official not in shapes
    ]
    if missing:
        more = f" and {len(missing) - _MAX_NAMED} more" if len(missing) > _MAX_NAMED else ""
        raise BadInputError(f"Missing from the checkpoint: {', '.join(missing[:_MAX_NAMED])}{more}.")


def _check_ours(config: Unimo2Config, rows: Iterable[Weight], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raises if a tensor has not the number of elements, or the sizes, that our configuration asks for."""
    sizes = dimensions(config)
    for row in rows:
        # The number of labels is a head's affair: it matters only where the checkpoint is saved with a classifier.
        if row.part == "classifier":
            continue
        wanted = official_shape(row, sizes)
        if row.official in shapes and not same_shape(shapes[row.official], wanted):
            raise BadInputError(
                f"{row.official} has shape {shapes[row.official]}, the configuration asks for {wanted}."
            )


def same_shape(first: Sequence[int], second: Sequence[int]) -> bool:
    """Whether two shapes differ in nothing but dimensions of size 1."""
    return [size for size in first if size != 1] == [size for size in second if size != 1]


def _with_layer_counts(config: Unimo2Config, layers: Mapping[str, Sequence[int]]) -> Unimo2Config:
    values = config.to_dict()
    for encoder, indices in layers.items():
        values[f"{encoder}_config"]["num_hidden_layers"] = len(indices)
    return _build(values, "The configuration")


def _from_official(
    sizes: Mapping[str, int], given: Mapping[str, Any], counts: Mapping[str, int], baseline: bool
) -> tuple[Unimo2Config, list[str]]:
    """Our configuration of an official checkpoint: sizes of the tensors, the rest of the official JSON."""
    for key, dimension in _CHECKED_KEYS.items():
        declared = _integer(given, key)
        if declared is not None and dimension in sizes and declared != sizes[dimension]:
            raise BadInputError(f"The configuration gives {key} {declared}, the tensors have {sizes[dimension]}.")
    remarks = []
    encoders: dict[str, dict[str, Any]] = {}
    for encoder, prefix in ENCODERS.items():
        values = {key: given[prefix + key] for key in _CARRIED_KEYS if prefix + key in given}
        values["num_attention_heads"] = _heads(values, sizes["hidden"], prefix)
        if values.get("hidden_act", "gelu") not in ACT2FN:
            raise BadInputError(f"The configuration's {prefix}hidden_act {values['hidden_act']!r} is no activation.")
        values |= {
            "hidden_size": sizes["hidden"],
            "num_hidden_layers": counts[encoder],
            "intermediate_size": sizes[f"{encoder} inner"],
        }
        encoders[encoder] = values | _only(given, "initializer_range")
    encoders["text"] |= {"vocab_size": sizes["vocabulary"], "max_position_embeddings": sizes["positions"]}
    grid = math.isqrt(sizes["patches"] - 1)
    if grid < 1 or grid * grid != sizes["patches"] - 1:
        raise BadInputError(
            f"vit.position_embeddings has {sizes['patches']} rows, not one for a class token and a square of patches."
        )
    encoders["vision"] |= {
        "patch_size": sizes["patch side"],
        "num_channels": sizes["channels"],
        "image_size": grid * sizes["patch side"],
    }
    top = {"contrastive_mean": "batch"} | _only(given, "initializer_range")
    if baseline:
        top["grounding_method"] = "none"
        remarks.append("No dictionary in the checkpoint: converted as the baseline, grounding_method 'none'.")
    else:
        top["dictionary_size"] = sizes["entries"]
        top["num_grounded_tokens"], remark = _top_k(given, sizes["entries"])
        remarks += remark
    if "labels" in sizes:
        top["num_labels"] = sizes["labels"]
    top |= {f"{encoder}_config": values for encoder, values in encoders.items()}
    return _build(top, "The checkpoint"), remarks


def _heads(values: Mapping[str, Any], width: int, prefix: str) -> int:
    declared = _integer(values, "num_attention_heads")
    if declared is None:
        if width % _HEAD_WIDTH:
            raise BadInputError(
                f"Width {width} is no multiple of {_HEAD_WIDTH}, so the number of attention heads cannot be guessed: "
                f"give a configuration with {prefix}num_attention_heads."
            )
        return width // _HEAD_WIDTH
    if declared < 1:
        raise BadInputError(f"{prefix}num_attention_heads must be at least 1, not {declared}.")
    return declared


def _top_k(given: Mapping[str, Any], entries: int) -> tuple[int, list[str]]:
    declared = _integer(given, "topk_value")
    if declared is not None:
        return declared, []  # the configuration class refuses more than there are entries
    if entries >= _DEFAULT_TOP_K:
        return _DEFAULT_TOP_K, []
    return entries, [f"topk_value is not given; {entries} grounded tokens, as the dictionary has no more entries."]


def _integer(values: Mapping[str, Any], key: str) -> int | None:
    value = values.get(key)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise BadInputError(f"The configuration's {key} must be a whole number, not {value!r}.")
    return value


def _only(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {key: values[key]} if key in values else {}


def _build(values: Mapping[str, Any], origin: str) -> Unimo2Config:
    labels = values.get("num_labels")
    if isinstance(labels, int) and labels > _MAX_LABELS:  # the class would make a dictionary of that length
        raise BadInputError(f"{origin} has {labels} labels; {_MAX_LABELS} is the limit.")
    try:
        return Unimo2Config.from_dict(dict(values))
    except (StrictDataclassError, ValueError, TypeError, AttributeError, KeyError) as error:
        cause = error.__cause__ or error
        raise BadInputError(f"{origin} does not make a UNIMO-2 model: {' '.join(str(cause).split())}") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if not path.is_file():
            raise BadInputError(f"{path} is not a file.")
        if path.stat().st_size > _MAX_JSON:
            raise BadInputError(f"{path} is larger than {_MAX_JSON} bytes, so it is no configuration.")
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise BadInputError(f"{path} is not a readable JSON file: {error}.") from error
    if not isinstance(values, dict):
        raise BadInputError(f"{path} holds no JSON object.")
    return values
