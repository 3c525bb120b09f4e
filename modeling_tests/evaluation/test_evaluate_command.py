# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""`hf-unimo evaluate`: from a saved model and files to results; what is refused, in one sentence."""

import contextlib
import io
import json
import re
from pathlib import Path

import datasets
import pytest
import transformers
from huggingface_hub import ModelCard

from hf_unimo.cli import main
from hf_unimo.data.benchmarks.rows import RetrievalRow
from hf_unimo.data.open_data import open_words
from hf_unimo.data.own_data import KINDS
from hf_unimo.evaluation.protocol import Result
from hf_unimo.retrieval import stages
from hf_unimo.retrieval.adapters import PairAdapter
from modeling_tests.evaluation import models
from modeling_tests.pipelines.models import theirs


EMOJI = Path(__file__).parents[2] / "examples" / "data" / "emoji" / "emoji.parquet"
PAIRS = [f"path={EMOJI}", "name=emoji", "columns.text=label", "where.split=test", "where.style=twemoji"]
PAIRS += ["where.group=animals-nature"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder for each class of UNIMO-2 that a test asks for."""
    root, made = tmp_path_factory.mktemp("models"), {}

    def save(name, **overrides):
        key = json.dumps([name, overrides])
        if key not in made:
            made[key] = root / f"{name}-{len(made)}"
            model, processor = models.unimo2(name, **overrides)
            model.save_pretrained(made[key])
            processor.save_pretrained(made[key])
        return str(made[key])

    return save


@pytest.fixture
def pictures(tmp_path):
    """12 pictures of two classes, with a table: two captions, a label, a question with ten answers."""
    lines = []
    for number in range(12):
        kind = ("dark", "bright")[number % 2]
        (tmp_path / f"{number}.png").write_bytes(
            models.png(models.picture(number).point(lambda v, k=kind: v // 3 + 160 * (k == "bright")))
        )
        line = {"image": f"{number}.png", "text": [f"{number} first", f"{number} second"], "kind": kind}
        line |= {"fold": ["train", "test"][number // 6], "number": number, "question": f"{number} what?"}
        lines.append(line | {"answers": ["yes"] * 6 + ["no"] * 4, "hidden": -1})
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path


def run(*words) -> int:
    return main(["evaluate", *map(str, words)])


def read(folder) -> list[Result]:
    return [Result.from_dict(tree) for tree in json.loads((folder / "results.json").read_text())]


def refused(capsys, *words) -> str:
    assert run(*words) == 2
    (sentence,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("hf-unimo evaluate: ")]
    return sentence


def test_retrieval_of_own_pairs(saved, tmp_path, capsys):
    model, out = saved("Unimo2ForImageTextRetrieval"), tmp_path / "out"
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n# Mine\n")
    words = [model, "--tasks", "retrieval,rerank", "--data", *PAIRS, "--bootstrap", 20, "--top-k", 5]
    assert run(*words, "--out", out, "--card", tmp_path / "README.md") == 0
    first, second = read(out)
    assert (first.task, second.task) == ("retrieval", "rerank")
    assert first.protocol.rows == first.protocol.texts == 18 and first.protocol.captions_per_image == (1, 1)
    assert first.protocol.split_hash == second.protocol.split_hash and first.protocol.dataset == "emoji"
    assert first.figures["image_recall@1"].chance == pytest.approx(1 / 18)
    assert "path=emoji.parquet" in first.protocol.command and str(tmp_path) not in (out / "results.json").read_text()
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "results.json", "results.md"]
    assert len(ModelCard.load(tmp_path / "README.md").data.eval_results) == 2 * len(first.figures)
    assert "Zero-shot image-text retrieval, re-ranked: emoji, train" in capsys.readouterr().out
    # Once more: the same numbers, in place of the old ones; other tasks stay.
    assert run(*words[:2], "retrieval", *words[3:], "--out", out) == 0
    assert [result.task for result in read(out)] == ["rerank", "retrieval"]
    assert read(out)[1].figures == first.figures
    # Another model's results share the folder, but not the card.
    (tmp_path / "other.md").write_text("# Other\n")
    base = saved("Unimo2Model")
    assert run(base, *words[1:2], "retrieval", *words[3:], "--out", out, "--card", tmp_path / "other.md") == 0
    assert [result.model for result in read(out)] == [Path(model).name] * 2 + [Path(base).name]
    assert Path(model).name not in (tmp_path / "other.md").read_text()
    assert len(ModelCard.load(tmp_path / "other.md").data.eval_results) == len(first.figures)


def test_captions_of_one_picture_belong_together(pictures):
    data = open_words([f"path={pictures / 'data.jsonl'}"], "retrieval")
    assert len(data) == 12 and data[0].captions == ("0 first", "0 second")
    lines = [{"file": f"{number // 2}.png", "text": f"t{number}"} for number in range(6)]
    (pictures / "flat.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (pictures / "flat.yaml").write_text("path: flat.jsonl\nname: flat\ncolumns: {image: file}\n")
    data = open_words([str(pictures / "flat.yaml")], "retrieval")
    assert isinstance(data[0], RetrievalRow) and [row.captions for row in data] == [
        ("t0", "t1"),
        ("t2", "t3"),
        ("t4", "t5"),
    ]
    joined = open_words([str(pictures / "flat.yaml"), "captions=join", "columns.text=[text,file]"], "retrieval")
    assert joined[0].captions == ("t0, 0.png", "t1, 0.png")
    cells = [
        {"image": {"bytes": models.png(models.picture(row // 2)), "path": None}, "text": f"t{row}"} for row in range(6)
    ]
    datasets.Dataset.from_list(cells).to_parquet(pictures / "bytes.parquet")
    assert [row.captions for row in open_words([f"path={pictures / 'bytes.parquet'}"], "retrieval")] == [
        ("t0", "t1"),
        ("t2", "t3"),
        ("t4", "t5"),
    ]


def test_a_hash_is_that_of_the_content(pictures):
    words = [f"path={pictures / 'data.jsonl'}", "columns.label=kind"]
    first = open_words(words, "zero-shot-classification").split_hash
    assert first == open_words(words, "zero-shot-classification").split_hash
    text = (pictures / "data.jsonl").read_text()
    (pictures / "data.jsonl").write_text(text.replace('"dark"', '"bright"', 1))
    assert first != open_words(words, "zero-shot-classification").split_hash


def test_zero_shot_and_probe(saved, pictures, tmp_path):
    out, model = tmp_path / "out", saved("Unimo2Model")
    words = ["--data", f"path={pictures / 'data.jsonl'}", "columns.label=kind", "where.fold=test", "--bootstrap", 10]
    tasks = ["--tasks", "zero-shot-classification,linear-probe", "--train", "where.fold=train"]
    assert run(model, *tasks, *words, "--out", out, "--prompts", "pictures") == 0
    zero_shot, probe = read(out)
    assert zero_shot.protocol.prompt_set == "pictures" and zero_shot.protocol.label_names == ["bright", "dark"]
    assert zero_shot.protocol.rows == probe.protocol.rows == 6 and "6 rows of split" in probe.protocol.scoring


def flickr(folder) -> Path:
    """Four images, three of them of the test split, with five captions each."""
    folder.mkdir()
    images = []
    for number in range(4):
        (folder / f"{number}.jpg").write_bytes(models.png(models.picture(number)))
        sentences = [
            {"tokens": [], "raw": f" {number}{part} words", "imgid": number, "sentid": 5 * number + part}
            for part in range(5)
        ]
        entry = {"filename": f"{number}.jpg", "imgid": number, "split": ["train", "test"][number > 0]}
        images.append(entry | {"sentids": [s["sentid"] for s in sentences], "sentences": sentences})
    (folder / "dataset_flickr30k.json").write_text(json.dumps({"dataset": "flickr30k", "images": images}))
    return folder


def test_a_public_data_set_by_name(saved, tmp_path):
    data, out = f"flickr30k={flickr(tmp_path / 'flickr')}", tmp_path / "out"
    model = saved("Unimo2ForImageTextRetrieval")
    assert run(model, "--tasks", "retrieval", "--data", data, "split=test", "--bootstrap", 0, "--out", out) == 0
    (result,) = read(out)
    assert (result.protocol.split, result.protocol.images, result.protocol.texts) == ("test", 3, 15)
    assert result.protocol.captions_per_image == (5, 5)


def test_the_folds_of_a_public_data_set(saved, tmp_path, capsys):
    data, out = f"flickr30k={flickr(tmp_path / 'flickr')}", tmp_path / "out"
    words = [saved("Unimo2ForImageTextRetrieval"), "--tasks", "retrieval", "--data", data, "--bootstrap", 5]
    assert "3 images cannot be divided into 2 folds" in refused(capsys, *words, "--folds", 2, "--out", out)
    assert not out.exists()
    assert run(*words, "--folds", 3, "--out", out) == 0 and run(*words, "--out", out) == 0
    folds, whole = read(out)
    assert folds.protocol.metric_variant == "mean of 3 folds of 1 consecutive images" and "--folds 3" in (
        folds.protocol.command
    )
    assert whole.protocol.metric_variant is None and folds.figures["image_recall@1"].value == 1.0


def test_the_page_shows_what_runs(saved, pictures, tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "evaluate.md").read_text()
    (code,) = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    (pictures / "my-pictures.yaml").write_text(code.replace("file", "image").replace("caption", "text"))
    data = open_words([str(pictures / "my-pictures.yaml"), "where.fold=train"], "linear-probe")
    assert data.name == "my-pictures" and [row.label for row in data] == [1, 0] * 3
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    folder = flickr(tmp_path / "DATA")
    code = code.replace("DATA/images", "DATA").replace('"MODEL"', repr(saved("Unimo2ForImageTextRetrieval")))
    monkeypatch.chdir(folder.parent)
    written = io.StringIO()
    with contextlib.redirect_stdout(written):
        exec(code, {})
    assert "| image_recall@1 |" in written.getvalue()
    tasks = set(re.findall(r"`([a-z0-9-]+)`", " ".join(re.findall(r"^\| (`.*?) \|", page, flags=re.MULTILINE))))
    assert tasks == set(KINDS)


def test_heads(saved, pictures, tmp_path):
    names = {"id2label": {0: "no", 1: "yes"}, "label2id": {"no": 0, "yes": 1}, "num_labels": 2}
    path = f"path={pictures / 'data.jsonl'}"
    for head, task, more in (
        ("Unimo2ForVisualQuestionAnswering", "vqa", ["columns.text=question"]),
        ("Unimo2ForImageTextClassification", "entailment", ["columns.text=question", "columns.label=kind"]),
        ("Unimo2ForImageClassification", "image-classification", ["columns.label=kind"]),
        ("Unimo2ForSequenceClassification", "text-classification", ["columns.text=question", "columns.label=kind"]),
        ("Unimo2ForMaskedLM", "masked-words", ["columns.text=question"]),
    ):
        model = saved(head, **(names if task == "vqa" else {"num_labels": 2}))
        words = ["--data", path, "name=mine", *more, "--bootstrap", 5, "--out", tmp_path / "out"]
        assert run(model, "--tasks", task, *words) == 0
    model = saved("Unimo2ForSequenceClassification", num_labels=1)
    words = ["--data", path, "name=mine", "columns.text=question", "columns.label=number"]
    assert run(model, "--tasks", "regression", *words, "--bootstrap", 5, "--out", tmp_path / "out") == 0
    results = {result.task: result for result in read(tmp_path / "out")}
    assert list(results) == [
        "vqa", "entailment", "image-classification", "text-classification", "masked-words", "regression",
    ]  # fmt: skip
    assert results["vqa"].figures["vqa_accuracy"].value == 1.0  # both answers have four people
    assert results["vqa"].protocol.metric_variant == "official"


@pytest.mark.parametrize(
    ("head", "processor", "tasks"),
    [
        ("CLIPModel", "CLIPProcessor", ["retrieval", "zero-shot-classification", "linear-probe"]),
        ("ViltForImageAndTextRetrieval", "ViltProcessor", ["matching", "zero-shot-classification"]),
        ("ViltForQuestionAnswering", "ViltProcessor", ["vqa"]),
        (
            "BlipForImageTextRetrieval",
            "BlipProcessor",
            ["retrieval", "rerank", "matching", "zero-shot-classification"],
        ),
        ("BlipForQuestionAnswering", "BlipProcessor", ["vqa"]),
        ("BlipForConditionalGeneration", "BlipProcessor", ["captioning"]),
    ],
)
def test_saved_models_of_transformers(head, processor, tasks, pictures, tmp_path):
    """From a folder, with processors of their own."""
    parts = theirs(head)
    parts["model"].save_pretrained(tmp_path / "model")
    getattr(transformers, processor)(parts["image_processor"], parts["tokenizer"]).save_pretrained(tmp_path / "model")
    words = ["--data", f"path={pictures / 'data.jsonl'}", "columns.label=kind"]
    words += ["columns.text=question"] if tasks == ["vqa"] else []
    words += [
        "--train",
        "where.fold=train",
        "--generate",
        "max_new_tokens=3",
        "--bootstrap",
        2,
        "--out",
        tmp_path / "out",
    ]
    assert run(tmp_path / "model", "--tasks", ",".join(tasks), *words) == 0
    results = read(tmp_path / "out")
    assert [(result.task, result.model_class, result.protocol.rows) for result in results] == [
        (task, head, 12) for task in tasks
    ]
    written = "max_new_tokens" in results[0].protocol.generation
    assert written == (head in ("BlipForQuestionAnswering", "BlipForConditionalGeneration"))


def test_a_stopped_command_goes_on(saved, tmp_path, monkeypatch, capsys):
    out, match, calls = tmp_path / "out", PairAdapter.match_parts, []

    def stopped(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return match(*arguments)

    monkeypatch.setattr(PairAdapter, "match_parts", stopped)
    monkeypatch.setattr(stages, "_BATCHES", 1)
    words = [saved("Unimo2ForImageTextRetrieval"), "--tasks", "rerank", "--data", *PAIRS, "--bootstrap", 5]
    assert run(*words, "--out", out) == 130
    assert "the same command goes on" in capsys.readouterr().err and not (out / "results.json").exists()
    assert "differs in seed" in refused(capsys, *words, "--seed", 1, "--out", out)
    assert run(*words, "--out", out) == 0
    assert len(calls) == 1 + 1 + 10  # 324 pairs in batches of 32: one was kept, one stopped
    assert run(*words, "--out", tmp_path / "whole") == 0
    assert read(out) == read(tmp_path / "whole")


def test_a_broken_row_is_recorded(saved, pictures, tmp_path):
    (pictures / "3.png").write_bytes(b"broken")
    words = ["--tasks", "retrieval", "--data", f"path={pictures / 'data.jsonl'}", "--bootstrap", 5]
    assert run(saved("Unimo2Model"), *words, "--out", tmp_path / "out") == 0
    (result,) = read(tmp_path / "out")
    assert result.protocol.images == 11 and len(result.failures) == 1 and "row 3" in result.failures[0]["id"]


def test_pictures_that_are_all_broken_leave_nothing(saved, pictures, tmp_path, capsys):
    """Not even a folder, so that they are read again when they are repaired."""
    whole = {path: path.read_bytes() for path in pictures.glob("*.png")}
    for path in whole:
        path.write_bytes(b"broken")
    out = tmp_path / "new" / "out"
    words = ["--data", f"path={pictures / 'data.jsonl'}", "columns.label=kind", "--bootstrap", 2, "--out", out]
    words = [saved("Unimo2ForImageClassification", num_labels=2), "--tasks", "image-classification", *words]
    assert "None of the 12 rows could be used" in refused(capsys, *words)
    assert not (tmp_path / "new").exists()
    for path, data in whole.items():
        path.write_bytes(data)
    assert run(*words) == 0 and not read(out)[0].failures


def test_bad_input_is_refused(saved, pictures, tmp_path, capsys):
    out, path = ["--out", tmp_path / "out"], f"path={pictures / 'data.jsonl'}"
    base, head = saved("Unimo2Model"), saved("Unimo2ForImageClassification", num_labels=2)
    cases = [
        ((base, "--tasks", "retrieve", "--data", path), "the nearest known is 'retrieval'"),
        ((base, "--tasks", "", "--data", path), "names no task"),
        ((base, "--tasks", "vqa", "--data", path), "cannot do the task 'vqa'; it can do: retrieval"),
        ((pictures, "--tasks", "retrieval", "--data", path), "cannot be loaded as a model"),
        ((base, "--tasks", "retrieval", "--data", "flickr=x"), "data"),
        ((base, "--tasks", "retrieval", "--data", "nothing.yaml"), "nothing.yaml, which cannot be read"),
        ((base, "--tasks", "retrieval", "--data", path, "columns.image=picture"), "no column 'picture'"),
        ((base, "--tasks", "retrieval", "--data", path, "speed=1"), "speed"),
        ((base, "--tasks", "linear-probe", "--data", path), "needs --train"),
        ((base, "--tasks", "zero-shot-classification", "--data", path, "columns.label=number"), "without names"),
        ((base, "--tasks", "zero-shot-classification", "--data", path, "columns.label=text"), "accepted are integers"),
        ((head, "--tasks", "image-classification", "--data", path, "columns.label=number"), "label 2; accepted"),
        ((head, "--tasks", "image-classification", "--data", path, "columns.label=hidden"), "hides the labels of 12"),
        ((head, "--tasks", "image-classification", "--data", path), "no column 'label'"),
        ((base, "--tasks", "retrieval", "--data", path, "--prompts", "fotos"), "no set of prompts"),
        ((base, "--tasks", "retrieval", "--data", path, "--card", "no.md"), "--card is no.md"),
        ((base, "--tasks", "retrieval", "--data", path, "--batch-size", 0), "--batch-size is 0"),
        ((base, "--tasks", "retrieval", "--data", path, "--device", "gpu"), "device is 'gpu', which this machine has"),
        ((base, "--tasks", "retrieval", "--data", path, "--device", "cuda:99"), "device is 'cuda:99', which this"),
    ]
    for words, said in cases:
        assert said in refused(capsys, *words, *out), words
    lines = (pictures / "data.jsonl").read_text().splitlines()
    (pictures / "data.jsonl").write_text("\n".join([lines[0].replace("0 first", " "), *lines[1:]]))
    assert "empty text in row 0" in refused(capsys, base, "--tasks", "retrieval", "--data", path, *out)
    (pictures / "4.png").unlink()
    sentence = refused(capsys, base, "--tasks", "zero-shot-classification", "--data", path, "columns.label=kind", *out)
    assert "lacks the images of 1 of 12 rows (the first: 4.png)" in sentence
    assert not (tmp_path / "out").exists()
    dropped = open_words([path, "columns.label=kind", "missing=drop"], "zero-shot-classification")
    assert len(dropped) == 11 and dropped.missing == ("4.png",)
    for place in (pictures / "data.jsonl", pictures / "data.jsonl" / "below"):
        words = (base, "--tasks", "retrieval", "--data", *PAIRS, "--out", place)
        assert f"is {place}, but {pictures / 'data.jsonl'} is a file" in refused(capsys, *words)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.json").write_text("[1]")
    assert "holds no results" in refused(capsys, base, "--tasks", "retrieval", "--data", *PAIRS, *out)
