# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Rows come back as they were kept; what a stopped process left behind does no harm."""

import numpy as np
import pytest
import torch

from hf_unimo.errors import BadInputError
from hf_unimo.retrieval.store import RowStore


FINGERPRINT = {"model": "x", "data": "y"}


def rows(number=5, seed=0):
    random = torch.Generator().manual_seed(seed)
    return [
        {
            "features": torch.randn(3, generator=random),
            "states": torch.randn(2 + row, 4, generator=random),
            "input_ids": torch.randint(0, 50_000, (2 + row,), generator=random),
        }
        for row in range(number)
    ]


def fill(store, given):
    store.append([store.pack(row) for row in given], len(given))
    return store


@pytest.mark.parametrize("states", ["float32", "bfloat16"])
def test_rows_come_back(tmp_path, states):
    given, types = rows(), {"states": states}
    fill(RowStore(tmp_path / "s", FINGERPRINT, types), given[:2])
    store = fill(RowStore(tmp_path / "s", FINGERPRINT, types), given[2:])
    for found in (store, RowStore(tmp_path / "s", FINGERPRINT)):
        assert len(found) == 5 and found.names == ["features", "states", "input_ids"]
        for number, row in enumerate(given):
            kept = found.parts(number)
            assert torch.equal(kept["features"], row["features"]) and torch.equal(kept["input_ids"], row["input_ids"])
            assert torch.equal(kept["states"], row["states"].to(getattr(torch, states)))
        assert np.array_equal(found.matrix("features"), torch.stack([row["features"] for row in given]).numpy())
        assert found.shapes("states").tolist() == [[2 + row, 4] for row in range(5)]
        assert found.sizes().tolist() == [4 * (3 + 5 * (2 + row)) for row in range(5)]
        assert found.size == 4 * 15 + 4 * 20 + 20 * 4 * (4 if states == "float32" else 2)
        with pytest.raises(ValueError, match="differ in shape"):
            found.matrix("states")
    assert (tmp_path / "s" / "states.values").stat().st_size == 80 * (4 if states == "float32" else 2)


def test_items_without_a_row(tmp_path):
    store = RowStore(tmp_path / "s", FINGERPRINT)
    store.append([], 2, [(0, "broken"), (1, "too large")])
    given = rows(2)
    store.append([store.pack(row) for row in given], 3, [(3, "broken")])
    store = RowStore(tmp_path / "s", FINGERPRINT)
    assert store.items == 5 and len(store) == 2 and store.kept.tolist() == [2, 4]
    assert store.failed == [(0, "broken"), (1, "too large"), (3, "broken")]
    assert torch.equal(store.row("states", 1), given[1]["states"])


def test_what_a_stopped_process_left_is_cut_off(tmp_path):
    fill(RowStore(tmp_path / "s", FINGERPRINT), rows(2))
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "s").iterdir()}
    for name in ("states.values", "features.shapes", "other.values"):
        with open(tmp_path / "s" / name, "ab") as file:
            file.write(b"half a row")
    store = fill(RowStore(tmp_path / "s", FINGERPRINT), rows(3, seed=1))
    assert torch.equal(store.row("states", 2), rows(3, seed=1)[0]["states"])
    assert {path.name for path in (tmp_path / "s").iterdir()} == set(sizes)
    with open(tmp_path / "s" / "states.values", "r+b") as file:
        file.truncate(8)
    with pytest.raises(BadInputError, match=r"states\.values is not whole; remove .* and encode again"):
        RowStore(tmp_path / "s", FINGERPRINT)


def test_rows_of_something_else_are_refused(tmp_path):
    fill(RowStore(tmp_path / "s", FINGERPRINT), rows(1))
    with pytest.raises(BadInputError, match=r"holds encodings that differ in model; accepted are the same model, "):
        RowStore(tmp_path / "s", FINGERPRINT | {"model": "z"})
    store = RowStore(tmp_path / "s", FINGERPRINT)
    store.forget()
    assert not (tmp_path / "s").exists()
    RowStore(tmp_path / "s", FINGERPRINT | {"model": "z"})
