# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""What each pipeline says is what the model says, of our heads and of transformers', and a batch changes nothing."""

import re
from itertools import product

import pytest
import torch

from hf_unimo import Unimo2Processor, pipeline
from hf_unimo.errors import BadInputError

from . import models
from .models import LABELS, TEXTS, ours, pictures, theirs


QUESTIONS = ["Unimo2ForVisualQuestionAnswering", "ViltForQuestionAnswering", "BlipForQuestionAnswering"]
CAPTIONS = ["Unimo2ForConditionalGeneration", "BlipForConditionalGeneration"]
PAIRS = [
    "Unimo2ForImageTextRetrieval",
    "ViltForImageAndTextRetrieval",
    "BlipForImageTextRetrieval",
    "BridgeTowerForImageAndTextRetrieval",
]
ENTAILMENT = ["Unimo2ForImageTextClassification"]
ROWS = [
    *(("image-question-answering", name) for name in QUESTIONS),
    *(("image-captioning", name) for name in CAPTIONS),
    *(("image-text-matching", name) for name in PAIRS),
    *(("visual-entailment", name) for name in ENTAILMENT),
]


def parts_of(name):
    return ours(name) if name.startswith("Unimo2") else theirs(name)


def numbers(answer) -> list:
    """All that an answer says, in order, whatever it is made of."""
    if isinstance(answer, dict):
        answer = list(answer.values())
    return [one for part in answer for one in numbers(part)] if isinstance(answer, list) else [answer]


def same(found, expected):
    found, expected = numbers(found), numbers(expected)
    assert [one for one in found if isinstance(one, str)] == [one for one in expected if isinstance(one, str)]
    floats = [[one for one in part if isinstance(one, float)] for part in (found, expected)]
    assert floats[0] == pytest.approx(floats[1], abs=1e-5)


