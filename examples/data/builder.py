# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""What the builders of data sets share: the command line, splits and samples by hash, the Parquet file."""

import argparse
import hashlib
import sys
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Features
from packages import Package, archives, require
from PIL import Image as PILImage

from hf_unimo.errors import BadInputError
from hf_unimo.files import write_atomically


SPLITS = ("train", "validation", "test")
Row = dict[str, Any]


def hash_key(*parts: str | bytes) -> bytes:
    """The SHA-256 of some texts: an order, and a share of the whole, that are the same on every machine."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.digest()


def is_within_share(share: float, *parts: str | bytes) -> bool:
    """True for `share` of all texts."""
    return int.from_bytes(hash_key(*parts)[:8], "big") < share * 2**64


def split_by_hash(key: str | bytes, validation: float = 0.1, test: float = 0.1) -> str:
    """The split of everything that has this key."""
    if is_within_share(test, "split", key):
        return "test"
    return "validation" if is_within_share(test + validation, "split", key) else "train"


def spread_sample(rows: Iterable[Row], count: int, group: Callable[[Row], Hashable], key: str) -> list[Row]:
    """`count` of the rows, from each group (almost) as many, chosen by the hash of column `key`, in the old order."""
    by_hash = sorted(enumerate(rows), key=lambda item: hash_key("sample", item[1][key]))
    ranks: Counter = Counter()
    order = []  # (how many of its group come before it, place by hash, place in `rows`)
    for place, (number, row) in enumerate(by_hash):
        order.append((ranks[group(row)], place, number))
        ranks[group(row)] += 1
    chosen = {number for _, _, number in sorted(order)[:count]}
    return [row for number, row in sorted(by_hash, key=lambda item: item[0]) if number in chosen]


def on_white(drawing: PILImage.Image) -> PILImage.Image:
    """A picture without transparency: RGB."""
    drawing = drawing.convert("RGBA")
    return PILImage.alpha_composite(PILImage.new("RGBA", drawing.size, "white"), drawing).convert("RGB")


def write_table(rows: list[Row], features: Features, path: Path) -> None:
    """Writes the Parquet file beside `path` and moves it into place."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=features.arrow_schema), sink, compression="zstd")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, sink.getvalue().to_pybytes())


def print_counts(rows: list[Row], features: Features, counted: str | None) -> None:
    """The rows of each split, and of each value of the column `counted` in it."""
    for split in SPLITS:
        inside = [row for row in rows if row["split"] == split]
        print(f"{split:12} {len(inside):8,} rows")
        if counted is not None:
            feature = features[counted]
            names = Counter(
                feature.int2str(row[counted]) if isinstance(feature, ClassLabel) else row[counted] for row in inside
            )
            print("".join(f"    {name} {count:,}" for name, count in sorted(names.items())))


def run_builder(
    arguments: list[str] | None,
    *,
    doc: str,
    packages: dict[str, Package],
    file: str,
    features: Features,
    make_rows: Callable[[dict[str, Path], int | None], list[Row]],
    counted: str | None = None,
    needs: dict[str, str] | None = None,
) -> int:
    """
    The command of a builder: writes `file` below `--output`, prints counts, size and hash.

    Args:
        arguments: The command line.
        doc: The builder's docstring.
        packages: The archives by a short name.
        file: Name of the Parquet file.
        features: Its columns.
        make_rows: From the paths of the archives, and the size of a sample or None, to all rows.
        counted (*optional*): A column whose values are counted.
        needs (*optional*): Modules that may be missing, with the extra that brings them.

    Returns:
        The exit code: 2 for bad input, with one sentence on standard error.
    """
    listed = ", ".join(package.file for package in packages.values())
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help=f"folder for {file}")
    parser.add_argument("--packages", type=Path, metavar="DIR", help=f"folder with {listed} (default: fetch)")
    parser.add_argument("--sample", type=int, metavar="N", help="about N rows of all kinds, for tests")
    options = parser.parse_args(arguments)
    path = options.output / file
    try:
        for module, extra in (needs or {}).items():
            require(module, extra)
        if options.output.exists() and not options.output.is_dir():
            raise BadInputError(f"{options.output} is no folder; name one, or a new one.")
        if options.sample is not None and options.sample < 1:
            raise BadInputError(f"--sample was {options.sample}; accepted is 1 or more.")
        with archives(packages, options.packages) as paths:
            rows = make_rows(paths, options.sample)
        if not rows:
            raise BadInputError(f"--sample {options.sample} leaves no rows; accepted are larger numbers.")
        write_table(rows, features, path)
    except BadInputError as error:
        print(f"{parser.prog.removesuffix('.py')}: {error}", file=sys.stderr)
        return 2
    print_counts(rows, features, counted)
    print(f"{file}  {path.stat().st_size:,} bytes  {hashlib.sha256(path.read_bytes()).hexdigest()}")
    return 0
