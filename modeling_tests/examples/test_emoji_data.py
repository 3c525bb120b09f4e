# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The emoji pairs in `examples/data/emoji`: what the file holds, how it was split, and that it can be built anew."""

import hashlib
import io
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from PIL import Image

from hf_unimo.errors import BadInputError
from hf_unimo.models.unimo2.tokenization_unimo2 import Unimo2Tokenizer


DATA = Path(__file__).resolve().parents[2] / "examples" / "data"
sys.path.insert(0, str(DATA))

import build_emoji  # noqa: E402
import packages  # noqa: E402


EMOJI = DATA / "emoji"
PARQUET = EMOJI / "emoji.parquet"
TOKENIZER = EMOJI / "tokenizer"
ROWS = {
    ("train", "twemoji"): 1693,
    ("train", "fluent"): 1406,
    ("test", "twemoji"): 188,
    ("test", "fluent"): 186,
    ("test_unseen_style", "noto"): 188,
    ("unseen_style", "noto"): 1436,
}
PACKAGES = os.environ.get("HF_UNIMO_EMOJI_PACKAGES")


def pixels(row):
    image = Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB")
    assert image.size == (64, 64)
    return image.tobytes()


@pytest.fixture(scope="module")
def rows():
    return pq.read_table(PARQUET).to_pylist()


@pytest.fixture(scope="module")
def tokenizer():
    return Unimo2Tokenizer.from_pretrained(TOKENIZER)


def test_datasets_decodes_the_pictures(tmp_path):
    data = load_dataset("parquet", data_files=str(PARQUET), split="train", cache_dir=str(tmp_path))
    assert data.features == build_emoji.FEATURES
    assert len(data) == sum(ROWS.values())
    image = data[0]["image"].convert("RGB")
    assert image.size == (64, 64)
    assert image.getpixel((0, 0)) == (255, 255, 255)


def test_rows_per_split_and_style(rows):
    assert Counter((row["split"], row["style"]) for row in rows) == ROWS


def test_every_picture_is_64x64_rgb_and_not_blank(rows):
    for row in rows:
        image = Image.frombytes("RGB", (64, 64), pixels(row))
        assert any(low < high for low, high in image.getextrema()), row["label"]


def test_no_two_rows_of_a_style_share_a_picture_or_a_concept(rows):
    assert len({(row["style"], row["concept"]) for row in rows}) == len(rows)
    assert len({(row["style"], row["image"]["path"]) for row in rows}) == len(rows)
    assert len({(row["style"], pixels(row)) for row in rows}) == len(rows)


def test_words_are_there(rows):
    for row in rows:
        assert row["label"] == row["label"].strip() != ""
        assert row["tags"]
        assert row["group"] and row["subgroup"] and row["concept"]


def test_no_concept_and_no_family_stands_on_both_sides(rows):
    seen = {row["concept"] for row in rows if row["split"] in ("train", "unseen_style")}
    unseen = {row["concept"] for row in rows if row["split"] in ("test", "test_unseen_style")}
    assert not seen & unseen
    assert not {build_emoji.family_key(key) for key in seen} & {build_emoji.family_key(key) for key in unseen}
    assert not {row["label"] for row in rows if row["concept"] in seen} & {
        row["label"] for row in rows if row["concept"] in unseen
    }


def test_one_style_is_never_trained_on(rows):
    assert {row["style"] for row in rows if row["split"] in ("train", "test")} == {"twemoji", "fluent"}
    assert {row["style"] for row in rows if row["split"].endswith("unseen_style")} == {"noto"}


def test_the_unseen_style_shows_trained_concepts_and_held_out_ones(rows):
    by_split = {split: {row["concept"] for row in rows if row["split"] == split} for split, _ in ROWS}
    assert by_split["unseen_style"] < by_split["train"]
    assert by_split["test_unseen_style"] == by_split["test"]


def test_flags_and_clocks_are_never_held_out(rows):
    held_out = [row for row in rows if row["split"].startswith("test")]
    assert not [row["label"] for row in held_out if row["group"] == "flags" or "o’clock" in row["label"]]
    assert sum(row["group"] == "flags" for row in rows) > 250
    assert sum("o’clock" in row["label"] for row in rows) == 36


