# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""PyTorch UNIMO-2 model (Li et al., 2022): image and text meet only in a dictionary of grounded tokens.

Shapes in comments and docstrings: B rows, I image tokens (class token and patches), G grounded tokens, L text tokens,
N = I - 1 + L - 1 tokens that reach the dictionary, C dictionary entries, K chosen entries, H width, V vocabulary.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention.flex_attention import BlockMask, create_block_mask
from torch.utils.checkpoint import checkpoint
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.cache_utils import Cache, DynamicCache
from transformers.generation import GenerationMixin
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import (
    BaseModelOutput,
    BaseModelOutputWithPooling,
    CausalLMOutputWithPast,
    ImageClassifierOutput,
    MaskedLMOutput,
    SequenceClassifierOutput,
)
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, PreTrainedModel, slice_logits_to_keep
from transformers.processing_utils import Unpack
from transformers.utils import ModelOutput, TransformersKwargs, is_torchdynamo_exporting
from transformers.utils.generic import (
    can_return_tuple,
    is_flash_attention_requested,
    maybe_autocast,
    merge_with_config_defaults,
)
from transformers.utils.output_capturing import capture_outputs

from hf_unimo.objectives.captioning import captioning_loss
from hf_unimo.objectives.circle import circle_loss
from hf_unimo.objectives.contrastive import contrastive_loss
from hf_unimo.objectives.grounding import nearest_grounding_loss, topk_grounding_loss
from hf_unimo.objectives.masked_grounding import masked_grounding_loss
from hf_unimo.objectives.masked_language_modeling import masked_language_modeling_loss
from hf_unimo.objectives.matching import matching_loss
from hf_unimo.objectives.matching_negatives import draw_matching_negatives, text_keys
from hf_unimo.objectives.ranks import gather, gather_with_gradient, rank, world_size
from hf_unimo.objectives.score_contrast import score_contrast_loss
from hf_unimo.objectives.visual_contrastive import visual_contrastive_loss

from .configuration_unimo2 import Unimo2Config, Unimo2GroundedConfig, Unimo2TextConfig, Unimo2VisionConfig
from .generation_unimo2 import official_beam_search


# ---------------------------------------------------------------------------------------------------------------------
# Outputs
# ---------------------------------------------------------------------------------------------------------------------


@dataclass
class Unimo2EncoderOutput(ModelOutput):
    """
    What [`Unimo2Model.encode_image`] and [`Unimo2Model.encode_text`] hand to [`Unimo2Model.ground`].

    Args:
        last_hidden_state (`(B, I or L, H)`): States of the uni-modal encoder.
        pooler_output (`(B, H)`): State of its class token, unprojected.
        dictionary_tokens (`(B, N, H)`): What the dictionary sees: the states but the class token's, projected if the
            configuration says so. None without a dictionary.
        dictionary_mask (`(B, N)`, int64): 1 for tokens that take part in grounding.
        dictionary_scores (`(B, C)`, float32): Scores summed over the tokens; those of a pair are the sum of its
            parts'. None unless `grounding_method` is `"topk"`.
        attention_mask (`(B, L)`, *optional*): 1 for words, 0 for padding, as given; None for images and when all are
        words. hidden_states, attentions (`tuple`, *optional*): Of the uni-modal encoder, when asked for.
    """

    last_hidden_state: torch.FloatTensor | None = None
    pooler_output: torch.FloatTensor | None = None
    dictionary_tokens: torch.FloatTensor | None = None
    dictionary_mask: torch.LongTensor | None = None
    dictionary_scores: torch.FloatTensor | None = None
    attention_mask: torch.LongTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None


@dataclass
class Unimo2ModelOutput(ModelOutput):
    """
    Output of [`Unimo2Model`]; parts that the input lacks are None.

    Args:
        last_hidden_state (`(B, I + G + L, H)`): States of the fusion encoder: image, grounded, text.
        image_last_hidden_state (`(B, I, H)`), grounded_last_hidden_state (`(B, G, H)`), text_last_hidden_state
            (`(B, L, H)`): Its slices.
        image_pooler_output, text_pooler_output (`(B, H)`): ReLU poolers over the class states after fusion.
        grounded_token_ids (`(B, G)`, int64): Chosen entries, highest score first.
        grounding_loss (scalar, float32): Loss of the dictionary.
        vision_model_output, text_model_output ([`Unimo2EncoderOutput`]): Of the uni-modal encoders.
        hidden_states, attentions (`tuple`, *optional*): Of the fusion encoder, when asked for.
    """

    last_hidden_state: torch.FloatTensor | None = None
    image_last_hidden_state: torch.FloatTensor | None = None
    grounded_last_hidden_state: torch.FloatTensor | None = None
    text_last_hidden_state: torch.FloatTensor | None = None
    image_pooler_output: torch.FloatTensor | None = None
    text_pooler_output: torch.FloatTensor | None = None
    grounded_token_ids: torch.LongTensor | None = None
    grounding_loss: torch.FloatTensor | None = None
    vision_model_output: Unimo2EncoderOutput | None = None
    text_model_output: Unimo2EncoderOutput | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None


@dataclass
class Unimo2ForPreTrainingOutput(ModelOutput):
    """
    Output of [`Unimo2ForPreTraining`].

    Args:
        loss (scalar, float32): Weighted sum of `losses`; None when no objective applies.
        losses (`dict[str, Tensor]`): The parts by name, unweighted: `mlm`, `matching`, `contrastive`, `grounding`,
            `masked_grounding`, `visual_contrastive`, `score_contrast`.
        counts (`dict[str, Tensor]`): What each part is a mean over, on this process: masked words, judged pairs (wrong
            ones included), pairs, patches and words, hidden grounded tokens, images, pairs.
        mlm_logits (`(B, L, V)`), matching_logits (`(B, 2)`), logits_per_image, logits_per_text (`(B, B)`),
            masked_grounding_logits (`(B, G, C)`): Predictions.
        grounded_token_ids, image_pooler_output, text_pooler_output, hidden_states, attentions: As in
            [`Unimo2ModelOutput`].
    """

    loss: torch.FloatTensor | None = None
    losses: dict[str, torch.Tensor] | None = None
    counts: dict[str, torch.Tensor] | None = None
    mlm_logits: torch.FloatTensor | None = None
    matching_logits: torch.FloatTensor | None = None
    logits_per_image: torch.FloatTensor | None = None
    logits_per_text: torch.FloatTensor | None = None
    masked_grounding_logits: torch.FloatTensor | None = None
    grounded_token_ids: torch.LongTensor | None = None
    image_pooler_output: torch.FloatTensor | None = None
    text_pooler_output: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None


@dataclass
class Unimo2RetrievalOutput(ModelOutput):
    """
    Output of [`Unimo2ForImageTextRetrieval`].

    Args:
        loss (scalar, float32): With `labels` or `return_loss`, see [`Unimo2ForImageTextRetrieval.forward`].
        logits (`(B,)`): Score of each pair: matched logit + `similarity_weight` * similarity.
        itm_logits (`(B, 2)`): Image-text matching; class 1 is "match".
        similarity (`(B,)`): Contrastive score of each pair, without temperature.
        logits_per_image (`(images, texts)`), logits_per_text (`(texts, images)`): Contrastive scores of all
            combinations, divided by the temperature.
        grounded_token_ids (`(B, G)`, int64): Entries that each pair chose.
        hidden_states, attentions (`tuple`, *optional*): Of the fusion encoder, when asked for.

    `logits`, `itm_logits` and `similarity` are None when there are not as many images as texts, and in training on
    pairs without a weight for matching.
    """

    loss: torch.FloatTensor | None = None
    logits: torch.FloatTensor | None = None
    itm_logits: torch.FloatTensor | None = None
    similarity: torch.FloatTensor | None = None
    logits_per_image: torch.FloatTensor | None = None
    logits_per_text: torch.FloatTensor | None = None
    grounded_token_ids: torch.LongTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None


# ---------------------------------------------------------------------------------------------------------------------
# Layers
# ---------------------------------------------------------------------------------------------------------------------


