# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
The YAML file of a pre-training run: `hf-unimo pretrain config.yaml key.path=value ...`.

The classes of this file are the sections, their fields the keys, and their docstrings say what each key does. Only
`output`, `model`, `data.sources` and `training.steps` are needed:

```yaml
output: runs/emoji
model: {preset: tiny, processor: processor}
data:
  sources:
    emoji: {kind: pairs, path: emoji.parquet, columns: {image: image, text: [label, tags]}, weight: 2}
    noto: {kind: images, path: noto/*.parquet}
    words: {kind: text, path: words.jsonl}
objectives:
  mlm: {weight: 0.2, start: 0.75}
training: {steps: 1000, learning_rate: 1.5e-3}
```

Numbers and booleans are those of YAML 1.2: `1e-3` is a number, `no` a word; a key cannot stand twice.

A "moment" is an integer from 0 on, a step, or a number below 1, a share of the run's steps (`to_step`). Paths are
relative to the file's folder, but `output`, which is relative to the working directory. Instead of a path, a Hub id
(`name` or `owner/name`, without an ending such as `.parquet`) can stand wherever no such path exists.
"""

import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, Literal, TypeVar

import torch
import yaml
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id
from transformers import TrainingArguments

from ..config_tree import (
    ABSENT,
    Accepts,
    Dumper,
    check_complete,
    check_known,
    dotted,
    fit,
    mapping,
    nearest,
    override_key,
    parse_yaml,
    plain,
    read_section,
    shown,
    type_hints,
)
from ..data.augmentation import Augmentation
from ..data.collator import DEFAULT_AUGMENTATION, DEFAULT_RATIO, MASKING_OPTIONS, NO_AUGMENTATION, PRESETS
from ..data.masking import WholeWordMasking
from ..data.schedule import SAMPLERS
from ..data.shards import is_url
from ..data.sources import SourceOptions
from ..errors import BadInputError
from ..models import FAMILIES
from .objective_schedule import OBJECTIVES_OF_KIND


# ---------------------------------------------------------------------------------------------------------------------
# What values a key accepts
# ---------------------------------------------------------------------------------------------------------------------


def _is_moment(value: float) -> bool:
    return value >= 0 if isinstance(value, int) else 0 <= value < 1


_MOMENT_WORDS = "a step (an integer from 0 on) or a share of the run (a number from 0 to below 1)"

Count = Annotated[int, Accepts("an integer from 1 on", lambda value: value >= 1)]
CountOrZero = Annotated[int, Accepts("an integer from 0 on", lambda value: value >= 0)]
Amount = Annotated[float, Accepts("a number from 0 on", lambda value: 0 <= value < math.inf)]
Share = Annotated[float, Accepts("a number above 0, up to 1", lambda value: 0 < value <= 1)]
Hardness = Annotated[float, Accepts("a number from 0 to 1", lambda value: 0 <= value <= 1)]
Moment = Annotated[int | float, Accepts(_MOMENT_WORDS, _is_moment)]
Until = Annotated[
    int | float | bool,
    Accepts(
        f"{_MOMENT_WORDS}, or true for the whole run",
        lambda value: value is True or (value is not False and (value == 1.0 or _is_moment(value))),
    ),
]
HardnessCurve = Annotated[
    Hardness | list[tuple[Moment, Hardness]],
    Accepts(
        "a number from 0 to 1 or a list of points [start, value], such as [[0, 0.0], [0.75, 0.3]], whose starts are "
        "steps or shares of the run below 1 and whose values are numbers from 0 to 1",
        lambda value: value != [],
    ),
]
Place = Annotated[str, Accepts("a path or Hub id that is not empty", bool)]
Sampler = Annotated[str, Accepts(f"one of {', '.join(SAMPLERS)}", SAMPLERS.__contains__)]


# ---------------------------------------------------------------------------------------------------------------------
# The sections of the file
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ModelOptions:
    """
    `model`: what is trained, and what its weights start from. `preset` or `checkpoint` is needed, not both.

    Args:
        family (`str`, defaults to `"unimo2"`): A model family of `hf_unimo.models`.
        preset (`str`, *optional*): A size of the family's configuration, e.g. `tiny`, `base`. Weights are random.
        checkpoint (`str`, *optional*): Folder or Hub id of a saved model: its configuration, its weights, and its
            processor, unless `processor` is given.
        vision_checkpoint (`str`, *optional*): Of a ViT of transformers, for the vision encoder. Goes with `preset`.
        text_checkpoint (`str`, *optional*): Of a RoBERTa or BERT of transformers, for the text and the fusion encoder.
            Goes with `preset`.
        processor (`str`, *optional*): Of a tokenizer, with an image processor or without.
        config (mapping, *optional*): Keys of the family's configuration, set on top of the preset's or the
            checkpoint's; in sub-configurations key by key: `{text_config: {vocab_size: 3000}}`.
    """

    family: str = "unimo2"
    preset: str | None = None
    checkpoint: Place | None = None
    vision_checkpoint: Place | None = None
    text_checkpoint: Place | None = None
    processor: Place | None = None
    config: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        families = [name for name, family in FAMILIES.items() if "AutoModelForPreTraining" in family.auto_models]
        if self.family not in families:
            raise BadInputError(f"model.family is {self.family!r}; {nearest(self.family, families)}.")
        config_class = FAMILIES[self.family].config
        presets = [name for name in config_class.__dict__ if _is_preset(config_class, name)]
        if self.preset is not None and self.preset not in presets:
            raise BadInputError(f"model.preset is {self.preset!r}; {nearest(self.preset, presets)}.")
        if (self.preset is None) == (self.checkpoint is None):
            found = "neither" if self.preset is None else "both"
            raise BadInputError(
                f"model has {found} of model.preset ({', '.join(presets)}) and model.checkpoint (a folder or Hub id); "
                "exactly one is needed."
            )
        for name in ("vision_checkpoint", "text_checkpoint"):
            if self.checkpoint is not None and getattr(self, name) is not None:
                raise BadInputError(f"model.{name} stands beside model.checkpoint; it goes with model.preset only.")
        _check_config_keys(self.config, config_class, "model.config")


@dataclass(frozen=True)
class DataOptions:
    """
    `data`: which rows make the batches. A batch holds rows of one source.

    Args:
        sources (mapping): Name -> options of a source, see [`~hf_unimo.data.sources.SourceOptions`]. Their order
            counts, for some samplers.
        batch_size (`int`, defaults to 128): Rows of a batch on one process, for sources that set none of their own.
        sampler (`str`, defaults to `"weighted"`): Which source comes when, see [`~hf_unimo.data.schedule.Schedule`].
        image_size (`int`, *optional*): Height and width of the pictures in pixels; that of the model's configuration
            by default.
        max_text_length (`int`, defaults to 64): Tokens of a text, special ones included; what is longer is cut off.
        masking (mapping, *optional*): For `pairs` and `text` options of whole-word masking: `ratio` (0.15), `span_p`,
            `longest_span`, `mask_share`, `random_share`, see [`~hf_unimo.data.masking.WholeWordMasking`].
        augmentation (mapping, *optional*): For `pairs` (by default `caption_safe`) and `images` (`contrastive`) the
            name of a preset, `none`, or a mapping of arguments of [`~hf_unimo.data.augmentation.Augmentation`].
        max_bad_rows (`int`, defaults to 100): So many rows that cannot be read are logged and skipped.
        max_image_pixels (`int`, defaults to 50 million): Larger pictures count as rows that cannot be read.
        num_workers (`int`, defaults to 0): Processes that read ahead, for each training process.
        evaluation (mapping, *optional*): Name -> source, without `weight`, `streaming` and `shuffle_buffer`: what the
            model is evaluated on during training.
    """

    sources: dict[str, SourceOptions]
    batch_size: Count = 128
    sampler: Sampler = "weighted"
    image_size: Count | None = None
    max_text_length: Count = 64
    masking: dict[str, dict[str, Any]] = field(default_factory=dict)
    augmentation: dict[str, str | dict[str, Any]] = field(default_factory=dict)
    max_bad_rows: CountOrZero = 100
    max_image_pixels: Count = 50_000_000
    num_workers: CountOrZero = 0
    evaluation: dict[str, SourceOptions] = field(default_factory=dict)

    def __post_init__(self):
        if not self.sources:
            raise BadInputError("data.sources is empty; name at least one source.")
        if not any(source.weight for source in self.sources.values()):
            raise BadInputError("data.sources has weights that sum to 0; give at least one source a weight above 0.")
        texts = {kind: {"ratio": DEFAULT_RATIO} for kind in ("pairs", "text")}
        check_known(self.masking, texts, "data.masking")
        for kind, options in self.masking.items():
            check_known(options, MASKING_OPTIONS, f"data.masking.{kind}")
            read_section(WholeWordMasking, options, f"data.masking.{kind}", **_VOCABULARY)
        object.__setattr__(self, "masking", {kind: texts[kind] | self.masking.get(kind, {}) for kind in texts})
        check_known(self.augmentation, DEFAULT_AUGMENTATION, "data.augmentation")
        for kind, options in self.augmentation.items():
            check_augmentation(options, f"data.augmentation.{kind}")
        object.__setattr__(self, "augmentation", DEFAULT_AUGMENTATION | self.augmentation)


@dataclass(frozen=True)
class ObjectiveOptions:
    """
    `objectives.<name>`: one term of the loss. The names are the `objectives` of the family's pre-training class.

    Args:
        weight (`float`, *optional*): Factor of the loss; that of the model's configuration by default. With 0 it is
            not computed.
        start (moment, defaults to 0): Until then the weight is 0.
        warmup (moment, defaults to 0): How long the weight takes from 0, at `start`, to its full size, linearly.
    """

    weight: Amount | None = None
    start: Moment = 0
    warmup: Moment = 0


@dataclass(frozen=True)
class MatchingOptions(ObjectiveOptions):
    """
    `objectives.matching`: beside the keys of every objective

    Args:
        hardness (`float` or points, *optional*): How wrong partners are drawn, from 0, evenly, to 1, from the
            contrastive softmax; as the model's configuration says by default. Points `[[start, value], ...]` with
            moments as starts change it linearly from one to the next; before the first and after the last it stays.
        negatives (`"local"` or `"global"`, *optional*): Whether wrong partners come from the rows of the own process
            or of all; as the model's configuration says by default.
    """

    hardness: HardnessCurve | None = None
    negatives: Literal["local", "global"] | None = None


@dataclass(frozen=True)
class MaskedLanguageOptions(ObjectiveOptions):
    """
    `objectives.mlm`: beside the keys of every objective

    Args:
        own_pass (`bool`, defaults to `False`): Whether masked captions pass the encoders on their own, so that all
            other objectives see whole ones.
    """

    own_pass: bool = False


@dataclass(frozen=True)
class DictionaryOptions:
    """
    `dictionary`: what is done for the dictionary's health in training. Inference is the same with all of it.

    Args:
        row_constraint (`bool`, defaults to `False`): Whether after each step the entries are made orthogonal to the
            running token means of both modalities, and of unit norm.
        temperature_lr (`float`, *optional*): Learning rate of the dictionary's temperature; 0 freezes it. By default
            it is that of its neighbours.
        restart_dead_every (`int`, defaults to 0): So often, in steps, entries that nothing chose are replaced by
            tokens; 0: never.
        health_every (`int`, defaults to 0): So often, in steps, the use of the dictionary is logged; 0: never.
    """

    row_constraint: bool = False
    temperature_lr: Amount | None = None
    restart_dead_every: CountOrZero = 0
    health_every: CountOrZero = 0


@dataclass(frozen=True)
class TrainingOptions:
    """
    `training`: the optimisation. Beside these keys, those of `transformers.TrainingArguments` stand here, e.g.
    `learning_rate`, `save_steps`, `bf16`, without those in `SET_ELSEWHERE`.

    Args:
        steps (`int`): Length of the run in optimizer steps.
        lr_multipliers (mapping, *optional*): Sub-module, e.g. `vision_model` -> factor of its learning rate.
        layerwise_lr_decay (`float`, defaults to 1): Factor of the learning rate from a layer to the one below it.
        freeze (mapping, *optional*): Sub-module -> the moment until which it is not trained; true, or 1.0, for the
            whole run.
        early_stopping_patience (`int`, *optional*): After so many evaluations without a better result the run ends.
        lora (mapping, *optional*): Arguments of `peft.LoraConfig`, e.g. `{r: 8, lora_alpha: 16}`: low-rank updates of
            the encoders' linear maps are learned beside the heads, and merged into the saved model.
        arguments: The keys of `TrainingArguments`; they stand beside the others in the file.
    """

    steps: Count
    lr_multipliers: dict[str, Amount] = field(default_factory=dict)
    layerwise_lr_decay: Share = 1.0
    freeze: dict[str, Until] = field(default_factory=dict)
    early_stopping_patience: Count | None = None
    lora: dict[str, Any] | None = None
    arguments: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        whole_run = {name: 1.0 if until is True else until for name, until in self.freeze.items()}
        object.__setattr__(self, "freeze", whole_run)


@dataclass(frozen=True)
class PretrainTraining(TrainingOptions):
    """
    `training` of a pre-training: the keys of [`TrainingOptions`] and this one.

    Args:
        gradient_cache_size (`int`, *optional*): Rows that go through an encoder at a time (gradient caching, Gao et
            al., 2021): the contrast is that of the whole batch, the memory that of so many rows.
    """

    gradient_cache_size: Count | None = None


@dataclass(frozen=True)
class RunConfig:
    """
    A whole run; made by [`load_run_config`].

    Args:
        output (`str`): Folder of all that the run writes, relative to the working directory.
        model, data, training: See their classes.
        objectives (mapping): Name -> [`ObjectiveOptions`], for every objective of the family: those that the file
            leaves out have the weights of the model's configuration.
        fusion_share (`float`, *optional*): Share of a batch of pairs that reaches the fusion encoder; as the model's
            configuration says by default. In the file it is `objectives.fusion_share`.
        dictionary: See its class.
        seed (`int`, defaults to 0): What all randomness comes from.

    Raises:
        BadInputError: If keys do not go together.
    """

    output: Place
    model: ModelOptions
    data: DataOptions
    training: PretrainTraining
    objectives: dict[str, ObjectiveOptions]
    fusion_share: Share | None = None
    dictionary: DictionaryOptions = DictionaryOptions()
    seed: CountOrZero = 0

    def __post_init__(self):
        _check_objectives(self.objectives, self.data)
        arguments = self.training.arguments
        hardness = getattr(self.objectives.get("matching"), "hardness", None)
        if isinstance(hardness, list):
            starts = [to_step(start, self.training.steps) for start, _ in hardness]
            if starts != sorted(starts):
                raise BadInputError(
                    f"The points of objectives.matching.hardness start at the steps {', '.join(map(str, starts))}; "
                    "each must start no earlier than the one before it."
                )
        if self.data.sampler == "accumulating" and arguments.get("gradient_accumulation_steps", 1) != 1:
            raise BadInputError(
                "training.gradient_accumulation_steps stands beside data.sampler accumulating, which accumulates over "
                "the sources; leave one of them out."
            )
        changed = [name for name in ("row_constraint", "restart_dead_every") if getattr(self.dictionary, name)]
        if self.training.lora is not None and changed:
            raise BadInputError(
                f"training.lora stands beside dictionary.{changed[0]}, which changes entries that LoRA leaves as they "
                "are; leave one of them out."
            )
        evaluated = {name: arguments.get(name) for name in ("eval_on_start", "load_best_model_at_end")}
        evaluated["eval_strategy"] = arguments.get("eval_strategy", "no") != "no"
        evaluated["early_stopping_patience"] = self.training.early_stopping_patience is not None
        for name in evaluated:
            if evaluated[name] and not self.data.evaluation:
                raise BadInputError(f"training.{name} needs an evaluation; name a source in data.evaluation.")

    @classmethod
    def from_dict(cls, tree: Any, folder: str | os.PathLike = ".") -> "RunConfig":
        """
        Checks `tree`, what the YAML file of a run holds, and fills it in.

        Args:
            tree (mapping): As in the file. Not changed.
            folder (defaults to the working directory): What its paths are relative to (not `output`).

        Raises:
            BadInputError: If a key is unknown or missing, or a value is not one that its key accepts. The message
                names the key from the root on, as in `data.sources.emoji.weight`.
        """
        tree = dict(mapping(tree, "The configuration"))
        check_known(tree, _SECTIONS, "")
        check_complete(tree, ("output", "model", "data", "training"), "")
        folder = os.path.realpath(folder)
        model = read_model(tree["model"], folder)
        objectives, fusion_share = _read_objectives(tree.get("objectives"), model.family)
        rest = {name: tree[name] for name in ("output", "seed", "dictionary") if name in tree}
        config = read_section(
            cls,
            rest,
            "",
            model=model,
            data=_read_data(tree["data"], folder),
            training=read_training(tree["training"], PretrainTraining, folder),
            objectives=objectives,
            fusion_share=fusion_share,
        )
        return replace(config, output=os.path.abspath(os.path.expanduser(config.output)))

    def to_dict(self) -> dict[str, Any]:
        """The configuration as a file could hold it, complete and with absolute paths: `from_dict` gives it back."""
        tree = {name: plain(getattr(self, name)) for name in ("output", "seed", "model", "data", "objectives")}
        for source in tree["data"]["sources"].values():
            del source["name"]
        for source in tree["data"]["evaluation"].values():
            for name in ("name", *_NOT_IN_EVALUATION):
                del source[name]
        tree["objectives"]["fusion_share"] = self.fusion_share
        tree["dictionary"] = plain(self.dictionary)
        tree["training"] = plain(self.training)
        tree["training"] |= tree["training"].pop("arguments")
        return tree

    def to_yaml(self) -> str:
        """`to_dict` as the text of a file that [`load_run_config`] reads. Keeps the order of the sources."""
        return yaml.dump(self.to_dict(), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=119)


SET_ELSEWHERE = {
    **dict.fromkeys(("max_steps", "num_train_epochs"), "use training.steps"),
    **dict.fromkeys(("seed", "data_seed"), "use seed"),
    **dict.fromkeys(("per_device_train_batch_size", "auto_find_batch_size"), "use data.batch_size"),
    "output_dir": "use output",
    "per_device_eval_batch_size": "use data.batch_size, or batch_size of a source in data.evaluation",
    "train_sampling_strategy": "use data.sampler",
    "dataloader_num_workers": "use data.num_workers",
    "resume_from_checkpoint": "use --resume on the command line",
    "label_smoothing_factor": "use model.config.contrastive_label_smoothing",
    "hub_token": "log in with `hf auth login`, as a token does not belong into a file",
    **dict.fromkeys(
        (
            *("accelerator_config", "parallelism_config", "local_rank", "ddp_find_unused_parameters"),
            *("ddp_static_graph", "activation_checkpointing_kwargs", "gradient_checkpointing_kwargs"),
            *("dataloader_drop_last", "dataloader_in_order", "dataloader_multiprocessing_context"),
            *("dataloader_persistent_workers", "dataloader_pin_memory", "dataloader_prefetch_factor"),
            *("length_column_name", "label_names", "remove_unused_columns", "ignore_data_skip"),
            *("do_train", "do_eval", "do_predict"),
        ),
        "the engine sets it",
    ),
}
"""Keys of `TrainingArguments` that `training` refuses -> what to do instead."""

MAY_CHANGE = frozenset(
    {"output", "data.max_bad_rows", "data.num_workers", "dictionary.health_every"}
    | {f"training.{name}" for name in ("report_to", "run_name", "project", "disable_tqdm", "log_level", "ddp_timeout")}
    | {f"training.logging_{name}" for name in ("strategy", "steps", "first_step", "nan_inf_filter")}
    | {f"training.eval_{name}" for name in ("strategy", "steps", "delay", "on_start")}
    | {f"training.save_{name}" for name in ("strategy", "steps", "total_limit")}
)
"""Keys that a run may be resumed with different values of: they change nothing of what is trained."""

_SECTIONS = ("output", "seed", "model", "data", "objectives", "dictionary", "training")
_ENGINE_FILES = ("deepspeed", "fsdp_config")
_NOT_IN_EVALUATION = ("weight", "streaming", "shuffle_buffer")
_OBJECTIVES = {"matching": MatchingOptions, "mlm": MaskedLanguageOptions}  # all others: ObjectiveOptions
_SOURCE_NAME = re.compile(r"[\w-]+")
_MAX_FILE = 1 << 18
# Any: what a tokenizer gives is not what is looked at.
_VOCABULARY = {
    "mask_token_id": 0,
    **dict.fromkeys(("special_token_ids", "word_start_ids", "replacement_ids"), torch.tensor([0])),
}


def load_run_config(path: str | os.PathLike, overrides: Sequence[str] = ()) -> RunConfig:
    """
    Reads the YAML file of a run.

    Args:
        path: The file.
        overrides (sequence of `str`, *optional*): `key.path=value`, e.g. `training.steps=10` or
            `data.sources.emoji.weight=0`. The value is read as YAML and takes the place of what the file has at the
            key, mappings and lists as a whole. Paths are relative to the file's folder here too.

    Raises:
        BadInputError: If the file cannot be read, or as for [`RunConfig.from_dict`].
    """
    return RunConfig.from_dict(read_file(path, overrides), os.path.dirname(path) or ".")


def read_file(path: str | os.PathLike, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The YAML file of a run with overrides, see [`load_run_config`]; what its keys mean is not looked at."""
    try:
        if os.path.isfile(path) and os.path.getsize(path) > _MAX_FILE:
            raise BadInputError(f"{path} has more than {_MAX_FILE:,} bytes; accepted is the YAML file of a run.")
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path} cannot be read as text: {error}.") from error
    tree = dict(mapping(parse_yaml(text, str(path)), f"{path}"))
    for override in overrides:
        override_key(tree, override)
    return tree


