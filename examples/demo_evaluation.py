# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""What `demo.py` measures: retrieval in both directions, zero-shot classification, use of the dictionary."""

import torch
from torch.nn import functional as F

from hf_unimo.evaluation.metrics.dictionary import dictionary_usage
from hf_unimo.evaluation.metrics.retrieval import retrieval_metrics


GALLERIES = {  # title -> split, style
    "unseen concepts, twemoji": ("test", "twemoji"),
    "unseen concepts, fluent": ("test", "fluent"),
    "unseen concepts, noto (style seen without words)": ("test_unseen_style", "noto"),
    "seen concepts, noto (pictures seen without words)": ("unseen_style", "noto"),
}
CHECKED = ("unseen concepts, twemoji", "unseen concepts, fluent")
DIRECTIONS = ("image to text", "text to image")
NEIGHBOURS = (1, 5, 10)
TEST_TAGS = 8


def caption(parts):
    """Words as the model reads them. The blank in front makes the first word the token that it is further on."""
    return " " + ", ".join(parts)


def full_caption(row):
    """The label and the first eight tags."""
    return caption([row["label"], *row["tags"][:TEST_TAGS]])


def recalls(similarities):
    """`{"image to text": {"R@1": ...}, "text to image": ...}` of a gallery's images and their texts, row by row."""
    found = retrieval_metrics(similarities.numpy(), range(len(similarities)), NEIGHBOURS)
    sides = zip(DIRECTIONS, ("text", "image"))
    return {title: {f"R@{k}": found[f"{side}_recall@{k}"] for k in NEIGHBOURS} for title, side in sides}


def chance_recalls(candidates):
    """What blind guessing gets of [`recalls`]."""
    return {f"R@{k}": min(1.0, k / candidates) for k in NEIGHBOURS}


def classify(image_features, class_features):
    """Number (images,) of the class whose features are the most similar."""
    return (image_features @ class_features.t()).argmax(1)


class Encoder:
    """Model and processor as one: rows -> image features, texts -> text features, both of unit length."""

    def __init__(self, model, processor):
        self.model, self.processor = model.eval(), processor

    @torch.inference_mode()
    def images(self, rows):
        inputs = self.processor(images=[row["pixels"] for row in rows], return_tensors="pt")
        return torch.cat(
            [self.model.get_image_features(part).pooler_output for part in inputs.pixel_values.split(256)]
        )

    @torch.inference_mode()
    def texts(self, texts):
        inputs = self.processor(text=texts, truncation=True, return_tensors="pt")
        return self.model.get_text_features(**inputs).pooler_output

    @torch.inference_mode()
    def groups(self, rows):
        """`{group: features}`; a group is the mean of its subgroups' names, read as captions ("animal, bird")."""
        names = sorted({(row["group"], row["subgroup"]) for row in rows})
        prompts = [caption(subgroup.split("-")) for _, subgroup in names]
        features = self.texts(prompts)
        groups = {}
        for (group, _), feature in zip(names, features):
            groups.setdefault(group, []).append(feature)
        return {group: F.normalize(torch.stack(parts).mean(0), dim=0) for group, parts in groups.items()}

    @torch.inference_mode()
    def entries(self, rows):
        """Dictionary entries (rows, K) that each picture alone chooses."""
        inputs = self.processor(images=[row["pixels"] for row in rows], return_tensors="pt")
        return self.model.dictionary.choose(self.model.encode_image(inputs.pixel_values).dictionary_scores)


def evaluate(encoder, rows, groups):
    """Retrieval, zero-shot classification and use of the dictionary on one gallery."""
    images, texts = encoder.images(rows), encoder.texts([full_caption(row) for row in rows])
    present = sorted({row["group"] for row in rows})
    truth = torch.tensor([present.index(row["group"]) for row in rows])
    predicted = classify(images, torch.stack([groups[group] for group in present]))
    usage = dictionary_usage(encoder.entries(rows).numpy(), encoder.model.config.dictionary_size)
    return {
        "pictures": len(rows),
        **recalls(images @ texts.t()),
        "chance": chance_recalls(len(rows)),
        "groups": {
            "accuracy": (predicted == truth).double().mean().item(),
            "number": len(present),
            "largest": truth.bincount().max().item() / len(rows),
        },
        "dictionary": {"used": usage["entries_used"], "overlap": usage["overlap"]},
    }


def times_chance(results, galleries=CHECKED):
    """Recall at 10, mean of the galleries and of both directions, over its chance."""
    found = sum(results[name][direction]["R@10"] for name in galleries for direction in DIRECTIONS) / len(DIRECTIONS)
    return found / sum(results[name]["chance"]["R@10"] for name in galleries)
