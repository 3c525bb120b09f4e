# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Weights and hardness by step, learning-rate groups, and the dictionary's callback."""

import pytest
import torch
from torch import nn
from transformers import TrainerControl, TrainerState

import hf_unimo
from hf_unimo.errors import BadInputError
from hf_unimo.training.dictionary import MOMENTUM, DictionaryCallback
from hf_unimo.training.objective_schedule import ObjectiveSchedule, Ramp
from hf_unimo.training.parameter_groups import belongs_to, check_modules, learning_rate_factors, parameter_groups
from modeling_tests.models.unimo2 import small


# Objectives ----------------------------------------------------------------------------------------------------------


def test_a_ramp_starts_and_warms_up():
    ramp = Ramp(0.5, start=3, warmup=4)
    assert [ramp.at(step) for step in range(9)] == [0, 0, 0, 0.125, 0.25, 0.375, 0.5, 0.5, 0.5]
    assert [Ramp(2.0, start=1).at(step) for step in (0, 1, 100)] == [0, 2, 2]


def test_hardness_runs_along_its_points():
    schedule = ObjectiveSchedule({}, [(10, 0.0), (20, 0.5), (20, 0.6), (40, 1.0)])
    assert [schedule.hardness_at(step) for step in (0, 10, 15, 30, 40, 99)] == pytest.approx([0, 0, 0.25, 0.8, 1, 1])
    assert ObjectiveSchedule({}).hardness_at(7) == 0


def test_every_source_needs_a_loss_from_the_start():
    schedule = ObjectiveSchedule({"mlm": Ramp(1.0, start=5), "contrastive": Ramp(1.0), "grounding": Ramp(0.0)})
    schedule.check({"a": "pairs"})
    with pytest.raises(
        BadInputError, match=r"Source 'b' \(text\) is drawn from step 0 on, but none of its objectives"
    ):
        schedule.check({"a": "pairs", "b": "text"})


# Learning rates ------------------------------------------------------------------------------------------------------


def test_modules_are_named_whole():
    name = "unimo2.dictionary.temperature"
    assert belongs_to(name, "dictionary") and belongs_to(name, "dictionary.temperature") and belongs_to(name, "unimo2")
    assert not belongs_to(name, "dict") and not belongs_to(name, "temp")
    model = small.model("Unimo2Model")
    check_modules(model, ["vision_model", "dictionary.temperature"], "x")
    with pytest.raises(
        BadInputError, match="`x` names 'vision', which the model does not have; the nearest is 'vision_model'"
    ):
        check_modules(model, ["vision"], "x")


def test_factors_by_module_and_layer():
    model = small.model("Unimo2ForPreTraining")
    factors = learning_rate_factors(model, {"vision_model": 0.5, "mlp.fc1": 3.0}, layerwise_decay=0.1)
    expected = {
        "unimo2.vision_model.layers.1.mlp.fc2.weight": 0.5,
        "unimo2.vision_model.layers.0.mlp.fc2.weight": 0.05,
        "unimo2.vision_model.layers.0.mlp.fc1.weight": 0.15,
        "unimo2.vision_model.embeddings.cls_token": 0.005,
        "unimo2.text_model.embeddings.word_embeddings.weight": 0.01,
        "unimo2.grounded_model.layers.0.mlp.fc2.bias": 0.1,
        "unimo2.dictionary.embeddings.weight": 1.0,  # not an encoder's
        "itm_head.weight": 1.0,
    }
    assert {name: factors[name] for name in expected} == pytest.approx(expected)
    assert factors.keys() == dict(model.named_parameters()).keys()


def test_groups_hold_every_parameter_once_and_the_full_rate_first():
    model = small.model("Unimo2Model")
    model.dictionary.temperature.requires_grad_(False)
    factors = learning_rate_factors(model, {"vision_model": 0.5})
    decayed = [name for name, _ in model.named_parameters() if name.endswith("weight")]
    groups = parameter_groups(model, factors, decayed, learning_rate=0.2, weight_decay=0.3)
    assert [(group["lr"], group["weight_decay"]) for group in groups] == [(0.2, 0.3), (0.2, 0), (0.1, 0.3), (0.1, 0)]
    found = [id(parameter) for group in groups for parameter in group["params"]]
    assert len(found) == len(set(found)) == len(list(model.parameters())) - 1
    assert id(model.dictionary.temperature) not in found


# The dictionary ------------------------------------------------------------------------------------------------------


def begun(**options):
    model = small.model("Unimo2ForPreTraining").train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    callback, state = DictionaryCallback(**options), TrainerState()
    callback.on_train_begin(None, state, TrainerControl(), model=model)
    return model, optimizer, callback, state


