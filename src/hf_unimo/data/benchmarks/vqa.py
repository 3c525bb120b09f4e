# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Questions about pictures: VQA v2 and OK-VQA (one schema), VQA v2 as one table (Hub copies), GQA, easy-VQA."""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import datasets

from ...errors import BadInputError
from .reading import (
    Pictures,
    Request,
    check_columns,
    checked,
    label_index,
    not_empty,
    read_json,
    read_text_lines,
    table_pictures,
    table_rows,
)
from .rows import Benchmark, VqaRow


# Split -> the name of it in the files, in the folder of pictures, and in the table on the Hub.
VQAV2_SPLITS = {
    "train": ("train2014", "train2014", "train"),
    "val": ("val2014", "val2014", "validation"),
    "test": ("test2015", "test2015", "test"),
    "test-dev": ("test-dev2015", "test2015", "testdev"),
}
GQA_SPLITS = {"train": "train", "val": "val", "test-dev": "testdev", "test": "test"}
ANSWERS = 10
ANSWER = {"answer": str}
ANNOTATION: dict[str, Any] = {
    "question_id": int,
    "image_id": int,
    "question_type": str,
    "answer_type": str,
    "multiple_choice_answer": (str, type(None)),
    "answers": list,
}


def read_vqav2(request: Request, *, annotations: str | os.PathLike | None = None, prefix: str = "v2_") -> Benchmark:
    """
    VQA v2: a file of questions and, unless the answers are hidden, one of annotations. OK-VQA has the same schema.

    Args:
        request: `path` is the file of questions, or a folder with
            `{prefix}OpenEnded_mscoco_{train2014,val2014,test2015,test-dev2015}_questions.json`; or a table with
            the columns `question`, `question_id`, `image_id`, `image` and either `question_type`, `answer_type`,
            `multiple_choice_answer`, `answers`, or `label` with `ids` (answers) and `weights`. Pictures lie in the
            folder `train2014`, `val2014` or `test2015` of `images`, or in `images` itself.
        annotations (path, *optional*): The file of annotations. Default: beside the questions,
            `{prefix}mscoco_{train2014,val2014}_annotations.json`.
        prefix (`str`, defaults to `"v2_"`): OK-VQA has none.

    Raises:
        BadInputError: If a file, split, field, annotation or picture is missing, the file is of another split, or a
            question has not ten answers.
    """
    known = VQAV2_SPLITS if prefix else {split: VQAV2_SPLITS[split] for split in ("train", "val")}
    split = request.resolve_split(known)
    subtype, folder, hub_split = known[split]
    protocol: dict[str, Any] = {"answers": "as written, in the order of the annotators", "pictures": folder}
    table = request.table(hub_split)
    if table is not None:
        rows = _from_table(request.name, table)
        return request.benchmark(rows, split=split, task="vqa", protocol=protocol | {"source": "table"})
    questions = request.file(f"{prefix}OpenEnded_mscoco_{subtype}_questions.json")
    content = checked(read_json(questions), {"questions": list}, questions.name)
    _check_subtype(content, questions.name, subtype)
    protocol["source"] = questions.name
    by_question = None
    if split in ("train", "val"):
        default = questions.name.replace("OpenEnded_", "").replace("_questions", "_annotations")
        file = questions.parent / default if annotations is None else Path(annotations)
        by_question = _annotations(request.name, file, subtype)
        protocol["annotations"] = file.name
    elif annotations is not None:
        raise BadInputError(f"The answers of the split {split!r} are hidden; `annotations` go with train and val.")
    rows = _from_files(request.pictures, content["questions"], by_question, questions.name, folder)
    return request.benchmark(rows, split=split, task="vqa", protocol=protocol)


def _check_subtype(content: Mapping[str, Any], name: str, subtype: str) -> None:
    found = content.get("data_subtype", subtype)
    # The two test splits share their pictures, and copies of test-dev name either.
    if found != subtype and not (subtype.startswith("test") and str(found).startswith("test")):
        raise BadInputError(f"{name} has the `data_subtype` {found!r}; accepted for this split is {subtype!r}.")


