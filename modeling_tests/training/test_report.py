# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The report of a run: all numbers with chance and protocol, a card that parses, no folder of the machine."""

import io
import json
import logging
import re
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
import yaml
from huggingface_hub import ModelCard
from PIL import Image

import hf_unimo
from hf_unimo import Unimo2ForPreTraining
from hf_unimo.errors import BadInputError
from hf_unimo.hub import export_repository
from hf_unimo.training.curves import draw_curves, evaluation_curves, final_losses, loss_curves, recall_curves
from hf_unimo.training.report import (
    CARD_NAME,
    LOSSES_NAME,
    METRICS_NAME,
    RunFacts,
    chance_level,
    describe_hardware,
    write_report,
)
from modeling_tests.test_hub import save


def log_of_a_run() -> list[dict]:
    """60 entries of training, matching from the half on; 6 of evaluation; what Trainer adds at the end."""
    log: list[dict] = []
    for step in range(20, 1201, 20):
        entry = {"step": step, "epoch": step / 1200, "learning_rate": 1e-3, "loss": 8 - step / 200}
        entry |= {"loss_contrastive": torch.tensor(5 - step / 300), "loss_grounding": np.float32(0.5)}
        entry |= {"loss_matching": 0.69} if step > 600 else {}
        log.append(entry)
        if step % 200 == 0:
            recalls = {f"{side}_recall@{k}": k / 40 * step / 1200 for side in ("image", "text") for k in (1, 5, 10)}
            metrics = recalls | {"score_image_recall@10": 0.1, "loss_contrastive": 3.0}
            log.append({"step": step, "eval_mean_recall": 0.1} | {f"eval_test_{k}": v for k, v in metrics.items()})
    return [*log, {"step": 1200, "train_runtime": 300.0, "train_loss": 2.0}]


def run_facts(**changes) -> RunFacts:
    evaluation = {"image_recall@1": 0.112, "image_recall@10": 0.42, "text_recall@1": 0.1, "text_recall@10": 0.4}
    evaluation |= {"image_median_rank": 15.0, "text_median_rank": 17.0, "mean_recall": 0.258, "candidates": 400}
    evaluation |= {"score_image_recall@10": 0.05, "dictionary": {"used": 412}}
    kind = {"rows": 76800, "seconds": 200.0, "rows_per_second": 384.0, "share_of_time": 0.75, "share_of_peak": 0.39}
    facts = {
        "title": "Emoji, small",
        "command": "hf-unimo pretrain emoji.yaml output=/home/someone/runs/emoji training.hub_token=hf_secret",
        "seed": 7,
        "steps": 1200,
        "model_class": "Unimo2ForPreTraining",
        "family": "unimo2",
        "num_parameters": 3012345,
        "config": {"output": "/home/someone/runs/emoji", "training": {"hub_token": "hf_secret", "bf16": False}},
        "sources": [
            {"name": "emoji", "kind": "pairs", "path": "/home/someone/data/emoji.parquet", "format": "parquet"}
            | {"weight": 2, "rows": 3099, "batches": 600, "rows_drawn": 76800},
            {"name": "words", "kind": "text", "path": "someone/words", "format": "hub"}
            | {"weight": 1, "rows": None, "batches": 300, "rows_drawn": 38400},
        ],
        "objectives": [
            {"name": "contrastive", "weight": 1, "start": 0, "warmup": 0},
            {"name": "matching", "weight": 0.5, "start": 0.75, "warmup": 24, "hardness": 0.3},
        ],
        "log_history": [],  # no picture, which takes a second
        "evaluation": {"test": evaluation},
        "throughput": {"rows": 76800, "seconds": 200.0, "peak_flops": 2e11, "kinds": {"pairs": kind}},
        "bad_rows": {"emoji": 3},
        "protocol": ["Contrastive features, no re-ranking."],
        "notes": ["Pictures of 64 pixels."],
        "hardware": "2 CPU threads",
    }
    return RunFacts(**(facts | changes))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "new" / "run"
    written = write_report(folder, run_facts(log_history=log_of_a_run()))
    assert sorted(written) == sorted(folder / name for name in (LOSSES_NAME, METRICS_NAME, CARD_NAME))
    assert sorted(folder.iterdir()) == sorted(written)
    return folder


