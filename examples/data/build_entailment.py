# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Builds visual entailment from the emoji: a picture, "this is a vehicle", and whether that is so.

    python examples/data/build_entailment.py --output DIR [--packages DIR] [--sample N]

Sources: the pictures, names, keywords and groups of `emoji/emoji.parquet` beside this file (licences in
`emoji/LICENSES.md`, to be kept with what this writes), and the nouns of WordNet 3.0 in Debian's `wordnet-base`
1:3.0-37 (WordNet licence: free for any use with its notice; nothing of it is written, it only decides labels).
WordNet is fetched with `apt-get download` (needs an `apt-get update` once, no root, and the Debian release that
carries this version, bookworm), or read from `--packages`; checked by SHA-256. Writes `entailment.parquet` with the
columns image, hypothesis, label, premise (the name of the picture, for people), concept, style, split, and prints what
it wrote.

Entailment is what two sources agree on: the emoji's subgroup, and WordNet, where the noun that the name is about is a
kind of the class in one of its three most frequent senses. Contradiction is what both rule out: another subgroup, and
no word of name and keywords has any sense of that kind. Everything between (is a tomato a fruit, a chicken food?) is
left out. The sentences are templates of ours.

**Two classes, not three.** SNLI-VE's third, neutral, is what a picture leaves open. A drawing of one thing leaves no
class of things open. A keyword that not this picture but its siblings have looks like a candidate, but most such pairs
are plainly false ("trolleybus"/"truck", "slightly smiling face"/"crying") and some are true ("carrot"/"veggie"). What
is truly open is something the picture does not show ("this is a fruit from Spain"), but then the words alone tell that
it is neutral, for every picture. Both would teach something wrong. The order of the two names is that of SNLI-VE.

**No shortcut by one side.** Each true sentence is dealt out once more, to another picture of the same split that it
contradicts, one to each picture for each true one. So each sentence and each picture has as many true as false rows in
each split, and whoever looks at one of them alone is right exactly half of the time; the nearest picture of the
training with the same sentence has the right label 70 times of 100 (`baselines.py entailment`).

Splits go by concept: the test split is that of the emoji (concepts never seen in train, in the two styles of the
training), validation a tenth of the other families of concepts, by hash. Of a family (man, woman, person walking) one
concept a style is used.

