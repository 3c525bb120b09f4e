# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Push: the real client against a stand-in of the Hub; what arrives loads elsewhere; what is wrong is not sent."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import huggingface_hub
import pytest
import torch
import transformers
from huggingface_hub import HfApi, ModelCard, constants
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoModel, AutoProcessor

import hf_unimo
from hf_unimo import FAMILIES, Unimo2Config, Unimo2ForMaskedLM, Unimo2ForVisualQuestionAnswering, Unimo2Model
from hf_unimo.cli import main
from hf_unimo.errors import CheckFailedError
from hf_unimo.flat_code import flat_code
from hf_unimo.hub import export_repository, read_saved_model
from hf_unimo.push import is_repository, push_repository
from modeling_tests.hub_stand_in import serve
from modeling_tests.test_hub import save


REPOSITORY = "ann/tiny-unimo2"


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    return save(Unimo2Model, tmp_path_factory.mktemp("push") / "saved")


@pytest.fixture(scope="module")
def exported(saved) -> Path:
    return export_repository(saved, saved.parent / "exported", license="mit")


@pytest.fixture(scope="module")
def asks(tmp_path_factory) -> Path:
    """A saved head that has a pipeline."""
    return save(Unimo2ForVisualQuestionAnswering, tmp_path_factory.mktemp("push") / "asks")


