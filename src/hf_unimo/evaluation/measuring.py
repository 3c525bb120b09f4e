# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""What all evaluators share: their options, rows that fail without ending the run, and the start of a protocol."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from transformers import PreTrainedModel

from ..data.benchmarks.rows import Benchmark, TokenIds
from ..data.buckets import bucketed
from ..data.images import BadRowError
from ..errors import BadInputError
from ..files import public_text
from ..retrieval.adapters import Pictures, Texts
from ..retrieval.stages import all_or_one_by_one
from .blocks import Blocks
from .bootstrap import Figure, with_intervals
from .protocol import Protocol, Result, versions


logger = logging.getLogger(__name__)

RowT = TypeVar("RowT")
LEVEL = 0.95


@dataclass(kw_only=True)
class Options:
    """
    How an evaluation runs.

    Args:
        model_name (`str`): As the result names the model.
        blocks ([`Blocks`]): Keeps what is done; by default nothing is stored.
        block_size (`int`, defaults to 256): Rows of a block: what is lost at most if the run is stopped.
        batch_size (`int`, defaults to 32): Rows that are read at once.
        samples (`int`, defaults to 1000), seed (`int`, defaults to 0): Of the bootstrap; the seed also draws what a
            task draws.
        command (`str`): The command line that repeats the evaluation.
    """

    model_name: str = "model"
    blocks: Blocks = field(default_factory=Blocks)
    block_size: int = 256
    batch_size: int = 32
    samples: int = 1000
    seed: int = 0
    command: str = ""


def run_rows(
    name: str,
    rows: Sequence[RowT],
    read: Callable[[RowT], Any],
    function: Callable[[list[Any]], np.ndarray],
    options: Options,
    lengths: Sequence[int] | None = None,
) -> tuple[np.ndarray, np.ndarray, list[tuple[int, str]]]:
    """
    Reads rows and computes, block by block. A row that cannot be read, or that the preprocessing refuses, is left out.

    Args:
        name (`str`): Of the computation, see [`Blocks.run`].
        rows: At least one.
        read: From a row to what `function` takes; raises BadRowError if the row cannot be used.
        function: From what was read to an array with one entry for each.
        options ([`Options`]): How.
        lengths (*optional*): Of each row, see [`padded_lengths`]: within a block rows of similar length are computed
            together. Without them they are computed in their order.

    Returns:
        The entries of the rows that succeeded, the numbers of these rows, and number and reason of each that failed.

    Raises:
        BadInputError: If all rows fail.
    """

    def compute(start: int, stop: int) -> Mapping[str, np.ndarray]:
        values, kept, failed = [], [], []
        of_block = [0] * (stop - start) if lengths is None else lengths[start:stop]
        for batch in bucketed(of_block, options.batch_size):  # whole pictures are large: few are open at once
            items, numbers = [], []
            for number in (start + place for place in batch):
                try:
                    items.append(read(rows[number]))
                    numbers.append(number)
                except BadRowError as error:
                    failed.append((number, str(error)))
            found, refused = all_or_one_by_one(function, items)
            failed += [(numbers[place], reason) for place, reason in refused.items()]
            kept += [number for place, number in enumerate(numbers) if place not in refused]
            values += [part for part in found if len(part)]
        order = np.argsort(np.array(kept, dtype=np.int64))
        return {
            "values": np.concatenate(values)[order] if values else np.zeros(0, np.float32),
            "kept": np.array(kept, dtype=np.int64)[order],
            "failed": np.array([number for number, _ in sorted(failed)], dtype=np.int64),
            "reasons": np.array([reason for _, reason in sorted(failed)], dtype=np.str_),
        }

    found = options.blocks.run(name, len(rows), options.block_size, compute)
    failures = [(int(number), str(reason)) for number, reason in zip(found["failed"], found["reasons"])]
    if not len(found["kept"]):
        options.blocks.forget(name)  # pictures that are repaired shall be read again
        raise BadInputError(f"None of the {len(rows)} rows could be used; of the first: {failures[0][1]}.")
    return found["values"], found["kept"], failures


def check_texts(texts: Sequence[str], data: Benchmark) -> None:
    """Raises BadInputError, with the counts, if texts are empty."""
    empty = sum(not text.strip() for text in texts)
    if empty:
        raise BadInputError(
            f"Data {data.name!r} has {empty} empty texts among {len(texts)}; accepted are texts with at least one "
            "character that is no blank."
        )


def padded_lengths(
    model: PreTrainedModel,
    texts: Texts,
    first: Sequence[str] | Sequence[TokenIds],
    second: Sequence[str] | None = None,
) -> list[int] | None:
    """
    By what length rows are to be sorted into batches. None for a model that sees padding as the first implementation
    did (`official_padding`): there a batch decides the answers, so batches are those of the data's order.
    """
    if getattr(model.config, "official_padding", False):
        return None
    lengths = texts.lengths(first)
    if second is None:
        return lengths
    return [min(sum(pair), texts.max_length) for pair in zip(lengths, texts.lengths(second))]


def count_truncated(
    texts: Texts, first: Sequence[str] | Sequence[TokenIds], second: Sequence[str] | None = None
) -> int:
    """How many texts will be cut; says so once if there are any."""
    number = texts.count_too_long(first, second)
    if number:
        logger.warning(
            "%d of %d texts have more than %d tokens and are truncated.", number, len(first), texts.max_length
        )
    return number


def start_protocol(
    data: Benchmark,
    options: Options,
    model: PreTrainedModel,
    images: Pictures | None,
    texts: Texts | None,
    /,
    **more: Any,
) -> Protocol:
    """A protocol with all that does not depend on the task; `more` are the other fields."""
    size, steps = images.describe() if images is not None else ({}, {})
    bootstrap = {"samples": options.samples, "level": LEVEL, "unit": "queries"} if options.samples else {}
    return Protocol(
        dataset=data.name,
        split=data.split,
        split_hash=data.split_hash,
        data={key: value for key, value in data.describe().items() if key in ("counts", "protocol")},
        image_size=size,
        preprocessing=steps,
        max_text_length=None if texts is None else texts.max_length,
        label_names=list(data.label_names or ()),
        precision=str(model.dtype).removeprefix("torch."),
        versions=versions(),
        seed=options.seed,
        bootstrap=bootstrap,
        command=options.command,
        **more,
    )


def finish(
    task: str,
    model: PreTrainedModel,
    options: Options,
    protocol: Protocol,
    figures: dict[str, Figure],
    failures: Sequence[tuple[str, str]] = (),
    notes: Sequence[str] = (),
) -> Result:
    """The result; `failures` are ids and reasons."""
    return Result(
        task=task,
        model=options.model_name,
        model_class=type(model).__name__,
        figures=figures,
        protocol=protocol,
        failures=[{"id": row, "reason": public_text(reason)} for row, reason in failures],
        notes=list(notes),
    )


def intervals(
    statistic: Callable[..., Mapping[str, float]],
    number: int | Sequence[int],
    options: Options,
    chance: Mapping[str, float] | None = None,
) -> dict[str, Figure]:
    """[`with_intervals`] with the options of an evaluation."""
    return with_intervals(statistic, number, samples=options.samples, seed=options.seed, level=LEVEL, chance=chance)
