# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""What a family is to the rest of the package: its classes and the Auto classes that serve them."""

from dataclasses import dataclass, field

import transformers
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoProcessor, AutoTokenizer, PreTrainedConfig


@dataclass(frozen=True)
class Family:
    """
    One model family, as its folder declares it.

    Args:
        config (`type`): The configuration that a repository of the family carries.
        auto_models (`dict[str, type]`): Name of an Auto class, e.g. `"AutoModelForMaskedLM"` -> the class it loads.
        sub_models (`dict[type, type]`): Configuration of a part -> the model that `AutoModel` loads for it.
        other_models (`tuple[type, ...]`): Public models that no Auto class serves; they load by their own name.
        task_models (`dict[str, type]`): Task of `hf-unimo finetune` -> the class that learns it.
        tokenizer, processor (`type`, *optional*): Loaded by `AutoTokenizer` and `AutoProcessor`.
        image_processors (`dict[str, type]`): Back end (`"torchvision"`, `"pil"`) -> class, for `AutoImageProcessor`.
    """

    config: type[PreTrainedConfig]
    auto_models: dict[str, type]
    sub_models: dict[type[PreTrainedConfig], type] = field(default_factory=dict)
    other_models: tuple[type, ...] = ()
    task_models: dict[str, type] = field(default_factory=dict)
    tokenizer: type | None = None
    image_processors: dict[str, type] = field(default_factory=dict)
    processor: type | None = None

    @property
    def model_type(self) -> str:
        """`model_type` of the family's configuration."""
        return self.config.model_type

    @property
    def heads(self) -> list[type]:
        """All public models but the parts, those of Auto classes first."""
        return [*self.auto_models.values(), *self.other_models]

    def register(self) -> None:
        """Makes every Auto class of transformers know the family."""
        for config in (self.config, *self.sub_models):
            AutoConfig.register(config.model_type, config, exist_ok=True)
        for auto_class, model in self.auto_models.items():
            getattr(transformers, auto_class).register(self.config, model, exist_ok=True)
        for config, model in self.sub_models.items():
            AutoModel.register(config, model, exist_ok=True)
        if self.tokenizer is not None:
            AutoTokenizer.register(self.config, tokenizer_class=self.tokenizer, exist_ok=True)
        if self.image_processors:
            AutoImageProcessor.register(
                self.config, image_processor_classes=dict(self.image_processors), exist_ok=True
            )
        if self.processor is not None:
            AutoProcessor.register(self.config, self.processor, exist_ok=True)
