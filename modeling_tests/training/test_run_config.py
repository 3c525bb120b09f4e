# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The YAML file of a run: what it becomes, and one sentence for every mistake in it."""

import copy
import re
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

import pytest
import yaml

from hf_unimo import Unimo2ForPreTraining
from hf_unimo.config_tree import Accepts, read_section
from hf_unimo.errors import BadInputError
from hf_unimo.training import run_config
from hf_unimo.training.objective_schedule import OBJECTIVES_OF_KIND
from hf_unimo.training.run_config import (
    MAY_CHANGE,
    SET_ELSEWHERE,
    RunConfig,
    TrainingArguments,
    differences,
    load_run_config,
    to_step,
)


FULL = """
output: runs/emoji
seed: 3
model:
  family: unimo2
  preset: tiny
  vision_checkpoint: vit
  text_checkpoint: FacebookAI/roberta-base
  processor: ./processor
  config: {dictionary_size: 512, text_config: {vocab_size: 3000, layer_norm_eps: 1e-6}}
data:
  batch_size: 32
  sampler: alternating
  image_size: 64
  max_text_length: 32
  masking: {text: {ratio: 0.2, longest_span: 3}}
  augmentation: {pairs: none, images: {scale: [0.5, 1], flip: 0.5}}
  max_bad_rows: 5
  max_image_pixels: 1000000
  num_workers: 2
  sources:
    words: {kind: text, path: ../data/words.jsonl, weight: 0.5, streaming: true, shuffle_buffer: 50}
    emoji:
      kind: pairs
      path: emoji.parquet
      columns: {image: image, text: [label, tags]}
      captions: shuffle
      where: {style: [twemoji, no, 2024-01-01]}
      group_by: concept
      batch_size: 16
    noto: {kind: images, path: noto/*.parquet, format: parquet}
    coco: {kind: pairs, path: owner/coco, format: hub, split: train2017}
  evaluation:
    emoji: {kind: pairs, path: emoji.parquet, split: train, where: {split: [test]}, batch_size: 8}
objectives:
  contrastive: {weight: 1}
  matching: {weight: 1, start: 0.75, warmup: 20, hardness: [[0, 0.0], [0.9, 0.3]], negatives: global}
  mlm: {weight: 0.2, start: 750, warmup: 0.02, own_pass: true}
  visual_contrastive: {weight: 5e-1}
  fusion_share: 0.25
dictionary: {row_constraint: true, temperature_lr: 0, restart_dead_every: 20, health_every: 100}
training:
  steps: 1000
  lr_multipliers: {vision_model: 0.5}
  layerwise_lr_decay: 0.9
  freeze: {vision_model: 0.5, text_model: 100, dictionary: true}
  early_stopping_patience: 3
  learning_rate: 1e-3
  lr_scheduler_type: cosine
  lr_scheduler_kwargs: {num_cycles: 0.5}
  warmup_steps: 50
  eval_strategy: steps
  save_total_limit: null
  report_to: none
"""

SHORT = """
output: run
model: {preset: tiny}
data: {sources: {emoji: {kind: pairs, path: emoji.parquet}}}
training: {steps: 10}
"""


@pytest.fixture
def load(tmp_path):
    """Reads a text as a file; with `overrides`."""

    def load(text=SHORT, *overrides):
        path = tmp_path / "config.yaml"
        path.write_text(text, encoding="utf-8")
        return load_run_config(path, overrides)

    return load


def refused(call, *args):
    """The sentence that `call` refuses its arguments with."""
    with pytest.raises(BadInputError) as caught:
        call(*args)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message
    return message


# ----------------------------------------------------------------------------------------------------- what it becomes