def test_sizes_and_sums_are_those_of_the_card(rows):
    assert PARQUET.stat().st_size < 10_000_000
    assert sum(file.stat().st_size for file in EMOJI.rglob("*") if file.is_file()) < 12_000_000
    card = (EMOJI / "README.md").read_text(encoding="utf-8")
    for file in (PARQUET, TOKENIZER / "tokenizer.json"):
        assert hashlib.sha256(file.read_bytes()).hexdigest() in card
    for (split, style), count in ROWS.items():
        assert f"| {split} | {style} | {count:,} |" in card


def test_every_licence_is_named():
    notices = (EMOJI / "LICENSES.md").read_text(encoding="utf-8")
    for words in ("Apache-2.0", "CC-BY-4.0", "Copyright (c) Microsoft", "Miles Johnson", "UNICODE LICENSE V3"):
        assert words in notices


def test_tokenizer_is_small_and_complete(tokenizer):
    assert len(tokenizer) == build_emoji.VOCAB_SIZE <= 8000
    assert tokenizer.convert_tokens_to_ids(build_emoji.SPECIAL_TOKENS) == [0, 1, 2, 3, 4]
    assert sorted(tokenizer.get_vocab().values()) == list(range(len(tokenizer)))


def test_tokenizer_gives_every_text_back(tokenizer, rows):
    texts = [", ".join([row["label"], *row["tags"]]) for row in rows] + ["crêpe — 焼き芋 🍠 \n\t x"]
    encoded = tokenizer(texts)["input_ids"]
    assert tokenizer.batch_decode(encoded, skip_special_tokens=True, clean_up_tokenization_spaces=False) == texts
    assert not any(tokenizer.unk_token_id in ids for ids in encoded)


