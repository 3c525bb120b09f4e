# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""`Unimo2ForPreTraining` on pairs, images and texts: wrong partners, passes of their own, several processes."""

import pytest
import torch

import hf_unimo
from hf_unimo.models.unimo2 import modeling_unimo2
from hf_unimo.objectives.contrastive import contrastive_loss
from hf_unimo.objectives.matching import matching_loss
from hf_unimo.objectives.matching_negatives import text_keys
from hf_unimo.objectives.visual_contrastive import visual_contrastive_loss
from modeling_tests import two_processes

from . import small


NAME = "Unimo2ForPreTraining"


def count_calls(module):
    calls = []
    module.register_forward_hook(lambda *_: calls.append(1))
    return calls


@pytest.mark.parametrize("hardness", [0.0, 1.0])
def test_matching_draws_wrong_partners(hardness):
    model = small.model(NAME, matching_hardness=hardness)
    inputs = {**small.texts((5, 6, 4, 7)), **small.images(4)}
    calls = count_calls(model.unimo2.vision_model)
    with torch.no_grad():
        output = model(**inputs, step=3)
        again = model(**inputs, step=3)
        image, text = (
            model.unimo2.encode_image(inputs["pixel_values"]),
            model.unimo2.encode_text(inputs["input_ids"], inputs["attention_mask"]),
        )
        keys = text_keys(inputs["input_ids"], inputs["attention_mask"])
        wrong, labels = model._draw_wrong_pairs(image, text, None, keys, hardness, seed=0, step=3)
        expected = matching_loss(torch.cat((output.matching_logits, wrong)), labels)
    assert labels.tolist() == [1] * 4 + [0] * 4
    torch.testing.assert_close(output.losses["matching"], expected)
    assert torch.equal(output.losses["matching"], again.losses["matching"])
    assert len(calls) == 3  # one for each of the two forwards and ours: wrong pairs are not encoded again


def test_wrong_pairs_are_given_pairs_with_another_partner():
    model = small.model(NAME)
    inputs = {**small.texts((5, 6, 4, 7)), **small.images(4)}
    found = []
    model.unimo2.grounded_model.register_forward_pre_hook(lambda module, args: found.append(args[0]))
    with torch.no_grad():
        model(**inputs)
    given, wrong = (states.split([17, 6, 7], dim=1) for states in found)
    for row in range(4):
        kept, other = (0, 2) if row % 2 == 0 else (2, 0)
        assert torch.equal(wrong[kept][row], given[kept][row])
        matches = [torch.equal(wrong[other][row], given[other][candidate]) for candidate in range(4)]
        assert sum(matches) == 1 and not matches[row]


def test_equal_captions_are_no_negatives():
    model = small.model(NAME)
    inputs = {"input_ids": torch.tensor([[0, 5, 6, 2]] * 4), **small.images(4)}
    with torch.no_grad():
        image, text = model.unimo2.encode_image(inputs["pixel_values"]), model.unimo2.encode_text(inputs["input_ids"])
        _, labels = model._draw_wrong_pairs(image, text, None, text_keys(inputs["input_ids"]), 0.0, seed=0, step=0)
        loss = model(**inputs).losses["matching"]
    assert labels.tolist() == [1] * 4 + [-100] * 4 and torch.isfinite(loss)


def test_masked_words_can_have_a_pass_of_their_own():
    model = small.model(NAME)
    inputs, labels = {**small.texts(), **small.images()}, small.labels("Unimo2ForMaskedLM")["labels"]
    masked = torch.where(inputs["attention_mask"] == 1, 4, inputs["input_ids"])
    with torch.no_grad():
        both = model(**inputs, labels=labels, masked_input_ids=masked)
        whole = model(**inputs)
        hidden = model(**{**inputs, "input_ids": masked}, labels=labels)
    torch.testing.assert_close(both.losses["mlm"], hidden.losses["mlm"])
    torch.testing.assert_close(both.mlm_logits, hidden.mlm_logits)
    for name in ("contrastive", "matching", "grounding"):
        torch.testing.assert_close(both.losses[name], whole.losses[name])


