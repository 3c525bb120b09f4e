# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""What each objective weighs at a step, and how hard the wrong partners of matching are: functions of the step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import BadInputError


OBJECTIVES_OF_KIND = {
    "pairs": ("mlm", "matching", "contrastive", "grounding", "masked_grounding", "score_contrast"),
    "images": ("visual_contrastive", "grounding", "masked_grounding"),
    "text": ("mlm", "grounding", "masked_grounding"),
}
"""Kind of a batch -> the objectives that it can feed."""


@dataclass(frozen=True)
class Ramp:
    """
    A weight that begins at a step and grows to its full size over a warm-up.

    Args:
        weight (`float`): Full size.
        start (`int`, defaults to 0): First step at which it is not 0.
        warmup (`int`, defaults to 0): Steps until the full size: at step `start + n` the weight is
            `weight * (n + 1) / warmup`, at most `weight`.
    """

    weight: float
    start: int = 0
    warmup: int = 0

    def at(self, step: int) -> float:
        """The weight at `step`."""
        if step < self.start:
            return 0.0
        return self.weight * min(1.0, (step - self.start + 1) / max(1, self.warmup))


@dataclass(frozen=True)
class ObjectiveSchedule:
    """
    Weights of the objectives and hardness of matching, from step to step.

    Args:
        ramps (mapping of `str` to [`Ramp`]): Objective -> its weight.
        hardness (sequence of `(int, float)`): Points (step, hardness 0 to 1) in the order of their steps; straight
            lines between them, constant outside. Wrong partners that are hard from the start keep the matching loss at
            ln 2, so it begins easy.
    """

    ramps: Mapping[str, Ramp]
    hardness: Sequence[tuple[int, float]] = field(default=((0, 0.0),))

    def weights_at(self, step: int) -> dict[str, float]:
        """Objective -> weight, 0 included, at optimizer step `step` (from 0)."""
        return {name: ramp.at(step) for name, ramp in self.ramps.items()}

    def hardness_at(self, step: int) -> float:
        """Hardness of matching's wrong partners at `step`."""
        steps, values = zip(*self.hardness)
        return float(np.interp(step, steps, values))

    def first_step(self, kind: str) -> int | None:
        """First step at which a batch of `kind` has a loss; None if it never has."""
        starts = [
            self.ramps[name].start
            for name in OBJECTIVES_OF_KIND[kind]
            if name in self.ramps and self.ramps[name].weight
        ]
        return min(starts, default=None)

    def check(self, kinds: Mapping[str, str]) -> None:
        """
        Refuses a source whose batches have no loss at the first step (sources are drawn from the first step on).

        Args:
            kinds (mapping of `str` to `str`): Source -> kind.

        Raises:
            BadInputError: That names the source.
        """
        for name, kind in kinds.items():
            if self.first_step(kind) != 0:
                raise BadInputError(
                    f"Source {name!r} ({kind}) is drawn from step 0 on, but none of its objectives "
                    f"({', '.join(OBJECTIVES_OF_KIND[kind])}) starts then; start one at 0."
                )
