# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Callbacks that keep a dictionary of grounded tokens alive in training (ours; not in the paper). They touch parameters
between steps only: the model, its losses and inference stay as they are.
"""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel, TrainerCallback
from transformers.trainer_callback import ExportableState

from ..errors import BadInputError
from ..objectives import ranks
from .sharding import all_rows


MOMENTUM = 0.95
"""Weight of the past in the running means: about the last 20 steps count."""


class DictionaryCallback(TrainerCallback, ExportableState):
    """
    Row constraint and restart of dead entries, after each optimizer step.

    **Row constraint.** The tokens of a modality share a large mean. An entry along it scores high for every input, is
    chosen by every input, and is pulled further towards it: the dictionary collapses onto a common core. So the
    running means of patches and of words are projected out of every entry, and entries are scaled to unit norm.

    **Restart.** An entry that no input of the last `restart_dead_every` steps chose gets no gradient from grounding
    and stays dead. It becomes a token of the last batch, with the mean norm of the living entries (scores are dot
    products, so a longer one would be chosen by all), and its optimizer state is cleared.

    Serves models of the UNIMO-2 family: a base model with `vision_model`, `text_model` and `dictionary`. All processes
    get the same entries: means and counts are summed over them, and new entries come from the first one.

    Args:
        row_constraint (`bool`, defaults to `False`), restart_dead_every (`int`, defaults to 0): See above; 0 is never.
        seed (`int`, defaults to 0): Of the choice of tokens for restarted entries.
    """

    def __init__(self, row_constraint: bool = False, restart_dead_every: int = 0, seed: int = 0):
        self.row_constraint, self.restart_dead_every, self.seed = row_constraint, restart_dead_every, seed
        self.means: dict[str, list[float]] = {}
        self.chosen: list[int] = []
        self.restarted = 0
        self._base: nn.Module | None = None
        self._sums: dict[str, torch.Tensor] = {}
        self._counts: dict[str, torch.Tensor] = {}
        self._tokens: dict[str, torch.Tensor] = {}
        self._hooks: list = []

    def state(self) -> dict:
        """What a checkpoint keeps: floats and ints, exact in JSON."""
        return {
            "args": {
                "row_constraint": self.row_constraint,
                "restart_dead_every": self.restart_dead_every,
                "seed": self.seed,
            },
            "attributes": {"means": self.means, "chosen": self.chosen, "restarted": self.restarted},
        }

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        """Watches the encoders' outputs and the chosen entries."""
        check_dictionary(model)
        self._base = model.base_model
        dictionary = self._base.dictionary
        self._hooks = [
            self._base.vision_model.register_forward_hook(self._watch_patches, with_kwargs=True),
            self._base.text_model.register_forward_hook(self._watch_words, with_kwargs=True),
            model.register_forward_hook(self._watch_choices),
        ]
        if not self.chosen:
            self.chosen = [0] * dictionary.embeddings.num_embeddings
        # Done again, it would move a resumed run by a rounding error.
        if self.row_constraint and state.global_step == 0:
            with torch.no_grad(), all_rows(dictionary.embeddings.weight) as entries:
                self._constrain(entries)

    def on_train_end(self, args, state, control, **kwargs):
        """Stops watching."""
        for hook in self._hooks:
            hook.remove()

    @torch.no_grad()
    def on_optimizer_step(self, args, state, control, optimizer=None, **kwargs):
        """Restarts, then constrains, the entries."""
        weight = self._base.dictionary.embeddings.weight
        self._update_means(weight.device)
        restart = self.restart_dead_every and (state.global_step + 1) % self.restart_dead_every == 0
        if not (restart or self.row_constraint):
            return
        with all_rows(weight) as entries:
            if restart:
                dead = self._restart_dead(entries, state.global_step)
                for value in optimizer.state.get(weight, {}).values():
                    if value.shape == weight.shape:
                        with all_rows(value) as moments:
                            moments[dead] = 0
            if self.row_constraint:
                self._constrain(entries)

    def _watch_patches(self, module, args, kwargs, output):
        if module.training:
            tokens = self._base.dictionary.project(output.last_hidden_state[:, 1:], "patch_projection")
            self._watch("image", tokens.detach().flatten(0, 1))

    def _watch_words(self, module, args, kwargs, output):
        if module.training:
            tokens = self._base.dictionary.project(output.last_hidden_state[:, 1:], "token_projection")
            mask = kwargs.get("attention_mask")
            if mask is None or mask.dim() != 2:  # official padding: padded words take part
                words = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
            else:
                words = (mask.bool() & (mask.cumsum(1) > 1))[:, 1:]
            self._watch("text", tokens.detach()[words])

    def _watch(self, side: str, tokens: torch.Tensor):
        tokens = tokens.float()
        if self.restart_dead_every:
            self._tokens[side] = tokens
        self._sums[side] = self._sums.get(side, 0) + tokens.sum(0)
        self._counts[side] = self._counts.get(side, 0) + torch.tensor(float(len(tokens)), device=tokens.device)

    def _watch_choices(self, module, args, output):
        if module.training and self.restart_dead_every and output.grounded_token_ids is not None:
            counts = torch.bincount(output.grounded_token_ids.flatten(), minlength=len(self.chosen))
            self.chosen = [old + new for old, new in zip(self.chosen, counts.tolist())]

    def _update_means(self, device: torch.device):
        """Moves the running means on by the tokens since the last step; a side that had none keeps its mean."""
        for side in sorted(self._sums):  # the same order on every rank; all ranks see the same kinds of batches
            total = ranks.mean_count(torch.cat((self._sums[side], self._counts[side][None])))
            mean = total[:-1] / total[-1].clamp(min=1e-6)
            if side in self.means:
                mean = MOMENTUM * torch.tensor(self.means[side], device=device) + (1 - MOMENTUM) * mean
            self.means[side] = mean.tolist()
        self._sums, self._counts = {}, {}

    def _constrain(self, entries: torch.Tensor):
        if self.means:
            means = torch.tensor([self.means[side] for side in sorted(self.means)], device=entries.device)
            basis = torch.linalg.qr(means.T.double()).Q.to(entries.dtype)
            entries -= entries @ basis @ basis.T
        entries.copy_(F.normalize(entries, dim=-1))

    def _restart_dead(self, entries: torch.Tensor, step: int) -> torch.Tensor:
        """Makes tokens of the dead entries. Returns which they are, a mask (C,)."""
        counts = torch.tensor(self.chosen, device=entries.device, dtype=torch.float32)
        dead = ranks.mean_count(counts) == 0
        self.chosen = [0] * len(self.chosen)
        tokens = torch.cat([self._tokens[side] for side in sorted(self._tokens)])
        if dead.all() or not len(tokens):
            return torch.zeros_like(dead)
        if dead.any():
            generator = torch.Generator().manual_seed((self.seed << 32) + step)
            drawn = torch.randint(len(tokens), (int(dead.sum()),), generator=generator).to(tokens.device)
            fresh = F.normalize(tokens[drawn], dim=-1) * entries[~dead].norm(dim=-1).mean()
            entries[dead] = ranks.gather(fresh.to(entries.dtype))[: len(fresh)]
            self.restarted += int(dead.sum())
        return dead


def check_dictionary(model: PreTrainedModel) -> None:
    """Refuses a model that has no dictionary to care for."""
    if getattr(model.base_model, "dictionary", None) is None:
        raise BadInputError(
            f"{type(model).__name__} has no dictionary (`grounding_method` is "
            f"{getattr(model.config, 'grounding_method', None)!r}): leave out the `dictionary` options."
        )
