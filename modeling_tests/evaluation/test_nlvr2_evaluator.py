# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""NLVR2 heads: figures are those of the model's own logits, by sentence; what does not fit is refused."""

import json
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch

from hf_unimo.cli import main
from hf_unimo.data.benchmarks import open_benchmark
from hf_unimo.data.open_data import open_words
from hf_unimo.errors import BadInputError
from hf_unimo.evaluation.heads import evaluate_head
from hf_unimo.evaluation.measuring import Options
from hf_unimo.evaluation.metrics.nlvr2 import nlvr2_metrics
from modeling_tests.evaluation import models


OURS, THEIRS = "Unimo2ForImageTextClassification", "ViltForImagesAndTextClassification"
OPTIONS = Options(samples=50, block_size=4)
SENTENCES, PAIRS = 6, 3


def named(*names) -> dict:
    label2id = {name: index for index, name in enumerate(names)}
    return {"id2label": dict(enumerate(names)), "label2id": label2id, "num_labels": len(names)}


def head(name: str = OURS, names=("False", "True"), **overrides):
    """A random head whose answers differ from row to row."""
    settings = {"num_images": 2, **(named(*names) if names else {"num_labels": 2}), **overrides}
    if name == THEIRS:
        model, processor = models.vilt(THEIRS, modality_type_vocab_size=3, **settings)
    else:
        model, processor = models.unimo2(OURS, initializer_range=1.0, **settings)
    return model, processor


@pytest.fixture
def folder(tmp_path):
    """6 sentences with 3 pairs of pictures each, in NLVR2's schema."""
    lines = []
    for sentence in range(SENTENCES):
        for pair in range(PAIRS):
            identifier = f"dev-{sentence}-{pair}-0"
            for side in (0, 1):
                file = tmp_path / "dev" / f"dev-{sentence}-{pair}-img{side}.png"
                file.parent.mkdir(exist_ok=True)
                file.write_bytes(models.png(models.picture(100 * sentence + 10 * pair + side)))
            label = str((sentence + pair) % 3 > 0)
            lines.append({"identifier": identifier, "sentence": f"{sentence} squares are alike.", "label": label})
    (tmp_path / "dev.json").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path


@pytest.fixture
def data(folder):
    return open_benchmark("nlvr2", folder, "dev")


def logits(model, processor, rows) -> np.ndarray:
    """Of the model alone, row by row."""
    found = []
    for row in rows:
        words = processor.tokenizer(row.sentence, return_tensors="pt")
        pixels = processor.image_processor(images=[row.left.open(), row.right.open()], return_tensors="pt")
        with torch.inference_mode():
            found.append(model(**words, **{name: values[None] for name, values in pixels.items()}).logits[0].numpy())
    return np.array(found)


@pytest.mark.parametrize("name", [OURS, THEIRS])
def test_figures_are_the_metrics_of_the_heads_answers(name, data):
    model, processor = head(name)
    margins = np.sort(np.diff(logits(model, processor, data))[:, 0])
    with torch.no_grad():  # half of the rows get each answer
        (model.classifier if name == OURS else model.classifier[-1]).bias[1] -= float(margins[8:10].mean())
    found = logits(model, processor, data).argmax(1)
    assert 0 < found.sum() < len(data)
    labels, ids = [row.label for row in data], [row.id for row in data]
    expected = nlvr2_metrics(found, labels, ids)
    for size in (1, 5, 32):
        result = evaluate_head("nlvr2", model, processor, data, batch_size=size, options=OPTIONS)
        assert {name: figure.value for name, figure in result.figures.items()} == pytest.approx(
            {name: expected[name] for name in ("accuracy", "consistency")}
        )
    accuracy, consistency = result.figures["accuracy"], result.figures["consistency"]
    assert accuracy.low <= accuracy.value <= accuracy.high and accuracy.low < accuracy.high
    assert consistency.low <= consistency.value <= consistency.high
    constant = nlvr2_metrics([1] * len(data), labels, ids)
    assert (accuracy.chance, consistency.chance) == (constant["accuracy"], constant["consistency"])
    assert result.protocol.rows == 18 and "over 6 sentences" in result.notes[0] and result.task == "nlvr2"


