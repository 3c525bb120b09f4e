# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""`ProgressLines`: the very lines, for what the trainer logs, and the bar on terminals alone."""

import io
import math
import sys

import numpy as np
from transformers import TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import CallbackHandler

from hf_unimo.evaluation.pretraining import BatchResult, summarize
from hf_unimo.training.progress import ProgressLines


OBJECTIVES = ("contrastive", "grounding", "visual_contrastive", "mlm")
GALLERIES = ("unseen_concepts", "unseen_concepts_noto", "words")
TRAINING = {
    "loss": 5.34017,
    "grad_norm": 33.6,
    "learning_rate": 0.0015,
    "loss_contrastive": 2.8209,
    "loss_grounding": 1.0661,
    "loss_visual_contrastive": 10.8249,
    "batches_emoji": 96,
    "batches_noto": 24,
    "epoch": 0.12,
}
SUMMARY = {
    "train_runtime": 372.4,
    "train_samples_per_second": 343.7,
    "train_steps_per_second": 2.685,
    "total_flos": 1462197760.0,
    "train_loss": 4.32051,
    "epoch": 1.0,
}


def recalls(values):
    names = [f"{side}_recall@{k}" for side in ("image", "text") for k in (1, 5, 10)]
    ranks = {"image_mean_rank": 40.2, "image_median_rank": 21.0, "text_mean_rank": 41.3, "text_median_rank": 22.5}
    return {"mean_recall": float(np.mean(values)), **dict(zip(names, values)), **ranks, "candidates": 188}


def under(prefix, metrics):
    return {f"{prefix}_{name}": value for name, value in metrics.items()}


def lines(logs, step=120, **arguments):
    arguments = {"objectives": OBJECTIVES, "galleries": GALLERIES} | arguments
    return ProgressLines(**arguments).lines(logs, step, 1000)


def test_losses():
    assert lines(TRAINING) == [
        "step   120/1000  loss 5.340  contrastive 2.821  grounding 1.066  visual_contrastive 10.82  mlm     -"
        "  lr 1.5e-03"
    ]


def test_columns_stay_where_they_are():
    progress = ProgressLines(("contrastive",))
    other = {"loss": 12345.6, "learning_rate": 0.0, "loss_mlm": math.nan, "loss_contrastive": 99.996, "loss_new": -2.0}
    first, second, third = [
        progress.lines(logs, step, 1000)[0] for logs, step in ((TRAINING, 9), (other, 10), (TRAINING, 1000))
    ]
    assert second == (
        "step    10/1000  loss 12346  contrastive 100.0  grounding     -  visual_contrastive     -  mlm   nan"
        "  new -2.00  lr 0.0e+00"
    )
    assert third == first.replace("step     9", "step  1000").replace("  lr", "  mlm     -  new     -  lr")
    assert len(third) == len(second)


def test_evaluation_is_a_line_for_each_gallery():
    logs = {
        **under("eval_unseen_concepts", recalls([0.1117, 0.2766, 0.3936, 0.1064, 0.266, 1.0])),
        **under("eval_unseen_concepts", {"loss_mlm": 8.157, "loss_contrastive": 2.189, "own_overlap": 0.06}),
        **under("eval_unseen_concepts_noto", recalls([0.0053, 0.0266, 0.0532, 0, 0.0372, 0.0479])),
        **under("eval_unseen_concepts_noto", {"loss_contrastive": 4.5}),
        **under("eval_words", {"loss_mlm": 8.3}),
        "eval_mean_recall": 0.1939,
        "epoch": 0.5,
    }
    assert lines(logs, step=500) == [
        "step   500/1000  unseen_concepts:      image R@1/5/10 11.2/27.7/39.4 %  text R@1/5/10 10.6/26.6/100.0 %"
        "  (188 candidates)  loss: contrastive 2.189  mlm 8.157",
        "step   500/1000  unseen_concepts_noto: image R@1/5/10    0.5/2.7/5.3 %  text R@1/5/10    0.0/3.7/4.8 %"
        "  (188 candidates)  loss: contrastive 4.500",
        "step   500/1000  words:                loss: mlm 8.300",
        "step   500/1000  mean recall 19.4 %",
    ]
    # The mean of one is that one.
    assert len(lines(logs, galleries=["unseen_concepts"])) == 1


