# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Inference in two lines: questions about pictures, captions, matching, retrieval, entailment, sentences about
two pictures, masked words.

Importing this package makes `transformers.pipeline` know the tasks below. `import hf_unimo` alone does so as soon as
`transformers.pipelines` is imported, which it leaves to others.
"""

import transformers.pipelines
from transformers.pipelines import PIPELINE_REGISTRY, Pipeline

from ..errors import BadInputError
from .auto import (
    AutoModelForImageCaptioning,
    AutoModelForImageQuestionAnswering,
    AutoModelForImageTextMatching,
    AutoModelForImageTextRetrieval,
    AutoModelForNlvr2,
    AutoModelForVisualEntailment,
)


TASKS = {
    "image-captioning": ("image_captioning.ImageCaptioningPipeline", AutoModelForImageCaptioning),
    "image-question-answering": (
        "image_question_answering.ImageQuestionAnsweringPipeline",
        AutoModelForImageQuestionAnswering,
    ),
    "image-text-matching": ("image_text_matching.ImageTextMatchingPipeline", AutoModelForImageTextMatching),
    "image-text-retrieval": ("image_text_retrieval.ImageTextRetrievalPipeline", AutoModelForImageTextRetrieval),
    "nlvr2": ("nlvr2.Nlvr2Pipeline", AutoModelForNlvr2),
    "visual-entailment": ("visual_entailment.VisualEntailmentPipeline", AutoModelForVisualEntailment),
}
"""Our tasks: file and class of the pipeline, and the Auto class whose heads serve it."""

FAMILIAR_NAMES = {
    "visual-question-answering": "image-question-answering",
    "vqa": "image-question-answering",
    "image-to-text": "image-captioning",
}
"""Names of before transformers 5, which blocks or redirects them, and the tasks of ours that they mean."""


def pipeline(task: str | None = None, model=None, *args, **kwargs) -> Pipeline:
    """
    `transformers.pipeline`, which also takes the names `visual-question-answering`, `vqa` and `image-to-text`.

    Without `trust_remote_code` a repository that carries the pipeline's code is served by the installed one, where
    `transformers.pipeline` refuses.

    Args:
        task (`str`, *optional*): A task of transformers, of [`TASKS`] or of [`FAMILIAR_NAMES`].
        model (`str` or `PreTrainedModel`): A model, or the folder or Hub name of one.
        args, kwargs: Those of `transformers.pipeline`. A `processor` also serves where `tokenizer` or
            `image_processor` is not given.

    Returns:
        `Pipeline`: The pipeline.

    Raises:
        BadInputError: If there is no model, or its head cannot do one of our tasks.
    """
    if model is None:
        raise BadInputError("`model` is missing; expected a model, or the folder or Hub name of one.")
    if (processor := kwargs.get("processor")) is not None:
        for name in ("tokenizer", "image_processor"):
            if hasattr(processor, name):
                kwargs.setdefault(name, getattr(processor, name))
    task = FAMILIAR_NAMES.get(task, task)  # type: ignore[arg-type]
    if task in (*TASKS, "fill-mask") and not kwargs.get("trust_remote_code"):
        impl = PIPELINE_REGISTRY.supported_tasks[task]["impl"]
        kwargs.setdefault("pipeline_class", transformers.pipelines._resolve_impl(impl))
    return transformers.pipelines.pipeline(task, model, *args, **kwargs)  # type: ignore[arg-type]


def restore_task_names() -> None:
    """
    Makes `transformers.pipeline` itself take the [`FAMILIAR_NAMES`], for the rest of the process.

    `image-to-text` then means our `image-captioning` instead of transformers' `image-text-to-text`. Calling it again
    changes nothing.
    """
    transformers.pipelines._resolve_deprecated_task = _resolved_task


_transformers_resolved_task = transformers.pipelines._resolve_deprecated_task


def _resolved_task(task: str) -> str:
    return FAMILIAR_NAMES[task] if task in FAMILIAR_NAMES else _transformers_resolved_task(task)


def _register() -> None:
    # Not by `register_pipeline`: it makes `Pipeline.save_pretrained` copy one file of ours and demand that file, run
    # as remote code, from everyone who loads the folder. Classes by name stay unimported until they are needed.
    tasks = PIPELINE_REGISTRY.supported_tasks
    for task, (place, auto_class) in TASKS.items():
        tasks[task] = {"impl": f"{__name__}.{place}", "pt": (auto_class,), "default": {}, "type": "multimodal"}
    # The same pipeline, but it takes pictures and recognises the mask token with our tokenizers.
    tasks["fill-mask"] = tasks["fill-mask"] | {"impl": f"{__name__}.fill_mask.ImageFillMaskPipeline"}


_register()

__all__ = ["FAMILIAR_NAMES", "TASKS", "pipeline", "restore_task_names"]