def test_tokenizer_was_trained_on_the_training_split_alone(tokenizer, rows):
    vocab, merges = build_emoji.train_bpe(build_emoji.training_text(rows))
    saved = json.loads((TOKENIZER / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    assert saved["vocab"] == vocab
    assert [tuple(merge) for merge in saved["merges"]] == merges


def test_training_text_skips_other_splits():
    row = {"label": "cat", "tags": ["pet", "animal"], "split": "train"}
    texts = build_emoji.training_text([row, row | {"label": "dog", "split": "test"}, row | {"style": "other"}])
    assert texts == ["cat", "cat, pet, animal"]


@pytest.mark.parametrize(
    "one, other",
    [
        ("1F468-200D-1F680", "1F9D1-200D-1F680"),  # man astronaut, astronaut
        ("1F6B6-200D-2640-FE0F-200D-27A1-FE0F", "1F6B6"),  # woman walking: facing right, person walking
        ("1F468-200D-1F469-200D-1F467-200D-1F466", "1F46A"),  # family: man, woman, girl, boy; family
        ("1F469-200D-2764-FE0F-200D-1F468", "1F491"),  # couple with heart: woman, man
        ("1F474", "1F9D3"),  # old man, older person
        ("1F478", "1F934"),  # princess, prince
        ("2B55", "2b55-fe0f"),
    ],
)
def test_variants_share_a_family(one, other):
    assert build_emoji.family_key(one) == build_emoji.family_key(other)


def test_different_concepts_are_different_families():
    keys = ["1F680", "1F9D1-200D-1F680", "2640", "2642", "27A1", "1F9D1", "1F9D2", "1F46A", "1F9D1-200D-1F52C"]
    assert len({build_emoji.family_key(key) for key in keys}) == len(keys)


def test_the_split_depends_on_the_concept_alone():
    tiger, lion = ({"hexcode": hexcode, "group": 3} for hexcode in ("1F405", "1F981"))
    splits = [build_emoji.split_of(tiger, style) for style in build_emoji.STYLES]
    assert splits == ["test", "test", "test_unseen_style"]
    assert [build_emoji.split_of(lion, style) for style in build_emoji.STYLES] == ["train", "train", "unseen_style"]
    # Flags and clocks: whatever the share.
    assert build_emoji.is_held_out("1F1EB-1F1F7", share=1.0)
    assert build_emoji.split_of({"hexcode": "1F405", "group": build_emoji.FLAG}, "twemoji") == "train"
    assert not build_emoji.is_guessable({"hexcode": "1F550", "group": 5})
    assert build_emoji.is_guessable({"hexcode": "23F0", "group": 5})


def test_held_out_share_is_met():
    held_out = sum(build_emoji.is_held_out(f"{number:X}") for number in range(0x10000, 0x14000))
    assert held_out / 0x4000 == pytest.approx(build_emoji.HELD_OUT_SHARE, abs=0.01)


def test_a_drawing_becomes_a_square_on_white():
    pytest.importorskip("resvg_py", reason="needs the extra `data`")
    icon = {"body": '<path fill="#f00" d="M0 0h36v18H0z"/>', "height": 18}
    image = build_emoji.render(build_emoji.square_svg({"width": 36, "height": 36}, icon))
    assert (image.mode, image.size) == ("RGB", (64, 64))
    assert [image.getpixel((32, y)) for y in (8, 32, 56)] == [(255, 255, 255), (255, 0, 0), (255, 255, 255)]
    decoded = Image.open(io.BytesIO(build_emoji.encode_png(image))).convert("RGB")
    assert decoded.tobytes() == image.tobytes()


def test_equal_pictures_leave_one_row(monkeypatch):
    monkeypatch.setattr(build_emoji, "render", lambda svg: Image.new("RGB", (64, 64), svg))
    shared = {"group": 5, "group_name": "g", "subgroup_name": "s", "tags": ["t"]}
    concepts = [
        shared | {"hexcode": hexcode, "label": label}
        for hexcode, label in [("1F1", "long name"), ("1F2", "name"), ("1F3", "other"), ("1F4", "not drawn")]
    ]
    made = build_emoji.make_rows(concepts, {"1f1": "red", "1f2": "red", "1f3": "blue"}, "twemoji")
    assert [row["label"] for row in made] == ["name", "other"]


def test_missing_tools_and_packages_are_named(monkeypatch, tmp_path, capsys):
    def failure(*arguments):
        assert build_emoji.main(["--output", str(tmp_path / "out"), *arguments]) == 2
        message = capsys.readouterr().err
        assert message.count("\n") == 1
        return message

    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: None)
    assert "pip install 'hf-unimo[data]'" in failure()
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(packages.shutil, "which", lambda name: None)
    assert "npm was not found" in failure()
    assert "npm pack emojibase-data@17.0.0" in failure("--packages", str(tmp_path))
    (tmp_path / build_emoji.PACKAGES["data"].file).write_bytes(b"not the package")
    assert "SHA-256" in failure("--packages", str(tmp_path))
    assert not (tmp_path / "out").exists()


def test_npm_is_asked_for_exact_versions(monkeypatch, tmp_path):
    asked = []

    def run(command, **options):
        asked.append(command[-1])
        return subprocess.CompletedProcess(command, 0 if len(asked) < 3 else 1, "", "npm error code E404\n")

    monkeypatch.setattr(packages.shutil, "which", lambda name: name)
    monkeypatch.setattr(packages.subprocess, "run", run)
    with pytest.raises(BadInputError, match="E404"):
        packages.fetch(build_emoji.PACKAGES.values(), tmp_path)
    assert asked == ["emojibase-data@17.0.0", "@iconify-json/twemoji@1.2.5", "@iconify-json/fluent-emoji-flat@1.2.6"]


@pytest.mark.slow
@pytest.mark.skipif(PACKAGES is None, reason="HF_UNIMO_EMOJI_PACKAGES does not name a folder with the npm archives")
def test_rebuilding_gives_the_same_data(tmp_path, rows, tokenizer):
    pytest.importorskip("resvg_py", reason="needs the extra `data`")
    assert build_emoji.main(["--output", str(tmp_path), "--packages", PACKAGES]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["emoji.parquet", "tokenizer"]
    built = pq.read_table(tmp_path / "emoji.parquet").to_pylist()
    assert [row | {"image": pixels(row)} for row in built] == [row | {"image": pixels(row)} for row in rows]
    assert Unimo2Tokenizer.from_pretrained(tmp_path / "tokenizer").get_vocab() == tokenizer.get_vocab()
