# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Captions of the first implementation's files, as token ids: the same figures as of texts, without a tokenizer."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from hf_unimo.cli import main
from hf_unimo.data.benchmarks import open_benchmark
from hf_unimo.data.benchmarks.rows import Benchmark, CaptionRow, Picture, TokenCaptionRow, TokenIds
from hf_unimo.errors import BadInputError
from hf_unimo.evaluation import captioning, retrieval
from hf_unimo.evaluation.blocks import Blocks
from hf_unimo.evaluation.captioning import evaluate_captioning
from hf_unimo.evaluation.measuring import Options
from hf_unimo.evaluation.retrieval import evaluate_retrieval
from hf_unimo.evaluation.token_ids import TEXT_INPUT, check_token_ids
from hf_unimo.retrieval.adapters import pair_adapter
from modeling_tests.evaluation import models
from modeling_tests.evaluation.test_captioning_evaluator import SETTINGS, blip, stirred, values, written


OPTIONS = Options(samples=10, block_size=3, batch_size=2)
TOKENIZER = models.tokenizer()


def ids(text: str) -> TokenIds:
    """As the files have it: special tokens in, positions from 2 on."""
    found = TOKENIZER(text)["input_ids"]
    return TokenIds(tuple(found), (0,) * len(found), tuple(range(2, 2 + len(found))))


def in_ids(data: Benchmark) -> Benchmark:
    return replace(data, rows=tuple(replace(row, captions=tuple(map(ids, row.captions))) for row in data))


def no_tokenizer(*args, **kwargs):
    raise AssertionError("a tokenizer was asked")


@pytest.mark.parametrize("official_padding", [False, True])
@pytest.mark.parametrize("task", retrieval.TASKS)
def test_retrieval_by_ids_is_that_by_texts(task, official_padding, monkeypatch):
    model, processor = models.unimo2(official_padding=official_padding)
    data = models.gallery()
    long = replace(data.rows[3], captions=("3 is a caption " * 8, *data.rows[3].captions))
    data = replace(data, rows=(*data.rows[:3], long, *data.rows[4:]))
    adapter = pair_adapter(model, processor, batch_size=4)
    by_texts, found = evaluate_retrieval(adapter, data, task, top_k=3, options=OPTIONS), in_ids(data)
    monkeypatch.setattr(type(processor.tokenizer), "__call__", no_tokenizer)
    by_ids = evaluate_retrieval(adapter, found, task, top_k=3, options=OPTIONS)
    assert by_ids.figures == by_texts.figures and by_texts.protocol.text_input is None
    assert by_ids.protocol.text_input == TEXT_INPUT and f"* text input: {TEXT_INPUT}" in by_ids.to_markdown()
    assert by_ids.protocol.truncated_texts == by_texts.protocol.truncated_texts == 1
    assert replace(by_ids.protocol, text_input=None) == by_texts.protocol


def test_the_positions_are_those_of_the_file():
    adapter, texts = pair_adapter(*models.unimo2()), [ids("a dog"), ids("a cat")]
    moved = [replace(text, position_ids=tuple(position + 1 for position in text.position_ids)) for text in texts]
    assert not np.allclose(adapter.text_features(texts), adapter.text_features(moved), atol=1e-4)
    inputs = adapter.texts(moved)
    with torch.inference_mode():
        expected = adapter.base.get_text_features(**inputs).pooler_output
    assert inputs["position_ids"].tolist() == [list(range(3, 10))] * 2
    np.testing.assert_allclose(adapter.text_features(moved), expected.numpy(), atol=1e-6)


