# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Rows in the exact schemas of public data sets, for the tests of their readers."""

import io
import json

from PIL import Image


def picture_bytes(form="PNG", level=0):
    """A picture of 4 x 4 pixels of one grey level."""
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (level,) * 3).save(buffer, form)
    return buffer.getvalue()


def pictures(folder, *names):
    """A picture under each name; the k-th has grey level 10 k."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture_bytes("JPEG" if name.endswith(".jpg") else "PNG", 10 * number))


def text(path, content):
    """A file of text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8", newline="")
    return path


def as_json(path, content):
    """A file of JSON."""
    return text(path, json.dumps(content))


def as_lines(path, rows):
    """A file with a JSON object a line."""
    return text(path, "".join(json.dumps(row) + "\n" for row in rows))


def as_tsv(path, *rows):
    """A file with tabs between fields."""
    return text(path, "".join("\t".join(row) + "\n" for row in rows))


def karpathy_image(number, split, captions, **more):
    """An entry of `images` of Karpathy's files; sentence ids are 10 x number + 0, 1, ..."""
    sentences = [
        {"tokens": caption.lower().split(), "raw": caption, "imgid": number, "sentid": 10 * number + index}
        for index, caption in enumerate(captions)
    ]
    return {
        "sentids": [sentence["sentid"] for sentence in sentences],
        "imgid": number,
        "sentences": sentences,
        "split": split,
        **more,
    }


def vqa_question(question_id, question="What is this?"):
    """An entry of VQA's `questions`."""
    return {"image_id": question_id // 1000, "question": question, "question_id": question_id}


def vqa_annotation(question_id, answers, **more):
    """An entry of VQA's `annotations`."""
    return {
        "question_type": "what is",
        "multiple_choice_answer": answers[0],
        "answers": [
            {"answer": answer, "answer_confidence": "yes", "answer_id": number}
            for number, answer in enumerate(answers, start=1)
        ],
        "image_id": question_id // 1000,
        "answer_type": "other",
        "question_id": question_id,
        **more,
    }


def vqa_files(folder, subtype, questions, annotations=None, prefix="v2_"):
    """VQA's two files."""
    head = {"info": {}, "license": {}, "data_type": "mscoco", "data_subtype": subtype}
    path = folder / f"{prefix}OpenEnded_mscoco_{subtype}_questions.json"
    as_json(path, head | {"task_type": "Open-Ended", "questions": questions})
    if annotations is not None:
        as_json(folder / f"{prefix}mscoco_{subtype}_annotations.json", head | {"annotations": annotations})
    return path
