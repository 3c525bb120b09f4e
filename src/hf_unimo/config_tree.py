# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""From YAML text to dataclasses: a tree of plain values is checked against the types of fields, with one sentence for
every mistake."""

import json
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from .errors import BadInputError, nearest_known


@dataclass(frozen=True)
class Accepts:
    """Beside a type in `Annotated`: what is accepted, in words, and whether a value of that type is."""

    words: str
    holds: Callable[[Any], bool] = lambda value: True


# ---------------------------------------------------------------------------------------------------------------------
# YAML
# ---------------------------------------------------------------------------------------------------------------------


class Loader(yaml.SafeLoader):
    """
    PyYAML's, with YAML 1.2's numbers, booleans and lack of dates and merges. Gives text, numbers, booleans, null,
    lists and mappings, and refuses keys that stand twice.
    """

    yaml_constructors = {
        tag: constructor
        for tag, constructor in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag.rpartition(":")[2] in ("str", "int", "float", "bool", "null", "seq", "map")
    }

    yaml_implicit_resolvers = {
        first: [pair for pair in pairs if pair[0].rpartition(":")[2] not in ("bool", "timestamp", "merge")]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_mapping_node(self, anchor):
        node = super().compose_mapping_node(anchor)
        seen = set()
        for name, _ in node.value:
            if isinstance(name, yaml.ScalarNode):
                if (name.tag, name.value) in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"the key {name.value} stands twice", problem_mark=name.start_mark
                    )
                seen.add((name.tag, name.value))
        return node


_EXPONENT = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$")
Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


class Dumper(yaml.SafeDumper):
    """Quotes what `Loader` would not read as text."""

    yaml_implicit_resolvers = Loader.yaml_implicit_resolvers


def parse_yaml(text: str, source: str) -> Any:
    """What `text` holds, in plain Python."""
    try:
        tree = yaml.load(text, Loader)
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f" (line {error.problem_mark.line + 1})"
        raise BadInputError(f"{source} cannot be read as YAML: {error.problem}{line}.") from error
    except (yaml.YAMLError, ValueError, KeyError, RecursionError) as error:
        # Of the characters, of values that do not fit a tag such as !!int or !!bool, of the depth.
        raise BadInputError(f"{source} cannot be read as YAML: {str(error).partition(chr(10))[0]}.") from error
    # Aliases can make an endless tree of a short text.
    open_nodes, values = [tree], 0
    while open_nodes:
        node = open_nodes.pop()
        open_nodes.extend(node.values() if isinstance(node, dict) else node if isinstance(node, list) else ())
        values += 1
        if values > _MAX_VALUES:
            raise BadInputError(f"{source} holds more than {_MAX_VALUES:,} values, those behind aliases included.")
    return plain(tree)  # a copy, in which what aliases share can be changed in one place


def override_key(tree: dict[str, Any], override: str) -> None:
    """Sets in `tree` what `override`, `key.path=value`, says."""
    key, _, value = override.partition("=")
    *parents, last = key.strip().split(".")
    if not value.strip() or not all((*parents, last)):
        raise BadInputError(f"The override {override!r} is none; accepted is key.path=value, e.g. training.steps=10.")
    for depth, name in enumerate(parents, 1):
        if tree.get(name) is None:
            tree[name] = {}
        tree = tree[name]
        if not isinstance(tree, dict):
            raise BadInputError(
                f"The override {override!r} cannot be set; {'.'.join(parents[:depth])} is {shown(tree)}, no mapping."
            )
    tree[last] = parse_yaml(value, f"The value of the override {override!r}")


# ---------------------------------------------------------------------------------------------------------------------
# From plain trees to dataclasses and back
# ---------------------------------------------------------------------------------------------------------------------

ABSENT = object()
_MAX_VALUES = 100_000
_LONGEST_LIST = 12  # of known names in a message
_T = TypeVar("_T")


def read_section(section: type[_T], tree: Any, key: str, hidden: Sequence[str] = (), **given: Any) -> _T:
    """
    Fills the dataclass `section` from the mapping `tree`, whose keys are its fields, but for those that are `given` or
    `hidden`. `key` is where the tree stands.
    """
    tree, hints = mapping(tree, key), type_hints(section)
    known = [found for found in fields(section) if found.init and found.name not in (*given, *hidden)]  # type: ignore[arg-type]
    check_known(tree, [found.name for found in known], key)
    needed = [found.name for found in known if found.default is MISSING and found.default_factory is MISSING]
    check_complete(tree, needed, key)
    values = {name: fit(value, hints[name], dotted(key, name)) for name, value in tree.items()}
    try:
        return section(**given, **values)
    except BadInputError as error:
        # A class that is not made for this file does not know where it stands.
        raise error if str(error).startswith(key) else BadInputError(f"{key}: {error}") from error


def merge_trees(tree: Mapping[str, Any], on_top: Mapping[str, Any]) -> dict[str, Any]:
    """`tree` with `on_top` over it, mappings key by key."""
    merged = dict(tree)
    for name, value in on_top.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = merge_trees(merged[name], value) if both else value
    return merged


def fit(value: Any, hint: Any, key: str) -> Any:
    """`value` as the type `hint` asks for, lists as tuples where it does; otherwise raises."""
    kind, args = get_origin(hint) or hint, get_args(hint)
    if kind is Annotated:
        base, accepts = args
        try:
            if accepts.holds(fitted := fit(value, base, key)):
                return fitted
        except BadInputError:
            pass
    elif kind in (Union, UnionType):
        if value is None:
            if NoneType in args:
                return None
            raise unfit(value, hint, key)
        members = [member for member in args if member is not NoneType]
        if len(members) == 1:
            return fit(value, members[0], key)
        if any(map(is_enum, members)):  # `SchedulerType | str`: the text is one of the enum's
            members.remove(str)
        for member in members:
            try:
                return fit(value, member, key)
            except BadInputError:
                continue
    elif is_dataclass(kind):
        return read_section(kind, value, key)  # type: ignore[arg-type]
    elif kind is dict:
        names = mapping(value, key)
        return {name: fit(names[name], args[1] if args else Any, dotted(key, name)) for name in names}
    elif kind is list and isinstance(value, list):
        return [fit(item, args[0] if args else Any, key) for item in value]
    elif kind is tuple and isinstance(value, list | tuple):
        members = list(args[:1]) * len(value) if args[1:] == (Ellipsis,) else list(args)
        if len(value) == len(members):
            return tuple(fit(item, member, key) for item, member in zip(value, members))
    elif is_scalar(value, kind, args):
        return value
    raise unfit(value, hint, key)


def unfit(value: Any, hint: Any, key: str) -> BadInputError:
    """The error that says what `key` holds, and what its type accepts."""
    return BadInputError(f"{key} is {shown(value)}; accepted is {describe(hint)}.")


def is_enum(kind: Any) -> bool:
    """Whether a type is an enumeration."""
    return isinstance(kind, type) and issubclass(kind, Enum)


def is_scalar(value: Any, kind: Any, args: tuple) -> bool:
    """Whether `value` is of type `kind[args]`: a boolean is no number, an integer is a float."""
    if kind is Any:
        return True
    if kind is Literal:
        return value in args
    if is_enum(kind):
        return value in [member.value for member in kind]
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float if kind is float else kind)


def describe(hint: Any) -> str:
    """What the type `hint` accepts, in words."""
    kind, args = get_origin(hint) or hint, get_args(hint)
    if kind is Annotated:
        return args[1].words
    if kind in (Union, UnionType):
        members = [member for member in args if member is not NoneType]
        enums = [member for member in members if is_enum(member)]
        return " or ".join(dict.fromkeys(map(describe, enums or members)))
    if kind is Literal or is_enum(kind):
        choices = [str(choice) for choice in args] or [member.value for member in kind]
        return f"one of {', '.join(choices)}" if len(choices) > 1 else choices[0]
    if kind in (list, tuple):
        return f"a list of {' and '.join(dict.fromkeys(describe(a) for a in args if a is not Ellipsis))}"
    words = {int: "an integer", float: "a number", bool: "true or false", str: "text", dict: "a mapping"}
    return words.get(kind, getattr(kind, "__name__", str(kind)))


def mapping(value: Any, key: str) -> dict[str, Any]:
    """`value`, if it is a mapping of names; an empty one for null, which is what YAML makes of an empty section."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise BadInputError(f"{key} is {shown(value)}; accepted is a mapping, `key: value`.")
    for name in value:
        if not isinstance(name, str):
            raise BadInputError(f"{key} has the key {shown(name)}; accepted are names, or numbers in quotes.")
    return value  # type: ignore[return-value]