def eager_attention_forward(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Softmax attention over (B, heads, tokens, width): returns (B, tokens, heads, width) and the weights."""
    scores = torch.matmul(query * scaling, key.transpose(2, 3))
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = F.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    weights = F.dropout(weights, p=dropout, training=module.training)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


def cpu_attention_forward(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs,
) -> tuple[torch.Tensor, None]:
    """
    Attention by plain matrix products, a few rows of the batch at a time so that their scores stay in the cache. On a
    CPU it beats sdpa in bfloat16, where sdpa's kernel is as slow as in float32, and with dropout, where sdpa has none
    (docs/speed.md).
    """
    bytes_per_row = query.shape[1] * query.shape[2] * key.shape[2] * query.element_size()
    size = max(1, _CPU_SCORE_BYTES // bytes_per_row)
    outputs = []
    for start in range(0, query.shape[0], size):
        rows = slice(start, start + size)
        scores = torch.matmul(query[rows] * scaling, key[rows].transpose(2, 3))
        if attention_mask is not None:
            mask = attention_mask if attention_mask.shape[0] == 1 else attention_mask[rows]
            if mask.dtype == torch.bool:
                scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
            else:
                scores = scores + mask
        weights = cpu_dropout(F.softmax(scores, dim=-1), dropout, module.training)
        outputs.append(torch.matmul(weights, value[rows]).transpose(1, 2))
    return torch.cat(outputs), None


_CPU_SCORE_BYTES = 2**21


def cpu_dropout(states: torch.Tensor, p: float, training: bool) -> torch.Tensor:
    """
    Dropout for a CPU, where drawing takes longer than the matrix product it follows: a quarter of a random 64-bit
    number decides on each value, so that `p` is rounded to 1 / 65536.
    """
    if not training or not p:
        return states
    number, threshold = states.numel(), round(p * 2**16)
    drawn = torch.empty((number + 3) // 4, dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    dropped = (drawn[:number] < threshold - 2**15).view(states.shape)
    return states.masked_fill(dropped, 0.0) * (2**16 / (2**16 - threshold))


class Unimo2Dropout(nn.Dropout):
    """Dropout, drawn faster on a CPU."""

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        if states.device.type == "cpu" and self.p < 1 and not torch.compiler.is_compiling():
            return cpu_dropout(states, self.p, self.training)
        return super().forward(states)


AttentionMask = torch.Tensor | list[tuple[slice, slice, torch.Tensor | None]] | None
"""Who attends to whom: a mask as the attention function takes it, or blocks (queries, the keys they see, mask there),
which cover the queries in order; None: everybody to everybody."""


class Unimo2Attention(nn.Module):
    """
    Multi-head attention over whatever `attention_mask` lets through; with a cache, over its keys too; with `rows`
    (B, R), of the queries at these places only.
    """

    def __init__(
        self, config: Unimo2VisionConfig | Unimo2TextConfig | Unimo2GroundedConfig, layer_idx: int | None = None
    ):
        super().__init__()
        self.config = config
        self.layer_idx = layer_idx
        self.head_dim = config.hidden_size // config.num_attention_heads
        self.scaling = self.head_dim**-0.5
        self.is_causal = False  # captioning brings its causal mask; sdpa must not add one when the mask is None
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.k_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.v_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.out_proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: AttentionMask = None,
        past_key_values: Cache | None = None,
        rows: torch.LongTensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        query = self._heads(self.q_proj(take_tokens(hidden_states, rows)))
        key = self._heads(self.k_proj(hidden_states))
        value = self._heads(self.v_proj(hidden_states))
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.layer_idx)

        dropout = self.config.attention_probs_dropout_prob if self.training else 0.0
        everything = slice(None)
        in_blocks = isinstance(attention_mask, list)
        blocks = attention_mask if in_blocks else [(everything, everything, attention_mask)]
        implementation = "sdpa" if in_blocks else self.config._attn_implementation
        attention_interface: Callable = ALL_ATTENTION_FUNCTIONS.get_interface(implementation, eager_attention_forward)
        if implementation == "sdpa" and _is_slow_in_sdpa(query, dropout):
            attention_interface = cpu_attention_forward
        attended = [
            attention_interface(
                self,
                query[:, :, queries],
                key[:, :, keys],
                value[:, :, keys],
                mask,
                dropout=dropout,
                scaling=self.scaling,
                **kwargs,
            )
            for queries, keys, mask in blocks
        ]
        attention_output = torch.cat([output for output, _ in attended], dim=1) if len(blocks) > 1 else attended[0][0]
        attention_weights = attended[0][1] if len(blocks) == 1 else None
        return self.out_proj(attention_output.flatten(2)), attention_weights

    def _heads(self, states: torch.Tensor) -> torch.Tensor:
        return states.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)


def _is_slow_in_sdpa(query: torch.Tensor, dropout: float) -> bool:
    on_cpu = query.device.type == "cpu" and not torch.compiler.is_compiling()
    return on_cpu and (query.dtype == torch.bfloat16 or 0 < dropout < 1)


class Unimo2MLP(nn.Module):
    """Feed-forward layer: affine, activation, affine."""

    def __init__(self, config: Unimo2VisionConfig | Unimo2TextConfig | Unimo2GroundedConfig):
        super().__init__()
        self.activation_fn = ACT2FN[config.hidden_act]
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.activation_fn(self.fc1(hidden_states)))


class Unimo2Layer(GradientCheckpointingLayer):
    """Transformer layer: norm before each sub-layer in the vision encoder, after it in the other two."""

    def __init__(
        self,
        config: Unimo2VisionConfig | Unimo2TextConfig | Unimo2GroundedConfig,
        layer_idx: int | None = None,
        norm_first: bool = False,
    ):
        super().__init__()
        self.norm_first = norm_first
        self.self_attn = Unimo2Attention(config, layer_idx)
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = Unimo2MLP(config)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = Unimo2Dropout(config.hidden_dropout_prob)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: AttentionMask = None,
        past_key_values: Cache | None = None,
        rows: torch.LongTensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> torch.Tensor:
        inputs = self.layer_norm1(hidden_states) if self.norm_first else hidden_states
        attended, _ = self.self_attn(inputs, attention_mask, past_key_values=past_key_values, rows=rows, **kwargs)
        hidden_states = take_tokens(hidden_states, rows) + self.dropout(attended)
        if self.norm_first:
            return hidden_states + self.dropout(self.mlp(self.layer_norm2(hidden_states)))
        hidden_states = self.layer_norm1(hidden_states)
        return self.layer_norm2(hidden_states + self.dropout(self.mlp(hidden_states)))


def take_tokens(states: torch.Tensor, rows: torch.LongTensor | None) -> torch.Tensor:
    """States (B, R, H) of the tokens at `rows` (B, R), of all tokens without."""
    return states if rows is None else states.gather(1, rows[..., None].expand(-1, -1, states.shape[-1]))


def to_attention_mask(
    allowed: torch.Tensor | None, config, dtype: torch.dtype, official: bool = False
) -> torch.Tensor | None:
    """
    What the attention function of `config` takes for `allowed` (bool, broadcastable to (B, 1, queries, keys); None:
    all).

    With `official`, forbidden scores are lowered by 10,000 as in the first implementation. A query that may see
    nothing then attends everywhere, as if nothing were forbidden, instead of nowhere.
    """
    if allowed is None:
        return None
    if official:
        return (allowed.to(dtype) - 1) * 10000
    if config._attn_implementation == "sdpa":
        return allowed
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill(~allowed, torch.finfo(dtype).min)


# ---------------------------------------------------------------------------------------------------------------------
# Encoders
# ---------------------------------------------------------------------------------------------------------------------


class Unimo2VisionEmbeddings(nn.Module):
    """Class token, overlapping patches and positions; the position table is interpolated for other image sizes."""

    def __init__(self, config: Unimo2VisionConfig):
        super().__init__()
        self.config = config
        self.grid_size = config.image_size // config.patch_size
        self.cls_token = nn.Parameter(torch.empty(1, 1, config.hidden_size))
        self.position_embeddings = nn.Parameter(torch.empty(1, self.grid_size**2 + 1, config.hidden_size))
        # The first implementation pads by nearly half a patch, so a patch starts that many pixels above and left of
        # its cell.
        self.patch_embedding = nn.Conv2d(
            config.num_channels,
            config.hidden_size,
            kernel_size=config.patch_size,
            stride=config.patch_size,
            padding=(config.patch_size - 1) // 2,
        )
        self.dropout = Unimo2Dropout(config.hidden_dropout_prob)

    def interpolate_pos_encoding(self, height: int, width: int) -> torch.Tensor:
        """Position table (1, 1 + patches, H) for an image of `height` x `width` pixels, bicubic by target size."""
        grid = (height // self.config.patch_size, width // self.config.patch_size)
        # In an exported graph the table is always interpolated (equal sizes change nothing): a branch would be baked
        # in, and comparing alone would leave a guard.
        if not is_torchdynamo_exporting() and grid == (self.grid_size, self.grid_size):
            return self.position_embeddings
        class_position, patch_positions = self.position_embeddings[:, :1], self.position_embeddings[:, 1:]
        table = patch_positions.reshape(1, self.grid_size, self.grid_size, -1).permute(0, 3, 1, 2)
        table = F.interpolate(table.float(), size=grid, mode="bicubic", align_corners=False)
        table = table.flatten(2).transpose(1, 2).to(patch_positions.dtype)
        return torch.cat((class_position, table), dim=1)

    def forward(self, pixel_values: torch.Tensor, interpolate_pos_encoding: bool = True) -> torch.Tensor:
        batch_size, num_channels, height, width = pixel_values.shape
        size, patch = self.config.image_size, self.config.patch_size
        if num_channels != self.config.num_channels:
            raise ValueError(
                f"`pixel_values` has {num_channels} channels, but the model takes {self.config.num_channels}."
            )
        if height % patch or width % patch or not height or not width:
            raise ValueError(
                f"`pixel_values` is {height}x{width} pixels, but both sides must be multiples of the "
                f"patch size {patch}."
            )
        if not interpolate_pos_encoding and (height, width) != (size, size):
            raise ValueError(
                f"`pixel_values` is {height}x{width} pixels and the position table is made for {size}x{size}; "
                "with `interpolate_pos_encoding=True` other sizes are accepted."
            )
        patches = self.patch_embedding(pixel_values).flatten(2).transpose(1, 2)
        embeddings = torch.cat((self.cls_token.expand(batch_size, -1, -1).to(patches.dtype), patches), dim=1)
        return self.dropout(embeddings + self.interpolate_pos_encoding(height, width))


class Unimo2PositionEmbeddings(nn.Embedding):
    """The text's position table: a class of its own, because transformers initialises module by module, by class."""


class Unimo2TextEmbeddings(nn.Module):
    """Word and position embeddings, layer norm, dropout."""

    def __init__(self, config: Unimo2TextConfig):
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embeddings = Unimo2PositionEmbeddings(config.max_position_embeddings, config.hidden_size)
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = Unimo2Dropout(config.hidden_dropout_prob)

    def forward(self, inputs_embeds: torch.Tensor, position_ids: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.layernorm(inputs_embeds + self.position_embeddings(position_ids)))


class Unimo2PreTrainedModel(PreTrainedModel):
    """Weights, loading and attention back ends, common to all UNIMO-2 models."""

    config: Unimo2Config
    base_model_prefix = "unimo2"
    main_input_name = "input_ids"
    input_modalities = ("image", "text")
    supports_gradient_checkpointing = True
    _no_split_modules = ["Unimo2VisionEmbeddings", "Unimo2TextEmbeddings", "Unimo2Layer", "Unimo2Dictionary"]
    _supports_sdpa = True
    _supports_flash_attn = False
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_record_outputs = {"hidden_states": Unimo2Layer, "attentions": Unimo2Attention}

    def _check_and_adjust_attn_implementation(self, attn_implementation: str | None, *args, **kwargs) -> str:
        if attn_implementation is not None and is_flash_attention_requested(
            requested_attention_implementation=attn_implementation
        ):
            raise ValueError(
                f'{type(self).__name__} cannot use attn_implementation="{attn_implementation}": flash attention '
                'ignores the mask that keeps image and text blind to each other; use "sdpa" or "eager".'
            )
        return super()._check_and_adjust_attn_implementation(attn_implementation, *args, **kwargs)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, Unimo2VisionEmbeddings):
            init.normal_(module.cls_token, std=self.config.position_initializer_range)
            init.normal_(module.position_embeddings, std=self.config.position_initializer_range)
        elif isinstance(module, Unimo2PositionEmbeddings):
            init.normal_(module.weight, std=self.config.position_initializer_range)
        elif isinstance(module, Unimo2DictionaryEmbeddings):
            limit = self.config.dictionary_initializer_range or 1 / self.config.dictionary_size
            init.uniform_(module.weight, -limit, limit)
        elif isinstance(module, Unimo2Dictionary):
            init.constant_(module.temperature, self.config.dictionary_temperature_init)
        elif isinstance(module, Unimo2ContrastiveHead):
            init.constant_(module.temperature, self.config.contrastive_temperature_init)


class Unimo2SubModel(Unimo2PreTrainedModel):
    """An encoder that also loads on its own, from its own repository, from a base model's, or from any head's."""

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs):
        # Keys of a head start with the base model's prefix, which transformers does not strip for a part of a part.
        kwargs.setdefault("key_mapping", {rf"^{Unimo2PreTrainedModel.base_model_prefix}\.": ""})
        return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)


class Unimo2VisionModel(Unimo2SubModel):
    """
    The vision encoder: a pre-norm vision transformer whose patches overlap by padding (first implementation).

    `pooler_output` is the class token's state, unprojected.
    """

    config: Unimo2VisionConfig
    base_model_prefix = "vision_model"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    _keys_to_ignore_on_load_unexpected = [r"^(?!vision_model\.)\w+\."]

    def __init__(self, config: Unimo2VisionConfig):
        super().__init__(config)
        self.embeddings = Unimo2VisionEmbeddings(config)
        self.layers = nn.ModuleList([Unimo2Layer(config, norm_first=True) for _ in range(config.num_hidden_layers)])
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings.patch_embedding

    @merge_with_config_defaults
    @capture_outputs(tie_last_hidden_states=False)
    def forward(
        self,
        pixel_values: torch.FloatTensor | None = None,
        interpolate_pos_encoding: bool = True,
        **kwargs: Unpack[TransformersKwargs],
    ) -> BaseModelOutputWithPooling:
        r"""
        Args:
            pixel_values (`(B, 3, height, width)`): Images, RGB in [-1, 1]; both sides multiples of the patch size.
            interpolate_pos_encoding (`bool`, defaults to `True`): Whether sizes other than `config.image_size` are
                served by interpolating the position table; otherwise they are refused.
        """
        if pixel_values is None:
            raise ValueError("Unimo2VisionModel needs `pixel_values`.")
        hidden_states = self.embeddings(
            pixel_values.to(self.embeddings.patch_embedding.weight.dtype), interpolate_pos_encoding
        )
        for layer in self.layers:
            hidden_states = layer(hidden_states, None, **kwargs)
        hidden_states = self.layernorm(hidden_states)
        return BaseModelOutputWithPooling(last_hidden_state=hidden_states, pooler_output=hidden_states[:, 0])


class Unimo2TextModel(Unimo2SubModel):
    """
    The text encoder: a post-norm transformer of RoBERTa's shape. `pooler_output` is the first word's state,
    unprojected.
    """

    config: Unimo2TextConfig
    base_model_prefix = "text_model"
    input_modalities = ("text",)
    _keys_to_ignore_on_load_unexpected = [r"^(?!text_model\.)\w+\."]

    def __init__(self, config: Unimo2TextConfig):
        super().__init__(config)
        self.embeddings = Unimo2TextEmbeddings(config)
        self.layers = nn.ModuleList([Unimo2Layer(config, layer_idx) for layer_idx in range(config.num_hidden_layers)])
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.embeddings.word_embeddings = value

    @merge_with_config_defaults
    @capture_outputs
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        past_key_values: Cache | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> BaseModelOutputWithPooling:
        r"""
        Args:
            input_ids (`(B, L)`) or inputs_embeds (`(B, L, H)`): Words; exactly one of the two.
            attention_mask (`(B, L)`, *optional*): 1 for words, 0 for padding. A 4-D mask is taken as it is.
            position_ids (`(B, L)`, *optional*): Rows of the position table. By default words count up from
                `config.position_offset`, padding (on either side) stands right before it.
            past_key_values (`DynamicCache`, *optional*): Keys and values of earlier words, which is extended.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("Unimo2TextModel needs exactly one of `input_ids` and `inputs_embeds`.")
        if inputs_embeds is None:
            inputs_embeds = self.embeddings.word_embeddings(input_ids)
        length = inputs_embeds.shape[1]
        past_length = past_key_values.get_seq_length() if past_key_values is not None else 0
        room = self.config.max_position_embeddings - self.config.position_offset
        if past_length + length > room:
            raise ValueError(f"The text has {past_length + length} tokens, but the model has positions for {room}.")
        padding_mask = attention_mask if attention_mask is not None and attention_mask.dim() == 2 else None
        if position_ids is None:
            if padding_mask is None:
                words = torch.ones(1, past_length + length, device=inputs_embeds.device, dtype=torch.long)
            else:
                words = padding_mask.long()
            position_ids = text_position_ids(words, self.config.position_offset)[:, -length:]
        if padding_mask is not None and self.config._attn_implementation == "flex_attention":
            attention_mask = _flex_mask(self.config, inputs_embeds, padding_mask.bool())
        elif padding_mask is not None:
            attention_mask = to_attention_mask(
                padding_mask[:, None, None, :].bool(), self.config, self.embeddings.word_embeddings.weight.dtype
            )
        hidden_states = self.embeddings(inputs_embeds, position_ids)
        for layer in self.layers:
            hidden_states = layer(hidden_states, attention_mask, past_key_values=past_key_values, **kwargs)
        return BaseModelOutputWithPooling(
            last_hidden_state=hidden_states, pooler_output=first_word_state(hidden_states, padding_mask)
        )


def first_word_state(hidden_states: torch.Tensor, padding_mask: torch.Tensor | None) -> torch.Tensor:
    """State (B, H) of each row's first word, the class token, on whichever side the padding (B, L) stands."""
    if padding_mask is None:
        return hidden_states[:, 0]
    return take_tokens(hidden_states, first_words(padding_mask)[:, None])[:, 0]


