# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Captioning: captions are those of `generate`, figures those of the metrics, and a stopped evaluation goes on."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import transformers

from hf_unimo.cli import main
from hf_unimo.data.benchmarks.rows import Benchmark, CaptionRow, Picture
from hf_unimo.data.open_data import open_words
from hf_unimo.errors import BadInputError
from hf_unimo.evaluation.adapters import possible_tasks
from hf_unimo.evaluation.blocks import Blocks
from hf_unimo.evaluation.captioning import evaluate_captioning, generation_settings
from hf_unimo.evaluation.measuring import Options
from hf_unimo.evaluation.metrics import caption_tokens
from hf_unimo.evaluation.metrics.captions import caption_metrics
from hf_unimo.evaluation.protocol import Result
from modeling_tests.evaluation import models
from modeling_tests.evaluation.test_caption_metrics import needs_java


SETTINGS = {"num_beams": 2, "max_new_tokens": 6}
NAMES = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "cider_d", "rouge_l")


def stirred(model):
    """Fresh decoders say the same of every picture."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model


def lettered(processor):
    """Ids of ordinary letters in place of bytes that are no text by themselves."""
    letters = "abcdefghij"

    def batch_decode(sequences, skip_special_tokens=False):
        assert skip_special_tokens
        special = set(processor.tokenizer.all_special_ids)
        return [
            " ".join(letters[number % 10] for number in row if number not in special) for row in sequences.tolist()
        ]

    processor.tokenizer.batch_decode = batch_decode
    return processor


def unimo2():
    model, processor = models.unimo2("Unimo2ForConditionalGeneration")
    return stirred(model), lettered(processor)


def blip():
    text = models.ENCODER | {"vocab_size": models.WORDS, "max_position_embeddings": 40, "encoder_hidden_size": 32}
    text |= {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "sep_token_id": 2}
    vision = models.ENCODER | {"image_size": 16, "patch_size": 4}
    torch.manual_seed(0)
    config = transformers.BlipConfig(text_config=text, vision_config=vision)
    processor = models.Processor(transformers.BlipImageProcessorPil(size=models.SIZE))
    return stirred(transformers.BlipForConditionalGeneration(config).eval()), lettered(processor)


MODELS = {"unimo2": unimo2, "blip": blip}


def written(model, processor, images, **settings) -> list[str]:
    """One by one, by the model's own `generate`."""
    found = []
    for image in images:
        inputs = processor.image_processor(images=[image], return_tensors="pt")
        sequences = model.generate(pixel_values=inputs["pixel_values"], do_sample=False, **settings)
        found += processor.tokenizer.batch_decode(sequences, skip_special_tokens=True)
    return found


def benchmark(captions, broken=()) -> Benchmark:
    """References that have something in common with what the model writes."""
    cells = models.Cells(
        b"broken" if row in broken else models.png(models.picture(row)) for row in range(len(captions))
    )
    rows = tuple(
        CaptionRow(
            str(row),
            Picture(f"{row}.png", None, cells, row, "image"),
            100 + row,
            (caption + " dog" * row, f"{captions[row - 1]} cat on a mat", "z y x")[: 2 + row % 2],
        )
        for row, caption in enumerate(captions)
    )
    return Benchmark("squares", "test", "captioning", rows, {})


def values(result) -> dict[str, float]:
    return {name: figure.value for name, figure in result.figures.items()}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("batch_size", [1, 3])
def test_captions_and_figures_are_those_of_the_model(name, batch_size, tmp_path):
    model, processor = MODELS[name]()
    assert possible_tasks(model, processor)[-1] == "captioning"
    captions = written(model, processor, [models.picture(row) for row in range(7)], **SETTINGS)
    assert len(set(captions)) > 2
    data, file = benchmark(captions, broken=(4,)), tmp_path / "new" / "captions.json"
    options = Options(samples=20, block_size=4)
    result = evaluate_captioning(
        model, processor, data, generation=SETTINGS, predictions=file, batch_size=batch_size, options=options
    )
    kept = [row for row in range(7) if row != 4]
    found = json.loads(file.read_text())
    assert found == [{"image_id": 100 + row, "caption": captions[row]} for row in kept]
    expected = caption_metrics([captions[row] for row in kept], [data[row].references for row in kept])
    assert expected.pop("caption_tokenizer") == "rules"
    assert values(result) == pytest.approx(expected) and tuple(result.figures) == NAMES
    assert 0 < values(result)["bleu_1"] < 1 and values(result)["cider_d"] > 0
    for figure in result.figures.values():
        assert figure.low <= figure.value <= figure.high
    assert result.figures["rouge_l"].low < result.figures["rouge_l"].high
    protocol = result.protocol
    assert (protocol.rows, protocol.images, protocol.captions_per_image) == (6, 6, (2, 3))
    assert protocol.metric_variant == "tokenizer rules" and protocol.bootstrap["unit"] == "pictures"
    assert protocol.generation == SETTINGS | {"do_sample": False, "num_return_sequences": 1}
    assert [failure["id"] for failure in result.failures] == ["4"]
    assert result.notes == ["The captions are in `captions.json`."]
    assert "generation: num_beams 2, max_new_tokens 6" in result.to_markdown()
    assert Result.from_dict(json.loads(json.dumps(result.to_dict()))) == result


