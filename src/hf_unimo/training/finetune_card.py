# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The model card that a fine-tuning leaves."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml
from transformers import PreTrainedModel

from ..card import PLACE, USE_BEGIN, USE_END, card_metadata, family_paragraph, first_paragraph, local_usage
from ..evaluation.protocol import versions
from ..files import public_command, public_path
from .finetune_trainer import PRIMARY, FinetuneTrainer
from .report import describe_hardware


if TYPE_CHECKING:
    from .finetune import Finetuning


PIPELINES = {
    "retrieval": ("image-text-retrieval", 'pipe("photo.jpg", ["a cat", "a dog"])'),
    "captioning": ("image-captioning", 'pipe("photo.jpg")'),
    "vqa": ("image-question-answering", 'pipe("photo.jpg", "what is this?")'),
    "entailment": ("visual-entailment", 'pipe("photo.jpg", "this is a cat")'),
    "nlvr2": ("nlvr2", 'pipe(["left.jpg", "right.jpg"], "both show a cat")'),
    "image-classification": ("image-classification", 'pipe("photo.jpg")'),
    "linear-probe": ("image-classification", 'pipe("photo.jpg")'),
    "text-classification": ("text-classification", 'pipe("what a film")'),
    "text-regression": ("text-classification", 'pipe("what a film", function_to_apply="none")'),
    "masked-lm": ("fill-mask", 'pipe(f"a red {pipe.tokenizer.mask_token}")'),
}
"""Task -> pipeline, and how it is called."""

_CARD = """---
{metadata}---

# {title}

`{head}`: {head_doc}

{family}

It has {num_parameters:,} parameters and was fine-tuned for {task} in {steps:,} steps, from {start}.

## Use

{use_begin}
```python
{usage}
```
{use_end}

```python
import hf_unimo

pipe = hf_unimo.pipeline("{pipeline}", model="{place}")
{call}
```

## Data

{data}

{curve}## How to repeat it

{command}

Seed {seed}; {hardware}; {versions}.

<details><summary>Configuration of the run</summary>

````yaml
{config}
````

</details>

## Limits

* One run with one seed: another seed gives other numbers.
* The model has learnt the biases of its data; none of them was measured here.
* Under which license it stands depends on its data and on what it started from; whoever shares it should say so.
"""


def finetune_card(
    run: "Finetuning", trainer: FinetuneTrainer, model: PreTrainedModel, bad_rows: int, command: str
) -> str:
    """
    The card, without the section of figures, which [`~hf_unimo.evaluation.protocol.merge_into_card`] adds.

    Args:
        run ([`Finetuning`]): What was trained.
        trainer ([`FinetuneTrainer`]): After training.
        model (`PreTrainedModel`): What is saved.
        bad_rows (`int`): Rows that could not be used.
        command (`str`): The command line.
    """
    config, head = run.config, type(model)
    title = public_path(config.output)
    pipeline, call = PIPELINES[config.task.name]
    return _CARD.format(
        metadata=card_metadata(run.family, head, model_name=title).to_yaml() + "\n",
        title=title,
        head=head.__name__,
        head_doc=first_paragraph(head),
        family=family_paragraph(run.family),
        num_parameters=model.num_parameters(),
        task=config.task.name,
        steps=trainer.state.global_step,
        start=f"`{public_path(config.model.checkpoint)}`" if config.model.checkpoint else "random weights",
        use_begin=USE_BEGIN,
        usage=local_usage(run.family, head),
        use_end=USE_END,
        pipeline=pipeline,
        place=PLACE,
        call=call,
        data=_data(run, bad_rows),
        curve=_curve(trainer.state.log_history),
        command=f"```bash\n{public_command(command)}\n```" if command else "It was not started from a command line.",
        seed=config.seed,
        hardware=describe_hardware(trainer.args.device, trainer.args.world_size),
        versions=", ".join(f"{name} {version}" for name, version in versions().items()),
        config=yaml.safe_dump(_published(config.to_dict()), sort_keys=False).strip(),
    )


def _data(run: "Finetuning", bad_rows: int) -> str:
    rows = ["| Split | Data | Rows | SHA-256 of the row ids |", "|---|---|---|---|"]
    for name, data in run.splits.named().items():
        rows.append(f"| {name} | {data.name} | {len(data):,} | `{data.split_hash[:16]}` |")
    bad = [f"{bad_rows} training rows could not be read and were replaced by others."] if bad_rows else []
    return "\n".join([*rows, *(["", *bad] if bad else [])])


def _curve(history: Sequence[Mapping[str, float]]) -> str:
    """Figures on the validation split by step."""
    measured = [entry for entry in history if any(name.startswith("eval_") for name in entry)]
    if not measured:
        return ""
    names = [name for name in measured[0] if name.startswith("eval_") and name != f"eval_{PRIMARY}"][:4]
    lines = [
        "## On the validation split",
        "",
        f"| Step | {' | '.join(name.removeprefix('eval_') for name in names)} |",
        "|---" * (len(names) + 1) + "|",
    ]
    for entry in measured:
        figures = " | ".join(f"{entry[name]:.4g}" if name in entry else "-" for name in names)
        lines.append(f"| {entry['step']} | {figures} |")
    return "\n".join(lines) + "\n\n"


def _published(tree: Any) -> Any:
    """The configuration without folders of the machine."""
    if isinstance(tree, dict):
        return {name: _published(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [_published(value) for value in tree]
    return public_path(tree) if isinstance(tree, str) and "/" in tree else tree
