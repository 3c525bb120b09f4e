# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Graphs exported once, from one size, are run by onnxruntime on others: what they give is what PyTorch gives."""

import importlib.util
import io
import json
import re
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoConfig, AutoProcessor

import hf_unimo
from hf_unimo import Unimo2ImageProcessorPil, Unimo2Processor
from hf_unimo.cli import main
from hf_unimo.errors import BadInputError, CheckFailedError
from hf_unimo.exporting import onnx as exporting
from hf_unimo.exporting.onnx import PARTS, check_graphs, clear_rows, export_onnx
from hf_unimo.exporting.parts import ModelParts, Sizes
from modeling_tests.evaluation.models import tokenizer
from modeling_tests.models.unimo2 import small


MISSING = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
needs_onnx = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}; they are hf-unimo[onnx]")

ONE = small.ENCODER | {"num_hidden_layers": 1}
SIZES = [
    Sizes(3, 9, 16, 16),  # the stored size
    Sizes(5, 12, 24, 16),
    Sizes(1, 2, 8, 32),
    Sizes(4, 3, 20, 20),
]
"""None of them is the size of tracing."""


def make(name: str, grounded_layers: int = 1, **settings):
    """One layer in each encoder: tracing costs by the layer."""
    return small.model(
        name,
        vision_config=ONE | {"image_size": 16, "patch_size": 4},
        text_config=ONE | {"vocab_size": 261, "max_position_embeddings": 34},
        grounded_config=small.ENCODER | {"num_hidden_layers": grounded_layers},
        **settings,
    )


def save(folder, name: str = "Unimo2ForImageTextRetrieval", dtype=torch.float32, **settings):
    make(name, **settings).to(dtype).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A retrieval model in bfloat16, with its processor."""
    folder = save(tmp_path_factory.mktemp("saved") / "model", dtype=torch.bfloat16)
    Unimo2Processor(Unimo2ImageProcessorPil(size=16), tokenizer()).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def written(source):
    """By the command: its folder, and what it said."""
    said, folder = io.StringIO(), source.parent / "exported"
    with redirect_stdout(said):
        assert main(["export-onnx", str(source), "--out", str(folder), "--check"]) == 0
    return folder, said.getvalue()


@pytest.fixture(scope="module")
def folder(written):
    return written[0]


@pytest.fixture(scope="module")
def graphs(source) -> ModelParts:
    """PyTorch's side, in float32."""
    model = hf_unimo.Unimo2ForImageTextRetrieval.from_pretrained(source, dtype=torch.float32).eval()
    return ModelParts(model, ("image", "text"))


