# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""`open_source`: files of every format, captions, groups and selections, and one clear sentence for what is wrong."""

import gzip
import io
import json
import pickle
from pathlib import Path

import datasets
import pyarrow as pa
import pytest
from PIL import Image

from hf_unimo.data.images import BadRowError
from hf_unimo.data.schedule import random_state
from hf_unimo.data.sources import MapSource, SourceOptions, open_source
from hf_unimo.data.streams import StreamSource
from hf_unimo.errors import BadInputError


EMOJI = Path(__file__).parents[2] / "examples" / "data" / "emoji" / "emoji.parquet"
CAPTIONS = ["black", "dark grey", "grey"]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """Nothing goes into the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder)
    return folder


def png(level):
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (level,) * 3).save(buffer, "PNG")
    return buffer.getvalue()


def pictures(folder, number=3):
    """number pictures `0.png`, `1.png`, ... of grey level 0, 10, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(number):
        (folder / f"{index}.png").write_bytes(png(10 * index))


def lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))


def texts(tmp_path, rows, **options):
    """A source of texts from JSON lines."""
    lines(tmp_path / "texts.jsonl", rows)
    return opened(tmp_path, "texts.jsonl", kind="text", **options)


def opened(folder, path, kind="pairs", max_image_pixels=10_000, **options):
    options = SourceOptions(name="mine", kind=kind, path=str(path), **options)
    return open_source(options, folder=folder, max_image_pixels=max_image_pixels)


def rows(source):
    """All rows of a source, of a stream those of the first epoch."""
    if isinstance(source, MapSource):
        return [source.read(item, None) for item in range(len(source))]
    reader, found = source.reader(seed=0), {}
    while True:
        row = reader.read(None)
        if reader.state_dict()["epoch"]:
            return [found[place] for place in sorted(found)]
        found[row.place] = row


def level(row):
    assert row.image.mode == "RGB"
    return row.image.getpixel((0, 0))[0]


# ---------------------------------------------------------------------------------------------------------------------
# Formats
# ---------------------------------------------------------------------------------------------------------------------


def table(image):
    """Pairs with pictures as bytes, paths or both."""
    cells = {
        "bytes": [png(10 * index) for index in range(3)],
        "path": [f"pictures/{index}.png" for index in range(3)],
        "both": [{"bytes": png(10 * index), "path": f"{index}.png"} for index in range(3)],
        "unpacked": [{"bytes": None, "path": f"pictures/{index}.png"} for index in range(3)],
    }
    return datasets.Dataset.from_dict({"image": cells[image], "text": CAPTIONS, "id": [5, 6, 7]})


def write_images(folder, metadata):
    pictures(folder / "images")
    if metadata == "csv":
        (folder / "images" / "metadata.csv").write_text(
            "file_name,text\n" + "".join(f"{index}.png,{text}\n" for index, text in enumerate(CAPTIONS))
        )
    else:
        found = [{"file_name": f"{index}.png", "text": [text]} for index, text in enumerate(CAPTIONS)]
        lines(folder / "images" / "metadata.jsonl", found)
    return "images"


def write_json(folder, ending="jsonl"):
    pictures(folder / "pictures")
    found = [{"image": f"pictures/{index}.png", "text": text} for index, text in enumerate(CAPTIONS)]
    found[1]["image"] = str(folder / "pictures" / "1.png")
    if ending == "json":
        (folder / "pairs.json").write_text(json.dumps(found))
    else:
        lines(folder / f"pairs.{ending}", found)
    return f"pairs.{ending}"


def write_csv(folder):
    pictures(folder / "pictures")
    table("path").to_csv(folder / "pairs.csv", index=False)
    return "pairs.csv"


def write_parquet(folder, image):
    pictures(folder / "pictures")
    table(image).to_parquet(folder / "pairs.parquet")
    return "pairs.parquet"


def write_image_feature(folder):
    table("both").cast_column("image", datasets.Image()).to_parquet(folder / "pairs.parquet")
    return "pairs.parquet"


def write_saved(folder, split=None):
    found = table("both").cast_column("image", datasets.Image())
    (datasets.DatasetDict({split: found}) if split else found).save_to_disk(folder / "saved")
    return "saved"


def write_arrow(folder):
    write_saved(folder)
    return "saved/*.arrow"


