# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""`read_image`: every kind of picture comes out as upright RGB, and what cannot be used is refused with a reason."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from hf_unimo.data.images import BadRowError, read_image
from hf_unimo.models.unimo2.image_processing_pil_unimo2 import Unimo2ImageProcessorPil


LIMIT = 10_000
RED, GREEN = (250, 10, 20), (10, 240, 30)


def encoded(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def colours():
    """A wide picture, red on the left, green on the right."""
    image = Image.new("RGB", (12, 4), RED)
    image.paste(GREEN, (6, 0, 12, 4))
    return image


def see_through(mode="RGBA"):
    image = colours().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image.convert(mode)


def palette(transparency=None):
    image = colours().quantize(2)
    return encoded(image, **({} if transparency is None else {"transparency": transparency}))


def assert_red_and_green(image, tolerance=0):
    assert image.mode == "RGB" and image.size == (12, 4)
    assert np.abs(np.asarray(image)[:, 0].astype(int) - RED).max() <= tolerance
    assert np.abs(np.asarray(image)[:, -1].astype(int) - GREEN).max() <= tolerance


@pytest.mark.parametrize(
    ("data", "tolerance"),
    [
        (encoded(colours()), 0),
        (encoded(colours(), "WEBP", lossless=True), 0),
        (encoded(colours(), "GIF"), 0),
        (encoded(colours(), "JPEG", quality=100, subsampling=0), 3),
        (encoded(colours().convert("CMYK"), "JPEG", quality=100), 6),
        (palette(), 0),
        (palette(transparency=0), 0),
        (palette(transparency=bytes([0, 128])), 0),
        (encoded(see_through()), 0),
    ],
    ids=["png", "webp", "gif", "jpeg", "cmyk", "palette", "palette-index", "palette-bytes", "rgba"],
)
def test_colours(data, tolerance):
    assert_red_and_green(read_image(data, LIMIT), tolerance)


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_grey(mode):
    expected = np.asarray(colours().convert("L"))
    image = see_through("LA") if mode == "LA" else colours().convert("L")
    found = read_image(encoded(image), LIMIT)
    assert found.mode == "RGB"
    assert (np.asarray(found) == expected[..., None]).all()


def test_one_bit():
    image = Image.new("1", (5, 3))
    image.putpixel((4, 0), 1)
    expected = np.zeros((3, 5, 3), dtype=np.uint8)
    expected[0, 4] = 255
    assert (np.asarray(read_image(encoded(image), LIMIT)) == expected).all()


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_keeps_its_upper_bits(format):
    levels = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    found = np.asarray(read_image(encoded(Image.fromarray(levels), format), LIMIT))
    assert (found == np.arange(256).reshape(16, 16, 1)).all()


def test_16_bit_big_endian_and_in_32_bits():
    levels = np.array([[0, 255], [256, 65535]])
    expected = [[[0] * 3, [0] * 3], [[1] * 3, [255] * 3]]
    for image in (Image.fromarray(levels.astype(">u2")), Image.fromarray(levels.astype(np.int32))):
        assert np.asarray(read_image(image, LIMIT)).tolist() == expected


@pytest.mark.parametrize("level", [-1, 65536])
def test_32_bit_is_refused(level):
    with pytest.raises(BadRowError, match="accepted are 0 to 65535"):
        read_image(Image.fromarray(np.full((2, 2), level, dtype=np.int32)), LIMIT)


def test_floats_are_refused():
    with pytest.raises(BadRowError, match="floating-point"):
        read_image(encoded(Image.new("F", (2, 2)), "TIFF"), LIMIT)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "I;16"])
