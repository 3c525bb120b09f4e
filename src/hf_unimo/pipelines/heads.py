# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Which heads can do our tasks. Only names, so that a repository can carry this file beside the pipelines."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Heads:
    """
    The heads that can do a task.

    Args:
        ours (`str`): How the name of the class ends in a family of ours.
        theirs (`dict[str, str]`): Model type of transformers -> name of the class.
    """

    ours: str
    theirs: dict[str, str]

    def include(self, model_class: type) -> bool:
        """Whether `model_class` is one of them. A class of ours may be the package's or that of a repository."""
        of_transformers = model_class.__module__.startswith("transformers.")
        name = model_class.__name__
        return name in self.theirs.values() or (name.endswith(self.ours) and not of_transformers)

    def __str__(self) -> str:
        return " or ".join([*sorted(self.theirs.values()), f"hf_unimo's ...{self.ours}"])


_MATCHING = {
    "blip": "BlipForImageTextRetrieval",
    "bridgetower": "BridgeTowerForImageAndTextRetrieval",
    "vilt": "ViltForImageAndTextRetrieval",
}

HEADS = {
    "image-captioning": Heads("ForConditionalGeneration", {"blip": "BlipForConditionalGeneration"}),
    "image-question-answering": Heads(
        "ForVisualQuestionAnswering", {"blip": "BlipForQuestionAnswering", "vilt": "ViltForQuestionAnswering"}
    ),
    "image-text-matching": Heads("ForImageTextRetrieval", _MATCHING),
    "image-text-retrieval": Heads("ForImageTextRetrieval", _MATCHING | {"clip": "CLIPModel"}),
    "nlvr2": Heads("ForImageTextClassification", {"vilt": "ViltForImagesAndTextClassification"}),
    "visual-entailment": Heads("ForImageTextClassification", {}),
}
"""Task -> the heads that can do it."""