def test_names_are_those_that_evaluation_gives():
    """All that the lines show comes from `summarize`: a name that changes there leaves a gap here."""
    random = np.random.RandomState(0)
    features = random.randn(8, 16)
    sides = {
        name: value
        for side in ("image", "text")
        for name, value in {
            side: features,
            f"{side}_chosen": np.stack([random.permutation(16)[:4] for _ in range(8)]),
            f"{side}_scores": features,
        }.items()
    }
    found = summarize([BatchResult(8, {"mlm": (8.0, 3.0)}, sides)], dictionary_size=16)
    (line,) = lines(under("eval_words", found), galleries=["words"])
    exact = "R@1/5/10 100.0/100.0/100.0 %"
    assert line == f"step   120/1000  words: image {exact}  text {exact}  (8 candidates)  loss: mlm 8.000"
    (line,) = lines(under("health", found))
    assert "-" not in line and line.endswith("score R@10 100.0/100.0 %")
    assert f"entries {found['entries_used_by_images']}/{found['entries_used_by_texts']}  " in line


def test_dictionary_health():
    health = {
        "perplexity_of_images": 148.24,
        "overlap_of_images": 0.263,
        "entries_used_by_images": 212,
        "perplexity_of_texts": 131.72,
        "overlap_of_texts": 0.2077,
        "entries_used_by_texts": 198,
        "chance_overlap": 0.0323,
        "own_overlap": 0.31196,
        "foreign_overlap": 0.101,
        **under("score", recalls([0.05, 0.2, 0.35213, 0.04, 0.19, 0.33])),
    }
    assert lines(under("health", health) | {"epoch": 0.25}, step=250) == [
        "step   250/1000  dictionary (image/text): entries 212/198  perplexity 148.2/131.7"
        "  overlap own 0.312, foreign 0.101, chance 0.032  score R@10 35.2/33.0 %"
    ]


def test_the_end_and_what_is_not_known():
    assert lines(SUMMARY, step=1000) == ["step  1000/1000  trained in 06:12  2.69 steps/s  mean loss 4.321"]
    assert lines({"restarted": 3, "state": "fine", "epoch": 0.1}) == ["step   120/1000  restarted 3  state fine"]
    assert lines({"eval_elsewhere_loss_mlm": 2.0}) == ["step   120/1000  eval_elsewhere_loss_mlm 2"]
    assert lines({"epoch": 0.1}) == lines({}) == []


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(tmp_path, first=True, start=0, **arguments):
    """What Trainer calls, of four steps; the last log comes after the end, as that of a last evaluation."""
    arguments = TrainingArguments(str(tmp_path), use_cpu=True, report_to="none", **arguments)
    state = TrainerState(max_steps=4, global_step=start, is_world_process_zero=first)
    events, control = CallbackHandler([ProgressLines()], None, None, None, None), TrainerControl()
    events.on_train_begin(arguments, state, control)
    for step in range(start + 1, 5):
        state.global_step = step
        events.on_step_end(arguments, state, control)
        events.on_log(arguments, state, control, logs={"loss": step, "learning_rate": 0.1})
    events.on_train_end(arguments, state, control)
    events.on_log(arguments, state, control, logs={"eval_loss": 2.5})


def test_lines_go_to_standard_output_and_the_bar_to_a_terminal(tmp_path, monkeypatch, capsys):
    printed = [f"step  {step}/4  loss {step}.000  lr 1.0e-01\n" for step in range(1, 5)] + [
        "step  4/4  eval_loss 2.5\n"
    ]
    run(tmp_path)
    found = capsys.readouterr()
    assert found.out == "".join(printed) and "4/4" not in found.err
    run(tmp_path, first=False)
    assert capsys.readouterr().out == ""

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    run(tmp_path, start=2)
    assert capsys.readouterr().out == "".join(printed[2:])
    assert "| 2/4 [" in terminal.getvalue() and "| 4/4 [" in terminal.getvalue() and "0/4" not in terminal.getvalue()
    for hidden in ({"disable_tqdm": True}, {"first": False}):
        monkeypatch.setattr(sys, "stderr", terminal := Terminal())
        run(tmp_path, **hidden)
        assert "/4 [" not in terminal.getvalue()
