# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The builders of the fine-tuning data: real samples, tiny archives made here, and, with the packages at hand, all."""

import gzip
import hashlib
import importlib.util
import io
import json
import lzma
import os
import pickle
import re
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from PIL import Image

from hf_unimo.errors import BadInputError


ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples" / "data"))

import baselines  # noqa: E402
import build_animals  # noqa: E402
import build_easy_vqa  # noqa: E402
import build_entailment  # noqa: E402
import build_stamps  # noqa: E402
import build_vader  # noqa: E402
import builder  # noqa: E402
import packages  # noqa: E402
from build_emoji import family_key  # noqa: E402
from wordnet import Nouns  # noqa: E402


FIXTURES = ROOT / "modeling_tests" / "fixtures" / "tasks"
BUILDERS = {
    "easy_vqa": build_easy_vqa,
    "animals": build_animals,
    "vader_movies": build_vader,
    "stamps": build_stamps,
    "entailment": build_entailment,
}
SAMPLES = ("easy_vqa", "animals", "entailment")
PACKAGES = os.environ.get("HF_UNIMO_TASK_PACKAGES")


def read(path):
    return pq.read_table(path).to_pylist()


@pytest.fixture(scope="module", params=SAMPLES)
def sample(request):
    """Name and rows of a sample in the repository."""
    return request.param, read(FIXTURES / f"{request.param}.parquet")


@pytest.fixture(scope="module")
def entailment():
    return read(FIXTURES / "entailment.parquet")


# Archives


def tar_bytes(files, mode="w:gz", links=()):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for name in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(member)
    return buffer.getvalue()


def deb_bytes(members):
    parts = [b"!<arch>\n"]
    for name, content in members.items():
        header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n"
        parts.append(header.encode() + content + b"\n" * (len(content) % 2))
    return b"".join(parts)


