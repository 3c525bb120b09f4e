# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Search in own pictures: encodes them once into an index, then finds those that fit a text or a picture.

  hf-unimo index build photos --model MODEL --out photos.index
  hf-unimo index search photos.index "a dog on the beach" --html found.html
  hf-unimo index search photos.index photo.jpg --top-k 20
  hf-unimo index add photos.index photos/new more/picture.png
  hf-unimo index info photos.index --check

A build that was stopped goes on with the same command. See docs/search.md.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from ..retrieval.contact_sheet import Tile
    from ..retrieval.picture_index import Added, PictureHit, PictureIndex


MAX_LISTED = 20  # pictures that cannot be read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments: one parser for each of the four actions."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    build = actions.add_parser("build", help="encode the pictures of a folder into a new index, or go on with it")
    build.add_argument("pictures", metavar="DIR", help="folder of pictures, with all below it")
    build.add_argument("--model", metavar="M", required=True, help="folder of a saved model, or a Hub id")
    build.add_argument("--out", metavar="INDEX", required=True, help="folder of the index")
    build.add_argument("--dtype", metavar="NAME", help="of the features: fp32 (default) or bf16, half the size")
    add = actions.add_parser("add", help="encode pictures that an index does not have, or not as they are now")
    add.add_argument("index", metavar="INDEX", help="folder of the index")
    add.add_argument("pictures", metavar="PATH", nargs="+", help="folders and files of pictures")
    search = actions.add_parser("search", help="find pictures by a text or by a picture")
    search.add_argument("index", metavar="INDEX", help="folder of the index")
    search.add_argument("query", metavar="QUERY", nargs="?", help="a picture, if there is such a file, else a text")
    search.add_argument("--text", metavar="TEXT", help="instead of QUERY: it is a text")
    search.add_argument("--image", metavar="FILE", help="instead of QUERY: it is a picture")
    search.add_argument("--top-k", metavar="N", type=int, default=10, help="hits (default: %(default)s)")
    search.add_argument("--rerank", metavar="N", type=int, default=0, help="best hits that the matching head orders")
    search.add_argument("--html", metavar="FILE", help="contact sheet of the hits")
    search.add_argument("--json", metavar="FILE", help="the hits as JSON")
    info = actions.add_parser("info", help="tell what an index is")
    info.add_argument("index", metavar="INDEX", help="folder of the index")
    info.add_argument("--check", action="store_true", help="read all of it and compare the checksums")
    for action in (add, search):
        action.add_argument("--model", metavar="M", help="where the model is now, if not where it was")
        action.add_argument("--pictures-in", metavar="DIR", help="where the pictures are now, if not where they were")
    for action in (build, add, search):
        action.add_argument("--batch-size", metavar="N", type=int, default=32, help="of a forward pass (%(default)s)")
        action.add_argument("--device", metavar="NAME", default="cpu", help="cpu, cuda, ... (default: %(default)s)")


def run(args: argparse.Namespace) -> None:
    """Does what the action says. Raises [`BadInputError`], and KeyboardInterrupt with what to do then."""
    {"build": _build, "add": _add, "search": _search, "info": _info}[args.action](args)


# ---------------------------------------------------------------------------------------------------------------------
# The actions
# ---------------------------------------------------------------------------------------------------------------------


def _build(args: argparse.Namespace) -> None:
    from ..errors import BadInputError, unknown_name
    from ..files import check_destination
    from ..retrieval.index import DTYPES, VectorIndex
    from ..retrieval.picture_index import PictureIndex, find_pictures

    if args.dtype not in (None, *DTYPES):
        raise BadInputError(f"--dtype is unknown: {unknown_name(args.dtype, DTYPES)}")
    if not os.path.isdir(args.pictures):
        raise BadInputError(f"{args.pictures} is no folder; accepted is a folder of pictures.")
    there = VectorIndex.is_index(args.out)
    if there:
        _check_same(args, VectorIndex.open(args.out))
    else:
        check_destination(args.out)
    files = find_pictures([args.pictures])
    adapter = _adapter(args, args.model)
    if there:
        index = PictureIndex.open(args.out, adapter, args.pictures)
    else:
        index = PictureIndex.create(args.out, adapter, args.pictures, args.dtype or "fp32", args.model)
    added = _encode(args, index, files)
    if not len(index.index):
        path, reason = added.failed[0]
        index.index.remove()
        first = f"{_shown(path)}: {reason}"
        raise BadInputError(
            f"None of the {len(files):,} pictures of {args.pictures} can be read (the first: {first})."
        )
    _report(index, added)