def direct(pipe, image, text, **kwargs):
    """The model's own output for one pair."""
    words = pipe.tokenizer(text, return_tensors="pt")
    words = {name: words[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        return pipe.model(**words, **pipe.image_processor(image, return_tensors="pt"), **kwargs)


@pytest.mark.parametrize(("task", "name"), ROWS, ids=lambda one: one)
def test_a_batch_answers_as_one_by_one(task, name):
    writes = {"generate_kwargs": {"max_new_tokens": 6}} if "Blip" in name and "Answer" in name else {}
    if task == "image-captioning":
        writes = {"generate_kwargs": {"max_new_tokens": 6}}
    pipe = pipeline(task, **parts_of(name), **writes)
    images, texts = pictures(4), [*TEXTS, "is it"]
    alone = [pipe(image, text) for image, text in zip(images, texts)]
    assert len({str(one) for one in alone}) > 1  # it is worth comparing
    same(pipe(images, texts, batch_size=4), alone)
    same(pipe(images, texts, batch_size=3), alone)  # the last batch is not full
    same(pipe(images, texts), alone)


@pytest.mark.parametrize(("task", "name"), [ROWS[0], ROWS[3], ROWS[5]], ids=lambda one: one)
def test_a_list_is_batched_by_length(task, name):
    """Answers keep its order; an iterator is answered as it comes."""
    writes = {"generate_kwargs": {"max_new_tokens": 6}} if task == "image-captioning" else {}
    pipe = pipeline(task, **parts_of(name), **writes)
    lengths = [1, 12, 3, 11, 2, 10, 4]
    texts, image = ["a" * length for length in lengths], pictures(1)[0]
    alone = [pipe(image, text) for text in texts]
    read, batch = [], pipe._batch

    def spied(rows):
        read.append([len(row["input_ids"]) for row in rows])
        return batch(rows)

    pipe._batch = spied
    same(pipe(image, texts, batch_size=3), alone)
    widths = [width for batch in read for width in batch]
    assert widths == sorted(widths, reverse=True) and len(set(widths)) == 7
    read.clear()
    same(list(pipe(image, iter(texts), batch_size=1)), alone)
    assert [width for batch in read for width in batch] != widths and len(read) == 7


@pytest.mark.parametrize("name", QUESTIONS[:2])
def test_answers_are_the_classifiers(name):
    pipe = pipeline("vqa", **parts_of(name))
    image = pictures(1)[0]
    scores = direct(pipe, image, TEXTS[0]).logits[0].sigmoid()
    found = pipe(image, TEXTS[0])
    assert {one["answer"]: one["score"] for one in found} == pytest.approx(
        {LABELS[index]: scores[index].item() for index in LABELS}
    )
    assert found == sorted(found, key=lambda one: -one["score"])
    same(pipe(image, TEXTS[0], top_k=2), found[:2])  # ViLT shuffles its patches: equal, but not to the last bit
    same(pipe(image, TEXTS[0], top_k=99), found)


@pytest.mark.parametrize("name", [QUESTIONS[2], CAPTIONS[1]])
def test_blip_writes_what_its_generate_writes(name):
    task = "visual-question-answering" if "Question" in name else "image-to-text"
    pipe = pipeline(task, **theirs(name))
    image = pictures(1)[0]
    words = {name: pipe.tokenizer(TEXTS[0], return_tensors="pt")[name] for name in ("input_ids", "attention_mask")}
    sequence = pipe.model.generate(
        **words, **pipe.image_processor(image, return_tensors="pt"), max_new_tokens=6, num_beams=2
    )
    text = pipe.tokenizer.decode(sequence[0], skip_special_tokens=True)
    (found,) = pipe(image, TEXTS[0], generate_kwargs={"max_new_tokens": 6, "num_beams": 2})
    assert list(found.values()) == [text]


def test_captions_are_those_of_generate():
    pipe = pipeline("image-to-text", **ours(CAPTIONS[0]))
    image = pictures(1)[0]
    pixels = pipe.image_processor(image, return_tensors="pt")
    sequences = pipe.model.generate(**pixels, max_new_tokens=5, num_beams=3, num_return_sequences=2)
    texts = pipe.tokenizer.batch_decode(sequences, skip_special_tokens=True)
    settings = {"max_new_tokens": 5, "num_beams": 3, "num_return_sequences": 2}
    found = pipe([image, image], generate_kwargs=settings, batch_size=2)
    assert found == [[{"generated_text": text.strip()} for text in texts]] * 2


@pytest.mark.parametrize("name", CAPTIONS)
def test_a_prompt_is_continued_as_far_as_there_is_room(name):
    pipe = pipeline("image-captioning", **parts_of(name))
    for prompt in ("a red", "a b c d e f g h i j k l m n o p q r s t"):
        (found,) = pipe(pictures(1)[0], prompt)
        assert found["generated_text"].startswith(prompt[:20])
    assert pipe({"image": pictures(1)[0], "prompt": "a red"}) == pipe(pictures(1)[0], "a red")


def test_a_prompt_of_ours_ends_open():
    """No separator between the prompt and what follows."""
    pipe = pipeline("image-captioning", **ours(CAPTIONS[0]))
    words = pipe.tokenizer("a red", return_tensors="pt")["input_ids"][:, :-1]
    pixels = pipe.image_processor(pictures(1)[0], return_tensors="pt")
    sequence = pipe.model.generate(input_ids=words, **pixels, max_new_tokens=8)
    (found,) = pipe(pictures(1)[0], "a red", generate_kwargs={"max_new_tokens": 8})
    assert found["generated_text"] == pipe.tokenizer.decode(sequence[0], skip_special_tokens=True).strip()


@pytest.mark.parametrize("name", PAIRS)
def test_matching_is_the_heads(name):
    pipe = pipeline("image-text-matching", **parts_of(name))
    image = pictures(1)[0]
    output = direct(pipe, image, TEXTS[2])
    logits = output["itm_logits" if "Unimo2" in name else "itm_score" if "Blip" in name else "logits"]
    probability = logits.sigmoid()[0, 0] if "Vilt" in name else logits.softmax(-1)[0, 1]
    found = pipe(image, TEXTS[2])
    assert found["score"] == pytest.approx(probability.item(), abs=1e-6)
    assert torch.tensor(found["logit"]).sigmoid().item() == pytest.approx(found["score"])


def test_entailment_is_the_heads():
    pipe = pipeline("visual-entailment", **ours(ENTAILMENT[0]))
    image = pictures(1)[0]
    scores = direct(pipe, image, TEXTS[0]).logits[0].softmax(-1)
    found = pipe(image, TEXTS[0])
    assert {one["label"]: one["score"] for one in found} == pytest.approx(
        {LABELS[index]: scores[index].item() for index in LABELS}
    )
    assert pipe(image, TEXTS[0], top_k=1) == found[:1]
    several = pipeline("visual-entailment", **ours(ENTAILMENT[0], problem_type="multi_label_classification"))
    total = sum(one["score"] for one in several(image, TEXTS[0]))
    assert abs(total - 1) > 1e-3
    with pytest.raises(BadInputError, match="at least 2 classes"):
        pipeline("visual-entailment", **ours(ENTAILMENT[0], num_labels=1, id2label={0: "how much"}))


# ---------------------------------------------------------------------------------------------------------------------
# Retrieval
# ---------------------------------------------------------------------------------------------------------------------


def contrast(pipe, images, texts):
    """Scores (images, texts) of the model's own forward."""
    words = pipe.tokenizer(texts, padding=True, return_tensors="pt")
    words = {name: words[name] for name in ("input_ids", "attention_mask")}
    pixels = pipe.image_processor(images, return_tensors="pt")
    with torch.no_grad():
        if "Blip" in type(pipe.model).__name__:
            return pipe.model(**words, **pixels, use_itm_head=False).itm_score
        logits = pipe.model(**words, **pixels).logits_per_image
    if "CLIP" in type(pipe.model).__name__:
        return logits / pipe.model.logit_scale.exp()
    return logits * pipe.model.unimo2.contrastive.temperature.clamp(0.001, 0.5)


@pytest.mark.parametrize("name", [PAIRS[0], PAIRS[2], "CLIPModel"])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_retrieval_ranks_by_contrast(name, batch_size):
    pipe = pipeline("image-text-retrieval", **parts_of(name))
    images = pictures(4)
    expected = contrast(pipe, images, TEXTS)
    found = pipe(images, TEXTS, query="text", top_k=2, batch_size=batch_size)
    values, places = expected.t().topk(2)
    assert [[hit["index"] for hit in row] for row in found] == places.tolist()
    assert [hit["score"] for row in found for hit in row] == pytest.approx(values.flatten().tolist(), abs=1e-5)
    assert found[0][0]["image"] is images[places[0, 0]]

    row = pipe(images[3], TEXTS, batch_size=batch_size)
    assert [hit["index"] for hit in row] == expected[3].argsort(descending=True).tolist()
    assert [hit["text"] for hit in row] == [TEXTS[hit["index"]] for hit in row]
    assert pipe(images, TEXTS[1])[0]["index"] == expected[:, 1].argmax()


@pytest.mark.parametrize("name", PAIRS)
def test_the_matching_head_ranks_pairs(name):
    pipe = pipeline("image-text-retrieval", **parts_of(name))
    images = pictures(4)
    pair_scores = []
    for image in images:
        output = direct(pipe, image, TEXTS[0])
        if "Unimo2" in name:
            pair_scores.append(output.logits.item())
        else:
            logits = (output.itm_score if "Blip" in name else output.logits)[0]
            pair_scores.append((logits[-1] - logits[0] if len(logits) == 2 else logits[0]).item())
    found = pipe(images, TEXTS[0], rerank=4, top_k=4, batch_size=2)
    assert [hit["score"] for hit in found] == pytest.approx(sorted(pair_scores, reverse=True), abs=1e-5)
    assert [pair_scores[hit["index"]] for hit in found] == pytest.approx([hit["score"] for hit in found], abs=1e-5)
    if name in (PAIRS[0], PAIRS[2]):  # only the best by contrast are looked at again
        best = contrast(pipe, images, TEXTS[:1])[:, 0].topk(2).indices.tolist()
        assert {hit["index"] for hit in pipe(images, TEXTS[0], rerank=2, top_k=2)} == set(best)


def test_each_side_is_encoded_once():
    pipe = pipeline("image-text-retrieval", **ours(PAIRS[0]))
    rows = {"image": 0, "text": 0}

    def count(side):
        return lambda module, arguments, output: rows.update({side: rows[side] + len(output.last_hidden_state)})

    pipe.model.unimo2.vision_model.register_forward_hook(count("image"))
    pipe.model.unimo2.text_model.register_forward_hook(count("text"))
    pipe(pictures(4), TEXTS, query="image", batch_size=2)
    assert rows == {"image": 4, "text": 3}


@pytest.mark.parametrize("name", [PAIRS[0], PAIRS[2]])
@pytest.mark.parametrize("query", ["image", "text"])
def test_what_is_reranked_is_encoded_once(name, query):
    """Many candidates, of which those that are out of reach are forgotten on the way."""
    pipe = pipeline("image-text-retrieval", **parts_of(name))
    one = {"image": pictures(1)[0], "text": "a red cat"}[query]
    words = ["".join(pair) + " cat" + "s" * (number % 5) for number, pair in enumerate(product("abcdefghi", repeat=2))]
    others = words if query == "image" else pictures(81)
    given = (one, others) if query == "image" else (others, one)
    expected = pipe(*given, rerank=len(others), top_k=len(others))
    plain = pipe(*given, top_k=5)
    rows = {"image": 0, "text": 0}
    vision = pipe.model.vision_model if "Blip" in name else pipe.model.unimo2.vision_model

    def count(side):
        return lambda module, arguments, output: rows.update({side: rows[side] + len(output.last_hidden_state)})

    vision.register_forward_hook(count("image"))
    if "Unimo2" in name:
        pipe.model.unimo2.text_model.register_forward_hook(count("text"))
    found = pipe(*given, rerank=5, top_k=5, batch_size=8)
    assert rows["image"] == (1 if query == "image" else 81)
    assert "Blip" in name or rows["text"] == (81 if query == "image" else 1)
    assert {hit["index"] for hit in found} == {hit["index"] for hit in plain}
    scores = {hit["index"]: hit["score"] for hit in expected}
    assert [hit["score"] for hit in found] == pytest.approx([scores[hit["index"]] for hit in found], abs=1e-5)
    assert [hit["score"] for hit in found] == sorted((hit["score"] for hit in found), reverse=True)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((None, "a"), {}, "`images` is missing"),
        (([], "a"), {}, "`images` holds no candidates"),
        ((["x.png"], ["a"]), {}, "each of `images` and `texts` is a list; expected .* `query`"),
        (("x.png", "a"), {}, "neither of `images` and `texts` is a list"),
        (("x.png", "a"), {"query": "text"}, "`images` holds no candidates"),
        ((["x.png"], "a"), {"query": "word"}, "`query` is 'word'"),
        ((["x.png"], "a"), {"top_k": 0}, "`top_k` is 0; expected a whole number"),
        ((["x.png"], "a"), {"rerank": 2, "top_k": 3}, "`rerank` is 2; expected 0 or at least `top_k`, which is 3"),
        ((["x.png"], "a"), {"rerank": True}, "`rerank` is True; expected a whole number"),
        ((["x.png"], "a"), {"rerank": 10}, "a CLIPModel has no matching head"),
    ],
)
def test_what_retrieval_refuses(arguments, options, message):
    pipe = pipeline("image-text-retrieval", **theirs("CLIPModel"))
    with pytest.raises(BadInputError, match=message):
        pipe(*arguments, **options)


