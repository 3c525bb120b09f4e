# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Weight-only int8 by torchao beside float: bytes, seconds, and what it costs a trained model's retrieval.

  python -m benchmarks.int8
  python -m benchmarks.int8 --model MODEL --data path=PAIRS.parquet columns.image=image columns.text=text

Needs torchao (`pip install torchao`). The model is the one of examples/configs/finetune/stamps_pretraining.yaml unless
another is named. The time is that of a random model of base width, because a small one spends its time elsewhere.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, TorchAoConfig

from hf_unimo import Unimo2Model
from hf_unimo.data.open_data import open_words
from hf_unimo.errors import BadInputError
from hf_unimo.evaluation.measuring import Options
from hf_unimo.evaluation.run import evaluate_task
from hf_unimo.retrieval.adapters import load_model, pair_adapter

from .models import images, words
from .sizes import BASE, Size


MODEL = "runs/stamps_pretraining/model"
DATA = {
    "stamps": ("path=runs/data/stamps/stamps.parquet", "columns.image=image", "columns.text=text", "where.split=test"),
    "emoji": (
        "path=examples/data/emoji/emoji.parquet",
        "columns.image=image",
        "columns.text=label",
        "where.split=test",
    ),
}
"""Name -> test pairs that the model has not seen."""

FIGURES = tuple(f"{side}_recall@{k}" for side in ("image", "text") for k in (1, 5, 10))


def int8_config() -> TorchAoConfig:
    """The quantisation that docs/int8.md shows: every `nn.Linear` but those tied to embeddings, a scale a row."""
    from torchao.quantization import Int8WeightOnlyConfig

    return TorchAoConfig(Int8WeightOnlyConfig())


def weight_bytes(model: nn.Module) -> int:
    """
    Of parameters and buffers as they lie in memory; tied ones once. (A quantised tensor's own `nbytes` is that of the
    float tensor which it stands for.)
    """
    seen: dict[int, torch.Tensor] = {}
    for value in (*model.parameters(), *model.buffers()):
        parts = [value]
        if hasattr(value, "__tensor_flatten__"):
            parts = [getattr(value, name) for name in value.__tensor_flatten__()[0]]
        seen |= {id(part): part for part in parts}
    return sum(part.nbytes for part in seen.values())


def int8_bytes(model: PreTrainedModel) -> int:
    """What [`weight_bytes`] will be after [`int8_config`]: a byte a weight; a float and a byte a row."""
    tied = {name.removesuffix(".weight") for name in model.all_tied_weights_keys}
    linear = [part for name, part in model.named_modules() if isinstance(part, nn.Linear) and name not in tied]
    saved = sum(part.weight.nbytes - part.weight.numel() - 5 * part.out_features for part in linear)
    return weight_bytes(model) - saved


def measure_int8(
    model: str = MODEL, data: dict[str, Sequence[str]] | None = None, size: Size | None = None, rounds: int = 5
) -> dict[str, Any]:
    """
    Loads a model as float32 and as int8 and compares them.

    Args:
        model (`str`, *optional*): Folder of a model with its processor.
        data (`dict`, *optional*): Name -> words of test pairs, see [`~hf_unimo.data.open_data.open_words`].
        size ([`Size`], *optional*): Of the random model that is timed; by default base width, two layers an encoder.
        rounds (`int`, defaults to 5): Interleaved runs of which the medians count.

    Returns:
        `dict`: `"trained bytes"`, `"base bytes"` (float and int8), `"seconds"` (float and int8, of a forward pass),
        `"retrieval"` (data -> figure -> float and int8), `"largest difference of scores"` and `"same grounded tokens"`
        (share).

    Raises:
        BadInputError: If torchao or the model is missing, or the data cannot be read.
    """
    try:
        config = int8_config()
    except (ImportError, ValueError) as error:
        raise BadInputError("torchao is missing, which int8 needs; `pip install torchao` brings it.") from error
    whole, processor = load_model(model, "cpu")
    whole, converted = whole.eval().float(), type(whole).from_pretrained(model, quantization_config=config).eval()
    with torch.device("meta"):
        base = Unimo2Model(BASE.config())
    result: dict[str, Any] = {
        "trained bytes": (weight_bytes(whole), weight_bytes(converted)),
        "base bytes": (weight_bytes(base), int8_bytes(base)),
        "seconds": _seconds(size or replace(BASE, layers=2, batch=2), rounds),
        "threads": torch.get_num_threads(),
        "retrieval": {},
    }
    differences, same = [], []
    for name, given in (data or DATA).items():
        rows = open_words(list(given), "retrieval")
        found = [
            evaluate_task(
                "retrieval", one, processor, rows, options=Options(samples=0), allow_repeated_captions=True
            ).figures
            for one in (whole, converted)
        ]
        result["retrieval"][name] = {
            "pairs": len(rows),
            **{figure: tuple(one[figure].value for one in found) for figure in FIGURES},
        }
        difference, share = _agreement(whole, converted, processor, rows)
        differences.append(difference)
        same.append(share)
    return result | {"largest difference of scores": max(differences), "same grounded tokens": min(same)}


