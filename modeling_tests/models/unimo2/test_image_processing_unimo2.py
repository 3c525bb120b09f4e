# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""`Unimo2ImageProcessorPil` and `Unimo2ImageProcessor`."""

import subprocess
import sys
import unittest
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers.image_processing_backends import TorchvisionBackend
from transformers.utils import is_torchvision_available

from hf_unimo.models.unimo2.image_processing_pil_unimo2 import Unimo2ImageProcessorPil
from hf_unimo.models.unimo2.image_processing_unimo2 import Unimo2ImageProcessor


try:
    from hf_common_tests import test_image_processing_common as common
except ImportError:
    common = None


FIXTURES = Path(__file__).parents[2] / "fixtures" / "unimo2_aux"
needs_torchvision = pytest.mark.skipif(not is_torchvision_available(), reason="torchvision is not installed")
BACKENDS = [Unimo2ImageProcessorPil, pytest.param(Unimo2ImageProcessor, marks=needs_torchvision)]
IMAGES = ["rgb", "gray", "rgba", "palette", "same_size"]


def pixels(processor, images, **kwargs) -> np.ndarray:
    return processor(images, return_tensors="np", **kwargs)["pixel_values"]


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    arrays = np.load(FIXTURES / "preprocess.npz")
    return {name: arrays[name].transpose(2, 0, 1) for name in IMAGES}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("name", IMAGES)
def test_pil_equals_the_first_implementation(expected, name):
    processor = Unimo2ImageProcessorPil(size=32)
    with Image.open(FIXTURES / f"{name}.png") as image:
        np.testing.assert_allclose(pixels(processor, image)[0], expected[name], rtol=0, atol=1e-6)
    np.testing.assert_allclose(pixels(processor, str(FIXTURES / f"{name}.png"))[0], expected[name], rtol=0, atol=1e-6)


@needs_torchvision
@pytest.mark.parametrize("name", IMAGES)
def test_torchvision_is_close_to_the_first_implementation(expected, name):
    with Image.open(FIXTURES / f"{name}.png") as image:
        found = pixels(Unimo2ImageProcessor(size=32), image)[0]
    # The limits within which transformers' own suite asks its back ends to agree.
    np.testing.assert_allclose(found, expected[name], rtol=0, atol=0.1)
    assert np.abs(found - expected[name]).mean() <= 5e-3