@pytest.fixture
def copy(exported, tmp_path) -> Path:
    """An exported repository to damage."""
    return shutil.copytree(exported, tmp_path / "copy")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The stand-in, and this process set as HF_ENDPOINT, HF_TOKEN and so on would have set it at its start."""
    with serve(ann="secret-of-ann", bob="secret-of-bob") as running:
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, running.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        monkeypatch.setattr(transformers.utils.hub, "_hf_api", None)
        monkeypatch.setenv("HF_TOKEN", "secret-of-ann")
        (tmp_path / "temporary").mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
        yield running
        huggingface_hub.close_session()


def push(*arguments) -> int:
    return main(["push", *map(str, arguments), "--repo", REPOSITORY])


# What arrives


def test_an_exported_repository_arrives_as_it_is(hub, exported, capsys):
    assert push(exported, "--message", "first") == 0
    url, commit = re.fullmatch(r"pushed: (\S+) \(commit (\w{12})\)\n", capsys.readouterr().out).groups()
    assert url == f"{hub.url}/{REPOSITORY}"
    repository = hub.repositories[REPOSITORY]
    assert [message for _, message, _ in repository.commits] == ["initial commit", "first"]
    assert repository.commits[-1][0].startswith(commit)
    expected = {path.name: path.read_bytes() for path in exported.iterdir()}
    card = expected["README.md"] = expected["README.md"].replace(b'"path/or/name"', f'"{REPOSITORY}"'.encode())
    assert card.count(REPOSITORY.encode()) == 3 and b"path/or/name" not in card
    del repository.files[".gitattributes"]
    assert {name: file.content for name, file in repository.files.items()} == expected
    assert [name for name, file in repository.files.items() if file.large] == ["model.safetensors"]
    # The card is accepted before the repository is made, and what is large lies there before the commit.
    steps = ("POST /api/validate-yaml", "POST /api/repos/create", "preupload", "batch", "PUT /lfs/", "/commit/main")
    found = [next(n for n, line in enumerate(hub.requests) if step in line) for step in steps]
    assert found == sorted(found)


def test_a_saved_model_arrives_with_its_code(hub, saved, tmp_path):
    (saved / "optimizer.pt").write_bytes(b"a pickle")
    commit = push_repository(saved, REPOSITORY, license="cc-by-4.0")
    (saved / "optimizer.pt").unlink()
    files = hub.repositories[REPOSITORY].files
    assert {*flat_code(FAMILIES["unimo2"]), "config.json", "processor_config.json", "README.md"} <= files.keys()
    assert "optimizer.pt" not in files
    card = ModelCard(files["README.md"].content.decode())
    assert card.data.license == "cc-by-4.0" and "# tiny-unimo2" in card.text
    assert hub.repositories[REPOSITORY].commits[-1][:2] == (commit.oid, "Upload Unimo2Model")
    assert list((tmp_path / "temporary").iterdir()) == []


def test_pipelines_travel_on_request(hub, asks, tmp_path, capsys):
    assert push(asks) == 0
    assert "pipelines_base.py" not in hub.repositories[REPOSITORY].files
    assert push(asks, "--pipelines") == 0
    files = hub.repositories[REPOSITORY].files
    entries = json.loads(files["config.json"].content)["custom_pipelines"]
    assert "pipelines_base.py" in files and entries.keys() == {
        *("image-question-answering", "visual-question-answering", "vqa"),
    }
    assert f'repository = "{REPOSITORY}"\npicture' in files["README.md"].content.decode()
    # What an export carries is pushed as it is, and cannot be added to one that has none.
    carrying = export_repository(asks, tmp_path / "carrying", pipelines=True)
    before = dict(files)
    assert push(carrying) == push(carrying, "--pipelines") == 0
    assert hub.repositories[REPOSITORY].files.keys() == before.keys()
    plain = export_repository(asks, tmp_path / "plain")
    capsys.readouterr()
    assert push(plain, "--pipelines") == 2
    assert "was exported without pipelines; export the saved model with them." in capsys.readouterr().err


def test_a_second_push_sends_what_changed(hub, copy):
    assert push(copy) == 0
    hub.requests.clear()
    assert push(copy) == 0
    assert len(hub.repositories[REPOSITORY].commits) == 2
    assert not any("/commit/" in line or line.startswith("PUT") for line in hub.requests)
    (copy / "notes").mkdir()
    (copy / "notes" / "picture.png").write_bytes(b"PNG")
    (copy / ".cache").mkdir()
    (copy / ".cache" / "secret.txt").write_text("mine")
    assert push(copy) == 0
    changes = set(hub.repositories[REPOSITORY].files) - set(hub.repositories[REPOSITORY].commits[1][2])
    assert changes == {"notes/picture.png"}


def test_weights_of_an_earlier_push_go(hub, saved, tmp_path):
    Unimo2Model.from_pretrained(saved).save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    push_repository(saved, REPOSITORY)
    push_repository(tmp_path / "shards", REPOSITORY)
    files = hub.repositories[REPOSITORY].files
    assert "model.safetensors" not in files and "model.safetensors.index.json" in files
    push_repository(saved, REPOSITORY)
    files = hub.repositories[REPOSITORY].files
    assert [name for name in files if "safetensors" in name] == ["model.safetensors"]


def test_private(hub, exported, capsys):
    assert push(exported, "--private") == 0
    assert hub.repositories[REPOSITORY].private
    assert HfApi(token="secret-of-ann").repo_exists(REPOSITORY)
    assert not HfApi(token="secret-of-bob").repo_exists(REPOSITORY)
    assert push(exported) == 0  # an update says nothing of who may read
    hub.create("ann/public")
    assert main(["push", str(exported), "--repo", "ann/public", "--private"]) == 2
    assert "ann/public exists and is public" in capsys.readouterr().err
    assert len(hub.repositories["ann/public"].commits) == 1


def test_push_to_hub_of_transformers(hub, saved, tmp_path):
    """Weights, configuration and processor; that loads where `hf_unimo` is imported."""
    model = Unimo2ForMaskedLM.from_pretrained(saved)
    model.push_to_hub("ann/plain", commit_message="the model")
    AutoProcessor.from_pretrained(saved).push_to_hub("ann/plain")
    assert [message for _, message, _ in hub.repositories["ann/plain"].commits][1:] == [
        "the model",
        "Upload processor",
    ]
    again, info = Unimo2ForMaskedLM.from_pretrained("ann/plain", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
    assert type(AutoModel.from_pretrained("ann/plain")) is Unimo2Model
    assert type(AutoProcessor.from_pretrained("ann/plain")) is hf_unimo.Unimo2Processor


def test_the_page(hub, saved, asks, tmp_path, monkeypatch, capsys):
    """The Python of docs/share.md, with small models in the place of trained ones."""
    shutil.copytree(saved, tmp_path / "out" / "checkpoint-500")
    monkeypatch.chdir(tmp_path)
    page = Path(__file__).parents[1] / "docs" / "share.md"
    push_it, load_it, ask_it = re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)
    exec(push_it.replace("user/name", REPOSITORY), {})
    assert capsys.readouterr().out == f"{hub.url}/{REPOSITORY} {hub.repositories[REPOSITORY].commits[-1][0]}\n"
    names: dict = {}
    exec(load_it.replace("user/name", REPOSITORY), names)
    assert type(names["model"]) is Unimo2Model and type(names["processor"]) is hf_unimo.Unimo2Processor
    push_repository(asks, "ann/asks", pipelines=True)
    Image.new("RGB", (40, 30), "red").save(tmp_path / "picture.png")
    exec(ask_it.replace("user/name", "ann/asks"), names)
    assert re.fullmatch(r"\[\{'score': 0\.\d+, 'answer': 'LABEL_\d'\}\]\n", capsys.readouterr().out)


# Elsewhere

CHILD = """
import re, sys
sys.meta_path.insert(0, type("Blocker", (), {"find_spec": staticmethod(
    lambda name, *_: (_ for _ in ()).throw(ImportError(name)) if name.split(".")[0] == "hf_unimo" else None
)}))
import torch
from huggingface_hub import hf_hub_download
from PIL import Image
from safetensors.torch import save_file
from transformers import AutoModel, AutoProcessor, pipeline