def test_exif_orientation(orientation, mode):
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,  # stored a quarter turn to the left, so that 6 turns it to the right
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    upright = colours() if mode == "RGB" else Image.fromarray((np.arange(48).reshape(4, 12) << 8).astype(np.uint16))
    stored = upright.transpose(turn[orientation]) if orientation in turn else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = read_image(encoded(stored, exif=exif), LIMIT)
    expected = np.asarray(colours()) if mode == "RGB" else np.arange(48).reshape(4, 12, 1).repeat(3, -1)
    assert (np.asarray(found) == expected).all()


@pytest.mark.parametrize("image", [see_through(), see_through("LA"), colours(), colours().convert("L")])
def test_agrees_with_the_image_processor(image):
    """Transparency is dropped in both, and an orientation is not applied a second time."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(image, exif=exif)
    processor = Unimo2ImageProcessorPil(size={"height": 8, "width": 8})
    expected, found = (
        processor(one, return_tensors="np").pixel_values
        for one in (Image.open(io.BytesIO(data)), read_image(data, LIMIT))
    )
    assert (expected == found).all()


def test_kinds_of_values(tmp_path):
    data, path = encoded(colours()), tmp_path / "colours.png"
    path.write_bytes(data)
    image = Image.open(path)
    for value in (data, str(path), path, path.as_uri(), image, {"bytes": data, "path": None}, {"bytes": data}):
        assert_red_and_green(read_image(value, LIMIT))
    assert_red_and_green(read_image({"bytes": None, "path": str(path)}, LIMIT))
    assert_red_and_green(read_image({"bytes": data, "path": "elsewhere.png"}, LIMIT))
    assert image.getpixel((0, 0)) == RED  # not closed: it is the caller's


def png_header(width, height):
    """A PNG that says it is this large, without the data."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_limit_of_pixels():
    assert read_image(encoded(Image.new("L", (100, 100))), LIMIT).size == (100, 100)
    with pytest.raises(BadRowError, match=r"100 x 101 pixels; accepted are up to 10000 pixels"):
        read_image(encoded(Image.new("L", (100, 101))), LIMIT)
    with pytest.raises(BadRowError, match="100 x 101"):
        read_image(Image.new("L", (100, 101)), LIMIT)


@pytest.mark.parametrize(
    ("size", "found"), [((10_000, 10_000), "10000 x 10000"), ((50_000, 50_000), "2500000000 pixels")]
)
@pytest.mark.parametrize("action", ["error", "always"])
def test_limit_of_pillow_stays_inside(size, found, action):
    """From 89 million pixels on Pillow warns, from 179 million on it raises; the header is enough for both."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter(action)
        with pytest.raises(BadRowError, match=f"{found}.*accepted are up to 10000 pixels"):
            read_image(png_header(*size), LIMIT)
    assert not caught


def test_postscript_is_not_run(tmp_path):
    path = tmp_path / "picture.png"
    Image.new("RGB", (8, 8)).save(path, format="EPS")
    assert Image.open(path).format == "EPS", "Pillow goes by the content, and would call Ghostscript"
    with pytest.raises(BadRowError, match="of no format that Pillow knows"):
        read_image(path, max_pixels=100)


def test_no_warning_about_a_palette():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_red_and_green(read_image(palette(transparency=bytes([0, 128])), LIMIT))


def noise():
    return Image.fromarray(np.random.RandomState(0).randint(256, size=(64, 64, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"", "no format that Pillow knows"),
        (b"no picture", "no format that Pillow knows"),
        (encoded(noise())[:5000], "cannot be read"),
        (encoded(noise(), "JPEG")[:2000], "cannot be read"),
        (encoded(noise()).replace(b"IDAT", b"IDAX"), "are broken"),
        (png_header(10, 10), "cannot be read"),
        ("nowhere/dog.png", "FileNotFoundError.*dog.png"),
        ("nothing://dog.png", "cannot be read"),
        (None, "there is no picture"),
        ({"bytes": None, "path": None}, "there is no picture"),
        (5, "type int"),
    ],
)
def test_bad_values(value, message):
    with pytest.raises(BadRowError, match=message):
        read_image(value, LIMIT)
