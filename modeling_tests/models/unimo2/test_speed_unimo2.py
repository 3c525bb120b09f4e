# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""What makes the model fast changes no answer: blocks instead of a mask, pooled vectors alone, CPU attention."""

import pytest
import torch
from torch.nn import functional as F

from hf_unimo.models.unimo2 import modeling_unimo2
from hf_unimo.models.unimo2.modeling_unimo2 import Unimo2Dropout, cpu_attention_forward, cpu_dropout

from . import small


# Pooled vectors alone ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"fusion_attention": "full"},
        {"grounding_method": "none"},
        {"grounding_method": "nearest"},
        {"official_padding": True},
    ],
)
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("parts", ["image", "text", "both", "unpadded"])
def test_pooled_vectors_alone_are_those_of_the_whole(attention, overrides, side, parts):
    model = small.model("Unimo2Model", attention=attention, **overrides)
    texts = small.texts((9, 9, 9) if parts == "unpadded" else small.LENGTHS, side=side)
    inputs = {**(small.images() if parts != "text" else {}), **(texts if parts != "image" else {})}
    if parts == "unpadded":
        del inputs["attention_mask"]
    with torch.no_grad():
        whole, pooled = model(**inputs), model(**inputs, pooled_only=True)
    assert pooled.last_hidden_state is pooled.text_last_hidden_state is pooled.grounding_loss is None
    for name in ("image_pooler_output", "text_pooler_output"):
        if name in whole:
            torch.testing.assert_close(pooled[name], whole[name], atol=1e-6, rtol=0)
        else:
            assert name not in pooled
    if whole.grounded_token_ids is not None:
        assert torch.equal(pooled.grounded_token_ids, whole.grounded_token_ids)


def test_the_last_layer_computes_the_class_rows_only():
    model, inputs = small.model("Unimo2ForImageTextRetrieval"), {**small.texts(), **small.images()}
    seen = []
    for layer in model.unimo2.grounded_model.layers:
        layer.mlp.register_forward_hook(lambda _, args, output: seen.append(args[0].shape))
    with torch.no_grad():
        model(**inputs)
    assert seen == [(3, 17 + 6 + 9, 32), (3, 2, 32)]


