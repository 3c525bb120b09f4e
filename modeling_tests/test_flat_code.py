# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The code of a repository: all that is needed, nothing changed but imports, nothing that would not load."""

import ast
import importlib
import re
from pathlib import Path

import pytest

import hf_unimo
from hf_unimo import FAMILIES
from hf_unimo.card import auto_class_of
from hf_unimo.errors import CheckFailedError
from hf_unimo.flat_code import check_code, flat_code
from hf_unimo.models.registry import Family
from hf_unimo.pipelines.carried import carried_pipelines


FAMILY = FAMILIES["unimo2"]
PACKAGE = Path(hf_unimo.__file__).parent


def without_imports(text: str) -> str:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        for _, value in ast.iter_fields(node):
            if isinstance(value, list):
                value[:] = [item for item in value if not isinstance(item, (ast.Import, ast.ImportFrom))]
    return ast.dump(tree)


def source_of(name: str) -> Path:
    """The file of the package that an exported one was made of."""
    room, _, rest = name.partition("_")
    if room in ("data", "objectives", "pipelines"):
        return PACKAGE / room / rest
    return PACKAGE / name if name == "errors.py" else PACKAGE / "models" / "unimo2" / name


def test_all_of_the_familys_folder_travels():
    exported = set(flat_code(FAMILY))
    folder = PACKAGE / "models" / "unimo2"
    family = {path.name for path in folder.glob("*.py")} - {"__init__.py"}
    assert family == {name for name in exported if source_of(name).parent == folder}
    assert {name.partition("_")[0] for name in exported - family} == {"objectives"}
    assert {"modeling_unimo2.py", "generation_unimo2.py"} <= family


def test_a_file_that_no_class_needs_travels_too(tmp_path, monkeypatch):
    (tmp_path / "configuration_odd.py").write_text("class OddConfig: ...\n")
    (tmp_path / "search_odd.py").write_text("from hf_unimo.errors import BadInputError\n")
    (tmp_path / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    config = importlib.import_module("configuration_odd").OddConfig
    files = flat_code(Family(config=config, auto_models={}))
    assert files.keys() == {"configuration_odd.py", "search_odd.py", "errors.py"}
    assert files["search_odd.py"] == "from .errors import BadInputError\n"


def test_exported_code_is_the_source(tmp_path):
    heads = [(head, auto_class_of(FAMILY, head)) for head in FAMILY.heads]
    pipelines = [part for head in heads for part in carried_pipelines(*head).values()]
    files = flat_code(FAMILY, pipelines)
    sources = {source_of(name) for name in files}
    # The registration, and the command.
    stays = {PACKAGE / "pipelines" / name for name in ("__init__.py", "auto.py", "carried.py", "predict.py")}
    assert {path for path in sources if path.parent.name == "pipelines"} == {*PACKAGE.glob("pipelines/*.py")} - stays
    for name, copy in files.items():
        (tmp_path / name).write_text(copy)
        source = source_of(name).read_text(encoding="utf-8")
        assert without_imports(source) == without_imports(copy)
        changed = [line for line in copy.splitlines() if line not in source.splitlines()]
        rewritten = re.compile(r"from \.((data|objectives|pipelines)_\w+|errors) import [\w, ]+")
        assert all(rewritten.fullmatch(line) for line in changed)
        assert len(source.splitlines()) == len(copy.splitlines())
    check_code(tmp_path)


@pytest.mark.parametrize(
    "line, match",
    [
        ("import hf_unimo", "hf_unimo is neither"),
        ("from hf_unimo.objectives.matching import matching_loss", r"hf_unimo\.objectives\.matching is neither"),
        ("def load():\n    import scipy.linalg", r"line 2: scipy\.linalg is neither"),
        ("from ..registry import Family", r"\.\.registry is no file"),
        ("from . import other", r"\. is no file"),
        ("from .absent import thing", r"\.absent is no file"),
        ('"""\nfrom .other import thing\n"""', "transformers finds the imports"),
        ("import os; from .other import thing", "transformers finds the imports"),
    ],
)
def test_code_that_would_not_load_is_refused(tmp_path, line, match):
    (tmp_path / "other.py").write_text("import json\nimport torch.nn\nfrom transformers.utils import logging\n")
    check_code(tmp_path)
    (tmp_path / "model.py").write_text(line + "\n")
    with pytest.raises(CheckFailedError, match=match):
        check_code(tmp_path)
