# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""One call for every task: it is the task's own evaluator that answers; several tasks share a folder and a card."""

import json
import re
from dataclasses import replace

import pytest
import torch
from huggingface_hub import ModelCard

from hf_unimo.card import PLACE, USE_BEGIN, USE_END
from hf_unimo.data.benchmarks.rows import Benchmark, CaptionRow, EntailmentRow, ImageLabelRow, TextRow
from hf_unimo.data.own_data import KINDS
from hf_unimo.errors import BadInputError
from hf_unimo.evaluation import result_card
from hf_unimo.evaluation.captioning import evaluate_captioning
from hf_unimo.evaluation.heads import evaluate_head
from hf_unimo.evaluation.measuring import Options
from hf_unimo.evaluation.protocol import Result
from hf_unimo.evaluation.retrieval import TASKS, evaluate_retrieval
from hf_unimo.evaluation.run import evaluate_task, evaluate_tasks
from hf_unimo.evaluation.zero_shot import evaluate_linear_probe, evaluate_zero_shot
from hf_unimo.retrieval.adapters import pair_adapter
from modeling_tests.evaluation import models


OPTIONS = Options(samples=5, batch_size=4)


def pictures(number=6, names=("dark", "bright"), split="test") -> Benchmark:
    rows = models.gallery(number)
    rows = tuple(ImageLabelRow(row.id, row.image, int(row.id) % len(names)) for row in rows)
    return Benchmark("squares", split, "image-classification", rows, {}, names)


def texts(numbers=False) -> Benchmark:
    rows = tuple(TextRow(str(row), f"{row} is a text", None, row / 2 if numbers else row % 2) for row in range(6))
    task = "text-regression" if numbers else "text-classification"
    return Benchmark("texts", "test", task, rows, {}, None if numbers else ("a", "b"))


def captions() -> Benchmark:
    rows = tuple(CaptionRow(row.id, row.image, row.id, tuple(row.captions)) for row in models.gallery(3))
    return Benchmark("squares", "test", "captioning", rows, {})


@pytest.mark.parametrize("task", TASKS)
def test_retrieval(task):
    (model, processor), data = models.unimo2(), models.gallery(8)
    adapter = pair_adapter(model, processor, 4)
    found = evaluate_task(task, model, processor, data, options=OPTIONS, top_k=2, folds=2)
    assert found == evaluate_retrieval(adapter, data, task, top_k=2, folds=2, options=OPTIONS)
    repeated = replace(data, rows=tuple(replace(row, captions=("same",)) for row in data))
    with pytest.raises(BadInputError, match="allow repeated ones"):
        evaluate_task(task, model, processor, repeated, options=OPTIONS)
    assert evaluate_task(task, model, processor, repeated, options=OPTIONS, allow_repeated_captions=True).notes


def test_pictures_without_training():
    (model, processor), data = models.unimo2("Unimo2Model"), pictures()
    adapter = pair_adapter(model, processor, 4)
    found = evaluate_task("zero-shot-classification", model, processor, data, options=OPTIONS, prompts="name")
    expected = evaluate_zero_shot(adapter, data, prompts=("{}",), prompt_set="name", options=OPTIONS)
    assert found == expected and found.protocol.prompts == ["{}"]
    train = pictures(4, split="train")
    found = evaluate_task("linear-probe", model, processor, data, options=OPTIONS, train=train)
    assert found == evaluate_linear_probe(adapter, train, data, options=OPTIONS)
    with pytest.raises(BadInputError, match="was given no rows to learn from; accepted is data as `train`"):
        evaluate_task("linear-probe", model, processor, data, options=OPTIONS)


def test_heads_and_captions():
    for task, name, data, overrides in (
        ("image-classification", "Unimo2ForImageClassification", pictures(), {"num_labels": 2}),
        ("text-classification", "Unimo2ForSequenceClassification", texts(), {"num_labels": 2}),
        ("regression", "Unimo2ForSequenceClassification", texts(numbers=True), {"num_labels": 1}),
        ("masked-words", "Unimo2ForMaskedLM", texts(), {}),
    ):
        model, processor = models.unimo2(name, **overrides)
        found = evaluate_task(task, model, processor, data, options=OPTIONS)
        assert found == evaluate_head(task, model, processor, data, batch_size=4, options=OPTIONS)
    model, processor = models.unimo2("Unimo2ForConditionalGeneration")
    settings = {"max_new_tokens": 4}
    found = evaluate_task("captioning", model, processor, captions(), options=OPTIONS, generation=settings)
    expected = evaluate_captioning(model, processor, captions(), generation=settings, batch_size=4, options=OPTIONS)
    assert found == expected and found.protocol.generation["max_new_tokens"] == 4


