# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""What docs/pipelines.md shows runs, in its order."""

import re
from pathlib import Path

import torch
import transformers.pipelines

from hf_unimo import FAMILIES, pipelines
from hf_unimo.card import auto_class_of
from hf_unimo.pipelines.carried import carried_pipelines
from hf_unimo.pipelines.heads import HEADS


ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "pipelines.md").read_text()


def test_its_code_runs(monkeypatch):
    monkeypatch.chdir(ROOT)
    # Takes back what the last block does.
    monkeypatch.setattr(transformers.pipelines, "_resolve_deprecated_task", pipelines._transformers_resolved_task)
    torch.manual_seed(0)
    names: dict = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(code, names)
        for line in code.splitlines():
            # Lines that show an answer are looked at: its keys are those that the comment names.
            if shown := re.match(r"([a-z]\w*\(.*\))  # (\[\{.*)", line):
                answer = eval(shown[1], names)
                assert isinstance(answer, list) and isinstance(answer[0], dict)
                assert list(answer[0]) == list(dict.fromkeys(re.findall(r"'(\w+)':", shown[2])))


def test_its_table_names_the_tasks_and_heads():
    rows = dict(re.findall(r"^\| `([a-z0-9-]+)` \| .* \| (.*) \|$", PAGE, flags=re.MULTILINE))
    assert set(rows) == set(pipelines.TASKS)
    rows["image-text-retrieval"] = rows["image-text-matching"] + rows["image-text-retrieval"]
    for task, heads in rows.items():
        ours = [head.__name__ for family in FAMILIES.values() for head in family.heads if HEADS[task].include(head)]
        assert sorted(re.findall(r"`(\w+)`", heads)) == sorted([*ours, *HEADS[task].theirs.values()])


def test_the_names_that_a_repository_serves():
    """The table of docs/share.md."""
    page = (ROOT / "docs" / "share.md").read_text()
    rows = dict(re.findall(r"^\| `(Unimo2For\w+)` \| (.*) \|$", page, flags=re.MULTILINE))
    family = FAMILIES["unimo2"]
    for head in family.auto_models.values():
        names = carried_pipelines(head, auto_class_of(family, head))
        assert set(re.findall(r"`([a-z-]+)`", rows.pop(head.__name__, ""))) == names.keys()
    assert not rows
