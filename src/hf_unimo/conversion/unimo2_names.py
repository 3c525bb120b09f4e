# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
The parameters of UNIMO-2: official name, our name, shape. One table, read in both directions.

Official affine weights are stored (in, out), ours (out, in); everything else is stored alike. Shapes in the table are
in the official order, as names of dimensions that [`dimensions`] gives for a configuration and [`infer_dimensions`]
reads off a checkpoint.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import BadInputError
from ..models.unimo2.configuration_unimo2 import Unimo2Config


@dataclass(frozen=True)
class Weight:
    """
    One row of the table.

    Args:
        official, ours (`str`): The names; `{layer}` stands for a layer's index. Ours is without the prefix that a head
            class puts before its base model's parameters.
        shape (`tuple[str, ...]`): The official shape, in names of dimensions.
        part (`str`): The part of the model, a key of [`PARTS`].
        transposed (`bool`): Whether ours is the transpose.
        encoder (`str`): Of a layer's weight: `"vision"`, `"text"` or `"grounded"`.
        aliases (`tuple[str, ...]`): Further official names of the same thing, tried in order.
    """

    official: str
    ours: str
    shape: tuple[str, ...]
    part: str
    transposed: bool = False
    encoder: str = ""
    aliases: tuple[str, ...] = ()

    def at(self, official_layer: int, our_layer: int) -> "Weight":
        """The row with the layers' indices put in."""
        return replace(
            self,
            official=self.official.replace("{layer}", str(official_layer)),
            ours=self.ours.replace("{layer}", str(our_layer)),
        )


@dataclass(frozen=True)
class Part:
    """Whether a configuration has the part, and whether a checkpoint without it can be converted all the same."""

    exists: Callable[[Unimo2Config], bool] = lambda config: True
    required: bool = False


PARTS = {
    "vision": Part(required=True),
    "text": Part(required=True),
    "grounded": Part(required=True),
    "dictionary": Part(lambda config: config.grounding_method != "none", required=True),
    "grounding projection": Part(
        lambda config: (
            config.grounding_method != "none"
            and (config.grounding_projection or config.contrastive_projection == "shared")
        ),
        required=True,
    ),
    # Poolers and the contrastive part lie in our base model but are heads of the first implementation: its captioning
    # checkpoints do not train them.
    "poolers": Part(),
    "contrastive": Part(),
    "contrastive projection": Part(lambda config: config.contrastive_projection == "separate"),
    "matching": Part(),
    "language": Part(),
    "language output": Part(lambda config: not config.tie_word_embeddings),
    "masked grounding": Part(lambda config: config.grounding_method != "none"),
    "masked grounding output": Part(lambda config: config.grounding_method != "none" and not config.tie_dictionary),
    "classifier": Part(),
}
"""Every part of the model."""

BASE_PARTS = (
    "vision",
    "text",
    "grounded",
    "dictionary",
    "grounding projection",
    "poolers",
    "contrastive",
    "contrastive projection",
)
"""What `Unimo2Model` holds; the rest are heads."""

MAX_LAYERS = 1000
"""No encoder has more; a stranger's number must not make a loop of a billion."""

_LANGUAGE = ("language", "language output")
_MASKED_GROUNDING = ("masked grounding", "masked grounding output")

TASKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "base": ("Unimo2Model", ()),
    "pretraining": ("Unimo2ForPreTraining", ("matching", *_LANGUAGE, *_MASKED_GROUNDING)),
    "masked-lm": ("Unimo2ForMaskedLM", _LANGUAGE),
    "retrieval": ("Unimo2ForImageTextRetrieval", ("matching",)),
    "vqa": ("Unimo2ForVisualQuestionAnswering", ("classifier",)),
    "image-classification": ("Unimo2ForImageClassification", ("classifier",)),
    "sequence-classification": ("Unimo2ForSequenceClassification", ("classifier",)),
    "entailment": ("Unimo2ForImageTextClassification", ("classifier",)),
    "captioning": ("Unimo2ForConditionalGeneration", _LANGUAGE),
}
"""Name of a task -> the class that a checkpoint is saved as, and the heads it has."""


def _affine(official: str, ours: str, inputs: str, outputs: str, part: str, encoder: str = "") -> list[Weight]:
    return [
        Weight(f"{official}.w_0", f"{ours}.weight", (inputs, outputs), part, transposed=True, encoder=encoder),
        Weight(f"{official}.b_0", f"{ours}.bias", (outputs,), part, encoder=encoder),
    ]


def _norm(official: str, ours: str, part: str, encoder: str = "") -> list[Weight]:
    return [
        Weight(f"{official}_scale", f"{ours}.weight", ("hidden",), part, encoder=encoder),
        Weight(f"{official}_bias", f"{ours}.bias", ("hidden",), part, encoder=encoder),
    ]


