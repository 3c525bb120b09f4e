# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The tasks of `hf-unimo finetune`: each has a model, rows, an evaluation, a collator, a pipeline and a page."""

import pytest

from hf_unimo import Unimo2Tokenizer
from hf_unimo.data.own_data import KINDS
from hf_unimo.data.task_collators import (
    CaptioningCollator,
    GroupedRetrievalCollator,
    MaskedWordsCollator,
    RetrievalCollator,
    TaskCollator,
)
from hf_unimo.errors import BadInputError
from hf_unimo.evaluation.protocol import HUB_TASKS
from hf_unimo.models import FAMILIES
from hf_unimo.training.finetune_card import PIPELINES
from hf_unimo.training.splits import open_splits
from hf_unimo.training.tasks import (
    TASKS,
    CaptioningOptions,
    MaskedWordsOptions,
    RetrievalOptions,
    TaskOptions,
    VqaOptions,
    make_collator,
    primary_metric,
)

from . import finetune_runs


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_known_everywhere(name):
    task = TASKS[name]
    assert task.name == name and name in FAMILIES["unimo2"].task_models and name in PIPELINES
    assert task.evaluation in KINDS and task.evaluation in HUB_TASKS
    assert task.rows and task.kind in ("pairs", "images", "text")
    assert task.options() == task.options()  # every option has a default


def test_ten_tasks():
    assert len(TASKS) == 10


@pytest.mark.parametrize(
    "options, expected",
    [
        (TaskOptions(), TaskCollator),
        (VqaOptions(), TaskCollator),
        (CaptioningOptions(), CaptioningCollator),
        (RetrievalOptions(), RetrievalCollator),
        (RetrievalOptions(loss="circle", negatives=4), GroupedRetrievalCollator),
        (MaskedWordsOptions(ratio=0.4), MaskedWordsCollator),
    ],
)
def test_the_collator_of_a_task(options, expected, tmp_path):
    data = open_splits(finetune_runs.config("retrieval", tmp_path)).train
    tokenizer = Unimo2Tokenizer.from_pretrained(finetune_runs.EMOJI / "tokenizer")
    collator = make_collator(options, tokenizer, None, data, max_length=9)
    assert type(collator) is expected and collator.max_length == 9
    if expected is GroupedRetrievalCollator:
        assert collator.number == 2 and collator.data is data
    if expected is MaskedWordsCollator:
        assert collator.masking.ratio == 0.4


@pytest.mark.parametrize(
    "task, figures, expected",
    [
        ("vqa", {"exact_match": 1}, "exact_match"),
        ("vqa", {"vqa_accuracy (number)": 0, "vqa_accuracy": 1}, "vqa_accuracy"),
        ("text-regression", {"spearmanr": 0, "pearson": 1}, "pearson"),
        ("captioning", {"bleu_4": 0, "cider_d": 1}, "cider_d"),
    ],
)
def test_the_figure_that_tells_the_best_model(task, figures, expected):
    assert primary_metric(TASKS[task], figures) == expected


def test_groups_have_even_numbers_of_wrong_pairs():
    RetrievalOptions(negatives=3)  # which is not looked at with the other loss
    with pytest.raises(BadInputError, match=r"options.negatives is 3; accepted are even numbers"):
        RetrievalOptions(loss="circle", negatives=3)
