# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""What the pages show can be typed: code blocks run, commands and linked files exist."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from hf_unimo import Unimo2ImageProcessorPil, Unimo2Processor, Unimo2Tokenizer, cli
from hf_unimo.config_tree import parse_yaml
from hf_unimo.data.benchmarks import BENCHMARKS
from hf_unimo.data.own_data import KINDS
from hf_unimo.evaluation import measuring
from hf_unimo.evaluation.adapters import HEADS
from hf_unimo.retrieval.adapters import PAIR_ADAPTERS
from hf_unimo.training.finetune_config import FinetuneConfig, load_finetune_config
from hf_unimo.training.run_config import RunConfig, load_run_config
from hf_unimo.training.tasks import TASKS as FINETUNING
from modeling_tests.evaluation import models
from modeling_tests.models.unimo2 import small


ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(text, language) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_readmes_python_runs(tmp_path):
    """In a folder that holds what `make demo` leaves, with a small random model in place of the trained one."""
    tokenizer = Unimo2Tokenizer.from_pretrained(ROOT / "examples" / "data" / "emoji" / "tokenizer")
    model = small.model("Unimo2Model", text_config=small.ENCODER | {"vocab_size": len(tokenizer)})
    folder = tmp_path / "runs" / "demo" / "model"
    model.save_pretrained(folder)
    Unimo2Processor(Unimo2ImageProcessorPil(size=16), tokenizer).save_pretrained(folder)
    Image.new("RGB", (40, 30), "red").save(tmp_path / "picture.png")
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(r"tensor\(\[\[.*,.*,.*\]\]", done.stdout)


def headings(page) -> list[str]:
    """As links call them."""
    found = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in found]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_commands_exist(page):
    text = page.read_text()
    for target, place in re.findall(r"\]\(((?!http)[^)#]*)(?:#([^)]+))?\)", text):
        assert (page.parent / target).exists(), target
        if place:
            assert place in headings(page.parent / target if target else page), (target, place)
    for command in re.findall(r"^hf-unimo ([\w-]+)", text, flags=re.MULTILINE):
        assert command in cli.COMMANDS
    for script in re.findall(r"^python (\S+\.py)", text, flags=re.MULTILINE):
        assert (ROOT / script).is_file(), script
    for target in re.findall(r"^make ([\w-]+)", text, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE), target


def test_the_configuration_of_a_run_and_the_ablations_are_accepted():
    text = (ROOT / "docs" / "pretrain.md").read_text()
    (tree,) = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    assert set(RunConfig.from_dict(parse_yaml(tree, "docs/pretrain.md")).data.sources) == {
        "pairs",
        "pictures",
        "sentences",
    }
    overrides = re.findall(r"^\| [^|]+ \| `([\w.]+=[^`]*)` \|$", text, flags=re.MULTILINE)
    assert len(overrides) == 5
    for line in overrides:
        load_run_config(ROOT / "examples" / "configs" / "emoji.yaml", line.split())


# ---------------------------------------------------------------------------------------------------------------------
# The pages of tasks
# ---------------------------------------------------------------------------------------------------------------------


def named(*names) -> dict:
    label2id = {name: index for index, name in enumerate(names)}
    return {"id2label": dict(enumerate(names)), "label2id": label2id, "num_labels": len(names)}


