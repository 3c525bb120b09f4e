# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Fine-tuned heads: figures are those of the model's own logits; labels that do not fit are refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers

from hf_unimo import pipeline
from hf_unimo.data.benchmarks.rows import Benchmark, EntailmentRow, ImageLabelRow, Picture, TextRow, VqaRow
from hf_unimo.errors import BadInputError
from hf_unimo.evaluation.blocks import Blocks
from hf_unimo.evaluation.heads import evaluate_head
from hf_unimo.evaluation.measuring import Options
from hf_unimo.evaluation.metrics.classification import classification_metrics
from hf_unimo.evaluation.metrics.regression import regression_metrics
from hf_unimo.evaluation.metrics.vqa import VARIANTS, vqa_accuracy, vqa_scores
from modeling_tests.evaluation import models
from modeling_tests.evaluation.test_captioning_evaluator import lettered, stirred


ANSWERS = ("yes", "no", "two", "a cat")
CLASSES = ("entailment", "neutral", "contradiction")
OPTIONS = Options(samples=20, block_size=4)


def pictures(number, broken=()):
    cells = models.Cells(b"broken" if row in broken else models.png(models.picture(row)) for row in range(number))
    return [Picture(f"{row}.png", None, cells, row, "image") for row in range(number)]


def named(names) -> dict:
    label2id = {name: index for index, name in enumerate(names)}
    return {"id2label": dict(enumerate(names)), "label2id": label2id, "num_labels": len(names)}