def differences(first: RunConfig, second: RunConfig) -> list[str]:
    """What a run that began with `first` cannot be resumed with in `second`: `key.path: old -> new` for each key."""
    found = list(tree_differences(first.to_dict(), second.to_dict()))
    orders = [list(config.data.sources) for config in (first, second)]
    if orders[0] != orders[1] and set(orders[0]) == set(orders[1]):
        found.append(f"order of data.sources: {', '.join(orders[0])} -> {', '.join(orders[1])}")
    return found


def to_step(moment: float, steps: int) -> int:
    """The step of a run of `steps` steps that a moment, a step or a share of the run up to 1.0, means."""
    return moment if isinstance(moment, int) else round(moment * steps)


# ---------------------------------------------------------------------------------------------------------------------
# Sections that need more than their fields say
# ---------------------------------------------------------------------------------------------------------------------


def read_model(tree: Any, folder: str) -> ModelOptions:
    """The section `model`, its places found."""
    model = read_section(ModelOptions, tree, "model")
    return replace(
        model,
        checkpoint=locate(model.checkpoint, folder),
        vision_checkpoint=locate(model.vision_checkpoint, folder),
        text_checkpoint=locate(model.text_checkpoint, folder),
        processor=locate(model.processor, folder),
    )


def _read_data(tree: Any, folder: str) -> DataOptions:
    tree = dict(mapping(tree, "data"))
    for section, hidden in (("sources", ()), ("evaluation", _NOT_IN_EVALUATION)):
        sources = {}
        for name, options in mapping(tree.get(section), f"data.{section}").items():
            if not _SOURCE_NAME.fullmatch(name):
                raise BadInputError(
                    f"data.{section} has the name {name!r}; accepted are letters, digits, hyphens and underscores."
                )
            key = f"data.{section}.{name}"
            source = read_section(SourceOptions, options, key, hidden=hidden, name=name)
            if source.format != "hub":
                places = [path if is_url(path) else str(locate(path, folder)) for path in source.paths]
                source = replace(source, path=places[0] if isinstance(source.path, str) else places)
            sources[name] = source
        tree[section] = sources
    sources, evaluation = tree.pop("sources"), tree.pop("evaluation")
    return read_section(DataOptions, tree, "data", sources=sources, evaluation=evaluation)


