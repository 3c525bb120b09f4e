# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
What retrieval asks of a model, answered for UNIMO-2 and for transformers' CLIP, SigLIP, ViLT, BLIP, BridgeTower and
FLAVA: features of images and of texts, what of each can be computed once, and from that the scores of pairs.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoConfig, AutoProcessor, PreTrainedModel

from ..data.benchmarks.rows import TokenIds
from ..data.buckets import bucketed
from ..errors import BadInputError
from ..models import FAMILIES
from .token_ids import are_token_ids, pad_token_ids


Parts = dict[str, torch.Tensor]
"""What is kept of one picture or text, by name; in a batch each tensor has one dimension more."""


@dataclass(frozen=True)
class Matched:
    """
    What matching says of pairs.

    Args:
        scores (`(pairs,)`, float32): By which candidates are ranked.
        margins (`(pairs,)`, float32, *optional*): Of models that choose grounded tokens by a sum of scores: by how
            much the last chosen one leads the first that was not. Where it is tiny, rounding decides.
    """

    scores: np.ndarray
    margins: np.ndarray | None = None


class Texts:
    """
    A tokenizer as evaluators and retrieval use it: cut to what the model can take, padded, on its device. Texts that
    are token ids (see [`~hf_unimo.evaluation.token_ids.check_token_ids`]) go past it.

    Args:
        tokenizer: Of the model.
        model: The model; its configuration says how many positions there are.
        padding (defaults to True): As for a tokenizer; `"max_length"` where a model was trained so.
    """

    def __init__(self, tokenizer: Any, model: PreTrainedModel, padding: bool | str = True):
        config: Any = model.config.get_text_config()
        positions = getattr(config, "max_position_embeddings", None)
        limits = [tokenizer.model_max_length]
        if positions is not None:
            limits.append(positions - getattr(config, "position_offset", 0))
        self.tokenizer, self.device, self.padding, self.config = tokenizer, model.device, padding, config
        self.max_length = int(min(limits))

    def __call__(
        self, texts: Sequence[str] | Sequence[TokenIds], pairs: Sequence[str] | None = None
    ) -> dict[str, torch.Tensor]:
        """Inputs of the model for texts, or for pairs of texts, row by row."""
        if are_token_ids(texts):
            inputs = pad_token_ids(texts, self.config, self.max_length)
            return {name: values.to(self.device) for name, values in inputs.items()}
        options = {"padding": self.padding, "truncation": True, "max_length": self.max_length}
        given = [list(texts)] if pairs is None else [list(texts), list(pairs)]
        return dict(self.tokenizer(*given, return_tensors="pt", **options).to(self.device))

    def lengths(self, texts: Sequence[str] | Sequence[TokenIds]) -> list[int]:
        """Tokens of each text, after cutting."""
        if are_token_ids(texts):
            return [min(len(text.input_ids), self.max_length) for text in texts]
        return [len(row) for row in self.tokenizer(list(texts), truncation=True, max_length=self.max_length).input_ids]

    def count_too_long(self, texts: Sequence[str] | Sequence[TokenIds], pairs: Sequence[str] | None = None) -> int:
        """How many of them have more tokens than the model can take: they are truncated."""
        if are_token_ids(texts):
            return sum(len(text.input_ids) > self.max_length for text in texts)
        number = 0
        for start in range(0, len(texts), 1000):
            given = [list(side[start : start + 1000]) for side in (texts, pairs) if side is not None]
            ids = self.tokenizer(*given, truncation=False, verbose=False)["input_ids"]
            number += sum(len(row) > self.max_length for row in ids)
        return number