def write_archive(path, files):
    """An archive of the kind that its name says."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path, "w") as wheel:
            for name, content in files.items():
                wheel.writestr(name, content)
    elif path.suffix == ".deb":
        data = lzma.compress(tar_bytes({f"./{name}": content for name, content in files.items()}, "w"))
        path.write_bytes(deb_bytes({"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": data}))
    else:
        path.write_bytes(tar_bytes(files))
    return path


def publish(monkeypatch, module, folder, files):
    """Puts an archive with these files where the builder takes it for the published one."""
    [(key, package)] = module.PACKAGES.items()
    content = write_archive(folder / package.file, files).read_bytes()
    monkeypatch.setitem(module.PACKAGES, key, replace(package, sha256=hashlib.sha256(content).hexdigest()))
    return {key: folder / package.file}


def png(size=(4, 4), color="red", mode="RGB"):
    buffer = io.BytesIO()
    (color if isinstance(color, Image.Image) else Image.new(mode, size, color)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["a-1.0-py3-none-any.whl", "a-1.0.tgz", "a-1.0.tar.gz", "a_1_all.deb"])
def test_archives_are_read_without_being_unpacked(tmp_path, name):
    files = {"x/one.txt": b"one", "../escape.txt": b"out", "/absolute.txt": b"out", "x/two.txt": b"twos"}
    folder = tmp_path / "inner"
    folder.mkdir()
    path = write_archive(folder / name, files)
    assert dict(packages.read_members(path, lambda name: name.endswith(".txt"))) == files
    assert packages.read_member(path, "x/two.txt") == b"twos"
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]


def test_links_are_no_files():
    content = tar_bytes({"a": b"1"}, links=("b",))
    assert dict(packages.read_tar(io.BytesIO(content), lambda name: True)) == {"a": b"1"}


@pytest.mark.parametrize("content", [b"no ar", deb_bytes({"debian-binary": b"2.0\n"})])
def test_what_is_no_debian_package_is_refused(tmp_path, content):
    path = tmp_path / "a_1_all.deb"
    path.write_bytes(content)
    with pytest.raises(BadInputError, match="is no Debian package"):
        packages.read_member(path, "x")


@pytest.mark.parametrize(
    "package, command",
    [
        (build_stamps.PACKAGES["stamps"], ["apt-get", "download", "--quiet", "tuxpaint-stamps-default=2022.06.04-1"]),
        (packages.npm_package("@a/b@1.2", ""), ["npm", "pack", "--silent", "@a/b@1.2"]),
    ],
)
def test_clients_are_asked_for_exact_versions(tmp_path, package, command):
    assert package.command(tmp_path) == command


def test_npm_names_the_archive():
    assert packages.npm_package("@a/b-c@1.2", "").file == "a-b-c-1.2.tgz"


@pytest.mark.parametrize(
    "package, option", [(build_vader.PACKAGES["vader"], "--no-binary"), (build_animals.PACKAGES["animals"], "--only")]
)
def test_pip_checks_the_hash_before_it_runs_anything(tmp_path, package, option):
    command = package.command(tmp_path)
    assert command[1:4] == ["-m", "pip", "download"]
    assert {"--no-deps", "--require-hashes"} < set(command)
    assert any(part.startswith(option) for part in command)
    assert Path(command[-1]).read_text() == f"{package.name} --hash=sha256:{package.sha256}\n"


def test_pip_refuses_another_archive_by_its_hash(tmp_path):
    """pip itself, without an index: a wheel of another content than the one that is asked for."""
    name = "hf_unimo_nothing-1.0-py3-none-any.whl"
    info = "hf_unimo_nothing-1.0.dist-info"
    (tmp_path / "index").mkdir()
    write_archive(
        tmp_path / "index" / name,
        {
            f"{info}/METADATA": b"Metadata-Version: 2.1\nName: hf-unimo-nothing\nVersion: 1.0\n",
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": b"",
        },
    )
    options = ["--no-index", "--find-links", str(tmp_path / "index"), "--disable-pip-version-check"]
    right = hashlib.sha256((tmp_path / "index" / name).read_bytes()).hexdigest()
    for digest, code in ((right, 0), ("0" * 64, 1)):
        command = packages.Package("hf-unimo-nothing==1.0", name, digest).command(tmp_path)
        done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        assert code == 0 or "do not match the hashes" in done.stderr.lower().replace("\n", " ")


def test_failing_clients_are_named(monkeypatch, tmp_path):
    package = build_stamps.PACKAGES["stamps"]

    def run(command, **options):
        return subprocess.CompletedProcess(command, 100, "", "W: x\nE: Version was not found\n")

    monkeypatch.setattr(packages.subprocess, "run", run)
    monkeypatch.setattr(packages.shutil, "which", lambda name: name)
    with pytest.raises(
        BadInputError, match=r"apt-get download .* failed \(E: Version was not found\): run `apt-get up"
    ):
        packages.fetch([package], tmp_path)


@pytest.mark.parametrize("name, module", BUILDERS.items())
def test_missing_clients_and_archives_are_named(monkeypatch, tmp_path, capsys, name, module):
    def failure(*arguments):
        assert module.main(["--output", str(tmp_path / "out"), *arguments]) == 2
        message = capsys.readouterr().err
        assert message.count("\n") == 1
        return message

    find = importlib.util.find_spec
    missing = {"pip"}
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: None if name in missing else find(name))
    monkeypatch.setattr(packages.shutil, "which", lambda name: None)
    if module is build_stamps:
        missing.add("resvg_py")
        assert "pip install 'hf-unimo[data]'" in failure()
        monkeypatch.setattr(builder, "require", lambda module, extra: None)
    [package] = module.PACKAGES.values()
    assert f"{package.client} was not found" in failure()
    assert f"holds no {package.file}: make it there with `{package.request}`" in failure("--packages", str(tmp_path))
    (tmp_path / package.file).write_bytes(b"not the package")
    assert "SHA-256" in failure("--packages", str(tmp_path))
    assert not (tmp_path / "out").exists()


# Splits, samples, tables


def test_splits_go_by_the_key_alone():
    splits = Counter(builder.split_by_hash(f"text {number}") for number in range(20_000))
    assert {split: round(count / 20_000, 2) for split, count in splits.items()} == {
        "train": 0.8,
        "validation": 0.1,
        "test": 0.1,
    }
    assert builder.split_by_hash("ä") == builder.split_by_hash("ä".encode())
    assert builder.hash_key("ab", "c") != builder.hash_key("a", "bc")


def test_a_sample_has_all_groups_and_keeps_the_order():
    rows = [{"key": str(number), "group": number % 7 == 0} for number in range(100)]
    chosen = builder.spread_sample(rows, 20, lambda row: row["group"], "key")
    assert Counter(row["group"] for row in chosen) == {True: 10, False: 10}
    assert chosen == sorted(chosen, key=lambda row: int(row["key"]))
    assert chosen == builder.spread_sample(rows, 20, lambda row: row["group"], "key")
    # Another order of the rows: the same are chosen.
    backwards = builder.spread_sample(rows[::-1], 20, lambda row: row["group"], "key")
    assert backwards == chosen[::-1]


def test_samples_have_the_columns_of_the_builders(sample, tmp_path):
    name, rows = sample
    data = load_dataset(
        "parquet", data_files=str(FIXTURES / f"{name}.parquet"), split="train", cache_dir=str(tmp_path)
    )
    assert data.features == BUILDERS[name].FEATURES
    assert len(data) == len(rows)
    assert data[0]["image"].convert("RGB").size == ((28, 28) if name == "animals" else (64, 64))
    assert {row["split"] for row in rows} == set(builder.SPLITS)


def test_samples_are_those_of_the_card():
    card = (FIXTURES / "README.md").read_text(encoding="utf-8")
    files = sorted(FIXTURES.iterdir())
    assert [file.name for file in files] == ["README.md", *(f"{name}.parquet" for name in sorted(SAMPLES))]
    assert sum(file.stat().st_size for file in files) < 300_000
    for file in files[1:]:
        splits = Counter(row["split"] for row in read(file))
        counts = ", ".join(str(splits[split]) for split in builder.SPLITS)
        assert f"| {file.name} | {counts} |" in card
        assert f"| {file.name} | {hashlib.sha256(file.read_bytes()).hexdigest()} |" in card
    for words in ("Victor Zhou", "SinaSR-6", "Permission is hereby granted", "CC-BY-4.0", "LICENSES.md"):
        assert words in card


def test_no_picture_of_a_sample_stands_in_two_splits(sample):
    _, rows = sample
    splits = defaultdict(set)
    for row in rows:
        splits[row["image"]["bytes"]].add(row["split"])
    assert all(len(found) == 1 for found in splits.values())


# easy-VQA


def test_the_sample_of_easy_vqa_has_all_answers():
    rows = read(FIXTURES / "easy_vqa.parquet")
    answers = {row["answer"] for row in rows if row["split"] == "train"}
    assert len(answers) == 13
    assert answers >= {row["answer"] for row in rows}
    assert 15 <= len({row["image_id"] for row in rows}) <= 25
    for row in rows:
        assert (row["image_id"].startswith("test")) == (row["split"] == "test")
        assert row["split"] == build_easy_vqa.split_of(*row["image_id"].split("-")[:1], row["image_id"])


def vqa_files(count=40):
    files = {}
    for part in ("train", "test"):
        questions = [[f"is it {color}?", color, number] for number in range(count) for color in ("yes", "no", "red")]
        files[f"easy_vqa/data/{part}/questions.json"] = json.dumps(questions).encode()
        for number in range(count):
            files[f"easy_vqa/data/{part}/images/{number}.png"] = png(color=(number, part == "test", 0))
    return files


def test_easy_vqa_from_an_archive(monkeypatch, tmp_path, capsys):
    publish(monkeypatch, build_easy_vqa, tmp_path, vqa_files())
    outputs = [tmp_path / "one", tmp_path / "two"]
    for output in outputs:
        assert build_easy_vqa.main(["--output", str(output), "--packages", str(tmp_path)]) == 0
    assert [file.name for file in outputs[0].iterdir()] == ["easy_vqa.parquet"]
    first, second = ((output / "easy_vqa.parquet").read_bytes() for output in outputs)
    assert first == second
    printed = capsys.readouterr().out
    assert hashlib.sha256(first).hexdigest() in printed
    assert re.search(r"test +120 rows\n    no 40    red 40    yes 40\n", printed)
    rows = read(outputs[0] / "easy_vqa.parquet")
    splits = defaultdict(set)
    for row in rows:
        splits[row["image_id"]].add(row["split"])
        number = int(row["image_id"].split("-")[1])
        picture = Image.open(io.BytesIO(row["image"]["bytes"]))
        assert picture.getpixel((0, 0)) == (number, row["split"] == "test", 0)
    assert all(len(found) == 1 for found in splits.values())
    assert Counter(map(frozenset, splits.values()))[frozenset({"test"})] == 40
    assert {split for found in splits.values() for split in found} == set(builder.SPLITS)
    assert [row["answer"] for row in rows[:3]] == ["yes", "no", "red"]


def test_bad_options_are_named(monkeypatch, tmp_path, capsys):
    publish(monkeypatch, build_easy_vqa, tmp_path, vqa_files(2))
    (tmp_path / "taken").write_text("")
    for output, options, words in (("taken", [], "taken is no folder"), ("out", ["--sample", "0"], "--sample was 0")):
        assert build_easy_vqa.main(["--output", str(tmp_path / output), "--packages", str(tmp_path), *options]) == 2
        message = capsys.readouterr().err
        assert words in message and message.count("\n") == 1
    assert not (tmp_path / "out").exists()


# Animals


def animal_files(images, labels):
    folder = build_animals.FOLDER
    return {
        f"{folder}/animal_data_version_3.gz": gzip.compress(pickle.dumps(images)),
        f"{folder}/animal_label_version_3.gz": gzip.compress(pickle.dumps(labels)),
    }


def test_duplicates_go_before_the_split(monkeypatch, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (100, 28, 28), dtype=np.uint8)
    images[50:] = images[:50]
    images[99, 0, 0] ^= 1
    labels = np.arange(100, dtype=np.int64) % 10
    archives = publish(monkeypatch, build_animals, tmp_path, animal_files(images, labels))
    rows = build_animals.make_rows(archives)
    assert len(rows) == 51
    decoded = [np.asarray(Image.open(io.BytesIO(row["image"]["bytes"]))) for row in rows]
    assert np.array_equal(decoded, [*images[:50], images[99]])
    assert [row["label"] for row in rows] == [*labels[:50], 9]
    assert [row["split"] for row in rows] == [builder.split_by_hash(image.tobytes()) for image in decoded]
    assert len(build_animals.make_rows(archives, sample=12)) == 12


def test_pickles_are_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.write_bytes, (tmp_path / "run", b"x" * 100))

    array = np.arange(300, dtype="<i8")
    for pickled in (array, [Trap(), array]):
        assert build_animals.array_bytes(pickle.dumps(pickled)) == array.tobytes()
    assert not (tmp_path / "run").exists()
    pickle.loads(pickle.dumps(Trap()))
    assert (tmp_path / "run").exists()  # the trap works


def test_the_sample_of_the_animals_has_each_in_each_split():
    rows = read(FIXTURES / "animals.parquet")
    names = build_animals.FEATURES["label"].names
    assert names == sorted(names) and len(names) == 10
    assert Counter((row["label"], row["split"]) for row in rows) == {
        (label, split): 2 for label in range(10) for split in builder.SPLITS
    }
    for row in rows:
        picture = Image.open(io.BytesIO(row["image"]["bytes"]))
        assert (picture.mode, picture.size) == ("L", (28, 28))
        assert row["split"] == builder.split_by_hash(picture.tobytes())


# VADER


@pytest.mark.parametrize(
    "rating, label", [(-4, 0), (-0.5, 0), (-0.49, None), (0, None), (0.49, None), (0.5, 1), (4, 1)]
)
def test_ratings_become_classes(rating, label):
    assert build_vader.label_of(rating) == label
    assert build_vader.LABELS == ["negative", "positive"]


def test_vader_from_an_archive(monkeypatch, tmp_path):
    table = "1\t2.25\tA good film.\r\n2\t-0.1\tA film.\r\n3\t-1.5\tCliché – dull.\r\n4\t1.5\tA good film.\r\n"
    inner = tar_bytes({"hutto_ICWSM_2014/other.txt": b"x", build_vader.SNIPPETS: table.encode()})
    archives = publish(monkeypatch, build_vader, tmp_path, {build_vader.INNER: inner})
    rows = build_vader.make_rows(archives)
    assert rows == [
        {"text": text, "rating": rating, "label": label, "split": builder.split_by_hash(text)}
        for text, rating, label in [("A good film.", 2.25, 1), ("Cliché – dull.", -1.5, 0)]
    ]
    assert build_vader.main(["--output", str(tmp_path), "--packages", str(tmp_path)]) == 0
    assert read(tmp_path / "vader_movies.parquet") == rows


# Stamps


@pytest.mark.parametrize(
    "caption, title",
    [
        ("A pink flamingo.", "pink flamingo"),
        ("An astronaut making a spacewalk!", "astronaut making a spacewalk"),
        ("Another tombstone.", "tombstone"),
        ("“T-intersection”.", "tintersection"),
        ("A.", "a"),
    ],
)
def test_titles(caption, title):
    assert build_stamps.title_of(caption) == title


def stamp_files(stamps):
    return {build_stamps.ROOT + name: content for name, content in stamps.items()}


def test_stamps_from_an_archive(monkeypatch, tmp_path):
    drawing = Image.new("RGBA", (400, 400), (0, 0, 0, 0))
    drawing.paste((255, 0, 0, 255), (50, 100, 350, 200))
    frog = png(color=drawing)
    stamps = {
        "animals/frog.txt": b"A  frog. \nde.utf8=Ein Frosch\n",
        "animals/frog.svg": b"never drawn",
        "animals/frog.png": frog,
        "animals/frog.ogg": b"sound",
        "animals/again.txt": b"The frog!\n",
        "animals/again.png": frog,
        "animals/other.txt": b"The frog!\n",
        "animals/other.png": png((3, 5), (0, 0, 255, 255), "RGBA"),
        "sky/cloud.txt": b"A cloud.\n",
        "sky/cloud.png": png(color=(255, 255, 255, 255), mode="RGBA"),
        "symbols/money/coin.txt": b"A coin.\n",
        "symbols/money/coin.png": png(),
        "symbols/alphabets/a.txt": b"A\n",
        "symbols/alphabets/a.png": png(),
        "sky/no_picture.txt": b"Nothing.\n",
        "sky/no_text.png": png(),
    }
    rows = build_stamps.make_rows(publish(monkeypatch, build_stamps, tmp_path, stamp_files(stamps)))
    split = builder.split_by_hash("frog")
    # "again" comes before "frog" and is the same picture; the cloud is white on white.
    assert [(row["image"]["path"], row["text"], row["title"], row["split"]) for row in rows] == [
        ("animals-again.png", "The frog!", "frog", split),
        ("animals-other.png", "The frog!", "frog", split),
    ]
    first, second = (Image.open(io.BytesIO(row["image"]["bytes"])) for row in rows)
    assert (first.mode, first.size, first.getpixel((60, 20))) == ("RGB", (128, 43), (255, 0, 0))
    assert (second.size, second.getpixel((0, 0))) == ((3, 5), (0, 0, 255))


def test_only_english_is_read():
    assert build_stamps.read_caption(b"A  frog. \nde.utf8=Ein Frosch\n") == "A frog."


def test_drawings_in_points_are_drawn():
    pytest.importorskip("resvg_py", reason="needs the extra `data`")
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="20pt" height="40pt"><path fill="#f00" d="M0 0h9v9H0z"/></svg>'
    )
    picture = build_stamps.draw("x.svg", svg.encode())
    assert picture.mode == "RGB" and max(picture.size) == 128
    assert abs(picture.width - picture.height) <= 1  # cut to the square
    assert picture.getpixel((64, 64)) == (255, 0, 0)


# WordNet and entailment

INDEX = """  1 This line is the licence.
animal n 1 1 @ 1 1 00000010
dog n 2 1 @ 2 1 00000011 00000020
fruit n 1 0 1 1 00000030
apple n 1 1 @ 1 1 00000031
tomato n 2 1 @ 1 1 00000031 00000020
cherry n 1 1 @ 1 1 00000031
hot_dog n 1 0 1 0 00000020
ox n 1 1 @ 1 0 00000010
t-shirt n 1 0 1 0 00000020
"""
DATA = """  1 This line is the licence.
00000001 03 n 01 entity 0 000 | all
00000010 05 n 02 animal 0 beast 0 002 @ 00000001 n 0000 ~ 00000011 n 0000 | living
00000011 05 n 01 dog 0 001 @ 00000010 n 0000 | barks
00000020 06 n 01 thing 0 001 @i 00000001 n 0000 | a thing
00000030 13 n 01 fruit 0 001 @ 00000001 n 0000 | of a plant
00000031 13 n 01 apple 0 001 @ 00000030 n 0000 | red | green
"""
ANIMAL = build_entailment.Kind("an animal", (("animal", 1),), ("animal-*",))
FRUIT = build_entailment.Kind("a fruit", (("fruit", 1),), ("food-fruit",), ("food-vegetable",))


@pytest.fixture(scope="module")
def nouns():
    return Nouns(INDEX, DATA, "oxen ox\n")


def emoji_row(label, subgroup, tags=(), group="g", style="twemoji", concept="1F400", split="train"):
    image = {"bytes": b"", "path": f"{style}-{concept}.png"}
    row = {"image": image, "label": label, "tags": list(tags), "group": group, "subgroup": subgroup}
    return row | {"concept": concept, "style": style, "split": split}


def concept(nouns, label, subgroup, tags=(), group="g"):
    return build_entailment.Concept(label, tuple(tags), group, subgroup, nouns)


@pytest.mark.parametrize(
    "phrase, base",
    [
        ("dog", "dog"),
        ("Dogs", "dog"),
        ("cherries", "cherry"),
        ("oxen", "ox"),
        ("hot dog", "hot_dog"),
        ("T-shirt", "t-shirt"),
        ("cat", None),
    ],
)
def test_words_are_found_in_their_base_form(nouns, phrase, base):
    assert nouns.base(phrase) == base


def test_senses_and_what_they_are_kinds_of(nouns):
    assert nouns.senses("dogs") == (11, 20) and nouns.senses("cat") == ()
    assert nouns.ancestors(11) == {11, 10, 1}
    assert nouns.ancestors(20) == {20, 1}  # an instance
    assert nouns.sense("dog", 2) == 20
    with pytest.raises(BadInputError, match=r"2 senses of 'dog', number 3"):
        nouns.sense("dog", 3)


@pytest.mark.parametrize(
    "label, group, head",
    [
        ("guide dog", "g", "dog"),
        ("dog with tears of joy", "g", "dog"),
        ("dog: bald", "g", "dog"),
        ("hot dog", "g", "hot dog"),
        ("man shrugging", "people-body", "man"),
        ("waxing gibbous", "g", None),
    ],
)
def test_what_a_name_is_about(nouns, label, group, head):
    assert concept(nouns, label, "s", group=group).head == head


def test_labels_are_what_both_sources_say(nouns):
    dog = concept(nouns, "guide dog", "animal-mammal")
    assert dog.entails(ANIMAL) and not dog.contradicts(ANIMAL)
    assert dog.contradicts(FRUIT) and not dog.entails(FRUIT)
    for unsure in (
        concept(nouns, "spider web", "animal-bug"),  # the group says yes, WordNet no
        concept(nouns, "dog", "face-costume"),  # WordNet yes, the group no
        concept(nouns, "web", "tool", tags=["hot dogs"]),  # a word of a keyword is of that kind
    ):
        assert not unsure.entails(ANIMAL) and not unsure.contradicts(ANIMAL)
    assert not concept(nouns, "web", "food-vegetable").contradicts(FRUIT)  # too near
    assert concept(nouns, "web", "tool").contradicts(FRUIT)


def test_rare_senses_do_not_make_a_thing_that_kind():
    many = Nouns("animal n 1 0 1 1 00000010\nx n 4 0 4 1 00000020 00000020 00000020 00000010\n", DATA)
    rare = concept(many, "x", "animal-bug")
    assert not rare.entails(ANIMAL)
    assert not concept(many, "x", "tool").contradicts(ANIMAL)


def test_one_concept_of_a_family_and_no_unseen_style():
    walking = {"subgroup": "person", "concept": "1F6B6"}
    rows = [
        emoji_row("person walking", **walking),
        emoji_row("man walking", "person", concept="1F6B6-200D-2642-FE0F"),
        emoji_row("person walking", style="fluent", **walking),
        emoji_row("person walking", style="noto", split="unseen_style", **walking),
        emoji_row("tiger", "animal-mammal", concept="1F405", split="test"),
    ]
    chosen = build_entailment.chosen_pictures(rows)
    assert [(row["label"], row["style"]) for row in chosen] == [
        ("person walking", "twemoji"),
        ("person walking", "fluent"),
        ("tiger", "twemoji"),
    ]
    assert chosen[0]["split"] == chosen[1]["split"] in ("train", "validation")
    assert chosen[2]["split"] == "test"


def made_rows(nouns, dogs, apples, kinds=(ANIMAL, FRUIT)):
    rows = [emoji_row("dog", "animal-mammal", concept=f"1F{number:03X}") for number in range(dogs)]
    rows += [emoji_row("apple", "food-fruit", concept=f"2F{number:03X}") for number in range(apples)]
    return build_entailment.true_sentences(rows, nouns, kinds)


def contradicts(one, other):
    return one["words"].contradicts(other["kind"])


def test_each_sentence_is_dealt_once_to_a_picture_that_it_contradicts(nouns):
    items = made_rows(nouns, 30, 30)
    dealt = build_entailment.deal(items, contradicts)
    assert len(items) == 60
    assert Counter(item["key"] for item in dealt) == Counter(item["key"] for item in items)
    assert all(contradicts(item, false) for item, false in zip(items, dealt))
    assert dealt == build_entailment.deal(items, contradicts)


def test_no_picture_gets_a_class_twice(nouns):
    beast, apple = replace(ANIMAL, phrase="a beast"), replace(FRUIT, phrase="an apple")
    items = made_rows(nouns, 20, 20, (ANIMAL, beast, FRUIT, apple))
    given = defaultdict(list)
    for item, false in zip(items, build_entailment.deal(items, contradicts)):
        given[item["words"].label, item["picture"]["image"]["path"]].append(false["kind"].phrase)
    assert len(given) == 40
    for (label, _), phrases in given.items():
        assert sorted(phrases) == (["a fruit", "an apple"] if label == "dog" else ["a beast", "an animal"])


def test_a_majority_cannot_be_dealt(nouns):
    with pytest.raises(BadInputError, match="No false sentence was found"):
        build_entailment.deal(made_rows(nouns, 3, 2), contradicts)


def test_missing_emoji_are_named(tmp_path):
    with pytest.raises(BadInputError, match=r"There is no .*emoji.parquet: make it with"):
        build_entailment.read_emoji(tmp_path / "emoji.parquet")


def check_balance(rows):
    """Each sentence and each picture is as often true as false, in each split; and no row is there twice."""
    for column in ("hypothesis", "image"):
        counts = defaultdict(Counter)
        for row in rows:
            value = row[column] if column == "hypothesis" else row[column]["path"]
            counts[row["split"], value][row["label"]] += 1
        assert all(found[0] == found[1] > 0 for found in counts.values())
    assert len({(row["image"]["path"], row["hypothesis"]) for row in rows}) == len(rows)


def test_neither_side_of_the_sample_of_entailment_tells_the_label(entailment):
    check_balance(entailment)
    assert build_entailment.FEATURES["label"].names == ["entailment", "contradiction"]
    assert len({row["hypothesis"] for row in entailment if row["split"] == "train"}) >= 8


def test_the_balance_check_can_fail(entailment):
    with pytest.raises(AssertionError):
        check_balance(entailment[1:])


def test_the_sample_of_entailment_is_of_the_emoji(entailment):
    emoji = {row["image"]["path"]: row for row in read(build_entailment.EMOJI)}
    for row in entailment:
        origin = emoji[row["image"]["path"]]
        assert (row["premise"], row["concept"], row["style"]) == (origin["label"], origin["concept"], origin["style"])
        assert row["image"] == origin["image"]
        assert row["split"] == build_entailment.split_of(origin)
        assert row["style"] in ("twemoji", "fluent")
        assert origin["split"] == ("test" if row["split"] == "test" else "train")


# Baselines


def printed(task, path, capsys):
    assert baselines.main([task, str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    return {
        name.strip(): tuple(float(value) / 100 for value in re.findall(r"([\d.]+)%", rest))
        for name, rest in (re.split(r"(?=  validation)", line, maxsplit=1) for line in lines)
    }


def test_one_side_of_entailment_is_a_coin_toss(capsys):
    found = printed("entailment", FIXTURES / "entailment.parquet", capsys)
    for name in ("most frequent class", "sentence alone", "picture alone"):
        assert found[name] == (0.5, 0.5)
    assert set(found) == {
        "most frequent class",
        "sentence alone",
        "picture alone",
        "nearest picture with that sentence",
    }


def test_baselines_of_questions_and_pictures(capsys):
    rows = read(FIXTURES / "easy_vqa.parquet")
    found = printed("vqa", FIXTURES / "easy_vqa.parquet", capsys)
    counts = Counter(row["answer"] for row in rows if row["split"] == "train")
    inside = [row["answer"] for row in rows if row["split"] == "test"]
    top = {answer for answer, count in counts.items() if count == max(counts.values())}
    possible = [pytest.approx(inside.count(answer) / len(inside), abs=1e-3) for answer in top]
    assert found["most frequent class"][1] in possible
    assert set(found) == {"most frequent class", "question alone"}
    found = printed("animals", FIXTURES / "animals.parquet", capsys)
    assert found["most frequent class"] == (0.1, 0.1)
    assert set(found) == {"most frequent class", "pixels", "nearest picture"}


def split_table(rows):
    """Every row once in each split."""
    return pa.Table.from_pylist([row | {"split": split} for split in builder.SPLITS for row in rows])


def test_baselines_learn_what_can_be_learnt():
    words = split_table([{"text": "a good film", "label": 1}, {"text": "a bad film", "label": 0}] * 5)
    assert baselines.accuracies("text", words)["words"] == {"validation": 1.0, "test": 1.0}
    colors = {"red": 0, "green": 1, "blue": 2}
    pictures = split_table([{"image": {"bytes": png(color=color)}, "label": label} for color, label in colors.items()])
    found = baselines.accuracies("animals", pictures)
    assert found["pixels"] == found["nearest picture"] == {"validation": 1.0, "test": 1.0}
    assert found["most frequent class"]["test"] == pytest.approx(1 / 3)
    pairs = [
        {"image": {"bytes": png(color=color)}, "hypothesis": f"this is {name}", "label": int(color != name)}
        for color in colors
        for name in colors
    ]
    assert baselines.accuracies("entailment", split_table(pairs))["nearest picture with that sentence"]["test"] == 1


def test_another_sentence_is_further_than_any_picture():
    rows = [("red", "red", 0, "train"), ("blue", "red", 1, "train"), ("#8000ff", "blue", 0, "train")]
    rows += [("#8000ff", "red", 1, "validation"), ("#8000ff", "red", 1, "test")]  # its like has another sentence
    table = pa.Table.from_pylist(
        [
            {"image": {"bytes": png(color=color)}, "hypothesis": f"this is {name}", "label": label, "split": split}
            for color, name, label, split in rows
        ]
    )
    assert baselines.accuracies("entailment", table)["nearest picture with that sentence"]["test"] == 1


def test_emoji_names_tell_their_group(tmp_path, capsys):
    """Text classification without other people's sentences: name -> group, on concepts that were never seen."""
    rows = {}
    for row in read(build_entailment.EMOJI):
        rows[row["concept"]] = {
            "text": row["label"],
            "label": row["group"],
            "split": "test"
            if row["split"].startswith("test")
            else builder.split_by_hash(family_key(row["concept"]), 0.1, 0),
        }
    pq.write_table(pa.Table.from_pylist(list(rows.values())), tmp_path / "groups.parquet")
    found = printed("text", tmp_path / "groups.parquet", capsys)
    assert found["words"][1] > found["most frequent class"][1] + 0.2


