# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Builds the emoji pairs: 64x64 pictures in three drawn styles with names and keywords, and a byte-level BPE.

    python examples/data/build_emoji.py --output examples/data/emoji [--packages DIR]

Four npm packages are the source; their archives are fetched with `npm pack`, or read from DIR, and checked against
the SHA-256 sums below. Needs the extra `data` (resvg-py). Writes `emoji.parquet` and `tokenizer/`, and prints what it
wrote. With the library versions named in `examples/data/emoji/README.md` the Parquet file and the vocabulary come out
byte for byte the same.
"""

import argparse
import hashlib
import io
import json
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

from builder import on_white, write_table
from datasets import Features, Image, List, Value
from packages import archives, npm_package, read_member, require
from PIL import Image as PILImage
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from hf_unimo.errors import BadInputError


PACKAGES = {
    "data": npm_package("emojibase-data@17.0.0", "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a"),
    "twemoji": npm_package(
        "@iconify-json/twemoji@1.2.5", "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7"
    ),
    "fluent": npm_package(
        "@iconify-json/fluent-emoji-flat@1.2.6", "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175"
    ),
    "noto": npm_package(
        "@iconify-json/noto@1.2.9", "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad"
    ),
}
STYLES = ("twemoji", "fluent", "noto")
UNSEEN_STYLE = "noto"
HELD_OUT_SHARE = 0.12
IMAGE_SIZE = 64
MAX_COLORS = 256
VOCAB_SIZE = 3000
SPECIAL_TOKENS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]

COMPONENT, FLAG = 2, 9
CLOCKS = range(0x1F550, 0x1F568)
JOINERS_AND_GENDER = {"fe0f", "200d", "2640", "2642"}
FACING_RIGHT = "27a1"
ADULT, CHILD = "1f9d1", "1f9d2"
SAME_PERSON = dict.fromkeys(("1f468", "1f469"), ADULT)  # man, woman
SAME_PERSON |= dict.fromkeys(("1f466", "1f467"), CHILD)  # boy, girl
SAME_PERSON |= dict.fromkeys(("1f474", "1f475"), "1f9d3")  # old man, old woman: older person
SAME_FAMILY = dict.fromkeys(("1f934", "1f478"), "1fac5")  # prince, princess: person with crown
SAME_FAMILY |= dict.fromkeys(("1f930", "1fac3"), "1fac4")  # pregnant woman, pregnant man: pregnant person
SAME_FAMILY |= dict.fromkeys(("1f385", "1f936"), f"{ADULT}-1f384")  # Santa Claus, Mrs. Claus: Mx Claus
SAME_FAMILY |= dict.fromkeys(("1f46b", "1f46c", "1f46d"), f"{ADULT}-1f91d-{ADULT}")  # people holding hands
SAME_FAMILY |= {"1f57a": "1f483"}  # man dancing, woman dancing
SAME_FAMILY |= {"1f48f": f"{ADULT}-2764-1f48b-{ADULT}", "1f491": f"{ADULT}-2764-{ADULT}"}  # kiss, couple with heart
SAME_FAMILY |= {"1f46a": f"{ADULT}-{CHILD}"}  # family
FEATURES = Features(
    {"image": Image(), "label": Value("string"), "tags": List(Value("string"))}
    | {name: Value("string") for name in ("group", "subgroup", "concept", "style", "split")}
)


def code_points(hexcode):
    """The lower-case code points of an emoji, without the presentation selector that packages disagree about."""
    return [part for part in hexcode.lower().split("-") if part != "fe0f"]


def family_key(hexcode):
    """One key for all gender, age and direction variants of a concept, so that they fall on one side of the split."""
    parts = [SAME_PERSON.get(part, part) for part in code_points(hexcode) if part not in JOINERS_AND_GENDER]
    if len(parts) > 1 and parts[-1] == FACING_RIGHT:
        parts.pop()
    if set(parts) <= {ADULT, CHILD} and len(parts) > 1:
        parts = sorted(set(parts))  # every family of adults and children, whatever their number
    key = "-".join(parts) or hexcode.lower()  # the gender signs themselves
    return SAME_FAMILY.get(key, key)


def is_guessable(concept):
    """False for flags and clock faces: nothing seen before tells which country or hour an unseen one stands for."""
    points = [int(part, 16) for part in code_points(concept["hexcode"])]
    return concept["group"] != FLAG and not (len(points) == 1 and points[0] in CLOCKS)


def is_held_out(hexcode, share=HELD_OUT_SHARE):
    """True for `share` of the families, chosen by the SHA-256 of the family key alone."""
    digest = hashlib.sha256(family_key(hexcode).encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def split_of(concept, style):
    """The split of one picture: train, test, unseen_style or test_unseen_style."""
    unseen_concept = is_guessable(concept) and is_held_out(concept["hexcode"])
    if style == UNSEEN_STYLE:
        return "test_unseen_style" if unseen_concept else "unseen_style"
    return "test" if unseen_concept else "train"


def read_json(archive, member):
    """One JSON file of a packed npm package."""
    return json.loads(read_member(archive, f"package/{member}"))


def read_concepts(archive):
    """The concepts in CLDR order, without skin tones and other components, with the names of group and subgroup."""
    names = read_json(archive, "meta/groups.json")
    concepts = [item for item in read_json(archive, "en/data.json") if item.get("group", COMPONENT) != COMPONENT]
    for concept in concepts:
        concept["group_name"] = names["groups"][str(concept["group"])]
        concept["subgroup_name"] = names["subgroups"][str(concept["subgroup"])]
    return sorted(concepts, key=lambda concept: concept["order"])


def read_drawings(archive):
    """SVG text by code points (joined with dashes) of one Iconify package."""
    icons, names = read_json(archive, "icons.json"), read_json(archive, "chars.json")
    return {"-".join(code_points(key)): square_svg(icons, icons["icons"][name]) for key, name in names.items()}


def square_svg(package, icon):
    """A complete SVG, padded to a square about its centre: a few icons are wider or higher than their set."""
    width, height = (icon.get(side, package[side]) for side in ("width", "height"))
    side = max(width, height)
    box = f"{(width - side) / 2} {(height - side) / 2} {side} {side}"
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}">{icon["body"]}</svg>'


def render(svg):
    """The drawing on a white ground: RGB, 64x64."""
    import resvg_py

    png = resvg_py.svg_to_bytes(svg_string=svg, width=IMAGE_SIZE, height=IMAGE_SIZE, skip_system_fonts=True)
    return on_white(PILImage.open(io.BytesIO(bytes(png))))


def encode_png(image):
    """Palette PNG bytes; exact where the picture has at most 256 colours."""
    buffer = io.BytesIO()
    palette = image.quantize(MAX_COLORS, method=PILImage.Quantize.MEDIANCUT, dither=PILImage.Dither.NONE)
    palette.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def make_rows(concepts, drawings, style):
    """The rows of one style. Of concepts that share one picture only the one with the shortest label stays."""
    by_pixels = {}
    for concept in concepts:
        svg = drawings.get("-".join(code_points(concept["hexcode"])))
        if svg is None:
            continue
        image = render(svg)
        other = by_pixels.setdefault(image.tobytes(), (concept, image))[0]
        if len(concept["label"]) < len(other["label"]):
            by_pixels[image.tobytes()] = (concept, image)
    return [make_row(concept, image, style) for concept, image in by_pixels.values()]


def make_row(concept, image, style):
    """One row of the Parquet file."""
    return {
        "image": {"bytes": encode_png(image), "path": f"{style}-{concept['hexcode'].lower()}.png"},
        "label": concept["label"],
        "tags": concept.get("tags", []),
        "group": concept["group_name"],
        "subgroup": concept["subgroup_name"],
        "concept": concept["hexcode"],
        "style": style,
        "split": split_of(concept, style),
    }


def training_text(rows):
    """For each concept of the training split its label and its full caption, in the forms that a model will read."""
    captions = {row["label"]: ", ".join([row["label"], *row["tags"]]) for row in rows if row["split"] == "train"}
    return [text for label, caption in captions.items() for text in (label, caption)]


def train_bpe(texts, vocab_size=VOCAB_SIZE):
    """A byte-level BPE: `(vocab, merges)`, the special tokens first."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(merge) for merge in model["merges"]]


