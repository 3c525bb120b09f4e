# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
What evaluators ask of a model, answered for UNIMO-2 and for transformers' CLIP, SigLIP, ViLT, BLIP, BridgeTower and
FLAVA: features of images and of texts, and matching scores of pairs.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from torch.nn import functional as F
from transformers import AutoConfig, AutoProcessor, PreTrainedModel

from ..data.benchmarks.rows import TokenIds
from ..errors import BadInputError
from ..models import FAMILIES
from .token_ids import are_token_ids, pad_token_ids


class Texts:
    """
    A tokenizer as the evaluators use it: cut to what the model can take, padded, on its device. Texts that are token
    ids (see [`~hf_unimo.evaluation.token_ids.check_token_ids`]) go past it.

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
    """An image processor as the evaluators use it: from pictures to what the model takes, on its device."""

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
    whether a pair has a score; a subclass has the methods of what it says.

    Args:
        model: In evaluation mode, on its device.
        images, texts: Its preprocessing.
        batch_size (`int`, defaults to 32): Rows, or pairs, of a forward pass.
    """

    features = False
    matching = False
    scoring: dict[str, str] = {}
    """Stage -> what its score is, for the protocol."""

    def __init__(self, model: Any, images: Pictures, texts: Texts, batch_size: int = 32):
        self.model, self.images, self.texts, self.batch_size = model, images, texts, batch_size

    @property
    def stages(self) -> list[str]:
        """The ways in which the model can score: `"contrastive"`, `"rerank"`, `"matching"`."""
        both = ["rerank"] if self.features and self.matching else []
        return ["contrastive"] * self.features + both + ["matching"] * self.matching

    @torch.inference_mode()
    def image_features(self, images: Sequence[Image.Image]) -> np.ndarray:
        """`(images, width)`, float32: products with those of texts are contrastive scores."""
        return self._batches(images, lambda batch: self._image_features(self.images(batch)))

    @torch.inference_mode()
    def text_features(self, texts: Sequence[str] | Sequence[TokenIds]) -> np.ndarray:
        """`(texts, width)`, float32."""
        return self._batches(texts, lambda batch: self._text_features(self.texts(batch)))

    @torch.inference_mode()
    def match(
        self,
        images: Sequence[Image.Image],
        image_of_pair: np.ndarray,
        texts: Sequence[str] | Sequence[TokenIds],
    ) -> np.ndarray:
        """
        Scores of pairs; each picture is preprocessed, and where the model allows it encoded, once.

        Args:
            images: Some pictures.
            image_of_pair (`(pairs,)`, int): Which of them.
            texts: One a pair.

        Returns:
            `(pairs,)`, float32.
        """
        encoded = self._encode(images)
        rows = torch.as_tensor(np.asarray(image_of_pair), device=self.model.device)
        scores = [
            self._match(encoded, rows[start : start + self.batch_size], self.texts(part)).float().cpu().numpy()
            for start, part in self._parts(texts)
        ]
        return np.concatenate(scores)

    def _parts(self, rows: Sequence) -> list[tuple[int, Sequence]]:
        return [(start, rows[start : start + self.batch_size]) for start in range(0, len(rows), self.batch_size)]

    def _batches(self, rows: Sequence, function: Any) -> np.ndarray:
        return np.concatenate([function(part).float().cpu().numpy() for _, part in self._parts(rows)])

    def _image_features(self, inputs: dict) -> torch.Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no features.")

    def _text_features(self, inputs: dict) -> torch.Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no features.")

    def _encode(self, images: Sequence[Image.Image]) -> Any:
        """What `_match` takes rows of."""
        raise NotImplementedError(f"{type(self).__name__} does not match.")

    def _match(self, encoded: Any, rows: torch.Tensor, texts: dict) -> torch.Tensor:
        raise NotImplementedError(f"{type(self).__name__} does not match.")


class Unimo2Pairs(PairAdapter):
    """UNIMO-2: every head has contrastive features, those with a matching head score pairs (the official score)."""

    features = True
    scoring = {
        "contrastive": "product of the contrastive features",
        "rerank": "the best by contrastive features, by matching logit + similarity_weight * contrastive score",
        "matching": "matching logit + similarity_weight * contrastive score, of all pairs",
    }

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.base = self.model.base_model
        self.matching = hasattr(self.model, "itm_head")

    def _image_features(self, inputs: dict) -> torch.Tensor:
        return self.base.get_image_features(**inputs).pooler_output

    def _text_features(self, inputs: dict) -> torch.Tensor:
        return self.base.get_text_features(**inputs).pooler_output

    def _encode(self, images: Sequence[Image.Image]) -> Any:
        parts = [self.base.encode_image(**self.images(part)) for _, part in self._parts(images)]
        return type(parts[0])(
            **{
                name: torch.cat([part[name] for part in parts])
                for name, value in parts[0].items()
                if value is not None
            }
        )

    def _match(self, encoded: Any, rows: torch.Tensor, texts: dict) -> torch.Tensor:
        image = type(encoded)(**{name: value[rows] for name, value in encoded.items()})
        text = self.base.encode_text(**texts)
        outputs = self.base.ground(image, text)
        similarity = (self.base.image_features(image) * self.base.text_features(text)).sum(-1)
        logits = self.model.itm_head(self.model._fuse_poolers(outputs))
        return logits[:, 1] + self.model.config.similarity_weight * similarity


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

    def _encode(self, images: Sequence[Image.Image]) -> dict[str, torch.Tensor]:
        return self.images(images)  # the encoder sees both at once: there is nothing to encode before

    def _match(self, encoded: dict, rows: torch.Tensor, texts: dict) -> torch.Tensor:
        return self.model(**texts, **{name: value[rows] for name, value in encoded.items()}).logits[:, 0]


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

    def _encode(self, images: Sequence[Image.Image]) -> torch.Tensor:
        return torch.cat(
            [self.model.vision_model(**self.images(part)).last_hidden_state for _, part in self._parts(images)]
        )

    def _match(self, encoded: torch.Tensor, rows: torch.Tensor, texts: dict) -> torch.Tensor:
        states = encoded[rows]
        seen = torch.ones(states.shape[:-1], dtype=torch.long, device=states.device)
        fused = self.model.text_encoder(**texts, encoder_hidden_states=states, encoder_attention_mask=seen)
        logits = self.model.itm_head(fused.last_hidden_state[:, 0])
        return logits[:, 1] + (self._project_image(states) * self._text_features(texts)).sum(-1)


