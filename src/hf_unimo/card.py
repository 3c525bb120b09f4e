# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The card of an exported repository: what the saved files tell, and how to load them."""

import inspect
import sys
from typing import TYPE_CHECKING

import torch
import transformers
from huggingface_hub import ModelCardData
from transformers.dynamic_module_utils import get_class_from_dynamic_module

from . import __version__
from .flat_code import reference


if TYPE_CHECKING:
    from .hub import SavedModel


PIPELINE_TAGS = {
    "AutoModel": "feature-extraction",
    "AutoModelForImageClassification": "image-classification",
    "AutoModelForImageTextToText": "image-to-text",
    "AutoModelForMaskedLM": "fill-mask",
    "AutoModelForSequenceClassification": "text-classification",
    "AutoModelForVisualQuestionAnswering": "visual-question-answering",
    "AutoModelForZeroShotImageClassification": "zero-shot-image-classification",
}
"""Auto class of the saved head -> the Hub's name of its task."""

_CARD = """\
---
{metadata}
---

# {name}

`{head}`: {head_doc}

{family}

## Use

The code of the model is in this repository: read it, then allow it to run with `trust_remote_code=True`.

```python
{remote_usage}
```

Where the package `hf_unimo` is imported, its own classes are used instead of that code:

```python
{local_usage}
```

## Heads and parts

"here" means that all weights of the class are in this repository; weights that the last column names start at random
and have to be trained.

| Class | Loaded by | Weights |
|---|---|---|
{heads}

A class without an Auto class is loaded by its name:

```python
from transformers.dynamic_module_utils import get_class_from_dynamic_module

repository = "{place}"
model_class = get_class_from_dynamic_module("{part}", repository)
model = model_class.from_pretrained(repository)
```

## Size

{num_parameters:,} parameters.

| | |
|---|---|
{config}

## Limits

* This card was written by `hf-unimo export` from the saved files. They do not tell what the model was trained on, how
  well it does, and which biases it has; whoever shares it should add that.
* {inputs}
* The code is that of hf_unimo {version}, exported with transformers {transformers_version}; it needs that version or a
  later one of the same major version.
"""
_PLACE = "path/or/name"
_PROCESSOR_THERE = "Images and texts must pass the processor of this repository: the model knows no other form."
_PROCESSOR_MISSING = "This repository does not hold both a tokenizer and an image processor: inputs are made by hand."


def model_card(saved: "SavedModel", name: str, license: str, processor: bool) -> str:
    """
    A model card: what is known from the files, and how to load it. The first two code blocks run as they are.

    Args:
        saved ([`SavedModel`]): What is exported.
        name (`str`): The title.
        license (`str`): The Hub's identifier of a license.
        processor (`bool`): Whether `AutoProcessor` loads from the repository.
    """
    family, head = saved.family, saved.head
    auto_class = next((auto for auto, model in family.auto_models.items() if model is head), None)
    metadata = ModelCardData(
        license=license,
        library_name="transformers",
        pipeline_tag=PIPELINE_TAGS.get(auto_class or ""),
        tags=[family.model_type, "custom_code", "hf_unimo"],
    )
    package = sys.modules[family.config.__module__.rpartition(".")[0]]
    parts = [*family.other_models, *family.sub_models.values()]
    return _CARD.format(
        metadata=metadata.to_yaml(),
        name=name,
        head=head.__name__,
        family=_first_paragraph(package),
        head_doc=_first_paragraph(head),
        remote_usage="\n".join(_remote_usage(saved, auto_class, processor)),
        local_usage="\n".join(_local_usage(head, auto_class)),
        heads="\n".join(_head_rows(saved)),
        place=_PLACE,
        part=reference(parts[0] if parts else head),
        num_parameters=sum(torch.Size(shape).numel() for shape in saved.shapes.values()),
        config="\n".join(f"| {key} | {value} |" for key, value in _config_summary(saved).items()),
        inputs=_PROCESSOR_THERE if processor else _PROCESSOR_MISSING,
        version=__version__,
        transformers_version=transformers.__version__,
    )


def _first_paragraph(documented: object) -> str:
    return " ".join((inspect.getdoc(documented) or "").partition("\n\n")[0].split())


