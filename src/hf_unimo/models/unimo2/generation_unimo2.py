# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
The beam search of UNIMO-2's first implementation, for the captions that its numbers were measured on.

Shapes: S sources (images), b beams, R = S * b rows, V vocabulary.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F
from transformers.cache_utils import Cache
from transformers.generation import GenerateBeamDecoderOnlyOutput, GenerationConfig, LogitsProcessorList
from transformers.generation.configuration_utils import GenerationMode
from transformers.generation.stopping_criteria import StoppingCriteriaList
from transformers.modeling_utils import PreTrainedModel


TRIGRAM_PENALTY = -65000.0
"""What a candidate that repeats three words loses, for good. A beam that can only repeat goes on all the same."""


def official_beam_search(
    model: PreTrainedModel,
    input_ids: torch.LongTensor,
    logits_processor: LogitsProcessorList,
    stopping_criteria: StoppingCriteriaList,
    generation_config: GenerationConfig,
    block_trigrams: bool = False,
    word_openings: torch.Tensor | None = None,
    **model_kwargs: Any,
) -> GenerateBeamDecoderOnlyOutput | torch.LongTensor:
    r"""
    Beam search as in the first implementation, for `generate(..., custom_generate=official_beam_search)` of
    [`Unimo2ForConditionalGeneration`]. `generate` prepares the arguments without a default.

    Where it differs from the beam search of transformers: each beam proposes its `num_beams` best tokens. A score is
    divided by `((5 + length) / 6) ** length_penalty` after every token. A beam that has ended keeps its place and its
    score, and competes with those that go on; a source stops when all its beams have ended. The result is the beam
    with the highest score, ended or not.

    The other settings are those of `generate`: `num_beams`, `length_penalty`, `num_return_sequences`,
    `max_new_tokens` or `max_length`, `min_new_tokens` or `min_length`, `return_dict_in_generate`, `output_scores`,
    `output_logits`. What changes logits (e.g. `no_repeat_ngram_size`) does so before the softmax; what stops
    (e.g. `max_time`) ends a beam. Not for models that are sharded over processes, which would have to take equally
    many steps.

    With `config.official_padding` the padding among object tags is visible to the fusion encoder while it decodes, as
    in the first implementation. The caption then has to start in the same column in every row.

    Args:
        block_trigrams (`bool`, defaults to `False`): Whether three words in a row should not come twice.
        word_openings (`(V,)`, *optional*): Which tokens open a word, see [`find_word_openings`]; for
            `block_trigrams`. The caption's first token opens one in any case.

    Returns:
        Token ids `(S * num_return_sequences, length)`, best first within a source, or with `return_dict_in_generate` a
        `GenerateBeamDecoderOnlyOutput`. After its end a row is padded.

    Raises:
        ValueError: If a setting asks for something else than this search, or the inputs do not suit it.
    """
    openings = _check_settings(model, generation_config, block_trigrams, word_openings, model_kwargs)
    num_beams, length_penalty = generation_config.num_beams, generation_config.length_penalty
    wants_scores = generation_config.return_dict_in_generate and generation_config.output_scores
    wants_logits = generation_config.return_dict_in_generate and generation_config.output_logits
    rows, prompt_length = input_ids.shape
    first_row = torch.arange(0, rows, num_beams, device=input_ids.device)[:, None]  # of each source
    decoder = _CachedDecoder(model, input_ids, num_beams, **model_kwargs)
    captions = decoder.caption_prompts() if openings is not None else []

    sequences, logits = input_ids, decoder.start()
    scores = logits.new_full((len(first_row), num_beams), -torch.inf)
    scores[:, 0] = 0  # the beams of a source are still the same: only its first one counts
    ended = torch.zeros(rows, dtype=torch.bool, device=input_ids.device)
    beam_indices = input_ids.new_empty((rows, 0))
    all_scores: tuple[torch.Tensor, ...] = ()
    all_logits: tuple[torch.Tensor, ...] = ()
    for step in itertools.count():
        # Processors before the softmax: where they forbid the end, the other tokens share its probability.
        log_probs = logits_processor(sequences, logits.clone()).log_softmax(-1)
        all_scores += (log_probs,) if wants_scores else ()
        all_logits += (logits,) if wants_logits else ()
        log_probs, tokens = log_probs.topk(num_beams)  # both (R, b)

        candidates = log_probs + scores.view(-1, 1) * _norm(step, length_penalty)
        if openings is not None:
            grown = [caption + new for caption, new in zip(captions, sequences[:, prompt_length:].tolist())]
            candidates = candidates + _trigram_penalties(grown, tokens, ended, openings)
        candidates = candidates / _norm(step + 1, length_penalty)
        candidates[ended] = -torch.inf
        candidates[:, 0] = torch.where(ended, scores.flatten(), candidates[:, 0])

        scores, chosen = candidates.view(len(first_row), -1).topk(num_beams)  # both (S, b)
        parents = (first_row + chosen // num_beams).flatten()
        chosen_tokens = tokens.view(len(first_row), -1).gather(1, chosen).flatten()
        had_ended = ended[parents]
        chosen_tokens = torch.where(had_ended, generation_config._pad_token_tensor, chosen_tokens)
        sequences = torch.cat((sequences[parents], chosen_tokens[:, None]), dim=1)
        beam_indices = torch.cat((beam_indices[parents], parents.masked_fill(had_ended, -1)[:, None]), dim=1)
        ended = had_ended | stopping_criteria(sequences, all_scores or None)
        if ended.all():
            break
        logits = decoder.step(chosen_tokens, parents)

    best = (first_row + torch.arange(generation_config.num_return_sequences, device=first_row.device)).flatten()
    beam_indices = beam_indices[best]
    new_tokens = int((beam_indices >= 0).sum(1).max())
    sequences = sequences[best, : prompt_length + new_tokens]
    if not generation_config.return_dict_in_generate:
        return sequences
    return GenerateBeamDecoderOnlyOutput(
        sequences=sequences,
        sequences_scores=scores.flatten()[best] if wants_scores else None,
        scores=all_scores if wants_scores else None,
        logits=all_logits if wants_logits else None,
        beam_indices=beam_indices[:, :new_tokens] if wants_scores else None,
        past_key_values=decoder.cache,
    )


def find_word_openings(tokenizer: Any, vocab_size: int | None = None) -> torch.Tensor:
    """
    Which tokens open a word: those whose text begins with a blank. Bool `(V,)`.

    Args:
        tokenizer: Whose `batch_decode` keeps that blank, as that of [`Unimo2Tokenizer`] does.
        vocab_size (`int`, *optional*): V, by default `len(tokenizer)`. Ids that the tokenizer lacks open none.

    Raises:
        ValueError: If the tokenizer has more than `vocab_size` tokens.
    """
    vocab_size = len(tokenizer) if vocab_size is None else vocab_size
    if len(tokenizer) > vocab_size:
        raise ValueError(f"The tokenizer has {len(tokenizer)} tokens, but `vocab_size` is {vocab_size}.")
    texts = tokenizer.batch_decode([[token] for token in range(len(tokenizer))], clean_up_tokenization_spaces=False)
    return torch.tensor([text.startswith(" ") for text in texts] + [False] * (vocab_size - len(texts)))


def _norm(length: int, length_penalty: float) -> float:
    return ((5 + length) / 6) ** length_penalty


def _check_settings(
    model: PreTrainedModel,
    settings: GenerationConfig,
    block_trigrams: bool,
    word_openings: torch.Tensor | None,
    model_kwargs: dict[str, Any],
) -> list[bool] | None:
    """Refuses what this search does not do. Returns which tokens open a word, if trigrams are blocked."""
    if not isinstance(settings.num_beams, int) or settings.num_beams < 1:
        raise ValueError(f"`num_beams` must be an integer of at least 1, but is {settings.num_beams!r}.")
    mode = settings.get_generation_mode()
    if mode not in (GenerationMode.GREEDY_SEARCH, GenerationMode.BEAM_SEARCH):
        raise ValueError(
            f"`official_beam_search` is a search of its own, but the generation settings ask for {mode.value}; leave "
            "out `do_sample` and whatever else asks for it."
        )
    vocab_size = model.config.get_text_config().vocab_size
    if settings.num_beams > vocab_size:
        raise ValueError(f"`num_beams` is {settings.num_beams}, but there are only {vocab_size} tokens.")
    if settings.early_stopping:
        raise ValueError(
            f"`early_stopping` is {settings.early_stopping!r}, but `official_beam_search` always stops when all beams "
            "have ended; leave it False."
        )
    if settings.output_attentions or settings.output_hidden_states:
        raise ValueError("`official_beam_search` returns neither attentions nor hidden states; leave them out.")
    if settings._pad_token_tensor is None:
        raise ValueError("`official_beam_search` needs a `pad_token_id` or an `eos_token_id` to fill ended rows.")
    cache = model_kwargs.get("past_key_values")
    if cache is None or cache.get_seq_length():
        raise ValueError(
            "`official_beam_search` fills a cache of its own, so leave `use_cache` True and `past_key_values` out."
        )
    if not block_trigrams:
        return None
    if word_openings is None:
        raise ValueError(
            "`block_trigrams` needs `word_openings`, which tokens open a word: pass `find_word_openings(tokenizer)`."
        )
    openings = torch.as_tensor(word_openings)
    if openings.shape != (vocab_size,):
        raise ValueError(f"`word_openings` has shape {tuple(openings.shape)}; expected ({vocab_size},), one a token.")
    return openings.bool().tolist()


class _CachedDecoder:
    """
    The model's logits for the next token of every row, over one cache.

    A source is encoded once, whatever the number of its beams.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        input_ids: torch.LongTensor,
        num_beams: int,
        past_key_values: Cache,
        pixel_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.LongTensor | None = None,
        position_ids: torch.LongTensor | None = None,  # of `generate`, which counts tags and caption alike
        image_index: torch.LongTensor | None = None,
        use_cache: bool = True,
        **inputs: Any,
    ):
        def of_sources(repeated: torch.Tensor | None) -> torch.Tensor | None:
            return None if repeated is None else repeated[::num_beams].to(model.device)

        self.model, self.num_beams, self.cache, self.inputs = model, num_beams, past_key_values, inputs
        self.device = input_ids.device
        self.steps = 0
        self.input_ids, self.image_index = of_sources(input_ids), of_sources(image_index)
        # With an index there is a picture for each image, without one for each row.
        self.pixel_values = of_sources(pixel_values) if image_index is None else pixel_values
        self.mask, self.types = of_sources(attention_mask), of_sources(token_type_ids)
        if self.types is not None and (self.types[:, -1] == 0).any():
            raise ValueError(
                "The last of `token_type_ids` must be 1 in every row, for the token that the caption starts with, but "
                "some end with an object tag."
            )
        self.positions = model._position_ids(self.input_ids, self.mask, self.types, 0)
        self.start_column = self._official_start_column()
        self.fusion_mask = None
        if self.start_column:
            self.fusion_mask = self.mask.clone()
            self.fusion_mask[:, : self.start_column] = 1

    def _is_caption(self) -> torch.Tensor:
        """Bool (S, prompt): neither tag nor padding."""
        is_caption = torch.ones_like(self.input_ids, dtype=torch.bool)
        for part in (self.mask, self.types):
            is_caption = is_caption if part is None else is_caption & (part != 0)
        return is_caption

    def _official_start_column(self) -> int:
        """Where the captions start, if the padding among the tags before them is to be seen as officially; or 0."""
        if self.mask is None or self.types is None or not self.model.config.official_padding:
            return 0
        columns = self._is_caption().int().argmax(1)
        if (columns != columns[0]).any():
            raise ValueError(
                "With `official_padding` captions must start in the same column in every row, but they start in "
                f"columns {sorted(set(columns.tolist()))}: pad the tags to one length."
            )
        return int(columns[0])

    def caption_prompts(self) -> list[list[int]]:
        """Of every row, the tokens with which its caption starts."""
        prompts = [row[is_caption].tolist() for row, is_caption in zip(self.input_ids, self._is_caption())]
        return [prompt for prompt in prompts for _ in range(self.num_beams)]

    def start(self) -> torch.Tensor:
        """Encodes images and prompts. Returns logits (R, V), float32."""
        # As officially, the tags come first and alone: their padding sees all that there is, so not the caption's
        # first token.
        images = {"pixel_values": self.pixel_values, "image_index": self.image_index}
        if self.start_column:
            self._forward(slice(0, self.start_column), **images)
            logits = self._forward(slice(self.start_column, None), fusion_attention_mask=self.fusion_mask)
        else:
            logits = self._forward(slice(None), **images)
        self.cache.batch_repeat_interleave(self.num_beams)
        self.positions = self._repeat(self.positions[:, -1:])
        self.mask, self.fusion_mask = self._repeat(self.mask), self._repeat(self.fusion_mask)
        return self._repeat(logits)

    def _repeat(self, of_sources: torch.Tensor | None) -> torch.Tensor | None:
        return None if of_sources is None else of_sources.repeat_interleave(self.num_beams, dim=0)

    def _forward(self, columns: slice, **inputs: torch.Tensor | None) -> torch.Tensor:
        """Logits (S, V) after the prompt's `columns`."""
        return self._logits(
            input_ids=self.input_ids[:, columns],
            attention_mask=None if self.mask is None else self.mask[:, : columns.stop],
            token_type_ids=None if self.types is None else self.types[:, columns],
            position_ids=self.positions[:, columns],
            **inputs,
        )

    def step(self, tokens: torch.LongTensor, parents: torch.LongTensor) -> torch.Tensor:
        """
        Appends `tokens` (R,) to the rows `parents` (R,), each of the same source as the row that it becomes. Returns
        logits (R, V), float32.
        """
        self._reorder_words(parents)
        self.steps += 1
        self.positions = self.positions + 1
        self.mask = None if self.mask is None else F.pad(self.mask, (0, 1), value=1)
        self.fusion_mask = None if self.fusion_mask is None else F.pad(self.fusion_mask, (0, 1), value=1)
        return self._logits(
            input_ids=tokens[:, None].to(self.model.device),
            attention_mask=self.mask,
            fusion_attention_mask=self.fusion_mask,
            position_ids=self.positions,
        )

    def _reorder_words(self, parents: torch.LongTensor) -> None:
        """
        The rows of a source share image, grounded tokens and prompt, which are most of the cache: only the words since
        then move.
        """
        if not self.steps:
            return
        for layer in self.cache.layers:
            for states in (layer.keys, layer.values):
                states[:, :, -self.steps :] = states[parents.to(states.device), :, -self.steps :]

    def _logits(self, **inputs: torch.Tensor | None) -> torch.Tensor:
        outputs = self.model(**inputs, past_key_values=self.cache, use_cache=True, **self.inputs)
        return outputs.logits[:, -1].to(self.device, torch.float32)


def _trigram_penalties(
    captions: Sequence[list[int]], tokens: torch.LongTensor, ended: torch.Tensor, openings: Sequence[bool]
) -> torch.Tensor:
    """
    What each candidate loses (R, candidates): [`TRIGRAM_PENALTY`] if the last three words of the row with it stand in
    that row already. Tokens of one word are taken together, so a token can complete a repetition without opening a
    word.
    """
    penalties = torch.zeros(tokens.shape)
    for row, (caption, new_tokens, has_ended) in enumerate(zip(captions, tokens.tolist(), ended.tolist())):
        if has_ended:
            continue
        words = _words(caption, openings)
        before_last, before = _trigrams(words[:-1]), _trigrams(words)
        for place, token in enumerate(new_tokens):
            if openings[token]:
                repeats = (*words[-2:], (token,)) in before
            else:
                repeats = bool(words) and (*words[-3:-1], (*words[-1], token)) in before_last
            penalties[row, place] = TRIGRAM_PENALTY * repeats
    return penalties.to(tokens.device)


def _words(caption: Sequence[int], openings: Sequence[bool]) -> list[tuple[int, ...]]:
    words: list[tuple[int, ...]] = []
    for token in caption:
        if openings[token] or not words:
            words.append((token,))
        else:
            words[-1] += (token,)
    return words


def _trigrams(words: Sequence[tuple[int, ...]]) -> set[tuple[tuple[int, ...], ...]]:
    return set(zip(words, words[1:], words[2:]))


__all__ = ["find_word_openings", "official_beam_search"]
