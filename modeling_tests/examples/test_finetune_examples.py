# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The fine-tuning examples train on real rows by a plain Trainer, leave a model that predicts, refuse the rest."""

import importlib.util
import itertools
import math
from functools import partial
from pathlib import Path

import datasets
import pytest
import torch
from safetensors.torch import load_file
from transformers import Trainer, set_seed

import hf_unimo
from hf_unimo import Unimo2Config, Unimo2ForPreTraining, Unimo2ImageProcessorPil, Unimo2Processor, Unimo2Tokenizer
from hf_unimo.data.open_data import open_tree
from hf_unimo.evaluation.measuring import Options
from hf_unimo.evaluation.run import evaluate_task


ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "examples" / "finetune"
FIXTURES = ROOT / "modeling_tests" / "fixtures" / "tasks"
EMOJI = ROOT / "examples" / "data" / "emoji"
QUICK = Options(samples=20)  # fewer samples for the intervals than the scripts take


def load(name):
    spec = importlib.util.spec_from_file_location(f"finetune_{name}", SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A pre-training model with its processor."""
    folder = tmp_path_factory.mktemp("checkpoint")
    set_seed(0)
    Unimo2ForPreTraining(Unimo2Config.tiny(text_config={"vocab_size": 3000})).save_pretrained(folder)
    tokenizer = Unimo2Tokenizer.from_pretrained(EMOJI / "tokenizer")
    Unimo2Processor(Unimo2ImageProcessorPil(size=64), tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Files by name: the fixtures, and a few rows of the emoji in the columns that the other scripts take."""
    folder = tmp_path_factory.mktemp("data")
    emoji = datasets.Dataset.from_parquet(str(EMOJI / "emoji.parquet"), cache_dir=str(folder / "cache"))
    # 3,099 rows of the training, then those of the test, of two styles.
    parts = {}
    for split, number in (("train", 33), ("test", 12)):
        rows = [row for row, found in enumerate(emoji["split"]) if found == split]
        parts[split] = emoji.select(rows[:: len(rows) // number][:number])
    pictures = datasets.concatenate_datasets([*parts.values()])
    pictures.to_parquet(folder / "pictures.parquet")

    # 33 of train, and of test 6 for validation and 6 for test.
    splits = ["train"] * 33 + ["validation"] * 6 + ["test"] * 6
    texts = {"text": pictures["label"], "label": pictures["group"], "split": splits}
    texts["rating"] = [float(len(tags)) for tags in pictures["tags"]]
    datasets.Dataset.from_dict(texts).to_parquet(folder / "texts.parquet")

    columns = {"image": [], "second_image": [], "text": [], "label": [], "split": []}
    for (first, second), split in zip(itertools.pairwise([*pictures, pictures[0]]), splits):
        columns["image"].append(first["image"])
        columns["second_image"].append(second["image"])
        columns["text"].append(f"both pictures are of {first['group']}")
        columns["label"].append(first["group"] == second["group"])
        columns["split"].append(split)
    features = {"image": datasets.Image(), "second_image": datasets.Image(), "text": datasets.Value("string")}
    features |= {"label": datasets.Value("bool"), "split": datasets.Value("string")}
    assert set(columns["label"]) == {True, False}
    datasets.Dataset.from_dict(columns, datasets.Features(features)).to_parquet(folder / "two_pictures.parquet")

    files = {path.stem: path for path in (*folder.glob("*.parquet"), *FIXTURES.glob("*.parquet"))}
    assert {"pictures", "texts", "two_pictures", "easy_vqa", "animals", "entailment"} <= set(files)
    return files


def predict_hit(pipe, row, test):
    return pipe(row.image.open(), [other.captions[0] for other in test[:20]], top_k=3)


# Task -> script, its own arguments, data, task of the evaluator, pipeline, the script's last line done once more, and
# the figures by which `compute_metrics` and the evaluator call the same.
CASES = {
    "retrieval": ("retrieval", [], "pictures", "retrieval", "image-text-retrieval", predict_hit, None),
    "captioning": (
        *("captioning", [], "pictures", "captioning", "image-captioning"),
        lambda pipe, row, test: pipe(row.image.open(), generate_kwargs={"num_beams": 3, "max_new_tokens": 20}),
        None,
    ),
    "visual_question_answering": (
        *("visual_question_answering", [], "easy_vqa", "vqa", "vqa"),
        lambda pipe, row, test: pipe(row.image.open(), row.question),
        ("soft_accuracy", "exact_match"),
    ),
    "visual_entailment": (
        *("classification", ["--task", "visual-entailment"], "entailment", "entailment", "visual-entailment"),
        lambda pipe, row, test: pipe(row.image.open(), row.hypothesis),
        ("accuracy", "accuracy"),
    ),
    "nlvr2": (
        *("classification", ["--task", "nlvr2"], "two_pictures", "nlvr2", "nlvr2"),
        lambda pipe, row, test: pipe((row.left.open(), row.right.open()), row.sentence),
        ("accuracy", "accuracy"),
    ),
    "image_classification": (
        *("classification", ["--task", "image-classification"]),
        *("animals", "image-classification", "image-classification"),
        lambda pipe, row, test: pipe(row.image.open()),
        ("accuracy", "accuracy"),
    ),
    "text_classification": (
        *("classification", ["--task", "text-classification"]),
        *("texts", "text-classification", "text-classification"),
        lambda pipe, row, test: pipe(row.text),
        ("accuracy", "accuracy"),
    ),
    "text_regression": (
        *("text_regression", [], "texts", "regression", "text-classification"),
        lambda pipe, row, test: pipe(row.text, function_to_apply="none"),
        ("pearson", "pearson"),
    ),
    "masked_lm": (
        *("masked_lm", [], "pictures", "masked-words", "fill-mask"),
        lambda pipe, row, test: pipe("a red <mask>", row.image.open()),
        None,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_two_steps_leave_a_model_that_predicts(case, checkpoint, data, tmp_path, monkeypatch, capsys):
    name, more, file, task, pipeline, predict, same = CASES[case]
    script, trainers = load(name), []

    class Recorded(Trainer):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            trainers.append(self)

    assert script.Trainer is Trainer  # plain
    monkeypatch.setattr(script, "Trainer", Recorded)
    monkeypatch.setattr(script, "evaluate_task", partial(evaluate_task, options=QUICK))
    output = tmp_path / "out"
    words = ["--model", str(checkpoint), "--data", str(data[file]), "--output", str(output), "--max-steps", "2"]
    script.main([*more, *words])
    printed = capsys.readouterr().out
    (trainer,) = trainers

    history = trainer.state.log_history
    assert trainer.state.global_step == 2 and 0 < history[-1]["train_loss"] < math.inf
    if same is not None:
        evaluated = [entry for entry in history if f"eval_{same[0]}" in entry]
        assert evaluated and all(math.isfinite(entry["eval_loss"]) for entry in evaluated)
    start, end = load_file(checkpoint / "model.safetensors"), load_file(output / "model.safetensors")
    moved = [name for name in start.keys() & end.keys() if not torch.equal(start[name], end[name])]
    assert len(moved) > 20 and all(torch.isfinite(values).all() for values in end.values())
    assert "|---" in printed  # the table of figures

    columns = script.TASKS[more[1]][3] if more else script.COLUMNS
    tree = {"path": str(data[file]), "columns": columns, "where": {"split": "test"}}
    test = open_tree(tree | ({"captions": "join"} if case == "masked_lm" else {}), task)
    pipe = hf_unimo.pipeline(pipeline, str(output))
    found = predict(pipe, test[0], test)
    assert printed.rstrip().endswith(str(found))

    if same is not None:  # collator and `compute_metrics` see the rows as the evaluator does
        model, processor = type(trainer.model).from_pretrained(output), Unimo2Processor.from_pretrained(output)
        theirs = evaluate_task(task, model, processor, test, options=QUICK).figures[same[1]].value
        ours = trainer.evaluate(test)[f"eval_{same[0]}"]
        assert ours == pytest.approx(theirs, abs=1e-4)


def test_names_of_classes_and_answers_come_with_the_model(checkpoint, data, tmp_path, monkeypatch):
    configs = []
    for name, more, file in (
        ("classification", ["--task", "image-classification"], "animals"),
        ("visual_question_answering", [], "easy_vqa"),
    ):
        script, output = load(name), tmp_path / name
        monkeypatch.setattr(script, "evaluate_task", partial(evaluate_task, options=QUICK))
        words = ["--model", str(checkpoint), "--data", str(data[file]), "--output", str(output), "--max-steps", "1"]
        script.main([*more, *words])
        configs.append(Unimo2Config.from_pretrained(output))
    animals, questions = configs
    assert animals.num_labels == 10 and animals.id2label[0] == "bear" and animals.label2id["zebra"] == 9
    assert {"yes", "no"} < set(questions.label2id)
    assert questions.id2label[questions.label2id["yes"]] == "yes"


@pytest.mark.parametrize("name", sorted(path.stem for path in SCRIPTS.glob("*.py")))
def test_bad_input_is_one_sentence_and_exit_code_2(name, checkpoint, data, tmp_path, capsys):
    script = load(name)
    more, file = next(case[1:3] for case in CASES.values() if case[0] == name)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    good = {"--model": str(checkpoint), "--data": str(data[file]), "--output": str(tmp_path / "out")}
    for key, value, words in (
        ("--data", tmp_path / "nowhere.parquet", "nowhere.parquet"),
        ("--data", tmp_path / "other.parquet", "column"),
        ("--model", tmp_path / "no_model", "no_model"),
        ("--output", tmp_path / "full", "is not empty"),
    ):
        datasets.Dataset.from_dict({"something": ["else"]}).to_parquet(tmp_path / "other.parquet")
        arguments = [word for pair in (good | {key: str(value)}).items() for word in pair]
        with pytest.raises(SystemExit) as stopped:
            script.main([*more, *arguments, "--max-steps", "1"])
        message = capsys.readouterr().err.splitlines()[-1]
        assert stopped.value.code == 2 and words in message
        assert not (tmp_path / "out").exists()
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]
