# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""`hf-unimo finetune`: a whole run of each task on real rows, what it leaves, and what it refuses."""

import ast
import json
import logging
import re
import shutil
import signal

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import load_file
from transformers import RobertaConfig, RobertaModel

import hf_unimo
from hf_unimo.cli import main
from hf_unimo.errors import BadInputError
from hf_unimo.evaluation.measuring import Options
from hf_unimo.models import FAMILIES
from hf_unimo.retrieval.adapters import load_model
from hf_unimo.training.finetune import build_finetuning, finetune
from hf_unimo.training.finetune_config import FinetuneConfig
from hf_unimo.training.finetune_presets import PRESETS
from hf_unimo.training.finetune_trainer import FinetuneTrainer
from hf_unimo.training.tasks import TASKS
from modeling_tests.data.benchmarks.files import as_lines, picture_bytes, pictures, text

from . import finetune_runs


@pytest.fixture(autouse=True, scope="module")
def few_samples():
    """The intervals of the figures are another file's matter, and a thousand samples a figure are most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(Options.__init__.__kwdefaults__, "samples", 5)
        yield


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return finetune_runs.pretrained(tmp_path_factory.mktemp("pretrained") / "model")


def from_checkpoint(checkpoint) -> dict:
    return {"model": {"checkpoint": str(checkpoint)}}


def write(task, folder, **changes) -> str:
    """A YAML file of a run into `folder`/out."""
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(finetune_runs.tree(task, folder, **changes), sort_keys=False))
    return str(path)


def refused(capsys, *arguments, code=2) -> str:
    """The sentence with which the command ends."""
    assert main(["finetune", *map(str, arguments)]) == code
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("hf-unimo finetune: ")
    return message.removeprefix("hf-unimo finetune: ")


def weights(folder) -> dict:
    return load_file(folder / "model" / "model.safetensors")


def same(first, second) -> bool:
    one, other = weights(first), weights(second)
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


# Every task, from Python and from the command line -------------------------------------------------------------------

CHANGES = {
    "retrieval": {"options": {"rerank_top_k": 3}},
    "captioning": {"data__rows_per_image": 2},
    "vqa": {"data__rows_per_image": 2, "data__augmentation": "contrastive"},
    "image-classification": {"data__augmentation": "contrastive", "data__num_workers": 1},
    "text-regression": {"training__lora": {"r": 2}},
    "masked-lm": {"training__lora": {"r": 2}},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, checkpoint):
    """Task -> folder of its run, begun with a pre-trained model, and the result. Made when first asked for."""
    found = {}

    def run(task):
        if task not in found:
            folder = tmp_path_factory.mktemp(task)
            changes = CHANGES.get(task, {}) | from_checkpoint(checkpoint)
            if task == "nlvr2":  # random weights
                del changes["model"]
            result = finetune(
                finetune_runs.config(task, folder, **changes), command=f"hf-unimo finetune {task} a.yaml"
            )
            found[task] = folder, result, changes
        return found[task]

    return run


@pytest.mark.parametrize("task", TASKS)
def test_a_run_leaves_a_measured_model_with_a_card(task, finished):
    folder, result, _ = finished(task)
    out = folder / "out"
    names = {path.name for path in out.iterdir() if not path.name.startswith("checkpoint-")}
    assert names == {"run.yaml", "model", "results.json", "results.md"}
    head = FAMILIES["unimo2"].task_models[task]
    model, _ = load_model(out / "model")  # as any command loads it
    assert type(model) is head
    written = json.loads((out / "results.json").read_text())
    assert written[0]["figures"].keys() == result.figures.keys() and result.protocol.split == "test"
    assert any(name in result.figures for name in TASKS[task].metrics)
    card = ModelCard.load(out / "model" / "README.md", ignore_metadata_errors=False)
    assert card.data.library_name == "transformers" and card.data.model_name == "out"
    assert {entry.metric_type for entry in card.data.eval_results} == {
        entry.metric_type for entry in result.eval_results()
    }
    assert f"hf-unimo finetune {task} a.yaml" in card.text and f"`{head.__name__}`" in card.text
    assert f"{model.num_parameters():,} parameters" in card.text
    assert "## On the validation split" in card.text and str(folder) not in card.text
    for split in ("train", "validation", "test"):
        assert f"| {split} |" in card.text


@pytest.mark.parametrize("task", TASKS)
def test_the_code_of_its_card_runs(task, finished, tmp_path, monkeypatch):
    folder, _, _ = finished(task)
    monkeypatch.chdir(tmp_path)
    for name, colour in (("photo", "white"), ("left", "red"), ("right", "blue")):
        Image.new("RGB", (40, 30), colour).save(f"{name}.jpg")
    card = (folder / "out" / "model" / "README.md").read_text()
    assert card.count("```python") == 2
    load, use = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    assert "path/or/name" in load and "path/or/name" in use
    names: dict = {}
    exec(load.replace("path/or/name", str(folder / "out" / "model")), names)
    assert type(names["model"]) is FAMILIES["unimo2"].task_models[task] and not names["model"].training
    *lines, call = ast.parse(use.replace("path/or/name", str(folder / "out" / "model"))).body
    exec(compile(ast.Module(lines, []), "card", "exec"), names)
    answer = eval(compile(ast.Expression(call.value), "card", "eval"), names)
    check_answer(task, answer, names["model"].config)
    if task == "text-regression":
        inputs = names["pipe"].tokenizer("what a film", return_tensors="pt")
        assert answer[0]["score"] == pytest.approx(names["model"](**inputs).logits.item(), abs=1e-6)


def check_answer(task, answer, config):
    """What the pipeline of a task says."""
    first = answer[0] if isinstance(answer, list) else answer
    if task == "captioning":
        assert isinstance(first["generated_text"], str)
    elif task == "vqa":
        assert first["answer"] in config.label2id
    elif task == "masked-lm":
        assert len(answer) == 5 and all(isinstance(found["token_str"], str) for found in answer)
    elif task == "retrieval":
        assert sorted(found["text"] for found in answer) == ["a cat", "a dog"]
    elif task == "text-regression":
        assert first["label"] == "LABEL_0"
    else:
        assert first["label"] in config.label2id and 0 <= first["score"] <= 1


class Killed(BaseException):
    """As a signal that ends a process at once."""


def stopped_in_step(monkeypatch, number, kill):
    """Ends the next run in its step of this number, counted from 0: killed, or by Ctrl-C, which ends it after it."""
    step = FinetuneTrainer.training_step

    def patched(self, *args, **kwargs):
        if self.state.global_step == number:
            if kill:
                raise Killed
            signal.raise_signal(signal.SIGINT)
        return step(self, *args, **kwargs)

    monkeypatch.setattr(FinetuneTrainer, "training_step", patched)


@pytest.mark.parametrize("task", TASKS)
def test_a_stopped_run_resumed_is_an_uninterrupted_one(task, finished, tmp_path, capsys, monkeypatch):
    folder, whole, changes = finished(task)
    config = write(task, tmp_path, **changes)
    kill = list(TASKS).index(task) % 2 == 0
    with monkeypatch.context() as patch:
        stopped_in_step(patch, 2, kill)
        if kill:
            with pytest.raises(Killed):
                main(["finetune", task, config])
        else:
            assert main(["finetune", task, config]) == 130
            assert "after step 3, which is saved; add --resume" in capsys.readouterr().err
    assert not (tmp_path / "out" / "model").exists()
    assert main(["finetune", task, config, "--resume"]) == 0
    assert f"resuming from {tmp_path / 'out' / f'checkpoint-{2 if kill else 3}'}" in capsys.readouterr().out
    assert same(folder / "out", tmp_path / "out")
    figures = json.loads((tmp_path / "out" / "results.json").read_text())[0]["figures"]
    assert {name: figure["value"] for name, figure in figures.items()} == pytest.approx(
        {name: figure.value for name, figure in whole.figures.items()}, nan_ok=True, abs=0
    )


def test_a_folder_that_moved_is_resumed_with_its_best_checkpoint(finished, tmp_path, monkeypatch):
    folder, _, changes = finished("entailment")
    config = write("entailment", tmp_path, **changes)
    with monkeypatch.context() as patch:
        stopped_in_step(patch, 3, kill=True)
        with pytest.raises(Killed):
            main(["finetune", "entailment", config])
    (tmp_path / "out").rename(tmp_path / "moved")
    assert main(["finetune", "entailment", config, f"output={tmp_path / 'moved'}", "--resume"]) == 0
    assert same(folder / "out", tmp_path / "moved")


def test_a_run_that_was_killed_at_its_end_is_finished_by_resuming(finished, tmp_path):
    folder, _, changes = finished("entailment")
    shutil.copytree(folder / "out", tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "model")
    assert main(["finetune", "entailment", write("entailment", tmp_path, **changes), "--resume"]) == 0
    assert same(folder / "out", tmp_path / "out")


def test_the_best_checkpoint_is_what_is_saved(finished):
    folder, _, _ = finished("entailment")
    config = yaml.safe_load((folder / "out" / "run.yaml").read_text())
    assert config["training"]["steps"] == 4
    states = [json.loads(path.read_text()) for path in (folder / "out").glob("checkpoint-*/trainer_state.json")]
    best = max(states, key=lambda state: state["global_step"])["best_global_step"]
    assert same_as_checkpoint(folder / "out", best)


def same_as_checkpoint(out, step) -> bool:
    saved = load_file(out / f"checkpoint-{step}" / "model.safetensors")
    return all(torch.equal(value, saved[name]) for name, value in weights(out).items())


def test_low_rank_updates_are_merged_into_what_is_saved(finished):
    folder, _, _ = finished("masked-lm")
    assert not any("lora" in name for name in weights(folder / "out"))
    assert not (folder / "out" / "model" / "adapter_config.json").exists()
    assert list((folder / "out").glob("checkpoint-*/adapter_model.safetensors"))
    model, _ = load_model(folder / "out" / "model")
    assert model.lm_head.decoder.weight is model.get_input_embeddings().weight


def test_a_probe_keeps_the_encoders_to_the_bit(finished, checkpoint):
    folder, _, _ = finished("linear-probe")
    before, after = load_file(checkpoint / "model.safetensors"), weights(folder / "out")
    for name, value in after.items():
        assert not name.startswith("unimo2.") or torch.equal(value, before[name]), name
    assert {name for name in after if not name.startswith("unimo2.")} == {"classifier.weight", "classifier.bias"}


def test_a_trained_model_is_a_checkpoint(finished, tmp_path, capsys):
    """Of the same task with its head, of another with its encoders; without its tokenizer for pictures alone."""
    folder, _, _ = finished("linear-probe")
    start = tmp_path / "start"
    shutil.copytree(folder / "out" / "model", start)
    for path in start.glob("*token*"):
        path.unlink()
    changes = {"model": {"checkpoint": str(start)}, "training__steps": 1, "data__test": None, "data__validation": None}
    assert main(["finetune", "image-classification", write("image-classification", tmp_path, **changes)]) == 0
    assert "new:" not in capsys.readouterr().out and not list((tmp_path / "out" / "model").glob("tokenizer*"))
    assert load_model(tmp_path / "out" / "model")[0].config.label2id
    (tmp_path / "vqa").mkdir()
    message = refused(capsys, "vqa", write("vqa", tmp_path / "vqa", **changes))
    assert "No tokenizer could be loaded from" in message
    changes["model"]["processor"] = finetune_runs.MODEL["processor"]
    assert main(["finetune", "vqa", write("vqa", tmp_path / "vqa", **changes)]) == 0
    assert "new: classifier; all else is the checkpoint's" in capsys.readouterr().out


def test_a_model_of_pictures_needs_no_tokenizer(tmp_path):
    model = {"preset": "tiny", "config": finetune_runs.MODEL["config"]}
    changes = {"model": model, "data__test": None, "data__validation": None, "training__steps": 1}
    result = finetune(finetune_runs.config("image-classification", tmp_path, **changes))
    assert result is None and not (tmp_path / "out" / "results.json").exists()
    card = (tmp_path / "out" / "model" / "README.md").read_text()
    assert "from random weights" in card and "It was not started from a command line." in card
    assert load_model(tmp_path / "out" / "model")[0].config.num_labels == 10
    pipe = hf_unimo.pipeline("image-classification", model=str(tmp_path / "out" / "model"))
    assert pipe(Image.new("RGB", (9, 9)))[0]["label"] in pipe.model.config.label2id


def test_circle_loss_from_the_command_line(tmp_path, capsys):
    options = {"loss": "circle", "negatives": 4}
    config = write("retrieval", tmp_path, options=options, training__steps=2, data__test=None)
    assert main(["finetune", "retrieval", config, "data.batch_size=2", "training.save_steps=2"]) == 0
    out = capsys.readouterr().out
    assert "mean_recall" in out and "steps: 2, 36 a pass" in out
    card = (tmp_path / "out" / "model" / "README.md").read_text()
    assert "hf-unimo finetune retrieval config.yaml data.batch_size=2" in card and "validation" in card


def test_pairs_of_texts(tmp_path):
    columns = {"text": "premise", "text_pair": "hypothesis"}
    path = str(finetune_runs.ROWS / "entailment.parquet")
    tree = {name: {"path": path, "where": {"split": [name]}, "columns": columns} for name in ("train", "test")}
    config = finetune_runs.config("text-classification", tmp_path, data={**tree, "batch_size": 4}, training__steps=2)
    run = build_finetuning(config)
    batch = run.collator.batch("text", [run.source.read(0, None)], lambda name: [torch.Generator()])
    row = run.splits.train[0]
    assert batch["input_ids"].tolist()[0] == run.processor.tokenizer(row.text, row.text_pair)["input_ids"]
    assert set(run.model.config.label2id) == {"entailment", "contradiction"}
    assert "accuracy" in finetune(config).figures


def test_captions_from_masked_words_beside_pictures(tmp_path):
    """Masked words with a picture, several captions of which share its encoding."""
    splits = finetune_runs.splits("captioning", tmp_path)
    data = {name: tree | {"columns": {"image": "image", **tree["columns"]}} for name, tree in splits.items()}
    changes = {"data": {**data, "batch_size": 4, "rows_per_image": 2}, "training__steps": 2}
    result = finetune(finetune_runs.config("masked-lm", tmp_path, **changes))
    assert result.protocol.images or result.protocol.image_size


def test_separate_encoders_are_mapped_in(tmp_path, capsys):
    roberta = RobertaConfig(
        **finetune_runs.ENCODER, vocab_size=3000, max_position_embeddings=80, type_vocab_size=1, num_labels=7
    )
    RobertaModel(roberta).save_pretrained(tmp_path / "roberta")
    model = {name: value for name, value in finetune_runs.MODEL.items() if name != "config"}
    changes = {"model": model | {"text_checkpoint": str(tmp_path / "roberta")}, "data__test": None}
    changes |= {"data__validation": None, "training__learning_rate": 0.0, "training__steps": 1}
    assert main(["finetune", "text-classification", write("text-classification", tmp_path, **changes)]) == 0
    assert "used: 21 (53,760 values of the model)" in capsys.readouterr().out
    theirs = load_file(tmp_path / "roberta" / "model.safetensors")["encoder.layer.0.intermediate.dense.weight"]
    assert torch.equal(weights(tmp_path / "out")["unimo2.text_model.layers.0.mlp.fc1.weight"], theirs)


def official(tmp_path, preset, benchmark):
    """The trained rows of a file of the first implementation, with the settings of its scripts on a small model."""
    task = PRESETS[preset]["task"]
    tree = finetune_runs.tree(task, tmp_path, preset=preset, data={"common": benchmark, "train": {}, "test": {}})
    tree["data"] |= {"batch_size": 2, "image_size": 32, "max_text_length": 40}
    tree["training"] = {"steps": 2, "use_cpu": True}
    if task == "captioning":
        tree["options"] = {"generation": {"max_new_tokens": 6}}
    return finetune(FinetuneConfig.from_dict(tree, task))


def test_the_official_pairs_in_token_ids(tmp_path):
    lines = [f"0 {9 + number} 7 2;0 0 0 0;2 3 4 5;{number // 2};{number}" for number in range(8)]
    text(tmp_path / "val.all.ids", "\n".join(lines) + "\n")
    pictures(tmp_path, *(f"flickr30k-images/{number}.jpg" for number in range(4)))
    benchmark = {"benchmark": "unimo2-flickr30k", "path": str(tmp_path), "split": "val"}
    result = official(tmp_path, "official-flickr30k", benchmark)
    assert result.protocol.texts == 8 and "token ids" in result.protocol.text_input


def test_the_official_captions_in_token_ids_with_object_tags(tmp_path):
    lines = [f"COCO_val_{n};{n}.jpg;7{n};0 {9 + n} 8 2;0 0 0 0;2 3 4 5;-1 0 1 -1;0" for n in range(4)]
    text(tmp_path / "rows", "\n".join(lines) + "\n")
    text(tmp_path / "objects", "".join(f"{n};0 {15 + n} 2;0 0 0;2 3 4\n" for n in range(4)))
    pictures(tmp_path, *(f"{n}.jpg" for n in range(4)))
    benchmark = {"benchmark": "unimo2-coco", "path": "rows", "split": "val", "objects": "objects"}
    for name in ("path", "objects"):
        benchmark[name] = str(tmp_path / benchmark[name])
    result = official(tmp_path, "official-coco", benchmark)
    assert "the object tokens of the data before the caption" in result.protocol.scoring
    outside = tmp_path / "outside"
    text(outside, "\n".join([lines[0], lines[1].replace("0 10 8 2", "0 5000 8 2")]) + "\n")
    with pytest.raises(BadInputError, match="has the token id 5000; the model accepts 0 to 2999"):
        official(tmp_path / "b", "official-coco", {**benchmark, "path": str(outside), "images": str(tmp_path)})


# What is refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "task, changes, overrides, words",
    [
        ("vqq", {}, [], "The task is 'vqq'; the nearest known is vqa"),
        ("vqa", {}, ["training.step=3"], "training.step is no known key; the nearest known is training.steps"),
        ("vqa", {}, ["preset=official-mnlii"], "preset is 'official-mnlii'; the nearest known is official-mnli"),
        ("captioning", {}, ["task=vqa"], "is for the task 'vqa', but 'captioning' is to be learned"),
        ("vqa", {}, ["data.train.path=nowhere.parquet"], "nowhere.parquet"),
        ("vqa", {}, ["data.train.columns.text=questions"], "'questions'"),
        ("vqa", {}, ["data.train.columns.answers=replies"], "'replies'"),
        ("vqa", {}, ["data.train.benchmark=vqa2"], "data.train.benchmark is unknown"),
        ("vqa", {}, ["data.batch_size=40"], "data.train has 38 rows"),
        ("vqa", {}, ["data.batch_size=20", "data.rows_per_image=2"], "data.train has 13 rows"),
        ("vqa", {}, ["data.image_size=40"], "data.image_size is 40, but must be a multiple of the model's patch size"),
        ("image-classification", {}, ["model.processor=null", "data.image_size=40"], "multiple of the model's patch"),
        ("vqa", {}, ["data.max_text_length=70"], "data.max_text_length is 70, but the model has positions for 64"),
        ("vqa", {}, ["data.max_text_length=2"], "The longest text has 2 tokens"),
        ("vqa", {}, ["model.processor=null"], "model.processor is missing"),
        ("vqa", {}, ["model.processor=nowhere/at_all/x"], "tokenizer could be loaded"),
        ("vqa", {}, ["options.min_answer_count=50"], "has 0 answers that at least 50 questions have"),
        ("vqa", {}, ["training.optim=adamm"], "training.optim"),
        ("vqa", {}, ["training.freeze={vision: true}"], "`training.freeze` names 'vision', which the model does not"),
        ("vqa", {}, ["training.lora={rank: 3}"], "training.lora does not fit"),
        ("linear-probe", {}, ["training.lora={r: 3}"], "training.lora stands beside the task 'linear-probe'"),
        ("vqa", {}, ["data.validation=null", "training.eval_strategy=steps"], "data.validation names no rows"),
        ("vqa", {}, ["data.validation=null", "training.early_stopping_patience=2"], "data.validation names no rows"),
        ("vqa", {}, ["data.validation=null", "training.load_best_model_at_end=true"], "data.validation names no rows"),
        ("vqa", {}, ["training.eval_strategy=no", "training.early_stopping_patience=2"], "eval_strategy is 'no'"),
        ("vqa", {}, ["training.eval_steps=3"], "The training arguments do not fit"),
        ("retrieval", {}, ["data.rows_per_image=2"], "data.rows_per_image is 2, but in the task 'retrieval'"),
        ("image-classification", {}, ["data.rows_per_image=2"], "but in the task 'image-classification'"),
        (
            "retrieval",
            {"options": {"loss": "circle", "negatives": 5}},
            [],
            "options.negatives is 5; accepted are even",
        ),
        ("captioning", {"options": {"generation": {"beams": 3}}}, [], "The generation has an unknown setting"),
        ("captioning", {"options": {"generation": {"max_new_tokens": 90}}}, [], "max_new_tokens 90"),
        ("text-regression", {}, ["data.test.where={words: [8]}"], "data.test cannot be measured on: All "),
        ("vqa", {}, ["--resume"], "holds no run to resume"),
        ("vqa", {"model": {"checkpoint": "nowhere/at_all/x"}}, [], "could be loaded from"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(task, changes, overrides, words, tmp_path, capsys):
    config = write(task if task in TASKS else "vqa", tmp_path, **changes)
    message = refused(capsys, task, config, *overrides)
    assert words in message and "\n" not in message
    assert not (tmp_path / "out").exists()


def test_another_label_set_is_named_and_a_new_head_offered(finished, tmp_path, capsys):
    folder, _, _ = finished("entailment")
    path = tmp_path / "other.jsonl"
    (tmp_path / "a.png").write_bytes(picture_bytes())
    rows = [{"image": "a.png", "text": f"this is {kind}", "label": kind} for kind in ("entailment", "neutral")]
    as_lines(path, rows)
    changes = {"model": {"checkpoint": str(folder / "out" / "model")}, "training__steps": 1}
    config = write("entailment", tmp_path, **changes, data={"train": {"path": str(path)}, "batch_size": 2})
    message = refused(capsys, "entailment", config)
    assert "the data has 'neutral', which it has not and it has 'contradiction'" in message
    assert "--reset-head" in message and not (tmp_path / "out").exists()
    assert main(["finetune", "entailment", config, "training.learning_rate=0", "--reset-head"]) == 0
    assert "new: classifier; all else is the checkpoint's" in capsys.readouterr().out
    before, after = weights(folder / "out"), weights(tmp_path / "out")
    for name, value in after.items():
        assert torch.equal(value, before[name]) == name.startswith("unimo2."), name
    assert load_model(tmp_path / "out" / "model")[0].config.label2id == {"entailment": 0, "neutral": 1}
    assert "--reset-head" in (tmp_path / "out" / "model" / "README.md").read_text()


def test_a_finished_run_is_not_begun_again(finished, tmp_path, capsys):
    folder, _, changes = finished("entailment")
    before = {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("*")}
    config = write("entailment", folder, **changes)
    assert "exists and is not empty" in refused(capsys, "entailment", config)
    assert "holds a finished run" in refused(capsys, "entailment", config, "--resume")
    message = refused(capsys, "entailment", config, "training.learning_rate=0.5", "--resume")
    assert "different configuration" in message and "training.learning_rate: 0.001 -> 0.5" in message
    message = refused(capsys, "vqa", write("vqa", folder, **changes), "--resume")
    assert 'task: "entailment" -> "vqa"' in message
    (folder / "config.yaml").unlink()
    assert before == {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("*")}


def test_the_folder_of_another_command_cannot_be_resumed(tmp_path, capsys):
    from . import runs

    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "run.yaml").write_text(runs.config(tmp_path / "out").to_yaml())
    refused(capsys, "vqa", write("vqa", tmp_path), "--resume")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["run.yaml"]


def test_a_loss_that_is_not_finite_ends_the_run_with_the_batch(tmp_path, capsys):
    config = write("text-regression", tmp_path, data__test=None, data__validation=None)
    message = refused(capsys, "text-regression", config, "training.learning_rate=1e30", code=1)
    assert "The loss is not finite at step" in message and "of source 'train' (text) on process 0: row " in message
    assert not (tmp_path / "out" / "model").exists()


def test_broken_pictures_are_counted_up_to_a_number(tmp_path, capsys, caplog):
    path = finetune_runs.with_broken_pictures(tmp_path, [0, 3])
    tree = {"path": str(path)}
    config = write("image-classification", tmp_path, data={"train": tree, "test": tree, "batch_size": 4})
    with caplog.at_level(logging.WARNING):
        assert main(["finetune", "image-classification", config, "training.steps=8"]) == 0
    assert sum("cannot be used" in text for text in caplog.messages) == 2
    card = (tmp_path / "out" / "model" / "README.md").read_text()
    assert "2 training rows could not be read and were replaced by others." in card
    assert "2 rows failed and do not count" in card  # of the test
    message = refused(
        capsys, "image-classification", config, "training.steps=8", "data.max_bad_rows=1", f"output={tmp_path / 'b'}"
    )
    assert "More than 1 rows cannot be used" in message and "raise `max_bad_rows`" in message


def test_missing_pictures_are_counted(tmp_path, capsys):
    rows = [{"image": f"{number}.png", "label": number} for number in range(3)]
    as_lines(tmp_path / "rows.jsonl", rows)
    (tmp_path / "1.png").write_bytes(picture_bytes())
    config = write("image-classification", tmp_path, data={"train": {"path": "rows.jsonl"}, "batch_size": 1})
    assert "lacks the images of 2 of 3 rows (the first: 0.png)" in refused(capsys, "image-classification", config)
    assert not (tmp_path / "out").exists()


def test_validation_data_that_does_not_fit_is_refused_before_training(tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(picture_bytes())
    row = {"image": "a.png", "question": "what?", "answer": "a thing that no training row has"}
    as_lines(tmp_path / "rows.jsonl", [row])
    columns = {"text": "question", "answers": "answer"}
    config = write("vqa", tmp_path, data__validation={"path": "rows.jsonl", "columns": columns})
    message = refused(capsys, "vqa", config)
    assert "data.validation has 1 questions, and no answer of the model's" in message
    assert not (tmp_path / "out").exists()


def test_a_family_says_what_it_can_learn(tmp_path, monkeypatch, capsys):
    monkeypatch.delitem(FAMILIES["unimo2"].task_models, "vqa")
    message = refused(capsys, "vqa", write("vqa", tmp_path))
    assert "The family unimo2 cannot learn 'vqa'; it can learn retrieval, captioning" in message


GLUE = {
    # task: (files, header, lines), and what the command is given beside it
    "sst2": ("text-classification", ["SST-2/train.tsv", "SST-2/dev.tsv"], ("sentence", "label"), "{0} cat {0}\t{1}"),
    "rte": (
        "text-classification",
        ["RTE/train.tsv", "RTE/dev.tsv"],
        ("index", "sentence1", "sentence2", "label"),
        "{0}\ta cat {0}\ta dog\t{2}",
    ),
    "stsb": (
        "text-regression",
        ["STS-B/train.tsv", "STS-B/dev.tsv"],
        ("index", "genre", "filename", "year", "old", "source1", "source2", "sentence1", "sentence2", "score"),
        "{0}\tnews\tf\t2012\t1\tnone\tnone\ta cat {0}\ta dog\t{0}.5",
    ),
}


@pytest.mark.parametrize("name", GLUE)
def test_glue_by_name(name, tmp_path):
    task, files, header, line = GLUE[name]
    for file in files:
        rows = [line.format(n, n % 2, ("entailment", "not_entailment")[n % 2]) for n in range(4)]
        text(tmp_path / file, "\n".join(["\t".join(header), *rows]) + "\n")
    data = {"common": {"benchmark": name, "path": str(tmp_path)}, "train": {}, "test": {"split": "validation"}}
    tree = finetune_runs.tree(task, tmp_path, data=data)
    tree["data"] |= {"batch_size": 2}
    tree["training"] = {"steps": 2, "use_cpu": True}
    result = finetune(FinetuneConfig.from_dict(tree, task))
    assert result.protocol.rows == 4 and result.protocol.dataset == name
    assert ("pearson" if task == "text-regression" else "accuracy") in result.figures
