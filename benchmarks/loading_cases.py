# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Loading: `from_pretrained` of UNIMO-2 against that of a `BertModel` of as many bytes, in a fresh process each."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from torch import nn
from transformers import BertConfig, BertModel

from hf_unimo import Unimo2Model

from .case import Case, Run
from .sizes import Size


OURS, BERT = "loading UNIMO-2", "loading a BertModel of the same bytes"
PEAK = "weights read, peak bytes"
"""A mapped file takes memory only when its weights are read."""

_ROUNDS = 3


def loading_cases(size: Size) -> Iterator[Case]:
    """One load a run; the files are in the page cache, because they were just written."""
    saved = _Saved(size)
    for name, make in ((OURS, saved.unimo2), (BERT, saved.bert)):
        yield Case(
            name,
            "loading",
            partial(_load, make),
            relative_to=BERT,
            flops_of="-",
            most_rounds=_ROUNDS,
            warm_up=False,
        )


class _Saved:
    """The two folders, made when they are first asked for and removed with this object."""

    def __init__(self, size: Size):
        self._size, self._folder = size, None

    def unimo2(self) -> Path:
        """UNIMO-2 of that size."""
        return self._saved("Unimo2Model", lambda: Unimo2Model(self._size.config()))

    def bert(self) -> Path:
        """BERT with as many parameters, to one row of its vocabulary."""
        return self._saved(
            "BertModel", lambda: bert_of(num_parameters(self._size), self._size.width, self._size.heads)
        )

    def _saved(self, name: str, make) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name) / name
        if not folder.exists():
            make().save_pretrained(folder)
        return folder


def num_parameters(size: Size) -> int:
    """Of `Unimo2Model`, without building it."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in Unimo2Model(size.config()).parameters())


def bert_of(parameters: int, width: int, heads: int) -> nn.Module:
    """A `BertModel` of that width with `parameters` parameters, less than one row of its vocabulary fewer."""
    shape = {"hidden_size": width, "intermediate_size": 4 * width, "num_attention_heads": heads}

    def count(layers: int, vocabulary: int) -> int:
        with torch.device("meta"):
            model = BertModel(BertConfig(**shape, num_hidden_layers=layers, vocab_size=vocabulary))
        return sum(parameter.numel() for parameter in model.parameters())

    bare = count(0, 1)
    layer = count(1, 1) - bare
    layers = max(0, (parameters - bare) // layer - 1)
    vocabulary = 1 + (parameters - bare - layers * layer) // width
    return BertModel(BertConfig(**shape, num_hidden_layers=layers, vocab_size=vocabulary))


@contextmanager
def _load(make) -> Iterator[Run]:
    folder = make()
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, "-m", f"{__package__}.load", folder.name, str(folder)]

    def run() -> dict[str, float]:
        done = subprocess.run(
            command, cwd=Path(__file__).parents[1], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"The process that loads {folder.name} failed: {done.stderr.strip()[-2000:]}")
        return json.loads(done.stdout.splitlines()[-1])

    yield run
