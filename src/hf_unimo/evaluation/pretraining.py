# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
What a pre-training model can do so far: its losses on held-out batches, zero-shot retrieval by contrastive features,
and the health of its dictionary.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from .metrics.dictionary import dictionary_alignment, dictionary_usage
from .metrics.retrieval import retrieval_metrics


@dataclass
class BatchResult:
    """
    What one batch gave; small, and picklable, so that processes can share it.

    Args:
        rows (`int`): Rows of the batch.
        losses (`dict[str, tuple[float, float]]`): Objective -> mean, and the number of items that it is a mean over.
        arrays (`dict[str, ndarray]`): Of pairs: contrastive features `image`, `text` (`(rows, width)`); with a
            dictionary also the entries that each side chose (`image_chosen`, `text_chosen`, `(rows, K)`) and their
            scores as a mean over tokens (`image_scores`, `text_scores`, `(rows, C)`).
    """

    rows: int
    losses: dict[str, tuple[float, float]] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


@torch.no_grad()
def evaluate_batch(
    model: PreTrainedModel,
    inputs: Mapping[str, torch.Tensor],
    weights: Mapping[str, float] | None = None,
    with_losses: bool = True,
) -> BatchResult:
    """
    Losses and features of one batch, in evaluation mode.

    Args:
        model: A pre-training model; with `get_image_features` and `get_text_features` on its base model, pairs are
            measured by retrieval too.
        inputs: Arguments of its `forward`; captions of pairs whole (masked ones as `masked_input_ids`).
        weights (*optional*): Objective -> weight, as `objective_weights`; those of the configuration by default.
        with_losses (`bool`, defaults to `True`): Whether to run the whole model, or the encoders only.
    """
    was_training = model.training
    model.eval()
    result = BatchResult(next(iter(inputs.values())).shape[0])
    if with_losses:
        output = model(**inputs, objective_weights=None if weights is None else dict(weights))
        losses = output.losses or {}
        result.losses = {name: (value.item(), float(output.counts[name])) for name, value in losses.items()}
    base: Any = model.base_model
    if "pixel_values" in inputs and "input_ids" in inputs and hasattr(base, "get_image_features"):
        images = {"pixel_values": inputs["pixel_values"]}
        texts = {name: inputs[name] for name in ("input_ids", "attention_mask") if name in inputs}
        result.arrays = _pair_arrays(base, images, texts)
    model.train(was_training)
    return result


def _pair_arrays(base: Any, images: dict, texts: dict) -> dict[str, np.ndarray]:
    if getattr(base.config, "grounding_method", "none") != "topk":
        found = {
            "image": base.get_image_features(**images).pooler_output,
            "text": base.get_text_features(**texts).pooler_output,
        }
    else:
        image, text = base.encode_image(**images), base.encode_text(**texts)
        found = {"image": base.image_features(image), "text": base.text_features(text)}
        for side, part in (("image", image), ("text", text)):
            found[f"{side}_chosen"] = base.dictionary.choose(part.dictionary_scores)
            found[f"{side}_scores"] = part.dictionary_scores / part.dictionary_mask.sum(1, keepdim=True).clamp(min=1)
    return {
        name: value.float().cpu().numpy() if value.is_floating_point() else value.cpu().numpy()
        for name, value in found.items()
    }


def summarize(results: Iterable[BatchResult], dictionary_size: int | None = None) -> dict[str, float]:
    """
    One set of numbers for all batches of a source.

    Args:
        results: In the order of the batches.
        dictionary_size (`int`, *optional*): Number of entries, if there is a dictionary.

    Returns:
        `loss_<objective>`: mean over all items. Of pairs: `image_recall@k` (a text looks for its image),
        `text_recall@k`, ranks, `mean_recall` (mean of recall at 1, 5 and 10 in both directions), `candidates` (rows
        of the gallery; chance at k is k / candidates), and the dictionary's health: `entries_used_by_images`,
        `perplexity_of_images`, `overlap_of_images` (mean Jaccard overlap of two images' choices) and the same of
        texts, `chance_overlap`, `own_overlap` and `foreign_overlap` of an image's and a text's choices, and
        `score_image_recall@k`, `score_text_recall@k` of retrieval by dictionary scores alone.
    """
    results = list(results)
    metrics = {}
    for name in {name: None for result in results for name in result.losses}:
        parts = [result.losses[name] for result in results if name in result.losses]
        items = sum(count for _, count in parts)
        metrics[f"loss_{name}"] = sum(mean * count for mean, count in parts) / items if items else float("nan")
    if not results or any("image" not in result.arrays for result in results):
        return metrics
    arrays = {name: np.concatenate([result.arrays[name] for result in results]) for name in results[0].arrays}
    rows = len(arrays["image"])
    retrieval = retrieval_metrics(arrays["image"] @ arrays["text"].T, np.arange(rows))
    recalls = [value for name, value in retrieval.items() if "recall" in name]
    metrics |= {"mean_recall": float(np.mean(recalls)), **retrieval, "candidates": rows}
    if "image_chosen" in arrays and dictionary_size and rows > 1:
        metrics |= _dictionary_health(arrays, dictionary_size)
    return metrics


def _dictionary_health(arrays: Mapping[str, np.ndarray], dictionary_size: int) -> dict[str, float]:
    found: dict[str, float] = {}
    for side in ("image", "text"):
        usage = dictionary_usage(arrays[f"{side}_chosen"], dictionary_size)
        found |= {f"{name}_of_{side}s": usage[name] for name in ("perplexity", "overlap")}
        found[f"entries_used_by_{side}s"] = usage["entries_used"]
        found["chance_overlap"] = usage["chance_overlap"]
    alignment = dictionary_alignment(
        arrays["image_chosen"], arrays["text_chosen"], arrays["image_scores"], arrays["text_scores"]
    )
    return found | {f"score_{name}" if "recall" in name else name: value for name, value in alignment.items()}
