# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Export: a repository answers like its source where `hf_unimo` cannot be imported, and appears whole or not."""

import inspect
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers.pre_tokenizers import ByteLevel
from transformers import AutoProcessor, AutoTokenizer, GenerationConfig
from transformers.utils import is_torchvision_available

import hf_unimo
from hf_unimo import FAMILIES, Unimo2Config, Unimo2ForConditionalGeneration, Unimo2ForPreTraining, Unimo2Model
from hf_unimo.card import PIPELINE_TAGS, USE_BEGIN, USE_END
from hf_unimo.cli import main
from hf_unimo.errors import BadInputError
from hf_unimo.flat_code import flat_code
from hf_unimo.hub import COPIED_FILES, export_repository, read_saved_model


FAMILY = FAMILIES["unimo2"]
HEADS = {head.__name__: head for head in FAMILY.heads}
NAMED = ["Unimo2ForImageTextClassification", "Unimo2VisionModel", "Unimo2TextModel"]
"""Classes that no Auto class serves."""


def small_config(**changes) -> Unimo2Config:
    encoder = {"hidden_size": 32, "intermediate_size": 64}
    return Unimo2Config.tiny(
        vision_config=encoder | {"image_size": 32, "num_hidden_layers": 1},
        text_config=encoder | {"vocab_size": 270},
        grounded_config=encoder,
        dictionary_size=24,
        num_grounded_tokens=4,
        **changes,
    )


def small_processor():
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(ByteLevel.alphabet())]
    tokenizer = hf_unimo.Unimo2Tokenizer({token: index for index, token in enumerate(tokens)}, [])
    with_torchvision = is_torchvision_available()
    image_processor = hf_unimo.Unimo2ImageProcessor if with_torchvision else hf_unimo.Unimo2ImageProcessorPil
    return hf_unimo.Unimo2Processor(image_processor(size=32), tokenizer)


def save(model_class, folder, processor=True, **kwargs) -> Path:
    torch.manual_seed(0)
    model_class(small_config()).save_pretrained(folder, **kwargs)
    if processor:
        small_processor().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A saved pre-training model that also holds a classifier, so that no head has to make up a weight."""
    folder = save(Unimo2ForPreTraining, tmp_path_factory.mktemp("source") / "saved")
    weights = load_file(folder / "model.safetensors")
    weights |= {"classifier.weight": torch.randn(2, 32), "classifier.bias": torch.randn(2)}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def repository(source) -> Path:
    return export_repository(source, source.parent / "repository")


@pytest.fixture
def saved(source, tmp_path) -> Path:
    """A copy to damage."""
    return shutil.copytree(source, tmp_path / "saved")


# In a process of its own


def answers(folder, auto_classes, named_classes, load_named, image, **kwargs):
    """Loads every class from `folder` and runs it. Returns what came out, and the modules of the classes."""
    import inspect

    import torch
    import transformers

    images, texts = [image, image.rotate(90)], ["a dog", "two dogs in the snow"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **kwargs)
    image_processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil", **kwargs)
    processor = transformers.AutoProcessor.from_pretrained(folder, **kwargs)
    assert type(processor).__name__ == "Unimo2Processor", type(processor)
    batch = processor(images=images, text=texts, return_tensors="pt")
    found = {f"processor.{name}": value for name, value in batch.items()}
    for name, value in tokenizer(texts, texts[::-1], padding=True, return_tensors="pt").items():
        found[f"tokenizer.{name}"] = value
    found["image_processor.pixel_values"] = image_processor(images, return_tensors="pt")["pixel_values"]
    classes = [type(part) for part in (tokenizer, image_processor, processor)]

    loaders = {name: getattr(transformers, name).from_pretrained for name in auto_classes}
    loaders |= {name: load_named(name).from_pretrained for name in named_classes}
    for name, loader in loaders.items():
        model, info = loader(folder, output_loading_info=True, **(kwargs if name in auto_classes else {}))
        assert not info["missing_keys"], (name, info["missing_keys"])
        model.eval()
        classes += [type(model), type(model.config)]
        inputs = {key: value for key, value in batch.items() if key in inspect.signature(model.forward).parameters}
        with torch.no_grad():
            outputs = model(**inputs)
        found |= {f"{name}.{key}": value for key, value in outputs.items() if isinstance(value, torch.Tensor)}
        if model.can_generate():
            ids = model.generate(pixel_values=batch["pixel_values"], max_new_tokens=5, num_beams=2)
            found[f"{name}.generated"] = ids
            found[f"{name}.special"] = torch.tensor(
                [model.generation_config.bos_token_id, model.generation_config.eos_token_id]
            )
    return {name: value.contiguous() for name, value in found.items()}, [part.__module__ for part in classes]


def save_again(repository, folder):
    """Saves a head and the processor that the repository's code made; loads them, and a second head, from there."""
    import torch
    import transformers

    def load(auto_class, folder):
        return getattr(transformers, auto_class).from_pretrained(folder, trust_remote_code=True)

    model = load("AutoModelForMaskedLM", repository)
    model.save_pretrained(folder)
    load("AutoProcessor", repository).save_pretrained(folder)
    again = load("AutoModelForMaskedLM", folder)
    assert type(again).__module__.startswith("transformers_modules."), type(again)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
    assert type(load("AutoModel", folder)).__name__ == "Unimo2Model"
    processor, tokenizer = load("AutoProcessor", folder), load("AutoTokenizer", repository)
    assert processor(text=["a dog"])["input_ids"] == tokenizer(["a dog"])["input_ids"]