def _annotations(name: str, file: Path, subtype: str) -> dict[int, dict[str, Any]]:
    """The annotations by question, with their answers as strings."""
    if not file.is_file():
        raise BadInputError(
            f"Benchmark {name!r} has no annotations: there is no {str(file)!r}; `annotations` can name it."
        )
    content = checked(read_json(file), {"annotations": list}, file.name)
    _check_subtype(content, file.name, subtype)
    by_question = {}
    for number, annotation in enumerate(content["annotations"]):
        place = f"{file.name}, annotation {number}"
        fields = ANNOTATION if "multiple_choice_answer" in annotation else _without_choice(annotation, place)
        checked(annotation, fields, place)
        by_question[annotation["question_id"]] = annotation | {"answers": _answers(annotation["answers"], place)}
    return by_question


def _without_choice(annotation: Any, place: str) -> dict[str, Any]:
    """OK-VQA's answers have `raw_answer`, and it names no most frequent one."""
    answers = annotation.get("answers") if isinstance(annotation, Mapping) else None
    if isinstance(answers, list) and answers and isinstance(answers[0], Mapping) and "raw_answer" in answers[0]:
        return {name: kind for name, kind in ANNOTATION.items() if name != "multiple_choice_answer"}
    return ANNOTATION


def _answers(found: list, place: str) -> tuple[str, ...]:
    where = f"{place}, an answer"
    # Four millions of these strings are some thousand different ones.
    answers = tuple(sys.intern(checked(answer, ANSWER, where)["answer"]) for answer in found)
    if len(answers) != ANSWERS:
        raise BadInputError(f"{place} has {len(answers)} answers; accepted are ten, one of each annotator.")
    return answers


def _from_files(
    pictures: Pictures,
    questions: list,
    by_question: Mapping[int, Mapping[str, Any]] | None,
    name: str,
    folder: str,
) -> Iterator[VqaRow | None]:
    for number, question in enumerate(questions):
        place = f"{name}, question {number}"
        checked(question, {"question_id": int, "image_id": int, "question": str}, place)
        question_id = question["question_id"]
        text = not_empty(question["question"], place)
        annotation = None
        if by_question is not None:
            annotation = by_question.get(question_id)
            if annotation is None:
                raise BadInputError(f"{place} has the id {question_id}, for which there is no annotation.")
            if annotation["image_id"] != question["image_id"]:
                raise BadInputError(
                    f"{place} has the id {question_id} and the picture {question['image_id']}, its annotation has "
                    f"{annotation['image_id']}; accepted is the same picture in both."
                )
        file = f"COCO_{folder}_{question['image_id']:012d}.jpg"
        picture = pictures.find(f"{folder}/{file}", file)
        if picture is None:
            yield None
        elif annotation is None:
            yield VqaRow(str(question_id), question_id, text, picture)
        else:
            yield VqaRow(
                str(question_id),
                question_id,
                text,
                picture,
                answers=annotation["answers"],
                answer_type=annotation["answer_type"],
                question_type=annotation["question_type"],
                multiple_choice_answer=annotation.get("multiple_choice_answer"),
            )


def _from_table(name: str, table: datasets.Dataset) -> Iterator[VqaRow | None]:
    place = f"The table of {name!r}"
    check_columns(table, ("question", "question_id", "image_id", "image"), place)
    columns = ["question", "question_id", "image_id"]
    if "label" in table.features and "answers" not in table.features:
        columns.append("label")
    else:
        columns += ["question_type", "answer_type", "multiple_choice_answer", "answers"]
        check_columns(table, columns, place)
    picture = table_pictures(table, "image")
    for number, row in enumerate(table_rows(table, columns)):
        where = f"{place}, row {number}"
        checked(row, {"question": str, "question_id": (int, str), "image_id": (int, str)}, where)
        label = row.get("label") or {"ids": [], "weights": []}
        checked(label, {"ids": list, "weights": list}, f"{where}, `label`")
        if len(label["ids"]) != len(label["weights"]):
            raise BadInputError(f"{where}, has {len(label['ids'])} answers but {len(label['weights'])} weights.")
        yield VqaRow(
            str(row["question_id"]),
            row["question_id"],
            not_empty(row["question"], where),
            picture(number, str(row["image_id"])),
            answers=_answers(row["answers"], where) if row.get("answers") else (),
            answer_type=row.get("answer_type"),
            question_type=row.get("question_type"),
            multiple_choice_answer=row.get("multiple_choice_answer"),
            soft_answers=tuple(zip(label["ids"], label["weights"])),
        )


