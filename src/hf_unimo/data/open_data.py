# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The data that a command line or a configuration names, as rows of a task: public benchmarks, and a person's own."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config_tree import mapping, override_key, parse_yaml, read_section
from ..errors import BadInputError, unknown_name
from .benchmarks import BENCHMARKS, open_benchmark
from .benchmarks.rows import Benchmark
from .own_data import KINDS, MORE_COLUMNS, open_own_data
from .sources import SourceOptions


def open_words(words: Sequence[str], task: str, key: str = "data") -> Benchmark:
    """
    The data that a command line names.

    Args:
        words: `NAME=PATH` of a benchmark, a YAML file or `path=PATH`; then `key=value`: options of
            [`~hf_unimo.data.benchmarks.open_benchmark`], or keys of a source, dotted where they are nested.
        task (`str`): A key of [`~hf_unimo.data.own_data.KINDS`].
        key (`str`, defaults to `"data"`): What messages call it.

    Raises:
        BadInputError: If they name no data, or the data cannot be read.
    """
    tree: dict[str, Any] = {}
    folder, words = ".", list(words)
    name, equals, path = words[0].partition("=")
    if equals and name in BENCHMARKS:
        tree, words = {"benchmark": name, "path": path}, words[1:]
    elif not equals:
        tree = dict(mapping(parse_yaml(_text_of(name, key), name), name))
        folder, words = os.path.dirname(name) or ".", words[1:]
    for word in words:
        override_key(tree, word)
    return open_tree(tree, task, folder, key)


def open_tree(tree: Mapping[str, Any], task: str, folder: str | os.PathLike = ".", key: str = "data") -> Benchmark:
    """
    The data that a section of a configuration names.

    Args:
        tree (mapping): `benchmark`, `path`, `split` ("test" by default), `images` and what else `open_benchmark`
            takes; or without `benchmark` the keys of [`~hf_unimo.data.sources.SourceOptions`], with those of
            [`~hf_unimo.data.own_data.MORE_COLUMNS`] among its columns, and `missing`.
        task (`str`): As above.
        folder (defaults to the working directory): What paths are relative to.
        key (`str`, defaults to `"data"`): What messages call it.

    Raises:
        BadInputError: As above.
    """
    tree = dict(tree)
    if "benchmark" not in tree:
        return _own_data(tree, task, folder, key)
    name = tree.pop("benchmark")
    if name not in BENCHMARKS:
        raise BadInputError(f"{key}.benchmark is unknown: {unknown_name(str(name), BENCHMARKS)}")
    if "path" not in tree:
        raise BadInputError(f"{key}.path is missing: the folder or file of {name}.")
    split, path, images = str(tree.pop("split", "test")), tree.pop("path"), tree.pop("images", None)
    images = None if images is None else os.path.join(folder, str(images))
    return open_benchmark(name, os.path.join(folder, str(path)), split, images, **tree)


def _own_data(tree: dict[str, Any], task: str, folder: str | os.PathLike, key: str) -> Benchmark:
    name, missing = str(tree.pop("name", "data")), tree.pop("missing", "refuse")
    if missing not in ("refuse", "drop"):
        raise BadInputError(f"{key}.missing is {missing!r}; accepted are refuse and drop.")
    columns = dict(mapping(tree.pop("columns", None) or {}, f"{key}.columns"))
    more = {column: columns.pop(column) for column in MORE_COLUMNS if column in columns}
    for column, value in more.items():
        if not isinstance(value, str):
            raise BadInputError(f"{key}.columns.{column} is {value!r}; accepted is a column's name.")
    hidden = ("weight", "streaming", "shuffle_buffer", "batch_size", "group_by", "kind", "columns")
    given = {"name": name, "kind": KINDS[task], "columns": columns}
    options = read_section(SourceOptions, tree, key, hidden=hidden, **given)
    if options.captions == "shuffle":
        raise BadInputError(f"{key}.captions is 'shuffle'; accepted here are 'any' and 'join': nothing is drawn.")
    return open_own_data(options, task, more, folder=folder, missing=missing)


def _text_of(path: str, key: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(
            f"--{key} is {path}, which cannot be read ({error}); accepted are NAME=PATH of a public data set, a YAML "
            "file, and path=PATH."
        ) from error
