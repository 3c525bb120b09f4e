# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""GLUE: every task as Parquet of the Hub's schema and as the old TSV."""

import datasets
import pytest

from hf_unimo.data.benchmarks import open_benchmark
from hf_unimo.data.benchmarks.glue import TASKS
from hf_unimo.errors import BadInputError
from modeling_tests.data.benchmarks.files import as_tsv


# The old files: folder and name, header (None: there is none), a line, and what is read from it: id, texts, label.
OLD = {
    "cola": ("CoLA/dev.tsv", None, ("gj04", "1", "", 'A "text'), ("1", 'A "text', None, 1)),
    "sst2": ("SST-2/dev.tsv", ("sentence", "label"), ("fine . ", "1"), ("2", "fine . ", None, 1)),
    "mrpc": (
        "MRPC/dev.tsv",
        ("\ufeffQuality", "#1 ID", "#2 ID", "#1 String", "#2 String"),
        ("0", "702876", "702977", "one", "two"),
        ("2", "one", "two", 0),
    ),
    "qqp": (
        "QQP/dev.tsv",
        ("id", "qid1", "qid2", "question1", "question2", "is_duplicate"),
        ("77", "1", "2", "one?", "", "1"),
        ("77", "one?", "", 1),
    ),
    "stsb": (
        "STS-B/dev.tsv",
        ("index", "genre", "filename", "year", "old_index", "source1", "source2", "sentence1", "sentence2", "score"),
        ("5", "news", "f", "2012", "1", "none", "none", "one", "two", "3.800"),
        ("5", "one", "two", 3.8),
    ),
    "mnli": (
        "MNLI/dev_matched.tsv",
        ("index", "pairID", "sentence1", "sentence2", "label1", "gold_label"),
        ("5", "p", "one", "two", "neutral", "contradiction"),
        ("5", "one", "two", 2),
    ),
    "qnli": (
        "QNLI/dev.tsv",
        ("index", "question", "sentence", "label"),
        ("5", "one", "two", "not_entailment"),
        ("5", "one", "two", 1),
    ),
    "rte": (
        "RTE/dev.tsv",
        ("index", "sentence1", "sentence2", "label"),
        ("5", "one", "two", "entailment"),
        ("5", "one", "two", 0),
    ),
    "wnli": (
        "WNLI/dev.tsv",
        ("index", "sentence1", "sentence2", "label"),
        ("5", "one", "two", "1"),
        ("5", "one", "two", 1),
    ),
    "ax": ("diagnostic.tsv", ("index", "sentence1", "sentence2"), ("5", "one", "two"), ("5", "one", "two", None)),
}


def split_of(task, kind="validation"):
    return "test" if task == "ax" else f"{kind}_matched" if task == "mnli" else kind


def table(task, labels):
    spec = TASKS[task]
    label = datasets.Value("float32") if spec.labels is None else datasets.ClassLabel(names=list(spec.labels))
    features = {column: datasets.Value("string") for column in spec.columns}
    features |= {"label": label, "idx": datasets.Value("int32")}
    rows = [
        {column: f"{column} {number}" for column in spec.columns} | {"label": found, "idx": 10 * number}
        for number, found in enumerate(labels)
    ]
    return datasets.Dataset.from_list(rows, features=datasets.Features(features))


@pytest.mark.parametrize("task", TASKS)
def test_tables(tmp_path, task):
    spec = TASKS[task]
    labels = [1, 0, -1] if spec.labels else [3.5, 0.0, -1.0]
    split = split_of(task)
    (tmp_path / task).mkdir()
    table(task, labels).to_parquet(tmp_path / task / f"{split}-00000-of-00001.parquet")
    for place in (tmp_path, tmp_path / task, tmp_path / task / f"{split}-00000-of-00001.parquet"):
        benchmark = open_benchmark(task, place, split)
        assert [row.label for row in benchmark] == [*labels[:2], None] and benchmark.label_names == spec.labels
        assert [row.id for row in benchmark] == ["0", "10", "20"]
        assert benchmark[1].text == f"{spec.columns[0]} 1"
        assert benchmark[1].text_pair == (f"{spec.columns[1]} 1" if len(spec.columns) > 1 else None)
        assert benchmark.protocol["metrics"] == list(spec.metrics)
        with pytest.raises(BadInputError, match=r"hides the labels of 1 of 3 rows"):
            benchmark.require_labels()


@pytest.mark.parametrize("task", OLD)
def test_old_files(tmp_path, task):
    name, header, line, expected = OLD[task]
    as_tsv(tmp_path / name, *filter(None, [header, line]))
    for place in (tmp_path, (tmp_path / name).parent, tmp_path / name):
        [row] = open_benchmark(task, place, split_of(task))
        assert (row.id, row.text, row.text_pair, row.label) == expected


