# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""UNIMO-2 tokenizer: byte-level BPE, with the text and pair layouts of the first implementation."""

import copy
import json
from pathlib import Path
from typing import Any

from tokenizers import Encoding, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE
from transformers import TokenizersBackend


class Unimo2Tokenizer(TokenizersBackend):
    r"""
    Byte-level BPE tokenizer of UNIMO-2, backed by the `tokenizers` library.

    A text becomes `[CLS] A [SEP]`, a pair `[CLS] A [SEP] B [SEP]`, a pair whose second text is empty the layout of a
    single text. No blank is added before a text, so `"Hello"` and `" Hello"` differ; words passed with
    `is_split_into_words=True` bring their own blanks.

    `truncation=True` (`"longest_first"`) drops the last token of the longer text of a pair until the pair fits, and
    that of the second text when both are equally long. `"only_first"` and `"only_second"` are those of `tokenizers`.
    Offsets count the blank before a word as part of its token.

    Args:
        vocab (`dict[str, int]` or `str`, *optional*): Token -> id, or the path of a JSON file that holds it. Without
            it the special tokens are the vocabulary.
        merges (`list[tuple[str, str]]`, `list[str]` or `str`, *optional*): BPE merges, best first, or the path of a
            file with one merge a line.
        bos_token, eos_token, cls_token, sep_token, pad_token, unk_token, mask_token (`str`, default to `"<s>"`,
            `"</s>"`, `"<s>"`, `"</s>"`, `"<pad>"`, `"<unk>"`, `"<mask>"`): Special tokens. Their ids are those that
            `vocab` gives them; tokens that it lacks are added behind it.
        pair_separators (`int`, defaults to 1): How many separators stand between the texts of a pair: 1, or the 2 of
            RoBERTa.
        split_special_tokens (`bool`, defaults to `True`): Whether a special token spelled out in a text is split like
            any other text, as in the first implementation, instead of becoming the special token.
        kwargs: Those of `TokenizersBackend`, e.g. `model_max_length`, or `tokenizer_object` / `tokenizer_file` in
            place of `vocab` and `merges`.
    """

    model_input_names = ["input_ids", "attention_mask"]
    vocab_files_names = {
        "vocab_file": "vocab.json",
        "merges_file": "merges.txt",
        "tokenizer_file": "tokenizer.json",
    }
    model = BPE  # type: ignore[assignment]

    def __init__(
        self,
        vocab: dict[str, int] | str | None = None,
        merges: list[tuple[str, str]] | list[str] | str | None = None,
        bos_token: str = "<s>",
        eos_token: str = "</s>",
        cls_token: str = "<s>",
        sep_token: str = "</s>",
        pad_token: str = "<pad>",
        unk_token: str = "<unk>",
        mask_token: str = "<mask>",
        pair_separators: int = 1,
        split_special_tokens: bool = True,
        **kwargs,
    ):
        if pair_separators not in (1, 2):
            raise ValueError(f"`pair_separators` must be 1 (UNIMO-2) or 2 (RoBERTa), but is {pair_separators!r}.")
        self.pair_separators = pair_separators
        if kwargs.get("tokenizer_object") is None and kwargs.get("tokenizer_file") is None:
            self._tokenizer = _byte_level_bpe(vocab, merges, str(unk_token))  # type: ignore[assignment]
        super().__init__(
            bos_token=bos_token,
            eos_token=eos_token,
            cls_token=cls_token,
            sep_token=sep_token,
            pad_token=pad_token,
            unk_token=unk_token,
            mask_token=mask_token,
            pair_separators=pair_separators,
            split_special_tokens=split_special_tokens,
            **kwargs,
        )
        # A loaded tokenizer.json brings a post-processor, which `pair_separators` overrules.
        self.update_post_processor()

    def update_post_processor(self):
        """Installs the layouts. The base class calls this whenever its own layouts would be renewed."""
        cls, sep = str(self.cls_token), str(self.sep_token)
        between = [sep] * self.pair_separators
        self._tokenizer.post_processor = processors.TemplateProcessing(
            single=[cls, "$A", sep],
            pair=[cls, "$A", *between, "$B", sep],
            special_tokens=[(cls, self.cls_token_id), (sep, self.sep_token_id)],
        )

    def save_pretrained(self, *args, **kwargs):
        """Saves the tokenizer; see `TokenizersBackend.save_pretrained`."""
        # What the last call truncated and padded to is no property of the tokenizer, but tokenizer.json would keep it,
        # and the reloaded one go on with it.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        return super().save_pretrained(*args, **kwargs)

    def _encode_plus(self, *args, **kwargs):
        # The base class hands texts and pairs of all shapes to `self._tokenizer.encode_batch` and makes a
        # `BatchEncoding` of what returns. A copy gets another `encode_batch`, as other threads may be using `self`.
        caller = copy.copy(self)
        caller._tokenizer = _PairEncoder(self._tokenizer)
        return super(Unimo2Tokenizer, caller)._encode_plus(*args, **kwargs)