# ---------------------------------------------------------------------------------------------------------------------
# Models from folders
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("vqa", QUESTIONS[0]),
        ("image-to-text", CAPTIONS[0]),
        ("image-text-retrieval", PAIRS[0]),
        ("visual-entailment", ENTAILMENT[0]),
        ("image-text-matching", PAIRS[1]),
        ("image-text-matching", PAIRS[2]),  # transformers' nearest Auto class would load a BlipModel
    ],
)
def test_a_folder_is_enough(tmp_path, task, name):
    parts = parts_of(name)
    for part in parts.values():
        part.save_pretrained(tmp_path)
    image, text = pictures(1)[0], TEXTS[0]
    loaded = pipeline(task, str(tmp_path))
    assert type(loaded.model).__name__ == name
    images = [image] if task == "image-text-retrieval" else image
    same(loaded(images, text), pipeline(task, **parts)(images, text))


def test_a_saved_pipeline_loads_again(tmp_path):
    pipe = pipeline("vqa", **ours(QUESTIONS[0]))
    pipe.save_pretrained(tmp_path)
    assert not list(tmp_path.glob("*.py"))
    same(pipeline("vqa", str(tmp_path))(pictures(1)[0], TEXTS[0]), pipe(pictures(1)[0], TEXTS[0]))