def run_blocks(folder, place, wanted):
    """Runs code blocks of a card as they stand, but for the name of the repository; returns what they printed."""
    import contextlib
    import io
    import pathlib
    import re

    text = pathlib.Path(folder, "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    printed = []
    for index in wanted:
        assert blocks[index].count(place) == 1, blocks[index]
        with contextlib.redirect_stdout(io.StringIO()) as output:
            exec(compile(blocks[index].replace(place, folder), f"{folder}/README.md", "exec"), {})
        printed.append(output.getvalue())
    return printed


CHILD = """
import importlib.abc, json, sys

class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "hf_unimo":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
try:
    import hf_unimo
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("hf_unimo is there after all")

from PIL import Image
from safetensors.torch import save_file
from transformers.dynamic_module_utils import get_class_from_dynamic_module

job = json.load(open(sys.argv[1]))
repository = job["repository"]
load_named = lambda name: get_class_from_dynamic_module(f"modeling_unimo2.{name}", repository)
found, modules = answers(
    repository, job["auto_classes"], job["named"], load_named, Image.open(job["image"]), trust_remote_code=True
)
assert all(module.startswith("transformers_modules.") for module in modules), modules
save_file(found, job["answers"])
load_named = lambda name: get_class_from_dynamic_module(f"image_processing_unimo2.{name}", repository)
assert load_named("Unimo2ImageProcessor").__name__ == "Unimo2ImageProcessor"
save_again(repository, job["resaved"])
printed = {name: run_blocks(folder, job["place"], [0, 2]) for name, folder in job["cards"].items()}
assert not any(name.partition(".")[0] == "hf_unimo" for name in sys.modules)
json.dump(printed, open(job["printed"], "w"))
"""


@pytest.fixture(scope="module")
def cards(tmp_path_factory) -> dict[str, Path]:
    """A repository of every head, and one without a processor."""
    folder = tmp_path_factory.mktemp("cards")
    sources = {name: save(head, folder / f"{name}-saved") for name, head in HEADS.items()}
    sources["bare"] = save(Unimo2ForConditionalGeneration, folder / "bare-saved", processor=False)
    return {name: export_repository(path, folder / name) for name, path in sources.items()}


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory, repository, cards) -> dict[str, Path]:
    """What a process that cannot import `hf_unimo` made of the repositories: paths by name."""
    folder = tmp_path_factory.mktemp("elsewhere")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "image.png")
    job = {
        "repository": str(repository),
        "auto_classes": list(FAMILY.auto_models),
        "named": NAMED,
        "image": str(folder / "image.png"),
        "answers": str(folder / "answers.safetensors"),
        "resaved": str(folder / "resaved"),
        "place": "path/or/name",
        "cards": {name: str(path) for name, path in cards.items()},
        "printed": str(folder / "printed.json"),
    }
    (folder / "job.json").write_text(json.dumps(job))
    functions = "\n".join(inspect.getsource(function) for function in (answers, save_again, run_blocks))
    (folder / "child.py").write_text(functions + CHILD)
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    environment = kept | {
        "HOME": str(folder),
        "HF_HOME": str(folder / "hf"),
        "HF_MODULES_CACHE": str(folder / "modules"),
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
    }
    # -I: neither PYTHONPATH nor the working directory nor the user's packages.
    command = [sys.executable, "-I", str(folder / "child.py"), str(folder / "job.json")]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-4000:]
    return {name: Path(path) for name, path in job.items() if isinstance(path, str)}


