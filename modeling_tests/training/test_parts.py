# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""`load_tokenizer`: of the class that the files name, unless the family's own reads them alike."""

import json

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer, BertConfig, BertTokenizer, RobertaConfig, RobertaTokenizer, TokenizersBackend

from hf_unimo.errors import BadInputError
from hf_unimo.models import FAMILIES
from hf_unimo.models.unimo2.tokenization_unimo2 import Unimo2Tokenizer
from hf_unimo.training.parts import load_tokenizer
from hf_unimo.training.run_config import ModelOptions

from . import runs


EMOJI = runs.EMOJI / "tokenizer"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "##s"]


def load(max_text_length=16, **options):
    options = {name: str(place) for name, place in options.items()}
    if "checkpoint" not in options:
        options["preset"] = "tiny"
    return load_tokenizer(ModelOptions(**options), FAMILIES["unimo2"], max_text_length)


def save_bert(folder):
    BertConfig(vocab_size=8).save_pretrained(folder)
    BertTokenizer({word: index for index, word in enumerate(WORDS)}).save_pretrained(folder)
    return folder


def refused(match, **options):
    with pytest.raises(BadInputError, match=match) as error:
        load(**options)
    assert "\n" not in str(error.value)


def test_the_family_s_own():
    tokenizer = load(processor=EMOJI)
    assert type(tokenizer) is Unimo2Tokenizer and tokenizer.model_max_length == 16
    text = ("smiling cat <mask>", "flag")
    assert dict(tokenizer(*text)) == dict(Unimo2Tokenizer.from_pretrained(EMOJI)(*text))


@pytest.mark.parametrize("option", ["text_checkpoint", "processor"])
def test_word_pieces_stay_word_pieces(option, tmp_path):
    """The words of BERT's vocabulary, not its letters, which the family's own class would find; no segments."""
    tokenizer = load(**{option: save_bert(tmp_path / "bert")})
    assert type(tokenizer) is BertTokenizer and len(tokenizer) == 8
    assert tokenizer("A cat", "cats") == {"input_ids": [2, 5, 6, 3, 6, 7, 3], "attention_mask": [1] * 7}
    assert tokenizer("cats " * 40, truncation=True).input_ids[-2:] == [7, 3] and tokenizer.model_max_length == 16
    # As it is saved with the model.
    tokenizer.save_pretrained(tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text('{"model_type": "unimo2"}', encoding="utf-8")
    again = load(checkpoint=tmp_path / "run")
    for found in (again, AutoTokenizer.from_pretrained(tmp_path / "run")):
        assert type(found) is BertTokenizer and dict(found("A cat", "cats")) == dict(tokenizer("A cat", "cats"))


def test_old_folder_with_a_list_of_words(tmp_path):
    BertConfig(vocab_size=8).save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    assert load(text_checkpoint=tmp_path)("A cats").input_ids == [2, 5, 6, 7, 3]


def test_roberta_is_read_by_the_family_s_own(tmp_path):
    """Its vocabulary is byte-level BPE, so its pairs get UNIMO-2's layout: one separator between the texts."""
    RobertaConfig().save_pretrained(tmp_path)
    backend = json.loads(Unimo2Tokenizer.from_pretrained(EMOJI).backend_tokenizer.to_str())["model"]
    merges = [tuple(merge) for merge in backend["merges"]]
    roberta = RobertaTokenizer(vocab=backend["vocab"], merges=merges)
    roberta.save_pretrained(tmp_path)
    assert type(AutoTokenizer.from_pretrained(tmp_path)) is RobertaTokenizer
    tokenizer = load(text_checkpoint=tmp_path)
    assert type(tokenizer) is Unimo2Tokenizer
    assert tokenizer("smiling cat").input_ids == roberta("smiling cat").input_ids
    assert tokenizer("cat", "flag").input_ids.count(tokenizer.sep_token_id) == 2


@pytest.mark.parametrize("part", ["pre_tokenizer", "normalizer"])
def test_byte_pairs_of_another_kind_keep_their_class(part, tmp_path):
    """With words cut elsewhere, or letters made small, the family's own class would read other words."""
    vocab = {"<pad>": 0, "▁": 1, "c": 2, "a": 3, "t": 4, "ca": 5, "Ġ": 6}
    backend = Tokenizer(models.BPE(vocab, [("c", "a")]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if part == "pre_tokenizer":
        backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    else:
        backend.normalizer = normalizers.Lowercase()
    TokenizersBackend(tokenizer_object=backend, pad_token="<pad>").save_pretrained(tmp_path)
    tokenizer = load(processor=tmp_path)
    assert type(tokenizer) is TokenizersBackend
    text = "cat" if part == "pre_tokenizer" else "CAT"
    assert tokenizer(text).input_ids == ([1, 5, 4] if part == "pre_tokenizer" else [5, 4])


def test_what_is_no_tokenizer_is_refused(tmp_path):
    refused("model.processor is missing")
    (tmp_path / "empty").mkdir()
    refused("No tokenizer could be loaded from .*empty", processor=tmp_path / "empty")
    refused("No tokenizer could be loaded from .*nowhere", processor=tmp_path / "nowhere")
    BertConfig().save_pretrained(tmp_path / "weights")  # of which transformers makes a tokenizer of five tokens
    assert len(AutoTokenizer.from_pretrained(tmp_path / "weights")) == 5
    refused("weights: there is no vocabulary", text_checkpoint=tmp_path / "weights")
    broken = save_bert(tmp_path / "broken")
    (broken / "tokenizer.json").write_text("{nonsense", encoding="utf-8")
    refused("No tokenizer could be loaded from .*broken", text_checkpoint=broken)


def test_without_padding(tmp_path):
    backend = Tokenizer(models.WordLevel({"[UNK]": 0, "cat": 1}, unk_token="[UNK]"))
    TokenizersBackend(tokenizer_object=backend, unk_token="[UNK]").save_pretrained(tmp_path)
    refused("has no padding token", processor=tmp_path)