def table(text: str, first: str) -> list[dict[str, str]]:
    """Rows of the table whose first column is called `first`."""
    lines = text[text.index(f"\n| {first} |") + 1 :].partition("\n\n")[0].splitlines()
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    assert all(len(row) == len(head) for row in rows)
    return [dict(zip(head, row)) for row in rows]


# The card


def test_card_metadata(folder):
    card = ModelCard.load(folder / CARD_NAME)
    data = card.data.to_dict()
    assert data["library_name"] == "transformers" and data["tags"] == ["unimo2", "hf_unimo"]
    assert data["datasets"] == ["someone/words"] and "license" not in data
    [result] = data["model-index"][0]["results"]
    assert data["model-index"][0]["name"] == "Emoji, small" and result["dataset"]["name"] == "test"
    assert {metric["type"]: metric["value"] for metric in result["metrics"]} == {
        "image_recall@1": 0.112,
        "image_recall@10": 0.42,
        "text_recall@1": 0.1,
        "text_recall@10": 0.4,
    }
    assert ModelCard(str(card)).data.to_dict() == data


def test_card_tables(folder):
    text = (folder / CARD_NAME).read_text()
    emoji, words = table(text, "Source")
    assert list(emoji.values()) == ["emoji", "pairs", "emoji.parquet", "3,099", "2", "600", "76,800", "3"]
    assert (words["Data"], words["Rows"], words["Bad rows skipped"]) == ("someone/words", "stream", "0")
    contrastive, matching = table(text, "Objective")
    assert list(matching.values()) == ["matching", "0.5", "75 % of the run", "24", "hardness 0.3"]
    assert contrastive["Starts at step"] == "0"
    losses = {row["Loss"]: row for row in table(text, "Loss")}
    assert list(losses) == ["loss", "loss_contrastive", "loss_grounding", "loss_matching"]
    assert losses["loss"] == {
        "Loss": "loss",
        "First logged": "7.9",
        "Mean of the last tenth logged": "2.25",
        "Lowest logged": "2",
    }
    image, text_side = table(text, "Gallery")
    assert list(image.values()) == ["test", "text to image", "400", "11.2 (0.2)", "42.0 (2.5)", "15 (200.5)"]
    assert text_side["R@10 %"] == "40.0 (2.5)"
    others = table(text.replace("| Gallery | Direction", ""), "Gallery")
    assert [list(row.values())[1:] for row in others] == [
        ["mean_recall", "0.258", "0.01375"],
        ["score_image_recall@10", "0.05", "0.025"],
        ["dictionary.used", "412", "–"],
    ]
    [pairs] = table(text, "Kind")
    assert list(pairs.values()) == ["pairs", "76,800", "384", "75.0", "39.0"]


def test_card_says_how_it_came_about(folder):
    text = (folder / CARD_NAME).read_text()
    assert "hf-unimo pretrain emoji.yaml output=emoji training.hub_token=TOKEN" in text
    for part in ("Seed 7; 2 CPU threads", f"torch {torch.__version__}", f"transformers {transformers.__version__}"):
        assert part in text
    assert f"hf_unimo {hf_unimo.__version__}" in text and "Python 3." in text
    for part in ("3,012,345 parameters, trained for 1,200 steps on pairs and text.", "* Pictures of 64 pixels."):
        assert part in text
    assert "* Contrastive features, no re-ranking." in text and f"]({LOSSES_NAME})" in text
    assert "200 billion operations a second" in text
    config = yaml.safe_load(re.search(r"````yaml\n(.*?)````", text, flags=re.DOTALL)[1])
    assert config == {"output": "emoji", "training": {"hub_token": "<HUB_TOKEN>", "bf16": False}}


