# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
What a training run leaves behind beside its model: curves, all numbers, and a card that says how they came about.

Nothing that is written tells where the run's files lay: of absolute paths the last component is left.
"""

import json
import math
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from huggingface_hub import EvalResult
from huggingface_hub.utils import yaml_dump

from .. import __version__
from ..card import USE_BEGIN, USE_END, card_metadata, family_paragraph, first_paragraph, local_usage
from ..errors import BadInputError
from ..files import public_command, public_text, write_atomically
from ..models import FAMILIES
from .curves import DIRECTIONS, RECALL, draw_curves, final_losses, rank_of


CARD_NAME, LOSSES_NAME, METRICS_NAME = "README.md", "losses.png", "metrics.json"

_CARD = """\
---
{metadata}
---

# {title}

`{head}`: {head_doc}

{family}

{num_parameters:,} parameters, trained for {steps:,} steps{kinds}.

{use_begin}
## Use

```python
{usage}
```
{use_end}

## Training data

A batch holds rows of one source.

{sources}

## Objectives

{objectives}

## Losses

{losses}

## Evaluation

{evaluation}

## Throughput

{throughput}

## How to repeat it

{command}

Seed {seed}; {hardware}; {versions}.

<details><summary>Configuration of the run</summary>

````yaml
{config}
````

</details>

## Limits

