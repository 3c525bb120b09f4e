# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Which pipelines a repository can carry for the head that is saved in it."""

from transformers import Pipeline

from . import FAMILIAR_NAMES
from .fill_mask import RepositoryFillMaskPipeline
from .heads import HEADS
from .image_captioning import ImageCaptioningPipeline
from .image_question_answering import ImageQuestionAnsweringPipeline
from .image_text_matching import ImageTextMatchingPipeline
from .image_text_retrieval import ImageTextRetrievalPipeline
from .nlvr2 import Nlvr2Pipeline
from .visual_entailment import VisualEntailmentPipeline


_OURS = (
    ImageCaptioningPipeline,
    ImageQuestionAnsweringPipeline,
    ImageTextMatchingPipeline,
    ImageTextRetrievalPipeline,
    Nlvr2Pipeline,
    VisualEntailmentPipeline,
)


def carried_pipelines(head: type, auto_class: str | None) -> dict[str, type[Pipeline]]:
    """
    Name of a task -> the pipeline that does it. Our names and the familiar ones: transformers looks into a model's
    `custom_pipelines` before it blocks or redirects a name.

    Args:
        head (`type`): The class of the model.
        auto_class (`str`, *optional*): Name of the Auto class of transformers that loads it.
    """
    found: dict[str, type[Pipeline]] = {one.own_task: one for one in _OURS if HEADS[one.own_task].include(head)}
    if auto_class == "AutoModelForMaskedLM":
        found["fill-mask"] = RepositoryFillMaskPipeline
    return found | {name: found[task] for name, task in FAMILIAR_NAMES.items() if task in found}
