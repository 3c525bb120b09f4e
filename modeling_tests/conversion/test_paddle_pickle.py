# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The restricted unpickler: arrays of every protocol, and nothing that could run or fill anything."""

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


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_what_paddle_writes(protocol, tmp_path):
    """A table of names beside the arrays; of tensor objects, pairs of a name and an array."""
    pair = Call(tuple, ("name", ARRAYS["small"]))
    value = collections.OrderedDict({"StructuredToParameterName@@": {"a": "b"}, "w": pair})
    index = read_variables(dump(tmp_path / "m.pdparams", value, protocol))
    assert list(index) == ["w"] and index["w"].load().tolist() == [1.5, -2.5]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([ARRAYS["small"]], "holds a list, not a dictionary"),
        (ARRAYS["small"], "not a dictionary"),
        ({}, "declares no arrays"),
        ({"w": ARRAYS["small"], "epoch": 3}, "entry 'epoch' of type int"),
        ({"w": [ARRAYS["small"]]}, "entry 'w' of type list"),
        ({"w": np.dtype("f4")}, "entry 'w' of type"),
        ({3: ARRAYS["small"]}, "whose key is of type int"),
        ({"w": np.zeros((2, 3, 4), "f4").transpose(1, 0, 2)}, "memory order 'K'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_contents_are_refused(value, message, tmp_path):
    with pytest.raises(BadInputError, match=message) as error:
        read_variables(dump(tmp_path / "m.pdparams", value, protocol=5))
    assert "\n" not in str(error.value)


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


def test_a_name_cannot_write_on_the_terminal(tmp_path):
    (tmp_path / "m.pdparams").write_bytes(b"\x80\x04\x8c\x02os\x8c\x09\x1b[2J\nevil\x93.")
    with pytest.raises(BadInputError, match=r"os\.\\x1b\[2J\\nevil"):
        read_variables(tmp_path / "m.pdparams")


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (np.array([{"a": 1}, None], dtype=object), "O8"),
        (np.array(["text"]), "U4"),
        (np.zeros(2, [("a", "f4")]), "V4"),
        (np.zeros(2, "M8[s]"), "M8"),
    ],
)
def test_other_types_are_refused_by_name(value, name, tmp_path):
    with pytest.raises(BadInputError, match=f"type '{name}', which is not a number's"):
        read_variables(dump(tmp_path / "m.pdparams", {"w": value}))


def test_a_persistent_id_is_refused(tmp_path):
    (tmp_path / "m.pdparams").write_bytes(b"\x80\x04\x8c\x01aQ.")
    with pytest.raises(BadInputError, match="persistent id"):
        read_variables(tmp_path / "m.pdparams")


@pytest.mark.parametrize("value", [{"w": ARRAYS["fortran"]}, {"w": ARRAYS["matrix"]}])
def test_data_are_not_copied(value, tmp_path):
    array = read_variables(dump(tmp_path / "m.pdparams", value))["w"]
    assert np.shares_memory(array.load(), np.frombuffer(array.data, "u1"))


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_truncation_at_every_place(protocol, tmp_path):
    whole = pickle.dumps({"w": ARRAYS["small"], "v": ARRAYS["matrix"]}, protocol=protocol)
    for length in [*range(0, 400, 7), len(whole) // 2, len(whole) - 1]:
        (tmp_path / "m.pdparams").write_bytes(whole[:length])
        with pytest.raises(BadInputError):
            read_variables(tmp_path / "m.pdparams")


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_random_damage_is_refused_or_harmless(protocol, tmp_path):
    """Flipped bytes of the program never lead to anything but a refusal or an index."""
    whole = pickle.dumps({"w": ARRAYS["small"], "v": ARRAYS["scalar"]}, protocol=protocol)
    generator = np.random.default_rng(0)
    for _ in range(500):
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
        b"\x80\x04}r" + struct.pack("<I", 2**29) + b".",
        b"\x80\x04}p536870912\n.",
        b"\x80\x04}N" + b"\x85" * 300_000 + b"Ns.",
        b"\x80\x04ccollections\nOrderedDict\n}\x85R.",
        b"\x80\x04c_codecs\nencode\nN}\x8c\x07__doc__\x8c\x01xs\x86b.",
        b"\x80\x04cnumpy\ndtype\n)\x81}b.",
        b"\x80\x04}h\x05s.",
        b"(dp0\n.",
        b"\x80\x04.",
        b"not a pickle",
        b"",
    ],
    ids=lambda content: repr(content[:24]),
)
def test_hostile_programs_cost_nothing(content, tmp_path):
    (tmp_path / "m.pdparams").write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(BadInputError):
            read_variables(tmp_path / "m.pdparams")
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


def test_text_that_is_not_bytes(tmp_path):
    """Protocol 2 writes data as text; characters beyond 255 have no place in it."""
    whole = pickle.dumps({"w": ARRAYS["matrix"]}, protocol=2)
    place = whole.index(b"latin1") + 3000
    (tmp_path / "m.pdparams").write_bytes(whole[:place] + "\u4e2d".encode() + whole[place + 3 :])
    with pytest.raises(BadInputError):
        read_variables(tmp_path / "m.pdparams")["w"].load()


def test_the_same_data_under_many_names(tmp_path):
    value = {f"w{index}": ARRAYS["matrix"] for index in range(2000)}
    with pytest.raises(BadInputError, match="many times more than"):
        read_variables(dump(tmp_path / "m.pdparams", value))
