# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The equalities and refusals that UNIMO-2 promises, beyond the first implementation's numbers."""

import copy

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError

import hf_unimo
from hf_unimo import Unimo2Config, Unimo2Model
from hf_unimo.objectives.grounding import topk_grounding_loss

from . import small


def margin(scores, number):
    """Smallest distance between the last chosen and the first unchosen score."""
    ordered = scores.sort(descending=True).values
    return (ordered[:, number - 1] - ordered[:, number]).min()


# Configuration -------------------------------------------------------------------------------------------------------


def test_base_has_the_parameters_of_the_first_implementation():
    with torch.device("meta"):
        model = Unimo2Model(Unimo2Config.base())
    assert sum(parameter.numel() for parameter in model.parameters()) == 297_662_978


def test_presets_differ_and_merge_overrides_key_by_key():
    tiny = Unimo2Config.tiny(num_grounded_tokens=8, text_config={"vocab_size": 77})
    assert (tiny.num_grounded_tokens, tiny.text_config.vocab_size, tiny.text_config.hidden_size) == (8, 77, 128)
    assert Unimo2Config.large().vision_config.num_hidden_layers == 24
    assert Unimo2Config.base().to_dict() == Unimo2Config().to_dict()


@pytest.mark.parametrize(
    "overrides, message",
    [
        ({"num_grounded_tokens": 2049}, "between 1 and `dictionary_size` \\(2048\\)"),
        ({"num_grounded_tokens": 0}, "between 1 and"),
        ({"grounding_method": "best"}, "topk"),
        ({"fusion_attention": "some"}, "grounded"),
        ({"text_config": {"hidden_size": 96}}, "share one `hidden_size`"),
        ({"vision_config": {"image_size": 225}}, "multiple of `patch_size`"),
        ({"text_config": {"num_attention_heads": 7}}, "multiple of `num_attention_heads`"),
        ({"dictionary_size": "2048"}, "dictionary_size"),
    ],
)
def test_impossible_configurations_are_refused(overrides, message):
    with pytest.raises((StrictDataclassError, TypeError), match=message):
        Unimo2Config(**overrides)


def test_no_parameter_stands_at_a_models_root():
    for name in small.ALL:
        assert all("." in key for key, _ in small.model(name).named_parameters())


# Doors ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["topk", "nearest", "none"])
@pytest.mark.parametrize("parts", ["image", "text", "both"])
def test_staged_equals_forward(method, parts):
    model = small.model("Unimo2Model", grounding_method=method)
    inputs = {**(small.images() if parts != "text" else {}), **(small.texts() if parts != "image" else {})}
    with torch.no_grad():
        whole = model(**inputs)
        image = model.encode_image(inputs["pixel_values"]) if parts != "text" else None
        text = model.encode_text(inputs["input_ids"], inputs["attention_mask"]) if parts != "image" else None
        staged = model.ground(image, text)
    for name, expected in small.predictions(whole).items():
        assert torch.equal(staged[name], expected), name
    if method != "none":
        assert torch.equal(staged.grounded_token_ids, whole.grounded_token_ids)


def test_scores_of_a_pair_are_the_sum_of_its_parts():
    model = small.model("Unimo2Model")
    with torch.no_grad():
        image, text = model.encode_image(**small.images()), model.encode_text(**small.texts())
        both = image.dictionary_scores + text.dictionary_scores
        assert both.dtype == torch.float32
        assert torch.equal(model.ground(image, text).grounded_token_ids, model.dictionary.choose(both))


def test_given_ids_replace_the_choice():
    model = small.model("Unimo2Model")
    ids = torch.tensor([[3, 1, 2]] * 3)
    with torch.no_grad():
        image = model.encode_image(**small.images())
        output = model.ground(image, grounded_token_ids=ids)
        chosen = model.ground(image)
        again = model.ground(image, grounded_token_ids=chosen.grounded_token_ids)
    assert torch.equal(output.grounded_token_ids, ids)
    assert torch.equal(again.last_hidden_state, chosen.last_hidden_state)