def step(model, optimizer, callback, state, inputs):
    model(**inputs).loss.backward()
    optimizer.step()
    callback.on_optimizer_step(None, state, TrainerControl(), optimizer=optimizer)
    optimizer.zero_grad()
    state.global_step += 1


def mean_tokens(model, inputs):
    with torch.no_grad():
        image = model.unimo2.encode_image(inputs["pixel_values"])
        text = model.unimo2.encode_text(inputs["input_ids"], inputs["attention_mask"])
    return {
        "image": image.dictionary_tokens.flatten(0, 1).mean(0),
        "text": text.dictionary_tokens[text.dictionary_mask.bool()].mean(0),
    }


def test_rows_are_of_unit_norm_and_orthogonal_to_the_token_means():
    model, *rest = begun(row_constraint=True)
    entries = model.unimo2.dictionary.embeddings.weight
    torch.testing.assert_close(entries.norm(dim=-1), torch.ones(24))
    expected = {}
    for seed in range(3):
        inputs = {**small.texts(seed=seed), **small.images(seed=seed)}
        for side, mean in mean_tokens(model, inputs).items():  # padding and class tokens do not count
            expected[side] = MOMENTUM * expected[side] + (1 - MOMENTUM) * mean if side in expected else mean
        step(model, *rest, inputs)
        torch.testing.assert_close(entries.norm(dim=-1), torch.ones(24))
        for side, mean in expected.items():
            assert (entries @ mean / mean.norm()).abs().max() < 1e-6, side
    # A step without texts moves the mean of the patches only.
    before = rest[1].means["text"]
    step(model, *rest, small.images(seed=9))
    assert rest[1].means["text"] == before
    assert (entries @ torch.tensor(before)).abs().max() < 1e-5


def test_dead_entries_become_tokens():
    model, optimizer, callback, state = begun(restart_dead_every=2)
    entries = model.unimo2.dictionary.embeddings.weight
    with torch.no_grad():
        entries[20:] = -model.unimo2.dictionary.embeddings.weight[:4] * 100  # chosen by nothing, or by all
        tokens = mean_tokens(model, {**small.texts(), **small.images()})
        entries[20:] = -tokens["image"] * 5
        entries[19] = tokens["image"] * 5
    inputs = {**small.texts(), **small.images()}
    chosen = torch.zeros(24)

    def count(module, args, output):
        chosen.scatter_add_(0, output.grounded_token_ids.flatten(), torch.ones(18))

    model.register_forward_hook(count)
    step(model, optimizer, callback, state, inputs)
    assert callback.restarted == 0
    before = entries.detach().clone()
    model(**inputs).loss.backward()
    optimizer.step()
    moved = entries.detach().clone()
    dead = chosen == 0
    assert 4 <= dead.sum() < 24 and dead[20:].all()
    callback.on_optimizer_step(None, state, TrainerControl(), optimizer=optimizer)
    assert callback.restarted == int(dead.sum()) and callback.chosen == [0] * 24
    assert torch.equal(entries[~dead], moved[~dead]) and not torch.equal(before, moved)
    image = model.unimo2.encode_image(inputs["pixel_values"]).dictionary_tokens.flatten(0, 1)
    norms = entries[dead].norm(dim=-1)
    torch.testing.assert_close(norms, moved[~dead].norm(dim=-1).mean().expand_as(norms))
    assert optimizer.state[entries]["exp_avg"][dead].abs().sum() == 0 < optimizer.state[entries]["exp_avg"].abs().sum()
    assert image.shape[1] == entries.shape[1]


def test_the_callback_state_is_exact_in_json():
    import json

    model, optimizer, callback, state = begun(row_constraint=True, restart_dead_every=5)
    step(model, optimizer, callback, state, {**small.texts(), **small.images()})
    saved = json.loads(json.dumps(callback.state()))
    other = DictionaryCallback.from_state(saved)
    assert (other.means, other.chosen) == (callback.means, callback.chosen)
    assert torch.equal(torch.tensor(other.means["image"]), torch.tensor(callback.means["image"]))


def test_watching_ends_with_training():
    model, _, callback, state = begun(row_constraint=True)
    callback.on_train_end(None, state, TrainerControl())
    model(**small.images())
    assert not callback._sums


def test_a_model_without_a_dictionary_is_refused():
    model = hf_unimo.Unimo2ForPreTraining(small.config(grounding_method="none"))
    with pytest.raises(BadInputError, match="Unimo2ForPreTraining has no dictionary"):
        DictionaryCallback(row_constraint=True).on_train_begin(None, TrainerState(), TrainerControl(), model=model)
    assert isinstance(model, nn.Module)
