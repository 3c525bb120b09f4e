# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Which tasks a model can do."""

import pytest

from hf_unimo.errors import BadInputError
from hf_unimo.evaluation import adapters
from modeling_tests.evaluation import models


def test_tasks():
    base = models.unimo2("Unimo2Model")
    assert adapters.possible_tasks(*base) == ["retrieval", "zero-shot-classification", "linear-probe"]
    with pytest.raises(
        BadInputError,
        match="Unimo2Model cannot do the task 'rerank'; it can do: retrieval, zero-shot-classification, linear-probe",
    ):
        adapters.check_task("rerank", *base)
    assert "vqa" in adapters.possible_tasks(*models.vilt("ViltForQuestionAnswering"))
    assert "regression" in adapters.possible_tasks(*models.unimo2("Unimo2ForSequenceClassification", num_labels=1))
    several = adapters.possible_tasks(*models.unimo2("Unimo2ForSequenceClassification"))
    assert "regression" not in several and "text-classification" in several