{limits}
"""
_LIMITS = (
    "One run with one seed: another seed gives other numbers, and none of them says by how much they vary.",
    "The model has learnt the biases of its data; none of them was measured here.",
)


@dataclass(kw_only=True)
class RunFacts:
    """
    What is to be told of a run. Plain values; numbers of numpy and torch will do. Counts are over all processes.

    Args:
        title (`str`): Of the card.
        command (`str`): The command line that repeats the run; may be empty.
        seed, steps (`int`): Of the run.
        model_class (`str`): Name of the class that was trained, one of the family's.
        family (`str`): Its `model_type`, a key of `FAMILIES`.
        num_parameters (`int`): Of the model.
        config (`dict`): The configuration of the run, as a tree.
        sources (`list[dict]`): Of each source `name`, `kind`, `path`, `format` (a path of format `hub` is shown
            whole), `weight`, `rows` (None for a stream), `batches` and `rows_drawn`; a dash for what is missing.
        objectives (`list[dict]`): Of each objective `name`, `weight`, `start`, `warmup` (steps, or floats below 1 as
            shares of the run), and whatever else it was given.
        log_history (`list[dict]`): That of `Trainer`: entries with `step` and the losses `loss`, `loss_mlm` and so on,
            or what was evaluated, `eval_image_recall@10` or `eval_<gallery>_image_recall@10`.
        evaluation (`dict[str, dict]`): Name of a gallery -> its metrics at the end, named as
            [`~hf_unimo.evaluation.pretraining.summarize`] does. Recalls and ranks are shown with chance where
            `candidates` is the size of a gallery with one text an image; any other gallery gives `num_images`,
            `num_texts` and `chance` (name of a metric -> its value for a model that guesses). `protocol` (a sentence)
            is shown too, and further numbers, nested ones as well, by name.
        throughput (`dict`): `summary(...)` of [`~hf_unimo.training.throughput.Throughput`].
        bad_rows (`dict[str, int]`): Name of a source -> rows that were skipped because they could not be used.
        protocol (`list[str]`): Sentences on how the evaluation ran.
        notes (`list[str]`): Sentences for the limits of the model.
        hardware (`str`): See [`describe_hardware`]; default: the CPU threads of this process.
    """

    title: str
    command: str
    seed: int
    steps: int
    model_class: str
    family: str
    num_parameters: int
    config: dict = field(default_factory=dict)
    sources: list[dict] = field(default_factory=list)
    objectives: list[dict] = field(default_factory=list)
    log_history: list[dict] = field(default_factory=list)
    evaluation: dict[str, dict] = field(default_factory=dict)
    throughput: dict = field(default_factory=dict)
    bad_rows: dict[str, int] = field(default_factory=dict)
    protocol: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    hardware: str = ""


def write_report(
    folder: str | os.PathLike, facts: RunFacts, *, model_folder: str | os.PathLike | None = None
) -> list[Path]:
    """
    Writes `losses.png`, `metrics.json` and `README.md`, the model card, each in place of one that is there.

    The picture is left out where matplotlib (extra `demo`) is missing or no loss was logged. In `metrics.json`,
    numbers that are not finite are null. `hf-unimo export` keeps the card and adds how to load what it writes.

    Args:
        folder: Of the run; made if it is missing.
        facts ([`RunFacts`]): What to tell. In several processes only one of them writes.
        model_folder (*optional*): Where the model was saved, if not in `folder`. It gets the card and its picture too,
            so that an export of it finds them.

    Returns:
        `list[Path]`: The files in `folder`.

    Raises:
        BadInputError: If the family has no class of the name.
    """
    folder = Path(folder)
    facts = RunFacts(**_publishable(asdict(facts)))
    facts.hardware = facts.hardware or describe_hardware("cpu")
    heads = {head.__name__: head for head in FAMILIES[facts.family].heads} if facts.family in FAMILIES else {}
    if facts.model_class not in heads:
        raise BadInputError(
            f"{facts.model_class!r} of the family {facts.family!r} is not known; known are "
            f"{', '.join(head.__name__ for family in FAMILIES.values() for head in family.heads)}."
        )
    picture = draw_curves(facts.log_history)
    metrics = asdict(facts) | {"final_losses": final_losses(facts.log_history), "versions": versions()}
    card = _card(facts, heads[facts.model_class], with_picture=picture is not None)
    contents: dict[str, str | bytes] = {LOSSES_NAME: picture} if picture is not None else {}
    contents[METRICS_NAME] = json.dumps(metrics, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    contents[CARD_NAME] = card
    for place in (folder, *([] if model_folder is None else [Path(model_folder)])):
        place.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            if place == folder or name != METRICS_NAME:
                write_atomically(place / name, content)
    return [folder / name for name in contents]


def versions() -> dict[str, str]:
    """What decides about numbers: Python and the packages that compute."""
    return {
        "hf_unimo": __version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "Python": platform.python_version(),
    }


def describe_hardware(device: torch.device | str, num_processes: int = 1) -> str:
    """The kind of machine, such as "2 CPU threads", "2 processes of 1 CPU thread" or "4 x NVIDIA H200"."""
    device = torch.device(device)
    if device.type == "cuda":
        return f"{num_processes} x {torch.cuda.get_device_name(device)}"
    if device.type != "cpu":
        return f"{num_processes} x {device.type}"
    threads = torch.get_num_threads()
    each = f"{threads} CPU thread{'s' * (threads > 1)}"
    return each if num_processes == 1 else f"{num_processes} processes of {each}"


# ---------------------------------------------------------------------------------------------------------------------
# The card
# ---------------------------------------------------------------------------------------------------------------------


def _card(facts: RunFacts, head: type, with_picture: bool) -> str:
    family = FAMILIES[facts.family]
    title = " ".join(facts.title.split())
    hub_ids = [source["path"] for source in facts.sources if source.get("format") == "hub"]
    results = _eval_results(facts.evaluation)
    more: dict[str, Any] = {"model_name": title, "eval_results": results} if results else {}
    metadata = card_metadata(family, head, datasets=hub_ids or None, **more)
    kinds = list(dict.fromkeys(source["kind"] for source in facts.sources if source.get("batches") != 0))
    return _CARD.format(
        metadata=metadata.to_yaml(),
        title=title,
        head=head.__name__,
        head_doc=first_paragraph(head),
        family=family_paragraph(family),
        num_parameters=facts.num_parameters,
        steps=facts.steps,
        kinds=f" on {_enumeration(kinds)}" if kinds else "",
        use_begin=USE_BEGIN,
        usage=local_usage(family, head),
        use_end=USE_END,
        sources=_sources_table(facts),
        objectives=_objectives_table(facts),
        losses=_losses_section(facts, with_picture),
        evaluation=_evaluation_section(facts),
        throughput=_throughput_section(facts.throughput),
        command=f"```bash\n{facts.command}\n```" if facts.command else "It was not started from a command line.",
        seed=facts.seed,
        hardware=facts.hardware,
        versions=", ".join(f"{name} {version}" for name, version in versions().items()),
        config=yaml_dump(facts.config, sort_keys=False).strip(),
        limits=_bullets([*facts.notes, *_LIMITS]),
    )


def _sources_table(facts: RunFacts) -> str:
    head = ["Source", "Kind", "Data", "Rows", "Weight", "Batches drawn", "Rows drawn", "Bad rows skipped"]
    keys = ("weight", "batches", "rows_drawn")
    rows = []
    for source in facts.sources:
        count = "stream" if source.get("rows", 0) is None else _number(source.get("rows"))
        numbers = [_number(source.get(key)) for key in keys]
        bad = _number(facts.bad_rows.get(source["name"], 0))
        rows.append([source["name"], source["kind"], _data_name(source), count, *numbers, bad])
    return _table(head, rows, words=(0, 1, 2))


def _data_name(source: Mapping) -> str:
    """The Hub's name of the data, or what its file, folder or glob is called."""
    path = str(source.get("path") or "–")
    return path if source.get("format") == "hub" else re.split(r"[/\\]", path.rstrip("/\\"))[-1]


