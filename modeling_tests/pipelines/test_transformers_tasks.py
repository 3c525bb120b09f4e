# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""transformers' own pipelines with our heads."""

import pytest
import torch
import transformers
from transformers import FillMaskPipeline, pipeline

from hf_unimo.errors import BadInputError

from . import models
from .models import ENCODER, LABELS, TEXTS, ours, pictures


@pytest.fixture(scope="module")
def filler():
    return pipeline("fill-mask", **ours("Unimo2ForMaskedLM"))


def test_fill_mask_needs_no_more_than_a_mask(filler):
    assert isinstance(filler, FillMaskPipeline) and filler.tokenizer.split_special_tokens
    text = "a <mask>ed cat"
    words = filler.tokenizer(text, return_tensors="pt", split_special_tokens=False)
    with torch.no_grad():
        logits = filler.model(**words).logits[0, words["input_ids"][0] == filler.tokenizer.mask_token_id]
    values, places = logits[0].softmax(-1).topk(3)
    found = filler(text, top_k=3)
    assert [one["token"] for one in found] == places.tolist()
    assert [one["score"] for one in found] == pytest.approx(values.tolist())
    assert filler(text, targets=["a", "b"]) and filler([text, text], batch_size=2)[1][0]["token"] == places[0]
    with pytest.raises(BadInputError, match="`inputs` is missing"):
        filler(image=pictures(1)[0])
    with pytest.raises(transformers.pipelines.PipelineException, match="No mask_token"):
        filler(text, tokenizer_kwargs={"split_special_tokens": True})


def test_fill_mask_with_a_picture(filler):
    images, texts = pictures(3), ["a <mask> cat", "<mask>", "why is <mask> so"]
    words = filler.tokenizer(texts[0], return_tensors="pt", split_special_tokens=False)
    with torch.no_grad():
        logits = filler.model(**words, **filler.image_processor(images[0], return_tensors="pt")).logits
    scores = logits[0, words["input_ids"][0] == filler.tokenizer.mask_token_id].softmax(-1)
    alone = [filler(text, image=image) for image, text in zip(images, texts)]
    assert alone[0][0]["score"] == pytest.approx(scores.max().item())
    assert alone[0] != filler(texts[0]) == filler({"text": texts[0]})
    rows = [{"image": image, "text": text} for image, text in zip(images, texts)]
    for found in (filler(texts, image=images, batch_size=3), filler(rows)):
        for one, two in zip(found, alone):
            assert [part["token"] for part in one] == [part["token"] for part in two]
            assert [part["score"] for part in one] == pytest.approx([part["score"] for part in two], abs=1e-5)


def test_fill_mask_from_a_folder_finds_the_image_processor(tmp_path, filler):
    for part in (filler.model, filler.tokenizer):
        part.save_pretrained(tmp_path)
    row = {"image": pictures(1)[0], "text": "a <mask>"}
    with pytest.raises(BadInputError, match="`image` is given, but this Unimo2ForMaskedLM came without"):
        pipeline("fill-mask", str(tmp_path))(row)
    filler.image_processor.save_pretrained(tmp_path)
    assert pipeline("fill-mask", str(tmp_path))(row) == filler(row)


def test_fill_mask_is_transformers_own_with_other_models():
    torch.manual_seed(0)
    config = transformers.BertConfig(**ENCODER, vocab_size=len(models.word_pieces()), max_position_embeddings=40)
    parts = {"model": transformers.BertForMaskedLM(config).eval(), "tokenizer": models.word_pieces()}
    text = "a [MASK] cat"
    found = pipeline("fill-mask", **parts)
    assert found(text) == FillMaskPipeline(**parts, task="fill-mask")(text)
    assert found([text, text]) == [found(text)] * 2 and found([text]) == found(text)
    with pytest.raises(BadInputError, match="`image` is given, but this BertForMaskedLM came without"):
        found(text, image=pictures(1)[0])


def check_batches(pipe, inputs, key, **kwargs):
    alone = [pipe(one, **kwargs) for one in inputs]
    for one, two in zip(pipe(inputs, batch_size=3, **kwargs), alone):
        one, two = ([part] if isinstance(part, dict) else part for part in (one, two))
        assert [part[key] for part in one] == [part[key] for part in two]
        assert [part["score"] for part in one] == pytest.approx([part["score"] for part in two], abs=1e-5)
    return alone


def test_text_classification():
    pipe = pipeline("text-classification", **ours("Unimo2ForSequenceClassification"))
    found = check_batches(pipe, TEXTS, "label", top_k=None)
    with torch.no_grad():
        logits = pipe.model(**pipe.tokenizer(TEXTS[0], return_tensors="pt")).logits[0]
    assert found[0][0]["label"] == LABELS[logits.argmax().item()]
    assert found[0][0]["score"] == pytest.approx(logits.softmax(-1).max().item())
    assert pipe({"text": TEXTS[0], "text_pair": TEXTS[1]})["label"] in LABELS.values()


def test_image_classification():
    pipe = pipeline("image-classification", **ours("Unimo2ForImageClassification"))
    found = check_batches(pipe, pictures(3), "label")
    with torch.no_grad():
        logits = pipe.model(**pipe.image_processor(pictures(1)[0], return_tensors="pt")).logits[0]
    assert found[0][0]["score"] == pytest.approx(logits.softmax(-1).max().item())


def test_zero_shot_image_classification():
    pipe = pipeline("zero-shot-image-classification", **ours("Unimo2ForImageTextRetrieval"))
    options = {"candidate_labels": ["cat", "sea"], "hypothesis_template": "a {}"}
    found = check_batches(pipe, pictures(3), "label", **options)
    words = pipe.tokenizer(["a cat", "a sea"], return_tensors="pt", padding=True)
    with torch.no_grad():
        logits = pipe.model(**words, **pipe.image_processor(pictures(1)[0], return_tensors="pt")).logits_per_image
    assert found[0][0]["score"] == pytest.approx(logits.softmax(-1).max().item(), abs=1e-6)


def test_features():
    parts = ours("Unimo2Model")
    words = pipeline("feature-extraction", **parts)(TEXTS[0], return_tensors=True)
    pixels = pipeline("image-feature-extraction", **parts)(pictures(1)[0], return_tensors=True)
    with torch.no_grad():
        text = parts["model"](**parts["tokenizer"](TEXTS[0], return_tensors="pt"))
        image = parts["model"](**parts["image_processor"](pictures(1)[0], return_tensors="pt"))
    torch.testing.assert_close(words, text.last_hidden_state)
    torch.testing.assert_close(pixels, image.last_hidden_state)
