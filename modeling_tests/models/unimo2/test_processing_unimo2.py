# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""`Unimo2Processor`."""

import json
import os
import subprocess
import sys
import unittest
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers.pre_tokenizers import ByteLevel
from transformers import AutoImageProcessor, AutoProcessor, AutoTokenizer, BertTokenizer
from transformers.utils import is_torchvision_available

from hf_unimo.models.unimo2.image_processing_pil_unimo2 import Unimo2ImageProcessorPil
from hf_unimo.models.unimo2.image_processing_unimo2 import Unimo2ImageProcessor
from hf_unimo.models.unimo2.processing_unimo2 import Unimo2Processor
from hf_unimo.models.unimo2.tokenization_unimo2 import Unimo2Tokenizer


try:
    from hf_common_tests import test_processing_common as common
except ImportError:
    common = None


def build_tokenizer() -> Unimo2Tokenizer:
    """All bytes, no merges."""
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(ByteLevel.alphabet())]
    return Unimo2Tokenizer({token: index for index, token in enumerate(tokens)}, [])


def build_image_processor(**kwargs) -> Unimo2ImageProcessor | Unimo2ImageProcessorPil:
    return (Unimo2ImageProcessor if is_torchvision_available() else Unimo2ImageProcessorPil)(**kwargs)


@pytest.fixture
def processor() -> Unimo2Processor:
    return Unimo2Processor(build_image_processor(size=16), build_tokenizer())


@pytest.fixture
def images() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)) for size in ((20, 30, 3), (9, 7, 3))]


def test_both_inputs(processor, images):
    batch = processor(images=images, text=["a cat", "two dogs"], return_tensors="pt")
    assert set(batch) == set(processor.model_input_names) == {"input_ids", "attention_mask", "pixel_values"}
    assert batch["pixel_values"].shape == (2, 3, 16, 16)
    # Padding is on unless asked otherwise, so texts of unequal length make a tensor.
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (2, 10)
    assert batch["attention_mask"].sum(dim=1).tolist() == [7, 10]


def test_one_input(processor, images):
    text = processor(text="a cat")
    assert dict(text) == dict(processor.tokenizer("a cat"))
    only_images = processor(images=images[0], return_tensors="pt")
    assert list(only_images) == ["pixel_values"]
    torch.testing.assert_close(
        only_images["pixel_values"], processor.image_processor(images[0], return_tensors="pt")["pixel_values"]
    )
    with pytest.raises(ValueError, match="at least one input"):
        processor()


def test_arguments_reach_both_parts(processor, images):
    batch = processor(
        images=images,
        text=["abcdef", "a"],
        text_pair=["ghijkl", "b"],
        truncation=True,
        max_length=10,
        size={"height": 8, "width": 12},
        return_tensors="pt",
    )
    assert batch["pixel_values"].shape == (2, 3, 8, 12)
    expected = processor.tokenizer(["abcdef", "a"], ["ghijkl", "b"], truncation=True, max_length=10, padding=True)
    assert batch["input_ids"].tolist() == expected["input_ids"]
    assert [len(ids) for ids in processor(text=["a", "abc"], padding=False)["input_ids"]] == [3, 5]


def test_save_and_reload_through_the_auto_classes(processor, images, tmp_path):
    processor.save_pretrained(tmp_path)
    expected = processor(images=images, text=["a cat", "<mask>"], return_tensors="pt")
    for again in (Unimo2Processor.from_pretrained(tmp_path), AutoProcessor.from_pretrained(tmp_path)):
        assert type(again) is Unimo2Processor and type(again.tokenizer) is Unimo2Tokenizer
        found = again(images=images, text=["a cat", "<mask>"], return_tensors="pt")
        for name in expected:
            assert torch.equal(found[name], expected[name])
    assert type(AutoTokenizer.from_pretrained(tmp_path)) is Unimo2Tokenizer
    assert type(AutoImageProcessor.from_pretrained(tmp_path, backend="pil")) is Unimo2ImageProcessorPil


def test_tokenizer_of_another_encoder(images, tmp_path):
    """BERT's: no segments unless asked for, as captioning means something else by them; saved and loaded as it is."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "##s"]
    tokenizer = BertTokenizer({word: index for index, word in enumerate(words)})
    processor = Unimo2Processor(build_image_processor(size=16), tokenizer)
    processor.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "unimo2"}', encoding="utf-8")
    for found in (processor, Unimo2Processor.from_pretrained(tmp_path), AutoProcessor.from_pretrained(tmp_path)):
        assert type(found) is Unimo2Processor and type(found.tokenizer) is BertTokenizer
        batch = found(images=images, text=["a cat", "Cats"], text_pair=["a", "a cat"], return_tensors="pt")
        assert set(batch) == {"input_ids", "attention_mask", "pixel_values"}
        assert batch["input_ids"].tolist() == [[2, 5, 6, 3, 5, 3, 0], [2, 6, 7, 3, 5, 6, 3]]
    assert processor(text="a", text_pair="cat", return_token_type_ids=True)["token_type_ids"] == [0, 0, 0, 1, 1]


@pytest.mark.slow
def test_as_custom_code_of_a_repository(processor, tmp_path):
    """The four files work when copied flat into a repository and loaded where hf_unimo is not imported."""
    source = Path(sys.modules[Unimo2Processor.__module__].__file__).parent
    names = ["tokenization", "image_processing", "image_processing_pil", "processing"]
    processor.save_pretrained(tmp_path / "repo")
    for name in names:
        (tmp_path / "repo" / f"{name}_unimo2.py").write_bytes((source / f"{name}_unimo2.py").read_bytes())
    auto_map = {
        "AutoProcessor": "processing_unimo2.Unimo2Processor",
        "AutoImageProcessor": [
            "image_processing_pil_unimo2.Unimo2ImageProcessorPil",
            "image_processing_unimo2.Unimo2ImageProcessor",
        ],
    }
    for file, addition in (
        ("processor_config.json", auto_map),
        ("tokenizer_config.json", {"AutoTokenizer": ["tokenization_unimo2.Unimo2Tokenizer", None]}),
    ):
        path = tmp_path / "repo" / file
        config = json.loads(path.read_text(encoding="utf-8"))
        if "image_processor" in config:
            config["image_processor"]["auto_map"] = {"AutoImageProcessor": auto_map["AutoImageProcessor"]}
        path.write_text(json.dumps(config | {"auto_map": addition}), encoding="utf-8")
    script = """
import sys
from transformers import AutoProcessor
processor = AutoProcessor.from_pretrained(sys.argv[1], trust_remote_code=True)
assert "hf_unimo" not in sys.modules
batch = processor(text="abcdef", text_pair="ghijkl<s>", truncation=True, max_length=10)
print(processor.tokenizer.convert_ids_to_tokens(batch["input_ids"]))
"""
    environment = os.environ | {"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"}
    result = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "repo")], capture_output=True, text=True, env=environment
    )
    assert "['<s>', 'a', 'b', 'c', 'd', '</s>', 'g', 'h', 'i', '</s>']" in result.stdout, result.stderr


# transformers' common suite


if common is None:

    @pytest.mark.skip(reason="transformers' common test suite is absent: its sdist could not be had")
    def test_common_suite():
        """Stands for the suite's tests."""

else:

    class Unimo2ProcessorTest(common.ProcessorTesterMixin, unittest.TestCase):
        processor_class = Unimo2Processor

        @classmethod
        def _setup_tokenizer(cls):
            return build_tokenizer()

        @classmethod
        def _setup_image_processor(cls):
            return build_image_processor()
