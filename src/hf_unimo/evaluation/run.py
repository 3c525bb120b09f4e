# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""One task, or several into a folder of results: which evaluator does it, and what is done of one that was stopped."""

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from ..data.benchmarks.rows import Benchmark
from ..errors import BadInputError
from ..retrieval.adapters import pair_adapter
from ..retrieval.digest import weights_digest
from .adapters import HEADS, check_task
from .blocks import Blocks
from .captioning import evaluate_captioning
from .heads import evaluate_head
from .measuring import Options
from .prompts import load_prompts
from .protocol import JSON_NAME, Result, merge_into_card, write_results
from .result_card import CARD_NAME, card_place, write_card
from .retrieval import evaluate_retrieval
from .zero_shot import PROBE_TASK, evaluate_linear_probe, evaluate_zero_shot
from .zero_shot import TASK as ZERO_SHOT_TASK


_BLOCKS = ".unfinished-evaluation"
"""Folder in the folder of results: what is done of an evaluation that has not ended."""


def evaluate_task(
    task: str,
    model: PreTrainedModel,
    processor: Any,
    data: Benchmark,
    *,
    options: Options | None = None,
    train: Benchmark | None = None,
    prompts: str | os.PathLike = "photo",
    top_k: int = 128,
    folds: int = 1,
    allow_repeated_captions: bool = False,
    vqa_variant: str = "official",
    generation: Mapping[str, Any] | None = None,
    caption_tokenizer: str = "rules",
    caption_metrics: Sequence[str] = (),
    predictions: str | os.PathLike | None = None,
) -> Result:
    """
    Measures a model at one task. A task looks at what it needs of the arguments below `options` and at nothing else.

    ```python
    data = open_words(["flickr30k=DATA", "split=val"], "retrieval")
    result = evaluate_task("retrieval", model, processor, data, options=Options(samples=0))
    result.figures["mean_recall"].value
    ```

    Args:
        task (`str`): A key of [`~hf_unimo.data.own_data.KINDS`].
        model: On its device. It is put into evaluation mode meanwhile.
        processor: Of the model.
        data ([`Benchmark`]): Rows of the task, e.g. of [`~hf_unimo.data.open_data.open_words`],
            [`~hf_unimo.data.open_data.open_tree`] or [`~hf_unimo.data.benchmarks.open_benchmark`].
        options ([`Options`], *optional*): How it runs. Its `batch_size` is also that of forward passes.
        train ([`Benchmark`], *optional*): `linear-probe`: what it learns from.
        prompts (defaults to `"photo"`): `zero-shot-classification`: see [`~hf_unimo.evaluation.prompts.load_prompts`].
        top_k (`int`, defaults to 128): `rerank`: candidates of a query that are ordered anew.
        folds (`int`, defaults to 1): Tasks of retrieval: galleries, over which figures are means; see
            [`~hf_unimo.evaluation.retrieval.evaluate_retrieval`].
        allow_repeated_captions (`bool`, defaults to False): Tasks of retrieval: whether captions may repeat where each
            image has one.
        vqa_variant (`str`, defaults to `"official"`): `vqa`: see [`~hf_unimo.evaluation.metrics.vqa.vqa_scores`].
        generation (`dict`, *optional*): `captioning`, and `vqa` where the model writes its answers: see
            [`~hf_unimo.evaluation.captioning.generation_settings`].
        caption_tokenizer (`str`, defaults to `"rules"`): `captioning`: of the metrics.
        caption_metrics (sequence of `str`): `captioning`: metrics beside the usual ones, `"meteor"`.
        predictions (*optional*): `captioning`: file for the captions.

    Returns:
        [`Result`]: Figures with intervals, and the protocol. What each task measures: docs/tasks.

    Raises:
        BadInputError: If the model or the data are not for the task, an argument is not accepted, or no row can be
            used; see the evaluators.
    """
    options = options or Options()
    check_task(task, model, processor)
    was_training = model.training
    model.eval()
    try:
        if task == "captioning":
            return evaluate_captioning(
                model,
                processor,
                data,
                generation=generation,
                tokenizer=caption_tokenizer,
                more_metrics=caption_metrics,
                predictions=predictions,
                batch_size=options.batch_size,
                options=options,
            )
        if task in HEADS:
            return evaluate_head(
                task,
                model,
                processor,
                data,
                metric_variant=vqa_variant,
                generation=generation,
                batch_size=options.batch_size,
                options=options,
            )
        adapter = pair_adapter(model, processor, options.batch_size)
        assert adapter is not None  # `check_task` has seen to it
        if task == ZERO_SHOT_TASK:
            prompt_set, templates = load_prompts(prompts)
            return evaluate_zero_shot(adapter, data, prompts=templates, prompt_set=prompt_set, options=options)
        if task == PROBE_TASK:
            if train is None:
                raise BadInputError("The linear probe was given no rows to learn from; accepted is data as `train`.")
            return evaluate_linear_probe(adapter, train, data, options=options)
        return evaluate_retrieval(
            adapter,
            data,
            task,
            top_k=top_k,
            folds=folds,
            allow_repeated=allow_repeated_captions,
            options=options,
        )
    finally:
        model.train(was_training)


