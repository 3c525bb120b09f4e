# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The forms of pictures and texts, and what is refused."""

import base64
import http.server
import io
import threading

import pytest
import torch
from PIL import Image

from hf_unimo import pipeline
from hf_unimo.errors import BadInputError

from .models import TEXTS, ours, pictures


@pytest.fixture(scope="module")
def pipe():
    return pipeline("vqa", **ours("Unimo2ForVisualQuestionAnswering"))


@pytest.fixture(scope="module")
def captioner():
    return pipeline("image-captioning", **ours("Unimo2ForConditionalGeneration"))


@pytest.fixture
def png():
    file = io.BytesIO()
    pictures(1)[0].save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def address(png):
    """The picture on loopback."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(png)

        def log_message(self, *arguments):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/picture.png"
        server.shutdown()


def test_pictures_in_all_forms(pipe, png, address, tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(png)
    text = base64.b64encode(png).decode()
    expected = pipe(pictures(1)[0], TEXTS[0])
    for form in (path, str(path), text, f"data:image/png;base64,{text}"):
        assert pipe(form, TEXTS[0]) == expected
    assert pipe(address, TEXTS[0], timeout=10) == expected


def test_a_picture_is_turned_upright(pipe):
    upright = pictures(1)[0]
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    file = io.BytesIO()
    upright.rotate(90, expand=True).save(file, "PNG", exif=exif)
    assert pipe(base64.b64encode(file.getvalue()).decode(), TEXTS[0]) == pipe(upright, TEXTS[0])


def test_rows_in_all_forms(pipe):
    images = pictures(3)
    rows = [{"image": image, "question": text} for image, text in zip(images, TEXTS)]
    expected = [pipe(row) for row in rows]
    assert expected[0] == pipe(images[0], TEXTS[0]) == pipe(image=images[0], question=TEXTS[0])
    for form in (rows, tuple(rows)):
        assert pipe(form) == expected
    assert pipe(images, TEXTS) == pipe(tuple(images), tuple(TEXTS)) == expected
    assert pipe([], TEXTS[0]) == pipe([]) == []

    lazy = pipe(row for row in rows)
    assert not isinstance(lazy, list) and list(lazy) == expected
    assert list(pipe(iter(rows))) == expected
    assert list(pipe(map(dict, rows), batch_size=1)) == expected


def test_one_goes_with_many(pipe):
    images = pictures(3)
    by_image, by_text = [pipe(one, TEXTS[0]) for one in images], [pipe(images[0], one) for one in TEXTS]
    assert pipe(images, TEXTS[0]) == list(pipe(iter(images), TEXTS[0])) == by_image
    assert pipe(images[0], TEXTS) == list(pipe(images[0], iter(TEXTS))) == by_text


def test_a_generator_is_read_as_it_goes(pipe):
    """A stream may be endless."""

    def rows():
        while True:
            yield {"image": pictures(1)[0], "question": TEXTS[0]}

    answers = pipe(rows(), batch_size=2)
    assert next(answers)[0]["answer"] == next(answers)[0]["answer"]


def test_captions_need_no_prompt(captioner):
    images = pictures(3)
    alone = [captioner(one) for one in images]
    assert captioner(images, batch_size=3) == list(captioner(iter(images))) == alone
    assert captioner([{"image": images[0]}, {"image": images[1], "prompt": "a "}])[0] == alone[0]
    assert captioner(images[0], [None, None]) == [alone[0]] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3, "is it"), "`image` is of type int; expected a PIL image, a path, an http"),
        (("no such file.png", "is it"), "`image` 'no such file.png' cannot be read .*; expected a PIL image"),
        (("x" * 5000, "is it"), "^.{0,250}$"),
        ((pictures(1)[0], None), "image-question-answering needs `image` and `question`, or dictionaries .* a Image"),
        ((None, "is it"), "`image` is missing; image-question-answering needs `image` and `question`"),
        ((pictures(1)[0], ""), "`question` is empty"),
        ((pictures(1)[0], " \n"), "`question` is empty"),
        ((pictures(1)[0], 7), "`question` is of type int; expected a string"),
        ((pictures(2), ["a", "b", "c"]), "`image` has 2 and `question` 3 elements; expected as many"),
        ((iter(pictures(2)), ["a", "b"]), "`image` and `question` are an iterator and several more"),
        (({"image": pictures(1)[0]}, None), "`question` is missing"),
        (({"image": pictures(1)[0], "text": "a"}, None), "`text` is no input of .*; expected `image` and `question`"),
        (([pictures(1)[0]], None), "or dictionaries with these keys; found a Image"),
    ],
)
def test_what_is_refused(pipe, arguments, message):
    with pytest.raises(BadInputError, match=message):
        pipe(*arguments)


@pytest.mark.parametrize("top_k", [0, -1, 1.5, "3", True])
def test_a_number_of_answers(pipe, top_k):
    with pytest.raises(BadInputError, match=r"`top_k` is .*; expected a whole number of at least 1"):
        pipe(pictures(1)[0], TEXTS[0], top_k=top_k)


def test_a_broken_picture_is_refused(pipe, png):
    with pytest.raises(BadInputError, match="cannot be read"):
        pipe(base64.b64encode(png[: len(png) // 2]).decode(), TEXTS[0])


def test_long_texts_are_cut_with_one_warning(pipe, caplog):
    image, long = pictures(1)[0], "how long is it " * 9
    found = pipe(image, [TEXTS[0], long, long + "?"])
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("2 of 3 texts were longer than the 32 tokens that the model takes")
    assert found[1] == found[2] == pipe(image, long[:30])  # of bytes, beside the two special tokens
    caplog.clear()
    assert list(pipe({"image": image, "question": text} for text in (long, long))) == [found[1]] * 2
    assert [record.getMessage()[:6] for record in caplog.records] == ["2 of 2"]
    caplog.clear()
    assert pipe(image, long[:30]) and not caplog.records


def test_positions_count_where_the_tokenizer_knows_no_length():
    parts = ours("Unimo2ForVisualQuestionAnswering")
    parts["tokenizer"] = type(parts["tokenizer"])(parts["tokenizer"].get_vocab(), [])
    assert parts["tokenizer"].model_max_length > 10**6
    assert pipeline("vqa", **parts)._max_length() == 32


def test_pictures_of_several_sizes_in_one_batch():
    """Without a pixel mask they cannot be padded, so they take turns."""
    parts = ours("Unimo2ForVisualQuestionAnswering")
    pipe = pipeline("vqa", **parts)
    pipe.image_processor = type(parts["image_processor"])(do_resize=False)
    images = [
        Image.new("RGB", size, color) for size, color in (((16, 16), "red"), ((24, 16), "blue"), ((16, 16), "green"))
    ]
    alone = [pipe(image, TEXTS[0]) for image in images]
    together = pipe(images, TEXTS[0], batch_size=3)
    for one, two in zip(together, alone):
        assert [part["answer"] for part in one] == [part["answer"] for part in two]
        assert [part["score"] for part in one] == pytest.approx([part["score"] for part in two], abs=1e-5)


def test_half_precision(pipe):
    parts = ours("Unimo2ForVisualQuestionAnswering")
    half = pipeline("vqa", **parts | {"model": parts["model"].to(torch.bfloat16)})
    assert half(pictures(1)[0], TEXTS[0])[0]["score"] == pytest.approx(
        pipe(pictures(1)[0], TEXTS[0])[0]["score"], abs=5e-2
    )
