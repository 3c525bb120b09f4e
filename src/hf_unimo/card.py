# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The card of an exported repository: what the saved files tell, and how to load them."""

import inspect
import sys
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

import torch
import transformers
import yaml
from huggingface_hub import ModelCard, ModelCardData
from transformers.dynamic_module_utils import get_class_from_dynamic_module

from . import __version__
from .errors import BadInputError
from .flat_code import reference
from .models.registry import Family


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

USE_BEGIN, USE_END = "<!-- hf_unimo: use -->", "<!-- hf_unimo: end of use -->"
"""Between these lines a card says how to load what lies beside it. An export, whose code moves in, writes it anew."""

_CARD = """\
---
{metadata}
---

# {name}

`{head}`: {head_doc}

{family}

{use}

## Limits

* This card was written by `hf-unimo export` from the saved files. They do not tell what the model was trained on, how
  well it does, and which biases it has; whoever shares it should add that.
{limits}
"""
_LIMITS = """\
* {inputs}
* The code is that of hf_unimo {version}, exported with transformers {transformers_version}; it needs that version or a
  later one of the same major version.\
"""
_USE = """\
## Use

The code of the model is in this repository: read it, then allow it to run with `trust_remote_code=True`.

```python
{remote_usage}
```

Where the package `hf_unimo` is imported, its own classes are used instead of that code:

```python
{local_usage}
```
{pipelines}
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
{config}\
"""
_PIPELINES = """
The pipeline is in this repository too. It runs where transformers is:

```python
{usage}
```

{names}Where `hf_unimo` is installed, `hf_unimo.pipeline` takes the same names and runs its own code instead.
"""
_PIPELINE_CALLS = {
    "fill-mask": 'f"two {pipe.tokenizer.mask_token} in the snow", image=picture',
    "image-captioning": "picture",
    "image-question-answering": 'picture, "what is in the picture?"',
    "image-text-matching": 'picture, "two dogs in the snow"',
    "image-text-retrieval": 'picture, ["two dogs in the snow", "a white wall"]',
}
"""Our name of a task -> what its pipeline is called with in a card."""

PLACE = "path/or/name"
"""What stands in a card for where the repository is, until it is pushed."""
_PROCESSOR_THERE = "Images and texts must pass the processor of this repository: the model knows no other form."
_PROCESSOR_MISSING = "This repository does not hold both a tokenizer and an image processor: inputs are made by hand."


def model_card(saved: "SavedModel", name: str, license: str, processor: bool, pipelines: Collection[str] = ()) -> str:
    """
    A model card: what is known from the files, and how to load it. The code blocks run as they are.

    Args:
        saved ([`SavedModel`]): What is exported.
        name (`str`): The title.
        license (`str`): The Hub's identifier of a license.
        processor (`bool`): Whether `AutoProcessor` loads from the repository.
        pipelines: The names of the tasks whose pipelines the repository carries.
    """
    family, head = saved.family, saved.head
    return _CARD.format(
        metadata=card_metadata(family, head, license=license, tags=["custom_code"]).to_yaml(),
        name=name,
        head=head.__name__,
        head_doc=first_paragraph(head),
        family=family_paragraph(family),
        use=_use(saved, processor, pipelines),
        limits=_limits(processor),
    )