def test_splits_of_mnli(tmp_path):
    _, header, line, _ = OLD["mnli"]
    for name in ("train", "dev_matched", "dev_mismatched", "test_matched", "test_mismatched"):
        as_tsv(tmp_path / f"{name}.tsv", header, (name, *line[1:]))
    for split in ("train", "validation_matched", "validation_mismatched", "test_matched", "test_mismatched"):
        [row] = open_benchmark("mnli", tmp_path, split)
        assert row.id == split.replace("validation", "dev") and row.labelled is not split.startswith("test")


def test_only_line_feeds_end_a_line(tmp_path):
    as_tsv(tmp_path / "dev.tsv", ("sentence", "label"), ("a\rb\u2028c", "1\r"))
    [row] = open_benchmark("sst2", tmp_path, "validation")
    assert row.text == "a\rb\u2028c" and row.label == 1


@pytest.mark.parametrize("task", ["cola", "qnli"])
def test_old_test_files_have_no_labels(tmp_path, task):
    columns = TASKS[task].columns
    as_tsv(tmp_path / "test.tsv", ("index", *columns), ("3", *columns))
    benchmark = open_benchmark(task, tmp_path, "test")
    assert (benchmark[0].id, benchmark[0].text, benchmark[0].label) == ("3", columns[0], None)
    with pytest.raises(BadInputError, match=r"hides the labels of 1 of 1 rows of its split 'test'"):
        benchmark.require_labels()


def test_tasks_and_counts(tmp_path):
    name, header, line, _ = OLD["qqp"]
    as_tsv(tmp_path / name, header, line)
    benchmark = open_benchmark("qqp", tmp_path, "dev")
    assert benchmark.task == "text-classification" and benchmark.split == "validation"
    assert benchmark.counts["empty_texts"] == 1
    assert benchmark.counts["classes"] == {"not_duplicate": 0, "duplicate": 1}
    assert open_benchmark("stsb", table("stsb", [5.0]), "validation").task == "text-regression"


def test_lines_with_other_numbers_of_fields(tmp_path):
    name, header, line, _ = OLD["qqp"]
    as_tsv(tmp_path / name, header, line[:3], line, ())
    with pytest.raises(BadInputError, match=r"dev.tsv, line 2, has 3 fields; accepted are 6 .id, qid1"):
        open_benchmark("qqp", tmp_path, "validation")
    benchmark = open_benchmark("qqp", tmp_path, "validation", broken_lines="drop")
    assert len(benchmark) == 1 and benchmark.protocol["dropped_lines"] == 1
    with pytest.raises(BadInputError, match=r"`broken_lines` is 'keep'; accepted are"):
        open_benchmark("qqp", tmp_path, "validation", broken_lines="keep")


@pytest.mark.parametrize(
    "task, header, line, message",
    [
        (
            "rte",
            ("index", "sentence1", "sentences2", "label"),
            ("5", "a", "b", "entailment"),
            "nearest is 'sentences2'",
        ),
        ("rte", None, ("5", "a", "b", "neutral"), "line 2 has an unknown label: 'neutral' was given"),
        ("wnli", None, ("5", "a", "b", "2"), r"the label '2'; accepted are 0 \(not_entailment\), 1 \(entailment\)"),
        ("wnli", None, ("5", "a", "b", ""), "the label ''; accepted are 0"),
        ("rte", ("a", "a"), ("5", "a"), "the columns a, a; accepted is each name once"),
    ],
)
def test_bad_lines(tmp_path, task, header, line, message):
    as_tsv(tmp_path / "dev.tsv", header or OLD[task][1], line)
    with pytest.raises(BadInputError, match=message):
        open_benchmark(task, tmp_path, "validation")


def test_bad_tables(tmp_path):
    names = datasets.ClassLabel(names=["contradiction", "entailment", "neutral"])
    other = table("mnli", [0]).cast_column("label", names)
    with pytest.raises(
        BadInputError, match=r"numbers its classes contradiction, .*accepted is the order entailment, n"
    ):
        open_benchmark("mnli", other, "train")
    with pytest.raises(BadInputError, match=r"no field 'premise'; the nearest is 'premises'"):
        open_benchmark("mnli", table("mnli", [0]).rename_column("premise", "premises"), "train")
    with pytest.raises(BadInputError, match=r"has the label 5.5; accepted are numbers from 0 to 5"):
        open_benchmark("stsb", table("stsb", [5.5]), "train")
    with pytest.raises(
        BadInputError, match=r"no such split: 'validation' was given, .* .known: train, validation_matc"
    ):
        open_benchmark("mnli", table("mnli", [0]), "validation")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(BadInputError, match=r"'rte' .*broken.parquet. cannot be read: "):
        open_benchmark("rte", tmp_path / "broken.parquet", "train")