def test_ids_that_are_not_the_models_are_refused():
    adapter, data = pair_adapter(*models.unimo2()), in_ids(models.gallery())

    def changed(**fields):
        first = replace(data.rows[0].captions[0], **fields)
        return replace(data, rows=(replace(data.rows[0], captions=(first,)), *data.rows[1:]))

    with pytest.raises(BadInputError, match=r"'squares' has the token id 261; the model accepts 0 to 260\."):
        evaluate_retrieval(adapter, changed(input_ids=(0, 261, 2)), options=OPTIONS)
    with pytest.raises(BadInputError, match=r"has the position id 66; the model accepts 0 to 65\."):
        evaluate_retrieval(adapter, changed(position_ids=(0, 66, 2), input_ids=(0, 5, 2)), options=OPTIONS)
    with pytest.raises(BadInputError, match="which are those of UNIMO-2; CLIPModel accepts captions as texts"):
        evaluate_retrieval(pair_adapter(*models.clip()), data, options=OPTIONS)
    mixed = replace(data, rows=(models.gallery().rows[0], *data.rows[1:]))
    with pytest.raises(BadInputError, match="has 12 of 14 captions as token ids; accepted are all or none"):
        evaluate_retrieval(adapter, mixed, options=OPTIONS)
    # Positions of tokens that are cut off do not count.
    check_token_ids([TokenIds((0, 5, 2), (0, 0, 0), (2, 3, 99))], data, adapter.model, places=2)


def test_repeated_ids_are_repeated_captions():
    adapter, data = pair_adapter(*models.unimo2()), in_ids(models.gallery(captions=(1,)))
    same = tuple(replace(row, captions=(ids("same"),)) if row.id in "25" else row for row in data.rows)
    with pytest.raises(BadInputError, match=r"1 captions repeat over 2 of its 7 images \(the first: '\(0, "):
        evaluate_retrieval(adapter, replace(data, rows=same), options=OPTIONS)
    assert evaluate_retrieval(adapter, replace(data, rows=same), allow_repeated=True, options=OPTIONS).notes


def test_the_files_by_command(tmp_path):
    """Figures of the ids in the file, and of the same captions as texts."""
    model, processor = models.unimo2()
    for part in (model, processor):
        part.save_pretrained(tmp_path / "model")
    captions = [f"{number} is caption {part}" for number in range(4) for part in range(2)]
    lines, table = [], []
    for place, caption in enumerate(captions):
        text, image = ids(caption), str(place // 2)
        fields = (text.input_ids, text.segment_ids, text.position_ids)
        lines.append(";".join([*(" ".join(map(str, field)) for field in fields), image, str(place % 2)]))
        table.append({"image": f"{image}.jpg", "text": caption})
        (tmp_path / f"{image}.jpg").write_bytes(models.png(models.picture(place // 2)))
    (tmp_path / "test.all.ids").write_text("\n".join(lines))
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, table)))
    words = ["evaluate", str(tmp_path / "model"), "--tasks", "retrieval,matching", "--bootstrap", "5", "--data"]
    assert main([*words, f"unimo2-flickr30k={tmp_path}", "--out", str(tmp_path / "ids")]) == 0
    assert main([*words, f"path={tmp_path / 'data.jsonl'}", "--out", str(tmp_path / "texts")]) == 0
    by_ids, by_texts = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("ids", "texts"))
    assert [result["figures"] for result in by_ids] == [result["figures"] for result in by_texts]
    assert by_ids[0]["protocol"]["text_input"] == TEXT_INPUT and by_texts[0]["protocol"]["text_input"] is None
    assert by_ids[0]["protocol"]["data"]["protocol"]["text"] == "token ids of the file"


# ---------------------------------------------------------------------------------------------------------------------
# Captioning
# ---------------------------------------------------------------------------------------------------------------------


def writer():
    model, processor = models.unimo2("Unimo2ForConditionalGeneration")
    return stirred(model), processor


