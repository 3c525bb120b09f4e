# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""`Unimo2Tokenizer` and the reader of its official vocabulary."""

import copy
import json
import os
import pickle
import random
from pathlib import Path

import pytest
import tokenizers
import torch
from transformers import DataCollatorForLanguageModeling

from hf_unimo.conversion.unimo2_vocabulary import read_official_vocabulary
from hf_unimo.errors import BadInputError
from hf_unimo.models.unimo2.tokenization_unimo2 import Unimo2Tokenizer


ROOT = Path(__file__).parents[3]
CASES = json.loads((ROOT / "modeling_tests/fixtures/unimo2_aux/tokenizer_cases.json").read_text(encoding="utf-8"))
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
TEXTS = ["the cat sat on the mat", "the dog sat on the log", "a cat and a dog", "the mat and the log"]


@pytest.fixture(scope="module")
def official() -> Unimo2Tokenizer:
    folder = Path(os.environ.get("HF_UNIMO_VOCAB", ROOT / ".." / "shared" / "data" / "roberta_vocab"))
    if not folder.is_dir():
        pytest.skip("the official vocabulary is absent; name its folder in HF_UNIMO_VOCAB")
    vocab, merges, special_tokens = read_official_vocabulary(folder)
    return Unimo2Tokenizer(vocab, merges, **special_tokens)


