# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The first implementation's numbers (`fixtures/unimo2_tiny`) and our models with its weights.

`compute(case, attention)` runs one case of the fixture and returns its arrays by the names that `outputs.npz` uses.
"""

import functools
import json
from pathlib import Path

import numpy as np
import torch

from hf_unimo import (
    Unimo2Config,
    Unimo2ForConditionalGeneration,
    Unimo2ForImageClassification,
    Unimo2ForImageTextRetrieval,
    Unimo2ForPreTraining,
    Unimo2ForSequenceClassification,
)
from hf_unimo.conversion.unimo2 import infer_config, official_state_dict
from hf_unimo.conversion.unimo2_names import PARTS, select_weights
from hf_unimo.models.unimo2.generation_unimo2 import official_beam_search
from hf_unimo.objectives.circle import circle_loss
from hf_unimo.objectives.contrastive import contrastive_loss
from hf_unimo.objectives.masked_grounding import masked_grounding_loss
from hf_unimo.objectives.masked_language_modeling import masked_language_modeling_loss
from hf_unimo.objectives.matching import matching_loss


FOLDER = Path(__file__).parents[2] / "fixtures" / "unimo2_tiny"
OFFICIAL_CONFIG = json.loads((FOLDER / "config.json").read_text())
RUN = OFFICIAL_CONFIG["_run"]
WEIGHTS = dict(np.load(FOLDER / "weights.npz"))
INPUTS = {name: torch.from_numpy(array) for name, array in np.load(FOLDER / "inputs.npz").items()}
EXPECTED = dict(np.load(FOLDER / "outputs.npz"))


def official_config(**overrides) -> Unimo2Config:
    """The fixture's configuration, padding included, with some keys of ours changed."""
    config, _ = infer_config({name: array.shape for name, array in WEIGHTS.items()}, OFFICIAL_CONFIG)
    return Unimo2Config.from_dict(config.to_dict() | {"official_padding": True} | overrides)


def official_model(model_class, attention="eager", text_layers=None, grounded_layers=None, **overrides):
    """A model of ours with the fixture's weights, in evaluation mode."""
    config = official_config(**overrides)
    for name, layers in (("text_config", text_layers), ("grounded_config", grounded_layers)):
        if layers is not None:
            getattr(config, name).num_hidden_layers = len(layers)
    model = model_class._from_config(config, attn_implementation=attention).eval()
    state_dict = official_state_dict(
        WEIGHTS, config, model_class.__name__, text_layers=text_layers, grounded_layers=grounded_layers
    )
    missing, unexpected = model.load_state_dict(state_dict, strict=False)
    tied = set(model.all_tied_weights_keys)
    assert not unexpected and set(missing) <= tied, (missing, unexpected)
    model.tie_weights()
    return model


def text_inputs(rows=slice(None), length=None):
    """The padded text batch; `rows` and `length` cut it."""
    return {
        "input_ids": INPUTS["src_ids"][rows, :length, 0],
        "attention_mask": INPUTS["text_mask"][rows, 0, :length].long(),
    }


def image_inputs(name="image_pixel_input"):
    """Images, channels first."""
    return {"pixel_values": INPUTS[name].permute(0, 3, 1, 2).contiguous()}


BOTH = {"text": text_inputs, "image": image_inputs, "multimodal": lambda: {**text_inputs(), **image_inputs()}}

VARIANTS = {
    "grounding_projection": {"grounding_projection": True},
    "grounding_pos": {"grounded_positions": True},
    "method_normal": {"grounding_method": "nearest"},
    "method_optimal": {"grounding_method": "nearest"},
    "alpha_beta": {"grounding_token_weight": 0.5, "grounding_entry_weight": 0.125},
    "layer_subset": {"text_layers": RUN["txt_sub"], "grounded_layers": RUN["g_sub"]},
    "grounding_mask": {},
    "grounding_mask_untied": {"tie_dictionary": False},
    "baseline": {"grounding_method": "none"},
}


class Recorder:
    """Keeps what passes some modules: embeddings on their way out, masks on their way into a first layer."""

    def __init__(self, unimo2):
        self.seen = {}
        self.handles = [
            unimo2.vision_model.embeddings.register_forward_hook(self.output("vit_embeddings")),
            unimo2.text_model.embeddings.register_forward_hook(self.output("text_embeddings")),
            unimo2.text_model.layers[0].register_forward_pre_hook(self.allowed("text_attn_allowed")),
            unimo2.grounded_model.layers[0].register_forward_pre_hook(self.allowed("grounded_attn_allowed")),
        ]
        if unimo2.config.grounding_method != "none":
            self.handles.append(unimo2.grounded_embeddings.register_forward_hook(self.output("grounded_embeddings")))

    def output(self, name):
        def hook(module, inputs, output):
            self.seen[name] = output

        return hook

    def allowed(self, name):
        def hook(module, inputs):
            states, mask = inputs
            shape = (len(states), states.shape[1], states.shape[1])
            allowed = torch.ones(shape) if mask is None else (mask[:, 0] == 0).expand(shape)
            self.seen[name] = allowed.to(torch.uint8)

        return hook


