# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The first implementation's beam search: its rules, written out slowly, and what `generate` promises beside them."""

import re
from pathlib import Path

import pytest
import torch
from PIL import Image
from tokenizers.pre_tokenizers import ByteLevel
from transformers import LogitsProcessor, MaxTimeCriteria, StoppingCriteria

from hf_unimo import FAMILIES, Unimo2ImageProcessorPil, Unimo2Processor, Unimo2Tokenizer, pipeline
from hf_unimo.flat_code import flat_code
from hf_unimo.models.unimo2.generation_unimo2 import find_word_openings, official_beam_search

from . import small


NAME = "Unimo2ForConditionalGeneration"
END, PADDING = 2, 1
OPENINGS = torch.arange(40) % 4 != 3
"""Every fourth token continues a word."""


def model(end=1.0, **settings):
    """A small model that likes to end, the more, the higher `end` is."""
    found = small.model(NAME, **{"seed": 4} | settings)
    with torch.no_grad():
        found.lm_head.decoder.bias[END] += end
    return found


def tagged(lengths=(5, 3, 4), side="left"):
    """Images with padded object tags, each row then starting its caption with id 0."""
    batch = small.texts(lengths, side=side)
    starts = torch.zeros(len(lengths), 1, dtype=torch.long)
    return {
        "input_ids": torch.cat((batch["input_ids"], starts), dim=1),
        "attention_mask": torch.cat((batch["attention_mask"], starts + 1), dim=1),
        "token_type_ids": torch.cat((torch.zeros_like(batch["input_ids"]), starts + 1), dim=1),
        **small.images(len(lengths)),
    }


def row_of(batch, row):
    """A row alone, without its padding."""
    words = batch["attention_mask"][row].bool() if "attention_mask" in batch else slice(None)
    return {
        name: value[row : row + 1] if name == "pixel_values" else value[row : row + 1, words]
        for name, value in batch.items()
    }


def generate(model, inputs, **settings):
    defaults = {"num_beams": 3, "max_new_tokens": 7, "return_dict_in_generate": True, "output_scores": True}
    settings = defaults | settings
    settings.setdefault("num_return_sequences", settings["num_beams"])
    return model.generate(**inputs, custom_generate=official_beam_search, **settings)


def hypotheses(output, inputs, num_beams=3):
    """Of each source, (new tokens up to the end, score) best first."""
    prompt = inputs["input_ids"].shape[1] if "input_ids" in inputs else 1
    found = []
    for sequence, score in zip(output.sequences[:, prompt:].tolist(), output.sequences_scores.tolist()):
        found.append((sequence[: sequence.index(END) + 1] if END in sequence else sequence, score))
    return [found[start : start + num_beams] for start in range(0, len(found), num_beams)]


def assert_same(found, expected):
    assert [words for words, _ in found] == [words for words, _ in expected]
    scores = [torch.tensor([score for _, score in side]) for side in (found, expected)]
    torch.testing.assert_close(*scores, atol=1e-5, rtol=1e-5)


def repeats_trigram(tokens):
    words = []
    for token in tokens:
        if OPENINGS[token] or not words:
            words.append(f"{token}")
        else:
            words[-1] += f"-{token}"
    last = words[-3:]
    return len(words) > 3 and any(words[start : start + 3] == last for start in range(len(words) - 3))


@torch.no_grad()
def slow_search(model, inputs, num_beams=3, max_new_tokens=7, min_new_tokens=0, penalty=1.0, block=False):
    """The rules for one source, hypothesis by hypothesis, the whole text anew for every token."""
    prompt = inputs["input_ids"][0].tolist() if "input_ids" in inputs else [0]
    types = inputs.get("token_type_ids", torch.ones(1, len(prompt), dtype=torch.long))
    beams = [([], 0.0, False)]
    for step in range(max_new_tokens):
        candidates = []
        for new, score, has_ended in beams:
            if has_ended:
                candidates.append((new, score, True))
                continue
            logits = model(
                input_ids=torch.tensor([prompt + new]),
                token_type_ids=torch.nn.functional.pad(types, (0, len(new)), value=1),
                pixel_values=inputs["pixel_values"],
            ).logits[0, -1]
            logits[END] -= 1e18 if step < min_new_tokens else 0
            probabilities, tokens = logits.softmax(-1).topk(num_beams)
            for probability, token in zip(probabilities, tokens.tolist()):
                raw = score * ((5 + step) / 6) ** penalty + probability.log().item()
                caption = [word for word, kind in zip(prompt, types[0]) if kind] + new + [token]
                raw -= 65000 if block and repeats_trigram(caption) else 0
                candidates.append(([*new, token], raw / ((5 + step + 1) / 6) ** penalty, token == END))
        beams = sorted(candidates, key=lambda candidate: -candidate[1])[:num_beams]
        if all(has_ended for *_, has_ended in beams):
            break
    return [(new, score) for new, score, _ in beams]


