# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Zero-shot classification by prompts and the linear probe."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, top_k_accuracy_score

from hf_unimo.data.benchmarks.rows import Benchmark, ImageLabelRow, Picture
from hf_unimo.errors import BadInputError
from hf_unimo.evaluation import zero_shot
from hf_unimo.evaluation.measuring import Options
from hf_unimo.evaluation.prompts import PROMPT_SETS, load_prompts
from hf_unimo.retrieval.adapters import pair_adapter
from modeling_tests.evaluation import models


OPTIONS = Options(samples=20, block_size=4)


def squares(labels, names, seed=0, broken=(), split="test") -> Benchmark:
    """Pictures whose brightness tells their class."""
    cells, rows = models.Cells(), []
    for number, label in enumerate(labels):
        random = np.random.RandomState(seed + number)
        levels = random.randint(0, 40, (16, 16, 3)) + 60 * (label or 0)
        image = models.Image.fromarray(levels.astype(np.uint8))
        cells.append(b"broken" if number in broken else models.png(image))
        rows.append(ImageLabelRow(f"{split}/{number}", Picture(f"{number}.png", None, cells, number, "image"), label))
    return Benchmark("squares", split, "image-classification", tuple(rows), {}, tuple(names))


@pytest.mark.parametrize("name", models.PAIRS)
def test_the_class_is_that_of_the_mean_of_its_prompts(name):
    adapter = pair_adapter(*models.PAIRS[name](), batch_size=5)
    names = ("dark_one", "x", "bright", "d", "e", "f", "g")
    data = squares([0, 1, 2, 2, 1, 5, 6], names, broken=(1,))
    prompts = ("a {}", "{} is here")
    result = zero_shot.evaluate_zero_shot(adapter, data, prompts=prompts, prompt_set="mine", options=OPTIONS)
    images = [row.image.open() for number, row in enumerate(data) if number != 1]
    scores = np.zeros((6, 7))
    for column, text in enumerate(name.replace("_", " ") for name in names):
        texts = [prompt.replace("{}", text) for prompt in prompts]
        if adapter.features:
            features = adapter.text_features(texts)
            mean = (features / np.linalg.norm(features, axis=1, keepdims=True)).mean(0)
            scores[:, column] = adapter.image_features(images) @ mean / np.linalg.norm(mean)
        else:
            scores[:, column] = [adapter.match([image], np.array([0, 0]), texts).mean() for image in images]
    labels = [0, 2, 2, 1, 5, 6]
    found = {key: figure.value for key, figure in result.figures.items()}
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, scores.argmax(1)))
    assert found["top5_accuracy"] == pytest.approx(top_k_accuracy_score(labels, scores, k=5, labels=range(7)))
    assert found["mean_class_accuracy"] == pytest.approx(balanced_accuracy_score(labels, scores.argmax(1)))
    assert [failure["id"] for failure in result.failures] == ["test/1"]
    protocol = result.protocol
    assert (protocol.rows, protocol.texts, protocol.prompts, protocol.prompt_set) == (6, 14, list(prompts), "mine")
    assert protocol.label_names == list(names) and result.figures["accuracy"].chance == 1 / 7


@pytest.mark.parametrize("name", ["clip", "unimo2", "vilt"])
def test_texts_of_similar_length_share_a_batch(name, monkeypatch):
    adapter = pair_adapter(*models.PAIRS[name](), batch_size=4)
    names = [letter * length for letter, length in zip("abcdefghij", (1, 19, 3, 17, 5, 15, 7, 13, 9, 11))]
    widths, texts = [], type(adapter.texts).__call__

    def counted(self, *args):
        inputs = texts(self, *args)
        widths.append(inputs["input_ids"].numel())
        return inputs

    monkeypatch.setattr(type(adapter.texts), "__call__", counted)
    data, seen = squares([0, 1, 2], names), {}
    for official in (False, True):  # such models keep the order
        adapter.model.config.official_padding = official
        widths.clear()
        result = zero_shot.evaluate_zero_shot(adapter, data, prompts=("{}",), options=OPTIONS)
        seen[official] = sum(widths), result.figures
    if name != "unimo2":  # to which its padding would be visible
        assert seen[True][1] == seen[False][1]
    tokens = (100 + 2 * len(names)) * (1 if adapter.features else 3)
    assert seen[False][0] - tokens < (seen[True][0] - tokens) / 2