def arrays_of(output, recorder) -> dict[str, torch.Tensor]:
    """A base model's output under the fixture's names."""
    arrays = dict(recorder.seen)
    if output.vision_model_output is not None:
        arrays |= {
            "vit_enc_out": output.vision_model_output.last_hidden_state,
            "enc_v_out": output.image_last_hidden_state,
            "enc_v_out_first6": output.image_last_hidden_state[:, :6],
            "pooled_image": output.image_pooler_output,
        }
    if output.text_model_output is not None:
        arrays |= {
            "text_enc_out": output.text_model_output.last_hidden_state,
            "enc_l_out": output.text_last_hidden_state,
            "pooled_text": output.text_pooler_output,
        }
    if output.grounded_token_ids is not None:
        arrays |= {
            "vq_loss": output.grounding_loss,
            "grounded_indices": output.grounded_token_ids,
            "enc_g_out": output.grounded_last_hidden_state,
        }
    return arrays


def run_base(model, **inputs):
    recorder = Recorder(model.unimo2)
    arrays = arrays_of(model.unimo2(**inputs), recorder)
    if "grounded_indices" in arrays:
        arrays["grounded_tokens"] = model.unimo2.dictionary.embeddings(arrays["grounded_indices"])
    return arrays


def masked_word_labels():
    """Labels (B, L) of the MLM cases: masked words of matching pairs and of texts."""
    labels = torch.full(INPUTS["src_ids"].shape[:2], -100)
    place = INPUTS["heads.mask_pos"][:, 0]
    rows = place // labels.shape[1]
    counts = (INPUTS["heads.lm_loss_flag"][:, 0] * INPUTS["heads.with_text"][rows, 0]).bool()
    labels.view(-1)[place[counts]] = INPUTS["heads.mask_label"][counts, 0]
    return labels, place, rows


def matching_labels():
    """1 match, 0 no match, -100 no pair."""
    return INPUTS["heads.labels"][:, 0].masked_fill(INPUTS["heads.is_multimodal"][:, 0] == 0, -100)


def run_mlm(model, outputs) -> dict[str, torch.Tensor]:
    labels, place, rows = masked_word_labels()
    logits = model.lm_head(outputs.text_last_hidden_state)
    is_pair = INPUTS["heads.is_multimodal"][rows, 0]
    weights = is_pair * RUN["mmw"] + (1 - is_pair)
    return {
        "mlm_logits": logits.flatten(0, 1)[place],
        "mlm_loss": masked_language_modeling_loss(logits, labels),
        "mlm_loss_mmweight": masked_language_modeling_loss(
            logits.flatten(0, 1)[place], labels.view(-1)[place], weights=weights
        ),
    }


def run_contrast(model, outputs) -> dict[str, torch.Tensor]:
    unimo2 = model.unimo2
    image = unimo2.image_features(outputs.vision_model_output)
    text = unimo2.text_features(outputs.text_model_output)
    logits = unimo2.contrastive.logits(image, text)
    targets = torch.arange(len(logits))[:, None]
    return {
        "cmcl_scores": (image * text).sum(-1, keepdim=True),
        "cmcl_loss": contrastive_loss(logits, logits.t(), matching_labels() == 1, mean="batch"),
        "cmcl_i2t_acc": (logits.topk(5).indices == targets).any(1).float().mean(),
        "cmcl_t2i_acc": (logits.t().topk(5).indices == targets).any(1).float().mean(),
    }


def run_heads(model, outputs) -> dict[str, torch.Tensor]:
    arrays = run_mlm(model, outputs) | run_contrast(model, outputs)
    pairs = matching_labels() != -100
    for fusion in ("sum", "mul"):
        model.config.matching_fusion = fusion
        logits = model.itm_head(model._fuse_poolers(outputs))
        arrays[f"itm_{fusion}_logits"] = logits
        arrays[f"itm_{fusion}_loss"] = matching_loss(logits, matching_labels())
        arrays[f"itm_{fusion}_acc"] = (logits.argmax(1) == matching_labels())[pairs].float().mean()
    return arrays


