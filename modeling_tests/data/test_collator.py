# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""`PretrainingCollator`: the processor's numbers, views, hidden words, a row alone and among others."""

import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessorPil, ViTImageProcessorPil

from hf_unimo.data.augmentation import Augmentation
from hf_unimo.data.collator import PretrainingCollator
from hf_unimo.data.masking import IGNORED
from hf_unimo.data.schedule import row_generators
from hf_unimo.data.sources import Row
from hf_unimo.errors import BadInputError
from hf_unimo.models.unimo2.image_processing_pil_unimo2 import Unimo2ImageProcessorPil
from hf_unimo.models.unimo2.tokenization_unimo2 import Unimo2Tokenizer


TOKENIZER = Path(__file__).parents[2] / "examples" / "data" / "emoji" / "tokenizer"
TEXTS = ["cat", "smiling cat with heart-eyes, animal", "flag: Liechtenstein", "woman facepalming", "a, b", "egg plant"]
NONE = {"pairs": "none", "images": "none"}
SIZES = {"as it comes out": [(32, 32)], "other": [(40, 24)], "mixed": [(32, 32), (50, 50)]}


def picture(seed, size=(32, 32)):
    return Image.fromarray(np.random.RandomState(seed).randint(0, 256, (*size[::-1], 3), dtype=np.uint8))


def rows(sizes=((32, 32),)):
    return [Row(picture(row, sizes[row % len(sizes)]), text, f"row {row}") for row, text in enumerate(TEXTS)]


def generators(positions, *keys):
    return partial(row_generators, positions, *keys)


@pytest.fixture(scope="module")
def tokenizer():
    return Unimo2Tokenizer.from_pretrained(TOKENIZER)


@pytest.fixture(scope="module")
def collator(tokenizer):
    return PretrainingCollator(tokenizer, Unimo2ImageProcessorPil(size=32))


def variant(tokenizer, **options):
    return PretrainingCollator(tokenizer, Unimo2ImageProcessorPil(size=32), **options)


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize(
    "processor",
    [
        Unimo2ImageProcessorPil(size=32),
        ViTImageProcessorPil(size={"height": 32, "width": 24}, image_mean=[0.1, 0.2, 0.3], image_std=[1, 2, 0.3]),
        ViTImageProcessorPil(size={"height": 32, "width": 32}, do_normalize=False, rescale_factor=1 / 127),
        ViTImageProcessorPil(size={"height": 32, "width": 32}, do_rescale=False, do_normalize=False),
        CLIPImageProcessorPil(size={"shortest_edge": 36}, crop_size=32),
        CLIPImageProcessorPil(size={"height": 32, "width": 32}, crop_size=20),
    ],
    ids=["unimo2", "vit, oblong", "vit, not normalised", "vit, bytes", "clip", "clip, cropped"],
)
def test_pixels_are_those_of_a_plain_call_without_augmentation(tokenizer, processor, sizes):
    batch = rows(sizes=sizes)
    expected = processor([row.image for row in batch], return_tensors="pt")["pixel_values"].float()
    plain = PretrainingCollator(None, processor, augmentation=NONE)
    usual = PretrainingCollator(tokenizer, processor)
    draw = generators(range(len(batch)), 0)
    for found in (plain("images", batch, draw), plain("images", batch, draw, train=False)):
        assert found.keys() == {"pixel_values"}  # no second view: it would be the first
        assert found["pixel_values"].dtype == torch.float32 and found["pixel_values"].is_contiguous()
        assert torch.equal(found["pixel_values"], expected)
    assert torch.equal(usual("pairs", batch, draw, train=False)["pixel_values"], expected)


@pytest.mark.parametrize(
    "processor", [Unimo2ImageProcessorPil(size=64), CLIPImageProcessorPil()], ids=["unimo2", "clip"]
)
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_image_size_overrules_the_processor(processor, sizes):
    batch, size = rows(sizes=sizes), {"height": 32, "width": 32}
    expected = processor([row.image for row in batch], size=size, crop_size=size, return_tensors="pt")["pixel_values"]
    found = PretrainingCollator(None, processor, image_size=32, augmentation=NONE)("images", batch, None)
    assert expected.shape == (len(batch), 3, 32, 32)
    assert torch.equal(found["pixel_values"], expected)