@pytest.mark.slow
def test_every_class_answers_like_its_source(elsewhere, source):
    image = Image.open(elsewhere["image"])
    load_named = hf_unimo.__dict__.__getitem__
    expected, modules = answers(str(source), list(FAMILY.auto_models), NAMED, load_named, image)
    assert all(module.startswith("hf_unimo.") for module in modules)
    found = load_file(elsewhere["answers"])
    assert found.keys() == expected.keys()
    for name in [*FAMILY.auto_models, *NAMED]:
        assert any(key.startswith(f"{name}.") for key in found), name
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name], value, atol=1e-6, rtol=0, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.slow
def test_saving_again_keeps_code_and_heads(elsewhere, repository):
    resaved = elsewhere["resaved"]
    for name in flat_code(FAMILY):
        # An image processor saves its own back end's file only.
        if name != "image_processing_unimo2.py":
            assert (resaved / name).read_bytes() == (repository / name).read_bytes()
    auto_map = json.loads((repository / "config.json").read_text())["auto_map"]
    assert json.loads((resaved / "config.json").read_text())["auto_map"] == auto_map


@pytest.mark.slow
def test_cards_run_without_the_package(elsewhere):
    printed = json.loads(elsewhere["printed"].read_text())
    assert printed.keys() == {*HEADS, "bare"}
    for name, (usage, _) in printed.items():
        assert usage.strip(), name
    assert "logits (1, 2)" in printed["Unimo2ForSequenceClassification"][0]


def test_cards_run_with_the_package(cards):
    for folder in cards.values():
        run_blocks(str(folder), "path/or/name", [1])


def test_installed_classes_win(repository):
    for name, model in FAMILY.auto_models.items():
        assert type(getattr(transformers, name).from_pretrained(repository, trust_remote_code=True)) is model
    processor = AutoProcessor.from_pretrained(repository, trust_remote_code=True)
    assert type(processor) is hf_unimo.Unimo2Processor
    assert type(processor.image_processor) in FAMILY.image_processors.values()
    assert type(AutoTokenizer.from_pretrained(repository)) is hf_unimo.Unimo2Tokenizer
    # A registered tokenizer is the one class that transformers 5.23 passes over when remote code is allowed.
    assert type(AutoTokenizer.from_pretrained(repository, trust_remote_code=True)).__name__ == "Unimo2Tokenizer"


# The other files


def test_the_code_is_that_of_the_family(repository):
    assert {path.name: path.read_text(encoding="utf-8") for path in repository.glob("*.py")} == flat_code(FAMILY)