def first_words(padding_mask: torch.Tensor) -> torch.LongTensor:
    """Place (B,) of each row's first word."""
    return padding_mask.int().argmax(1)


def _class_rows(
    lengths: list[int], text_mask: torch.LongTensor | None, inputs_embeds: torch.Tensor
) -> torch.LongTensor:
    """Places (B, 1 or 2) of the class tokens of image and text among image, grounded and text tokens."""
    num_image, num_grounded, num_text = lengths
    rows = inputs_embeds.new_zeros(inputs_embeds.shape[0], dtype=torch.long)
    first_text = rows + num_image + num_grounded
    if text_mask is not None:
        first_text = first_text + first_words(text_mask)
    return torch.stack([rows] * bool(num_image) + [first_text] * bool(num_text), dim=1)


def _blind_blocks(
    lengths: list[int], keys: torch.BoolTensor | None, grounded_masked: bool, class_rows: bool
) -> list[tuple[slice, slice, torch.Tensor | None]]:
    """
    Image over image and grounded tokens, grounded over all, text over grounded and text: three calls without the pairs
    that may not meet cost less than one call with a mask. With `class_rows` the queries are the two class tokens.
    """
    num_image, num_grounded, num_text = lengths
    first_text, total = num_image + num_grounded, num_image + num_grounded + num_text
    # Image, grounded and text tokens; their queries, the keys these see, and whether any of these may be padding.
    queries = slice(0, num_image), slice(num_image, first_text), slice(first_text, total)
    seen = slice(0, first_text), slice(0, total), slice(num_image, total)
    padded = grounded_masked, True, True
    parts = (0, 1, 2)
    if class_rows:
        parts, queries = (0, 2), (slice(0, 1), None, slice(1, 2))
    # By number: asking whether a slice is None would make `torch.compile` take its ends for constants.
    return [
        (queries[part], seen[part], keys[:, None, None, seen[part]] if keys is not None and padded[part] else None)
        for part in parts
    ]


def _flex_mask(
    config: Unimo2TextConfig | Unimo2GroundedConfig,
    inputs_embeds: torch.Tensor,
    keys: torch.BoolTensor | None,
    blind_lengths: tuple[int, int, int] | None = None,
) -> BlockMask | None:
    """
    The `BlockMask` of tokens (B, T, H) of which `keys` (B, T) are real; image and text of `blind_lengths` (image,
    grounded, text) do not see each other. Without padding it depends on the lengths alone, and is kept.
    """
    if keys is None:
        return None if blind_lengths is None else _blind_flex_mask(*blind_lengths, inputs_embeds.device)
    apart = None if blind_lengths is None else _not_blind(*blind_lengths)
    return create_bidirectional_mask(config, inputs_embeds, keys, and_mask_function=apart)


@lru_cache(maxsize=32)
def _blind_flex_mask(num_image: int, num_grounded: int, num_text: int, device: torch.device) -> BlockMask:
    total = num_image + num_grounded + num_text
    return create_block_mask(_not_blind(num_image, num_grounded, num_text), None, None, total, total, device=device)


def _not_blind(num_image: int, num_grounded: int, num_text: int) -> Callable[..., torch.Tensor]:
    """Mask function of transformers and flex attention: whether a token may attend to another one."""
    first_text = num_image + num_grounded

    def may_see(batch_idx, head_idx, q_idx, kv_idx):
        image_to_text = (q_idx < num_image) & (kv_idx >= first_text)
        text_to_image = (q_idx >= first_text) & (kv_idx < num_image)
        return ~(image_to_text | text_to_image)

    return may_see


def _real_tokens(mask: torch.Tensor | None, inputs_embeds: torch.Tensor, length: int) -> torch.BoolTensor:
    """(B, length): True for tokens that are no padding; all of them without a mask."""
    return inputs_embeds.new_ones(inputs_embeds.shape[0], length, dtype=torch.bool) if mask is None else mask.bool()


def text_position_ids(padding_mask: torch.Tensor, offset: int) -> torch.Tensor:
    """Rows (B, L) of the position table: words count up from `offset`, padding stands at `offset - 1`."""
    return padding_mask.cumsum(1) * padding_mask + offset - 1


