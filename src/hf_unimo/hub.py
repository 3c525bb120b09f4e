# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Export of a complete model repository: weights, processor, code, generation config, card.

A saved model directory loads only where `hf_unimo` is imported. The repository made of it loads in any process that
has transformers, with `trust_remote_code=True`: the family's files and the losses they use lie flat beside the
weights, and `auto_map` entries lead every Auto class to them.
"""

import ast
import copy
import inspect
import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from huggingface_hub import ModelCardData
from safetensors import SafetensorError, safe_open
from tqdm.auto import tqdm
from transformers import GenerationConfig, PreTrainedConfig
from transformers.dynamic_module_utils import get_class_from_dynamic_module, get_relative_imports
from transformers.initialization import no_init_weights
from transformers.utils import (
    CONFIG_NAME,
    GENERATION_CONFIG_NAME,
    IMAGE_PROCESSOR_NAME,
    PROCESSOR_NAME,
    SAFE_WEIGHTS_INDEX_NAME,
    SAFE_WEIGHTS_NAME,
)

from . import __version__
from .conversion.output import check_destination, staged_directory
from .errors import BadInputError, CheckFailedError
from .models import FAMILIES
from .models.registry import Family


CARD_NAME = "README.md"
TOKENIZER_CONFIG_NAME = "tokenizer_config.json"
COPIED_FILES = (
    "added_tokens.json",
    "chat_template.jinja",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer.json",
    "vocab.json",
    CARD_NAME,
)
"""What is copied as it is if it is there, beside the weights. Anything else, a Trainer's state above all, stays."""

PACKAGES = ("PIL", "huggingface_hub", "numpy", "tokenizers", "torch", "transformers")
"""What exported code may import beside the standard library and its siblings; all of it comes with transformers."""

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

_OBJECTIVES = Path(__file__).parent / "objectives"
_MAX_JSON = 1 << 26
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.-]*")


def export_repository(
    source: str | os.PathLike, destination: str | os.PathLike, *, license: str = "apache-2.0"
) -> Path:
    r"""
    Writes a complete model repository, ready for `huggingface_hub.upload_folder`.

    It holds the weights and the tokenizer's files as they are; the family's code, flat; `config.json`, processor and
    tokenizer configurations with `auto_map` entries for every Auto class of the family; `generation_config.json`, if
    the family has a head that generates (the model's own, or one made of the ids in the text configuration); and a
    card. A `README.md` in `source` is kept as it is, in place of the card, and `license` then changes nothing. Other
    files (optimizer, scheduler, random state, training arguments, code of an earlier export) are left out.

    In a process that imported `hf_unimo` the installed classes win over the exported code, except that
    `AutoTokenizer` of transformers 5.23 takes the exported tokenizer when it is given `trust_remote_code=True`.

    Args:
        source: A saved model: `config.json` and `model.safetensors` (or shards and their index), perhaps with the
            files of a processor, a tokenizer or an image processor; a checkpoint of `Trainer`, for instance.
        destination: A directory that does not exist, or is empty. It appears complete or not at all.
        license (`str`, defaults to `"apache-2.0"`): The license in the card, by the Hub's identifier.

    Returns:
        `Path`: `destination`.

    Raises:
        BadInputError: If `source` is not a saved model of a known family, lacks weights of the head that its
            configuration names, or keeps them in a pickle; if `destination` is taken; if `license` is no identifier.
        CheckFailedError: If a line of the family's code would not work in a repository.

    Example:

    ```python
    >>> from hf_unimo.hub import export_repository

    >>> export_repository("out/checkpoint-500", "unimo2-flickr30k", license="mit")  # doctest: +SKIP
    PosixPath('unimo2-flickr30k')
    ```
    """
    if not _LICENSE.fullmatch(license):
        raise BadInputError(f"{license!r} is not a license identifier of the Hub, such as apache-2.0, mit or other.")
    destination = check_destination(destination)
    saved = read_saved_model(source)
    copied = [*saved.weight_files, *(path for name in COPIED_FILES if (path := saved.folder / name).is_file())]
    settings = _repository_settings(saved)
    with staged_directory(destination, size=sum(path.stat().st_size for path in copied)) as folder:
        for path in tqdm(copied, desc="copying", unit="file", disable=None, leave=False):
            shutil.copyfile(path, folder / path.name)
        for name, text in flat_code(saved.family).items():
            (folder / name).write_text(text, encoding="utf-8")
        check_code(folder)
        for name, values in settings.items():
            (folder / name).write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        if not (folder / CARD_NAME).exists():
            card = _card(saved, settings, Path(os.path.abspath(destination)).name, license)
            (folder / CARD_NAME).write_text(card, encoding="utf-8")
    return destination


