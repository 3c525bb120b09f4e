# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
# mypy: disable-error-code="override"
"""Pipeline: the masked word of a text, with or without a picture."""

import inspect
from typing import Any

from transformers import AutoImageProcessor
from transformers.pipelines.fill_mask import FillMaskPipeline

from ..errors import BadInputError
from .inputs import as_rows, check_row, read_image


class ImageFillMaskPipeline(FillMaskPipeline):
    """
    transformers' `fill-mask`, which also

    * takes a picture beside the text, where the model does: `pipe("a red <mask>", image=picture)`, or rows
      `{"image": ..., "text": ...}`;
    * recognises the mask token where a tokenizer splits special tokens that are spelled out in a text, as ours does.

    With any other model it is transformers' own.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        takes_images = "pixel_values" in inspect.signature(self.model.forward).parameters
        if self.image_processor is None and takes_images and self.model.name_or_path:
            # Not by `_load_image_processor`, which would have every text model's repository searched for one.
            try:
                self.image_processor = AutoImageProcessor.from_pretrained(self.model.name_or_path)
            except (OSError, ValueError):  # a repository without one; a picture is then refused
                self.image_processor = None

    def __call__(self, inputs: Any = None, image: Any = None, **kwargs) -> Any:
        """
        Args:
            inputs (`str`, row, list or iterator): Texts with mask tokens, or rows `{"image": ..., "text": ...}`.
            image (picture, path, http(s) address, base64 text, or several, *optional*): Beside the texts.
            top_k, targets, tokenizer_kwargs, batch_size, num_workers: As in transformers' `fill-mask`.

        Returns:
            `list[dict]`: As transformers' `fill-mask`: `{"score", "token", "token_str", "sequence"}`.

        Raises:
            BadInputError: If a picture is given that the model or the pipeline cannot take.
        """
        if inputs is None:
            raise BadInputError("`inputs` is missing; expected a text with the mask token, or rows with one.")
        if image is not None:
            inputs = as_rows(image, inputs, "text")
        return super().__call__(inputs, **kwargs)

    def preprocess(self, inputs: Any, return_tensors=None, tokenizer_kwargs=None, **kwargs) -> Any:
        """A text, or a row of a text and a picture, encoded."""
        if getattr(self.tokenizer, "split_special_tokens", False):
            tokenizer_kwargs = {"split_special_tokens": False} | (tokenizer_kwargs or {})
        if not isinstance(inputs, dict):
            return super().preprocess(inputs, return_tensors, tokenizer_kwargs, **kwargs)
        image, text = check_row(inputs, "text", ("text",), "fill-mask")
        encoded = super().preprocess(text, return_tensors, tokenizer_kwargs, **kwargs)
        if image is not None:
            if self.image_processor is None:
                raise BadInputError(
                    f"`image` is given, but this {type(self.model).__name__} came without an `image_processor`; "
                    "expected a text alone, or a model that takes images and its image processor."
                )
            encoded.update(self.image_processor(images=read_image(image), return_tensors="pt").to(self.dtype))
        return encoded


class RepositoryFillMaskPipeline(ImageFillMaskPipeline):
    """The same for a repository with an image processor, which comes as the model does: same revision, same trust."""

    _load_image_processor = None  # type: ignore[assignment]
