# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
# mypy: disable-error-code="override"
"""Pipeline: the best of many pictures for a text, the best of many texts for a picture."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence

from ..data.buckets import bucketed
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
    at the best of them again, at what was encoded. ViLT and BridgeTower's matching head have no features: they score
    every pair, from picture and text.
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
                at least `top_k`. What was encoded of queries and of their best candidates is held in memory for it.
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
        doors = _doors(self.model) if rerank else None
        if doors is None:
            scores = self._scores(query, queries, candidates, kwargs)
            values, places = scores.sort(dim=1, descending=True, stable=True)
        else:
            values, places = self._reranked(doors, query, queries, candidates, rerank, kwargs)
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

    def _reranked(
        self, doors: "_Doors", query: str, queries: list, candidates: list, rerank: int, options: dict
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores and places (queries, reranked) by the matching head, from what was encoded once."""
        other = "text" if query == "image" else "image"
        asked = list(self.run(({query: one} for one in queries), None, parts=True, **options))
        features = torch.stack([one.pop("features") for one in asked])
        scores: list[torch.Tensor] = []
        kept: dict[int, Row] = {}

        def best() -> torch.Tensor:
            return torch.stack(scores, dim=1).sort(dim=1, descending=True, stable=True).indices[:, :rerank]

        for place, one in enumerate(self.run(({other: one} for one in candidates), None, parts=True, **options)):
            scores.append(features @ one.pop("features"))
            kept[place] = one
            if len(kept) > 2 * len(queries) * rerank + 64:  # those that are out of reach are forgotten
                kept = {place: kept[place] for place in best().unique().tolist()}
        places = best()
        pairs = [(asked[number], kept[place]) for number, row in enumerate(places.tolist()) for place in row]
        images, texts = zip(*(pair if query == "image" else pair[::-1] for pair in pairs))
        batch_size = options.get("batch_size") or self._batch_size or 1
        values, order = (
            self._fused(doors, images, texts, batch_size).view(places.shape).sort(dim=1, descending=True, stable=True)
        )
        return values, places.gather(1, order)

    def _fused(
        self, doors: "_Doors", images: tuple[Row, ...], texts: tuple[Row, ...], batch_size: int
    ) -> torch.Tensor:
        """The matching head's scores (pairs,) of encoded pictures and texts; those of one size share a batch."""
        sizes = [tuple(one["states"].shape) for one in images]
        lengths = [len(one["attention_mask"]) for one in texts]
        scores = torch.empty(len(images))
        for size in dict.fromkeys(sizes):
            pairs = [number for number, found in enumerate(sizes) if found == size]
            for chosen in bucketed([lengths[number] for number in pairs], batch_size):
                batch = [pairs[place] for place in chosen]
                with torch.inference_mode():
                    found = doors.match(
                        {
                            name: torch.stack([images[one][name] for one in batch]).to(self.device)
                            for name in images[0]
                        },
                        {name: self._padded(name, [texts[one][name] for one in batch]) for name in texts[0]},
                    )
                scores[batch] = found.float().cpu()
        return scores

    def _padded(self, name: str, values: list[torch.Tensor]) -> torch.Tensor:
        padding = self.tokenizer.pad_token_id or 0 if name == "input_ids" else 0
        return pad_sequence(values, batch_first=True, padding_value=padding).to(self.device)

    def _sanitize_parameters(self, timeout=None, parts=False):
        return ({} if timeout is None else {"timeout": timeout}), ({"parts": True} if parts else {}), {}

    def _outputs(self, rows: list[Row], parts: bool = False) -> dict[str, Any]:
        if parts:
            return {"parts": self._parts(rows)}
        if "pixel_values" in rows[0] and "input_ids" in rows[0]:
            return {"score": torch.stack(self.grouped(rows, lambda batch: _ranking_scores(self.model(**batch))))}
        functions = _feature_functions(self.model)
        assert functions is not None, "without features every row is a pair"
        function = functions["pixel_values" in rows[0]]
        return {"features": torch.stack(self.grouped(rows, lambda batch: function(**batch))).float()}

    def _parts(self, rows: list[Row]) -> list[Row]:
        """What is kept of each picture or text, texts without their padding."""
        doors = _doors(self.model)
        assert doors is not None, "nothing else asks for parts"
        found: list[Row] = []

        def run(batch: dict[str, torch.Tensor]) -> torch.Tensor:
            encoded = doors.image(**batch) if "pixel_values" in batch else doors.text(**batch)
            for number in range(len(encoded["features"])):
                row = {name: values[number] for name, values in encoded.items()}
                row["features"] = row["features"].float()
                if "attention_mask" in row and not self._sees_padding():
                    words = row["attention_mask"].bool()
                    row |= {name: row[name][words] for name in doors.per_token if name in row}
                found.append(row)
            return torch.arange(len(found))[-len(encoded["features"]) :]

        order = self.grouped(rows, run)
        return [found[number] for number in order]

    def postprocess(self, outputs: dict[str, Any]) -> Row:
        """Features, score or parts of one row, as they are; the hits are found among all rows."""
        parts = outputs.get("parts", outputs)
        return parts[0] if isinstance(parts, list) else parts  # a row by itself comes as a batch


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
        doors = _blip_doors(model)
        return lambda **batch: doors.text(**batch)["features"], lambda **batch: doors.image(**batch)["features"]
    return None


