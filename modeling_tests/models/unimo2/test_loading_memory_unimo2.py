# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Loading takes the memory that a `BertModel` of as many bytes takes. Its time is in `python -m benchmarks`."""

import multiprocessing
import sys

import pytest
import torch
import transformers

import hf_unimo
from benchmarks.load import peak_memory
from benchmarks.loading_cases import bert_of


_IMPORTS = [__name__, "hf_unimo.models.unimo2.modeling_unimo2", "transformers.models.bert.modeling_bert"]
_LIMIT = 1.2


def _load(connection, name: str, folder: str, dtype: torch.dtype) -> None:
    """What the child process does: it loads and reads every weight once. Sends bytes of weights and of the peak."""
    torch.set_num_threads(1)
    model_class = getattr(hf_unimo if hasattr(hf_unimo, name) else transformers, name)
    # The first load imports what is installed beside transformers (quantisation, for one): no part of the model.
    transformers.BertModel.from_pretrained(f"{folder}/../small", dtype=dtype)
    before = peak_memory()
    model = model_class.from_pretrained(folder, dtype=dtype)
    loaded = peak_memory() - before
    for parameter in model.parameters():
        parameter.sum()
    connection.send((sum(parameter.nbytes for parameter in model.parameters()), loaded, peak_memory() - before))


def measure(name: str, folder, dtype: torch.dtype) -> tuple[int, int, int]:
    """In a fresh process, after the imports: bytes of weights, peak of loading, peak with reading them."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(_IMPORTS)
    ours, theirs = processes.Pipe()
    process = processes.Process(target=_load, args=(theirs, name, str(folder), dtype))
    process.start()
    theirs.close()
    found = ours.recv()
    process.join()
    return found


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """UNIMO-2 and BERT of about 110 MB."""
    folder = tmp_path_factory.mktemp("loading")
    encoder = {"hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 1024, "num_hidden_layers": 8}
    config = hf_unimo.Unimo2Config(
        vision_config=encoder, text_config=encoder | {"vocab_size": 30000}, grounded_config=encoder
    )
    model = hf_unimo.Unimo2Model(config)
    model.save_pretrained(folder / "Unimo2Model")
    bert_of(20_000, 16, 2).save_pretrained(folder / "small")
    bert_of(sum(parameter.numel() for parameter in model.parameters()), 256, 4).save_pretrained(folder / "BertModel")
    return folder


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is read from /proc")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_peak_memory_is_that_of_bert(dtype, folders):
    """Of float32, as it is stored, pages of the file are the weights; a cast makes new ones beside them."""
    size, loaded, read = measure("Unimo2Model", folders / "Unimo2Model", dtype)
    other_size, other_loaded, other_read = measure("BertModel", folders / "BertModel", dtype)
    assert size == pytest.approx(other_size, rel=1e-3) and size > 50_000_000
    assert loaded <= _LIMIT * other_loaded and read <= _LIMIT * other_read
    stored = size * (4 // dtype.itemsize)
    assert size < read < _LIMIT * (stored if dtype == torch.float32 else stored + size)