SETTINGS = {
    "plain": {},
    "no penalty": {"penalty": 0.0, "num_beams": 2},
    "long": {"penalty": 2.0, "max_new_tokens": 12, "num_beams": 4},
    "short ones preferred": {"penalty": -1.0},
    "at least five": {"penalty": 0.6, "min_new_tokens": 5},
    "no word trigram twice": {
        "penalty": 0.6,
        "min_new_tokens": 8,
        "max_new_tokens": 10,
        "num_beams": 4,
        "block": True,
    },
}


@pytest.mark.parametrize("tags", [False, True], ids=["images", "tags"])
@pytest.mark.parametrize("settings", SETTINGS)
def test_a_batch_equals_the_rules_row_by_row(settings, tags):
    settings = SETTINGS[settings]
    captioner = model()
    inputs = tagged() if tags else small.images()
    ours = {name: value for name, value in settings.items() if name not in ("penalty", "block")}
    ours |= {"length_penalty": settings.get("penalty", 1.0)}
    if settings.get("block"):
        ours |= {"block_trigrams": True, "word_openings": OPENINGS}
    found = hypotheses(generate(captioner, inputs, **ours), inputs, settings.get("num_beams", 3))
    for row in range(3):
        assert_same(found[row], slow_search(captioner, row_of(inputs, row), **settings))


def test_the_rules_that_are_compared_take_effect():
    """Some beams end early and some do not, a minimum and blocked trigrams change what is found."""
    captioner, inputs = model(), small.images()
    plain = [words for source in hypotheses(generate(captioner, inputs), inputs) for words, _ in source]
    assert {words[-1] == END for words in plain} == {True, False}
    longer = hypotheses(generate(captioner, inputs, min_new_tokens=5), inputs)
    assert all(END not in words[:5] for source in longer for words, _ in source)
    assert any(END in words[:5] for words in plain)
    long = {"min_new_tokens": 8, "max_new_tokens": 10, "num_beams": 4}
    free = generate(captioner, inputs, **long).sequences.tolist()
    blocked = generate(captioner, inputs, **long, block_trigrams=True, word_openings=OPENINGS).sequences.tolist()
    assert any(repeats_trigram(words[:end]) for words in free for end in range(11))
    assert not any(repeats_trigram(words[:end]) for words in blocked for end in range(11))