def _objectives_table(facts: RunFacts) -> str:
    known = ("name", "weight", "start", "warmup")
    rows = []
    for objective in facts.objectives:
        options = ", ".join(f"{key} {value}" for key, value in objective.items() if key not in known)
        start, warmup = (_when(objective.get(key, 0)) for key in ("start", "warmup"))
        rows.append([objective["name"], _number(objective.get("weight")), start, warmup, options])
    return _table(["Objective", "Weight", "Starts at step", "Warm-up, steps", "Options"], rows, words=(0, 4))


def _when(value: float | None) -> str:
    """A step, or a share of the run."""
    share = isinstance(value, float) and 0 < value < 1
    return f"{100 * value:g} % of the run" if share else _number(value)  # type: ignore[operator]


def _losses_section(facts: RunFacts, with_picture: bool) -> str:
    found = final_losses(facts.log_history)
    if not found:
        return "None was logged."
    picture = f"![Every loss over the steps]({LOSSES_NAME})\n\n" if with_picture else ""
    rows = [[name, *(_number(values[key]) for key in ("first", "last", "lowest"))] for name, values in found.items()]
    head = ["Loss", "First logged", "Mean of the last tenth logged", "Lowest logged"]
    return f"{picture}{_table(head, rows)}\n\nAll that was logged is in the `{METRICS_NAME}` of the run."


def _evaluation_section(facts: RunFacts) -> str:
    if not facts.evaluation:
        return "The run had no data to evaluate on."
    names = [name for metrics in facts.evaluation.values() for name in metrics if RECALL.fullmatch(name)]
    ranks = sorted({rank_of(name) for name in names})
    recalls, others = [], []
    for gallery, metrics in facts.evaluation.items():
        for side, direction in DIRECTIONS.items():
            recall = [_with_chance(metrics, f"{side}_recall@{rank}", percent=True) for rank in ranks]
            if any(cell != "–" for cell in recall):
                median = _with_chance(metrics, f"{side}_median_rank")
                recalls.append([gallery, direction, _number(_candidates(metrics, side)), *recall, median])
        for name, value in _other_metrics(metrics):
            others.append([gallery, name, _number(value), _number(chance_level(metrics, name))])
    head = ["Gallery", "Direction", "Candidates", *(f"R@{rank} %" for rank in ranks), "Median rank"]
    tables = [_table(head, recalls, words=(0, 1))] if recalls else []
    if recalls:
        tables.append("In brackets: chance, what a model reaches that orders the candidates at random.")
    if others:
        tables.append(_table(["Gallery", "Measure", "Value", "Chance"], others, words=(0, 1)))
    own = [
        f"{gallery}: {metrics['protocol']}" for gallery, metrics in facts.evaluation.items() if "protocol" in metrics
    ]
    protocol = _bullets([*facts.protocol, *own])
    return "\n\n".join([*tables, *([f"How it was measured:\n\n{protocol}"] if protocol else [])])


