# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Retrieval by blocks equals retrieval by full matrices; what fails, what is refused, what goes on."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hf_unimo.errors import BadInputError
from hf_unimo.evaluation import retrieval
from hf_unimo.evaluation.blocks import Blocks
from hf_unimo.evaluation.measuring import Options
from hf_unimo.evaluation.metrics.retrieval import folded_retrieval_metrics, retrieval_metrics
from hf_unimo.retrieval import candidates, stages
from hf_unimo.retrieval.adapters import Matched, pair_adapter
from modeling_tests.evaluation import models


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(stages, "_BATCHES", 1)
    monkeypatch.setattr(candidates, "_BYTES_AN_ENTRY", 2**23)  # few queries at once


def values(result) -> dict[str, float]:
    return {name: figure.value for name, figure in result.figures.items() if name != "mean_recall"}


def evaluate(adapter, data, task="retrieval", **arguments):
    options = Options(samples=20, block_size=3, batch_size=2, **arguments.pop("options", {}))
    return retrieval.evaluate_retrieval(adapter, data, task, options=options, **arguments)


def matrices(adapter, data):
    """All scores, the slow way."""
    images = [row.image.open() for row in data]
    texts = [caption for row in data for caption in row.captions]
    image_of_text = np.repeat(np.arange(len(data)), [len(row.captions) for row in data])
    contrastive = matching = None
    if adapter.features:
        contrastive = adapter.image_features(images) @ adapter.text_features(texts).T
    if adapter.matching:
        matching = np.stack([adapter.match([image], np.zeros(len(texts), int), texts) for image in images])
    return contrastive, matching, image_of_text


@pytest.mark.parametrize("name", models.PAIRS)
def test_every_stage_is_that_of_the_full_matrix(name):
    adapter, data = pair_adapter(*models.PAIRS[name](), batch_size=4), models.gallery()
    contrastive, matching, image_of_text = matrices(adapter, data)
    tasks = [task for task, stage in retrieval.TASKS.items() if stage in adapter.stages]
    for task in tasks:
        result = evaluate(adapter, data, task, top_k=100)  # all candidates: the matching scores alone decide
        expected = retrieval_metrics(contrastive if task == "retrieval" else matching, image_of_text)
        assert values(result) == pytest.approx(expected)
        assert result.protocol.rows == 7 and result.protocol.texts == 14
        assert result.protocol.captions_per_image == (1, 3)
        figure = result.figures["image_recall@5"]
        assert figure.low <= figure.value <= figure.high and figure.chance == 5 / 7
        recalls = [value for key, value in expected.items() if "recall" in key]
        mean = result.figures["mean_recall"]
        assert mean.value == pytest.approx(np.mean(recalls)) and mean.low < mean.value < mean.high


def test_the_best_are_ordered_anew_and_the_rest_stays(monkeypatch):
    adapter, data = pair_adapter(*models.unimo2()), models.gallery()

    def match_parts(images, texts):
        """Scores that have nothing to do with the contrastive ones."""
        return Matched(torch.sin(60 * (images["features"] * texts["features"].flip(1)).sum(1)).numpy())

    monkeypatch.setattr(adapter, "match_parts", match_parts)
    contrastive, matching, image_of_text = matrices(adapter, data)
    top_k = 5

    def reranked(first, second):
        """Each row's best `top_k` by `first` get scores above all others."""
        result = first.copy()
        for row in range(len(first)):
            best = np.argsort(first[row])[-top_k:]
            result[row, best] = 1000 + second[row, best]
        return result

    result = evaluate(adapter, data, "rerank", top_k=top_k)
    texts = retrieval_metrics(reranked(contrastive, matching), image_of_text)
    images = retrieval_metrics(reranked(contrastive.T, matching.T).T, image_of_text)
    for name, value in values(result).items():
        assert value == pytest.approx((images if name.startswith("image") else texts)[name])
    assert values(result) != values(evaluate(adapter, data))
    assert "the best 5" in result.protocol.scoring