def test_the_settings_are_those_of_the_model_unless_others_are_given():
    model, processor = unimo2()
    fixed = {"do_sample": False, "num_return_sequences": 1}
    assert generation_settings(model, {}, 64) == {"num_beams": 1, "max_new_tokens": 30, **fixed}
    assert generation_settings(model, {}, 9)["max_new_tokens"] == 8
    saved = model.generation_config
    saved.update(max_length=12, do_sample=True, temperature=0.5, num_beams=4, no_repeat_ngram_size=2)
    found = generation_settings(model, {"length_penalty": 2, "num_beams": 3}, 64)
    assert found == fixed | {
        "num_beams": 3, "no_repeat_ngram_size": 2, "max_new_tokens": 11, "length_penalty": 2,
    }  # fmt: skip
    saved.update(max_new_tokens=5, max_length=None)
    result = evaluate_captioning(model, processor, benchmark(["a b"] * 3), options=Options(samples=0))
    assert result.protocol.generation["max_new_tokens"] == 5 and result.protocol.generation["num_beams"] == 4
    assert result.figures["bleu_1"].low is None and not result.protocol.bootstrap


def test_the_first_implementations_search(tmp_path, monkeypatch):
    model, processor = unimo2()
    settings = SETTINGS | {"length_penalty": 0.6, "min_new_tokens": 3}
    search, searched = model.official_beam_search, []

    def watched(*arguments, **given):
        searched.append(given.get("generation_config", arguments[4] if len(arguments) > 4 else None))
        return search(*arguments, **given)

    images = [models.picture(row) for row in range(4)]
    captions = written(model, processor, images, **settings, custom_generate=search)
    monkeypatch.setattr(type(model), "official_beam_search", staticmethod(watched))
    data, file = benchmark(captions), tmp_path / "captions.json"
    for official, batches in ((True, 1), (False, 1)):
        generation = settings | {"official_beam_search": official}
        result = evaluate_captioning(
            model, processor, data, generation=generation, predictions=file, options=Options(samples=2)
        )
        assert result.protocol.generation["official_beam_search"] is official and len(searched) == batches
        if official:
            assert [line["caption"] for line in json.loads(file.read_text())] == captions
    assert searched[0].length_penalty == 0.6 and searched[0].num_beams == 2
    with pytest.raises(BadInputError, match="BlipForConditionalGeneration accepts that of transformers"):
        evaluate_captioning(*blip(), data, generation={"official_beam_search": True})
    with pytest.raises(BadInputError, match="official_beam_search 'yes'; accepted are true and false"):
        evaluate_captioning(model, processor, data, generation={"official_beam_search": "yes"})


def test_a_stopped_evaluation_goes_on(tmp_path, monkeypatch):
    model, processor = unimo2()
    data, generate, calls = benchmark(["a b", "b c", "c d", "d e", "e f"]), type(model).generate, []

    def stopped(*arguments, **settings):
        calls.append(settings["num_beams"])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return generate(*arguments, **settings)

    monkeypatch.setattr(type(model), "generate", stopped)

    def evaluate(folder, generation):
        options = Options(samples=5, block_size=2, blocks=Blocks(folder, {}))
        return evaluate_captioning(model, processor, data, generation=generation, options=options)

    with pytest.raises(KeyboardInterrupt):
        evaluate(tmp_path / "blocks", SETTINGS)
    result = evaluate(tmp_path / "blocks", SETTINGS)
    assert len(calls) == 4  # three blocks, the second twice
    assert result == evaluate(None, SETTINGS)
    # What was written with other settings is not taken.
    evaluate(tmp_path / "blocks", SETTINGS | {"num_beams": 3})
    assert calls[-3:] == [3, 3, 3]


