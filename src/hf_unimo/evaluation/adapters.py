# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Which tasks a model can do, told by its adapter and its head."""

from typing import Any

from transformers import PreTrainedModel

from ..errors import BadInputError
from ..retrieval.adapters import pair_adapter


HEADS = {
    "vqa": ("Unimo2ForVisualQuestionAnswering", "ViltForQuestionAnswering", "BlipForQuestionAnswering"),
    "entailment": ("Unimo2ForImageTextClassification",),
    "nlvr2": ("Unimo2ForImageTextClassification", "ViltForImagesAndTextClassification"),
    "image-classification": ("ForImageClassification",),
    "text-classification": ("ForSequenceClassification",),
    "regression": ("ForSequenceClassification",),
    "masked-words": ("ForMaskedLM",),
    "captioning": ("Unimo2ForConditionalGeneration", "BlipForConditionalGeneration"),
}
"""Task -> how the names of the classes end that have a head for it."""


def possible_tasks(model: PreTrainedModel, processor: Any) -> list[str]:
    """The tasks of `hf-unimo evaluate` that the model can do."""
    adapter = pair_adapter(model, processor)
    tasks = [] if adapter is None else [{"contrastive": "retrieval"}.get(stage, stage) for stage in adapter.stages]
    if tasks:
        tasks.append("zero-shot-classification")
    if adapter is not None and adapter.features:
        tasks.append("linear-probe")
    is_regression = model.config.problem_type == "regression" or model.config.num_labels == 1
    for task, endings in HEADS.items():
        wrong_kind = task in ("regression", "text-classification") and is_regression != (task == "regression")
        two_images = getattr(model.config, "num_images", 1) == 2
        wrong_number = task in ("entailment", "nlvr2") and two_images != (task == "nlvr2")
        if type(model).__name__.endswith(endings) and not wrong_kind and not wrong_number:
            tasks.append(task)
    return tasks


def check_task(task: str, model: PreTrainedModel, processor: Any) -> None:
    """Raises BadInputError if the model cannot do the task; the sentence has those that it can."""
    possible = possible_tasks(model, processor)
    if task not in possible:
        raise BadInputError(
            f"{type(model).__name__} cannot do the task {task!r}; it can do: {', '.join(possible) or 'none'}."
        )