def test_auto_map_serves_every_class(repository):
    auto_map = json.loads((repository / "config.json").read_text())["auto_map"]
    expected = {name: f"modeling_unimo2.{model.__name__}" for name, model in FAMILY.auto_models.items()}
    assert auto_map == {"AutoConfig": "configuration_unimo2.Unimo2Config"} | expected
    processor = json.loads((repository / "processor_config.json").read_text())
    assert processor["auto_map"] == {"AutoProcessor": "processing_unimo2.Unimo2Processor"}
    assert processor["image_processor"]["auto_map"]["AutoImageProcessor"] == {
        "torchvision": "image_processing_unimo2.Unimo2ImageProcessor",
        "pil": "image_processing_pil_unimo2.Unimo2ImageProcessorPil",
    }


def test_weights_and_tokenizer_are_copied(source, repository):
    for name in ("model.safetensors", "tokenizer.json"):
        assert (source / name).read_bytes() == (repository / name).read_bytes()


def test_what_training_left_stays(saved, tmp_path):
    debris = ("optimizer.pt", "rng_state.pth", "scheduler.pt", "trainer_state.json", "training_args.bin", "notes.txt")
    for name in (*debris, "modeling_old.py"):
        (saved / name).write_text("{}")
    config = json.loads((saved / "config.json").read_text())
    traces = {"_name_or_path": str(saved), "custom_pipelines": {"x": {"impl": "elsewhere.X"}}}
    (saved / "config.json").write_text(json.dumps(config | traces))
    AutoTokenizer.from_pretrained(saved).save_pretrained(saved)
    files = {path.name: path for path in export_repository(saved, tmp_path / "out").iterdir()}
    assert files.keys() == {
        *flat_code(FAMILY),
        *("config.json", "generation_config.json", "processor_config.json", "tokenizer_config.json"),
        *("model.safetensors", "tokenizer.json", "README.md"),
    }
    for name in files:
        if name.endswith((".json", ".md")):
            assert str(tmp_path) not in files[name].read_text() and "elsewhere" not in files[name].read_text()


def test_shards_are_copied_with_their_index(tmp_path):
    saved = save(Unimo2ForPreTraining, tmp_path / "saved", max_shard_size="100KB")
    shards = sorted(path.name for path in saved.glob("model-*.safetensors"))
    out = export_repository(saved, tmp_path / "out")
    assert len(shards) > 1 and sorted(path.name for path in out.glob("model-*")) == shards
    assert (out / "model.safetensors.index.json").read_bytes() == (saved / "model.safetensors.index.json").read_bytes()
    assert hf_unimo.Unimo2ForMaskedLM.from_pretrained(out, output_loading_info=True)[1]["missing_keys"] == set()


def test_parts_saved_one_by_one(tmp_path):
    saved = save(Unimo2Model, tmp_path / "saved", processor=False)
    processor = small_processor()
    processor.tokenizer.save_pretrained(saved)
    out = export_repository(saved, tmp_path / "text")
    assert type(AutoTokenizer.from_pretrained(out)) is hf_unimo.Unimo2Tokenizer
    assert not (out / "processor_config.json").exists()
    processor.image_processor.save_pretrained(saved)
    out = export_repository(saved, tmp_path / "both")
    loaded = AutoProcessor.from_pretrained(out)
    assert type(loaded) is hf_unimo.Unimo2Processor and loaded.image_processor.size["height"] == 32
    assert "AutoImageProcessor" in (out / "preprocessor_config.json").read_text()


def test_a_tokenizer_of_transformers_stays_its_own(saved, tmp_path):
    path = saved / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tokenizer_class": "RobertaTokenizer"}))
    values = json.loads((export_repository(saved, tmp_path / "out") / "tokenizer_config.json").read_text())
    assert "auto_map" not in values and values["tokenizer_class"] == "RobertaTokenizer"


def test_generation_config(saved, tmp_path):
    made = GenerationConfig.from_pretrained(export_repository(saved, tmp_path / "made"))
    assert (made.bos_token_id, made.eos_token_id, made.pad_token_id) == (0, 2, 1)
    GenerationConfig(bos_token_id=7, num_beams=3).save_pretrained(saved)
    kept = GenerationConfig.from_pretrained(export_repository(saved, tmp_path / "kept"))
    assert (kept.bos_token_id, kept.num_beams) == (7, 3)