def _check_same(args: argparse.Namespace, index: Any) -> None:
    """That a build that goes on is the same."""
    from ..errors import BadInputError
    from ..retrieval.picture_index import pictures_folder

    if args.dtype not in (None, index.dtype):
        raise BadInputError(f"--dtype is {args.dtype}, but {args.out} has {index.dtype}; accepted is a new index.")
    folder = pictures_folder(index)
    if os.path.realpath(folder) != os.path.realpath(args.pictures):
        raise BadInputError(
            f"{args.out} is the index of {folder}; to put the pictures of {args.pictures} into it, use "
            "`hf-unimo index add`."
        )


def _add(args: argparse.Namespace) -> None:
    from ..retrieval.picture_index import find_pictures

    files = find_pictures(args.pictures)
    index = _open(args)
    _report(index, _encode(args, index, files))


def _search(args: argparse.Namespace) -> None:
    from ..errors import BadInputError
    from ..files import write_atomically
    from ..retrieval.contact_sheet import contact_sheet
    from ..retrieval.picture_index import read_picture

    kind, value = _query(args)
    for name, least in (("--top-k", 1), ("--rerank", 0)):
        if (number := getattr(args, name[2:].replace("-", "_"))) < least:
            raise BadInputError(f"{name} is {number}; accepted are integers from {least} on.")
    for name, path in (("--html", args.html), ("--json", args.json)):
        if path is not None and (Path(path).is_dir() or not Path(path).parent.is_dir()):
            raise BadInputError(f"{name} is {path}; accepted is a file in a folder that exists.")
    query = read_picture(value) if kind == "image" else value
    index = _open(args)
    if kind == "text" and index.adapter.texts.count_too_long([value]):
        limit = index.adapter.texts.max_length
        print(f"the text is cut: the model takes {limit} tokens", file=sys.stderr)
    hits = index.search(query, args.top_k, args.rerank, progress=sys.stderr.isatty())
    written = {}
    if args.html is not None:
        about = [type(index.adapter.model).__name__, f"{len(index):,} pictures"]
        about += [f"the best {args.rerank} by matching score"] if args.rerank else []
        name = Path(value).name if kind == "image" else ""
        written[args.html] = contact_sheet(query, _tiles(index, hits), query_name=name, about=" · ".join(about))
    if args.json is not None:
        tree = {"query": {kind: value}, "index": args.index, "hits": [_hit(hit) for hit in hits]}
        written[args.json] = json.dumps(tree, indent=2) + "\n"
    for path, content in written.items():
        write_atomically(path, content)
    for hit in hits:
        matching = "" if hit.matching_score is None else f"{hit.matching_score:9.4f} "
        print(f"{hit.rank:4} {matching}{hit.score:8.4f}  {_shown(hit.path)}")
    print(*(f"written: {path}" for path in written), sep="\n", end="\n" * bool(written), file=sys.stderr)


def _info(args: argparse.Namespace) -> None:
    from ..retrieval.index import VectorIndex

    index = VectorIndex.open(args.index)
    lines = {
        "rows": f"{len(index):,}, of which {len(index.replaced):,} replaced by newer ones",
        "features": f"{index.width} x {index.dtype}, {index.features.nbytes:,} bytes",
        "segments": f"{len(index.segments):,}",
        **{name: _plain(value) for name, value in {**index.stamp, **index.notes}.items()},
    }
    if args.check:
        index.check()
        lines["check"] = "all checksums are right"
    for name, value in lines.items():
        print(f"{_shown(name):16} {_shown(value)}")


