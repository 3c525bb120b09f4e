# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Retrieval in stages gives what the whole model gives, for the cost of the pairs that matter."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hf_unimo import Unimo2Config, Unimo2ForImageTextRetrieval
from hf_unimo.data.images import BadRowError
from hf_unimo.errors import BadInputError
from hf_unimo.retrieval import stages
from hf_unimo.retrieval.adapters import Matched, PairAdapter, pair_adapter
from hf_unimo.retrieval.candidates import Candidates, shortlist
from hf_unimo.retrieval.stages import NEAR_TIE, Stages
from modeling_tests.evaluation import models


IMAGES = [models.picture(seed) for seed in range(7)]
TEXTS = ["a cat", "two dogs on a lawn", "x", "nothing", "a much longer text about things", "one", "a red ball", "fish"]
MATCHING = [
    name for name in models.PAIRS if name in ("unimo2", "vilt", "blip", "bridgetower-matching", "flava-matching")
]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(stages, "_BATCHES", 2)


def built(name="unimo2", batch_size=4, **overrides):
    build = models.PAIRS[name]
    return pair_adapter(*(build(**overrides) if overrides else build()), batch_size=batch_size)


def started(adapter, folder=None, **settings):
    settings = {"data": "squares", "block_size": 3} | settings
    found = Stages(adapter, settings.pop("pictures", IMAGES), settings.pop("texts", TEXTS), folder, **settings)
    found.encode()
    return found


def whole_model(adapter, image, text, ids=None):
    """Score and chosen entries of one pair, by UNIMO-2 without stages, all states computed."""
    with torch.inference_mode():
        inputs = adapter.images([image]) | adapter.texts([text])
        if ids is None:
            output = adapter.model(**inputs)
            return output.logits.item(), output.grounded_token_ids
        base = adapter.base
        parts = base.encode_image(inputs["pixel_values"]), base.encode_text(inputs["input_ids"])
        logits = adapter.model._matching_logits(base.ground(*parts, grounded_token_ids=ids))
        similarity = (base.image_features(parts[0]) * base.text_features(parts[1])).sum()
        return (logits[0, 1] + adapter.model.config.similarity_weight * similarity).item(), ids


