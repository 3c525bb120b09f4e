# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
A saved model or an exported repository goes to the Hub: everything is checked here first, then one commit holds all.

`push_to_hub` of transformers uploads what `save_pretrained` writes, and that loads only where `hf_unimo` is imported.
What this uploads loads wherever transformers is, with `trust_remote_code=True`.
"""

import json
import os
import re
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from huggingface_hub import (
    CommitInfo,
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    ModelCard,
    constants,
    get_token,
    is_offline_mode,
)
from huggingface_hub.errors import HFValidationError, HTTPError
from huggingface_hub.utils import validate_repo_id

from .card import PLACE
from .errors import BadInputError
from .flat_code import check_code
from .hub import CARD_NAME, SavedModel, export_repository, read_saved_model


_PICKLES = {".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth"}
"""Suffixes of what `Trainer` keeps beside a model (optimizer, random state, arguments), and of what can run code."""

_WEIGHTS = re.compile(r"model[\w.-]*\.safetensors(\.index\.json)?")
_LISTS = ("base_model", "datasets", "language", "metrics", "tags")

_ADVICE = {
    401: "expected a valid token of the Hub, by HF_TOKEN or `hf auth login`",
    403: "expected a token that may write, and a namespace that is yours or your organisation's",
    404: "expected a namespace and a repository that exist and that the token may see",
    409: "another change came between; push again",
    413: "the Hub takes no file of that size",
    429: "too many requests; push again later",
}


def push_repository(
    source: str | os.PathLike,
    repo_id: str,
    *,
    private: bool = False,
    message: str | None = None,
    license: str | None = None,
    pipelines: bool = False,
    token: str | None = None,
) -> CommitInfo:
    r"""
    Pushes a model to the Hub, complete with its code, and creates the repository if there is none of that name.

    A saved model is exported first ([`~hf_unimo.hub.export_repository`], into a temporary folder). A folder that an
    export wrote is pushed as it is, with all its files but hidden ones. In the card, `path/or/name` becomes `repo_id`,
    so its code can be copied and run. Weights of an earlier push that this one has no more are removed with the same
    commit: transformers would load an old `model.safetensors` before new shards.

    Nothing is sent before the weights, the code, and the card's metadata have passed the checks that can be made here,
    and no repository is created before the Hub has accepted the card. An interrupted upload leaves no commit and no
    file on this machine; pushing again completes it.

    Args:
        source: What `save_pretrained` wrote (a `Trainer` checkpoint, for instance), or what an export wrote.
        repo_id (`str`): `"namespace/name"`.
        private (`bool`, defaults to `False`): Creates the repository as a private one. A public one of that name is
            refused. Without it, a new repository gets the account's default.
        message (`str`, *optional*): Of the commit.
        license (`str`, *optional*): The license in the card that an export writes (`"apache-2.0"` if it is not given),
            by the Hub's identifier. A card that is there already must name the same one.
        pipelines (`bool`, defaults to `False`): As for [`~hf_unimo.hub.export_repository`]. An exported folder must
            carry them already; if it does, they are pushed in any case.
        token (`str`, *optional*): Of a user; that of the environment (`HF_TOKEN`) or of `hf auth login` otherwise.

    Returns:
        `huggingface_hub.CommitInfo`: The new commit; the last one, if nothing has changed.

    Raises:
        BadInputError: If something of the above does not hold; if there is no token, or the Hub refuses what is asked
            (401, 403, 404, 409), or cannot be reached.
        CheckFailedError: If a line of the code would not work in a repository.

    Example:

    ```python
    >>> from hf_unimo.push import push_repository

    >>> push_repository("out/checkpoint-500", "me/unimo2-flickr30k", license="mit").repo_url  # doctest: +SKIP
    RepoUrl('https://huggingface.co/me/unimo2-flickr30k', ...)
    ```
    """
    _check_name(repo_id)
    saved = read_saved_model(source)
    token = _token(token)
    with tempfile.TemporaryDirectory(prefix="hf_unimo-push-") as temporary:
        if is_repository(saved):
            folder = saved.folder
            if pipelines and not getattr(saved.config, "custom_pipelines", None):
                raise BadInputError(f"{folder} was exported without pipelines; export the saved model with them.")
            _check_repository_code(folder)
        else:
            name = repo_id.partition("/")[2]
            folder = Path(temporary) / name
            export_repository(source, folder, license=license or "apache-2.0", pipelines=pipelines)
        card = _checked_card(folder / CARD_NAME, license).replace(f'"{PLACE}"', f'"{repo_id}"')
        files: dict[str, Path | bytes] = {**_repository_files(folder), CARD_NAME: card.encode()}
        with _hub_errors(repo_id):
            return _upload(files, card, repo_id, private, message or f"Upload {saved.head.__name__}", token)


def is_repository(saved: SavedModel) -> bool:
    """
    Whether a saved model is a complete repository already: it has a card and the code that its `auto_map` and its
    `custom_pipelines` name, and nothing that a training run keeps for itself.
    """
    auto_map, pipelines = (getattr(saved.config, name, {}) for name in ("auto_map", "custom_pipelines"))
    if not isinstance(auto_map, dict) or not auto_map or not isinstance(pipelines, dict):
        return False
    impls = [entry.get("impl") if isinstance(entry, dict) else None for entry in pipelines.values()]
    code = {f"{str(reference).partition('.')[0]}.py" for reference in [*auto_map.values(), *impls]}
    there = {path.name for path in saved.folder.iterdir() if path.is_file()}
    return {*code, CARD_NAME} <= there and not any(Path(name).suffix in _PICKLES for name in there)


# ---------------------------------------------------------------------------------------------------------------------
# Checks before anything is sent
# ---------------------------------------------------------------------------------------------------------------------


def _check_name(repo_id: str) -> None:
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise BadInputError(f"{repo_id!r} is no name of a repository on the Hub: {_one_line(error)}.") from error
    if "/" not in repo_id:
        raise BadInputError(f"{repo_id!r} has no namespace; expected user/name or organisation/name.")


def _token(token: str | None) -> str:
    if is_offline_mode():
        raise BadInputError("HF_HUB_OFFLINE is set, so nothing can be pushed; unset it.")
    token = token or get_token()
    if token is None:
        raise BadInputError("No token of the Hub was found; log in with `hf auth login`, or set HF_TOKEN.")
    return token


def _check_repository_code(folder: Path) -> None:
    try:
        check_code(folder)
    except (SyntaxError, UnicodeDecodeError) as error:
        raise BadInputError(f"A Python file in {folder} cannot be read: {_one_line(error)}.") from error


def _repository_files(folder: Path) -> dict[str, Path]:
    """Path in the repository -> file. Hidden ones (`.git`, `.cache`, ...) and compiled code stay."""
    files = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    kept = {place: path for place, path in files.items() if not any(_stays(part) for part in place.parts)}
    for place, path in kept.items():
        if place.suffix in _PICKLES:
            raise BadInputError(f"{path} may be a pickle, which can run code; remove it, or name another folder.")
    return {place.as_posix(): path for place, path in kept.items()}


def _stays(name: str) -> bool:
    return name.startswith(".") or name == "__pycache__"


def _checked_card(path: Path, license: str | None) -> str:
    """
    The text of the card, if its metadata can be read, has the types that the Hub expects, and names a license: that
    which was asked for, if one was.
    """
    try:
        text = path.read_bytes().decode("utf-8")
        data = ModelCard(text).data.to_dict()
    except (ValueError, TypeError, AttributeError, KeyError, yaml.YAMLError) as error:
        # An ill-formed `model-index` ends in one of several.
        raise BadInputError(f"The metadata of {path} cannot be read: {_one_line(error)}.") from error
    found = data.get("license")
    if not isinstance(found, str):
        raise BadInputError(f"{path} must name its license in the metadata (license: apache-2.0), but has {found!r}.")
    if license is not None and found != license:
        raise BadInputError(f"{path} names the license {found}, but {license} was asked for; change one of them.")
    for key in _LISTS:
        value = data.get(key, [])
        if not isinstance(value, str) and not (
            isinstance(value, list) and all(isinstance(item, str) for item in value)
        ):
            raise BadInputError(f"{path} has {value!r} as {key}, where a text or a list of texts is expected.")
    return text


# ---------------------------------------------------------------------------------------------------------------------
# The Hub
# ---------------------------------------------------------------------------------------------------------------------


def _upload(
    files: dict[str, Path | bytes], card: str, repo_id: str, private: bool, message: str, token: str
) -> CommitInfo:
    """
    One commit with all files. `HfApi.upload_folder` would make several of a large folder or of a slow upload, and a
    reader, or an interruption, could come between them.
    """
    api = HfApi(token=token, library_name="hf_unimo")
    _check_card_on_the_hub(card)
    try:
        api.create_repo(repo_id, private=private or None, exist_ok=True)
    except KeyError as error:
        # The client reads from a refusal (409) where the repository is, which says so only of a model of one's own.
        raise BadInputError(f"{repo_id} was not pushed: the name is taken by something else on the Hub.") from error
    if private and not api.model_info(repo_id).private:
        raise BadInputError(f"{repo_id} exists and is public; make it private on the Hub first, or name another one.")
    stale = [name for name in api.list_repo_files(repo_id) if _WEIGHTS.fullmatch(name) and name not in files]
    operations: list = [CommitOperationAdd(name, file) for name, file in files.items()]
    operations += [CommitOperationDelete(name) for name in stale]
    with warnings.catch_warnings():
        # What `create_commit` says of a card was said by `validate` above.
        warnings.filterwarnings("ignore", message="Warnings while validating metadata")
        return api.create_commit(repo_id, operations, commit_message=message)


def _check_card_on_the_hub(card: str) -> None:
    """The Hub's own check, which knows the licenses and tasks that there are."""
    try:
        ModelCard(card).validate()
    except ValueError as error:
        # The client passes on the answer's body.
        said = re.findall(r'"message":\s*("(?:[^"\\]|\\.)*")', str(error)) or [json.dumps(str(error))]
        reasons = "; ".join(_one_line(json.loads(part)) for part in said)
        raise BadInputError(f"The Hub does not accept the metadata of {CARD_NAME}: {reasons}.") from error