def test_what_cannot_be_scored_is_refused():
    model, processor = unimo2()
    data = benchmark(["a b", "b c"])
    cases = [
        ({"generation": {"beams": 2}}, "unknown setting: 'beams' was given, the nearest known is 'num_beams'"),
        ({"generation": {"num_beams": 0}}, "num_beams 0; accepted are integers from 1 on"),
        ({"generation": {"num_beams": True}}, "num_beams True; accepted are integers"),
        ({"generation": {"max_new_tokens": 64}}, "max_new_tokens 64; the model's positions accept 1 to 63"),
        ({"generation": {"max_new_tokens": 3, "min_new_tokens": 4}}, "min_new_tokens 4; accepted is at most"),
        ({"generation": {"early_stopping": "soon"}}, "early_stopping 'soon'; accepted are true and false"),
        ({"generation": {"length_penalty": "long"}}, "length_penalty 'long'; accepted are numbers"),
        ({"generation": {"repetition_penalty": 0}}, "repetition_penalty 0; accepted are numbers above 0"),
        ({"tokenizer": "words"}, "words"),
    ]
    for arguments, said in cases:
        with pytest.raises(BadInputError, match=said):
            evaluate_captioning(model, processor, data, **arguments)
    hidden = replace(data, rows=(replace(data[0], references=()), data[1]))
    with pytest.raises(BadInputError, match="hides the labels of 1 of 2 rows"):
        evaluate_captioning(model, processor, hidden)
    empty = replace(data, rows=(data[0], replace(data[1], references=("...",))))
    with pytest.raises(BadInputError, match=r"Picture 1 \(from 0\) has no reference caption with a word"):
        evaluate_captioning(model, processor, empty)
    with pytest.raises(BadInputError, match="is for retrieval; the task 'captioning' accepts rows of CaptionRow"):
        evaluate_captioning(model, processor, models.gallery())
    with pytest.raises(BadInputError, match="needs a processor with an image processor and a tokenizer"):
        evaluate_captioning(model, processor.tokenizer, data)
    with pytest.raises(BadInputError, match="cannot do the task 'captioning'; it can do: retrieval"):
        evaluate_captioning(*models.unimo2(), data)


@needs_java
@pytest.mark.slow
def test_meteor_beside_the_others():
    model, processor = unimo2()
    captions = written(model, processor, [models.picture(row) for row in range(4)], **SETTINGS)
    data = benchmark(captions)
    arguments = {"generation": SETTINGS, "options": Options(samples=5)}
    result = evaluate_captioning(model, processor, data, more_metrics=["meteor"], **arguments)
    expected = caption_metrics(captions, [row.references for row in data], metrics=["meteor"])
    figure = result.figures["meteor"]
    assert figure.value == expected["meteor"] and 0 < figure.low <= figure.value <= figure.high
    assert "METEOR 1.5, English, by its Java program" in result.protocol.scoring
    assert "pycocoevalcap" in result.protocol.versions
    without = evaluate_captioning(model, processor, data, **arguments)
    assert without.figures == {name: value for name, value in result.figures.items() if name != "meteor"}
    assert "METEOR" not in without.protocol.scoring


def test_meteor_is_refused_without_java(monkeypatch):
    model, processor = unimo2()
    monkeypatch.setattr(type(model), "generate", None)  # nothing long has begun
    data = benchmark(["a b", "b c"])
    monkeypatch.setattr(caption_tokens, "find_spec", lambda name: None)
    with pytest.raises(BadInputError, match=r"^METEOR needs the package pycocoevalcap"):
        evaluate_captioning(model, processor, data, more_metrics=["meteor"])
    package = SimpleNamespace(submodule_search_locations=["."])
    monkeypatch.setattr(caption_tokens, "find_spec", lambda name: package)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(BadInputError, match=r"^METEOR needs a Java runtime, but there is no `java` on the PATH\.$"):
        evaluate_captioning(model, processor, data, more_metrics=["meteor"])
    with pytest.raises(BadInputError, match=r"SPICE is not offered: .*; accepted are meteor"):
        evaluate_captioning(model, processor, data, more_metrics=["spice"])
    with pytest.raises(BadInputError, match="'metor' was given, the nearest known is 'meteor'"):
        evaluate_captioning(model, processor, data, more_metrics=["metor"])