# ---------------------------------------------------------------------------------------------------------------------
# The saved model
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SavedModel:
    """
    A directory that `save_pretrained` wrote, checked.

    Args:
        folder (`Path`): The directory.
        family ([`Family`]): Of `config.model_type`.
        config (`PreTrainedConfig`): The configuration.
        head (`type`): The class that was saved; that of `AutoModel` if the configuration does not name one.
        weight_files (`list[Path]`): The weights and, if they are sharded, their index.
        shapes (`dict[str, tuple[int, ...]]`): Name of a stored weight -> its shape.
    """

    folder: Path
    family: Family
    config: PreTrainedConfig
    head: type
    weight_files: list[Path]
    shapes: dict[str, tuple[int, ...]]

    def lacking(self, model_class: type) -> list[str]:
        """Weights of `model_class`, one of the family's heads, that are not stored, or not in its shape."""
        with torch.device("meta"), no_init_weights():
            model = model_class(copy.deepcopy(self.config))
        # A base model's weights serve heads and the other way round, so the base model's prefix says nothing.
        prefix = f"{model_class.base_model_prefix}."  # type: ignore[attr-defined]
        stored = {name.removeprefix(prefix): shape for name, shape in self.shapes.items()}
        return sorted(
            name
            for name, tensor in model.state_dict().items()
            if name not in model.all_tied_weights_keys and stored.get(name.removeprefix(prefix)) != tensor.shape
        )


def read_saved_model(folder: str | os.PathLike) -> SavedModel:
    """Checks a saved model directory without loading its weights. Raises [`BadInputError`]."""
    folder = Path(folder)
    if not folder.is_dir():
        raise BadInputError(f"{folder} is not a directory; name the one that `save_pretrained` wrote.")
    if not (folder / CONFIG_NAME).is_file():
        raise BadInputError(f"{folder} has no {CONFIG_NAME}; name a directory that a model's `save_pretrained` wrote.")
    values = _read_json(folder / CONFIG_NAME)
    family = FAMILIES.get(str(values.get("model_type")))
    if family is None:
        raise BadInputError(
            f"{folder / CONFIG_NAME} has model_type {values.get('model_type')!r}; known: {', '.join(FAMILIES)}."
        )
    with _configuration_errors(folder):
        config = family.config.from_dict(values)  # type: ignore[attr-defined]
    weight_files, shapes = _read_weights(folder)
    saved = SavedModel(folder, family, config, _saved_head(folder, family, config), weight_files, shapes)
    with _configuration_errors(folder):
        lacking = saved.lacking(saved.head)
    if lacking:
        raise BadInputError(
            f"{folder} lacks {len(lacking)} of the weights of {saved.head.__name__}, or has them in another shape, "
            f"e.g. {lacking[0]}."
        )
    return saved


