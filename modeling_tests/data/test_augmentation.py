# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""`Augmentation`: shapes, ranges, identity, determinism, and what each part does."""

import pytest
import torch

from hf_unimo.data.augmentation import Augmentation, two_views
from hf_unimo.data.schedule import row_generators
from hf_unimo.errors import BadInputError


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(batch=6, height=24, width=32, dtype=torch.uint8, seed=9):
    values = torch.randint(0, 256, (batch, 3, height, width), generator=seeded(seed), dtype=torch.uint8)
    return values if dtype == torch.uint8 else (values.double() / 255).to(dtype)


def ramp(batch=1, size=64):
    """Red grows from left to right, green from top to bottom: a colour says where it came from."""
    line = (torch.arange(size) + 0.5) / size
    red, green = line.expand(size, size), line[:, None].expand(size, size)
    return torch.stack([red, green, torch.zeros(size, size)]).expand(batch, -1, -1, -1)


DTYPES = [torch.uint8, torch.float32, torch.float16, torch.float64]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [None, (16, 20), (40, 8)])
@pytest.mark.parametrize("preset", [Augmentation.contrastive, Augmentation.caption_safe])
def test_shapes_types_and_ranges(dtype, size, preset):
    images = pictures(dtype=dtype)
    before = images.clone()
    result = preset(size)(images, seeded())
    assert result.shape == (6, 3, *(size or (24, 32))) and result.dtype == dtype
    assert torch.equal(images, before)
    if dtype != torch.uint8:
        assert result.min() >= 0 and result.max() <= 1
    assert result.double().std() > 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "options", [{}, {"size": [24, 32], "scale": [1, 1], "ratio": [1, 1]}, {"flip": 0.0, "scale": (1, 1)}]
)
def test_identity_is_bit_equal(dtype, options):
    images = pictures(dtype=dtype)
    assert torch.equal(Augmentation(**options)(images, seeded()), images)


def test_neutral_crop_and_factors_change_nothing_that_shows():
    """A crop of the whole picture through the resampling, and pictures that a part leaves out."""
    images = pictures()
    whole = Augmentation(ratio=(0.5, 2.0))(images, seeded())  # only ratio 1 fits a crop of the whole area
    assert torch.equal(whole, images)
    grey = images[:, :1].expand(-1, 3, -1, -1).contiguous()
    assert torch.equal(Augmentation(saturation=0.9, greyscale=0.5)(grey, seeded()), grey)


@pytest.mark.parametrize("preset", [Augmentation.contrastive(), Augmentation.caption_safe()])
def test_deterministic_and_different_for_each_picture(preset):
    images = pictures(1).expand(8, -1, -1, -1)
    first = preset(images, seeded(3))
    assert torch.equal(first, preset(images, seeded(3)))
    assert not torch.equal(first, preset(images, seeded(4)))
    assert len({row.numpy().tobytes() for row in first}) == 8


def test_a_picture_does_not_depend_on_its_batch():
    """With a generator for each picture: two ranks make what one process makes."""
    images, augmentation = pictures(5), Augmentation.contrastive()
    whole = two_views(augmentation, images, row_generators(range(5), 1, 2, "views"))
    for rows in ([0, 1], [4], [2, 3]):
        part = two_views(augmentation, images[rows], row_generators(rows, 1, 2, "views"))
        for one, other in zip(whole, part):
            assert (one[rows].int() - other.int()).abs().max() <= 1  # rounding of the last bit


def test_two_views_differ():
    images = pictures(4)
    first, second = two_views(Augmentation.contrastive(), images, seeded())
    assert first.shape == second.shape == images.shape
    assert all(not torch.equal(one, other) for one, other in zip(first, second))
    assert all(torch.equal(view, images) for view in two_views(Augmentation(), images, seeded()))


@pytest.mark.parametrize("probability", [0.0, 0.3, 0.5, 1.0])
def test_proportion_of_flips(probability):
    images = pictures(1, 2, 3).expand(4000, -1, -1, -1)
    result = Augmentation(flip=probability)(images, seeded())
    flipped = (result == images[0].flip(-1)).flatten(1).all(1)
    assert ((result == images[0]).flatten(1).all(1) | flipped).all()
    error = 4 * (probability * (1 - probability) / 4000) ** 0.5
    assert abs(flipped.float().mean() - probability) <= error