def test_classes_are_matched_by_name(data):
    model, processor = head(names=("true", "false"))
    found = logits(model, processor, data).argmax(1) == 0
    result = evaluate_head("nlvr2", model, processor, data, options=OPTIONS)
    expected = nlvr2_metrics(found, [row.label for row in data], [row.id for row in data])
    assert result.figures["accuracy"].value == pytest.approx(expected["accuracy"])
    notes = evaluate_head("nlvr2", *head(names=None), data, options=OPTIONS).notes
    assert "does not name its classes" in notes[0] and len(notes) == 2


def test_a_broken_picture_is_recorded(folder):
    (folder / "dev" / "dev-2-1-img1.png").write_bytes(b"broken")
    data = open_benchmark("nlvr2", folder, "dev")
    result = evaluate_head("nlvr2", *head(), data, options=OPTIONS)
    assert [failure["id"] for failure in result.failures] == ["dev-2-1-0"] and result.protocol.rows == 17


def test_the_number_of_images_says_what_a_head_can_do(data):
    with pytest.raises(BadInputError, match=r"cannot do the task 'nlvr2'; it can do: .*entailment"):
        evaluate_head("nlvr2", *head(num_images=1), data)
    with pytest.raises(BadInputError, match=r"cannot do the task 'entailment'; it can do: .*nlvr2"):
        evaluate_head("entailment", *head(), data)
    with pytest.raises(BadInputError, match="cannot do the task 'vqa'; it can do: nlvr2"):
        evaluate_head("vqa", *head(THEIRS), data)


def test_what_does_not_fit_is_refused(data):
    with pytest.raises(BadInputError, match="has 3 classes; the task 'nlvr2' accepts False and True"):
        evaluate_head("nlvr2", *head(names=("False", "True", "maybe")), data)
    with pytest.raises(BadInputError, match="label 'False', which is not in the model's label map"):
        evaluate_head("nlvr2", *head(names=("no", "yes")), data)
    with pytest.raises(BadInputError, match="the task 'nlvr2' accepts rows of Nlvr2Row"):
        evaluate_head("nlvr2", *head(), models.gallery())
    with pytest.raises(BadInputError, match="identifier 'dev-1-0-0' comes more than once"):
        rows = (replace(data.rows[0], id="dev-1-0-0"), *data.rows[1:])
        evaluate_head("nlvr2", *head(), replace(data, rows=rows))
    with pytest.raises(BadInputError, match="1 empty texts among 18"):
        rows = (replace(data.rows[0], sentence=" "), *data.rows[1:])
        evaluate_head("nlvr2", *head(), replace(data, rows=rows))


def test_by_command_line(folder, tmp_path):
    model, processor = head()
    for part in (model, processor):
        part.save_pretrained(tmp_path / "model")
    command = ["evaluate", str(tmp_path / "model"), "--tasks", "nlvr2", "--bootstrap", "20"]
    out = tmp_path / "out"
    assert main([*command, "--data", f"nlvr2={folder}", "split=dev", "--out", str(out)]) == 0
    (result,) = json.loads((out / "results.json").read_text())
    assert set(result["figures"]) == {"accuracy", "consistency"} and result["protocol"]["dataset"] == "nlvr2"


