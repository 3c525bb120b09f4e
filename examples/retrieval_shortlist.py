# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""What a shortlist costs: recalls of both directions if only the best k by contrastive features are matched.

    python examples/retrieval_shortlist.py --model MODEL --k 1,2,4,8,16 \\
        --data path=DATA.parquet columns.image=image columns.text=text where.split=test

Every picture and every text is encoded once, and all pairs are matched. Then for each k the best k texts of each
picture and the best k pictures of each text are ordered by these scores, and all others stay behind them in the order
of their features. Prints a Markdown table, the smallest k at which no recall is below that of all pairs, and the
larger ones at which one is. With `--folder` a run that was stopped goes on.
"""

import argparse

import numpy as np

from hf_unimo.data.benchmarks.rows import Benchmark, RetrievalRow
from hf_unimo.data.open_data import open_words
from hf_unimo.errors import BadInputError
from hf_unimo.evaluation.metrics.retrieval import retrieval_metrics
from hf_unimo.retrieval.adapters import load_model, pair_adapter
from hf_unimo.retrieval.stages import STATES, Stages


KS = (1, 5, 10)
RECALLS = [f"{side}_recall@{k}" for side in ("image", "text") for k in KS]


def shortlisted(contrastive: np.ndarray, matching: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Scores (images, texts) that order candidates by matching, and behind them all others by features."""
    lead = contrastive.max() - matching.min() + 1
    return np.where(candidates, matching + lead, contrastive)


def losses(recalls: dict[int, list[float]], whole: list[float]) -> tuple[int | None, list[int]]:
    """The smallest k at which no recall is below that of all pairs, None without one; and larger ones that lose."""
    losing = [k for k in sorted(recalls) if any(one < other for one, other in zip(recalls[k], whole))]
    smallest = min(recalls.keys() - set(losing), default=None)
    return smallest, [k for k in losing if smallest is not None and k > smallest]


def measure(model: str, data: Benchmark, ks: list[int], batch_size: int, states: str, folder: str | None) -> str:
    """The table and what it says, as Markdown."""
    adapter = pair_adapter(*load_model(model), batch_size)
    if adapter is None or "rerank" not in adapter.stages:
        raise BadInputError(
            f"{model} has no contrastive features with a matching score; accepted is a model with both."
        )
    rows = [row for row in data if isinstance(row, RetrievalRow)]
    captions = [caption for row in rows for caption in row.captions]
    texts: list = [caption.strip() if isinstance(caption, str) else caption for caption in captions]
    settings = {"data": data.split_hash, "states": states, "progress": True}
    with Stages(
        adapter, [row.image for row in rows], texts, folder, open_picture=lambda one: one.open(), **settings
    ) as stages:
        stages.encode()
        if stages.failed:
            raise BadInputError(f"{len(stages.failed)} pictures cannot be read (the first: {stages.failed[0][1]}).")
        image_of_text = np.repeat(np.arange(len(rows)), [len(row.captions) for row in rows])
        contrastive = stages.contrastive_scores()
        matches = stages.match(stages.candidates())
        matching = matches.scores.reshape(contrastive.shape)
        near_ties, pairs = matches.near_ties, matching.size
        shares: dict[int | str, float] = {"all": 1.0}
        found = {"all": _recalls(matching, image_of_text)}
        for k in ks:
            candidates = np.zeros(contrastive.shape, bool)
            listed = stages.candidates(k, k)
            candidates[listed.pairs(0, len(listed))] = True
            shares[k] = len(listed) / pairs
            found[k] = _recalls(shortlisted(contrastive, matching, candidates), image_of_text)
        features = _recalls(contrastive, image_of_text)
    lines = [
        "| k | pairs matched | " + " | ".join(f"{side} R@{k}" for side in ("image", "text") for k in KS) + " |",
        "|---|---:|" + "---:|" * len(RECALLS),
        _line("features alone", 0.0, features),
        *(_line(k, shares[k], found[k]) for k in [*ks, "all"]),
    ]
    smallest, losing = losses({k: found[k] for k in ks}, found["all"])
    said = f"every k up to {max(ks)} loses something" if smallest is None else f"k = {smallest} loses nothing"
    said += f" (of larger ones {', '.join(map(str, losing))} do)" if losing else ""
    lines += ["", f"{len(rows)} pictures, {len(texts)} texts; {said}. Near ties: {near_ties} of {pairs} pairs."]
    return "\n".join(lines)


def _recalls(scores: np.ndarray, image_of_text: np.ndarray) -> list[float]:
    metrics = retrieval_metrics(scores, image_of_text, KS)
    return [metrics[name] for name in RECALLS]


def _line(name: int | str, share: float, recalls: list[float]) -> str:
    return f"| {name} | {share:.1%} | " + " | ".join(f"{100 * value:.1f}" for value in recalls) + " |"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder or id of a model with features and a matching head")
    parser.add_argument("--data", required=True, nargs="+", metavar="WORD", help="as of `hf-unimo evaluate`")
    parser.add_argument("--k", default="1,2,4,8,16,32,64,128", help="numbers of candidates (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=32, help="pairs of a forward pass (default: %(default)s)")
    parser.add_argument(
        "--states", default="float32", choices=STATES, help="type of kept states (default: %(default)s)"
    )
    parser.add_argument("--folder", help="keep what is encoded and scored here (default: a temporary folder)")
    args = parser.parse_args(arguments)
    try:
        if not all(word.isdecimal() and int(word) for word in args.k.split(",")):
            raise BadInputError(f"--k is {args.k!r}; accepted are integers from 1 on, separated by commas.")
        ks = sorted({int(word) for word in args.k.split(",")})
        data = open_words(args.data, "retrieval")
        print(measure(args.model, data, ks, args.batch_size, args.states, args.folder))
    except (BadInputError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {' '.join(str(error).split())}\n")


if __name__ == "__main__":
    main()