repository, out, asks = sys.argv[1:]
model = AutoModel.from_pretrained(repository, trust_remote_code=True).eval()
processor = AutoProcessor.from_pretrained(repository, trust_remote_code=True)
for part in (model, model.config, processor, processor.tokenizer, processor.image_processor):
    assert type(part).__module__.startswith("transformers_modules.ann."), type(part)
with torch.no_grad():
    outputs = model(**processor(text=["two dogs"], return_tensors="pt"))
tensors = {name: value for name, value in outputs.items() if isinstance(value, torch.Tensor)}
save_file(model.state_dict() | {f"output.{name}": value.clone() for name, value in tensors.items()}, out)
card = open(hf_hub_download(repository, "README.md"), encoding="utf-8").read()
exec(re.findall(r"^```python\\n(.*?)^```", card, flags=re.DOTALL | re.MULTILINE)[0], {})
ask = pipeline("vqa", model=asks, trust_remote_code=True)
assert type(ask).__module__.startswith("transformers_modules.ann."), type(ask)
print(ask(Image.new("RGB", (40, 30), "red"), "is it red?"))
assert "hf_unimo" not in sys.modules
"""


def environment(hub, home: Path, **more: str) -> dict[str, str]:
    """Of a process that knows the stand-in by HF_ENDPOINT and keeps everything under `home`."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    ours = {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home / "hf"),
        "HOME": str(home),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(home),
    }
    return kept | ours | more


def python(*arguments: str, **kwargs) -> subprocess.CompletedProcess:
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **kwargs)


@pytest.mark.slow
def test_from_a_process_to_another_one(saved, asks, tmp_path):
    """`hf-unimo push` in one, private; `from_pretrained("user/name")` in one that cannot import `hf_unimo`."""
    with serve(ann="secret-of-ann") as hub:
        token = {"HF_TOKEN": "secret-of-ann"}
        (tmp_path / "here").mkdir()
        done = python(
            *("-m", "hf_unimo", "push", str(saved), "--repo", REPOSITORY, "--private"),
            env=environment(hub, tmp_path / "here", **token),
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"pushed: {hub.url}/{REPOSITORY} ") and "Traceback" not in done.stderr
        assert [path.name for path in (tmp_path / "here").iterdir() if path.name.startswith("hf_unimo")] == []
        done = python(
            *("-m", "hf_unimo", "push", str(asks), "--repo", "ann/asks", "--pipelines"),
            env=environment(hub, tmp_path / "here", **token),
        )
        assert done.returncode == 0, done.stderr
        there = tmp_path / "there"
        there.mkdir()
        arguments = ("-I", "-c", CHILD, REPOSITORY, str(there / "found.safetensors"), "ann/asks")
        done = python(*arguments, env=environment(hub, there, **token), cwd=there)
        assert done.returncode == 0, done.stderr[-4000:]
        assert "pooler_output (1, 32)" in done.stdout
    found = load_file(there / "found.safetensors")
    model = Unimo2Model.from_pretrained(saved).eval()
    processor = AutoProcessor.from_pretrained(saved)
    with torch.no_grad():
        outputs = model(**processor(text=["two dogs"], return_tensors="pt"))
    expected = {f"output.{name}": value for name, value in outputs.items() if isinstance(value, torch.Tensor)}
    assert found.keys() == expected.keys() | model.state_dict().keys()
    for name, value in (model.state_dict() | expected).items():
        torch.testing.assert_close(found[name], value, atol=1e-6, rtol=0)