class Unimo2GroundedModel(Unimo2SubModel):
    """The fusion encoder: a post-norm transformer over image, grounded and text tokens, with the mask it is given."""

    config: Unimo2GroundedConfig
    base_model_prefix = "grounded_model"
    main_input_name = "inputs_embeds"
    _keys_to_ignore_on_load_unexpected = [r"^(?!grounded_model\.)\w+\."]

    def __init__(self, config: Unimo2GroundedConfig, first_layer_idx: int = 0):
        super().__init__(config)
        # In captioning one cache holds the keys of the text encoder's layers, then those of these.
        self.layers = nn.ModuleList(
            [Unimo2Layer(config, first_layer_idx + i) for i in range(config.num_hidden_layers)]
        )
        self.post_init()

    @merge_with_config_defaults
    @capture_outputs
    def forward(
        self,
        inputs_embeds: torch.FloatTensor,
        attention_mask: AttentionMask = None,
        past_key_values: Cache | None = None,
        last_rows: torch.LongTensor | None = None,
        last_attention_mask: AttentionMask = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> BaseModelOutput:
        r"""
        Args:
            inputs_embeds (`(B, tokens, H)`): Image states, grounded tokens and text states, in this order.
            attention_mask (4-D or blocks, *optional*): As the attention function takes it.
            past_key_values (`DynamicCache`, *optional*): Keys and values of earlier tokens, which is extended.
            last_rows (`(B, R)`, *optional*): The only tokens that the last layer computes; `last_hidden_state` is then
                (B, R, H), and `last_attention_mask` says whom these attend to.
        """
        hidden_states = inputs_embeds
        for layer in self.layers[:-1] if last_rows is not None else self.layers:
            hidden_states = layer(hidden_states, attention_mask, past_key_values=past_key_values, **kwargs)
        if last_rows is not None:
            hidden_states = self.layers[-1](hidden_states, last_attention_mask, rows=last_rows, **kwargs)
        return BaseModelOutput(last_hidden_state=hidden_states)


# ---------------------------------------------------------------------------------------------------------------------
# Dictionary and poolers
# ---------------------------------------------------------------------------------------------------------------------


class Unimo2DictionaryEmbeddings(nn.Embedding):
    """The dictionary's entries, (C, H)."""


class Unimo2Dictionary(nn.Module):
    """
    The dictionary of grounded tokens (UNIMO-2, section 3.2).

    Scores, their sums, the choice and the loss run in float32 whatever the model's type: in bfloat16 the sums tie.
    Choosing is a step function, so it runs without gradient; the loss recomputes the scores of the chosen entries
    only, which is all that gradient can reach, and no (tokens x entries) array is kept for the backward pass.
    """

    def __init__(self, config: Unimo2Config):
        super().__init__()
        self.config = config
        hidden_size = config.vision_config.hidden_size
        self.embeddings = Unimo2DictionaryEmbeddings(config.dictionary_size, hidden_size)
        self.temperature = nn.Parameter(torch.empty(1))
        if config.grounding_projection or config.contrastive_projection == "shared":
            self.patch_projection = nn.Linear(hidden_size, hidden_size)
            self.token_projection = nn.Linear(hidden_size, hidden_size)

    def project(self, tokens: torch.Tensor, projection: str) -> torch.Tensor:
        """Tokens (B, N, H) as the dictionary sees them, through the projection of that name if there is one."""
        if not self.config.grounding_projection:
            return tokens
        return F.normalize(F.relu(getattr(self, projection)(tokens)).float(), dim=-1, eps=1e-12)

    def score(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Scores (B, C), float32: `sum over tokens of sigmoid(temperature * token . entry)`."""
        with maybe_autocast(tokens.device.type, enabled=False):
            products = tokens.float() @ self.embeddings.weight.float().t()
            scores = torch.sigmoid(products * self._temperature())
            return torch.where(mask[..., None], scores, 0.0).sum(1)

    def choose(self, scores: torch.Tensor) -> torch.Tensor:
        """Ids (B, K) of the highest scores, highest first; ties go to the lower id."""
        order = torch.sort(scores, dim=-1, descending=True, stable=True).indices
        return order[:, : self.config.num_grounded_tokens]

    @torch.no_grad()
    def nearest(self, tokens: torch.Tensor) -> torch.Tensor:
        """Ids (B, N) of the entry nearest to each token; ties go to the lower id."""
        with maybe_autocast(tokens.device.type, enabled=False):
            tokens, entries = tokens.float(), self.embeddings.weight.float()
            products = tokens @ entries.t()
            distances = tokens.square().sum(-1, keepdim=True) + entries.square().sum(-1) - 2 * products
            return distances.argmin(-1)

    def loss(
        self, tokens: torch.Tensor, mask: torch.Tensor, grounded_token_ids: torch.Tensor, across_ranks: bool = False
    ) -> torch.Tensor:
        """Grounding loss of tokens (B, N, H) that chose `grounded_token_ids`: a scalar, float32."""
        settings = {
            "token_weight": self.config.grounding_token_weight,
            "entry_weight": self.config.grounding_entry_weight,
            "across_ranks": across_ranks,
        }
        with maybe_autocast(tokens.device.type, enabled=False):
            tokens, entries = tokens.float(), self.embeddings(grounded_token_ids).float()
            if self.config.grounding_method == "nearest":
                return nearest_grounding_loss(tokens, entries, mask, **settings)
            scores = torch.sigmoid(tokens @ entries.transpose(1, 2) * self._temperature())
            return topk_grounding_loss(tokens, entries, scores, mask, **settings)

    def _temperature(self) -> torch.Tensor:
        return self.temperature.float().clamp(1, 10000)


class Unimo2GroundedEmbeddings(nn.Module):
    """Makes dictionary entries tokens of the fusion encoder: hide some, add positions, layer norm, dropout."""

    def __init__(self, config: Unimo2Config):
        super().__init__()
        grounded_config = config.grounded_config
        self.layernorm = nn.LayerNorm(grounded_config.hidden_size, eps=grounded_config.layer_norm_eps)
        self.dropout = Unimo2Dropout(grounded_config.hidden_dropout_prob)

    def forward(
        self, entries: torch.Tensor, hidden_mask: torch.Tensor | None = None, positions: torch.Tensor | None = None
    ) -> torch.Tensor:
        if hidden_mask is not None:
            entries = entries.masked_fill(hidden_mask[..., None], 0.0)
        if positions is not None:
            entries = entries + positions
        return self.dropout(self.layernorm(entries))


class Unimo2Pooler(nn.Module):
    """ReLU of an affine map of class states (B, H)."""

    def __init__(self, config: Unimo2GroundedConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, class_states: torch.Tensor) -> torch.Tensor:
        return F.relu(self.dense(class_states))


class Unimo2ContrastiveHead(nn.Module):
    """From the uni-modal class states to features whose products say how well image and text fit."""

    def __init__(self, config: Unimo2Config):
        super().__init__()
        self.config = config
        hidden_size = config.vision_config.hidden_size
        self.temperature = nn.Parameter(torch.empty(1))
        self.activation_fn = ACT2FN[config.contrastive_activation]
        if config.contrastive_projection == "separate":
            self.image_projection = nn.Linear(hidden_size, hidden_size)
            self.text_projection = nn.Linear(hidden_size, hidden_size)

    def forward(self, class_states: torch.Tensor, projection: nn.Module | None, normalize: bool) -> torch.Tensor:
        """Features (B, H) of class states (B, H)."""
        if projection is not None:
            class_states = self.activation_fn(projection(class_states))
        if normalize:
            class_states = F.normalize(class_states.float(), dim=-1, eps=1e-12).to(class_states.dtype)
        return class_states

    def logits(self, image_features: torch.Tensor, text_features: torch.Tensor) -> torch.Tensor:
        """Similarities (images, texts) divided by the temperature, float32."""
        with maybe_autocast(image_features.device.type, enabled=False):
            similarities = image_features.float() @ text_features.float().t()
            return similarities / self.temperature.float().clamp(0.001, 0.5)


class Unimo2Model(Unimo2PreTrainedModel):
    r"""
    UNIMO-2 without a head: vision encoder, text encoder, dictionary and fusion encoder.

    Three doors, which `forward` passes in a row: [`~Unimo2Model.encode_image`], [`~Unimo2Model.encode_text`] and
    [`~Unimo2Model.ground`]. An image encoded once can be grounded against any number of texts.
    """

    def __init__(self, config: Unimo2Config):
        super().__init__(config)
        self.vision_model = Unimo2VisionModel._from_config(config.vision_config)
        self.text_model = Unimo2TextModel._from_config(config.text_config)
        if config.grounding_method != "none":
            self.dictionary = Unimo2Dictionary(config)
            self.grounded_embeddings = Unimo2GroundedEmbeddings(config)
        self.grounded_model = Unimo2GroundedModel._from_config(
            config.grounded_config, first_layer_idx=config.text_config.num_hidden_layers
        )
        self.image_pooler = Unimo2Pooler(config.grounded_config)
        self.text_pooler = Unimo2Pooler(config.grounded_config)
        self.contrastive = Unimo2ContrastiveHead(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.text_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.text_model.set_input_embeddings(value)

    def encode_image(
        self,
        pixel_values: torch.FloatTensor,
        interpolate_pos_encoding: bool = True,
        chunk_size: int | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> Unimo2EncoderOutput:
        """
        Encodes images (B, 3, height, width) once; see [`Unimo2VisionModel.forward`] for the arguments.

        With `chunk_size` so many rows go through the encoder at a time, and for gradients they go through it again in
        the backward pass, with the same dropout: gradient caching (Gao et al., 2021), by which a contrastive batch may
        be larger than the memory that its activations would take. Hidden states and attentions are then not recorded.
        """

        def encode(pixel_values: torch.Tensor) -> Unimo2EncoderOutput:
            output = self.vision_model(pixel_values, interpolate_pos_encoding=interpolate_pos_encoding, **kwargs)
            return self._encoding(output, "image")

        return _in_chunks(encode, chunk_size, pixel_values)

    def encode_text(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        chunk_size: int | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> Unimo2EncoderOutput:
        """
        Encodes texts (B, L) once; see [`Unimo2TextModel.forward`] for the arguments. The mask is (B, L). For
        `chunk_size` see `encode_image`.
        """
        if attention_mask is not None and attention_mask.dim() != 2:
            raise ValueError(f"`attention_mask` must be (batch, length), but has shape {tuple(attention_mask.shape)}.")

        def encode(input_ids, attention_mask, position_ids, inputs_embeds) -> Unimo2EncoderOutput:
            encoder_mask = attention_mask
            if self.config.official_padding and attention_mask is not None:
                words = attention_mask.bool()
                allowed = words[:, None, :, None] & words[:, None, None, :]
                encoder_mask = to_attention_mask(allowed, self.config.text_config, self.dtype, official=True)
                if position_ids is None:
                    position_ids = text_position_ids(words.long(), self.config.text_config.position_offset)
            output = self.text_model(
                input_ids,
                attention_mask=encoder_mask,
                position_ids=position_ids,
                inputs_embeds=inputs_embeds,
                **kwargs,
            )
            return self._encoding(output, "text", attention_mask)

        return _in_chunks(encode, chunk_size, input_ids, attention_mask, position_ids, inputs_embeds)

    def encoding(
        self,
        states: torch.FloatTensor,
        attention_mask: torch.LongTensor | None = None,
        dictionary_scores: torch.FloatTensor | None = None,
        modality: str = "image",
    ) -> Unimo2EncoderOutput:
        """
        What `encode_image` or `encode_text` returned, from what was kept of it.

        Args:
            states (`(B, I or L, H)`): Its `last_hidden_state`.
            attention_mask (`(B, L)`, *optional*): Of texts, as it was given then.
            dictionary_scores (`(B, C)`, float32, *optional*): As they were; computed from the states without.
            modality (`str`, defaults to `"image"`): Or `"text"`.
        """
        output = BaseModelOutputWithPooling(states, first_word_state(states, attention_mask))
        return self._encoding(output, modality, attention_mask, dictionary_scores)

    def _encoding(
        self,
        output: BaseModelOutputWithPooling,
        modality: str,
        attention_mask: torch.Tensor | None = None,
        scores: torch.Tensor | None = None,
    ) -> Unimo2EncoderOutput:
        tokens = token_mask = None
        if self.config.grounding_method != "none":
            projection = "patch_projection" if modality == "image" else "token_projection"
            tokens = self.dictionary.project(output.last_hidden_state[:, 1:], projection)
            if attention_mask is None or self.config.official_padding:
                # In the first implementation padded words take part in grounding.
                token_mask = torch.ones(tokens.shape[:2], dtype=torch.long, device=tokens.device)
            else:
                after_first_word = attention_mask.cumsum(1) > 1
                token_mask = (attention_mask * after_first_word)[:, 1:].long()
            if self.config.grounding_method == "topk" and scores is None:
                with torch.no_grad():  # choosing is a step function
                    scores = self.dictionary.score(tokens, token_mask.bool())
        return Unimo2EncoderOutput(
            last_hidden_state=output.last_hidden_state,
            pooler_output=output.pooler_output,
            dictionary_tokens=tokens,
            dictionary_mask=token_mask,
            dictionary_scores=scores,
            attention_mask=attention_mask,
            hidden_states=output.hidden_states,
            attentions=output.attentions,
        )

    def ground(
        self,
        image: Unimo2EncoderOutput | None = None,
        text: Unimo2EncoderOutput | None = None,
        grounded_token_ids: torch.LongTensor | None = None,
        grounded_token_mask: torch.BoolTensor | None = None,
        fuse: bool = True,
        across_ranks: bool = False,
        pooled_only: bool = False,
        return_grounding_loss: bool = True,
        **kwargs: Unpack[TransformersKwargs],
    ) -> Unimo2ModelOutput:
        r"""
        Chooses grounded tokens for images, texts or pairs of both, and fuses.

        Args:
            image, text ([`Unimo2EncoderOutput`]): From `encode_image` and `encode_text`, row by row a pair.
            grounded_token_ids (`(B, G)`, *optional*): Entries to use instead of choosing.
            grounded_token_mask (`(B, G)`, bool, *optional*): True where a grounded token is hidden from the fusion
                encoder.
            fuse (`bool`, defaults to `True`): Whether to run the fusion encoder. Without it the output has the
                grounded ids and the grounding loss only.
            across_ranks (`bool`, defaults to `False`): Whether the grounding loss is that of all processes' batches
                together; every process must then call.
            pooled_only (`bool`, defaults to `False`): Whether the pooled vectors are all that is wanted of the fusion
                encoder: its last layer then computes the class rows alone, and the output has no states.
            return_grounding_loss (`bool`, defaults to `True`): Whether to compute the grounding loss.
        """
        parts = [part for part in (image, text) if part is not None]
        if not parts:
            raise ValueError("`ground` needs an encoded image, an encoded text or both.")
        # `.shape[0]`, not `len`: the latter would fix the batch size of an exported graph.
        rows = [part.last_hidden_state.shape[0] for part in parts]
        if rows[0] != rows[-1]:
            raise ValueError(f"`ground` pairs rows one by one, but found {rows[0]} images and {rows[1]} texts.")

        grounded = grounding_loss = grounded_mask = None
        if self.config.grounding_method != "none":
            tokens = torch.cat([part.dictionary_tokens for part in parts], dim=1)
            token_mask = torch.cat([part.dictionary_mask for part in parts], dim=1).bool()
            if grounded_token_ids is None:
                grounded_token_ids = self._choose(parts, tokens)
            if self.config.grounding_method == "nearest":
                grounded_mask = token_mask
            if return_grounding_loss:
                grounding_loss = self.dictionary.loss(tokens, token_mask, grounded_token_ids, across_ranks)
        output = Unimo2ModelOutput(
            grounded_token_ids=grounded_token_ids,
            grounding_loss=grounding_loss,
            vision_model_output=image,
            text_model_output=text,
        )
        if not fuse:
            return output
        if self.config.grounding_method != "none":
            grounded = self.grounded_embeddings(
                self.dictionary.embeddings(grounded_token_ids),
                hidden_mask=grounded_token_mask,
                positions=self._grounded_positions(grounded_token_ids),
            )
        return self._fuse(output, grounded, grounded_mask, pooled_only, **kwargs)

    def _choose(self, parts: list[Unimo2EncoderOutput], tokens: torch.Tensor) -> torch.Tensor:
        if self.config.grounding_method == "nearest":
            return self.dictionary.nearest(tokens)
        scores = parts[0].dictionary_scores
        for part in parts[1:]:
            scores = scores + part.dictionary_scores
        return self.dictionary.choose(scores)

    def _grounded_positions(self, grounded_token_ids: torch.Tensor) -> torch.Tensor | None:
        if not self.config.grounded_positions:
            return None
        first, number = self.config.text_config.position_offset, grounded_token_ids.shape[1]
        return self.text_model.embeddings.position_embeddings.weight[first : first + number]

    def _fuse(
        self,
        output: Unimo2ModelOutput,
        grounded: torch.Tensor | None,
        grounded_mask: torch.Tensor | None,
        pooled_only: bool,
        **kwargs: Unpack[TransformersKwargs],
    ) -> Unimo2ModelOutput:
        """`output`, which has what is before the fusion encoder, with what this makes of it."""
        image, text = output.vision_model_output, output.text_model_output
        states = [part.last_hidden_state if part is not None else None for part in (image, text)]
        states.insert(1, grounded)
        lengths = [part.shape[1] if part is not None else 0 for part in states]
        inputs_embeds = torch.cat([part for part in states if part is not None], dim=1)
        text_mask = text.attention_mask if text is not None else None
        attention = self._fusion_attention(lengths, grounded_mask, text_mask, inputs_embeds)
        if pooled_only:
            rows = _class_rows(lengths, text_mask, inputs_embeds)
            fused = self.grounded_model(
                inputs_embeds,
                attention_mask=attention,
                last_rows=rows,
                last_attention_mask=self._fusion_attention(lengths, grounded_mask, text_mask, inputs_embeds, rows),
                **kwargs,
            )
            image_class, text_class = fused.last_hidden_state[:, 0], fused.last_hidden_state[:, -1]
            whole = image_states = grounded_states = text_states = None
        else:
            fused = self.grounded_model(inputs_embeds, attention_mask=attention, **kwargs)
            whole = fused.last_hidden_state
            image_states, grounded_states, text_states = whole.split(lengths, dim=1)
            image_class = image_states[:, 0] if image is not None else None
            text_class = first_word_state(text_states, text_mask) if text is not None else None
        return Unimo2ModelOutput(
            last_hidden_state=whole,
            image_last_hidden_state=image_states if image is not None else None,
            grounded_last_hidden_state=grounded_states if grounded is not None else None,
            text_last_hidden_state=text_states if text is not None else None,
            image_pooler_output=self.image_pooler(image_class) if image is not None else None,
            text_pooler_output=self.text_pooler(text_class) if text is not None else None,
            grounded_token_ids=output.grounded_token_ids,
            grounding_loss=output.grounding_loss,
            vision_model_output=image,
            text_model_output=text,
            hidden_states=fused.hidden_states,
            attentions=fused.attentions,
        )

    def _fusion_attention(
        self,
        lengths: list[int],
        grounded_mask: torch.Tensor | None,
        text_mask: torch.Tensor | None,
        inputs_embeds: torch.Tensor,
        rows: torch.LongTensor | None = None,
    ) -> AttentionMask:
        """Whom the fusion encoder's tokens, or those at `rows` (the class tokens), attend to."""
        config, official = self.config.grounded_config, self.config.official_padding
        num_image, num_grounded, num_text = lengths
        keys = None
        if grounded_mask is not None or text_mask is not None:
            masks = zip((None, grounded_mask, text_mask), lengths)
            keys = torch.cat([_real_tokens(mask, inputs_embeds, length) for mask, length in masks], dim=1)
        grounded_only = self.config.grounding_method != "none" and self.config.fusion_attention == "grounded"
        blind = grounded_only and bool(num_image) and bool(num_text)
        flex = config._attn_implementation == "flex_attention" and not official
        if blind and not official and (config._attn_implementation == "sdpa" or (flex and rows is not None)):
            return _blind_blocks(lengths, keys, grounded_mask is not None, rows is not None)
        if flex and rows is None:
            return _flex_mask(config, inputs_embeds, keys, (num_image, num_grounded, num_text) if blind else None)
        allowed = keys[:, None, None, :] if keys is not None else None
        if keys is not None and official:
            allowed = allowed & keys[:, None, :, None]
        if blind:
            place = torch.arange(sum(lengths), device=inputs_embeds.device)
            is_image, is_text = place < num_image, place >= num_image + num_grounded
            apart = ~(is_image[:, None] & is_text[None, :] | is_text[:, None] & is_image[None, :])[None, None]
            allowed = apart if allowed is None else allowed & apart
        if rows is not None and allowed is not None and allowed.shape[2] > 1:
            # (B, R, T) of (B or 1, T, T)
            allowed = take_tokens(allowed[:, 0].expand(rows.shape[0], -1, -1), rows)[:, None]
        return to_attention_mask(allowed, config, inputs_embeds.dtype, official)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        interpolate_pos_encoding: bool = True,
        image_index: torch.LongTensor | None = None,
        pooled_only: bool = False,
        **kwargs: Unpack[TransformersKwargs],
    ) -> Unimo2ModelOutput:
        r"""
        Args:
            input_ids (`(B, L)`) or inputs_embeds (`(B, L, H)`), *optional*: Texts.
            attention_mask (`(B, L)`, *optional*): 1 for words, 0 for padding.
            position_ids (`(B, L)`, *optional*): Rows of the position table; by default words count up from
                `config.text_config.position_offset`.
            pixel_values (`(B, 3, height, width)`, *optional*): Images, RGB in [-1, 1]. Images, texts, or one of each a
                row.
            interpolate_pos_encoding (`bool`, defaults to `True`): Whether to accept image sizes other than
                `config.vision_config.image_size`.
            image_index (`(B,)`, *optional*): The image of each text, for several texts about one image: every image is
                encoded once. By default texts and images go row by row.
            pooled_only (`bool`, defaults to `False`): Whether the pooled vectors are all that is wanted, see
                [`~Unimo2Model.ground`]; the output then has neither states nor grounding loss.

        Example:

        ```python
        >>> import torch
        >>> from hf_unimo import Unimo2Config, Unimo2Model

        >>> model = Unimo2Model(Unimo2Config.tiny()).eval()
        >>> output = model(input_ids=torch.tensor([[0, 5, 6, 2]]), pixel_values=torch.zeros(1, 3, 64, 64))
        >>> output.grounded_token_ids.shape, output.text_pooler_output.shape
        (torch.Size([1, 16]), torch.Size([1, 128]))
        ```
        """
        image = text = None
        if pixel_values is not None:
            image = self.encode_image(pixel_values, interpolate_pos_encoding=interpolate_pos_encoding, **kwargs)
            image = _take_rows(image, image_index)
        if input_ids is not None or inputs_embeds is not None:
            text = self.encode_text(input_ids, attention_mask, position_ids, inputs_embeds, **kwargs)
        if image is None and text is None:
            raise ValueError("Unimo2Model needs `input_ids` (or `inputs_embeds`), `pixel_values`, or both.")
        return self.ground(image, text, pooled_only=pooled_only, return_grounding_loss=not pooled_only, **kwargs)

    def image_features(self, image: Unimo2EncoderOutput | BaseModelOutputWithPooling) -> torch.Tensor:
        """Contrastive features (B, H) of encoded images."""
        return self._features(image, "image_projection", "patch_projection", normalize=True)

    def text_features(self, text: Unimo2EncoderOutput | BaseModelOutputWithPooling) -> torch.Tensor:
        """Contrastive features (B, H) of encoded texts."""
        normalize = self.config.contrastive_projection != "none" or self.config.contrastive_normalization == "both"
        return self._features(text, "text_projection", "token_projection", normalize=normalize)

    def _features(
        self, encoded: Unimo2EncoderOutput | BaseModelOutputWithPooling, separate: str, shared: str, normalize: bool
    ) -> torch.Tensor:
        projection = None
        if self.config.contrastive_projection == "separate":
            projection = getattr(self.contrastive, separate)
        elif self.config.contrastive_projection == "shared":
            projection = getattr(self.dictionary, shared)
        return self.contrastive(encoded.pooler_output, projection, normalize)

    @can_return_tuple
    def get_image_features(
        self,
        pixel_values: torch.FloatTensor,
        interpolate_pos_encoding: bool = True,
        **kwargs: Unpack[TransformersKwargs],
    ) -> BaseModelOutputWithPooling:
        """The vision encoder's output with the contrastive features (B, H) as `pooler_output`."""
        output = self.vision_model(pixel_values, interpolate_pos_encoding=interpolate_pos_encoding, **kwargs)
        output.pooler_output = self.image_features(output)
        return output

    @can_return_tuple
    def get_text_features(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> BaseModelOutputWithPooling:
        """The text encoder's output with the contrastive features (B, H) as `pooler_output`."""
        text = self.encode_text(input_ids, attention_mask, position_ids, inputs_embeds, **kwargs)
        return BaseModelOutputWithPooling(
            last_hidden_state=text.last_hidden_state,
            pooler_output=self.text_features(text),
            hidden_states=text.hidden_states,
            attentions=text.attentions,
        )


# ---------------------------------------------------------------------------------------------------------------------
# Heads
# ---------------------------------------------------------------------------------------------------------------------


class Unimo2PredictionHead(nn.Module):
    """Affine map, GELU, layer norm, and an affine map to classes, usually tied to words or entries."""

    def __init__(self, config: Unimo2Config, num_classes: int):
        super().__init__()
        hidden_size = config.grounded_config.hidden_size
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.activation_fn = ACT2FN[config.grounded_config.hidden_act]
        self.layernorm = nn.LayerNorm(hidden_size, eps=config.grounded_config.layer_norm_eps)
        self.decoder = nn.Linear(hidden_size, num_classes)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.layernorm(self.activation_fn(self.dense(hidden_states))))


class Unimo2HeadModel(Unimo2PreTrainedModel):
    """What all heads share: the base model under `unimo2`, and the joining of a pooled pair."""

    def __init__(self, config: Unimo2Config):
        super().__init__(config)
        self.unimo2 = Unimo2Model(config)

    def get_input_embeddings(self) -> nn.Module:
        return self.unimo2.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.unimo2.set_input_embeddings(value)

    def _needs(self, **inputs) -> None:
        """Refuses a call that lacks an input without which the head's answer has no meaning."""
        missing = [f"`{name}`" for name, value in inputs.items() if value is None]
        if missing:
            raise ValueError(f"{type(self).__name__} needs {' and '.join(missing)}.")

    def _records(self, kwargs: dict) -> bool:
        """Whether the caller asked for hidden states or attentions, which a pass for pooled vectors alone cuts."""
        names = ("output_hidden_states", "output_attentions")
        return any(kwargs[name] if kwargs.get(name) is not None else getattr(self.config, name) for name in names)

    def _fuse_poolers(self, outputs: Unimo2ModelOutput) -> torch.Tensor:
        """One vector (B, H) for an image-text pair."""
        if self.config.matching_fusion == "mul":
            return outputs.image_pooler_output * outputs.text_pooler_output
        return outputs.image_pooler_output + outputs.text_pooler_output


class Unimo2LanguageHeadModel(Unimo2HeadModel):
    """A head that predicts words, with the word embeddings as its last weight."""

    _tied_weights_keys = {"lm_head.decoder.weight": "unimo2.text_model.embeddings.word_embeddings.weight"}

    def __init__(self, config: Unimo2Config):
        super().__init__(config)
        self.lm_head = Unimo2PredictionHead(config, config.text_config.vocab_size)

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head.decoder

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        self.lm_head.decoder = new_embeddings


def _in_chunks(
    encode: Callable[..., Unimo2EncoderOutput], chunk_size: int | None, *inputs: torch.Tensor | None
) -> Unimo2EncoderOutput:
    """`encode` of `inputs`, so many rows at a time, whose inner states are made again in the backward pass."""
    number = next(value.shape[0] for value in inputs if value is not None)
    if chunk_size is None or chunk_size >= number:
        return encode(*inputs)
    chunks = []
    for start in range(0, number, chunk_size):
        rows = [_at(value, slice(start, start + chunk_size)) for value in inputs]
        chunks.append(checkpoint(encode, *rows, use_reentrant=False) if torch.is_grad_enabled() else encode(*rows))
    return _each_tensor(chunks[0], lambda *values: torch.cat(values), *chunks[1:])


def _at(rows_of: torch.Tensor | None, rows: torch.Tensor | slice | None) -> torch.Tensor | None:
    """`rows_of[rows]`, where either may be missing: no tensor, or all rows."""
    return rows_of if rows_of is None or rows is None else rows_of[rows]


def _take_rows(encoded: Unimo2EncoderOutput | None, rows: torch.Tensor | None) -> Unimo2EncoderOutput | None:
    """The given rows of what an encoder returned; all of them without `rows`."""
    return encoded if encoded is None or rows is None else _each_tensor(encoded, lambda value: value[rows])


def _each_tensor(encoded: Unimo2EncoderOutput, function: Callable[..., torch.Tensor], *others) -> Unimo2EncoderOutput:
    """`function` of every tensor of what an encoder returned; of `others`, the tensors of the same name join in."""
    return Unimo2EncoderOutput(
        **{
            name: function(value, *(other[name] for other in others))
            for name, value in encoded.items()
            if isinstance(value, torch.Tensor)
        }
    )


def _choose_rows(
    condition: torch.Tensor, first: Unimo2EncoderOutput, second: Unimo2EncoderOutput
) -> Unimo2EncoderOutput:
    """Row by row `first` where `condition` (B,) holds, else `second`. Texts may differ in padding."""
    length = max(first.last_hidden_state.shape[1], second.last_hidden_state.shape[1])
    first, second = _pad_rows(first, length), _pad_rows(second, length)
    return _each_tensor(
        first,
        lambda one, two: torch.where(condition.view(-1, *[1] * (one.dim() - 1)), one, two),
        second,
    )


def _gather_rows(encoded: Unimo2EncoderOutput) -> Unimo2EncoderOutput:
    """What an encoder returned on all ranks, in rank order, with gradient; texts are padded to one length."""
    length = encoded.last_hidden_state.new_tensor(encoded.last_hidden_state.shape[1], dtype=torch.long)
    longest = int(gather(length[None]).max())
    return _each_tensor(
        _pad_rows(encoded, longest),
        lambda value: (gather_with_gradient if value.is_floating_point() else gather)(value),
    )


def _pad_rows(encoded: Unimo2EncoderOutput, length: int) -> Unimo2EncoderOutput:
    """What a text encoder returned for padded texts, with more padding on the right."""
    missing = length - encoded.last_hidden_state.shape[1]
    if not missing:
        return encoded
    if encoded.attention_mask is None:
        encoded = Unimo2EncoderOutput(
            **encoded, attention_mask=encoded.last_hidden_state.new_ones(encoded.last_hidden_state.shape[:2])
        )
    per_token = ("last_hidden_state", "dictionary_tokens", "dictionary_mask", "attention_mask")
    return Unimo2EncoderOutput(
        **{
            name: F.pad(value, (0, 0) * (value.dim() - 2) + (0, missing)) if name in per_token else value
            for name, value in encoded.items()
            if isinstance(value, torch.Tensor)
        }
    )


def _num_even(number: int, share: float) -> int:
    """How many of the first `number` rows are among an evenly spread `share` of all rows; row 0 always is."""
    return math.ceil(number * share - 1e-9)  # rounding errors must not make 4 of 0.15 * 20


def _words(input_ids: torch.Tensor | None, inputs_embeds: torch.Tensor | None) -> torch.Tensor | None:
    """Whichever of the two forms the text came in."""
    return input_ids if input_ids is not None else inputs_embeds


class Unimo2MatchingModel(Unimo2HeadModel):
    """What heads with image-text matching share: its logits, the wrong pairs it learns from, and the contrast."""

    def match_pairs(
        self,
        image: Unimo2EncoderOutput,
        text: Unimo2EncoderOutput,
        grounded_token_ids: torch.LongTensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> Unimo2RetrievalOutput:
        """
        Scores of pairs that are encoded: the part of retrieval that depends on the pair.

        Args:
            image, text ([`Unimo2EncoderOutput`]): From `encode_image` and `encode_text` of the base model, row by row
                a pair.
            grounded_token_ids (`(B, G)`, *optional*): Entries to use instead of choosing.
        """
        outputs = self.unimo2.ground(
            image,
            text,
            grounded_token_ids,
            pooled_only=not self._records(kwargs),
            return_grounding_loss=False,
            **kwargs,
        )
        itm_logits = self._matching_logits(outputs)
        similarity = (self.unimo2.image_features(image) * self.unimo2.text_features(text)).sum(-1)
        return Unimo2RetrievalOutput(
            logits=itm_logits[:, 1] + self.config.similarity_weight * similarity,
            itm_logits=itm_logits,
            similarity=similarity,
            grounded_token_ids=outputs.grounded_token_ids,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    def _matching_logits(self, outputs: Unimo2ModelOutput) -> torch.Tensor:
        return self.itm_head(self.itm_dropout(self._fuse_poolers(outputs)))

    def _draw_wrong_pairs(
        self,
        image: Unimo2EncoderOutput,
        text: Unimo2EncoderOutput,
        rows: torch.Tensor | None,
        keys: torch.Tensor,
        hardness: float,
        seed: int,
        step: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Matching logits (R, 2) of a wrong pair for each of R rows; labels (2 R,) of the given pairs and these."""
        first_row = rank() * keys.shape[0]
        share = 1 if rows is None else self.config.fusion_share
        if rows is None:
            rows = torch.arange(keys.shape[0], device=keys.device)
        # Every other of these rows, counted over all ranks, takes a wrong text, the others a wrong image.
        takes_text = (torch.arange(rows.shape[0], device=keys.device) + _num_even(first_row, share)) % 2 == 0

        candidates_image, candidates_text, candidate_keys = image, text, keys
        if self.training and self.config.matching_negatives == "global" and world_size() > 1:
            candidates_image, candidates_text = _gather_rows(image), _gather_rows(text)
            candidate_keys = gather(keys)
        model, contrastive = self.unimo2, self.unimo2.contrastive
        with torch.no_grad():
            logits = torch.where(
                takes_text[:, None],
                contrastive.logits(model.image_features(image)[rows], model.text_features(candidates_text)),
                contrastive.logits(model.text_features(text)[rows], model.image_features(candidates_image)),
            )
        wrong = draw_matching_negatives(
            logits,
            keys[rows][:, None] == candidate_keys[None],
            hardness=hardness,
            seed=seed,
            step=step,
            row_ids=rows + first_row,
        )
        partner = wrong.clamp(min=0)
        own = _take_rows(image, rows), _take_rows(text, rows)
        other = _take_rows(candidates_image, partner), _take_rows(candidates_text, partner)
        outputs = model.ground(
            _choose_rows(~takes_text, other[0], own[0]),
            _choose_rows(takes_text, other[1], own[1]),
            pooled_only=True,
            return_grounding_loss=False,
        )
        # A row whose candidates all have its own words has no wrong partner.
        labels = torch.cat((torch.ones_like(rows), torch.where(wrong < 0, -100, 0)))
        return self._matching_logits(outputs), labels

    def _contrastive_loss(
        self,
        image: Unimo2EncoderOutput,
        text: Unimo2EncoderOutput,
        logits_per_image: torch.Tensor,
        pair_mask: torch.Tensor | None,
        across: bool,
    ) -> torch.Tensor:
        logits_per_text = logits_per_image.t()
        if across:
            head = self.unimo2.contrastive
            image_features, text_features = self.unimo2.image_features(image), self.unimo2.text_features(text)
            logits_per_image = head.logits(image_features, gather_with_gradient(text_features))
            logits_per_text = head.logits(text_features, gather_with_gradient(image_features))
        return contrastive_loss(
            logits_per_image,
            logits_per_text,
            pair_mask,
            mean=self.config.contrastive_mean,
            label_smoothing=self.config.contrastive_label_smoothing,
            across_ranks=across,
        )


class Unimo2ForPreTraining(Unimo2MatchingModel, Unimo2LanguageHeadModel):
    """
    UNIMO-2 with all pre-training objectives (section 3.3 of the paper and the first implementation's functions):
    masked language modelling, image-text matching, image-text contrast, grounding loss, masked grounding, visual
    contrast of two views, and score contrast (ours). A batch holds pairs, images or texts; an objective is computed
    where its inputs are there and its weight is not 0.

    In training with several processes (every rank the same kind of batch, equal rows) features are gathered with
    gradient and counts are shared, so that the mean of the ranks' losses is the loss of the whole batch. Negatives for
    matching come from the rank's own rows, or from all with `config.matching_negatives = "global"`.
    """

    objectives = (
        "mlm",
        "matching",
        "contrastive",
        "grounding",
        "masked_grounding",
        "visual_contrastive",
        "score_contrast",
    )
    accepts_loss_kwargs = False  # the sum of means of different kinds ignores `num_items_in_batch`
    _tied_weights_keys = {
        **Unimo2LanguageHeadModel._tied_weights_keys,
        "masked_grounding_head.decoder.weight": "unimo2.dictionary.embeddings.weight",
    }

    def __init__(self, config: Unimo2Config):
        super().__init__(config)
        self.itm_dropout = nn.Dropout(config.grounded_config.attention_probs_dropout_prob)
        self.itm_head = nn.Linear(config.grounded_config.hidden_size, 2)
        if config.grounding_method != "none":
            self.masked_grounding_head = Unimo2PredictionHead(config, config.dictionary_size)
        self.post_init()

    def get_expanded_tied_weights_keys(self, all_submodels: bool = False) -> dict[str, str]:
        # Two ties with a switch each; transformers knows `tie_word_embeddings` only.
        if all_submodels:
            return super().get_expanded_tied_weights_keys(all_submodels=True)
        tie_dictionary = self.config.tie_dictionary and self.config.grounding_method != "none"
        switches = {"lm_head": self.config.tie_word_embeddings, "masked_grounding_head": tie_dictionary}
        return {target: source for target, source in self._tied_weights_keys.items() if switches[target.split(".")[0]]}

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        interpolate_pos_encoding: bool = True,
        labels: torch.LongTensor | None = None,
        matching_labels: torch.LongTensor | None = None,
        masked_input_ids: torch.LongTensor | None = None,
        second_pixel_values: torch.FloatTensor | None = None,
        grounded_token_mask: torch.BoolTensor | None = None,
        objective_weights: dict[str, float] | None = None,
        matching_hardness: float | None = None,
        seed: int = 0,
        step: int = 0,
        chunk_size: int | None = None,
        return_loss: bool = True,
        **kwargs: Unpack[TransformersKwargs],
    ) -> Unimo2ForPreTrainingOutput:
        r"""
        Args:
            input_ids, attention_mask, position_ids, inputs_embeds, pixel_values, interpolate_pos_encoding: See
                [`Unimo2Model.forward`].
            labels (`(B, L)`, *optional*): Ids of the masked words, -100 elsewhere. Words of rows with matching label 0
                do not count.
            matching_labels (`(B,)`, *optional*): 1 where image and text belong together, 0 where not, -100 where the
                row is no pair. Without them every row is a pair, and matching draws a wrong partner for each: a text
                for one row, an image for the next, never one with the same words. Only the fusion encoder runs again.
            masked_input_ids (`(B, L)`, *optional*): The texts with words masked, for a pass of their own through text
                and fusion encoder; all else then sees `input_ids` whole. By default `input_ids` are masked already.
            second_pixel_values (`(B, 3, height, width)`, *optional*): Another view of each image, for visual contrast.
            grounded_token_mask (`(B, G)`, bool, *optional*): Grounded tokens to hide and predict. Drawn at random in
                training when `config.grounding_mask_ratio` is set.
            objective_weights (`dict[str, float]`, *optional*): Weights of losses by name, instead of those of the
                configuration: what a schedule of objectives sets from step to step.
            matching_hardness (`float`, *optional*): Instead of `config.matching_hardness`.
            seed, step (`int`, default to 0): What the drawing of wrong partners depends on, beside the row.
            chunk_size (`int`, *optional*): Rows that go through an encoder at a time: gradient caching, see
                [`~Unimo2Model.encode_image`]. For batches of which the fusion encoder sees few rows
                (`config.fusion_share`) or none.
            return_loss (`bool`, defaults to `True`): Whether to compute losses.
        """
        model, config = self.unimo2, self.config
        image = text = None
        if pixel_values is not None:
            image = model.encode_image(pixel_values, interpolate_pos_encoding, chunk_size, **kwargs)
        if _words(input_ids, inputs_embeds) is not None:
            text = model.encode_text(input_ids, attention_mask, position_ids, inputs_embeds, chunk_size, **kwargs)
        if image is None and text is None:
            raise ValueError("Unimo2ForPreTraining needs `input_ids` (or `inputs_embeds`), `pixel_values`, or both.")

        # In training only what a loss asks for is computed: without words to predict and pairs to judge the fusion
        # encoder rests, which is most of the cost.
        weights = self._weights(objective_weights)
        everything = not (self.training and return_loss)
        across = self.training and world_size() > 1
        predict = text is not None and (everything or (labels is not None and weights["mlm"] != 0))
        judge = image is not None and text is not None and (everything or weights["matching"] != 0)
        ask_grounding = config.grounding_method != "none" and return_loss and weights["grounding"] != 0
        # What follows is about the rows that reach the fusion encoder; the unfused encodings stay whole.
        rows = None
        if not everything and image is not None and text is not None and (judge or predict):
            rows = self._fused_rows(text.last_hidden_state)
        fused_image, fused_text = _take_rows(image, rows), _take_rows(text, rows)
        grounded_token_mask = self._draw_grounded_token_mask(fused_image, fused_text, grounded_token_mask, rows)
        fuse = judge or (predict and masked_input_ids is None) or grounded_token_mask is not None or everything
        outputs = model.ground(
            fused_image,
            fused_text,
            grounded_token_mask=grounded_token_mask,
            fuse=fuse,
            across_ranks=across,
            pooled_only=not everything and not (predict and masked_input_ids is None) and grounded_token_mask is None,
            return_grounding_loss=ask_grounding and rows is None,
            **kwargs,
        )
        grounding_loss = outputs.grounding_loss
        if ask_grounding and rows is not None:
            grounding_loss = model.ground(image, text, fuse=False, across_ranks=across).grounding_loss

        mlm_logits = matching_logits = logits_per_image = masked_grounding_logits = None
        if predict and masked_input_ids is not None:
            masked_text = model.encode_text(
                _at(masked_input_ids, rows),
                _at(attention_mask, rows),
                _at(position_ids, rows),
                chunk_size=chunk_size,
                **kwargs,
            )
            masked = model.ground(fused_image, masked_text, return_grounding_loss=False, **kwargs)
            mlm_logits = self.lm_head(masked.text_last_hidden_state)
        elif predict:
            mlm_logits = self.lm_head(outputs.text_last_hidden_state)
        if judge:
            matching_logits = self._matching_logits(outputs)
        if image is not None and text is not None:
            logits_per_image = model.contrastive.logits(model.image_features(image), model.text_features(text))
        if grounded_token_mask is not None:
            masked_grounding_logits = self.masked_grounding_head(outputs.grounded_last_hidden_state)

        def wanted(name: str, *needed: torch.Tensor | None) -> bool:
            return return_loss and weights[name] != 0 and all(x is not None for x in needed)

        losses, counts = {}, {}
        if wanted("mlm", labels, mlm_logits):
            if matching_labels is not None:
                labels = labels.masked_fill((matching_labels == 0)[:, None], -100)
            labels = _at(labels, rows)
            losses["mlm"] = masked_language_modeling_loss(mlm_logits, labels, across_ranks=across)
            counts["mlm"] = (labels != -100).sum()
        if wanted("matching", matching_logits):
            if matching_labels is None:
                hardness = config.matching_hardness if matching_hardness is None else matching_hardness
                keys = text_keys(_words(input_ids, inputs_embeds), attention_mask)
                wrong, wrong_labels = self._draw_wrong_pairs(image, text, rows, keys, hardness, seed, step)
                judged = (torch.cat((matching_logits, wrong)), wrong_labels)
            else:
                judged = (matching_logits, _at(matching_labels, rows))
            losses["matching"] = matching_loss(*judged, across_ranks=across)
            counts["matching"] = (judged[1] != -100).sum()
        pair_mask = matching_labels == 1 if matching_labels is not None else None
        num_rows = torch.tensor((image if text is None else text).last_hidden_state.shape[0], device=self.device)
        num_pairs = num_rows if pair_mask is None else pair_mask.sum()
        if wanted("contrastive", logits_per_image):
            losses["contrastive"] = self._contrastive_loss(image, text, logits_per_image, pair_mask, across)
            counts["contrastive"] = num_pairs
        if wanted("score_contrast", image, text) and config.grounding_method != "none":
            losses["score_contrast"] = self._score_contrast_loss(image, text, pair_mask, across)
            counts["score_contrast"] = num_pairs
        if wanted("visual_contrastive", image, second_pixel_values):
            second = model.encode_image(second_pixel_values, interpolate_pos_encoding, chunk_size, **kwargs)
            losses["visual_contrastive"] = visual_contrastive_loss(
                model.image_features(image), model.image_features(second), across_ranks=across
            )
            counts["visual_contrastive"] = num_rows
        if wanted("grounding", grounding_loss):
            losses["grounding"] = grounding_loss
            counts["grounding"] = sum(part.dictionary_mask.sum() for part in (image, text) if part is not None)
        if wanted("masked_grounding", masked_grounding_logits):
            losses["masked_grounding"] = masked_grounding_loss(
                masked_grounding_logits, outputs.grounded_token_ids, grounded_token_mask, across_ranks=across
            )
            counts["masked_grounding"] = grounded_token_mask.sum()
        return Unimo2ForPreTrainingOutput(
            loss=sum(weights[name] * loss for name, loss in losses.items()) if losses else None,
            losses=losses or None,
            counts=counts or None,
            mlm_logits=mlm_logits,
            matching_logits=matching_logits,
            logits_per_image=logits_per_image,
            logits_per_text=logits_per_image.t() if logits_per_image is not None else None,
            masked_grounding_logits=masked_grounding_logits,
            grounded_token_ids=outputs.grounded_token_ids,
            image_pooler_output=outputs.image_pooler_output,
            text_pooler_output=outputs.text_pooler_output,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    def _weights(self, given: dict[str, float] | None) -> dict[str, float]:
        unknown = set(given or ()) - set(self.objectives)
        if unknown:
            raise ValueError(f"`objective_weights` names {sorted(unknown)}, but knows {', '.join(self.objectives)}.")
        return {name: getattr(self.config, f"{name}_weight") for name in self.objectives} | (given or {})

    def _fused_rows(self, states: torch.Tensor) -> torch.Tensor | None:
        """Which rows of `states` reach the fusion encoder, spread evenly over those of all ranks; None for all."""
        share, number = self.config.fusion_share, states.shape[0]
        if share == 1:
            return None
        first = rank() * number
        chosen = [row for row in range(number) if _num_even(first + row + 1, share) > _num_even(first + row, share)]
        return torch.tensor(chosen, dtype=torch.long, device=states.device)

    def _score_contrast_loss(
        self,
        image: Unimo2EncoderOutput,
        text: Unimo2EncoderOutput,
        pair_mask: torch.Tensor | None,
        across: bool,
    ) -> torch.Tensor:
        def mean_scores(part: Unimo2EncoderOutput) -> torch.Tensor:
            mask = part.dictionary_mask.bool()
            return self.unimo2.dictionary.score(part.dictionary_tokens, mask) / mask.sum(1, keepdim=True).clamp(min=1)

        return score_contrast_loss(mean_scores(image), mean_scores(text), pair_mask, across_ranks=across)

    def _draw_grounded_token_mask(
        self,
        image: Unimo2EncoderOutput | None,
        text: Unimo2EncoderOutput | None,
        given: torch.Tensor | None,
        rows: torch.Tensor | None,
    ) -> torch.Tensor | None:
        """The given mask, or in training a random one over the grounded tokens (first implementation: ratio 0.15)."""
        if self.config.grounding_method == "none":
            return None
        if given is not None or not (self.training and self.config.grounding_mask_ratio):
            return _at(given, rows)
        masks = torch.cat([part.dictionary_mask for part in (image, text) if part is not None], dim=1).bool()
        if self.config.grounding_method == "topk":
            masks = masks.new_ones(masks.shape[0], self.config.num_grounded_tokens)
        return masks & (torch.rand(masks.shape, device=masks.device) < self.config.grounding_mask_ratio)


class Unimo2ForMaskedLM(Unimo2LanguageHeadModel):
    """UNIMO-2 with the language head on the text states; the words may lean on a picture."""

    def __init__(self, config: Unimo2Config):
        super().__init__(config)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        interpolate_pos_encoding: bool = True,
        labels: torch.LongTensor | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> MaskedLMOutput:
        r"""
        Args:
            input_ids, attention_mask, position_ids, inputs_embeds, pixel_values, interpolate_pos_encoding: See
                [`Unimo2Model.forward`]; the text is needed.
            labels (`(B, L)`, *optional*): Ids of the masked words, -100 elsewhere.
            num_items_in_batch (*optional*): Divisor of the loss, given by `Trainer` when it accumulates.
        """
        self._needs(input_ids=_words(input_ids, inputs_embeds))
        outputs = self.unimo2(
            input_ids,
            attention_mask,
            position_ids,
            inputs_embeds,
            pixel_values,
            interpolate_pos_encoding,
            return_dict=True,
            **kwargs,
        )
        logits = self.lm_head(outputs.text_last_hidden_state)
        loss = None
        if labels is not None:
            loss = masked_language_modeling_loss(logits, labels, num_items_in_batch=num_items_in_batch)
        return MaskedLMOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )


class Unimo2ForImageTextRetrieval(Unimo2MatchingModel):
    """
    UNIMO-2 for retrieval: contrastive scores of every image with every text, and for images and texts that come in
    pairs the matching score of the fused pair, as the first implementation ranks them.
    """

    accepts_loss_kwargs = False  # a batch's contrast has no count of items

    def __init__(self, config: Unimo2Config):
        super().__init__(config)
        self.itm_dropout = nn.Dropout(config.grounded_config.attention_probs_dropout_prob)
        self.itm_head = nn.Linear(config.grounded_config.hidden_size, 2)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        interpolate_pos_encoding: bool = True,
        image_index: torch.LongTensor | None = None,
        text_index: torch.LongTensor | None = None,
        labels: torch.LongTensor | None = None,
        return_loss: bool | None = None,
        matching_hardness: float | None = None,
        seed: int = 0,
        step: int = 0,
        **kwargs: Unpack[TransformersKwargs],
    ) -> Unimo2RetrievalOutput:
        r"""
        Args:
            input_ids, attention_mask, position_ids, inputs_embeds, pixel_values, interpolate_pos_encoding: See
                [`Unimo2Model.forward`]; both image and text are needed. As many images as texts are pairs; other
                numbers get contrastive scores only, unless the indices say which go together.
            image_index, text_index (`(P,)` or `(groups, 1 + 2 n)`, *optional*): The image and the text of each pair;
                every image and text is encoded once. A group is a pair, n wrong images for its text, and n wrong texts
                for its image.
            labels (`(B,)`, *optional*): 1 where image and text of a row belong together, 0 where not.
            return_loss (`bool`, *optional*): Whether to compute the loss without `labels`: of groups the circle loss
                of the first implementation; else every row is a pair, and the loss is contrast, and matching with a
                wrong partner drawn for each as in [`Unimo2ForPreTraining`].
            matching_hardness (`float`, *optional*), seed, step (`int`): See [`Unimo2ForPreTraining.forward`].
        """
        words = _words(input_ids, inputs_embeds)
        self._needs(input_ids=words, pixel_values=pixel_values)
        model = self.unimo2
        image = model.encode_image(pixel_values, interpolate_pos_encoding, **kwargs)
        text = model.encode_text(input_ids, attention_mask, position_ids, inputs_embeds, **kwargs)
        logits_per_image = model.contrastive.logits(model.image_features(image), model.text_features(text))
        num_images, num_texts = logits_per_image.shape
        given = image_index is not None and text_index is not None
        if not given and num_images != num_texts:
            if labels is not None or return_loss:
                raise ValueError(
                    f"The loss is one of pairs, but there are {num_images} images and {num_texts} texts, without "
                    "`image_index` and `text_index` that pair them."
                )
            return Unimo2RetrievalOutput(logits_per_image=logits_per_image, logits_per_text=logits_per_image.t())

        across = self.training and world_size() > 1
        if self.training and return_loss and labels is None and not given and not self.config.matching_weight:
            # Nothing judges the fused pairs, and the fusion encoder is most of the cost.
            contrast = self._contrastive_loss(image, text, logits_per_image, None, across)
            return Unimo2RetrievalOutput(
                loss=self.config.contrastive_weight * contrast,
                logits_per_image=logits_per_image,
                logits_per_text=logits_per_image.t(),
            )

        images, texts = (image_index.flatten(), text_index.flatten()) if given else (None, None)
        output = self.match_pairs(_take_rows(image, images), _take_rows(text, texts), **kwargs)
        loss = None
        if labels is not None:
            contrast = contrastive_loss(
                logits_per_image,
                logits_per_image.t(),
                labels == 1,
                mean=self.config.contrastive_mean,
                label_smoothing=self.config.contrastive_label_smoothing,
            )
            loss = matching_loss(output.itm_logits, labels) + contrast
        elif return_loss and given:
            loss = self._circle_loss(output.logits.view(image_index.shape))
        elif return_loss:
            hardness = self.config.matching_hardness if matching_hardness is None else matching_hardness
            keys = text_keys(words, attention_mask)
            wrong, wrong_labels = self._draw_wrong_pairs(image, text, None, keys, hardness, seed, step)
            matching = matching_loss(torch.cat((output.itm_logits, wrong)), wrong_labels, across_ranks=across)
            contrast = self._contrastive_loss(image, text, logits_per_image, None, across)
            loss = self.config.matching_weight * matching + self.config.contrastive_weight * contrast
        scores = {"logits_per_image": logits_per_image, "logits_per_text": logits_per_image.t()}
        return Unimo2RetrievalOutput(**{"loss": loss, **output, **scores})

    def _circle_loss(self, scores: torch.Tensor) -> torch.Tensor:
        """Mean of the loss against wrong images and that against wrong texts."""
        if scores.dim() != 2 or scores.shape[1] < 3 or not scores.shape[1] % 2:
            raise ValueError(
                f"The indices have shape {tuple(scores.shape)}, but the loss needs (groups, 1 + 2 n): a pair, n wrong "
                "images and n wrong texts."
            )
        settings = {"margin": self.config.circle_margin, "scale": self.config.circle_scale}
        positive, wrong_images, wrong_texts = scores.split((1, *[scores.shape[1] // 2] * 2), dim=1)
        return (circle_loss(positive, wrong_images, **settings) + circle_loss(positive, wrong_texts, **settings)) / 2


class Unimo2ClassifierModel(Unimo2HeadModel):
    """A linear classifier on a pooled vector, with dropout before it."""

    accepts_loss_kwargs = False  # means over rows, and scores and numbers among the labels have no count of items

    def __init__(self, config: Unimo2Config):
        super().__init__(config)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(self._pooled_size(config), config.num_labels)
        self.loss_type = "ForSequenceClassification"  # regression, one label or several, by `config.problem_type`
        self.post_init()

    @staticmethod
    def _pooled_size(config: Unimo2Config) -> int:
        return config.grounded_config.hidden_size

    def _classify(
        self,
        output_class: type,
        outputs: Unimo2ModelOutput,
        pooled: torch.Tensor,
        labels: torch.Tensor | None,
        **kwargs,
    ):
        logits = self.classifier(self.dropout(pooled))
        loss = None
        if labels is not None:
            loss = self.loss_function(labels=labels, pooled_logits=logits, config=self.config, **kwargs)
        return output_class(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )


class Unimo2ForImageClassification(Unimo2ClassifierModel):
    """UNIMO-2 with a classifier on the pooled image."""

    main_input_name = "pixel_values"
    input_modalities = ("image",)

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.FloatTensor | None = None,
        interpolate_pos_encoding: bool = True,
        labels: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> ImageClassifierOutput:
        r"""
        Args:
            pixel_values, interpolate_pos_encoding: See [`Unimo2Model.forward`].
            labels (`(B,)` or `(B, num_labels)`, *optional*): Classes, values or class indicators; see `problem_type`.
        """
        self._needs(pixel_values=pixel_values)
        outputs = self.unimo2(
            pixel_values=pixel_values,
            interpolate_pos_encoding=interpolate_pos_encoding,
            pooled_only=not self._records(kwargs),
            return_dict=True,
            **kwargs,
        )
        return self._classify(ImageClassifierOutput, outputs, outputs.image_pooler_output, labels, **kwargs)


class Unimo2ForSequenceClassification(Unimo2ClassifierModel):
    """UNIMO-2 with a classifier or regressor on the pooled text: single texts or pairs of texts (GLUE)."""

    input_modalities = ("text",)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> SequenceClassifierOutput:
        r"""
        Args:
            input_ids, attention_mask, position_ids, inputs_embeds: See [`Unimo2Model.forward`].
            labels (`(B,)` or `(B, num_labels)`, *optional*): Classes, values or class indicators; see `problem_type`.
        """
        self._needs(input_ids=_words(input_ids, inputs_embeds))
        outputs = self.unimo2(
            input_ids,
            attention_mask,
            position_ids,
            inputs_embeds,
            pooled_only=not self._records(kwargs),
            return_dict=True,
            **kwargs,
        )
        return self._classify(SequenceClassifierOutput, outputs, outputs.text_pooler_output, labels, **kwargs)


class Unimo2ForImageTextClassification(Unimo2ClassifierModel):
    """
    UNIMO-2 with a classifier on the fused pair: visual entailment and its like.

    With `config.num_images=2` a text is about two images (NLVR2): each is fused with the text on its own, and the
    classifier sees both fused vectors, one after the other.
    """

    @staticmethod
    def _pooled_size(config: Unimo2Config) -> int:
        return config.num_images * config.grounded_config.hidden_size

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        interpolate_pos_encoding: bool = True,
        image_index: torch.LongTensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> SequenceClassifierOutput:
        r"""
        Args:
            input_ids, attention_mask, position_ids, inputs_embeds, interpolate_pos_encoding, image_index: See
                [`Unimo2Model.forward`]; `image_index` with `config.num_images=1` only.
            pixel_values (`(B, 3, height, width)`, or `(B, 2, 3, height, width)` with `config.num_images=2`): Images,
                RGB in [-1, 1]. With two images the output's hidden states and attentions are (B, 2, ...) too.
            labels (`(B,)` or `(B, num_labels)`, *optional*): Classes, values or class indicators; see `problem_type`.
        """
        words = _words(input_ids, inputs_embeds)
        self._needs(input_ids=words, pixel_values=pixel_values)
        self._check_images(pixel_values, words)
        if self.config.num_images == 1:
            outputs = self.unimo2(
                input_ids,
                attention_mask,
                position_ids,
                inputs_embeds,
                pixel_values,
                interpolate_pos_encoding,
                image_index,
                pooled_only=not self._records(kwargs),
                return_dict=True,
                **kwargs,
            )
            pooled = self._fuse_poolers(outputs)
        else:
            text = self.unimo2.encode_text(input_ids, attention_mask, position_ids, inputs_embeds, **kwargs)
            outputs = self._fuse_each(pixel_values, interpolate_pos_encoding, text, **kwargs)
            pooled = self._fuse_poolers(outputs).reshape(-1, self._pooled_size(self.config))
        return self._classify(SequenceClassifierOutput, outputs, pooled, labels, **kwargs)

    def _check_images(self, pixel_values: torch.Tensor, words: torch.Tensor) -> None:
        number, shape = self.config.num_images, tuple(pixel_values.shape)
        if number == 1 and len(shape) == 4:
            return
        if number > 1 and len(shape) == 5 and shape[1] == number and shape[0] == words.shape[0]:
            return
        expected = f"({words.shape[0]}, {f'{number}, ' if number > 1 else ''}{self.config.vision_config.num_channels}"
        raise ValueError(
            f"`pixel_values` has shape {shape}, but {words.shape[0]} texts and `config.num_images` {number} need "
            f"{expected}, height, width)."
        )

    def _fuse_each(
        self, pixel_values: torch.Tensor, interpolate_pos_encoding: bool, text: Unimo2EncoderOutput, **kwargs
    ) -> Unimo2ModelOutput:
        """Fuses every image with the text of its row: rows are images, those of a text next to each other."""
        number = self.config.num_images
        image = self.unimo2.encode_image(pixel_values.flatten(0, 1), interpolate_pos_encoding, **kwargs)
        text = _each_tensor(text, lambda value: value.repeat_interleave(number, dim=0))
        outputs = self.unimo2.ground(
            image, text, pooled_only=not self._records(kwargs), return_grounding_loss=False, **kwargs
        )
        for name in ("hidden_states", "attentions"):
            if name in outputs:
                outputs[name] = tuple(value.unflatten(0, (-1, number)) for value in outputs[name])
        return outputs


class Unimo2ForVisualQuestionAnswering(Unimo2ForImageTextClassification):
    """
    UNIMO-2 with a classifier over an answer vocabulary. Labels are soft scores (Goyal et al., 2017): the share of
    people who gave an answer. The loss is binary cross-entropy summed over the answers, mean over the rows.
    """

    def _classify(
        self,
        output_class: type,
        outputs: Unimo2ModelOutput,
        pooled: torch.Tensor,
        labels: torch.Tensor | None,
        **kwargs,
    ):
        output = super()._classify(output_class, outputs, pooled, None)
        if labels is not None:
            if labels.shape != output.logits.shape:
                raise ValueError(
                    f"`labels` must be scores of shape {tuple(output.logits.shape)}, but have "
                    f"shape {tuple(labels.shape)}."
                )
            loss = F.binary_cross_entropy_with_logits(output.logits.float(), labels.float())
            output.loss = loss * self.config.num_labels
        return output


class Unimo2ForConditionalGeneration(Unimo2LanguageHeadModel, GenerationMixin):
    """
    UNIMO-2 for captioning (section 4.1; first implementation): text sees the image, the grounded tokens and the words
    before it; the dictionary and the image see no text. Object tags may stand before the caption; they see each other
    both ways.

    The cache of `generate` holds the keys of the text encoder's layers, then those of the fusion encoder's, whose
    prefix of image and grounded tokens is filled once. Its length grows, so only a `DynamicCache` serves.

    `generate(..., custom_generate=model.official_beam_search)` searches as the first implementation did.
    """

    official_beam_search = staticmethod(official_beam_search)

    def __init__(self, config: Unimo2Config):
        super().__init__(config)
        self.post_init()

    @merge_with_config_defaults
    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        interpolate_pos_encoding: bool = True,
        token_type_ids: torch.LongTensor | None = None,
        labels: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        image_index: torch.LongTensor | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        fusion_attention_mask: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> CausalLMOutputWithPast:
        r"""
        Args:
            input_ids (`(B, L)`) or inputs_embeds (`(B, L, H)`): Object tags, if any, then the caption so far.
            attention_mask (`(B, past + L)`, *optional*): 1 for words, 0 for padding on either side.
            position_ids (`(B, L)`, *optional*): Rows of the position table. By default tags and caption count up from
                `config.text_config.position_offset` each.
            pixel_values (`(B, 3, height, width)`), interpolate_pos_encoding: Images; needed unless `past_key_values`
                has them.
            token_type_ids (`(B, L)`, *optional*): 0 for object tags, 1 for the caption; all caption by default.
            labels (`(B, L)`, *optional*): The input ids where a word is a target (the shift happens here), -100
                elsewhere.
            past_key_values (`DynamicCache`, *optional*), use_cache (`bool`, *optional*), logits_to_keep (`int`): As
                usual in generation.
            image_index (`(B,)`, *optional*): The image of each caption, see [`Unimo2Model.forward`].
            num_items_in_batch (*optional*): Divisor of the loss, given by `Trainer` when it accumulates.
            fusion_attention_mask (`(B, past + L)`, *optional*): In place of `attention_mask` for the fusion encoder.
        """
        # Targets that `Trainer` shifted because it splits sequences over devices. Not an argument by name: `Trainer`
        # would take it for a label that every evaluation batch must have.
        shift_labels = kwargs.pop("shift_labels", None)
        words = _words(input_ids, inputs_embeds)
        self._needs(input_ids=words)
        if past_key_values is not None and not isinstance(past_key_values, DynamicCache):
            raise ValueError(_CACHE_REFUSED.format(type(past_key_values).__name__))
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache()  # without a config: text and fusion layers are added as they come
        model = self.unimo2
        past_length = past_key_values.get_seq_length() if past_key_values is not None else 0

        prefix = None
        if past_length == 0:
            self._needs(pixel_values=pixel_values)
            prefix = self._prefix(pixel_values, interpolate_pos_encoding, **kwargs)
            prefix = _at(prefix, image_index)
            prefix_length = prefix.shape[1]
        else:
            first_fusion_layer = self.config.text_config.num_hidden_layers
            prefix_length = past_key_values.get_seq_length(first_fusion_layer) - past_length

        if position_ids is None:
            position_ids = self._position_ids(words, attention_mask, token_type_ids, past_length)
        text_allowed = self._text_allowed(words, attention_mask, token_type_ids, past_length)
        text_states = model.text_model(
            input_ids,
            attention_mask=self._mask(text_allowed, self.config.text_config),
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            past_key_values=past_key_values,
            **kwargs,
        ).last_hidden_state
        if fusion_attention_mask is not None:
            text_allowed = self._text_allowed(words, fusion_attention_mask, token_type_ids, past_length)
        allowed = F.pad(text_allowed, (prefix_length, 0), value=True)
        if prefix is not None:
            no_text = torch.arange(allowed.shape[-1], device=allowed.device) < prefix_length
            allowed = torch.cat((no_text.expand(allowed.shape[0], 1, prefix_length, -1), allowed), dim=2)
            text_states = torch.cat((prefix, text_states), dim=1)
        outputs = model.grounded_model(
            text_states,
            attention_mask=self._mask(allowed, self.config.grounded_config),
            past_key_values=past_key_values,
            **kwargs,
        )
        hidden_states = outputs.last_hidden_state[:, -words.shape[1] :]
        logits = self.lm_head(slice_logits_to_keep(hidden_states, logits_to_keep))
        loss = None
        if labels is not None or shift_labels is not None:
            loss = captioning_loss(
                logits,
                labels,
                shift_labels=shift_labels,
                label_smoothing=self.config.caption_label_smoothing,
                num_items_in_batch=num_items_in_batch,
            )
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    def _prefix(self, pixel_values: torch.Tensor, interpolate_pos_encoding: bool, **kwargs) -> torch.Tensor:
        """Image states and the grounded tokens that the image alone chose: (B, I + G, H)."""
        model = self.unimo2
        image = model.encode_image(pixel_values, interpolate_pos_encoding, **kwargs)
        if self.config.grounding_method == "none":
            return image.last_hidden_state
        grounded_token_ids = model._choose([image], image.dictionary_tokens)
        grounded = model.grounded_embeddings(model.dictionary.embeddings(grounded_token_ids))
        return torch.cat((image.last_hidden_state, grounded), dim=1)

    def _mask(self, allowed: torch.Tensor, config: Unimo2TextConfig | Unimo2GroundedConfig) -> torch.Tensor:
        return to_attention_mask(allowed, config, self.dtype, self.config.official_padding)

    def _text_allowed(
        self,
        words: torch.Tensor,
        attention_mask: torch.Tensor | None,
        token_type_ids: torch.Tensor | None,
        past_length: int,
    ) -> torch.Tensor:
        """Which earlier words (and, among object tags, later ones) each new word may see: bool (B, 1, L, past + L)."""
        batch_size, length = words.shape[:2]
        place = torch.arange(past_length + length, device=words.device)
        allowed = (place[None, :] <= place[past_length:, None]).expand(batch_size, length, -1)
        if token_type_ids is not None:
            is_tag = token_type_ids == 0
            allowed = allowed | F.pad(is_tag[:, :, None] & is_tag[:, None, :], (past_length, 0))
        if attention_mask is not None:
            allowed = allowed & attention_mask[:, None, :].bool()
            if self.config.official_padding:
                allowed = allowed & attention_mask[:, past_length:, None].bool()
        return allowed[:, None]

    def _position_ids(
        self,
        words: torch.Tensor,
        attention_mask: torch.Tensor | None,
        token_type_ids: torch.Tensor | None,
        past_length: int,
    ) -> torch.Tensor:
        """Positions (B, L) of the last L words; tags and caption count on their own."""
        batch_size, length = words.shape[:2]
        if attention_mask is None:
            attention_mask = words.new_ones((batch_size, past_length + length), dtype=torch.long)
        real = attention_mask.long()
        offset = self.config.text_config.position_offset
        positions = text_position_ids(real, offset)
        if token_type_ids is not None:
            if token_type_ids.shape[1] != real.shape[1]:
                raise ValueError(
                    f"`token_type_ids` covers {token_type_ids.shape[1]} of {real.shape[1]} words, so the tags among "
                    "the cached ones cannot be counted: pass `position_ids`."
                )
            num_tags = (real * (token_type_ids == 0)).sum(1, keepdim=True)
            is_caption = real * (token_type_ids != 0)
            positions = positions - num_tags * is_caption
        return positions[:, past_length:]

    def prepare_inputs_for_generation(
        self, input_ids, attention_mask=None, token_type_ids=None, position_ids=None, **kwargs
    ):
        # `generate` counts positions from 0 over tags and caption alike; ours are counted here, over the whole text.
        position_ids = self._position_ids(input_ids, attention_mask, token_type_ids, 0)
        return super().prepare_inputs_for_generation(
            input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            **kwargs,
        )

    def _expand_inputs_for_generation(self, expand_size=1, is_encoder_decoder=False, input_ids=None, **model_kwargs):
        # Beams of a row share its image, which is encoded once.
        pixel_values = model_kwargs.pop("pixel_values", None)
        if expand_size > 1 and pixel_values is not None and model_kwargs.get("image_index") is None:
            model_kwargs["image_index"] = torch.arange(len(pixel_values), device=pixel_values.device)
        input_ids, model_kwargs = super()._expand_inputs_for_generation(
            expand_size, is_encoder_decoder, input_ids, **model_kwargs
        )
        return input_ids, model_kwargs | ({} if pixel_values is None else {"pixel_values": pixel_values})

    def _prepare_cache_for_generation(self, generation_config, model_kwargs, *args, **kwargs) -> None:
        if generation_config.cache_implementation not in (None, "dynamic"):
            raise ValueError(_CACHE_REFUSED.format(generation_config.cache_implementation))
        if generation_config.use_cache and model_kwargs.get("past_key_values") is None:
            model_kwargs["past_key_values"] = DynamicCache()
        return super()._prepare_cache_for_generation(generation_config, model_kwargs, *args, **kwargs)


_CACHE_REFUSED = (
    "Captioning keeps the keys of two encoders of different lengths, which only a DynamicCache holds; {} is refused."
)

__all__ = [
    "Unimo2ForConditionalGeneration",
    "Unimo2ForImageClassification",
    "Unimo2ForImageTextClassification",
    "Unimo2ForImageTextRetrieval",
    "Unimo2ForMaskedLM",
    "Unimo2ForPreTraining",
    "Unimo2ForSequenceClassification",
    "Unimo2ForVisualQuestionAnswering",
    "Unimo2GroundedModel",
    "Unimo2Model",
    "Unimo2PreTrainedModel",
    "Unimo2TextModel",
    "Unimo2VisionModel",
]
