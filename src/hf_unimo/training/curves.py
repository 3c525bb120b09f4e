# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""What the log of a run tells: every loss and every recall over the steps, as numbers and as a picture."""

import io
import logging
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


RECALL = re.compile(r"(image|text)_recall@(\d+)")
DIRECTIONS = {"image": "text to image", "text": "image to text"}
"""What is looked for -> what looks for what."""

MARKERS = "os^Dv"

_logger = logging.getLogger(__name__)


def rank_of(recall: str) -> int:
    """10 of `image_recall@10`."""
    return int(recall.rpartition("@")[2])


def loss_curves(log_history: Sequence[Mapping]) -> dict[str, list[tuple[int, float]]]:
    """Name of a loss -> (step, value) of each entry that has it; the sum, `loss`, first."""
    curves: dict[str, list[tuple[int, float]]] = {"loss": []}
    for entry in log_history:
        for name, value in entry.items():
            if (name == "loss" or name.startswith("loss_")) and "step" in entry and value is not None:
                curves.setdefault(name, []).append((entry["step"], value))
    return {name: points for name, points in curves.items() if points}


def recall_curves(log_history: Sequence[Mapping]) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """
    Gallery (`""` without a name) -> recall, e.g. `image_recall@10` -> (step, value) of each evaluation. Recalls by
    dictionary scores alone, `score_image_recall@10`, are left out.
    """
    curves: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for entry in log_history:
        for name, value in entry.items():
            found = re.fullmatch(rf"eval_(?:(.+)_)?({RECALL.pattern})", name)
            if found and "step" in entry and value is not None and not f"_{found[1]}".endswith("_score"):
                gallery = curves.setdefault(found[1] or "", {})
                gallery.setdefault(found[2], []).append((entry["step"], value))
    return curves


def evaluation_curves(log_history: Sequence[Mapping], loss: str) -> dict[str, list[tuple[int, float]]]:
    """Gallery (`""` without a name) -> (step, value) of the evaluations of a loss, `eval_<gallery>_loss_mlm`."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for entry in log_history:
        for name, value in entry.items():
            found = re.fullmatch(rf"eval_(?:(.+)_)?{re.escape(loss)}", name)
            if found and "step" in entry and value is not None:
                curves.setdefault(found[1] or "", []).append((entry["step"], value))
    return curves


def final_losses(log_history: Sequence[Mapping]) -> dict[str, dict[str, float]]:
    """Loss -> `first` value logged, `last`: mean of the last tenth of those logged, and `lowest` of all."""
    result = {}
    for name, points in loss_curves(log_history).items():
        values = [value for _, value in points]
        last = values[-math.ceil(len(values) / 10) :]
        result[name] = {"first": values[0], "last": sum(last) / len(last), "lowest": min(values)}
    return result


def draw_curves(log_history: Sequence[Mapping]) -> bytes | None:
    """
    A PNG: one panel for each loss, in training and evaluation; below, one for the recalls of each gallery. It needs no
    colours.

    Returns:
        `bytes`: The picture; None if matplotlib is missing, which is logged, or there is no loss to draw.
    """
    losses, recalls = loss_curves(log_history), recall_curves(log_history)
    if not losses:
        return None
    try:
        from matplotlib.figure import Figure
    except ImportError:
        _logger.warning("No curves were drawn: matplotlib is missing; the extra hf_unimo[demo] brings it.")
        return None
    columns = min(3, len(losses))
    rows, rows_below = math.ceil(len(losses) / columns), math.ceil(len(recalls) / 2)
    heights = [2.3 * rows, *([3.0 * rows_below] if recalls else [])]
    figure = Figure(figsize=(12, sum(heights) + 0.5), layout="constrained", dpi=100)
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    axes = parts[0].subplots(rows, columns, squeeze=False, sharex=True)
    for axis, (name, points) in zip(axes.flat, losses.items()):
        _draw_loss(axis, name.removeprefix("loss_"), points, evaluation_curves(log_history, name))
    for axis in axes.flat[len(losses) :]:
        axis.set_axis_off()
    if recalls:
        axes = parts[1].subplots(rows_below, min(2, len(recalls)), squeeze=False)
        for axis, (gallery, curves) in zip(axes.flat, recalls.items()):
            _draw_recalls(axis, gallery, curves)
        for axis in axes.flat[len(recalls) :]:
            axis.set_axis_off()
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _draw_loss(
    axis: Any, name: str, points: list[tuple[int, float]], evaluations: Mapping[str, list[tuple[int, float]]]
) -> None:
    steps, values = np.array(points, dtype=float).T
    values[~np.isfinite(values)] = np.nan
    width = 2 * (len(values) // 20) + 1  # of a running mean: a tenth of the run
    smooth = width >= 3 and not np.isnan(values).any()
    axis.plot(steps, values, color="0.65" if smooth else "black", linewidth=0.9, marker="." if width < 3 else None)
    if smooth:
        kernel = np.ones(width)
        # Near the ends fewer values are there to take the mean of.
        mean = np.convolve(values, kernel, "same") / np.convolve(np.ones_like(values), kernel, "same")
        axis.plot(steps, mean, color="black", linewidth=1.6)
    for place, (gallery, evaluated) in enumerate(evaluations.items()):
        label = f"evaluation{': ' * bool(gallery)}{gallery}"
        axis.plot(*zip(*evaluated), "k--", marker=MARKERS[place % 5], fillstyle="none", linewidth=0.8, label=label)
    if evaluations:
        axis.legend(fontsize=7, frameon=False)
    axis.set_title(name, fontsize=10)
    axis.tick_params(labelsize=8, labelbottom=True)
    axis.set_xlabel("step", fontsize=8)
    axis.grid(color="0.9")


def _draw_recalls(axis: Any, gallery: str, curves: Mapping[str, list[tuple[int, float]]]) -> None:
    ranks = sorted({rank_of(name) for name in curves})
    for name, points in sorted(curves.items(), key=lambda item: (item[0].partition("_")[0], rank_of(item[0]))):
        side, rank = name.partition("_")[0], rank_of(name)
        place = ranks.index(rank)
        steps, values = np.array(points, dtype=float).T
        axis.plot(
            steps,
            100 * values,
            color=str(0.5 * (1 - (place + 1) / len(ranks))),
            linestyle="-" if side == "image" else "--",
            marker=MARKERS[place % 5],
            fillstyle="full" if side == "image" else "none",
            markersize=5,
            linewidth=1.1,
            label=f"{DIRECTIONS[side]}, R@{rank}",
        )
    axis.set_title(f"zero-shot retrieval{': ' * bool(gallery)}{gallery}", fontsize=10)
    axis.set_xlabel("step", fontsize=8)
    axis.set_ylabel("%", fontsize=8)
    axis.set_xlim(left=0)
    axis.set_ylim(bottom=0)
    axis.tick_params(labelsize=8)
    axis.grid(color="0.9")
    axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