# The card


def test_card_metadata(cards):
    auto_classes = {model.__name__: name for name, model in FAMILY.auto_models.items()}
    for name, folder in cards.items():
        card = ModelCard.load(folder / "README.md")
        data = card.data.to_dict()
        name = {"bare": "Unimo2ForConditionalGeneration"}.get(name, name)
        tag = PIPELINE_TAGS.get(auto_classes.get(name))
        assert data == {
            "license": "apache-2.0",
            "library_name": "transformers",
            "tags": ["unimo2", "custom_code", "hf_unimo"],
        } | ({"pipeline_tag": tag} if tag else {})
        assert f"`{name}`: " in card.text and "## Limits" in card.text
    assert set(PIPELINE_TAGS) <= set(auto_classes.values())


def test_card_tells_what_is_missing(cards):
    text = (cards["Unimo2ForMaskedLM"] / "README.md").read_text()
    assert "| Unimo2Model | `AutoModel` | here |" in text
    assert (
        "| Unimo2ForImageTextRetrieval | `AutoModelForZeroShotImageClassification` | `itm_head.bias`, `itm_head"
        in text
    )
    num_parameters = Unimo2ForPreTraining(small_config()).num_parameters()
    assert f"{num_parameters:,} parameters" in (cards["Unimo2ForPreTraining"] / "README.md").read_text()
    rows = re.findall(r"^\| Unimo2\w+ \| `modeling_unimo2\.(\w+)`", text, flags=re.MULTILINE)
    assert rows == NAMED


def test_the_card_of_a_training_run_gets_the_pipelines(tmp_path):
    saved = save(hf_unimo.Unimo2ForVisualQuestionAnswering, tmp_path / "saved")
    (saved / "README.md").write_text(f"mine\n\n{USE_BEGIN}\nold\n{USE_END}\n\nmore\n")
    text = (export_repository(saved, tmp_path / "plain") / "README.md").read_text()
    assert "pipeline(" not in text
    text = (export_repository(saved, tmp_path / "out", pipelines=True) / "README.md").read_text()
    assert 'pipeline("image-question-answering", model=repository, trust_remote_code=True)' in text
    assert "mine" in text and "more" in text and "old" not in text


def test_license_and_own_readme(saved, tmp_path):
    assert (
        ModelCard.load(export_repository(saved, tmp_path / "mit", license="mit") / "README.md").data.license == "mit"
    )
    (saved / "README.md").write_text("mine\n")
    assert (export_repository(saved, tmp_path / "out") / "README.md").read_text() == "mine\n"


# Bad input


def set_json(folder, name="config.json", **values):
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def use_pickle(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({}))


