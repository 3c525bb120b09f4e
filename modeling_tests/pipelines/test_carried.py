# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""A repository that carries its pipelines answers as `hf_unimo.pipeline` does where hf_unimo cannot be imported."""

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import transformers
from transformers import AutoConfig, AutoModelForVisualQuestionAnswering

import hf_unimo
from hf_unimo import FAMILIES, Unimo2Processor
from hf_unimo.card import auto_class_of
from hf_unimo.flat_code import flat_code
from hf_unimo.hub import export_repository
from hf_unimo.pipelines import FAMILIAR_NAMES, TASKS
from hf_unimo.pipelines.carried import carried_pipelines
from hf_unimo.pipelines.image_question_answering import ImageQuestionAnsweringPipeline
from modeling_tests.test_hub import run_blocks

from .models import TEXTS, ours, pictures


FAMILY = FAMILIES["unimo2"]
NAMES = {
    "Unimo2ForConditionalGeneration": {"image-captioning", "image-to-text"},
    "Unimo2ForImageTextRetrieval": {"image-text-matching", "image-text-retrieval"},
    "Unimo2ForMaskedLM": {"fill-mask"},
    "Unimo2ForVisualQuestionAnswering": {"image-question-answering", "visual-question-answering", "vqa"},
}
"""Head -> the names under which a repository of it is served."""

VQA = "Unimo2ForVisualQuestionAnswering"


def test_every_head_and_its_names():
    heads = {head.__name__: set(carried_pipelines(head, auto_class_of(FAMILY, head))) for head in FAMILY.heads}
    pairs = {"Unimo2ForImageTextClassification": {"nlvr2", "visual-entailment"}}  # no Auto class: see test_hub.py
    assert {name: tasks for name, tasks in heads.items() if tasks} == NAMES | pairs
    assert set.union(*heads.values()) == {*TASKS, *FAMILIAR_NAMES, "fill-mask"}
    assert carried_pipelines(transformers.ViltForQuestionAnswering, None).keys() == NAMES[VQA]


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, tuple[Path, Path]]:
    """Head -> the saved model and its repository."""
    place = tmp_path_factory.mktemp("carried")
    found = {}
    for name in NAMES:
        parts, saved = ours(name), place / f"{name}-saved"
        parts["model"].save_pretrained(saved)
        Unimo2Processor(parts["image_processor"], parts["tokenizer"]).save_pretrained(saved)
        found[name] = saved, export_repository(saved, place / name, pipelines=True)
    return found


def custom_pipelines(folder: Path) -> dict:
    return json.loads((folder / "config.json").read_text())["custom_pipelines"]


def test_the_entries_name_what_is_there(folders):
    for head, (_, repository) in folders.items():
        entries = custom_pipelines(repository)
        assert entries.keys() == NAMES[head]
        auto_map = json.loads((repository / "config.json").read_text())["auto_map"]
        for entry in entries.values():
            file, _, name = entry["impl"].partition(".")
            assert re.search(rf"^class {name}\(", (repository / f"{file}.py").read_text(), flags=re.MULTILINE)
            assert [auto_map[auto] for auto in entry["pt"]] == [f"modeling_unimo2.{head}"]
        assert not (repository / "pipelines_auto.py").exists()


def test_the_saved_head_is_still_all_that_is_carried_by_default(folders, tmp_path):
    for saved, repository in folders.values():
        plain = export_repository(repository, tmp_path / saved.name)
        assert "custom_pipelines" not in json.loads((plain / "config.json").read_text())
        assert {path.name for path in plain.glob("*.py")} == set(flat_code(FAMILY))


# In a process of its own


def answers(pipeline, task, folder, images, texts, **kwargs):
    """What a pipeline says of some inputs, as JSON takes it, and the modules of its parts."""
    pipe = pipeline(task, model=str(folder), **kwargs)
    if task == "fill-mask":
        found = [pipe([f"{text} <mask>" for text in texts], image=images, batch_size=3), pipe("a <mask>ed cat")]
    elif task in ("image-captioning", "image-to-text"):
        settings = {"num_beams": 2, "max_new_tokens": 6, "num_return_sequences": 2}
        found = [pipe(images, generate_kwargs=settings, batch_size=2), pipe(images[0], "a red")]
    elif task == "image-text-retrieval":
        found = [pipe(images, texts, query="text", top_k=2), pipe(images[0], texts, rerank=3, top_k=3)]
        found[0] = [[{"index": hit["index"], "score": hit["score"]} for hit in hits] for hits in found[0]]
    else:
        found = [pipe(images, texts, batch_size=2), pipe(images[0], texts[0])]
    parts = (pipe, pipe.model, pipe.tokenizer, pipe.image_processor)
    return found, [type(part).__module__ for part in parts]