def _read_objectives(tree: Any, family: str) -> tuple[dict[str, ObjectiveOptions], float | None]:
    """`objectives` and `fusion_share`."""
    names = FAMILIES[family].auto_models["AutoModelForPreTraining"].objectives  # type: ignore[attr-defined]
    tree = mapping(tree, "objectives")
    check_known(tree, (*names, "fusion_share"), "objectives")
    objectives: dict[str, ObjectiveOptions] = {}
    for name in names:
        section, options = _OBJECTIVES.get(name, ObjectiveOptions), mapping(tree.get(name), f"objectives.{name}")
        own = {found.name for found in fields(section)}
        for other, stray in ((other, found.name) for other, known in _OBJECTIVES.items() for found in fields(known)):
            if stray in options and stray not in own:
                raise BadInputError(f"objectives.{name}.{stray} is no known key; objectives.{other}.{stray} is.")
        objectives[name] = read_section(section, options, f"objectives.{name}")
    return objectives, fit(tree.get("fusion_share"), Share | None, "objectives.fusion_share")


def _read_engine_file(path: str, key: str) -> dict[str, Any]:
    """What a JSON file of an engine says: so that `run.yaml` is complete, and resuming notices what has changed."""
    try:
        with open(os.path.expanduser(path), encoding="utf-8") as file:
            return dict(mapping(json.load(file), key))
    except (OSError, ValueError) as error:
        raise BadInputError(f"{key}: {path} cannot be read as JSON: {error}.") from error


