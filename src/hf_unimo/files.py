# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Writing a directory or a file: all of it or nothing; and telling of files without telling where they lie."""

import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

from .errors import BadInputError


_PATH_IN_TEXT = re.compile(r"""(?<![\w.:/<~-])~?(?:/[^\s/'",;:|<>()]+)+/?""")
_HOME = re.compile(r"~([A-Za-z_][\w.-]*)?/")
_TOKEN_IN_TEXT = re.compile(r"(_token=|--?\w+_token[= ])[^\s'\"]+")


def check_destination(destination: str | os.PathLike) -> Path:
    """The path, if nothing would be overwritten there: it does not exist, or is an empty directory."""
    destination = Path(destination)
    if destination.is_symlink() or (destination.exists() and not destination.is_dir()):
        raise BadInputError(f"{destination} exists and is not a directory; name a new one.")
    if destination.is_dir() and any(destination.iterdir()):
        raise BadInputError(f"{destination} exists and is not empty; name a new directory.")
    return destination


@contextmanager
def staged_directory(destination: str | os.PathLike, size: int = 0) -> Iterator[Path]:
    """
    Gives a temporary directory beside `destination` that takes its name when the block ends well, and is removed when
    it does not, together with the parent directories that were made for it.

    Args:
        destination: A directory that does not exist, or is empty.
        size (defaults to 0): Bytes that will be written.

    Raises:
        BadInputError: If `destination` is taken or there is no room for `size` bytes.
    """
    destination = Path(os.path.abspath(check_destination(destination)))
    missing = [folder for folder in destination.parents if not folder.exists()]
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(destination.parent).free
        if size > free:
            raise BadInputError(f"{destination.parent} has {free:,} bytes free, but {size:,} are needed.")
        staging = Path(tempfile.mkdtemp(prefix=f".{destination.name}.", suffix=".partial", dir=destination.parent))
        try:
            staging.chmod(0o777 & ~_umask())
            yield staging
            os.rename(staging, destination)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
    except BaseException:
        for folder in missing:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        raise


def write_atomically(path: str | os.PathLike, content: str | bytes) -> None:
    """
    Writes a file, text as UTF-8, over one that may be there: whoever reads `path` finds the old or the new content,
    never a part, also after the process was killed. The directory must exist.
    """
    path = Path(path)
    data = content.encode() if isinstance(content, str) else content
    handle, staging = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    try:
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(handle)
        os.chmod(staging, 0o666 & ~_umask())
        os.replace(staging, path)
    except BaseException:
        os.unlink(staging)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def public_path(path: str | os.PathLike) -> str:
    """A Hub id or relative path as it is; of an absolute path the last component, which is no secret."""
    text = os.fspath(path)
    return _last_component(text) or text


def public_command(command: str | Sequence[str]) -> str:
    """
    A command line, or its words, without access tokens, of each absolute path in it (also as `key=path`) the last
    component alone.
    """
    text = command if isinstance(command, str) else shlex.join(command)
    text = _TOKEN_IN_TEXT.sub(r"\1TOKEN", text.replace("file://", ""))
    try:
        words = shlex.split(text)
    except ValueError:  # no command line after all: a text like others
        words = []
    shorter = [_public_word(word) for word in words]
    return public_text(shlex.join(shorter) if shorter != words else text)


def public_text(text: str) -> str:
    """A text, without access tokens, of every absolute path in it the last component alone."""
    text = _TOKEN_IN_TEXT.sub(r"\1TOKEN", text.replace("file://", ""))
    if (name := _last_component(text)) is not None:
        return name
    return _PATH_IN_TEXT.sub(lambda found: _last_component(found[0]) or found[0], text)


def _public_word(word: str) -> str:
    """`/a/b` and `key=/a/b`, whatever else is in the path."""
    key, equals, value = word.partition("=")
    if equals and (name := _last_component(value)) is not None:
        return f"{key}={name}"
    return _last_component(word) or word


def _last_component(path: str) -> str | None:
    """That of an absolute path; None if `path` is none."""
    if "\n" in path:
        return None
    for kind in (PurePosixPath, PureWindowsPath):
        if kind(path).is_absolute() or _HOME.match(path):
            return kind(path).name or None
    return None