CHILD = """
import json, sys

def refuse(name, *_):
    if name.partition(".")[0] == "hf_unimo":
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, type("Blocker", (), {"find_spec": staticmethod(refuse)}))
import transformers
from PIL import Image
from transformers import pipeline
from transformers.dynamic_module_utils import get_class_from_dynamic_module

job = json.load(open(sys.argv[1]))
images = [Image.open(path) for path in job["images"]]

def state():
    registry = transformers.pipelines.PIPELINE_REGISTRY.supported_tasks
    resolve = transformers.pipelines._resolve_deprecated_task
    return {name: dict(known) for name, known in registry.items()}, resolve, list(sys.meta_path)

def refusal(action):
    try:
        action()
    except (KeyError, RuntimeError, ValueError) as error:
        return type(error).__name__, str(error)

before, found = state(), {}
for head, folder in job["repositories"].items():
    for task in json.load(open(f"{folder}/config.json"))["custom_pipelines"]:
        found[f"{head} {task}"], modules = answers(
            pipeline, task, folder, images, job["texts"], trust_remote_code=True
        )
        assert all(module.startswith("transformers_modules.") for module in modules), modules
        assert state() == before, task
printed = {head: run_blocks(folder, "path/or/name", [0, 2, 3]) for head, folder in job["repositories"].items()}

asks, fills = job["repositories"][job["vqa"]], job["repositories"]["Unimo2ForMaskedLM"]
pipe = pipeline("vqa", model=asks, trust_remote_code=True)
parts = {"tokenizer": pipe.tokenizer, "image_processor": pipe.image_processor}
other = pipeline("fill-mask", model=fills, trust_remote_code=True).model
refusals = {
    "a blank question": refusal(lambda: pipe(images[0], " ")),
    "another head": refusal(lambda: type(pipe)(other, **parts)),
    "a head of transformers": refusal(lambda: type(pipe)(transformers.ViltModel(transformers.ViltConfig(
        hidden_size=8, num_attention_heads=1, num_hidden_layers=1, intermediate_size=8)), **parts)),
    "no task, three names": refusal(lambda: pipeline(model=asks, trust_remote_code=True)),
    "a repository without it": refusal(lambda: pipeline("vqa", model=fills, trust_remote_code=True)),
    "a model object": refusal(lambda: pipeline("vqa", model=pipe.model, **parts)),
}
assert pipeline(model=fills, trust_remote_code=True).task == "fill-mask"  # the only name
pipe.save_pretrained(job["resaved"])
assert not any(name.partition(".")[0] == "hf_unimo" for name in sys.modules)
json.dump({"answers": found, "printed": printed, "refusals": refusals}, open(job["out"], "w"))
"""