def questions(broken=(), people=10) -> Benchmark:
    rows = [
        VqaRow(
            f"q{number}",
            number,
            f"{number} what?",
            picture,
            tuple(ANSWERS[(number + person // 3) % 4].upper() for person in range(people)),
            answer_type=("number", "other")[number % 2],
        )
        for number, picture in enumerate(pictures(6, broken))
    ]
    return Benchmark("questions", "val", "vqa", tuple(rows), {})


def logits(model, processor, images=None, texts=None, pairs=None):
    inputs = {}
    if texts is not None:
        inputs |= processor.tokenizer(texts, pairs, padding=True, return_tensors="pt")
    if images is not None:
        inputs |= processor.image_processor(images=images, return_tensors="pt")
    with torch.inference_mode():
        return model(**inputs).logits.numpy()


def figures(result) -> dict[str, float]:
    return {name: figure.value for name, figure in result.figures.items()}


@pytest.mark.parametrize(
    "build",
    [lambda **names: models.unimo2("Unimo2ForVisualQuestionAnswering", **names),
     lambda **names: models.vilt("ViltForQuestionAnswering", **names)],
    ids=["unimo2", "vilt"],
)  # fmt: skip
def test_question_answering(build):
    model, processor = build(**named(ANSWERS))
    data = questions(broken=(2,))
    result = evaluate_head("vqa", model, processor, data, batch_size=2, options=OPTIONS)
    rows = [row for number, row in enumerate(data) if number != 2]
    found = logits(model, processor, [row.image.open() for row in rows], [row.question for row in rows]).argmax(1)
    scores = vqa_scores([ANSWERS[answer] for answer in found], [row.answers for row in rows])
    types = np.array([row.answer_type for row in rows])
    assert figures(result) == pytest.approx(
        {
            "vqa_accuracy": scores.mean(),
            "vqa_accuracy (number)": scores[types == "number"].mean(),
            "vqa_accuracy (other)": scores[types == "other"].mean(),
        }
    )
    assert result.protocol.metric_variant == "official" and result.protocol.rows == 5
    assert [failure["id"] for failure in result.failures] == ["q2"]
    assert "100.0 % of the questions" in result.notes[0]


@pytest.mark.parametrize("variant", VARIANTS)
def test_types_of_questions(variant):
    """As far as the data name them; in `v1` by the last leave-one-out value alone."""
    model, processor = models.unimo2("Unimo2ForVisualQuestionAnswering", **named(ANSWERS))
    data = questions()
    kinds = ("what is", "what is", "how many", None, "how many", "how many")
    rows = tuple(replace(row, question_type=kind) for row, kind in zip(data, kinds))
    rows = (replace(rows[0], answer_type=None), *rows[1:])
    # Answers that v1, too, leaves as they are, so that some are right.
    rows = tuple(replace(row, answers=tuple(answer.lower() for answer in row.answers)) for row in rows)
    result = evaluate_head("vqa", model, processor, replace(data, rows=rows), metric_variant=variant, options=OPTIONS)
    found = logits(model, processor, [row.image.open() for row in data], [row.question for row in data]).argmax(1)
    predictions, answers = [ANSWERS[answer] for answer in found], [row.answers for row in rows]
    expected = {"vqa_accuracy": vqa_scores(predictions, answers, variant).mean()}
    for given, prefix in (("answer_type", ""), ("question_type", "question type: ")):
        named_rows = [number for number, row in enumerate(rows) if getattr(row, given)]
        by_type = vqa_accuracy(
            [predictions[row] for row in named_rows],
            [answers[row] for row in named_rows],
            **{f"{given}s": [getattr(rows[row], given) for row in named_rows]},
            variant=variant,
        )
        for kind, value in by_type[f"vqa_accuracy_per_{given}"].items():
            expected[f"vqa_accuracy ({prefix}{kind})"] = value
    assert figures(result) == pytest.approx(expected) and len(expected) == 5
    assert result.figures["vqa_accuracy (question type: how many)"].low is not None
    assert result.protocol.metric_variant == variant


def test_answers_of_one_person_and_with_weights():
    model, processor = models.unimo2("Unimo2ForVisualQuestionAnswering", **named(ANSWERS))
    data = questions(people=1)
    found = logits(model, processor, [row.image.open() for row in data], [row.question for row in data]).argmax(1)
    result = evaluate_head("vqa", model, processor, data, options=OPTIONS)
    right = [ANSWERS[answer].upper() == row.answers[0] for answer, row in zip(found, data)]
    assert figures(result)["exact_match"] == pytest.approx(np.mean(right))
    soft = tuple(replace(row, answers=(), soft_answers=(("YES", 1.0), ("A CAT", 0.25))) for row in data)
    result = evaluate_head("vqa", model, processor, replace(data, rows=soft), options=OPTIONS)
    weights = np.array([1.0, 0.0, 0.0, 0.25])
    assert figures(result)["soft_accuracy"] == pytest.approx(weights[found].mean())
    with pytest.raises(BadInputError, match="weights to others"):
        evaluate_head("vqa", model, processor, replace(data, rows=(data.rows[0], *soft[1:])))


def test_answers_that_do_not_fit_are_refused():
    data = questions()
    unnamed = models.unimo2("Unimo2ForVisualQuestionAnswering", num_labels=4)
    with pytest.raises(BadInputError, match="4 answers have no names"):
        evaluate_head("vqa", *unnamed, data)
    strange = models.unimo2("Unimo2ForVisualQuestionAnswering", **named(("red", "blue")))
    with pytest.raises(
        BadInputError, match=r"vocabulary \(red, blue, \.\.\.\) has no answer to any of the 6 questions"
    ):
        evaluate_head("vqa", *strange, data)
    hidden = replace(data, rows=tuple(replace(row, answers=()) for row in data))
    with pytest.raises(BadInputError, match="hides the labels of 6 of 6 rows"):
        evaluate_head("vqa", *models.unimo2("Unimo2ForVisualQuestionAnswering", **named(ANSWERS)), hidden)
    with pytest.raises(BadInputError, match="metric variant is 'new'; accepted are official"):
        model = models.unimo2("Unimo2ForVisualQuestionAnswering", **named(ANSWERS))
        evaluate_head("vqa", *model, data, metric_variant="new")


def writer():
    """BLIP, whose random decoder writes letters, and how its own pipeline answers."""
    model, processor = models.blip("BlipForQuestionAnswering")
    stirred(model), lettered(processor)
    parts = {"tokenizer": processor.tokenizer, "image_processor": processor.image_processor}
    return model, processor, pipeline("vqa", model, **parts)


def asked(ask, people=10, broken=(), **settings) -> tuple[Benchmark, list[str]]:
    """Questions of several lengths, with what the pipeline answers, one by one, among people's answers."""
    data = questions(people=people)
    rows = [replace(row, question=row.question + "?" * (row.question_id % 3)) for row in data]
    found = [ask(row.image.open(), row.question, generate_kwargs=settings)[0]["answer"] for row in rows]
    rows = tuple(
        replace(row, image=picture, answers=tuple(found[(number + person // 3) % 6] for person in range(people)))
        for number, (row, picture) in enumerate(zip(rows, pictures(6, broken)))
    )
    return replace(data, rows=rows), found


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("settings", [{}, {"num_beams": 2, "max_new_tokens": 4}], ids=["greedy", "beams"])
def test_written_answers(variant, settings):
    model, processor, ask = writer()
    data, written = asked(ask, broken=(2,), **settings)
    assert len(set(written)) > 2
    data = replace(data, rows=(*data.rows[:5], replace(data[5], answers=("nobody",) * 10)))
    kept = [0, 1, 3, 4, 5]
    scores = vqa_scores([written[row] for row in kept], [data[row].answers for row in kept], variant)
    for batch_size in (1, 4):
        result = evaluate_head(
            "vqa", model, processor, data, generation=settings, metric_variant=variant, batch_size=batch_size,
            options=OPTIONS,
        )  # fmt: skip
        assert figures(result)["vqa_accuracy"] == pytest.approx(scores.mean()) and 0 < scores.mean() < 1
    protocol = result.protocol
    assert protocol.scoring == "generated answer" and protocol.metric_variant == variant
    fixed = {"do_sample": False, "num_return_sequences": 1}
    assert protocol.generation == {"num_beams": 1, "max_new_tokens": 30} | settings | fixed
    assert [failure["id"] for failure in result.failures] == ["q2"] and not result.notes


def test_written_answers_of_one_person_and_with_weights():
    model, processor, ask = writer()
    data, written = asked(ask, people=1)
    data = replace(data, rows=(replace(data[0], answers=("nothing",)), *data.rows[1:]))
    result = evaluate_head("vqa", model, processor, data, options=OPTIONS)
    assert figures(result)["exact_match"] == pytest.approx(5 / 6)
    soft = tuple(
        replace(row, answers=(), soft_answers=((f"The {answer}!", (row.question_id + 1) / 6), ("x", 1.0)))
        for row, answer in zip(data, written)
    )
    result = evaluate_head("vqa", model, processor, replace(data, rows=soft), options=OPTIONS)
    assert figures(result)["soft_accuracy"] == pytest.approx(3.5 / 6)


def test_an_answer_that_is_forced():
    model, processor = models.blip("BlipForQuestionAnswering")
    with torch.no_grad():
        (letter,) = processor.tokenizer("y", add_special_tokens=False)["input_ids"]
        model.text_decoder.cls.predictions.decoder.bias[letter] = 1e4
    data = questions()
    data = replace(data, rows=tuple(replace(row, answers=("yyy",) * 10) for row in data))
    for length, accuracy in ((3, 1.0), (2, 0.0)):
        generation = {"max_new_tokens": length}
        result = evaluate_head("vqa", model, processor, data, generation=generation, options=OPTIONS)
        assert figures(result)["vqa_accuracy"] == accuracy


def test_stopped_writing_goes_on(tmp_path, monkeypatch):
    model, processor, ask = writer()
    data, _ = asked(ask)
    whole = evaluate_head("vqa", model, processor, data, options=OPTIONS)
    generate, calls = type(model).generate, []

    def counted(self, **inputs):
        calls.append(len(inputs["input_ids"]))
        if sum(calls) > 4:
            raise KeyboardInterrupt
        return generate(self, **inputs)

    monkeypatch.setattr(type(model), "generate", counted)
    options = replace(OPTIONS, blocks=Blocks(tmp_path, {}))
    with pytest.raises(KeyboardInterrupt):
        evaluate_head("vqa", model, processor, data, options=options)
    calls.clear()
    assert evaluate_head("vqa", model, processor, data, options=options) == whole
    assert sum(calls) == 2  # four of six were stored
    with pytest.raises(KeyboardInterrupt):  # other settings start anew
        evaluate_head("vqa", model, processor, data, options=options, generation={"max_new_tokens": 2})


def test_how_answers_cannot_be_written():
    model, processor = models.blip("BlipForQuestionAnswering")
    for generation, said in (
        ({"beams": 3}, "unknown setting: 'beams'"),
        ({"num_beams": 0}, "num_beams 0; accepted are integers from 1 on"),
        ({"max_new_tokens": 40}, "max_new_tokens 40; the model's positions accept 1 to 39"),
        ({"official_beam_search": True}, "BlipForQuestionAnswering accepts that of transformers"),
    ):
        with pytest.raises(BadInputError, match=said):
            evaluate_head("vqa", model, processor, questions(), generation=generation)


def entailments(names=CLASSES) -> Benchmark:
    rows = tuple(
        EntailmentRow(str(number), picture, f"{number} hypothesis", number % 3)
        for number, picture in enumerate(pictures(6))
    )
    return Benchmark("snli-ve", "dev", "entailment", rows, {}, names)


def test_classes_are_matched_by_name():
    order = ("Contradiction", "Entailment", "Neutral")
    model, processor = models.unimo2("Unimo2ForImageTextClassification", **named(order))
    data = entailments()
    result = evaluate_head("entailment", model, processor, data, options=OPTIONS)
    found = logits(model, processor, [row.image.open() for row in data], [row.hypothesis for row in data]).argmax(1)
    expected = classification_metrics(found, np.array([[1, 2, 0][row.label] for row in data]))
    assert figures(result) == pytest.approx(expected)
    assert result.figures["accuracy"].chance == 1 / 3 and not result.notes
    unnamed = models.unimo2("Unimo2ForImageTextClassification")
    (note,) = evaluate_head("entailment", *unnamed, data, options=OPTIONS).notes
    assert "does not name its classes" in note


def test_labels_that_do_not_fit_are_refused():
    model, processor = models.unimo2("Unimo2ForImageTextClassification", **named(("yes", "neutral", "no")))
    with pytest.raises(
        BadInputError, match="label 'entailment', which is not in the model's label map; accepted are yes"
    ):
        evaluate_head("entailment", model, processor, entailments())
    unnamed = models.unimo2("Unimo2ForImageTextClassification", num_labels=2)
    with pytest.raises(BadInputError, match="has 3 classes and the model 2 without names"):
        evaluate_head("entailment", *unnamed, entailments())
    with pytest.raises(BadInputError, match="has the label 2; accepted are the model's classes, 0 to 1"):
        evaluate_head("entailment", *unnamed, entailments(None))
    with pytest.raises(BadInputError, match="cannot do the task 'vqa'; it can do: retrieval, "):
        evaluate_head("vqa", model, processor, questions())
    with pytest.raises(BadInputError, match="is for vqa; the task 'entailment' accepts rows of EntailmentRow"):
        evaluate_head("entailment", model, processor, questions())
    with pytest.raises(BadInputError, match="unknown: 'captioning' was given, the nearest known is "):
        evaluate_head("captioning", *models.unimo2("Unimo2ForConditionalGeneration"), questions())


def test_image_classification_of_any_model():
    torch.manual_seed(0)
    config = transformers.ViTConfig(**models.ENCODER, image_size=16, patch_size=4, **named(("b", "a")))
    model = transformers.ViTForImageClassification(config).eval()
    processor = transformers.ViTImageProcessorPil(size=models.SIZE)
    rows = tuple(ImageLabelRow(str(number), picture, number % 2) for number, picture in enumerate(pictures(6)))
    data = Benchmark("folder", "test", "image-classification", rows, {}, ("a", "b"))
    result = evaluate_head("image-classification", model, processor, data, batch_size=4, options=OPTIONS)
    with torch.inference_mode():
        inputs = processor(images=[row.image.open() for row in rows], return_tensors="pt")
        found = model(**inputs).logits.argmax(1).numpy()
    assert figures(result)["accuracy"] == pytest.approx(np.mean(found == np.array([1, 0] * 3)))
    assert result.protocol.max_text_length is None and result.protocol.image_size == models.SIZE


def texts(task, labels, pair="second") -> Benchmark:
    rows = tuple(TextRow(str(number), f"{number} first", pair, label) for number, label in enumerate(labels))
    return Benchmark("glue", "validation", task, rows, {}, ("no", "yes") if task == "text-classification" else None)


def test_text_classification_and_regression(caplog):
    model, processor = models.unimo2("Unimo2ForSequenceClassification", num_labels=2)
    data = texts("text-classification", [0, 1, 1, 0, 1])
    result = evaluate_head("text-classification", model, processor, data, options=OPTIONS)
    found = logits(model, processor, None, [row.text for row in data], [row.text_pair for row in data])
    assert figures(result) == pytest.approx(classification_metrics(found.argmax(1), np.array([0, 1, 1, 0, 1])))
    model, processor = models.unimo2("Unimo2ForSequenceClassification", num_labels=1)
    data = texts("text-regression", [0.0, 1.5, 2.0, 5.0, 1.0], pair=None)
    # One batch as below: logits of a random model lie so close together that their last bits show in a correlation.
    result = evaluate_head("regression", model, processor, data, options=replace(OPTIONS, block_size=len(data)))
    found = logits(model, processor, None, [row.text for row in data])[:, 0]
    assert figures(result) == pytest.approx(regression_metrics(found, np.array([0.0, 1.5, 2.0, 5.0, 1.0])))
    with pytest.raises(BadInputError, match="is for text-classification; the task 'regression' accepts"):
        evaluate_head("regression", model, processor, texts("text-classification", [0, 1]))
    with pytest.raises(BadInputError, match="hides the labels of 1 of 2 rows"):
        evaluate_head("regression", model, processor, texts("text-regression", [None, 1.0]))
    for values, said in (
        ([1.0, float("nan"), float("inf")], "2 values that are NaN or infinite among 3"),
        ([-1.0] * 3, "the value -1 in all of its 3 rows; a correlation needs different ones"),
    ):
        with pytest.raises(BadInputError, match=said):
            evaluate_head("regression", model, processor, texts("text-regression", values))
    assert not caplog.records


def test_empty_and_long_texts(caplog):
    model, processor = models.unimo2("Unimo2ForSequenceClassification", num_labels=2)
    data = texts("text-classification", [0, 1])
    with pytest.raises(BadInputError, match="1 empty texts among 2"):
        evaluate_head(
            "text-classification",
            model,
            processor,
            replace(data, rows=(replace(data.rows[0], text=" "), data.rows[1])),
        )
    long = replace(data, rows=(replace(data.rows[0], text="a" * 100), data.rows[1]))
    result = evaluate_head("text-classification", model, processor, long, options=OPTIONS)
    assert result.protocol.truncated_texts == 1 and len(caplog.records) == 1


@pytest.mark.parametrize("with_images", [False, True])
def test_masked_words_do_not_depend_on_batches(with_images):
    model, processor = models.unimo2("Unimo2ForMaskedLM")
    data = models.gallery(broken=(1,)) if with_images else texts("text-classification", [None] * 7)
    results = [
        evaluate_head(
            "masked-words", model, processor, data, batch_size=size, options=Options(samples=5, block_size=size + 1)
        )
        for size in (1, 5)
    ]
    first, second = map(figures, results)
    assert first == pytest.approx(second, rel=1e-4)
    assert 0 <= first["accuracy"] <= first["top5_accuracy"] <= 1 and first["masked_loss"] > 0
    assert results[0].protocol.texts == (11 if with_images else 7)
    assert len(results[0].failures) == (3 if with_images else 0)
    another = evaluate_head("masked-words", model, processor, data, options=Options(samples=5, seed=1))
    assert figures(another)["masked_loss"] != first["masked_loss"]


def test_the_loss_of_hidden_words_is_that_of_the_model():
    model, processor = models.unimo2("Unimo2ForMaskedLM")
    data = texts("text-classification", [None])
    result = evaluate_head("masked-words", model, processor, data, options=OPTIONS)
    inputs = processor.tokenizer("0 first second", return_tensors="pt")
    assert "replaced by the mask token: 2" in result.protocol.scoring  # 15 % of 14
    losses = []
    for first in range(1, 15):
        for second in range(1, first):
            places = [first, second]
            masked = inputs["input_ids"].clone()
            masked[0, places] = processor.tokenizer.mask_token_id
            labels = torch.full_like(masked, -100)
            labels[0, places] = inputs["input_ids"][0, places]
            with torch.inference_mode():
                losses.append(model(input_ids=masked, labels=labels).loss.item())
    assert min(abs(loss - figures(result)["masked_loss"]) for loss in losses) < 1e-5
