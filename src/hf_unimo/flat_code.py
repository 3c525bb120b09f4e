# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""A family's code as one flat folder, which is the form that transformers runs from a model repository."""

import ast
import inspect
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from transformers.dynamic_module_utils import get_relative_imports

from .errors import CheckFailedError
from .models.registry import Family


PACKAGES = ("PIL", "huggingface_hub", "numpy", "tokenizers", "torch", "transformers")
"""What exported code may import beside the standard library and its siblings; all of it comes with transformers."""

_PACKAGE = Path(__file__).parent
_ROOMS = ("data", "objectives", "pipelines")
"""Folders of the package whose files travel under the folder's name too: `objectives/matching.py` becomes
`objectives_matching.py`. The files of a family and `errors.py` keep their names."""


def flat_code(family: Family, more: Iterable[type] = ()) -> dict[str, str]:
    """
    The family's code as a repository carries it: file name -> text.

    These are all files of the family's folder but `__init__.py`, and what they import from other rooms. Nothing but
    import lines is changed.

    Args:
        family ([`Family`]): The family.
        more: Further classes, such as pipelines, whose files travel too, with what they import.
    """
    folder = Path(inspect.getfile(family.config)).parent
    pending = {path for path in folder.glob("*.py") if path.name != "__init__.py"}
    pending |= {Path(inspect.getfile(part)) for part in more}
    files: dict[str, str] = {}
    while pending:
        path = pending.pop()
        text, siblings = _flatten(path)
        files[f"{_flat_name(path)}.py"] = text
        pending |= {sibling for sibling in siblings if f"{_flat_name(sibling)}.py" not in files}
    return dict(sorted(files.items()))


def _flatten(path: Path) -> tuple[str, set[Path]]:
    """The text of a file with its imports of ours rewritten, and the files that they lead to."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    siblings = set()
    for node in ast.walk(ast.parse("".join(lines))):
        if isinstance(node, ast.ImportFrom) and (sibling := _sibling(node, path)) is not None:
            siblings.add(sibling)
            line = lines[node.lineno - 1]
            lines[node.lineno - 1] = re.sub(r"from\s+[\w.]+\s+import", f"from .{_flat_name(sibling)} import", line)
    return "".join(lines), siblings


def _sibling(node: ast.ImportFrom, path: Path) -> Path | None:
    """The file that `node` in `path` imports from, if it is one that the repository gets too."""
    module = node.module or ""
    if node.level > 0:
        folder = path.parents[node.level - 1]
    elif module.startswith(f"{__package__}."):
        folder, module = _PACKAGE, module.removeprefix(f"{__package__}.")
    else:
        return None
    file = folder.joinpath(*module.split(".")).with_suffix(".py")
    travels = file.parent in (path.parent, *(_PACKAGE / room for room in _ROOMS)) or file == _PACKAGE / "errors.py"
    return file if travels and file.is_file() else None


def _flat_name(path: Path) -> str:
    room = path.parent.name
    return f"{room}_{path.stem}" if path.parent == _PACKAGE / room and room in _ROOMS else path.stem


def check_code(folder: Path) -> None:
    """
    Raises a [`CheckFailedError`] if a Python file in `folder` imports anything but the standard library, [`PACKAGES`]
    and files beside it, or if transformers, which reads relative imports line by line, sees others than Python does.
    """
    for path in sorted(folder.glob("*.py")):
        siblings = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                _check_packages(path, node.lineno, (alias.name for alias in node.names))
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                _check_packages(path, node.lineno, [node.module or ""])
            elif isinstance(node, ast.ImportFrom):
                if node.level > 1 or not (node.module and (folder / f"{node.module}.py").is_file()):
                    name = "." * node.level + (node.module or "")
                    raise CheckFailedError(f"{path.name}, line {node.lineno}: {name} is no file of the repository.")
                siblings.add(node.module)
        if siblings != set(get_relative_imports(path)):
            raise CheckFailedError(
                f"{path.name}: transformers finds the imports {sorted(get_relative_imports(path))}, Python finds "
                f"{sorted(siblings)}."
            )


def _check_packages(path: Path, line: int, modules: Iterable[str]) -> None:
    for module in modules:
        package = module.partition(".")[0]
        if package not in PACKAGES and package not in sys.stdlib_module_names:
            raise CheckFailedError(
                f"{path.name}, line {line}: {module} is neither in the standard library nor in {', '.join(PACKAGES)}."
            )


def reference(part: type) -> str:
    """How `auto_map` names a class: the file in the repository, without suffix, and the class."""
    return f"{_flat_name(Path(inspect.getfile(part)))}.{part.__name__}"