def lines(captions, objects=None) -> Benchmark:
    """One line a caption; two captions a picture."""
    cells = models.Cells(models.png(models.picture(row)) for row in range(len(captions)))
    rows = []
    for number, texts in enumerate(captions):
        picture = Picture(f"{number}.png", None, cells, number, "image")
        tags = None if objects is None else ids(objects[number])
        for part, text in enumerate(texts):
            tokens = ids(text)
            kinds = (0,) * len(tokens.input_ids)
            rows.append(TokenCaptionRow(f"{number}-{part}", picture, f"{100 + number}", tokens, kinds, "0", tags))
    return Benchmark("coco", "val", "captioning", tuple(rows), {})


def texts_of(data: Benchmark, captions) -> Benchmark:
    pictures = {row.image_id: row.image for row in data}
    rows = [
        CaptionRow(name, image, int(name), tuple(texts)) for (name, image), texts in zip(pictures.items(), captions)
    ]
    return replace(data, rows=tuple(rows))


def test_captions_scored_with_ids_as_references(tmp_path):
    model, processor = writer()
    own = written(model, processor, [models.picture(row) for row in range(5)], **SETTINGS)
    letters = [f"a {number} cat" for number in range(5)]
    # What the model writes stands among the references of another picture, so that the figures are not all 0.
    captions = [(" ".join(text.split()) + " dog", letter) for text, letter in zip([own[0], *own[:4]], letters)]
    data, file = lines(captions), tmp_path / "captions.json"
    arguments = {"generation": SETTINGS, "options": Options(samples=10, block_size=2)}
    by_ids = evaluate_captioning(model, processor, data, predictions=file, **arguments)
    by_texts = evaluate_captioning(model, processor, texts_of(data, captions), **arguments)
    assert by_ids.figures == by_texts.figures and values(by_ids)["bleu_1"] > 0
    assert by_ids.protocol.captions_per_image == (2, 2) and by_ids.protocol.images == 5
    assert "references from token ids of the data" in by_ids.protocol.text_input
    assert by_texts.protocol.text_input is None and by_ids.protocol.generation == by_texts.protocol.generation
    assert [line["image_id"] for line in json.loads(file.read_text())] == [100, 101, 102, 103, 104]


OBJECTS = ("cat", "dog ball grass", "a", "man hat", "sky")


@pytest.mark.parametrize("batch_size", [1, 3])
def test_objects_stand_before_the_caption(batch_size, tmp_path):
    model, processor = writer()
    data, file = lines([("a b", "b c")] * 5, OBJECTS), tmp_path / "captions.json"
    result = evaluate_captioning(
        model, processor, data, generation=SETTINGS, predictions=file, batch_size=batch_size, options=OPTIONS
    )
    expected = []
    for number, tags in enumerate(OBJECTS):
        before = list(ids(tags).input_ids)
        inputs = processor.image_processor(images=[models.picture(number)], return_tensors="pt")
        words = {
            "input_ids": torch.tensor([[*before, 0]]),
            "token_type_ids": torch.tensor([[0] * len(before) + [1]]),
        }
        sequence = model.generate(pixel_values=inputs["pixel_values"], **words, do_sample=False, **SETTINGS)
        text = processor.tokenizer.decode(sequence[0, len(before) :], skip_special_tokens=True)
        expected.append(" ".join(text.split()))
    found = [line["caption"] for line in json.loads(file.read_text())]
    assert found == expected
    without = written(model, processor, [models.picture(row) for row in range(5)], **SETTINGS)
    assert found != [" ".join(text.split()) for text in without]
    assert "the object tokens of the data before the caption" in result.protocol.scoring


