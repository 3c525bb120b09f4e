# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
The YAML file of a fine-tuning: `hf-unimo finetune TASK config.yaml key.path=value ...`.

The classes of this file are the sections, their fields the keys, and their docstrings say what each key does. Only
`output`, `model`, `data.train` and one of `training.epochs` and `training.steps` are needed:

```yaml
output: runs/vqa
model: {checkpoint: runs/emoji/model}
data:
  common: {path: easy_vqa.parquet, columns: {image: image, text: question, answers: answer}}
  train: {where: {split: [train]}}
  validation: {where: {split: [validation]}}
training: {epochs: 5, learning_rate: 5e-4}
```

`preset: official-flickr30k` (see [`hf_unimo.training.finetune_presets`]) fills in what the file leaves out.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import yaml

from ..config_tree import (
    Accepts,
    Dumper,
    check_complete,
    check_known,
    mapping,
    merge_trees,
    nearest,
    plain,
    read_section,
)
from ..data.collator import NO_AUGMENTATION
from ..errors import BadInputError
from .finetune_presets import PRESETS
from .run_config import (
    Amount,
    Count,
    CountOrZero,
    ModelOptions,
    Moment,
    Place,
    TrainingOptions,
    check_augmentation,
    locate,
    read_file,
    read_model,
    read_training,
)
from .tasks import TASKS, Task, TaskOptions


Length = Annotated[float, Accepts("a number above 0", lambda value: 0 < value < math.inf)]


@dataclass(frozen=True)
class FinetuneData:
    """
    `data`: rows that the task is learned from and measured on. A split is a mapping: `benchmark`, `path`, `split`,
    `images` of a public data set, or `path`, `columns`, `where` of one's own, as for `hf-unimo evaluate`.

    Args:
        train (mapping): What the model learns from.
        common (mapping, *optional*): Keys that all splits share, such as `path` and `columns`; those of a split go
            over them, in mappings such as `where` key by key.
        validation (mapping, *optional*): What tells the best of its checkpoints.
        test (mapping, *optional*): What the card reports; `validation` by default.
        batch_size (`int`, defaults to 32): Rows of a batch on one process (with `rows_per_image`, pictures).
        rows_per_image (`int`, *optional*): Makes a batch of pictures, each with up to so many of its rows (questions,
            captions): the picture is encoded once. By default rows are drawn by themselves.
        image_size (`int`, *optional*): Height and width in pixels; that of the checkpoint's processor, or of the
            preset's configuration, by default.
        max_text_length (`int`, defaults to 64): Tokens of a text, special ones included; what is longer is cut off.
        augmentation (`str` or mapping, defaults to `"none"`): Of training pictures: `caption_safe`, `contrastive`,
            `none`, or arguments of [`~hf_unimo.data.augmentation.Augmentation`].
        max_bad_rows (`int`, defaults to 100): So many rows that cannot be read are logged and replaced.
        max_image_pixels (`int`, defaults to 50 million): Larger pictures count as rows that cannot be read.
        num_workers (`int`, defaults to 0): Processes that read ahead, for each training process.
    """

    train: dict[str, Any]
    common: dict[str, Any] = field(default_factory=dict)
    validation: dict[str, Any] | None = None
    test: dict[str, Any] | None = None
    batch_size: Count = 32
    rows_per_image: Count | None = None
    image_size: Count | None = None
    max_text_length: Count = 64
    augmentation: str | dict[str, Any] = NO_AUGMENTATION
    max_bad_rows: CountOrZero = 100
    max_image_pixels: Count = 50_000_000
    num_workers: CountOrZero = 0

    def __post_init__(self):
        check_augmentation(self.augmentation, "data.augmentation")


@dataclass(frozen=True)
class FinetuneTraining(TrainingOptions):
    """
    `training`: the optimisation. Beside these keys and those of [`~hf_unimo.training.run_config.TrainingOptions`],
    those of `transformers.TrainingArguments` stand here. By default the model is measured and saved once an epoch, and
    the best checkpoint is kept.

    Args:
        epochs (`float`, *optional*): Length of the run in passes over the training rows.
        steps (`int`, *optional*): Its length in optimizer steps instead.
        lr_drops (list of pairs, *optional*): Moment (a step, or a share of the run) and factor of the learning rate
            from then on, relative to before, e.g. `[[0.6, 0.1], [0.8, 0.1]]`; with
            `lr_scheduler_type: constant_with_warmup`.
        decay_from_start (`bool`, defaults to `False`): With `lr_scheduler_type: linear`: whether the decay counts from
            step 0 (the rate drops a little where warm-up ends) as in the first implementation's text classification.
    """

    steps: Count | None = None  # type: ignore[assignment]
    epochs: Length | None = None
    lr_drops: list[tuple[Moment, Amount]] = field(default_factory=list)
    decay_from_start: bool = False

    def __post_init__(self):
        super().__post_init__()
        if (self.steps is None) == (self.epochs is None):
            found = "neither" if self.steps is None else "both"
            raise BadInputError(
                f"training has {found} of training.epochs and training.steps; accepted is one of them, the length of "
                "the run."
            )
        schedule = self.arguments.get("lr_scheduler_type", "linear")
        if self.lr_drops and schedule != "constant_with_warmup":
            raise BadInputError(
                f"training.lr_drops stands beside training.lr_scheduler_type {schedule!r}; it goes with "
                "'constant_with_warmup'."
            )
        if self.decay_from_start and schedule != "linear":
            raise BadInputError(
                f"training.decay_from_start stands beside training.lr_scheduler_type {schedule!r}; it goes with "
                "'linear'."
            )