WRITERS = {
    "imagefolder csv": lambda folder: write_images(folder, "csv"),
    "imagefolder jsonl": lambda folder: write_images(folder, "jsonl"),
    "json lines": write_json,
    "json": lambda folder: write_json(folder, "json"),
    "csv": write_csv,
    **{
        f"parquet {image}": lambda folder, image=image: write_parquet(folder, image)
        for image in ("bytes", "path", "both")
    },
    "parquet unpacked": lambda folder: write_parquet(folder, "unpacked"),
    "parquet feature": write_image_feature,
    "saved": write_saved,
    "saved splits": lambda folder: write_saved(folder, "train"),
    "arrow": write_arrow,
}


@pytest.mark.parametrize("streaming", [False, True], ids=["map", "stream"])
@pytest.mark.parametrize("name", WRITERS)
def test_formats(tmp_path, name, streaming, cache):
    path = WRITERS[name](tmp_path)
    before = sorted(tmp_path.rglob("*"))
    source = opened(tmp_path, path, streaming=streaming)
    assert isinstance(source, StreamSource if streaming else MapSource)
    assert (source.name, source.kind) == ("mine", "pairs")
    found = rows(source)
    assert [(level(row), row.text) for row in found] == list(zip((0, 10, 20), CAPTIONS))
    with_names = name != "parquet bytes"
    assert [row.place for row in found] == [f"row {n} ({n}.png)" if with_names else f"row {n}" for n in range(3)]
    # Of the data nothing is written beside them.
    assert sorted(tmp_path.rglob("*")) == before
    assert any(cache.rglob("*.arrow")) == (not streaming and not name.startswith("saved"))


def test_kinds_read_what_they_need(tmp_path):
    write_json(tmp_path)
    images, captions = (rows(opened(tmp_path, "pairs.jsonl", kind=kind)) for kind in ("images", "text"))
    assert [(level(row), row.text) for row in images] == [(0, None), (10, None), (20, None)]
    assert [(row.image, row.text) for row in captions] == [(None, text) for text in CAPTIONS]
    assert [row.place for row in captions] == ["row 0", "row 1", "row 2"]


def test_folder_of_pictures_without_metadata(tmp_path):
    for label in ("cat", "dog"):
        pictures(tmp_path / "images" / label, 2)
    source = opened(tmp_path, "images", kind="images", where={"label": "dog"})
    assert [row.place for row in rows(source)] == ["row 2 (0.png)", "row 3 (1.png)"]
    with pytest.raises(BadInputError, match=r"'label' of type ClassLabel.*dog.*cannot have the values \['bird'\]"):
        opened(tmp_path, "images", kind="images", where={"label": "bird"})


def test_folder_of_files_and_globs(tmp_path):
    for name in ("train-0", "train-1", "test"):
        lines(tmp_path / "data" / f"{name}.jsonl", [{"text": f"{name} {index}"} for index in range(2)])
    (tmp_path / "data" / "README.md").write_text("no data")
    expected = [f"train-{file} {index}" for file in range(2) for index in range(2)]
    for path, options in (("data", {"format": "json"}), ("data/train-*.jsonl", {}), ("d*/train-?.jsonl", {})):
        assert [row.text for row in rows(opened(tmp_path, path, kind="text", **options))] == expected
    test = opened(tmp_path, "data", kind="text", format="json", split="test")
    assert [row.text for row in rows(test)] == ["test 0", "test 1"]
    with pytest.raises(BadInputError, match=r"no files ending in .*parquet"):
        opened(tmp_path, "data", kind="text", format="parquet")


def test_compressed_and_without_ending(tmp_path):
    (tmp_path / "texts.jsonl.gz").write_bytes(gzip.compress(b'{"text": "a"}\n'))
    (tmp_path / "texts").write_text('{"text": "b"}\n')
    assert rows(opened(tmp_path, "texts.jsonl.gz", kind="text"))[0].text == "a"
    assert rows(opened(tmp_path, "texts", kind="text", format="json"))[0].text == "b"
    with pytest.raises(BadInputError, match=r"end in nothing; set `format`.*parquet"):
        opened(tmp_path, "texts", kind="text")
    with pytest.raises(BadInputError, match=r"end in \.gz, nothing"):
        opened(tmp_path, "texts*", kind="text")