TrainingT = TypeVar("TrainingT", bound="TrainingOptions")


def read_training(tree: Any, section: type[TrainingT], folder: str) -> TrainingT:
    """The section `training`: keys of `section`, and beside them those of `TrainingArguments`; its files found."""
    tree, hints = mapping(tree, "training"), type_hints(TrainingArguments)
    hints["fsdp"] = bool | None  # transformers' own hint is of its command line
    own = [found.name for found in fields(section) if found.name != "arguments"]
    for name in tree:
        if name in SET_ELSEWHERE:
            raise BadInputError(f"training.{name} is not set here; {SET_ELSEWHERE[name]}.")
    inherited = [found.name for found in fields(TrainingArguments) if found.name not in SET_ELSEWHERE]
    check_known(tree, (*own, *inherited), "training")
    arguments = {name: fit(value, hints[name], f"training.{name}") for name, value in tree.items() if name not in own}
    for name in _ENGINE_FILES:
        if isinstance(arguments.get(name), str):
            arguments[name] = _read_engine_file(os.path.join(folder, arguments[name]), f"training.{name}")
    own_tree = {name: value for name, value in tree.items() if name in own}
    return read_section(section, own_tree, "training", arguments=arguments)


def _check_objectives(objectives: Mapping[str, ObjectiveOptions], data: DataOptions) -> None:
    """Every objective that is asked for has a source."""

    def feeds(kind: str, objective: str) -> bool:
        if objective == "visual_contrastive" and data.augmentation["images"] == NO_AUGMENTATION:
            return False  # there is no second view
        return objective in OBJECTIVES_OF_KIND[kind] and not (objective == "mlm" and not data.masking[kind]["ratio"])

    active = {source.kind for source in data.sources.values() if source.weight}
    for name, options in objectives.items():
        if options.weight and not any(feeds(kind, name) for kind in active):
            kinds = [kind for kind, names in OBJECTIVES_OF_KIND.items() if name in names]
            condition = {"mlm": " with masking", "visual_contrastive": " with augmentation"}.get(name, "")
            raise BadInputError(
                f"objectives.{name}.weight is {options.weight}, but no source of a weight above 0 feeds it; it takes "
                f"{' or '.join(kinds)}{condition}."
            )


