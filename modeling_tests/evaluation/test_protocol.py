# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Results: intervals, protocol, JSON, Markdown, model cards; and blocks that are stored."""

import json
import math

import numpy as np
import pytest
from huggingface_hub import ModelCard

from hf_unimo.errors import BadInputError
from hf_unimo.evaluation import protocol
from hf_unimo.evaluation.blocks import Blocks
from hf_unimo.evaluation.bootstrap import Figure, with_intervals


def result(task="retrieval", **figures) -> protocol.Result:
    return protocol.Result(
        task=task,
        model="unimo2",
        model_class="Unimo2Model",
        figures={name.replace("_at_", "@"): figure for name, figure in figures.items()},
        protocol=protocol.Protocol(
            dataset="flickr30k",
            split="test",
            split_hash="abc",
            rows=10,
            captions_per_image=(4, 5),
            prompts=["a {}.", "one {}"],
            preprocessing={"mean": [0.5, 0.5]},
            versions=protocol.versions(),
            bootstrap={"level": 0.95, "samples": 10},
            command="hf-unimo evaluate unimo2",
        ),
        failures=[{"id": "7", "reason": "broken"}],
        notes=["One text was cut."],
    )


def test_an_interval_is_that_of_the_normal_approximation():
    right = np.arange(400) < 300
    figures = with_intervals(lambda rows: {"accuracy": right[rows].mean(), "one": 1.0}, 400, samples=2000)
    spread = 1.96 * math.sqrt(0.75 * 0.25 / 400)
    found = figures["accuracy"]
    assert found.value == 0.75
    assert found.low == pytest.approx(0.75 - spread, abs=0.005)
    assert found.high == pytest.approx(0.75 + spread, abs=0.005)
    assert figures["one"] == Figure(1.0, 1.0, 1.0)


def test_intervals_are_a_function_of_the_seed():
    values = np.random.RandomState(0).rand(50)

    def low(seed):
        return with_intervals(lambda rows: {"mean": values[rows].mean()}, 50, samples=50, seed=seed)["mean"].low

    assert low(1) == low(1) != low(2)


def test_queries_of_two_kinds_are_drawn_apart():
    first, second = np.arange(30) % 2, np.arange(50) % 5 == 0

    def statistic(rows, columns):
        return {"first": first[rows].mean(), "sum": first[rows].mean() + second[columns].mean()}

    figures = with_intervals(statistic, (30, 50), samples=500)
    spread = 1.96 * math.sqrt(0.25 / 30 + 0.16 / 50)
    assert figures["sum"].value == pytest.approx(0.7)
    assert figures["sum"].high - figures["sum"].low == pytest.approx(2 * spread, rel=0.15)
    assert figures["first"].high - figures["first"].low < 2 * spread


def test_samples_without_a_figure_do_not_count():
    def statistic(rows):
        return {"ratio": float("nan") if (rows == 0).all() else 2.0, **({"late": 1.0} if 0 in rows else {})}

    figures = with_intervals(statistic, 2, samples=100, chance={"ratio": 0.5})
    assert figures["ratio"] == Figure(2.0, 2.0, 2.0, 0.5)
    assert figures["late"] == Figure(1.0, 1.0, 1.0)
    assert with_intervals(statistic, 2, samples=0)["ratio"] == Figure(2.0)
    with pytest.raises(ValueError, match="at least 1"):
        with_intervals(statistic, 0)


def test_json_and_back(tmp_path):
    first = result(recall_at_1=Figure(0.5, 0.4, 0.6, 0.1), bad=Figure(math.nan))
    paths = protocol.write_results(tmp_path / "out", [first])
    (tree,) = json.loads(paths[0].read_text())
    again = protocol.Result.from_dict(tree)
    assert again.to_dict() == first.to_dict()
    assert again.figures["recall@1"] == first.figures["recall@1"] and math.isnan(again.figures["bad"].value)
    assert again.protocol == first.protocol
    text = paths[1].read_text()
    assert "| recall@1 | 0.5000 | 0.4000 to 0.6000 | 0.1000 |" in text
    assert "| bad | – | – | – |" in text
    assert "* captions per image: 4 to 5" in text and "* prompts: a {}.; one {}" in text
    assert "1 rows failed" in text and "7: broken" in text and "transformers 5" in text


def test_a_card_keeps_what_else_it_says(tmp_path):
    card = tmp_path / "README.md"
    card.write_text("---\nlicense: mit\n---\n\n# Mine\n\nWords.\n")
    protocol.merge_into_card(card, [result(recall_at_1=Figure(0.5))])
    protocol.merge_into_card(card, [result(task="vqa", accuracy=Figure(0.25))])
    protocol.merge_into_card(card, [result(recall_at_1=Figure(0.75)), result(task="vqa", accuracy=Figure(0.25))])
    text = card.read_text()
    found = ModelCard(text)
    assert found.data.license == "mit" and found.text.startswith("\n# Mine\n\nWords.\n")
    assert {(entry.task_type, entry.metric_value) for entry in found.data.eval_results} == {
        ("image-text-retrieval", 0.75),
        ("visual-question-answering", 0.25),
    }
    assert text.count(protocol.CARD_BEGIN) == text.count(protocol.CARD_END) == 1
    assert "0.7500" in text and "0.5000" not in text


def test_what_is_no_card_is_refused(tmp_path):
    with pytest.raises(BadInputError, match=r"README\.md of a model's folder"):
        protocol.merge_into_card(tmp_path / "README.md", [result()])
    (tmp_path / "README.md").write_text("---\na: [\n---\n")
    with pytest.raises(BadInputError, match="metadata"):
        protocol.merge_into_card(tmp_path / "README.md", [result()])


def test_blocks_are_computed_once(tmp_path):
    calls = []

    def compute(start, stop):
        if start == 4 and not calls.count(4):
            calls.append(4)
            raise KeyboardInterrupt
        calls.append(start)
        return {"rows": np.arange(start, stop), "names": np.array(["é"] * (start == 0))}

    with pytest.raises(KeyboardInterrupt):
        Blocks(tmp_path / "b", {"model": "x"}).run("one", 7, 2, compute)
    found = Blocks(tmp_path / "b", {"model": "x"}).run("one", 7, 2, compute)
    assert calls == [0, 2, 4, 4, 6]
    assert found["rows"].tolist() == list(range(7)) and found["names"].tolist() == ["é"]
    with pytest.raises(BadInputError, match="differs in model"):
        Blocks(tmp_path / "b", {"model": "y"})
    new = Blocks(tmp_path / "new", {"model": "x"})
    assert not (tmp_path / "new").exists()
    new.claim()  # what others store there is of this fingerprint too
    with pytest.raises(BadInputError, match="differs in model"):
        Blocks(tmp_path / "new", {"model": "y"})
