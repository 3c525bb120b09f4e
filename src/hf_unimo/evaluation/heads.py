# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Scores of fine-tuned heads: question answering, entailment, NLVR2, classification, regression, masked words."""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import PreTrainedModel

from ..data.benchmarks.rows import (
    Benchmark,
    EntailmentRow,
    ImageLabelRow,
    Nlvr2Row,
    RetrievalRow,
    Row,
    TextRow,
    VqaRow,
)
from ..data.schedule import random_state
from ..errors import BadInputError, unknown_name
from ..retrieval.adapters import Texts, preprocessing
from .adapters import check_task
from .bootstrap import Figure
from .captioning import block_name, generate_arguments, generation_settings
from .measuring import (
    Options,
    check_texts,
    count_truncated,
    finish,
    intervals,
    padded_lengths,
    run_rows,
    start_protocol,
)
from .metrics.classification import classification_metrics
from .metrics.regression import regression_metrics
from .metrics.vqa import FEWEST_ANNOTATORS, VARIANTS, process_answer, vqa_scores, vqa_type_scores
from .protocol import Result


ROWS: dict[str, tuple[type[Row], ...]] = {
    "vqa": (VqaRow,),
    "entailment": (EntailmentRow,),
    "nlvr2": (Nlvr2Row,),
    "image-classification": (ImageLabelRow,),
    "text-classification": (TextRow,),
    "regression": (TextRow,),
    "masked-words": (TextRow, RetrievalRow),
}
"""Task -> the rows that it takes."""

MASKED_SHARE = 0.15
"""Of the words of a text, at least one."""


@dataclass(frozen=True)
class Item:
    """What a head sees of a row; parts that it has not are None."""

    image: Image.Image | None = None
    text: str | None = None
    text_pair: str | None = None
    second_image: Image.Image | None = None


def evaluate_head(
    task: str,
    model: PreTrainedModel,
    processor: Any,
    data: Benchmark,
    *,
    metric_variant: str = "official",
    generation: Mapping[str, Any] | None = None,
    batch_size: int = 32,
    options: Options | None = None,
) -> Result:
    """
    Scores a model with a head of its own.

    Args:
        task (`str`): `"vqa"` (accuracy of the highest answer, or of the one that the model writes, over all questions
            and for each type of answer and of question that the data name; with fewer than four annotators exact match
            after the same processing),
            `"entailment"`, `"image-classification"`, `"text-classification"` (accuracy, macro F1, Matthews),
            `"nlvr2"` (accuracy, and where the data have groups the share of sentences that are right for all their
            pairs of images; the interval draws sentences), `"regression"` (Pearson, Spearman) or `"masked-words"`
            (see [`evaluate_masked`]).
        model: In evaluation mode, on its device.
        processor: Of the model.
        data ([`Benchmark`]): Rows of the kind that `ROWS` says.
        metric_variant (`str`, defaults to `"official"`): Of question answering, see
            [`~hf_unimo.evaluation.metrics.vqa.vqa_scores`].
        generation (`dict`, *optional*): How a model writes its answers, see
            [`~hf_unimo.evaluation.captioning.generation_settings`]. Greedy, unless its generation config has beams.
        batch_size (`int`, defaults to 32): Rows of a forward pass.
        options ([`Options`], *optional*): How it runs.

    Raises:
        BadInputError: If the model or the data are not for the task, labels are hidden or not those of the model,
            texts are empty, a setting of the generation is not accepted, or no row can be used.
    """
    options = options or Options()
    check_task(task, model, processor)
    _check_rows(task, data)
    head = _Head(model, processor, batch_size)
    if task == "masked-words":
        return evaluate_masked(head, data, options)
    data.require_labels()
    items = [_texts(row) for row in data]
    first = [text for text, _ in items if text is not None]
    truncated, lengths = 0, None
    if first:
        check_texts(first, data)
        pairs = [pair or "" for _, pair in items] if any(pair for _, pair in items) else None
        assert head.texts is not None
        truncated = count_truncated(head.texts, first, pairs)
        lengths = padded_lengths(model, head.texts, first, pairs)
    # Before the long part: these refuse labels and settings that do not fit.
    scorer = _scorer(task, model, data, metric_variant)
    writer = _Writer(head, generation or {}) if _writes(task, model) else None
    name, function = (task, head.logits) if writer is None else (block_name(task, writer.settings), writer.answers)
    found, kept, failed = run_rows(name, data, _read, function, options, lengths)
    figures = scorer(found, kept, options)
    scoring = "value of the head" if task == "regression" else "highest logit of the head"
    protocol = start_protocol(
        data,
        options,
        model,
        head.images,
        head.texts if first else None,
        rows=len(kept),
        truncated_texts=truncated,
        scoring=scoring if writer is None else "generated answer",
        generation={} if writer is None else writer.settings,
        metric_variant=metric_variant if task == "vqa" else None,
    )
    failures = [(data[number].id, reason) for number, reason in failed]
    return finish(task, model, options, protocol, figures, failures, scorer.notes)


