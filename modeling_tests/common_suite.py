# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""transformers' own common tests, for our classes.

The source distribution of transformers carries its common test mixins. They are fetched with pip, for exactly the
installed version and checked by hash, into a cache folder; nothing of them is kept in this repository. What the
distribution lacks and the mixins import is stood in for by a few lines of our own.
"""

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import transformers


SHA256 = {"5.23.0": "19d647a4d5d903a7c644ca5cde2d86efc3dde7d8c687ae7988806ff2205efa71"}
"""Version of transformers -> hash of its source distribution."""

CACHE = Path(os.environ.get("HF_UNIMO_CACHE", Path(__file__).parents[1] / ".cache")) / "transformers_common_tests"

STAND_INS = {
    "hf_common_tests/__init__.py": "",
    "hf_common_tests/exporters/__init__.py": "",
    "hf_common_tests/exporters/test_export.py": (
        "class ExportTesterMixin:\n    pass\n\n\nclass ExportGenerateTesterMixin(ExportTesterMixin):\n    pass\n"
    ),
    "hf_common_tests/generation/__init__.py": "",
    "hf_common_tests/generation/test_utils.py": (
        "from ..exporters.test_export import ExportGenerateTesterMixin\n\n\n"
        "class GenerationTesterMixin(ExportGenerateTesterMixin):\n    pass\n"
    ),
    "hf_common_tests/utils/__init__.py": "",
    "hf_common_tests/utils/test_configuration_utils.py": (
        "config_common_kwargs = {\n"
        '    "return_dict": False,\n    "output_hidden_states": True,\n    "output_attentions": True,\n'
        '    "dtype": "float16",\n    "chunk_size_feed_forward": 5,\n    "architectures": ["BertModel"],\n'
        '    "id2label": {0: "label"},\n    "label2id": {"label": "0"},\n'
        '    "problem_type": "regression",\n}\n'
    ),
    "utils/fetch_hub_objects_for_ci.py": (
        "def url_to_local_path(url, return_url_if_not_found=True):\n    return url\n"
    ),
}


def folder() -> Path:
    """Where the mixins of the installed version lie once `fetch` has run: to be put on `sys.path`."""
    return CACHE / transformers.__version__


def fetch() -> str | None:
    """Makes `hf_common_tests` importable and returns None, or the reason why it cannot be had."""
    version = transformers.__version__
    if version not in SHA256:
        return f"modeling_tests/common_suite.py has no hash of the source distribution of transformers {version}"
    if not folder().is_dir():
        folder().parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder().parent) as work:
            reason = _fetch(version, Path(work))
            if reason is not None:
                return reason
            try:
                (Path(work) / "ready").rename(folder())
            except OSError:
                if not folder().is_dir():  # otherwise another process was faster, with the same files
                    raise
    if str(folder()) not in sys.path:
        sys.path.insert(0, str(folder()))
    return None


def _fetch(version: str, work: Path) -> str | None:
    # --no-build-isolation: pip runs only the metadata step, with the setuptools that is there; nothing is installed.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    command += ["--no-build-isolation", "--dest", str(work), f"transformers=={version}"]
    done = subprocess.run(command, capture_output=True, text=True)
    archives = list(work.glob("transformers-*.tar.gz"))
    if done.returncode or not archives:
        return (
            f"pip could not download the source distribution of transformers {version}: {done.stderr.strip()[-300:]}"
        )
    found = hashlib.sha256(archives[0].read_bytes()).hexdigest()
    if found != SHA256[version]:
        return f"the source distribution of transformers {version} has hash {found}, not {SHA256[version]}"
    ready = work / "ready"
    with tarfile.open(archives[0]) as archive:
        for member in archive.getmembers():
            parts = Path(member.name).parts[1:]
            if parts and parts[0] in ("src", "tests") and member.isfile():
                place = ready.joinpath("hf_common_tests" if parts[0] == "tests" else "src", *parts[1:])
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(archive.extractfile(member).read())  # extract(filter=) came with Python 3.11.4
    for name, text in STAND_INS.items():
        (ready / name).parent.mkdir(parents=True, exist_ok=True)
        (ready / name).write_text(text)
    return None
