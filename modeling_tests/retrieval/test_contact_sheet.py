# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""A contact sheet is one file that runs nothing and loads nothing, whatever the texts and names on it."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from hf_unimo.data.images import read_image
from hf_unimo.retrieval import contact_sheet as module
from hf_unimo.retrieval.contact_sheet import THUMBNAIL, Tile, contact_sheet


class Page(HTMLParser):
    """Every tag with its attributes, and the text outside of the style sheet."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.words, self.open = [], [], []
        self.feed(page)
        assert not self.open  # every element is closed

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))

    @property
    def pictures(self) -> list[Image.Image]:
        sources = [attributes["src"] for tag, attributes in self.tags if tag == "img"]
        assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
        return [Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) for source in sources]


def red(width=30, height=20) -> Image.Image:
    return Image.new("RGB", (width, height), (200, 30, 30))


def test_query_and_hits():
    tiles = [
        Tile(1, "cats/one.jpg", {"cosine": 0.91234}, red()),
        Tile(2, "two.jpg", {"matching": 1.5, "cosine": 0.5}, problem="there is no such file"),
    ]
    page = Page(contact_sheet("a red cat", iter(tiles), about="CLIPModel · 7 pictures"))
    assert "a red cat" in page.text and "2 hits · CLIPModel · 7 pictures" in page.text
    assert re.search(r"1 ?cosine 0\.9123 ?cats/one\.jpg", page.text)
    assert re.search(r"there is no such file ?2 ?matching 1\.5000 cosine 0\.5000 ?two\.jpg", page.text)
    (picture,) = page.pictures
    assert picture.format == "JPEG" and picture.size == (30, 20)
    assert np.abs(np.asarray(picture).astype(int) - [200, 30, 30]).max() < 12
    page = Page(contact_sheet(red(50, 40), [], query_name="mine.png"))
    assert page.pictures[0].size == (50, 40) and "mine.png" in page.text and "0 hits" in page.text


def test_nothing_runs_and_nothing_is_loaded():
    nasty = '"><script>alert(1)</script><img src=http://x/y onerror=alert(2)>&amp;$title${tiles}'
    tiles = [Tile(1, f"{nasty}/{nasty}", {nasty: 0.5}, problem=nasty)]
    content = contact_sheet(nasty, tiles, about=nasty)
    page = Page(content)
    assert {tag for tag, _ in page.tags} <= {
        *("html", "head", "meta", "title", "style", "body", "header", "h1", "p", "ol", "li", "div"),
        *("span", "b", "strong", "small", "wbr"),
    }
    assert page.text.count(nasty) >= 5
    attributes = {name for _, found in page.tags for name in found}
    assert attributes <= {"lang", "charset", "http-equiv", "content", "name", "title", "class"}
    assert not re.search(r"url\(|@import|<link|src=\"(?!data:)|href", content.replace("&lt;", "").split("</style>")[0])
    policy = [found["content"] for tag, found in page.tags if tag == "meta" and "http-equiv" in found]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_names_that_are_no_utf8_and_other_signs():
    page = contact_sheet("Zürich \udcff 猫", [Tile(1, "\udcfe.png", {})])
    assert "Zürich \ufffd 猫" in page
    page.encode()


def test_thumbnails_are_small_and_upright():
    large = Image.fromarray(np.random.RandomState(0).randint(0, 256, (900, 1200, 3), dtype=np.uint8))
    content = contact_sheet("x", [Tile(1, "large.png", {}, large)])
    (small,) = Page(content).pictures
    assert small.size == (THUMBNAIL, THUMBNAIL * 3 // 4) and large.size == (1200, 900)
    assert len(content) < 120_000  # noise: the worst there is
    buffer, turned = io.BytesIO(), Image.Exif()
    turned[0x0112] = 6
    red(40, 20).save(buffer, "JPEG", exif=turned)
    (small,) = Page(contact_sheet("x", [Tile(1, "y", {}, read_image(buffer.getvalue(), 10**6))])).pictures
    assert small.size == (20, 40)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK"])
def test_pictures_of_any_mode(mode):
    (picture,) = Page(contact_sheet(red().convert(mode), [])).pictures
    assert picture.mode == "RGB"


def test_very_many_hits_are_counted(monkeypatch):
    monkeypatch.setattr(module, "MAX_TILES", 3)
    page = Page(contact_sheet("x", (Tile(rank, f"{rank}.png", {}, red()) for rank in range(1, 2006))))
    assert len(page.pictures) == 3 and "and 2,002 more" in page.text and "2,005 hits" in page.text