def test_output_has_the_promised_parts():
    model = small.model("Unimo2Model")
    with torch.no_grad():
        pair, image, text = model(**small.texts(), **small.images()), model(**small.images()), model(**small.texts())
    assert pair.last_hidden_state.shape == (3, 17 + 6 + 9, 32)
    slices = (pair.image_last_hidden_state, pair.grounded_last_hidden_state, pair.text_last_hidden_state)
    assert torch.equal(torch.cat(slices, dim=1), pair.last_hidden_state)
    assert pair.grounded_token_ids.shape == (3, 6)
    assert image.text_last_hidden_state is image.text_pooler_output is image.text_model_output is None
    assert text.image_last_hidden_state is text.image_pooler_output is text.vision_model_output is None
    assert pair.vision_model_output.last_hidden_state.shape == (3, 17, 32)
    assert pair.text_model_output.pooler_output.shape == (3, 32)


def test_features_follow_transformers():
    model = small.model("Unimo2Model")
    with torch.no_grad():
        image = model.get_image_features(**small.images())
        text = model.get_text_features(**small.texts())
        retrieval = small.model("Unimo2ForImageTextRetrieval")
        retrieval.unimo2.load_state_dict(model.state_dict())
        logits = retrieval(**small.texts(), **small.images()).logits_per_image
    torch.testing.assert_close(image.pooler_output.norm(dim=-1), torch.ones(3))
    temperature = model.contrastive.temperature.item()
    torch.testing.assert_close(image.pooler_output @ text.pooler_output.t() / temperature, logits)


# Padding -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("method", ["topk", "none"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_row_does_not_depend_on_its_batch(side, method, attention):
    model = small.model("Unimo2Model", attention=attention, grounding_method=method)
    batch, pixels = small.texts(side=side), small.images()["pixel_values"]
    with torch.no_grad():
        whole = model(**batch, pixel_values=pixels)
        for row in range(3):
            words = batch["attention_mask"][row].bool()
            alone = model(input_ids=batch["input_ids"][row, words][None], pixel_values=pixels[row : row + 1])
            if method == "topk":
                scores = alone.vision_model_output.dictionary_scores + alone.text_model_output.dictionary_scores
                assert margin(scores, 6) > 1e-4
                assert torch.equal(alone.grounded_token_ids[0], whole.grounded_token_ids[row])
            found = whole.text_last_hidden_state[row, words]
            torch.testing.assert_close(found, alone.text_last_hidden_state[0], atol=1e-5, rtol=0)
            for part in ("text_pooler_output", "image_last_hidden_state"):
                torch.testing.assert_close(whole[part][row], alone[part][0], atol=1e-5, rtol=0)
            torch.testing.assert_close(
                whole.text_model_output.pooler_output[row],
                alone.text_model_output.pooler_output[0],
                atol=1e-5,
                rtol=0,
            )


def test_a_row_does_not_depend_on_its_batch_in_bfloat16():
    model = small.model("Unimo2Model").bfloat16()
    batch, pixels = small.texts(), small.images()["pixel_values"]
    with torch.no_grad():
        whole = model(**batch, pixel_values=pixels)
        for row, length in enumerate(small.LENGTHS):
            ids = batch["input_ids"][row : row + 1, :length]
            image, text = model.encode_image(pixels[row : row + 1]), model.encode_text(ids)
            alone = model.ground(image, text, grounded_token_ids=whole.grounded_token_ids[row : row + 1])
            torch.testing.assert_close(
                whole.text_last_hidden_state[row, :length], alone.text_last_hidden_state[0], atol=5e-2, rtol=5e-2
            )


@pytest.mark.parametrize("side", ["right", "left"])
def test_nearest_grounding_keeps_padding_out(side):
    model = small.model("Unimo2Model", grounding_method="nearest")
    batch = small.texts(side=side)
    with torch.no_grad():
        whole = model(**batch)
        words = batch["attention_mask"][1].bool()
        alone = model(input_ids=batch["input_ids"][1, words][None])
    torch.testing.assert_close(
        whole.text_last_hidden_state[1, words], alone.text_last_hidden_state[0], atol=1e-5, rtol=0
    )


