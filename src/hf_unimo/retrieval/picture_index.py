# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Pictures of a folder in an index, found by text or by picture, with the model that encoded them."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from ..data.images import BadRowError, read_image
from ..data.sources import MAX_IMAGE_PIXELS
from ..errors import BadInputError
from .adapters import PairAdapter
from .digest import weights_digest
from .index import VectorIndex


ENDINGS = (".avif", ".bmp", ".gif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""What pictures of a folder are called, in any case. Files that are named one by one may be called anything."""

MAX_FILE_BYTES = 2**30
COMMIT_ROWS = 256
"""Pictures of a segment: what is lost at most when a build is stopped."""


@dataclass
class Added:
    """
    What became of pictures.

    Args:
        new, changed, same (`int`): Pictures that were not there, whose content is another now (they were added, and
            what they were before is not found any more), and that were there already.
        failed (`list[tuple[str, str]]`): Paths of those that cannot be read, and why.
    """

    new: int = 0
    changed: int = 0
    same: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class PictureHit:
    """
    A picture that was found.

    Args:
        rank (`int`): From 1 on.
        score (`float`): Product of the features of query and picture.
        path (`str`): Of the picture, from the folder of pictures.
        row (`int`): Of the index.
        matching_score (`float`, *optional*): By the matching head, where it was asked: then this is what ranks.
    """

    rank: int
    score: float
    path: str
    row: int
    matching_score: float | None = None


class PictureIndex:
    """
    A [`VectorIndex`] of pictures and the model that fits it. Made by [`PictureIndex.create`] and
    [`PictureIndex.open`].

    An entry has the path of a picture, from the folder of pictures on, and the checksum of its file: when a picture is
    opened again, it must be the file that was indexed.
    """

    def __init__(self, index: VectorIndex, adapter: PairAdapter, root: Path):
        self.index, self.adapter, self.root = index, adapter, root

    @classmethod
    def create(
        cls,
        folder: str | os.PathLike,
        adapter: PairAdapter,
        root: str | os.PathLike,
        dtype: str = "fp32",
        model_name: str | os.PathLike = "",
    ) -> "PictureIndex":
        """
        An index without pictures.

        Args:
            folder: A folder that does not exist, or is empty.
            adapter ([`PairAdapter`]): The model, see [`~hf_unimo.retrieval.adapters.pair_adapter`].
            root: The folder of pictures, by which their paths are told. Stored as a path from the index on: both can
                be moved together.
            dtype (`str`, defaults to `"fp32"`): Or `"bf16"`.
            model_name (*optional*): Where the model lies, so that it can be loaded without being named again.

        Raises:
            BadInputError: If the folder is taken, or the model has no features.
        """
        stamp = _stamp(adapter)
        name = os.fspath(model_name)
        notes = {"pictures": _path_from(root, folder)}
        if name:
            notes |= {"model_folder": _path_from(name, folder)} if os.path.isdir(name) else {"model_id": name}
        width = adapter.text_features(["width"]).shape[1]
        return cls(VectorIndex.create(folder, width, dtype, stamp, notes), adapter, Path(root))

    @classmethod
    def open(
        cls, folder: str | os.PathLike, adapter: PairAdapter, root: str | os.PathLike | None = None
    ) -> "PictureIndex":
        """
        An index that is there.

        Args:
            folder: Where it lies.
            adapter ([`PairAdapter`]): The model that made it.
            root (*optional*): Where the pictures lie now, if they were moved.

        Raises:
            BadInputError: If there is no index of pictures, it is damaged, or another model or preprocessing made it.
        """
        index = VectorIndex.open(folder)
        if index.stamp.get("contents") != "pictures":
            raise BadInputError(
                f"{folder} is an index, but not of pictures; accepted is one of `hf-unimo index build`."
            )
        index = VectorIndex.open(folder, _stamp(adapter))
        return cls(index, adapter, Path(root) if root is not None else pictures_folder(index))

    def __len__(self) -> int:
        """Pictures that can be found."""
        return len(self.index) - len(self.index.replaced)

    def add(self, files: Sequence[str | os.PathLike], progress: bool = False) -> Added:
        """
        Encodes pictures and appends them, `COMMIT_ROWS` at a time; what was stopped goes on when it is called again.

        Args:
            files (paths): See [`find_pictures`]. Each counts once.
            progress (`bool`, defaults to False): Whether to show a bar.

        Raises:
            BadInputError: If another process writes to the index, or there is no room.
        """
        report = Added()
        with self.index.writing():
            known = {entry["path"]: (row, entry["sha256"]) for row, entry in self._shown()}
            paths = dict.fromkeys(os.path.abspath(file) for file in files)
            encoded: list[tuple[dict[str, str], np.ndarray, int | None]] = []
            waiting: list[tuple[dict[str, str], Image.Image, int | None]] = []
            bar = tqdm(paths, desc="pictures", unit="picture", disable=not progress)
            for number, file in enumerate(bar, start=1):
                path = _path_from(file, self.root)
                row, digest = known.get(path, (None, ""))
                try:
                    found, image = _read(Path(file), digest)
                except BadRowError as error:
                    report.failed.append((path, str(error)))
                else:
                    if image is None:
                        report.same += 1
                    else:
                        waiting.append(({"path": path, "sha256": found}, image, row))
                if len(waiting) >= self.adapter.batch_size or (waiting and number == len(paths)):
                    features = self.adapter.image_features([image for _, image, _ in waiting])
                    encoded += [(entry, vector, row) for (entry, _, row), vector in zip(waiting, features)]
                    waiting = []
                if len(encoded) >= COMMIT_ROWS or (encoded and number == len(paths)):
                    replaced = [row for _, _, row in encoded if row is not None]
                    vectors = np.stack([vector for _, vector, _ in encoded])
                    self.index.append(vectors, [entry for entry, _, _ in encoded], replaced)
                    report.changed += len(replaced)
                    report.new += len(encoded) - len(replaced)
                    encoded = []
        return report

    def search(
        self, query: str | Image.Image, top_k: int = 10, rerank: int = 0, *, progress: bool = False
    ) -> list[PictureHit]:
        """
        The pictures that fit best.

        Args:
            query (`str` or `PIL.Image.Image`): A text, or a picture (upright RGB).
            top_k (`int`, defaults to 10): How many.
            rerank (`int`, defaults to 0): So many of the best, by features, are opened again and ordered by the
                matching head's score; all others stay behind them as they are.
            progress (`bool`, defaults to False): Whether re-ranking shows a bar.

        Raises:
            BadInputError: If the text is empty, re-ranking is asked of a model or for a query that cannot be
                re-ranked, or a picture that it needs is gone or was changed.
        """
        if isinstance(query, str) and not query.strip():
            raise BadInputError("The query is an empty text; accepted is a text with words, or a picture.")
        if isinstance(rerank, bool) or not isinstance(rerank, int) or rerank < 0:
            raise BadInputError(f"The number of hits to re-rank is {rerank!r}; accepted are integers from 0 on.")
        if rerank and not isinstance(query, str):
            raise BadInputError("Re-ranking is asked of a query by picture; the matching head scores texts only.")
        if rerank and not self.adapter.matching:
            raise BadInputError(
                f"{type(self.adapter.model).__name__} has no matching head to re-rank with; accepted are models with "
                "one, such as Unimo2ForImageTextRetrieval, or a search without re-ranking."
            )
        features = self.adapter.text_features([query]) if isinstance(query, str) else None
        if features is None:
            features = self.adapter.image_features([query])  # type: ignore[list-item]
        scores, rows = self.index.search(features, max(top_k, rerank) if top_k > 0 else top_k)
        entries = self.index.entries
        hits = [
            PictureHit(number, float(score), _text(entries[row], "path"), int(row))
            for number, (score, row) in enumerate(zip(scores[0], rows[0]), start=1)
        ]
        if rerank:
            hits = self._rerank(query, hits[:rerank], progress) + hits[rerank:]  # type: ignore[arg-type]
        return hits[:top_k]

    def read(self, hit: PictureHit) -> Image.Image:
        """
        The picture of a hit, upright RGB.

        Raises:
            BadRowError: If it is gone, was changed, or cannot be read.
        """
        digest = _text(self.index.entries[hit.row], "sha256")
        found, image = _read(self.root / hit.path)
        if found != digest or image is None:
            raise BadRowError("the picture was changed since it was indexed; accepted is what `index add` has seen")
        return image

    def _rerank(self, text: str, hits: list[PictureHit], progress: bool) -> list[PictureHit]:
        size, scores = self.adapter.batch_size, []
        for start in tqdm(range(0, len(hits), size), desc="matching", disable=not progress):
            images = []
            for hit in hits[start : start + size]:
                try:
                    images.append(self.read(hit))
                except BadRowError as error:
                    raise BadInputError(f"{hit.path} cannot be re-ranked: {error}.") from error
            scores.append(self.adapter.match(images, np.arange(len(images)), [text] * len(images)))
        found = np.concatenate(scores) if scores else np.empty(0)
        order = np.argsort(-found, kind="stable")
        return [
            replace(hits[place], rank=rank, matching_score=float(found[place]))
            for rank, place in enumerate(order, start=1)
        ]

    def _shown(self) -> Iterator[tuple[int, dict[str, Any]]]:
        hidden = set(self.index.replaced.tolist())
        for row, entry in enumerate(self.index.entries):
            if row not in hidden:
                yield row, {name: _text(entry, name) for name in ("path", "sha256")}


def find_pictures(places: Sequence[str | os.PathLike]) -> list[str]:
    """
    The files that are meant by files and folders: all files that are named, and of folders, with what is below them,
    those with an ending of `ENDINGS`, in alphabetical order. What begins with a dot is left out, and links to folders
    are not followed.

    Raises:
        BadInputError: If a place does not exist, or a folder has no pictures.
    """
    found: list[str] = []
    for place in [os.fspath(place) for place in places]:
        if os.path.isfile(place):
            found.append(place)
            continue
        if not os.path.isdir(place):
            raise BadInputError(f"{place} does not exist; accepted are folders and files of pictures.")
        number = len(found)
        for folder, below, files in os.walk(place):
            below[:] = sorted(name for name in below if not name.startswith("."))
            named = sorted(name for name in files if name.lower().endswith(ENDINGS) and not name.startswith("."))
            found += [os.path.join(folder, name) for name in named]
        if len(found) == number:
            raise BadInputError(f"{place} has no pictures; accepted are files that end in {', '.join(ENDINGS)}.")
    return found


def pictures_folder(index: VectorIndex) -> Path:
    """Where the pictures of an index lie, as it was told when it was made."""
    return Path(os.path.normpath(index.folder / _text(index.notes, "pictures")))


def model_place(index: VectorIndex) -> str | None:
    """The folder or the Hub id of the model that made an index, as it was told; None if it was not."""
    if "model_folder" in index.notes:
        return os.path.normpath(index.folder / _text(index.notes, "model_folder"))
    return _text(index.notes, "model_id") if "model_id" in index.notes else None


def read_picture(file: str | os.PathLike) -> Image.Image:
    """
    A picture to search by, upright RGB.

    Raises:
        BadInputError: If there is none, or it cannot be read.
    """
    try:
        image = _read(Path(file))[1]
    except BadRowError as error:
        raise BadInputError(f"{os.fspath(file)} cannot be used: {error}.") from error
    assert image is not None
    return image


def _read(file: Path, known: str = "") -> tuple[str, Image.Image | None]:
    """The checksum of a file and its picture; no picture if the checksum is `known`. Raises BadRowError."""
    try:
        if not file.is_file():  # pipes and devices could be read for ever
            raise BadRowError("there is no such file")
        if (size := file.stat().st_size) > MAX_FILE_BYTES:
            raise BadRowError(f"the file has {size:,} bytes; accepted are up to {MAX_FILE_BYTES:,}")
        data = file.read_bytes()
    except OSError as error:
        raise BadRowError(f"the file cannot be read ({error.strerror})") from error
    digest = hashlib.sha256(data).hexdigest()
    return digest, None if digest == known else read_image(data, MAX_IMAGE_PIXELS)


def _stamp(adapter: PairAdapter) -> dict[str, Any]:
    if not adapter.features:
        raise BadInputError(
            f"{type(adapter.model).__name__} has no features of pictures alone; accepted are models with contrastive "
            "features."
        )
    size, steps = adapter.images.describe()
    return {
        "contents": "pictures",
        "model": weights_digest(adapter.model),
        "model_class": type(adapter.model).__name__,
        "preprocessing": {"size": size, **steps},
    }


def _path_from(path: str | os.PathLike, folder: str | os.PathLike) -> str:
    """`path` as it is found from `folder`, with `/`; absolute where there is no way, on another drive."""
    path = os.path.abspath(path)
    try:
        return os.path.relpath(path, os.path.abspath(folder)).replace(os.sep, "/")
    except ValueError:
        return path.replace(os.sep, "/")


def _text(tree: dict[str, Any], name: str) -> str:
    """A text of an index's JSON, which may be a stranger's."""
    if not isinstance(tree.get(name), str):
        raise BadInputError(f"The index is damaged: an entry has no {name!r}; build it anew.")
    return tree[name]
