# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Reader of the vocabulary files that the first implementation of UNIMO-2 ships."""

import json
import os
from pathlib import Path

from hf_unimo.errors import BadInputError


PREFIX = "roberta_base_en."
SPECIAL_TOKENS = {
    "bos_token": "[CLS]",
    "eos_token": "[SEP]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "mask_token": "[MASK]",
}


def read_official_vocabulary(
    directory: str | os.PathLike,
) -> tuple[dict[str, int], list[tuple[str, str]], dict[str, str]]:
    """
    Reads `encoder.json`, `vocab.bpe` and `vocab.txt` (each with or without the prefix `roberta_base_en.`).

    The BPE strings have GPT-2's ids in `encoder.json`; the line number of such an id in `vocab.txt` is the model's id.
    Lines of `vocab.txt` that are no number are tokens themselves: the special tokens and fillers.

    Args:
        directory (`str` or `os.PathLike`): The folder with the three files.

    Returns:
        `vocab` (token -> model id), `merges` (best first) and the special tokens by argument name, such that
        `Unimo2Tokenizer(vocab, merges, **special_tokens)` is the official tokenizer.

    Raises:
        `BadInputError`: A file is missing, cannot be read or does not fit the others.
    """
    directory = Path(directory)
    encoder = _read_encoder(_find(directory, "encoder.json"))
    merges_file, vocab_file = _find(directory, "vocab.bpe"), _find(directory, "vocab.txt")

    strings = {str(gpt2_id): string for string, gpt2_id in encoder.items()}
    vocab: dict[str, int] = {}
    for model_id, line in enumerate(_lines(vocab_file)):
        token = strings.get(line) if line.isdecimal() else line
        if not token or token in vocab:
            found = "is no id of encoder.json" if token is None else "is empty or stands there twice"
            raise BadInputError(f"Line {model_id + 1} of {vocab_file}, {line!r}, {found}; expected a new id or token.")
        vocab[token] = model_id
    missing = sorted(set(SPECIAL_TOKENS.values()) - vocab.keys())
    if missing:
        raise BadInputError(f"{vocab_file} has no line {', '.join(missing)}; expected the official special tokens.")
    return vocab, _read_merges(merges_file, vocab), dict(SPECIAL_TOKENS)


def _find(directory: Path, name: str) -> Path:
    for candidate in (directory / f"{PREFIX}{name}", directory / name):
        if candidate.is_file():
            return candidate
    raise BadInputError(f"{directory} has no file {PREFIX}{name} or {name}; expected the official vocabulary files.")


def _lines(path: Path) -> list[str]:
    """Lines of a text file; `splitlines` would also split at characters that may stand in a token."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path} cannot be read as utf-8 text: {error}.") from error
    return lines[:-1] if lines[-1] == "" else lines


def _read_encoder(path: Path) -> dict[str, int]:
    try:
        encoder = json.loads("\n".join(_lines(path)))
    except (json.JSONDecodeError, RecursionError) as error:
        raise BadInputError(f"{path} is no JSON: {error}.") from error
    if not isinstance(encoder, dict) or not all(type(value) is int for value in encoder.values()):
        raise BadInputError(f"{path} is not what was expected, a JSON object from BPE strings to whole numbers.")
    return encoder


def _read_merges(path: Path, vocab: dict[str, int]) -> list[tuple[str, str]]:
    merges = []
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip() or (number == 1 and line.startswith("#version")):
            continue
        parts = tuple(line.split(" "))
        if len(parts) != 2 or not {*parts, "".join(parts)} <= vocab.keys():
            raise BadInputError(f"Line {number} of {path}, {line!r}, is no merge of two tokens of the vocabulary.")
        merges.append(parts)
    return merges
