# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The program `hf-unimo`: help everywhere, and the exit codes 0, 1, 2."""

import subprocess
import sys
from importlib import metadata

import pytest

from hf_unimo import cli
from hf_unimo.errors import BadInputError, CheckFailedError


def test_both_names_are_one_program():
    (entry,) = [e for e in metadata.entry_points(group="console_scripts") if e.name == "hf-unimo"]
    assert entry.load() is cli.main
    done = subprocess.run([sys.executable, "-m", "hf_unimo", "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert all(command in done.stdout for command in cli.COMMANDS)


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    assert "usage: hf-unimo " + command in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["unknown"], ["convert"], ["convert", "a", "b", "--no-such-option"]])
def test_usage_errors_exit_with_2(arguments):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2


@pytest.mark.parametrize(
    "error, code",
    [(BadInputError("no such thing."), 2), (CheckFailedError("too few."), 1), (KeyboardInterrupt(), 130)],
)
def test_exit_codes(error, code, monkeypatch, capsys):
    from hf_unimo.cli import export

    def fail(args):
        raise error

    monkeypatch.setattr(export, "run", fail)
    assert cli.main(["export", "somewhere", "--out", "elsewhere"]) == code
    assert capsys.readouterr().err.count("\n") == 1
