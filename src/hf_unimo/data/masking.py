# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Masked language modelling: which words are hidden, and behind what."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerBase

from ..errors import BadInputError
from .schedule import uniform_draws


IGNORED = -100  # the label of what is not to be predicted


@dataclass(frozen=True, eq=False)
class WholeWordMasking:
    """
    Hides whole words, in spans, for masked language modelling, after the pre-training reader of UNIMO-2's first
    implementation (`unimo_grounded_batching.mask`; spans after SpanBERT, Joshi et al., 2020, section 3.1).

    In each row, spans are drawn until `ratio` of the tokens, rounded up, are hidden: a token that is not hidden yet,
    each equally likely, names the word a span begins with; the span's number of words comes from a geometric
    distribution cut off at `longest_span` (0 counts as 1); it ends early at a special token, or when enough is hidden.
    A hidden token is replaced by the mask token, by a random token or not at all, each token for itself.

    Three points differ from the first implementation. The last word is hidden whole, even if that is more than `ratio`
    (there it is cut). Special tokens do not count as part of the text (there they make it longer by two). Top-ups to
    `min_masked` are whole words and are predicted like any other (there they are random positions, special tokens
    among them, that the loss leaves out).

    Make one with `from_tokenizer`, and variants with `dataclasses.replace(masking, ratio=0.2)`.

    Args:
        mask_token_id (`int`): Id of the mask token.
        special_token_ids (`(n,)`, int64): Ids that are never hidden, the mask token's among them.
        word_start_ids (`(vocab,)`, bool): True for ids that begin a word (`word_start_ids`). In a script without
            blanks, pass True for all: each token is a word then.
        replacement_ids (`(n,)`, int64): Ids of which random tokens are drawn.
        ratio (`float`, defaults to 0.15): Share of each row's tokens to hide, 0 to 1. With 0 nothing is hidden.
        span_p (`float`, defaults to 0.2): Parameter of the geometric distribution, above 0, up to 1: the probability
            of n words is proportional to `(1 - span_p) ** n`.
        longest_span (`int`, defaults to 10): Most words of a span; with 1 single words are hidden.
        mask_share (`float`, defaults to 0.8), random_share (`float`, defaults to 0.1): Probabilities that a hidden
            token becomes the mask token or a random one. The rest stays as it is and is predicted all the same.
        min_masked (`int`, defaults to 2): Hidden tokens of a batch at least, as far as it has as many.

    Raises:
        BadInputError: If a share lies outside of 0 to 1, both shares sum to more than 1, or `span_p`, `longest_span`
            or `replacement_ids` allow nothing.
    """

    mask_token_id: int
    special_token_ids: torch.Tensor
    word_start_ids: torch.Tensor
    replacement_ids: torch.Tensor
    ratio: float = 0.15
    span_p: float = 0.2
    longest_span: int = 10
    mask_share: float = 0.8
    random_share: float = 0.1
    min_masked: int = 2

    def __post_init__(self):
        for name in ("ratio", "mask_share", "random_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadInputError(f"`{name}` of the masking is {getattr(self, name)}; accepted are 0 to 1.")
        if self.mask_share + self.random_share > 1 + 1e-9:
            raise BadInputError(
                f"`mask_share` {self.mask_share} and `random_share` {self.random_share} sum to more than 1."
            )
        if not 0 < self.span_p <= 1 or self.longest_span < 1:
            raise BadInputError(
                f"Spans with `span_p` {self.span_p} and `longest_span` {self.longest_span} cannot be drawn; accepted "
                "are numbers above 0, up to 1, and integers from 1 on."
            )
        if self.random_share and not len(self.replacement_ids):
            raise BadInputError("There are no `replacement_ids` to draw random tokens of; set `random_share` to 0.")

    @classmethod
    def from_tokenizer(cls, tokenizer: PreTrainedTokenizerBase, **options) -> "WholeWordMasking":
        """
        Masking for `tokenizer`; `options` are `ratio` and what follows it. All special tokens are left alone, and
        random tokens are any but these. Decodes the whole vocabulary, so make it once.

        Raises:
            BadInputError: If the tokenizer has no mask token.
        """
        if tokenizer.mask_token_id is None:
            raise BadInputError(f"The tokenizer {type(tokenizer).__name__} has no mask token; masking needs one.")
        special = sorted(set(tokenizer.all_special_ids))
        replacements = sorted(set(tokenizer.get_vocab().values()) - set(special))
        return cls(
            mask_token_id=tokenizer.mask_token_id,
            special_token_ids=torch.tensor(special),
            word_start_ids=word_start_ids(tokenizer),
            replacement_ids=torch.tensor(replacements, dtype=torch.int64),
            **options,
        )

    def __call__(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        *,
        generator: torch.Generator | Sequence[torch.Generator],
        word_starts: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Args:
            input_ids (`(batch, length)`, int64): Token ids. Not changed.
            attention_mask (`(batch, length)`, *optional*): 0 at padding, which is never hidden.
            generator: Source of all randomness: one for the batch, or one for each row
                (`hf_unimo.data.schedule.row_generators`). With the latter a row's outcome depends neither on the other
                rows (but for top-ups to `min_masked`) nor on the amount of padding on its right.
            word_starts (`(batch, length)`, bool, *optional*): Where words begin, in place of `word_start_ids`, e.g.
                from the tokenizer's `word_ids`. The first token of a text, or behind a special token, always begins a
                word.

        Returns:
            The ids with words hidden, and the labels: the hidden ids, -100 elsewhere. Both `(batch, length)`, int64.

        Raises:
            BadInputError: If shapes differ, or an id lies outside of the vocabulary.
        """
        self._check(input_ids, attention_mask, word_starts)
        batch, length = input_ids.shape
        # Four numbers a position, position by position, so that padding on the right leaves those before it alone.
        draws = uniform_draws(generator, batch, length * 4).to(input_ids.device)
        order, span, action, replacement = draws.view(batch, length, 4).unbind(-1)

        maskable = ~torch.isin(input_ids, self.special_token_ids.to(input_ids.device))
        if attention_mask is not None:
            maskable &= attention_mask.bool()
        if word_starts is None:
            word_starts = self.word_start_ids.to(input_ids.device)[input_ids]
        hidden = self._choose(maskable, word_starts.bool(), order, self.span_lengths(span))
        return self._hide(input_ids, hidden, action, replacement)

    def span_lengths(self, uniform: torch.Tensor) -> torch.Tensor:
        """Words of the spans, int64, 1 to `longest_span`, for uniform numbers in [0, 1), any shape."""
        weights = (1 - self.span_p) ** torch.arange(self.longest_span + 1, dtype=torch.float64)
        upper = (weights.cumsum(0) / weights.sum())[:-1].to(uniform.device)
        return torch.bucketize(uniform.contiguous(), upper, right=True).clamp(min=1)

    def _choose(self, maskable, word_starts, order, span_lengths) -> torch.Tensor:
        """What to hide, `(batch, length)`, bool. `order` ranks the tokens as beginnings of spans, highest first."""
        if maskable.numel() == 0 or not self.ratio:
            return torch.zeros_like(maskable)
        text_starts = maskable & ~torch.nn.functional.pad(maskable, (1, 0))[:, :-1]
        starts = text_starts | (maskable & word_starts)
        text, word = text_starts.cumsum(1), starts.cumsum(1)
        positions = torch.arange(maskable.shape[1], device=maskable.device).expand_as(word)
        first_token = positions.where(starts, 0).cummax(1).values  # of each token's word

        # Rounding errors must not make 4 of 0.15 * 20.
        wanted = (maskable.sum(1, keepdim=True).double() * self.ratio - 1e-9).ceil()
        hidden = torch.zeros_like(maskable)
        while True:
            count = hidden.sum(1, keepdim=True)
            candidates = maskable & ~hidden & (count < wanted)
            if not candidates.any():
                break
            anchor = order.where(candidates, -1).argmax(1, keepdim=True)
            begin = word.gather(1, anchor)
            inside = (word >= begin) & (word < begin + span_lengths.gather(1, anchor))
            span = candidates & inside & (text == text.gather(1, anchor))
            # A word goes in as long as what lies before it is not enough.
            before = (span.cumsum(1) - span.long()).gather(1, first_token)
            hidden |= span & (count + before < wanted)
        return self._top_up(hidden, maskable, word, order)

    def _top_up(self, hidden, maskable, word, order) -> torch.Tensor:
        """`hidden` and more single words, until the batch has `min_masked` hidden tokens or no others."""
        while hidden.sum() < self.min_masked and (candidates := maskable & ~hidden).any():
            row, anchor = divmod(int(order.where(candidates, -1).argmax()), word.shape[1])
            hidden[row] |= maskable[row] & (word[row] == word[row, anchor])
        return hidden

    def _hide(self, input_ids, hidden, action, replacement) -> tuple[torch.Tensor, torch.Tensor]:
        labels = input_ids.where(hidden, IGNORED)
        masked = input_ids.masked_fill(hidden & (action < self.mask_share), self.mask_token_id)
        replaced = hidden & (action >= self.mask_share) & (action < self.mask_share + self.random_share)
        if self.random_share:
            number = len(self.replacement_ids)
            drawn = (replacement * number).long().clamp(max=number - 1)  # the product can round up to `number`
            masked = self.replacement_ids.to(input_ids.device)[drawn].where(replaced, masked)
        return masked, labels

    def _check(self, input_ids, attention_mask, word_starts) -> None:
        if input_ids.dim() != 2 or input_ids.is_floating_point():
            raise BadInputError(
                f"`input_ids` is of shape {tuple(input_ids.shape)} and type {input_ids.dtype}; masking takes integers "
                "of shape (batch, length)."
            )
        for name, tensor in (("attention_mask", attention_mask), ("word_starts", word_starts)):
            if tensor is not None and tensor.shape != input_ids.shape:
                raise BadInputError(
                    f"`{name}` is of shape {tuple(tensor.shape)}, but `input_ids` of {tuple(input_ids.shape)}."
                )
        vocab = len(self.word_start_ids)
        if input_ids.numel() and not 0 <= int(input_ids.min()) <= int(input_ids.max()) < vocab:
            raise BadInputError(
                f"`input_ids` holds ids from {int(input_ids.min())} to {int(input_ids.max())}, but the vocabulary of "
                f"the masking has the ids 0 to {vocab - 1}."
            )


def word_start_ids(tokenizer: PreTrainedTokenizerBase) -> torch.Tensor:
    """
    Which tokens begin a word, from their spelling: those that begin with a blank (byte-level BPE, e.g. `"Ġcat"`;
    pieces with `"▁"`), or, in a vocabulary of word pieces, those that do not begin with `"##"`. Words of the
    former are what blanks part, so a comma goes with the word before it. If nothing in the vocabulary marks words,
    each token is one.

    Returns:
        `(ids,)`, bool, up to the highest id of the vocabulary.
    """
    vocab = tokenizer.get_vocab()
    blank = {id for token, id in vocab.items() if _begins_with_blank(token, tokenizer)}
    inner = {id for token, id in vocab.items() if token.startswith("##")}
    # Each vocabulary has a stray token of the other's spelling.
    starts = blank if len(blank) > len(inner) else set(vocab.values()) - inner
    found = torch.zeros(max(vocab.values(), default=-1) + 1, dtype=torch.bool)
    found[sorted(starts)] = True
    return found


def _begins_with_blank(token: str, tokenizer: PreTrainedTokenizerBase) -> bool:
    return token.startswith("▁") or tokenizer.convert_tokens_to_string([token])[:1].isspace()
