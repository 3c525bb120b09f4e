# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Starts a UNIMO-2 model from encoders that were trained apart: transformers' ViT becomes the vision encoder,
transformers' RoBERTa or BERT the text encoder and, with the same layers, the fusion encoder.

What the parts of a checkpoint become, and where the two differ:

* **ViT** has our architecture (norm first, last norm, class token, position table), so every state is the same but
  for one thing: our patches start `(patch_size - 1) // 2` pixels above and left of theirs, seven at the usual size.
  There are as many patches. The weights are copied as they are, so our states for an image are the checkpoint's for
  the image moved that far right and down. Patches of one or two pixels do not move.
* **The position table** of a ViT for images of another size is interpolated as our model does it when it runs.
* **RoBERTa** has our architecture but for token types, of which the encoder by itself uses the first: its row is added
  to the position table, which leaves every state the same. (Added to the words it would change the language head,
  which shares them.)
* **BERT** is RoBERTa with positions counted from 0 on, so the same is done with its first token
  type. Its rows are put behind those of our table that stand before a text's first word
  (`position_offset`, 2); these hold the token type alone, and only padding stands there. The second token type, that
  of the second text of a pair, is dropped.
* **Their language heads** become `lm_head`, where the model and the checkpoint have one.

Poolers and classifiers of a checkpoint have no counterpart. Dictionary, poolers, contrastive part and other heads of
the model keep their values.
"""

import os
import pickle
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.utils import logging

from ..errors import BadInputError
from ..models.unimo2.configuration_unimo2 import Unimo2TextConfig, Unimo2VisionConfig
from ..models.unimo2.modeling_unimo2 import Unimo2Model, Unimo2PreTrainedModel, Unimo2VisionEmbeddings


Source = str | os.PathLike | PreTrainedModel

_TYPES = {"vision": ("vit",), "text": ("roberta", "xlm-roberta", "bert")}
"""
Kind of a checkpoint -> the model types that are accepted; inside of their base models those of one kind name their
weights alike.
"""

_ENCODER_ONLY = {"is_decoder": False, "add_cross_attention": False, "position_embedding_type": "absolute"}
"""Key of a text checkpoint's configuration -> the value with which it computes what our encoders do."""

_ENCODERS = {"vision": "vision", "text": "text", "grounded": "fusion"}
"""Encoder of ours -> what messages call it."""

_LAYER_KEYS = ("hidden_size", "num_attention_heads", "intermediate_size")
_SILENT_KEYS = ("hidden_act", "layer_norm_eps")
"""What changes the states of an encoder without changing the shape of a weight."""

_MAX_NAMED = 3


def _affine(modules: dict[str, str]) -> dict[str, str]:
    """Weight and bias of each pair of modules."""
    return {f"{theirs}.{kind}": f"{ours}.{kind}" for theirs, ours in modules.items() for kind in ("weight", "bias")}


