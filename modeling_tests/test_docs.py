# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""What the pages show can be typed: code blocks run, commands and linked files exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from hf_unimo import Unimo2ImageProcessorPil, Unimo2Processor, Unimo2Tokenizer, cli
from hf_unimo.config_tree import parse_yaml
from hf_unimo.training.run_config import RunConfig, load_run_config
from modeling_tests.models.unimo2 import small


ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_readmes_python_runs(tmp_path):
    """In a folder that holds what `make demo` leaves, with a small random model in place of the trained one."""
    tokenizer = Unimo2Tokenizer.from_pretrained(ROOT / "examples" / "data" / "emoji" / "tokenizer")
    model = small.model("Unimo2Model", text_config=small.ENCODER | {"vocab_size": len(tokenizer)})
    folder = tmp_path / "runs" / "demo" / "model"
    model.save_pretrained(folder)
    Unimo2Processor(Unimo2ImageProcessorPil(size=16), tokenizer).save_pretrained(folder)
    Image.new("RGB", (40, 30), "red").save(tmp_path / "picture.png")
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(r"tensor\(\[\[.*,.*,.*\]\]", done.stdout)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_commands_exist(page):
    text = page.read_text()
    for target in re.findall(r"\]\(((?!http)[^)#]+)\)", text):
        assert (page.parent / target).exists(), target
    for command in re.findall(r"^hf-unimo ([\w-]+)", text, flags=re.MULTILINE):
        assert command in cli.COMMANDS
    for script in re.findall(r"^python (\S+\.py)", text, flags=re.MULTILINE):
        assert (ROOT / script).is_file(), script
    for target in re.findall(r"^make ([\w-]+)", text, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE), target


def test_the_configuration_of_a_run_and_the_ablations_are_accepted():
    text = (ROOT / "docs" / "pretrain.md").read_text()
    (tree,) = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    assert set(RunConfig.from_dict(parse_yaml(tree, "docs/pretrain.md")).data.sources) == {
        "pairs",
        "pictures",
        "sentences",
    }
    overrides = re.findall(r"^\| [^|]+ \| `([\w.]+=[^`]*)` \|$", text, flags=re.MULTILINE)
    assert len(overrides) == 5
    for line in overrides:
        load_run_config(ROOT / "examples" / "configs" / "emoji.yaml", line.split())
