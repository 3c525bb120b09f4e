# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Rows of a task as batches: what is in them, what is drawn, what is encoded once, and a plain `Trainer` on them."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from transformers import Trainer, TrainingArguments

from hf_unimo import Unimo2ImageProcessorPil, Unimo2Tokenizer
from hf_unimo.data.augmentation import Augmentation
from hf_unimo.data.batches import Batches, train_loader
from hf_unimo.data.benchmarks.rows import Picture, RetrievalRow, TextRow, TokenCaptionRow, TokenIds
from hf_unimo.data.images import BadRowError
from hf_unimo.data.masking import IGNORED, WholeWordMasking
from hf_unimo.data.open_data import open_tree
from hf_unimo.data.schedule import Schedule, Source, row_generators
from hf_unimo.data.task_collators import (
    CaptioningCollator,
    GroupedRetrievalCollator,
    MaskedWordsCollator,
    RetrievalCollator,
    RowSource,
    TaskCollator,
    texts_of,
)
from hf_unimo.errors import BadInputError
from hf_unimo.training.tasks import TASKS
from modeling_tests.models.unimo2 import small
from modeling_tests.training import finetune_runs


SIZE = 16  # pixels, of the small models


@pytest.fixture(scope="module")
def tokenizer():
    return Unimo2Tokenizer.from_pretrained(finetune_runs.EMOJI / "tokenizer")