def _encoder(encoder: str, official: str, ours: str, place: str) -> list[Weight]:
    """The layers of one encoder; `place` is where its layer norms stand, `"pre"` or `"post"`."""
    prefix, target = f"{official}.encoder_layer_{{layer}}_", f"{ours}.layers.{{layer}}."
    rows = []
    for theirs, own in (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj"), ("output", "out_proj")):
        name = f"{prefix}multi_head_att_{theirs}_fc"
        rows += _affine(name, f"{target}self_attn.{own}", "hidden", "hidden", encoder, encoder)
    rows += _norm(f"{prefix}{place}_att_layer_norm", f"{target}layer_norm1", encoder, encoder)
    rows += _affine(f"{prefix}ffn_fc_0", f"{target}mlp.fc1", "hidden", f"{encoder} inner", encoder, encoder)
    rows += _affine(f"{prefix}ffn_fc_1", f"{target}mlp.fc2", f"{encoder} inner", "hidden", encoder, encoder)
    rows += _norm(f"{prefix}{place}_ffn_layer_norm", f"{target}layer_norm2", encoder, encoder)
    return rows


WEIGHTS: tuple[Weight, ...] = (
    Weight("text.word_embedding", "text_model.embeddings.word_embeddings.weight", ("vocabulary", "hidden"), "text"),
    Weight("text.pos_embedding", "text_model.embeddings.position_embeddings.weight", ("positions", "hidden"), "text"),
    *_norm("text.pre_encoder_layer_norm", "text_model.embeddings.layernorm", "text"),
    *_encoder("text", "text", "text_model", "post"),
    Weight("vit.cls_token_embeddings", "vision_model.embeddings.cls_token", ("1", "1", "hidden"), "vision"),
    Weight(
        "vit.position_embeddings", "vision_model.embeddings.position_embeddings", ("1", "patches", "hidden"), "vision"
    ),
    Weight(
        "vit.patch_embeddings_projection_weight",
        "vision_model.embeddings.patch_embedding.weight",
        ("hidden", "channels", "patch side", "patch side"),
        "vision",
    ),
    Weight(
        "vit.patch_embeddings_projection_bias", "vision_model.embeddings.patch_embedding.bias", ("hidden",), "vision"
    ),
    *_encoder("vision", "vit", "vision_model", "pre"),
    *_norm("vit.post_encoder_layer_norm", "vision_model.layernorm", "vision"),
    Weight("vq_emb", "dictionary.embeddings.weight", ("entries", "hidden"), "dictionary"),
    Weight("topk_temperature", "dictionary.temperature", ("1",), "dictionary"),
    *_affine(
        "grounded.grounding_patch_projection",
        "dictionary.patch_projection",
        "hidden",
        "hidden",
        "grounding projection",
    ),
    *_affine(
        "grounded.grounding_token_projection",
        "dictionary.token_projection",
        "hidden",
        "hidden",
        "grounding projection",
    ),
    *_norm("grounded.pre_encoder_layer_norm", "grounded_embeddings.layernorm", "dictionary"),
    *_encoder("grounded", "grounded", "grounded_model", "post"),
    *_affine("grounded.pooled_fc_image", "image_pooler.dense", "hidden", "hidden", "poolers"),
    *_affine("grounded.pooled_fc_text", "text_pooler.dense", "hidden", "hidden", "poolers"),
    Weight("cmcl_temperature", "contrastive.temperature", ("1",), "contrastive"),
    *_affine(
        "grounded.cmcl_pooled_fc_image", "contrastive.image_projection", "hidden", "hidden", "contrastive projection"
    ),
    *_affine(
        "grounded.cmcl_pooled_fc_text", "contrastive.text_projection", "hidden", "hidden", "contrastive projection"
    ),
    *_affine("grounded.img_text_matching_fc", "itm_head", "hidden", "2", "matching"),
    *_affine("grounded.mask_lm_trans_fc", "lm_head.dense", "hidden", "hidden", "language"),
    *_norm("grounded.mask_lm_trans_layer_norm", "lm_head.layernorm", "language"),
    Weight("grounded.mask_lm_out_fc.b_0", "lm_head.decoder.bias", ("vocabulary",), "language"),
    Weight("grounded.mask_lm_out_fc.w_0", "lm_head.decoder.weight", ("hidden", "vocabulary"), "language output", True),
    *_affine("grounded.mask_g_trans_fc", "masked_grounding_head.dense", "hidden", "hidden", "masked grounding"),
    *_norm("grounded.mask_g_trans_layer_norm", "masked_grounding_head.layernorm", "masked grounding"),
    Weight("grounded.mask_g_out_fc.b_0", "masked_grounding_head.decoder.bias", ("entries",), "masked grounding"),
    Weight(
        "grounded.mask_g_out_fc.w_0",
        "masked_grounding_head.decoder.weight",
        ("hidden", "entries"),
        "masked grounding output",
        True,
    ),
    Weight("cls_out_w", "classifier.weight", ("hidden", "labels"), "classifier", True, aliases=("cls_out_new_w",)),
    Weight("cls_out_b", "classifier.bias", ("labels",), "classifier", aliases=("cls_out_new_b",)),
)
"""The table."""

_PREFIXES = {row.encoder: row.official.partition("{layer}")[0] for row in WEIGHTS if row.encoder}


def task_name(task: str) -> str:
    """The key in [`TASKS`] of a task given by its key or by its class; raises [`BadInputError`] for any other."""
    for name, (class_name, _) in TASKS.items():
        if task in (name, class_name):
            return name
    raise BadInputError(f"There is no task {task!r}; there are {', '.join(TASKS)}.")


def layer_indices(names: Iterable[str], encoder: str) -> list[int]:
    """The indices of an encoder's layers of which at least one weight is among the official `names`, in order."""
    prefix = _PREFIXES[encoder]
    found = set()
    for name in names:
        digits = name[len(prefix) :].split("_", 1)[0] if name.startswith(prefix) else ""
        if digits.isascii() and digits.isdigit() and len(digits) <= 4 and int(digits) < MAX_LAYERS:
            found.add(int(digits))
    return sorted(found)


def select_weights(
    config: Unimo2Config, parts: Iterable[str], layers: Mapping[str, Sequence[int]] | None = None
) -> list[Weight]:
    """
    The table's rows that a model of this configuration has.

    Args:
        config: Says which of the parts exist, and how many layers there are.
        parts: Keys of [`PARTS`].
        layers (*optional*): Encoder -> the official index of each of its layers; 0, 1, 2, ... by default.

    Raises:
        BadInputError: For a configuration with more than [`MAX_LAYERS`] layers.
    """
    layers = layers or {}
    counts = {encoder: getattr(config, f"{encoder}_config").num_hidden_layers for encoder in _PREFIXES}
    if max(counts.values()) > MAX_LAYERS:
        raise BadInputError(
            f"The configuration gives an encoder {max(counts.values())} layers; {MAX_LAYERS} is the limit."
        )
    present = {part for part in parts if PARTS[part].exists(config)}
    rows = []
    for row in WEIGHTS:
        if row.part not in present:
            continue
        if row.encoder:
            official = layers.get(row.encoder) or range(counts[row.encoder])
            rows += [row.at(theirs, own) for own, theirs in enumerate(official)]
        else:
            rows.append(row)
    return rows


def dimensions(config: Unimo2Config) -> dict[str, int]:
    """Name of a dimension in the table -> its size in a model of this configuration."""
    vision: Any = config.vision_config
    text: Any = config.text_config
    grounded: Any = config.grounded_config
    return {
        "hidden": text.hidden_size,
        "vocabulary": text.vocab_size,
        "positions": text.max_position_embeddings,
        "text inner": text.intermediate_size,
        "vision inner": vision.intermediate_size,
        "grounded inner": grounded.intermediate_size,
        "patches": (vision.image_size // vision.patch_size) ** 2 + 1,
        "patch side": vision.patch_size,
        "channels": vision.num_channels,
        "entries": config.dictionary_size,
        "labels": len(config.id2label or ()),
    }


def infer_dimensions(rows: Iterable[Weight], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """
    Reads the sizes of the table's dimensions off a checkpoint.

    Args:
        rows: The table's rows for it.
        shapes: Official name -> shape; rows that are not in it are passed over.

    Raises:
        BadInputError: If two tensors disagree about a size, or one has the wrong number of dimensions.
    """
    found: dict[str, tuple[int, str]] = {}
    for row in rows:
        if row.official not in shapes:
            continue
        shape = shapes[row.official]
        pairs = _align(row.shape, shape)
        if pairs is None:
            wanted = f"({', '.join(row.shape)})"
            raise BadInputError(f"{row.official} has shape {shape}, which cannot be {wanted}.")
        for dimension, size in pairs:
            known, origin = (
                (int(dimension), "") if dimension.isdigit() else found.setdefault(dimension, (size, row.official))
            )
            if size != known:
                why = f" as in {origin}" if origin else ""
                raise BadInputError(f"{row.official} has shape {shape}, where {dimension} should be {known}{why}.")
    return {dimension: size for dimension, (size, _) in found.items()}


def official_shape(row: Weight, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """A row's official shape in numbers."""
    return tuple(int(name) if name.isdigit() else sizes[name] for name in row.shape)


def _align(names: tuple[str, ...], shape: tuple[int, ...]) -> list[tuple[str, int]] | None:
    """Pairs of dimension and size; a shape may lack or add dimensions of size 1. `None` if it fits in no way."""
    if len(names) == len(shape):
        return list(zip(names, shape))
    names = tuple(name for name in names if name != "1")
    while len(shape) > len(names) and 1 in shape:
        place = shape.index(1)
        shape = shape[:place] + shape[place + 1 :]
    return list(zip(names, shape)) if len(names) == len(shape) else None