class Pictures:
    """An image processor as evaluators and retrieval use it: from pictures to what the model takes, on its device."""

    def __init__(self, image_processor: Any, model: PreTrainedModel):
        self.image_processor, self.device = image_processor, model.device

    def __call__(self, images: Sequence[Image.Image]) -> dict[str, torch.Tensor]:
        """Inputs of the model for pictures."""
        return dict(self.image_processor(images=list(images), return_tensors="pt").to(self.device))

    def describe(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The size of images, and the other steps, as the protocol tells them."""
        options = self.image_processor.to_dict()
        names = ("do_center_crop", "crop_size", "do_rescale", "do_normalize", "image_mean", "image_std", "resample")
        found = {"do_resize": options.get("do_resize"), **{name: options.get(name) for name in names}}
        size = {key: value for key, value in dict(options.get("size") or {}).items() if value is not None}
        steps = {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}
        return size, {name: value for name, value in steps.items() if value is not None}


class PairAdapter:
    """
    A model of images and texts. `features` says whether images and texts have features of their own, `matching`
    whether a pair has a score. A subclass says what is kept of a picture and of a text, so that neither is encoded
    twice, and how a pair is scored from that.

    Args:
        model: In evaluation mode, on its device.
        images, texts: Its preprocessing.
        batch_size (`int`, defaults to 32): Rows, or pairs, of a forward pass.
    """

    features = False
    matching = False
    scoring: dict[str, str] = {}
    """Stage -> what its score is, for the protocol."""

    image_size = "states"
    """The part of a picture whose shape tells which pictures can share a batch."""
    text_length = "input_ids"
    """The part of a text whose first dimension is the number of its tokens."""
    rounded = ("states", "pixel_values")
    """Parts that may be kept in less than float32. All others are small, or decide what is chosen."""
    per_token = ("states", "input_ids", "token_type_ids", "attention_mask")
    """Parts of a text whose first dimension is its tokens; others have no such dimension."""

    def __init__(self, model: Any, images: Pictures, texts: Texts, batch_size: int = 32):
        self.model, self.images, self.texts, self.batch_size = model, images, texts, batch_size

    @property
    def stages(self) -> list[str]:
        """The ways in which the model can score: `"contrastive"`, `"rerank"`, `"matching"`."""
        both = ["rerank"] if self.features and self.matching else []
        return ["contrastive"] * self.features + both + ["matching"] * self.matching

    def image_features(self, images: Sequence[Image.Image]) -> np.ndarray:
        """`(images, width)`, float32: products with those of texts are contrastive scores."""
        return _stacked(self.encode_images(images, matching=False), "features")

    def text_features(self, texts: Sequence[str] | Sequence[TokenIds]) -> np.ndarray:
        """`(texts, width)`, float32."""
        return _stacked(self.encode_texts(texts, matching=False), "features")

    @torch.inference_mode()
    def encode_images(self, images: Sequence[Image.Image], matching: bool = True) -> list[Parts]:
        """
        What is kept of each picture: `features` (float32) if the model has them, and with `matching` what scoring its
        pairs needs.
        """
        encode = self._image_parts if matching else self._image_features_alone
        rows: list[Parts] = []
        for start in range(0, len(images), self.batch_size):
            rows += _rows(encode(self.images(images[start : start + self.batch_size])))
        return rows

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str] | Sequence[TokenIds], matching: bool = True) -> list[Parts]:
        """The same of texts, without padding. Texts of similar length are encoded together."""
        encode = self._text_parts if matching else self._text_features_alone
        rows: dict[int, Parts] = {}
        for places in self._text_batches(texts):
            inputs = self.texts([texts[place] for place in places])  # type: ignore[arg-type]
            found = _rows(encode(inputs))
            if matching and not self._keeps_padding():
                mask = inputs["attention_mask"].bool().cpu()
                found = [self._without_padding(row, words) for row, words in zip(found, mask)]
            rows |= zip(places, found)
        return [rows[place] for place in range(len(texts))]

    def collate_texts(self, rows: Sequence[Parts]) -> Parts:
        """Texts as [`match_parts`] takes them: padded, with `attention_mask`."""
        length = self.text_length
        rows = [{"attention_mask": row[length].new_ones(len(row[length]), dtype=torch.long), **row} for row in rows]
        batch = {}
        for name in rows[0]:
            values = [row[name] for row in rows]
            padding = self.texts.tokenizer.pad_token_id if name == "input_ids" else 0
            batch[name] = (
                pad_sequence(values, batch_first=True, padding_value=padding)
                if name in self.per_token
                else torch.stack(values)
            )
        return batch

    @torch.inference_mode()
    def match_parts(self, images: Mapping[str, torch.Tensor], texts: Mapping[str, torch.Tensor]) -> Matched:
        """
        Scores pairs from what was kept.

        Args:
            images: Parts, stacked, of pictures of one size; row by row a pair with
            texts: parts of [`collate_texts`].
        """

        def placed(parts: Mapping[str, torch.Tensor]) -> Parts:
            return {
                name: value.to(self.model.device, self.model.dtype if name in self.rounded else None)
                for name, value in parts.items()
            }

        scores, margins = self._match_parts(placed(images), placed(texts))
        return Matched(_array(scores), None if margins is None else _array(margins))

    def match(
        self,
        images: Sequence[Image.Image],
        image_of_pair: np.ndarray,
        texts: Sequence[str] | Sequence[TokenIds],
    ) -> np.ndarray:
        """
        Scores of a few pairs, held in memory; each picture is encoded once. [`~hf_unimo.retrieval.stages.Stages`] is
        for many.

        Args:
            images: Some pictures.
            image_of_pair (`(pairs,)`, int): Which of them.
            texts: One a pair.

        Returns:
            `(pairs,)`, float32.
        """
        image_rows, text_rows = self.encode_images(images), self.encode_texts(texts)
        places = np.asarray(image_of_pair)
        scores = np.empty(len(text_rows), np.float32)
        shapes = [tuple(image_rows[place][self.image_size].shape) for place in places]
        for shape in dict.fromkeys(shapes):
            pairs = [pair for pair, found in enumerate(shapes) if found == shape]
            for chosen in bucketed([len(text_rows[pair][self.text_length]) for pair in pairs], self.batch_size):
                batch = [pairs[place] for place in chosen]
                pictures = stack([image_rows[places[pair]] for pair in batch])
                scores[batch] = self.match_parts(
                    pictures, self.collate_texts([text_rows[pair] for pair in batch])
                ).scores
        return scores

    def _text_batches(self, texts: Sequence[str] | Sequence[TokenIds]) -> list[list[int]]:
        lengths = [0] * len(texts) if self._keeps_padding() else self.texts.lengths(texts)
        return bucketed(lengths, self.batch_size)

    def _keeps_padding(self) -> bool:
        """
        Whether a text is what it is in its batch, in the order of the data: in the first implementation padding takes
        part.
        """
        return bool(getattr(self.model.config, "official_padding", False))

    def _without_padding(self, row: Parts, words: torch.Tensor) -> Parts:
        return {
            name: value[words.to(value.device)] if name in self.per_token else value
            for name, value in row.items()
            if name != "attention_mask"
        }

    def _image_features_alone(self, inputs: dict) -> Parts:
        return {"features": self._image_features(inputs).float()}

    def _text_features_alone(self, inputs: dict) -> Parts:
        return {"features": self._text_features(inputs).float()}

    def _image_features(self, inputs: dict) -> torch.Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no features.")

    def _text_features(self, inputs: dict) -> torch.Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no features.")

    def _image_parts(self, inputs: dict) -> Mapping[str, torch.Tensor | list[torch.Tensor]]:
        """What is kept of a batch of pictures, row by row."""
        raise NotImplementedError(f"{type(self).__name__} does not match.")

    def _text_parts(self, inputs: dict) -> Mapping[str, torch.Tensor | list[torch.Tensor]]:
        raise NotImplementedError(f"{type(self).__name__} does not match.")

    def _match_parts(self, images: Parts, texts: Parts) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Scores (pairs,), and margins if there are any."""
        raise NotImplementedError(f"{type(self).__name__} does not match.")


def stack(rows: Sequence[Parts]) -> Parts:
    """A batch of rows of equal shapes."""
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def _rows(batch: Mapping[str, torch.Tensor | list[torch.Tensor]]) -> list[Parts]:
    """A batch as its rows, in memory."""
    columns = {
        name: [value.cpu() for value in values] if isinstance(values, list) else values.cpu().unbind()
        for name, values in batch.items()
    }
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


def _stacked(rows: Sequence[Parts], name: str) -> np.ndarray:
    return torch.stack([row[name] for row in rows]).numpy()


def _array(values: torch.Tensor) -> np.ndarray:
    return values.float().cpu().numpy()


def _whole_pictures(inputs: dict) -> Parts | dict[str, list[torch.Tensor]]:
    """Preprocessed pictures without the padding that they share a batch by."""
    pixels, mask = inputs["pixel_values"], inputs.get("pixel_mask")
    if mask is None:
        return {"pixel_values": pixels}
    sizes = [(int(row.any(1).sum()), int(row.any(0).sum())) for row in mask.bool()]
    return {"pixel_values": [one[:, :height, :width] for one, (height, width) in zip(pixels, sizes)]}


def _words(inputs: dict) -> Parts:
    """Token ids as they are: for models whose text encoder looks at the picture."""
    return {name: inputs[name] for name in ("input_ids", "token_type_ids", "attention_mask") if name in inputs}


class Unimo2Pairs(PairAdapter):
    """UNIMO-2: every head has contrastive features, those with a matching head score pairs (the official score)."""

    features = True
    scoring = {
        "contrastive": "product of the contrastive features",
        "rerank": "the best by contrastive features, by matching logit + similarity_weight * contrastive score",
        "matching": "matching logit + similarity_weight * contrastive score, of all pairs",
    }

    text_length = "states"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.base = self.model.base_model
        self.matching = hasattr(self.model, "match_pairs")

    def _image_features(self, inputs: dict) -> torch.Tensor:
        return self.base.get_image_features(**inputs).pooler_output

    def _text_features(self, inputs: dict) -> torch.Tensor:
        return self.base.get_text_features(**inputs).pooler_output

    def _image_parts(self, inputs: dict) -> Parts:
        image = self.base.encode_image(**inputs)
        return self._kept(image, self.base.image_features(image))

    def _text_parts(self, inputs: dict) -> Parts:
        text = self.base.encode_text(**inputs)
        return {**self._kept(text, self.base.text_features(text)), "attention_mask": inputs["attention_mask"]}

    def collate_texts(self, rows: Sequence[Parts]) -> Parts:
        """As in the base class; without a mask if nothing is padded, because attention without one is faster."""
        batch = super().collate_texts(rows)
        if batch["attention_mask"].all():
            del batch["attention_mask"]
        return batch

    def _kept(self, encoded: Any, features: torch.Tensor) -> Parts:
        kept = {"features": features.float(), "states": encoded.last_hidden_state}
        scores = encoded.dictionary_scores
        return kept if scores is None else kept | {"dictionary_scores": scores}

    def _match_parts(self, images: Parts, texts: Parts) -> tuple[torch.Tensor, torch.Tensor | None]:
        scores = images.get("dictionary_scores"), texts.get("dictionary_scores")
        output = self.model.match_pairs(
            self.base.encoding(images["states"], dictionary_scores=scores[0]),
            self.base.encoding(texts["states"], texts.get("attention_mask"), scores[1], modality="text"),
        )
        margins = None
        if scores[0] is not None and scores[1] is not None:
            margins = _margins(scores[0] + scores[1], self.model.config.num_grounded_tokens)
        return output.logits, margins


def _margins(scores: torch.Tensor, chosen: int) -> torch.Tensor:
    """By how much the last of the `chosen` best of each row leads the next; infinite if there is no next."""
    if chosen >= scores.shape[1]:
        return scores.new_full(scores.shape[:1], torch.inf)
    last, following = scores.topk(chosen + 1).values[:, -2:].unbind(1)
    return last - following


class DualEncoderPairs(PairAdapter):
    """CLIP, SigLIP: cosine of two encoders' outputs."""

    features = True
    scoring = {"contrastive": "cosine of the features"}

    def _image_features(self, inputs: dict) -> torch.Tensor:
        return F.normalize(self.model.get_image_features(**inputs).pooler_output, dim=-1)

    def _text_features(self, inputs: dict) -> torch.Tensor:
        return F.normalize(self.model.get_text_features(**inputs).pooler_output, dim=-1)


class ViltPairs(PairAdapter):
    """ViLT: one encoder over both, one score a pair."""

    matching = True
    scoring = {"matching": "ranking logit of all pairs"}

    image_size = "pixel_values"

    def _image_parts(self, inputs: dict) -> Mapping[str, Any]:
        return _whole_pictures(inputs)  # the encoder sees both at once: there is nothing to encode before

    def _text_parts(self, inputs: dict) -> Parts:
        return _words(inputs)

    def _match_parts(self, images: Parts, texts: Parts) -> tuple[torch.Tensor, None]:
        return self.model(**texts, **images).logits[:, 0], None


class BlipPairs(PairAdapter):
    """BLIP for retrieval: features of the two encoders, and a text encoder that looks at the picture."""

    features = matching = True
    scoring = {
        "contrastive": "cosine of the projected features",
        "rerank": "the best by contrastive features, by matching logit + contrastive score",
        "matching": "matching logit + contrastive score, of all pairs",
    }

    def _image_features(self, inputs: dict) -> torch.Tensor:
        return self._project_image(self.model.vision_model(**inputs).last_hidden_state)

    def _text_features(self, inputs: dict) -> torch.Tensor:
        states = self.model.text_encoder(**inputs).last_hidden_state
        return F.normalize(self.model.text_proj(states[:, 0]), dim=-1)

    def _project_image(self, states: torch.Tensor) -> torch.Tensor:
        return F.normalize(self.model.vision_proj(states[:, 0]), dim=-1)

    def _image_parts(self, inputs: dict) -> Parts:
        states = self.model.vision_model(**inputs).last_hidden_state
        return {"features": self._project_image(states).float(), "states": states}

    def _text_parts(self, inputs: dict) -> Parts:
        return {"features": self._text_features(inputs).float(), **_words(inputs)}

    def _match_parts(self, images: Parts, texts: Parts) -> tuple[torch.Tensor, None]:
        states = images["states"]
        seen = torch.ones(states.shape[:-1], dtype=torch.long, device=states.device)
        fused = self.model.text_encoder(
            input_ids=texts["input_ids"],
            attention_mask=texts["attention_mask"],
            encoder_hidden_states=states,
            encoder_attention_mask=seen,
        )
        logits = self.model.itm_head(fused.last_hidden_state[:, 0])
        return logits[:, 1] + (images["features"] * texts["features"]).sum(-1), None


class BridgeTowerPairs(PairAdapter):
    """
    BridgeTower: the class for contrastive learning has features of the two towers, which see nothing of each other;
    the class for retrieval has one score a pair.
    """

    scoring = {
        "contrastive": "cosine of the projected features of the two towers",
        "matching": "matching logit of all pairs",
    }
    image_size = "pixel_values"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.base = self.model.bridgetower
        self.matching = hasattr(self.model, "itm_score")
        self.features = not self.matching

    def _image_features(self, inputs: dict) -> torch.Tensor:
        vision = self.base.vision_model.visual
        states = vision.forward_pre(inputs["pixel_values"].to(self.model.dtype))
        for layer in vision.transformer.resblocks:
            states = layer(states)
        of_images = self.base.token_type_embeddings.weight[1]
        states = self.base.cross_modal_image_transform(vision.forward_post(states)) + of_images
        return F.normalize(self.model.itc_image_head(states[:, 0]), dim=-1)

    def _text_features(self, inputs: dict) -> torch.Tensor:
        states = self.base.text_model(**inputs).last_hidden_state
        return F.normalize(self.model.itc_text_head(states[:, 0]), dim=-1)

    def _image_parts(self, inputs: dict) -> Mapping[str, Any]:
        return _whole_pictures(inputs)  # the towers are bridged layer by layer: the text is needed on the way

    def _text_parts(self, inputs: dict) -> Parts:
        return _words(inputs)

    def _match_parts(self, images: Parts, texts: Parts) -> tuple[torch.Tensor, None]:
        return self.model(**texts, **images).logits[:, 1], None


class FlavaPairs(PairAdapter):
    """FLAVA: features of the two encoders; the class for pre-training has a matching head on the third one."""

    features = True
    scoring = {
        "contrastive": "cosine of the projected features",
        "rerank": "the best by contrastive features, by matching logit",
        "matching": "matching logit of all pairs",
    }
    text_length = "states"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.base = self.model.base_model
        self.matching = hasattr(self.model, "itm_head")

    def _image_features(self, inputs: dict) -> torch.Tensor:
        return self._features(self.base.get_image_features(**inputs))

    def _text_features(self, inputs: dict) -> torch.Tensor:
        return self._features(self.base.get_text_features(**inputs))

    def _features(self, outputs: Any) -> torch.Tensor:
        # What is called the pooler's output has all places; the first is the one that was trained.
        return F.normalize(outputs.pooler_output[:, 0], dim=-1)

    def _image_parts(self, inputs: dict) -> Parts:
        outputs = self.base.get_image_features(**inputs, output_hidden_states=True)
        return self._kept(outputs, self.base.image_to_mm_projection)

    def _text_parts(self, inputs: dict) -> Parts:
        outputs = self.base.get_text_features(**inputs, output_hidden_states=True)
        return {**self._kept(outputs, self.base.text_to_mm_projection), "attention_mask": inputs["attention_mask"]}

    def _kept(self, outputs: Any, projection: Callable) -> Parts:
        return {"features": self._features(outputs).float(), "states": projection(outputs.hidden_states[-1])}

    def _match_parts(self, images: Parts, texts: Parts) -> tuple[torch.Tensor, None]:
        states = torch.cat([images["states"], texts["states"]], dim=1)
        added = states.shape[1] - texts["states"].shape[1] + self.base.multimodal_model.use_cls_token
        seen = F.pad(texts["attention_mask"], (added, 0), value=1)
        outputs = self.base.multimodal_model(states, attention_mask=seen)
        return self.model.itm_head(outputs.last_hidden_state)[:, 1], None


PAIR_ADAPTERS: dict[str, tuple[type[PairAdapter], tuple[str, ...]]] = {
    "unimo2": (Unimo2Pairs, ()),
    "clip": (DualEncoderPairs, ("CLIPModel",)),
    "siglip": (DualEncoderPairs, ("SiglipModel",)),
    "vilt": (ViltPairs, ("ViltForImageAndTextRetrieval",)),
    "blip": (BlipPairs, ("BlipForImageTextRetrieval",)),
    "bridgetower": (BridgeTowerPairs, ("BridgeTowerForImageAndTextRetrieval", "BridgeTowerForContrastiveLearning")),
    "flava": (FlavaPairs, ("FlavaModel", "FlavaForPreTraining")),
}
"""`model_type` -> its adapter, and the classes that it fits (all if empty)."""


def load_model(name: str | os.PathLike, device: str = "cpu") -> tuple[PreTrainedModel, Any]:
    """
    The class that was saved, in evaluation mode, and its processor.

    Args:
        name: A folder, or the id of a Hub repository.
        device (defaults to `"cpu"`): Where it goes.

    Raises:
        BadInputError: If there is no such model or device, its class is not known to transformers or this package, or
            some of its weights are missing.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # by device and build of torch
        here = " and ".join(["cpu", *["cuda"] * torch.cuda.is_available()])
        raise BadInputError(f"The device is {device!r}, which this machine has not; accepted are {here}.") from error
    try:
        config = AutoConfig.from_pretrained(name)
        processor = AutoProcessor.from_pretrained(name)
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split()).partition(". ")[0].rstrip(".")
        raise BadInputError(f"{os.fspath(name)} cannot be loaded as a model with a processor: {reason}.") from error
    known: dict[str, Any] = {head.__name__: head for family in FAMILIES.values() for head in family.heads}
    saved = (config.architectures or ["nothing"])[0]
    model_class = known.get(saved) or getattr(transformers, saved, None)
    if model_class is None:
        raise BadInputError(
            f"{os.fspath(name)} names {saved} as its class; accepted are classes of transformers and "
            f"{', '.join(known)}."
        )
    try:
        model, loading = model_class.from_pretrained(name, output_loading_info=True)
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split()).partition(". ")[0].rstrip(".")
        raise BadInputError(f"The weights of {os.fspath(name)} cannot be loaded: {reason}.") from error
    missing = sorted(loading["missing_keys"])
    if missing:
        raise BadInputError(
            f"{os.fspath(name)} lacks {len(missing)} weights of {saved} (the first: {missing[0]}); accepted are "
            "trained models, whole."
        )
    return model.eval().to(device), processor


def preprocessing(model: PreTrainedModel, processor: Any) -> tuple[Pictures | None, Texts | None]:
    """What of `processor`, which may be a part alone, serves pictures and texts."""
    image_processor = getattr(processor, "image_processor", None)
    tokenizer = getattr(processor, "tokenizer", None)
    if image_processor is None and hasattr(processor, "image_mean"):
        image_processor = processor
    if tokenizer is None and hasattr(processor, "model_max_length"):
        tokenizer = processor
    padding: bool | str = "max_length" if model.config.model_type == "siglip" else True
    return (
        None if image_processor is None else Pictures(image_processor, model),
        None if tokenizer is None else Texts(tokenizer, model, padding),
    )


def pair_adapter(model: PreTrainedModel, processor: Any, batch_size: int = 32) -> PairAdapter | None:
    """The adapter of a model of images and texts; None if there is none, or the processor lacks a part."""
    adapter_class, classes = PAIR_ADAPTERS.get(model.config.model_type, (None, ()))
    images, texts = preprocessing(model, processor)
    if adapter_class is None or images is None or texts is None or (classes and type(model).__name__ not in classes):
        return None
    return adapter_class(model, images, texts, batch_size)
