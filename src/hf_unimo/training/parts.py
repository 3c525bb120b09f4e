# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""What every run loads or makes from its section `model`: configuration, tokenizer, image processor."""

import os
from collections.abc import Mapping
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import AutoImageProcessor, AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase

from ..config_tree import merge_trees
from ..conversion.encoders import encoder_config
from ..errors import BadInputError
from ..models.registry import Family
from .run_config import ModelOptions


def make_model_config(
    options: ModelOptions, family: Family, vocab_size: int | None, overrides: Mapping[str, Any]
) -> PreTrainedConfig:
    """
    The configuration of a preset or a checkpoint with keys set on top of it.

    Args:
        options ([`ModelOptions`]): Names the preset or the checkpoint; its `config` is not looked at.
        family ([`Family`]): Of the model.
        vocab_size (`int`, *optional*): Words of a preset's model, unless an encoder's checkpoint says it.
        overrides (mapping): The keys.

    Raises:
        BadInputError: If the checkpoint cannot be read, or values do not fit.
    """
    try:
        if options.preset is not None:
            implied = encoder_config(options.vision_checkpoint, options.text_checkpoint)
            if vocab_size is not None and "vocab_size" not in implied.get("text_config", {}):
                implied.setdefault("text_config", {})["vocab_size"] = vocab_size
            return getattr(family.config, options.preset)(**merge_trees(implied, overrides))
        tree = load_part(family.config, options.checkpoint, "configuration").to_dict()
        return family.config.from_dict(merge_trees(tree, overrides))
    except BadInputError:
        raise
    except (StrictDataclassError, ValueError, TypeError) as error:  # what a configuration class says of its values
        raise BadInputError(f"model.config does not fit: {' '.join(str(error.__cause__ or error).split())}") from error


def load_tokenizer(options: ModelOptions, family: Family, max_text_length: int) -> PreTrainedTokenizerBase:
    """
    The run's tokenizer, which cuts off at `max_text_length`: of the class that its files name, or the family's own
    where that reads them alike (RoBERTa's byte-level BPE). It makes the inputs that the family's own makes, so no
    `token_type_ids` for a family whose texts have no segments.

    Raises:
        BadInputError: If none is named, or it cannot be read, has no vocabulary, or no token for padding.
    """
    place = options.processor or options.checkpoint or options.text_checkpoint
    if place is None:
        raise BadInputError("model.processor is missing: name the folder of a tokenizer.")
    own: Any = family.tokenizer
    inputs = {} if own is None else {"model_input_names": own.model_input_names}
    # Not by the family's own class at once: it would take the words of any other kind of vocabulary for its own.
    tokenizer = load_part(AutoTokenizer, place, "tokenizer", trust_remote_code=False, **inputs)
    if own is not None and not isinstance(tokenizer, own) and _reads_alike(tokenizer, own()):
        tokenizer = load_part(own, place, "tokenizer", **inputs)
    if len(tokenizer) <= len(tokenizer.all_special_ids):  # transformers makes it up where there are no files of one
        raise BadInputError(f"No tokenizer could be loaded from {place}: there is no vocabulary.")
    if tokenizer.pad_token_id is None:
        raise BadInputError(
            f"The {type(tokenizer).__name__} of {place} has no padding token, without which texts make no batch."
        )
    tokenizer.model_max_length = max_text_length
    return tokenizer


def _reads_alike(one: Any, other: Any) -> bool:
    """Whether two tokenizers would make the same tokens of a text, had they one vocabulary."""
    backends = [getattr(tokenizer, "backend_tokenizer", None) for tokenizer in (one, other)]
    parts = ("normalizer", "pre_tokenizer", "model")
    return None not in backends and all(
        type(getattr(backends[0], part)) is type(getattr(backends[1], part)) for part in parts
    )


def load_image_processor(options: ModelOptions, family: Family, size: int) -> Any:
    """That of the processor or the checkpoint; else the family's, with the colours that a foreign ViT is used to."""
    square = {"height": size, "width": size}
    found = _image_processor_of(options.processor) or _image_processor_of(options.checkpoint)
    if found is not None:
        found.size = square
        return found
    foreign = _image_processor_of(options.vision_checkpoint)
    colours = {name: getattr(foreign, name) for name in ("image_mean", "image_std") if hasattr(foreign, name)}
    return family.image_processors["pil"](size=square, **colours)


def _image_processor_of(place: str | None) -> Any:
    if place is None:
        return None
    try:
        return AutoImageProcessor.from_pretrained(place)
    except (OSError, ValueError):  # a folder that has none, such as that of a tokenizer
        return None


def check_sizes(model_config: PreTrainedConfig, tokenizer: Any, image_size: int, max_text_length: int) -> None:
    """Whether the model has rows for all words (without tokenizer: none) and positions, and whole patches."""
    text, vision = model_config.text_config, model_config.vision_config
    if tokenizer is not None and len(tokenizer) > text.vocab_size:
        raise BadInputError(
            f"The tokenizer has {len(tokenizer):,} words, but the model has embeddings for {text.vocab_size:,}; use "
            "the checkpoint's tokenizer, or set model.config.text_config.vocab_size."
        )
    if image_size % vision.patch_size:
        raise BadInputError(
            f"data.image_size is {image_size}, but must be a multiple of the model's patch size {vision.patch_size}."
        )
    positions = text.max_position_embeddings - getattr(text, "position_offset", 0)
    if tokenizer is not None and max_text_length > positions:
        raise BadInputError(f"data.max_text_length is {max_text_length}, but the model has positions for {positions}.")


def load_part(loader: Any, place: str | None, what: str, **kwargs: Any) -> Any:
    """`loader.from_pretrained(place)`, or one sentence that says why not."""
    if place is not None and os.path.isabs(place) and not os.path.exists(place):
        raise BadInputError(f"No {what} could be loaded from {place}: there is no such folder.")
    try:
        return loader.from_pretrained(place, **kwargs)
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, StrictDataclassError) as error:
        reason = " ".join(str(error).split())
        raise BadInputError(f"No {what} could be loaded from {place}: {reason[:300]}") from error