def test_empty_run(tmp_path):
    """Nothing logged, measured or named: the card says so, and no picture is drawn."""
    names = ("sources", "objectives", "log_history", "protocol", "notes")
    facts = run_facts(**{name: [] for name in names}, evaluation={}, throughput={}, hardware="", config={}, command="")
    assert [path.name for path in write_report(tmp_path, facts)] == [METRICS_NAME, CARD_NAME]
    text = ModelCard.load(tmp_path / CARD_NAME).text
    for part in (
        "trained for 1,200 steps.",
        "None was logged.",
        "no data to evaluate on",
        "It was not measured.",
        "not started from a",
    ):
        assert part in text
    assert LOSSES_NAME not in text and describe_hardware("cpu") in text


def test_a_table_holds_what_names_hold(tmp_path):
    source = {"name": "a|b\nc", "kind": "pairs", "path": "x<y>.csv"}
    write_report(tmp_path, run_facts(sources=[source], title="A\ntitle: {x}", notes=["{braces}"]))
    text = (tmp_path / CARD_NAME).read_text()
    assert "| a\\|b c | pairs | x&lt;y>.csv | – |" in text and "# A title: {x}\n" in text and "* {braces}" in text
    assert ModelCard.load(tmp_path / CARD_NAME).data.eval_results[0].metric_value == 0.112


@pytest.mark.parametrize("changes", [{"model_class": "BertModel"}, {"family": "bert"}])
def test_unknown_model(changes, tmp_path):
    with pytest.raises(BadInputError, match=r"is not known; known are .*Unimo2ForPreTraining"):
        write_report(tmp_path / "out", run_facts(**changes))
    assert not (tmp_path / "out").exists()


def test_chance():
    one_each = {"candidates": 50, "image_recall@5": 1.0, "text_recall@5": 1.0}
    assert chance_level(one_each, "image_recall@5") == chance_level(one_each, "score_text_recall@5") == 0.1
    assert chance_level(one_each, "text_median_rank") == 25.5 and chance_level(one_each, "mean_recall") == 0.1
    assert chance_level(one_each, "image_recall@100") == 1.0
    several = {"num_images": 50, "num_texts": 250, "image_recall@5": 1.0, "text_recall@5": 1.0}
    assert chance_level(several, "image_recall@5") == 0.1
    assert chance_level(several, "text_recall@5") is None and chance_level(several, "mean_recall") is None
    assert chance_level(several | {"chance": {"text_recall@5": 0.09}}, "text_recall@5") == 0.09
    assert chance_level(one_each, "perplexity") is None and chance_level({}, "image_recall@5") is None


def test_hardware():
    threads = torch.get_num_threads()
    assert re.fullmatch(rf"{threads} CPU threads?", describe_hardware("cpu"))
    assert describe_hardware(torch.device("cpu"), 2).startswith(f"2 processes of {threads} CPU thread")


# The numbers


def test_metrics_hold_everything(folder):
    metrics = json.loads((folder / METRICS_NAME).read_text())
    facts = run_facts(log_history=log_of_a_run())
    for name in ("seed", "steps", "evaluation", "throughput", "bad_rows", "objectives", "protocol", "num_parameters"):
        assert metrics[name] == getattr(facts, name)
    assert len(metrics["log_history"]) == len(facts.log_history)
    assert metrics["log_history"][0]["loss_contrastive"] == pytest.approx(5 - 20 / 300)
    assert metrics["final_losses"]["loss_matching"] == {"first": 0.69, "last": pytest.approx(0.69), "lowest": 0.69}
    assert metrics["versions"]["torch"] == torch.__version__ and "output=emoji" in metrics["command"]


def test_numbers_that_are_not_finite(tmp_path):
    log = [{"step": 1, "loss": 1.0}, {"step": 2, "loss": float("nan")}, {"step": 3, "loss": torch.tensor(torch.inf)}]
    write_report(tmp_path, run_facts(log_history=log, evaluation={"test": {"image_recall@1": float("nan")}}))
    metrics = json.loads((tmp_path / METRICS_NAME).read_text(), parse_constant=pytest.fail)
    assert [entry["loss"] for entry in metrics["log_history"]] == [1.0, None, None]
    assert ModelCard.load(tmp_path / CARD_NAME).data.eval_results is None