def test_a_caption_is_taken_from_the_nearest_picture():
    def row(shade, text, split):
        pixels = np.zeros((20, 30, 3), dtype=np.uint8)
        pixels[:, : 15 if shade > 100 else 30, shade % 3] = shade
        pixels[5:9] = 255 - shade
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, format="PNG")
        return {"image": {"bytes": file.getvalue(), "path": None}, "text": text, "split": split}

    texts = {90: "a red house by the sea", 91: "two dogs under a tree", 200: "the moon over the hills"}
    rows = [row(shade, text, "train") for shade, text in texts.items()] + [row(91, texts[91], "train")]
    rows += [row(shade - 3, texts[shade], split) for shade in texts for split in ("validation", "test")]
    found = baselines.caption_scores(pa.Table.from_pylist(rows))
    assert found["caption of the nearest picture"] == {"validation": pytest.approx(10), "test": pytest.approx(10)}
    assert 0 < found["most frequent caption"]["test"] < 5  # right for one of three


def test_baselines_name_what_is_wrong(monkeypatch, tmp_path, capsys):
    def failure(task, path):
        assert baselines.main([task, str(path)]) == 2
        message = capsys.readouterr().err
        assert message.count("\n") == 1
        return message

    assert "There is no" in failure("vqa", tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("no table")
    assert "is no Parquet file" in failure("vqa", tmp_path / "text.parquet")
    assert "has no column answer, question" in failure("vqa", FIXTURES / "animals.parquet")
    table = pq.read_table(FIXTURES / "animals.parquet")
    pq.write_table(table.filter(np.asarray(table["split"]) != "test"), tmp_path / "part.parquet")
    assert "has no rows of the split test" in failure("animals", tmp_path / "part.parquet")
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: None)
    assert "pip install 'hf-unimo[eval]'" in failure("animals", FIXTURES / "animals.parquet")


