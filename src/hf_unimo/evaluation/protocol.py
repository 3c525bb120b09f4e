# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""A result: figures, their intervals, and the protocol that produced them; as JSON, Markdown and `model-index`."""

import importlib.metadata
import json
import math
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard

from ..errors import BadInputError
from ..files import write_atomically
from .bootstrap import Figure


JSON_NAME, MARKDOWN_NAME = "results.json", "results.md"
CARD_BEGIN, CARD_END = "<!-- hf_unimo: evaluation -->", "<!-- hf_unimo: end of evaluation -->"
"""Between these lines of a model card stand the results; another evaluation writes them anew."""

PACKAGES = (
    *("hf-unimo", "transformers", "torch", "tokenizers", "datasets", "numpy", "pillow", "scikit-learn", "scipy"),
    *("sacrebleu", "pycocoevalcap"),
)

HUB_TASKS = {
    "retrieval": ("image-text-retrieval", "Zero-shot image-text retrieval"),
    "rerank": ("image-text-retrieval", "Zero-shot image-text retrieval, re-ranked"),
    "matching": ("image-text-retrieval", "Image-text retrieval by a cross encoder"),
    "zero-shot-classification": ("zero-shot-image-classification", "Zero-shot image classification"),
    "linear-probe": ("image-classification", "Linear probe on frozen features"),
    "vqa": ("visual-question-answering", "Visual question answering"),
    "entailment": ("visual-entailment", "Visual entailment"),
    "nlvr2": ("visual-reasoning", "Sentences about two images"),
    "image-classification": ("image-classification", "Image classification"),
    "text-classification": ("text-classification", "Text classification"),
    "regression": ("text-classification", "Text regression"),
    "masked-words": ("fill-mask", "Masked words"),
    "captioning": ("image-to-text", "Image captioning"),
}
"""Task -> type and name of it in the metadata of a model card."""


@dataclass(kw_only=True)
class Protocol:
    """
    How figures came about. What does not apply is None or empty.

    Args:
        dataset, split, split_hash (`str`): What was read; the hash is that of the rows' ids in order.
        rows (`int`), images, texts (`int`, *optional*): What was scored, failed rows left out.
        captions_per_image (`tuple[int, int]`, *optional*): The least and the most.
        data (`dict`): What the reader says of the data.
        image_size, preprocessing (`dict`): Of the image processor.
        max_text_length (`int`, *optional*), truncated_texts (`int`): In tokens; how many texts were longer.
        text_input (`str`, *optional*): What texts came as, if not as texts.
        prompts (`list[str]`), prompt_set (`str`, *optional*): Templates around class names.
        scoring (`str`): The stage that scores, and how.
        generation (`dict`): How texts were generated.
        metric_variant (`str`, *optional*): Where a metric has several.
        label_names (`list[str]`): Class names in the order of their ids.
        precision (`str`): Of the weights.
        versions (`dict[str, str]`): Of the packages that compute.
        seed (`int`), bootstrap (`dict`): Of the intervals.
        command (`str`): The command line that repeats it; may be empty.
    """

    dataset: str
    split: str
    split_hash: str
    rows: int
    images: int | None = None
    texts: int | None = None
    captions_per_image: tuple[int, int] | None = None
    data: dict[str, Any] = field(default_factory=dict)
    image_size: dict[str, Any] = field(default_factory=dict)
    preprocessing: dict[str, Any] = field(default_factory=dict)
    max_text_length: int | None = None
    truncated_texts: int = 0
    text_input: str | None = None
    prompt_set: str | None = None
    prompts: list[str] = field(default_factory=list)
    scoring: str = ""
    generation: dict[str, Any] = field(default_factory=dict)
    metric_variant: str | None = None
    label_names: list[str] = field(default_factory=list)
    precision: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    seed: int = 0
    bootstrap: dict[str, Any] = field(default_factory=dict)
    command: str = ""