class _Head:
    """Logits of rows."""

    def __init__(self, model: Any, processor: Any, batch_size: int):
        self.model, self.batch_size = model, batch_size
        self.images, self.texts = preprocessing(model, processor)

    @torch.inference_mode()
    def logits(self, items: Sequence[Item]) -> np.ndarray:
        """`(items, labels)`, float32."""
        found = []
        for start in range(0, len(items), self.batch_size):
            found.append(self.model(**self._inputs(items[start : start + self.batch_size])).logits.float().cpu())
        return torch.cat(found).numpy()

    def _inputs(self, items: Sequence[Item]) -> dict[str, torch.Tensor]:
        inputs: dict[str, torch.Tensor] = {}
        if items[0].text is not None:
            assert self.texts is not None
            pairs = [item.text_pair or "" for item in items] if any(item.text_pair for item in items) else None
            inputs |= self.texts([item.text or "" for item in items], pairs)
        if items[0].image is not None:
            assert self.images is not None
            given = [image for item in items for image in (item.image, item.second_image) if image is not None]
            pixels = self.images(given)
            if items[0].second_image is not None:
                pixels = {name: values.unflatten(0, (-1, 2)) for name, values in pixels.items()}
            inputs |= pixels
        return inputs


class _Writer:
    """
    Answers that a model writes: those of `BlipForQuestionAnswering`.

    Args:
        head ([`_Head`]): Its preprocessing.
        generation (`dict`): See [`evaluate_head`].
    """

    def __init__(self, head: _Head, generation: Mapping[str, Any]):
        assert head.texts is not None  # questions have been counted
        self.head, self.tokenizer = head, head.texts.tokenizer
        self.settings = generation_settings(head.model, generation, head.texts.max_length)
        self._given = generate_arguments(head.model, self.settings)

    @torch.inference_mode()
    def answers(self, items: Sequence[Item]) -> np.ndarray:
        """`(items,)`, texts."""
        found: list[str] = []
        for start in range(0, len(items), self.head.batch_size):
            found += self._batch(items[start : start + self.head.batch_size])
        return np.array(found, dtype=np.str_)

    def _batch(self, items: Sequence[Item]) -> list[str]:
        inputs = self.head._inputs(items)
        pixel_values, words = inputs["pixel_values"].to(self.head.model.dtype), inputs["attention_mask"].bool()
        written = [""] * len(items)
        # The decoder looks at a question's padding, too: only questions of one length share a batch.
        for length in words.sum(1).unique():
            rows = (words.sum(1) == length).nonzero()[:, 0]
            input_ids = inputs["input_ids"][rows][words[rows]].view(len(rows), -1)
            sequences = self.head.model.generate(pixel_values=pixel_values[rows], input_ids=input_ids, **self._given)
            answers = self.tokenizer.batch_decode(sequences, skip_special_tokens=True)
            for row, answer in zip(rows.tolist(), answers):
                written[row] = " ".join(answer.split())
        return written


def _writes(task: str, model: PreTrainedModel) -> bool:
    return task == "vqa" and model.can_generate()


def _texts(row: Row) -> tuple[str | None, str | None]:
    """The first and the second, as far as there are any."""
    first, second, *_ = (*row.texts, None, None)
    return first, second


