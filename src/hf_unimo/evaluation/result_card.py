# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The model card that an evaluation leaves beside its results."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import yaml
from huggingface_hub import ModelCard, ModelCardData
from transformers import PreTrainedModel
from transformers.utils import logging

from ..card import USE_BEGIN, USE_END, card_metadata, family_paragraph, first_paragraph, local_usage
from ..errors import BadInputError
from ..files import write_atomically
from ..models import FAMILIES
from .protocol import CARD_BEGIN, CARD_END, Result, merge_into_card


logger = logging.get_logger(__name__)

CARD_NAME = "README.md"

_OURS = """\
---
{metadata}
---

# {title}

`{head}`: {head_doc}

{family}

{num_parameters:,} parameters.

{use_begin}
## Use

```python
{usage}
```
{use_end}

{results}

{limits}
"""
_THEIRS = """\
---
{metadata}
---

# {title}

`{head}` of transformers, {num_parameters:,} parameters.

{results}

{limits}
"""
_RESULTS = f"{CARD_BEGIN}\n{CARD_END}"
_LIMITS = """\
## Limits

* This card was written by `hf-unimo evaluate` from the model and its results. They do not tell what the model was
  trained on, which biases it has, and under which license it stands; whoever shares it should add that.
* The figures hold for the data, the split and the protocol that stand with them. The intervals tell how far other rows
  would move them, not how far another training would.\
"""


def card_place(folder: str | os.PathLike, model_name: str) -> Path | None:
    """
    Where the card of a model belongs in a folder of results: `README.md`, or `README-MODEL.md` where that is another
    model's card.

    Args:
        folder: Of results; it may be missing.
        model_name (`str`): As results name it.

    Returns:
        The path; None, with a warning, where a file stands there that no evaluation wrote, which stays as it is.

    Raises:
        BadInputError: If the metadata of the card that is there cannot be read.
    """
    name = re.sub(r"[^\w.-]+", "-", model_name)
    for place in (Path(folder) / CARD_NAME, Path(folder) / f"README-{name}.md"):
        if not place.exists():
            return place
        text = place.read_text(encoding="utf-8") if place.is_file() else ""
        if CARD_BEGIN not in text:
            logger.warning(f"{place} stays as it is, as no evaluation wrote it; `--card` adds the results to a card.")
            return None
        try:
            found = ModelCard(text, ignore_metadata_errors=False).data.to_dict()
        except (ValueError, yaml.YAMLError) as error:
            raise BadInputError(f"The metadata of {place} cannot be read: {' '.join(str(error).split())}") from error
        if not (entries := found.get("model-index")) or entries[0].get("name") == model_name:
            return place
    return place


def write_card(place: str | os.PathLike, model: PreTrainedModel, results: Sequence[Result]) -> None:
    """
    Merges results into the card at `place`, which is written first if it is not there.

    Args:
        place: Of [`card_place`].
        model (`PreTrainedModel`): What was measured.
        results: All that are known of it, at least one.
    """
    if not Path(place).exists():
        write_atomically(place, _new_card(model, results[0].model))
    merge_into_card(place, results)


def _new_card(model: PreTrainedModel, title: str) -> str:
    """A card whose section of results is empty."""
    head = type(model)
    family = FAMILIES.get(model.config.model_type)
    facts = {"title": title, "head": head.__name__, "num_parameters": model.num_parameters()}
    facts |= {"results": _RESULTS, "limits": _LIMITS}
    if family is None or head not in family.heads:
        metadata = ModelCardData(
            library_name="transformers", tags=[model.config.model_type, "hf_unimo"], model_name=title
        )
        return _THEIRS.format(metadata=metadata.to_yaml(), **facts)
    return _OURS.format(
        metadata=card_metadata(family, head, model_name=title).to_yaml(),
        head_doc=first_paragraph(head),
        family=family_paragraph(family),
        use_begin=USE_BEGIN,
        usage=local_usage(family, head),
        use_end=USE_END,
        **facts,
    )