def test_what_the_model_cannot_do_is_refused():
    model, processor = models.unimo2()
    for task in set(KINDS) - {*TASKS, "zero-shot-classification", "linear-probe"}:
        with pytest.raises(BadInputError, match=f"cannot do the task '{task}'; it can do: retrieval"):
            evaluate_task(task, model, processor, models.gallery())


def test_a_model_in_training_goes_on_training():
    (model, processor), texts = models.unimo2(), ["a dog", "a cat"]
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    adapter = pair_adapter(model, processor)
    expected = evaluate_task("retrieval", model, processor, models.gallery(), options=OPTIONS)
    still = adapter.text_features(texts)
    model.train()
    assert not (adapter.text_features(texts) == still).all()
    assert evaluate_task("retrieval", model, processor, models.gallery(), options=OPTIONS) == expected
    assert model.training
    with pytest.raises(BadInputError):
        evaluate_task("retrieval", model, processor, pictures(), options=OPTIONS)
    assert model.training


def read(folder) -> list[Result]:
    return [Result.from_dict(tree) for tree in json.loads((folder / "results.json").read_text())]


def test_results_of_several_tasks_in_a_folder(tmp_path):
    (model, processor), data = models.unimo2(), models.gallery(8)
    both = {"retrieval": data, "rerank": data}
    found, paths = evaluate_tasks(both, model, processor, tmp_path / "out", options=OPTIONS, top_k=3)
    assert [result.task for result in found] == ["retrieval", "rerank"] and read(tmp_path / "out") == found
    assert [path.name for path in paths] == ["results.json", "results.md", "README.md"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"results.json", "results.md", "README.md"}
    # Another variant of a measure is another result; the same one is replaced.
    (tmp_path / "README.md").write_text("# Mine\n")
    folds, paths = evaluate_tasks(
        {"retrieval": data}, model, processor, tmp_path / "out", options=OPTIONS, folds=2, card=tmp_path / "README.md"
    )
    assert read(tmp_path / "out") == [*found, *folds] and paths[-1] == tmp_path / "README.md"
    assert "mean of 2 folds" in (tmp_path / "README.md").read_text()
    again, _ = evaluate_tasks({"retrieval": data}, model, processor, tmp_path / "out", options=OPTIONS)
    assert read(tmp_path / "out") == [found[1], *folds, *again] and again == found[:1]


def test_nothing_is_begun_for_a_card_that_is_not_there(tmp_path):
    model, processor = models.unimo2()
    data = {"retrieval": models.gallery()}
    with pytest.raises(BadInputError, match="accepted is a model card that exists"):
        evaluate_tasks(data, model, processor, tmp_path / "out", options=OPTIONS, card=tmp_path / "no.md")
    with pytest.raises(BadInputError, match="cannot do the task 'vqa'"):
        evaluate_tasks({"retrieval": data["retrieval"], "vqa": data["retrieval"]}, model, processor, tmp_path / "out",
                       options=OPTIONS)  # fmt: skip
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------------------------------------------------------------
# The card
# ---------------------------------------------------------------------------------------------------------------------


def named(name, command="hf-unimo evaluate MODEL") -> Options:
    return replace(OPTIONS, model_name=name, command=command)


def shown(card) -> dict[tuple, float]:
    """Its figures, as the Hub reads them."""
    found = {(one.task_type, one.metric_name): one.metric_value for one in card.data.eval_results}
    assert len(found) == len(card.data.eval_results)
    return found


def measured(results) -> dict[tuple, float]:
    return {(one.task_type, one.metric_name): one.metric_value for result in results for one in result.eval_results()}


def test_the_card_is_the_hubs_and_a_second_evaluation_merges(tmp_path):
    (model, processor), data = models.unimo2(), models.gallery(8)
    first, paths = evaluate_tasks({"retrieval": data}, model, processor, tmp_path, options=named("me/mine"))
    assert paths[-1] == tmp_path / "README.md"
    card = ModelCard.load(tmp_path / "README.md")
    assert (card.data.model_name, card.data.library_name) == ("me/mine", "transformers")
    assert {"unimo2", "hf_unimo"} <= set(card.data.tags) and shown(card) == measured(first)
    # What somebody adds stays.
    text = (tmp_path / "README.md").read_text()
    assert "split hash" in text and "```bash\nhf-unimo evaluate MODEL\n```" in text and "## Limits" in text
    (tmp_path / "README.md").write_text(text.replace("## Limits", "## Data\n\nMany squares.\n\n## Limits"))
    second, _ = evaluate_tasks({"matching": data}, model, processor, tmp_path, options=named("me/mine"))
    card = ModelCard.load(tmp_path / "README.md")
    assert shown(card) == measured([*first, *second]) and "Many squares." in card.text
    assert card.text.count("## Evaluation by hf_unimo") == 1
    evaluate_tasks({"matching": data}, model, processor, tmp_path, options=named("me/mine"))
    assert (tmp_path / "README.md").read_text() == card.content