def test_pairs_are_augmented_in_training_only(tokenizer, collator):
    batch, draw = rows(), generators(range(6), 3, 1)
    images = torch.from_numpy(np.stack([np.asarray(row.image) for row in batch])).permute(0, 3, 1, 2)
    augmented = Augmentation.caption_safe()(images, draw("augmentation"))
    found = collator("pairs", batch, draw)
    assert found.keys() == {"pixel_values", "input_ids", "attention_mask", "labels"}
    # -1 .. 1 of the processor back to bytes
    assert torch.equal(((found["pixel_values"] + 1) * 127.5).round().to(torch.uint8), augmented)
    still = collator("pairs", batch, draw, train=False)
    assert not torch.equal(still["pixel_values"], found["pixel_values"])
    assert torch.equal(still["labels"], found["labels"])


@pytest.mark.parametrize("train", [True, False])
def test_images_come_in_two_views_in_evaluation_too(collator, train):
    batch = rows()
    found = collator("images", batch, generators(range(6), 0), train)
    assert found.keys() == {"pixel_values", "second_pixel_values"}
    assert found["pixel_values"].shape == found["second_pixel_values"].shape == (6, 3, 32, 32)
    assert not any(map(torch.equal, found["pixel_values"], found["second_pixel_values"]))
    again = collator("images", batch, generators(range(6), 0), train)
    assert all(torch.equal(again[name], found[name]) for name in found)
    other = collator("images", batch, generators(range(6), 1), train)
    assert not any(torch.equal(other[name], found[name]) for name in found)


def test_augmentation_by_its_fields(tokenizer):
    options = {"flip": 1.0, "scale": [1, 1]}
    by_fields = variant(tokenizer, augmentation={"pairs": options, "images": Augmentation(**options)})
    plain = variant(tokenizer, augmentation=NONE)
    draw = generators(range(6), 0)
    flipped = plain("images", rows(), draw)["pixel_values"].flip(-1)
    assert torch.equal(by_fields("pairs", rows(), draw)["pixel_values"], flipped)
    assert torch.equal(by_fields("images", rows(), draw)["second_pixel_values"], flipped)


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("kind", ["pairs", "text"])
def test_hidden_words(tokenizer, kind, own, train):
    found = variant(tokenizer, own_masked_pass=own)(kind, rows(), generators(range(6), 0), train)
    plain = tokenizer(TEXTS, padding=True, return_tensors="pt")
    beside = kind == "pairs" and (own or not train)  # retrieval is evaluated with whole captions
    assert ("masked_input_ids" in found) == beside
    masked = found["masked_input_ids" if beside else "input_ids"]
    hidden = found["labels"] != IGNORED
    assert torch.equal(found["attention_mask"], plain["attention_mask"])
    assert torch.equal(found["labels"].where(hidden, masked), plain["input_ids"])
    assert torch.equal(found["input_ids"], plain["input_ids"]) == beside
    assert hidden.any(1).all()  # of every row a word, without top-ups by batch


def test_ratios_are_those_of_the_kind(tokenizer):
    found = variant(
        tokenizer, masking={"pairs": {"ratio": 0}, "text": {"ratio": 1.0, "mask_share": 1, "random_share": 0}}
    )
    draw = generators(range(6), 0)
    pairs = found("pairs", rows(), draw)
    assert pairs.keys() == {"pixel_values", "input_ids", "attention_mask"}
    assert torch.equal(pairs["input_ids"], tokenizer(TEXTS, padding=True, return_tensors="pt")["input_ids"])
    text = found("text", rows(), draw)
    words = text["labels"] != IGNORED
    assert words.sum() == pairs["attention_mask"].sum() - 2 * 6  # all but the special tokens
    assert (text["input_ids"][words] == tokenizer.mask_token_id).all()