def _read(row: Row) -> Item:
    text, pair = _texts(row)
    images = [picture.open() for picture in row.pictures]
    return Item(images[0] if images else None, text, pair, images[1] if len(images) > 1 else None)


def _check_rows(task: str, data: Benchmark) -> None:
    if task not in ROWS:
        raise BadInputError(f"The task of a head is unknown: {unknown_name(task, ROWS)}")
    numbers = data.task == "text-regression"
    if not all(isinstance(row, ROWS[task]) for row in data) or (
        task in ("text-classification", "regression") and numbers != (task == "regression")
    ):
        accepted = " or ".join(kind.__name__ for kind in ROWS[task])
        kind = " with numbers" if task == "regression" else " with classes" if task == "text-classification" else ""
        raise BadInputError(
            f"Data {data.name!r} is for {data.task}; the task {task!r} accepts rows of {accepted}{kind}."
        )


# ---------------------------------------------------------------------------------------------------------------------
# From logits to figures
# ---------------------------------------------------------------------------------------------------------------------


def _scorer(task: str, model: PreTrainedModel, data: Benchmark, variant: str) -> Any:
    if task == "vqa":
        return _Answers(None if _writes(task, model) else model.config, data, variant)
    if task == "nlvr2":
        return _Sentences(model.config, data)
    return _Values(data) if task == "regression" else _Classes(model.config, data)


class _Classes:
    """Classes of the data as those of the model."""

    def __init__(self, config: Any, data: Benchmark):
        self.notes: list[str] = []
        labels = _labels(data)
        self.class_ids = self._class_ids(config, data, labels)
        self.labels = self.class_ids[labels]

    def _class_ids(self, config: Any, data: Benchmark, labels: list[Any]) -> np.ndarray:
        """Class of the model for each class of the data."""
        number = config.num_labels
        if data.label_names is None:
            outside = sorted(label for label in set(labels) if not (isinstance(label, int) and 0 <= label < number))
            if outside:
                raise BadInputError(
                    f"Data {data.name!r} has the label {outside[0]!r}; accepted are the model's classes, 0 to "
                    f"{number - 1}."
                )
            return np.arange(number)
        if _unnamed(config):
            if len(data.label_names) != number:
                raise BadInputError(
                    f"Data {data.name!r} has {len(data.label_names)} classes and the model {number} without names; "
                    "accepted is the same number, or a model that names its classes in `label2id`."
                )
            self.notes.append("The model does not name its classes: they count as those of the data, in their order.")
            return np.arange(number)
        known = {str(name).lower(): int(index) for name, index in config.label2id.items()}
        outside = [name for name in data.label_names if name.lower() not in known]
        if outside:
            raise BadInputError(
                f"Data {data.name!r} has the label {outside[0]!r}, which is not in the model's label map; accepted "
                f"are {', '.join(map(str, list(config.label2id)[:20]))}."
            )
        return np.array([known[name.lower()] for name in data.label_names])

    def __call__(self, logits: np.ndarray, kept: np.ndarray, options: Options) -> dict[str, Figure]:
        predictions, labels = logits.argmax(1), self.labels[kept]
        most_frequent = np.unique(labels, return_counts=True)[1].max() / len(labels)

        def statistic(rows: np.ndarray) -> dict[str, float]:
            with warnings.catch_warnings():  # of samples that hold one class only
                warnings.simplefilter("ignore", UserWarning)
                return classification_metrics(predictions[rows], labels[rows])

        return intervals(statistic, len(kept), options, {"accuracy": float(most_frequent)})


