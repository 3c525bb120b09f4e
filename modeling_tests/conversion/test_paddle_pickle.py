# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The restricted unpickler: arrays of every protocol, and nothing that could run, fill or hang anything."""

import collections
import os
import pickle
import struct
import subprocess
import tracemalloc

import numpy as np
import pytest

from hf_unimo.conversion.paddle import read_variables
from hf_unimo.errors import BadInputError


ARRAYS = {
    "matrix": np.random.default_rng(0).standard_normal((70, 40)).astype("f4"),
    "fortran": np.asfortranarray(np.arange(2000, dtype="f4").reshape(40, 50)),
    "small": np.array([1.5, -2.5], "f4"),
    "big-endian": np.arange(5, dtype=">f4"),
    "double": np.linspace(0, 1, 700),
    "scalar": np.array(3.0, "f4"),
}


class Call:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def dump(path, value, protocol=4):
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("container", [dict, collections.OrderedDict])
def test_every_protocol(protocol, container, tmp_path):
    index = read_variables(dump(tmp_path / "m.pdparams", container(ARRAYS), protocol))
    assert list(index) == list(ARRAYS)
    for name, expected in ARRAYS.items():
        found = index[name].load()
        assert found.dtype.itemsize == expected.dtype.itemsize and found.shape == expected.shape
        np.testing.assert_array_equal(found, expected)


def test_strings_of_python_2(tmp_path):
    """What Python 2 pickled: names and data in the same kind of string."""
    data = np.arange(3, dtype="<f4").tobytes()
    body = (
        b"\x80\x02}U\x01wcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x03\x85"
        b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U"
    )
    (tmp_path / "m.pdparams").write_bytes(body + bytes([len(data)]) + data + b"tbs.")
    assert read_variables(tmp_path / "m.pdparams")["w"].load().tolist() == [0, 1, 2]


def test_other_entries_are_left_out(tmp_path):
    """Dygraph files carry a table of names; tensor objects are pickled as pairs of a name and an array."""
    pair = Call(tuple, ("name", ARRAYS["small"]))
    value = {"StructuredToParameterName@@": {"a": "b"}, "epoch": 3, "w": pair, "list": [1, None, 2.5]}
    index = read_variables(dump(tmp_path / "m.pdparams", value))
    assert list(index) == ["w"]


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize(
    ("payload", "name"),
    [
        (Call(os.system, "touch {marker}"), r"posix\.system"),
        (Call(eval, "open({marker!r}, 'w')"), r"\.eval"),
        (Call(subprocess.Popen, "touch {marker}"), r"\.Popen"),
        (Call(np.load, "{marker}"), r"numpy\.load"),
        (Call(getattr, "text", "join"), r"\.getattr"),
    ],
    ids=["os.system", "eval", "Popen", "numpy.load", "getattr"],
)
def test_calls_are_refused_by_name(payload, name, protocol, tmp_path):
    marker = str(tmp_path / "marker")
    function, arguments = payload.call
    arguments = tuple(text.format(marker=marker) for text in arguments)
    source = dump(tmp_path / "m.pdparams", {"w": ARRAYS["small"], "x": Call(function, *arguments)}, protocol)
    with pytest.raises(BadInputError, match=name):
        read_variables(source)
    assert not os.path.exists(marker)


def test_objects_in_arrays_are_refused(tmp_path):
    for value in (np.array([{"a": 1}, None], dtype=object), np.array(["text"]), np.zeros(2, [("a", "f4")])):
        with pytest.raises(BadInputError):
            read_variables(dump(tmp_path / "m.pdparams", {"w": value}))


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_truncation_at_every_place(protocol, tmp_path):
    whole = pickle.dumps({"w": ARRAYS["small"], "v": ARRAYS["matrix"]}, protocol=protocol)
    for length in [*range(0, 400, 7), len(whole) // 2, len(whole) - 1]:
        (tmp_path / "m.pdparams").write_bytes(whole[:length])
        with pytest.raises(BadInputError):
            read_variables(tmp_path / "m.pdparams")


def test_random_damage_is_refused_or_harmless(tmp_path):
    """Flipped bytes of the program never lead to anything but a refusal or an index."""
    whole = pickle.dumps({"w": ARRAYS["small"], "v": ARRAYS["scalar"]}, protocol=4)
    generator = np.random.default_rng(0)
    for _ in range(1500):
        damaged = bytearray(whole)
        for place in generator.integers(0, len(whole), 2):
            damaged[place] = generator.integers(0, 256)
        (tmp_path / "m.pdparams").write_bytes(damaged)
        try:
            for array in read_variables(tmp_path / "m.pdparams").values():
                array.load()
        except BadInputError:
            continue


def reconstruct(shape: bytes, data: bytes) -> bytes:
    """A pickle of one array whose shape is what the given operations leave."""
    return (
        b"\x80\x04}\x8c\x01wcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01"
        + shape
        + b"cnumpy\ndtype\n\x8c\x02f4\x89\x88\x87R(K\x03\x8c\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + data
        + b"tbs."
    )


@pytest.mark.parametrize(
    "content",
    [
        reconstruct(b"\x8a\x06" + (2**40).to_bytes(6, "little") + b"\x85", b"C\x04abcd"),
        reconstruct(b"J\xff\xff\xff\xff\x85", b"C\x04abcd"),
        reconstruct(b"K\x01\x85", b"\x8e" + struct.pack("<Q", 2**50) + b"abcd"),
        reconstruct(b"K\x02\x85", b"C\x04abcd"),
        b"\x80\x04N" + b"r" + struct.pack("<I", 2**31 - 1) + b".",
        b"\x80\x04]0.",
        b"\x80\x04}h\x05s.",
        b"\x80\x04t.",
        b"\x80\x04R.",
        b"\x80\x04(.",
        b"(dp0\n.",
        b"\x80\x04.",
        b"\x80\x04]]a.",
        b"\x80\x04}.",
    ],
    ids=lambda content: repr(content[:24]),
)
def test_hostile_programs_cost_nothing(content, tmp_path):
    (tmp_path / "m.pdparams").write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(BadInputError):
            read_variables(tmp_path / "m.pdparams")
        assert tracemalloc.get_traced_memory()[1] < 300e6
    finally:
        tracemalloc.stop()


def test_endless_programs_end(tmp_path):
    (tmp_path / "m.pdparams").write_bytes(b"\x80\x04" + b"]" * 1_100_000)
    with pytest.raises(BadInputError, match="pickle operations"):
        read_variables(tmp_path / "m.pdparams")


def test_text_that_is_not_bytes(tmp_path):
    """Protocol 2 writes data as text; characters beyond 255 have no place in it."""
    whole = pickle.dumps({"w": ARRAYS["matrix"]}, protocol=2)
    place = whole.index(b"latin1") + 3000
    (tmp_path / "m.pdparams").write_bytes(whole[:place] + "\u4e2d".encode() + whole[place + 3 :])
    with pytest.raises(BadInputError):
        read_variables(tmp_path / "m.pdparams")["w"].load()


def test_the_same_data_under_many_names(tmp_path):
    value = {f"w{index}": ARRAYS["matrix"] for index in range(2000)}
    with pytest.raises(BadInputError, match="more than"):
        read_variables(dump(tmp_path / "m.pdparams", value))