def test_curves():
    log = log_of_a_run()
    losses = loss_curves(log)
    assert list(losses) == ["loss", "loss_contrastive", "loss_grounding", "loss_matching"]
    assert len(losses["loss"]) == 60 and losses["loss_matching"][0] == (620, 0.69)
    [(gallery, recalls)] = recall_curves(log).items()
    assert gallery == "test" and len(recalls) == 6
    assert recalls["text_recall@10"][-1] == (1200, 0.25) and len(recalls["text_recall@10"]) == 6
    assert evaluation_curves(log, "loss_contrastive") == {"test": [(step, 3.0) for step in range(200, 1201, 200)]}
    assert evaluation_curves([{"step": 1, "eval_loss": 2.0}], "loss") == {"": [(1, 2.0)]}
    assert list(recall_curves([{"step": 1, "eval_image_recall@1": 0.5}])) == [""]
    assert final_losses(log)["loss"]["last"] == pytest.approx(
        np.mean([8 - step / 200 for step in range(1100, 1201, 20)])
    )
    assert final_losses([]) == {}


# The picture


def test_picture(folder):
    with Image.open(folder / LOSSES_NAME) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    height, width, _ = pixels.shape
    # Four losses in two rows, and the recalls below.
    assert width == 1200 and height == 810
    assert np.ptp(pixels, axis=2).max() == 0  # no colours
    parts = (pixels[280:450, :400], pixels[280:450, 440:], pixels[520:])
    assert [bool((part < 128).any()) for part in parts] == [True, False, True]


@pytest.mark.parametrize("entries", [1, 20])
def test_picture_of_a_short_run(entries):
    log = [{"step": step, "loss": float("nan") if step == 1 else 1.0} for step in range(entries)]
    galleries = {f"eval_{name}_image_recall@1": 0.5 for name in "abc"}
    for picture in (draw_curves(log), draw_curves([*log, {"step": entries, **galleries}])):
        assert Image.open(io.BytesIO(picture)).format == "PNG"


def test_without_matplotlib(tmp_path, monkeypatch, caplog):
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    log = log_of_a_run()
    with caplog.at_level(logging.WARNING):
        assert [path.name for path in write_report(tmp_path, run_facts(log_history=log))] == [METRICS_NAME, CARD_NAME]
    assert "matplotlib is missing" in caplog.text
    assert f"]({LOSSES_NAME})" not in (tmp_path / CARD_NAME).read_text()


# What is published


PRIVATE = "/home/some one/secret"


@pytest.mark.parametrize(
    "command, shown",
    [
        (f"{PRIVATE}/bin/hf-unimo pretrain c.yaml".replace(" one", "one"), "hf-unimo pretrain c.yaml"),
        (f"hf-unimo pretrain '{PRIVATE}/c.yaml' 'output={PRIVATE}/a b'", "hf-unimo pretrain c.yaml 'output=a b'"),
        ("hf-unimo pretrain ~/secret/c.yaml seed=1", "hf-unimo pretrain c.yaml seed=1"),
        ("hf-unimo pretrain 'C:\\secret\\c.yaml'", "hf-unimo pretrain c.yaml"),
        ("hf-unimo pretrain c.yaml 'data.sources.a.path=x/*.csv'", None),
        ("torchrun --nproc-per-node 2 -m hf_unimo pretrain ../configs/c.yaml", None),
        ("echo 'open quote /home/secret/x", "echo 'open quote x"),
        ("hf-unimo pretrain c.yaml --hub_token secret", "hf-unimo pretrain c.yaml --hub_token TOKEN"),
    ],
)
def test_no_folder_of_the_machine_in_the_command(command, shown, tmp_path):
    write_report(tmp_path, run_facts(command=command))
    for name in (CARD_NAME, METRICS_NAME):
        assert "secret" not in (tmp_path / name).read_text()
    assert json.loads((tmp_path / METRICS_NAME).read_text())["command"] == (command if shown is None else shown)
    assert shown is None or "quote" in shown or shlex.split(shown)