def test_full_file(load, tmp_path, monkeypatch):
    (tmp_path / "vit").mkdir()
    monkeypatch.chdir("/")
    config = load(FULL)
    assert config.output == "/runs/emoji" and config.seed == 3 and config.fusion_share == 0.25
    assert config.model.config == {
        "dictionary_size": 512,
        "text_config": {"vocab_size": 3000, "layer_norm_eps": 1e-6},
    }
    assert list(config.data.sources) == ["words", "emoji", "noto", "coco"]
    emoji = config.data.sources["emoji"]
    assert (emoji.name, emoji.kind, emoji.weight, emoji.batch_size) == ("emoji", "pairs", 1.0, 16)
    assert emoji.where == {"style": ["twemoji", "no", "2024-01-01"]}  # YAML 1.1 would say False and a date
    assert config.data.evaluation["emoji"].batch_size == 8
    assert config.data.masking == {"pairs": {"ratio": 0.15}, "text": {"ratio": 0.2, "longest_span": 3}}
    assert config.data.augmentation["pairs"] == "none"
    matching, mlm = config.objectives["matching"], config.objectives["mlm"]
    assert matching.hardness == [(0, 0.0), (0.9, 0.3)] and matching.negatives == "global"
    assert (mlm.start, mlm.warmup, mlm.own_pass) == (750, 0.02, True)
    assert config.objectives["visual_contrastive"].weight == 0.5
    assert config.training.freeze == {"vision_model": 0.5, "text_model": 100, "dictionary": 1.0}
    assert [to_step(until, 1000) for until in config.training.freeze.values()] == [500, 100, 1000]
    assert config.training.arguments == {
        "learning_rate": 1e-3,
        "lr_scheduler_type": "cosine",
        "lr_scheduler_kwargs": {"num_cycles": 0.5},
        "warmup_steps": 50,
        "eval_strategy": "steps",
        "save_total_limit": None,
        "report_to": "none",
    }


def test_arguments_are_those_of_transformers(load, tmp_path):
    arguments = load(FULL).training.arguments
    made = TrainingArguments(output_dir=str(tmp_path), **arguments)
    assert made.lr_scheduler_type == "cosine" and made.learning_rate == 1e-3


def test_defaults(load):
    config = load()
    assert list(config.objectives) == list(Unimo2ForPreTraining.objectives)
    assert {options.weight for options in config.objectives.values()} == {None}
    assert config.data.augmentation == {"pairs": "caption_safe", "images": "contrastive"}
    assert config.data.masking == {"pairs": {"ratio": 0.15}, "text": {"ratio": 0.15}}
    assert config.data.batch_size == 128 and config.seed == 0 and config.fusion_share is None
    empty = load(SHORT + "objectives:\ndictionary:\n")
    assert empty == config


def test_example_in_the_docstring(load):
    example = re.search(r"```yaml\n(.*?)```", run_config.__doc__, re.DOTALL)[1]
    assert list(load(example).data.sources) == ["emoji", "noto", "words"]


@pytest.mark.parametrize("text", [FULL, SHORT])
def test_round_trips(load, tmp_path, monkeypatch, text):
    config = load(text)
    tree = config.to_dict()
    before = copy.deepcopy(tree)
    monkeypatch.chdir("/")  # paths are absolute by then
    assert RunConfig.from_dict(tree, "/elsewhere") == config
    assert tree == before
    assert yaml.safe_load(yaml.safe_dump(tree)) == tree  # plain
    written = tmp_path / "elsewhere" / "run.yaml"
    written.parent.mkdir()
    written.write_text(config.to_yaml(), encoding="utf-8")
    again = load_run_config(written)
    assert again == config and list(again.data.sources) == list(config.data.sources)
    assert differences(config, again) == []


def test_text_that_looks_like_something_else_round_trips(load):
    config = load(SHORT, "data.sources.emoji.where={a: ['1e-3', 'true', '10', 'null', 'no', '2024-01-01', 'ü']}")
    assert load(config.to_yaml()).data.sources["emoji"].where == config.data.sources["emoji"].where


def test_paths(tmp_path, monkeypatch):
    folder, cwd = tmp_path / "configs", tmp_path / "cwd"
    for made in (folder, cwd, folder / "local" / "model", tmp_path / "data"):
        made.mkdir(parents=True)
    (folder / "link").symlink_to(folder)
    monkeypatch.chdir(cwd)
    monkeypatch.setenv("HOME", "/home/someone")

    def located(place, given=folder):
        tree = yaml.safe_load(SHORT)
        tree["data"]["sources"]["emoji"]["path"] = tree["model"]["processor"] = place
        config = RunConfig.from_dict(tree, given)
        assert config.model.processor == config.data.sources["emoji"].path
        assert config.output == str(cwd / "run")
        return config.model.processor

    assert located("local/model") == str(folder / "local" / "model")
    assert located("owner/model") == "owner/model" and located("emoji") == "emoji"
    assert located("owner/model-v1.5") == "owner/model-v1.5"
    assert located("../data") == located("../data", folder / "link") == str(tmp_path / "data")
    assert located("../missing") == str(tmp_path / "missing")
    assert located("missing.parquet") == str(folder / "missing.parquet")
    assert located("missing/a*") == str(folder / "missing" / "a*")
    assert located("a/b/c") == str(folder / "a" / "b" / "c")
    assert located("/data/x.json.gz") == "/data/x.json.gz"
    assert located("~/x") == "/home/someone/x"
    assert located("../data", "../configs") == str(tmp_path / "data")


