# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""`check_sources` and `hf-unimo check-data`: leaks, repetitions, broken rows, lengths, and the exit codes."""

import io
import json
from pathlib import Path

import datasets
import numpy as np
import pytest
import yaml
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE, WordLevel
from tokenizers.pre_tokenizers import ByteLevel, Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from hf_unimo import cli
from hf_unimo.data.check import MAX_BROKEN_LISTED, MAX_EXAMPLES, check_sources
from hf_unimo.data.check_report import Distribution
from hf_unimo.data.sources import SourceOptions, open_source
from hf_unimo.errors import BadInputError


TOKENIZER = Path(__file__).parents[2] / "examples" / "data" / "emoji" / "tokenizer"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """Nothing goes into the user's cache."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


def encoded(picture, format="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def picture(seed, width=4, height=4, mode="RGB"):
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    pixels = np.random.RandomState(seed).randint(0, 256, (height, width, *channels), dtype=np.uint8)
    return Image.fromarray(pixels, mode)


def png(seed, **options):
    return encoded(picture(seed, **options))


def source(folder, table, name="mine", kind="pairs", **options):
    """A source of a Parquet file with the given columns and cells."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{len(list(folder.iterdir()))}.parquet"
    datasets.Dataset.from_dict(table).to_parquet(path)
    return open_source(SourceOptions(name=name, kind=kind, path=str(path), **options), max_image_pixels=1000)


def pairs(folder, rows, name="mine", **options):
    images, texts = zip(*rows)
    return source(folder, {"image": list(images), "text": list(texts)}, name, **options)


def texts(folder, rows, name="mine", **options):
    return source(folder, {"text": list(rows)}, name, kind="text", **options)


def words_tokenizer():
    """
    One token a word; those that are not "a" or "b" are unknown; one special token on each side. As in GPT-2's, the one
    at the end is the unknown one, too.
    """
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "[CLS]": 1, "a": 2, "b": 3}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [UNK]", special_tokens=[("[CLS]", 1), ("[UNK]", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", model_max_length=4)