TASKS = {
    "retrieval": ("Unimo2ForImageTextRetrieval", {}),
    "zero-shot-classification": ("Unimo2ForImageTextRetrieval", {}),
    "linear-probe": ("Unimo2Model", {}),
    "visual-question-answering": ("Unimo2ForVisualQuestionAnswering", named("yes", "no", "2")),
    "visual-entailment": ("Unimo2ForImageTextClassification", named("entailment", "neutral", "contradiction")),
    "nlvr2": ("Unimo2ForImageTextClassification", named("False", "True") | {"num_images": 2}),
    "captioning": ("Unimo2ForConditionalGeneration", {}),
    "image-classification": ("Unimo2ForImageClassification", named("cat", "dog")),
    "text-classification": ("Unimo2ForSequenceClassification", named("cat", "dog")),
    "text-regression": ("Unimo2ForSequenceClassification", {"num_labels": 1}),
    "masked-words": ("Unimo2ForMaskedLM", {}),
}
"""Page -> a class that it names, and its settings."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the pages' lines are typed: `data.jsonl` with the columns of all of them, and pictures."""
    rows = []
    for number in range(12):
        models.picture(number).save(tmp_path / f"{number}.png")
        row = {"file": f"{number}.png", "right": f"{(number + 1) % 12}.png", "fold": ("test", "train")[number % 2]}
        row |= {"captions": [f"{number} red squares", f"{number} in blue"], "question": f"is it {number}?"}
        row |= {"answers": ["yes"] * 6 + ["2"] * 4, "hypothesis": f"there are {number}"}
        row |= {"verdict": ("entailment", "neutral", "contradiction")[number % 3], "truth": number % 4 < 2}
        row |= {"sentence": f"{number // 2} squares", "about": number // 2, "kind": ("cat", "dog")[number // 2 % 2]}
        rows.append(row | {"score": number / 2})
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for name in ("picture.png", "other.png"):
        models.picture(len(name)).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    whole = measuring.with_intervals
    monkeypatch.setattr(measuring, "with_intervals", lambda *args, **given: whole(*args, **given | {"samples": 5}))
    return tmp_path


def task_pages() -> list[Path]:
    return sorted((ROOT / "docs" / "tasks").glob("*.md"))


def without_training(page) -> str:
    """What a page says of evaluation and prediction: training takes longer than a test of pages may."""
    return re.sub(r"^## Fine-tuning$.*?(?=^## |\Z)", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def commands(page) -> list[list[str]]:
    """Those of evaluation, as words."""
    lines = [line for block in blocks(without_training(page), "bash") for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("hf-unimo evaluate ")]


@pytest.mark.parametrize("page", task_pages(), ids=lambda page: page.stem)
def test_the_pages_of_tasks_show_what_runs(page, folder, capsys):
    """Word for word: the data file, every command on it, and the Python."""
    name, settings = TASKS[page.stem]
    for part in models.unimo2(name, **settings):
        part.save_pretrained(folder / "MODEL")
    (data,) = [block for block in blocks(page.read_text(), "yaml") if block.startswith("# my-data.yaml")]
    (folder / "my-data.yaml").write_text(data)
    run = [words for words in commands(page) if "my-data.yaml" in words]
    assert run
    for words in run:
        assert cli.main(words) == 0
    results = json.loads((folder / "evaluation" / "results.json").read_text())
    assert {result["task"] for result in results} == {task for words in run for task in words[3].split(",")}
    capsys.readouterr()
    names: dict = {}
    for code in blocks(without_training(page), "python"):
        exec(code, names)
    assert capsys.readouterr().out.startswith("Figure(value=")
    # What comes out is what the page explains.
    for result in results:
        for figure in result["figures"]:
            figure = re.sub(r"@\d+$", "@k", re.sub(r" \(.*", "", figure))
            told = (figure, re.sub(r"^(image|text)_(?=m)", "*_", figure), re.sub(r"bleu_[23]", "bleu_4", figure))
            assert any(f"`{shown}`" in page.read_text() for shown in told), figure


@pytest.mark.parametrize("page", task_pages(), ids=lambda page: page.stem)
def test_the_pages_of_tasks_name_what_there_is(page):
    text, tasks = page.read_text(), set()
    for words in commands(page):
        args = cli.build_parser(words).parse_args(words)
        tasks |= set(args.tasks.split(","))
        assert args.data[0] == "my-data.yaml" or args.data[0].split("=")[0] in BENCHMARKS
    assert tasks <= set(KINDS) and all(f"`{task}`" in text for task in tasks)
    for task in tasks & set(HEADS):
        for head in HEADS[task]:
            assert f"`{head}`" in text or f"`...{head}`" in text, head
    if page.stem == "retrieval":
        pairs = {name for _, classes in PAIR_ADAPTERS.values() for name in classes}
        assert pairs <= set(re.findall(r"`(\w+)`", text))


def test_every_task_has_a_page():
    assert {page.stem for page in task_pages()} == set(TASKS)
    shown = {task for page in task_pages() for words in commands(page) for task in words[3].split(",")}
    assert shown == set(KINDS)
    listed = re.findall(r"\]\(tasks/([\w-]+)\.md\)", (ROOT / "docs" / "evaluate.md").read_text())
    assert sorted(listed) == sorted(TASKS)


def test_the_configurations_of_fine_tunings_are_accepted():
    text = (ROOT / "docs" / "finetune.md").read_text()
    trees = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    for tree, task in zip(trees, ("entailment", "vqa", "retrieval"), strict=True):
        FinetuneConfig.from_dict(parse_yaml(tree, "docs/finetune.md"), task)
    rows = re.findall(r"^\| \[?`([\w-]+)`\]?(?:\([^)]*\))? \|", text, flags=re.MULTILINE)
    assert set(FINETUNING) <= set(rows)
    for path in (ROOT / "examples" / "configs" / "finetune").glob("*.yaml"):
        command = re.search(rf"hf-unimo (\w+) (.*){path.name}", path.read_text())
        assert command is not None, path.name
        if command[1] == "finetune":
            load_finetune_config(path, command[2].split()[0])
        else:
            load_run_config(path)