def test_format_hub_keeps_the_path(load, tmp_path):
    (tmp_path / "coco").mkdir()
    config = load(SHORT, "data.sources.emoji={kind: pairs, path: coco, format: hub}")
    assert config.data.sources["emoji"].path == "coco"


def test_to_step():
    assert [to_step(moment, 1000) for moment in (0, 1, 750, 0.75, 0.0, 1.0)] == [0, 1, 750, 750, 0, 1000]
    assert to_step(0.1, 30) == 3 and to_step(5000, 10) == 5000


# ----------------------------------------------------------------------------------------------------------- overrides


def test_overrides(load):
    config = load(
        SHORT,
        " training.steps = 20",
        "training.learning_rate=1e-3",
        "data.sources.emoji.weight=2",
        "data.sources.words={kind: text, path: words.csv}",
        "objectives.mlm.start=0.5",
        "training.freeze.vision_model=true",
        "data.image_size=null",
        "output=a=b",
        "training.steps=30",
        "data.sources.emoji.columns={text: [label, tags]}",
    )
    assert config.training.steps == 30 and config.training.arguments == {"learning_rate": 1e-3}
    assert list(config.data.sources) == ["emoji", "words"] and config.data.sources["emoji"].weight == 2
    assert config.data.sources["emoji"].columns == {"text": ["label", "tags"]}
    assert config.objectives["mlm"].start == 0.5 and config.training.freeze == {"vision_model": 1.0}
    assert config.output.endswith("a=b") and config.data.image_size is None


def test_override_below_an_alias_changes_one_place(load):
    text = SHORT.replace(
        "path: emoji.parquet}", "path: e, columns: &c {text: a}}, more: {kind: text, path: t, columns: *c}"
    )
    sources = load(text, "data.sources.more.columns.text=b").data.sources
    assert sources["emoji"].columns == {"text": "a"} and sources["more"].columns == {"text": "b"}


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("training.steps", "accepted is key.path=value"),
        ("training.steps=", "accepted is key.path=value"),
        ("=3", "accepted is key.path=value"),
        ("training..steps=3", "accepted is key.path=value"),
        ("training.steps.x=3", "training.steps is 10, no mapping"),
        ("training.steps=[1", r"'training.steps=\[1' cannot be read as YAML: .*line 1"),
        ("training.steps={a: 1, a: 2}", "the key a stands twice"),
        ("training.stepz=3", r"training.stepz is no known key; the nearest known is training.steps"),
        ("trainig.steps=3", r"trainig is no known key; the nearest known is training \(known: output, seed, model"),
        ("data.sources.emoji.wieght=0", "data.sources.emoji.wieght is no known key.*emoji.weight"),
        ("data.sources.emojo.weight=0", "data.sources.emojo.kind is missing"),
    ],
)
def test_bad_overrides(load, override, expected):
    assert re.search(expected, refused(load, SHORT, override))


# ------------------------------------------------------------------------------------------------------------ the file