@dataclass(frozen=True)
class _Doors:
    """
    How a model encodes pictures and texts once and matches what came out.

    Args:
        image, text: From a batch of inputs to the parts that are kept, with `features` (B, width); of pictures
            `states` (B, tokens, width), of texts `attention_mask` (B, L).
        match: From parts of pictures and of texts, row by row a pair, to scores (B,).
    """

    image: Callable[..., dict[str, torch.Tensor]]
    text: Callable[..., dict[str, torch.Tensor]]
    match: Callable[[dict[str, torch.Tensor], dict[str, torch.Tensor]], torch.Tensor]
    per_token = ("states", "input_ids", "attention_mask")


def _doors(model: Any) -> _Doors | None:
    """Those of a model with features and a matching head; `None` for others."""
    if hasattr(model, "match_pairs"):
        return _own_doors(model)
    if hasattr(model, "vision_proj"):
        return _blip_doors(model)
    return None


def _own_doors(model: Any) -> _Doors:
    base = model.base_model

    def parts(encoded: Any, features: torch.Tensor) -> dict[str, torch.Tensor]:
        kept = {"features": features, "states": encoded.last_hidden_state, "scores": encoded.dictionary_scores}
        return {name: values for name, values in kept.items() if values is not None}

    def image(**batch) -> dict[str, torch.Tensor]:
        encoded = base.encode_image(**batch)
        return parts(encoded, base.image_features(encoded))

    def text(attention_mask: torch.Tensor, **batch) -> dict[str, torch.Tensor]:
        encoded = base.encode_text(attention_mask=attention_mask, **batch)
        return parts(encoded, base.text_features(encoded)) | {"attention_mask": attention_mask}

    def match(images: dict[str, torch.Tensor], texts: dict[str, torch.Tensor]) -> torch.Tensor:
        mask = texts["attention_mask"]
        encoded = (
            base.encoding(images["states"], dictionary_scores=images.get("scores")),
            base.encoding(texts["states"], None if mask.all() else mask, texts.get("scores"), modality="text"),
        )
        return model.match_pairs(*encoded).logits

    return _Doors(image, text, match)


def _blip_doors(model: Any) -> _Doors:
    def image(**batch) -> dict[str, torch.Tensor]:
        states = model.vision_model(**batch).last_hidden_state
        return {"features": F.normalize(model.vision_proj(states[:, 0]), dim=-1), "states": states}

    def text(**batch) -> dict[str, torch.Tensor]:
        # Its text encoder looks at the picture, so that for matching the words themselves are kept.
        states = model.text_encoder(**batch).last_hidden_state
        words = {name: batch[name] for name in ("input_ids", "attention_mask")}
        return {"features": F.normalize(model.text_proj(states[:, 0]), dim=-1), **words}

    def match(images: dict[str, torch.Tensor], texts: dict[str, torch.Tensor]) -> torch.Tensor:
        states = images["states"]
        seen = torch.ones(states.shape[:-1], dtype=torch.long, device=states.device)
        fused = model.text_encoder(**texts, encoder_hidden_states=states, encoder_attention_mask=seen)
        return matching_log_odds({"itm_score": model.itm_head(fused.last_hidden_state[:, 0])})

    return _Doors(image, text, match)