# Theirs by their names in the checkpoint's base model, layers by those in a layer; language heads by their full names.
_VISION_POSITIONS = "vision_model.embeddings.position_embeddings"
_VISION_WEIGHTS = {
    "embeddings.cls_token": "vision_model.embeddings.cls_token",
    "embeddings.position_embeddings": _VISION_POSITIONS,
    **_affine(
        {
            "embeddings.patch_embeddings.projection": "vision_model.embeddings.patch_embedding",
            "layernorm": "vision_model.layernorm",
        }
    ),
}
_VISION_LAYER = _affine(
    {
        "attention.q_proj": "self_attn.q_proj",
        "attention.k_proj": "self_attn.k_proj",
        "attention.v_proj": "self_attn.v_proj",
        "attention.o_proj": "self_attn.out_proj",
        "layernorm_before": "layer_norm1",
        "mlp.fc1": "mlp.fc1",
        "mlp.fc2": "mlp.fc2",
        "layernorm_after": "layer_norm2",
    }
)
_QKV_BIASES = {f"attention.{kind}_proj.bias" for kind in "qkv"}
_TEXT_POSITIONS = "text_model.embeddings.position_embeddings.weight"
_TEXT_WEIGHTS = {
    "embeddings.word_embeddings.weight": "text_model.embeddings.word_embeddings.weight",
    "embeddings.position_embeddings.weight": _TEXT_POSITIONS,
    **_affine({"embeddings.LayerNorm": "text_model.embeddings.layernorm"}),
}
_TOKEN_TYPES = "embeddings.token_type_embeddings.weight"
_TEXT_LAYER = _affine(
    {
        "attention.self.query": "self_attn.q_proj",
        "attention.self.key": "self_attn.k_proj",
        "attention.self.value": "self_attn.v_proj",
        "attention.output.dense": "self_attn.out_proj",
        "attention.output.LayerNorm": "layer_norm1",
        "intermediate.dense": "mlp.fc1",
        "output.dense": "mlp.fc2",
        "output.LayerNorm": "layer_norm2",
    }
)
_LANGUAGE_HEAD = _affine(
    {
        "lm_head.dense": "lm_head.dense",
        "lm_head.layer_norm": "lm_head.layernorm",
        "lm_head.decoder": "lm_head.decoder",
        "cls.predictions.transform.dense": "lm_head.dense",
        "cls.predictions.transform.LayerNorm": "lm_head.layernorm",
        "cls.predictions.decoder": "lm_head.decoder",
    }
)
"""RoBERTa's and BERT's; a checkpoint has one of them, or none."""
_LANGUAGE_HEAD_PREFIXES = ("lm_head.", "cls.predictions.")
_LANGUAGE_OUTPUTS = tuple(f"{prefix}decoder.weight" for prefix in _LANGUAGE_HEAD_PREFIXES)
_LAYERS = {"vision": "layers.", "text": "encoder.layer."}
_NO_COUNTERPART = "without a counterpart in UNIMO-2"