def test_paths_in_other_folders(tmp_path, monkeypatch):
    """Relative to the folder that all files have in common, absolute, home and the working directory."""
    pictures(tmp_path / "pictures")
    for index in range(2):
        lines(tmp_path / f"part{index}" / "pairs.jsonl", [{"image": f"pictures/{index}.png", "text": "a"}])
    assert [level(row) for row in rows(opened(tmp_path, "part*/pairs.jsonl"))] == [0, 10]
    lines(tmp_path / "part0" / "up.jsonl", [{"image": "../pictures/2.png", "text": "a"}])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for folder, path in ((".", "part0/up.jsonl"), ("part1", "../part0/up.jsonl"), ("part1", "~/part0/up.jsonl")):
        assert level(rows(opened(folder, path))[0]) == 20
    assert level(rows(opened("elsewhere", tmp_path / "part0" / "up.jsonl"))[0]) == 20


def test_words_that_pandas_takes_for_nothing(tmp_path):
    (tmp_path / "texts.csv").write_text('text\nNA\nNone\n""\nnull\n')
    source = opened(tmp_path, "texts.csv", kind="text")
    assert [source.read(item, None).text for item in (0, 1, 3)] == ["NA", "None", "null"]
    with pytest.raises(BadRowError, match="empty"):
        source.read(2, None)
    reader = opened(tmp_path, "texts.csv", kind="text", streaming=True, shuffle_buffer=1).reader(seed=0)
    assert [reader.read(None).text for _ in range(2)] == ["NA", "None"]
    with pytest.raises(BadRowError, match="empty"):
        reader.read(None)
    assert reader.read(None).text == "null"


def test_slices_of_splits(tmp_path):
    lines(tmp_path / "texts.jsonl", [{"text": text} for text in "abcd"])
    assert [row.text for row in rows(opened(tmp_path, "texts.jsonl", kind="text", split="train[1:3]"))] == ["b", "c"]


def test_files_that_change_are_read_anew(tmp_path):
    assert len(texts(tmp_path, [{"text": "a"}])) == 1
    assert len(texts(tmp_path, [{"text": "a"}, {"text": "b"}])) == 2


def test_memory_mapped_and_cheap_to_copy(tmp_path):
    before = pa.total_allocated_bytes()
    source = opened(
        EMOJI.parent, EMOJI.name, columns={"text": "label"}, where={"style": "twemoji"}, group_by="concept"
    )
    assert pa.total_allocated_bytes() - before < 100_000  # of 7 MB
    copy = pickle.dumps(source)
    assert len(copy) < 50_000
    row, other = source.read(7, None), pickle.loads(copy).read(7, None)
    assert (row.text, row.place, row.image.tobytes()) == (other.text, other.place, other.image.tobytes())


# ---------------------------------------------------------------------------------------------------------------------
# Captions, selections, groups
# ---------------------------------------------------------------------------------------------------------------------

SEVERAL = ["a", "b", "c", "d"]
CELLS = {
    "strings": {"text": SEVERAL},
    "raw": {"text": [{"raw": text, "imgid": 0} for text in SEVERAL]},
    "caption": {"text": [{"caption": text} for text in SEVERAL]},
    "columns": {"first": "a", "text": ["b", " c\n"], "last": "d"},
    "with gaps": {"first": None, "text": ["a", None, "", "b"], "last": [" ", "c", "d"]},
}


@pytest.mark.parametrize("name", CELLS)
def test_several_captions(tmp_path, name):
    cells = CELLS[name]
    columns = {"text": ["first", "text", "last"] if len(cells) > 1 else "text"}
    found = [cells, dict.fromkeys(cells, "more")]  # a column without any value would have no type
    any_, join, shuffle = (
        texts(tmp_path, found, columns=columns, captions=kind) for kind in ("any", "join", "shuffle")
    )
    assert any_.read(0, None).text == "a"
    assert join.read(0, None).text == shuffle.read(0, None).text == "a, b, c, d"
    rng = random_state(0)
    drawn = [any_.read(0, rng).text for _ in range(400)]
    assert all(abs(drawn.count(text) - 100) < 4 * (400 * 3 / 16) ** 0.5 for text in SEVERAL)
    assert join.read(0, rng).text == "a, b, c, d"
    drawn = [shuffle.read(0, rng).text.split(", ") for _ in range(400)]
    lengths = [len(parts) for parts in drawn]
    assert all(abs(lengths.count(length) - 100) < 4 * (400 * 3 / 16) ** 0.5 for length in (1, 2, 3, 4))
    assert all(len(set(parts)) == len(parts) and set(parts) <= set(SEVERAL) for parts in drawn)
    assert len({tuple(parts) for parts in drawn if len(parts) == 4}) > 12


