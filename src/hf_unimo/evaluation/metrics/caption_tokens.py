# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Captions into words, as the metrics of COCO captions count them: tokens of the Penn Treebank, lower-case, without
punctuation.

`rules` does it here, in one regular expression. `ptb-java` is the program that the metrics were defined with, the
Stanford tokenizer 3.4.1 in the package pycocoevalcap (extra `captions`), and needs Java. They agree on ordinary
captions and differ in rare spellings, so a result names which one it used.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from subprocess import PIPE
from typing import NoReturn

from hf_unimo.errors import BadInputError, CheckFailedError, unknown_name


TOKENIZERS = ("rules", "ptb-java")

# Tokens that the script drops. It names the brackets in capitals, which lower-case tokens never equal: brackets stay.
PUNCTUATION = frozenset(
    ["''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";"]
)
BRACKETS = {"(": "-lrb-", ")": "-rrb-", "{": "-lcb-", "}": "-rcb-", "[": "-lsb-", "]": "-rsb-"}
SPELLINGS = str.maketrans(
    {"’": "'", "‘": "`", "“": '"', "”": '"', "£": "#", "€": "$", "¢": " cents", "½": "1/2", "¼": "1/4", "¾": "3/4"}
)
TWO_TOKENS = {
    "cannot": ["can", "not"],
    "gimme": ["gim", "me"],
    "gonna": ["gon", "na"],
    "gotta": ["got", "ta"],
    "lemme": ["lem", "me"],
    "wanna": ["wan", "na"],
}
# Words that keep a full stop: what the Java program did with some 30,000 words.
ABBREVIATIONS = (
    "adj adm adv al ala alex apr assn atty aug ave bldg blvd brig bros calif capt cf cmdr co col colo conn corp "
    "cos ct dak dec dept det dr ens est etc ext feb fla fri ft ga gen gov hon inc ind insp intl jan jos jr jul "
    "jun kan ky lt ltd maj mar md messrs mich mo mon mont mr mrs ms mt natl neb nev nov oct penn ph pres prof pty "
    "rd rep reps rev rt sen sens sep sept seq sgt sq sr st ste supt sys tel tenn thu thurs tue tues univ va vs vt "
    "wed wis wm"
)
TOKEN = re.compile(
    rf"""
      (?:https?://|www\.)\S*[\w/]
    | [\w.+-]+@[\w-]+(?:\.[\w-]+)+
    | </?[a-z][^<>\s]*>                                # <unk>
    | [:;=]-?[()]                                      # a smile
    | [#@][^\W\d]\w*                                   # a tag or a user; "# 1" are two tokens
    | (?-i:[A-Z]+&[A-Z]+)                              # AT&T
    | (?:ph\.d\.|(?:[^\W\d_]\.){{2,}})(?!\w)             # u.s. a.m.
    | [^\W\d_]\.(?=\s+\w)                              # j. crew, but "the letter x." at the end
    | (?:{"|".join(ABBREVIATIONS.split())})\.(?!\w)
    | (?:art|ca|fig|nos?|op|pp|prop)\.(?=\s*\d)        # no. 5
    | '(?:n'|t(?=(?:is|was)\b)|(?:s|m|d|re|ve|ll|n|em|til|cause)\b|(?<!\w')\d\ds?\b(?!'))
    | y'(?=[^\W\d_]{{2}}) | ol'                        # y' all
    | \w+?(?=n't\b) | n't\b
    | (?:[dlo]'[^\W\d_]|\w+[aeiou]'(?=[aeiou]))\w+     # o'clock ma'am
    | (?:(?<!\w)-?\.?(?=\d))?\w+(?:(?:[-./]|(?<=\d)[,:](?=\d))\w+)*
    | [!?]+ | \.+ | -+ | '' | __+
    | [^\s\U00010000-\U0010FFFF]                       # Emoji beyond the basic plane are dropped, as Java does.
    """,
    re.VERBOSE | re.IGNORECASE,
)


def tokenize(captions: Sequence[str], tokenizer: str = "rules") -> list[list[str]]:
    """
    Words of the captions.

    Args:
        captions: As written.
        tokenizer: `rules`, or `ptb-java` (extra `captions` and Java).

    Returns:
        The lower-case tokens of each caption; none for a caption without a word.

    Raises:
        BadInputError: If the tokenizer is not known, or `ptb-java` is asked for without Java or pycocoevalcap.
        CheckFailedError: If the Java program fails.
    """
    if tokenizer not in TOKENIZERS:
        raise BadInputError(f"The tokenizer of captions is not known: {unknown_name(tokenizer, TOKENIZERS)}")
    found = [_by_rules(caption) for caption in captions] if tokenizer == "rules" else _by_java(captions)
    return [[token for token in tokens if token not in PUNCTUATION] for tokens in found]


def _by_rules(caption: str) -> list[str]:
    tokens: list[str] = []
    for token in TOKEN.findall(caption.translate(SPELLINGS)):
        token = "".join(BRACKETS.get(letter, letter) for letter in token.lower())
        # Quotation marks and runs of stops or dashes have tokens of their own in the treebank, all of them dropped.
        if token.strip('."-…–—'):
            tokens += TWO_TOKENS.get(token, [token])
    return tokens


def _by_java(captions: Sequence[str]) -> list[list[str]]:
    # A line is a caption for the program, so a caption must not have several.
    lines = [" ".join(caption.split()) for caption in captions]
    jar = java_program("tokenizer/stanford-corenlp-3.4.1.jar", "The tokenizer 'ptb-java'")
    arguments = ["edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase", "-encoding", "UTF-8"]
    command = ["java", "-cp", str(jar), *arguments]
    text = "".join(line + "\n" for line in lines)
    done = subprocess.run(command, input=text, capture_output=True, encoding="utf-8", check=False)
    output = done.stdout.split("\n")[:-1]
    if done.returncode or len(output) != len(lines):
        raise CheckFailedError(
            f"The Java tokenizer ended with {done.returncode} and {len(output)} lines for {len(lines)} captions: "
            f"{done.stderr.strip()[-500:]}"
        )
    return [line.split() for line in output]


def java_program(path: str, purpose: str) -> Path:
    """
    A Java program in the package pycocoevalcap.

    Args:
        path: Its file below the package's folder.
        purpose: What it is for, as the beginning of a sentence.

    Raises:
        BadInputError: If the package or Java is missing.
    """
    package = find_spec("pycocoevalcap")
    if package is None or not package.submodule_search_locations:
        raise BadInputError(
            f"{purpose} needs the package pycocoevalcap, which is not installed: `pip install hf-unimo[captions]`."
        )
    if shutil.which("java") is None:
        raise BadInputError(f"{purpose} needs a Java runtime, but there is no `java` on the PATH.")
    program = Path(next(iter(package.submodule_search_locations))) / path
    if not program.is_file():
        raise BadInputError(f"{purpose} needs {path} of pycocoevalcap 1.2, but it is not in {program.parents[1]}.")
    return program


@contextmanager
def java_conversation(arguments: Sequence[str]) -> Iterator[tuple[Callable[[str], None], Callable[[], str]]]:
    """
    A Java program that answers line by line.

    Args:
        arguments: What follows `java` on the command line.

    Returns:
        A function that writes a line to it, and one that waits for its next line.

    Raises:
        CheckFailedError: If the program ends, or writes nothing more, before it has answered.
    """
    command = ["java", "-Dfile.encoding=UTF-8", *arguments]
    # A pipe that nobody reads would fill up and stop the program, so what it complains of goes to a file.
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints,
        subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=complaints, encoding="utf-8") as program,
    ):
        assert program.stdin and program.stdout
        answers = program.stdout

        def fail() -> NoReturn:
            complaints.seek(0)
            raise CheckFailedError(f"`{' '.join(command)}` does not answer: {complaints.read().strip()[-500:]}")

        def write(line: str) -> None:
            try:
                print(line, file=program.stdin, flush=True)
            except BrokenPipeError:
                fail()

        def read() -> str:
            line = answers.readline()
            return line.rstrip("\n") if line else fail()

        try:
            yield write, read
        finally:
            program.kill()