def read_gqa(request: Request) -> Benchmark[VqaRow]:
    """
    GQA's balanced questions: `{train,val,testdev,test}_balanced_questions.json`. One answer each, for exact match.

    Args:
        request: `path` is the file, or its folder. Pictures are `<imageId>.jpg` in `images` or its folder `images`.

    Raises:
        BadInputError: If a file, split, field or picture is missing.
    """
    split = request.resolve_split(GQA_SPLITS)
    file = request.file(f"{GQA_SPLITS[split]}_balanced_questions.json")
    content = read_json(file)
    if not isinstance(content, dict):
        raise BadInputError(f"{file.name} holds a {type(content).__name__}; accepted is an object of questions by id.")

    def rows() -> Iterator[VqaRow | None]:
        for question_id, question in content.items():
            place = f"{file.name}, question {question_id!r}"
            checked(question, {"imageId": str, "question": str}, place)
            if split != "test":
                checked(question, {"answer": str}, place)
            image = f"{question['imageId']}.jpg"
            picture = request.pictures.find(image, f"images/{image}")
            text = not_empty(question["question"], place)
            answers = (question["answer"],) if "answer" in question else ()
            yield None if picture is None else VqaRow(question_id, question_id, text, picture, answers)

    return request.benchmark(
        rows(), split=split, task="vqa", protocol={"source": file.name, "answers": "one, for exact match"}
    )


def read_easy_vqa(request: Request) -> Benchmark[VqaRow]:
    """
    easy-VQA: `data/{train,test}/questions.json`, a list of `[question, answer, picture]`, and `data/answers.txt`,
    which numbers the answers (`label_names`). One answer each, for exact match.

    Args:
        request: `path` is the folder `data`, or the one above. Pictures are `{train,test}/images/<picture>.png`, or
            `images/<picture>.png`, in `images`, by default the folder `data`.

    Raises:
        BadInputError: If a file, split or picture is missing, a row has another form, or an answer is not listed.
    """
    split = request.resolve_split(("train", "test"))
    file = request.file(f"data/{split}/questions.json", f"{split}/questions.json")
    listed = file.parents[1] / "answers.txt"
    if not listed.is_file():
        raise BadInputError(f"Benchmark {request.name!r} has no list of answers: there is no {str(listed)!r}.")
    names = tuple(line.strip() for _, line in read_text_lines(listed) if line.strip())
    content = read_json(file)
    if not isinstance(content, list):
        raise BadInputError(f"{file.name} holds a {type(content).__name__}; accepted is a list of questions.")

    def rows() -> Iterator[VqaRow | None]:
        for number, row in enumerate(content):
            place = f"{file.name}, question {number}"
            if not (isinstance(row, list) and len(row) == 3 and isinstance(row[2], int) and _are_texts(row[:2])):
                raise BadInputError(f"{place} is {str(row)[:50]}; accepted is [question, answer, number of picture].")
            label_index(row[1], names, place)
            image = f"images/{row[2]}.png"
            picture = request.pictures.find(f"{split}/{image}", f"data/{split}/{image}", image)
            text = not_empty(row[0], place)
            yield None if picture is None else VqaRow(str(number), number, text, picture, (row[1],))

    protocol = {"source": f"{split}/{file.name}", "answers": "one, for exact match", "vocabulary": listed.name}
    return request.benchmark(rows(), split=split, task="vqa", protocol=protocol, label_names=names)


def _are_texts(values: list) -> bool:
    return all(isinstance(value, str) for value in values)