# Everything, with the packages at hand


def documented_counts(module):
    """The tables of a docstring: split -> numbers."""
    rows = re.findall(r"^\| (train|validation|test) \| (.*) \|$", module.__doc__, re.M)
    return {split: [int(number.replace(",", "")) for number in cells.split(" | ")] for split, cells in rows}


COUNTED = {
    "easy_vqa": lambda rows: [len({row["image_id"] for row in rows}), len(rows)],
    "animals": lambda rows: [len(rows)],
    "vader_movies": lambda rows: [sum(row["label"] == label for row in rows) for label in (0, 1)],
    "stamps": lambda rows: [len(rows), len({row["title"] for row in rows})],
    "entailment": lambda rows: [
        len(rows),
        len({row["image"]["path"] for row in rows}),
        len({row["hypothesis"] for row in rows}),
    ],
}
"""Name -> what the table of the docstring counts."""
KEYS = {
    "easy_vqa": lambda row: row["image"]["bytes"],
    "animals": lambda row: row["image"]["bytes"],
    "vader_movies": lambda row: row["text"],
    "stamps": lambda row: row["title"],
    "entailment": lambda row: family_key(row["concept"]),
}
"""Name -> what must not stand in two splits."""


@pytest.mark.slow
@pytest.mark.skipif(PACKAGES is None, reason="HF_UNIMO_TASK_PACKAGES does not name a folder with the archives")
@pytest.mark.parametrize("name, module", BUILDERS.items())
def test_building_it_all(tmp_path, name, module):
    if module is build_stamps:
        pytest.importorskip("resvg_py", reason="needs the extra `data`")
    assert module.main(["--output", str(tmp_path), "--packages", PACKAGES]) == 0
    rows = read(tmp_path / f"{name}.parquet")
    by_split = {split: [row for row in rows if row["split"] == split] for split in builder.SPLITS}
    assert {split: COUNTED[name](inside) for split, inside in by_split.items()} == documented_counts(module)
    splits = defaultdict(set)
    for row in rows:
        splits[KEYS[name](row)].add(row["split"])
    assert all(len(found) == 1 for found in splits.values())
    if name == "entailment":
        check_balance(rows)
    if name == "animals":
        assert len(splits) == len(rows)
    if name in SAMPLES:
        assert module.main(["--output", str(tmp_path), "--packages", PACKAGES, "--sample", "60"]) == 0
        assert read(tmp_path / f"{name}.parquet") == read(FIXTURES / f"{name}.parquet")