@contextmanager
def _configuration_errors(folder: Path) -> Iterator[None]:
    """Turns what the family's classes say of a wrong configuration, whatever its type, into a [`BadInputError`]."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())
        raise BadInputError(f"{folder / CONFIG_NAME} is not a valid configuration: {reason}") from error


def _saved_head(folder: Path, family: Family, config: PreTrainedConfig) -> type:
    heads = {head.__name__: head for head in _heads(family)}
    if not config.architectures:
        return family.auto_models["AutoModel"]
    if config.architectures[0] not in heads:
        raise BadInputError(
            f"{folder / CONFIG_NAME} names the architecture {config.architectures[0]}; known: {', '.join(heads)}."
        )
    return heads[config.architectures[0]]


def _read_weights(folder: Path) -> tuple[list[Path], dict[str, tuple[int, ...]]]:
    """The files of the weights, and name -> shape from their headers."""
    single, index = folder / SAFE_WEIGHTS_NAME, folder / SAFE_WEIGHTS_INDEX_NAME
    if single.is_file():
        shards, others = [single], []
    elif index.is_file():
        weight_map = _read_json(index).get("weight_map")
        names = [str(name) for name in weight_map.values()] if isinstance(weight_map, dict) else []
        if not names or any(Path(name).name != name or not name.endswith(".safetensors") for name in names):
            raise BadInputError(f"{index} does not map weights to safetensors files beside it.")
        shards, others = [folder / name for name in sorted(set(names))], [index]
    else:
        pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in folder.glob(pattern))
        advice = f" (and {pickles[0]} may be a pickle, which can run code: save as safetensors)" if pickles else ""
        raise BadInputError(f"{folder} has neither {SAFE_WEIGHTS_NAME} nor {SAFE_WEIGHTS_INDEX_NAME}{advice}.")
    shapes: dict[str, tuple[int, ...]] = {}
    for path in shards:
        try:
            with safe_open(path, "pt") as weights:
                shapes |= {name: tuple(weights.get_slice(name).get_shape()) for name in weights.keys()}  # noqa: SIM118
        except FileNotFoundError as error:
            raise BadInputError(f"{path} is missing; {index.name} asks for it.") from error
        except (OSError, SafetensorError) as error:
            raise BadInputError(f"{path} is not a whole safetensors file: {error}.") from error
    return [*shards, *others], shapes


def _read_json(path: Path) -> dict:
    try:
        if path.stat().st_size > _MAX_JSON:
            raise BadInputError(f"{path} has more than {_MAX_JSON:,} bytes, too many for what it should be.")
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, BadInputError):
            raise
        raise BadInputError(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(values, dict):
        raise BadInputError(f"{path} must hold a JSON object, but holds a {type(values).__name__}.")
    return values


def _heads(family: Family) -> list[type]:
    return [*family.auto_models.values(), *family.other_models]


# ---------------------------------------------------------------------------------------------------------------------
# The code
# ---------------------------------------------------------------------------------------------------------------------


def flat_code(family: Family) -> dict[str, str]:
    """
    The family's code as a repository carries it: file name -> text.

    These are the files of the family's classes and what they import from their own folder and from
    `hf_unimo.objectives`. `hf_unimo/objectives/matching.py` becomes `objectives_matching.py` beside them. Nothing but
    import lines is changed.
    """
    parts = [family.tokenizer, family.processor, *family.image_processors.values()]
    classes = [family.config, *_heads(family), *family.sub_models.values(), *(part for part in parts if part)]
    pending = {Path(inspect.getfile(part)) for part in classes}
    files: dict[str, str] = {}
    while pending:
        path = pending.pop()
        text, siblings = _flatten(path)
        files[f"{_flat_name(path)}.py"] = text
        pending |= {sibling for sibling in siblings if f"{_flat_name(sibling)}.py" not in files}
    return dict(sorted(files.items()))


def _flatten(path: Path) -> tuple[str, set[Path]]:
    """The text of a file with its imports of ours rewritten, and the files that they lead to."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    siblings = set()
    for node in ast.walk(ast.parse("".join(lines))):
        if isinstance(node, ast.ImportFrom) and (sibling := _sibling(node, path)) is not None:
            siblings.add(sibling)
            line = lines[node.lineno - 1]
            lines[node.lineno - 1] = re.sub(r"from\s+[\w.]+\s+import", f"from .{_flat_name(sibling)} import", line)
    return "".join(lines), siblings


def _sibling(node: ast.ImportFrom, path: Path) -> Path | None:
    """The file that `node` in `path` imports from, if it is one that the repository gets too."""
    module = node.module or ""
    package = f"{__package__}.{_OBJECTIVES.name}."
    if node.level == 0 and module.startswith(package):
        return _OBJECTIVES / f"{module.removeprefix(package)}.py"
    if node.level == 1 and module.isidentifier():
        return path.parent / f"{module}.py"
    return None


def _flat_name(path: Path) -> str:
    return f"{_OBJECTIVES.name}_{path.stem}" if path.parent == _OBJECTIVES else path.stem


