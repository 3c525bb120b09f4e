# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Whose head a fine-tuning begins with, what a new one predicts, and what is the checkpoint's."""

from dataclasses import replace

import pytest
import torch

from hf_unimo.errors import BadInputError
from hf_unimo.models import FAMILIES
from hf_unimo.training.head import head_config, load_head
from hf_unimo.training.lora import add_lora
from hf_unimo.training.splits import open_splits
from hf_unimo.training.tasks import TASKS

from . import finetune_runs


FAMILY = FAMILIES["unimo2"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return finetune_runs.pretrained(tmp_path_factory.mktemp("pretrained") / "model")


def begin(task, folder, checkpoint=None, data=None, **changes):
    """Model, names of its new weights, and whether the head is the checkpoint's."""
    if checkpoint is not None:
        changes["model"] = {"checkpoint": str(checkpoint), **changes.pop("model", {})}
    config = finetune_runs.config(task, folder, **changes)
    train = open_splits(config).train if data is None else data
    made, kept = head_config(config, FAMILY, train, 3000)
    torch.manual_seed(0)
    model, new, _ = load_head(config, FAMILY, made, kept)
    return model, set(new), kept


@pytest.mark.parametrize("task", TASKS)
def test_from_a_pre_trained_model_the_encoders_are_its_own(task, checkpoint, tmp_path):
    model, new, kept = begin(task, tmp_path, checkpoint)
    assert type(model) is FAMILY.task_models[task] and not kept
    source = begin("masked-lm", tmp_path, checkpoint)[0].state_dict()
    for name, value in model.state_dict().items():
        if name.startswith("unimo2."):
            assert torch.equal(value, source[name]), name
    expected = {"classifier.weight", "classifier.bias"} if TASKS[task].labels else set()
    assert new == expected  # heads of words and of matching are those of the pre-training


def test_classes_have_the_names_of_the_data(checkpoint, tmp_path):
    config = begin("image-classification", tmp_path, checkpoint)[0].config
    assert config.num_labels == 10 and config.problem_type == "single_label_classification"
    assert config.label2id == {name: number for number, name in config.id2label.items()}
    assert begin("nlvr2", tmp_path, checkpoint)[0].config.num_images == 2
    config = begin("vqa", tmp_path, checkpoint)[0].config
    assert {"yes", "no", "circle"} <= set(config.label2id) and config.problem_type is None
    config = begin("text-regression", tmp_path, checkpoint)[0].config
    assert config.num_labels == 1 and config.problem_type == "regression"
    config = begin("captioning", tmp_path, options={"label_smoothing": 0.3})[0].config
    assert config.caption_label_smoothing == 0.3


@pytest.fixture(scope="module")
def trained(tmp_path_factory, checkpoint):
    """Task -> a saved model of it, its head far from a fresh one."""
    folders = {}
    for task in ("entailment", "vqa", "text-regression", "nlvr2", "retrieval", "masked-lm"):
        folder = tmp_path_factory.mktemp(task)
        model = begin(task, folder, checkpoint)[0]
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if not name.startswith("unimo2."):
                    parameter.add_(1.0)
        model.save_pretrained(folder / "model")
        folders[task] = folder / "model"
    return folders


MODEL = {"processor": finetune_runs.MODEL["processor"]}


@pytest.mark.parametrize("task", ["entailment", "vqa", "text-regression", "nlvr2", "retrieval", "masked-lm"])
def test_the_head_of_the_same_task_stays(task, trained, tmp_path):
    saved = FAMILY.task_models[task].from_pretrained(trained[task])
    model, new, kept = begin(task, tmp_path, trained[task], model=MODEL)
    assert kept and not new
    assert all(torch.equal(value, saved.state_dict()[name]) for name, value in model.state_dict().items())
    assert model.config.id2label == saved.config.id2label


@pytest.mark.parametrize("task", ["entailment", "vqa", "retrieval", "masked-lm"])
def test_reset_head_draws_the_head_anew_and_keeps_the_encoders(task, trained, tmp_path):
    saved = FAMILY.task_models[task].from_pretrained(trained[task]).state_dict()
    model, new, kept = begin(task, tmp_path, trained[task], model=MODEL, reset_head=True)
    assert new and not kept
    for name, value in model.state_dict().items():
        if name in new:
            assert not torch.equal(value, saved[name]) and value.abs().max() < 1.5, name
        else:
            assert torch.equal(value, saved[name]), name
    heads = {name for name in saved if not name.startswith("unimo2.")}
    tied = {"lm_head.decoder.weight"} if task == "masked-lm" else set()
    assert new == heads - tied


def test_a_head_of_another_task_does_not_serve_though_it_has_the_same_shape(trained, tmp_path):
    """Both have `classifier` with two classes."""
    saved = FAMILY.task_models["entailment"].from_pretrained(trained["entailment"]).state_dict()
    model, new, kept = begin("text-classification", tmp_path, trained["entailment"], two_groups(tmp_path), model=MODEL)
    assert not kept and new == {"classifier.weight", "classifier.bias"}
    assert model.classifier.weight.shape == saved["classifier.weight"].shape
    assert model.classifier.weight.abs().max() < 0.5 < saved["classifier.weight"].abs().min()
    assert model.config.id2label == {0: "a", 1: "b"}


def two_groups(folder):
    data = open_splits(finetune_runs.config("text-classification", folder)).train
    rows = tuple(replace(row, label=number % 2) for number, row in enumerate(data.rows[:6]))
    return replace(data, rows=rows, label_names=("a", "b"))


def test_a_model_of_two_pictures_becomes_one_of_one(trained, tmp_path):
    model, _, kept = begin("vqa", tmp_path, trained["nlvr2"], model=MODEL)
    assert model.config.num_images == 1 and not kept
    assert model.classifier.weight.shape[1] == 16


def relabelled(folder, names):
    """The entailment rows with other names of their two classes."""
    data = open_splits(finetune_runs.config("entailment", folder)).train
    return replace(data, label_names=names)


def test_another_order_of_the_labels_is_the_same_set(trained, tmp_path):
    saved = FAMILY.task_models["entailment"].from_pretrained(trained["entailment"]).config
    data = relabelled(tmp_path, tuple(reversed(saved.id2label.values())))
    model, _, kept = begin("entailment", tmp_path, trained["entailment"], data, model=MODEL)
    assert kept and model.config.id2label == saved.id2label


def test_numbers_without_names_keep_the_names_of_the_head(trained, tmp_path):
    saved = FAMILY.task_models["entailment"].from_pretrained(trained["entailment"]).config
    data = relabelled(tmp_path, None)
    model, _, kept = begin("entailment", tmp_path, trained["entailment"], data, model=MODEL)
    assert kept and model.config.id2label == saved.id2label and "LABEL_0" not in saved.label2id


def test_a_head_without_names_takes_those_of_the_data(trained, tmp_path):
    model = FAMILY.task_models["entailment"].from_pretrained(trained["entailment"])
    model.config.id2label = {0: "LABEL_0", 1: "LABEL_1"}
    model.save_pretrained(tmp_path / "model")
    data = relabelled(tmp_path, ("wrong", "right"))
    begun, _, kept = begin("entailment", tmp_path, tmp_path / "model", data, model=MODEL)
    assert kept and begun.config.id2label == {0: "wrong", 1: "right"}
    assert torch.equal(begun.classifier.weight, model.classifier.weight)


@pytest.mark.parametrize(
    "names, words",
    [
        (("entailment", "neutral"), "the data has 'neutral', which it has not and it has 'contradiction', which the"),
        (("entailment", "contradiction", "neutral"), "the data has 'neutral', which it has not"),
    ],
)
def test_other_labels_are_named_and_a_new_head_is_offered(names, words, trained, tmp_path):
    data = relabelled(tmp_path, names)
    with pytest.raises(BadInputError) as caught:
        begin("entailment", tmp_path, trained["entailment"], data, model=MODEL)
    assert words in str(caught.value) and "--reset-head" in str(caught.value)
    model, new, _ = begin("entailment", tmp_path, trained["entailment"], data, model=MODEL, reset_head=True)
    assert new == {"classifier.weight", "classifier.bias"}
    assert list(model.config.label2id) == list(names) and model.classifier.out_features == len(names)


def test_classes_instead_of_numbers(trained, tmp_path):
    model = FAMILY.task_models["text-classification"].from_pretrained(trained["text-regression"])
    model.save_pretrained(tmp_path / "model")
    with pytest.raises(BadInputError, match=r"is for other labels: .*LABEL_0.* --reset-head"):
        begin("text-classification", tmp_path, tmp_path / "model", model=MODEL)


def test_the_vocabulary_of_the_checkpoint_stays(trained, tmp_path):
    saved = FAMILY.task_models["vqa"].from_pretrained(trained["vqa"]).config
    model = begin("vqa", tmp_path, trained["vqa"], model=MODEL, options={"max_answers": 2})[0]
    assert model.config.id2label == saved.id2label and len(saved.id2label) > 2
    new = begin("vqa", tmp_path, trained["vqa"], model=MODEL, options={"max_answers": 2}, reset_head=True)[0]
    assert new.config.num_labels == 2


def test_keys_that_change_the_encoders_are_refused(checkpoint, tmp_path):
    with pytest.raises(BadInputError, match=r"changes the shape of .* weights of .*unimo2\..*keep the encoders"):
        begin("vqa", tmp_path, checkpoint, model={"config": {"dictionary_size": 8}})


def test_no_checkpoint_there(tmp_path):
    with pytest.raises(BadInputError, match="No configuration could be loaded from"):
        begin("vqa", tmp_path, tmp_path / "nowhere", model=MODEL)


# Low-rank updates ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["vqa", "captioning", "retrieval"])
def test_low_rank_updates_of_the_encoders_and_the_whole_head(task, checkpoint, tmp_path):
    model = begin(task, tmp_path, checkpoint)[0]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    adapted = add_lora(model, {"r": 2})
    learn = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    of_base = [name for name in learn if ".unimo2." in name]
    assert of_base and all("lora_" in name for name in of_base)
    heads = {name for name in learn if ".unimo2." not in name}
    expected = {"vqa": ["classifier"], "retrieval": ["itm_head"], "captioning": ["lm_head.dense", "lm_head.layernorm"]}
    assert len(heads) == 2 * len(expected[task])
    assert all(any(f".{part}." in name for part in expected[task]) for name in heads)
    merged = adapted.merge_and_unload().state_dict()  # nothing was learnt
    assert merged.keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in merged.items())


@pytest.mark.parametrize("options", [{"rank": 4}, {"r": 0}, {"target_modules": ["nothing_of_this_name"]}])
def test_what_peft_refuses_is_one_sentence(options, checkpoint, tmp_path):
    model = begin("vqa", tmp_path, checkpoint)[0]
    with pytest.raises(BadInputError, match=r"training\.lora does not fit: "):
        add_lora(model, options)