def test_a_processor_serves_for_both_parts():
    parts = ours(QUESTIONS[0])
    processor = Unimo2Processor(parts["image_processor"], parts["tokenizer"])
    one, two = pipeline("vqa", parts["model"], processor=processor), pipeline("vqa", **parts)
    assert one(pictures(1)[0], TEXTS[0]) == two(pictures(1)[0], TEXTS[0])


def test_labels_must_be_as_many_as_the_classifiers():
    parts = ours(QUESTIONS[0])
    parts["model"].config.id2label = {0: "yes", 1: "no"}
    with pytest.raises(BadInputError, match=r"`config\.id2label` names 2 answers, but the classifier has 3"):
        pipeline("vqa", **parts)(pictures(1)[0], TEXTS[0])


def test_a_head_that_cannot_names_what_it_can():
    message = (
        "A Unimo2ForMaskedLM cannot do image-question-answering, which takes BlipForQuestionAnswering or "
        "ViltForQuestionAnswering or hf_unimo's ...ForVisualQuestionAnswering; it can do fill-mask."
    )
    with pytest.raises(BadInputError, match=re.escape(message)):
        pipeline("vqa", **ours("Unimo2ForMaskedLM"))
    parts = theirs("CLIPModel")
    with pytest.raises(BadInputError, match=r"it can do .*zero-shot-image-classification"):
        pipeline("image-text-matching", **parts)


def test_missing_parts_are_named():
    parts = ours(QUESTIONS[0])
    with pytest.raises(BadInputError, match="`tokenizer` is missing: image-question-answering needs one"):
        pipeline("vqa", parts["model"], image_processor=parts["image_processor"])
    with pytest.raises(BadInputError, match="`image_processor` is missing"):
        pipeline("vqa", parts["model"], tokenizer=models.our_tokenizer())
    with pytest.raises(BadInputError, match="`model` is missing"):
        pipeline("vqa")
