# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
The metrics as modules of the library `evaluate`, for code that expects these: `metric.compute(predictions=...,
references=...)`, `metric.add_batch(...)`, `evaluate.combine([...])`. Nothing is fetched: the classes are made here,
not loaded by name.

A choice that changes the number is the module's configuration, as with `evaluate.load("glue", "stsb")`:
`VqaAccuracy("v1")`, `CaptionMetrics("ptb-java")`. What else a function takes is given to `compute`.
"""

import datasets
import evaluate
import numpy as np
from datasets import Value

from hf_unimo.errors import BadInputError, unknown_name

from .caption_tokens import TOKENIZERS
from .captions import caption_metrics
from .classification import classification_metrics
from .nlvr2 import nlvr2_metrics
from .regression import regression_metrics
from .retrieval import retrieval_metrics
from .vqa import VARIANTS, vqa_accuracy


class _FunctionMetric(evaluate.Metric):
    """
    A metric that hands everything to a function.

    Args:
        config_name: Which of `configurations`; the first one without it.
        keywords: What `evaluate.Metric` takes, for example `cache_dir`.
    """

    description = ""
    prediction: object = None
    reference: object = None
    configurations: tuple[str, ...] = ("default",)
    options: tuple[str, ...] = ()

    def __init__(self, config_name: str | None = None, **keywords):
        config_name = config_name or self.configurations[0]
        if config_name not in self.configurations:
            raise BadInputError(
                f"The configuration of {type(self).__name__} is not known: "
                f"{unknown_name(config_name, self.configurations)}"
            )
        super().__init__(config_name, **keywords)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.description,
            citation="",
            inputs_description=f"Options of `compute`: {', '.join(self.options) or 'none'}.",
            features=datasets.Features({"predictions": self.prediction, "references": self.reference}),
        )

    def _compute(self, *, predictions, references, **options):
        # `evaluate.combine` hands the options of each of its metrics to all of them.
        known = {name for kind in _FunctionMetric.__subclasses__() for name in kind.options}
        for name in options.keys() - known:
            raise BadInputError(f"An option of `compute` is not known: {unknown_name(name, sorted(known))}")
        return self.measure(predictions, references, **{k: v for k, v in options.items() if k in self.options})

    def measure(self, predictions, references, **options) -> dict:
        raise NotImplementedError(f"{type(self).__name__} must say what it measures.")


class VqaAccuracy(_FunctionMetric):
    """`vqa_accuracy`: an answer against the list of the annotators' answers. Configuration: the variant."""

    description = "Accuracy of visual question answering, one annotator left out at a time."
    prediction = Value("string")
    reference = datasets.Sequence(Value("string"))
    configurations = VARIANTS
    options = ("answer_types", "question_types")

    def measure(self, predictions, references, **options):
        return vqa_accuracy(predictions, references, variant=self.config_name, **options)


class CaptionMetrics(_FunctionMetric):
    """`caption_metrics`: a caption against a list of captions. Configuration: the tokenizer."""

    description = "BLEU, CIDEr-D, ROUGE-L and METEOR 1.5 of captions."
    prediction = Value("string")
    reference = datasets.Sequence(Value("string"))
    configurations = TOKENIZERS
    options = ("metrics",)

    def measure(self, predictions, references, **options):
        return caption_metrics(predictions, references, tokenizer=self.config_name, **options)


class ClassificationMetrics(_FunctionMetric):
    """`classification_metrics`: a class against a class."""

    description = "Accuracy, macro-F1, F1 of two classes and Matthews correlation."
    prediction = Value("int64")
    reference = Value("int64")

    def measure(self, predictions, references, **options):
        return classification_metrics(np.array(predictions), np.array(references))


class RegressionMetrics(_FunctionMetric):
    """`regression_metrics`: a number against a number."""

    description = "Pearson's and Spearman's correlation."
    prediction = Value("float64")
    reference = Value("float64")

    def measure(self, predictions, references, **options):
        return regression_metrics(np.array(predictions), np.array(references))


class Nlvr2Metrics(_FunctionMetric):
    """`nlvr2_metrics`: "True" or "False" against the same. `compute` takes the rows' `identifiers` beside them."""

    description = "Accuracy and consistency of NLVR2."
    prediction = Value("string")
    reference = Value("string")
    options = ("identifiers",)

    def measure(self, predictions, references, identifiers=None, **options):
        if identifiers is None:
            raise BadInputError("NLVR2 groups rows by their identifiers: `compute` accepts them as `identifiers`.")
        return nlvr2_metrics(predictions, references, identifiers)


class RetrievalMetrics(_FunctionMetric):
    """`retrieval_metrics`: one text's scores for all images against the row of its image."""

    description = "Recall at k and ranks of image-text retrieval, in both directions."
    prediction = datasets.Sequence(Value("float64"))
    reference = Value("int64")
    options = ("ks",)

    def measure(self, predictions, references, **options):
        return retrieval_metrics(np.array(predictions).T, references, **options)