def completed_card(
    text: str, saved: "SavedModel", license: str, processor: bool, pipelines: Collection[str] = ()
) -> str:
    """
    The card of a training run, made that of an exported repository: the lines between `USE_BEGIN` and `USE_END` give
    way to what [`model_card`] says there, and the metadata gets what it lacks. All else stays as it is.

    Args:
        text (`str`): The card. Without these two lines, in this order, it is returned unchanged.
        saved, license, processor, pipelines: As for [`model_card`]; a license that the card has already stays.

    Raises:
        BadInputError: If the metadata cannot be read.
    """
    before, begin, rest = text.partition(USE_BEGIN)
    _, end, after = rest.partition(USE_END)
    if not (begin and end):
        return text
    try:
        use = _use(saved, processor, pipelines)
        card = ModelCard(f"{before}{use}\n\n## Limits of the code\n\n{_limits(processor)}{after}")
    except (ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise BadInputError(f"The metadata of the saved model's card cannot be read: {reason}") from error
    found = card.data.to_dict()
    new = card_metadata(saved.family, saved.head, license=license, tags=["custom_code"]).to_dict()
    for key, value in new.items():
        if key not in found:
            card.data[key] = value
    card.data["tags"] = list(dict.fromkeys([*found.get("tags", []), *new["tags"]]))
    return str(card)


def card_metadata(family: Family, head: type, tags: Iterable[str] = (), **more) -> ModelCardData:
    """
    What the Hub reads in a card of `head`.

    Args:
        family ([`Family`]): Its family.
        head (`type`): The class that was saved.
        tags: Beside those of the family.
        more: Further keys of `ModelCardData`.
    """
    return ModelCardData(
        library_name="transformers",
        pipeline_tag=PIPELINE_TAGS.get(auto_class_of(family, head) or ""),
        tags=[family.model_type, *tags, "hf_unimo"],
        **more,
    )


def family_paragraph(family: Family) -> str:
    """What the family is: the first paragraph of its package."""
    return first_paragraph(sys.modules[family.config.__module__.rpartition(".")[0]])


def first_paragraph(documented: object) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((inspect.getdoc(documented) or "").partition("\n\n")[0].split())


def local_usage(family: Family, head: type) -> str:
    """Lines that load the saved head with this package's code."""
    auto_class = auto_class_of(family, head)
    if auto_class is None:
        lines = [f"from {__package__} import {head.__name__}"]
    else:
        lines = [f"import {__package__}", f"from transformers import {auto_class}"]
    return "\n".join([*lines, "", f'model = {auto_class or head.__name__}.from_pretrained("{PLACE}").eval()'])


def auto_class_of(family: Family, head: type) -> str | None:
    """Name of the Auto class of transformers that loads `head`."""
    return next((auto for auto, model in family.auto_models.items() if model is head), None)


def _use(saved: "SavedModel", processor: bool, pipelines: Collection[str]) -> str:
    """How to load the repository, what of the family is in it, its size. The code blocks run as they are."""
    family, head = saved.family, saved.head
    parts = [*family.other_models, *family.sub_models.values()]
    return _USE.format(
        remote_usage="\n".join(_remote_usage(saved, auto_class_of(family, head), processor)),
        local_usage=local_usage(family, head),
        pipelines=_pipeline_usage(pipelines) if pipelines else "",
        heads="\n".join(_head_rows(saved)),
        place=PLACE,
        part=reference(parts[0] if parts else head),
        num_parameters=sum(torch.Size(shape).numel() for shape in saved.shapes.values()),
        config="\n".join(f"| {key} | {value} |" for key, value in _config_summary(saved).items()),
    )


def _pipeline_usage(names: Collection[str]) -> str:
    """How to run the pipelines of the repository."""
    lines = ["from PIL import Image", "from transformers import pipeline", "", f'repository = "{PLACE}"']
    lines += ['picture = Image.new("RGB", (320, 240), "white")']
    for task, arguments in _PIPELINE_CALLS.items():
        if task in names:
            lines += [f'pipe = pipeline("{task}", model=repository, trust_remote_code=True)']
            lines += [f"print(pipe({arguments}))"]
    others = [f"`{name}`" for name in sorted(names) if name not in _PIPELINE_CALLS]
    also = f"The task is also known as {' and '.join(others)}. " if others else ""
    return _PIPELINES.format(usage="\n".join(lines), names=also)


def _limits(processor: bool) -> str:
    return _LIMITS.format(
        inputs=_PROCESSOR_THERE if processor else _PROCESSOR_MISSING,
        version=__version__,
        transformers_version=transformers.__version__,
    )


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
    lines += ["", f'repository = "{PLACE}"']
    if auto_class is None:
        lines += [f'model_class = get_class_from_dynamic_module("{reference(saved.head)}", repository)']
        lines += ["model = model_class.from_pretrained(repository).eval()"]
    else:
        lines += [f"model = {auto_class}.from_pretrained(repository, trust_remote_code=True).eval()"]
    if processor:
        lines += ["processor = AutoProcessor.from_pretrained(repository, trust_remote_code=True)"]
    return [*lines, "", *_call(saved, processor)]


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