LAUGHS = (
    "a: [&a [x, x, x, x, x]"
    + "".join(f", &{b} [*{a}, *{a}, *{a}, *{a}, *{a}]" for a, b in zip("abcdefg", "bcdefgh"))
    + "]"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "output is missing"),
        ("- a\n- b\n", r"config.yaml is \[\"a\", \"b\"\]; accepted is a mapping"),
        ("just text", 'is "just text"; accepted is a mapping'),
        ("a: [1\n", r"cannot be read as YAML: .* \(line 2\)"),
        ("a: 1\nb: 2\na: 3\n", r"the key a stands twice \(line 3\)"),
        ("a:\n  b: {c: 1, c: 1}\n", r"the key c stands twice \(line 2\)"),
        ("a: b: c\n", r"mapping values are not allowed here \(line 1\)"),
        ("a: !!python/object:os.system x\n", r"could not determine a constructor .* \(line 1\)"),
        ("a: 1\n---\na: 2\n", "cannot be read as YAML"),
        ("a: *b\n", "found undefined alias"),
        ("a: !!bool maybe\n", "cannot be read as YAML: 'maybe'"),
        ("a: !!int x\n", "cannot be read as YAML"),
        ("a: !!timestamp x\n", r"could not determine a constructor .* \(line 1\)"),
        ("a: !!binary eA==\n", r"could not determine a constructor .* \(line 1\)"),
        ("? [a]\n: b\n", r"unhashable key \(line 1\)"),
        ("a: \x01\n", "cannot be read as YAML"),
        (f"a: {'9' * 5000}\n", "cannot be read as YAML"),
        ("a: " + "[" * 1000, "cannot be read as YAML"),
        ("1: 2\n", "has the key 1; accepted are names"),
        ("a: &a {b: *a}\n", "holds more than"),
        (LAUGHS, "holds more than 100,000 values"),
        ("a: " + "x" * (1 << 18), "more than 262,144 bytes"),
        (SHORT.replace("{steps: 10}", "{<<: {steps: 10}}"), "training.<< is no known key"),
    ],
)  # fmt: skip
def test_bad_files(load, text, expected):
    assert re.search(expected, refused(load, text), re.DOTALL)


