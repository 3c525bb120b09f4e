# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Something to do once another module has been imported, without importing it."""

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType


def after_import(name: str, action: Callable[[], object]) -> None:
    """
    Calls `action` as soon as the module `name` has been imported, at once if it has been already.

    Args:
        name (`str`): Full name of the module, e.g. `"transformers.pipelines"`.
        action (`Callable`): Called once, without arguments. What it raises, the import raises.
    """
    if name in sys.modules:
        action()
    else:
        sys.meta_path.insert(0, _Watcher(name, action))


class _Watcher(MetaPathFinder):
    """Stands first among the finders until its module is looked for, and lets the others find it."""

    def __init__(self, name: str, action: Callable[[], object]):
        self.name, self.action = name, action

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self.name:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self.action)
        return spec


class _Loader(Loader):
    """Loads with the module's own loader, which the module keeps, and acts."""

    def __init__(self, loader: Loader, action: Callable[[], object]):
        self.loader, self.action = loader, action

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        self.action()
