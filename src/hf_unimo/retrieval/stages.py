# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Retrieval of many images and many texts in stages: each is encoded once and kept, features are compared by matrix
products, and only the pairs that are candidates are scored, from what was kept.
"""

import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from ..data.benchmarks.rows import TokenIds
from ..data.buckets import bucketed
from ..data.images import BadRowError
from ..errors import BadInputError
from ..files import write_atomically
from .adapters import PairAdapter, Parts, stack
from .candidates import Candidates, products, shortlist
from .digest import model_fingerprint
from .store import RECORD, RowStore, read_record


NEAR_TIE = 1e-4
"""Where the last chosen grounded token leads the next by no more, rounding may decide which of them a pair gets."""

STATES = ("float32", "bfloat16")

_BATCHES = 16  # of a block of pairs: what is lost at most if a run is stopped


@dataclass(frozen=True)
class Matches:
    """
    Matching scores of candidates.

    Args:
        candidates ([`Candidates`]): The pairs.
        scores (`(pairs,)`, float32): A memory map, in the order of the pairs.
        close (`(pairs,)`, bool): A memory map: pairs whose choice of grounded tokens is a near tie, see `NEAR_TIE`.
            Computed in another way, e.g. unstaged, they may get other tokens and another score.
    """

    candidates: Candidates
    scores: np.ndarray
    close: np.ndarray

    @property
    def near_ties(self) -> int:
        """How many pairs are near ties."""
        return int(np.count_nonzero(self.close))


class Stages:
    """
    N images and M texts, encoded once in a folder, and scores of their pairs.

    ```python
    adapter = pair_adapter(*load_model("MODEL"))
    with Stages(adapter, pictures, texts, "FOLDER", data="my pictures, first edition") as stages:
        stages.encode()
        matches = stages.match(stages.candidates(best_texts=128, best_images=32))
    ```

    A run that was stopped goes on where it stood, if it is started with the same arguments: what was encoded and what
    was scored is not computed again.

    Args:
        adapter ([`PairAdapter`]): The model. Its `batch_size` is the most rows, or pairs, of a forward pass.
        pictures: Pictures, or what `open_picture` makes one of.
        texts: Texts, or token ids.
        folder (*optional*): Where all is kept; without it in a temporary one, which [`close`] removes.
        data (`str`, defaults to `""`): Names the pictures' state, e.g. a hash. With a folder, other data are refused.
        open_picture (`Callable`, *optional*): Opens a picture; raises BadRowError for one that cannot be read, which
            is then left out.
        matching (`bool`, defaults to True): Whether to keep what matching needs, not features alone.
        states (`str`, defaults to `"float32"`): Type of the token states in the folder, or `"bfloat16"`: half of the
            room. Scores that choose grounded tokens and features are float32 in any case.
        memory (`int`, defaults to 1024): MiB for what this class holds at once: rows until they are written, the
            pictures' parts of a block of pairs, the batch that is scored, blocks of contrastive scores. Batches and
            blocks are as small as that takes, but not below one row or pair. The weights, a forward pass (a batch is a
            16th of this setting at most, so that about ten times its size fits), pictures while they are open and 24
            bytes a candidate come on top.
        block_size (`int`, defaults to 256): Rows that are written together at most.
        progress (`bool`, defaults to False): Whether to show bars.

    Raises:
        BadInputError: If the model cannot do it, a setting is not accepted, or the folder holds something else.
    """

    def __init__(
        self,
        adapter: PairAdapter,
        pictures: Sequence[Any],
        texts: Sequence[str] | Sequence[TokenIds],
        folder: str | os.PathLike | None = None,
        *,
        data: str = "",
        open_picture: Callable[[Any], Image.Image] = lambda picture: picture,
        matching: bool = True,
        states: str = "float32",
        memory: int = 1024,
        block_size: int = 256,
        progress: bool = False,
    ):
        if states not in STATES:
            raise BadInputError(f"The type of kept states is {states!r}; accepted are {' and '.join(STATES)}.")
        if memory < 1:
            raise BadInputError(f"The memory is {memory} MiB; accepted are integers from 1 on.")
        if matching and not adapter.matching:
            raise BadInputError(f"{type(adapter.model).__name__} has no matching score; accepted is matching=False.")
        self.adapter, self.pictures, self.texts = adapter, pictures, texts
        self.matching, self.progress = matching, progress
        self._open, self._block_size, self._memory = open_picture, block_size, memory * 2**20
        self._temporary = TemporaryDirectory(prefix="hf_unimo-") if folder is None else None
        self.folder = Path(self._temporary.name if self._temporary else os.fspath(folder or ""))
        common: dict[str, Any] = {}
        if folder is not None:
            size, steps = adapter.images.describe()
            common = model_fingerprint(adapter.model) | {"data": data, "states": states, "matching": matching}
            common["preprocessing"] = json.loads(json.dumps([size, steps, adapter.texts.max_length]))
        types = dict.fromkeys(adapter.rounded, states)
        self.image_store = RowStore(self.folder / "images", common | {"number": len(pictures)}, types)
        of_texts = {} if folder is None else {"texts": _digest(texts)}
        self.text_store = RowStore(self.folder / "texts", common | of_texts | {"number": len(texts)}, types)

    def __enter__(self) -> "Stages":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Removes what lies in a temporary folder. A folder that was named stays."""
        if self._temporary is not None:
            self._temporary.cleanup()

    @property
    def images(self) -> np.ndarray:
        """The numbers of the pictures that could be used; by their places in here the other methods call images."""
        return self.image_store.kept

    @property
    def failed(self) -> list[tuple[int, str]]:
        """Number and reason of each picture that could not be used."""
        return self.image_store.failed

    def encode(self) -> None:
        """
        Encodes what is not encoded yet.

        Raises:
            BadInputError: If no picture can be used, or the disk has no room.
        """
        self._encode("encoding images", self.image_store, len(self.pictures), self._next_images)
        if self.pictures and not len(self.image_store):
            reason = self.failed[0][1]
            self.image_store.forget()  # pictures that are repaired shall be read again
            raise BadInputError(f"None of the {len(self.pictures)} rows could be used; of the first: {reason}.")
        self._encode("encoding texts", self.text_store, len(self.texts), self._next_texts)

    def contrastive(self, of_texts: bool = False) -> Iterator[tuple[int, np.ndarray]]:
        """
        Contrastive scores in blocks, see [`~hf_unimo.retrieval.candidates.products`]: images x texts, or with
        `of_texts` texts x images.
        """
        sides = self.image_store.matrix("features"), self.text_store.matrix("features")
        return products(*(sides[::-1] if of_texts else sides), self._memory // 2)

    def contrastive_scores(self) -> np.ndarray:
        """All of them, `(images, texts)`, float32: a memory map."""
        shape = len(self.image_store), len(self.text_store)
        found = np.memmap(self.folder / "contrastive.values", np.float32, "w+", shape=shape)
        for start, scores in self.contrastive():
            found[start : start + len(scores)] = scores
        found.flush()
        return found

    def candidates(self, best_texts: int | None = None, best_images: int | None = None) -> Candidates:
        """
        Pairs to score: all, or the best by contrastive features.

        Args:
            best_texts (`int`, *optional*): Texts of each image.
            best_images (`int`, *optional*): Images of each text. The pairs of both are united; neither is all pairs.

        Raises:
            BadInputError: If a number is below 1, or the model has no features.
        """
        images, texts = len(self.image_store), len(self.text_store)
        if best_texts is None and best_images is None:
            return Candidates.all(images, texts)
        if not self.adapter.features:
            raise BadInputError(
                f"{type(self.adapter.model).__name__} has no contrastive features to choose candidates by; accepted "
                "are all pairs."
            )
        for number in (best_texts, best_images):
            if number is not None and number < 1:
                raise BadInputError(f"The number of candidates is {number}; accepted are integers from 1 on.")
        path = self.folder / f"candidates-{best_texts or 0}-{best_images or 0}.npz"
        if path.is_file():  # other threads or blocks could round otherwise, and what was scored be lost
            with np.load(path, allow_pickle=False) as stored:
                found = stored["images"], stored["texts"]
        else:
            features = self.image_store.matrix("features"), self.text_store.matrix("features")
            found = shortlist(*features, best_texts or 0, best_images or 0, self._memory // 2)
            buffer = io.BytesIO()
            np.savez(buffer, images=found[0], texts=found[1])
            write_atomically(path, buffer.getvalue())
        return Candidates.of_pairs(*found, images)

    def match(self, candidates: Candidates, name: str = "matching") -> Matches:
        """
        Scores candidates.

        Args:
            candidates ([`Candidates`]): Of images by their place in [`images`], and of texts by their number.
            name (`str`, defaults to `"matching"`): Folder, in that of these stages, for the scores.

        Raises:
            BadInputError: If that folder holds scores of other candidates.
        """
        folder, total = self.folder / name, len(candidates)
        record = {"fingerprint": {"candidates": candidates.digest()}, "done": 0}
        found = read_record(folder / RECORD, record["fingerprint"], "scores")  # type: ignore[arg-type]
        folder.mkdir(parents=True, exist_ok=True)
        record = found or record
        mode = "w+" if found is None else "r+"
        if not total:
            return Matches(candidates, np.zeros(0, np.float32), np.zeros(0, bool))
        scores = np.memmap(folder / "scores.values", np.float32, mode, shape=(total,))  # type: ignore[call-overload]
        close = np.memmap(folder / "close.values", bool, mode, shape=(total,))  # type: ignore[call-overload]
        bar = tqdm(total=total, initial=record["done"], desc=name, unit="pair", disable=not self.progress)
        while (start := int(record["done"])) < total:  # type: ignore[call-overload]
            stop = self._end_of_block(candidates, start)
            for places, matched in self._match_block(*candidates.pairs(start, stop)):
                scores[start + places] = matched.scores
                if matched.margins is not None:
                    close[start + places] = matched.margins <= NEAR_TIE
                bar.update(len(places))
            scores.flush()
            close.flush()
            record = record | {"done": stop}
            write_atomically(folder / RECORD, json.dumps(record, indent=2) + "\n")
        bar.close()
        return Matches(candidates, scores, close)

    # Encoding

    def _encode(
        self,
        title: str,
        store: RowStore,
        total: int,
        next_rows: Callable[[int, int], tuple[list[Parts], int, list[tuple[int, str]]]],
    ) -> None:
        """Appends rows to the store until it has dealt with `total` items. Batches depend on rows before them only."""
        bar = tqdm(total=total, initial=store.items, desc=title, unit="row", disable=not self.progress)
        while store.items < total:
            # The first row is a block by itself, which tells how large rows are.
            stop = min(total, store.items + (self._block_size if len(store) else 1))
            largest = int(store.sizes().max()) if len(store) else 1
            rows: list[dict[str, np.ndarray]] = []
            failed: list[tuple[int, str]] = []
            items = held = 0
            while store.items + items < stop and held < self._memory // 8:
                start = store.items + items
                new, dealt, refused = next_rows(start, min(stop - start, self._fitting(largest, 16)))
                packed = [store.pack(row) for row in new]
                largest = max([largest, *(4 * sum(value.size for value in row.values()) for row in packed)])
                held += sum(value.nbytes for row in packed for value in row.values())
                rows, items, failed = rows + packed, items + dealt, failed + refused
                bar.update(dealt)
            self._check_room(store, held, items, total)
            store.append(rows, items, failed)
        bar.close()

    def _next_images(self, start: int, number: int) -> tuple[list[Parts], int, list[tuple[int, str]]]:
        """Parts of some pictures, how many were tried, and those that failed. Few are open at once: they are large."""
        stop = start + min(number, self.adapter.batch_size)
        opened, numbers, failed = [], [], []
        for place in range(start, stop):
            try:
                opened.append(self._open(self.pictures[place]))
                numbers.append(place)
            except BadRowError as error:
                failed.append((place, str(error)))
        rows, refused = all_or_one_by_one(
            lambda images: self.adapter.encode_images(images, matching=self.matching), opened
        )
        failed += [(numbers[place], reason) for place, reason in refused.items()]
        return [row for part in rows for row in part], stop - start, sorted(failed)

    def _next_texts(self, start: int, number: int) -> tuple[list[Parts], int, list[tuple[int, str]]]:
        # A text as long as the model can take is as large as it gets.
        texts = self.texts[start : start + number]
        if self.adapter.text_length in self.text_store.names:  # the next may be longer than all before
            a_token = self.text_store.sizes()[0] // self.text_store.shapes(self.adapter.text_length)[0, 0]
            tokens = np.cumsum(self.adapter.texts.lengths(texts))
            fitting = int(np.searchsorted(tokens, self._fitting(int(a_token), 16), side="right"))
            texts = texts[: max(1, fitting)]
        return self.adapter.encode_texts(texts, matching=self.matching), len(texts), []

    def _check_room(self, store: RowStore, held: int, items: int, total: int) -> None:
        needed = round((store.size + held) / (store.items + items) * (total - store.items))
        place = next(folder for folder in (store.folder, *store.folder.parents) if folder.is_dir())
        free = shutil.disk_usage(place).free
        if needed > free:
            raise BadInputError(
                f"{place} has {free:,} bytes free, but about {needed:,} are needed for {total} encoded rows; accepted "
                "are a folder with more room and states in bfloat16."
            )

    # Matching

    def _end_of_block(self, candidates: Candidates, start: int) -> int:
        """So many pairs that their pictures' parts fit, and that not too much is lost if the run is stopped."""
        pictures = self._fitting(int(self.image_store.sizes().max()), 4)
        first = int(np.searchsorted(candidates.offsets, start, side="right")) - 1
        last = min(first + pictures, len(candidates.offsets) - 1)
        return min(start + _BATCHES * self.adapter.batch_size, int(candidates.offsets[last]))

    def _match_block(self, images: np.ndarray, texts: np.ndarray) -> Iterator[tuple[np.ndarray, Any]]:
        """Places among these pairs, and what matching says of them, batch by batch; each picture is read once."""
        # Features choose candidates; where a score has them too, they are among the parts of both sides.
        pictures = {image: self.image_store.parts(int(image)) for image in np.unique(images)}
        shapes = self.image_store.shapes(self.adapter.image_size)[images]
        lengths = self.text_store.shapes(self.adapter.text_length)[texts, 0]
        pair = int(self.image_store.sizes()[images].max() + self.text_store.sizes()[texts].max())
        at_once = min(self.adapter.batch_size, self._fitting(pair, 16))
        for shape in np.unique(shapes, axis=0):
            pairs = np.flatnonzero((shapes == shape).all(1))
            for chosen in bucketed(lengths[pairs].tolist(), at_once):
                places = pairs[chosen]
                yield (
                    places,
                    self.adapter.match_parts(
                        stack([pictures[image] for image in images[places]]),
                        self.adapter.collate_texts([self.text_store.parts(int(text)) for text in texts[places]]),
                    ),
                )

    def _fitting(self, size: int, share: int) -> int:
        """How many rows of `size` bytes fit into a part of the memory; one at least."""
        return max(1, self._memory // share // max(1, size))


def all_or_one_by_one(function: Callable[[list[Any]], Any], items: list[Any]) -> tuple[list[Any], dict[int, str]]:
    """
    Applies a function to all items at once, or if it raises ValueError, as processors do for a picture they cannot
    take, to one after the other to find out which.

    Returns:
        What the calls gave, and the place and the reason of each item that was refused.
    """
    if not items:
        return [], {}
    try:
        return [function(items)], {}
    except BadInputError:
        raise
    except ValueError:
        results, refused = [], {}
        for place, item in enumerate(items):
            try:
                results.append(function([item]))
            except ValueError as error:
                refused[place] = " ".join(str(error).split())
        return results, refused


def _digest(texts: Sequence[str] | Sequence[TokenIds]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for text in texts:
        digest.update(repr(text).encode())
    return digest.hexdigest()
