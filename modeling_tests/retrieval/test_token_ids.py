# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Batches of token ids are those of a tokenizer."""

import torch

from hf_unimo.retrieval.token_ids import are_token_ids, pad_token_ids
from modeling_tests.evaluation import models
from modeling_tests.evaluation.test_token_ids import ids


def test_a_batch_of_ids_is_that_of_the_tokenizer():
    model, processor = models.unimo2()
    config = model.config.text_config
    texts = ["a dog", "a dog runs", "x" * 100]
    found = pad_token_ids([ids(text) for text in texts], config, 64)
    expected = processor.tokenizer(texts, padding=True, truncation=True, max_length=64, return_tensors="pt")
    assert torch.equal(found["input_ids"], expected["input_ids"])
    assert torch.equal(found["attention_mask"], expected["attention_mask"])
    assert found["position_ids"][0].tolist() == [*range(2, 9), *[1] * 57]
    assert found["position_ids"][2].tolist() == [*range(2, 66)]
    left = pad_token_ids([ids(text) for text in texts[:2]], config, 64, side="left")
    assert left["input_ids"][0].tolist() == [1] * 5 + list(ids("a dog").input_ids)
    assert left["attention_mask"][0].tolist() == [0] * 5 + [1] * 7
    assert left["position_ids"][0].tolist() == [1] * 5 + list(range(2, 9))
    assert are_token_ids([ids("a")]) and not are_token_ids(["a"]) and not are_token_ids([])