| split | rows | pictures | sentences |
| --- | ---: | ---: | ---: |
| train | 2,256 | 952 | 60 |
| validation | 252 | 108 | 42 |
| test | 328 | 145 | 44 |
"""

import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path

import pyarrow.parquet as pq
from build_emoji import UNSEEN_STYLE, family_key
from builder import SPLITS, Row, hash_key, is_within_share, run_builder, spread_sample
from datasets import ClassLabel, Features, Image, Value
from packages import Package, read_members
from wordnet import Nouns

from hf_unimo.errors import BadInputError


PACKAGES = {
    "wordnet": Package(
        "wordnet-base=1:3.0-37",
        "wordnet-base_1%3a3.0-37_all.deb",
        "61060d960f9ada8fa120872312eccd3ecebfbab8c4579e4f5a74e1cf67620752",
    )
}
EMOJI = Path(__file__).resolve().parent / "emoji" / "emoji.parquet"
WORDNET_FILES = ("index.noun", "data.noun", "noun.exc")
VALIDATION_SHARE = 0.1
SENSES = 3
TEMPLATES = ("this is {}", "this is a picture of {}", "what you see here is {}")
LABELS = ["entailment", "contradiction"]
FEATURES = Features(
    {"image": Image(), "hypothesis": Value("string"), "label": ClassLabel(names=LABELS)}
    | dict.fromkeys(("premise", "concept", "style", "split"), Value("string"))
)
PEOPLE = {"man", "woman", "person", "men", "women", "people", "child", "boy", "girl", "baby"}


@dataclass(frozen=True)
class Kind:
    """
    A class of things that a sentence can name.

    Args:
        phrase (`str`): As a sentence has it.
        nouns (`tuple`): Nouns of WordNet with the number of the sense; the class is what is a kind of one of them.
        subgroups (`tuple`): Patterns of the emoji's subgroups that are the class.
        near (`tuple`): Patterns of others where a false sentence would be open to argument.
    """

    phrase: str
    nouns: tuple[tuple[str, int], ...]
    subgroups: tuple[str, ...]
    near: tuple[str, ...] = ()


PERSON = ("person*", "family", "cat-face", "monkey-face")  # cat-face: a face with the ears of a cat
PERSONS = ("person", "person-gesture", "person-role", "person-activity", "person-sport", "person-resting")
BODY = ("hand*", "body-parts")
HUMAN = (*PERSON, "face-*", *BODY)
KINDS = (
    Kind("a person", (("person", 1),), PERSONS, HUMAN),
    Kind("a face", (("face", 1),), ("face-*",), (*HUMAN, "animal-*")),  # many animals are drawn as a face
    Kind("a part of the body", (("body_part", 1),), BODY, (*HUMAN, "animal-*")),
    Kind("an animal", (("animal", 1),), ("animal-*",), PERSON),
    Kind("a mammal", (("mammal", 1),), ("animal-mammal",), PERSON),
    Kind("a bird", (("bird", 1),), ("animal-bird",)),
    Kind("an insect", (("insect", 1),), ("animal-bug",)),
    Kind("a plant", (("plant", 2),), ("plant-*",), ("food-*",)),
    Kind("something to eat", (("food", 1), ("food", 2)), ("food-*",), ("animal-*",)),
    Kind("a fruit", (("fruit", 1),), ("food-fruit",), ("food-vegetable",)),
    Kind("a vegetable", (("vegetable", 1), ("vegetable", 2)), ("food-vegetable",), ("food-fruit",)),
    Kind("a building", (("building", 1), ("house", 1)), ("place-building", "place-religious")),
    Kind("a vehicle", (("conveyance", 3),), ("transport-ground", "transport-water", "transport-air")),
    Kind("a musical instrument", (("musical_instrument", 1),), ("musical-instrument",)),
    Kind("something to wear", (("clothing", 1), ("footwear", 2)), ("clothing",)),
    Kind("a tool", (("tool", 1),), ("tool",)),
    Kind("a piece of sports equipment", (("sports_equipment", 1), ("game_equipment", 1)), ("sport",)),
    Kind("an arrow", (("arrow", 1),), ("arrow",)),
    Kind("a heart", (("heart", 1),), ("heart",)),
    Kind("a geometric shape", (("shape", 2),), ("geometric",)),
)


@dataclass(frozen=True)
class Concept:
    """What the words of one row of the emoji say."""

    label: str
    tags: tuple[str, ...]
    group: str
    subgroup: str
    nouns: Nouns

    @cached_property
    def head(self) -> str | None:
        """What the name is about: "truck" of "delivery truck", "cat" of "cat with tears of joy"; None if no noun."""
        name = re.split(r":| with | of | in | on | behind | and | or |\(", self.label)[0].split()
        if self.group == "people-body" and name and name[0] in PEOPLE:
            return name[0]
        endings = (" ".join(name[first:]) for first in range(len(name)))
        return next((ending for ending in endings if self.nouns.base(ending) is not None), None)

    @cached_property
    def is_kind_of(self) -> frozenset[int]:
        """Senses of WordNet that the head is a kind of."""
        return self._ancestors([self.head] if self.head else [], SENSES)

    @cached_property
    def may_be_kind_of(self) -> frozenset[int]:
        """Senses that any word of the name or the keywords is a kind of."""
        phrases = {self.label, *self.tags}
        words = {word for phrase in phrases for word in re.split(r"[\s\-:,()]+", phrase)}
        return self._ancestors(phrases | words)

    def _ancestors(self, phrases: Iterable[str], senses: int | None = None) -> frozenset[int]:
        found = (sense for phrase in phrases for sense in self.nouns.senses(phrase)[:senses])
        return frozenset().union(*map(self.nouns.ancestors, found))

    def entails(self, kind: Kind) -> bool:
        """True if both sources say so."""
        return _matches(self.subgroup, kind.subgroups) and not self.is_kind_of.isdisjoint(self._roots(kind))

    def contradicts(self, kind: Kind) -> bool:
        """True if both sources rule it out."""
        apart = not _matches(self.subgroup, kind.subgroups + kind.near)
        return apart and self.may_be_kind_of.isdisjoint(self._roots(kind))

    def _roots(self, kind: Kind) -> set[int]:
        return {self.nouns.sense(noun, number) for noun, number in kind.nouns}


def _matches(subgroup: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(subgroup, pattern) for pattern in patterns)


def read_nouns(archive: Path) -> Nouns:
    """WordNet's nouns from the Debian package."""
    folder = "usr/share/wordnet/"
    files = dict(read_members(archive, {folder + name for name in WORDNET_FILES}.__contains__))
    return Nouns(*(files[folder + name].decode("latin-1") for name in WORDNET_FILES))


def read_emoji(path: Path = EMOJI) -> list[Row]:
    """
    Raises:
        BadInputError: If the emoji are not there.
    """
    if not path.is_file():
        raise BadInputError(f"There is no {path}: make it with `python examples/data/build_emoji.py`.")
    return pq.read_table(path).to_pylist()


