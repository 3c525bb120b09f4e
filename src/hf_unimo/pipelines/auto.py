# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Auto classes for the tasks that transformers has none for, or one whose heads are others."""

from collections import OrderedDict

from transformers.models.auto.auto_factory import _BaseAutoModelClass, _LazyAutoMapping
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

from ..models import FAMILIES


class _AutoModel(_BaseAutoModelClass):
    """An Auto class that serves transformers' heads by `theirs` (model type -> class), and ours by their last name."""

    _model_mapping: _LazyAutoMapping  # type: ignore[assignment]

    def __init_subclass__(cls, ours: str, theirs: dict[str, str], **kwargs):
        super().__init_subclass__(**kwargs)
        cls._model_mapping = _LazyAutoMapping(CONFIG_MAPPING_NAMES, OrderedDict(theirs))
        for family in FAMILIES.values():
            for head in family.heads:
                if head.__name__.endswith(ours):
                    cls.register(family.config, head, exist_ok=True)


_MATCHING = {
    "blip": "BlipForImageTextRetrieval",
    "bridgetower": "BridgeTowerForImageAndTextRetrieval",
    "vilt": "ViltForImageAndTextRetrieval",
}


class AutoModelForImageQuestionAnswering(
    _AutoModel,
    ours="ForVisualQuestionAnswering",
    theirs={"blip": "BlipForQuestionAnswering", "vilt": "ViltForQuestionAnswering"},
):
    """A head that answers a question about a picture, by choosing or by writing."""


class AutoModelForImageCaptioning(
    _AutoModel, ours="ForConditionalGeneration", theirs={"blip": "BlipForConditionalGeneration"}
):
    """A head that writes a caption."""


class AutoModelForImageTextMatching(_AutoModel, ours="ForImageTextRetrieval", theirs=_MATCHING):
    """A head that says whether a picture and a text belong together."""


class AutoModelForImageTextRetrieval(
    _AutoModel, ours="ForImageTextRetrieval", theirs=_MATCHING | {"clip": "CLIPModel"}
):
    """A model that scores pictures against texts, by features, by pairs, or by both."""


class AutoModelForVisualEntailment(_AutoModel, ours="ForImageTextClassification", theirs={}):
    """A classifier of pairs of a picture and a text."""


class AutoModelForNlvr2(
    _AutoModel, ours="ForImageTextClassification", theirs={"vilt": "ViltForImagesAndTextClassification"}
):
    """A classifier of a text about two pictures."""


def served_heads(auto_class: type[_AutoModel]) -> list[str]:
    """Names of the classes that an Auto class loads."""
    mapping = auto_class._model_mapping
    theirs = [names if isinstance(names, tuple) else (names,) for names in mapping._model_mapping.values()]
    registered = [head.__name__ for head in mapping._extra_content.values()]
    return sorted({name for names in theirs for name in names} | set(registered))
