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

_OBJECTIVES = Path(__file__).parent / "objectives"


def flat_code(family: Family) -> dict[str, str]:
    """
    The family's code as a repository carries it: file name -> text.

    These are the files of the family's classes and what they import from their own folder and from
    `hf_unimo.objectives`. `hf_unimo/objectives/matching.py` becomes `objectives_matching.py` beside them. Nothing but
    import lines is changed.
    """
    parts = [family.tokenizer, family.processor, *family.image_processors.values()]
    classes = [family.config, *family.heads, *family.sub_models.values(), *(part for part in parts if part)]
    pending = {Path(inspect.getfile(part)) for part in classes}
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
    package = f"{__package__}.{_OBJECTIVES.name}."
    if node.level == 0 and module.startswith(package):
        return _OBJECTIVES / f"{module.removeprefix(package)}.py"
    if node.level == 1 and module.isidentifier():
        return path.parent / f"{module}.py"
    return None


def _flat_name(path: Path) -> str:
    return f"{_OBJECTIVES.name}_{path.stem}" if path.parent == _OBJECTIVES else path.stem


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