def chosen_pictures(emoji: Iterable[Row]) -> list[Row]:
    """In each seen style the first concept of each family, with its split here."""
    first = {}
    for row in emoji:
        if row["style"] != UNSEEN_STYLE:
            first.setdefault((row["style"], family_key(row["concept"])), row)
    return [row | {"split": split_of(row)} for row in first.values()]


def split_of(row: Row) -> str:
    """Test as in the emoji; validation out of the rest."""
    if row["split"] == "test":
        return "test"
    return "validation" if is_within_share(VALIDATION_SHARE, "entailment", family_key(row["concept"])) else "train"


def true_sentences(pictures: Iterable[Row], nouns: Nouns, kinds: Iterable[Kind] = KINDS) -> list[Row]:
    """One item for each class that a picture belongs to: the picture, its `words`, `kind`, sentence, split and key."""
    items = []
    for picture in pictures:
        words = Concept(picture["label"], tuple(picture["tags"]), picture["group"], picture["subgroup"], nouns)
        for kind in filter(words.entails, kinds):
            key = f"{picture['style']}-{picture['concept']}-{kind.phrase}"
            template = TEMPLATES[int.from_bytes(hash_key("template", key)[:4], "big") % len(TEMPLATES)]
            item = {"picture": picture, "words": words, "kind": kind, "text": template.format(kind.phrase)}
            items.append(item | {"split": picture["split"], "key": key})
    return items


def deal(items: list[Row], fits: Callable[[Row, Row], bool]) -> list[Row]:
    """
    For each item another one whose sentence its picture gets: every item is given once, no picture gets a class twice.

    Args:
        items: What [`true_sentences`] gives, of one split.
        fits: Whether the picture of the first may have the sentence of the second.

    Raises:
        BadInputError: If there is no such way that swaps find.
    """
    order = sorted(items, key=lambda item: hash_key("deal", item["key"]))
    dealt = order[len(order) // 2 :] + order[: len(order) // 2]
    picture = [item["picture"]["image"]["path"] for item in order]
    held = [(name, item["kind"].phrase) for name, item in zip(picture, dealt)]

    def takes(place: int, item: Row) -> bool:
        return (picture[place], item["kind"].phrase) not in held and fits(order[place], item)

    for place in range(len(order)):
        if fits(order[place], dealt[place]) and held.count(held[place]) == 1:
            continue
        for step in range(1, len(order)):
            other = (place + step) % len(order)
            if takes(place, dealt[other]) and takes(other, dealt[place]):
                dealt[place], dealt[other] = dealt[other], dealt[place]
                held[place], held[other] = ((picture[at], dealt[at]["kind"].phrase) for at in (place, other))
                break
        else:
            raise BadInputError(
                f"No false sentence was found for {order[place]['key']!r} among {len(order)}; accepted are samples in "
                "which no class is in the majority."
            )
    given = {item["key"]: other for item, other in zip(order, dealt)}
    return [given[item["key"]] for item in items]


def make_row(picture: Row, text: str, label: str) -> Row:
    """One row of the Parquet file."""
    return {
        "image": picture["image"],
        "hypothesis": text,
        "label": LABELS.index(label),
        "premise": picture["label"],
        "concept": picture["concept"],
        "style": picture["style"],
        "split": picture["split"],
    }


def rows_of(emoji: Iterable[Row], nouns: Nouns, sample: int | None = None) -> list[Row]:
    """All rows by split, a true and a false sentence of the same picture in turn."""
    items = true_sentences(chosen_pictures(emoji), nouns)
    if sample is not None:
        # Of all classes: where one is in the majority there are too few pictures that contradict it.
        items = [item for split in SPLITS for item in _sample_of(items, split, sample // 2 // len(SPLITS))]
    rows = []
    for split in SPLITS:
        inside = [item for item in items if item["split"] == split]
        for item, false in zip(inside, deal(inside, lambda one, other: one["words"].contradicts(other["kind"]))):
            rows.append(make_row(item["picture"], item["text"], "entailment"))
            rows.append(make_row(item["picture"], false["text"], "contradiction"))
    return rows


def _sample_of(items: list[Row], split: str, count: int) -> list[Row]:
    inside = (item for item in items if item["split"] == split)
    return spread_sample(inside, count, lambda item: item["kind"], "key")


def make_rows(archives: dict[str, Path], sample: int | None = None) -> list[Row]:
    """See [`rows_of`]."""
    return rows_of(read_emoji(), read_nouns(archives["wordnet"]), sample)


def main(arguments=None):
    return run_builder(
        arguments,
        doc=__doc__,
        packages=PACKAGES,
        file="entailment.parquet",
        features=FEATURES,
        make_rows=make_rows,
        counted="label",
    )


if __name__ == "__main__":
    sys.exit(main())
