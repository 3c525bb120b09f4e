# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""UNIMO-2 model configuration."""

from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig


# FSDP2: each layer is a unit of its own, all else belongs to the root. Word embeddings and dictionary share their
# weights with heads, and a weight must not be in two units.
_FSDP_PLAN = {"layers.*": "free_full_weight"}


@strict
class Unimo2VisionConfig(PreTrainedConfig):
    r"""
    Configuration of [`Unimo2VisionModel`], a pre-norm vision transformer.

    Args:
        hidden_size (`int`, defaults to 768): Width; equal in all three encoders.
        num_hidden_layers (`int`, defaults to 12): Number of layers.
        num_attention_heads (`int`, defaults to 12): Number of attention heads.
        intermediate_size (`int`, defaults to 3072): Width of the feed-forward layers.
        hidden_act (`str`, defaults to `"gelu"`): Activation of the feed-forward layers (`"gelu"` is the exact one).
        hidden_dropout_prob, attention_probs_dropout_prob (`float`, default to 0.0): Dropout.
        layer_norm_eps (`float`, defaults to 1e-12): Epsilon of the layer norms.
        image_size (`int`, defaults to 224): Fixes the stored position table, `(image_size // patch_size) ** 2` patches
            and the class token. Images of any other size are served by interpolating the table.
        patch_size (`int`, defaults to 16): Side of a patch, in pixels.
        num_channels (`int`, defaults to 3): Image channels.
        initializer_range (`float`, defaults to 0.02): Standard deviation of affine weights at initialisation.
        position_initializer_range (`float`, defaults to 0.02): The same for the class token and the position table.
    """

    model_type = "unimo2_vision_model"
    base_config_key = "vision_config"
    base_model_fsdp_plan = _FSDP_PLAN

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float | int = 0.0
    attention_probs_dropout_prob: float | int = 0.0
    layer_norm_eps: float = 1e-12
    image_size: int = 224
    patch_size: int = 16
    num_channels: int = 3
    initializer_range: float = 0.02
    position_initializer_range: float = 0.02

    def validate_architecture(self):
        """Refuses widths that the heads do not divide and images that the patches do not divide."""
        _check_heads(self)
        if self.image_size % self.patch_size:
            raise ValueError(
                f"`image_size` {self.image_size} is not a multiple of `patch_size` {self.patch_size}; "
                f"the nearest that is: {self.image_size // self.patch_size * self.patch_size or self.patch_size}."
            )


@strict
class Unimo2TextConfig(PreTrainedConfig):
    r"""
    Configuration of [`Unimo2TextModel`], a post-norm text transformer of RoBERTa's shape.

    Args:
        vocab_size (`int`, defaults to 50265): Number of tokens.
        hidden_size (`int`, defaults to 768): Width; equal in all three encoders.
        num_hidden_layers (`int`, defaults to 12): Number of layers.
        num_attention_heads (`int`, defaults to 12): Number of attention heads.
        intermediate_size (`int`, defaults to 3072): Width of the feed-forward layers.
        hidden_act (`str`, defaults to `"gelu"`): Activation of the feed-forward layers (`"gelu"` is the exact one).
        hidden_dropout_prob, attention_probs_dropout_prob (`float`, default to 0.1): Dropout.
        layer_norm_eps (`float`, defaults to 1e-5): Epsilon of the layer norms.
        max_position_embeddings (`int`, defaults to 514): Rows of the position table.
        position_offset (`int`, defaults to 2): Position of the first token. Padding stands at `position_offset - 1`,
            so a text may have `max_position_embeddings - position_offset` tokens.
        bos_token_id, pad_token_id, eos_token_id (`int`, default to 0, 1, 2): Ids that generation starts, pads and ends
            with. The encoders never look at them: padding is what `attention_mask` says it is.
        initializer_range (`float`, defaults to 0.02): Standard deviation of affine and word weights at initialisation.
        position_initializer_range (`float`, defaults to 0.02): The same for the position table.
    """

    model_type = "unimo2_text_model"
    base_config_key = "text_config"
    base_model_fsdp_plan = _FSDP_PLAN

    vocab_size: int = 50265
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float | int = 0.1
    attention_probs_dropout_prob: float | int = 0.1
    layer_norm_eps: float = 1e-5
    max_position_embeddings: int = 514
    position_offset: int = 2
    bos_token_id: int | None = 0
    pad_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    initializer_range: float = 0.02
    position_initializer_range: float = 0.02

    def validate_architecture(self):
        """Refuses widths that the heads do not divide and a position table without room for a token."""
        _check_heads(self)
        if not 1 <= self.position_offset < self.max_position_embeddings:
            raise ValueError(
                f"`position_offset` {self.position_offset} must be at least 1 and below `max_position_embeddings` "
                f"{self.max_position_embeddings}."
            )


