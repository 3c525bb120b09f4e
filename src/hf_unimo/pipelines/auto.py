# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Auto classes for the tasks that transformers has none for, or one whose heads are others."""

from collections import OrderedDict

from transformers.models.auto.auto_factory import _BaseAutoModelClass, _LazyAutoMapping
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

from ..models import FAMILIES
from .heads import HEADS


class _AutoModel(_BaseAutoModelClass):
    """An Auto class that serves the [`HEADS`] of a task."""

    _model_mapping: _LazyAutoMapping  # type: ignore[assignment]

    def __init_subclass__(cls, task: str, **kwargs):
        super().__init_subclass__(**kwargs)
        cls._model_mapping = _LazyAutoMapping(CONFIG_MAPPING_NAMES, OrderedDict(HEADS[task].theirs))
        for family in FAMILIES.values():
            for head in family.heads:
                if HEADS[task].include(head):
                    cls.register(family.config, head, exist_ok=True)


class AutoModelForImageQuestionAnswering(_AutoModel, task="image-question-answering"):
    """A head that answers a question about a picture, by choosing or by writing."""


class AutoModelForImageCaptioning(_AutoModel, task="image-captioning"):
    """A head that writes a caption."""


class AutoModelForImageTextMatching(_AutoModel, task="image-text-matching"):
    """A head that says whether a picture and a text belong together."""


class AutoModelForImageTextRetrieval(_AutoModel, task="image-text-retrieval"):
    """A model that scores pictures against texts, by features, by pairs, or by both."""


class AutoModelForVisualEntailment(_AutoModel, task="visual-entailment"):
    """A classifier of pairs of a picture and a text."""


class AutoModelForNlvr2(_AutoModel, task="nlvr2"):
    """A classifier of a text about two pictures."""