def test_the_usage_on_the_card_runs(tmp_path):
    for name, task, data in (
        ("Unimo2Model", "retrieval", models.gallery()),  # by an Auto class
        ("Unimo2ForImageTextRetrieval", "retrieval", models.gallery()),
        ("Unimo2ForImageTextClassification", "entailment", None),  # by its own name
    ):
        model, processor = models.unimo2(name)
        model.save_pretrained(tmp_path / name)
        if data is None:
            rows = tuple(EntailmentRow(row.id, row.image, "a text", int(row.id) % 2) for row in models.gallery())
            data = Benchmark("squares", "test", "entailment", rows, {}, ("a", "b", "c"))
        evaluate_tasks({task: data}, model, processor, tmp_path / "out" / name, options=named(name))
        text = (tmp_path / "out" / name / "README.md").read_text()
        use = text[text.index(USE_BEGIN) : text.index(USE_END)]
        (code,) = re.findall(r"```python\n(.*?)```", use, flags=re.DOTALL)
        assert PLACE in code
        names: dict = {}
        exec(code.replace(PLACE, str(tmp_path / name)), names)
        assert type(names["model"]) is type(model)


def test_the_card_of_a_model_of_transformers(tmp_path):
    model, processor = models.clip()
    found, _ = evaluate_tasks({"retrieval": models.gallery()}, model, processor, tmp_path, options=named("clip"))
    card = ModelCard.load(tmp_path / "README.md")
    assert shown(card) == measured(found) and card.data.tags == ["clip", "hf_unimo"]
    assert f"`CLIPModel` of transformers, {model.num_parameters():,} parameters" in card.text
    assert USE_BEGIN not in card.text and "hf-unimo evaluate MODEL" in card.text and "## Limits" in card.text


def test_whose_card_it_is(tmp_path, monkeypatch):
    (model, processor), data = models.unimo2(), {"retrieval": models.gallery()}
    found, _ = evaluate_tasks(data, model, processor, tmp_path / "out", options=named("one"))
    before = (tmp_path / "out" / "README.md").read_bytes()
    _, paths = evaluate_tasks(data, model, processor, tmp_path / "out", options=named("a/two"))
    assert paths[-1].name == "README-a-two.md" and (tmp_path / "out" / "README.md").read_bytes() == before
    assert ModelCard.load(paths[-1]).data.model_name == "a/two"
    assert shown(ModelCard.load(paths[-1])) == measured(found)
    # One that no evaluation wrote stays, unless it is asked for.
    (tmp_path / "README.md").write_text("# Mine\n")
    warned: list[str] = []
    monkeypatch.setattr(result_card.logger, "warning", warned.append)
    _, paths = evaluate_tasks(data, model, processor, tmp_path, options=named("one"))
    assert (tmp_path / "README.md").read_text() == "# Mine\n" and len(paths) == 2
    (line,) = warned
    assert line.startswith(f"{tmp_path / 'README.md'} stays as it is, as no evaluation wrote it")
    evaluate_tasks(data, model, processor, tmp_path, options=named("one"), card=tmp_path / "README.md")
    assert len(warned) == 1
    assert shown(ModelCard.load(tmp_path / "README.md")) == measured(found)


def test_a_broken_card_is_refused_before_anything_is_measured(tmp_path):
    (model, processor), data = models.unimo2(), {"retrieval": models.gallery()}
    evaluate_tasks(data, model, processor, tmp_path, options=named("one"))
    text = (tmp_path / "README.md").read_text()
    (tmp_path / "README.md").write_text(text.replace("---\n", "---\na: [\n", 1))
    (tmp_path / "results.json").unlink()
    with pytest.raises(BadInputError, match=r"README\.md cannot be read"):
        evaluate_tasks(data, model, processor, tmp_path, options=named("one"))
    assert not (tmp_path / "results.json").exists()