def own_data(folder, pictures="paths", **changes):
    """The same rows in a table of a person's own."""
    rows = []
    for row in open_benchmark("nlvr2", folder, "dev"):
        line = {"left": row.left.path, "right": row.right.path, "said": row.sentence, "truth": bool(row.label)}
        rows.append(line | {"about": row.group} | {name: change(row) for name, change in changes.items()})
    if pictures == "paths":
        (folder / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
        return [f"path={folder / 'own.jsonl'}"]
    for row in rows:
        for side in ("left", "right"):
            row[side] = {"bytes": Path(row[side]).read_bytes(), "path": None}
    datasets.Dataset.from_list(rows).to_parquet(folder / "own.parquet")
    return [f"path={folder / 'own.parquet'}"]


COLUMNS = ["columns.image=left", "columns.second_image=right", "columns.text=said", "columns.label=truth"]
GROUPED = [*COLUMNS, "columns.group=about"]


@pytest.mark.parametrize("pictures", ["paths", "bytes"])
def test_own_data_are_scored_as_the_data_set(folder, data, pictures):
    own = open_words([*own_data(folder, pictures), "name=mine", *GROUPED], "nlvr2")
    assert (own.task, own.label_names, len(own)) == ("nlvr2", ("False", "True"), 18)
    assert own.protocol["columns"] == {
        "image": "left", "text": "said", "second_image": "right", "label": "truth", "group": "about",
    }  # fmt: skip
    model = head()
    found, expected = (evaluate_head("nlvr2", *model, rows, options=OPTIONS) for rows in (own, data))
    assert found.figures == expected.figures and set(found.figures) == {"accuracy", "consistency"}
    swapped = ["columns.image=right", "columns.second_image=left", *GROUPED[2:]]
    other = open_words([*own_data(folder, pictures), "name=mine", *swapped], "nlvr2")
    assert other[0].left.open().tobytes() == own[0].right.open().tobytes() and other.split_hash != own.split_hash


def test_own_data_without_groups_have_no_consistency(folder, data):
    own = open_words([*own_data(folder), *COLUMNS], "nlvr2")
    model = head()
    found, expected = (evaluate_head("nlvr2", *model, rows, options=OPTIONS) for rows in (own, data))
    assert own[0].group is None and list(found.figures) == ["accuracy"]
    assert found.figures["accuracy"].value == expected.figures["accuracy"].value
    assert found.figures["accuracy"].chance == expected.figures["accuracy"].chance
    assert not any("Consistency" in note for note in found.notes)
    some = replace(own, rows=(replace(own.rows[0], group="a"), *own.rows[1:]))
    with pytest.raises(BadInputError, match="names the group of 1 of 18 rows; accepted are all or none"):
        evaluate_head("nlvr2", *model, some)


@pytest.mark.parametrize(
    "truth", [lambda row: row.label, lambda row: str(bool(row.label)), lambda row: "tRUE" if row.label else "false"]
)
def test_own_labels_in_other_words(folder, data, truth):
    own = open_words([*own_data(folder, truth=truth), *COLUMNS], "nlvr2")
    assert [row.label for row in own] == [row.label for row in data]


def test_own_data_that_do_not_fit_are_refused(folder):
    def refused(sentence, *words, **changes):
        with pytest.raises(BadInputError, match=sentence):
            open_words([*own_data(folder, **changes), *COLUMNS, *words], "nlvr2")

    refused("has no column 'second'; the nearest is", "columns.second_image=second")
    refused("has a column 'truth' of type bool; pictures are", "columns.second_image=truth")
    refused("row 0 the label 'maybe' in column 'truth'; accepted are true and false", truth=lambda row: "maybe")
    refused("row 0 the label 2 in column 'truth'", truth=lambda row: 2)
    refused(r"hides labels \(-1, or none\) in column 'truth'", truth=lambda row: -1)
    refused("row 0 the group 0.5; accepted are texts and integers", "columns.group=about", about=lambda row: 0.5)
    refused("has an empty text in row 0", said=lambda row: " ")
    refused("group is 3; accepted is a column's name", "columns.group=3")
    words = [*own_data(folder), *COLUMNS]
    (folder / "dev" / "dev-2-1-img1.png").unlink()
    with pytest.raises(BadInputError, match=r"lacks the images of 1 of 18 rows \(the first: dev-2-1-img1.png\)"):
        open_words(words, "nlvr2")
    assert len(open_words([*words, "missing=drop"], "nlvr2")) == 17