class _PairEncoder:
    """A `tokenizers.Tokenizer` whose `encode_batch` treats pairs as the first implementation does."""

    def __init__(self, backend: Tokenizer):
        self.__dict__["backend"] = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.backend, name, value)

    def encode_batch(self, batch: list, add_special_tokens: bool, is_pretokenized: bool) -> list[Encoding]:
        """
        Encodings of `batch`, a list of texts and of pairs of texts; with `is_pretokenized` a text is a list of words.
        Raises a `ValueError` if `max_length` has no room for the special tokens, which the library overlooks.
        """
        batch = [item[0] if _is_pair(item, is_pretokenized) and not item[1] else item for item in batch]
        pairs = {row: item for row, item in enumerate(batch) if _is_pair(item, is_pretokenized)}
        truncation = self.backend.truncation
        num_special = self.backend.num_special_tokens_to_add(bool(pairs)) if add_special_tokens else 0
        if truncation is not None and truncation["max_length"] < num_special:
            raise ValueError(
                f"`max_length` is {truncation['max_length']}, but the special tokens alone take {num_special}; pass "
                "at least that or `add_special_tokens=False`."
            )
        encodings = self.backend.encode_batch(
            batch, add_special_tokens=add_special_tokens, is_pretokenized=is_pretokenized
        )
        if pairs and truncation is not None and truncation["strategy"] == "longest_first":
            half, odd = divmod(truncation["max_length"] - num_special, 2)
            for row, pair in pairs.items() if odd else ():
                # The library rounds in favour of the second text, unless the first was longer.
                sides = encodings[row].sequence_ids
                if sides.count(0) == half and sides.count(1) == half + 1:
                    encodings[row] = self._favour_first(
                        pair, half, encodings[row], add_special_tokens, is_pretokenized
                    )
        return encodings

    def _favour_first(self, pair, half, encoding, add_special_tokens, is_pretokenized) -> Encoding:
        """`encoding` of `pair`, but `half + 1` tokens of the first text, if it has them, and `half` of the second."""
        first, second = self._plain_backend().encode_batch(
            list(pair), add_special_tokens=False, is_pretokenized=is_pretokenized
        )
        if len(first) == half:
            return encoding
        options = {"stride": self.backend.truncation["stride"], "direction": self.backend.truncation["direction"]}
        first.truncate(half + 1, **options)
        second.truncate(half, **options)
        return self.backend.post_process(first, second, add_special_tokens)

    def _plain_backend(self) -> Tokenizer:
        """The backend without truncation, padding and layout. Shares the vocabulary, so it costs next to nothing."""
        plain = Tokenizer(self.backend.model)
        if self.backend.normalizer is not None:
            plain.normalizer = self.backend.normalizer
        plain.pre_tokenizer = self.backend.pre_tokenizer
        plain.add_tokens([token for _, token in sorted(self.backend.get_added_tokens_decoder().items())])
        plain.encode_special_tokens = self.backend.encode_special_tokens
        return plain


def _is_pair(item, is_pretokenized: bool) -> bool:
    if isinstance(item, str) or len(item) != 2:
        return False
    return not (is_pretokenized and all(isinstance(word, str) for word in item))


def _byte_level_bpe(vocab, merges, unk_token: str) -> Tokenizer:
    """GPT-2's byte-level BPE over `vocab` and `merges`, each given as data or as the path of a file."""
    if isinstance(vocab, (str, Path)):
        vocab = json.loads(Path(vocab).read_text(encoding="utf-8"))
    if isinstance(merges, (str, Path)):
        lines = Path(merges).read_text(encoding="utf-8").split("\n")
        merges = [line for line in lines[lines[0].startswith("#version") :] if line.strip()]
    vocab = vocab or {}
    merges = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in merges or []]
    # Bytes that a small vocabulary lacks become the unknown token instead of vanishing.
    tokenizer = Tokenizer(BPE(vocab=vocab, merges=merges, unk_token=unk_token if unk_token in vocab else None))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


__all__ = ["Unimo2Tokenizer"]
