# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""UNIMO-2 processor: image processor and tokenizer in one."""

from transformers import ProcessorMixin


class Unimo2Processor(ProcessorMixin):
    r"""
    Joins a [`Unimo2ImageProcessor`] and a [`Unimo2Tokenizer`]. Either input may be missing.

    `processor(images=..., text=...)` gives `pixel_values` and `input_ids`, `attention_mask`; keyword arguments of both
    parts are accepted, and pairs of texts are passed as `text=..., text_pair=...`. Texts are padded to the longest of
    the batch, unless `padding` says otherwise; they are not truncated unless `truncation` asks for it.

    Args:
        image_processor ([`Unimo2ImageProcessor`] or [`Unimo2ImageProcessorPil`]): Makes `pixel_values`.
        tokenizer ([`Unimo2Tokenizer`], or that of a text encoder trained apart, e.g. `BertTokenizer`): Makes
            `input_ids` and `attention_mask`. No `token_type_ids` unless asked for: the texts of a pair are no segments
            here, and captioning would take those of BERT for object tags.
    """

    text_kwargs = {"padding": True, "return_token_type_ids": False}

    def __init__(self, image_processor=None, tokenizer=None, **kwargs):
        super().__init__(image_processor, tokenizer, **kwargs)


__all__ = ["Unimo2Processor"]