@dataclass
class EncoderReport:
    """
    What became of each weight.

    Args:
        used (`dict[str, list[str]]`): Name in the checkpoint -> the model's parameters it went into; a layer of a text
            checkpoint goes into two encoders.
        missing (`list[str]`): Parameters of the model that got nothing and keep their values (in a new model: fresh).
        unused (`dict[str, str]`): Name in the checkpoint -> why it is not used. Those that transformers' model has no
            place for either have the checkpoint's kind in front: `"vision: classifier.weight"`.
        remarks (`list[str]`): What was decided.
        warnings (`list[str]`): Values of the model's configuration with which it computes something else than the
            checkpoint did. The configuration is left as it is.
        parameters (`int`): Number of values of the model that were set.
    """

    used: dict[str, list[str]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unused: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    parameters: int = 0

    def summary(self) -> str:
        """The report as lines of text; unused names are grouped by reason, missing ones by part of the model."""
        parts: dict[str, int] = {}
        for name in self.missing:
            part = name.removeprefix(f"{Unimo2PreTrainedModel.base_model_prefix}.").partition(".")[0]
            parts[part] = parts.get(part, 0) + 1
        reasons: dict[str, list[str]] = {}
        for name, reason in self.unused.items():
            reasons.setdefault(reason, []).append(name)
        lines = [f"used: {len(self.used)} ({self.parameters:,} values of the model)", f"unused: {len(self.unused)}"]
        lines += [f"  {reason}: {_some(names)}" for reason, names in reasons.items()]
        lines.append(f"not in the checkpoints, left as they are: {len(self.missing)}")
        lines += [f"  {part}: {count}" for part, count in parts.items()]
        return "\n".join([*lines, *self.remarks, *(f"WARNING: {warning}" for warning in self.warnings)])


def load_encoders(
    model: Unimo2PreTrainedModel,
    vision: Source | None = None,
    text: Source | None = None,
    *,
    vision_layers: Sequence[int] | None = None,
    text_layers: Sequence[int] | None = None,
    grounded_layers: Sequence[int] | None = None,
) -> EncoderReport:
    """
    Copies the weights of a ViT into the vision encoder, and those of a RoBERTa or a BERT into the text encoder, the
    fusion encoder and the language head. See the top of this file for what differs.

    An encoder with fewer layers than the checkpoint gets the first ones; the position table of a text encoder with
    fewer positions likewise.

    Args:
        model: A [`Unimo2Model`] or any head, changed in place.
        vision (*optional*): A directory (or Hub id) of transformers' ViT, with or without a head, or the model itself.
        text (*optional*): The same of transformers' RoBERTa, XLM-RoBERTa or BERT.
        vision_layers, text_layers, grounded_layers (*optional*): Indices of the checkpoint's layers that the vision,
            the text and the fusion encoder get, instead of the first; for example `range(6)` and `range(6, 12)` to
            divide a RoBERTa between text and fusion encoder.

    Returns:
        An [`EncoderReport`].

    Raises:
        BadInputError: If a checkpoint cannot be read, is of another kind, or does not fit the model. The model is then
            unchanged.
    """
    if vision is None and text is None:
        raise BadInputError("There is no checkpoint to load encoders from; give one for vision, one for text or both.")
    if not isinstance(getattr(model, "base_model", None), Unimo2Model):
        raise BadInputError(f"Encoders are loaded into a Unimo2Model or one of its heads, not {type(model).__name__}.")
    configs = {"vision": _read_config("vision", vision), "text": _read_config("text", text)}
    _check_widths(configs)
    plan = _Plan(model)
    if vision is not None:
        plan.add_vision(_Checkpoint("vision", vision, configs["vision"]), vision_layers)
    if text is not None:
        plan.add_text(_Checkpoint("text", text, configs["text"]), text_layers, grounded_layers)
    return plan.execute()


def encoder_config(vision: Source | None = None, text: Source | None = None) -> dict[str, dict[str, Any]]:
    """
    The values of a UNIMO-2 configuration that a pair of checkpoints implies, so that `Unimo2Config(**values)` or a
    preset with them makes a model that [`load_encoders`] fills with nothing left out.

    Args:
        vision, text (*optional*): As for [`load_encoders`]; only their configurations are read and, for the ids of
            the tokens that begin, pad and end a text, which a BERT's lacks, the tokenizer beside it. Without one (a
            model has none) those ids are None, and captions are generated only when they are set.

    Returns:
        Overrides of `vision_config`, of `text_config` and, as the fusion encoder gets the text encoder's layers, of
        `grounded_config`. One checkpoint alone implies the width of the other encoders and nothing else of them.

    Raises:
        BadInputError: If a configuration cannot be read, is of another kind, or the two have different widths.
    """
    configs = {"vision": _read_config("vision", vision), "text": _read_config("text", text)}
    width = _check_widths(configs)
    values: dict[str, dict[str, Any]] = {}
    if width is not None:
        values = {f"{encoder}_config": {"hidden_size": width} for encoder in _ENCODERS}
    for encoder, kind in (("vision", "vision"), ("text", "text"), ("grounded", "text")):
        config = configs[kind]
        if config is not None:
            keys = (*_LAYER_KEYS, "num_hidden_layers", *_SILENT_KEYS)
            values[f"{encoder}_config"] |= {key: getattr(config, key) for key in keys}
    if configs["vision"] is not None:
        values["vision_config"] |= _image_values(configs["vision"])
    if configs["text"] is not None:
        values["text_config"] |= _text_values(configs["text"]) | _token_ids(configs["text"], text)
    return values


class _Checkpoint:
    """
    The weights of a checkpoint, by the names they have in a model with a head, without those that transformers made up
    because the files lack them.
    """

    def __init__(self, kind: str, source: Source, config: Any):
        self.config = config
        self.name = _called(kind, source)
        absent: set[str] = set()
        self.unknown: list[str] = []
        if isinstance(source, PreTrainedModel):
            model = source
        else:
            model, info = _load(kind, source, config)
            absent = info["missing_keys"]
            self.unknown = [f"{kind}: {name}" for name in sorted(info["unexpected_keys"])]
            for name, found, wanted in info["mismatched_keys"]:
                raise BadInputError(
                    f"The {self.name} has {name} of shape {tuple(found)}, its configuration asks for {tuple(wanted)}."
                )
        self.base = f"{model.base_model_prefix}."
        self.layers = self.base + _LAYERS[kind]
        prefix = self.base if model.base_model is model else ""
        self.weights = {prefix + name: value for name, value in model.state_dict().items() if name not in absent}
        self.duplicates = {prefix + name for name in model.all_tied_weights_keys}


class _Plan:
    """Which tensor each parameter of the model gets. Nothing is written before everything is known to fit."""

    def __init__(self, model: Unimo2PreTrainedModel):
        self.model = model
        self.config: Any = model.config
        self.prefix = "" if model.base_model is model else f"{model.base_model_prefix}."
        self.parameters = dict(model.named_parameters(remove_duplicate=False))
        self.has_language_head = "lm_head.dense.weight" in self.parameters
        self.tensors: dict[str, torch.Tensor] = {}
        self.report = EncoderReport()

    def add_vision(self, checkpoint: _Checkpoint, layers: Sequence[int] | None) -> None:
        """All of the vision encoder."""
        ours, theirs = self.config.vision_config, _image_values(checkpoint.config)
        self._check("vision", checkpoint, {key: theirs[key] for key in ("patch_size", "num_channels")})
        self._add_all(checkpoint, _in(checkpoint.base, _VISION_WEIGHTS))
        if checkpoint.config.qkv_bias:
            self._add_layers("vision", checkpoint, layers, _VISION_LAYER)
        else:
            names = {theirs: ours for theirs, ours in _VISION_LAYER.items() if theirs not in _QKV_BIASES}
            self._add_layers("vision", checkpoint, layers, names)
            self._zero_biases(checkpoint)
        if theirs["image_size"] != ours.image_size:
            name = self.prefix + _VISION_POSITIONS
            self.tensors[name] = _interpolate_positions(self.tensors[name], theirs, ours.image_size)
            self.report.remarks.append(
                f"The {checkpoint.name} is for images of {theirs['image_size']} pixels, its position table is "
                f"interpolated for {ours.image_size}."
            )
        padding = (ours.patch_size - 1) // 2
        if padding:
            self.report.remarks.append(
                f"Patches start {padding} pixels above and left of those of the {checkpoint.name}: an image has the "
                f"states that it has there when moved {padding} pixels right and down."
            )
        self._add_unused(checkpoint)

    def add_text(
        self, checkpoint: _Checkpoint, text_layers: Sequence[int] | None, grounded_layers: Sequence[int] | None
    ) -> None:
        """All of the text encoder, the layers of the fusion encoder and the language head."""
        theirs = _text_values(checkpoint.config)
        counted = () if _is_bert(checkpoint.config) else ("position_offset",)
        self._check("text", checkpoint, {key: theirs[key] for key in ("vocab_size", *counted)})
        self._check("grounded", checkpoint, {})
        self._add_all(checkpoint, _in(checkpoint.base, _TEXT_WEIGHTS))
        self._adapt_positions(checkpoint)
        self._add_layers("text", checkpoint, text_layers, _TEXT_LAYER)
        self._add_layers("grounded", checkpoint, grounded_layers, _TEXT_LAYER)
        if self.has_language_head:
            names = {theirs: ours for theirs, ours in _LANGUAGE_HEAD.items() if theirs in checkpoint.weights}
            if self.config.tie_word_embeddings:
                names = {theirs: ours for theirs, ours in names.items() if theirs not in _LANGUAGE_OUTPUTS}
            self._add_all(checkpoint, names)
            # Ours has the fusion encoder's activation, BERT's that of its layers, RoBERTa's "gelu" in any case.
            act = self.config.grounded_config.hidden_act
            their_act = checkpoint.config.hidden_act if _is_bert(checkpoint.config) else "gelu"
            if names and act != their_act:
                self.report.warnings.append(
                    f"The language head has {act!r}, that of the {checkpoint.name} {their_act!r}."
                )
        self._add_unused(checkpoint)

    def execute(self) -> EncoderReport:
        """Checks the shapes, copies, and completes the report."""
        for name, tensor in self.tensors.items():
            found, wanted = tuple(tensor.shape), tuple(self.parameters[name].shape)
            if found != wanted:
                raise BadInputError(f"The checkpoint has a weight of shape {found} for {name}, which needs {wanted}.")
        with torch.no_grad():
            for name, tensor in self.tensors.items():
                self.parameters[name].copy_(tensor)
                self.report.parameters += tensor.numel()
        written = {id(self.parameters[name]) for name in self.tensors}
        self.report.missing = [name for name, value in self.model.named_parameters() if id(value) not in written]
        return self.report

    def _check(self, encoder: str, checkpoint: _Checkpoint, values: dict[str, Any]) -> None:
        """Refuses sizes that differ and notes what differs without a difference in shape."""
        config = getattr(self.config, f"{encoder}_config")
        values = {key: getattr(checkpoint.config, key) for key in (*_LAYER_KEYS, *_SILENT_KEYS)} | values
        for key, theirs in values.items():
            ours = getattr(config, key)
            sentence = f"The {_ENCODERS[encoder]} encoder has `{key}` {ours!r}, the {checkpoint.name} {theirs!r}"
            if ours != theirs and key in _SILENT_KEYS:
                self.report.warnings.append(f"{sentence}.")
            elif ours != theirs:
                raise BadInputError(f"{sentence}; they must be equal.")

    def _add_all(self, checkpoint: _Checkpoint, names: dict[str, str]) -> None:
        """Every weight of a table."""
        lacking = [theirs for theirs in names if theirs not in checkpoint.weights]
        if lacking:
            raise BadInputError(f"The {checkpoint.name} lacks weights: {_some(lacking)}.")
        for theirs, ours in names.items():
            ours = ours if ours in _LANGUAGE_HEAD.values() else self.prefix + ours
            self.tensors[ours] = checkpoint.weights[theirs]
            self.report.used.setdefault(theirs, []).append(ours)

    def _add_layers(
        self, encoder: str, checkpoint: _Checkpoint, layers: Sequence[int] | None, names: dict[str, str]
    ) -> None:
        wanted = getattr(self.config, f"{encoder}_config").num_hidden_layers
        found = checkpoint.config.num_hidden_layers
        if layers is None and wanted > found:
            raise BadInputError(
                f"The {_ENCODERS[encoder]} encoder has {wanted} layers, the {checkpoint.name} {found}; no more than "
                "that are accepted."
            )
        chosen = list(range(wanted) if layers is None else layers)
        if len(chosen) != wanted or any(not 0 <= index < found for index in chosen):
            raise BadInputError(
                f"{chosen} is no choice of layers for the {_ENCODERS[encoder]} encoder: it needs {wanted}, from 0 to "
                f"{found - 1}."
            )
        for place, index in enumerate(chosen):
            prefix = f"{checkpoint.layers}{index}."
            placed = {theirs: f"{encoder}_model.layers.{place}.{ours}" for theirs, ours in names.items()}
            self._add_all(checkpoint, _in(prefix, placed))
        if chosen != list(range(found)):
            what = f"the first {wanted}" if chosen == list(range(wanted)) else str(chosen)
            self.report.remarks.append(
                f"Of the {found} layers of the {checkpoint.name} the {_ENCODERS[encoder]} encoder gets {what}."
            )

    def _zero_biases(self, checkpoint: _Checkpoint) -> None:
        """A ViT without biases of queries, keys and values is one whose biases are zero."""
        for name, parameter in self.parameters.items():
            if name.startswith(f"{self.prefix}vision_model.layers.") and name not in self.tensors:
                self.tensors[name] = torch.zeros_like(parameter)
        self.report.remarks.append(f"The {checkpoint.name} has no biases of queries, keys and values; they are zero.")

    def _adapt_positions(self, checkpoint: _Checkpoint) -> None:
        """As many positions as the model has, each with the token type that the checkpoint uses by default."""
        name, config = self.prefix + _TEXT_POSITIONS, self.config.text_config
        before = config.position_offset if _is_bert(checkpoint.config) else 0
        table, wanted = self.tensors[name], config.max_position_embeddings - before
        found = len(table)
        if wanted > found:
            more = f" and {before} before its first" if before else ""
            raise BadInputError(
                f"The text encoder has `max_position_embeddings` {wanted + before}, the {checkpoint.name} {found}"
                f"{more}; no more than that are accepted."
            )
        if wanted < found:
            table = table[:wanted]
            self.report.remarks.append(
                f"Of the {found} positions of the {checkpoint.name} the first {wanted} are taken."
            )
        if before:
            table = torch.cat([table.new_zeros(before, table.shape[1]), table])
            self.report.remarks.append(f"Position 0 of the {checkpoint.name} is {before} here; padding stands before.")
        types = checkpoint.weights.get(checkpoint.base + _TOKEN_TYPES)
        if types is not None and len(types):
            table = table.float() + types[0].float()
            self.report.used[checkpoint.base + _TOKEN_TYPES] = [name]
            others = f"; the other {len(types) - 1} are dropped" if len(types) > 1 else ""
            self.report.remarks.append(
                f"The first token type of the {checkpoint.name} is part of the position table{others}."
            )
        self.tensors[name] = table

    def _add_unused(self, checkpoint: _Checkpoint) -> None:
        """What is left; a tensor of two names is listed by one of them, and not at all if it is used."""
        used = {checkpoint.weights[name].data_ptr() for name in self.report.used if name in checkpoint.weights}
        for name, value in checkpoint.weights.items():
            if name in checkpoint.duplicates or value.data_ptr() in used:
                continue
            if name.startswith(checkpoint.layers):
                reason = "in layers that no encoder takes"
            elif name.startswith(_LANGUAGE_HEAD_PREFIXES) and not self.has_language_head:
                reason = "the model has no language head"
            elif name in _LANGUAGE_OUTPUTS:
                reason = "the model's language head shares its word embeddings"
            else:
                reason = _NO_COUNTERPART
            self.report.unused[name] = reason
        self.report.unused |= dict.fromkeys(checkpoint.unknown, _NO_COUNTERPART)


def _in(prefix: str, names: dict[str, str]) -> dict[str, str]:
    """A table of names whose first ones are given by what follows `prefix`."""
    return {prefix + theirs: ours for theirs, ours in names.items()}


def _interpolate_positions(table: torch.Tensor, theirs: dict[str, Any], image_size: int) -> torch.Tensor:
    """A ViT's position table (1, 1 + patches, H) for another image size, by our model's own interpolation."""
    config = Unimo2VisionConfig(hidden_size=table.shape[-1], num_attention_heads=1, **theirs)
    with torch.device("meta"):
        embeddings = Unimo2VisionEmbeddings(config)
    embeddings.position_embeddings = nn.Parameter(table, requires_grad=False)
    return embeddings.interpolate_pos_encoding(image_size, image_size)


def _image_values(config: Any) -> dict[str, Any]:
    """Keys of [`Unimo2VisionConfig`] about images that a ViT's configuration implies."""
    image_size, patch_size = _side("image_size", config.image_size), _side("patch_size", config.patch_size)
    # A ViT leaves out the pixels beyond the last whole patch; ours takes no image that has such.
    return {
        "image_size": image_size - image_size % patch_size,
        "patch_size": patch_size,
        "num_channels": config.num_channels,
    }


def _side(key: str, value: Any) -> int:
    sides = {value} if isinstance(value, int) else set(value)
    if len(sides) != 1:
        raise BadInputError(f"The vision checkpoint has `{key}` {value!r}; only squares are accepted.")
    return sides.pop()


def _is_bert(config: Any) -> bool:
    """Whether a text checkpoint is a BERT, whose first word stands at position 0, and not a RoBERTa."""
    return config.model_type == "bert"


def _text_values(config: Any) -> dict[str, Any]:
    """Keys of [`Unimo2TextConfig`] about words and positions that a text checkpoint's configuration implies."""
    before = Unimo2TextConfig.position_offset if _is_bert(config) else 0
    if not before and config.pad_token_id is None:
        raise BadInputError("The text checkpoint has no `pad_token_id`, from which RoBERTa's positions are counted.")
    return {
        "vocab_size": config.vocab_size,
        "max_position_embeddings": before + config.max_position_embeddings,
        "position_offset": before or config.pad_token_id + 1,
    }


def _token_ids(config: Any, source: Source | None) -> dict[str, Any]:
    """Ids that a text begins, pads and ends with. A BERT's configuration lacks two; its tokenizer knows them."""
    names = {"bos_token_id": "cls_token_id", "pad_token_id": "pad_token_id", "eos_token_id": "sep_token_id"}
    if _is_bert(config) and source is not None and not isinstance(source, PreTrainedModel):
        try:
            tokenizer = AutoTokenizer.from_pretrained(os.fspath(source), trust_remote_code=False)
        except _UNREADABLE:  # a folder without one
            tokenizer = None
        # Without a vocabulary, transformers makes up a tokenizer that has special tokens only.
        if tokenizer is not None and len(tokenizer) > len(tokenizer.all_special_ids):
            return {ours: getattr(tokenizer, theirs) for ours, theirs in names.items()}
    return {key: getattr(config, key) for key in names}


def _check_widths(configs: dict[str, Any]) -> int | None:
    """The width of the checkpoints there are; raises if they have two."""
    widths = {kind: config.hidden_size for kind, config in configs.items() if config is not None}
    if len(set(widths.values())) > 1:
        raise BadInputError(
            f"The vision checkpoint has `hidden_size` {widths['vision']}, the text checkpoint {widths['text']}; the "
            "encoders share one width."
        )
    return next(iter(widths.values()), None)


_UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    RuntimeError,
    LookupError,
    StrictDataclassError,
    SafetensorError,
    pickle.UnpicklingError,
)
"""What transformers raises for directories, configurations, weights and tokenizers that it cannot read."""


