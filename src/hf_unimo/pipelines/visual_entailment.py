# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
# mypy: disable-error-code="override"
"""Pipeline: what does a picture say about a sentence?"""

from typing import Any

import torch

from ..errors import BadInputError
from .base import ImageTextPipeline, Row
from .inputs import check_count


class VisualEntailmentPipeline(ImageTextPipeline):
    """
    Classifies pairs of a picture and a sentence: entailment, neutral, contradiction, or whatever classes the head was
    trained for (`config.id2label`). Task `visual-entailment`.
    """

    own_task = "visual-entailment"
    num_images = 1
    """Pictures of a row."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        config = self.model.config
        if config.num_labels < 2:
            raise BadInputError(f"`config.num_labels` is 1, a regression; {self.task} needs at least 2 classes.")
        if config.num_images != self.num_images:
            raise BadInputError(
                f"`config.num_images` is {config.num_images}; {self.task} needs a head for {self.num_images}."
            )

    def __call__(self, image: Any = None, text: Any = None, **kwargs) -> Any:
        """
        Args:
            image (picture, path, http(s) address, base64 text, or several): The premise. Or rows
                `{"image": ..., "text": ...}`, one, a list or an iterator.
            text (`str`, list or iterator): The hypothesis. One goes with every picture, one picture with every text;
                lists are paired.
            top_k (`int`, *optional*): How many classes; all by default.
            timeout (`float`, *optional*): Seconds to wait for an address.
            batch_size, num_workers (`int`, *optional*): As in `transformers.Pipeline`.

        Returns:
            `list[dict]`: `{"label", "score"}`, the likeliest first; softmax, or with
            `problem_type="multi_label_classification"` the sigmoid of each. For a list of rows a list of such lists,
            for an iterator a generator of them.

        Raises:
            BadInputError: If an input is missing or of another kind.
        """
        return self.run(image, text, **kwargs)

    def _sanitize_parameters(self, top_k=None, timeout=None):
        after = {} if top_k is None else {"top_k": check_count("top_k", top_k)}
        return ({} if timeout is None else {"timeout": timeout}), {}, after

    def _outputs(self, rows: list[Row]) -> dict[str, torch.Tensor]:
        return {"logits": self.logits(rows)}

    def postprocess(self, outputs: dict[str, torch.Tensor], top_k: int | None = None) -> list[dict[str, Any]]:
        """The classes of one row."""
        config, logits = self.model.config, outputs["logits"][0]
        several = config.problem_type == "multi_label_classification"
        values, places = (logits.sigmoid() if several else logits.softmax(-1)).sort(descending=True, stable=True)
        return [
            {"label": config.id2label[place], "score": score}
            for score, place in zip(values[:top_k].tolist(), places[:top_k].tolist())
        ]
