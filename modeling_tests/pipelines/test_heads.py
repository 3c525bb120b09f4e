# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Which heads do which task, by name alone."""

import pytest
import transformers
from transformers import PreTrainedModel, ViltForQuestionAnswering

import hf_unimo
from hf_unimo import FAMILIES
from hf_unimo.pipelines import TASKS
from hf_unimo.pipelines.heads import HEADS


def test_there_are_heads_for_every_task():
    assert HEADS.keys() == TASKS.keys()


@pytest.mark.parametrize("task", HEADS)
def test_names_and_auto_classes_agree(task):
    """What a name includes is what the Auto class of the task loads."""
    _, auto_class = TASKS[task]
    for model_type, name in HEADS[task].theirs.items():
        model_class = getattr(transformers, name)
        assert model_class.config_class.model_type == model_type
        assert HEADS[task].include(model_class) and auto_class._model_mapping[model_class.config_class] is model_class
    for family in FAMILIES.values():
        included = [head for head in family.heads if HEADS[task].include(head)]
        assert included == [auto_class._model_mapping[family.config]]


def test_ours_are_told_from_those_of_transformers():
    captions, questions = HEADS["image-captioning"], HEADS["image-question-answering"]
    assert captions.include(hf_unimo.Unimo2ForConditionalGeneration)
    assert captions.include(transformers.BlipForConditionalGeneration)
    # The same ending, but no head that takes a picture and nothing else.
    assert not captions.include(transformers.LlavaForConditionalGeneration)
    assert not captions.include(transformers.T5ForConditionalGeneration)
    assert not questions.include(hf_unimo.Unimo2ForMaskedLM)
    of_a_repository = {"__module__": "transformers_modules.name.0123.modeling_unimo2"}
    assert questions.include(type("Unimo2ForVisualQuestionAnswering", (PreTrainedModel,), of_a_repository))
    assert not questions.include(type("MyVilt", (ViltForQuestionAnswering,), {}))


def test_a_sentence_names_them():
    assert str(HEADS["nlvr2"]) == "ViltForImagesAndTextClassification or hf_unimo's ...ForImageTextClassification"
    assert str(HEADS["visual-entailment"]) == "hf_unimo's ...ForImageTextClassification"