def evaluate_tasks(
    data: Mapping[str, Benchmark],
    model: PreTrainedModel,
    processor: Any,
    folder: str | os.PathLike,
    *,
    options: Options,
    card: str | os.PathLike | None = None,
    train: Benchmark | None = None,
    prompts: str | os.PathLike = "photo",
    **settings: Any,
) -> tuple[list[Result], list[Path]]:
    """
    Measures a model at several tasks and writes `results.json` and `results.md`, where results of other tasks, data
    and models stay, and the model's card, see [`~hf_unimo.evaluation.result_card.card_place`]. If it is stopped,
    another call with the same arguments goes on where it stood.

    Args:
        data (`dict[str, Benchmark]`): Task -> its rows.
        model, processor: As for [`evaluate_task`].
        folder: Of results; made if it is missing. Captions are written into it, too.
        options ([`Options`]): How it runs. Of `blocks`, `progress` counts alone: they lie in `folder`.
        card (*optional*): A model card that gets the results of this model too, see
            [`~hf_unimo.evaluation.protocol.merge_into_card`].
        train, prompts, settings: As for [`evaluate_task`].

    Returns:
        The new results, and the files that were written.

    Raises:
        BadInputError: As of [`evaluate_task`], or if the folder is none, holds results of something else, or an
            unfinished evaluation that is not this one, or there is no such card, or the metadata of the folder's card
            cannot be read.
    """
    folder = Path(folder)
    missing = _missing_folders(folder)
    if card is not None and not Path(card).is_file():
        raise BadInputError(f"The card is {card}; accepted is a model card that exists.")
    for task in data:
        check_task(task, model, processor)
    earlier = _earlier_results(folder)
    asked_for = None if card is None else Path(card).resolve()
    own_card = None if asked_for == (folder / CARD_NAME).resolve() else card_place(folder, options.model_name)
    depends: dict[str, Any] = {
        "model": weights_digest(model),
        "training data": None if train is None else train.split_hash,
        "prompts": load_prompts(prompts),
        "seed": options.seed,
    }
    results: list[Result] = []
    try:
        for task, rows in data.items():
            place = folder / _BLOCKS / rows.split_hash[:16]
            blocks = Blocks(place, {**depends, "data": rows.split_hash}, options.blocks.progress)
            results.append(
                evaluate_task(
                    task,
                    model,
                    processor,
                    rows,
                    options=replace(options, blocks=blocks),
                    train=train,
                    prompts=prompts,
                    predictions=_captions_file(folder, options, rows),
                    **settings,
                )
            )
    except BadInputError:
        for made in (folder / _BLOCKS, *missing):
            if made.is_dir() and not any(made.iterdir()):
                made.rmdir()
        raise
    new = {_key(result) for result in results}
    kept = [old for old in earlier if _key(old) not in new]
    paths = write_results(folder, [*kept, *results])
    # The folder may hold results of other models, which are none of this one's card.
    of_model = [*(old for old in kept if old.model == options.model_name), *results]
    if own_card is not None:
        write_card(own_card, model, of_model)
        paths.append(own_card)
    if card is not None:
        merge_into_card(card, of_model)
        paths.append(Path(card))
    shutil.rmtree(folder / _BLOCKS, ignore_errors=True)
    return results, paths


def _missing_folders(folder: Path) -> list[Path]:
    """Those that are to be made, the innermost first."""
    missing = []
    for place in (folder, *folder.parents):
        if place.is_dir():
            break
        if place.exists():
            raise BadInputError(f"The folder of results is {folder}, but {place} is a file; accepted is a folder.")
        missing.append(place)
    return missing


def _key(result: Result) -> tuple[str, ...]:
    """Of results with the same key the newer one stays."""
    protocol = result.protocol
    return result.task, protocol.dataset, protocol.split, protocol.metric_variant or "", result.model


def _captions_file(folder: Path, options: Options, data: Benchmark) -> Path:
    """Beside the results, which may be of several models and data."""
    name = re.sub(r"[^\w.-]+", "-", f"captions-{options.model_name}-{data.name}-{data.split}")
    return folder / f"{name}.json"


def _earlier_results(folder: Path) -> list[Result]:
    """What an earlier evaluation left in the folder."""
    if not (folder / JSON_NAME).is_file():
        return []
    try:
        return [Result.from_dict(tree) for tree in json.loads((folder / JSON_NAME).read_bytes())]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInputError(
            f"{folder / JSON_NAME} holds no results of an evaluation; accepted is another folder for results."
        ) from error
