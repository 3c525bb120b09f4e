# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The tasks of `hf-unimo finetune`: what each reads, what makes its batches, and which figure tells the best model."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from ..data.benchmarks.rows import Benchmark, CaptionRow, RetrievalRow, Row, TokenCaptionRow
from ..data.masking import WholeWordMasking
from ..data.own_data import KINDS
from ..data.task_collators import (
    CaptioningCollator,
    GroupedRetrievalCollator,
    MaskedWordsCollator,
    RetrievalCollator,
    TaskCollator,
)
from ..errors import BadInputError
from ..evaluation.heads import ROWS
from .run_config import Amount, Count, CountOrZero, Hardness, Share


@dataclass(frozen=True)
class TaskOptions:
    """`options`: what only this task knows; most know nothing."""


@dataclass(frozen=True)
class RetrievalOptions(TaskOptions):
    """
    `options` of retrieval.

    Args:
        loss (`str`, defaults to `"matching"`): `matching`: contrast over the batch, and matching with a wrong partner
            of the batch for each pair. `circle`: that of the first implementation, over groups of wrong pairs.
        hardness (`float`, defaults to 0.5): With `matching`: how wrong partners are drawn, from 0, evenly, to 1, from
            the contrastive softmax.
        negatives (`int`, defaults to 20): With `circle`: wrong pairs of a group, half of them with another image.
        rerank_top_k (`int`, defaults to 0): Candidates that evaluation orders anew by matching; 0: contrastive scores
            alone.
    """

    loss: Literal["matching", "circle"] = "matching"
    hardness: Hardness = 0.5
    negatives: Count = 20
    rerank_top_k: CountOrZero = 0

    def __post_init__(self):
        if self.loss == "circle" and self.negatives % 2:
            raise BadInputError(f"options.negatives is {self.negatives}; accepted are even numbers.")


@dataclass(frozen=True)
class CaptioningOptions(TaskOptions):
    """
    `options` of captioning.

    Args:
        label_smoothing (`float`, defaults to 0.1): Of the loss.
        generation (mapping, *optional*): How evaluation writes captions, e.g. `{num_beams: 5}`, see
            [`~hf_unimo.evaluation.captioning.evaluate_captioning`].
    """

    label_smoothing: Amount = 0.1
    generation: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class VqaOptions(TaskOptions):
    """
    `options` of question answering: the vocabulary of answers, unless the checkpoint brings one.

    Args:
        max_answers (`int`, defaults to 3129): Answers at most, the most frequent of the training data.
        min_answer_count (`int`, defaults to 1): Questions that an answer has at least (VQA v2 is used with 9).
    """

    max_answers: Count = 3129
    min_answer_count: Count = 1


@dataclass(frozen=True)
class MaskedWordsOptions(TaskOptions):
    """
    `options` of masked words.

    Args:
        ratio (`float`, defaults to 0.15), span_p (`float`, defaults to 0.2), longest_span (`int`, defaults to 10): See
            [`~hf_unimo.data.masking.WholeWordMasking`].
    """

    ratio: Share = 0.15
    span_p: Share = 0.2
    longest_span: Count = 10


@dataclass(frozen=True)
class Task:
    """
    One task.

    Args:
        name (`str`): As on the command line.
        evaluation (`str`): The task of `hf-unimo evaluate` that measures it, and that says how its data is read.
        metrics (`tuple[str, ...]`): Figures by which models are compared: the first that the evaluation gives.
        labels (`str`, *optional*): `"classes"`, `"answers"` or `"values"`: what the head predicts.
        options (`type`): Of its section `options`.
        freeze_base (`bool`): Whether only the head learns.
    """

    name: str
    evaluation: str
    metrics: tuple[str, ...]
    labels: Literal["classes", "answers", "values"] | None = None
    options: type[TaskOptions] = TaskOptions
    freeze_base: bool = False

    @property
    def kind(self) -> str:
        """Of its rows, as a source of batches."""
        return KINDS[self.evaluation]

    @property
    def rows(self) -> tuple[type[Row], ...]:
        """What it learns from."""
        others = {"retrieval": (RetrievalRow,), "captioning": (CaptionRow, TokenCaptionRow)}
        return {**others, **ROWS}[self.evaluation]


TASKS = {
    task.name: task
    for task in (
        Task("retrieval", "retrieval", ("mean_recall",), options=RetrievalOptions),
        Task("captioning", "captioning", ("cider_d",), options=CaptioningOptions),
        Task("vqa", "vqa", ("vqa_accuracy", "exact_match", "soft_accuracy"), "answers", VqaOptions),
        Task("entailment", "entailment", ("accuracy",), "classes"),
        Task("nlvr2", "nlvr2", ("accuracy",), "classes"),
        Task("image-classification", "image-classification", ("accuracy",), "classes"),
        Task("linear-probe", "image-classification", ("accuracy",), "classes", freeze_base=True),
        Task("text-classification", "text-classification", ("accuracy",), "classes"),
        Task("text-regression", "regression", ("pearson",), "values"),
        Task("masked-lm", "masked-words", ("accuracy",), options=MaskedWordsOptions),
    )
}


def make_collator(
    options: TaskOptions, tokenizer: Any, image_processor: Any, train: Benchmark, **settings: Any
) -> TaskCollator:
    """
    The collator of a task.

    Args:
        options ([`TaskOptions`]): The task's own; their class says which collator it is.
        tokenizer, image_processor: Of the model; parts that the rows do not need may be None.
        train ([`Benchmark`]): Rows that wrong partners come from.
        settings: Further arguments of [`~hf_unimo.data.task_collators.TaskCollator`].
    """
    maker: Callable[..., TaskCollator] = TaskCollator
    if isinstance(options, RetrievalOptions):
        maker = RetrievalCollator
        if options.loss == "circle":
            return GroupedRetrievalCollator(
                tokenizer, image_processor, data=train, negatives=options.negatives, **settings
            )
    elif isinstance(options, CaptioningOptions):
        maker = CaptioningCollator
    elif isinstance(options, MaskedWordsOptions):
        masking = WholeWordMasking.from_tokenizer(
            tokenizer,
            min_masked=0,
            ratio=options.ratio,
            span_p=options.span_p,
            longest_span=options.longest_span,
        )
        return MaskedWordsCollator(tokenizer, image_processor, masking=masking, **settings)
    return maker(tokenizer, image_processor, **settings)


def primary_metric(task: Task, figures: Any) -> str:
    """The figure by which models are compared, of those that an evaluation gave."""
    return next(name for name in task.metrics if name in figures)
