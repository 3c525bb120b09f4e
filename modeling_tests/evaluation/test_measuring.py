# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Rows in batches of similar length: the same entries in the rows' order, failures and stored blocks as without."""

from dataclasses import replace

import numpy as np
import pytest

from hf_unimo.data.benchmarks.rows import TokenIds
from hf_unimo.data.images import BadRowError
from hf_unimo.evaluation.blocks import Blocks
from hf_unimo.evaluation.heads import Item, _Head, evaluate_head
from hf_unimo.evaluation.measuring import Options, padded_lengths, run_rows
from hf_unimo.retrieval.adapters import preprocessing
from modeling_tests.evaluation import models
from modeling_tests.evaluation.test_captioning_evaluator import stirred
from modeling_tests.evaluation.test_heads_evaluator import ANSWERS, figures, named, questions


LENGTHS = np.random.RandomState(0).randint(1, 60, 45).tolist()
TEXTS = ["a" * length for length in LENGTHS]


def test_rows_are_sorted_within_blocks_only():
    """Number 7 cannot be read and number 11 is refused; a batch holds neighbours in length, of one block."""
    batches = []

    def read(number):
        if number == 7:
            raise BadRowError("7", "it is broken")
        return number

    def compute(numbers):
        batches.append(numbers)
        if 11 in numbers:
            raise ValueError("11 is refused")
        return np.array(numbers) * 10.0

    options = Options(block_size=20, batch_size=4)
    values, kept, failed = run_rows("rows", range(45), read, compute, options, LENGTHS)
    good = [number for number in range(45) if number not in (7, 11)]
    assert kept.tolist() == good and values.tolist() == [10.0 * number for number in good]
    assert [number for number, _ in failed] == [7, 11] and failed[1][1] == "11 is refused"
    for batch in batches:
        assert len({number // 20 for number in batch}) == 1 and len(batch) <= 4
    computed = [number for batch in batches for number in batch]
    of_first = [LENGTHS[number] for number in dict.fromkeys(computed) if number < 20]
    assert of_first == sorted(of_first, reverse=True)
    batches.clear()
    plain = run_rows("rows", range(45), read, compute, options)
    assert np.array_equal(plain[0], values) and plain[2] == failed and batches[0] == [0, 1, 2, 3]


def test_blocks_go_on_where_they_stood(tmp_path):
    """Whether a block was stored with its rows sorted or in their order is the same to those that follow."""
    blocks, calls = Blocks(tmp_path), []

    def compute(numbers):
        calls.append(numbers)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return np.array(numbers, dtype=np.float32)

    options = Options(blocks=blocks, block_size=10, batch_size=5)
    with pytest.raises(KeyboardInterrupt):
        run_rows("rows", range(45), int, compute, options, LENGTHS)
    values, kept, _ = run_rows("rows", range(45), int, compute, options)
    assert values.tolist() == kept.tolist() == list(range(45))
    assert len(calls) == 4 + 7  # the first block was not computed again


def test_lengths_are_those_of_what_the_model_gets():
    model, processor = models.unimo2()
    _, texts = preprocessing(model, processor)
    given, pairs = ["a", "abc", "b" * 70], ["", "c" * 5, "d"]
    for second in (None, pairs):
        lengths = padded_lengths(model, texts, given, second)
        alone = [
            int(texts([text], None if pair is None else [pair])["attention_mask"].sum())
            for text, pair in zip(given, second or [None] * 3)
        ]
        # Of a pair there may be more or fewer special tokens, which sorts nearly the same.
        assert all(0 <= found - wanted <= 2 for found, wanted in zip(lengths, alone)) and lengths[2] == 64
        assert second or lengths == alone
    ids = [TokenIds(tuple(range(length)), (), ()) for length in (3, 90)]
    assert padded_lengths(model, texts, ids) == [3, 64]


def test_where_padding_is_seen_rows_stay_in_their_order():
    """The first implementation's batches decide its answers: those of the data's order are its numbers."""
    model, processor = models.unimo2(official_padding=True)
    assert padded_lengths(model, preprocessing(model, processor)[1], ["a", "bc"]) is None


def widths(model, call) -> int:
    """Tokens that the model was given, padding included, while `call` ran."""
    found = []

    def count(module, args, kwargs):
        if "input_ids" in kwargs:
            found.append(kwargs["input_ids"].numel())

    hook = model.register_forward_pre_hook(count, with_kwargs=True)
    call()
    hook.remove()
    return sum(found)


@pytest.mark.parametrize(
    "build",
    [lambda: models.unimo2("Unimo2ForVisualQuestionAnswering", **named(ANSWERS)),
     lambda: models.vilt("ViltForQuestionAnswering", max_position_embeddings=64, **named(ANSWERS))],
    ids=["unimo2", "vilt"],
)  # fmt: skip
def test_logits_are_those_of_the_data_s_order(build):
    model, processor = build()
    stirred(model)
    head = _Head(model, processor, 4)
    items = [Item(models.picture(number), text) for number, text in enumerate(TEXTS)]
    lengths = padded_lengths(model, head.texts, TEXTS)
    options = Options(batch_size=4)
    results = {}

    def run(name, lengths):
        results[name] = run_rows("vqa", items, lambda item: item, head.logits, options, lengths)[0]

    in_order = widths(model, lambda: run("in order", None))
    by_length = widths(model, lambda: run("sorted", lengths))
    np.testing.assert_allclose(results["sorted"], results["in order"], atol=1e-5)
    assert np.ptp(results["sorted"], axis=0).min() > 0.1  # rows differ, so their order matters
    assert by_length - sum(lengths) < (in_order - sum(lengths)) / 3


@pytest.mark.parametrize("task", ["vqa", "masked-words"])
def test_an_evaluator_sorts(task):
    """Batches of one row pad nothing: what is more than theirs is padding."""
    if task == "vqa":
        model, processor = models.unimo2("Unimo2ForVisualQuestionAnswering", **named(ANSWERS))
        data = questions()
        rows = [replace(data.rows[0], id=str(number), question=text) for number, text in enumerate(TEXTS)]
        data = replace(data, rows=tuple(rows))
    else:
        model, processor = models.unimo2("Unimo2ForMaskedLM")
        data = models.gallery(15, captions=(3,))
        rows = [replace(row, captions=tuple(TEXTS[3 * number : 3 * number + 3])) for number, row in enumerate(data)]
        data = replace(data, rows=tuple(rows))

    def run(batch_size):
        options = Options(samples=0, batch_size=batch_size)
        results[batch_size] = evaluate_head(task, model, processor, data, batch_size=batch_size, options=options)

    results = {}
    alone, batched = widths(model, lambda: run(1)), widths(model, lambda: run(4))
    assert figures(results[4]) == pytest.approx(figures(results[1]), abs=1e-5)
    in_order = sum(4 * max(len(text) + 2 for text in TEXTS[start : start + 4]) for start in range(0, 45, 4))
    assert alone == sum(LENGTHS) + 2 * 45 and batched - alone < (in_order - alone) / 3