# What is wrong


def refused(hub, capsys, source, *arguments, repo=REPOSITORY) -> str:
    """The sentence with which a push ends, after which nothing is on the Hub or in the temporary folder."""
    assert main(["push", str(source), "--repo", repo, *arguments]) == 2
    # The client leaves the line of a broken upload's progress bar open.
    error = capsys.readouterr().err.rpartition("hf-unimo push: ")[2].removesuffix("\n")
    assert re.fullmatch(r"[^\n]+\.", error) and "secret" not in error
    assert list(Path(tempfile.gettempdir()).iterdir()) == []
    return error


def edit_card(folder: Path, old: str, new: str) -> None:
    text = (folder / "README.md").read_text()
    assert old in text
    (folder / "README.md").write_text(text.replace(old, new, 1))


INDEX = "model-index:\n- name: x\n  results:\n  - task: {}\n"


@pytest.mark.parametrize(
    "damage, match",
    [
        (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 20), "is not a whole safetensors file"),
        (lambda folder: edit_card(folder, "license: mit\n", ""), "must name its license .* but has None"),
        (
            lambda folder: edit_card(folder, "license: mit", "license: [mit]"),
            r"must name its license .* has \['mit'\]",
        ),
        (lambda folder: edit_card(folder, "license: mit", "license: {mit"), "README.md cannot be read: "),
        (lambda folder: edit_card(folder, "license: mit", "- mit"), "README.md cannot be read: "),
        (lambda folder: edit_card(folder, "license: mit\n", "license: mit\n" + INDEX), "README.md cannot be read: "),
        (lambda folder: edit_card(folder, "- custom_code", "- a: b"), "as tags, where a text or a list of texts"),
        (
            lambda folder: (folder / "README.md").write_bytes(b"---\nlicense: mit\n---\n\xff"),
            "README.md cannot be read",
        ),
        (lambda folder: (folder / "more.py").write_text("x = ("), "A Python file in .* cannot be read: "),
        (lambda folder: ((folder / "a").mkdir(), (folder / "a" / "rng.pth").touch()), "rng.pth may be a pickle"),
    ],
)
def test_what_is_wrong_here_is_not_sent(hub, copy, capsys, damage, match):
    damage(copy)
    assert re.search(match, refused(hub, capsys, copy))
    assert hub.requests == []


def test_code_that_would_not_work(hub, copy):
    (copy / "more.py").write_text("import scipy\n")
    with pytest.raises(CheckFailedError, match="scipy is neither"):
        push_repository(copy, REPOSITORY)
    assert hub.requests == []


@pytest.mark.parametrize("name", ["tiny", "a/b/c", "ann/ti ny", "ann/", "ann/x.git", "-ann/x"])
def test_names(hub, exported, capsys, name):
    error = refused(hub, capsys, exported, f"--repo={name}")
    assert ("has no namespace" if name == "tiny" else "is no name of a repository on the Hub") in error
    assert hub.requests == []


def test_licenses(hub, exported, saved, capsys):
    assert "names the license mit, but gpl-3.0 was asked for" in refused(hub, capsys, exported, "--license", "gpl-3.0")
    assert "is not a license identifier" in refused(hub, capsys, saved, "--license", "My own")
    assert hub.requests == []
    # Only the Hub knows which there are: no repository is made before it has seen the card.
    error = refused(hub, capsys, saved, "--license", "apache2")
    assert 'does not accept the metadata of README.md: "license" must be one of [apache-2.0, mit,' in error
    assert hub.repositories == {}