def test_objects_are_cut_to_the_positions_that_are_left(monkeypatch, tmp_path):
    model, processor = writer()
    data, seen = lines([("a b", "b c")] * 2, ["x" * 70, "cat"]), []
    generate = type(model).generate

    def watched(*arguments, **settings):
        seen.append(settings["input_ids"])
        return generate(*arguments, **settings)

    monkeypatch.setattr(type(model), "generate", watched)
    result = evaluate_captioning(model, processor, data, generation=SETTINGS, options=OPTIONS)
    assert seen[0].shape[1] == 64 - 6 and seen[0][0, :-1].tolist() == list(ids("x" * 70).input_ids[:57])
    assert result.notes == ["Of 1 pictures the object tokens were cut to 57."]
    monkeypatch.setattr(captioning, "MAX_OBJECTS", 4)
    evaluate_captioning(model, processor, data, generation=SETTINGS, options=OPTIONS)
    assert seen[1].shape[1] == 5
    with pytest.raises(BadInputError, match="max_new_tokens 63, which leaves no position for object tokens"):
        evaluate_captioning(model, processor, data, generation={"max_new_tokens": 63}, options=OPTIONS)


def test_other_objects_are_another_computation(tmp_path):
    model, processor = writer()
    found = []
    for objects in (None, OBJECTS, OBJECTS[::-1]):
        data, file = lines([("a b", "b c")] * 5, objects), tmp_path / "captions.json"
        options = Options(samples=2, blocks=Blocks(tmp_path / "blocks", {}))
        evaluate_captioning(model, processor, data, generation=SETTINGS, predictions=file, options=options)
        found.append(file.read_text())
    assert len(set(found)) == 3


def test_captions_that_cannot_be_used_are_refused():
    model, processor = writer()
    data = lines([("a b", "b c")] * 2, ["cat", "dog"])

    def refused(said, change, first_only=True):
        rows = tuple(change(row) if number == 0 or not first_only else row for number, row in enumerate(data.rows))
        with pytest.raises(BadInputError, match=said):
            evaluate_captioning(model, processor, replace(data, rows=rows))

    odd = TokenIds((0, 5, 2), (0, 0, 0), (2, 3, 5))
    refused("has the token id 300; the model accepts 0 to 260", lambda row: replace(
        row, tokens=TokenIds((0, 300, 2), (0, 0, 0), (2, 3, 4))
    ))  # fmt: skip
    refused("hides the labels of 4 of 4 rows", lambda row: replace(row, tokens=None), first_only=False)
    refused("has different objects of the picture '100'", lambda row: replace(row, objects=odd))
    refused("with other positions than 2, 3, ...", lambda row: replace(row, objects=odd), first_only=False)
    refused(
        "has objects of some pictures; accepted are objects of all, or none",
        lambda row: replace(row, objects=None) if row.image_id == "100" else row,
        first_only=False,
    )
    with pytest.raises(BadInputError, match="BlipForConditionalGeneration accepts captions as texts"):
        evaluate_captioning(*blip(), data)


def test_the_captioning_files(tmp_path):
    """From the files with 8 and with 4 fields to figures."""
    model, processor = writer()
    found = []
    for number, text in enumerate(("a b", "b c", "c d", "d e")):
        tokens = ids(text)
        parts = [" ".join(map(str, part)) for part in (tokens.input_ids, tokens.segment_ids, tokens.position_ids)]
        kinds = " ".join(["0"] * len(tokens.input_ids))
        found.append(f"COCO_val_{number // 2};{number // 2}.jpg;{number};{';'.join(parts)};{kinds};0")
        (tmp_path / f"{number // 2}.jpg").write_bytes(models.png(models.picture(number // 2)))
    (tmp_path / "val.ids").write_text("\n".join(found))
    tags = ids("cat")
    parts = [" ".join(map(str, part)) for part in (tags.input_ids, tags.segment_ids, tags.position_ids)]
    (tmp_path / "objects").write_text("\n".join(f"{image};{';'.join(parts)}" for image in range(2)))
    data = open_benchmark("unimo2-coco", tmp_path, "val", objects=tmp_path / "objects")
    result = evaluate_captioning(model, processor, data, generation=SETTINGS, options=OPTIONS)
    assert result.protocol.captions_per_image == (2, 2) and result.protocol.rows == 2
    assert result.protocol.data["protocol"]["objects"] == "objects"