def test_images_alone_learn_from_two_views():
    model = small.model(NAME)
    first, second = small.images(seed=2), small.images(seed=3)
    with torch.no_grad():
        output = model(**first, second_pixel_values=second["pixel_values"])
        features = [model.unimo2.get_image_features(**views).pooler_output for views in (first, second)]
    assert set(output.losses) == {"visual_contrastive", "grounding"}
    torch.testing.assert_close(output.losses["visual_contrastive"], visual_contrastive_loss(*features))


def test_score_contrast_reaches_the_dictionary():
    model = small.model(
        NAME, score_contrast_weight=0.5, contrastive_weight=0.0, grounding_weight=0.0, matching_weight=0
    )
    output = model.train()(**small.texts(), **small.images())
    assert set(output.losses) == {"score_contrast"}
    torch.testing.assert_close(output.loss, 0.5 * output.losses["score_contrast"])
    output.loss.backward()
    assert model.unimo2.dictionary.embeddings.weight.grad.abs().sum() > 0
    assert model.unimo2.dictionary.temperature.grad.abs() > 0


def test_without_a_dictionary_there_is_no_score_to_contrast():
    model = small.model(NAME, score_contrast_weight=0.5, grounding_method="none")
    assert set(model(**small.texts(), **small.images()).losses) == {"matching", "contrastive"}


def test_contrast_uses_the_given_pairs():
    model = small.model(NAME)
    labels = torch.tensor([1, 0, -100])
    with torch.no_grad():
        output = model(**small.texts(), **small.images(), matching_labels=labels)
    logits = output.logits_per_image
    expected = contrastive_loss(logits, logits.t(), labels == 1)
    torch.testing.assert_close(output.losses["contrastive"], expected)


def test_counts_say_what_each_loss_is_a_mean_over():
    model = small.model(NAME, score_contrast_weight=1.0, grounding_mask_ratio=0.5).train()
    labels = small.labels("Unimo2ForMaskedLM")["labels"]
    output = model(**small.texts(), **small.images(), labels=labels)
    assert output.counts.keys() == output.losses.keys() == set(model.objectives) - {"visual_contrastive"}
    words, hidden = sum(small.LENGTHS), output.counts.pop("masked_grounding")
    assert {name: int(count) for name, count in output.counts.items()} == {
        "mlm": words,
        "matching": 6,
        "contrastive": 3,
        "grounding": words - 3 + 3 * 16,
        "score_contrast": 3,
    }
    assert 0 < int(hidden) < 3 * 6
    given = model(**small.texts(), **small.images(), labels=labels, matching_labels=torch.tensor([1, 0, -100]))
    assert int(given.counts["mlm"]) == words - small.LENGTHS[1]
    assert (int(given.counts["matching"]), int(given.counts["contrastive"])) == (2, 1)


def test_objective_weights_replace_those_of_the_configuration():
    model = small.model(NAME).train()
    inputs = {**small.texts(), **small.images(), **small.labels("Unimo2ForMaskedLM")}
    fused = count_calls(model.unimo2.grounded_model)
    output = model(**inputs, objective_weights={"mlm": 0.0, "matching": 0, "contrastive": 0.25})
    assert set(output.losses) == {"contrastive", "grounding"} and not fused
    torch.testing.assert_close(output.loss, 0.25 * output.losses["contrastive"] + output.losses["grounding"])
    with pytest.raises(ValueError, match=r"`objective_weights` names \['itm'\], but knows mlm, matching"):
        model(**inputs, objective_weights={"itm": 1.0})