def check_known(tree: Iterable[str], known: Iterable[str], key: str) -> None:
    """Refuses names in `tree`, which stands at `key`, that are not `known`."""
    for name in tree:
        if name not in known:
            raise BadInputError(f"{dotted(key, name)} is no known key; {nearest(name, known, key)}.")


def check_complete(tree: Mapping[str, Any], needed: Iterable[str], key: str) -> None:
    """Refuses a `tree`, which stands at `key`, that lacks a name that is `needed`."""
    for name in needed:
        if tree.get(name) is None:
            raise BadInputError(f"{dotted(key, name)} is missing; it is needed.")


def nearest(found: str, known: Iterable[str], key: str = "") -> str:
    """The name among `known` that is most like `found`, as part of a sentence; all of them, if they are few."""
    names = list(known)
    likely = dotted(key, nearest_known(found, names))
    return f"the nearest known is {likely}" + (f" (known: {', '.join(names)})" if len(names) <= _LONGEST_LIST else "")


def dotted(key: str, name: str) -> str:
    """The key of `name` in the mapping at `key`, which is empty for the whole file."""
    return f"{key}.{name}" if key else name


def shown(value: Any) -> str:
    """A value in a sentence, much as the file has it, cut off if it is long."""
    if value is ABSENT:
        return "absent"
    return textwrap.shorten(json.dumps(value, default=str, ensure_ascii=False), 80, placeholder=" ...")


def plain(value: Any) -> Any:
    """Dataclasses as mappings and tuples as lists, all the way down."""
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return {found.name: plain(getattr(value, found.name)) for found in fields(value)} if is_dataclass(value) else value


def type_hints(section: type) -> dict[str, Any]:
    """Field -> type, with what stands in `Annotated`."""
    return get_type_hints(section, include_extras=True)