def write_tokenizer(vocab, merges, directory):
    """Saves through the tokenizer class of the package, beside `directory`, and moves the files into place."""
    from hf_unimo.models.unimo2.tokenization_unimo2 import Unimo2Tokenizer

    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent) as partial:
        Unimo2Tokenizer(vocab=vocab, merges=merges).save_pretrained(partial)
        for file in sorted(Path(partial).iterdir()):
            os.replace(file, directory / file.name)


def build(paths, output):
    """Builds everything below `output` from the archives, by the keys of `PACKAGES`; returns the rows."""
    concepts = read_concepts(paths["data"])
    rows = []
    for style in STYLES:
        rows += make_rows(concepts, read_drawings(paths[style]), style)
    paired = {row["concept"] for row in rows if row["style"] != UNSEEN_STYLE}
    rows = [row for row in rows if row["concept"] in paired]
    write_table(rows, FEATURES, output / "emoji.parquet")
    write_tokenizer(*train_bpe(training_text(rows)), output / "tokenizer")
    return rows


def report(rows, output):
    """Prints rows per split and style, and size and SHA-256 of each file."""
    for (split, style), count in sorted(Counter((row["split"], row["style"]) for row in rows).items()):
        print(f"{split:18} {style:8} {count:6,} rows")
    for path in [output / "emoji.parquet", *sorted((output / "tokenizer").iterdir())]:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        print(f"{path.relative_to(output)!s:36} {path.stat().st_size:10,} bytes  {digest}")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder for emoji.parquet and tokenizer/")
    parser.add_argument("--packages", type=Path, help="folder with the four packed npm archives (default: fetch them)")
    options = parser.parse_args(arguments)
    try:
        require("resvg_py", "data")
        with archives(PACKAGES, options.packages) as paths:
            rows = build(paths, options.output)
    except BadInputError as error:
        print(f"build_emoji: {error}", file=sys.stderr)
        return 2
    report(rows, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