def test_one_caption_in_every_format_of_captions(tmp_path):
    for captions in ("any", "join", "shuffle"):
        assert texts(tmp_path, [{"text": "a"}], captions=captions).read(0, random_state(0)).text == "a"


def test_the_emoji_of_the_demo():
    """2,000 reads: pictures of both styles, label and tags, the held-out style never."""
    source = opened(
        EMOJI.parent,
        EMOJI.name,
        columns={"image": "image", "text": ["label", "tags"]},
        captions="shuffle",
        where={"style": ["twemoji", "fluent"]},
        group_by="concept",
    )
    assert len(source) == 1881
    first, again = ([source.read(item, random_state(3, item)) for item in range(0, 1881, 20)] for _ in range(2))
    assert [(row.text, row.place) for row in first] == [(row.text, row.place) for row in again]
    assert all(row.image.size == (64, 64) and row.image.mode == "RGB" for row in first)
    styles = [row.place.split("(")[1].split("-")[0] for row in first]
    assert set(styles) == {"twemoji", "fluent"} and 20 < styles.count("fluent") < 60
    row = source.read(0, None)
    assert row.text.startswith("grinning face, cheerful, cheery") and row.place == "row 0 (twemoji-1f600.png)"


@pytest.mark.parametrize("streaming", [False, True], ids=["map", "stream"])
def test_where(tmp_path, streaming):
    found = [{"text": str(n), "style": "abc"[n % 3], "year": 2000 + n, "good": n > 3} for n in range(9)]

    def selected(where):
        return [row.text for row in rows(texts(tmp_path, found, where=where, streaming=streaming))]

    assert selected({"style": "a"}) == selected({"style": ["a"]}) == ["0", "3", "6"]
    assert selected({"style": ["a", "c"], "year": [2002, 2003, 2004]}) == ["2", "3"]
    assert selected({"year": ["2005"], "good": True}) == ["5"]
    with pytest.raises(BadInputError, match=r"has no rows with 'style' in \['z'\]"):
        selected({"style": "z"})
    with pytest.raises(BadInputError, match=r"'year' of type int64, which cannot have .*'new'"):
        selected({"year": "new"})
    with pytest.raises(BadInputError, match=r"no column 'styl'; the nearest is 'style'.*text, style, year, good"):
        selected({"styl": "a"})


def test_rows_keep_their_numbers(tmp_path):
    found = [{"text": str(n), "style": "ab"[n % 2]} for n in range(6)]
    assert [row.place for row in rows(texts(tmp_path, found, where={"style": "b"}))] == ["row 1", "row 3", "row 5"]


def test_group_by(tmp_path):
    groups = ["b", "a", "b", None, "c", "a", "b", None]
    found = [{"text": str(n), "group": group, "use": n != 6} for n, group in enumerate(groups)]
    source = texts(tmp_path, found, group_by="group", where={"use": True})
    rng = random_state(0)
    drawn = [{source.read(item, rng).text for _ in range(50)} for item in range(len(source))]
    assert drawn == [{"0", "2"}, {"1", "5"}, {"4"}, {"3"}, {"7"}]
    assert [source.read(item, None).text for item in range(5)] == ["0", "1", "4", "3", "7"]
    numbers = texts(tmp_path, [{"text": str(n), "group": n % 2} for n in range(4)], group_by="group")
    assert [row.text for row in rows(numbers)] == ["0", "1"]
    for item in (-1, 2):
        with pytest.raises(IndexError):
            numbers.read(item, None)