@dataclass(frozen=True)
class FinetuneConfig:
    """
    A whole fine-tuning; made by [`load_finetune_config`].

    Args:
        task ([`~hf_unimo.training.tasks.Task`]): What is learned.
        output (`str`): Folder of all that the run writes, relative to the working directory.
        model, data, training: See their classes.
        options ([`~hf_unimo.training.tasks.TaskOptions`]): What only this task knows.
        seed (`int`, defaults to 0): What all randomness comes from.
        reset_head (`bool`, defaults to `False`): Whether the head of the checkpoint gives way to a new one.
    """

    task: Task
    output: Place
    model: ModelOptions
    data: FinetuneData
    training: FinetuneTraining
    options: TaskOptions
    seed: CountOrZero = 0
    reset_head: bool = False

    def __post_init__(self):
        if self.task.freeze_base and self.training.lora is not None:
            raise BadInputError(
                f"training.lora stands beside the task {self.task.name!r}, in which the head alone learns; leave it "
                "out."
            )

    def to_dict(self) -> dict[str, Any]:
        """The configuration as a file could hold it, complete and with absolute paths: `from_dict` gives it back."""
        tree: dict[str, Any] = {"task": self.task.name}
        tree |= {name: plain(getattr(self, name)) for name in ("output", "seed", "model", "data", "options")}
        tree["training"] = plain(self.training)
        tree["training"] |= tree["training"].pop("arguments")
        tree["reset_head"] = self.reset_head
        return tree

    def to_yaml(self) -> str:
        """`to_dict` as the text of a file that [`load_finetune_config`] reads."""
        return yaml.dump(self.to_dict(), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=119)

    @classmethod
    def from_dict(cls, tree: Any, task: str, folder: str | os.PathLike = ".") -> "FinetuneConfig":
        """
        Checks `tree`, what the YAML file holds, and fills it in.

        Args:
            tree (mapping): As in the file. Not changed.
            task (`str`): A key of [`~hf_unimo.training.tasks.TASKS`].
            folder (defaults to the working directory): What its paths are relative to (not `output`).

        Raises:
            BadInputError: If the task or a key is unknown or missing, the file is for another task, or a value is not
                one that its key accepts.
        """
        if task not in TASKS:
            raise BadInputError(f"The task is {task!r}; {nearest(task, list(TASKS))}.")
        tree = dict(mapping(tree, "The configuration"))
        check_known(tree, _SECTIONS, "")
        tree = _with_preset(tree)
        named = tree.pop("task", task)
        if named != task:
            raise BadInputError(f"The configuration is for the task {named!r}, but {task!r} is to be learned.")
        check_complete(tree, ("output", "model", "data", "training"), "")
        place = os.path.realpath(folder)
        rest = {name: tree[name] for name in ("output", "seed", "reset_head") if name in tree}
        config = read_section(
            cls,
            rest,
            "",
            task=TASKS[task],
            model=read_model(tree["model"], place),
            data=_read_data(tree["data"], place),
            training=read_training(tree["training"], FinetuneTraining, place),
            options=read_section(TASKS[task].options, tree.get("options"), "options"),
        )
        return replace(config, output=os.path.abspath(os.path.expanduser(config.output)))


_SECTIONS = ("task", "preset", "output", "seed", "model", "data", "options", "training", "reset_head")


def load_finetune_config(path: str | os.PathLike, task: str, overrides: Sequence[str] = ()) -> FinetuneConfig:
    """
    Reads the YAML file of a fine-tuning.

    Args:
        path: The file.
        task (`str`): What is to be learned.
        overrides (sequence of `str`, *optional*): `key.path=value`, as for `hf-unimo pretrain`.

    Raises:
        BadInputError: If the file cannot be read, or as for [`FinetuneConfig.from_dict`].
    """
    return FinetuneConfig.from_dict(read_file(path, overrides), task, os.path.dirname(path) or ".")


def _with_preset(tree: dict[str, Any]) -> dict[str, Any]:
    """The preset's keys, those of the file on top of them; `steps` and `epochs` replace each other."""
    name = tree.pop("preset", None)
    if name is None:
        return tree
    if name not in PRESETS:
        raise BadInputError(f"preset is {name!r}; {nearest(str(name), list(PRESETS))}.")
    merged = merge_trees(PRESETS[name], tree)
    given = tree.get("training") or {}
    if "steps" in given and "epochs" not in given:
        merged["training"].pop("epochs", None)
    return merged


def _read_data(tree: Any, folder: str) -> FinetuneData:
    """The section `data`, the places of its splits found."""
    data = read_section(FinetuneData, tree, "data")
    names = ("common", "train", "validation", "test")
    splits: dict[str, Any] = {name: _located(getattr(data, name), folder) for name in names}
    return replace(data, **splits)


def _located(split: dict[str, Any] | None, folder: str) -> dict[str, Any] | None:
    if split is None:
        return None
    found = dict(split)
    if isinstance(found.get("path"), str) and found.get("format") != "hub":
        found["path"] = locate(found["path"], folder)
    for name in ("images", "objects"):
        if isinstance(found.get(name), str):
            found[name] = os.path.normpath(os.path.join(folder, os.path.expanduser(found[name])))
    return found