def use_index(folder, **weight_map):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def truncate(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def drop_weight(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["itm_head.weight"]
    save_file(weights, folder / "model.safetensors")


@pytest.mark.parametrize(
    "damage, match",
    [
        (shutil.rmtree, "is not a directory"),
        (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot be read as JSON"),
        (lambda folder: (folder / "config.json").write_text("[" * 100_000), "cannot be read as JSON"),
        (lambda folder: (folder / "config.json").write_text("[]"), "must hold a JSON object, but holds a list"),
        (lambda folder: set_json(folder, model_type="bert"), "model_type 'bert'; known: unimo2"),
        (lambda folder: set_json(folder, quantization_config={"quant_method": "torchao"}), "is quantised; accepted"),
        (lambda folder: set_json(folder, num_grounded_tokens="many"), "not a valid configuration: .*expected int"),
        (lambda folder: set_json(folder, architectures=["BertModel"]), "architecture BertModel; known: Unimo2Model,"),
        (
            lambda folder: set_json(folder, dictionary_size=25),
            "lacks 2 of the weights of Unimo2ForPreTraining, or has them in",
        ),
        (lambda folder: (folder / "model.safetensors").unlink(), "neither model.safetensors nor .*index.json.$"),
        (use_pickle, "pytorch_model.bin may be a pickle"),
        (lambda folder: use_index(folder, a="model-1.safetensors"), "model-1.safetensors is missing"),
        (lambda folder: use_index(folder, a="../model.safetensors"), "does not map weights to safetensors files"),
        (lambda folder: use_index(folder, a=["model-1.safetensors"]), "does not map weights to safetensors files"),
        (lambda folder: use_index(folder, a="config.json"), "does not map weights to safetensors files"),
        (truncate, "is not a whole safetensors file"),
        (drop_weight, "lacks 1 of the weights of Unimo2ForPreTraining, .*itm_head.weight"),
        (
            lambda folder: set_json(folder, "tokenizer_config.json", tokenizer_class="Odd", auto_map={"x": "y"}),
            "tokenizer_class 'Odd' is code that an export does not carry",
        ),
        (lambda folder: (folder / "processor_config.json").write_text("x"), "processor_config.json cannot be read"),
    ],
)
def test_bad_input_leaves_nothing(saved, tmp_path, capsys, damage, match):
    damage(saved)
    (tmp_path / "place").mkdir()
    assert main(["export", str(saved), "--out", str(tmp_path / "place" / "deep" / "out")]) == 2
    error = capsys.readouterr().err
    assert re.search(match, error.strip()) and error.count("\n") == 1
    assert list((tmp_path / "place").iterdir()) == []


@pytest.mark.parametrize(
    "head, processor, match",
    [
        (
            "Unimo2ForImageTextClassification",
            True,
            "no Auto class of transformers loads, .* nlvr2 or visual-entail",
        ),
        ("Unimo2ForPreTraining", True, "no pipeline of ours; expected Unimo2ForMaskedLM or Unimo2ForImageTextR"),
        ("Unimo2ForSequenceClassification", True, "no pipeline of ours; expected Unimo2ForMaskedLM or"),
        ("Unimo2ForVisualQuestionAnswering", False, "has no tokenizer and no image processor, without which its"),
    ],
)
def test_pipelines_that_would_not_run_are_refused(tmp_path, capsys, head, processor, match):
    saved = save(HEADS[head], tmp_path / "saved", processor=processor)
    out = tmp_path / "place" / "out"
    assert main(["export", str(saved), "--out", str(out), "--pipelines"]) == 2
    error = capsys.readouterr().err
    sentence = error[error.index("hf-unimo export: ") :].strip()  # after the bars of `save_pretrained`
    assert re.search(match, sentence) and "\n" not in sentence
    assert not out.parent.exists()
    assert main(["export", str(saved), "--out", str(out)]) == 0


def test_taken_destinations_are_refused(saved, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BadInputError, match="is not a directory"):
        export_repository(saved, tmp_path / "file")
    with pytest.raises(BadInputError, match="is not empty"):
        export_repository(saved, saved)


@pytest.mark.parametrize("license", ["", "Apache 2.0", "mit\ntags: [x]"])
def test_odd_licenses_are_refused(saved, tmp_path, license):
    with pytest.raises(BadInputError, match="is not a license identifier"):
        export_repository(saved, tmp_path / "out", license=license)


def test_command(saved, tmp_path, capsys):
    assert main(["export", str(saved), "--out", str(tmp_path / "out"), "--license", "mit"]) == 0
    assert capsys.readouterr().out == f"written: {tmp_path / 'out'}\n"
    assert (tmp_path / "out" / "README.md").is_file()
    save(hf_unimo.Unimo2ForVisualQuestionAnswering, tmp_path / "asks")
    assert main(["export", str(tmp_path / "asks"), "--out", str(tmp_path / "carried"), "--pipelines"]) == 0
    assert "custom_pipelines" in (tmp_path / "carried" / "config.json").read_text()


def test_saved_model_without_architecture(saved):
    set_json(saved, architectures=None)
    model = read_saved_model(saved)
    assert model.head is Unimo2Model and model.lacking(Unimo2ForPreTraining) == []
    assert "README.md" in COPIED_FILES
