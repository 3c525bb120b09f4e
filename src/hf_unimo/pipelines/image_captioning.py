# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
# mypy: disable-error-code="override"
"""Pipeline: a caption for a picture."""

from typing import Any

import torch

from .base import ImageTextPipeline, Row


class ImageCaptioningPipeline(ImageTextPipeline):
    """Writes captions. Task `image-captioning`; [`hf_unimo.pipeline`] also knows it as `image-to-text`."""

    own_task = "image-captioning"
    text_name = "prompt"
    needs = ("image",)

    def __call__(self, image: Any = None, prompt: Any = None, **kwargs) -> Any:
        """
        Args:
            image (picture, path, http(s) address, base64 text, or several): What to describe. Or rows
                `{"image": ..., "prompt": ...}`, one, a list or an iterator; the prompt may be missing.
            prompt (`str`, list or iterator, *optional*): How the caption begins. One goes with every picture; lists
                are paired.
            generate_kwargs (`dict`, *optional*): For `generate`: beams, length and so on. Without a length, 30
                tokens are added at most.
            timeout (`float`, *optional*): Seconds to wait for an address.
            batch_size, num_workers (`int`, *optional*): As in `transformers.Pipeline`.

        Returns:
            `list[dict]`: `{"generated_text"}` for each sequence that `generate` returns, the prompt included. For a
            list of pictures a list of such lists, for an iterator a generator of them.

        Raises:
            BadInputError: If an input is missing or of another kind.
        """
        return self.run(image, prompt, **kwargs)

    def _sanitize_parameters(self, generate_kwargs=None, timeout=None):
        forward = {} if generate_kwargs is None else {"generate_kwargs": generate_kwargs}
        return ({} if timeout is None else {"timeout": timeout}), forward, {}

    def preprocess(self, row: Any, timeout: float | None = None) -> dict[str, Any]:
        """One row, encoded; a prompt ends open."""
        inputs = super().preprocess(row if isinstance(row, dict) else {"image": row}, timeout)
        words = inputs["rows"]
        if "input_ids" in words and self.continues_prompts():
            for name in words.keys() - {"pixel_values", "pixel_mask"}:
                words[name] = words[name][:-1]  # without the separator after it
        return inputs

    def _outputs(self, rows: list[Row], generate_kwargs: dict[str, Any] | None = None) -> dict[str, torch.Tensor]:
        return {"sequences": self.generate(rows, generate_kwargs or {}, prompts=True)}

    def postprocess(self, outputs: dict[str, torch.Tensor]) -> list[dict[str, str]]:
        """The captions of one row."""
        return [{"generated_text": text} for text in self.read(outputs["sequences"][0])]