def test_official_padding_lets_padding_reach_the_dictionary():
    batch = small.texts()
    longer = {
        name: torch.nn.functional.pad(value, (0, 4), value=int(name == "input_ids")) for name, value in batch.items()
    }
    for official in (False, True):
        model = small.model("Unimo2Model", official_padding=official)
        with torch.no_grad():
            scores, padded = (model.encode_text(**inputs).dictionary_scores for inputs in (batch, longer))
        assert torch.allclose(scores, padded, atol=1e-5) != official


# Attention -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", small.ALL)
@pytest.mark.parametrize("official", [False, True])
def test_eager_and_sdpa_agree(name, official):
    outputs = []
    for attention in ("eager", "sdpa"):
        model = small.model(name, attention=attention, official_padding=official)
        with torch.no_grad():
            outputs.append(small.predictions(model(**small.inputs(name))))
    assert outputs[0].keys() == outputs[1].keys()
    words = small.texts()["attention_mask"].bool()
    for key, eager in outputs[0].items():
        sdpa = outputs[1][key]
        if eager.dim() == 3 and eager.shape[1] == words.shape[1]:
            eager, sdpa = eager[words], sdpa[words]
        elif key == "last_hidden_state":
            continue  # its parts are compared
        torch.testing.assert_close(eager, sdpa, atol=1e-5, rtol=1e-5, msg=lambda text, key=key: f"{key}: {text}")


@pytest.mark.parametrize(
    "overrides, blind",
    [({}, True), ({"grounding_method": "nearest"}, True), ({"fusion_attention": "full"}, False)],
)
def test_image_and_text_are_blind_to_each_other(overrides, blind):
    model = small.model("Unimo2Model", attention="eager", **overrides)
    with torch.no_grad():
        output = model(**small.texts(), **small.images(), output_attentions=True)
    number = output.grounded_token_ids.shape[1]
    for weights in output.attentions:
        image_to_text, text_to_image = weights[:, :, :17, 17 + number :], weights[:, :, 17 + number :, :17]
        assert ((image_to_text == 0).all() and (text_to_image == 0).all()) == blind
        # padding is not looked at; everything real is
        assert (weights[1, :, :, 17 + number + 5 :] == 0).all()
        assert (weights[0, :, 17 : 17 + number] > 0).all()


def test_without_a_dictionary_image_and_text_see_each_other():
    model = small.model("Unimo2Model", attention="eager", grounding_method="none")
    with torch.no_grad():
        output = model(**small.texts(), **small.images(), output_attentions=True)
    assert output.grounded_token_ids is output.grounding_loss is output.grounded_last_hidden_state is None
    assert (output.attentions[0][0] > 0).all()


@pytest.mark.parametrize("implementation", ["flash_attention_2", "flash_attention_3"])
def test_other_attention_functions_are_refused(implementation):
    with pytest.raises((ValueError, ImportError)) as caught:
        Unimo2Model._from_config(small.config(), attn_implementation=implementation)
    assert "ignores the mask that keeps image and text blind" in str(caught.value)
    with pytest.raises((ValueError, ImportError)):
        small.model("Unimo2Model").set_attn_implementation(implementation)


# Dictionary ----------------------------------------------------------------------------------------------------------


def test_ties_go_to_the_lower_id():
    dictionary = small.model("Unimo2Model").dictionary
    scores = torch.tensor([[0.0] * 24, [1.0, 2.0] * 12])
    assert dictionary.choose(scores).tolist() == [[0, 1, 2, 3, 4, 5], [1, 3, 5, 7, 9, 11]]