@dataclass(kw_only=True)
class Result:
    """
    What a task gave.

    Args:
        task (`str`): A key of `HUB_TASKS`.
        model (`str`), model_class (`str`): Its name, without the place where it lay, and its class.
        figures (`dict[str, Figure]`): Shares are 0 to 1.
        protocol ([`Protocol`]): How.
        failures (`list[dict]`): Rows that could not be scored: `id` and `reason`.
        notes (`list[str]`): Sentences on what a reader should know.
    """

    task: str
    model: str
    model_class: str
    figures: dict[str, Figure]
    protocol: Protocol
    failures: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it: figures that are not finite are null."""
        return _plain(asdict(self))

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> "Result":
        """From what [`Result.to_dict`] gave."""
        figures = {
            name: Figure(**{**figure, "value": math.nan if figure["value"] is None else figure["value"]})
            for name, figure in tree["figures"].items()
        }
        protocol = dict(tree["protocol"])
        if protocol.get("captions_per_image") is not None:
            protocol["captions_per_image"] = tuple(protocol["captions_per_image"])
        return cls(**{**tree, "figures": figures, "protocol": Protocol(**protocol)})

    def to_markdown(self) -> str:
        """A heading, the table of figures, the protocol as a list, and the command."""
        protocol = self.protocol
        lines = [
            f"### {HUB_TASKS[self.task][1]}: {protocol.dataset}, {protocol.split}",
            "",
            f"| Measure | Value | {_percent(protocol.bootstrap.get('level', 0.95))} % interval | Chance |",
            "|---|---:|---:|---:|",
        ]
        for name, figure in self.figures.items():
            interval = "–" if figure.low is None else f"{_number(figure.low)} to {_number(figure.high)}"
            lines.append(f"| {name} | {_number(figure.value)} | {interval} | {_number(figure.chance)} |")
        lines += ["", *(f"* {key}: {_in_words(value)}" for key, value in self._told().items())]
        lines += [f"* {note}" for note in self.notes]
        if self.failures:
            first = self.failures[0]
            lines.append(
                f"* {len(self.failures)} rows failed and do not count; the first: {first['id']}: {first['reason']}"
            )
        if protocol.command:
            lines += ["", "```bash", protocol.command, "```"]
        return "\n".join(lines) + "\n"

    def eval_results(self) -> list[EvalResult]:
        """The figures as entries of `model-index`."""
        task_type, task_name = HUB_TASKS[self.task]
        # The Hub keeps one task name for all of one type on the same data: the measure's name tells them apart.
        first = next(task for task, (shared, _) in HUB_TASKS.items() if shared == task_type)
        details = [*([] if first == self.task else [self.task]), *filter(None, [self.protocol.metric_variant])]
        suffix = f" ({', '.join(details)})" if details else ""
        return [
            EvalResult(
                task_type=task_type,
                task_name=task_name,
                dataset_type=self.protocol.dataset,
                dataset_name=self.protocol.dataset,
                dataset_split=self.protocol.split,
                dataset_args={"split_hash": self.protocol.split_hash},
                metric_type=name,
                metric_name=f"{name}{suffix}",
                metric_value=round(figure.value, 4),
            )
            for name, figure in self.figures.items()
            if math.isfinite(figure.value)
        ]

    def _told(self) -> dict[str, Any]:
        tree = asdict(self.protocol)
        hidden = ("dataset", "split", "command", "prompts" if len(self.protocol.prompts) > 20 else "")
        shown = {"model": f"{self.model} ({self.model_class})"}
        shown |= {key.replace("_", " "): value for key, value in tree.items() if key not in hidden}
        return {key: value for key, value in shown.items() if value not in (None, "", [], {}, ())}


def versions() -> dict[str, str]:
    """Python and those of `PACKAGES` that are installed."""
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def write_results(folder: str | os.PathLike, results: Sequence[Result]) -> list[Path]:
    """
    Writes `results.json` and `results.md` in place of what is there.

    Args:
        folder: Made if it is missing.
        results: One of each task; their order stays.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tree = [result.to_dict() for result in results]
    write_atomically(folder / JSON_NAME, json.dumps(tree, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    write_atomically(folder / MARKDOWN_NAME, results_to_markdown(results))
    return [folder / JSON_NAME, folder / MARKDOWN_NAME]


def results_to_markdown(results: Iterable[Result]) -> str:
    """All results, one after the other."""
    return "\n".join(result.to_markdown() for result in results)


def merge_into_card(path: str | os.PathLike, results: Sequence[Result]) -> None:
    """
    Writes the results into a model card: a section between `CARD_BEGIN` and `CARD_END`, at the end if there is none,
    and `model-index` entries, in place of those of the same task, data and measure.

    Args:
        path: The card, usually `README.md` of a model's folder. It must exist.
        results: At least one.

    Raises:
        BadInputError: If there is no card, or its metadata cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInputError(f"{path} is no file; accepted is the README.md of a model's folder.")
    try:
        card = ModelCard(path.read_text(encoding="utf-8"), ignore_metadata_errors=False)
    except (ValueError, yaml.YAMLError) as error:
        raise BadInputError(f"The metadata of {path} cannot be read: {' '.join(str(error).split())}") from error
    metadata: Any = card.data
    new = [entry for result in results for entry in result.eval_results()]
    replaced = set(map(_identity, new))
    old = [entry for entry in metadata.eval_results or [] if _identity(entry) not in replaced]
    metadata.model_name = metadata.model_name or results[0].model
    metadata.eval_results = [*old, *new]
    before, begin, rest = card.text.partition(CARD_BEGIN)
    _, end, after = rest.partition(CARD_END)
    if not (begin and end):
        before, after = f"{card.text.rstrip()}\n\n", "\n"
    card.text = f"{before}{CARD_BEGIN}\n## Evaluation by hf_unimo\n\n{results_to_markdown(results)}{CARD_END}{after}"
    write_atomically(path, str(card))


def _identity(entry: EvalResult) -> tuple:
    """Of entries with the same one the newer stays. All of it survives being written and read."""
    return *entry.unique_identifier, entry.metric_type, entry.metric_name


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)


def _number(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.4f}"


def _percent(share: float) -> str:
    return f"{100 * share:g}"


def _in_words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_in_words(part)}" for key, part in value.items())
    if isinstance(value, list | tuple):
        return " to ".join(map(str, value)) if _is_range(value) else "; ".join(map(str, value))
    return str(value)


def _is_range(value: Sequence) -> bool:
    return isinstance(value, tuple) and len(value) == 2
