# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
# mypy: disable-error-code="override"
"""Pipeline: do a picture and a text belong together?"""

from typing import Any

import torch

from .base import ImageTextPipeline, Row


def matching_log_odds(output: Any) -> torch.Tensor:
    """
    The log odds (B,) with which a head takes its pairs for matching, float32.

    Ours gives `itm_logits` (B, 2), BLIP `itm_score` (B, 2), BridgeTower `logits` (B, 2), ViLT `logits` (B, 1).
    """
    logits = next(output[name] for name in ("itm_logits", "itm_score", "logits") if name in output).float()
    return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits[:, 0]


class ImageTextMatchingPipeline(ImageTextPipeline):
    """Says how likely a picture and a text belong together. Task `image-text-matching`."""

    own_task = "image-text-matching"

    def __call__(self, image: Any = None, text: Any = None, **kwargs) -> Any:
        """
        Args:
            image (picture, path, http(s) address, base64 text, or several): Or rows `{"image": ..., "text": ...}`,
                one, a list or an iterator.
            text (`str`, list or iterator): One goes with every picture, one picture with every text; lists are paired.
            timeout (`float`, *optional*): Seconds to wait for an address.
            batch_size, num_workers (`int`, *optional*): As in `transformers.Pipeline`.

        Returns:
            `dict`: `{"score", "logit"}`: the probability of a match and its log odds, by which to rank. For a list of
            rows a list of them, for an iterator a generator.

        Raises:
            BadInputError: If an input is missing or of another kind.
        """
        return self.run(image, text, **kwargs)

    def _sanitize_parameters(self, timeout=None):
        return ({} if timeout is None else {"timeout": timeout}), {}, {}

    def _outputs(self, rows: list[Row]) -> dict[str, torch.Tensor]:
        return {"logit": torch.stack(self.grouped(rows, lambda batch: matching_log_odds(self.model(**batch))))}

    def postprocess(self, outputs: dict[str, torch.Tensor]) -> dict[str, float]:
        """Probability and log odds of one row."""
        return {"score": outputs["logit"].sigmoid().item(), "logit": outputs["logit"].item()}