# ---------------------------------------------------------------------------------------------------------------------
# What they share
# ---------------------------------------------------------------------------------------------------------------------


def _adapter(args: argparse.Namespace, model: str) -> Any:
    from ..errors import BadInputError
    from ..retrieval.adapters import load_model, pair_adapter

    if args.batch_size < 1:
        raise BadInputError(f"--batch-size is {args.batch_size}; accepted are integers from 1 on.")
    loaded, processor = load_model(model, args.device)
    adapter = pair_adapter(loaded, processor, args.batch_size)
    if adapter is None:
        raise BadInputError(
            f"{type(loaded).__name__} of {model} has no contrastive features; accepted are models of images and texts "
            "that have them, such as Unimo2ForImageTextRetrieval and CLIPModel, with their processors."
        )
    return adapter


def _open(args: argparse.Namespace) -> "PictureIndex":
    from ..errors import BadInputError
    from ..retrieval.index import VectorIndex
    from ..retrieval.picture_index import PictureIndex, model_place

    if args.pictures_in is not None and not os.path.isdir(args.pictures_in):
        raise BadInputError(f"--pictures-in is {args.pictures_in}; accepted is a folder.")
    model = args.model or model_place(VectorIndex.open(args.index))  # what is damaged is refused before a model loads
    if model is None:
        raise BadInputError(f"{args.index} does not say where its model is; name it with --model.")
    return PictureIndex.open(args.index, _adapter(args, model), args.pictures_in)


def _encode(args: argparse.Namespace, index: "PictureIndex", files: list[str]) -> "Added":
    try:
        return index.add(files, progress=sys.stderr.isatty())
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped; the same command goes on from {len(index.index):,} rows") from None


def _report(index: "PictureIndex", added: "Added") -> None:
    for path, reason in added.failed[:MAX_LISTED]:
        print(f"cannot be read: {_shown(path)}: {reason}", file=sys.stderr)
    if (more := len(added.failed) - MAX_LISTED) > 0:
        print(f"and {more:,} more that cannot be read", file=sys.stderr)
    counts = {"new": added.new, "changed": added.changed, "there already": added.same, "unreadable": len(added.failed)}
    print(", ".join(f"{number:,} {name}" for name, number in counts.items()))
    print(f"{index.index.folder}: {len(index):,} pictures")


def _query(args: argparse.Namespace) -> tuple[str, str]:
    """`"text"` and a text, or `"image"` and the path of a picture."""
    from ..errors import BadInputError

    given = {"QUERY": args.query, "--text": args.text, "--image": args.image}
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        raise BadInputError(
            f"{' and '.join(named) or 'No query'} {'are' if named else 'is'} given; accepted is one of QUERY, --text "
            "and --image."
        )
    if args.query is not None:
        return ("image" if os.path.isfile(args.query) else "text"), args.query
    return ("text", args.text) if args.text is not None else ("image", args.image)


def _hit(hit: "PictureHit") -> dict[str, Any]:
    fields = {"rank": hit.rank, "score": hit.score, "path": hit.path}
    return fields if hit.matching_score is None else {**fields, "matching_score": hit.matching_score}


def _tiles(index: "PictureIndex", hits: list["PictureHit"]) -> Iterator["Tile"]:
    from ..data.images import BadRowError
    from ..retrieval.contact_sheet import Tile

    for hit in hits:
        scores = {} if hit.matching_score is None else {"matching": hit.matching_score}
        scores["cosine"] = hit.score
        try:
            yield Tile(hit.rank, hit.path, scores, index.read(hit))
        except BadRowError as error:
            yield Tile(hit.rank, hit.path, scores, problem=str(error))


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _shown(text: str) -> str:
    """What a terminal can take: file names may hold anything."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)