@pytest.fixture(scope="module")
def sessions(folder):
    """Part -> a function of arrays by name, by onnxruntime alone."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1

    def load(part):
        session = onnxruntime.InferenceSession(folder / f"{part}.onnx", options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]

        def run(inputs: dict) -> dict[str, np.ndarray]:
            return dict(zip(names, session.run(names, {name: np.asarray(value) for name, value in inputs.items()})))

        return run

    return {part: load(part) for part in PARTS}


def assert_near(found: dict[str, np.ndarray], expected: dict[str, torch.Tensor]) -> None:
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value.numpy(), rtol=0, atol=1e-4, err_msg=name)


def inputs_with_a_clear_choice(graphs, sizes) -> dict[str, dict[str, torch.Tensor]]:
    for seed in range(20):
        inputs = graphs.inputs(graphs.draw(sizes, seed))
        if clear_rows(graphs, inputs["fusion"]).all():
            return inputs
    raise AssertionError("no batch without near-ties")


# ---------------------------------------------------------------------------------------------------------------------
# The four graphs of a retrieval model
# ---------------------------------------------------------------------------------------------------------------------


@needs_onnx
@pytest.mark.slow
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_onnxruntime_agrees_at_sizes_that_were_not_traced(sizes, graphs, sessions):
    assert sizes != graphs.sizes()
    inputs = inputs_with_a_clear_choice(graphs, sizes)
    for part in PARTS:
        with torch.no_grad():
            assert_near(sessions[part](inputs[part]), graphs.module(part)(**inputs[part]))


@needs_onnx
@pytest.mark.slow
def test_served_in_stages_it_is_the_whole(graphs, sessions):
    drawn = inputs_with_a_clear_choice(graphs, Sizes(3, 7, 12, 24))["model"]
    encoded = sessions["image-encoder"]({"pixel_values": drawn["pixel_values"]})
    words = {name: drawn[name] for name in ("input_ids", "attention_mask")}
    encoded |= sessions["text-encoder"](words) | {"attention_mask": drawn["attention_mask"]}
    fused = sessions["fusion"]({name: value for name, value in encoded.items() if not name.endswith("_features")})
    whole = sessions["model"](drawn)
    for name, value in fused.items():
        np.testing.assert_allclose(value, whole[name], rtol=0, atol=1e-5, err_msg=name)
    products = encoded["image_features"] @ encoded["text_features"].T
    np.testing.assert_allclose(np.diag(products), whole["similarity"], atol=1e-5)


@needs_onnx
@pytest.mark.slow
def test_a_row_alone_is_the_row_in_the_padded_batch(graphs, sessions):
    drawn = inputs_with_a_clear_choice(graphs, Sizes(3, 9, 16, 16))["model"]
    batch = sessions["model"](drawn)
    for row, words in enumerate(drawn["attention_mask"].sum(1).tolist()):
        alone = {name: value[row : row + 1] for name, value in drawn.items()}
        alone |= {name: alone[name][:, :words] for name in ("input_ids", "attention_mask")}
        found = sessions["model"](alone)
        for name in ("logits", "itm_logits", "similarity", "grounded_token_ids"):
            np.testing.assert_allclose(found[name][0], batch[name][row], rtol=0, atol=1e-5, err_msg=name)


@needs_onnx
@pytest.mark.slow
def test_ties_go_to_the_lower_entry(graphs, sessions):
    inputs = graphs.inputs(graphs.draw(Sizes(3, 5, 8, 12)))["fusion"]
    inputs["image_dictionary_scores"] = torch.zeros(3, 24)
    inputs["image_dictionary_scores"][1] = torch.tensor([1.0, 2, 2, 3] * 6)
    inputs["image_dictionary_scores"][2] = torch.tensor([0.5] * 20 + [2.5] * 4)
    inputs["text_dictionary_scores"] = torch.ones(3, 24)
    expected = [[0, 1, 2, 3, 4, 5], [3, 7, 11, 15, 19, 23], [20, 21, 22, 23, 0, 1]]
    assert sessions["fusion"](inputs)["grounded_token_ids"].tolist() == expected
    with torch.no_grad():
        assert_near(sessions["fusion"](inputs), graphs.module("fusion")(**inputs))


@needs_onnx
@pytest.mark.slow
def test_what_is_wrong_is_found(folder, graphs, monkeypatch):
    monkeypatch.setattr(exporting, "TOLERANCE", 1e-9)
    with pytest.raises(CheckFailedError, match="onnxruntime and PyTorch differ by"):
        check_graphs(graphs, ["text-encoder"], folder)


@needs_onnx
@pytest.mark.slow
def test_the_command_says_what_it_wrote(written):
    folder, said = written
    lines = said.splitlines()
    assert lines[0] == "the weights were bfloat16 and are float32 in the graphs"
    assert [line.split(":")[0] for line in lines[1:5]] == list(PARTS)
    assert all("of PyTorch (accepted: 0.0001)" in line for line in lines[1:5])
    assert lines[5] == f"written: {folder}"


@needs_onnx
@pytest.mark.slow
def test_the_folder_is_complete(folder):
    import onnx

    assert AutoConfig.from_pretrained(folder).architectures == ["Unimo2ForImageTextRetrieval"]
    words = AutoProcessor.from_pretrained(folder)(text="a red square", images=None, return_tensors="np")
    assert set(words) == {"input_ids", "attention_mask"}
    described = json.loads((folder / "graphs.json").read_text())
    assert described["family"] == "unimo2" and described["hf_unimo"] == hf_unimo.__version__
    assert described["text_length"] == {"min": 2, "max": 32} and described["height_and_width"] == {"multiple_of": 4}
    assert described["contrastive_temperature"] == pytest.approx(0.07, abs=1e-3)
    for part in PARTS:
        graph = onnx.load(folder / f"{part}.onnx", load_external_data=False)
        metadata = {entry.key: entry.value for entry in graph.metadata_props}
        assert metadata == {
            "family": "unimo2",
            "architecture": "Unimo2ForImageTextRetrieval",
            "part": part,
            "hf_unimo": hf_unimo.__version__,
        }
        ports = described["graphs"][part]
        assert ports["file"] == f"{part}.onnx"
        for kind, values in (("inputs", graph.graph.input), ("outputs", graph.graph.output)):
            for value, port in zip(values, ports[kind], strict=True):
                shape = [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
                assert (value.name, shape) == (port["name"], port["shape"])
    model = described["graphs"]["model"]
    assert [port["shape"] for port in model["inputs"]] == [
        ["batch_size", 3, "height", "width"],
        ["batch_size", "text_length"],
        ["batch_size", "text_length"],
    ]
    names = {port["name"] for port in model["outputs"]}
    assert names >= {"logits", "itm_logits", "logits_per_image", "grounded_token_ids"} and "loss" not in names


@needs_onnx
@pytest.mark.slow
def test_positions_are_interpolated_in_the_graph(folder):
    import onnx

    for part in ("image-encoder", "model"):
        graph = onnx.load(folder / f"{part}.onnx", load_external_data=False).graph
        assert [node.op_type for node in graph.node].count("Resize") == 1
    sizes = {part: (folder / f"{part}.onnx.data").stat().st_size for part in PARTS}
    # Every graph has its own weights and no others.
    assert sum(sizes[part] for part in PARTS[:3]) < 1.1 * sizes["model"]


@needs_onnx
@pytest.mark.slow
def test_nothing_of_this_machine_is_in_the_folder(folder, source):
    for path in folder.iterdir():
        content = path.read_bytes()
        assert b"/src/hf_unimo" not in content and str(source).encode() not in content, path.name


@needs_onnx
@pytest.mark.slow
def test_transformers_loads_it(folder, graphs):
    from transformers.exporters import ExportedModel

    runners = ExportedModel.from_pretrained(folder, device="cpu").runners
    inputs = inputs_with_a_clear_choice(graphs, SIZES[1])
    with torch.no_grad():
        expected = graphs.module("fusion")(**inputs["fusion"])
    torch.testing.assert_close(runners["fusion"](**inputs["fusion"]), expected, atol=1e-4, rtol=0)


@needs_onnx
@pytest.mark.slow
def test_what_the_page_shows_runs(folder, tmp_path, monkeypatch, capsys):
    """Its first code, word for word."""
    page = (Path(__file__).parents[2] / "docs" / "onnx.md").read_text()
    code = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)[0]
    (tmp_path / "unimo2-onnx").symlink_to(folder)
    Image.new("RGB", (40, 30), "red").save(tmp_path / "picture.png")
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert re.fullmatch(
        r"contrastive: \[\[\S+ +\S+\]\]\nmatching: \[.*\] entries: \[\[.*\]\n \[.*\]\]\n", capsys.readouterr().out
    )


# ---------------------------------------------------------------------------------------------------------------------
# Other classes
# ---------------------------------------------------------------------------------------------------------------------


@needs_onnx
@pytest.mark.slow
@pytest.mark.parametrize(
    "name, settings, export",
    [
        ("Unimo2ForMaskedLM", {}, {"parts": ["model"], "modalities": ["text"], "opset": 18}),
        ("Unimo2ForImageClassification", {}, {"parts": ["model"]}),
        ("Unimo2ForImageTextClassification", {"num_images": 2, "grounded_layers": 2}, {"parts": ["fusion"]}),
    ],
)
def test_other_classes_and_inputs(name, settings, export, tmp_path):
    """The check compares rows whose choice is clear, at two sizes."""
    done = export_onnx(save(tmp_path / "saved", name, **settings), tmp_path / "exported", check=True, **export)
    assert list(done.parts) == export["parts"] and done.from_dtype == "float32"
    assert done.differences is not None and 0 <= done.differences[export["parts"][0]] < 1e-4
    described = json.loads((tmp_path / "exported" / "graphs.json").read_text())
    assert described["architecture"] == name and described["opset"] == export.get("opset", 20)
    assert ("id2label" in described) == ("Classification" in name)


# ---------------------------------------------------------------------------------------------------------------------
# What is refused
# ---------------------------------------------------------------------------------------------------------------------


@needs_onnx
@pytest.mark.slow
def test_an_axis_that_came_out_fixed_is_refused(monkeypatch, tmp_path):
    """torch makes an axis of size 1 a constant and says nothing."""
    monkeypatch.setattr(ModelParts, "sizes", lambda self: Sizes(1, 5, 8, 12))
    source = save(tmp_path / "saved", "Unimo2ForSequenceClassification")
    with pytest.raises(CheckFailedError, match="takes input_ids with a batch_size of 1 only"):
        export_onnx(source, tmp_path / "new" / "exported", parts=["text-encoder"])
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def refuse(source, *arguments, capsys, monkeypatch) -> str:
    """What the command says, after it wrote nothing."""
    monkeypatch.setattr(exporting, "export_graphs", lambda *_: pytest.fail("the export began"))
    out = source.parent / "refused"
    assert main(["export-onnx", str(source), "--out", str(out), *arguments]) == 2
    assert not out.exists()
    (said,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("hf-unimo export-onnx: "))
    return said


@needs_onnx
@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--parts", "model,decoder"], "No such part: 'decoder' was given, the nearest known is"),
        (["--opset", "7"], "The opset is 7, but 18 to 23 can be written."),
        (["--modalities", "sound"], "Not an input of a Unimo2ForImageTextRetrieval: 'sound' was given"),
        (["--modalities", "text"], "Unimo2ForImageTextRetrieval needs `pixel_values`. An export with the input text"),
    ],
)
def test_unknown_names_are_refused(arguments, sentence, source, capsys, monkeypatch):
    assert sentence in refuse(source, *arguments, capsys=capsys, monkeypatch=monkeypatch)


@needs_onnx
def test_models_that_cannot_be_exported_are_refused(tmp_path, capsys, monkeypatch):
    said = refuse(tmp_path / "nowhere", capsys=capsys, monkeypatch=monkeypatch)
    assert "is not a directory; name the one that `save_pretrained` wrote." in said
    captions = save(tmp_path / "captions", "Unimo2ForConditionalGeneration")
    said = refuse(captions, capsys=capsys, monkeypatch=monkeypatch)
    assert "holds a Unimo2ForConditionalGeneration, which writes word by word" in said
    texts = save(tmp_path / "texts", "Unimo2ForSequenceClassification")
    said = refuse(texts, "--parts", "image-encoder", capsys=capsys, monkeypatch=monkeypatch)
    assert "its inputs are text, so the parts are text-encoder, fusion, model." in said
    config = json.loads((texts / "config.json").read_text())
    (texts / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "torchao"}}))
    assert "is quantised; accepted are models of whole weights" in refuse(
        texts, capsys=capsys, monkeypatch=monkeypatch
    )


@needs_onnx
def test_a_folder_that_is_taken_is_refused(source):
    with pytest.raises(BadInputError, match="exists and is not empty"):
        export_onnx(source, source)


@pytest.mark.parametrize("missing, check", [("onnxscript", False), ("onnxruntime", True)])
def test_missing_packages_are_named(missing, check, source, capsys, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(exporting, "find_spec", lambda name: None if name == missing else found("torch"))
    said = refuse(source, *["--check"] * check, capsys=capsys, monkeypatch=monkeypatch)
    assert f"of which {missing} is not installed: pip install 'hf-unimo[onnx]'." in said
