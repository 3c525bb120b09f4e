# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Resident memory while batches of a streaming source are read: pictures decoded and augmented, captions masked, all of
it collated, without a model. The data are written to a temporary folder.

  python -m benchmarks.memory
  python -m benchmarks.memory --format parquet --workers 2

The exit code is 1 if memory grows by more than the limit.
"""

import argparse
import io
import json
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

import datasets
import numpy as np
import psutil
from PIL import Image
from tqdm.auto import tqdm

from hf_unimo.data.batches import train_loader
from hf_unimo.data.collator import PretrainingCollator
from hf_unimo.data.schedule import Schedule, Source
from hf_unimo.data.sources import SourceOptions, open_source
from hf_unimo.errors import BadInputError
from hf_unimo.models.unimo2.image_processing_pil_unimo2 import Unimo2ImageProcessorPil
from hf_unimo.models.unimo2.tokenization_unimo2 import Unimo2Tokenizer


TOKENIZER = Path(__file__).parents[1] / "examples" / "data" / "emoji" / "tokenizer"

FORMATS = ("tar", "parquet")

LIMIT = 50.0
"""Megabytes (10^6 bytes) by which memory may grow after the warm-up."""

_WORDS = [
    "a",
    "red",
    "green",
    "blue",
    "small",
    "large",
    "old",
    "new",
    "cat",
    "dog",
    "house",
    "tree",
    "car",
    "boat",
    "road",
    "river",
]


def write_pairs(folder: Path, format: str, rows: int, shards: int, side: int) -> str:
    """
    Writes pairs of JPEG pictures and captions, of different sizes each.

    Args:
        folder (`Path`): Where to.
        format (`str`): One of `FORMATS`.
        rows, shards (`int`): How many of each; the rows are shared out over the shards.
        side (`int`): Longest side of a picture, in pixels; the shortest is half of it.

    Returns:
        A glob of the files.
    """
    random = np.random.RandomState(0)
    for shard in range(shards):
        names = range(shard * rows // shards, (shard + 1) * rows // shards)
        pairs = [(f"{name:08}", *_pair(random, side)) for name in names]
        if format == "tar":
            _write_tar(folder / f"{shard:03}.tar", pairs)
            continue
        columns = {
            "image": [{"bytes": picture, "path": f"{name}.jpg"} for name, picture, _ in pairs],
            "text": [text for *_, text in pairs],
        }
        datasets.Dataset.from_dict(columns).to_parquet(folder / f"{shard:03}.parquet", batch_size=100)
    return str(folder / f"*.{format}")


def _pair(random: np.random.RandomState, side: int) -> tuple[bytes, str]:
    size = random.randint(side // 2, side + 1, 2)
    coarse = Image.fromarray(random.randint(0, 256, (8, 8, 3), dtype=np.uint8)).resize(tuple(size.tolist()))
    noise = random.randint(-20, 21, (size[1], size[0], 3))
    picture = io.BytesIO()
    Image.fromarray((np.asarray(coarse) + noise).clip(0, 255).astype(np.uint8)).save(picture, "JPEG")
    return picture.getvalue(), " ".join(random.choice(_WORDS, random.randint(3, 20)))


def _write_tar(path: Path, pairs: list[tuple[str, bytes, str]]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, picture, text in pairs:
            for ending, content in (("jpg", picture), ("txt", text.encode())):
                header = tarfile.TarInfo(f"{name}.{ending}")
                header.size = len(content)
                archive.addfile(header, io.BytesIO(content))


def measure_memory(
    batches: int = 2000,
    *,
    warm_up: int = 400,
    batch_size: int = 8,
    rows: int = 2000,
    shards: int = 4,
    side: int = 256,
    image_size: int = 112,
    shuffle_buffer: int = 500,
    format: str = "tar",
    workers: int = 0,
    limit: float = LIMIT,
) -> dict:
    """
    Reads `warm_up + batches` batches and looks at the resident memory of this process and its workers after each.

    Args:
        batches, warm_up (`int`): Batches that count, and those before them. The warm-up should hold two blocks of
            every reader, i.e. `2 * shuffle_buffer * max(1, workers)` rows.
        batch_size, rows, shards, side: Rows of a batch; what [`write_pairs`] writes.
        image_size (`int`): Pixels of the batch's pictures, each way.
        shuffle_buffer (`int`): Rows of a block.
        format (`str`): One of `FORMATS`.
        workers (`int`, defaults to 0): Worker processes of the loader.
        limit (`float`): Megabytes.

    Returns:
        `dict` with the arguments; `start` and `end`, megabytes after the last batch of the warm-up and of all;
        `growth`: from `start` to the *highest* value after it; `per_1000_batches`: slope of a straight line through
        all values after the warm-up; `fine`: whether the growth is within the limit.

    Raises:
        BadInputError: If the format is unknown or a number is too small.
    """
    if format not in FORMATS:
        raise BadInputError(f"The format is {format!r}; accepted are {', '.join(FORMATS)}.")
    if batches < 2 or warm_up < 1:
        raise BadInputError(f"There are {batches} batches and {warm_up} of warm-up; at least 2 and 1 are needed.")
    arguments = {name: value for name, value in locals().items() if name != "limit"}
    collator = PretrainingCollator(
        Unimo2Tokenizer.from_pretrained(TOKENIZER), Unimo2ImageProcessorPil(size=image_size), own_masked_pass=True
    )
    with tempfile.TemporaryDirectory() as folder:
        path = write_pairs(Path(folder), format, rows, shards, side)
        source = open_source(SourceOptions("pairs", "pairs", path, streaming=True, shuffle_buffer=shuffle_buffer))
        # More than are read, so that no worker has ended and given its memory back when the last one is looked at.
        schedule = Schedule([Source("pairs", "pairs")], warm_up + batches + 10 * workers)
        loader = train_loader([source], schedule, collator, batch_size=batch_size, num_workers=workers)
        values = np.empty(warm_up + batches)
        for index, batch in zip(range(warm_up + batches), tqdm(loader, unit="batch", disable=None)):
            assert len(batch["pixel_values"]) == batch_size
            values[index] = resident_bytes() / 1e6
    counted = values[warm_up:]
    start, growth = values[warm_up - 1], counted.max() - values[warm_up - 1]
    return {
        **arguments,
        "start": start,
        "end": values[-1],
        "growth": growth,
        "per_1000_batches": np.polyfit(np.arange(batches), counted, 1)[0] * 1000,
        "limit": limit,
        "fine": bool(growth <= limit),
    }


def resident_bytes() -> int:
    """Of this process and those that it has started."""
    process = psutil.Process()
    return sum(each.memory_info().rss for each in [process, *process.children(recursive=True)])


def to_text(result: dict) -> str:
    """What was measured, and the verdict."""
    verdict = "fine" if result["fine"] else "TOO MUCH"
    return (
        f"{result['batches']:,} batches of {result['batch_size']} pairs from {result['format']}, {result['workers']} "
        f"workers, after {result['warm_up']} of warm-up: resident memory {result['start']:.1f} MB, at the end "
        f"{result['end']:.1f} MB ({result['per_1000_batches']:+.1f} MB per 1,000 batches)\n"
        f"growth to the highest value: {result['growth']:.1f} MB; limit {result['limit']:g} MB: {verdict}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.memory", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batches", metavar="N", type=int, default=2000, help="default: %(default)s")
    parser.add_argument("--warm-up", metavar="N", type=int, default=400, help="default: %(default)s")
    parser.add_argument("--batch-size", metavar="N", type=int, default=8, help="default: %(default)s")
    parser.add_argument("--rows", metavar="N", type=int, default=2000, help="of the data (default: %(default)s)")
    parser.add_argument("--side", metavar="N", type=int, default=256, help="of pictures (default: %(default)s pixels)")
    parser.add_argument("--shuffle-buffer", metavar="N", type=int, default=500, help="default: %(default)s rows")
    parser.add_argument("--format", choices=FORMATS, default=FORMATS[0], help="default: %(default)s")
    parser.add_argument("--workers", metavar="N", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--limit", metavar="MB", type=float, default=LIMIT, help="default: %(default)s")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the figures there")
    args = vars(parser.parse_args(argv))
    place, batches = args.pop("json"), args.pop("batches")
    try:
        result = measure_memory(batches, **args)
    except BadInputError as error:
        print(f"benchmarks.memory: {error}", file=sys.stderr)
        return 2
    print(to_text(result))
    if place is not None:
        place.write_text(json.dumps(result, indent=1) + "\n")
    return 0 if result["fine"] else 1


if __name__ == "__main__":
    sys.exit(main())