def check_code(folder: Path) -> None:
    """
    Raises a [`CheckFailedError`] if a Python file in `folder` imports anything but the standard library, [`PACKAGES`]
    and files beside it, or if transformers, which reads relative imports line by line, sees others than Python does.
    """
    for path in sorted(folder.glob("*.py")):
        siblings = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                _check_packages(path, node.lineno, (alias.name for alias in node.names))
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                _check_packages(path, node.lineno, [node.module or ""])
            elif isinstance(node, ast.ImportFrom):
                if node.level > 1 or not (node.module and (folder / f"{node.module}.py").is_file()):
                    name = "." * node.level + (node.module or "")
                    raise CheckFailedError(f"{path.name}, line {node.lineno}: {name} is no file of the repository.")
                siblings.add(node.module)
        if siblings != set(get_relative_imports(path)):
            raise CheckFailedError(
                f"{path.name}: transformers finds the imports {sorted(get_relative_imports(path))}, Python finds "
                f"{sorted(siblings)}."
            )


def _check_packages(path: Path, line: int, modules: Iterable[str]) -> None:
    for module in modules:
        package = module.partition(".")[0]
        if package not in PACKAGES and package not in sys.stdlib_module_names:
            raise CheckFailedError(
                f"{path.name}, line {line}: {module} is neither in the standard library nor in {', '.join(PACKAGES)}."
            )


# ---------------------------------------------------------------------------------------------------------------------
# Configurations
# ---------------------------------------------------------------------------------------------------------------------


def _repository_settings(saved: SavedModel) -> dict[str, dict]:
    """File name -> content of the JSON files that differ from the saved ones, or are new."""
    family = saved.family
    config = _read_json(saved.folder / CONFIG_NAME)
    # Neither a path on the machine that trained nor code that the repository does not hold.
    config = {key: value for key, value in config.items() if key not in ("_name_or_path", "custom_pipelines")}
    config["auto_map"] = {"AutoConfig": _reference(family.config)}
    config["auto_map"] |= {auto_class: _reference(model) for auto_class, model in family.auto_models.items()}
    settings = {CONFIG_NAME: config}
    if (generation := _generation_settings(saved)) is not None:
        settings[GENERATION_CONFIG_NAME] = generation
    return settings | _processor_settings(saved)


def _processor_settings(saved: SavedModel) -> dict[str, dict]:
    """The configurations of processor, image processor and tokenizer, as far as they were saved."""
    family = saved.family
    names = (PROCESSOR_NAME, IMAGE_PROCESSOR_NAME, TOKENIZER_CONFIG_NAME)
    settings = {name: _read_json(saved.folder / name) for name in names if (saved.folder / name).is_file()}
    if TOKENIZER_CONFIG_NAME in settings and IMAGE_PROCESSOR_NAME in settings and family.processor is not None:
        # Each was saved by itself; this file makes them one.
        settings.setdefault(PROCESSOR_NAME, {"processor_class": family.processor.__name__})
    if family.tokenizer is not None and (tokenizer := settings.get(TOKENIZER_CONFIG_NAME)) is not None:
        tokenizer.pop("name_or_path", None)  # a path on the machine that trained
        # A pair by its history: the second place was the Rust tokenizer's.
        pair = [_reference(family.tokenizer), None]
        _map_class(tokenizer, "tokenizer_class", [family.tokenizer], {"AutoTokenizer": pair})
    if family.processor is not None and (processor := settings.get(PROCESSOR_NAME)) is not None:
        _map_class(processor, "processor_class", [family.processor], {"AutoProcessor": _reference(family.processor)})
    nested = settings.get(PROCESSOR_NAME, {}).get("image_processor")
    backends = {backend: _reference(part) for backend, part in family.image_processors.items()}
    for image_processor in (nested, settings.get(IMAGE_PROCESSOR_NAME)):
        if isinstance(image_processor, dict):
            ours = family.image_processors.values()
            _map_class(image_processor, "image_processor_type", ours, {"AutoImageProcessor": backends})
    return settings


def _map_class(settings: dict, key: str, ours: Iterable[type], entry: dict) -> None:
    """Gives `settings` the `auto_map` entry if the class that it names is ours, and none if it is transformers'."""
    foreign_code = settings.pop("auto_map", None)
    if settings.get(key) in {part.__name__ for part in ours}:
        settings["auto_map"] = entry
    elif foreign_code:
        raise BadInputError(
            f"{key} {settings.get(key)!r} is code that an export does not carry; expected a class of transformers or "
            f"{' or '.join(part.__name__ for part in ours)}."
        )