def run_variant(case, attention) -> dict[str, torch.Tensor]:
    model = official_model(Unimo2ForPreTraining, attention, **VARIANTS[case])
    arrays = {}
    for kind, inputs in BOTH.items():
        mask = INPUTS.get(f"{case}.{kind}.is_masked")
        if mask is None:
            found = run_base(model, **inputs())
        else:
            recorder = Recorder(model.unimo2)
            image = model.unimo2.encode_image(**image_inputs()) if kind != "text" else None
            text = model.unimo2.encode_text(**text_inputs()) if kind != "image" else None
            output = model.unimo2.ground(image, text, grounded_token_mask=mask.bool())
            found = arrays_of(output, recorder)
            logits = model.masked_grounding_head(output.grounded_last_hidden_state)
            found["mask_logits"] = logits[mask.bool()]
            found["mask_loss"] = masked_grounding_loss(logits, output.grounded_token_ids, mask.bool())
        arrays |= {f"{kind}.{name}": array for name, array in found.items()}
    return arrays


def run_gradient(case, attention) -> dict[str, torch.Tensor]:
    model = official_model(Unimo2ForPreTraining, attention, contrastive_mean="batch")
    if case == "grad_vq":
        loss = model.unimo2(**BOTH["multimodal"]()).grounding_loss
    else:
        labels, _, _ = masked_word_labels()
        # Rows without a partner keep their masked words, so MLM gets its labels as the first implementation flags
        # them.
        loss = model(**BOTH["multimodal"](), labels=labels, matching_labels=matching_labels()).loss
    loss.backward()
    official_names = {row.ours: row.official for row in select_weights(model.config, PARTS)}
    gradients = {
        official_names[name.removeprefix("unimo2.")]: parameter.grad
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    return {
        "loss": loss,
        "names": np.array(sorted(gradients)),
        "norms": torch.stack([gradients[name].double().norm() for name in EXPECTED[f"{case}.names"].tolist()]),
        **{f"grad.{name}": gradient for name, gradient in gradients.items()},
    }


def run_retrieval(case, attention) -> dict[str, torch.Tensor]:
    weight = 0.0 if case == "retrieval_nocmcl" else RUN["cmcl_w"]
    model = official_model(Unimo2ForImageTextRetrieval, attention, similarity_weight=weight)
    rows = INPUTS["retrieval.caption_index"]
    pixels = image_inputs()["pixel_values"][INPUTS["retrieval.image_index"]]
    scores = model(**text_inputs(rows), pixel_values=pixels).logits[None]
    if case == "retrieval_sigmoid":
        scores = scores.sigmoid()
    settings = {"margin": RUN["margin"], "scale": RUN["scale"]}
    positive, image_negatives, caption_negatives = scores[:, :1], scores[:, 1:3], scores[:, 3:]
    loss = (
        circle_loss(positive, image_negatives, **settings) + circle_loss(positive, caption_negatives, **settings)
    ) / 2
    return {"scores": scores, "loss": loss, "acc": (scores.argmax(1) == 0).float().mean()}


def caption_batch():
    """Object tags and captions side by side, as training sees them."""
    tags, captions = INPUTS["caption.obj_lens"], INPUTS["caption.caption_lens"]
    place = torch.arange(INPUTS["caption.src_ids"].shape[1])[None]
    return {
        "input_ids": INPUTS["caption.src_ids"][..., 0],
        "attention_mask": (place < (tags + captions)[:, None]).long(),
        "token_type_ids": (place >= tags[:, None]).long(),
        "pixel_values": image_inputs()["pixel_values"][:3],
    }


def run_caption(case, attention) -> dict[str, torch.Tensor]:
    overrides = {
        "caption_nosmooth": {"caption_label_smoothing": 0.0},
        "caption_normal": {"grounding_method": "nearest"},
        "caption_baseline": {"grounding_method": "none"},
    }.get(case, {})
    model = official_model(Unimo2ForConditionalGeneration, attention, **overrides)
    batch = caption_batch()
    place = INPUTS["caption.tgt_pos"][:, 0]
    labels = torch.full(batch["input_ids"].shape, -100)
    labels.view(-1)[place + 1] = batch["input_ids"].reshape(-1)[place + 1]
    recorder = Recorder(model.unimo2)
    output = model(**batch, labels=labels)
    return recorder.seen | {"loss": output.loss, "logits": output.logits.flatten(0, 1)[place]}


BEAM = {
    "beam": {},
    "beam_long": {"max_new_tokens": 16, "min_new_tokens": 11},
    "beam_trigram": {"max_new_tokens": 16, "min_new_tokens": 11, "block_trigrams": True},
    "beam_nopenalty": {"length_penalty": 0.0, "min_new_tokens": 0},
    "beam_baseline": {},
    "beam_normal": {},
}
"""How the searches differ from what `RUN` says."""


def object_tags(side="right"):
    """Object tags, padded on the right as in the data files or on the left, and the token that starts a caption."""
    tags, mask = INPUTS["caption.obj_ids"][..., 0], INPUTS["caption.obj_token_mask"][:, 0].long()
    if side == "left":
        order = mask.argsort(dim=1, stable=True)
        tags, mask = tags.gather(1, order), mask.gather(1, order)
    start = torch.zeros_like(mask[:, :1])
    return {
        "input_ids": torch.cat((tags, start), dim=1),
        "attention_mask": torch.cat((mask, torch.ones_like(start)), dim=1),
        "token_type_ids": torch.cat((torch.zeros_like(tags), torch.ones_like(start)), dim=1),
        "pixel_values": image_inputs()["pixel_values"][:3],
    }


def run_beam(case, attention, side="right", **overrides) -> dict[str, torch.Tensor]:
    """All hypotheses of each image, best first."""
    method = {"beam_normal": "nearest", "beam_baseline": "none"}.get(case, "topk")
    model = official_model(Unimo2ForConditionalGeneration, attention, **{"grounding_method": method} | overrides)
    inputs = object_tags(side)
    settings = {
        "num_beams": RUN["beam"],
        "num_return_sequences": RUN["beam"],
        "max_new_tokens": RUN["max_out"],
        "min_new_tokens": RUN["min_out"],
        "length_penalty": RUN["lp"],
        "word_openings": INPUTS["beam.is_full_token"],
    }
    settings |= BEAM[case]
    outputs = {"return_dict_in_generate": True, "output_scores": True}
    output = model.generate(**inputs, **settings, **outputs, custom_generate=official_beam_search)
    captions = output.sequences[:, inputs["input_ids"].shape[1] - 1 :]  # from the token that starts them
    is_end = captions == model.generation_config.eos_token_id
    captions = captions.masked_fill(is_end.cumsum(1) > is_end, -1)
    captions = torch.nn.functional.pad(captions, (0, settings["max_new_tokens"] + 1 - captions.shape[1]), value=-1)
    return {
        "sequences": captions.view(-1, RUN["beam"], captions.shape[1]),
        "scores": output.sequences_scores.view(-1, RUN["beam"]),
    }


def best_first(case, array):
    """An array of a search as expected, its hypotheses in the order of their scores."""
    order = (-EXPECTED[f"{case}.scores"]).argsort(axis=1)
    expected = EXPECTED[f"{case}.{array}"]
    return np.take_along_axis(expected, order.reshape(*order.shape, *[1] * (expected.ndim - 2)), axis=1)


def run_classification(case, attention) -> dict[str, torch.Tensor]:
    image = case == "image_classification"
    model_class = Unimo2ForImageClassification if image else Unimo2ForSequenceClassification
    model = official_model(model_class, attention, num_labels=RUN["num_labels"])
    labels = INPUTS["classification.labels"][:, 0]
    output = model(**(image_inputs() if image else text_inputs()), labels=labels)
    return {
        "logits": output.logits,
        "loss": output.loss,
        "probs": output.logits.softmax(-1),
        "accuracy": (output.logits.argmax(-1) == labels).float().mean(),
    }


def run_plain(case, attention) -> dict[str, torch.Tensor]:
    overrides = {
        "untied_mlm": {"tie_word_embeddings": False},
        "cmcl_projection": {"contrastive_projection": "separate"},
        "cmcl_projection_shared": {"contrastive_projection": "shared"},
    }.get(case, {})
    model = official_model(Unimo2ForPreTraining, attention, **overrides)
    if case == "text_single":
        length = RUN["lens"][1]
        return run_base(model, **text_inputs(slice(1, 2), length))
    if case in ("text", "image"):
        return run_base(model, **BOTH[case]())
    if case == "interpolated":
        pixels = image_inputs("interpolated.image_pixel_input")
        return run_base(model, **text_inputs(slice(0, 2)), **pixels)
    outputs = model.unimo2(**BOTH["multimodal"]())
    if case == "untied_mlm":
        return run_mlm(model, outputs)
    if case.startswith("cmcl_projection"):
        return run_contrast(model, outputs)
    return run_base(model, **BOTH["multimodal"]()) | run_heads(model, outputs)


@functools.cache
def compute(case: str, attention: str) -> dict[str, torch.Tensor]:
    """All arrays of a case, by their names without the case."""
    if case.startswith("grad_"):
        return run_gradient(case, attention)
    with torch.no_grad():
        if case in VARIANTS:
            return run_variant(case, attention)
        if case.startswith("retrieval"):
            return run_retrieval(case, attention)
        if case.startswith("caption"):
            return run_caption(case, attention)
        if case in BEAM:
            return run_beam(case, attention)
        if case.endswith("classification"):
            return run_classification(case, attention)
        return run_plain(case, attention)