def bytes_tokenizer():
    """One token a byte, none of them unknown."""
    vocabulary = {character: index for index, character in enumerate(sorted(ByteLevel.alphabet()))}
    tokenizer = Tokenizer(BPE(vocabulary, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = ByteLevel(add_prefix_space=False), ByteLevelDecoder()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


# ---------------------------------------------------------------------------------------------------------------------
# Leaks
# ---------------------------------------------------------------------------------------------------------------------


def test_a_picture_in_another_format_is_a_leak(tmp_path):
    grey = picture(0, mode="L")
    train = pairs(tmp_path, [(png(1), "one"), (encoded(grey), "two"), (png(3), "three")], "train")
    evaluation = pairs(tmp_path, [(png(4), "four"), (encoded(grey.convert("RGB"), "BMP"), "five")], "test")
    report = check_sources([train], [evaluation])
    (overlap,) = report.overlaps
    assert overlap.is_leak and report.leaks == [overlap]
    assert (overlap.first, overlap.second) == (("train", "train"), ("evaluation", "test"))
    assert (overlap.images.count, overlap.pairs.count, overlap.texts.count) == (1, 0, 0)
    assert overlap.images.examples == [("row 1", "row 1")]
    assert report.problems == [
        "1 picture and 0 pairs of the evaluation source 'test' are in the training source 'train'"
    ]
    assert "LEAK: 1 picture of test in train\n    row 1 has the pixels of train, row 1\n" in str(report)


def test_the_same_pair_is_a_leak_whatever_case_and_blanks(tmp_path):
    train = pairs(tmp_path, [(png(1), "A  Straße\n"), (png(2), "one")])
    evaluation = pairs(tmp_path, [(png(1), "a STRASSE"), (png(1), "other")])
    (overlap,) = check_sources([train], [evaluation]).overlaps
    assert (overlap.images.count, overlap.pairs.count, overlap.texts.count) == (2, 1, 1)


def test_equal_texts_and_swapped_pairs(tmp_path):
    """Equal captions are told, but are no leak; a picture is one, with another caption of the training data too."""
    train = pairs(tmp_path, [(png(1), "one"), (png(2), "two")])
    captions_only = check_sources([train], [pairs(tmp_path, [(png(3), "one"), (png(4), "One")], "test")])
    assert captions_only.overlaps[0].texts.count == 2
    assert not captions_only.leaks and not captions_only.problems
    assert "2 texts of test in mine" in str(captions_only) and "LEAK" not in str(captions_only)
    swapped = check_sources([train], [pairs(tmp_path, [(png(1), "two")])]).overlaps[0]
    assert (swapped.images.count, swapped.texts.count, swapped.pairs.count) == (1, 1, 0)
    assert swapped.is_leak


def test_pictures_differ_in_shape_and_in_every_pixel(tmp_path):
    """Equal bytes of pixels in another shape, and one changed level of grey, are other pictures."""
    flat = Image.new("RGB", (8, 2))
    nearly = flat.copy()
    nearly.putpixel((7, 1), (0, 0, 1))
    train = source(tmp_path, {"image": [encoded(flat)]}, kind="images")
    evaluation = source(tmp_path, {"image": [encoded(Image.new("RGB", (2, 8))), encoded(nearly)]}, kind="images")
    assert not check_sources([train], [evaluation]).overlaps[0]


def test_no_row_of_a_group_and_no_caption_is_overlooked(tmp_path):
    train = source(
        tmp_path,
        {
            "image": [png(1), png(2), png(3)],
            "text": [["one", "uno", " "], ["two"], ["three", "tres"]],
            "concept": ["x", "x", "y"],
        },
        group_by="concept",
    )
    report = check_sources([train], [pairs(tmp_path, [(png(2), "UNO")], "test")])
    facts = report.sources[0]
    assert (facts.rows, facts.items, facts.read) == (3, 2, 3)
    assert (facts.texts.count, facts.texts.captions, facts.texts.several) == (5, 5, 2)
    assert facts.texts.captions_per_row == Distribution(1, 2, 2, 2)
    assert (report.overlaps[0].images.count, report.overlaps[0].texts.count) == (1, 1)
    assert "3 rows in 2 groups" in str(report)


def test_what_sources_of_one_split_share_is_no_leak(tmp_path):
    first = pairs(tmp_path, [(png(1), "one"), (png(2), "two")], "first")
    second = source(tmp_path, {"image": [png(3), png(1)]}, "second", kind="images")
    third = texts(tmp_path, ["three", "two"], "third")
    report = check_sources([first, second, third], [pairs(tmp_path, [(png(5), "five")], "test")])
    counts = {(o.first[1], o.second[1]): (o.images.count, o.texts.count, o.pairs.count) for o in report.overlaps}
    assert counts == {
        **{(name, "test"): (0, 0, 0) for name in ("first", "second", "third")},
        ("first", "second"): (1, 0, 0),
        ("first", "third"): (0, 1, 0),
        ("second", "third"): (0, 0, 0),
    }
    assert not report.problems
    assert "shared within the training data\n  1 picture of second in first\n  1 text of third in first\n" in str(
        report
    )


# ---------------------------------------------------------------------------------------------------------------------
# What is in a source
# ---------------------------------------------------------------------------------------------------------------------


def test_repeated(tmp_path):
    one = picture(1)
    rows = [
        (encoded(one), "one"),
        (png(2), "two"),
        (encoded(one), "One "),  # the same file and pair
        (encoded(one, "BMP"), "three"),  # the same pixels
    ]
    repeated = check_sources([pairs(tmp_path, rows)]).sources[0].repeated
    assert {sort: matches.count for sort, matches in repeated.items()} == {
        "images": 2,
        "files": 1,
        "texts": 1,
        "pairs": 1,
    }
    assert repeated["images"].examples == [("row 2", "row 0"), ("row 3", "row 0")]
    many = check_sources([texts(tmp_path, ["same"] * 20)])
    assert many.sources[0].repeated["texts"].count == 19
    assert len(many.sources[0].repeated["texts"].examples) == MAX_EXAMPLES


def test_sizes_and_modes(tmp_path):
    images = [png(0, width=3, height=8), png(1, width=5, height=9, mode="L"), png(2, width=7, mode="RGBA")]
    images += [encoded(picture(3).quantize(4)), encoded(Image.new("I;16", (20, 20)))]
    report = check_sources([source(tmp_path, {"image": images}, kind="images")], image_size=5)
    facts = report.sources[0].images
    assert (facts.count, facts.smaller) == (5, 3)
    assert (facts.width, facts.height) == (Distribution(3, 5, 20, 20), Distribution(4, 8, 20, 20))
    assert facts.modes == {"RGB": 1, "L": 1, "RGBA": 1, "P": 1, "I;16": 1}
    assert "5 (1 RGB, 1 grey, 1 RGBA, 1 palette, 1 16-bit grey); 3 (60.0%) smaller than the model's 5" in str(report)
    assert report.sources[0].texts is None


def test_distribution():
    values = list(range(1, 101))
    assert Distribution.of(values) == Distribution(1, 50, 95, 100)
    assert Distribution.of([7, 3]) == Distribution(3, 3, 7, 7)
    assert Distribution.of([]) is None


def test_tokens(tmp_path):
    """Lengths are those before anything is cut off; special tokens are length, but no words."""
    found = check_sources([texts(tmp_path, ["a", "a b", "a c a", ""])], [], words_tokenizer(), max_text_length=4)
    facts = found.sources[0].texts
    assert facts.tokens == Distribution(3, 4, 5, 5)
    assert (facts.truncated, facts.token_count, facts.unknown, facts.fragments) == (1, 6, 1, 0)
    assert facts.characters == Distribution(1, 3, 5, 5)
    assert "1 (33.3%) cut off at 4 tokens" in str(found) and "6; 1 (16.7%) unknown" in str(found)


def test_bytes_of_characters_are_told_from_characters(tmp_path):
    facts = check_sources([texts(tmp_path, ["aé", "b"])], [], bytes_tokenizer()).sources[0].texts
    assert (facts.token_count, facts.unknown, facts.fragments) == (4, None, 2)


def test_more_texts_than_are_tokenized_at_once(tmp_path):
    facts = check_sources([texts(tmp_path, ["a b"] * 2345)], [], words_tokenizer()).sources[0].texts
    assert (facts.count, facts.token_count, facts.tokens) == (2345, 4690, Distribution(4, 4, 4, 4))


@pytest.mark.parametrize("captions, count, longest", [("any", 3, 3), ("join", 2, 8), ("shuffle", 2, 8)])
def test_a_text_is_a_caption_or_all_of_them(tmp_path, captions, count, longest):
    table = {"label": ["one", "six"], "tags": [["two", ""], []]}
    options = {"columns": {"text": ["label", "tags"]}, "captions": captions}
    facts = check_sources([source(tmp_path, table, kind="text", **options)]).sources[0].texts
    assert (facts.count, facts.captions, facts.several, facts.characters.max) == (count, 3, 1, longest)


# ---------------------------------------------------------------------------------------------------------------------
# Broken rows
# ---------------------------------------------------------------------------------------------------------------------


def image_folder(folder, broken=()):
    """Pictures `0.png` to `29.png`, those in `broken` cut in half."""
    folder.mkdir()
    for number in range(30):
        data = png(number)
        (folder / f"{number:02}.png").write_bytes(data[: len(data) // 2] if number in broken else data)


def test_broken_rows_are_named_and_the_others_read(tmp_path):
    image_folder(tmp_path / "images", broken=(3, 17))
    opened = open_source(SourceOptions(name="folder", kind="images", path=str(tmp_path / "images")))
    report = check_sources([opened])
    facts = report.sources[0]
    assert (facts.rows, facts.read, facts.images.count, facts.broken) == (30, 30, 28, 2)
    assert [row.place for row in facts.first_broken] == ["row 3 (03.png)", "row 17 (17.png)"]
    assert all("picture" in row.reason for row in facts.first_broken)
    assert report.problems == ["2 rows of source 'folder' cannot be used"]
    assert "row 17 (17.png): the picture" in str(report)


def test_all_kinds_of_broken_rows_are_counted(tmp_path):
    rows = [(png(1), " "), (None, "no picture"), (png(2, width=40, height=30), "too large"), (b"", "x"), (png(3), "y")]
    facts = check_sources([pairs(tmp_path, rows)]).sources[0]
    assert (facts.broken, facts.images.count, facts.texts.count) == (4, 1, 1)
    many = check_sources([texts(tmp_path, [""] * 50)])
    assert many.sources[0].broken == 50 and len(many.sources[0].first_broken) == MAX_BROKEN_LISTED
    assert "and 30 more" in str(many)


# ---------------------------------------------------------------------------------------------------------------------
# Streams and samples
# ---------------------------------------------------------------------------------------------------------------------


def stream(folder, lines, name="stream"):
    path = folder / f"{name}.jsonl"
    path.write_text("".join(line if isinstance(line, str) else json.dumps({"text": line[0]}) + "\n" for line in lines))
    return open_source(SourceOptions(name=name, kind="text", path=str(path), streaming=True))


def test_streams_are_read_from_the_beginning(tmp_path):
    opened = stream(tmp_path, [[f"text {number}"] for number in range(20)])
    first = check_sources([opened], rows=5).sources[0]
    assert (first.rows, first.items, first.read, first.complete, first.texts.count) == (None, None, 5, False, 5)
    assert first.texts.characters == Distribution(6, 6, 6, 6)
    report = check_sources([opened], [texts(tmp_path, ["TEXT 19"])])
    assert (report.sources[0].read, report.sources[0].complete) == (20, True)
    assert report.overlaps[0].texts.examples == [("row 0", "row 19")]
    assert "stream, all 20 rows" in str(report)


def test_a_stream_without_an_end_is_read_in_part(tmp_path, monkeypatch):
    monkeypatch.setattr("hf_unimo.data.check.STREAM_ROWS", 7)
    report = check_sources([stream(tmp_path, [["a"]] * 20)])
    assert (report.sources[0].read, report.sources[0].complete) == (7, False)
    assert "stream, the first 7 rows" in str(report) and "Not all rows were read" in str(report)


def test_a_stream_that_breaks_is_a_broken_row(tmp_path, monkeypatch):
    opened = stream(tmp_path, [["good"]] * 3)
    monkeypatch.setattr(opened, "dataset", opened.dataset.map(fail_at_the_third, with_indices=True))
    report = check_sources([opened, texts(tmp_path, ["whole"], "other")])
    facts = report.sources[0]
    assert (facts.read, facts.broken, facts.complete) == (2, 1, False)
    assert facts.first_broken[0].place == "after row 1" and "cannot be read" in facts.first_broken[0].reason
    assert report.sources[1].read == 1
    assert report.problems == ["1 row of source 'stream' cannot be used"]


def fail_at_the_third(row, index):
    if index == 2:
        raise ValueError("the file ends in the middle")
    return row


def test_a_sample_is_the_seeds(tmp_path):
    opened = texts(tmp_path, ["x" * number for number in range(1, 201)])
    report, again, other = (check_sources([opened], rows=10, seed=seed) for seed in (0, 0, 1))
    facts = report.sources[0]
    assert (facts.rows, facts.read, facts.complete, facts.texts.count) == (200, 10, False, 10)
    assert report == again and facts.texts.characters != other.sources[0].texts.characters
    assert facts.texts.characters.max > 10  # not the first ones
    assert "200 rows, of which a sample of 10" in str(report) and "Not all rows were read" in str(report)
    assert check_sources([opened], rows=200).sources[0].complete


def test_rows_must_be_positive(tmp_path):
    with pytest.raises(BadInputError, match="0 rows are to be read"):
        check_sources([texts(tmp_path, ["a"])], rows=0)


# ---------------------------------------------------------------------------------------------------------------------
# The command
# ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def run_file(tmp_path):
    """Writes the YAML file of a run on pairs `train.parquet`, evaluated on `test.parquet`, of the pictures given."""

    def write(train, test):
        for name, seeds in (("train", train), ("test", test)):
            columns = {
                "image": [png(seed) if seed is not None else b"broken" for seed in seeds],
                "text": [f"picture {name} {seed}" for seed in seeds],
            }
            datasets.Dataset.from_dict(columns).to_parquet(tmp_path / f"{name}.parquet")
        tree = {
            "output": str(tmp_path / "output"),
            "model": {"preset": "tiny", "processor": str(TOKENIZER)},
            "data": {
                "sources": {"mine": {"kind": "pairs", "path": "train.parquet"}},
                "evaluation": {"test": {"kind": "pairs", "path": "test.parquet"}},
            },
            "training": {"steps": 1},
        }
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(tree))
        return str(tmp_path / "run.yaml")

    return write


def test_command_with_fine_data(run_file, tmp_path, capsys):
    config = run_file([1, 2], [3])
    before = set(tmp_path.iterdir())
    arguments = ["data.max_text_length=5", "seed=4", "--rows", "2", "--json", str(tmp_path / "report.json")]
    assert cli.main(["check-data", config, *arguments]) == 0
    assert set(tmp_path.iterdir()) - before == {tmp_path / "report.json"}
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["ok"], report["problems"], report["seed"], report["rows"]) == (True, [], 4, 2)
    assert (report["max_text_length"], report["image_size"]) == (5, 64)
    train, test = report["sources"]
    assert (train["name"], train["split"], train["rows"], train["images"]["smaller"]) == ("mine", "train", 2, 2)
    assert train["texts"]["truncated"] == 2 and train["texts"]["tokens"]["min"] > 5
    assert (test["split"], test["complete"], test["broken"]) == ("evaluation", True, 0)
    assert report["overlaps"][0]["is_leak"] is False
    out = capsys.readouterr().out
    assert "mine (training, pairs): 2 rows" in out and "No broken rows, no leaks." in out


@pytest.mark.parametrize(
    "train, test, problem",
    [
        ([1, 2], [2], "1 picture and 0 pairs of the evaluation source 'test' are in the training source 'mine'"),
        ([1, None], [2], "1 row of source 'mine' cannot be used"),
        ([1], [2, None], "1 row of source 'test' cannot be used"),
    ],
)
def test_command_with_leaks_and_broken_rows(run_file, tmp_path, capsys, train, test, problem):
    """Exit code 1 in one sentence, after the report was printed and written."""
    assert cli.main(["check-data", run_file(train, test), "--json", str(tmp_path / "report.json")]) == 1
    shown = capsys.readouterr()
    assert shown.err.endswith(f"hf-unimo check-data: {problem}.\n")
    assert problem in shown.out
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["ok"], report["problems"]) == (False, [problem])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--rows", "0"], "0 rows are to be read of each source"),
        (["data.sources.mine.path=nothing.parquet"], "'mine' was not found"),
        (["data.surces={}"], "surces"),
        (["--json", "no_such_folder/report.json"], "a folder that exists"),
    ],
)
def test_command_with_bad_input(run_file, tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    config = run_file([1], [2])
    before = set(tmp_path.iterdir())
    assert cli.main(["check-data", config, *arguments]) == 2
    shown = capsys.readouterr()
    assert message in shown.err and not shown.out
    assert set(tmp_path.iterdir()) == before