class _Sentences(_Classes):
    """True or false, of two pictures; a sentence comes with several pairs of them."""

    def __init__(self, config: Any, data: Benchmark):
        if config.num_labels != 2:
            raise BadInputError(f"The model has {config.num_labels} classes; the task 'nlvr2' accepts False and True.")
        super().__init__(config, data)
        repeated = [name for name, times in Counter(row.id for row in data).items() if times > 1]
        if repeated:
            raise BadInputError(
                f"In data {data.name!r} the identifier {repeated[0]!r} comes more than once; one row for each is "
                "accepted."
            )
        named = [row.group for row in data if row.group is not None]
        if named and len(named) < len(data):
            raise BadInputError(
                f"Data {data.name!r} names the group of {len(named)} of {len(data)} rows; accepted are all or none."
            )
        # Rows of no group are drawn one by one.
        self.grouped, self.groups = bool(named), np.array(named or [row.id for row in data])

    def __call__(self, logits: np.ndarray, kept: np.ndarray, options: Options) -> dict[str, Figure]:
        """
        What [`~hf_unimo.evaluation.metrics.nlvr2.nlvr2_metrics`] gives, by counts of each sentence: the bootstrap
        draws sentences, with repetition.
        """
        true_class = self.class_ids[1]
        predictions, labels = logits.argmax(1) == true_class, self.labels[kept] == true_class
        _, group = np.unique(self.groups[kept], return_inverse=True)
        size = np.bincount(group)
        if self.grouped:
            self.notes.append(f"Consistency is over {len(size)} sentences, which the intervals draw.")

        def figures(predictions: np.ndarray, drawn: np.ndarray) -> dict[str, float]:
            right = np.bincount(group, weights=predictions == labels)
            found = {"accuracy": float(right[drawn].sum() / size[drawn].sum())}
            return found | ({"consistency": float((right == size)[drawn].mean())} if self.grouped else {})

        most_frequent = np.full(len(labels), 2 * labels.sum() >= len(labels))
        chance = figures(most_frequent, np.arange(len(size)))
        return intervals(partial(figures, predictions), len(size), options, chance)


class _Values:
    """Numbers."""

    def __init__(self, data: Benchmark):
        self.notes: list[str] = []
        self.labels = np.array(_labels(data), dtype=np.float64)
        infinite = (~np.isfinite(self.labels)).sum()
        if infinite:
            raise BadInputError(
                f"Data {data.name!r} has {infinite} values that are NaN or infinite among {len(self.labels)}; "
                "accepted are numbers."
            )
        if np.ptp(self.labels) == 0:
            raise BadInputError(
                f"Data {data.name!r} has the value {self.labels[0]:g} in all of its {len(self.labels)} rows; a "
                "correlation needs different ones."
            )

    def __call__(self, logits: np.ndarray, kept: np.ndarray, options: Options) -> dict[str, Figure]:
        predictions, labels = logits[:, 0], self.labels[kept]
        regression_metrics(predictions, labels)  # refuses what has no correlation at all

        def statistic(rows: np.ndarray) -> Mapping[str, float]:
            # A sample of few rows may hold one value only: it has no correlation and does not count.
            return {} if np.ptp(labels[rows]) == 0 else regression_metrics(predictions[rows], labels[rows])

        return intervals(statistic, len(kept), options)


