# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""UNIMO-2 (Li et al., 2022): pairs, unpaired images and unpaired texts in one model, joined by a dictionary."""

from ..registry import Family
from .configuration_unimo2 import Unimo2Config, Unimo2GroundedConfig, Unimo2TextConfig, Unimo2VisionConfig
from .image_processing_pil_unimo2 import Unimo2ImageProcessorPil
from .image_processing_unimo2 import Unimo2ImageProcessor
from .modeling_unimo2 import (
    Unimo2ForConditionalGeneration,
    Unimo2ForImageClassification,
    Unimo2ForImageTextClassification,
    Unimo2ForImageTextRetrieval,
    Unimo2ForMaskedLM,
    Unimo2ForPreTraining,
    Unimo2ForSequenceClassification,
    Unimo2ForVisualQuestionAnswering,
    Unimo2GroundedModel,
    Unimo2Model,
    Unimo2TextModel,
    Unimo2VisionModel,
)
from .processing_unimo2 import Unimo2Processor
from .tokenization_unimo2 import Unimo2Tokenizer


FAMILY = Family(
    config=Unimo2Config,
    auto_models={
        "AutoModel": Unimo2Model,
        "AutoModelForPreTraining": Unimo2ForPreTraining,
        "AutoModelForMaskedLM": Unimo2ForMaskedLM,
        "AutoModelForZeroShotImageClassification": Unimo2ForImageTextRetrieval,
        "AutoModelForVisualQuestionAnswering": Unimo2ForVisualQuestionAnswering,
        "AutoModelForImageClassification": Unimo2ForImageClassification,
        "AutoModelForSequenceClassification": Unimo2ForSequenceClassification,
        "AutoModelForImageTextToText": Unimo2ForConditionalGeneration,
    },
    sub_models={
        Unimo2VisionConfig: Unimo2VisionModel,
        Unimo2TextConfig: Unimo2TextModel,
        Unimo2GroundedConfig: Unimo2GroundedModel,
    },
    other_models=(Unimo2ForImageTextClassification,),
    task_models={
        "retrieval": Unimo2ForImageTextRetrieval,
        "captioning": Unimo2ForConditionalGeneration,
        "vqa": Unimo2ForVisualQuestionAnswering,
        "entailment": Unimo2ForImageTextClassification,
        "nlvr2": Unimo2ForImageTextClassification,
        "image-classification": Unimo2ForImageClassification,
        "linear-probe": Unimo2ForImageClassification,
        "text-classification": Unimo2ForSequenceClassification,
        "text-regression": Unimo2ForSequenceClassification,
        "masked-lm": Unimo2ForMaskedLM,
    },
    tokenizer=Unimo2Tokenizer,
    image_processors={"torchvision": Unimo2ImageProcessor, "pil": Unimo2ImageProcessorPil},
    processor=Unimo2Processor,
)

__all__ = [
    "FAMILY",
    "Unimo2Config",
    "Unimo2ForConditionalGeneration",
    "Unimo2ForImageClassification",
    "Unimo2ForImageTextClassification",
    "Unimo2ForImageTextRetrieval",
    "Unimo2ForMaskedLM",
    "Unimo2ForPreTraining",
    "Unimo2ForSequenceClassification",
    "Unimo2ForVisualQuestionAnswering",
    "Unimo2GroundedConfig",
    "Unimo2GroundedModel",
    "Unimo2ImageProcessor",
    "Unimo2ImageProcessorPil",
    "Unimo2Model",
    "Unimo2Processor",
    "Unimo2TextConfig",
    "Unimo2TextModel",
    "Unimo2Tokenizer",
    "Unimo2VisionConfig",
    "Unimo2VisionModel",
]
