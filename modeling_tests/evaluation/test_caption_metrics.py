# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Metrics of captions against the numbers of pycocoevalcap 1.2 (`fixtures/caption_metrics`)."""

import importlib.util
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hf_unimo.errors import BadInputError
from hf_unimo.evaluation.metrics import caption_tokens, captions
from hf_unimo.evaluation.metrics.captions import (
    bleu,
    bleu_statistics,
    caption_metrics,
    cider_d,
    meteor,
    rouge_l,
    tokenize_captions,
)


FOLDER = Path(__file__).parents[1] / "fixtures" / "caption_metrics"
EXPECTED = json.loads((FOLDER / "caption_metrics_reference.json").read_text())
CANDIDATES = [texts[0] for texts in EXPECTED["hyp"].values()]
REFERENCES = list(EXPECTED["refs"].values())
HAS_JAVA = importlib.util.find_spec("pycocoevalcap") is not None and shutil.which("java") is not None
needs_java = pytest.mark.skipif(not HAS_JAVA, reason="needs Java and pycocoevalcap (extra `captions`)")

# What the Java tokenizer makes of these, with the script's punctuation dropped.
TOKENS = {
    "She said \"hello there\" to 'the' dog.": "she said hello there to the dog",
    "Mr. Smith, Dr. Who in St. Louis in the U.S. at 3 p.m.": "mr. smith dr. who in st. louis in the u.s. at 3 p.m.",
    "cannot gonna gotta 'tis 'twas": "can not gon na got ta 't is 't was",
    "$5 and 5% and #1, 10,000 men at 3:00 pm. 1/2 or 3.5": "$ 5 and 5 % and # 1 10,000 men at 3:00 pm 1/2 or 3.5",
    "black/white w/ his dog; A & B AT&T": "black/white w / his dog a & b at&t",
    "half-naked -- one - two – three — four... six…": "half-naked one two three four six",
    "I'm you're can't wouldn't've ma'am o'clock y'all": "i 'm you 're ca n't would n't 've ma'am o'clock y' all",
    "rock 'n' roll '90s 1990s dogs' toys it’s “so”": "rock 'n' roll '90s 1990s dogs toys it 's so",
    "[a] {b} (c) <unk> 2*3": "-lsb- a -rsb- -lcb- b -rcb- -lrb- c -rrb- <unk> 2 * 3",
    "hello!!! what?! ok? wow! <3 :)": "hello !!! what ?! ok wow < 3 :-rrb-",
    "café naïve\npiñata £5 ½ cup": "café naïve piñata # 5 1/2 cup",
    "man;woman:child,dog.cat the end .": "man woman child dog.cat the end",
    "no. 5, not a no. on main st.": "no. 5 not a no on main st.",
    "5'10\" tall 3rd 10k 2x4 #tag @user -1": "5 10 tall 3rd 10k 2x4 #tag @user -1",
    " . ": "",
}


@pytest.mark.parametrize("caption, expected", TOKENS.items())
def test_rules_tokenize_as_java_does(caption, expected):
    assert " ".join(caption_tokens.tokenize([caption])[0]) == expected


@needs_java
def test_java_tokenizes_the_same_cases():
    found = caption_tokens.tokenize([*TOKENS, "", "a"], "ptb-java")
    assert [" ".join(tokens) for tokens in found] == [*TOKENS.values(), "", "a"]


@pytest.mark.parametrize("tokenizer", ["rules", pytest.param("ptb-java", marks=needs_java)])
def test_tokens_equal_the_reference(tokenizer):
    words, of_pictures = tokenize_captions(CANDIDATES, REFERENCES, tokenizer)
    assert [[" ".join(caption)] for caption in words] == list(EXPECTED["hyp_tokenized"].values())
    assert [[" ".join(text) for text in texts] for texts in of_pictures] == list(EXPECTED["refs_tokenized"].values())


def test_metrics_equal_the_reference():
    found = caption_metrics(CANDIDATES, REFERENCES)
    # The script adds 1e-15 and 1e-9 to counts.
    assert [found[f"bleu_{order}"] for order in (1, 2, 3, 4)] == pytest.approx(EXPECTED["bleu"], abs=1e-9)
    assert found["cider_d"] == pytest.approx(EXPECTED["ciderD"], abs=1e-12)
    assert found["rouge_l"] == pytest.approx(EXPECTED["rougeL"], abs=1e-12)
    assert found["caption_tokenizer"] == "rules" and "meteor" not in found