@pytest.mark.parametrize("processor_class", BACKENDS)
def test_defaults(processor_class, rng):
    images = [
        Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)) for size in ((30, 50, 3), (300, 20, 3), (1, 1, 3))
    ]
    values = processor_class()(images, return_tensors="pt")["pixel_values"]
    assert values.shape == (3, 3, 224, 224) and values.dtype == torch.float32
    assert values.min() >= -1 and values.max() <= 1
    white = processor_class()(Image.new("RGB", (9, 9), "white"), return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(white, torch.ones(1, 3, 224, 224))


@pytest.mark.parametrize("processor_class", BACKENDS)
def test_exif_orientation(processor_class, rng, tmp_path):
    upright = Image.fromarray(rng.integers(0, 256, (16, 24, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 270 degrees to see it upright
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    processor = processor_class(size={"height": 16, "width": 24})
    with Image.open(tmp_path / "turned.png") as turned:
        assert turned.size == (16, 24)
        np.testing.assert_array_equal(pixels(processor, turned), pixels(processor, upright))
    np.testing.assert_array_equal(pixels(processor, str(tmp_path / "turned.png")), pixels(processor, upright))


@pytest.mark.parametrize("processor_class", BACKENDS)
def test_transparency_is_dropped(processor_class, rng):
    rgb = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    rgba = np.dstack([rgb, rng.integers(0, 256, (32, 32), dtype=np.uint8)])
    with_colour_key = Image.fromarray(rgb)
    with_colour_key.info["transparency"] = tuple(int(value) for value in rgb[0, 0])
    processor = processor_class(size=32)
    wanted = pixels(processor, Image.fromarray(rgb))
    for image in (Image.fromarray(rgba), rgba, torch.from_numpy(rgba).permute(2, 0, 1), with_colour_key):
        np.testing.assert_array_equal(pixels(processor, image), wanted)


@pytest.mark.parametrize("processor_class", BACKENDS)
def test_arrays_and_tensors(processor_class, rng):
    rgb = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    processor = processor_class(size=32)
    wanted = pixels(processor, Image.fromarray(rgb))
    for image in (rgb, rgb.transpose(2, 0, 1), torch.from_numpy(rgb), [rgb]):
        np.testing.assert_array_equal(pixels(processor, image), wanted)
    gray = rgb[..., :1]
    wanted = pixels(processor, Image.fromarray(gray[..., 0]))
    for image in (gray, torch.from_numpy(gray).permute(2, 0, 1)):
        np.testing.assert_array_equal(pixels(processor, image), wanted)
    # Three pixels high and three channels: the layout can be said.
    flat = rng.integers(0, 256, (3, 30, 3), dtype=np.uint8)
    np.testing.assert_array_equal(
        pixels(processor, flat, input_data_format="channels_last"), pixels(processor, Image.fromarray(flat))
    )


@pytest.mark.parametrize("processor_class", BACKENDS)
def test_size(processor_class):
    image = Image.new("RGB", (40, 30))
    assert processor_class(size=48).size == processor_class(size={"height": 48, "width": 48}).size
    assert pixels(processor_class(), image, size={"height": 32, "width": 64}).shape == (1, 3, 32, 64)
    assert pixels(processor_class(do_resize=False), image).shape == (1, 3, 30, 40)
    for size in ({"shortest_edge": 32}, {"shortest_edge": 32, "longest_edge": 64}, {"height": 32}, {"max_height": 1}):
        with pytest.raises(ValueError, match="`size` must give `height` and `width`"):
            processor_class(size=size)
        with pytest.raises(ValueError, match="`size` must give `height` and `width`"):
            processor_class()(image, size=size)


@pytest.mark.parametrize("processor_class", BACKENDS)
def test_save_and_reload(processor_class, tmp_path, rng):
    image = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    processor = processor_class(size={"height": 16, "width": 24}, image_mean=[0.1, 0.2, 0.3], do_convert_rgb=False)
    processor.save_pretrained(tmp_path)
    again = processor_class.from_pretrained(tmp_path)
    assert again.to_dict() == processor.to_dict()
    assert again.to_dict()["image_processor_type"] == "Unimo2ImageProcessor"
    np.testing.assert_array_equal(pixels(again, image), pixels(processor, image))


def test_pil_works_without_torchvision():
    script = """
import sys
sys.modules["torchvision"] = None  # raises ImportError on `import torchvision`
import numpy as np
from hf_unimo.models.unimo2.image_processing_pil_unimo2 import Unimo2ImageProcessorPil
import hf_unimo.models.unimo2.image_processing_unimo2
print(Unimo2ImageProcessorPil(size=8)(np.zeros((4, 5, 3), np.uint8), return_tensors="np")["pixel_values"].shape)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.stdout.strip() == "(1, 3, 8, 8)", result.stderr


# transformers' common suite


if common is None:

    @pytest.mark.skip(reason="transformers' common test suite is absent: its sdist could not be had")
    def test_common_suite():
        """Stands for the suite's tests."""

else:

    class Unimo2ImageProcessingTester(common.ImageProcessingTester):
        def __init__(self, parent, **kwargs):
            kwargs.setdefault("size", {"height": 18, "width": 20})
            super().__init__(parent, **kwargs)

        def _get_image_processing_classes(self):
            # The suite's own look-up is a table of transformers' models.
            classes = {"pil": Unimo2ImageProcessorPil}
            return classes | ({"torchvision": Unimo2ImageProcessor} if is_torchvision_available() else {})

    class Unimo2ImageProcessingTest(common.ImageProcessingTestMixin, unittest.TestCase):
        image_processor_tester_class = Unimo2ImageProcessingTester

        def test_pil_can_run_without_torchvision(self):
            """The suite's script imports transformers alone; `test_pil_works_without_torchvision` asks the same."""

        def test_new_models_require_torchvision_backend(self):
            # The suite looks at the back ends that can run here; this one exists whether or not torchvision does.
            assert issubclass(Unimo2ImageProcessor, TorchvisionBackend)