class BridgeTowerPairs(PairAdapter):
    """
    BridgeTower: the class for contrastive learning has features of the two towers, which see nothing of each other;
    the class for retrieval has one score a pair.
    """

    scoring = {
        "contrastive": "cosine of the projected features of the two towers",
        "matching": "matching logit of all pairs",
    }

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

    def _encode(self, images: Sequence[Image.Image]) -> dict[str, torch.Tensor]:
        return self.images(images)  # the towers are bridged layer by layer: the text is needed from the start

    def _match(self, encoded: dict, rows: torch.Tensor, texts: dict) -> torch.Tensor:
        return self.model(**texts, **{name: value[rows] for name, value in encoded.items()}).logits[:, 1]


class FlavaPairs(PairAdapter):
    """FLAVA: features of the two encoders; the class for pre-training has a matching head on the third one."""

    features = True
    scoring = {
        "contrastive": "cosine of the projected features",
        "rerank": "the best by contrastive features, by matching logit",
        "matching": "matching logit of all pairs",
    }

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.base = self.model.base_model
        self.matching = hasattr(self.model, "itm_head")

    def _image_features(self, inputs: dict) -> torch.Tensor:
        # What is called the pooler's output has all places; the first is the one that was trained.
        return F.normalize(self.base.get_image_features(**inputs).pooler_output[:, 0], dim=-1)

    def _text_features(self, inputs: dict) -> torch.Tensor:
        return F.normalize(self.base.get_text_features(**inputs).pooler_output[:, 0], dim=-1)

    def _encode(self, images: Sequence[Image.Image]) -> torch.Tensor:
        outputs = [
            self.base.image_model(**self.images(part), output_hidden_states=True) for _, part in self._parts(images)
        ]
        return torch.cat([self.base.image_to_mm_projection(output.hidden_states[-1]) for output in outputs])

    def _match(self, encoded: torch.Tensor, rows: torch.Tensor, texts: dict) -> torch.Tensor:
        words = self.base.text_model(**texts, output_hidden_states=True).hidden_states[-1]
        states = torch.cat([encoded[rows], self.base.text_to_mm_projection(words)], dim=1)
        added = states.shape[1] - words.shape[1] + self.base.multimodal_model.use_cls_token
        seen = F.pad(texts["attention_mask"], (added, 0), value=1)
        outputs = self.base.multimodal_model(states, attention_mask=seen)
        return self.model.itm_head(outputs.last_hidden_state)[:, 1]


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

HEADS = {
    "vqa": ("Unimo2ForVisualQuestionAnswering", "ViltForQuestionAnswering", "BlipForQuestionAnswering"),
    "entailment": ("Unimo2ForImageTextClassification",),
    "nlvr2": ("Unimo2ForImageTextClassification", "ViltForImagesAndTextClassification"),
    "image-classification": ("ForImageClassification",),
    "text-classification": ("ForSequenceClassification",),
    "regression": ("ForSequenceClassification",),
    "masked-words": ("ForMaskedLM",),
    "captioning": ("Unimo2ForConditionalGeneration", "BlipForConditionalGeneration"),
}
"""Task -> how the names of the classes end that have a head for it."""


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


def possible_tasks(model: PreTrainedModel, processor: Any) -> list[str]:
    """The tasks of `hf-unimo evaluate` that the model can do."""
    adapter = pair_adapter(model, processor)
    tasks = [] if adapter is None else [{"contrastive": "retrieval"}.get(stage, stage) for stage in adapter.stages]
    if tasks:
        tasks.append("zero-shot-classification")
    if adapter is not None and adapter.features:
        tasks.append("linear-probe")
    is_regression = model.config.problem_type == "regression" or model.config.num_labels == 1
    for task, endings in HEADS.items():
        wrong_kind = task in ("regression", "text-classification") and is_regression != (task == "regression")
        two_images = getattr(model.config, "num_images", 1) == 2
        wrong_number = task in ("entailment", "nlvr2") and two_images != (task == "nlvr2")
        if type(model).__name__.endswith(endings) and not wrong_kind and not wrong_number:
            tasks.append(task)
    return tasks


def check_task(task: str, model: PreTrainedModel, processor: Any) -> None:
    """Raises BadInputError if the model cannot do the task; the sentence has those that it can."""
    possible = possible_tasks(model, processor)
    if task not in possible:
        raise BadInputError(
            f"{type(model).__name__} cannot do the task {task!r}; it can do: {', '.join(possible) or 'none'}."
        )