@contextmanager
def _hub_errors(repo_id: str) -> Iterator[None]:
    """Turns what the client raises when the Hub refuses or is not there into a [`BadInputError`]."""
    try:
        yield
    except BadInputError:
        raise
    except (HTTPError, OSError, RuntimeError, ValueError) as error:
        # An upload in a thread is wrapped by the client: what was answered stands further inside.
        chain: list[BaseException] = [error]
        while (inner := chain[-1].__cause__) is not None:
            chain.append(inner)
        answered = next((part for part in chain if getattr(part, "response", None) is not None), None)
        if answered is not None:
            raise BadInputError(f"{repo_id} was not pushed: {_answer(answered)}") from error
        reason = f"{type(chain[-1]).__name__}: {_one_line(chain[-1])}"
        if any(isinstance(part, (HTTPError, ConnectionError, TimeoutError)) for part in chain):
            reason = f"the Hub at {constants.ENDPOINT} cannot be reached, or the connection broke off ({reason})"
        raise BadInputError(f"{repo_id} was not pushed: {reason}.") from error


def _answer(error: BaseException) -> str:
    """The end of a sentence about an answer of the Hub."""
    response = error.response  # type: ignore[attr-defined]
    says = _one_line(getattr(error, "server_message", None) or "")
    advice = f"; {_ADVICE[response.status_code]}" if response.status_code in _ADVICE else ""
    return f"the Hub answered {response.status_code}{f' ({says})' if says else ''}{advice}."


def _one_line(message: object) -> str:
    return " ".join(str(message).split()).rstrip(".")
