# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Export of a complete model repository: weights, processor, code, generation config, card.

A saved model directory loads only where `hf_unimo` is imported. The repository made of it loads in any process that
has transformers, with `trust_remote_code=True`: the family's files and the losses they use lie flat beside the
weights, and `auto_map` entries lead every Auto class to them. On request it carries its pipelines in the same way.
"""

import copy
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from tqdm.auto import tqdm
from transformers import GenerationConfig, PreTrainedConfig
from transformers.initialization import no_init_weights
from transformers.utils import (
    CONFIG_NAME,
    GENERATION_CONFIG_NAME,
    IMAGE_PROCESSOR_NAME,
    PROCESSOR_NAME,
    SAFE_WEIGHTS_INDEX_NAME,
    SAFE_WEIGHTS_NAME,
)

from .card import USE_BEGIN, auto_class_of, completed_card, model_card
from .errors import BadInputError
from .files import check_destination, staged_directory
from .flat_code import check_code, flat_code, reference
from .models import FAMILIES
from .models.registry import Family


CARD_NAME = "README.md"
TOKENIZER_CONFIG_NAME = "tokenizer_config.json"
COPIED_FILES = (
    "added_tokens.json",
    "chat_template.jinja",
    "losses.png",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer.json",
    "vocab.json",
    CARD_NAME,
)
"""What is copied as it is if it is there, beside the weights. Anything else, a Trainer's state above all, stays."""

_MAX_JSON = 1 << 26
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.-]*")


