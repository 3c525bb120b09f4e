# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Tar shards: samples and columns, bad samples, hostile and broken archives, URLs, resumption through the Trainer."""

import gzip
import io
import json
import re
import tarfile
import threading
import tracemalloc
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from hf_unimo.data import shards
from hf_unimo.data.batches import train_loader
from hf_unimo.data.check import check_sources
from hf_unimo.data.images import BadRowError
from hf_unimo.data.schedule import Schedule, Source
from hf_unimo.data.shards import ShardError, expand_braces, read_samples, shard_columns
from hf_unimo.data.sources import MapSource, SourceOptions, open_source
from hf_unimo.errors import BadInputError
from hf_unimo.training.run_config import RunConfig
from modeling_tests.data.test_sources import cache, png  # noqa: F401
from modeling_tests.training import runs
from modeling_tests.training.test_trainer import At, stop


def member(name, content=b"", kind=tarfile.REGTYPE, **changes):
    """A header and what follows it; `changes` are attributes of the header, after its size was set."""
    header = tarfile.TarInfo(name)
    header.type = kind
    content = content.encode() if isinstance(content, str) else content
    header.size = len(content)
    for attribute, value in changes.items():
        setattr(header, attribute, value)
    return header.tobuf(tarfile.PAX_FORMAT) + content + b"\0" * (-len(content) % 512)