def test_reading_is_a_function_of_rng(tmp_path):
    found = [{"text": [f"{n} {part}" for part in "abc"], "group": n // 4} for n in range(40)]
    source = texts(tmp_path, found, group_by="group")
    one, other, third = ([source.read(n, random_state(seed, n)) for n in range(10)] for seed in (0, 0, 1))
    assert one == other != third


# ---------------------------------------------------------------------------------------------------------------------
# Bad rows
# ---------------------------------------------------------------------------------------------------------------------


def test_bad_rows(tmp_path):
    pictures(tmp_path)
    (tmp_path / "torn.png").write_bytes(png(0)[:45])
    Image.new("L", (101, 100)).save(tmp_path / "huge.png")
    found = [
        {"image": "0.png", "text": "fine"},
        {"image": "torn.png", "text": "a"},
        {"image": "huge.png", "text": "a"},
        {"image": "absent.png", "text": "a"},
        {"image": None, "text": "a"},
        {"image": "0.png", "text": None},
        {"image": "0.png", "text": " \n"},
        {"image": "0.png", "text": []},
        {"image": "0.png", "text": 7},
        {"image": "1.png", "text": ["fine", "too"]},
    ]
    reasons = {
        "row 1 (torn.png)": "cannot be read",
        "row 2 (huge.png)": "101 x 100 pixels",
        "row 3 (absent.png)": "FileNotFoundError",
        "row 4": "no picture",
        "row 5": "empty",
        "row 6": "empty",
        "row 7": "empty",
        "row 8": "'7' of type int",
    }
    lines(tmp_path / "pairs.jsonl", found)
    source, bad = opened(tmp_path, "pairs.jsonl"), {}
    for item in range(len(source)):
        try:
            assert source.read(item, None).text == "fine"
        except BadRowError as error:
            bad[error.place] = str(error)
    assert bad.keys() == reasons.keys()
    assert all(reasons[place] in bad[place] for place in reasons), bad

    reader = opened(tmp_path, "pairs.jsonl", streaming=True, shuffle_buffer=4).reader(seed=0)
    good, streamed = [], {}
    for _ in range(10):
        try:
            good.append(reader.read(None).place)
        except BadRowError as error:
            streamed[error.place] = str(error)
    assert sorted(good) == ["row 0 (0.png)", "row 9 (1.png)"] and streamed == bad


# ---------------------------------------------------------------------------------------------------------------------
# Bad input
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": ""}, "no name"),
        ({"kind": "pair"}, "'pair' was given, the nearest known is 'pairs'"),
        ({"path": ""}, "`path`: ''"),
        ({"format": "parket"}, "`format`: 'parket' was given, the nearest known is 'parquet'.*imagefolder"),
        ({"captions": "all"}, "`captions`: 'all' was given, the nearest known is 'any'"),
        ({"split": None}, "`split`: None"),
        ({"columns": {"txt": "a"}}, "`columns`: 'txt' was given, the nearest known is 'text'"),
        ({"columns": {"text": []}}, "a column's name"),
        ({"columns": {"text": None}}, "a column's name"),
        ({"columns": {"image": ["a"]}}, "one column's name"),
        ({"columns": "text"}, "a mapping"),
        ({"where": ["style"]}, "a mapping"),
        ({"where": {"style": []}}, "at least one value"),
        ({"group_by": 5}, "a column's name"),
        ({"group_by": "a", "streaming": True}, "`group_by` and `streaming`"),
        ({"streaming": "yes"}, "true and false"),
        ({"shuffle_buffer": 0}, "integers from 1 on"),
        ({"batch_size": True}, "integers from 1 on"),
        ({"weight": -1}, "weight -1"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(BadInputError, match=message):
        SourceOptions(**{"name": "mine", "kind": "pairs", "path": "a.jsonl", **options})


def test_options():
    options = SourceOptions(
        "mine", "pairs", "a", where={"style": "x", "year": (1, 2)}, columns={"text": ["a", "b", "a"]}
    )
    assert options.where == {"style": ["x"], "year": [1, 2]}
    assert (options.image_column, options.text_columns) == ("image", ("a", "b", "a"))
    assert options.read_columns == ["image", "a", "b"]
    # What the kind does not read may stay, so that the kind alone can be overridden.
    assert SourceOptions("mine", "images", "a", columns={"image": "i", "text": None}).read_columns == ["i"]
    assert SourceOptions("mine", "text", "a", columns={"image": None}).read_columns == ["text"]


def bad_input(tmp_path, message, path, streaming, **options):
    with pytest.raises(BadInputError, match=message) as caught:
        source = opened(tmp_path, path, streaming=streaming, **options)
        if streaming:  # what stands further down a stream shows when it is reached
            rows(source)
    assert str(caught.value).startswith("Source 'mine'") and "\n" not in str(caught.value)


both = pytest.mark.parametrize("streaming", [False, True], ids=["map", "stream"])


@both
def test_not_found(tmp_path, streaming):
    (tmp_path / "empty").mkdir()
    bad_input(tmp_path, "not found: '/.*a.jsonl' is no file, folder or glob", "a.jsonl", streaming)
    bad_input(tmp_path, "not found", "deep/down/here", streaming)
    bad_input(tmp_path, "not found", "*.parquet", streaming)
    bad_input(tmp_path, "nobody/nothing.*cannot be read: .*Hub.*nor is there such a file", "nobody/nothing", streaming)
    bad_input(tmp_path, "cannot be read: .*Hub", "nobody/nothing", streaming, format="hub")
    bad_input(tmp_path, "has no rows", "empty", streaming)


@both
def test_empty(tmp_path, streaming):
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "header.csv").write_text("image,text\n")
    table("bytes").select([]).to_parquet(tmp_path / "empty.parquet")
    for path in ("empty.jsonl", "empty.csv", "header.csv", "empty.parquet"):
        bad_input(tmp_path, r"has no rows\.", path, streaming)


@both
def test_columns_that_are_missing(tmp_path, streaming):
    write_json(tmp_path)
    missing = "kind 'pairs' and has no captions: there is no column 'txt'; the nearest is 'text' .found: image, text"
    bad_input(tmp_path, missing, "pairs.jsonl", streaming, columns={"text": "txt"})
    missing = "no column 'imag'; the nearest is 'image' .found: image, text"
    bad_input(tmp_path, missing, "pairs.jsonl", streaming, columns={"image": "imag"})
    (tmp_path / "pairs.csv").write_text("image,label\n0.png,zero\n")
    bad_input(tmp_path, "no captions: .*found: image, label", "pairs.csv", streaming)
    bad_input(tmp_path, "no captions: .*found: image", "pictures", streaming)
    if not streaming:
        bad_input(tmp_path, "no column 'id'", "pairs.jsonl", streaming, group_by="id")


@both
def test_columns_of_the_wrong_type(tmp_path, streaming):
    table("both").to_parquet(tmp_path / "pairs.parquet")
    (tmp_path / "pairs.csv").write_text("image,text\n0.png,5\n1.png,6\n")
    for path in ("pairs.parquet", "pairs.csv"):
        column = "id" if path == "pairs.parquet" else "text"
        message = f"column {column!r} of type int64; captions are strings"
        bad_input(tmp_path, message, path, streaming, columns={"text": column})
        bad_input(tmp_path, "int64; pictures are", path, streaming, columns={"image": column})
    table("path").select_columns(["text"]).map(lambda row: {"image": [row["text"]]}).to_parquet(
        tmp_path / "lists.parquet"
    )
    bad_input(tmp_path, "'image' of type List.*pictures are", "lists.parquet", streaming)


def test_lists_cannot_be_selected_or_grouped_by(tmp_path):
    found = [{"text": "a", "tags": ["b"]}]
    with pytest.raises(BadInputError, match="select or group by column 'tags' of type List"):
        texts(tmp_path, found, where={"tags": "b"})
    with pytest.raises(BadInputError, match="group by column 'tags' of type List"):
        texts(tmp_path, found, group_by="tags")


@both
def test_splits_that_are_missing(tmp_path, streaming):
    write_json(tmp_path)
    write_saved(tmp_path, "test")
    bad_input(tmp_path, r"val.*\['train'\]", "pairs.jsonl", streaming, split="val")
    bad_input(tmp_path, r"no split 'train' .found: test", "saved", streaming)


@both
def test_broken_files(tmp_path, streaming):
    write_json(tmp_path)
    with open(tmp_path / "pairs.jsonl", "a") as file:
        file.write('{"image": "pictures/0.png", "text":\n')
    bad_input(tmp_path, "pairs.jsonl.*cannot be read: line 4 of 'pairs.jsonl' is not JSON", "pairs.jsonl", streaming)
    (tmp_path / "broken.parquet").write_bytes(b"no parquet")
    bad_input(tmp_path, "broken.parquet.*cannot be read: Parquet", "broken.parquet", streaming)
    (tmp_path / "broken.csv").write_text("image,text\na,b\na,b,c\n")
    bad_input(tmp_path, "broken.csv.*cannot be read: .*line 3", "broken.csv", streaming)
    pictures(tmp_path / "images")
    (tmp_path / "images" / "metadata.csv").write_text("name,text\n0.png,a\n")
    bad_input(tmp_path, "images.*cannot be read: .*file_name", "images", streaming)


def test_errors_keep_their_cause(tmp_path):
    (tmp_path / "broken.parquet").write_bytes(b"no parquet")
    with pytest.raises(BadInputError) as caught:
        opened(tmp_path, "broken.parquet")
    assert isinstance(caught.value.__cause__, pa.ArrowInvalid)