@strict
class Unimo2GroundedConfig(PreTrainedConfig):
    r"""
    Configuration of the fusion encoder, [`Unimo2GroundedModel`]: a post-norm transformer over image, grounded and text
    tokens.

    Args:
        hidden_size (`int`, defaults to 768): Width; equal in all three encoders.
        num_hidden_layers (`int`, defaults to 12): Number of layers.
        num_attention_heads (`int`, defaults to 12): Number of attention heads.
        intermediate_size (`int`, defaults to 3072): Width of the feed-forward layers.
        hidden_act (`str`, defaults to `"gelu"`): Activation of the feed-forward layers (`"gelu"` is the exact one).
        hidden_dropout_prob, attention_probs_dropout_prob (`float`, default to 0.1): Dropout.
        layer_norm_eps (`float`, defaults to 1e-5): Epsilon of the layer norms, that of the grounded tokens included.
        initializer_range (`float`, defaults to 0.02): Standard deviation of affine weights at initialisation.
    """

    model_type = "unimo2_grounded_model"
    base_config_key = "grounded_config"
    base_model_fsdp_plan = _FSDP_PLAN

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float | int = 0.1
    attention_probs_dropout_prob: float | int = 0.1
    layer_norm_eps: float = 1e-5
    initializer_range: float = 0.02

    def validate_architecture(self):
        """Refuses a width that the heads do not divide."""
        _check_heads(self)