@pytest.mark.parametrize("name", ["Unimo2ForImageTextRetrieval", "Unimo2ForVisualQuestionAnswering"])
def test_gradients_are_those_of_the_whole(name):
    gradients = []
    for record in (False, True):
        model = small.model(name)
        model(**small.inputs(name), output_hidden_states=record).logits.square().sum().backward()
        gradients.append({key: value.grad for key, value in model.named_parameters() if value.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for key, value in gradients[0].items():
        torch.testing.assert_close(value, gradients[1][key], atol=1e-5, rtol=1e-5, msg=key)


# Encodings that were kept --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["topk", "nearest", "none"])
@pytest.mark.parametrize("projection", [False, True])
def test_kept_states_give_the_encoding_again(method, projection):
    overrides = {"grounding_method": method} | ({"grounding_projection": True} if projection else {})
    if projection and method == "none":
        pytest.skip("without a dictionary there is no projection to it")
    model, texts = small.model("Unimo2Model", **overrides), small.texts()
    with torch.no_grad():
        image, text = model.encode_image(**small.images()), model.encode_text(**texts)
        again = {
            "image": model.encoding(image.last_hidden_state, None, image.dictionary_scores),
            "text": model.encoding(text.last_hidden_state, texts["attention_mask"], text.dictionary_scores, "text"),
        }
        for found, expected in ((again["image"], image), (again["text"], text)):
            assert found.keys() == expected.keys()
            for name, value in expected.items():
                assert torch.equal(found[name], value), name
        computed = model.encoding(text.last_hidden_state, texts["attention_mask"], modality="text")
        if method == "topk":
            assert torch.equal(computed.dictionary_scores, text.dictionary_scores)


@pytest.mark.parametrize("name", ["Unimo2ForImageTextRetrieval", "Unimo2ForPreTraining"])
def test_pairs_of_encodings_score_as_forward_does(name):
    model = small.model(name, similarity_weight=0.3)
    with torch.no_grad():
        image, text = model.unimo2.encode_image(**small.images()), model.unimo2.encode_text(**small.texts())
        found = model.match_pairs(image, text)
        swapped = model.match_pairs(image, text, grounded_token_ids=found.grounded_token_ids.flip(0))
        whole = model(**small.texts(), **small.images())
    expected = whole.itm_logits if name == "Unimo2ForImageTextRetrieval" else whole.matching_logits
    torch.testing.assert_close(found.itm_logits, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.logits, found.itm_logits[:, 1] + 0.3 * found.similarity)
    assert torch.equal(swapped.grounded_token_ids, found.grounded_token_ids.flip(0))
    assert not torch.allclose(swapped.itm_logits[0], found.itm_logits[0], atol=1e-6)


# Attention on a CPU --------------------------------------------------------------------------------------------------


def heads(dtype, rows=5, queries=7, keys=11, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(rows, 3, n, 8, generator=generator).to(dtype) for n in (queries, keys, keys)]


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-6), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("mask", [None, "rows", "one", "additive"])
@pytest.mark.parametrize("limit", [1, 2**21])
def test_cpu_attention_is_sdpa(dtype, tolerance, mask, limit, monkeypatch):
    monkeypatch.setattr(modeling_unimo2, "_CPU_SCORE_BYTES", limit)
    query, key, value = heads(dtype)
    if mask == "rows":
        mask = torch.rand(5, 1, 1, 11, generator=torch.Generator().manual_seed(1)) < 0.6
        mask[..., 0] = True
    elif mask == "one":
        mask = (torch.arange(11) < torch.arange(1, 8)[:, None])[None, None]
    elif mask == "additive":
        mask = torch.zeros(5, 1, 7, 11, dtype=dtype)
        mask[..., 4:] = -10000
    module = torch.nn.Identity().eval()
    found, weights = cpu_attention_forward(module, query, key, value, mask, scaling=0.3)
    expected = F.scaled_dot_product_attention(
        query.float(),
        key.float(),
        value.float(),
        None if mask is None else mask if mask.dtype == torch.bool else mask.float(),
        scale=0.3,
    )
    assert weights is None and found.dtype == dtype
    torch.testing.assert_close(found.float(), expected.transpose(1, 2), atol=tolerance, rtol=tolerance)


def test_cpu_attention_serves_where_sdpa_is_slow(monkeypatch):
    calls = []
    monkeypatch.setattr(
        modeling_unimo2,
        "cpu_attention_forward",
        lambda *args, **kwargs: calls.append(kwargs["dropout"]) or cpu_attention_forward(*args, **kwargs),
    )
    inputs = {**small.texts(), **small.images()}
    model = small.model("Unimo2Model")
    model(**inputs)
    assert not calls
    model.bfloat16()(**inputs)
    assert calls == [0.0] * (2 + 2 + 2 * 3)  # vision, text, and three blocks in fusion
    calls.clear()
    model.float().train()(**inputs)
    assert not calls, "the small configuration has no dropout"
    model.config.grounded_config.attention_probs_dropout_prob = 0.5
    model(**inputs)
    assert calls == [0.5] * (2 * 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_keeps_the_mean_and_drops_the_share(dtype):
    torch.manual_seed(0)
    states = torch.ones(1001, 999, dtype=dtype, requires_grad=True)
    found = cpu_dropout(states, 0.1, training=True)
    found.sum().backward()
    dropped = found == 0
    # The standard deviation of the share of a million draws is 0.0003.
    assert abs(dropped.float().mean().item() - 0.1) < 0.0015
    assert abs(found.float().mean().item() - 1) < (0.0015 if dtype == torch.float32 else 0.005)
    assert torch.equal(states.grad == 0, dropped)
    rows, columns = dropped.float().mean(1), dropped.float().mean(0)
    assert rows.std() < 0.015 and columns.std() < 0.015  # sqrt(0.1 * 0.9 / 1000) is 0.0095


def test_dropout_follows_the_seed_and_rests_in_evaluation():
    module, states = Unimo2Dropout(0.5), torch.rand(3, 5)
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(module(states))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert module.eval()(states) is states
    assert torch.equal(Unimo2Dropout(1.0)(states), torch.zeros(3, 5))
    assert torch.equal(Unimo2Dropout(0.0)(states), states)


def test_attention_dropout_acts_on_the_weights():
    query, key, _ = heads(torch.float32)
    value = torch.eye(11, 8).expand(5, 3, 11, 8)
    module = torch.nn.Identity().train()
    torch.manual_seed(0)
    found, _ = cpu_attention_forward(module, query, key, value, None, scaling=0.3, dropout=0.25)
    whole, _ = cpu_attention_forward(module, query, key, value, None, scaling=0.3)
    ratio = found / whole
    assert torch.all((ratio == 0) | ((ratio - 4 / 3).abs() < 1e-5))
    assert 0.15 < (ratio == 0).float().mean() < 0.35


# Flex attention ------------------------------------------------------------------------------------------------------


@pytest.mark.slow  # its kernels are compiled, once without and once with padding
def test_flex_attention_is_sdpa():
    inputs = {**small.texts(), **small.images()}
    unpadded = {name: value for name, value in inputs.items() if name != "attention_mask"}
    model = small.model("Unimo2ForImageTextRetrieval")
    flex = small.model("Unimo2ForImageTextRetrieval", attention={"": "sdpa", "grounded_config": "flex_attention"})
    modeling_unimo2._blind_flex_mask.cache_clear()
    with torch.no_grad():
        for given in (unpadded, inputs):
            expected, found = model(**given, output_hidden_states=True), flex(**given, output_hidden_states=True)
            torch.testing.assert_close(found.hidden_states[-1], expected.hidden_states[-1], atol=1e-5, rtol=0)
            torch.testing.assert_close(found.logits, expected.logits, atol=1e-5, rtol=0)
            torch.testing.assert_close(flex(**given).logits, expected.logits, atol=1e-5, rtol=0)
    cache = modeling_unimo2._blind_flex_mask.cache_info()
    assert (cache.misses, cache.hits) == (1, 1), "the mask of unpadded pairs is made once"


def test_flex_masks_are_those_of_sdpa():
    keys = small.texts()["attention_mask"].bool()
    keys = torch.cat((torch.ones(3, 17 + 6, dtype=torch.bool), keys), dim=1)
    lengths, states = (17, 6, 9), torch.zeros(3, 32, 32)
    flex = small.model("Unimo2Model", attention="flex_attention")
    eager = small.model("Unimo2Model", attention="eager")
    for text_mask in (None, keys[:, 23:].long()):
        block_mask = flex._fusion_attention(list(lengths), None, text_mask, states)
        allowed = eager._fusion_attention(list(lengths), None, text_mask, states) == 0
        batch, head, query, key = torch.meshgrid(*map(torch.arange, (allowed.shape[0], 1, 32, 32)), indexing="ij")
        assert torch.equal(block_mask.mask_mod(batch, head, query, key).expand_as(allowed), allowed)