@pytest.fixture(scope="module")
def trained() -> tokenizers.Tokenizer:
    """A byte-level BPE as a user would train it."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=SPECIAL,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


@pytest.fixture
def small(trained) -> Unimo2Tokenizer:
    model = json.loads(trained.to_str())["model"]
    return Unimo2Tokenizer(model["vocab"], model["merges"])


def reload(tokenizer, folder, **kwargs) -> Unimo2Tokenizer:
    tokenizer.save_pretrained(folder)
    return Unimo2Tokenizer.from_pretrained(folder, **kwargs)


def bare_ids(tokenizer, text) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


# The first implementation's numbers


@pytest.mark.parametrize("saved", [False, True])
def test_single_texts_equal_the_first_implementation(official, saved, tmp_path):
    tokenizer = reload(official, tmp_path) if saved else official
    special = CASES["special"]
    assert len(tokenizer) == special["vocab_size"]
    assert tokenizer.convert_tokens_to_ids("madeupword0000") == special["img"]
    for name in ("cls", "pad", "sep", "unk", "mask"):
        assert getattr(tokenizer, f"{name}_token_id") == special[name]
    for case in CASES["texts"]:
        assert bare_ids(tokenizer, case["text"]) == case["ids"], case["text"]
        assert tokenizer(case["text"])["input_ids"] == [special["cls"], *case["ids"], special["sep"]]
        assert tokenizer.decode(case["ids"]) == case["decoded"]


@pytest.mark.parametrize("saved", [False, True])
def test_pairs_equal_the_first_implementation(official, saved, tmp_path):
    tokenizer = reload(official, tmp_path) if saved else official
    for case in CASES["pairs"]:
        encoding = tokenizer(case["text_a"], case["text_b"], truncation=True, max_length=case["max_seq_len"])
        assert encoding["input_ids"] == case["token_ids"]


def test_official_vocabulary_needs_no_prefix(official, tmp_path):
    source = Path(os.environ.get("HF_UNIMO_VOCAB", ROOT / ".." / "shared" / "data" / "roberta_vocab"))
    for file in source.iterdir():
        (tmp_path / file.name.removeprefix("roberta_base_en.")).write_bytes(file.read_bytes())
    assert read_official_vocabulary(tmp_path)[0] == official.get_vocab()


# Layouts


def test_layouts(small):
    cls, sep, pad = small.cls_token_id, small.sep_token_id, small.pad_token_id
    a, b = bare_ids(small, "the cat"), bare_ids(small, "a dog")
    assert small("the cat")["input_ids"] == [cls, *a, sep]
    assert small("the cat", "a dog")["input_ids"] == [cls, *a, sep, *b, sep]
    assert list(small("the cat")) == small.model_input_names == ["input_ids", "attention_mask"]
    # An empty second text is none, in a batch too.
    assert small("the cat", "")["input_ids"] == [cls, *a, sep]
    batch = small(["the cat", "the cat"], ["", "a dog"], padding=True)
    width = len(a) + len(b) + 3
    assert batch["input_ids"][0] == [cls, *a, sep] + [pad] * (width - len(a) - 2)
    assert batch["attention_mask"] == [[1] * (len(a) + 2) + [0] * (len(b) + 1), [1] * width]
    assert small([("the cat", "a dog"), ("the cat", "")], padding=True)["input_ids"] == batch["input_ids"][::-1]


def test_two_separators(small, tmp_path):
    model = json.loads(small.backend_tokenizer.to_str())["model"]
    two = Unimo2Tokenizer(model["vocab"], model["merges"], pair_separators=2)
    a, b, sep = bare_ids(two, "the cat"), bare_ids(two, "a dog"), two.sep_token_id
    expected = [two.cls_token_id, *a, sep, sep, *b, sep]
    assert two("the cat", "a dog")["input_ids"] == expected
    reloaded = reload(two, tmp_path)
    assert reloaded.pair_separators == 2
    assert reloaded("the cat", "a dog")["input_ids"] == expected
    assert len(reloaded("the cat " * 5, "a dog " * 5, truncation=True, max_length=12)["input_ids"]) == 12
    # The argument overrules what was saved.
    one = Unimo2Tokenizer.from_pretrained(tmp_path, pair_separators=1)
    assert one("the cat", "a dog")["input_ids"] == small("the cat", "a dog")["input_ids"]


@pytest.mark.parametrize("count", [0, 3, "2", None])
def test_other_separator_counts_are_refused(count):
    with pytest.raises(ValueError, match="`pair_separators` must be 1"):
        Unimo2Tokenizer(pair_separators=count)


def test_special_tokens_in_text_are_text(small, tmp_path):
    for tokenizer in (small, reload(small, tmp_path)):
        ids = tokenizer("<s> </s><mask>")["input_ids"]
        assert not {tokenizer.mask_token_id, tokenizer.cls_token_id, tokenizer.sep_token_id} & set(ids[1:-1])
        assert tokenizer.decode(ids, skip_special_tokens=True) == "<s> </s><mask>"
    recognising = Unimo2Tokenizer.from_pretrained(tmp_path, split_special_tokens=False)
    assert recognising.mask_token_id in recognising("a<mask>")["input_ids"]
    assert not reload(recognising, tmp_path).split_special_tokens
    # Per call, too: to fill in a mask.
    assert small.mask_token_id in small("a<mask>", split_special_tokens=False)["input_ids"]


def test_no_blank_is_added(small):
    assert bare_ids(small, "the") != bare_ids(small, " the")
    assert small("the cat", return_offsets_mapping=True)["offset_mapping"][1] == (0, 3)


def test_decode_replaces_broken_bytes(small):
    assert small.decode(bare_ids(small, "é")[:1]) == "�"
    assert small.decode(bare_ids(small, "a dog , it 's .")) == "a dog , it 's ."


# Truncation


def longer_side_is_popped(a, b, room):
    a, b = list(a), list(b)
    while len(a) + len(b) > room:
        (a if len(a) > len(b) else b).pop()
    return a, b


@pytest.mark.parametrize("pair_separators", [1, 2])
def test_pair_truncation_pops_the_longer_side(small, pair_separators):
    tokenizer = copy.deepcopy(small)
    tokenizer.pair_separators = pair_separators
    tokenizer.update_post_processor()
    cls, seps = [tokenizer.cls_token_id], [tokenizer.sep_token_id] * pair_separators
    a, b = tokenizer.convert_tokens_to_ids(["a", "b"])
    for size_a in range(1, 9):
        for size_b in range(1, 9):
            for room in range(17):
                length = room + 2 + pair_separators
                encoding = tokenizer("a" * size_a, "b" * size_b, truncation=True, max_length=length)
                left, right = longer_side_is_popped([a] * size_a, [b] * size_b, room)
                assert encoding["input_ids"] == [*cls, *left, *seps, *right, tokenizer.sep_token_id]


def test_six_and_six_into_seven(small):
    encoding = small("abcdef", "ghijkl", truncation=True, max_length=10)
    assert encoding.tokens() == ["<s>", "a", "b", "c", "d", "</s>", "g", "h", "i", "</s>"]
    assert encoding.sequence_ids() == [None, 0, 0, 0, 0, None, 1, 1, 1, None]
    assert encoding["attention_mask"] == [1] * 10
    bare = small("abcdef", "ghijkl", truncation=True, max_length=7, add_special_tokens=False)
    assert bare.tokens() == list("abcdghi")


def test_truncation_in_batches(small):
    first = ["abcdef", "a", "abcdefghij", "ab"]
    second = ["ghijkl", "b", "kl", ""]
    batch = small(first, second, truncation=True, max_length=10, padding=True, return_tensors="pt")
    assert batch["input_ids"].shape == (4, 10)
    for row, (a, b) in enumerate(zip(first, second)):
        alone = small(a, b, truncation=True, max_length=10)["input_ids"]
        mask = batch["attention_mask"][row].bool()
        assert batch["input_ids"][row][mask].tolist() == alone
        assert (batch["input_ids"][row][~mask] == small.pad_token_id).all()
    long = small(["a" * 9, "a"], ["b" * 9, "b"], truncation=True, max_length=16, padding=True, pad_to_multiple_of=8)
    assert [ids.count(small.convert_tokens_to_ids("a")) for ids in long["input_ids"]] == [7, 1]
    assert [len(ids) for ids in long["input_ids"]] == [16, 16]
    padded = small(first, second, truncation=True, max_length=10, padding="max_length")
    assert padded["input_ids"] == batch["input_ids"].tolist()
    left = copy.deepcopy(small)
    left.padding_side = "left"
    batch = left(first, second, truncation=True, max_length=10, padding=True)
    assert batch["input_ids"][1][:5] == [left.pad_token_id] * 5
    assert batch["input_ids"][0] == small("abcdef", "ghijkl", truncation=True, max_length=10)["input_ids"]


def test_truncation_with_other_options(small):
    encoding = small(
        "abcdef",
        "ghijkl",
        truncation=True,
        max_length=10,
        stride=1,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
    )
    assert encoding["offset_mapping"][0] == [
        (0, 0),
        (0, 1),
        (1, 2),
        (2, 3),
        (3, 4),
        (0, 0),
        (0, 1),
        (1, 2),
        (2, 3),
        (0, 0),
    ]
    assert encoding["special_tokens_mask"][0] == [1, 0, 0, 0, 0, 1, 0, 0, 0, 1]
    seen = {token for row in range(len(encoding["input_ids"])) for token in encoding.tokens(row)}
    assert seen == {*"abcdefghijkl", "<s>", "</s>"}
    assert encoding["overflow_to_sample_mapping"] == [0] * len(encoding["input_ids"])

    words = small(list("abcdef"), list("ghijkl"), is_split_into_words=True, truncation=True, max_length=10)
    assert words.word_ids() == [None, 0, 1, 2, 3, None, 0, 1, 2, None]
    for strategy, kept in (("only_first", "a ghijkl"), ("only_second", "abcdef g")):
        tokens = small("abcdef", "ghijkl", truncation=strategy, max_length=10).tokens()
        assert [token for token in tokens if len(token) == 1] == list(kept.replace(" ", ""))
    left = copy.deepcopy(small)
    left.truncation_side = "left"
    assert left("abcdef", "ghijkl", truncation=True, max_length=7, add_special_tokens=False).tokens() == list(
        "cdefjkl"
    )


def test_added_tokens_survive_truncation(small):
    tokenizer = copy.deepcopy(small)
    tokenizer.add_tokens(["<new>"])
    tokens = tokenizer("a<new>bcde", "ghi<new>kl", truncation=True, max_length=10).tokens()
    assert tokens == ["<s>", "a", "<new>", "b", "c", "</s>", "g", "h", "i", "</s>"]


@pytest.mark.parametrize("texts", [("abc",), ("abc", "def")])
def test_a_limit_below_the_special_tokens_is_refused(small, texts):
    with pytest.raises(ValueError, match="the special tokens alone take"):
        small(*texts, truncation=True, max_length=len(texts))
    assert len(small(*texts, truncation=True, max_length=len(texts) + 1)["input_ids"]) == len(texts) + 1


# Building, saving, training


def test_ids_come_from_the_vocabulary(trained):
    vocab = trained.get_vocab()
    shuffled = dict(zip(vocab, random.Random(0).sample(range(len(vocab)), len(vocab))))
    merges = json.loads(trained.to_str())["model"]["merges"]
    tokenizer = Unimo2Tokenizer(shuffled, merges)
    assert len(tokenizer) == len(vocab)
    assert {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL} == {t: shuffled[t] for t in SPECIAL}
    assert tokenizer("the cat")["input_ids"] == [shuffled[token] for token in tokenizer("the cat").tokens()]


def test_special_tokens_are_arguments(trained):
    model = json.loads(trained.to_str())["model"]
    tokenizer = Unimo2Tokenizer(model["vocab"], model["merges"], cls_token="[C]", sep_token="[S]")
    assert tokenizer("a", "b").tokens() == ["[C]", "a", "[S]", "b", "[S]"]
    # The vocabulary lacks both, so they are added behind it.
    assert {tokenizer.cls_token_id, tokenizer.sep_token_id} == {len(model["vocab"]), len(model["vocab"]) + 1}


def test_equal_ways_to_build(trained, small, tmp_path):
    model = json.loads(trained.to_str())["model"]
    vocab_file, merges_file, tokenizer_file = (str(tmp_path / name) for name in ("v.json", "m.txt", "t.json"))
    Path(vocab_file).write_text(json.dumps(model["vocab"]), encoding="utf-8")
    merges = [" ".join(merge) for merge in model["merges"]]
    Path(merges_file).write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    small.backend_tokenizer.save(tokenizer_file)
    special = {"unk_token": "<unk>"}
    built = [
        Unimo2Tokenizer(vocab_file, merges_file),
        Unimo2Tokenizer(model["vocab"], merges),
        Unimo2Tokenizer(tokenizer_file=tokenizer_file, **special),
        Unimo2Tokenizer(tokenizer_object=trained),
        pickle.loads(pickle.dumps(small)),
        copy.deepcopy(small),
    ]
    for tokenizer in built:
        for text in [*TEXTS, "Ünknown <mask> ☃"]:
            assert tokenizer(text, "the cat")["input_ids"] == small(text, "the cat")["input_ids"]


def test_save_and_reload_is_exact(small, tmp_path):
    tokenizer = copy.deepcopy(small)
    tokenizer.model_max_length = 64
    tokenizer.add_tokens(["<new>"])
    again = reload(reload(tokenizer, tmp_path / "1"), tmp_path / "2")
    assert again.get_vocab() == tokenizer.get_vocab()
    assert again.model_max_length == 64
    assert not again.clean_up_tokenization_spaces
    for text in [*TEXTS, "x<new>y <mask>"]:
        assert again(text, "the cat")["input_ids"] == tokenizer(text, "the cat")["input_ids"]
    with open(tmp_path / "2" / "tokenizer_config.json", encoding="utf-8") as file:
        assert json.load(file)["tokenizer_class"] == "Unimo2Tokenizer"


def test_without_vocabulary(tmp_path):
    tokenizer = Unimo2Tokenizer()
    assert sorted(tokenizer.get_vocab()) == sorted(SPECIAL)
    assert reload(tokenizer, tmp_path).get_vocab() == tokenizer.get_vocab()


def test_missing_bytes_become_unknown():
    tokenizer = Unimo2Tokenizer({"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 4, "a": 5}, [])
    assert tokenizer("ab")["input_ids"] == [0, 5, 3, 2]


def test_new_vocabulary_from_texts(small):
    tokenizer = small.train_new_from_iterator(TEXTS * 3, vocab_size=280, show_progress=False)
    assert isinstance(tokenizer, Unimo2Tokenizer) and len(tokenizer) <= 280
    assert tokenizer("abcdef", "ghijkl", truncation=True, max_length=10).sequence_ids().count(0) == 4
    assert tokenizer.decode(tokenizer("a dog", "a cat")["input_ids"], skip_special_tokens=True) == "a doga cat"


def test_masked_language_modeling_collator(small):
    torch.manual_seed(0)
    collator = DataCollatorForLanguageModeling(small, mlm_probability=0.5)
    batch = collator([small(text) for text in TEXTS])
    ends = (batch["input_ids"] == small.cls_token_id) | (batch["input_ids"] == small.sep_token_id)
    assert (batch["labels"][ends] == -100).all()
    assert (batch["labels"] != -100).any() and (batch["input_ids"] == small.mask_token_id).any()


# Ill-formed official files


def write_vocabulary(folder, encoder='{"a": 0, "b": 1, "ab": 2}', bpe="#version: 0.2\na b\n", extra=""):
    (folder / "encoder.json").write_text(encoder, encoding="utf-8")
    (folder / "vocab.bpe").write_text(bpe, encoding="utf-8")
    lines = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "2", "1", "0", "[MASK]"]
    (folder / "vocab.txt").write_text("\n".join(lines) + "\n" + extra, encoding="utf-8")
    return folder


def test_official_vocabulary_of_any_size(tmp_path):
    vocab, merges, special_tokens = read_official_vocabulary(write_vocabulary(tmp_path))
    assert vocab == {"[CLS]": 0, "[PAD]": 1, "[SEP]": 2, "[UNK]": 3, "ab": 4, "b": 5, "a": 6, "[MASK]": 7}
    assert merges == [("a", "b")]
    assert Unimo2Tokenizer(vocab, merges, **special_tokens)("ab")["input_ids"] == [0, 4, 2]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"encoder": "{"}, "is no JSON"),
        ({"encoder": "[1]"}, "from BPE strings to whole numbers"),
        ({"encoder": '{"a": "0"}'}, "from BPE strings to whole numbers"),
        ({"bpe": "a b c\n"}, "Line 1 of .*, 'a b c', is no merge"),
        ({"bpe": "a x\n"}, "is no merge"),
        ({"extra": "9\n"}, "Line 9 of .*, '9', is no id"),
        ({"extra": "9" * 5000}, "is no id"),
        ({"extra": "1\n"}, "stands there twice"),
        ({"extra": "\n1\n"}, "is empty"),
    ],
)
def test_ill_formed_official_files(tmp_path, change, message):
    with pytest.raises(BadInputError, match=message):
        read_official_vocabulary(write_vocabulary(tmp_path, **change))


def test_missing_official_files(tmp_path):
    with pytest.raises(BadInputError, match=r"has no file roberta_base_en[.]encoder[.]json or encoder[.]json"):
        read_official_vocabulary(tmp_path)
    write_vocabulary(tmp_path)
    (tmp_path / "vocab.bpe").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInputError, match="cannot be read as utf-8"):
        read_official_vocabulary(tmp_path)
    (tmp_path / "vocab.bpe").write_text("a b\n", encoding="utf-8")
    (tmp_path / "vocab.txt").write_text("0\n1\n2\n", encoding="utf-8")
    with pytest.raises(BadInputError, match=r"has no line \[CLS\], \[MASK\]"):
        read_official_vocabulary(tmp_path)


def test_saving_forgets_what_the_last_call_truncated_to(small, tmp_path):
    """Otherwise a reloaded processor would truncate to it: it takes a tokenizer's saved settings for defaults."""
    small(["abc def ghi"] * 2, truncation=True, max_length=4, padding="max_length")
    again = reload(small, tmp_path)
    assert "max_length" not in again.init_kwargs
    assert json.loads((tmp_path / "tokenizer.json").read_text())["truncation"] is None
    assert again("abc def ghi")["input_ids"] == small("abc def ghi")["input_ids"]
