# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""When transformers comes to know our tasks, and by which names."""

import subprocess
import sys

import pytest
import transformers.pipelines

import hf_unimo
from hf_unimo import pipelines
from hf_unimo.after_import import after_import
from hf_unimo.errors import BadInputError

from .models import TEXTS, ours, pictures


@pytest.mark.slow
def test_the_tasks_come_with_transformers_pipelines():
    """Not at `import hf_unimo`, which would take twice as long."""
    script = """
import sys, hf_unimo
print([name for name in ("transformers.pipelines", "hf_unimo.pipelines") if name in sys.modules])
from transformers import pipeline
from transformers.pipelines import PIPELINE_REGISTRY, __loader__
print("image-question-answering" in PIPELINE_REGISTRY.supported_tasks, type(__loader__).__name__)
print(len(hf_unimo.pipelines.TASKS), hf_unimo.pipeline.__module__)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[]", "True SourceFileLoader", "6 hf_unimo.pipelines"]


def test_after_import(tmp_path, monkeypatch):
    (tmp_path / "looked_after.py").write_text("import json\nvalue = 3\n")
    (tmp_path / "broken_module.py").write_text("raise RuntimeError('broken')\n")
    monkeypatch.syspath_prepend(tmp_path)
    seen, finders = [], list(sys.meta_path)
    after_import("looked_after", lambda: seen.append(sys.modules["looked_after"].value))
    after_import("broken_module", lambda: seen.append("never"))
    after_import("no_such_module_at_all", lambda: seen.append("never"))
    assert not seen
    import looked_after  # type: ignore[import-not-found]

    assert seen == [3] and looked_after.__spec__.loader is looked_after.__loader__
    after_import("looked_after", lambda: seen.append("at once"))
    with pytest.raises(RuntimeError, match="broken"):
        __import__("broken_module")
    with pytest.raises(ModuleNotFoundError):
        __import__("no_such_module_at_all")
    assert seen == [3, "at once"]
    assert sys.meta_path == finders  # all have gone
    del sys.modules["looked_after"]


def test_unknown_attributes_of_the_package():
    with pytest.raises(AttributeError, match="has no attribute 'pipelin'"):
        _ = hf_unimo.pipelin


@pytest.mark.parametrize("name", ["visual-question-answering", "vqa"])
def test_transformers_blocks_names_until_they_are_restored(name, monkeypatch):
    parts = ours("Unimo2ForVisualQuestionAnswering")
    with pytest.raises(KeyError, match="removed"):
        transformers.pipeline(name, **parts)
    pipe = hf_unimo.pipeline(name, **parts)
    assert pipe.task == "image-question-answering"

    # Also takes it back after the test.
    monkeypatch.setattr(transformers.pipelines, "_resolve_deprecated_task", pipelines._transformers_resolved_task)
    pipelines.restore_task_names()
    pipelines.restore_task_names()
    restored = transformers.pipeline(name, **parts)
    assert restored(pictures(1)[0], TEXTS[0]) == pipe(pictures(1)[0], TEXTS[0])
    captioner = transformers.pipeline("image-to-text", **ours("Unimo2ForConditionalGeneration"))
    assert captioner.task == "image-captioning"
    with pytest.raises(KeyError, match="removed"):
        transformers.pipeline("summarization", **parts)


def test_transformers_pipeline_takes_our_tasks():
    parts = ours("Unimo2ForImageTextClassification")
    one, two = transformers.pipeline("visual-entailment", **parts), hf_unimo.pipeline("visual-entailment", **parts)
    assert type(one) is type(two) and one(pictures(1)[0], TEXTS[0]) == two(pictures(1)[0], TEXTS[0])
    assert set(pipelines.TASKS) <= set(transformers.pipelines.get_supported_tasks())


def test_a_pipeline_made_by_its_class_knows_its_task():
    from hf_unimo.pipelines.image_text_matching import ImageTextMatchingPipeline

    pipe = ImageTextMatchingPipeline(**ours("Unimo2ForImageTextRetrieval"))
    assert pipe.task == "image-text-matching"
    with pytest.raises(BadInputError, match="image-text-matching needs"):
        pipe(3)