def export_repository(
    source: str | os.PathLike,
    destination: str | os.PathLike,
    *,
    license: str = "apache-2.0",
    pipelines: bool = False,
) -> Path:
    r"""
    Writes a complete model repository, ready for `huggingface_hub.upload_folder`.

    It holds the weights and the tokenizer's files as they are; the family's code, flat; `config.json`, processor and
    tokenizer configurations with `auto_map` entries for every Auto class of the family; `generation_config.json`, if
    the family has a head that generates (the model's own, or one made of the ids in the text configuration); and a
    card. A `README.md` in `source` is kept, in place of the card: the one that a training run wrote gets the license,
    if it names none, and how to load the repository; any other one stays as it is. Other files (optimizer, scheduler,
    random state, training arguments, code of an earlier export) are left out.

    In a process that imported `hf_unimo` the installed classes win over the exported code, except that
    `AutoTokenizer` of transformers 5.23 takes the exported tokenizer when it is given `trust_remote_code=True`.

    Args:
        source: A saved model: `config.json` and `model.safetensors` (or shards and their index), perhaps with the
            files of a processor, a tokenizer or an image processor; a checkpoint of `Trainer`, for instance.
        destination: A directory that does not exist, or is empty. It appears complete or not at all.
        license (`str`, defaults to `"apache-2.0"`): The license in the card, by the Hub's identifier.
        pipelines (`bool`, defaults to `False`): Also carries the pipelines of the tasks that the head can do, by
            `custom_pipelines` in `config.json`: `transformers.pipeline` then runs them with `trust_remote_code=True`,
            under our names and the familiar ones. It demands that for these tasks even where `hf_unimo` is imported.

    Returns:
        `Path`: `destination`.

    Raises:
        BadInputError: If `source` is not a saved model of a known family, lacks weights of the head that its
            configuration names, or keeps them in a pickle; if `destination` is taken; if `license` is no identifier;
            if `pipelines` are asked for, but there is none that transformers could run with the head, or the
            tokenizer or the image processor is missing.
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
    carried = _carried_pipelines(saved, settings) if pipelines else {}
    if carried:
        settings[CONFIG_NAME]["custom_pipelines"] = {
            name: {"impl": reference(part), "pt": [auto_class_of(saved.family, saved.head)], "type": "multimodal"}
            for name, part in carried.items()
        }
    with staged_directory(destination, size=sum(path.stat().st_size for path in copied)) as folder:
        for path in tqdm(copied, desc="copying", unit="file", disable=None, leave=False):
            shutil.copyfile(path, folder / path.name)
        for name, text in flat_code(saved.family, carried.values()).items():
            (folder / name).write_text(text, encoding="utf-8")
        check_code(folder)
        for name, values in settings.items():
            (folder / name).write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        name = Path(os.path.abspath(destination)).name
        _write_card(folder / CARD_NAME, name, saved, license, _has_processor(settings), carried.keys())
    return destination


def _write_card(path: Path, name: str, saved: "SavedModel", *facts) -> None:
    """Writes the card, or completes the one that a training run wrote. Another card that is there stays."""
    if not path.exists():
        path.write_text(model_card(saved, name, *facts), encoding="utf-8")
    elif path.stat().st_size <= _MAX_JSON and USE_BEGIN.encode() in (written := path.read_bytes()):
        card = completed_card(written.decode("utf-8", errors="replace"), saved, *facts)
        path.write_text(card, encoding="utf-8")


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
    if values.get("quantization_config"):
        raise BadInputError(
            f"{folder} is quantised; accepted are models of whole weights, which whoever loads them can quantise."
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
    heads = {head.__name__: head for head in family.heads}
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


# ---------------------------------------------------------------------------------------------------------------------
# Configurations
# ---------------------------------------------------------------------------------------------------------------------


def _repository_settings(saved: SavedModel) -> dict[str, dict]:
    """File name -> content of the JSON files that differ from the saved ones, or are new."""
    family = saved.family
    config = _read_json(saved.folder / CONFIG_NAME)
    # Neither a path on the machine that trained nor code that the repository does not hold.
    config = {key: value for key, value in config.items() if key not in ("_name_or_path", "custom_pipelines")}
    config["auto_map"] = {"AutoConfig": reference(family.config)}
    config["auto_map"] |= {auto_class: reference(model) for auto_class, model in family.auto_models.items()}
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
        pair = [reference(family.tokenizer), None]
        _map_class(tokenizer, "tokenizer_class", [family.tokenizer], {"AutoTokenizer": pair})
    if family.processor is not None and (processor := settings.get(PROCESSOR_NAME)) is not None:
        _map_class(processor, "processor_class", [family.processor], {"AutoProcessor": reference(family.processor)})
    nested = settings.get(PROCESSOR_NAME, {}).get("image_processor")
    backends = {backend: reference(part) for backend, part in family.image_processors.items()}
    for image_processor in (nested, settings.get(IMAGE_PROCESSOR_NAME)):
        if isinstance(image_processor, dict):
            ours = family.image_processors.values()
            _map_class(image_processor, "image_processor_type", ours, {"AutoImageProcessor": backends})
    return settings


def _carried_pipelines(saved: SavedModel, settings: dict[str, dict]) -> dict[str, type]:
    """Name of a task -> the pipeline that does it, for all that the saved head can do."""
    # It imports `transformers.pipelines`, which takes as long as all the rest.
    from .pipelines.carried import carried_pipelines

    family, head = saved.family, saved.head
    found = {part: carried_pipelines(part, auto_class_of(family, part)) for part in family.heads}
    if not found[head]:
        able = " or ".join(part.__name__ for part in found if found[part] and auto_class_of(family, part))
        raise BadInputError(
            f"{saved.folder} holds a {head.__name__}, for which there is no pipeline of ours; expected {able}, or an "
            "export without pipelines."
        )
    if auto_class_of(family, head) is None:
        raise BadInputError(
            f"{saved.folder} holds a {head.__name__}, which no Auto class of transformers loads, so a repository's "
            f"pipeline for {' or '.join(found[head])} could not load it; export it without pipelines: they work where "
            f"{__package__} is imported."
        )
    if missing := _missing_parts(settings):
        raise BadInputError(
            f"{saved.folder} has no {' and no '.join(missing)}, without which its pipelines would not run; save the "
            "processor beside the model, or export it without pipelines."
        )
    return found[head]


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


def _has_processor(settings: dict[str, dict]) -> bool:
    """Whether `AutoProcessor` finds everything."""
    processor = settings.get(PROCESSOR_NAME, {})
    return "auto_map" in processor and not _missing_parts(settings)


def _missing_parts(settings: dict[str, dict]) -> list[str]:
    """What the repository lacks of what turns texts and images into inputs."""
    parts = {
        "tokenizer": TOKENIZER_CONFIG_NAME in settings,
        "image processor": "image_processor" in settings.get(PROCESSOR_NAME, {}) or IMAGE_PROCESSOR_NAME in settings,
    }
    return [part for part, there in parts.items() if not there]


def _generation_settings(saved: SavedModel) -> dict | None:
    path = saved.folder / GENERATION_CONFIG_NAME
    if path.is_file():
        return _read_json(path)
    if not any(head.can_generate() for head in saved.family.heads):  # type: ignore[attr-defined]
        return None
    text = saved.config.get_text_config()
    ids = {name: getattr(text, name, None) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    return json.loads(GenerationConfig(**ids).to_json_string())