def write(path, *members, end=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = b"".join(members) + b"\0" * (1024 if end else 0)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(path)


def sample(number, folder="", **more):
    """The members of a sample: picture of grey level `number`, text, JSON."""
    parts = {"png": png(number), "txt": f"text {number}", "json": json.dumps({"caption": f"c {number}", "id": number})}
    return [member(f"{folder}{number:06}.{ending}", content) for ending, content in (parts | more).items()]


def numbered(folder, files=4, each=3):
    """`0.tar`, `1.tar`, ... of samples 0, 1, ..."""
    for file in range(files):
        rows = range(file * each, (file + 1) * each)
        write(folder / f"{file}.tar", *(part for row in rows for part in sample(row)))


def opened(folder, path, kind="pairs", streaming=True, **options):
    options = {"shuffle_buffer": 4, **options}
    return open_source(SourceOptions("mine", kind, path, streaming=streaming, **options), folder=folder)


def rows(source):
    """All rows in the order of the files, with place and sentence instead of a bad one."""
    found = []
    if isinstance(source, MapSource):
        reads = [partial(source.read, item, None) for item in range(len(source))]
    else:
        reads = [partial(source.to_row, cells, f"row {n}", None) for n, cells in enumerate(source.dataset)]
    for read in reads:
        try:
            found.append(read())
        except BadRowError as error:
            found.append(f"{error.place}: {error}")
    return found


def texts(source):
    return [row if isinstance(row, str) else row.text for row in rows(source)]


# What is found where


@pytest.mark.parametrize(
    "path, expected",
    [
        ("a.tar", ["a.tar"]),
        ("a-{8..10}.tar", ["a-8.tar", "a-9.tar", "a-10.tar"]),
        ("a-{008..010}.tar", ["a-008.tar", "a-009.tar", "a-010.tar"]),
        ("{a,b}/{0..1}.tar", ["a/0.tar", "a/1.tar", "b/0.tar", "b/1.tar"]),
        ("{a}{}-{x..y}.tar", ["{a}{}-{x..y}.tar"]),
    ],
)
def test_braces(path, expected):
    assert expand_braces(path) == expected


@pytest.mark.parametrize("path", ["{9..1}.tar", "{0..99999999999}.tar", "{0..9999}{0..9999}"])
def test_braces_without_measure(path):
    with pytest.raises(BadInputError, match=r"The braces of .*1,000,000"):
        expand_braces(path)


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("path", ["{0..3}.tar", "*.tar", ["0.tar", "{1,2}.tar", "3*.tar"], "all.tar.gz"])
def test_paths(tmp_path, path, streaming):
    numbered(tmp_path)
    if path == "all.tar.gz":
        write(tmp_path / path, *(part for row in range(12) for part in sample(row)))
    source = opened(tmp_path, path, streaming=streaming)
    assert texts(source) == [f"text {row}" for row in range(12)]
    assert [row.image.getpixel((0, 0))[0] for row in rows(source)] == list(range(12))
    place = "row 11 (all.tar.gz: 000011.png)" if "gz" in path else "row 11 (3.tar: 000011.png)"
    assert rows(source)[-1].place == place


def test_paths_in_the_file_of_a_run(tmp_path):
    """Each of a list is relative to the file's folder; URLs are what they are. The folder of the run says it alike."""
    url = "https://example.org/{0..3}.tar"
    sources = {
        "several": {"kind": "pairs", "path": ["a/{0..3}.tar", url], "streaming": True},
        "one": {"kind": "pairs", "path": url, "streaming": True},
    }
    config = RunConfig.from_dict(runs.tree(tmp_path, data__sources=sources), tmp_path)
    found = {name: source.path for name, source in config.data.sources.items()}
    assert found == {"several": [str(tmp_path.resolve() / "a/{0..3}.tar"), url], "one": url}
    assert RunConfig.from_dict(config.to_dict()).data.sources == config.data.sources


def test_a_folder_has_splits(tmp_path):
    write(tmp_path / "train-0.tar", *sample(0))
    write(tmp_path / "test-0.tar", *sample(1))
    assert texts(opened(tmp_path.parent, tmp_path.name, format="webdataset", split="test")) == ["text 1"]
    with pytest.raises(BadInputError, match=r"no split 'val' \(found: train, test\)"):
        opened(tmp_path.parent, tmp_path.name, format="webdataset", split="val")


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize(
    "options, expected",
    [
        ({}, ["text 1", "text 2"]),
        ({"columns": {"text": "json.caption", "image": "png"}}, ["c 1", "c 2"]),
        ({"columns": {"text": "json"}}, ["c 1", "c 2"]),
        ({"columns": {"text": ["txt", "json.more.tags"]}, "captions": "join"}, ["text 1, a, b", "text 2"]),
        ({"where": {"json.id": 2}}, ["text 2"]),
        ({"where": {"cls": "1"}}, ["text 1"]),
        ({"kind": "text"}, ["text 1", "text 2"]),
        ({"kind": "images", "columns": {"image": "seg.png"}}, [None, None]),
    ],
)
def test_columns(tmp_path, options, expected, streaming):
    tagged = json.dumps({"caption": "c 1", "id": 1, "more": {"tags": ["a", "b"]}})
    first = [*sample(1, "some/", json=tagged, cls="1"), member("some/000001.seg.PNG", png(7))]
    write(tmp_path / "a.tar", *first, *sample(2, "some/", cls="2"), member("some/000002.seg.png", png(7)))
    source = opened(tmp_path, "a.tar", streaming=streaming, **options)
    assert texts(source) == expected
    if options.get("kind") == "images":
        assert [row.image.getpixel((0, 0))[0] for row in rows(source)] == [7, 7]


def test_groups(tmp_path):
    ids = [3, 4, 3]
    parts = (sample(row, json=json.dumps({"id": number})) for row, number in enumerate(ids))
    write(tmp_path / "a.tar", *(part for of_sample in parts for part in of_sample))
    source = opened(tmp_path, "a.tar", streaming=False, group_by="json.id")
    assert len(source) == 2 and [source.read(item, None).text for item in range(2)] == ["text 0", "text 1"]


def test_a_changed_shard_is_read_anew(tmp_path):
    for row in (1, 2):
        write(tmp_path / "a.tar", *sample(row), *sample(row + 10) * (row == 2))
        source = opened(tmp_path, "a.tar", streaming=False)
        assert texts(source)[0] == f"text {row}"


@pytest.mark.parametrize(
    "path, options, message",
    [
        ("b.tar", {}, "'mine' was not found: '/.*b.tar'"),
        ("{0..4}.tar", {}, "'mine' was not found"),
        ([], {}, "a text that is not empty"),
        (["0.tar", 3], {}, "a text that is not empty"),
        (["0.tar", "a.csv"], {}, "end in .csv, .tar; set `format`"),
        ("0.tar", {"split": "test"}, r"no split 'test' \(found: train\)"),
        ("0.tar", {"columns": {"image": "jpg"}}, "no column 'jpg'; the nearest is .*found: png, txt"),
        ("0.tar", {"columns": {"text": "json.captoin"}}, "no column 'json.captoin'; the nearest is 'json.caption'"),
        ("0.tar", {"columns": {"image": "json.id"}}, "column of pictures 'json.id'; accepted are the endings"),
        ("0.tar", {"where": {"json.id": 77}}, "no rows with"),
        ("0.tar", {"where": {"json.id": "x"}}, "cannot have the values"),
        ("empty.tar", {}, "has no rows"),
        ("http://127.0.0.1:9/0.tar", {"streaming": False}, "at the URL .*`streaming: true`"),
        ("http://127.0.0.1:9/0.parquet", {}, "at the URL .*are .tar files"),
    ],
)
def test_bad_options(tmp_path, path, options, message):
    numbered(tmp_path)
    (tmp_path / "a.csv").write_text("a\n1\n")
    write(tmp_path / "empty.tar", member("README.md", "nothing"))
    write(tmp_path / "empty.tar", member("folder", kind=tarfile.DIRTYPE))
    with pytest.raises(BadInputError, match=message):
        opened(tmp_path, path, **options)


# Samples


def test_samples(tmp_path):
    """Names as they come: folders, hidden files, capitals, long ones; files without an ending belong to nothing."""
    long = "folder/" * 30 + "a" * 90
    path = write(
        tmp_path / "a.tar",
        member("./", kind=tarfile.DIRTYPE),
        *(
            member(f"./{name}", name)
            for name in ("README", ".hidden", "._0.jpg", "0.JPG", "0.a.txt", "1.b", "deep/1.b")
        ),
        *(member(f"{long}.{ending}", "x") for ending in ("jpg", "txt")),
    )
    found = [(one.key, list(one.files)) for one in read_samples(path, None)]
    assert found == [
        ("./0", ["jpg", "a.txt"]),
        ("./1", ["b"]),
        ("./deep/1", ["b"]),
        (long, ["jpg", "txt"]),
    ]
    assert [one.key for one in read_samples(path, {"jpg"})] == ["./0", long]


def test_gnu_names_of_any_length(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        header = tarfile.TarInfo("f/" * 200 + "0.txt")
        archive.addfile(header, io.BytesIO())
    assert [one.key for one in read_samples(str(tmp_path / "a.tar"), None)] == ["f/" * 200 + "0"]


def test_what_is_in_a_shard(tmp_path):
    path = write(tmp_path / "a.tar", *sample(1, json=json.dumps({"a": {"b": 2}, "c": None})), *sample(2, cls="3"))
    found = shard_columns(path)
    assert set(found) == {
        "image",
        "text",
        "png",
        "txt",
        "json",
        "json.a",
        "json.a.b",
        "json.c",
        "json.caption",
        "json.id",
        "cls",
    }
    assert found["json.a.b"] == 2


BAD = {
    "no picture": ([member("0.txt", "x")], "there is no picture"),
    "no text": ([member("0.png", png(1))], "its text is empty"),
    "no text in it": ([member("0.png", png(1)), member("0.txt", " ")], "its text is empty"),
    "broken picture": ([member("0.png", png(1)[:40]), member("0.txt", "x")], "data are broken"),
    "no UTF-8": (sample(0, txt=b"caf\xe9"), r"its .txt is no UTF-8 \(a.tar: 000000\)"),
    "two pictures": (
        [member("0.png", png(1)), member("0.PNG", png(2)), member("0.txt", "x")],
        "two files that end in",
    ),
    "too large": (sample(0, txt="x" * 2001), "its .txt has 2001 bytes; accepted are up to 2000"),
    "link": ([member("0.png", png(1)), member("0.txt", kind=tarfile.SYMTYPE, linkname="/etc/hostname")], "empty"),
    "hard link": ([member("0.png", png(1)), member("0.txt", kind=tarfile.LNKTYPE, linkname="0.png")], "empty"),
}
BAD_JSON = {
    "no JSON": ("{", "its .json is not JSON"),
    "deep": ("[" * 1500, "its .json is not JSON"),
    "half a character": (r'{"caption": "\ud800"}', "its .json is not JSON"),
    "a number": ('{"caption": 3}', "its text is '3' of type int"),
    "another object": ('{"b": 3}', "its text is"),
}
BAD |= {name: (sample(0, json=text), message) for name, (text, message) in BAD_JSON.items()}


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("name", BAD)
def test_bad_samples_are_bad_rows(tmp_path, name, streaming, monkeypatch):
    monkeypatch.setattr(shards, "MAX_FILE_BYTES", 2000)
    members, message = BAD[name]
    write(tmp_path / "a.tar", *sample(8), *members, *sample(9))
    columns = {"text": "json"} if name in BAD_JSON else {}
    source = opened(tmp_path, "a.tar", columns=columns, streaming=streaming)
    found = rows(source)
    assert [row.image.getpixel((0, 0))[0] for row in (found[0], found[2])] == [8, 9] and len(found) == 3
    assert found[1].startswith("row 1") and re.search(message, found[1])
    report = check_sources([source])
    assert report.problems == ["1 row of source 'mine' cannot be used"]


def test_a_picture_is_never_a_path(tmp_path):
    """What a stranger wrote into a shard is not looked up on this machine."""
    (tmp_path / "secret.png").write_bytes(png(5))
    path = str(tmp_path / "secret.png")
    write(tmp_path / "a.tar", *sample(1), member("2.png", path), member("2.txt", "x"), member("3.txt", "x"))
    found = rows(opened(tmp_path, "a.tar"))
    assert "of no format" in found[1] and "there is no picture" in found[2]


# Hostile and broken archives


def test_nothing_is_unpacked(tmp_path, monkeypatch):
    """Whatever the members' paths are."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    names = [f"{tmp_path}/absolute.txt", "../up.txt", "../../up.txt", "here.txt", "down/here.txt"]
    devices = [member("d.txt", kind=kind) for kind in (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)]
    path = write(tmp_path / "a.tar", *(member(name, "x") for name in names), *devices)
    before = sorted(tmp_path.rglob("*"))
    assert [list(one.files) for one in read_samples(path, None)] == [["txt"]] * len(names)
    source = opened(tmp_path, "a.tar", kind="text")
    assert texts(source) == ["x"] * len(names)
    assert sorted(tmp_path.rglob("*")) == before


WHOLE = b"".join(part for row in range(3) for part in sample(row))
LAST = len(b"".join(sample(2)))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    "content, whole",
    [
        (WHOLE[:-600], 2),
        (WHOLE[: -LAST + 100], 1),
        (WHOLE[:-LAST], 1),
        (WHOLE[:-LAST] + b"x" * 512, 1),
        (b"", 0),
    ],
)
def test_a_broken_shard_stops_with_its_name(tmp_path, content, whole, compressed):
    """
    Cut off within a file, within a header or between two, or with something else in it. All before it is given but the
    last sample, which shows to be whole only when the next one begins.
    """
    path = tmp_path / ("a.tar.gz" if compressed else "a.tar")
    path.write_bytes(gzip.compress(content) if compressed else content)
    found = []
    with pytest.raises(ShardError, match=rf"'{path.name}': (it ends, or goes wrong, in|unexpected end of data)"):
        for one in read_samples(str(path), None):
            found.append(one.key)
    assert found == [f"{row:06}" for row in range(whole)]
    with pytest.raises(BadInputError, match=rf"'mine' .*cannot be read: '{path.name}': "):
        opened(tmp_path, path.name)
    # Further on in the source it shows when it is reached.
    numbered(tmp_path, 4, 8)
    source = opened(tmp_path, ["{0..3}.tar", path.name])
    reader = source.reader(seed=0)
    for _ in range(3):
        with pytest.raises(BadInputError, match=rf"'mine' .*cannot be read: '{path.name}': "):
            [reader.read(None) for _ in range(50)]
    report = check_sources([source])
    assert not report.sources[0].complete and report.sources[0].read == 32 + len(found)
    with pytest.raises(BadInputError, match=rf"'mine' .*cannot be read: '{path.name}': "):
        opened(tmp_path, ["{0..3}.tar", path.name], streaming=False)


def test_a_compressed_shard_that_is_cut_off(tmp_path):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(WHOLE + b"\0" * 1024)[:-40])
    with pytest.raises(ShardError, match=r"'a.tar.gz': .*end"):
        list(read_samples(str(path), None))


class Endless(io.RawIOBase):
    """A file of `block` again and again."""

    def __init__(self, block, ahead=b""):
        self.block, self.ahead = block, ahead

    def readable(self):
        return True

    def read(self, size=-1):
        assert size >= 0
        while len(self.ahead) < size:
            self.ahead += self.block * (size // len(self.block) + 1)
        found, self.ahead = self.ahead[:size], self.ahead[size:]
        return found


PAX = member("0.txt", "x", pax_headers={"comment": "c" * 600})
ENDLESS = {
    "files of one sample": (member("0.x", b"x" * 5000),),
    "files that are folders": (member("a", kind=tarfile.DIRTYPE),),
    "files that are links": (member("0.txt", kind=tarfile.SYMTYPE, linkname="x"),),
    "files without ending": (member("a", b"x" * 5000),),
    "of headers of headers": (PAX[:2048],),
    "of names": (member("././@LongLink", b"x" * 5000, kind=tarfile.GNUTYPE_LONGNAME),),
    "in a file": (b"\0" * 512, member("0.avi", size=1 << 34)),
    "in a file that it needs": (b"\0" * 512, member("0.txt", size=1 << 34)),
    "of no file": (b"\0" * 512, member("0.avi", size=(1 << 60))),
    "in a header": (b"\0" * 512, member("x", kind=tarfile.XHDTYPE, size=1 << 32)),
    "sparse": (b"\1" * 512, member("0.txt", kind=tarfile.GNUTYPE_SPARSE, size=1 << 30)),
    "smaller than nothing": (member("0.avi", size=-512),),
    "of pax sizes": (member("0.avi", pax_headers={"size": str(1 << 60)}),),
    "of negative pax sizes": (member("0.avi", pax_headers={"size": "-1024"}),),
    "of pax maps": (
        b"1\n" * 256,
        member("0.txt", pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"})[:-512],
    ),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ENDLESS)
def test_a_shard_without_an_end(monkeypatch, name):
    """It stops by itself, and in little memory."""
    monkeypatch.setattr(shards, "MAX_UNUSED_BYTES", 64 << 20)
    monkeypatch.setattr(shards, "MAX_UNUSED_FILES", 2000)
    monkeypatch.setattr(shards, "MAX_FILE_BYTES", 1 << 20)
    monkeypatch.setattr(shards, "xopen", lambda *_: Endless(*ENDLESS[name]))
    tracemalloc.start()
    with pytest.raises(ShardError, match=r"'x\.tar': " + (".* 2001 files went by" if "files" in name else "")):
        list(read_samples("https://example.org/x.tar", {"txt"}))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24 << 20, peak


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "block",
    [
        member("0.avi", size=1 << 60),
        member("0.txt", pax_headers={"size": str(1 << 60)}),
        member(
            "0.txt", pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9" * 18}
        ),
        member("0.txt", kind=tarfile.XHDTYPE, size=1 << 60),
    ],
)
def test_what_is_not_there_is_not_waited_for(tmp_path, block):
    """A billion gigabytes, in a shard that ends after the header: tarfile would look for their end for years."""
    path = write(tmp_path / "a.tar", *sample(1), block, end=False)
    with pytest.raises(ShardError, match=r"'a\.tar': "):
        list(read_samples(path, {"txt"}))


def test_a_bomb_is_read_in_pieces(tmp_path, monkeypatch):
    """100 MB of zeros in 100 KB: passed over in little memory, or refused."""
    path = write(tmp_path / "a.tar.gz", member("0.avi", bytes(100 << 20)), member("0.txt", "x"))
    tracemalloc.start()
    assert [one.files for one in read_samples(path, {"txt"})] == [{"txt": b"x"}]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20
    monkeypatch.setattr(shards, "MAX_UNUSED_BYTES", 50 << 20)
    with pytest.raises(ShardError, match="has a header that no data set needs"):
        list(read_samples(path, {"txt"}))


def test_headers_are_forgotten(monkeypatch):
    """tarfile keeps those of all members, and the values of all global ones."""
    parts = []
    for number in range(3000):
        # A record is its own length, a key, a value: a kilobyte for all files to come.
        parts += [member("global", f"1015 key{number:04}=" + "v" * 1001 + "\n", kind=tarfile.XGLTYPE)]
        parts += [member(f"{number}.{ending}", "x") for ending in ("txt", "jpg")]
    many = b"".join(parts) + b"\0" * 1024
    monkeypatch.setattr(shards, "xopen", lambda *_: io.BytesIO(many))
    tracemalloc.start()
    assert sum(1 for _ in read_samples("x.tar", None)) == 3000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 << 20, peak  # kept, either are above 3 MB


# URLs


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_urls(tmp_path, site):
    """The same as the files, also in two worker processes."""
    numbered(tmp_path)
    local = opened(tmp_path, "{0..3}.tar")
    remote = opened("elsewhere", f"{site}/{{0..3}}.tar?token=1.2")
    assert [row.place for row in rows(remote)] == [row.place for row in rows(local)]
    found = [both.reader(3) for both in (local, remote)]
    assert [found[0].read(None).text for _ in range(20)] == [found[1].read(None).text for _ in range(20)]
    schedule = Schedule([Source("mine", "pairs")], 8)
    whole = [places(source, schedule, num_workers=2) for source in (local, remote)]
    assert whole[0] == whole[1]
    with pytest.raises(BadInputError, match=r"cannot be read: .*nothing\.tar"):
        opened(tmp_path, f"{site}/nothing.tar")


def places(source, schedule, **options):
    loader = train_loader([source], schedule, lambda kind, rows, generators, train: {}, batch_size=2, **options)
    return [batch["info"].places for batch in loader]


# Shared out, and resumed


@pytest.mark.parametrize("files", [1, 3, 4])
def test_ranks_and_workers_share_each_epoch(tmp_path, files):
    """Two ranks with two workers: whole shards if there are four, else every fourth sample."""
    numbered(tmp_path, files, 12 // files)
    source = opened(tmp_path, "*.tar")
    epoch = []
    for number in range(4):
        reader, share = source.reader(0, number, 4), []
        while True:
            row = reader.read(None)
            if reader.state_dict()["epoch"]:
                break
            share.append(row.text)
        assert len(share) == 3
        if files == 4:
            assert len({int(text[5:]) // 3 for text in share}) == 1
        epoch += share
    assert sorted(epoch) == sorted(f"text {row}" for row in range(12))


@pytest.mark.parametrize("files", [1, 4])
def test_two_ranks_of_two_workers_resume_exactly(tmp_path, files):
    numbered(tmp_path, files, 12 // files)
    source = opened(tmp_path, "*.tar")
    schedule = Schedule([Source("mine", "pairs")], 10)
    collator = lambda kind, rows, generators, train: {}  # noqa: E731
    seen = []
    for rank in range(2):
        options = {"batch_size": 1, "rank": rank, "world_size": 2}
        whole = [batch["info"] for batch in train_loader([source], schedule, collator, num_workers=2, **options)]
        seen += [place for info in whole[:6] for place in info.places]
        for start, workers in ((3, 2), (6, 0)):
            states = json.loads(json.dumps(whole[start - 1].stream_states))
            resumed = train_loader(
                [source], schedule, collator, num_workers=workers, start_batch=start, stream_states=states, **options
            )
            assert [batch["info"] for batch in resumed] == whole[start:]
    names = [place.split("(")[1] for place in seen]
    assert len(set(names)) == len(names) == 12  # an epoch: each sample once


def test_training_resumed_equals_uninterrupted(tmp_path):
    """Through the Trainer, to the bit: interrupted within an epoch, and gone on with by another number of workers."""
    numbered(tmp_path, 2, 20)
    emoji = {"kind": "pairs", "path": [str(tmp_path / "{0..1}.tar")], "streaming": True, "shuffle_buffer": 7}
    emoji |= {"columns": {"text": ["txt", "json.caption"]}, "captions": "shuffle"}

    def trainer(name, workers):
        return runs.trainer(tmp_path / name, data__sources={"emoji": emoji}, data__num_workers=workers)

    whole = trainer("whole", 2)
    whole.train()
    stopped = trainer("stopped", 2)
    stopped.add_callback(At(5, stop))
    stopped.train()
    resumed = trainer("stopped", 1)
    resumed.train(resume_from_checkpoint=True)
    assert whole.state.global_step == resumed.state.global_step == 8 > stopped.state.global_step
    for name, parameter in whole.model.named_parameters():
        assert torch.equal(parameter, resumed.model.get_parameter(name)), name