def _read_config(kind: str, source: Source | None) -> PreTrainedConfig | None:
    """A checkpoint's configuration; raises unless it is of a model type of its kind."""
    if source is None:
        return None
    if isinstance(source, PreTrainedModel):
        config = source.config
    else:
        try:
            config = AutoConfig.from_pretrained(os.fspath(source), trust_remote_code=False)
        except _UNREADABLE as error:
            raise BadInputError(_unreadable(kind, source, error)) from error
    if config.model_type not in _TYPES[kind]:
        raise BadInputError(
            f"The {_called(kind, source)} is of model type {config.model_type!r}; accepted: {', '.join(_TYPES[kind])}."
        )
    for key, accepted in _ENCODER_ONLY.items():
        if kind == "text" and getattr(config, key, None) not in (accepted, None):
            raise BadInputError(
                f"The {_called(kind, source)} has `{key}` {getattr(config, key)!r}; only {accepted!r} is accepted."
            )
    return config


def _load(kind: str, source: str | os.PathLike, config: Any) -> tuple[PreTrainedModel, dict[str, Any]]:
    """The model and what transformers says of its loading; pickled weights are read as tensors only."""
    auto_class: Any = AutoModel if kind == "vision" else AutoModelForMaskedLM
    # It would print, too, and calls a checkpoint corrupted that has no language head; the report says what is missing.
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        return auto_class.from_pretrained(
            os.fspath(source),
            config=config,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported by the caller, with both shapes
            trust_remote_code=False,
            weights_only=True,
        )
    except _UNREADABLE as error:
        raise BadInputError(_unreadable(kind, source, error)) from error
    finally:
        logging.set_verbosity(verbosity)


def _unreadable(kind: str, source: str | os.PathLike, error: Exception) -> str:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")
    if isinstance(error, pickle.UnpicklingError):
        # torch's own sentence advises to run the code.
        reason = "its weights are a pickle that holds more than tensors; accepted are safetensors, or tensors alone"
    if not os.path.isdir(source):
        reason = f"there is no such directory, and as a Hub id: {reason}"
    return f"The {_called(kind, source)} cannot be loaded: {reason}."


def _called(kind: str, source: Source) -> str:
    what = type(source).__name__ if isinstance(source, PreTrainedModel) else os.fspath(source)
    return f"{kind} checkpoint {what}"


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(names[:_MAX_NAMED]) + more


__all__ = ["EncoderReport", "encoder_config", "load_encoders"]