@pytest.mark.parametrize(
    "text, shown",
    [
        (f"{PRIVATE}/dog.png", "dog.png"),
        (Path("/home/secret/folder/"), "folder"),
        ("file:///home/secret/x.csv was read", "x.csv was read"),
        ("row 3 (/home/secret/dog.png): broken", "row 3 (dog.png): broken"),
        ("I/O and/or 3 / 4 of 200 rows/s, ../data/x.csv, https://hf.co/a/b, a/b", None),
        ("/", None),
    ],
)
def test_no_folder_of_the_machine_in_texts(text, shown, tmp_path):
    source = {"name": "a", "kind": "pairs", "path": "x.csv", "other": [{"why": text}]}
    write_report(tmp_path, run_facts(sources=[source], config={"path": text}, notes=[text]))
    metrics = json.loads((tmp_path / METRICS_NAME).read_text())
    assert metrics["sources"][0]["other"][0]["why"] == metrics["config"]["path"] == (shown or text)
    assert "secret" not in (tmp_path / CARD_NAME).read_text()


def test_a_second_report_replaces_the_first(tmp_path):
    (tmp_path / CARD_NAME).write_text("of an earlier run")
    (tmp_path / "mine.txt").touch()
    written = write_report(str(tmp_path), run_facts(log_history=log_of_a_run()[:3]), model_folder=tmp_path / "model")
    assert "# Emoji, small" in (tmp_path / CARD_NAME).read_text()
    assert {path.name for path in tmp_path.iterdir()} == {CARD_NAME, LOSSES_NAME, METRICS_NAME, "mine.txt", "model"}
    assert {path.parent for path in written} == {tmp_path}
    beside_the_model = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    assert beside_the_model == {name: (tmp_path / name).read_bytes() for name in (CARD_NAME, LOSSES_NAME)}


# Export


def test_export_keeps_the_card(folder, tmp_path):
    saved = save(Unimo2ForPreTraining, tmp_path / "saved")
    for name in (CARD_NAME, METRICS_NAME, LOSSES_NAME):
        shutil.copy(folder / name, saved)
    card = saved / CARD_NAME
    card.write_text(card.read_text() + "\nAdded by hand.\n")
    exported = export_repository(saved, tmp_path / "out", license="mit")
    assert (exported / LOSSES_NAME).read_bytes() == (saved / LOSSES_NAME).read_bytes()
    assert not (exported / METRICS_NAME).exists()
    before, after = ModelCard.load(card), ModelCard.load(exported / CARD_NAME)
    assert after.data.to_dict() == before.data.to_dict() | {
        "license": "mit",
        "tags": ["unimo2", "hf_unimo", "custom_code"],
    }
    begin, end = before.text.index("<!-- hf_unimo: use -->"), before.text.index("<!-- hf_unimo: end of use -->")
    assert after.text.startswith(before.text[:begin])
    assert after.text.endswith(before.text[end:].removeprefix("<!-- hf_unimo: end of use -->"))
    for part in ("trust_remote_code=True", "## Heads and parts", "## Size", "Added by hand."):
        assert after.text.count(part) >= 1
    assert "<!--" not in after.text

    again = export_repository(exported, tmp_path / "again")
    assert (again / CARD_NAME).read_bytes() == (exported / CARD_NAME).read_bytes()


def test_export_refuses_a_broken_card(tmp_path):
    saved = save(Unimo2ForPreTraining, tmp_path / "saved", processor=False)
    write_report(saved, run_facts())
    card = saved / CARD_NAME
    card.write_text(card.read_text().replace("library_name: transformers", "library_name: [transformers"))
    with pytest.raises(BadInputError, match="metadata of the saved model's card cannot be read"):
        export_repository(saved, tmp_path / "out")
    assert not (tmp_path / "out").exists()