class _Answers:
    """Answers against those of people: of a model's vocabulary, or, without `config`, written ones."""

    def __init__(self, config: Any | None, data: Benchmark, variant: str):
        if variant not in VARIANTS:
            raise BadInputError(f"The metric variant is {variant!r}; accepted are {', '.join(VARIANTS)}.")
        self.rows, self.variant = list(data), variant
        self.vocabulary = None if config is None else self._vocabulary(config)
        self.notes = [] if self.vocabulary is None else [self._coverage(self.vocabulary, data)]
        people = {min(len(row.answers), FEWEST_ANNOTATORS) for row in self.rows}  # from four on, one can be left out
        self.kind = (
            "vqa_accuracy" if people == {FEWEST_ANNOTATORS} else "exact_match" if 0 not in people else "soft_accuracy"
        )
        if self.kind == "soft_accuracy" and not all(row.soft_answers for row in self.rows):
            raise BadInputError(
                f"Data {data.name!r} has people's answers to some questions and weights to others; accepted is one "
                "of them for all."
            )

    def _vocabulary(self, config: Any) -> list[str]:
        if _unnamed(config):
            raise BadInputError(
                f"The model's {config.num_labels} answers have no names (LABEL_0, ...), so they cannot be compared "
                "with people's; accepted is a model with its answer vocabulary in `id2label`."
            )
        return [str(config.id2label[index]) for index in range(config.num_labels)]

    def _coverage(self, answers: list[str], data: Benchmark) -> str:
        """A note of how many questions can be answered."""
        vocabulary = {process_answer(answer, self.variant) for answer in answers}
        covered = [
            any(process_answer(answer, self.variant) in vocabulary for answer in _given(row)) for row in self.rows
        ]
        if not any(covered):
            raise BadInputError(
                f"The model's answer vocabulary ({', '.join(answers[:5])}, ...) has no answer to any of the "
                f"{len(self.rows)} questions of {data.name!r}; accepted is a vocabulary that fits the data."
            )
        return (
            f"Of {100 * np.mean(covered):.1f} % of the questions an answer is in the model's vocabulary of "
            f"{len(answers)}."
        )

    def __call__(self, found: np.ndarray, kept: np.ndarray, options: Options) -> dict[str, Figure]:
        rows = [self.rows[row] for row in kept]
        vocabulary = self.vocabulary
        answers = found.tolist() if vocabulary is None else [vocabulary[answer] for answer in found.argmax(1)]
        scores = of_types = self._scores(answers, rows)
        if self.kind == "vqa_accuracy":
            of_types = vqa_type_scores(answers, [row.answers for row in rows], self.variant)
        types = _types(rows)

        def statistic(drawn: np.ndarray) -> dict[str, float]:
            found = {self.kind: float(scores[drawn].mean())}
            for names, type_of in types:
                sizes = np.bincount(type_of[drawn], minlength=len(names))
                sums = np.bincount(type_of[drawn], weights=of_types[drawn], minlength=len(names))
                found |= {
                    f"{self.kind} ({name})": float(total / size)
                    for name, total, size in zip(names, sums, sizes)  # those without a type come after the names
                    if size
                }
            return found

        return intervals(statistic, len(kept), options)

    def _scores(self, predictions: list[str], rows: list[VqaRow]) -> np.ndarray:
        if self.kind == "vqa_accuracy":
            return vqa_scores(predictions, [row.answers for row in rows], self.variant)
        processed = [process_answer(answer, self.variant) for answer in predictions]
        if self.kind == "exact_match":
            return np.array(
                [
                    float(answer in {process_answer(given, self.variant) for given in row.answers})
                    for answer, row in zip(processed, rows)
                ]
            )
        return np.array(
            [
                max(
                    [weight for given, weight in row.soft_answers if process_answer(given, self.variant) == answer]
                    or [0.0]
                )
                for answer, row in zip(processed, rows)
            ]
        )


def _labels(data: Benchmark) -> list[Any]:
    return [row.label for row in data]


def _types(rows: list[VqaRow]) -> list[tuple[list[str], np.ndarray]]:
    """Of answers and of questions the types that the rows name, and the number of each row's; of none the last."""
    found = []
    for what, given in (
        ("", [row.answer_type for row in rows]),
        ("question type: ", [row.question_type for row in rows]),
    ):
        names = sorted({kind for kind in given if kind})
        numbers = {name: number for number, name in enumerate(names)}
        found.append(
            ([what + name for name in names], np.array([numbers.get(kind or "", len(names)) for kind in given]))
        )
    return found


def _given(row: VqaRow) -> list[str]:
    return [*row.answers, *(answer for answer, _ in row.soft_answers)]


def _unnamed(config: Any) -> bool:
    """Whether the configuration has the names that transformers gives where there are none."""
    return all(str(name) == f"LABEL_{index}" for index, name in config.id2label.items())


# ---------------------------------------------------------------------------------------------------------------------
# Masked words
# ---------------------------------------------------------------------------------------------------------------------


