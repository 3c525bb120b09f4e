# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Two pictures and a sentence: the pipeline says what the head says, of ours and of ViLT's."""

from itertools import pairwise

import pytest
import torch
import transformers
from PIL import Image

from hf_unimo import pipeline
from hf_unimo.errors import BadInputError

from . import models
from .models import TEXTS, ours, pictures


LABELS = {0: "False", 1: "True"}
OURS, THEIRS = "Unimo2ForImageTextClassification", "ViltForImagesAndTextClassification"


def vilt(**overrides) -> dict:
    config = transformers.ViltConfig.from_dict(
        models._vilt().to_dict()
        | {"num_images": 2, "modality_type_vocab_size": 3, "id2label": LABELS, "label2id": {}}
        | overrides
    )
    torch.manual_seed(0)
    model = models._stirred(transformers.ViltForImagesAndTextClassification(config).eval())
    return {"model": model, "tokenizer": models.word_pieces(), "image_processor": models._image_processor("Vilt")}


def parts_of(name: str) -> dict:
    return vilt() if name == THEIRS else ours(OURS, num_images=2, num_labels=2, id2label=LABELS)


def pairs(number: int = 3) -> list[tuple]:
    images = pictures(number + 1)
    return list(pairwise(images))


def scores(answer) -> dict[str, float]:
    return {one["label"]: one["score"] for one in answer}


def direct(pipe, pair, text) -> dict[str, float]:
    """The model's own output."""
    words = pipe.tokenizer(text, return_tensors="pt")
    pixels = pipe.image_processor(list(pair), return_tensors="pt")
    with torch.no_grad():
        output = pipe.model(
            input_ids=words["input_ids"],
            attention_mask=words["attention_mask"],
            **{name: values[None] for name, values in pixels.items()},
        )
    return dict(zip(LABELS.values(), output.logits[0].softmax(-1).tolist()))


@pytest.mark.parametrize("name", [OURS, THEIRS])
def test_answers_are_the_heads(name):
    pipe = pipeline("nlvr2", **parts_of(name))
    pair = pairs(1)[0]
    found = pipe(pair, TEXTS[0])
    assert scores(found) == pytest.approx(direct(pipe, pair, TEXTS[0]), abs=1e-5)
    assert found == sorted(found, key=lambda one: -one["score"]) and len(found) == 2
    assert scores(pipe(pair[::-1], TEXTS[0])) != pytest.approx(scores(found), abs=1e-4)  # their order counts
    assert [one["label"] for one in pipe(pair, TEXTS[0], top_k=1)] == [found[0]["label"]]


@pytest.mark.parametrize("name", [OURS, THEIRS])
def test_a_batch_answers_as_one_by_one(name):
    pipe = pipeline("nlvr2", **parts_of(name))
    alone = [scores(pipe(pair, text)) for pair, text in zip(pairs(), TEXTS)]
    assert len({str(one) for one in alone}) > 1
    for size in (1, 2, 3):
        for one, expected in zip(pipe(pairs(), TEXTS, batch_size=size), alone, strict=True):
            assert scores(one) == pytest.approx(expected, abs=1e-5)


def test_all_forms():
    pipe = pipeline("nlvr2", **parts_of(OURS))
    rows = [{"images": list(pair), "text": text} for pair, text in zip(pairs(), TEXTS)]
    expected = [pipe(row) for row in rows]
    assert pipe(rows) == list(pipe(iter(rows))) == pipe(pairs(), TEXTS) == expected
    assert pipe(images=pairs()[0], text=TEXTS[0]) == pipe(list(pairs()[0]), TEXTS[0]) == expected[0]
    by_pair, by_text = [pipe(pair, TEXTS[0]) for pair in pairs()], [pipe(pairs()[0], text) for text in TEXTS]
    assert pipe(pairs(), TEXTS[0]) == list(pipe(iter(pairs()), TEXTS[0])) == by_pair
    assert pipe(pairs()[0], TEXTS) == list(pipe(pairs()[0], iter(TEXTS))) == by_text
    assert pipe([], TEXTS[0]) == pipe([]) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((pictures(3), "a"), "`images` holds 3; expected a list or tuple of two"),
        ((pictures(1), "a"), "`images` holds 1; expected"),
        ((pictures(1)[0], "a"), "`images` is of type Image; expected a list or tuple of two"),
        (({"images": "x.png", "text": "a"},), "`images` is of type str; expected"),
        (([pictures(2), pictures(3)], "a"), "`images` holds 3; expected"),
        (([pictures(1)[0], "no such.png"], "a"), "`image` 'no such.png' cannot be read"),
        (([pictures(2)] * 2, ["a"] * 3), "`images` has 2 and `text` 3 elements"),
        ((iter([pictures(2)]), ["a"] * 3), "`images` and `text` are an iterator and several more"),
        (({"image": pictures(2), "text": "a"},), "`image` is no input of nlvr2; expected `images` and `text`"),
        (({"images": pictures(2)},), "`text` is missing; nlvr2 needs `images` and `text`"),
        ((None, "a"), "`images` is missing"),
        ((pictures(2), " "), "`text` is empty"),
        ((pictures(2), 3), "`text` is of type int"),
    ],
)
def test_what_is_refused(arguments, message):
    pipe = pipeline("nlvr2", **parts_of(OURS))
    with pytest.raises(BadInputError, match=message):
        pipe(*arguments)


def test_heads_for_another_number_of_pictures_are_refused():
    with pytest.raises(BadInputError, match=r"`config.num_images` is 1; nlvr2 needs a head for 2"):
        pipeline("nlvr2", **ours(OURS))
    with pytest.raises(BadInputError, match=r"`config.num_images` is 2; visual-entailment needs a head for 1"):
        pipeline("visual-entailment", **parts_of(OURS))
    with pytest.raises(BadInputError, match=r"`config.num_images` is 3; nlvr2 needs a head for 2"):
        pipeline("nlvr2", **vilt(num_images=3))
    with pytest.raises(BadInputError, match="a regression; nlvr2 needs at least 2 classes"):
        pipeline("nlvr2", **ours(OURS, num_images=2, num_labels=1, id2label={0: "how much"}))
    with pytest.raises(
        BadInputError, match=r"cannot do nlvr2, which takes ViltForImagesAnd.* or hf_unimo's \.\.\.For"
    ):
        pipeline("nlvr2", **ours("Unimo2ForMaskedLM"))


def test_sizes_that_cannot_stand_side_by_side():
    parts = parts_of(OURS)
    parts["image_processor"] = type(parts["image_processor"])(do_resize=False)
    pipe = pipeline("nlvr2", **parts)
    equal = [Image.new("RGB", (24, 16), colour) for colour in ("red", "blue")]
    assert len(pipe(equal, "a")) == 2
    with pytest.raises(BadInputError, match=r"`images` are 24x16 and 16x16 pixels, .* expected equal sizes"):
        pipe([equal[0], Image.new("RGB", (16, 16))], "a")


@pytest.mark.parametrize("name", [OURS, THEIRS])
def test_a_folder_is_enough(tmp_path, name):
    parts = parts_of(name)
    for part in parts.values():
        part.save_pretrained(tmp_path)
    loaded = pipeline("nlvr2", str(tmp_path))
    assert type(loaded.model).__name__ == name
    found, expected = loaded(pairs()[0], TEXTS[0]), pipeline("nlvr2", **parts)(pairs()[0], TEXTS[0])
    assert scores(found) == pytest.approx(scores(expected), abs=1e-5)
