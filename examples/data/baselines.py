# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""What simple classifiers reach on the data sets built here: the figures that a fine-tuned model has to beat.

    python examples/data/baselines.py vqa FILE          the question alone
    python examples/data/baselines.py animals FILE      pixels: logistic regression, nearest neighbour
    python examples/data/baselines.py text FILE         the sentence (column `text`, class in `label`)
    python examples/data/baselines.py entailment FILE   the sentence alone, the picture alone; both, by nearest picture
    python examples/data/baselines.py captions FILE     the caption of the nearest picture (column `text`)

FILE is what the builder of that name wrote. Trains on the split train and prints the accuracy on validation and test,
beside that of the most frequent class; of captions CIDEr-D, beside that of the most frequent caption. Needs the extra
`eval` (scikit-learn). Texts are counted as words and pairs of words, weighted by TF-IDF; there are no random numbers
in it.
"""

import argparse
import io
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from builder import SPLITS
from packages import require
from PIL import Image as PILImage

from hf_unimo.errors import BadInputError


TASKS = {
    # task: (column of the class, {what is looked at: (column, classifier)})
    "vqa": ("answer", {"question alone": ("question", "words")}),
    "animals": ("label", {"pixels": ("image", "pixels"), "nearest picture": ("image", "neighbour")}),
    "text": ("label", {"words": ("text", "words")}),
    "entailment": (
        "label",
        {
            "sentence alone": ("hypothesis", "words"),
            "picture alone": ("image", "pixels"),
            "nearest picture with that sentence": (("image", "hypothesis"), "pair"),
        },
    ),
}


def pixels(cell):
    """A picture as one row of numbers from 0 to 1, in grey if it is stored so."""
    image = PILImage.open(io.BytesIO(cell["bytes"]))
    return np.asarray(image if image.mode == "L" else image.convert("RGB"), dtype=np.float32).ravel() / 255


def make_classifier(kind):
    """A pipeline of scikit-learn that takes cells of a column, or of two."""
    from sklearn.compose import ColumnTransformer
    from sklearn.dummy import DummyClassifier
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, Normalizer, OneHotEncoder

    if kind == "majority":
        return DummyClassifier(strategy="most_frequent")
    if kind == "words":
        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+")
        return make_pipeline(words, LogisticRegression(C=10, max_iter=1000))
    stack = FunctionTransformer(lambda cells: np.stack([pixels(cell) for cell in cells]))
    if kind == "neighbour":
        return make_pipeline(stack, KNeighborsClassifier(1, metric="cosine"))
    if kind == "pair":
        parts = [
            ("picture", make_pipeline(stack, Normalizer()), 0),
            ("sentence", OneHotEncoder(handle_unknown="ignore"), [1]),
        ]
        # Two pictures of length one are at most 1.4 apart: another sentence is always further.
        far = ColumnTransformer(parts, transformer_weights={"sentence": 10})
        return make_pipeline(far, KNeighborsClassifier(1))
    return make_pipeline(stack, LogisticRegression(C=0.01, max_iter=1000))


def caption_scores(table):
    """
    What captions that are there already reach on pictures that are not: CIDEr-D, 0 to 10.

    Returns:
        `dict`: As of `accuracies`.
    """
    from hf_unimo.evaluation.metrics.captions import cider_d, tokenize_captions

    rows = {split: table.filter(np.asarray(table["split"]) == split).to_pylist() for split in SPLITS}
    known = [row["text"] for row in rows["train"]]
    vectors = {split: np.stack([thumbnail(row["image"]) for row in found]) for split, found in rows.items()}
    frequent = max(sorted(set(known)), key=known.count)
    found = {"most frequent caption": {}, "caption of the nearest picture": {}}
    for split in SPLITS[1:]:
        references = [[row["text"]] for row in rows[split]]
        nearest = (vectors[split] @ vectors["train"].T).argmax(1)
        for name, captions in zip(found, ([frequent] * len(references), [known[place] for place in nearest])):
            found[name][split] = float(cider_d(*tokenize_captions(captions, references)).mean())
    return found


def thumbnail(cell):
    """16x16 pixels in colour, centred, as one row of length 1: pictures of different sizes can be compared."""
    image = PILImage.open(io.BytesIO(cell["bytes"])).convert("RGB").resize((16, 16), PILImage.Resampling.BOX)
    vector = np.asarray(image, dtype=np.float32).ravel() / 255
    vector -= vector.mean()
    return vector / max(np.linalg.norm(vector), 1e-12)


def accuracies(task, table):
    """
    Args:
        task: A key of `TASKS`.
        table: What `pyarrow.parquet.read_table` gives.

    Returns:
        `dict`: What was looked at -> `{split: accuracy}`, "most frequent class" first.
    """
    answer, looks = TASKS[task]
    rows = {split: table.filter(np.asarray(table["split"]) == split).to_pylist() for split in SPLITS}
    found = {}
    for name, (column, kind) in {"most frequent class": (answer, "majority"), **looks}.items():
        model = make_classifier(kind)
        model.fit(*_cells(rows["train"], column, answer))
        found[name] = {split: model.score(*_cells(rows[split], column, answer)) for split in SPLITS[1:]}
    return found


def _cells(rows, column, answer):
    classes = [row[answer] for row in rows]
    if isinstance(column, str):
        return [row[column] for row in rows], classes
    cells = np.empty((len(rows), len(column)), dtype=object)
    for place, row in enumerate(rows):
        cells[place] = [row[name] for name in column]
    return cells, classes


def read_table(path, task):
    """
    Raises:
        BadInputError: If there is no such file, or it is not one of that task.
    """
    if not path.is_file():
        raise BadInputError(f"There is no {path}: name the Parquet file that the builder of {task} wrote.")
    answer, looks = TASKS.get(task, ("text", {"nearest picture": ("image", "neighbour")}))
    looked_at = {name for column, _ in looks.values() for name in ([column] if isinstance(column, str) else column)}
    columns = sorted({answer, "split"} | looked_at)
    try:
        found = pq.read_schema(path).names
    except Exception as error:  # pyarrow raises by what it stumbled over
        raise BadInputError(f"{path} is no Parquet file ({error}).") from error
    missing = [column for column in columns if column not in found]
    if missing:
        raise BadInputError(f"{path} has no column {', '.join(missing)} (found: {', '.join(found)}).")
    table = pq.read_table(path, columns=columns)
    lacking = [split for split in SPLITS if split not in table["split"].unique().to_pylist()]
    if lacking:
        raise BadInputError(f"{path} has no rows of the split {', '.join(lacking)}.")
    return table


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=[*TASKS, "captions"])
    parser.add_argument("file", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    try:
        require("sklearn", "eval")
        table = read_table(options.file, options.task)
    except BadInputError as error:
        print(f"baselines: {error}", file=sys.stderr)
        return 2
    scores = caption_scores(table) if options.task == "captions" else accuracies(options.task, table)
    form = ".3f" if options.task == "captions" else "6.1%"
    for name, found in scores.items():
        print(f"{name:36}" + "".join(f"  {split} {value:{form}}" for split, value in found.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