def evaluate_masked(head: _Head, data: Benchmark, options: Options) -> Result:
    """
    Recovers hidden words: of each text 15 % of the tokens, at least one, drawn by seed and row, become the mask token.
    Of images with captions each caption is a text, next to its image.

    Returns:
        [`Result`] with `accuracy` and `top5_accuracy` over the hidden tokens, and `masked_loss`, their mean
        cross-entropy in nats. The interval draws texts.
    """
    rows = _captioned(data)
    texts = [text for _, text in rows]
    check_texts(texts, data)
    if head.texts is None or head.texts.tokenizer.mask_token_id is None:
        raise BadInputError("The model's tokenizer has no mask token; masked words need one.")
    truncated = count_truncated(head.texts, texts)
    with_images = any(row.pictures for row, _ in rows)

    def read(number: int) -> _Hidden:
        row, text = rows[number]
        image = row.pictures[0].open() if row.pictures else None
        return _Hidden(Item(image, text), random_state(options.seed, number, "masked words"))

    lengths = padded_lengths(head.model, head.texts, texts)
    compute = partial(_masked_sums, head)
    sums, kept, failed = run_rows("masked-words", range(len(rows)), read, compute, options, lengths)

    def statistic(drawn: np.ndarray) -> dict[str, float]:
        hidden, right, top5, loss = sums[drawn].sum(0)
        return {"accuracy": right / hidden, "top5_accuracy": top5 / hidden, "masked_loss": loss / hidden}

    figures = intervals(statistic, len(kept), options)
    protocol = start_protocol(
        data,
        options,
        head.model,
        head.images if with_images else None,
        head.texts,
        rows=len(kept),
        texts=len(kept),
        truncated_texts=truncated,
        scoring=f"{MASKED_SHARE:.0%} of the tokens, at least one, replaced by the mask token: {int(sums[:, 0].sum())}",
    )
    failures = [(rows[number][0].id, reason) for number, reason in failed]
    return finish("masked-words", head.model, options, protocol, figures, failures)


@dataclass(frozen=True)
class _Hidden:
    """A text and what draws its hidden tokens."""

    item: Item
    random: np.random.RandomState


def _captioned(data: Benchmark) -> list[tuple[Row, str]]:
    """Every text with its row."""
    rows: list[tuple[Row, str]] = []
    for row in data:
        texts = row.captions if isinstance(row, RetrievalRow) else [" ".join(filter(None, (row.text, row.text_pair)))]
        for text in texts:
            if not isinstance(text, str):
                raise BadInputError(f"Data {data.name!r} has captions as token ids; accepted are captions as texts.")
            rows.append((row, text))
    return rows


@torch.inference_mode()
def _masked_sums(head: _Head, items: list[_Hidden]) -> np.ndarray:
    """For each text the numbers of hidden tokens, of right ones, of those among the first five, and summed loss."""
    found = []
    for start in range(0, len(items), head.batch_size):
        part = items[start : start + head.batch_size]
        inputs = head._inputs([hidden.item for hidden in part])
        hidden = _draw_mask(head.texts, inputs["input_ids"], [hidden.random for hidden in part])
        words = inputs["input_ids"][hidden]
        assert head.texts is not None
        inputs["input_ids"] = inputs["input_ids"].masked_fill(hidden, head.texts.tokenizer.mask_token_id)
        logits = head.model(**inputs).logits[hidden].float()
        best = logits.topk(min(5, logits.shape[1]), dim=1).indices == words[:, None]
        loss = torch.nn.functional.cross_entropy(logits, words, reduction="none")
        values = torch.stack([torch.ones_like(loss), best[:, 0].float(), best.any(1).float(), loss], dim=1)
        row_of = hidden.nonzero()[:, 0]
        found.append(
            torch.zeros(len(part), 4, device=loss.device).index_add_(0, row_of, values).double().cpu().numpy()
        )
    return np.concatenate(found)


def _draw_mask(texts: Texts | None, input_ids: torch.Tensor, randoms: Sequence[np.random.RandomState]) -> torch.Tensor:
    assert texts is not None
    special = torch.tensor(texts.tokenizer.all_special_ids)
    words = ~torch.isin(input_ids.cpu(), special)
    hidden = torch.zeros_like(words)
    for row, random in enumerate(randoms):
        places = words[row].nonzero()[:, 0].numpy()
        if not len(places):
            raise ValueError("the text has no token that could be hidden")
        number = max(1, round(MASKED_SHARE * len(places)))
        hidden[row, random.permutation(places)[:number]] = True
    return hidden.to(input_ids.device)