@pytest.mark.parametrize("method", ["topk", "nearest"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_text_without_words_has_no_grounding_loss(method, dtype):
    model = small.model("Unimo2ForPreTraining", grounding_method=method).to(dtype).train()
    output = model(input_ids=torch.tensor([[7], [8]]))
    assert output.losses["grounding"].item() == 0
    if method == "topk":
        assert output.grounded_token_ids.tolist() == [[0, 1, 2, 3, 4, 5]] * 2
    output.loss.backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


def test_rows_without_words_do_not_count_in_the_grounding_loss():
    model = small.model("Unimo2Model")
    batch = small.texts((6, 1))
    with torch.no_grad():
        mixed = model(**batch).grounding_loss
        alone = model(input_ids=batch["input_ids"][:1]).grounding_loss
    torch.testing.assert_close(mixed, alone)


def test_the_grounding_loss_is_what_its_docstring_says():
    torch.manual_seed(0)
    tokens, entries = torch.randn(1, 3, 4), torch.randn(1, 2, 4)
    scores = torch.sigmoid(tokens @ entries.transpose(1, 2))
    mask = torch.tensor([[True, True, False]])
    found = topk_grounding_loss(tokens, entries, scores, mask, token_weight=2.0, entry_weight=3.0)
    s, x, g = scores[0, :2], tokens[0, :2], entries[0]
    token_means = torch.stack([(s[n][:, None] * g).sum(0) / s[n].sum() for n in range(2)])
    entry_means = torch.stack([(s[:, k][:, None] * x).sum(0) / s[:, k].sum() for k in range(2)])
    expected = 2 * ((x - token_means) ** 2).mean() + 3 * ((g - entry_means) ** 2).mean()
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_dictionary_scores_are_float32_whatever_the_models_type(dtype):
    model = small.model("Unimo2Model").to(dtype)
    with torch.no_grad():
        text = model.encode_text(**small.texts())
        tokens, entries = text.dictionary_tokens.float(), model.dictionary.embeddings.weight.float()
        scores = torch.sigmoid(tokens @ entries.t() * model.dictionary.temperature.float())
        expected = (scores * text.dictionary_mask[..., None]).sum(1)
        output = model(**small.texts())
    assert text.dictionary_scores.dtype == output.grounding_loss.dtype == torch.float32
    torch.testing.assert_close(text.dictionary_scores, expected)
    assert output.last_hidden_state.dtype == dtype


def test_autocast_does_not_reach_the_dictionary():
    model = small.model("Unimo2Model")
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        text = model.encode_text(**small.texts())
        loss = model(**small.texts()).grounding_loss
    with torch.no_grad():
        scores = model.dictionary.score(text.dictionary_tokens.float(), text.dictionary_mask.bool())
    assert torch.equal(text.dictionary_scores, scores)
    assert loss.dtype == torch.float32


def test_no_tokens_by_entries_array_is_kept_for_the_backward_pass():
    model = small.model("Unimo2ForPreTraining", dictionary_size=4096)
    image = small.images(number=4)
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(tuple(t.shape)) or t, lambda t: t):
        model(**image, return_loss=True)
    assert sizes and not [shape for shape in sizes if 4096 in shape and 16 in shape]


# Image sizes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("height, width", [(16, 16), (8, 8), (32, 32), (12, 24), (4, 40)])
def test_image_sizes(height, width):
    model = small.model("Unimo2Model").vision_model
    with torch.no_grad():
        output = model(**small.images(height=height, width=width))
        positions = model.embeddings.interpolate_pos_encoding(height, width)
    assert output.last_hidden_state.shape == (3, 1 + height * width // 16, 32)
    stored = model.embeddings.position_embeddings
    assert torch.equal(positions[:, 0], stored[:, 0])
    if (height, width) == (16, 16):
        assert torch.equal(positions, stored)


def test_interpolation_to_the_stored_size_changes_nothing():
    """In an exported graph the table is always interpolated."""
    table = torch.randn(1, 32, 14, 14)
    again = torch.nn.functional.interpolate(table, size=(14, 14), mode="bicubic", align_corners=False)
    assert torch.equal(again, table)


@pytest.mark.parametrize(
    "images, settings, message",
    [
        ({"height": 18}, {}, "18x16 pixels, but both sides must be multiples of the patch size 4"),
        ({"height": 8}, {"interpolate_pos_encoding": False}, "8x16 pixels and the position table is made for 16x16"),
    ],
)
def test_image_sizes_that_do_not_fit_are_refused(images, settings, message):
    with pytest.raises(ValueError, match=message):
        small.model("Unimo2Model")(**small.images(**images), **settings)


def test_grey_images_are_refused():
    with pytest.raises(ValueError, match="1 channels, but the model takes 3"):
        small.model("Unimo2Model")(pixel_values=torch.zeros(2, 1, 16, 16))


# Heads ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, inputs, message",
    [
        ("Unimo2Model", {}, "needs `input_ids`"),
        ("Unimo2ForPreTraining", {}, "needs `input_ids`"),
        ("Unimo2ForMaskedLM", small.images(), "Unimo2ForMaskedLM needs `input_ids`"),
        ("Unimo2ForImageTextRetrieval", small.texts(), "needs `pixel_values`"),
        ("Unimo2ForImageTextRetrieval", small.images(), "needs `input_ids`"),
        ("Unimo2ForVisualQuestionAnswering", small.texts(), "needs `pixel_values`"),
        ("Unimo2ForImageTextClassification", small.images(), "needs `input_ids`"),
        ("Unimo2ForImageClassification", {}, "needs `pixel_values`"),
        ("Unimo2ForSequenceClassification", {}, "needs `input_ids`"),
        ("Unimo2ForConditionalGeneration", small.texts(), "needs `pixel_values`"),
        ("Unimo2Model", {**small.texts(), **small.images(2)}, "2 images and 3 texts"),
        ("Unimo2Model", small.texts((33,)), "33 tokens, but the model has positions for 32"),
    ],
)
def test_missing_and_unfit_inputs_are_named(name, inputs, message):
    with pytest.raises(ValueError, match=message):
        small.model(name)(**inputs)


def test_retrieval_scores():
    model = small.model("Unimo2ForImageTextRetrieval", similarity_weight=0.7)
    with torch.no_grad():
        output = model(**small.texts(), **small.images())
        uneven = model(**small.texts(), **small.images(2))
    temperature = model.unimo2.contrastive.temperature.item()
    torch.testing.assert_close(output.similarity / temperature, output.logits_per_image.diagonal())
    torch.testing.assert_close(output.logits, output.itm_logits[:, 1] + 0.7 * output.similarity)
    assert (output.itm_logits.shape, output.logits.shape) == ((3, 2), (3,))
    assert (uneven.logits_per_image.shape, uneven.logits_per_text.shape) == ((2, 3), (3, 2))
    assert uneven.logits is uneven.itm_logits is uneven.similarity is None
    torch.testing.assert_close(uneven.logits_per_image, output.logits_per_image[:2])
    with pytest.raises(ValueError, match="2 images and 3 texts"):
        model(**small.texts(), **small.images(2), labels=torch.tensor([1, 1, 0]))


def test_pretraining_names_its_losses_and_sums_them():
    overrides = {"mlm_weight": 0.5, "matching_weight": 2.0, "contrastive_weight": 3.0, "grounding_weight": 4.0}
    model = small.model("Unimo2ForPreTraining", **overrides)
    mask = torch.zeros(3, 6, dtype=torch.bool)
    mask[:, ::2] = True
    with torch.no_grad():
        output = model(
            **small.inputs("Unimo2ForPreTraining"), **small.labels("Unimo2ForPreTraining"), grounded_token_mask=mask
        )
    assert set(output.losses) == {"mlm", "matching", "contrastive", "grounding", "masked_grounding"}
    losses = output.losses
    expected = 0.5 * losses["mlm"] + 2 * losses["matching"] + 3 * losses["contrastive"] + 4 * losses["grounding"]
    torch.testing.assert_close(output.loss, expected + losses["masked_grounding"])
    assert output.masked_grounding_logits.shape == (3, 6, 24)


def test_pretraining_takes_images_and_texts_without_partner():
    model = small.model("Unimo2ForPreTraining")
    with torch.no_grad():
        image, text = (
            model(**small.images()),
            model(**small.texts(), labels=small.labels("Unimo2ForMaskedLM")["labels"]),
        )
        silent = model(**small.images(), return_loss=False)
    assert set(image.losses) == {"grounding"} and set(text.losses) == {"grounding", "mlm"}
    assert silent.loss is silent.losses is None


def test_words_of_foreign_texts_do_not_count_in_mlm():
    model = small.model("Unimo2ForPreTraining")
    labels = small.labels("Unimo2ForPreTraining")
    kept = labels["labels"].clone()
    kept[1] = -100
    with torch.no_grad():
        inputs = small.inputs("Unimo2ForPreTraining")
        found = model(**inputs, **labels).losses["mlm"]
        expected = model(**inputs, labels=kept).losses["mlm"]
    torch.testing.assert_close(found, expected)


def test_in_training_only_what_a_loss_needs_is_computed():
    model = small.model("Unimo2ForPreTraining", mlm_weight=0.0, matching_weight=0.0).train()
    calls = []
    model.unimo2.grounded_model.register_forward_hook(lambda *_: calls.append(1))
    inputs = small.inputs("Unimo2ForPreTraining")
    output = model(**inputs, labels=small.labels("Unimo2ForMaskedLM")["labels"])
    assert set(output.losses) == {"contrastive", "grounding"} and not calls and output.mlm_logits is None
    losses = {name: loss.item() for name, loss in output.losses.items()}
    full = model.eval()(**inputs)
    assert calls and full.mlm_logits is not None
    assert losses == pytest.approx({name: loss.item() for name, loss in full.losses.items()}, rel=1e-6)


def test_grounded_tokens_are_hidden_at_random_in_training():
    model = small.model("Unimo2ForPreTraining", grounding_mask_ratio=0.5).train()
    torch.manual_seed(0)
    assert "masked_grounding" in model(**small.images()).losses
    assert "masked_grounding" not in model.eval()(**small.images()).losses


def test_vqa_labels_must_be_scores():
    model = small.model("Unimo2ForVisualQuestionAnswering")
    with pytest.raises(ValueError, match="scores of shape \\(3, 3\\)"):
        model(**small.inputs("Unimo2ForVisualQuestionAnswering"), labels=torch.tensor([0, 1, 2]))


def test_regression():
    model = small.model("Unimo2ForSequenceClassification", num_labels=1)
    with torch.no_grad():
        output = model(**small.texts(), labels=torch.tensor([0.1, 0.2, 0.3]))
    expected = (output.logits[:, 0] - torch.tensor([0.1, 0.2, 0.3])).square().mean()
    torch.testing.assert_close(output.loss, expected)


VISION, TEXT, FUSION = "unimo2.vision_model.*", "unimo2.text_model.*", "unimo2.grounded_model.*"
GROUNDED = "unimo2.grounded_embeddings.*"
CONTRAST = "unimo2.contrastive.*"
IMAGE_POOLER, TEXT_POOLER = "unimo2.image_pooler.*", "unimo2.text_pooler.*"
TEMPERATURE = "unimo2.dictionary.temperature"  # only the grounding loss reaches it

NO_GRADIENT = {
    "Unimo2ForPreTraining": {"masked_grounding_head.*"},  # no token is hidden
    "Unimo2ForImageTextRetrieval": {TEMPERATURE},
    "Unimo2ForVisualQuestionAnswering": {TEMPERATURE, CONTRAST},
    "Unimo2ForImageTextClassification": {TEMPERATURE, CONTRAST},
    "Unimo2ForMaskedLM": {VISION, TEMPERATURE, CONTRAST, IMAGE_POOLER, TEXT_POOLER},
    "Unimo2ForSequenceClassification": {VISION, TEMPERATURE, CONTRAST, IMAGE_POOLER},
    "Unimo2ForImageClassification": {TEXT, TEMPERATURE, CONTRAST, TEXT_POOLER},
    "Unimo2ForConditionalGeneration": {TEMPERATURE, CONTRAST, IMAGE_POOLER, TEXT_POOLER},
}


@pytest.mark.parametrize("name", small.HEADS)
def test_which_parameters_a_head_leaves_without_gradient(name):
    model = small.model(name).train()
    model(**small.inputs(name), **small.labels(name)).loss.backward()
    found = {key for key, parameter in model.named_parameters() if parameter.grad is None}
    left_alone = [pattern.removesuffix("*") for pattern in NO_GRADIENT[name]]
    expected = {key for key, _ in model.named_parameters() if key.startswith(tuple(left_alone))}
    assert found == expected


@pytest.mark.parametrize("name", small.HEADS)
def test_gradient_checkpointing_changes_nothing(name):
    gradients = []
    for checkpointing in (False, True):
        model = small.model(name).train()
        if checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": False})
        model(**small.inputs(name), **small.labels(name)).loss.backward()
        gradients.append({key: p.grad for key, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for key, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][key], gradient, msg=lambda text, key=key: f"{key}: {text}")


@pytest.mark.parametrize("name", small.HEADS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(name, dtype):
    model = small.model(name).to(dtype)
    output = model(**small.inputs(name), **small.labels(name))
    assert torch.isfinite(output.loss)
    output.loss.backward()
    for key, prediction in small.predictions(output).items():
        assert torch.isfinite(prediction).all(), key


@pytest.mark.parametrize("name", ["Unimo2ForPreTraining", "Unimo2ForMaskedLM", "Unimo2ForConditionalGeneration"])
def test_resized_embeddings(name):
    model = small.model(name)
    inputs = small.inputs(name)
    with torch.no_grad():
        before = model(**inputs)
        model.resize_token_embeddings(44)
        after = model(**inputs)
    key = "mlm_logits" if "PreTraining" in name else "logits"
    assert (
        model.config.text_config.vocab_size
        == model.get_output_embeddings().bias.shape[0]
        == after[key].shape[-1]
        == 44
    )
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    torch.testing.assert_close(after[key][..., :40], before[key])


def test_initialisation_is_complete_and_repeatable():
    first, second = small.model("Unimo2ForPreTraining", seed=5), small.model("Unimo2ForPreTraining", seed=5)
    for (key, one), (_, other) in zip(first.named_parameters(), second.named_parameters()):
        assert torch.equal(one, other) and torch.isfinite(one).all(), key
    with torch.device("meta"):
        base = Unimo2Model(Unimo2Config.base(vision_config={"num_hidden_layers": 1}))
    assert base.dictionary.embeddings.weight.shape == (2048, 768)
    entries = first.unimo2.dictionary.embeddings.weight.detach()
    assert entries.abs().max() <= 0.5 and entries.std().item() == pytest.approx(0.5 / 3**0.5, rel=0.1)
    assert first.unimo2.dictionary.temperature.item() == 1.0
    assert first.unimo2.contrastive.temperature.item() == pytest.approx(0.07)
    positions = first.unimo2.text_model.embeddings.position_embeddings.weight.detach()
    assert positions.std().item() == pytest.approx(0.02, rel=0.15)
    assert first.unimo2.grounded_model.layers[0].mlp.fc1.weight.std().item() == pytest.approx(0.2, rel=0.1)


def test_shapes_can_be_computed_on_the_meta_device():
    with torch.device("meta"):
        model = Unimo2Model(small.config())
        output = model(input_ids=torch.zeros(2, 5, dtype=torch.long), pixel_values=torch.zeros(2, 3, 16, 16))
    assert output.last_hidden_state.shape == (2, 17 + 6 + 5, 32)


def test_models_can_be_copied():
    model = small.model("Unimo2ForPreTraining")
    twin = copy.deepcopy(model)
    with torch.no_grad():
        assert torch.equal(model(**small.images()).image_pooler_output, twin(**small.images()).image_pooler_output)


def test_every_public_model_has_its_docstring():
    for name in hf_unimo.__all__:
        if name.startswith("Unimo2"):
            assert getattr(hf_unimo, name).__doc__, name
