# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Pictures that were found, with the query on top, as one HTML file: no scripts, nothing to load from elsewhere."""

import base64
import html
import io
from collections.abc import Iterable
from dataclasses import dataclass
from string import Template

from PIL import Image


THUMBNAIL = 320
"""Pixels of a thumbnail's longer side: some 20 kB each."""

MAX_TILES = 500
"""Hits that a sheet shows at most; it says how many there are besides."""


@dataclass(frozen=True)
class Tile:
    """
    A hit.

    Args:
        rank (`int`): From 1 on.
        path (`str`): Shown below the picture.
        scores (`dict[str, float]`): What it is called -> the score.
        image (`PIL.Image.Image`, *optional*): Upright, as `hf_unimo.data.images.read_image` gives it; None if the
            picture cannot be shown.
        problem (`str`): Why not.
    """

    rank: int
    path: str
    scores: dict[str, float]
    image: Image.Image | None = None
    problem: str = ""


def contact_sheet(query: str | Image.Image, tiles: Iterable[Tile], *, query_name: str = "", about: str = "") -> str:
    """
    The file's content.

    Args:
        query (`str` or `PIL.Image.Image`): What was looked for.
        tiles (iterable of [`Tile`]): Read one by one: a generator need not hold all pictures.
        query_name (`str`, defaults to `""`): File name of a picture.
        about (`str`, defaults to `""`): A line below the query: model, index, how it was ranked.
    """
    shown: list[str] = []
    more = 0
    for tile in tiles:
        if len(shown) < MAX_TILES:
            shown.append(_tile(tile))
        else:
            more += 1
    if isinstance(query, str):
        title, wanted = query, f"<h1>{escaped(query)}</h1>"
    else:
        title = query_name or "a picture"
        wanted = f'<img src="{_data_uri(query)}" alt=""><h1>{escaped(title)}</h1>'
    number = f"{len(shown) + more:,} hit{'s' * (len(shown) + more != 1)}"
    return _PAGE.substitute(
        title=escaped(title),
        query=wanted,
        about=escaped(" · ".join(filter(None, (number, about)))),
        tiles="\n".join(shown),
        more=f"<p>and {more:,} more</p>" if more else "",
    )


def escaped(text: str) -> str:
    """Any text, file names that are no UTF-8 too, for HTML."""
    return html.escape(text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


def _tile(tile: Tile) -> str:
    if tile.image is None:
        picture = f'<div class="none">{escaped(tile.problem or "no picture")}</div>'
    else:
        picture = f'<div><img src="{_data_uri(tile.image)}" alt=""></div>'
    scores = " ".join(f"<span>{escaped(name)} <b>{score:.4f}</b></span>" for name, score in tile.scores.items())
    folder, slash, name = tile.path.rpartition("/")
    path = f"<small>{escaped(folder + slash)}</small><wbr>{escaped(name)}"
    caption = f'<p class="scores"><strong>{tile.rank}</strong>{scores}</p><p class="path">{path}</p>'
    return f'<li title="{escaped(tile.path)}">{picture}{caption}</li>'


def _data_uri(image: Image.Image) -> str:
    small = image.convert("RGB")
    small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --back: #f5f5f3; --card: #fff; --line: #dedcd6; --text: #22211f; --soft: #6f6c66; }
@media (prefers-color-scheme: dark) {
  :root { --back: #191918; --card: #242423; --line: #3a3936; --text: #eceae5; --soft: #a09d96; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 90rem; padding: 2rem 1.5rem 3rem; background: var(--back); color: var(--text);
  font: 15px/1.45 system-ui, "Segoe UI", "Helvetica Neue", "Noto Sans", Arial, sans-serif; }
header { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem 1.5rem; margin-bottom: 1.75rem; }
header img { max-height: 11rem; max-width: 100%; border-radius: 8px; border: 1px solid var(--line); }
h1 { margin: 0; font-size: 1.7rem; font-weight: 600; line-height: 1.2; overflow-wrap: anywhere; }
header p { flex-basis: 100%; margin: 0; color: var(--soft); overflow-wrap: anywhere; }
ol { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: 1rem; list-style: none;
  margin: 0; padding: 0; }
li { background: var(--card); border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
li div { display: flex; align-items: center; justify-content: center; aspect-ratio: 4 / 3; padding: .5rem;
  border-bottom: 1px solid var(--line); }
li img { max-width: 100%; max-height: 100%; min-height: 0; object-fit: contain; border-radius: 3px; }
.none { color: var(--soft); text-align: center; font-size: .85rem; overflow-wrap: anywhere; }
li p { margin: 0; padding: .5rem .75rem; }
.scores { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 .75rem; padding-bottom: 0; }
.scores strong { font-size: 1.15rem; }
.scores span, small { color: var(--soft); font-size: .85rem; }
.scores b { font-weight: 600; color: var(--text); font-variant-numeric: tabular-nums; }
.path { overflow-wrap: anywhere; }
</style>
</head>
<body>
<header>$query<p>$about</p></header>
<ol>
$tiles
</ol>
$more
</body>
</html>
""")