def _agreement(whole: Any, converted: Any, processor: Any, rows: Any) -> tuple[float, float]:
    """Largest difference of two contrastive scores, and the share of grounded tokens that both choose for a pair."""
    pictures = [row.image.open() for row in rows]
    captions = [row.captions[0] for row in rows]
    scores, chosen = [], []
    for model in (whole, converted):
        adapter = pair_adapter(model, processor)
        assert adapter is not None
        scores.append(adapter.image_features(pictures) @ adapter.text_features(captions).T)
        with torch.inference_mode():
            base: Any = model.base_model
            image, text = base.encode_image(**adapter.images(pictures)), base.encode_text(**adapter.texts(captions))
            chosen.append(base.dictionary.choose(image.dictionary_scores + text.dictionary_scores))
    same = (chosen[0][:, :, None] == chosen[1][:, None, :]).any(2)
    return float(abs(scores[0] - scores[1]).max()), float(same.float().mean())


def _seconds(size: Size, rounds: int) -> tuple[float, float]:
    """Medians of a forward pass, float and int8 in turn."""
    with tempfile.TemporaryDirectory() as folder:
        Unimo2Model(size.config()).save_pretrained(folder)
        models = [Unimo2Model.from_pretrained(folder, quantization_config=one) for one in (None, int8_config())]
        device = torch.device("cpu")
        inputs = {
            "pixel_values": images(size, size.batch, device, torch.float32),
            "input_ids": words(size, size.batch, device),
        }
        times: list[list[float]] = [[], []]
        with torch.inference_mode():
            for number in range(rounds + 1):
                for model, seen in zip(models, times):
                    start = time.perf_counter()
                    model(**inputs)
                    seen += [time.perf_counter() - start] * bool(number)  # the first reads the files
    return statistics.median(times[0]), statistics.median(times[1])


def to_markdown(result: dict[str, Any]) -> str:
    """The tables of docs/int8.md."""
    lines = ["| | float32 | int8 | ratio |", "|---|---:|---:|---:|"]
    for name, key in (("base size, MB of weights", "base bytes"), ("trained model, MB of weights", "trained bytes")):
        whole, converted = (value / 1e6 for value in result[key])
        lines.append(f"| {name} | {whole:.1f} | {converted:.1f} | {converted / whole:.2f} |")
    whole, converted = result["seconds"]
    lines.append(f"| forward pass, base width, s | {whole:.2f} | {converted:.2f} | {converted / whole:.2f} |")
    lines += ["", f"| R@1 / 5 / 10, % | pairs | {' | '.join(('text to image', '', 'image to text', ''))} |"]
    lines += ["|---|---:|---:|---:|---:|---:|", "| | | float32 | int8 | float32 | int8 |"]
    for name, figures in result["retrieval"].items():
        cells = [
            " / ".join(f"{100 * figures[f'{side}_recall@{k}'][which]:.1f}" for k in (1, 5, 10))
            for side in ("image", "text")
            for which in (0, 1)
        ]
        lines.append(f"| {name} | {figures['pairs']} | {' | '.join(cells)} |")
    share, difference = result["same grounded tokens"], result["largest difference of scores"]
    lines += [
        "",
        f"Contrastive scores differ by at most {difference:.4f}; {share:.1%} of grounded tokens are the same.",
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.int8", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", metavar="MODEL", default=MODEL, help="folder (default: %(default)s)")
    parser.add_argument("--data", metavar="WORD", nargs="+", help="test pairs, as of `hf-unimo evaluate`")
    parser.add_argument("--rounds", metavar="N", type=int, default=5, help="of the time (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the figures there")
    args = parser.parse_args(argv)
    try:
        result = measure_int8(args.model, None if args.data is None else {"data": args.data}, rounds=args.rounds)
    except BadInputError as error:
        print(f"benchmarks.int8: {error}", file=sys.stderr)
        return 2
    print(to_markdown(result))
    if args.json is not None:
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