@pytest.mark.parametrize("own_pass", [False, True])
def test_fusion_on_a_share_of_the_pairs(own_pass):
    model = small.model(NAME, fusion_share=0.4).train()
    texts, images = small.texts((5, 6, 4, 7, 3, 5)), small.images(6)
    labels = torch.where(texts["attention_mask"] == 1, texts["input_ids"], -100)
    masked = {"masked_input_ids": torch.where(labels > 0, 4, 1)} if own_pass else {}
    fused = []
    model.unimo2.grounded_model.register_forward_pre_hook(lambda module, args: fused.append(args[0].shape[0]))
    output = model(**texts, **images, labels=labels, **masked)
    rows = [0, 2, 5]  # the first of each 2.5 rows
    assert fused == [3] * (3 if own_pass else 2)  # the masked pass, the given pairs and the wrong ones
    assert int(output.counts["matching"]) == 6 and int(output.counts["contrastive"]) == 6
    assert int(output.counts["mlm"]) == sum((5, 6, 4, 7, 3, 5)[row] for row in rows)
    # What needs no fusion sees the whole batch, and what does sees the same as with these rows given alone.
    whole = small.model(NAME).train()(**texts, **images, labels=labels, **masked)
    for name in ("contrastive", "grounding"):
        torch.testing.assert_close(output.losses[name], whole.losses[name])
    part = {name: value[rows] for name, value in {**texts, **images, **masked}.items()}
    alone = small.model(NAME).train()(**part, labels=labels[rows])
    torch.testing.assert_close(output.losses["mlm"], alone.losses["mlm"])
    torch.testing.assert_close(output.matching_logits, alone.matching_logits)


def test_a_dictionary_of_training_can_be_left_out_at_inference(tmp_path):
    small.model(NAME).save_pretrained(tmp_path)
    model = getattr(hf_unimo, NAME).from_pretrained(tmp_path, grounding_method="none")
    assert model.config.grounding_method == "none"
    with torch.no_grad():
        without = model(**small.texts(), **small.images())
        given = small.model(NAME)(**small.texts(), **small.images())
    assert without.grounded_token_ids is None
    torch.testing.assert_close(without.logits_per_image, given.logits_per_image)  # before fusion nothing changes
    assert (without.mlm_logits - given.mlm_logits).abs().max() > 1e-2


# Two processes -------------------------------------------------------------------------------------------------------

LENGTHS = (9, 4, 7, 3, 5, 8)
KINDS = ("pairs", "drawn pairs", "images", "text")


def batch(kind):
    """Six rows; the halves have different numbers of words, masked words and pairs."""
    texts, images = small.texts(LENGTHS), small.images(6)
    labels = torch.where(texts["attention_mask"] == 1, texts["input_ids"], -100)
    labels[3:, 2:] = -100
    if kind == "images":
        return {**images, "second_pixel_values": small.images(6, seed=8)["pixel_values"]}
    if kind == "text":
        return {**texts, "labels": labels}
    return {**texts, **images, "labels": labels, "matching_labels": torch.tensor([1, 1, 0, 1, -100, 0])}


SETTINGS = {"score_contrast_weight": 0.7, "contrastive_label_smoothing": 0.1}


def losses_and_gradients(kind, rows):
    inputs, settings = batch(kind), SETTINGS
    if kind == "drawn pairs":  # texts of the ranks have different lengths, and one caption stands on both
        del inputs["matching_labels"]
        inputs["input_ids"][5], inputs["attention_mask"][5] = inputs["input_ids"][1], inputs["attention_mask"][1]
        settings = SETTINGS | {"matching_negatives": "global", "fusion_share": 0.7, "matching_hardness": 0.5}
    model = small.model(NAME, **settings).train()
    inputs = {name: value[rows] for name, value in inputs.items()}
    if kind == "drawn pairs":
        longest = inputs["attention_mask"].sum(1).max()
        inputs |= {name: inputs[name][:, :longest] for name in ("input_ids", "attention_mask", "labels")}
    output = model(**inputs)
    output.loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {name: loss.detach() for name, loss in output.losses.items()}, gradients


