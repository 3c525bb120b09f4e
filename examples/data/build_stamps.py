# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Builds captioned pictures from the stamps of Tux Paint: drawings and cut-out photographs with an English sentence.

    python examples/data/build_stamps.py --output DIR [--packages DIR] [--sample N]

Source: Debian's `tuxpaint-stamps-default` 2022.06.04-1, by Bill Kendrick and the artists of Tux Paint, GPL-2: what
this writes may be passed on under that licence only, so it is not part of this repository. Fetched with `apt-get
download` (161 MB; needs an `apt-get update` once, no root, and the Debian release that carries this version,
bookworm), or read from `--packages`; checked by SHA-256. Needs the extra `data` (resvg-py). Writes `stamps.parquet`
with the columns image (PNG on white, cut to the drawing, longest side at most 128), text ("A pink flamingo."), title
(the caption in small letters, without article and punctuation), split, and prints what it wrote.

Alphabets and money are left out, and so are one stamp that is white on white and one that is there twice. Where a
stamp is there as PNG and as SVG the PNG is taken. Equal titles fall on one side of the split, which goes by a hash of
the title.

| split | pictures | titles |
| --- | ---: | ---: |
| train | 620 | 550 |
| validation | 67 | 60 |
| test | 70 | 62 |
"""

import io
import re
import sys
from pathlib import Path, PurePosixPath

from builder import Row, on_white, run_builder, split_by_hash, spread_sample
from datasets import Features, Image, Value
from packages import Package, read_members
from PIL import Image as PILImage
from tqdm import tqdm


PACKAGES = {
    "stamps": Package(
        "tuxpaint-stamps-default=2022.06.04-1",
        "tuxpaint-stamps-default_2022.06.04-1_all.deb",
        "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34",
    )
}
ROOT = "usr/share/tuxpaint/stamps/"
LEFT_OUT = ("symbols/alphabets/", "symbols/money/")
MAX_SIDE = 128
DPI = 96  # for drawings whose size is in points: without it resvg takes it for nothing
FEATURES = Features({"image": Image()} | dict.fromkeys(("text", "title", "split"), Value("string")))


def is_wanted(name: str) -> bool:
    """Pictures and captions, not the spoken descriptions."""
    path = name.removeprefix(ROOT)
    return name.startswith(ROOT) and path.endswith((".png", ".svg", ".txt")) and not path.startswith(LEFT_OUT)


def read_caption(content: bytes) -> str:
    """The first line, which is English; translations follow as LANGUAGE.utf8=TEXT."""
    return " ".join(content.decode("utf-8").partition("\n")[0].split())


def title_of(caption: str) -> str:
    """What the captions of one thing share."""
    words = re.sub(r"[^\w\s]", "", caption.lower()).split()
    return " ".join(words[1:] if words[0] in ("a", "an", "the", "another", "some") and words[1:] else words)


def draw(name: str, content: bytes) -> PILImage.Image:
    """The picture on white, without transparent margins."""
    if name.endswith(".svg"):
        import resvg_py

        svg = content.decode("utf-8")
        content = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=4 * MAX_SIDE, dpi=DPI, skip_system_fonts=True))
    drawing = PILImage.open(io.BytesIO(content)).convert("RGBA")
    picture = on_white(drawing.crop(drawing.getchannel("A").getbbox()))
    picture.thumbnail((MAX_SIDE, MAX_SIDE), PILImage.Resampling.LANCZOS)
    return picture


def is_blank(picture: PILImage.Image) -> bool:
    """True if nothing is seen, as of a white drawing on white."""
    return picture.getextrema() == ((255, 255),) * 3


def make_row(name: str, picture: PILImage.Image, caption: str) -> Row:
    """One row of the Parquet file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    path = PurePosixPath(name).relative_to(ROOT).with_suffix(".png")
    title = title_of(caption)
    return {
        "image": {"bytes": buffer.getvalue(), "path": "-".join(path.parts)},
        "text": caption,
        "title": title,
        "split": split_by_hash(title),
    }


def make_rows(archives: dict[str, Path], sample: int | None = None) -> list[Row]:
    """All rows by the names of the files."""
    files = dict(read_members(archives["stamps"], is_wanted))
    pictures = {}
    for name in sorted(files):  # .png comes before .svg
        stem = name.rpartition(".")[0]
        if not name.endswith(".txt") and f"{stem}.txt" in files:
            pictures.setdefault(stem, name)
    stamps = [{"name": name, "text": read_caption(files[f"{stem}.txt"])} for stem, name in pictures.items()]
    if sample is not None:
        stamps = spread_sample(stamps, sample, lambda stamp: split_by_hash(title_of(stamp["text"])), "name")
    rows, drawn = [], set()
    for stamp in tqdm(stamps, desc="Drawing stamps", disable=None):  # on a terminal only
        picture = draw(stamp["name"], files[stamp["name"]])
        if not is_blank(picture) and (picture.size, picture.tobytes()) not in drawn:
            drawn.add((picture.size, picture.tobytes()))
            rows.append(make_row(stamp["name"], picture, stamp["text"]))
    return rows


def main(arguments=None):
    return run_builder(
        arguments,
        doc=__doc__,
        packages=PACKAGES,
        file="stamps.parquet",
        features=FEATURES,
        make_rows=make_rows,
        needs={"resvg_py": "data"},
    )


if __name__ == "__main__":
    sys.exit(main())
