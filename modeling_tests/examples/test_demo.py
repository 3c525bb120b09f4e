# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The demo: its figures on matrices done by hand, its data, what it refuses, and the whole script for 20 steps."""

import io
import json
import math
import os
import random
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModel, AutoProcessor

from hf_unimo import Unimo2Model, Unimo2Processor
from hf_unimo.data.schedule import row_generators
from hf_unimo.errors import CheckFailedError


ROOT = Path(__file__).resolve().parents[2]
EMOJI = ROOT / "examples" / "data" / "emoji"
sys.path.insert(0, str(ROOT / "examples"))  # where a script finds its neighbours

import demo  # noqa: E402
import demo_evaluation  # noqa: E402


@pytest.fixture(scope="module")
def rows():
    return demo.read_pairs(EMOJI)


@pytest.fixture(scope="module")
def processor():
    return demo.make_processor(EMOJI)


# Figures


def test_recalls_of_both_directions():
    similarities = torch.tensor([[0.9, 0.1, 0.2], [0.8, 0.5, 0.6], [0.3, 0.2, 0.25]])
    found = demo_evaluation.recalls(similarities)  # ranks 1, 3, 2 of the texts and 1, 1, 2 of the images
    assert found["image to text"]["R@1"] == pytest.approx(1 / 3)
    assert found["text to image"]["R@1"] == pytest.approx(2 / 3)
    assert found["image to text"]["R@5"] == found["text to image"]["R@10"] == 1


def test_chance():
    assert demo_evaluation.chance_recalls(200) == {"R@1": 0.005, "R@5": 0.025, "R@10": 0.05}
    assert demo_evaluation.chance_recalls(4) == {"R@1": 0.25, "R@5": 1.0, "R@10": 1.0}
    # Features that know nothing get what chance says.
    generator = torch.Generator().manual_seed(0)
    found = [demo_evaluation.recalls(torch.rand(200, 200, generator=generator)) for _ in range(50)]
    assert sum(recalls["text to image"]["R@10"] for recalls in found) / 50 == pytest.approx(0.05, abs=0.01)


def test_times_chance_is_the_mean_of_galleries_and_directions():
    def result(one, other, chance):
        return {"image to text": {"R@10": one}, "text to image": {"R@10": other}, "chance": {"R@10": chance}}

    results = {"a": result(0.4, 0.5, 0.05), "b": result(0.3, 0.4, 0.05), "c": result(1, 1, 1)}
    assert demo_evaluation.times_chance(results, ("a", "b")) == pytest.approx(8)
    assert demo_evaluation.times_chance(results, ("a",)) == pytest.approx(9)


def test_classes_are_the_most_similar_ones():
    images = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, -1.0]])
    assert demo_evaluation.classify(images, torch.tensor([[0.0, 1.0], [1.0, 0.0]])).tolist() == [1, 0, 1]


def test_checks():
    pairs = round(0.8 * demo.STEPS * demo.BATCH_SIZE)
    full = {"steps": demo.STEPS, "pairs": pairs, "times chance": 5.0, "reload difference": 0.0}
    demo.check(full)
    demo.check(full | {"times chance": 1.0, "steps": 20})
    demo.check(full | {"times chance": 1.0, "pairs": 2560})
    for wrong in ({"times chance": 4.9}, {"times chance": math.nan}, {"reload difference": 1e-3}):
        with pytest.raises(CheckFailedError):
            demo.check(full | wrong)


# Data


def test_what_is_trained_on(rows):
    """No gallery comes with its words; pictures of one of them are seen without."""
    trained = {id(row) for row in demo.select(rows, "train")}
    for split, style in demo_evaluation.GALLERIES.values():
        gallery = demo.select(rows, split, style)
        assert gallery and not trained & {id(row) for row in gallery}
        assert len({row["concept"] for row in gallery}) == len(gallery)
    pairs, images, words = demo.open_sources(EMOJI, rows)
    assert [source.kind for source in (pairs, images, words)] == ["pairs", "images", "text"]
    assert (len(pairs), len(images), len(words)) == (1693, 1436, 3099)
    held_out = {row["label"] for row in rows if row["split"] in ("test", "test_unseen_style")}
    assert not held_out & {words.read(item, None).text.split(", ")[0] for item in range(0, len(words), 7)}
    seen = [row["image"]["bytes"] for row in demo.select(rows, "unseen_style", "noto")]
    assert [np.array(images.read(item, None).image).tobytes() for item in (0, 1435)] == [
        np.array(Image.open(io.BytesIO(seen[item])).convert("RGB")).tobytes() for item in (0, 1435)
    ]


def random_state(seed):
    return np.random.RandomState(seed)