def work(rank):
    half = slice(3 * rank, 3 * rank + 3)
    return {kind: losses_and_gradients(kind, half) for kind in KINDS}


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return two_processes.results(work, tmp_path_factory.mktemp("pretraining"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_equal_one(kind, both):
    losses, gradients = losses_and_gradients(kind, slice(None))
    (first, first_gradients), (second, second_gradients) = (result[kind] for result in both)
    assert losses.keys() == first.keys() == second.keys()
    for name, loss in losses.items():
        torch.testing.assert_close((first[name] + second[name]) / 2, loss, rtol=1e-6, atol=1e-6)
    assert gradients.keys() == first_gradients.keys()
    largest = max(gradient.abs().max() for gradient in gradients.values())
    for name, gradient in gradients.items():
        mean = (first_gradients[name] + second_gradients[name]) / 2
        torch.testing.assert_close(
            mean, gradient, rtol=1e-5, atol=1e-5 * largest.item(), msg=lambda t, n=name: f"{n}: {t}"
        )


# Gradient caching ----------------------------------------------------------------------------------------------------


def cached(kind, chunk_size, rows=slice(None), **settings):
    """Losses and gradients of six rows, or some of them, with the encoders' dropout."""
    model = small.model(NAME, **SETTINGS, **settings).train()
    inputs = {name: value[rows] for name, value in batch(kind).items()}
    torch.manual_seed(3)
    output = model(**inputs, chunk_size=chunk_size)
    torch.manual_seed(4)  # what the backward pass replays is its own
    output.loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {name: loss.detach() for name, loss in output.losses.items()}, gradients


@pytest.mark.parametrize("kind", ["pairs", "images", "text"])
@pytest.mark.parametrize("chunk_size", [1, 4, 6])
def test_gradient_caching_changes_nothing(kind, chunk_size):
    losses, gradients = cached(kind, None)
    found, found_gradients = cached(kind, chunk_size)
    assert found.keys() == losses.keys() and found_gradients.keys() == gradients.keys()
    for name, loss in losses.items():
        torch.testing.assert_close(found[name], loss, rtol=1e-6, atol=1e-6)
    largest = max(gradient.abs().max() for gradient in gradients.values()).item()
    for name, gradient in gradients.items():
        torch.testing.assert_close(found_gradients[name], gradient, rtol=1e-5, atol=1e-5 * largest)


def test_gradient_caching_replays_dropout(monkeypatch):
    dropout = {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.3}
    settings = {
        "vision_config": small.ENCODER | {"image_size": 16, "patch_size": 4} | dropout,
        "text_config": small.ENCODER | {"vocab_size": 40, "max_position_embeddings": 34} | dropout,
    }
    losses, gradients = cached("pairs", 2, **settings)
    # The same chunks with their states kept instead of made again.
    monkeypatch.setattr(modeling_unimo2, "checkpoint", lambda encode, *rows, use_reentrant: encode(*rows))
    kept, kept_gradients = cached("pairs", 2, **settings)
    still, _ = cached("pairs", 2)
    assert not torch.equal(kept["contrastive"], still["contrastive"]), "there is dropout"
    for name, loss in kept.items():
        assert torch.equal(losses[name], loss), name
    for name, gradient in kept_gradients.items():
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-6, atol=1e-7)


def test_gradient_caching_keeps_less():
    def kept_bytes(chunk_size):
        sizes = {}

        def keep(tensor):
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
            return tensor

        model = small.model(NAME, contrastive_weight=1.0).train()
        inputs = {**small.texts((9,) * 32), **small.images(32)}
        del inputs["attention_mask"]
        weights = dict.fromkeys(model.objectives, 0.0) | {"contrastive": 1.0}
        parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model(**inputs, objective_weights=weights, chunk_size=chunk_size)
        return sum(size for place, size in sizes.items() if place not in parameters)

    # What is left are the inputs, and the class states of which the contrast is made.
    assert kept_bytes(2) < kept_bytes(None) / 10


def cached_work(rank):
    return cached("pairs", 2, slice(3 * rank, 3 * rank + 3))


@pytest.mark.slow
def test_gradient_caching_on_two_processes_equals_one(tmp_path):
    losses, gradients = cached("pairs", None)
    (first, first_gradients), (second, second_gradients) = two_processes.results(cached_work, tmp_path)
    for name, loss in losses.items():
        torch.testing.assert_close((first[name] + second[name]) / 2, loss, rtol=1e-6, atol=1e-6)
    largest = max(gradient.abs().max() for gradient in gradients.values()).item()
    for name, gradient in gradients.items():
        mean = (first_gradients[name] + second_gradients[name]) / 2
        torch.testing.assert_close(mean, gradient, rtol=1e-5, atol=1e-5 * largest)
