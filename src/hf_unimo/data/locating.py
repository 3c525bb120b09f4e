# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Where the data of a source lie: the files, the folder or the Hub id that its `path` means, and their format."""

import glob
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from datasets.data_files import DataFilesDict, EmptyDatasetError, get_data_patterns
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from ..errors import BadInputError
from .shards import expand_braces, is_url


if TYPE_CHECKING:
    from .sources import SourceOptions


ENDINGS = {
    "json": (".json", ".jsonl", ".ndjson"),
    "csv": (".csv",),
    "parquet": (".parquet",),
    "arrow": (".arrow",),
    "webdataset": (".tar",),
}
FORMATS = ("imagefolder", *ENDINGS, "hub")


@dataclass(frozen=True)
class FoundData:
    """Where a source's data lie."""

    format: str  # one of FORMATS, or "saved" for a folder that `save_to_disk` has written
    path: str  # the folder, or the Hub id
    files: dict[str, list[str]] | list[str] | None = None  # data files, by split if there are several

    @property
    def folder(self) -> str:
        """What paths of pictures are relative to."""
        if not self.files or self.format == "webdataset":
            return self.path
        files = [self.files] if isinstance(self.files, list) else self.files.values()
        return os.path.commonpath([os.path.dirname(file) for names in files for file in names])


def find_data(options: "SourceOptions", folder: Path) -> FoundData:
    """Where the data of `options` lie. Raises a BadInputError if nothing is there."""
    if options.format == "hub":
        return FoundData("hub", options.place)
    if len(options.paths) == 1 and (place := _absolute(folder, options.paths[0])).is_dir():
        return _find_in_folder(options, place)
    files: list[str] = []
    for path in options.paths:
        found = _find_files(folder, path)
        if not found and options.format is None and len(options.paths) == 1 and could_be_hub_id(path):
            return FoundData("hub", path)
        if not found:
            raise BadInputError(
                f"Source {options.name!r} was not found: {str(_absolute(folder, path))!r} is no file, folder or glob "
                "of files."
            )
        files += found
    files = list(dict.fromkeys(files))
    formats = {options.format} if options.format else {_format_by_ending(file) for file in files}
    if len(formats) > 1 or None in formats:
        endings = ", ".join(sorted({Path(file).suffix or "nothing" for file in files}))
        known = ", ".join(sum(ENDINGS.values(), ()))
        raise BadInputError(
            f"Source {options.name!r} ({options.place}) has files that end in {endings}; set `format`, or name files "
            f"of one format (known by their endings: {known})."
        )
    format = str(formats.pop())
    urls = [file for file in files if is_url(file)]
    if urls and not (format == "webdataset" and options.streaming):
        raise BadInputError(
            f"Source {options.name!r} is at the URL {urls[0]!r}; what is read from URLs are .tar files with "
            "`streaming: true`."
        )
    return FoundData(format, os.path.dirname(files[0]), files)


def _absolute(folder: Path, path: str) -> Path:
    return (folder / Path(path).expanduser()).absolute()


def _find_files(folder: Path, path: str) -> list[str]:
    """What a path, braces or a glob name, globs in alphabetical order; nothing if one of them names nothing."""
    if not is_url(path) and _absolute(folder, path).is_file():  # whatever marks its name has
        return [str(_absolute(folder, path))]
    files: list[str] = []
    for one in expand_braces(path):
        if is_url(one):
            files.append(one)
            continue
        place = _absolute(folder, one)
        found = (
            [str(place)] if place.is_file() else sorted(filter(os.path.isfile, glob.glob(str(place), recursive=True)))
        )
        if not found:
            return []
        files += found
    return files


def _find_in_folder(options: "SourceOptions", path: Path) -> FoundData:
    if (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
        return FoundData("saved", str(path))
    if options.format in (None, "imagefolder"):
        return FoundData("imagefolder", str(path))
    try:  # train.parquet and test.parquet are two splits, as everywhere in `datasets`
        patterns = get_data_patterns(str(path))
    except EmptyDatasetError:
        patterns = {}
    endings = ENDINGS[options.format]
    by_split = DataFilesDict.from_patterns(patterns, base_path=str(path), allowed_extensions=list(endings))
    files = {str(split): [str(file) for file in found] for split, found in by_split.items() if found}
    if not files:
        raise BadInputError(
            f"Source {options.name!r}: the folder {str(path)!r} has no files ending in {' or '.join(endings)}."
        )
    return FoundData(options.format, str(path), files)


def could_be_hub_id(path: str) -> bool:
    """Whether `path` has the form of a Hub data set's name and no file's ending."""
    try:
        validate_repo_id(path)
    except HFValidationError:
        return False
    return _format_by_ending(path) is None


def _format_by_ending(file: str) -> str | None:
    name = urlsplit(file).path if is_url(file) else file
    endings = Path(name).suffixes[-2:][::-1]  # the last but one counts in "a.jsonl.gz"
    return next((name for ending in endings for name, known in ENDINGS.items() if ending.lower() in known), None)