def test_an_item_is_a_concept_and_depends_on_the_draw_alone(rows):
    data = demo.Concepts("emoji", demo.select(rows, "train"))
    assert len(data) == 1693
    item, again, other = (data.read(7, random_state(seed)) for seed in (0, 0, 1))
    assert item.change == again.change != other.change and item.words == again.words
    drawings, mirrored = set(), set()
    for seed in range(20):
        item = data.read(0, random_state(seed))
        parts = "".join(item.words).removeprefix(" ").split(", ")
        row = data.rows_of[data.concepts[0]][0]
        assert set(parts) <= {row["label"], *row["tags"]} and 3 <= len(parts) == len(set(parts)) <= 6
        drawings.add(item.pixels.tobytes())
        mirrored.add(item.change["mirror"])
    assert len(drawings) == len(data.rows_of[data.concepts[0]]) == 2
    assert mirrored == {-1.0, 1.0}


def test_what_names_a_side_is_not_mirrored(rows):
    data = demo.Concepts(
        "arrows", [row for row in rows if row["label"] in ("left arrow", "backhand index pointing right")]
    )
    assert len(data) == 2
    for seed in range(20):
        assert {data.read(item, random_state(seed)).change["mirror"] for item in (0, 1)} == {1.0}


def test_a_word_is_the_same_token_wherever_it_stands(processor):
    first, second = processor.tokenizer([demo.caption(["cat", "dog"]), demo.caption(["dog", "cat"])])["input_ids"]
    assert sorted(first) == sorted(second)


def test_words_are_cut_now_and_then(processor):
    text = demo.caption(["red heart", "a b", "x-ray"])
    cuts = [demo.cut_words(text, random.Random(seed)) for seed in range(200)]
    assert all("".join(words) == text and all(piece.strip() for piece in words) for words in cuts)
    assert 0.4 < sum(" heart" in words for words in cuts) / len(cuts) < 0.6
    assert all(" a" in words and "," in words for words in cuts)  # too short to be cut
    assert cuts[0] == demo.cut_words(text, random.Random(0))
    whole = [" red", " heart", ",", " a", " b", ",", " x-ray"]
    assert processor.tokenizer(whole, is_split_into_words=True)["input_ids"] == processor.tokenizer(text)["input_ids"]