def test_a_probability_of_1_holds_for_draws_that_round_to_1(monkeypatch):
    draws = torch.full((2, 9), 1 - 2**-53, dtype=torch.float64)
    monkeypatch.setattr("hf_unimo.data.augmentation.uniform_draws", lambda *_: draws)
    images = pictures(2)
    assert torch.equal(Augmentation(flip=1.0)(images, seeded()), images.flip(-1))


@pytest.mark.parametrize("probability", [0.0, 0.2, 1.0])
def test_proportion_of_greyscale(probability):
    result = Augmentation(greyscale=probability)(pictures(1, 2, 3, torch.float32).expand(4000, -1, -1, -1), seeded())
    grey = (result == result[:, :1]).flatten(1).all(1)
    error = 4 * (probability * (1 - probability) / 4000) ** 0.5
    assert abs(grey.float().mean() - probability) <= error


def boxes(images):
    """Left, right, top and bottom edge of the crops of `ramp` pictures, as shares of the picture."""
    red, green = images[:, 0].mean(1), images[:, 1].mean(2)  # along x, along y
    edges = []
    for line in (red, green):
        middle, number = line.mean(1), line.shape[1]
        half = (line[:, number - 8] - line[:, 7]) / (number - 15) * number / 2  # away from the padded margin
        edges += [middle - half, middle + half]
    return edges


@pytest.mark.parametrize(
    "scale, ratio", [((0.2, 1.0), (3 / 4, 4 / 3)), ((0.85, 1.0), (0.95, 1.05)), ((0.5, 0.5), (1, 1))]
)
def test_crops_keep_area_and_ratio_and_lie_within_the_picture(scale, ratio):
    left, right, top, bottom = boxes(Augmentation(scale, ratio)(ramp(2000), seeded()))
    width, height = right - left, bottom - top
    assert min(left.min(), top.min()) > -0.01 and max(right.max(), bottom.max()) < 1.01
    area = width * height
    assert area.min() > scale[0] - 0.01 and area.max() < scale[1] + 0.01
    assert (width / height).min() > ratio[0] - 0.02 and (width / height).max() < ratio[1] + 0.02
    expected, spread = sum(scale) / 2, (scale[1] - scale[0]) / 12**0.5
    assert abs(area.mean() - expected) < 4 * spread / 2000**0.5 + 0.005
    if scale[0] < 0.5:  # places and ratios vary, without a side
        assert left.std() > 0.05 and top.std() > 0.05
        assert abs((left - (1 - right)).mean()) < 0.03 and abs((width / height).log().mean()) < 0.02


def test_interpolation_stays_within_the_range():
    white = Augmentation((0.2, 1.0))(torch.ones(50, 3, 33, 33), seeded())
    assert white.max() == 1 and white.min() > 0.999


def test_a_crop_shows_what_lies_there():
    image = ramp(50, 64)
    crops = Augmentation((0.3, 0.3))(image, seeded())
    left, right, top, bottom = (edge.view(-1, 1) for edge in boxes(crops))
    line = (torch.arange(64) + 0.5) / 64
    inner = slice(2, -2)
    assert torch.allclose(crops[:, 0, 32, inner], (left + (right - left) * line)[:, inner], atol=2e-3)
    assert torch.allclose(crops[:, 1, inner, 32], (top + (bottom - top) * line)[:, inner], atol=2e-3)


def test_one_part_leaves_the_draws_of_the_others_alone():
    images = pictures(20)
    flipped = (Augmentation(flip=0.5)(images, seeded()) != images).flatten(1).any(1)
    both = Augmentation(flip=0.5, brightness=0.1, saturation=0.1)(images, seeded())
    recoloured = Augmentation(brightness=0.1, saturation=0.1)(images, seeded())
    assert torch.equal(both, torch.where(flipped.view(-1, 1, 1, 1), recoloured.flip(-1), recoloured))


