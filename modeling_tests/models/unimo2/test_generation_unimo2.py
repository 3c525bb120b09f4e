# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Captioning: the cache changes nothing, padding changes nothing, tags see each other, captions see what they may."""

import pytest
import torch
from transformers import DynamicCache, StaticCache

from . import small


NAME = "Unimo2ForConditionalGeneration"
PROMPTS = {
    "greedy": {"do_sample": False},
    "sampling": {"do_sample": True, "temperature": 1.5},
    "beam": {"num_beams": 3, "num_return_sequences": 2},
    "beam with length penalty": {"num_beams": 4, "length_penalty": 2.0, "no_repeat_ngram_size": 2},
    "prompt lookup": {"do_sample": False, "prompt_lookup_num_tokens": 2},
}


def generate(model, **settings):
    torch.manual_seed(7)
    return model.generate(**{"max_new_tokens": 8, "min_new_tokens": 4} | settings)


@pytest.mark.parametrize("method", ["topk", "nearest", "none"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("prompt", PROMPTS)
def test_cached_equals_uncached(prompt, attention, method):
    model = small.model(NAME, attention=attention, grounding_method=method)
    number = 1 if prompt == "prompt lookup" else 3  # transformers decodes with a lookup one row at a time
    inputs = {**small.texts((4,) * number), **small.images(number)}
    cached = generate(model, **inputs, **PROMPTS[prompt])
    if prompt == "prompt lookup":  # it cannot do without a cache; its words are those of greedy search
        uncached = generate(model, **inputs, do_sample=False, use_cache=False)
    else:
        uncached = generate(model, **inputs, **PROMPTS[prompt], use_cache=False)
    assert torch.equal(cached, uncached)


def test_images_alone_start_from_the_first_token():
    model = small.model(NAME)
    words = generate(model, **small.images(), do_sample=False)
    assert words.shape[0] == 3 and (words[:, 0] == model.config.text_config.bos_token_id).all()


def test_greedy_equals_a_loop_over_forward():
    model = small.model(NAME)
    words = torch.zeros(3, 1, dtype=torch.long)
    with torch.no_grad():
        for _ in range(6):
            logits = model(input_ids=words, **small.images()).logits[:, -1]
            words = torch.cat((words, logits.argmax(-1, keepdim=True)), dim=1)
    found = model.generate(**small.images(), max_new_tokens=6, do_sample=False, eos_token_id=None, pad_token_id=1)
    assert torch.equal(found, words)


def test_left_padded_prompts_equal_prompts_alone():
    model = small.model(NAME)
    batch, pixels = small.texts((6, 3, 4), side="left"), small.images()["pixel_values"]
    together = generate(model, **batch, pixel_values=pixels, do_sample=False, eos_token_id=None, pad_token_id=1)
    for row in range(3):
        words = batch["input_ids"][row, batch["attention_mask"][row].bool()]
        alone = generate(
            model,
            input_ids=words[None],
            pixel_values=pixels[row : row + 1],
            do_sample=False,
            eos_token_id=None,
            pad_token_id=1,
        )
        assert torch.equal(together[row, 6:], alone[0, len(words) :])


def tagged(lengths=(5, 3, 4)):
    """Object tags padded on the left, each row then starting its caption with id 0."""
    batch = small.texts(lengths, side="left")
    starts = torch.zeros(len(lengths), 1, dtype=torch.long)
    return {
        "input_ids": torch.cat((batch["input_ids"], starts), dim=1),
        "attention_mask": torch.cat((batch["attention_mask"], starts + 1), dim=1),
        "token_type_ids": torch.cat((torch.zeros_like(batch["input_ids"]), starts + 1), dim=1),
    }


@pytest.mark.parametrize("settings", [{"do_sample": False}, {"num_beams": 3}])
def test_captions_after_object_tags(settings):
    model = small.model(NAME)
    batch, pixels = tagged(), small.images()["pixel_values"]
    settings = settings | {"eos_token_id": None, "pad_token_id": 1}
    cached = generate(model, **batch, pixel_values=pixels, **settings)
    assert torch.equal(cached, generate(model, **batch, pixel_values=pixels, **settings, use_cache=False))
    row = {name: value[1:2, 2:] for name, value in batch.items()}
    alone = generate(model, **row, pixel_values=pixels[1:2], **settings)
    assert torch.equal(cached[1, 6:], alone[0, 4:])


def changed_rows(model, inputs, place):
    """Positions whose logits change when the word at `place` does."""
    other = {**inputs, "input_ids": inputs["input_ids"].clone()}
    other["input_ids"][:, place] = (other["input_ids"][:, place] + 1) % 40
    with torch.no_grad():
        difference = (model(**inputs).logits - model(**other).logits).abs().amax((0, 2))
    return (difference > 1e-6).nonzero()[:, 0].tolist()


def test_who_sees_whom():
    model = small.model(NAME)
    words = {"input_ids": small.texts((6, 6, 6))["input_ids"], **small.images()}
    assert changed_rows(model, words, 3) == [3, 4, 5]
    tags = words | {"token_type_ids": torch.tensor([[0, 0, 0, 1, 1, 1]] * 3)}
    assert changed_rows(model, tags, 1) == [0, 1, 2, 3, 4, 5]
    assert changed_rows(model, tags, 4) == [4, 5]


def test_image_and_dictionary_see_no_text():
    model = small.model(NAME, attention="eager")
    with torch.no_grad():
        output = model(**small.texts(), **small.images(), output_attentions=True)
    for weights in output.attentions:
        assert (weights[:, :, :23, 23:] == 0).all()
        assert (weights[:, :, 23:, :23] > 0).all()


def test_the_prefix_is_filled_once():
    model = small.model(NAME)
    calls = []
    model.unimo2.vision_model.register_forward_hook(lambda *_: calls.append(1))
    cache = DynamicCache()
    with torch.no_grad():
        first = model(input_ids=torch.tensor([[0, 5, 6]]), **small.images(1), past_key_values=cache, use_cache=True)
        again = model(input_ids=torch.tensor([[7]]), past_key_values=cache, use_cache=True)
        whole = model(input_ids=torch.tensor([[0, 5, 6, 7]]), **small.images(1))
    lengths = [cache.get_seq_length(layer) for layer in range(4)]
    assert first.past_key_values is cache and len(calls) == 2
    assert lengths == [4, 4, 17 + 6 + 4, 17 + 6 + 4]
    torch.testing.assert_close(again.logits[:, -1], whole.logits[:, -1], atol=1e-5, rtol=1e-5)


def test_tags_in_the_cache_need_position_ids():
    """Without them the caption's positions would go on from the tags', unnoticed."""
    model = small.model(NAME)
    types, cache = torch.tensor([[0, 0, 1]]), DynamicCache()
    step = {"input_ids": torch.tensor([[7]]), "token_type_ids": torch.tensor([[1]]), "past_key_values": cache}
    with torch.no_grad():
        model(input_ids=torch.tensor([[5, 6, 0]]), token_type_ids=types, **small.images(1), past_key_values=cache)
        with pytest.raises(ValueError, match="covers 1 of 4 words"):
            model(**step)
        again = model(**step, position_ids=torch.tensor([[3]]))
        words, types = torch.tensor([[5, 6, 0, 7]]), torch.tensor([[0, 0, 1, 1]])
        whole = model(input_ids=words, token_type_ids=types, **small.images(1))
    torch.testing.assert_close(again.logits[:, -1], whole.logits[:, -1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("implementation", ["static", "quantized", "offloaded"])
def test_other_caches_are_refused(implementation):
    model = small.model(NAME)
    with pytest.raises(ValueError, match=f"only a DynamicCache holds; {implementation} is refused"):
        model.generate(**small.images(), max_new_tokens=2, cache_implementation=implementation)


def test_a_static_cache_object_is_refused():
    model = small.model(NAME)
    cache = StaticCache(config=model.config.text_config, max_cache_len=8)
    with pytest.raises(ValueError, match="StaticCache is refused"):
        model(input_ids=torch.tensor([[0]]), **small.images(1), past_key_values=cache)


def test_the_loss_is_that_of_the_next_word():
    model = small.model(NAME, caption_label_smoothing=0.0)
    inputs = {**small.texts((6, 6, 6)), **small.images()}
    with torch.no_grad():
        output = model(**inputs, labels=inputs["input_ids"])
        total = model(**inputs, labels=inputs["input_ids"], num_items_in_batch=30)
    log_probs = output.logits[:, :-1].log_softmax(-1)
    expected = -log_probs.gather(2, inputs["input_ids"][:, 1:, None]).mean()
    torch.testing.assert_close(output.loss, expected)
    torch.testing.assert_close(total.loss, expected / 2)