def test_undistorted_pictures_are_those_of_the_processor(rows, processor):
    batch = rows[:4]
    pixels = torch.from_numpy(np.stack([row["pixels"] for row in batch]))
    ones = torch.ones(4)
    ours = demo.distort(pixels, ones, ones, 0 * ones, torch.zeros(4, 2), torch.ones(4, 3))
    theirs = processor(images=[Image.fromarray(row["pixels"]) for row in batch], return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


def test_distortions_go_the_way_they_say():
    pixels = torch.full((1, 64, 64, 3), 255, dtype=torch.uint8)
    pixels[0, 24:40, 24:40] = torch.tensor([255, 0, 0], dtype=torch.uint8)  # a red square

    def ink(mirror=1.0, scale=1.0, angle=0.0, shift=(0.0, 0.0), gain=(1.0, 1.0, 1.0)):
        values = demo.distort(pixels, *(torch.tensor([value]) for value in (mirror, scale, angle, shift, gain)))
        assert values.shape == (1, 3, 64, 64) and values.min() >= -1 and values.max() <= 1
        return (1 - values[0]) / 2

    pixels[0, 24:40, 40:48] = torch.tensor([255, 255, 0], dtype=torch.uint8)  # and a yellow bar to its right
    assert (ink()[2].sum(0) > 1).nonzero().flatten().tolist() == list(range(24, 48))
    torch.testing.assert_close(ink(mirror=-1.0), ink().flip(-1))
    pixels[0, 24:40, 40:48] = 255
    assert ink(scale=0.5)[1].sum() == pytest.approx(64, rel=0.05)
    assert ink(angle=0.1)[1].sum() == pytest.approx(256, rel=0.02)
    assert ink(gain=(1.0, 0.5, 1.0)).sum((1, 2)).tolist() == pytest.approx([0, 128, 256])
    columns = (ink(shift=(0.25, 0.0))[1].sum(0) > 1).nonzero().flatten()
    assert (columns.min(), columns.max()) == (
        8,
        23,
    )  # a quarter of the side: the window to the right, the picture left


def test_collator(rows, processor):
    sources = demo.open_sources(EMOJI, rows)
    collator = demo.Collator(processor.tokenizer, processor.image_processor)

    def batch(source):
        items = [source.read(item, random_state(item)) for item in range(8)]
        return collator(source.kind, items, partial(row_generators, range(8), 0))

    pairs, images, words = map(batch, sources)
    assert set(pairs) == {"pixel_values", "input_ids", "attention_mask"}
    assert pairs["pixel_values"].shape == (8, 3, 64, 64) and pairs["pixel_values"].dtype == torch.float32
    assert pairs["input_ids"].shape == pairs["attention_mask"].shape
    assert set(images) == {"pixel_values", "second_pixel_values"}
    assert (words["labels"] != -100).any(1).all()


# What is refused


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--data", "nowhere"], "emoji.parquet was not found"),
        (["--steps", "1"], "--steps is 1"),
        (["--batch-size", "1"], "--batch-size is 1"),
        (["--batch-size", "5000"], "1693 concepts"),
        (["--threads", "0"], "--threads is 0"),
        (["--seed", "-1"], "--seed is -1"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert demo.main(["--output", "out", *arguments]) == 2
    message = capsys.readouterr().err
    assert message.startswith("demo: ") and message.count("\n") == 1 and words in message
    assert not list(tmp_path.iterdir())


def test_unusable_files_are_named(tmp_path, capsys):
    def failure(output=tmp_path / "out"):
        assert demo.main(["--output", str(output), "--data", str(tmp_path)]) == 2
        message = capsys.readouterr().err
        assert message.startswith("demo: ") and message.count("\n") == 1
        return message

    (tmp_path / "emoji.parquet").write_bytes(b"not a table")
    assert "cannot be read" in failure()
    (tmp_path / "emoji.parquet").unlink()
    (tmp_path / "emoji.parquet").symlink_to(EMOJI / "emoji.parquet")
    assert "tokenizer.json was not found" in failure()
    (tmp_path / "tokenizer").symlink_to(EMOJI / "tokenizer")
    (tmp_path / "file").touch()
    assert "is not a folder" in failure(tmp_path / "file")
    assert not (tmp_path / "out").exists()


def test_stopping_writes_nothing(tmp_path, monkeypatch, capsys):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "train", stop)
    assert demo.main(["--output", str(tmp_path)]) == 130
    assert "stopped" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# The whole script


@pytest.fixture(scope="module")
def demo_run(tmp_path_factory):
    """20 steps in a folder that holds an earlier report and a stranger's file."""
    output = tmp_path_factory.mktemp("demo") / "runs" / "demo"
    (output / "model").mkdir(parents=True)
    for name in ("report.md", "mine.txt", "model/mine.txt"):
        (output / name).write_text("old")
    command = [sys.executable, "examples/demo.py", "--steps", "20", "--batch-size", "32", "--threads", "1"]
    done = subprocess.run(
        [*command, "--seed", "3", "--output", str(output)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return output, done


@pytest.mark.slow
def test_it_writes_its_files_and_leaves_others_alone(demo_run):
    output, _ = demo_run
    ours = {"report.md", "retrieval.png", "metrics.json", "model"}
    assert {path.name for path in output.iterdir()} == ours | {"mine.txt"}
    assert (output / "mine.txt").read_text() == (output / "model" / "mine.txt").read_text() == "old"
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        assert (output / "model" / name).is_file()
    with Image.open(output / "retrieval.png") as image:
        assert image.width > 1000


@pytest.mark.slow
def test_its_report_has_the_figures_the_protocol_and_the_command(demo_run):
    output, done = demo_run
    report = (output / "report.md").read_text(encoding="utf-8")
    metrics = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["run"]["batches"] == {"emoji": 16, "noto": 2, "words": 2} and metrics["run"]["pairs"] == 512
    assert f"python examples/demo.py --steps 20 --batch-size 32 --threads 1 --seed 3 --output {output}" in report
    assert "times chance** after 512 pairs" in report and "20 steps of 32 rows" in report and "seed 3" in report
    assert "](retrieval.png)" in report
    assert "SHA-256 d1376a1f8f23598c55008df8e60622b0789f63925fb1e0923b5065a2f709a0c4" in report
    for name, result in metrics["results"].items():
        for direction in demo_evaluation.DIRECTIONS:
            found, chance = 100 * result[direction]["R@10"], 100 * result["chance"]["R@10"]
            start = f"| {name} | {result['pictures']} | {direction} |"
            line = next(line for line in report.splitlines() if line.startswith(start))
            assert f"{found:.1f} ({chance:.1f}) | {found / chance:.1f} |" in line and line in done.stdout
    assert "step  20/20  loss" in done.stdout


@pytest.mark.slow
def test_its_model_loads_and_works(demo_run, rows):
    output, _ = demo_run
    model, info = AutoModel.from_pretrained(output / "model", output_loading_info=True)
    assert type(model) is Unimo2Model and not info["missing_keys"] and not info["unexpected_keys"]
    loaded = AutoProcessor.from_pretrained(output / "model")
    assert type(loaded) is Unimo2Processor
    encoder = demo_evaluation.Encoder(model, loaded)
    assert encoder.images(rows[:3]).shape == encoder.texts(["cat", "dog", "a red heart"]).shape == (3, 128)
    metrics = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
    name = demo_evaluation.CHECKED[0]
    gallery = demo.select(rows, *demo_evaluation.GALLERIES[name])
    result = demo_evaluation.evaluate(encoder, gallery, encoder.groups(demo.select(rows, "train")))
    expected = metrics["results"][name]["image to text"]["R@10"]
    assert result["image to text"]["R@10"] == pytest.approx(expected, abs=0.011)  # two ranks may change places