def test_brightness_contrast_and_saturation():
    images = pictures(2000, 2, 2, torch.float64, seed=1) * 0.2 + 0.4  # no value reaches the ends
    factor = Augmentation(brightness=0.5)(images, seeded()) / images
    assert (factor.flatten(1).std(1) < 1e-6).all()
    assert 0.5 <= factor.min() < 0.51 and 1.49 < factor.max() <= 1.5
    assert abs(factor.mean() - 1) < 4 * 12**-0.5 / 2000**0.5

    luma = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64).view(3, 1, 1)
    grey = (images * luma).sum(1, keepdim=True)
    saturated = Augmentation(saturation=0.5)(images, seeded())
    assert torch.allclose((saturated * luma).sum(1, keepdim=True), grey, atol=1e-6)  # lightness stays
    contrasted = Augmentation(contrast=0.5)(images, seeded())
    mean = grey.mean((2, 3), keepdim=True)
    assert torch.allclose((contrasted * luma).sum(1).mean((1, 2)), mean.flatten(), atol=1e-6)
    for result, centre in ((saturated, grey), (contrasted, mean)):
        factor = ((result - centre) * (images - centre)).flatten(1).sum(1) / ((images - centre) ** 2).flatten(1).sum(1)
        assert torch.allclose(result, centre + (images - centre) * factor.view(-1, 1, 1, 1), atol=1e-6)
        assert 0.499 < factor.min() < 0.51 and 1.49 < factor.max() < 1.501


def test_uint8_equals_float_up_to_rounding():
    images, augmentation = pictures(), Augmentation.contrastive()
    exact = augmentation(images.float() / 255, seeded()) * 255
    assert (augmentation(images, seeded()) - exact).abs().max() <= 0.5 + 1e-3


def test_caption_safe_contradicts_no_caption():
    preset = Augmentation.caption_safe()
    assert (preset.flip, preset.contrast, preset.saturation, preset.greyscale) == (0, 0, 0, 0)
    left, right, top, bottom = boxes(Augmentation(preset.scale, preset.ratio)(ramp(500), seeded()))
    assert (right > left).all() and (bottom > top).all()  # left stays left
    assert min((right - left).min(), (bottom - top).min()) > 0.8
    colours = torch.rand(100, 3, 1, 1, generator=seeded()) * 0.8
    hue = preset(colours, seeded()) / colours
    assert (hue.flatten(1).std(1) < 1e-5).all()  # all channels by one factor


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_empty_batch(dtype):
    result = Augmentation.contrastive((8, 9))(torch.empty(0, 3, 4, 4, dtype=dtype), seeded())
    assert result.shape == (0, 3, 8, 9) and result.dtype == dtype


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Augmentation(scale=(0, 1)), r"`scale` of the augmentation is \(0, 1\)"),
        (lambda: Augmentation(scale=(0.9, 0.8)), "`scale`"),
        (lambda: Augmentation(scale=(0.9, 1.1)), "`scale`"),
        (lambda: Augmentation(ratio=(1.1, 1.2)), "`ratio`"),
        (lambda: Augmentation(scale=0.5), "`scale` of the augmentation is 0.5"),
        (lambda: Augmentation(size=[0, 4]), "`size`"),
        (lambda: Augmentation(flip=2), "`flip` of the augmentation is 2"),
        (lambda: Augmentation(brightness=-0.1), "`brightness`"),
        (lambda: Augmentation()(torch.zeros(3, 4, 4), seeded()), r"shape \(3, 4, 4\)"),
        (lambda: Augmentation()(torch.zeros(2, 1, 4, 4), seeded()), r"shape \(2, 1, 4, 4\)"),
        (lambda: Augmentation()(torch.zeros(2, 3, 4, 4).long(), seeded()), "type torch.int64"),
        (lambda: Augmentation()(torch.full((2, 3, 4, 4), -1.0), seeded()), "values from -1 to -1"),
        (lambda: Augmentation()(torch.full((2, 3, 4, 4), float("nan")), seeded()), "values from nan"),
        (lambda: Augmentation()(pictures(2), row_generators([0], 0)), "1 generators came with 2 rows"),
    ],
)
def test_bad_input_gets_one_sentence(make, message):
    with pytest.raises(BadInputError, match=message):
        make()