def test_equal_scores_are_won_as_by_argmax():
    scores = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [2.0, 1.0, 2.0]])
    labels = np.array([0, 2, 2])
    found = zero_shot._Accuracies(scores, labels).of(np.arange(3))
    assert found["accuracy"] == np.mean(scores.argmax(1) == labels) == 1 / 3


def test_a_probe_learns_brightness():
    adapter = pair_adapter(*models.clip())
    names = ("dark", "middle", "bright")
    train = squares([0, 1, 2] * 8, names, seed=100, split="train")
    result = zero_shot.evaluate_linear_probe(adapter, train, squares([2, 1, 0] * 4, names), options=OPTIONS)
    assert result.figures["accuracy"].value == 1.0
    assert "learnt from 24 rows of split 'train'" in result.protocol.scoring and not result.notes
    # A class that was not learnt is never right, and does no harm.
    train = squares([0, 1] * 8, names, seed=100, split="train")
    result = zero_shot.evaluate_linear_probe(adapter, train, squares([2, 1, 0] * 4, names), options=OPTIONS)
    assert result.figures["accuracy"].value == pytest.approx(2 / 3)


def test_a_probe_is_refused():
    adapter, names = pair_adapter(*models.clip()), ("dark", "bright")
    data = squares([0, 1], names)
    with pytest.raises(BadInputError, match="learn from split 'test'"):
        zero_shot.evaluate_linear_probe(adapter, data, data, options=OPTIONS)
    with pytest.raises(BadInputError, match="the same classes"):
        zero_shot.evaluate_linear_probe(adapter, squares([0, 1], ("bright", "dark")), data, options=OPTIONS)
    with pytest.raises(BadInputError, match="have one class"):
        zero_shot.evaluate_linear_probe(adapter, squares([1, 1], names, split="train"), data, options=OPTIONS)
    with pytest.raises(BadInputError, match="ViltForImageAndTextRetrieval has no image features"):
        zero_shot.evaluate_linear_probe(pair_adapter(*models.vilt()), data, data)


def test_data_that_do_not_fit_are_refused():
    adapter = pair_adapter(*models.clip())
    data = squares([0, None, 1], ("dark", "bright"))
    for changed, said in (
        (data, "hides the labels of 1 of 3 rows"),
        (replace(data, label_names=None), "classes without names"),
        (replace(data, label_names=("a_b", "a b")), "two classes named 'a b'"),
        (models.gallery(), "is for retrieval; accepted are pictures with a class"),
    ):
        rows = (
            changed.rows
            if changed is data
            else tuple(row for row in changed.rows if getattr(row, "label", 0) is not None)
        )
        with pytest.raises(BadInputError, match=said):
            zero_shot.evaluate_zero_shot(adapter, replace(changed, rows=rows), options=OPTIONS)


def test_prompts(tmp_path):
    assert load_prompts("photo") == ("photo", PROMPT_SETS["photo"])
    assert all(template.count("{}") == 1 for templates in PROMPT_SETS.values() for template in templates)
    file = tmp_path / "mine.txt"
    file.write_text("a {}\n\n  {} é \n", encoding="utf-8")
    assert load_prompts(file) == ("mine.txt", ("a {}", "{} é"))
    file.write_text("a {}\nnothing\n")
    with pytest.raises(BadInputError, match="'nothing'; accepted are templates with"):
        load_prompts(file)
    with pytest.raises(BadInputError, match="'foto' was given, the nearest known is 'photo'"):
        load_prompts("foto")