def _is_preset(config_class: type, name: str) -> bool:
    """A preset is a public class method that a family's configuration declares itself."""
    return isinstance(config_class.__dict__[name], classmethod) and not name.startswith("_")


def _check_config_keys(tree: Any, config_class: type, key: str) -> None:
    tree, parts = mapping(tree, key), getattr(config_class, "sub_configs", {})
    check_known(tree, [found.name for found in fields(config_class)], key)
    for name in filter(parts.__contains__, tree):
        _check_config_keys(tree[name], parts[name], f"{key}.{name}")


def check_augmentation(options: str | dict[str, Any], key: str) -> None:
    """Refuses what is neither a preset's name, nor `none`, nor arguments of an [`Augmentation`]."""
    if isinstance(options, dict):
        read_section(Augmentation, options, key, hidden=("size",))
    elif options not in (*PRESETS, NO_AUGMENTATION):
        raise BadInputError(
            f"{key} is {options!r}; {nearest(options, (*PRESETS, NO_AUGMENTATION))}, or a mapping of options."
        )


def locate(place: str | None, folder: str) -> str | None:
    """The absolute path that `place` means in `folder`; a Hub id, if nothing is there and it looks like one."""
    if place is None:
        return None
    path = os.path.normpath(os.path.join(folder, os.path.expanduser(place)))
    if not os.path.exists(path) and not re.search(r"\.[a-zA-Z]\w*$", place):
        try:
            validate_repo_id(place)
            return place
        except HFValidationError:
            pass
    return path


def tree_differences(first: Any, second: Any, key: str = "") -> Iterator[str]:
    """`key.path: old -> new` for each key that differs, but for those that [`MAY_CHANGE`]."""
    if isinstance(first, dict) and isinstance(second, dict):
        for name in first | second:
            yield from tree_differences(first.get(name, ABSENT), second.get(name, ABSENT), dotted(key, name))
    elif first != second and key not in MAY_CHANGE:
        yield f"{key}: {shown(first)} -> {shown(second)}"