@strict
class Unimo2Config(PreTrainedConfig):
    r"""
    Configuration of the UNIMO-2 models ([Li et al., 2022](https://huggingface.co/papers/2203.09067)): a vision and a
    text encoder, a dictionary of grounded tokens, and a fusion encoder in which image and text meet only through the
    grounded tokens that both chose.

    The defaults are those of the first implementation at base size. `Unimo2Config.base()`, `.large()` and `.tiny()`
    are presets; every argument can be overridden in them, sub-configurations key by key.

    Args:
        vision_config, text_config, grounded_config (`dict` or config, *optional*): The three encoders. One width.
        dictionary_size (`int`, defaults to 2048): Number of entries of the dictionary.
        num_grounded_tokens (`int`, defaults to 100): Number of entries chosen for an input
            (`grounding_method="topk"`).
        grounding_method (`"topk"`, `"nearest"` or `"none"`, defaults to `"topk"`): `topk` chooses the entries with the
            highest scores summed over all patches and words; `nearest` maps each patch and each word to its nearest
            entry; `none` has no dictionary, image and text attend to each other directly (the paper's "w/o GD").
        fusion_attention (`"grounded"` or `"full"`, defaults to `"grounded"`): `grounded` keeps image and text blind to
            each other; `full` keeps the dictionary but lets them see each other (the paper's "w/o G.T.").
        grounding_projection (`bool`, defaults to `False`): Whether patches and words pass a projection of their own,
            ReLU and L2 normalisation before the dictionary.
        grounded_positions (`bool`, defaults to `False`): Whether the grounded tokens get rows of the text position
            table.
        grounding_token_weight (`float`, defaults to 1.0): Weight of the part of the grounding loss that moves entries
            towards tokens (alpha of the first implementation).
        grounding_entry_weight (`float`, defaults to 0.25): Weight of the part that moves tokens towards entries
            (beta).
        grounding_mask_ratio (`float`, defaults to 0.0): Share of grounded tokens that [`Unimo2ForPreTraining`] hides
            in training and predicts.
        dictionary_temperature_init (`float`, defaults to 100.0): Initial temperature of the dictionary scores.
        dictionary_initializer_range (`float`, *optional*): Entries start uniform in plus/minus this; by default
            `1 / dictionary_size`.
        contrastive_projection (`"none"`, `"separate"` or `"shared"`, defaults to `"none"`): What stands between the
            class states of the two encoders and their contrastive features: nothing, a projection each with L2
            normalisation, or the grounding projections with L2 normalisation.
        contrastive_activation (`str`, defaults to `"relu"`): Activation after a contrastive projection.
        contrastive_normalization (`"both"` or `"image"`, defaults to `"image"`): Which features are L2-normalised when
            there is no contrastive projection. The first implementation leaves the text's as they are.
        contrastive_temperature_init (`float`, defaults to 0.07): Initial temperature of the contrastive loss.
        contrastive_mean (`"pairs"` or `"batch"`, defaults to `"pairs"`): Whether the contrastive loss is the mean over
            the matching pairs or their sum divided by the batch size (the first implementation).
        contrastive_label_smoothing (`float`, defaults to 0.0): Label smoothing of the contrastive loss.
        matching_fusion (`"mul"` or `"sum"`, defaults to `"mul"`): How the pooled image and the pooled text are joined
            for heads that judge a pair.
        matching_hardness (`float`, defaults to 0.0): How [`Unimo2ForPreTraining`] draws wrong partners: 0 evenly, 1
            from the contrastive softmax.
        matching_negatives (`"local"` or `"global"`, defaults to `"local"`): Whether wrong partners come from the rows
            of the own process or from those of all processes; the latter gathers the encodings.
        fusion_share (`float`, defaults to 1.0): Share of a batch of pairs, spread evenly over it, on which
            [`Unimo2ForPreTraining`] runs the fusion encoder in training; the other rows serve the objectives that
            need none.
        similarity_weight (`float`, defaults to 0.3): Weight of the contrastive similarity in the retrieval score.
        circle_margin (`float`, defaults to 0.2), circle_scale (`float`, defaults to 1.0): Of the circle loss of
            [`Unimo2ForImageTextRetrieval`].
        classifier_dropout (`float`, defaults to 0.1): Dropout before a classifier.
        num_images (`int`, defaults to 1): How many images, 1 or 2, a text of [`Unimo2ForImageTextClassification`] and
            its subclass is about (2: NLVR2). Other models take no notice of it.
        caption_label_smoothing (`float`, defaults to 0.1): Label smoothing of the captioning loss.
        mlm_weight, matching_weight, contrastive_weight, grounding_weight, masked_grounding_weight,
        visual_contrastive_weight (`float`, default to 1.0), score_contrast_weight (`float`, defaults to 0.0):
            Weights of the losses that [`Unimo2ForPreTraining`] sums; an objective of weight 0 is not computed.
        official_padding (`bool`, defaults to `False`): `False`: padding never reaches the dictionary and every row is
            independent of its batch. `True`: as in the first implementation, padded words feed the dictionary and
            masks add -10,000 (eager and sdpa attention only).
        tie_word_embeddings (`bool`, defaults to `True`): Whether the language head uses the word embeddings.
        tie_dictionary (`bool`, defaults to `True`): Whether the masked-grounding head uses the dictionary's entries.
        initializer_range (`float`, defaults to 0.02): Standard deviation of the heads' and projections' weights.

    Example:

    ```python
    >>> from hf_unimo import Unimo2Config, Unimo2Model

    >>> config = Unimo2Config.tiny(num_grounded_tokens=8, text_config={"vocab_size": 1000})
    >>> model = Unimo2Model(config)
    ```
    """

    model_type = "unimo2"
    base_model_fsdp_plan = {}  # what its encoders say
    sub_configs_defaults = {
        "vision_config": Unimo2VisionConfig,
        "text_config": Unimo2TextConfig,
        "grounded_config": Unimo2GroundedConfig,
    }

    vision_config: dict[str, Any] | PreTrainedConfig | None = None
    text_config: dict[str, Any] | PreTrainedConfig | None = None
    grounded_config: dict[str, Any] | PreTrainedConfig | None = None
    dictionary_size: int = 2048
    num_grounded_tokens: int = 100
    grounding_method: Literal["topk", "nearest", "none"] = "topk"
    fusion_attention: Literal["grounded", "full"] = "grounded"
    grounding_projection: bool = False
    grounded_positions: bool = False
    grounding_token_weight: float | int = 1.0
    grounding_entry_weight: float | int = 0.25
    grounding_mask_ratio: float | int = 0.0
    dictionary_temperature_init: float | int = 100.0
    dictionary_initializer_range: float | None = None
    contrastive_projection: Literal["none", "separate", "shared"] = "none"
    contrastive_activation: str = "relu"
    contrastive_normalization: Literal["both", "image"] = "image"
    contrastive_temperature_init: float | int = 0.07
    contrastive_mean: Literal["pairs", "batch"] = "pairs"
    contrastive_label_smoothing: float | int = 0.0
    matching_fusion: Literal["mul", "sum"] = "mul"
    similarity_weight: float | int = 0.3
    circle_margin: float | int = 0.2
    circle_scale: float | int = 1.0
    classifier_dropout: float | int = 0.1
    num_images: int = 1
    caption_label_smoothing: float | int = 0.1
    mlm_weight: float | int = 1.0
    matching_weight: float | int = 1.0
    contrastive_weight: float | int = 1.0
    grounding_weight: float | int = 1.0
    masked_grounding_weight: float | int = 1.0
    visual_contrastive_weight: float | int = 1.0
    score_contrast_weight: float | int = 0.0
    matching_hardness: float | int = 0.0
    matching_negatives: Literal["local", "global"] = "local"
    fusion_share: float | int = 1.0
    official_padding: bool = False
    tie_word_embeddings: bool = True
    tie_dictionary: bool = True
    initializer_range: float = 0.02

    def validate_architecture(self):
        """Refuses encoders of different widths, and numbers out of their range."""
        widths = {name: getattr(self, name).hidden_size for name in self.sub_configs_defaults}
        if len(set(widths.values())) > 1:
            raise ValueError(f"The three encoders share one `hidden_size`, but found {widths}.")
        if self.grounding_method == "topk" and not 1 <= self.num_grounded_tokens <= self.dictionary_size:
            raise ValueError(
                f"`num_grounded_tokens` must lie between 1 and `dictionary_size` ({self.dictionary_size}), but is "
                f"{self.num_grounded_tokens}."
            )
        if not 0 < self.fusion_share <= 1:
            raise ValueError(f"`fusion_share` must be above 0 and at most 1, but is {self.fusion_share}.")
        if self.num_images not in (1, 2):
            raise ValueError(f"`num_images` must be 1 or 2, but is {self.num_images}.")

    @classmethod
    def base(cls, **overrides) -> "Unimo2Config":
        """The released size: three encoders of 12 layers, width 768; 298 million parameters."""
        return cls(**overrides)

    @classmethod
    def large(cls, **overrides) -> "Unimo2Config":
        """The paper's large size: three encoders of 24 layers, width 1024."""
        encoder = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
        return cls._preset(dict.fromkeys(cls.sub_configs_defaults, encoder), overrides)

    @classmethod
    def tiny(cls, **overrides) -> "Unimo2Config":
        """
        Small enough to train from scratch on two cores in minutes: 64-pixel images, width 128, 3 + 1 + 2 layers. Its
        initialisation, linear contrastive projection, lack of dropout, dictionary temperature and score contrast are
        what was found to work at that size.
        """
        encoder = {
            "hidden_size": 128,
            "num_attention_heads": 4,
            "intermediate_size": 512,
            "initializer_range": 0.08,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
        }
        preset = {
            "vision_config": encoder | {"num_hidden_layers": 3, "image_size": 64},
            "text_config": encoder | {"num_hidden_layers": 1, "vocab_size": 8000, "max_position_embeddings": 66},
            "grounded_config": encoder | {"num_hidden_layers": 2},
            "dictionary_size": 256,
            "num_grounded_tokens": 16,
            "dictionary_temperature_init": 3.0,
            "dictionary_initializer_range": 0.153,  # rows of norm 1 in the mean
            "score_contrast_weight": 0.5,
            "contrastive_projection": "separate",
            "contrastive_activation": "linear",
            "contrastive_normalization": "both",
            "contrastive_label_smoothing": 0.05,
            "classifier_dropout": 0.0,
            "initializer_range": 0.08,
        }
        return cls._preset(preset, overrides)

    @classmethod
    def _preset(cls, preset: dict[str, Any], overrides: dict[str, Any]) -> "Unimo2Config":
        """`preset` with `overrides` on top; sub-configurations are merged key by key."""
        merged = {**preset, **overrides}
        for name in cls.sub_configs_defaults:
            override = overrides.get(name) or {}
            if isinstance(override, dict):
                merged[name] = {**preset.get(name, {}), **override}
        return cls(**merged)


def _check_heads(config: PreTrainedConfig) -> None:
    if config.hidden_size % config.num_attention_heads:
        raise ValueError(
            f"`hidden_size` {config.hidden_size} is not a multiple of `num_attention_heads` "
            f"{config.num_attention_heads}."
        )


__all__ = ["Unimo2Config", "Unimo2GroundedConfig", "Unimo2TextConfig", "Unimo2VisionConfig"]