def _generation_settings(saved: SavedModel) -> dict | None:
    path = saved.folder / GENERATION_CONFIG_NAME
    if path.is_file():
        return _read_json(path)
    if not any(head.can_generate() for head in _heads(saved.family)):  # type: ignore[attr-defined]
        return None
    text = saved.config.get_text_config()
    ids = {name: getattr(text, name, None) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    return json.loads(GenerationConfig(**ids).to_json_string())


def _reference(part: type) -> str:
    """How `auto_map` names a class: the file in the repository, without suffix, and the class."""
    return f"{_flat_name(Path(inspect.getfile(part)))}.{part.__name__}"


# ---------------------------------------------------------------------------------------------------------------------
# The card
# ---------------------------------------------------------------------------------------------------------------------

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


def _card(saved: SavedModel, settings: dict[str, dict], name: str, license: str) -> str:
    """A model card: what is known from the files, and how to load it. The first two code blocks run as they are."""
    family, head = saved.family, saved.head
    auto_class = next((auto for auto, model in family.auto_models.items() if model is head), None)
    metadata = ModelCardData(
        license=license,
        library_name="transformers",
        pipeline_tag=PIPELINE_TAGS.get(auto_class or ""),
        tags=[family.model_type, "custom_code", "hf_unimo"],
    )
    package = sys.modules[family.config.__module__.rpartition(".")[0]]
    processor = _has_processor(settings)
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
        part=_reference(parts[0] if parts else head),
        num_parameters=sum(torch.Size(shape).numel() for shape in saved.shapes.values()),
        config="\n".join(f"| {key} | {value} |" for key, value in _config_summary(saved).items()),
        inputs=_PROCESSOR_THERE if processor else _PROCESSOR_MISSING,
        version=__version__,
        transformers_version=transformers.__version__,
    )


def _has_processor(settings: dict[str, dict]) -> bool:
    """Whether `AutoProcessor` finds everything."""
    processor = settings.get(PROCESSOR_NAME, {})
    has_image_processor = "image_processor" in processor or IMAGE_PROCESSOR_NAME in settings
    return "auto_map" in processor and has_image_processor and TOKENIZER_CONFIG_NAME in settings


def _first_paragraph(documented: object) -> str:
    return " ".join((inspect.getdoc(documented) or "").partition("\n\n")[0].split())


def _head_rows(saved: SavedModel) -> list[str]:
    """Table rows: every model of the family, how it is loaded, and what is missing for it."""
    loaded_by = {model: f"`{auto_class}`" for auto_class, model in saved.family.auto_models.items()}
    # Every head has the parts. One that takes another part's states is of no use by itself.
    parts = [part for part in saved.family.sub_models.values() if part.main_input_name != "inputs_embeds"]  # type: ignore[attr-defined]
    rows = []
    for model in [*_heads(saved.family), *parts]:
        lacking = [] if model in parts else saved.lacking(model)
        weights = ", ".join(f"`{name}`" for name in lacking[:2]) or "here"
        more = f" and {len(lacking) - 2} more" if lacking[2:] else ""
        rows.append(f"| {model.__name__} | {loaded_by.get(model, f'`{_reference(model)}`')} | {weights}{more} |")
    return rows


def _config_summary(saved: SavedModel) -> dict[str, object]:
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


def _remote_usage(saved: SavedModel, auto_class: str | None, processor: bool) -> list[str]:
    """Lines that load the saved head with the repository's code, call it once and print."""
    lines = ["import torch", *(["from PIL import Image"] if processor else [])]
    names = [name for name in (auto_class, "AutoProcessor" if processor else None) if name]
    lines += [f"from transformers import {', '.join(names)}"] if names else []
    if auto_class is None:
        lines += [f"from {get_class_from_dynamic_module.__module__} import {get_class_from_dynamic_module.__name__}"]
    lines += ["", f'repository = "{_PLACE}"']
    if auto_class is None:
        lines += [f'model_class = get_class_from_dynamic_module("{_reference(saved.head)}", repository)']
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


def _call(saved: SavedModel, processor: bool) -> list[str]:
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
