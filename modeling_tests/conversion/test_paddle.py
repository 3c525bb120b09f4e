# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Paddle's binary formats: what the first implementation wrote is read back, and nothing else is accepted."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest

from hf_unimo.conversion.paddle import read_variables, write_variable
from hf_unimo.errors import BadInputError


GOLDENS = Path(__file__).parents[1] / "fixtures" / "unimo2_tiny"


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def record(shape=(2, 3), data=None, dtype=5, packed=False, levels=b"", versions=(0, 0), level_count=0) -> bytes:
    """One record by the format's description, written independently of the package's writer."""
    dimensions = b"".join(varint(size) for size in shape)
    if packed:
        descriptor = b"\x08" + varint(dtype) + b"\x12" + varint(len(dimensions)) + dimensions
    else:
        descriptor = b"\x08" + varint(dtype) + b"".join(b"\x10" + varint(size) for size in shape)
    data = np.arange(6, dtype="<f4").tobytes() if data is None else data
    header = struct.pack("<IQ", versions[0], level_count) + levels + struct.pack("<Ii", versions[1], len(descriptor))
    return header + descriptor + data


def write_combined(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with open(path, "wb") as handle:
        for name in sorted(arrays):
            write_variable(handle, arrays[name])


@pytest.fixture(scope="module")
def weights():
    return dict(np.load(GOLDENS / "weights.npz"))


def assert_equal(index, weights):
    for name, expected in weights.items():
        found = index[name].load()
        assert found.dtype == expected.dtype and found.shape == expected.shape
        assert found.tobytes() == expected.tobytes(), name


def test_directory_is_bit_equal(weights):
    index = read_variables(GOLDENS / "checkpoint_persistables")
    assert set(weights) < set(index)
    assert_equal(index, weights)
    assert "no such name" not in index


def test_pickle_is_bit_equal(weights):
    index = read_variables(GOLDENS / "checkpoint_pdparams" / "model.pdparams")
    assert set(weights) == set(index)
    assert_equal(index, weights)


def test_combined_file_is_bit_equal(weights, tmp_path):
    write_combined(tmp_path / "params", weights)
    index = read_variables(tmp_path / "params", reversed(list(weights)))
    assert_equal(index, weights)


def test_writer_makes_the_same_file(weights, tmp_path):
    for name in ("text.word_embedding", "topk_temperature", "vit.patch_embeddings_projection_weight"):
        with open(tmp_path / name, "wb") as handle:
            write_variable(handle, weights[name])
        assert (tmp_path / name).read_bytes() == (GOLDENS / "checkpoint_persistables" / name).read_bytes()


def test_writer_takes_any_memory_order(tmp_path):
    array = np.arange(12, dtype="f4").reshape(3, 4)
    with open(tmp_path / "x", "wb") as handle:
        write_variable(handle, array.T)
    assert (read_variables(tmp_path)["x"].load() == array.T).all()


@pytest.mark.parametrize(
    "content",
    [
        record(packed=True),
        record(levels=struct.pack("<Q", 16) + bytes(16), level_count=1),
        record(dtype=6, data=np.arange(6, dtype="<f8").tobytes()),
        record(dtype=22, data=(np.arange(6, dtype="<f4").view("<u4") >> 16).astype("<u2").tobytes()),
        record(dtype=4, data=np.arange(6, dtype="<f2").tobytes()),
    ],
    ids=["packed dimensions", "levels", "float64", "bfloat16", "float16"],
)
def test_variants_of_the_format(content, tmp_path):
    (tmp_path / "x").write_bytes(content)
    assert read_variables(tmp_path)["x"].load().astype("f4").tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "truncated"),
        (record()[:10], "truncated"),
        (record()[:24], "truncated"),
        (record()[:-1], "truncated or damaged"),
        (record() + b"\0", "too many"),
        (b"\x89PNG\r\n\x1a\n" + bytes(64), "not a Paddle variable"),
        (record(versions=(7, 0)), "not a Paddle variable"),
        (record(versions=(0, 7)), "not a Paddle variable"),
        (record(level_count=2**60), "not a Paddle variable"),
        (record(levels=struct.pack("<Q", 2**62), level_count=1), "truncated"),
        (record(shape=(-1, 6)), "not a possible shape"),
        (record(shape=(0, 6)), "not a possible shape"),
        (record(shape=(2**40, 2**20)), "truncated or damaged"),
        (record(shape=(1,) * 9), "not a possible shape"),
        (record(dtype=99), "data type number 99"),
        (record(shape=()).replace(b"\x08\x05", b"\x08\xff"), "descriptor is damaged"),
        (record(shape=(3,)).replace(b"\x10\x03", b"\x18\x03"), "unknown field"),
    ],
)
def test_damaged_variables_are_refused(content, message, tmp_path):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(BadInputError, match=message) as error:
        read_variables(tmp_path)["x"]
    assert "\n" not in str(error.value) and "x" in str(error.value)


def test_links_are_refused(tmp_path):
    outside = tmp_path / "outside"
    outside.write_bytes(record())
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x").symlink_to(outside)
    with pytest.raises(BadInputError, match="symbolic link"):
        read_variables(tmp_path / "folder")


def test_a_pipe_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "x")
    assert "x" not in read_variables(tmp_path)
    with pytest.raises(BadInputError, match="neither a file nor a directory"):
        read_variables(tmp_path / "x")


def test_missing_source(tmp_path):
    with pytest.raises(BadInputError, match="No such file"):
        read_variables(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (None, "holds no names"),
        (["a"], "2 variables, but 1 names"),
        (["a", "../b"], "lead out of its folder"),
        (["a", ".."], "lead out of its folder"),
        (["a", "a"], "given twice"),
    ],
)
def test_names_of_a_combined_file(names, message, tmp_path):
    write_combined(tmp_path / "params", {"a": np.ones(3, "f4"), "b": np.ones(2, "f4")})
    with pytest.raises(BadInputError, match=message):
        read_variables(tmp_path / "params", names)


def test_truncated_combined_file(tmp_path):
    write_combined(tmp_path / "params", {"a": np.ones(3, "f4"), "b": np.ones(2, "f4")})
    data = (tmp_path / "params").read_bytes()
    for length in (len(data) - 1, len(data) - 9, 5, 0):
        (tmp_path / "params").write_bytes(data[:length])
        with pytest.raises(BadInputError, match="truncated"):
            read_variables(tmp_path / "params", ["a", "b"])


def test_names_do_not_go_with_the_other_layouts():
    for source in ("checkpoint_persistables", "checkpoint_pdparams/model.pdparams"):
        with pytest.raises(BadInputError, match="names go with a combined file"):
            read_variables(GOLDENS / source, ["a"])
