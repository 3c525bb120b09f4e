# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""What is measured of a pre-training model in the middle of a run."""

import numpy as np
import pytest
import torch

from hf_unimo.evaluation.metrics.dictionary import dictionary_usage
from hf_unimo.evaluation.metrics.retrieval import retrieval_metrics
from hf_unimo.evaluation.pretraining import BatchResult, evaluate_batch, summarize
from modeling_tests.models.unimo2 import small


def batch(seed):
    return {**small.texts((5, 6, 4), seed=seed), **small.images(seed=seed)}


def test_two_batches_are_one_gallery():
    model = small.model("Unimo2ForPreTraining", grounding_method="topk").train()
    batches = [batch(3), batch(4)]
    labels = [torch.where(inputs["attention_mask"] == 1, inputs["input_ids"], -100) for inputs in batches]
    labels[1][:2] = -100
    results = [evaluate_batch(model, inputs | {"labels": label}) for inputs, label in zip(batches, labels)]
    assert model.training
    found = summarize(results, model.config.dictionary_size)

    model.eval()
    with torch.no_grad():
        images = torch.cat([model.unimo2.get_image_features(i["pixel_values"]).pooler_output for i in batches])
        texts = torch.cat(
            [model.unimo2.get_text_features(i["input_ids"], i["attention_mask"]).pooler_output for i in batches]
        )
        outputs = [model(**inputs, labels=label) for inputs, label in zip(batches, labels)]
        chosen = torch.cat([model.unimo2(**small.images(seed=seed)).grounded_token_ids for seed in (3, 4)])
    expected = retrieval_metrics((images @ texts.T).numpy(), np.arange(6))
    for name, value in expected.items():
        assert found[name] == pytest.approx(value)
    assert found["candidates"] == 6
    assert found["mean_recall"] == pytest.approx(np.mean([expected[name] for name in expected if "recall" in name]))
    # 15 and 4 masked words: a mean over words, not over batches
    mlm = [output.losses["mlm"].item() for output in outputs]
    assert found["loss_mlm"] == pytest.approx((15 * mlm[0] + 4 * mlm[1]) / 19)
    usage = dictionary_usage(chosen.numpy(), 24)
    assert found["entries_used_by_images"] == usage["entries_used"]
    assert found["overlap_of_images"] == pytest.approx(usage["overlap"])
    assert 0 <= found["own_overlap"] <= 1 and {"score_text_recall@1", "score_image_recall@10"} <= found.keys()


def test_images_and_texts_alone_have_losses_only():
    model = small.model("Unimo2ForPreTraining")
    second = {"second_pixel_values": small.images(seed=7)["pixel_values"]}
    found = summarize([evaluate_batch(model, small.images() | second)], 24)
    assert set(found) == {"loss_visual_contrastive", "loss_grounding"}
    weights = {"grounding": 0.0}
    assert set(summarize([evaluate_batch(model, small.images() | second, weights)])) == {"loss_visual_contrastive"}


@pytest.mark.parametrize("method", ["none", "nearest"])
def test_other_dictionaries_have_retrieval_only(method):
    model = small.model("Unimo2ForPreTraining", grounding_method=method)
    found = summarize([evaluate_batch(model, batch(3))], None)
    assert "mean_recall" in found and not any("overlap" in name for name in found)


def test_the_encoders_alone_are_enough_for_all_but_the_losses():
    model = small.model("Unimo2ForPreTraining")
    whole, features = (
        summarize([evaluate_batch(model, batch(3), with_losses=losses)], 24) for losses in (True, False)
    )
    assert features == {name: value for name, value in whole.items() if not name.startswith("loss_")}
    weights = dict.fromkeys(model.objectives, 0.0)
    assert evaluate_batch(model, small.images(), weights).losses == {}  # no objective applies


def test_a_loss_over_nothing_is_not_a_number():
    found = summarize([BatchResult(2, {"mlm": (0.0, 0.0)})])
    assert np.isnan(found["loss_mlm"])