@pytest.mark.parametrize("task", retrieval.TASKS)
def test_folds_are_galleries_of_their_own(task, tmp_path):
    adapter, data = pair_adapter(*models.unimo2(), batch_size=4), models.gallery(8)
    contrastive, matching, image_of_text = matrices(adapter, data)
    blocks = Blocks(tmp_path / "blocks", {})
    result = evaluate(adapter, data, task, folds=2, top_k=100, options={"blocks": blocks})
    expected = folded_retrieval_metrics(contrastive if task == "retrieval" else matching, image_of_text, 2)
    assert values(result) == pytest.approx(expected)
    assert values(result) != pytest.approx(values(evaluate(adapter, data, task, top_k=100)))
    protocol = result.protocol
    assert protocol.metric_variant == "mean of 2 folds of 4 consecutive images"
    assert (protocol.images, protocol.texts) == (8, 17) and "2 folds of 4" in result.to_markdown()
    figure = result.figures["image_recall@1"]
    assert figure.chance == pytest.approx(1 / 4) and figure.low <= figure.value <= figure.high
    assert result.figures["mean_recall"].low < result.figures["mean_recall"].high
    # Stored blocks of folds are none of the whole, and the other way round.
    whole = evaluate(adapter, data, task, top_k=100, options={"blocks": blocks})
    assert values(whole) == pytest.approx(values(evaluate(adapter, data, task, top_k=100)))
    assert evaluate(adapter, data, task, folds=2, top_k=100, options={"blocks": blocks}) == result
    assert {entry.metric_name for entry in result.eval_results()}.isdisjoint(
        entry.metric_name for entry in whole.eval_results()
    )


@pytest.mark.parametrize("task", retrieval.TASKS)
def test_a_broken_picture_is_missing_from_its_fold(task):
    adapter, data = pair_adapter(*models.unimo2()), models.gallery(6, broken=(1,))
    result = evaluate(adapter, data, task, folds=2)
    kept = models.gallery(6)
    first, second = (replace(kept, rows=tuple(kept.rows[row] for row in rows)) for rows in ((0, 2), (3, 4, 5)))
    parts = [values(evaluate(adapter, part, task)) for part in (first, second)]
    assert values(result) == pytest.approx({name: (parts[0][name] + parts[1][name]) / 2 for name in parts[0]})
    assert [failure["id"] for failure in result.failures] == ["1"] and result.protocol.images == 5
    with pytest.raises(BadInputError, match=r"None of the 3 (images of fold 1|rows) could be used"):
        evaluate(adapter, models.gallery(6, broken=(0, 1, 2)), task, folds=2)


def test_folds_that_do_not_come_out_even_are_refused():
    adapter = pair_adapter(*models.clip())
    with pytest.raises(BadInputError, match=r"^7 images cannot be divided into 5 folds; accepted are folds from 1 on"):
        evaluate(adapter, models.gallery(), folds=5)


def test_chance_is_that_of_random_orders():
    data = models.gallery()
    gallery = retrieval._gallery(data, np.arange(len(data)))
    random = np.random.RandomState(0)
    found = [retrieval_metrics(random.rand(7, 14), gallery.image_of_text) for _ in range(2000)]
    chance = retrieval._chance(gallery)
    recalls = [value for name, value in chance.items() if name != "mean_recall"]
    assert len(recalls) == 6 and chance.pop("mean_recall") == pytest.approx(np.mean(recalls))
    for name, value in chance.items():
        assert value == pytest.approx(np.mean([metrics[name] for metrics in found]), abs=0.02)


@pytest.mark.parametrize("task", ["retrieval", "rerank", "matching"])
def test_a_broken_picture_is_recorded_and_its_texts_are_no_candidates(task):
    adapter = pair_adapter(*models.unimo2())
    broken, whole = models.gallery(broken=(0, 1, 2, 5)), models.gallery()
    rest = replace(whole, rows=tuple(row for row in whole.rows if row.id in ("3", "4", "6")))
    result = evaluate(adapter, broken, task)
    assert [failure["id"] for failure in result.failures] == ["0", "1", "2", "5"]
    assert "broken" in result.failures[0]["reason"]
    assert values(result) == pytest.approx(values(evaluate(adapter, rest, task)))


def test_nothing_left_is_refused():
    adapter = pair_adapter(*models.clip())
    with pytest.raises(BadInputError, match="None of the 7 rows could be used"):
        evaluate(adapter, models.gallery(broken=tuple(range(7))))


