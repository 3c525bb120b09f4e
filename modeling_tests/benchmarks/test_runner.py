# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Rounds are interleaved, kept one by one, and gone on with."""

import json
from dataclasses import replace

import pytest
import torch

from benchmarks.runner import processor_name, read, run_rounds, setup
from benchmarks.sizes import SMALLEST
from hf_unimo.errors import BadInputError

from .made_up import case


def start(folder, log, rounds, names="abc", tell=lambda line: None, **settings):
    cases = [case(name, log, **settings) for name in names]
    return run_rounds(
        cases, setup(SMALLEST, torch.device("cpu"), cases, "python -m benchmarks"), rounds, folder, "cpu", tell
    )


def test_a_round_has_every_case_once(tmp_path):
    log = []
    result = start(tmp_path, log, rounds=2)
    assert "".join(log) == "abc" + "abc" + "abc"  # the first to warm up
    assert [list(found["samples"]) for found in result["rounds"]] == [list("abc")] * 2
    assert json.loads((tmp_path / "cpu.json").read_text()) == result
    assert [path.name for path in tmp_path.iterdir()] == ["cpu.json"]


def test_the_setup_says_what_computed_and_nothing_of_the_machines_name(tmp_path):
    result = start(tmp_path, [], rounds=1)
    found = result["setup"]
    assert found["processor"] == processor_name() and found["threads"] == torch.get_num_threads()
    assert found["versions"]["torch"] == torch.__version__
    assert result["rounds"][0]["load"] >= 0 and result["ended"]["load"] >= 0
    assert str(tmp_path) not in json.dumps(result)


class Stopped(Exception):
    pass


def stop_at(line):
    def tell(told):
        if told.startswith(line):
            raise Stopped

    return tell


def test_the_limit_is_taken_before_and_after_each_case(tmp_path):
    log, limit = [], {"section": "limit", "dtype": "fp32", "flops_of": "-", "warm_up": False}
    figures = {"seconds": 2.0, "flops": 10.0}
    cases = [
        case("products", log, figures, **limit),
        *(case(name, log, dtype="fp32", flops_of="products") for name in ("one", "two")),
        case("loading", log, dtype="fp32", flops_of="-"),
    ]
    cases = [replace(one, warm_up=False) for one in cases]
    (turn,) = run_rounds(cases, setup(SMALLEST, torch.device("cpu"), cases, ""), 1, tmp_path, "cpu")["rounds"]
    assert log == ["products", "products", "one", "products", "two", "products", "loading"]
    found = {name: sample.get("limit") for name, sample in turn["samples"].items()}
    assert found == {"products": None, "one": 5.0, "two": 5.0, "loading": None}


def test_an_interrupted_run_keeps_whole_rounds_and_is_gone_on_with(tmp_path):
    with pytest.raises(Stopped):
        start(tmp_path, [], rounds=3, tell=stop_at("round 2/3, 2/3"))
    kept = read(tmp_path / "cpu.partial.json")["rounds"]
    assert len(kept) == 1 and not (tmp_path / "cpu.json").exists()
    log, told = [], []
    result = start(tmp_path, log, rounds=3, tell=told.append)
    assert result["rounds"][0] == kept[0] and len(result["rounds"]) == 3
    assert "".join(log) == "abc" * 3  # warming up, and two rounds
    assert told[0] == "going on after 1 rounds that were kept"


def test_rounds_of_another_setup_are_not_mixed_in(tmp_path):
    with pytest.raises(Stopped):
        start(tmp_path, [], rounds=2, tell=stop_at("round 2/2"))
    told = []
    result = start(tmp_path, [], rounds=2, tell=told.append, items=5)
    assert "another setup (cases)" in told[0]
    assert len(result["rounds"]) == 2 and result["setup"]["cases"]["a"]["items"] == 5


def test_an_earlier_result_stays_until_a_new_one_is_whole(tmp_path):
    start(tmp_path, [], rounds=1)
    before = (tmp_path / "cpu.json").read_text()
    with pytest.raises(Stopped):
        start(tmp_path, [], rounds=2, tell=stop_at("round 2/2"))
    assert (tmp_path / "cpu.json").read_text() == before


def test_slow_cases_are_left_out_of_later_rounds_and_may_start_cold(tmp_path):
    log = []
    cases = [case("a", log), case("b", log, most_rounds=1, warm_up=False)]
    run_rounds(cases, setup(SMALLEST, torch.device("cpu"), cases, ""), 3, tmp_path, "cpu")
    assert "".join(log) == "a" + "ab" + "a" + "a"


@pytest.mark.parametrize("content", ("{", "[]", "{}"))
def test_a_file_that_is_no_result_is_refused(tmp_path, content):
    (tmp_path / "cpu.partial.json").write_text(content)
    with pytest.raises(BadInputError, match=r"cpu\.partial\.json"):
        start(tmp_path, [], rounds=1)
