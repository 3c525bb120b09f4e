# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""`hf-unimo index`: pictures into an index and out again by text and by picture; what is refused, in one sentence."""

import json
import os
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hf_unimo.cli import main
from hf_unimo.retrieval import picture_index as module
from hf_unimo.retrieval.adapters import load_model, pair_adapter
from hf_unimo.retrieval.index import VectorIndex
from hf_unimo.retrieval.picture_index import PictureIndex, find_pictures
from modeling_tests.evaluation import models


ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """UNIMO-2 with a matching head, one with other weights, and one without matching head."""
    root = tmp_path_factory.mktemp("models")
    for name, (model, processor) in {
        "matching": models.unimo2(),
        "other": models.unimo2(),
        "plain": models.unimo2("Unimo2Model"),
    }.items():
        if name == "other":
            model.base_model.get_input_embeddings().weight.data[5] += 0.01
        model.save_pretrained(root / name)
        processor.save_pretrained(root / name)
    return root


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Eleven pictures in three folders, one that is broken, and a text; the working directory is above."""
    monkeypatch.chdir(tmp_path)
    for number in range(11):
        folder = tmp_path / "photos" / ("", "a", "a/b b")[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        models.picture(number, 20 + number).save(folder / f"{number}.PNG")
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "photos" / "notes.txt").write_text("nothing")
    return tmp_path / "photos"


def built(saved, model="matching", out="my.index", *more) -> VectorIndex:
    assert (
        main(["index", "build", "photos", "--model", str(saved / model), "--out", out, "--batch-size", "4", *more])
        == 0
    )
    return VectorIndex.open(out)


def refusal(capsys, *words) -> str:
    """The sentence with which a command is refused."""
    capsys.readouterr()
    assert main(["index", *map(str, words)]) == 2
    # transformers' bar comes first if a model was loaded.
    message = capsys.readouterr().err.rpartition("it/s]\n")[2]
    assert message.startswith("hf-unimo index: ") and message.endswith(".\n") and message.count("\n") == 1
    return message


def adapter_of(saved, name="matching"):
    return pair_adapter(*load_model(saved / name), batch_size=4)


# ---------------------------------------------------------------------------------------------------------------------
# What works
# ---------------------------------------------------------------------------------------------------------------------


def test_build_search_and_files(saved, photos, capsys):
    index = built(saved)
    out, err = capsys.readouterr()
    assert "11 new, 0 changed, 0 there already, 1 unreadable" in out and "cannot be read: broken.jpg" in err
    paths = [entry["path"] for entry in index.entries]
    assert paths == ["0.PNG", "3.PNG", "6.PNG", "9.PNG", *(f"a/{n}.PNG" for n in (1, 10, 4, 7))] + [
        f"a/b b/{number}.PNG" for number in (2, 5, 8)
    ]
    adapter = adapter_of(saved)
    pictures = adapter.image_features([Image.open(photos / path).convert("RGB") for path in paths])
    np.testing.assert_allclose(index.features.numpy(), pictures, atol=1e-6)
    scores = (pictures @ adapter.text_features(["a red square"])[0]).astype(np.float64)
    expected = [paths[row] for row in np.argsort(-scores, kind="stable")[:5]]
    words = [
        "index",
        "search",
        "my.index",
        "a red square",
        "--top-k",
        "5",
        "--json",
        "found.json",
        "--html",
        "found.html",
    ]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[-1] for line in lines] == expected
    tree = json.loads((photos.parent / "found.json").read_text())
    assert tree["query"] == {"text": "a red square"}
    assert [hit["path"] for hit in tree["hits"]] == expected and [hit["rank"] for hit in tree["hits"]] == [
        1,
        2,
        3,
        4,
        5,
    ]
    np.testing.assert_allclose([hit["score"] for hit in tree["hits"]], np.sort(scores)[::-1][:5], atol=1e-6)
    sheet = (photos.parent / "found.html").read_text()
    assert sheet.count("data:image/jpeg") == 5 and "a red square" in sheet


def test_search_by_picture_finds_the_picture(saved, photos, capsys):
    built(saved, "plain", "my.index", "--dtype", "bf16")
    for query in (["photos/a/7.PNG"], ["--image", "photos/a/7.PNG"]):
        capsys.readouterr()
        assert main(["index", "search", "my.index", *query, "--top-k", "1", "--json", "x.json"]) == 0
        rank, score, path = capsys.readouterr().out.split()
        assert (rank, path) == ("1", "a/7.PNG") and float(score) == pytest.approx(1, abs=4e-3)  # rounded to 8 bits
        assert json.loads((photos.parent / "x.json").read_text())["query"] == {"image": "photos/a/7.PNG"}
    assert main(["index", "search", "my.index", "--text", "photos/a/7.PNG", "--json", "x.json"]) == 0
    assert json.loads((photos.parent / "x.json").read_text())["query"] == {"text": "photos/a/7.PNG"}


def test_the_best_are_reranked_by_matching(saved, photos, capsys):
    built(saved)
    adapter = adapter_of(saved)
    plain = PictureIndex.open("my.index", adapter).search("two squares", 8)
    images = [Image.open(photos / hit.path).convert("RGB") for hit in plain[:6]]
    scores = adapter.match(images, np.arange(6), ["two squares"] * 6)
    order = np.argsort(-scores, kind="stable")
    assert order.tolist() != list(range(6))
    expected = [plain[place].path for place in order] + [hit.path for hit in plain[6:]]
    capsys.readouterr()
    assert (
        main(["index", "search", "my.index", "two squares", "--top-k", "8", "--rerank", "6", "--html", "x.html"]) == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[-1] for line in lines] == expected
    assert [len(line.split()) - line.count("b b") for line in lines] == [4] * 6 + [3] * 2
    assert "matching" in (photos.parent / "x.html").read_text()
    hits = PictureIndex.open("my.index", adapter).search("two squares", 2, rerank=6)
    assert [hit.path for hit in hits] == expected[:2] and [hit.rank for hit in hits] == [1, 2]
    np.testing.assert_allclose([hit.matching_score for hit in hits], np.sort(scores)[::-1][:2], atol=1e-5)


def test_adding_skips_what_is_there_and_replaces_what_changed(saved, photos, capsys):
    built(saved)
    capsys.readouterr()
    assert main(["index", "add", "my.index", "photos", "photos/../photos/0.PNG"]) == 0
    assert "0 new, 0 changed, 11 there already, 1 unreadable" in capsys.readouterr().out
    assert len(VectorIndex.open("my.index")) == 11
    models.picture(99).save(photos / "3.PNG")
    (photos.parent / "elsewhere").mkdir()
    shutil.copy(photos / "0.PNG", photos.parent / "elsewhere" / "picture")
    assert main(["index", "add", "my.index", "photos/3.PNG", "elsewhere/picture"]) == 0
    assert "1 new, 1 changed, 0 there already, 0 unreadable" in capsys.readouterr().out
    index = VectorIndex.open("my.index")
    assert [entry["path"] for entry in index.entries[11:]] == ["3.PNG", "../elsewhere/picture"]
    assert index.replaced.tolist() == [1]
    assert main(["index", "search", "my.index", "photos/3.PNG", "--top-k", "100"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 12 and lines[0] == ["1", "1.0000", "3.PNG"]
    assert main(["index", "info", "my.index", "--check"]) == 0
    assert "13, of which 1 replaced" in capsys.readouterr().out


def test_a_stopped_build_goes_on(saved, photos, capsys, monkeypatch):
    monkeypatch.setattr(module, "COMMIT_ROWS", 4)
    encoded = []
    adapter_class = type(adapter_of(saved))
    whole = adapter_class.image_features

    def count(self, images):
        encoded.append(len(images))
        if len(encoded) == 3:
            raise KeyboardInterrupt
        return whole(self, images)

    monkeypatch.setattr(adapter_class, "image_features", count)
    words = ["index", "build", "photos", "--model", str(saved / "matching"), "--out", "my.index", "--batch-size", "4"]
    assert main(words) == 130
    assert "goes on from 8 rows" in capsys.readouterr().err
    assert len(VectorIndex.open("my.index")) == 8
    assert main(words) == 0
    assert "3 new, 0 changed, 8 there already" in capsys.readouterr().out
    assert encoded == [4, 4, 3, 3]
    monkeypatch.undo()
    os.chdir(photos.parent)
    assert equal(VectorIndex.open("my.index"), built(saved, "matching", "at-once"))


def equal(first, second) -> bool:
    return np.allclose(first.features, second.features, atol=1e-6) and first.entries == second.entries


def test_index_and_pictures_can_be_moved(saved, photos, capsys):
    (photos.parent / "here").mkdir()
    built(saved, "matching", "here/my.index")
    shutil.move("here", "there")
    shutil.move("photos", "images")
    words = ["index", "search", "there/my.index", "squares", "--rerank", "2", "--html", "x.html"]
    assert "0.PNG" not in refusal(capsys, *words[1:4], "--rerank", "0", "--image", "no.png")
    assert "cannot be re-ranked: there is no such file" in refusal(capsys, *words[1:])
    assert main([*words, "--pictures-in", "images", "--model", str(saved / "matching")]) == 0
    assert (photos.parent / "x.html").read_text().count("data:image/jpeg") == 10
    assert main([*words[:4], "--html", "y.html"]) == 0  # searching needs no pictures
    assert (photos.parent / "y.html").read_text().count("there is no such file") == 10


def test_only_pictures_of_folders_count(photos):
    (photos / ".hidden").mkdir()
    for name in (".hidden/1.png", ".2.png", "a/3.jpeg"):
        models.picture(1).save(photos / name)
    found = [os.path.relpath(path, photos) for path in find_pictures([photos, photos / "notes.txt"])]
    assert "a/3.jpeg" in found and "broken.jpg" in found and found[-1] == "notes.txt"
    assert not [name for name in found if "/." in name or name.startswith(".")]


def test_the_page_shows_what_runs(saved, photos, capsys):
    """docs/search.md, command by command, and its Python."""
    page = (ROOT / "docs" / "search.md").read_text()
    shutil.copytree(saved / "matching", "MODEL")
    (photos.parent / "more").mkdir()
    for name in ("photos/one.jpg", "more/two.png"):
        models.picture(len(name)).save(name)
    lines = [line for line in page.splitlines() if line.startswith("hf-unimo ")]
    assert len(lines) == 6
    for line in lines:
        assert main(shlex.split(line)[1:]) == 0, line
    assert (photos.parent / "found.html").is_file() and (photos.parent / "found.json").is_file()
    assert all(f"`{name.name}`" in page for name in (photos.parent / "photos.index").iterdir())
    capsys.readouterr()
    for code in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        exec(code, {})
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "{'name': 'row 0'}" and [line.split()[0] for line in printed[1:]] == ["1", "2", "3"]


# ---------------------------------------------------------------------------------------------------------------------
# What is refused
# ---------------------------------------------------------------------------------------------------------------------


def test_what_cannot_be_built(saved, photos, capsys):
    build = ["build", "photos", "--model", saved / "matching", "--out", "my.index"]
    (photos.parent / "empty").mkdir()
    (photos.parent / "wrong").mkdir()
    (photos.parent / "wrong" / "a.jpg").write_bytes(b"none")
    (photos.parent / "text").write_text("here")
    assert "is no folder" in refusal(capsys, "build", "nothing", *build[2:])
    assert "has no pictures" in refusal(capsys, "build", "empty", *build[2:])
    assert "None of the 1 pictures" in refusal(capsys, "build", "wrong", *build[2:])
    assert "cannot be loaded" in refusal(capsys, *build[:3], photos, *build[4:])
    assert "--dtype is unknown" in refusal(capsys, *build, "--dtype", "fp8")
    assert "--batch-size is 0" in refusal(capsys, *build, "--batch-size", "0")
    assert "The device is" in refusal(capsys, *build, "--device", "abacus")
    assert "not empty" in refusal(capsys, *build[:-1], "photos")
    assert "not a directory" in refusal(capsys, *build[:-1], "text")
    assert sorted(path.name for path in photos.parent.iterdir()) == ["empty", "photos", "text", "wrong"]


def test_another_model_and_another_build_are_refused(saved, photos, capsys):
    built(saved)
    before = (photos.parent / "my.index" / "manifest.json").read_bytes()
    other = ["--model", saved / "other"]
    assert "was made with model" in refusal(capsys, "search", "my.index", "a text", *other)
    assert "was made with model" in refusal(capsys, "add", "my.index", "photos", *other)
    assert "was made with model" in refusal(capsys, "build", "photos", *other, "--out", "my.index")
    build = ["build", "photos", "--model", saved / "matching", "--out", "my.index"]
    assert "but my.index has fp32" in refusal(capsys, *build, "--dtype", "bf16")
    assert "use `hf-unimo index add`" in refusal(capsys, "build", "photos/a", *build[2:])
    processor = adapter_of(saved).images.image_processor
    shutil.copytree(saved / "matching", "resized")
    settings = json.loads((photos.parent / "resized" / "processor_config.json").read_text())
    settings["image_processor"]["size"] = {"height": 24, "width": 24}
    assert processor.size != settings["image_processor"]["size"]
    (photos.parent / "resized" / "processor_config.json").write_text(json.dumps(settings))
    assert "was made with preprocessing" in refusal(capsys, "search", "my.index", "a text", "--model", "resized")
    assert (photos.parent / "my.index" / "manifest.json").read_bytes() == before


def test_what_cannot_be_searched(saved, photos, capsys):
    built(saved)
    search = ["search", "my.index"]
    assert "No query is given" in refusal(capsys, *search)
    assert "QUERY and --text are given" in refusal(capsys, *search, "a", "--text", "b")
    assert "empty text" in refusal(capsys, *search, " ")
    assert "--top-k is 0" in refusal(capsys, *search, "a", "--top-k", "0")
    assert "--rerank is -1" in refusal(capsys, *search, "a", "--rerank", "-1")
    assert "nothing.png cannot be used: there is no such file" in refusal(capsys, *search, "--image", "nothing.png")
    assert "broken.jpg cannot be used" in refusal(capsys, *search, "photos/broken.jpg")
    assert "query by picture" in refusal(capsys, *search, "photos/0.PNG", "--rerank", "3")
    assert "is no index" in refusal(capsys, "search", "photos", "a")
    for option in ("--html", "--json"):
        assert f"{option} is no/x" in refusal(capsys, *search, "a", option, "no/x")
    models.picture(5).save(photos / "0.PNG")
    words = [*search, "a", "--rerank", "11", "--html", "x.html"]
    assert "0.PNG cannot be re-ranked: the picture was changed" in refusal(capsys, *words)
    assert not (photos.parent / "x.html").exists()


def test_models_that_cannot(saved, photos, capsys, tmp_path_factory):
    built(saved, "plain")
    assert "has no matching head" in refusal(capsys, "search", "my.index", "a", "--rerank", "3")
    folder = tmp_path_factory.mktemp("vilt")
    models.vilt()[0].save_pretrained(folder)
    models.unimo2()[1].save_pretrained(folder)  # any processor
    assert "has no features of pictures alone" in refusal(
        capsys, "build", "photos", "--model", folder, "--out", "vilt.index"
    )
    assert not (photos.parent / "vilt.index").exists()


def test_an_index_from_a_stranger(saved, photos, capsys):
    """Its entries may name any file; without the right checksum its picture is not shown."""
    index = VectorIndex.create("strange", 8, stamp={"contents": "pictures"})
    assert "does not say where its model is" in refusal(capsys, "search", "strange", "a")
    index = VectorIndex.create("other", 8)
    assert "not of pictures" in refusal(capsys, "search", "other", "a", "--model", saved / "matching")
    index = built(saved)
    secret = photos.parent / "secret.png"
    models.picture(50).save(secret)
    index.append(index.features[:1].numpy(), [{"path": "../secret.png", "sha256": "0" * 64}])
    index.append(index.features[:1].numpy(), [{"path": "http://localhost:1/x.png", "sha256": "0" * 64}])
    assert main(["index", "search", "my.index", "photos/0.PNG", "--top-k", "3", "--html", "x.html"]) == 0
    sheet = (photos.parent / "x.html").read_text()
    assert sheet.count("data:image/jpeg") == 2 and "was changed" in sheet and "there is no such file" in sheet
    index.append(index.features[:1].numpy(), [{"name": "no path"}])
    assert "an entry has no 'path'" in refusal(capsys, "search", "my.index", "photos/0.PNG")