def test_texts_are_cut_and_padded_on_the_right(tokenizer):
    left = Unimo2Tokenizer.from_pretrained(TOKENIZER, padding_side="left")
    texts = [Row(None, text, "") for text in ("cat", "cat " * 50, "")]
    found = PretrainingCollator(left, None, max_length=10, masking={"text": {"ratio": 0}})("text", texts, None)
    assert found["input_ids"].shape == (3, 10)
    assert found["attention_mask"].sum(1).tolist() == [len(tokenizer("cat")["input_ids"]), 10, 2]
    assert (found["attention_mask"].diff(dim=1) <= 0).all()
    assert found["input_ids"][1, -1] == tokenizer.sep_token_id


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("kind", ["pairs", "images", "text"])
@pytest.mark.parametrize("part", [1, 3])
def test_a_row_does_not_depend_on_its_neighbours(tokenizer, kind, train, part):
    """Halves of a batch (two ranks), and each row alone, against the batch: all equal but the padding on the right."""
    found = variant(tokenizer, own_masked_pass=kind == "pairs")
    whole = found(kind, rows(), generators(range(6), 7, 11), train)
    for start in range(0, 6, part):
        positions = range(start, start + part)
        alone = found(kind, rows()[start : start + part], generators(positions, 7, 11), train)
        assert alone.keys() == whole.keys()
        for name, tensor in alone.items():
            among = whole[name][start : start + part]
            if tensor.dim() == 2:
                padding = among[:, tensor.shape[1] :]
                assert (padding == {"labels": IGNORED, "attention_mask": 0}.get(name, tokenizer.pad_token_id)).all()
                among = among[:, : tensor.shape[1]]
            assert torch.equal(tensor, among), name


def test_survives_pickling(collator):
    """As for a worker process that is spawned."""
    copied = pickle.loads(pickle.dumps(collator))
    draw = generators(range(6), 0)
    for kind in ("pairs", "images", "text"):
        expected = collator(kind, rows(), draw)
        assert all(torch.equal(tensor, expected[name]) for name, tensor in copied(kind, rows(), draw).items())


@pytest.mark.parametrize(
    "options, expected",
    [
        ({"masking": {"text": {"ration": 0.1}}}, "'ratio'"),
        ({"masking": {"pairs": {"min_masked": 2}}}, "unknown option"),  # would make a row depend on its batch
        ({"masking": {"texts": {"ratio": 0.1}}}, "'text'"),
        ({"masking": {"text": 0.1}}, "a mapping"),
        ({"masking": {"text": {"ratio": "0.1"}}}, "a number"),
        ({"masking": {"text": {"ratio": 2}}}, "0 to 1"),
        ({"augmentation": {"text": "none"}}, "unknown kind"),
        ({"augmentation": {"pairs": "captionsafe"}}, "'caption_safe'"),
        ({"augmentation": {"images": "off"}}, "none"),
        ({"augmentation": {"images": {"flips": 1}}}, "'flip'"),
        ({"augmentation": {"images": {"size": [2, 2]}}}, "unknown option"),
        ({"augmentation": {"images": {"flip": True}}}, "numbers"),
        ({"augmentation": {"images": {"flip": 1.5}}}, "0 to 1"),
        ({"augmentation": {"images": None}}, "none and a mapping"),
        ({"image_size": 0}, "from 1 on"),
        ({"max_length": 2}, "from 3 on"),
    ],
)
def test_bad_options(tokenizer, options, expected):
    with pytest.raises(BadInputError, match=expected) as caught:
        variant(tokenizer, **options)
    assert "\n" not in str(caught.value)


def test_bad_calls(tokenizer):
    draw = generators(range(6), 0)
    with pytest.raises(BadInputError, match="needs a tokenizer"):
        PretrainingCollator(None, Unimo2ImageProcessorPil(size=32))("pairs", rows(), draw)
    with pytest.raises(BadInputError, match="needs an image processor"):
        PretrainingCollator(tokenizer, None)("pairs", rows(), draw)
    with pytest.raises(BadInputError, match="'images'"):
        variant(tokenizer)("image", rows(), draw)


def test_resizing_to_other_than_bytes_is_refused():
    class Floats(Unimo2ImageProcessorPil):
        def resize(self, image, *args, **kwargs):
            return super().resize(image, *args, **kwargs).astype(np.float32)

    with pytest.raises(BadInputError, match=r"float32.*uint8"):
        PretrainingCollator(None, Floats(size=32))("images", rows(sizes=[(40, 40)]), generators(range(6), 0))
