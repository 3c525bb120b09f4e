# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
# mypy: disable-error-code="override"
"""Pipeline: a question about a picture."""

from typing import Any

import torch

from .base import ImageTextPipeline, Row
from .inputs import check_count


class ImageQuestionAnsweringPipeline(ImageTextPipeline):
    """
    Answers questions about pictures: from the classifier's answer vocabulary (`config.id2label`), or, with BLIP, in
    words that the model writes. Task `image-question-answering`; [`hf_unimo.pipeline`] also knows it as
    `visual-question-answering` and `vqa`.
    """

    own_task = "image-question-answering"
    text_name = "question"
    needs = ("image", "question")

    def __call__(self, image: Any = None, question: Any = None, **kwargs) -> Any:
        """
        Args:
            image (picture, path, http(s) address, base64 text, or several): What is asked about. Or rows
                `{"image": ..., "question": ...}`, one, a list or an iterator.
            question (`str`, list or iterator): One goes with every picture; lists are paired.
            top_k (`int`, defaults to 5): How many answers of a classifier.
            generate_kwargs (`dict`, *optional*): For `generate`, with a model that writes.
            timeout (`float`, *optional*): Seconds to wait for an address.
            batch_size, num_workers (`int`, *optional*): As in `transformers.Pipeline`.

        Returns:
            `list[dict]`: `{"score", "answer"}`, the best first; the score is the sigmoid of the logit, as answers are
            trained independently of each other. Of a model that writes `{"answer"}`. For a list of rows a list of
            such lists, for an iterator a generator of them.

        Raises:
            BadInputError: If an input is missing or of another kind.
        """
        return self.run(image, question, **kwargs)

    def _sanitize_parameters(self, top_k=None, generate_kwargs=None, timeout=None):
        forward = {} if generate_kwargs is None else {"generate_kwargs": generate_kwargs}
        after = {} if top_k is None else {"top_k": check_count("top_k", top_k)}
        return ({} if timeout is None else {"timeout": timeout}), forward, after

    def _outputs(self, rows: list[Row], generate_kwargs: dict[str, Any] | None = None) -> dict[str, torch.Tensor]:
        if self.model.can_generate():
            return {"sequences": self.generate(rows, generate_kwargs or {}, prompts=False)}
        return {"logits": self.logits(rows)}

    def postprocess(self, outputs: dict[str, torch.Tensor], top_k: int = 5) -> list[dict[str, Any]]:
        """The answers of one row."""
        if "sequences" in outputs:
            return [{"answer": text} for text in self.read(outputs["sequences"][0])]
        scores = outputs["logits"][0].sigmoid()
        values, places = scores.sort(descending=True, stable=True)
        labels = self.model.config.id2label
        return [
            {"score": score, "answer": labels[place]}
            for score, place in zip(values[:top_k].tolist(), places[:top_k].tolist())
        ]