# ---------------------------------------------------------------------------------------------------------------------
# Equalities
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MATCHING)
def test_all_pairs_are_those_of_the_model(name):
    adapter = built(name)
    with started(adapter) as found, torch.inference_mode():
        matches = found.match(found.candidates())
        assert len(matches.candidates) == 56
        for pair, score in enumerate(matches.scores):
            inputs = adapter.images([IMAGES[pair // 8]]) | adapter.texts([TEXTS[pair % 8]])
            if name == "blip":
                similarity = adapter.model(**inputs, use_itm_head=False).itm_score.item()
                expected = adapter.model(**inputs).itm_score[0, 1].item() + similarity
            elif name == "flava-matching":
                masked = {"input_ids_masked": inputs["input_ids"], "return_loss": False}
                expected = adapter.model(**inputs, **masked).itm_logits[0, 1].item()
            else:
                expected = adapter.model(**inputs).logits[0].flatten()[-1].item()
            assert score == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("twins", [0, 16])
def test_all_pairs_are_those_of_unimo2_but_for_near_ties(twins):
    """Entries that are nearly equal have scores that are: where the edge falls between them, rounding decides."""
    adapter = built()
    entries = adapter.base.dictionary.embeddings.weight
    with torch.no_grad():
        entries[1:twins:2] = entries[0:twins:2] * (1 + 2e-7)
    with started(adapter) as found:
        matches = found.match(found.candidates())
        near = 0
        for pair, score in enumerate(matches.scores):
            image, text = pair // 8, pair % 8
            parts = {"images": found.image_store.parts(image), "texts": found.text_store.parts(text)}
            scores = parts["images"]["dictionary_scores"] + parts["texts"]["dictionary_scores"]
            ordered = scores.sort(descending=True, stable=True)
            close = (ordered.values[5] - ordered.values[6]).item() <= NEAR_TIE
            assert matches.close[pair] == close
            near += close
            if close:
                with torch.inference_mode():
                    encoded = [
                        adapter.base.encoding(part["states"][None], None, part["dictionary_scores"][None], side[:-1])
                        for side, part in parts.items()
                    ]
                    ids = adapter.model.match_pairs(*encoded).grounded_token_ids
                assert ids[0].tolist() == ordered.indices[:6].tolist()
                expected, _ = whole_model(adapter, IMAGES[image], TEXTS[text], ids)
            else:
                expected, ids = whole_model(adapter, IMAGES[image], TEXTS[text])
                assert set(ids[0].tolist()) == set(ordered.indices[:6].tolist())
            assert score == pytest.approx(expected, abs=1e-5)
    assert matches.near_ties == near and bool(near) == bool(twins) and near < 56


def test_equal_entries_go_to_the_lower_number():
    adapter = built()
    entries = adapter.base.dictionary.embeddings.weight
    with torch.no_grad():
        entries[1::2] = entries[0::2]
    with torch.inference_mode():
        for text in TEXTS:
            _, ids = whole_model(adapter, IMAGES[0], text)
            assert (ids[0, 0::2] % 2 == 0).all() and torch.equal(ids[0, 1::2], ids[0, 0::2] + 1)
    adapter.model.config.num_grounded_tokens = 5  # the edge falls between two equal ones
    with started(adapter) as found:
        matches = found.match(found.candidates())
        assert matches.near_ties == 56
        for pair in (0, 13, 55):
            expected, ids = whole_model(adapter, IMAGES[pair // 8], TEXTS[pair % 8])
            assert ids[0, 4] % 2 == 0 and matches.scores[pair] == pytest.approx(expected, abs=1e-5)


def test_candidates_have_the_scores_they_have_among_all():
    with started(built()) as found:
        everything = found.match(found.candidates(), "all").scores.reshape(7, 8)
        contrastive = found.contrastive_scores()
        for numbers in ((2, 1), (3, None), (None, 2)):
            candidates = found.candidates(*numbers)
            matches = found.match(candidates, f"best-{numbers[0]}-{numbers[1]}")
            images, texts = candidates.pairs(0, len(candidates))
            np.testing.assert_allclose(matches.scores, everything[images, texts], atol=1e-5)
            expected = shortlist(*(store.matrix("features") for store in (found.image_store, found.text_store)),
                                 numbers[0] or 0, numbers[1] or 0, 2**20)  # fmt: skip
            assert np.array_equal([images, texts], expected) and len(matches.scores) < 56
    adapter = built()
    expected = adapter.image_features(IMAGES) @ adapter.text_features(TEXTS).T
    np.testing.assert_allclose(contrastive, expected, atol=1e-5)


def test_states_in_bfloat16_change_scores_little_and_no_choice():
    adapter = built()
    with started(adapter) as exact, started(adapter, states="bfloat16") as rounded:
        expected, found = exact.match(exact.candidates()), rounded.match(rounded.candidates())
        difference = np.abs(found.scores - expected.scores).max()
        assert 0 < difference < 0.002 < expected.scores.std() / 10  # measured: 0.0002
        assert np.array_equal(found.close, expected.close)
        for name in ("features", "dictionary_scores"):
            assert np.array_equal(exact.text_store.matrix(name), rounded.text_store.matrix(name))
        assert rounded.image_store.row("states", 0).dtype == torch.bfloat16
        assert rounded.image_store.size < 0.6 * exact.image_store.size


def test_a_model_in_bfloat16_is_close():
    with started(built()) as found:
        expected = np.array(found.match(found.candidates()).scores)
    adapter = built()
    adapter.model.to(torch.bfloat16)
    with started(adapter, states="bfloat16") as found:
        assert found.text_store.matrix("features").dtype == np.float32
        np.testing.assert_allclose(found.match(found.candidates()).scores, expected, atol=5e-2)


def test_pictures_of_several_sizes_and_padding_of_the_first_implementation():
    """ViLT keeps the shape of pictures; with `official_padding` a text keeps the padding of its batch."""
    pictures = [models.picture(seed, 16, width) for seed, width in enumerate((16, 32, 16, 24, 32))]
    adapter = built("vilt")
    with started(adapter, pictures=pictures) as found:
        scores = found.match(found.candidates()).scores.reshape(5, 8)
        for image, picture in enumerate(pictures):
            expected = [adapter.match([picture], np.zeros(1, int), [text])[0] for text in TEXTS]
            np.testing.assert_allclose(scores[image], expected, atol=1e-5)
    adapter = built(official_padding=True)
    with started(adapter, block_size=100) as found, torch.inference_mode():
        scores = found.match(found.candidates()).scores.reshape(7, 8)
        image = adapter.images(IMAGES[:1])["pixel_values"]
        for start, stop in ((0, 1), (1, 5), (5, 8)):  # the first is encoded alone
            words = adapter.texts(TEXTS[start:stop])
            output = adapter.model(**words, pixel_values=image.expand(stop - start, -1, -1, -1))
            np.testing.assert_allclose(scores[0, start:stop], output.logits.numpy(), atol=1e-4)


# ---------------------------------------------------------------------------------------------------------------------
# Interruption, refusals
# ---------------------------------------------------------------------------------------------------------------------


class Counted:
    """Counts what an adapter computes, and stops it once after `stop` calls of `method`."""

    def __init__(self, adapter, monkeypatch, method=None, stop=0, error=KeyboardInterrupt):
        self.done = {"encode_images": 0, "encode_texts": 0, "match_parts": 0}
        for name in self.done:
            monkeypatch.setattr(adapter, name, self._wrapped(name, getattr(adapter, name)))
        self.method, self.left, self.error = method, stop, error

    def _wrapped(self, name, function):
        def call(first, *args, **kwargs):
            if name == self.method:
                self.left -= 1
                if self.left == -1:
                    raise self.error
            result = function(first, *args, **kwargs)
            self.done[name] += len(result.scores if name == "match_parts" else result)
            return result

        return call


@pytest.mark.parametrize(
    ("method", "stop", "lost"), [("encode_images", 2, 0), ("encode_texts", 1, 0), ("match_parts", 5, 4)]
)
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError("no memory")])
def test_a_stopped_run_goes_on(tmp_path, monkeypatch, method, stop, lost, error):
    adapter = built()
    with started(adapter) as found:
        expected = np.array(found.match(found.candidates(3, 2)).scores)
    counted = Counted(adapter, monkeypatch, method, stop, error)

    def run():
        found = started(adapter, tmp_path / "run")
        return found.match(found.candidates(3, 2)).scores

    with pytest.raises(type(error) if isinstance(error, Exception) else error):
        run()
    result = run()
    # Only of a block of pairs that was stopped something was computed that is lost.
    assert counted.done == {"encode_images": 7, "encode_texts": 8, "match_parts": len(expected) + lost}
    assert np.array_equal(result, expected)
    run()
    assert counted.done["match_parts"] == len(expected) + lost


def test_what_is_kept_of_something_else_is_refused(tmp_path):
    adapter = built()
    found = started(adapter, tmp_path / "run")
    found.match(found.candidates(3), "some")
    with pytest.raises(BadInputError, match="holds scores that differ in candidates"):
        found.match(found.candidates(2), "some")
    for changed, differs in (({"data": "circles"}, "data"), ({"states": "bfloat16"}, "states"),
                             ({"pictures": IMAGES[:3]}, "number"), ({"matching": False}, "matching"),
                             ({"texts": [*TEXTS[:-1], "bird"]}, "texts")):  # fmt: skip
        with pytest.raises(BadInputError, match=f"holds encodings that differ in {differs}; accepted are the same"):
            started(adapter, tmp_path / "run", **changed)
    other = built()
    with torch.no_grad():
        other.model.itm_head.bias += 1
    with pytest.raises(BadInputError, match="differ in model; "):
        started(other, tmp_path / "run")
    with pytest.raises(BadInputError, match="differ in configuration; "):
        started(built(similarity_weight=0.5), tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("clip", {}, "CLIPModel has no matching score; accepted is matching=False"),
        ("unimo2", {"states": "float16"}, "is 'float16'; accepted are float32 and bfloat16"),
        ("unimo2", {"memory": 0}, "The memory is 0 MiB; accepted are integers from 1 on"),
    ],
)
def test_settings_that_are_refused(name, settings, message):
    with pytest.raises(BadInputError, match=message):
        Stages(built(name), IMAGES, TEXTS, **settings)


def test_candidates_that_are_refused():
    with (
        started(built("vilt")) as found,
        pytest.raises(BadInputError, match="has no contrastive features to choose candidates by"),
    ):
        found.candidates(3)
    with (
        started(built()) as found,
        pytest.raises(BadInputError, match="The number of candidates is 0; accepted are integers from 1 on"),
    ):
        found.candidates(0, 3)


def test_pictures_that_cannot_be_used_are_left_out(tmp_path):
    adapter, broken = built(), (0, 4)

    def opened(number):
        if number in broken:
            raise BadRowError(f"{number} is broken")
        return IMAGES[number] if number != 2 else models.picture(2, 1, 400)

    refuse = adapter.images

    def images(given):
        if any(image.size == (400, 1) for image in given):
            raise ValueError("too flat")
        return refuse(given)

    images.describe, images.device = refuse.describe, refuse.device
    adapter.images = images
    found = started(adapter, tmp_path / "run", pictures=range(7), open_picture=opened)
    assert found.images.tolist() == [1, 3, 5, 6]
    assert found.failed == [(0, "0 is broken"), (2, "too flat"), (4, "4 is broken")]
    scores = found.match(found.candidates()).scores.reshape(4, 8)
    for place, image in enumerate(found.images):
        expected = adapter.match([IMAGES[image]], np.zeros(8, int), TEXTS)
        np.testing.assert_allclose(scores[place], expected, atol=1e-5)
    broken = range(7)
    with pytest.raises(BadInputError, match="None of the 7 rows could be used; of the first: 0 is broken"):
        started(adapter, tmp_path / "none", pictures=range(7), open_picture=opened)
    assert not (tmp_path / "none" / "images").exists()


def test_a_full_disk_is_seen_before_it_is_full(tmp_path, monkeypatch):
    usage = stages.shutil.disk_usage
    monkeypatch.setattr(stages.shutil, "disk_usage", lambda path: SimpleNamespace(free=5000))
    assert usage is not stages.shutil.disk_usage
    with pytest.raises(BadInputError, match=r"has 5,000 bytes free, but about [\d,]+ are needed for 7 encoded rows"):
        started(built(), tmp_path / "run")


# ---------------------------------------------------------------------------------------------------------------------
# Cost
# ---------------------------------------------------------------------------------------------------------------------


class Large(PairAdapter):
    """Rows of 48 to 96 KiB, and no model."""

    features = matching = True
    text_length = "states"
    batches: list[int]

    def __init__(self):
        self.model = SimpleNamespace(device="cpu", dtype=torch.float32)
        self.texts = SimpleNamespace(lengths=lambda texts: [12 + text % 13 for text in texts])
        self.batch_size, self.batches = 64, []

    def _made(self, tokens, number):
        values = {"states": np.full((tokens, 1024), number, np.float32), "features": np.float32([number % 7, 1])}
        return {name: torch.from_numpy(value) for name, value in values.items()}

    def encode_images(self, images, matching=True):
        return [self._made(20, image) for image in images]

    def encode_texts(self, texts, matching=True):
        return [self._made(length, text) for text, length in zip(texts, self.texts.lengths(texts))]

    def match_parts(self, images, texts):
        held = [value.numel() * 4 for parts in (images, texts) for value in parts.values()]
        self.batches.append(sum(held))
        return Matched((images["states"][:, 0, 0] * 1000 + texts["states"][:, 0, 0]).numpy())


@pytest.mark.parametrize("memory", [2, 8])
def test_the_memory_is_bounded(memory, monkeypatch):
    monkeypatch.setattr(stages, "_BATCHES", 16)
    adapter = Large()
    tracemalloc.start()
    with Stages(adapter, range(80), range(160), memory=memory) as found:
        found.encode()
        matches = found.match(found.candidates(6, 2))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        images, texts = matches.candidates.pairs(0, len(matches.candidates))
        assert np.array_equal(matches.scores, images * 1000 + texts) and len(images) > 500
        assert found.image_store.size + found.text_store.size > 15 * 2**20
    one_pair = (20 + 24) * 1024 * 4 + 4 * 4 + 24 * 8  # states and features of both, and the mask of the text
    assert max(adapter.batches) <= max(one_pair, memory * 2**20 // 16)
    assert peak < memory * 2**20
    assert memory == 2 or max(adapter.batches) > 2 * one_pair


@pytest.fixture(scope="module")
def flops():
    """GFLOP of one pair of a base model, 224 pixels and 64 tokens, counted without computing anything."""
    config = Unimo2Config()
    assert (config.dictionary_size, config.num_grounded_tokens, config.grounded_config.num_hidden_layers) == (
        2048,
        100,
        12,
    )
    with torch.device("meta"):
        model = Unimo2ForImageTextRetrieval(config).eval()
        pixels, words = torch.empty(1, 3, 224, 224), torch.zeros(1, 64, dtype=torch.long)
    adapter = pair_adapter(model, models.unimo2()[1])

    def count(function, *args, **kwargs):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            result = function(*args, **kwargs)
        return counter.get_total_flops() / 1e9, result

    def whole():
        return model._matching_logits(model.unimo2(words, pixel_values=pixels))

    found = {"whole": count(whole)[0]}
    found["image"], image = count(adapter._image_parts, {"pixel_values": pixels})
    mask = torch.ones_like(words)
    found["text"], text = count(adapter._text_parts, {"input_ids": words, "attention_mask": mask})
    rows = []
    hook = model.unimo2.grounded_model.layers[-1].mlp.register_forward_hook(lambda *call: rows.append(call[2].shape))
    del text["attention_mask"]  # nothing is padded
    found["pair"], _ = count(adapter._match_parts, image, text)
    hook.remove()
    return found | {"rows of the last layer": rows}


def test_a_pair_costs_its_fusion_alone(flops):
    assert flops["whole"] == pytest.approx(112.3, abs=0.5)  # a matrix product of n multiplications is 2n
    assert flops["pair"] <= 0.56 * flops["whole"]
    assert flops["rows of the last layer"] == [(1, 2, 768)]  # class rows of image and text


def test_a_shortlist_costs_a_31st(flops):
    random = np.random.RandomState(0)
    images, texts = (random.randn(number, 16).astype(np.float32) for number in (1000, 5000))
    found = shortlist(images, texts, 128, 32, 2**24)
    candidates = Candidates.of_pairs(*found, 1000)
    assert 160_000 < len(candidates) <= 128 * 1000 + 32 * 5000
    whole, limit = 1000 * 5000 * flops["whole"], 128 * 1000 + 32 * 5000
    for pairs in (len(candidates), limit):  # also if no pair were among the best of both
        staged = 1000 * flops["image"] + 5000 * flops["text"] + pairs * flops["pair"]
        assert staged <= whole / 31
