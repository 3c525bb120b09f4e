# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""`hf-unimo predict`: what it writes is what the pipeline says in Python; failed rows; what is refused."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from hf_unimo import Unimo2Processor, pipeline
from hf_unimo.cli import main
from hf_unimo.errors import BadInputError
from hf_unimo.pipelines import FAMILIAR_NAMES, predict
from hf_unimo.pipelines import TASKS as OUR_TASKS
from modeling_tests.pipelines.models import ENCODER, TEXTS, ours, pictures, word_pieces


FILES = ["0.png", "1.png", "2.png"]
QUESTIONS = [{"image": file, "question": text} for file, text in zip(FILES, TEXTS)]
PAIRS = [{"image": file, "text": text} for file, text in zip(FILES, TEXTS)]
HEADS = {
    "vqa": "Unimo2ForVisualQuestionAnswering",
    "image-captioning": "Unimo2ForConditionalGeneration",
    "image-text-matching": "Unimo2ForImageTextRetrieval",
    "image-text-retrieval": "Unimo2ForImageTextRetrieval",
    "visual-entailment": "Unimo2ForImageTextClassification",
    "nlvr2": "Unimo2ForImageTextClassification",
    "fill-mask": "Unimo2ForMaskedLM",
    "text-classification": "Unimo2ForSequenceClassification",
    "image-classification": "Unimo2ForImageClassification",
    "zero-shot-image-classification": "Unimo2ForImageTextRetrieval",
    "feature-extraction": "Unimo2ForImageTextRetrieval",
    "image-feature-extraction": "Unimo2ForImageTextRetrieval",
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder for each task that a test asks for, and the parts that lie in it."""
    root, made = tmp_path_factory.mktemp("models"), {}

    def save(task):
        key = HEADS[task], task == "nlvr2"
        if key not in made:
            parts = ours(HEADS[task], **({"num_images": 2} if task == "nlvr2" else {}))
            folder = root / f"{len(made)}"
            parts["model"].save_pretrained(folder)
            Unimo2Processor(parts["image_processor"], parts["tokenizer"]).save_pretrained(folder)
            made[key] = str(folder), parts
        return made[key]

    return save


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Where the command is typed, with pictures."""
    for file, picture in zip(FILES, pictures(3)):
        picture.save(tmp_path / file)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def predicted(saved, capsys, task, *words, rows=None, place="rows.jsonl") -> list[dict]:
    """The lines that the command prints."""
    if rows is not None:
        with open(place, "w", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(row)}\n" for row in rows)
        words = (*words, "--rows", place)
    capsys.readouterr()
    assert main(["predict", saved(task)[0], "--task", task, *words]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def check(found, expected):
    """Equal, numbers to 1e-5."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        if all(isinstance(one, float) for one in expected):
            np.testing.assert_allclose(found, expected, atol=1e-5)
        else:
            for one, two in zip(found, expected):
                check(one, two)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=1e-5)
    else:
        assert found == expected


def direct(saved, task):
    parts = dict(saved(task)[1])
    if "feature" in task:
        parts["model"] = parts["model"].base_model
    return pipeline(task, **parts)


CASES = {
    "vqa": (QUESTIONS, ("--set", "top_k=2"), lambda pipe, row: pipe(row, top_k=2)),
    "image-captioning": (
        [{"image": "0.png"}, {"image": "1.png", "prompt": "a red"}],
        ("--set", "generate_kwargs.max_new_tokens=6", "--set", "generate_kwargs.num_beams=2"),
        lambda pipe, row: pipe(row, generate_kwargs={"max_new_tokens": 6, "num_beams": 2}),
    ),
    "image-text-matching": (PAIRS, (), lambda pipe, row: pipe(row)),
    "visual-entailment": (PAIRS, (), lambda pipe, row: pipe(row)),
    "nlvr2": (
        [{"images": ["0.png", "1.png"], "text": "two"}, {"images": ["1.png", "0.png"], "text": "a red cat"}],
        (),
        lambda pipe, row: pipe(row),
    ),
    "fill-mask": (
        [{"text": "a <mask>"}, {"image": "1.png", "text": "a <mask> cat"}, {"text": "<mask>"}],
        ("--set", "top_k=3"),
        lambda pipe, row: pipe(row, top_k=3),
    ),
    "text-classification": (
        [{"text": TEXTS[0]}, {"text": TEXTS[2]}, {"text": TEXTS[0], "text_pair": TEXTS[1]}],
        ("--set", "top_k=null"),
        lambda pipe, row: pipe(row, top_k=None),
    ),
    "image-classification": ([{"image": file} for file in FILES], (), lambda pipe, row: pipe(row["image"])),
    "zero-shot-image-classification": (
        [
            {"image": "0.png", "candidate_labels": ["cat", "sea"]},
            {"image": "1.png", "candidate_labels": ["cat", "sea"]},
            {"image": "2.png", "candidate_labels": ["dog", "sea", "sky"]},
        ],
        ("--set", "hypothesis_template=a {}"),
        lambda pipe, row: pipe(row["image"], candidate_labels=row["candidate_labels"], hypothesis_template="a {}"),
    ),
    "feature-extraction": ([{"text": text} for text in TEXTS], (), lambda pipe, row: pipe(row["text"])),
    "image-feature-extraction": ([{"image": "0.png"}, {"image": "1.png"}], (), lambda pipe, row: pipe(row["image"])),
    "image-text-retrieval": (
        [
            {"images": FILES, "texts": "a red cat"},
            {"images": "0.png", "texts": TEXTS},
        ],
        ("--set", "top_k=2", "--set", "rerank=2"),
        lambda pipe, row: pipe(**row, top_k=2, rerank=2),
    ),
}


@pytest.mark.parametrize("task", CASES)
def test_it_says_what_the_pipeline_says(task, saved, here, capsys):
    rows, words, call = CASES[task]
    pipe = direct(saved, task)
    expected = [call(pipe, row) for row in rows]
    for size in ("1", "2"):
        found = predicted(saved, capsys, task, *words, "--batch-size", size, rows=rows)
        for number, (line, row) in enumerate(zip(found, rows, strict=True), 1):
            assert {"row": number, **row} == {name: value for name, value in line.items() if name != "answer"}
            check(line["answer"], expected[number - 1])


def test_every_task_and_name_is_there():
    assert set(OUR_TASKS) < set(predict.TASKS) == {FAMILIAR_NAMES.get(task, task) for task in CASES}
    assert {name: predict.resolve_task(name) for name in FAMILIAR_NAMES} == FAMILIAR_NAMES


def spied(pipe, name):
    """The shapes of an input of each forward pass, as they come."""
    shapes = []
    pipe.model.register_forward_pre_hook(
        lambda module, args, kwargs: shapes.append(tuple(kwargs[name].shape)), with_kwargs=True
    )
    return shapes


LENGTHS = [3, 25, 9, 1, 17, 17, 30, 2, 25, 5, 12, 21, 8, 28, 3, 19, 6, 14, 1, 23, 10]


@pytest.mark.parametrize("task", ["vqa", "text-classification"])
def test_rows_of_similar_length_share_a_batch(task, saved, here, monkeypatch):
    """Lines keep the rows' order, a failed row its place; a window is answered before the next one is begun."""
    monkeypatch.setattr(predict, "_WINDOW", 3)
    name = "question" if task == "vqa" else "text"
    rows = [(number, {"image": "0.png", name: "a" * length}) for number, length in enumerate(LENGTHS, 1)]
    rows[4][1][name] = " "
    if task != "vqa":
        for _, row in rows:
            del row["image"]
    folder, task = saved(task)[0], predict.resolve_task(task)
    pipe = predict.open_pipeline(folder, task)
    expected = list(predict.predict(pipe, task, rows, batch_size=1))
    shapes = spied(pipe, "input_ids")
    lines = predict.predict(pipe, task, rows, batch_size=4)
    first = next(lines)
    assert 0 < sum(number for number, _ in shapes) <= 12
    found = [first, *lines]
    assert [line["row"] for line in found] == list(range(1, 22)) and "error" in found[4]
    for line, other in zip(found, expected, strict=True):
        check(line, other)
    assert max(number for number, _ in shapes) == 4
    tokens = sum(length + 2 for length in LENGTHS) - LENGTHS[4] - 2
    in_order = sum(4 * max(LENGTHS[start : start + 4]) for start in range(0, 20, 4)) + 2 * 20 + LENGTHS[20] + 2
    assert sum(number * width for number, width in shapes) - tokens < (in_order - tokens) / 2


def test_rows_of_one_batch_are_answered_at_once(saved, here):
    pipe = predict.open_pipeline(saved("image-classification")[0], "image-classification")
    rows = [(number, {"image": FILES[number % 3]}) for number in range(9)]
    shapes = spied(pipe, "pixel_values")
    for count, _ in enumerate(predict.predict(pipe, "image-classification", rows, batch_size=2)):
        assert sum(shape[0] for shape in shapes) <= count + 2
    assert sum(shape[0] for shape in shapes) == 9


@pytest.mark.parametrize(
    ("task", "words", "row"),
    [
        ("vqa", ["--image", "0.png", "--text", "two"], {"image": "0.png", "question": "two"}),
        ("image-captioning", ["--image", "0.png"], {"image": "0.png"}),
        ("nlvr2", ["--image", "0.png", "--image", "1.png", "--text", "a"], {"images": FILES[:2], "text": "a"}),
        ("image-text-retrieval", ["--image", "0.png", "--text", "a", "--text", "b"],
         {"images": "0.png", "texts": ["a", "b"]}),
        ("zero-shot-image-classification", ["--image", "0.png", "--text", "a"],
         {"image": "0.png", "candidate_labels": ["a"]}),
        ("text-classification", ["--text", "a", "--text", "b"], {"text": "a", "text_pair": "b"}),
        ("fill-mask", ["--text", "<mask>", "--image", "0.png"], {"image": "0.png", "text": "<mask>"}),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)  # fmt: skip
def test_options_make_a_row(task, words, row, saved, here, capsys):
    (by_options,) = predicted(saved, capsys, task, *words)
    (by_file,) = predicted(saved, capsys, task, rows=[row])
    assert {name: by_options[name] for name in row} == row and "answer" in by_options
    check(by_options, by_file)


def test_retrieval_by_options_with_the_side_that_asks():
    one, two = ["0.png"], ["a", "b"]
    assert predict.row_of_options("image-text-retrieval", one, two) == {"images": "0.png", "texts": two}
    both = predict.row_of_options("image-text-retrieval", FILES, two, {"query": "text"})
    assert both == {"images": FILES, "texts": two}
    one_each = predict.row_of_options("image-text-retrieval", one, ["a"], {"query": "text"})
    assert one_each == {"images": one, "texts": "a"}


def test_failed_rows_do_not_stop_the_rest(saved, here, capsys):
    (here / "deep").mkdir()
    pictures(1)[0].save(here / "deep" / "a.png")
    (here / "deep" / "broken.png").write_bytes(b"\x89PNG broken")
    rows = [
        {"id": "first", "image": "a.png", "question": "two"},
        {"id": "second", "image": "broken.png", "question": "two"},
        {"image": "0.png", "question": "two"},  # not in the file's folder
        {"image": "a.png", "question": " "},
        {"image": "../0.png", "question": "two"},
        {"image": 5000 * "a", "question": "two"},
    ]
    words = ("--batch-size", "3", "--out", "out.jsonl", "--set", "top_k=1")
    assert predicted(saved, capsys, "vqa", *words, rows=rows, place="deep/rows.jsonl") == []
    found = [json.loads(line) for line in (here / "out.jsonl").read_text().splitlines()]
    pipe = direct(saved, "vqa")
    assert found[0].pop("id") == "first"
    for line, path in ((found[0], "deep/a.png"), (found[4], "0.png")):
        check(line["answer"], pipe(path, "two", top_k=1))
    assert found[1:4] == [
        {"row": 2, "id": "second",
         "error": "`image` 'broken.png' cannot be read (UnidentifiedImageError); expected a picture."},
        {"row": 3, "error": "`image` is '0.png', which is no file; expected a path or an http(s) address."},
        {"row": 4, "error": "`question` is empty; expected a text."},
    ]  # fmt: skip
    assert found[5]["error"].startswith(f"`image` is '{60 * 'a'}...', which is no file") and len(found) == 6


def test_a_row_that_only_the_pipeline_refuses_fails_alone(saved, here, capsys):
    rows = [{"text": "a <mask>"}, {"text": "no gap"}, {"text": "<mask>" + 40 * "a"}, {"text": "<mask>"}]
    found = predicted(saved, capsys, "fill-mask", "--batch-size", "4", rows=rows)
    assert ["answer" in line for line in found] == [True, False, False, True]
    assert found[1]["error"].startswith("PipelineException: No mask_token")
    assert found[2]["error"].startswith("`text` has 43 tokens, but the model takes 32; `tokenizer_kwargs.truncation")
    cut = ("--set", "tokenizer_kwargs.truncation=true")
    assert "answer" in predicted(saved, capsys, "fill-mask", *cut, rows=rows)[2]
    found = predicted(saved, capsys, "text-classification", rows=[{"text": 40 * "a"}, {"text": "a"}])
    assert ["answer" in line for line in found] == [False, True]


def test_the_summary_counts(saved, here, capsys):
    (here / "rows.jsonl").write_text('\n{"image": "0.png"}\n\n{"image": "no.png"}\n')
    assert main(["predict", saved("image-classification")[0], "--task", "image-classification", "--rows",
                 "rows.jsonl"]) == 0  # fmt: skip
    printed = capsys.readouterr()
    assert [json.loads(line)["row"] for line in printed.out.splitlines()] == [2, 4]  # as the file counts
    assert printed.err.splitlines()[-1].startswith("1 answered, 1 failed; the first: row 4: `image` is 'no.png'")


def test_models_of_transformers(tmp_path, capsys):
    torch.manual_seed(0)
    config = transformers.BertConfig(**ENCODER, vocab_size=len(word_pieces()), max_position_embeddings=40)
    parts = {"model": transformers.BertForMaskedLM(config).eval(), "tokenizer": word_pieces()}
    for part in parts.values():
        part.save_pretrained(tmp_path)
    capsys.readouterr()
    assert main(["predict", str(tmp_path), "--task", "fill-mask", "--text", "a [MASK] cat"]) == 0
    check(json.loads(capsys.readouterr().out)["answer"], pipeline("fill-mask", **parts)("a [MASK] cat"))


def test_numbers_that_json_lacks_are_null():
    found = predict._plain({"a": torch.tensor([1.0, float("nan")]), "b": np.float32(0.5), "c": [float("inf")]}, {})
    assert found == {"a": [1.0, None], "b": 0.5, "c": [None]} and isinstance(found["b"], float)


def test_too_little_memory_stops_it(saved, here):
    pipe = direct(saved, "image-classification")
    pipe.model.forward = lambda **inputs: (_ for _ in ()).throw(torch.OutOfMemoryError("none"))
    try:
        with pytest.raises(BadInputError, match="too little memory for batches of 2"):
            list(predict.predict(pipe, "image-classification", [(1, {"image": "0.png"})], batch_size=2))
    finally:
        del pipe.model.forward


REFUSED = [
    ("vqq", [], "The task is none to predict: 'vqq' was given, the nearest known is 'vqa'"),
    ("vqa", ["--image", "0.png"], "--text is missing: image-question-answering needs `question`."),
    ("vqa", ["--text", "a"], "--image is missing: image-question-answering needs `image`."),
    ("vqa", ["--image", "0.png", "--text", "a", "--text", "b"], "--text was given twice; image-question-answering"),
    ("image-classification", ["--image", "0.png", "--text", "a"], "image-classification takes none."),
    ("nlvr2", ["--image", "0.png", "--text", "a"], 'The row has `images` ["0.png"]; nlvr2 accepts a list of two'),
    ("vqa", ["--image", "0.png", "--rows", "rows.jsonl"], "--rows is given beside --image; accepted is one"),
    ("vqa", ["--rows", "no.jsonl"], "no.jsonl cannot be read (No such file or directory)"),
    ("vqa", ["--rows", "."], "cannot be read (Is a directory)"),
    ("vqa", ["--rows", "bad.jsonl"], "bad.jsonl, line 2 is no JSON (Expecting property name enclosed in"),
    ("vqa", ["--rows", "list.jsonl"], "list.jsonl, line 1 is [1]; accepted is an object with"),
    ("vqa", ["--rows", "typo.jsonl"], "has an unknown input: 'questoin' was given, the nearest known is 'question'"),
    ("vqa", ["--rows", "lacks.jsonl"], "lacks.jsonl, line 1 lacks `question`, which image-question-answering needs."),
    ("vqa", ["--rows", "number.jsonl"], "number.jsonl, line 1 has `question` 3; image-question-answering accepts a"),
    ("vqa", ["--rows", "empty.jsonl"], "empty.jsonl holds no rows"),
    ("vqa", ["--rows", "rows.jsonl", "--out", "rows.jsonl"], "the rows themselves; accepted is another file."),
    ("vqa", ["--rows", "rows.jsonl", "--out", "no/out.jsonl"], "accepted is a file in a folder that exists."),
    ("vqa", ["--rows", "rows.jsonl", "--set", "topk=3"], "topk is no known key; the nearest known is top_k"),
    ("vqa", ["--rows", "rows.jsonl", "--set", "top_k=0"], "`top_k` is 0; expected a whole number of at least 1."),
    ("vqa", ["--rows", "rows.jsonl", "--set", "top_k=many"], 'top_k is "many"; accepted is an integer.'),
    ("vqa", ["--rows", "rows.jsonl", "--set", "top_k"], "The override 'top_k' is none"),
    ("image-captioning", ["--image", "0.png", "--set", "generate_kwargs.beams=2"], "nearest known is generate_kwargs"),
    ("vqa", ["--rows", "rows.jsonl", "--batch-size", "0"], "--batch-size is 0; accepted are integers from 1 on."),
    ("vqa", ["--rows", "rows.jsonl", "--device", "nowhere"], "The device is 'nowhere', which this machine has not"),
    ("vqa", ["--image", "no.png", "--text", "a"], "`image` is 'no.png', which is no file"),
    ("image-text-retrieval", ["--image", "0.png", "--text", "a", "--text", "b", "--set", "rerank=1"],
     "`rerank` is 1; expected 0 or at least `top_k`, which is 10."),
    ("image-text-retrieval", ["--image", "0.png", "--text", "a"], "expected one list of candidates"),
]  # fmt: skip


@pytest.mark.parametrize(("task", "words", "sentence"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_refused(task, words, sentence, saved, here, capsys):
    good = json.dumps(QUESTIONS[0])
    files = {"rows": good, "bad": f"{good}\n{{]", "list": "[1]", "empty": "\n", "lacks": '{"image": "0.png"}'}
    files |= {"typo": '{"image": "0.png", "questoin": "a"}', "number": '{"image": "0.png", "question": 3}'}
    for name, text in files.items():
        (here / f"{name}.jsonl").write_text(text)
    model = saved("vqa" if task == "vqq" else task)[0]
    before = sorted(path.name for path in here.iterdir())
    capsys.readouterr()
    assert main(["predict", model, "--task", task, *words]) == 2
    printed = capsys.readouterr()
    (line,) = [line for line in printed.err.splitlines() if line.startswith("hf-unimo predict: ")]
    assert sentence in line and printed.out == ""
    assert sorted(path.name for path in here.iterdir()) == before and (here / "rows.jsonl").read_text() == good


def test_a_head_that_cannot_names_what_it_can(saved, here, capsys):
    for task, words, other, can in (
        ("vqa", ["--image", "0.png", "--text", "a"], "fill-mask", "it can do fill-mask."),
        ("text-classification", ["--text", "a"], "vqa", "it can do image-question-answering"),
    ):
        capsys.readouterr()
        assert main(["predict", saved(other)[0], "--task", task, *words]) == 2
        assert f"cannot do {FAMILIAR_NAMES.get(task, task)}" in (printed := capsys.readouterr().err) and can in printed
    assert main(["predict", "no-such-model", "--task", "vqa", "--image", "0.png", "--text", "a"]) == 2
    assert "no-such-model cannot be loaded as a model with a processor" in capsys.readouterr().err


def test_the_commands_of_the_page_run(saved, here, capsys):
    page = (Path(__file__).parents[2] / "docs" / "pipelines.md").read_text()
    for number, file in enumerate(("photo.jpg", "left.jpg", "right.jpg")):
        pictures(3)[number].save(here / file)
    (row,) = re.findall(r"A line of `rows\.jsonl` .*?`(\{.*?\})`", page)
    (here / "rows.jsonl").write_text(row)
    lines = re.findall(r"^hf-unimo (predict .*)$", page, flags=re.MULTILINE)
    assert len(lines) == 4
    for line in lines:
        words = shlex.split(line)
        words[1] = saved(words[3])[0]
        assert main(words) == 0
        assert capsys.readouterr().err.splitlines()[-1] == "1 answered, 0 failed"