def test_a_stopped_run_goes_on(tmp_path, monkeypatch):
    adapter, data = pair_adapter(*models.unimo2(), batch_size=4), models.gallery(broken=(1,))
    expected = evaluate(adapter, data, "rerank", top_k=4)
    calls = {"images": [], "texts": [], "pairs": 0}
    encode_images, encode_texts, match_parts = adapter.encode_images, adapter.encode_texts, adapter.match_parts

    def counted_images(images, matching):
        calls["images"].append(len(images))
        return encode_images(images, matching)

    def counted_texts(texts, matching):
        calls["texts"] += texts
        return encode_texts(texts, matching)

    def counted_pairs(images, texts):
        if calls["pairs"] == 8:
            calls["pairs"] += 0.5
            raise KeyboardInterrupt
        calls["pairs"] += len(images["states"])
        return match_parts(images, texts)

    monkeypatch.setattr(adapter, "encode_images", counted_images)
    monkeypatch.setattr(adapter, "encode_texts", counted_texts)
    monkeypatch.setattr(adapter, "match_parts", counted_pairs)
    with pytest.raises(KeyboardInterrupt):
        evaluate(adapter, data, "rerank", top_k=4, options={"blocks": Blocks(tmp_path / "blocks", {})})
    encoded = {side: len(calls[side]) for side in ("images", "texts")}
    result = evaluate(adapter, data, "rerank", top_k=4, options={"blocks": Blocks(tmp_path / "blocks", {})})
    assert sum(calls["images"]) == 6 and len(calls["texts"]) == 14  # one picture is broken
    assert {side: len(calls[side]) for side in ("images", "texts")} == encoded
    (scores,) = (tmp_path / "blocks").rglob("scores.values")
    assert calls["pairs"] == scores.stat().st_size / 4 + 0.5  # each pair once
    assert result == expected


@pytest.mark.parametrize("task", ["rerank", "matching"])
def test_near_ties_are_counted(task):
    adapter, data = pair_adapter(*models.unimo2()), models.gallery()
    entries = adapter.base.dictionary.embeddings.weight
    assert evaluate(adapter, data, task, top_k=2).notes == []
    with torch.no_grad():
        entries.copy_(entries[:1].expand_as(entries))  # all scores are equal
    (note,) = evaluate(adapter, data, task, top_k=2).notes
    pairs = 7 * 14 if task == "matching" else int(note.split(" of ")[1].split()[0])
    assert note.startswith(f"Of {pairs} of {pairs} scored pairs the choice of grounded tokens is a near tie")
    assert 2 * 14 <= pairs <= 98


def test_captions_that_repeat_are_refused_where_each_image_has_one():
    adapter, data = pair_adapter(*models.clip()), models.gallery(captions=(1,))
    rows = tuple(replace(row, captions=("same",)) if row.id in "25" else row for row in data.rows)
    repeated = replace(data, rows=rows)
    with pytest.raises(BadInputError, match="1 captions repeat over 2 of its 7 images") as refused:
        evaluate(adapter, repeated)
    assert "'same'" in str(refused.value)
    (note,) = evaluate(adapter, repeated, allow_repeated=True).notes
    assert "1 captions belong to more than one image (2 in all)" in note


def test_what_cannot_be_scored_is_refused(caplog):
    adapter, data = pair_adapter(*models.clip()), models.gallery()
    with pytest.raises(BadInputError, match="CLIPModel cannot do the task 'rerank'; it can do: retrieval"):
        evaluate(adapter, data, "rerank")
    with pytest.raises(BadInputError, match="1 empty texts among 13"):
        evaluate(adapter, replace(data, rows=(replace(data.rows[0], captions=(" ",)), *data.rows[1:])))
    with pytest.raises(BadInputError, match="1 images without captions"):
        evaluate(adapter, replace(data, rows=(replace(data.rows[0], captions=()), *data.rows[1:])))
    long = replace(data, rows=(replace(data.rows[0], captions=("a" * 100,)), *data.rows[1:]))
    result = evaluate(adapter, long)
    assert result.protocol.truncated_texts == 1
    assert [record.message for record in caplog.records] == [
        "1 of 13 texts have more than 40 tokens and are truncated."
    ]
