# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Pictures of all kinds as upright RGB, and what is refused."""

import io
import os
import re
import warnings
from contextlib import nullcontext
from functools import cache

import fsspec
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError


class BadRowError(ValueError):
    """One row of a source cannot be used. The message says why, `place` where, if a source has read the row."""

    place: str = ""


def read_image(value, max_pixels: int) -> Image.Image:
    """
    A picture as RGB, turned upright by its EXIF orientation.

    Transparency is dropped, not blended with a background, as by the image processor. 16-bit grey keeps its upper
    eight bits (Pillow's own conversion would clip nearly everything to white). Of several frames the first counts.

    Args:
        value (`dict`, `bytes`, `str`, path or `PIL.Image.Image`): `{"bytes": ..., "path": ...}` as `datasets` gives it
            without decoding (the path counts where there are no bytes), the bytes of a file, or its path or URL
            (anything fsspec opens).
        max_pixels (`int`): A picture with more of them is refused by its header, before anything is decoded.
            Pillow's own limit for certain attacks, `2 * PIL.Image.MAX_IMAGE_PIXELS`, holds besides.

    Raises:
        BadRowError: If there is no picture, it has too many pixels, or it cannot be decoded.
    """
    # Flaws that Pillow can live with are no news, and of its limit the caller hears by the error alone.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with opened_image(value) as file:
                image = file if isinstance(file, Image.Image) else Image.open(file, formats=_formats())
                width, height = image.size
                if width * height > max_pixels:
                    raise BadRowError(
                        f"the picture has {width} x {height} pixels; accepted are up to {max_pixels} pixels"
                    )
                return _to_rgb(image)
        except BadRowError:
            raise
        except Image.DecompressionBombError as error:
            number = re.search(r"\d+", str(error))  # its message is all that tells
            limit = min(max_pixels, 2 * (Image.MAX_IMAGE_PIXELS or max_pixels))
            raise BadRowError(
                f"the picture has {number.group() if number else 'more'} pixels; accepted are up to {limit} pixels"
            ) from error
        except UnidentifiedImageError as error:  # its message is the address of a buffer
            raise BadRowError("the picture's data are broken, or of no format that Pillow knows") from error
        except Exception as error:
            # Broken data make Pillow's plugins raise whatever they run into: OSError, SyntaxError, struct.error, ...
            raise BadRowError(f"the picture cannot be read ({type(error).__name__}: {error})") from error


@cache
def _formats() -> list[str]:
    """Pillow's, without EPS: it is a program, which Pillow gives to Ghostscript whatever the file is called."""
    Image.init()
    return [name for name in Image.ID if name != "EPS"]


def opened_image(value):
    """A context that gives a binary file, or the picture itself."""
    if isinstance(value, dict):
        value = value.get("path") if value.get("bytes") is None else value["bytes"]
    if value is None:
        raise BadRowError("there is no picture")
    if isinstance(value, Image.Image):
        return nullcontext(value)  # stays open: it is the caller's
    if isinstance(value, bytes):
        return io.BytesIO(value)
    if isinstance(value, str | os.PathLike):
        path = os.fspath(value)
        return fsspec.open(path, "rb") if "://" in path else open(path, "rb")
    raise BadRowError(f"the picture is of type {type(value).__name__}; accepted are a file's bytes and its path")


def _to_rgb(image: Image.Image) -> Image.Image:
    image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise BadRowError("the picture has floating-point grey levels; accepted are integers of up to 16 bit")
    if image.mode.startswith("I"):  # 16 bit, which some formats and older versions of Pillow hold in 32
        levels = np.asarray(image)
        if levels.min() < 0 or levels.max() >= 2**16:
            raise BadRowError(
                f"the picture has grey levels from {levels.min()} to {levels.max()}; accepted are 0 to 65535"
            )
        image = Image.fromarray((levels >> 8).astype(np.uint8))
    return image.convert("RGB")
