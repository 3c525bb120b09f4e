# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
# mypy: disable-error-code="override"
"""Pipeline: the best of many pictures for a text, the best of many texts for a picture."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F

from ..errors import BadInputError
from .base import ImageTextPipeline, Row
from .heads import HEADS
from .image_text_matching import matching_log_odds
from .inputs import check_count, is_list


Features = Callable[..., torch.Tensor]


class ImageTextRetrievalPipeline(ImageTextPipeline):
    """
    Finds the best pictures for a text and the best texts for a picture. Task `image-text-retrieval`.

    Every picture and every text is encoded once, and their features are compared; on request the matching head looks
    at the best of them again. ViLT and BridgeTower's matching head have no features: they score every pair.
    """

    own_task = "image-text-retrieval"
    needs = ()

    def __call__(self, images: Any = None, texts: Any = None, **kwargs) -> Any:  # type: ignore[override]
        """
        Args:
            images (picture, path, http(s) address, base64 text, or a list): The candidates, or the query.
            texts (`str` or a list): The query, or the candidates.
            query (`str`, *optional*): `"image"` or `"text"`: which side searches the other, if both are lists.
                Otherwise it is the one that is no list.
            top_k (`int`, defaults to 10): How many hits a query, all at most.
            rerank (`int`, defaults to 0): How many of the best candidates of a query the matching head scores again,
                at least `top_k`. Each of these pairs is encoded anew.
            timeout (`float`, *optional*): Seconds to wait for an address.
            batch_size, num_workers (`int`, *optional*): As in `transformers.Pipeline`.

        Returns:
            `list[dict]`: `{"index", "score", "image" or "text"}`, the best first: place among the candidates, score,
            and the candidate as it was given. The score is the product of the contrastive features, or that of the
            matching head, by which the model's authors rank. For a list of queries a list of such lists.

        Raises:
            BadInputError: If an input is missing or of another kind, or the model has no matching head to rerank.
        """
        query = kwargs.pop("query", None)
        top_k, rerank = check_count("top_k", kwargs.pop("top_k", 10)), kwargs.pop("rerank", 0)
        sides = {"image": images, "text": texts}
        query = _checked_query(query, sides)
        self.check_rerank(rerank, top_k)
        single = not is_list(sides[query])
        queries = [sides[query]] if single else list(sides[query])
        other = "text" if query == "image" else "image"
        candidates = list(sides[other])
        if not queries:
            return []
        scores = self._scores(query, queries, candidates, kwargs)
        values, places = scores.sort(dim=1, descending=True, stable=True)
        if rerank and _feature_functions(self.model) is not None:
            values, places = self._reranked(query, queries, candidates, places[:, :rerank], kwargs)
        hits = [
            [{"index": place, "score": score, other: candidates[place]} for place, score in zip(*one)]
            for one in zip(places[:, :top_k].tolist(), values[:, :top_k].tolist())
        ]
        return hits[0] if single else hits

    def check_rerank(self, rerank: Any, top_k: int) -> None:
        if rerank == 0 and not isinstance(rerank, bool):
            return
        if check_count("rerank", rerank) < top_k:
            raise BadInputError(f"`rerank` is {rerank}; expected 0 or at least `top_k`, which is {top_k}.")
        if not HEADS["image-text-matching"].include(type(self.model)):
            raise BadInputError(f"`rerank` is {rerank}, but a {type(self.model).__name__} has no matching head.")

    def _scores(self, query: str, queries: list, candidates: list, options: dict) -> torch.Tensor:
        """Scores (queries, candidates)."""
        if _feature_functions(self.model) is None:
            pairs = ((one, other) for one in queries for other in candidates)
            return self._pair_scores(query, pairs, options).view(len(queries), len(candidates))
        other = "text" if query == "image" else "image"
        return self._features(query, queries, options) @ self._features(other, candidates, options).t()

    def _features(self, side: str, values: list, options: dict) -> torch.Tensor:
        """Contrastive features (values, width) of pictures or of texts."""
        found = self.run(({side: value} for value in values), None, **options)
        return torch.cat([one["features"] for one in found])

    def _pair_scores(self, query: str, pairs: Iterable[tuple], options: dict) -> torch.Tensor:
        """The matching head's scores (pairs,) of pairs of a query and a candidate."""
        other = "text" if query == "image" else "image"
        found = self.run(({query: one, other: two} for one, two in pairs), None, **options)
        return torch.cat([one["score"] for one in found])

    def _reranked(self, query: str, queries: list, candidates: list, places: torch.Tensor, options: dict) -> tuple:
        """Scores and places (queries, reranked) by the matching head."""
        pairs = ((one, candidates[place]) for one, row in zip(queries, places.tolist()) for place in row)
        values, order = (
            self._pair_scores(query, pairs, options).view(places.shape).sort(dim=1, descending=True, stable=True)
        )
        return values, places.gather(1, order)

    def _sanitize_parameters(self, timeout=None):
        return ({} if timeout is None else {"timeout": timeout}), {}, {}

    def _outputs(self, rows: list[Row]) -> dict[str, torch.Tensor]:
        if "pixel_values" in rows[0] and "input_ids" in rows[0]:
            return {"score": torch.stack(self.grouped(rows, lambda batch: _ranking_scores(self.model(**batch))))}
        functions = _feature_functions(self.model)
        assert functions is not None, "without features every row is a pair"
        function = functions["pixel_values" in rows[0]]
        return {"features": torch.stack(self.grouped(rows, lambda batch: function(**batch))).float()}

    def postprocess(self, outputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Features or score of one row, as they are; the hits are found among all rows."""
        return outputs


def _checked_query(query: Any, sides: dict[str, Any]) -> str:
    """Which side searches the other."""
    for name, value in sides.items():
        if value is None:
            raise BadInputError(f"`{name}s` is missing; image-text-retrieval needs `images` and `texts`.")
    singles = [name for name, value in sides.items() if not is_list(value)]
    if query is None and len(singles) == 1:
        query = singles[0]
    if query not in sides:
        raise BadInputError(
            f"`query` is {query!r} and {'neither' if singles else 'each'} of `images` and `texts` is a list; expected "
            "one list of candidates, or two lists and `query` 'image' or 'text'."
        )
    candidates = "text" if query == "image" else "image"
    if not is_list(sides[candidates]) or not sides[candidates]:
        raise BadInputError(f"`{candidates}s` holds no candidates; expected a list of at least one.")
    return query


def _ranking_scores(output: Any) -> torch.Tensor:
    """What the authors of a head rank pairs by (B,): ours adds a share of the similarity to the matching logit."""
    return output.logits.float() if "itm_logits" in output else matching_log_odds(output)


def _feature_functions(model: Any) -> tuple[Features, Features] | None:
    """What gives the contrastive features (B, width) of texts and of pictures; `None` for a model without."""
    base = getattr(model, model.base_model_prefix, model)
    if hasattr(base, "get_image_features"):
        # Ours are what its contrast compares; transformers' dual encoders normalise theirs in `forward` only.
        theirs = type(base).__module__.startswith("transformers.")
        finish = (lambda features: F.normalize(features, dim=-1)) if theirs else (lambda features: features)
        return (
            lambda **batch: finish(base.get_text_features(**batch).pooler_output),
            lambda **batch: finish(base.get_image_features(**batch).pooler_output),
        )
    if hasattr(model, "vision_proj"):  # BLIP, as its `forward` with `use_itm_head=False`

        def projected(encoder: Callable, projection: Callable) -> Features:
            return lambda **batch: F.normalize(projection(encoder(**batch).last_hidden_state[:, 0]), dim=-1)

        return projected(model.text_encoder, model.text_proj), projected(model.vision_model, model.vision_proj)
    return None