@pytest.fixture(scope="module")
def images():
    return Unimo2ImageProcessorPil(size=SIZE)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Task -> its training rows."""
    folder = tmp_path_factory.mktemp("rows")
    found = {}
    for name in ("retrieval", "captioning", "vqa", "entailment", "nlvr2", "image-classification", "masked-lm"):
        found[name] = open_tree(finetune_runs.splits(name, folder)["train"], TASKS[name].evaluation)
    return found


def generators(rows: int, step: int = 0):
    """As a run draws them."""
    return partial(row_generators, range(rows), 7, step)


def model(name: str, **overrides):
    """A small one with the words of the tokenizer."""
    text = small.ENCODER | {"vocab_size": 3000, "max_position_embeddings": 66}
    return small.model(name, text_config=text, **overrides)


def same(first: dict, second: dict) -> bool:
    assert first.keys() == second.keys()
    return all(torch.equal(torch.as_tensor(first[key]), torch.as_tensor(second[key])) for key in first)


# Classes, numbers, scores --------------------------------------------------------------------------------------------


def test_a_batch_has_what_its_rows_have(rows, tokenizer, images):
    collator = TaskCollator(tokenizer, images, target=lambda row: row.label, max_length=8)
    batch = collator(rows["entailment"][:3])
    assert batch["pixel_values"].shape == (3, 3, SIZE, SIZE) and batch["pixel_values"].dtype == torch.float32
    assert batch["input_ids"].shape == batch["attention_mask"].shape and batch["input_ids"].shape[1] <= 8
    assert batch["labels"].tolist() == [row.label for row in rows["entailment"][:3]]
    assert collator(rows["image-classification"][:2]).keys() == {"pixel_values", "labels"}
    assert collator(rows["nlvr2"][:3])["pixel_values"].shape == (3, 2, 3, SIZE, SIZE)
    scores = TaskCollator(tokenizer, images, target=lambda row: np.array([0.0, 0.5], np.float32))
    assert scores(rows["vqa"][:2])["labels"].tolist() == [[0.0, 0.5]] * 2
    assert "labels" not in TaskCollator(tokenizer, images)(rows["vqa"][:2])


def test_pixels_and_words_are_those_of_the_processors(rows, tokenizer, images):
    row = rows["entailment"][0]
    batch = TaskCollator(tokenizer, images)([row])
    expected = images(row.image.open(), return_tensors="pt")["pixel_values"]
    assert torch.equal(batch["pixel_values"], expected)
    assert batch["input_ids"].tolist() == tokenizer([row.hypothesis])["input_ids"]
    larger = TaskCollator(tokenizer, images, image_size=32)([row])
    assert larger["pixel_values"].shape[-2:] == (32, 32)


def test_numbers_are_floats_of_single_precision(tokenizer):
    collator = TaskCollator(tokenizer, None, target=lambda row: float(row.label))
    batch = collator([TextRow("0", "two words", None, 2.5), TextRow("1", "word", None, 1.0)])
    assert batch["labels"].dtype == torch.float32 and batch["labels"].tolist() == [2.5, 1.0]


def test_pairs_of_texts(tokenizer):
    pair, alone = TextRow("0", "a cat", "two dogs", 0), TextRow("1", "a house", None, 1)
    collator = TaskCollator(tokenizer, None)
    whole = tokenizer("a cat", "two dogs")["input_ids"]
    for rows in ([pair, alone], [alone, pair]):  # whichever comes first
        batch = collator(rows)
        both = batch["input_ids"][rows.index(pair)][batch["attention_mask"][rows.index(pair)] == 1].tolist()
        one = batch["input_ids"][rows.index(alone)][batch["attention_mask"][rows.index(alone)] == 1].tolist()
        assert both == whole and one == tokenizer("a house", "")["input_ids"]
    assert collator([alone])["input_ids"].tolist() == tokenizer(["a house"])["input_ids"]


def test_what_is_missing_is_named(rows, tokenizer, images):
    with pytest.raises(BadInputError, match="no image processor"):
        TaskCollator(tokenizer, None)(rows["vqa"][:1])
    with pytest.raises(BadInputError, match="no tokenizer"):
        TaskCollator(None, images)(rows["vqa"][:1])
    with pytest.raises(BadInputError, match="longest text has 2 tokens; accepted are integers from 3 on"):
        TaskCollator(tokenizer, images, max_length=2)
    with pytest.raises(BadInputError, match="image size is 0"):
        TaskCollator(tokenizer, images, image_size=0)


def test_a_picture_that_cannot_be_read_is_named_by_its_row(rows, tokenizer, images, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    row = replace(rows["entailment"][0], image=Picture("broken.png", str(tmp_path / "broken.png")))
    for read in (TaskCollator(tokenizer, images), lambda rows: RowSource(rows, "pairs").read(0, None)):
        with pytest.raises(BadRowError) as caught:
            read([row])
        assert caught.value.place == row.id
    with pytest.raises(BadRowError, match="pixels"):
        TaskCollator(tokenizer, images, max_image_pixels=4)([rows["entailment"][0]])


# Pictures that are encoded once --------------------------------------------------------------------------------------


def encoded(network) -> list[int]:
    """How many pictures each call of the vision encoder gets, from now on."""
    calls: list[int] = []
    network.unimo2.vision_model.register_forward_hook(
        lambda module, args, kwargs, output: calls.append((args or tuple(kwargs.values()))[0].shape[0]),
        with_kwargs=True,
    )
    return calls


@pytest.mark.parametrize(
    "task, name, options",
    [
        ("vqa", "Unimo2ForVisualQuestionAnswering", {"target": lambda row: np.array([0.0, 1.0, 0.5], np.float32)}),
        ("entailment", "Unimo2ForImageTextClassification", {"target": lambda row: row.label}),
        ("captioning", "Unimo2ForConditionalGeneration", {}),
        ("masked-lm", "Unimo2ForMaskedLM", {}),
    ],
)
def test_a_picture_of_several_rows_is_encoded_once(task, name, options, rows, tokenizer, images):
    if task == "masked-lm":
        picture = replace(rows["retrieval"][0], captions=("a cat", "two cats in the snow"), caption_ids=("a", "b"))
        data = replace(rows["retrieval"], rows=(picture, rows["retrieval"][1]))
        make = partial(MaskedWordsCollator, masking=WholeWordMasking.from_tokenizer(tokenizer, min_masked=0))
    else:
        make = CaptioningCollator if task == "captioning" else TaskCollator
        data = rows[task]
        if task == "entailment":  # about one picture each in this file
            data = replace(
                data, rows=tuple(replace(row, image=data[number // 2].image) for number, row in enumerate(data))
            )
    source = RowSource(data, "pairs", rows_per_image=2)
    groups = [source.read(item, np.random.RandomState(0)) for item in (0, 1)]
    assert len(groups[0].examples) == 2
    number = sum(len(group.examples) for group in groups)
    network = model(name).eval()
    calls, outputs = encoded(network), []
    for shares in (True, False):
        collator = make(tokenizer, images, share_images=shares, **options)
        batch = collator.batch("pairs", groups, generators(2), train=False)
        assert ("image_index" in batch) == shares
        assert len(batch["input_ids"]) == number and len(batch["pixel_values"]) == (2 if shares else number)
        outputs.append(network(**batch))
    assert calls == [2, number]
    torch.testing.assert_close(outputs[0].logits, outputs[1].logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(outputs[0].loss, outputs[1].loss, atol=1e-5, rtol=1e-5)


def test_rows_read_by_themselves_share_the_same_picture(rows, tokenizer, images):
    first, key = rows["vqa"][0], rows["vqa"][0].image.content_key()
    again = next(row for row in rows["vqa"][1:] if row.image.content_key() == key)
    other = next(row for row in rows["vqa"] if row.image.content_key() != key)
    collator = TaskCollator(tokenizer, images, share_images=True)
    batch = collator([first, other, again])
    assert batch["image_index"].tolist() == [0, 1, 0] and len(batch["pixel_values"]) == 2
    assert "image_index" not in collator([first, other])


def test_pictures_as_items(rows):
    source = RowSource(rows["vqa"], "pairs", rows_per_image=2)
    keys = {row.image.content_key() for row in rows["vqa"]}
    assert len(source) == len(keys) < len(rows["vqa"])
    largest = max(range(len(source)), key=lambda item: len(source.groups[item]))
    drawn = {
        tuple(example.row.id for example in source.read(largest, np.random.RandomState(seed)).examples)
        for seed in range(20)
    }
    assert all(len(set(ids)) == 2 for ids in drawn) and len(drawn) > 2
    again = source.read(largest, np.random.RandomState(3)), source.read(largest, np.random.RandomState(3))
    assert again[0].place == again[1].place and " " in again[0].place


def test_each_caption_of_a_picture_is_a_row_of_it(rows):
    row = rows["captioning"][0]
    source = RowSource(rows["captioning"], "pairs", rows_per_image=3)
    assert len(row.references) > 3 and len(source) == len(rows["captioning"])
    found = source.read(0, np.random.RandomState(0)).examples
    captions = [example.row.references for example in found]
    assert len(captions) == len(set(captions)) == 3
    assert all(len(one) == 1 and one[0] in row.references for one in captions)


# What is drawn -------------------------------------------------------------------------------------------------------


def test_captions_are_drawn_in_training_only(rows, tokenizer, images):
    data = rows["captioning"]
    retrieval = replace(
        data, rows=tuple(RetrievalRow(row.id, row.image, row.references, row.references) for row in data)
    )
    for collator, found in (
        (CaptioningCollator(tokenizer, images), data),
        (RetrievalCollator(tokenizer, images), retrieval),
    ):
        few = [RowSource(found, "pairs").read(item, None) for item in range(4)]
        batches = [collator.batch("pairs", few, generators(4, step)) for step in (0, 0, 1)]
        assert same(batches[0], batches[1])
        assert batches[0]["input_ids"].tolist() != batches[2]["input_ids"].tolist()
        first = collator.batch("pairs", few, generators(4, 1), train=False)
        words = tokenizer.batch_decode(first["input_ids"], skip_special_tokens=True)
        assert words == [texts_of(example.row)[0] for example in few]


def test_augmentation_is_of_training_pictures_and_by_their_generators(rows, tokenizer, images):
    few = [RowSource(rows["nlvr2"], "pairs").read(item, None) for item in range(2)]
    plain = TaskCollator(tokenizer, images)
    collator = TaskCollator(tokenizer, images, augmentation=Augmentation.contrastive())
    batches = [collator.batch("pairs", few, generators(2, step)) for step in (0, 0, 1)]
    assert same(batches[0], batches[1]) and not torch.equal(batches[0]["pixel_values"], batches[2]["pixel_values"])
    assert same(collator.batch("pairs", few, generators(2), train=False), plain(few))
    # A row alone is augmented as in the batch, the two pictures of it by draws of their own.
    second = collator.batch("pairs", few[1:], lambda name: generators(2)(name)[1:])
    assert torch.equal(second["pixel_values"][0], batches[0]["pixel_values"][1])
    twice = [replace(few[0], images=(few[0].images[0],) * 2)]
    left, right = collator.batch("pairs", twice, generators(1))["pixel_values"][0]
    assert not torch.equal(left, right)


def test_shared_pictures_are_augmented_by_the_draws_of_the_first_row(rows, tokenizer, images):
    row = RowSource(rows["vqa"], "pairs").read(0, None)
    shared = TaskCollator(tokenizer, images, augmentation=Augmentation.contrastive(), share_images=True)
    alone = shared.batch("pairs", [row], generators(1))
    batch = shared.batch("pairs", [row, replace(row)], generators(2))
    assert torch.equal(batch["pixel_values"], alone["pixel_values"]) and batch["image_index"].tolist() == [0, 0]


def test_hidden_words(rows, tokenizer, images):
    masking = WholeWordMasking.from_tokenizer(tokenizer, min_masked=0, ratio=0.3)
    collator = MaskedWordsCollator(tokenizer, images, masking=masking)
    few = [RowSource(rows["masked-lm"], "text").read(item, None) for item in range(6)]
    batches = [collator.batch("text", few, generators(6, step)) for step in (0, 0, 1)]
    assert same(batches[0], batches[1]) and not same({"a": batches[0]["labels"]}, {"a": batches[2]["labels"]})
    batch = batches[0]
    hidden = batch["labels"] != IGNORED
    assert hidden.any(dim=1).all() and "pixel_values" not in batch
    whole = batch["input_ids"].where(~hidden, batch["labels"])
    words = tokenizer([example.row.text for example in few], padding=True, return_tensors="pt")["input_ids"]
    assert torch.equal(whole, words) and (batch["input_ids"] == tokenizer.mask_token_id).any()


def test_both_texts_of_a_pair_are_read():
    assert texts_of(TextRow("0", "a cat", "two dogs", None)) == ("a cat two dogs",)


@pytest.mark.parametrize("name", ["retrieval", "circle", "captioning", "masked-lm", "vqa"])
def test_the_same_batches_by_any_number_of_workers(name, rows, tokenizer, images):
    augmentation = Augmentation.contrastive()
    data = rows["retrieval" if name == "circle" else name]
    options = {
        "retrieval": (RetrievalCollator, {}),
        "circle": (GroupedRetrievalCollator, {"data": data, "negatives": 4}),
        "captioning": (CaptioningCollator, {"share_images": True}),
        "masked-lm": (MaskedWordsCollator, {"masking": WholeWordMasking.from_tokenizer(tokenizer, min_masked=0)}),
        "vqa": (TaskCollator, {"share_images": True}),
    }
    maker, settings = options[name]
    collator = maker(tokenizer, images, augmentation=augmentation, **settings)
    per_image = 2 if name in ("vqa", "captioning") else None
    source = RowSource(data, "pairs", rows_per_image=per_image)
    schedule = Schedule([Source("train", "pairs", rows=len(source))], 3, seed=5)
    loaders = [
        train_loader([source], schedule, collator.batch, batch_size=4, num_workers=workers) for workers in (0, 2)
    ]
    batches = [[{**batch, "info": None} for batch in loader] for loader in loaders]
    assert len(batches[0]) == 3
    for one, other in zip(*batches):
        assert one.pop("info") is other.pop("info") is None and same(one, other)


def test_two_processes_draw_the_halves_of_one_batch(rows, tokenizer, images):
    data = rows["retrieval"]
    collator = GroupedRetrievalCollator(
        tokenizer, images, data=data, negatives=2, augmentation=Augmentation.contrastive()
    )
    source, schedule = RowSource(data, "pairs"), Schedule([Source("train", "pairs", rows=len(data))], 2, seed=5)
    whole = Batches([source], schedule, collator.batch, batch_size=4)[1]
    halves = [Batches([source], schedule, collator.batch, batch_size=2, rank=rank, world_size=2)[1] for rank in (0, 1)]
    assert whole["info"].places == halves[0]["info"].places + halves[1]["info"].places
    own = [batch["pixel_values"][batch["image_index"]] for batch in (whole, *halves)]
    assert torch.equal(own[0], torch.cat(own[1:]))


# Groups of the circle loss -------------------------------------------------------------------------------------------


def test_groups_of_wrong_partners(rows, tokenizer, images):
    data = rows["retrieval"]
    collator = GroupedRetrievalCollator(tokenizer, images, data=data, negatives=6)
    few = [RowSource(data, "pairs").read(item, None) for item in (0, 5)]
    batch = collator.batch("pairs", few, generators(2))
    assert batch["pixel_values"].shape[0] == batch["input_ids"].shape[0] == 2 * (1 + 3)
    assert batch["image_index"].shape == batch["text_index"].shape == (2, 1 + 2 * 3) and batch["return_loss"] is True
    pixels = {row.id: images(row.image.open(), return_tensors="pt")["pixel_values"][0] for row in data}
    texts = tokenizer.batch_decode(batch["input_ids"], skip_special_tokens=True)
    for group, example in enumerate(few):
        pictures, words = batch["image_index"][group].tolist(), batch["text_index"][group].tolist()
        assert pictures[0] == words[0] == group
        assert words[1:4] == [group] * 3 and pictures[4:] == [group] * 3
        assert len(set(pictures)) == len(set(words)) == 1 + 3
        assert torch.equal(batch["pixel_values"][group], pixels[example.row.id])
        assert texts[group] in example.row.captions
        for wrong in pictures[1:4]:
            owner = next(name for name, value in pixels.items() if torch.equal(value, batch["pixel_values"][wrong]))
            assert owner != example.row.id
        for wrong in words[4:]:
            assert texts[wrong] not in example.row.captions
    assert same(batch, collator.batch("pairs", few, generators(2)))
    assert not same(batch, collator.batch("pairs", few, generators(2, 1)))


def test_wrong_partners_never_have_the_same_caption(rows, tokenizer, images):
    data = rows["retrieval"]
    kept = data[0]
    others = [replace(row, captions=kept.captions, caption_ids=kept.caption_ids) for row in data[1:]]
    mixed = replace(data, rows=(kept, *others, data[1]))
    collator = GroupedRetrievalCollator(tokenizer, images, data=mixed, negatives=4)
    batch = collator([kept])
    words = tokenizer.batch_decode(batch["input_ids"][1:], skip_special_tokens=True)
    assert words == [data[1].captions[0]] * 2
    alike = GroupedRetrievalCollator(tokenizer, images, data=replace(data, rows=(kept, *others)), negatives=2)
    with pytest.raises(BadInputError, match="No row with another picture and other captions"):
        alike([kept])


def test_pictures_of_a_group_are_augmented_in_training(rows, tokenizer, images):
    data = rows["retrieval"]
    few = [RowSource(data, "pairs").read(item, None) for item in range(2)]
    made = [
        GroupedRetrievalCollator(tokenizer, images, data=data, negatives=2, augmentation=augmentation)
        for augmentation in (None, Augmentation.contrastive())
    ]
    plain, changed = (collator.batch("pairs", few, generators(2)) for collator in made)
    assert torch.equal(plain["image_index"], changed["image_index"])
    for one, other in zip(plain["pixel_values"], changed["pixel_values"]):
        assert not torch.equal(one, other)
    assert same(plain, made[1].batch("pairs", few, generators(2), train=False))


def test_partners_whose_picture_is_broken_are_passed_over(rows, tokenizer, images, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    broken = Picture("broken.png", str(tmp_path / "broken.png"))
    data = rows["retrieval"]
    spoilt = replace(data, rows=(data[0], *(replace(row, image=broken) for row in data[1:6]), *data[6:9]))
    collator = GroupedRetrievalCollator(tokenizer, images, data=spoilt, negatives=20)
    batch = collator([data[0]])
    whole = {
        tuple(images(row.image.open(), return_tensors="pt")["pixel_values"].flatten().tolist()) for row in data[6:9]
    }
    assert {tuple(pixels.flatten().tolist()) for pixels in batch["pixel_values"][1:]} <= whole
    nothing = replace(data, rows=(data[0], *(replace(row, image=broken) for row in data[1:6])))
    with pytest.raises(BadInputError, match="None of 100 wrong partners"):
        GroupedRetrievalCollator(tokenizer, images, data=nothing, negatives=2)([data[0]])


@pytest.mark.parametrize("negatives", [0, 3, -2])
def test_an_odd_number_of_wrong_pairs_is_refused(negatives, rows, tokenizer, images):
    with pytest.raises(BadInputError, match=f"has {negatives} wrong pairs; accepted are even numbers from 2 on"):
        GroupedRetrievalCollator(tokenizer, images, data=rows["retrieval"], negatives=negatives)


def test_a_single_row_has_no_partner(rows, tokenizer, images):
    with pytest.raises(BadInputError, match="one row only"):
        GroupedRetrievalCollator(
            tokenizer, images, data=replace(rows["retrieval"], rows=rows["retrieval"].rows[:1]), negatives=2
        )


# Captions ------------------------------------------------------------------------------------------------------------


def test_labels_of_a_caption_are_its_words_but_the_first_token(rows, tokenizer, images):
    batch = CaptioningCollator(tokenizer, images)(rows["captioning"][:3])
    labels, words = batch["labels"], batch["attention_mask"] == 1
    assert (labels[:, 0] == IGNORED).all() and (labels[~words] == IGNORED).all()
    assert torch.equal(labels[:, 1:][words[:, 1:]], batch["input_ids"][:, 1:][words[:, 1:]])


def line(images_of, tokens, objects=()):
    """A line of the official files: ids with the special tokens in."""

    def ids(numbers):
        return TokenIds(tuple(numbers), (0,) * len(numbers), tuple(range(2, 2 + len(numbers))))

    return TokenCaptionRow(
        "0", images_of.image, "1", ids(tokens), (0,) * len(tokens), "", ids(objects) if objects else None
    )


def test_official_lines_put_object_tags_before_the_caption(rows, tokenizer, images):
    collator = CaptioningCollator(tokenizer, images)
    picture = rows["captioning"][0]
    batch = collator([line(picture, [0, 10, 11, 2], [7, 8]), line(picture, [0, 12, 2])])
    pad = tokenizer.pad_token_id
    assert batch["input_ids"].tolist() == [[7, 8, 0, 10, 11, 2], [0, 12, 2, pad, pad, pad]]
    assert batch["position_ids"].tolist() == [[2, 3, 2, 3, 4, 5], [2, 3, 4, 1, 1, 1]]
    assert batch["attention_mask"].tolist() == [[1] * 6, [1, 1, 1, 0, 0, 0]]
    assert batch["token_type_ids"].tolist() == [[0, 0, 1, 1, 1, 1], [1] * 6]
    no = IGNORED
    assert batch["labels"].tolist() == [[no, no, no, 10, 11, 2], [no, 12, 2, no, no, no]]
    assert torch.isfinite(model("Unimo2ForConditionalGeneration")(**batch).loss)


def test_a_long_official_line_keeps_the_token_that_closes_it(rows, tokenizer, images):
    batch = CaptioningCollator(tokenizer, images, max_length=5)(
        [line(rows["captioning"][0], [0, *range(10, 20), 2], range(30, 40))]
    )
    assert batch["input_ids"].tolist() == [[30, 31, 32, 33, 34, 0, 10, 11, 12, 2]]
    assert batch["position_ids"].tolist() == [[2, 3, 4, 5, 6, 2, 3, 4, 5, 6]]
    assert batch["labels"].tolist() == [[IGNORED] * 6 + [10, 11, 12, 2]]
    hidden = replace(line(rows["captioning"][0], [0, 2]), tokens=None)
    with pytest.raises(BadInputError, match="has no caption"):
        CaptioningCollator(tokenizer, images)([hidden])


def test_captions_in_token_ids_are_pairs_too(rows, tokenizer, images):
    texts = ["a cat", "two dogs in the snow"]
    ids = [tuple(tokenizer(text)["input_ids"]) for text in texts]
    tokens = [TokenIds(one, (0,) * len(one), tuple(range(2, 2 + len(one)))) for one in ids]
    pairs = [replace(row, captions=(text,)) for row, text in zip(rows["retrieval"], texts)]
    in_ids = [replace(row, captions=(text,)) for row, text in zip(rows["retrieval"], tokens)]
    collator = RetrievalCollator(tokenizer, images)
    words, numbers = collator(pairs), collator(in_ids)
    assert torch.equal(words["input_ids"], numbers["input_ids"])
    assert torch.equal(words["attention_mask"], numbers["attention_mask"])
    network = model("Unimo2ForImageTextRetrieval")
    torch.testing.assert_close(network(**words).loss, network(**numbers).loss)
    short = RetrievalCollator(tokenizer, images, max_length=4)(in_ids)
    assert short["input_ids"][1].tolist() == [*ids[1][:3], tokenizer.eos_token_id]


# A plain Trainer -----------------------------------------------------------------------------------------------------


def trained(network, data, collator, folder):
    """Losses of two steps."""
    arguments = TrainingArguments(
        folder,
        max_steps=2,
        per_device_train_batch_size=4,
        per_device_eval_batch_size=4,
        remove_unused_columns=False,
        learning_rate=1e-2,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    trainer = Trainer(network, arguments, train_dataset=data, data_collator=collator)
    trainer.train()
    moved = [name for name, parameter in network.named_parameters() if not torch.equal(parameter, before[name])]
    assert any("vision_model" in name for name in moved)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(losses) == 2 and np.isfinite(losses).all()
    return trainer


def test_a_plain_trainer_learns_classes(rows, tokenizer, images, tmp_path):
    data = rows["image-classification"]
    network = model("Unimo2ForImageClassification", num_labels=len(data.label_names))
    trainer = trained(network, data, TaskCollator(None, images, target=lambda row: row.label), str(tmp_path))
    assert np.isfinite(trainer.evaluate(data)["eval_loss"])


def test_a_plain_trainer_learns_captions(rows, tokenizer, images, tmp_path):
    trained(
        model("Unimo2ForConditionalGeneration"),
        rows["captioning"],
        CaptioningCollator(tokenizer, images),
        str(tmp_path),
    )


@pytest.mark.parametrize("loss", ["matching", "circle"])
def test_a_plain_trainer_learns_retrieval(loss, rows, tokenizer, images, tmp_path):
    data = rows["retrieval"]
    collator = RetrievalCollator(tokenizer, images)
    if loss == "circle":
        collator = GroupedRetrievalCollator(tokenizer, images, data=data, negatives=2)
    trained(model("Unimo2ForImageTextRetrieval"), data, collator, str(tmp_path))


def test_accumulated_halves_are_the_whole_batch_in_a_plain_trainer(rows, tokenizer, images, tmp_path):
    """Scores and numbers among labels are no items to count: the loss is a mean over rows."""
    data = replace(rows["vqa"], rows=rows["vqa"].rows[:4])
    ends = []
    for size in (4, 2):
        network = model("Unimo2ForVisualQuestionAnswering")
        arguments = TrainingArguments(
            str(tmp_path),
            max_steps=1,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=4 // size,
            remove_unused_columns=False,
            optim="sgd",
            learning_rate=1.0,
            max_grad_norm=0.0,
            lr_scheduler_type="constant",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        )
        collator = TaskCollator(tokenizer, images, target=lambda row: np.array([0.0, 1.0, 0.5], np.float32))
        Trainer(network, arguments, train_dataset=data, data_collator=collator).train()
        ends.append(network.classifier.weight.detach())
    start = model("Unimo2ForVisualQuestionAnswering").classifier.weight
    assert (ends[0] - start).abs().max() > 1e-3
    torch.testing.assert_close(ends[0], ends[1], atol=1e-5, rtol=1e-4)