def test_unreadable_files(tmp_path):
    assert "nowhere.yaml cannot be read as text" in refused(load_run_config, tmp_path / "nowhere.yaml")
    assert "cannot be read as text" in refused(load_run_config, tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00a")
    assert "cannot be read as text" in refused(load_run_config, tmp_path / "binary.yaml")


def test_byte_order_mark(tmp_path):
    (tmp_path / "config.yaml").write_text("\ufeff" + SHORT.strip(), encoding="utf-8")
    assert load_run_config(str(tmp_path / "config.yaml")).training.steps == 10


# --------------------------------------------------------------------------------------------------------- every value

MORE = "data.sources.more={kind: %s, path: more.csv}"

BAD = [
    # unknown keys: where it stands, and the nearest
    (["objectivs={}"], "objectivs is no known key; the nearest known is objectives "),
    (["model.presets=tiny"], "model.presets is no known key; the nearest known is model.preset "),
    (["data.batchsize=3"], "data.batchsize is no known key; the nearest known is data.batch_size "),
    (["data.sources.emoji.streeming=true"], "data.sources.emoji.streeming .* data.sources.emoji.streaming"),
    (["data.sources.emoji.name=x"], "data.sources.emoji.name is no known key"),
    (["data.evaluation.emoji={kind: pairs, path: e, weight: 1}"], "data.evaluation.emoji.weight is no known key"),
    (["data.evaluation.emoji={kind: pairs, path: e, streaming: true}"], "data.evaluation.emoji.streaming is no"),
    (["data.masking.images={}"], "data.masking.images is no known key; .*known: pairs, text"),
    (["data.masking.text.ration=0.2"], "data.masking.text.ration is no known key; .* data.masking.text.ratio "),
    (["data.masking.text.min_masked=2"], "data.masking.text.min_masked is no known key"),
    (["data.masking.text.mask_token_id=2"], "data.masking.text.mask_token_id is no known key"),
    (["data.augmentation.text=none"], "data.augmentation.text is no known key"),
    (["data.augmentation.pairs={flipp: 1}"], "data.augmentation.pairs.flipp .* data.augmentation.pairs.flip "),
    (["data.augmentation.pairs={size: [8, 8]}"], "data.augmentation.pairs.size is no known key"),
    (["objectives.itm={weight: 1}"], "objectives.itm is no known key; .*matching"),
    (["objectives.contrastive.wieght=1"], "objectives.contrastive.wieght .* objectives.contrastive.weight "),
    (["objectives.contrastive.own_pass=true"], "contrastive.own_pass is no known key; objectives.mlm.own_pass is"),
    (["objectives.mlm.hardness=0.1"], "objectives.mlm.hardness is no known key; objectives.matching.hardness is"),
    (
        ["objectives.grounding.negatives=local"],
        "grounding.negatives is no known key; objectives.matching.negatives is",
    ),
    (["dictionary.row_constrain=true"], "dictionary.row_constrain .* dictionary.row_constraint "),
    (["training.learing_rate=1"], "training.learing_rate is no known key; .* training.learning_rate"),
    (["training.layerwise_decay=1"], "training.layerwise_decay .* training.layerwise_lr_decay"),
    (["model.config.dictionary_sise=1"], "model.config.dictionary_sise .* model.config.dictionary_size"),
    (
        ["model.config.text_config={vocabsize: 1}"],
        r"model.config.text_config.vocabsize is .* is model.config.text_config.vocab_size\.",
    ),
    (["data.sources={a.b: {kind: text, path: x}}"], "data.sources has the name 'a.b'; accepted are letters"),
    (["data.sources={1: {kind: text, path: x}}"], "data.sources has the key 1; accepted are names"),
    # missing ones
    (["output=null"], "output is missing"),
    (["model=null"], "model is missing"),
    (["training=null"], "training is missing"),
    (["training={}"], "training.steps is missing"),
    (["data=null"], "data is missing"),
    (["data={}"], "data.sources is empty; name at least one source"),
    (["data.sources={}"], "data.sources is empty"),
    (["data.sources.more={kind: text}"], "data.sources.more.path is missing"),
    (["data.sources.more="], "accepted is key.path=value"),
    # types and ranges
    (["output=''"], 'output is ""; accepted is a path'),
    (["model.processor=''"], 'model.processor is ""; accepted is a path or Hub id that is not empty'),
    (["data.sources.emoji.path=''"], "data.sources.emoji: .*not empty"),
    (["data.sources.emoji.weight=-1"], "data.sources.emoji: .*weight -1; accepted are numbers from 0 on"),
    (["data.sources.emoji.captions=al"], "data.sources.emoji: .*al.*any, join, shuffle"),
    (["data.sources.emoji.columns={text: [1]}"], "data.sources.emoji: "),
    (["output=3"], "output is 3; accepted is a path"),
    (["seed=-1"], "seed is -1; accepted is an integer from 0 on"),
    (["seed=1.0"], "seed is 1.0; accepted is an integer"),
    (["seed=null"], "seed is null; accepted is an integer"),
    (["model=tiny"], 'model is "tiny"; accepted is a mapping'),
    (["model.preset=7"], "model.preset is 7; accepted is text"),
    (["model.preset=small"], "model.preset is 'small'; the nearest known is .*known: base, large, tiny"),
    (["model.family=unimo3"], "model.family is 'unimo3'; the nearest known is unimo2"),
    (["model.config=[1]"], r"model.config is \[1\]; accepted is a mapping"),
    (["model.config.text_config=7"], "model.config.text_config is 7; accepted is a mapping"),
    (["data=[]"], r"data is \[\]; accepted is a mapping"),
    (["data.batch_size=0"], "data.batch_size is 0; accepted is an integer from 1 on"),
    (["data.batch_size=ten"], 'data.batch_size is "ten"; accepted is an integer from 1 on'),
    (["data.batch_size=true"], "data.batch_size is true; accepted is an integer from 1 on"),
    (["data.image_size=0"], "data.image_size is 0; accepted is an integer from 1 on"),
    (["data.sampler=weihgted"], 'data.sampler is "weihgted"; accepted is one of task_by_task, .*weighted'),
    (["data.max_bad_rows=-1"], "data.max_bad_rows is -1; accepted is an integer from 0 on"),
    (["data.masking.text.ratio=2"], "data.masking.text: .*ratio.* is 2; accepted are 0 to 1"),
    (["data.masking.text.ratio=much"], 'data.masking.text.ratio is "much"; accepted is a number'),
    (["data.masking.text=0.2"], "data.masking.text is 0.2; accepted is a mapping"),
    (
        ["data.augmentation.images=contrast"],
        "data.augmentation.images is 'contrast'; the nearest known is contrastive",
    ),
    (["data.augmentation.images=null"], "data.augmentation.images is null; accepted is text or a mapping"),
    (["data.augmentation.images={flip: 2}"], "data.augmentation.images: .*flip.* is 2; accepted are 0 to 1"),
    (["data.augmentation.images={scale: [1]}"], r"data.augmentation.images.scale is \[1\]; accepted is a list of a n"),
    (["data.sources=emoji"], 'data.sources is "emoji"; accepted is a mapping'),
    (["data.sources.emoji=emoji.parquet"], 'data.sources.emoji is "emoji.parquet"; accepted is a mapping'),
    (["data.sources.emoji.kind=pair"], "data.sources.emoji.*pair"),
    (["data.sources.emoji.weight=heavy"], 'data.sources.emoji.weight is "heavy"; accepted is a number'),
    (["data.sources.emoji.streaming=yes"], 'data.sources.emoji.streaming is "yes"; accepted is true or false'),
    (["objectives.mlm=0.5"], "objectives.mlm is 0.5; accepted is a mapping"),
    (["objectives.mlm.weight=-1"], "objectives.mlm.weight is -1; accepted is a number from 0 on"),
    (["objectives.mlm.weight=.inf"], "objectives.mlm.weight is Infinity; accepted is a number from 0 on"),
    (["objectives.mlm.weight=.nan"], "objectives.mlm.weight is NaN; accepted is a number from 0 on"),
    (["objectives.mlm.start=1.5"], "objectives.mlm.start is 1.5; accepted is a step .* or a share of the run"),
    (["objectives.mlm.start=1.0"], "objectives.mlm.start is 1.0; accepted is a step"),
    (["objectives.mlm.start=-5"], "objectives.mlm.start is -5; accepted is a step"),
    (["objectives.mlm.start=true"], "objectives.mlm.start is true; accepted is a step"),
    (["objectives.mlm.warmup=late"], 'objectives.mlm.warmup is "late"; accepted is a step'),
    (["objectives.matching.hardness=2"], "objectives.matching.hardness is 2; accepted is a number from 0 to 1 or"),
    (["objectives.matching.hardness=[]"], r"objectives.matching.hardness is \[\]; accepted is a number"),
    (["objectives.matching.hardness=[[0, 2]]"], r"objectives.matching.hardness is \[\[0, 2\]\]; accepted is a number"),
    (["objectives.matching.hardness=[[0, 0.1], [0.5]]"], "objectives.matching.hardness is .*; accepted is a number"),
    (["objectives.matching.hardness=[[0.5, 0], [2, 1]]"], "objectives.matching.hardness start at the steps 5, 2"),
    (["objectives.matching.negatives=all"], 'matching.negatives is "all"; accepted is one of local, global'),
    (["objectives.fusion_share=0"], "objectives.fusion_share is 0; accepted is a number above 0, up to 1"),
    (["objectives.fusion_share=1.5"], "objectives.fusion_share is 1.5; accepted is a number above 0, up to 1"),
    (["dictionary=true"], "dictionary is true; accepted is a mapping"),
    (["dictionary.row_constraint=1"], "dictionary.row_constraint is 1; accepted is true or false"),
    (["dictionary.temperature_lr=-1"], "dictionary.temperature_lr is -1; accepted is a number from 0 on"),
    (["dictionary.health_every=0.1"], "dictionary.health_every is 0.1; accepted is an integer from 0 on"),
    (["training.steps=0"], "training.steps is 0; accepted is an integer from 1 on"),
    (["training.steps=1e3"], "training.steps is 1000.0; accepted is an integer from 1 on"),
    (["training.lr_multipliers=2"], "training.lr_multipliers is 2; accepted is a mapping"),
    (["training.lr_multipliers.vision_model=-2"], "training.lr_multipliers.vision_model is -2; accepted is a number"),
    (["training.layerwise_lr_decay=1.1"], "training.layerwise_lr_decay is 1.1; accepted is a number above 0"),
    (["training.gradient_cache_size=0"], "training.gradient_cache_size is 0; accepted is an integer from 1 on"),
    (["training.freeze.vision_model=1.5"], "training.freeze.vision_model is 1.5; .*or true for the whole run"),
    (["training.freeze.vision_model=false"], "training.freeze.vision_model is false; .*or true for the whole run"),
    (["training.learning_rate=fast"], 'training.learning_rate is "fast"; accepted is a number'),
    (["training.lr_scheduler_type=cosin"], 'training.lr_scheduler_type is "cosin"; accepted is one of linear, cosine'),
    (["training.logging_steps=often"], 'training.logging_steps is "often"; accepted is a number'),
    (["training.bf16=yes"], 'training.bf16 is "yes"; accepted is true or false'),
    # what the engine sets
    (["training.resume_from_checkpoint=x"], "resume_from_checkpoint is not set here; use --resume"),
    (["training.max_steps=5"], "training.max_steps is not set here; use training.steps"),
    (["training.output_dir=x"], "training.output_dir is not set here; use output"),
    (["training.seed=5"], "training.seed is not set here; use seed"),
    (["training.per_device_train_batch_size=5"], "is not set here; use data.batch_size"),
    (["training.dataloader_num_workers=5"], "is not set here; use data.num_workers"),
    (
        ["training.ddp_find_unused_parameters=false"],
        "training.ddp_find_unused_parameters is not set here; the engine sets it",
    ),
    # what does not go together
    (["model.checkpoint=x"], "model has both of model.preset .* and model.checkpoint"),
    (["model.preset=null"], r"model has neither of model.preset \(base, large, tiny\) and model.checkpoint"),
    (["model={checkpoint: x, vision_checkpoint: y}"], "model.vision_checkpoint stands beside model.checkpoint"),
    (["model={checkpoint: x, text_checkpoint: y}"], "model.text_checkpoint stands beside model.checkpoint"),
    (["data.sources.emoji.weight=0"], "data.sources has weights that sum to 0"),
    (["objectives.visual_contrastive.weight=0.5"], "visual_contrastive.weight is 0.5, but no source .* takes images"),
    (
        [MORE % "images", "data.augmentation.images=none", "objectives.visual_contrastive.weight=1"],
        "with augmentation",
    ),
    (
        [MORE % "images", "data.sources.more.weight=0", "objectives.visual_contrastive.weight=1"],
        "no source of a weight above 0 feeds it",
    ),
    ([MORE % "text", "data.sources.emoji.weight=0", "objectives.matching.weight=1"], "matching.weight is 1, .* pairs"),
    (["data.masking.pairs.ratio=0", "objectives.mlm.weight=1"], "mlm.weight is 1, but no source .* with masking"),
    (
        ["data.sampler=accumulating", "training.gradient_accumulation_steps=2"],
        "training.gradient_accumulation_steps stands beside data.sampler accumulating",
    ),
    (["training.early_stopping_patience=2"], "training.early_stopping_patience needs an evaluation"),
    (["training.eval_strategy=steps"], "training.eval_strategy needs an evaluation"),
    (["training.load_best_model_at_end=true"], "training.load_best_model_at_end needs an evaluation"),
]


@pytest.mark.parametrize(("overrides", "expected"), BAD, ids=lambda part: part[-1] if isinstance(part, list) else "")
def test_bad_values(load, overrides, expected):
    assert re.search(expected, refused(load, SHORT, *overrides))


@pytest.mark.parametrize(
    "overrides",
    [
        ["training.eval_strategy=no", "training.save_strategy=no"],
        ["training.eval_strategy=steps", "data.evaluation.a={kind: pairs, path: a.csv}"],
        ["training.report_to=[tensorboard, wandb]"],
        ["training.freeze.vision_model=1.0"],
        ["objectives.matching.hardness=0.3"],
        ["objectives.matching.hardness=[[0.70, 0], [0.71, 0.3]]"],
        [MORE % "images", "objectives.visual_contrastive.weight=1"],
        [MORE % "text", "objectives.mlm.weight=1", "data.masking.pairs.ratio=0"],
        ["model={checkpoint: owner/model}"],
        ["data.sampler=accumulating", "training.gradient_accumulation_steps=1"],
        ["objectives.visual_contrastive.weight=0"],
        ["dictionary.temperature_lr=1e-4"],
    ],
    ids=lambda part: part[-1],
)
def test_accepted(load, overrides):
    config = load(SHORT, *overrides)
    assert RunConfig.from_dict(config.to_dict()) == config


def test_names_that_others_have():
    """Tables of this module that repeat names of other places."""
    arguments = {found.name for found in fields(TrainingArguments)}
    assert arguments >= SET_ELSEWHERE.keys()
    own = {found.name for found in fields(run_config.TrainingOptions)}
    assert not own & arguments
    assert {key.removeprefix("training.") for key in MAY_CHANGE if key.startswith("training.")} <= arguments
    assert not {key for key in MAY_CHANGE if key.removeprefix("training.") in SET_ELSEWHERE}
    assert set(Unimo2ForPreTraining.objectives) == {name for kind in OBJECTIVES_OF_KIND.values() for name in kind}


# --------------------------------------------------------------------------------------------------------- differences


def test_differences(load):
    first = load(FULL)
    changed = FULL.replace("steps: 1000", "steps: 2000").replace("flip: 0.5", "flip: 0.4").replace("weight: 0.5, ", "")
    changed = changed.replace("  learning_rate: 1e-3\n", "").replace("save_total_limit: null", "bf16: true")
    assert sorted(differences(first, load(changed))) == [
        "data.augmentation.images.flip: 0.5 -> 0.4",
        "data.sources.words.weight: 0.5 -> 1.0",
        "training.bf16: absent -> true",
        "training.learning_rate: 0.001 -> absent",
        "training.steps: 1000 -> 2000",
    ]


def test_what_may_change_is_no_difference(load):
    overrides = (
        "output=elsewhere",
        "data.num_workers=7",
        "data.max_bad_rows=7",
        "training.logging_steps=7",
        "training.save_steps=7",
        "training.eval_steps=7",
        "training.report_to=wandb",
        "dictionary.health_every=7",
    )
    assert differences(load(FULL), load(FULL, *overrides)) == []


def test_other_sources_are_a_difference(load):
    first, second = load(), load(SHORT, MORE % "text")
    (added,) = differences(first, second)
    assert re.fullmatch(r'data\.sources\.more: absent -> \{"kind": "text", .* \.\.\.', added)
    sources = "data.sources={more: {kind: text, path: more.csv}, emoji: {kind: pairs, path: emoji.parquet}}"
    assert differences(second, load(SHORT, sources)) == ["order of data.sources: emoji, more -> more, emoji"]


# ---------------------------------------------------------------------------------------------------------- the walker


@dataclass(frozen=True)
class Leaf:
    number: Annotated[int, Accepts("an even integer", lambda value: value % 2 == 0)]
    choice: Literal["a", "b"] | None = None


@dataclass(frozen=True)
class Tree:
    leaf: Leaf
    pair: tuple[int, str] = (0, "")
    many: tuple[float, ...] = ()
    either: str | list[str] = ""
    leaves: dict[str, Leaf] | None = None
    free: Any = None


def test_walker():
    tree = {
        "leaf": {"number": 2},
        "pair": [1, "x"],
        "many": [1, 2.5],
        "either": ["a"],
        "leaves": {"one": {"number": 4, "choice": "b"}},
        "free": [{1: 2}],
    }
    read = read_section(Tree, tree, "root")
    assert read == Tree(Leaf(2), (1, "x"), (1, 2.5), ["a"], {"one": Leaf(4, "b")}, [{1: 2}])
    assert read_section(Tree, {"pair": [1, "x"]}, "", leaf=Leaf(0)) == Tree(Leaf(0), (1, "x"))


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({}, "root.leaf is missing"),
        ({"leaf": {"number": 3}}, "root.leaf.number is 3; accepted is an even integer."),
        ({"leaf": {"number": "2"}}, 'root.leaf.number is "2"; accepted is an even integer.'),
        ({"leaf": {"number": 2, "choice": "c"}}, 'root.leaf.choice is "c"; accepted is one of a, b.'),
        ({"leaf": {"number": 2}, "pair": [1]}, "root.pair is [1]; accepted is a list of an integer and text."),
        ({"leaf": {"number": 2}, "pair": ["x", "x"]}, 'root.pair is "x"; accepted is an integer.'),
        ({"leaf": {"number": 2}, "many": [True]}, "root.many is true; accepted is a number."),
        ({"leaf": {"number": 2}, "either": [1]}, "root.either is [1]; accepted is text or a list of text."),
        (
            {"leaf": {"number": 2}, "leaves": {"one": {"nmber": 2}}},
            "root.leaves.one.nmber is no known key; the nearest",
        ),
        ({"leaf": {"number": 2}, "leef": 1}, "root.leef is no known key; the nearest known is root.leaf"),
        ([], "root is []; accepted is a mapping"),
    ],
)
def test_walker_refuses(tree, expected):
    assert refused(read_section, Tree, tree, "root").startswith(expected)