@pytest.fixture(scope="module")
def elsewhere(folders, tmp_path_factory) -> dict:
    """What a process that cannot import `hf_unimo` got from the repositories."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for place, image in enumerate(pictures(3)):
        image.save(folder / f"{place}.png")
    job = {
        "repositories": {head: str(repository) for head, (_, repository) in folders.items()},
        "images": [str(folder / f"{place}.png") for place in range(3)],
        "texts": TEXTS,
        "vqa": VQA,
        "resaved": str(folder / "resaved"),
        "out": str(folder / "out.json"),
    }
    (folder / "job.json").write_text(json.dumps(job))
    functions = "\n".join(inspect.getsource(function) for function in (answers, run_blocks))
    (folder / "child.py").write_text(functions + CHILD)
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    environment = kept | {
        "HOME": str(folder),
        "HF_HOME": str(folder / "hf"),
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-I", str(folder / "child.py"), str(folder / "job.json")]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return job | json.loads((folder / "out.json").read_text())


def leaves(answer) -> list:
    """All words and numbers of an answer, in order."""
    if isinstance(answer, dict):
        answer = list(answer.values())
    return [one for part in answer for one in leaves(part)] if isinstance(answer, list) else [answer]


@pytest.mark.slow
@pytest.mark.parametrize(("head", "task"), [(head, task) for head in NAMES for task in sorted(NAMES[head])])
def test_the_answers_are_those_of_the_package(folders, elsewhere, head, task):
    saved, _ = folders[head]
    expected, modules = answers(hf_unimo.pipeline, task, saved, pictures(3), TEXTS)
    assert all(module.startswith("hf_unimo.") for module in modules)
    found, expected = leaves(elsewhere["answers"][f"{head} {task}"]), leaves(expected)
    assert len(found) == len(expected) > 3
    for one, two in zip(found, expected):
        assert one == (pytest.approx(two, abs=1e-6) if isinstance(two, float) else two)


@pytest.mark.slow
def test_what_is_refused_elsewhere(elsewhere):
    vqa = "image-question-answering, visual-question-answering, vqa"
    cannot = "cannot do image-question-answering, which takes"
    takes = "BlipForQuestionAnswering or ViltForQuestionAnswering or hf_unimo's ...ForVisualQuestionAnswering"
    expected = {
        "a blank question": ("BadInputError", "`question` is empty; expected a text."),
        "another head": (
            "BadInputError",
            f"A Unimo2ForMaskedLM {cannot} {takes}",
        ),
        "a head of transformers": ("BadInputError", f"A ViltModel {cannot}"),
        "no task, three names": ("RuntimeError", f"multiple tasks available. Pick one in {vqa}"),
        "a repository without it": ("KeyError", "The task vqa has been removed from transformers"),
        "a model object": ("KeyError", "The task vqa has been removed from transformers"),
    }
    assert elsewhere["refusals"].keys() == expected.keys()
    for case, (kind, message) in expected.items():
        found = elsewhere["refusals"][case]
        assert found[0] == kind and message in found[1], (case, found)


@pytest.mark.slow
def test_cards_run_and_show_the_pipelines(folders, elsewhere):
    shown = {"fill-mask": "token_str", "image-captioning": "generated_text", "image-question-answering": "answer"}
    shown |= {"image-text-matching": "logit", "image-text-retrieval": "index"}
    for head, (_, repository) in folders.items():
        pipelines = elsewhere["printed"][head][1]
        for task in NAMES[head] - FAMILIAR_NAMES.keys():
            assert f"'{shown[task]}'" in pipelines
        text = (repository / "README.md").read_text()
        assert all(f"`{name}`" in text for name in NAMES[head] & FAMILIAR_NAMES.keys())
        run_blocks(str(repository), "path/or/name", [1])  # with the package


@pytest.mark.slow
def test_saving_again_keeps_the_entries(folders, elsewhere):
    resaved, (saved, repository) = Path(elsewhere["resaved"]), folders[VQA]
    assert custom_pipelines(resaved) == custom_pipelines(repository)
    assert not list(resaved.glob("pipelines_*.py"))  # transformers copies the code of the model only
    texts, images = TEXTS[:2], pictures(2)
    expected = answers(hf_unimo.pipeline, "vqa", saved, images, texts)
    assert answers(hf_unimo.pipeline, "vqa", resaved, images, texts) == expected
    again = export_repository(resaved, resaved.parent / "again", pipelines=True)
    assert {path.name: path.read_bytes() for path in again.glob("*.py")} == {
        path.name: path.read_bytes() for path in repository.glob("*.py")
    }


# Where hf_unimo is imported


def test_from_pretrained_and_save_pretrained_keep_the_entries(folders, tmp_path):
    _, repository = folders[VQA]
    model = AutoModelForVisualQuestionAnswering.from_pretrained(repository)
    assert type(model) is hf_unimo.Unimo2ForVisualQuestionAnswering
    model.save_pretrained(tmp_path)
    assert custom_pipelines(tmp_path) == custom_pipelines(repository)
    assert AutoConfig.from_pretrained(tmp_path).custom_pipelines == custom_pipelines(repository)


@pytest.mark.parametrize(("head", "task"), [(VQA, "vqa"), ("Unimo2ForMaskedLM", "fill-mask")])
def test_the_package_serves_its_own_code_unless_that_of_the_repository_is_trusted(folders, head, task):
    saved, repository = folders[head]
    expected, _ = answers(hf_unimo.pipeline, task, saved, pictures(2), TEXTS[:2])
    found, modules = answers(hf_unimo.pipeline, task, repository, pictures(2), TEXTS[:2])
    assert found == expected and all(module.startswith("hf_unimo.") for module in modules)
    found, modules = answers(hf_unimo.pipeline, task, repository, pictures(2), TEXTS[:2], trust_remote_code=True)
    assert found == expected and modules[0].startswith("transformers_modules.") and modules[1].startswith("hf_unimo.")
    with pytest.raises(ValueError, match="set the option `trust_remote_code=True`"):
        transformers.pipeline(task, str(repository))


def test_a_pipeline_class_of_ones_own(folders):
    class Asks(ImageQuestionAnsweringPipeline):
        pass

    _, repository = folders[VQA]
    assert type(hf_unimo.pipeline("vqa", str(repository), pipeline_class=Asks)) is Asks