def test_without_a_token(hub, exported, capsys, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    assert "No token of the Hub was found; log in with `hf auth login`" in refused(hub, capsys, exported)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in refused(hub, capsys, exported)
    assert hub.requests == []


def test_the_stored_token(hub, exported, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    Path(constants.HF_TOKEN_PATH).write_text("secret-of-ann\n")
    assert push(exported) == 0


@pytest.mark.parametrize(
    "token, repo, match",
    [
        (
            "expired",
            REPOSITORY,
            r"answered 401 \(Invalid credentials in Authorization header\); expected a valid token",
        ),
        (
            "read:secret-of-ann",
            REPOSITORY,
            r"answered 403 \(You don't have the rights .*\); expected a token that may",
        ),
        ("secret-of-ann", "bob/model", r"answered 403 \(.* namespace bob\); expected a token that may write"),
        ("secret-of-ann", "bob/taken", r"answered 403 \(.* namespace bob\); expected a token that may write"),
    ],
)
def test_who_may_not(hub, exported, capsys, monkeypatch, token, repo, match):
    hub.create("bob/taken")
    monkeypatch.setenv("HF_TOKEN", token)
    assert re.search(match, refused(hub, capsys, exported, repo=repo))
    assert len(hub.repositories["bob/taken"].commits) == 1 and list(hub.repositories) == ["bob/taken"]
    assert hub.stored == {}


@pytest.mark.parametrize(
    "request_line, status, match",
    [
        ("POST /api/repos/create", 409, "was not pushed: the name is taken by something else"),
        ("POST /api/repos/create", 500, "answered 500"),
        ("preupload", 404, "answered 404 .*expected a namespace and a repository that exist"),
        ("/objects/batch", 413, "answered 413 .*no file of that size"),
        ("PUT /lfs/", 403, "answered 403"),
        ("/commit/main", 409, "answered 409 .*another change came between; push again"),
        ("/commit/main", 0, "cannot be reached, or the connection broke off"),
        ("validate-yaml", 0, "the Hub at http://127.0.0.1:.* cannot be reached, or the connection broke off"),
    ],
)
def test_interruptions(hub, exported, capsys, request_line, status, match):
    """No commit and no file is left; the same push goes through when the Hub is itself again."""
    hub.faults[request_line] = status
    before = {path: path.read_bytes() for path in exported.iterdir()}
    assert re.search(match, refused(hub, capsys, exported))
    assert {path: path.read_bytes() for path in exported.iterdir()} == before
    assert all(len(repository.commits) == 1 for repository in hub.repositories.values())
    hub.faults.clear()
    assert push(exported) == 0
    assert len(hub.repositories[REPOSITORY].commits) == 2


def test_no_hub_at_all(hub, exported, capsys, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert re.search("Hub at http://127.0.0.1:9 cannot be reached.*ConnectError", refused(hub, capsys, exported))


def test_ctrl_c_leaves_nothing(hub, saved, capsys, monkeypatch):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(HfApi, "create_commit", stop)
    assert push(saved) == 130
    assert list(Path(tempfile.gettempdir()).iterdir()) == []


def test_what_counts_as_a_repository(saved, exported, copy):
    assert not is_repository(read_saved_model(saved)) and is_repository(read_saved_model(copy))
    (copy / "optimizer.pt").touch()
    assert not is_repository(read_saved_model(copy))
    (copy / "optimizer.pt").unlink()
    (copy / "modeling_unimo2.py").unlink()
    assert not is_repository(read_saved_model(copy))
    config = json.loads((copy / "config.json").read_text())
    for odd in ("x", ["x"], {}, {"AutoModel": None}):
        (copy / "config.json").write_text(json.dumps(config | {"auto_map": odd}))
        assert not is_repository(read_saved_model(copy))
    shutil.copy(exported / "modeling_unimo2.py", copy)
    for odd in ("x", ["x"], {"vqa": "x"}, {"vqa": {"impl": "pipelines_absent.Pipeline"}}):
        (copy / "config.json").write_text(json.dumps(config | {"custom_pipelines": odd}))
        assert not is_repository(read_saved_model(copy))
    (copy / "config.json").write_text(
        json.dumps(config | {"custom_pipelines": {"vqa": {"impl": "modeling_unimo2.X"}}})
    )
    assert is_repository(read_saved_model(copy))
    assert isinstance(read_saved_model(copy).config, Unimo2Config)