def chance_level(metrics: Mapping, name: str) -> float | None:
    """
    What a model that orders the candidates at random reaches in a metric of a gallery (see [`RunFacts`]): the
    gallery's own `chance`, else k of n candidates and the middle rank; None if that depends on how many texts each
    image has.
    """
    if name in metrics.get("chance", {}):
        return metrics["chance"][name]
    if name == "mean_recall":
        levels = [chance_level(metrics, recall) for recall in metrics if RECALL.fullmatch(recall)]
        known = [level for level in levels if level is not None]
        return sum(known) / len(known) if known and len(known) == len(levels) else None
    name = name.removeprefix("score_")
    side = name.partition("_")[0]
    candidates = _candidates(metrics, side)
    # Every image has a text: equal numbers mean one each.
    if not candidates or (side == "text" and _candidates(metrics, "image") != candidates):
        return None
    if RECALL.fullmatch(name):
        return min(1.0, rank_of(name) / candidates)
    return (candidates + 1) / 2 if name in (f"{side}_mean_rank", f"{side}_median_rank") else None


def _candidates(metrics: Mapping, side: str) -> int | None:
    return metrics.get(f"num_{side}s", metrics.get("candidates"))


def _with_chance(metrics: Mapping, name: str, percent: bool = False) -> str:
    value, chance = metrics.get(name), chance_level(metrics, name)
    if value is None:
        return "–"
    cell, of_chance = (f"{100 * x:.1f}" if percent else f"{x:.4g}" for x in (value, chance or 0))
    return f"{cell} ({of_chance if chance is not None else '–'})"


def _other_metrics(metrics: Mapping, prefix: str = "") -> list[tuple[str, float]]:
    """Numbers that the table of recalls does not show, those of nested mappings as `outer.inner`."""
    shown = ("candidates", "num_images", "num_texts", "image_median_rank", "text_median_rank")
    found: list[tuple[str, float]] = []
    for name, value in metrics.items():
        if isinstance(value, Mapping) and name != "chance":
            found += _other_metrics(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and (prefix or not (name in shown or RECALL.fullmatch(name))):
            found.append((prefix + name, value))
    return found


def _eval_results(evaluation: Mapping[str, Mapping]) -> list[EvalResult]:
    """The recalls, for the metadata."""
    return [
        EvalResult(
            task_type="image-text-retrieval",
            task_name="Zero-shot image-text retrieval",
            dataset_type=gallery,
            dataset_name=gallery,
            metric_type=name,
            metric_name=f"R@{rank_of(name)}, {DIRECTIONS[name.partition('_')[0]]}",
            metric_value=round(value, 4),
        )
        for gallery, metrics in evaluation.items()
        for name, value in metrics.items()
        if RECALL.fullmatch(name) and value is not None
    ]


def _throughput_section(throughput: Mapping) -> str:
    if not throughput.get("kinds"):
        return "It was not measured."
    head = ["Kind", "Rows", "Rows a second", "Share of the time %", "Share of the machine's matrix-product rate %"]
    rows = []
    for kind, values in throughput["kinds"].items():
        shares = (values.get(key) for key in ("share_of_time", "share_of_peak"))
        percents = ["–" if share is None else f"{100 * share:.1f}" for share in shares]
        rows.append([kind, _number(values.get("rows")), _number(values.get("rows_per_second")), *percents])
    table, peak = _table(head, rows), throughput.get("peak_flops")
    explained = "Of one process, forward and backward."
    if peak:
        explained += (
            f" The rate is that of the best of several square matrix products on the same machine, {peak / 1e9:,.0f} "
            "billion operations a second; products, convolutions and attention count as the model's operations."
        )
    return f"{table}\n\n{explained}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[int] = (0,)) -> str:
    """A Markdown table; the columns `words` hold words, the others numbers."""
    if not rows:
        return "None."
    sides = ["---" if column in words else "---:" for column in range(len(head))]
    lines = [head, sides, *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")


def _enumeration(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)


def _bullets(sentences: Sequence[str]) -> str:
    return "\n".join(f"* {' '.join(str(sentence).split())}" for sentence in sentences)


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


# ---------------------------------------------------------------------------------------------------------------------
# What may be published
# ---------------------------------------------------------------------------------------------------------------------


def _publishable(value: Any, key: str = "") -> Any:
    """The tree `value` as JSON can hold it, without absolute paths, access tokens and numbers that are not finite."""
    if isinstance(value, Mapping):
        return {str(name): _publishable(part, str(name)) for name, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_publishable(part) for part in value]
    if isinstance(value, np.generic | np.ndarray | torch.Tensor):
        return _publishable(value.tolist())
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if key.endswith("_token"):  # as `TrainingArguments.to_dict` does
        return f"<{key.upper()}>"
    return public_command(str(value)) if key == "command" else public_text(str(value))
