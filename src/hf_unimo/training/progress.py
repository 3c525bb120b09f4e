# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""What a run tells while it trains: a bar of steps, and its log as lines for a reader."""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence

from tqdm import tqdm
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerCallback


NUMBER_WIDTH = 5


class ProgressLines(TrainerCallback):
    """
    Shows a bar of steps on standard error, if that is a terminal, and prints the log on standard output, instead of
    transformers' `ProgressCallback` and `PrinterCallback`. Of several processes only the first one does.

    ```
    step   120/1000  loss 5.340  contrastive 2.821  grounding 1.066  mlm     -  lr 1.5e-03
    step   250/1000  dictionary (image/text): entries 212/198  perplexity 148.2/131.7  overlap own 0.312, foreign ...
    step   500/1000  unseen_concepts: image R@1/5/10 11.2/27.7/39.4 %  text R@1/5/10 ...  (188 candidates)  loss: ...
    step  1000/1000  trained in 06:12  2.69 steps/s  mean loss 4.321
    ```

    Losses are means since the line before; `-` stands for an objective that no batch had since then. Logs that hold
    none of these are printed as they are.

    Args:
        objectives (sequence of `str`, *optional*): Those that get a column, in this order. Others get one behind them
            when they first come.
        galleries (sequence of `str`, *optional*): Names of the evaluation sources; each gets its own line.
    """

    def __init__(self, objectives: Sequence[str] = (), galleries: Sequence[str] = ()):
        self.objectives, self.galleries = list(objectives), list(galleries)
        self._bar: tqdm | None = None

    def on_train_begin(self, args, state, control, **kwargs):
        """Opens the bar, at the step that a resumed run goes on from."""
        if state.is_world_process_zero:
            hidden = args.disable_tqdm or None  # None: hidden unless standard error is a terminal
            self._bar = tqdm(total=state.max_steps, initial=state.global_step, dynamic_ncols=True, disable=hidden)

    def on_step_end(self, args, state, control, **kwargs):
        """Moves the bar."""
        if self._bar is not None:
            self._bar.update(state.global_step - self._bar.n)

    def on_log(self, args, state, control, logs=None, **kwargs):
        """Prints `logs`, above the bar."""
        if state.is_world_process_zero:
            for line in self.lines(logs or {}, state.global_step, state.max_steps):
                tqdm.write(line)
            sys.stdout.flush()  # whoever follows a file or a pipe sees the line now

    def on_train_end(self, args, state, control, **kwargs):
        """Closes the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def lines(self, logs: Mapping[str, float], step: int, max_steps: int) -> list[str]:
        """The lines, none or several, for what [`ScheduledTrainer`] logs at once."""
        head = f"step  {step:>{len(str(max_steps))}}/{max_steps}  "
        if "loss" in logs:
            return [head + self._training(logs)]
        if "train_runtime" in logs:
            return [head + _summary(logs)]
        if health := _below("health_", logs):
            return [head + _health(health)]
        if evaluation := list(self._evaluation(logs)):
            return [head + line for line in evaluation]
        other = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in logs.items()}
        other.pop("epoch", None)
        return [head + "  ".join(f"{name} {value}" for name, value in other.items())] if other else []

    def _training(self, logs: Mapping[str, float]) -> str:
        losses = self._losses(logs)
        parts = [f"{name} {_number(losses.get(name))}" for name in self.objectives]
        return "  ".join([f"loss {_number(logs['loss'])}", *parts, f"lr {logs['learning_rate']:.1e}"])

    def _losses(self, logs: Mapping[str, float]) -> dict[str, float]:
        """The losses by objective, in the order of the columns, which new ones are added to."""
        found = _below("loss_", logs)
        self.objectives += [name for name in found if name not in self.objectives]
        return {name: found[name] for name in self.objectives if name in found}

    def _evaluation(self, logs: Mapping[str, float]) -> Iterator[str]:
        width = max(map(len, self.galleries), default=0) + 1
        for gallery in self.galleries:
            found = _below(f"eval_{gallery}_", logs)
            parts = [_recalls(found, side) for side in ("image", "text")] if "candidates" in found else []
            parts += [f"({found['candidates']} candidates)"] if parts else []
            losses = [f"{name} {_number(value)}" for name, value in self._losses(found).items()]
            parts += ["loss: " + "  ".join(losses)] if losses else []
            if parts:
                yield "  ".join([f"{gallery + ':':<{width}} {parts[0]}", *parts[1:]])
        if len(self.galleries) > 1 and "eval_mean_recall" in logs:
            yield f"mean recall {_percent(logs['eval_mean_recall'])} %"


def show_lines(trainer: Trainer, lines: ProgressLines) -> None:
    """Puts `lines` in the place of what `trainer` would show."""
    for shown in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(shown)
    trainer.add_callback(lines)


def _below(prefix: str, logs: Mapping[str, float]) -> dict[str, float]:
    return {name.removeprefix(prefix): value for name, value in logs.items() if name.startswith(prefix)}


def _recalls(found: Mapping[str, float], side: str) -> str:
    """`image R@1/5/10 11.2/27.7/39.4 %`"""
    recalls = {int(k): value for k, value in _below(f"{side}_recall@", found).items()}
    ks = sorted(recalls)
    values = "/".join(_percent(recalls[k]) for k in ks)
    return f"{side} R@{'/'.join(map(str, ks))} {values:>{NUMBER_WIDTH * len(ks) - 1}} %"


def _health(found: Mapping[str, float]) -> str:
    def both(name: str, decimals: int, unit: int = 1) -> str:
        values = (found.get(name.format(side)) for side in ("image", "text"))
        return "/".join("-" if value is None else f"{unit * value:.{decimals}f}" for value in values)

    overlaps = [f"{name} {_number(found.get(f'{name}_overlap'))}" for name in ("own", "foreign", "chance")]
    parts = [
        f"entries {both('entries_used_by_{}s', 0)}",
        f"perplexity {both('perplexity_of_{}s', 1)}",
        f"overlap {', '.join(overlaps)}",
        f"score R@10 {both('score_{}_recall@10', 1, unit=100)} %",
    ]
    return "dictionary (image/text): " + "  ".join(parts)


def _summary(logs: Mapping[str, float]) -> str:
    seconds, rate = logs["train_runtime"], logs["train_steps_per_second"]
    return f"trained in {tqdm.format_interval(seconds)}  {rate:.3g} steps/s  mean loss {_number(logs['train_loss'])}"


def _number(value: float | None) -> str:
    """Up to three decimals, as many as fit into `NUMBER_WIDTH` characters, so that columns stay where they are."""
    if value is None:
        return "-".rjust(NUMBER_WIDTH)
    decimals = (3, 2, 1, 0) if math.isfinite(value) else (0,)
    texts = [f"{value:.{number}f}".rjust(NUMBER_WIDTH) for number in decimals]
    return next((text for text in texts if len(text) == NUMBER_WIDTH), texts[-1])


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