def test_one_picture_and_empty_captions(monkeypatch):
    model, processor = unimo2()
    processor.tokenizer.batch_decode = lambda sequences, **_: [""] * len(sequences)
    data = benchmark(["a b"])
    result = evaluate_captioning(model, processor, data, options=Options(samples=5))
    assert set(values(result).values()) == {0.0}
    assert "of one picture it is always 0" in result.notes[0]


def own_data(folder):
    """Six pictures; two rows show the same one, two of other folders share a name."""
    lines = []
    for number, name in enumerate(("0.png", "1.png", "2.png", "a/3.png", "b/3.png", "0.png")):
        (folder / name).parent.mkdir(exist_ok=True)
        if number < 5:
            (folder / name).write_bytes(models.png(models.picture(number)))
        lines.append({"file": name, "said": [f"{number} a red cat", f"{number} two dogs"]})
    (folder / "data.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return [f"path={folder / 'data.jsonl'}", "name=mine", "columns.image=file", "columns.text=said"]


def test_own_data(tmp_path):
    words = own_data(tmp_path)
    data = open_words(words, "captioning")
    assert [row.image_id for row in data] == ["0.png", "1.png", "2.png", "3.png (row 3)", "3.png (row 4)"]
    assert data[0].references == ("0 a red cat", "0 two dogs", "5 a red cat", "5 two dogs")
    text = (tmp_path / "data.jsonl").read_text()
    (tmp_path / "data.jsonl").write_text(text.replace("1 two dogs", "1 two cats"))
    assert open_words(words, "captioning").split_hash != data.split_hash


def test_the_command(tmp_path, monkeypatch, capsys):
    model, processor = models.unimo2("Unimo2ForConditionalGeneration")
    stirred(model).save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    words = ["evaluate", str(tmp_path / "model"), "--tasks", "captioning", "--data", *own_data(tmp_path)]
    words += ["--bootstrap", "5", "--out", str(tmp_path / "out"), "--generate"]
    assert main([*words, "beams=2"]) == 2
    assert "the nearest known is 'num_beams'" in capsys.readouterr().err and not (tmp_path / "out").exists()
    assert main([*words, "num_beams=2", "max_new_tokens=6"]) == 0
    (tree,) = json.loads((tmp_path / "out" / "results.json").read_text())
    result = Result.from_dict(tree)
    assert result.task == "captioning" and tuple(result.figures) == NAMES
    assert "--generate num_beams=2 max_new_tokens=6 --caption-tokenizer rules --batch-size" in result.protocol.command
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "README.md", "captions-model-mine-train.json", "results.json", "results.md",
    ]  # fmt: skip
    captions = json.loads((tmp_path / "out" / "captions-model-mine-train.json").read_text())
    images = [models.picture(number) for number in range(5)]
    expected = [" ".join(text.split()) for text in written(model, processor, images, **SETTINGS)]
    assert [line["caption"] for line in captions] == expected
    assert "### Image captioning: mine, train" in capsys.readouterr().out


def test_captions_of_coco_by_name(tmp_path):
    images = []
    for number in range(3):
        sentence = {"tokens": [], "raw": f"{number} dogs", "imgid": number, "sentid": number}
        image = {"filename": f"{number}.jpg", "filepath": "val2014", "cocoid": 7 + number, "imgid": number}
        images.append(image | {"split": "test", "sentids": [number], "sentences": [sentence]})
    (tmp_path / "val2014").mkdir()
    for number in range(3):
        (tmp_path / "val2014" / f"{number}.jpg").write_bytes(models.png(models.picture(number)))
    (tmp_path / "dataset_coco.json").write_text(json.dumps({"dataset": "coco", "images": images}))
    data = open_words([f"coco-karpathy-captions={tmp_path}", "split=test", f"images={tmp_path}"], "captioning")
    file = tmp_path / "captions.json"
    result = evaluate_captioning(*unimo2(), data, predictions=file, options=Options(samples=2))
    assert result.protocol.dataset == "coco-karpathy-captions" and result.protocol.captions_per_image == (1, 1)
    assert [line["image_id"] for line in json.loads(file.read_text())] == [7, 8, 9]