def _head_rows(saved: "SavedModel") -> list[str]:
    """Table rows: every model of the family, how it is loaded, and what is missing for it."""
    loaded_by = {model: f"`{auto_class}`" for auto_class, model in saved.family.auto_models.items()}
    # Every head has the parts. One that takes another part's states is of no use by itself.
    parts = [part for part in saved.family.sub_models.values() if part.main_input_name != "inputs_embeds"]  # type: ignore[attr-defined]
    rows = []
    for model in [*saved.family.heads, *parts]:
        lacking = [] if model in parts else saved.lacking(model)
        weights = ", ".join(f"`{name}`" for name in lacking[:2]) or "here"
        more = f" and {len(lacking) - 2} more" if lacking[2:] else ""
        rows.append(f"| {model.__name__} | {loaded_by.get(model, f'`{reference(model)}`')} | {weights}{more} |")
    return rows


def _config_summary(saved: "SavedModel") -> dict[str, object]:
    """The sizes of the model's parts, and its other settings as far as they are not the family's defaults."""
    summary: dict[str, object] = {}
    sizes = ("num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size", "image_size", "patch_size")
    for name in saved.config.sub_configs:
        part = getattr(saved.config, name)
        summary[name] = ", ".join(f"{size} {getattr(part, size)}" for size in sizes if hasattr(part, size))
    defaults = saved.family.config().to_dict()
    for key, value in saved.config.to_dict().items():
        ours = key in defaults and not key.startswith("_")  # `_name_or_path` is a path on the machine that exports
        if ours and value != defaults[key] and isinstance(value, (bool, int, float, str)):
            summary[key] = value
    return summary


def _remote_usage(saved: "SavedModel", auto_class: str | None, processor: bool) -> list[str]:
    """Lines that load the saved head with the repository's code, call it once and print."""
    lines = ["import torch", *(["from PIL import Image"] if processor else [])]
    names = [name for name in (auto_class, "AutoProcessor" if processor else None) if name]
    lines += [f"from transformers import {', '.join(names)}"] if names else []
    if auto_class is None:
        lines += [f"from {get_class_from_dynamic_module.__module__} import {get_class_from_dynamic_module.__name__}"]
    lines += ["", f'repository = "{_PLACE}"']
    if auto_class is None:
        lines += [f'model_class = get_class_from_dynamic_module("{reference(saved.head)}", repository)']
        lines += ["model = model_class.from_pretrained(repository).eval()"]
    else:
        lines += [f"model = {auto_class}.from_pretrained(repository, trust_remote_code=True).eval()"]
    if processor:
        lines += ["processor = AutoProcessor.from_pretrained(repository, trust_remote_code=True)"]
    return [*lines, "", *_call(saved, processor)]


def _local_usage(head: type, auto_class: str | None) -> list[str]:
    """Lines that load the saved head with this package's code."""
    if auto_class is None:
        lines = [f"from {__package__} import {head.__name__}"]
    else:
        lines = [f"import {__package__}", f"from transformers import {auto_class}"]
    return [*lines, "", f'model = {auto_class or head.__name__}.from_pretrained("{_PLACE}").eval()']


def _call(saved: "SavedModel", processor: bool) -> list[str]:
    """Lines that call `model` with what its forward takes, and print."""
    head, config = saved.head, saved.config
    generates = head.can_generate()  # type: ignore[attr-defined]
    accepted = inspect.signature(head.forward).parameters  # type: ignore[attr-defined]
    image, text = "pixel_values" in accepted, "input_ids" in accepted and not generates
    if processor:
        inputs = ['images=Image.new("RGB", (320, 240), "white")'] if image else []
        inputs += ['text="two dogs in the snow"'] if text else []
        lines = [f'inputs = processor({", ".join(inputs)}, return_tensors="pt")']
    else:
        side = getattr(config, "vision_config", config).image_size if image else 0
        inputs = [f'"pixel_values": torch.zeros(1, 3, {side}, {side})'] if image else []
        inputs += ['"input_ids": torch.tensor([[0, 3, 2]])'] if text else []
        lines = [f"inputs = {{{', '.join(inputs)}}}"]
    if generates:
        decoded = "processor.batch_decode(ids, skip_special_tokens=True)" if processor else "ids.tolist()"
        return [*lines, "ids = model.generate(**inputs, max_new_tokens=20)", f"print({decoded})"]
    lines += ["with torch.no_grad():", "    outputs = model(**inputs)", "for name, value in outputs.items():"]
    return [*lines, "    if isinstance(value, torch.Tensor):", "        print(name, tuple(value.shape))"]