@pytest.mark.parametrize("method", ["topk", "nearest", "none"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_rows_do_not_depend_on_their_batch(attention, method):
    captioner, inputs = model(attention=attention, grounding_method=method), tagged()
    together = hypotheses(generate(captioner, inputs), inputs)
    for row in range(3):
        alone = row_of(inputs, row)
        assert_same(hypotheses(generate(captioner, alone), alone)[0], together[row])


def test_official_padding_changes_nothing_without_padding():
    inputs = tagged((4, 4, 4))
    expected = hypotheses(generate(model(), inputs), inputs)
    found = hypotheses(generate(model(official_padding=True), inputs), inputs)
    for row in range(3):
        assert_same(found[row], expected[row])


def test_one_beam_is_greedy_search():
    captioner, inputs = model(0.0), tagged()
    expected = captioner.generate(**inputs, max_new_tokens=7, do_sample=False)
    assert torch.equal(captioner.generate(**inputs, max_new_tokens=7, custom_generate=official_beam_search), expected)


def test_a_prompt_is_continued():
    captioner = model()
    inputs = {"input_ids": torch.tensor([[0, 7, 9], [0, 8, 30], [0, 11, 5]]), **small.images()}
    found = hypotheses(generate(captioner, inputs), inputs)
    for row in range(3):
        assert_same(found[row], slow_search(captioner, row_of(inputs, row)))


def test_nothing_is_computed_twice():
    """A source is encoded once for all its beams; then every step sees one token a row."""
    captioner, inputs = model(-100.0), tagged()
    images, words = [], []
    captioner.unimo2.vision_model.register_forward_pre_hook(
        lambda _, args, kwargs: images.append(len((args or tuple(kwargs.values()))[0])), with_kwargs=True
    )
    captioner.unimo2.text_model.register_forward_pre_hook(lambda _, args: words.append(tuple(args[0].shape)))
    output = generate(captioner, inputs, max_new_tokens=4)
    assert images == [3] and words == [(3, 6), (9, 1), (9, 1), (9, 1)]
    assert output.past_key_values.get_seq_length() == 6 + 3


def test_output():
    captioner, inputs = model(), tagged()
    output = generate(captioner, inputs, num_beams=4, num_return_sequences=2, output_logits=True)
    assert type(output).__name__ == "GenerateBeamDecoderOnlyOutput"
    assert output.sequences.shape[0] == 6 and output.sequences_scores.shape == (6,)
    by_source = output.sequences_scores.view(3, 2)
    assert (by_source[:, 0] >= by_source[:, 1]).all()
    new_tokens = output.sequences.shape[1] - 6
    assert output.beam_indices.shape == (6, new_tokens)
    assert output.scores[0].shape == output.logits[0].shape == (12, 40)
    torch.testing.assert_close(output.logits[0].log_softmax(-1), output.scores[0])
    # transformers' own account of where each token's score comes from.
    steps = captioner.compute_transition_scores(output.sequences, output.scores, output.beam_indices)
    lengths = (output.beam_indices >= 0).sum(1)
    torch.testing.assert_close(steps.sum(1) / ((5 + lengths) / 6), output.sequences_scores)
    assert lengths.min() < new_tokens  # so a shorter one is compared too

    plain = captioner.generate(
        **inputs, num_beams=4, num_return_sequences=2, max_new_tokens=7, custom_generate=official_beam_search
    )
    assert torch.equal(plain, output.sequences)
    bare = generate(captioner, inputs, output_scores=False)
    assert bare.sequences_scores is bare.scores is bare.beam_indices is bare.logits is None
    assert (
        captioner.generate(**inputs, max_new_tokens=7, num_beams=4, custom_generate=official_beam_search).shape[0] == 3
    )


def test_rows_are_padded_after_their_end():
    output = generate(model(2.0), small.images())
    after = (output.sequences == END).cumsum(1) - (output.sequences == END).long() > 0
    assert after.any() and (output.sequences[after] == PADDING).all() and (output.sequences[~after] != PADDING).all()


@pytest.mark.parametrize(
    "settings, longest",
    [({"max_new_tokens": 4}, 10), ({"max_new_tokens": None, "max_length": 9}, 9), ({"max_new_tokens": 1}, 7)],
)
def test_length_is_kept(settings, longest):
    assert generate(model(-100.0), tagged(), **settings).sequences.shape[1] == longest
    assert generate(model(), tagged(), **settings).sequences.shape[1] <= longest


def test_minimum_length_counts_the_prompt():
    captioner, inputs = model(4.0), small.images()
    shortest = hypotheses(generate(captioner, inputs, min_length=5), inputs)
    assert min(len(words) for source in shortest for words, _ in source) == 5  # four after the first, and the end
    assert any(len(words) < 5 for source in hypotheses(generate(captioner, inputs), inputs) for words, _ in source)


class Forbid(LogitsProcessor):
    def __call__(self, input_ids, scores):
        scores[:, 5:30] = -torch.inf
        return scores


class StopAt(StoppingCriteria):
    """Ends a row whose last token is even."""

    def __call__(self, input_ids, scores, **kwargs):
        return input_ids[:, -1] % 2 == 0


def test_settings_of_generate_that_change_logits_or_stop():
    captioner, inputs = model(), small.images()
    new = generate(captioner, inputs, logits_processor=[Forbid()]).sequences[:, 1:]
    assert not ((new >= 5) & (new < 30)).any()
    words = generate(model(-100.0), inputs, no_repeat_ngram_size=1, max_new_tokens=12).sequences
    assert all(len(set(row)) == len(row) for row in words.tolist())
    allowed = generate(captioner, inputs, prefix_allowed_tokens_fn=lambda source, _: [source + 5, source + 20, 35])
    for source, rows in enumerate(allowed.sequences[:, 1:].view(3, 3, -1)):
        assert set(rows.flatten().tolist()) <= {source + 5, source + 20, 35}
    stopped = generate(model(-100.0), inputs, stopping_criteria=[StopAt()]).sequences[:, 1:]
    ends = (stopped % 2 == 0).int()
    assert ends.any() and all(
        set(row[row_ends.argmax() + 1 :].tolist()) <= {PADDING}
        for row, row_ends in zip(stopped, ends)
        if row_ends.any()
    )
    assert generate(captioner, inputs, stopping_criteria=[MaxTimeCriteria(0.0)]).sequences.shape[1] == 2


REFUSED = {
    "sampling": ({"do_sample": True, "num_beams": 1}, "ask for sample;"),
    "beam sampling": ({"do_sample": True, "num_beams": 3}, "ask for beam_sample"),
    "prompt lookup": ({"num_beams": 1, "prompt_lookup_num_tokens": 2}, "ask for assisted_generation"),
    "no beams": (
        {"num_beams": 0, "num_return_sequences": 1},
        "`num_beams` must be an integer of at least 1, but is 0",
    ),
    "negative beams": ({"num_beams": -2, "num_return_sequences": 1}, "at least 1, but is -2"),
    "more beams than tokens": ({"num_beams": 41}, "only 40 tokens"),
    "more results than beams": ({"num_beams": 2, "num_return_sequences": 3}, "smaller or equal to `num_beams`"),
    "early stopping": ({"early_stopping": True}, "`early_stopping` is True"),
    "attentions": ({"output_attentions": True}, "neither attentions nor hidden states"),
    "no cache": ({"use_cache": False}, "leave `use_cache` True"),
    "nothing to pad with": ({"eos_token_id": None, "pad_token_id": None}, "needs a `pad_token_id`"),
    "trigrams without openings": ({"block_trigrams": True}, "`block_trigrams` needs `word_openings`"),
    "openings of another vocabulary": (
        {"block_trigrams": True, "word_openings": [True] * 39},
        r"has shape \(39,\); expected \(40,\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_settings_are_refused(case):
    settings, message = REFUSED[case]
    captioner = model()
    if case == "nothing to pad with":
        captioner.generation_config.eos_token_id = captioner.generation_config.pad_token_id = None
    with pytest.raises(ValueError, match=message):
        generate(captioner, tagged(), **settings)


def test_bad_inputs_are_refused():
    inputs = tagged()
    with pytest.raises(ValueError, match="some end with an object tag"):
        generate(model(), inputs | {"token_type_ids": torch.zeros_like(inputs["token_type_ids"])})
    with pytest.raises(ValueError, match="needs `pixel_values`"):
        generate(model(), {"input_ids": inputs["input_ids"]})
    types = inputs["token_type_ids"].clone()
    types[1, -2] = 1  # its caption starts one column earlier
    generate(model(), inputs | {"token_type_ids": types})
    with pytest.raises(ValueError, match=r"start in columns \[4, 5\]"):
        generate(model(official_padding=True), inputs | {"token_type_ids": types})
    with pytest.raises(ValueError, match="has positions for 32"):
        generate(model(-100.0), inputs, max_new_tokens=40)


def processor(*words):
    """All bytes and some words with a blank before them."""
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(ByteLevel.alphabet()), *words]
    merges = []
    for word in words:
        merges += [(word[:end], word[end]) for end in range(1, len(word))]
        tokens += [word[:end] for end in range(2, len(word)) if word[:end] not in tokens]
    tokenizer = Unimo2Tokenizer({token: index for index, token in enumerate(tokens)}, merges)
    return Unimo2Processor(Unimo2ImageProcessorPil(size=16), tokenizer)


def test_word_openings():
    tokenizer = processor("Ġa", "Ġ.").tokenizer
    openings = find_word_openings(tokenizer, len(tokenizer) + 3)
    assert openings.dtype == torch.bool and openings.shape == (len(tokenizer) + 3,)
    opening = [tokenizer.convert_ids_to_tokens(token) for token in openings.nonzero()[:, 0].tolist()]
    assert sorted(opening) == ["Ġ", "Ġ.", "Ġa"]
    with pytest.raises(ValueError, match="but `vocab_size` is 5"):
        find_word_openings(tokenizer, 5)


def captioner_for(tokenizer):
    text = small.ENCODER | {"vocab_size": len(tokenizer), "max_position_embeddings": 34}
    return small.model(NAME, text_config=text)


def test_the_captioning_pipeline_takes_it():
    parts = processor("Ġa")
    captioner = captioner_for(parts.tokenizer)
    picture = Image.new("RGB", (20, 30), "red")
    settings = {"custom_generate": official_beam_search, "num_beams": 3, "max_new_tokens": 6, "length_penalty": 0.6}
    pipe = pipeline("image-captioning", captioner, tokenizer=parts.tokenizer, image_processor=parts.image_processor)
    (found,) = pipe(picture, generate_kwargs=settings)
    words = captioner.generate(**parts(images=picture, return_tensors="pt"), **settings)
    assert found["generated_text"] == parts.decode(words[0], skip_special_tokens=True).strip()


def test_an_exported_repository_has_it():
    """Its code travels with the model's, where `hf_unimo` cannot be imported."""
    assert model().official_beam_search is official_beam_search
    assert "generation_unimo2.py" in flat_code(FAMILIES["unimo2"])


def test_the_documented_example_runs():
    page = (Path(__file__).parents[3] / "docs" / "model.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    parts = processor("Ġa")
    names = {"model": captioner_for(parts.tokenizer), "processor": parts, "image": Image.new("RGB", (20, 30), "red")}
    exec(code, names)
    assert names["captions"] == parts.batch_decode(names["output"].sequences, skip_special_tokens=True)
    assert names["output"].sequences_scores.shape == (1,)