def test_metrics_of_each_picture_equal_the_reference():
    tokens = tokenize_captions(CANDIDATES, REFERENCES)
    np.testing.assert_allclose(cider_d(*tokens), EXPECTED["ciderD_each"], atol=1e-12)
    np.testing.assert_allclose(rouge_l(*tokens), EXPECTED["rougeL_each"], atol=1e-12)
    for row, each in enumerate(zip(*EXPECTED["bleu_each"])):
        found = list(bleu(bleu_statistics(*tokens)[row : row + 1]).values())
        # Where no n-gram of some length is right the script gives not 0 but a root of the 1e-15.
        assert found == pytest.approx(each, abs=1e-8) or (0.0 in found and found == pytest.approx(each, abs=0.05))


@needs_java
@pytest.mark.slow
def test_meteor_equals_the_reference():
    found, each = meteor(*tokenize_captions(CANDIDATES, REFERENCES))
    assert found == pytest.approx(EXPECTED["meteor15"], abs=1e-9)
    np.testing.assert_allclose(each, EXPECTED["meteor15_each"], atol=1e-9)


def test_statistics_of_bleu_add_up():
    words, of_pictures = tokenize_captions(CANDIDATES, REFERENCES)
    statistics = bleu_statistics(words, of_pictures)
    rows = [0, 0, 2, 4]
    again = bleu_statistics([words[row] for row in rows], [of_pictures[row] for row in rows])
    assert bleu(statistics[rows]) == bleu(again)


def test_the_closest_reference_is_the_shorter_of_two():
    statistics = bleu_statistics([["a", "b", "c"]], [[list("abcd"), list("ab"), list("abcdef")]])
    assert statistics[0].tolist() == [3, 2, 3, 2, 1, 0, 3, 2, 1, 0]


def test_one_picture_has_no_cider():
    assert cider_d([["a", "dog"]], [[["a", "dog"]]]).tolist() == [0.0]


def test_empty_captions_score_zero():
    found = caption_metrics(["", "a dog"], [["a cat"], ["a dog", "the dog"]])
    # Two words where the references have four.
    assert found["bleu_1"] == pytest.approx(np.exp(1 - 4 / 2)) and found["rouge_l"] == 0.5
    assert set(caption_metrics(["", ""], [["a cat"], ["a dog"]]).values()) == {0.0, "rules"}


def test_bad_input_is_refused():
    with pytest.raises(BadInputError, match="1 captions came with references for 2 pictures"):
        caption_metrics(["a"], [["a"], ["b"]])
    with pytest.raises(BadInputError, match="at least one"):
        caption_metrics([], [])
    with pytest.raises(BadInputError, match="has the string 'a cat' as references"):
        caption_metrics(["a"], ["a cat"])
    for nothing in ([], ["."]):
        with pytest.raises(BadInputError, match=r"Picture 1 .* has no reference caption with a word"):
            caption_metrics(["a", "b"], [["a"], nothing])
    with pytest.raises(BadInputError, match=r"Picture 0 .from 0. has the caption None"):
        caption_metrics(["a"], [["a", None]])
    with pytest.raises(BadInputError, match="'cider' was given, the nearest known is 'cider_d'"):
        caption_metrics(["a"], [["a"]], metrics=["cider"])
    with pytest.raises(BadInputError, match="'rule' was given, the nearest known is 'rules'"):
        caption_metrics(["a"], [["a"]], tokenizer="rule")


def test_spice_is_refused_with_its_reason():
    with pytest.raises(BadInputError, match=r"SPICE is not offered: .* from the network"):
        caption_metrics(["a"], [["a"]], metrics=["bleu", "spice"])


def test_without_the_package_or_java_the_reason_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(caption_tokens, "find_spec", lambda name: None)
    with pytest.raises(BadInputError, match=r"^METEOR needs the package pycocoevalcap.*hf-unimo\[captions\]"):
        caption_metrics(["a"], [["a"]], metrics=["meteor"])
    package = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(caption_tokens, "find_spec", lambda name: package)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(BadInputError, match=r"^The tokenizer 'ptb-java' needs a Java runtime"):
        caption_metrics(["a"], [["a"]], tokenizer="ptb-java")
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/java")
    with pytest.raises(BadInputError, match=r"METEOR needs meteor/meteor-1.5.jar of pycocoevalcap 1.2"):
        meteor([["a"]], [[["a"]]])
    assert captions.METRICS == ("bleu", "cider_d", "rouge_l", "meteor")
