# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
A small stand-in of the Hub's HTTP interface on loopback: what `huggingface_hub` asks for when a model is pushed and
loaded back. Names, paths and headers are those that the client (2.4) sends and reads; nothing of it is real storage.

Large files go by LFS's basic transfer, in one part. Xet, the Hub's own storage, is not spoken here: its client is told
by HF_HUB_DISABLE_XET=1 to leave it.
"""

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import yaml


LARGE = (".safetensors", ".bin", ".png")
LICENSES = ("apache-2.0", "mit", "cc-by-4.0", "other")
GIT_ATTRIBUTES = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"


@dataclass
class File:
    """One version of a file: in git (`large` is false) or behind a pointer."""

    content: bytes
    large: bool = False

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def blob(self) -> str:
        """Git's name of the content, or of the pointer to it."""
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.content)}\n"
        content = pointer.encode() if self.large else self.content
        return hashlib.sha1(b"blob %d\0%b" % (len(content), content)).hexdigest()


@dataclass
class Repository:
    """Commits of one branch, oldest first: (id, message, path -> file)."""

    private: bool
    commits: list[tuple[str, str, dict[str, File]]] = field(default_factory=list)

    def commit(self, message: str, files: dict[str, File]) -> str:
        name = "".join(f"{path}{file.blob}" for path, file in sorted(files.items())) + f"{len(self.commits)}{message}"
        self.commits.append((hashlib.sha1(name.encode()).hexdigest(), message, files))
        return self.commits[-1][0]

    @property
    def files(self) -> dict[str, File]:
        return self.commits[-1][2]


@dataclass
class Hub:
    """
    The state behind the server.

    Args:
        url (`str`): Where it listens.
        storage (`str`): Where large files go and come from. Another origin, as with the Hub: the client follows a
            redirection within the Hub before it looks at the headers, and takes its token to no other place.
        users (`dict[str, tuple[str, bool]]`): Token -> name, and whether the token may write.
        repositories (`dict[str, Repository]`): By `namespace/name`.
        stored (`dict[str, bytes]`): Large files by their SHA-256, committed or not.
        faults (`dict[str, int]`): What a request line holds, such as `"PUT /lfs/"` -> the status it is answered with;
            0 closes the connection without an answer.
        requests (`list[str]`): Request lines, in order.
    """

    url: str = ""
    storage: str = ""
    users: dict[str, tuple[str, bool]] = field(default_factory=dict)
    repositories: dict[str, Repository] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def create(self, repo_id: str, private: bool = False) -> Repository:
        repository = self.repositories[repo_id] = Repository(private)
        repository.commit("initial commit", {".gitattributes": File(GIT_ATTRIBUTES)})
        return repository


class Answer(Exception):
    """Ends the handling of a request."""

    def __init__(self, status: int, body=None, headers: dict[str, str] | None = None):
        self.status, self.headers = status, headers or {}
        self.body = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()


def refusal(status: int, message: str, code: str | None = None, **headers: str) -> Answer:
    named = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
    return Answer(status, {"error": message}, named | headers)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> Hub:
        return self.server.hub  # type: ignore[attr-defined]

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.handle_request()

    do_HEAD = do_POST = do_PUT = do_GET

    def handle_request(self):
        line = f"{self.command} {unquote(self.path)}"
        self.hub.requests.append(line)
        self.body = self.read_body()
        for part, status in self.hub.faults.items():
            if part in line and status == 0:
                self.close_connection = True
                return
        try:
            for part, status in self.hub.faults.items():
                if part in line:
                    raise refusal(status, "as the test wants it")
            self.route(urlsplit(self.path))
            raise refusal(404, f"the stand-in does not know {line}")
        except Answer as answer:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if "Content-Length" not in answer.headers:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def route(self, url):
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        match self.command, parts:
            case "GET", ["api", "whoami-v2"]:
                raise Answer(200, {"name": self.user(), "type": "user", "orgs": []})
            case "POST", ["api", "validate-yaml"]:
                self.validate_card(json.loads(self.body)["content"])
            case "POST", ["api", "repos", "create"]:
                self.create(json.loads(self.body))
            case "POST", ["api", "models", user, name, "preupload", "main"]:
                self.preupload(self.repository(user, name, write=True))
            case "POST", ["api", "models", user, name, "commit", "main"]:
                self.commit(self.repository(user, name, write=True), f"{user}/{name}")
            case "GET", ["api", "models", user, name] | ["api", "models", user, name, "revision", _]:
                self.describe(self.repository(user, name), f"{user}/{name}", *parts[5:])
            case "GET", ["api", "models", user, name, "tree", revision, *folder]:
                files = self.version(self.repository(user, name), revision)[2]
                self.tree(files, "/".join(folder), parse_qs(url.query).get("recursive") == ["true"])
            case "POST", [user, name, "info", "lfs", "objects", "batch"]:
                self.repository(user, name.removesuffix(".git"), write=True)
                self.batch(json.loads(self.body)["objects"])
            case _, ["lfs", _] if "Authorization" in self.headers:
                raise refusal(400, "the token of the Hub was sent to the storage")
            case "PUT", ["lfs", name]:
                if hashlib.sha256(self.body).hexdigest() != name:
                    raise refusal(400, "the content has another hash")
                self.hub.stored[name] = self.body
                raise Answer(200)
            case "HEAD" | "GET", ["lfs", name]:
                raise Answer(200, self.hub.stored[name], {"ETag": f'"{name}"'})
            case "HEAD" | "GET", [user, name, "resolve", revision, *path]:
                self.resolve(self.repository(user, name), revision, "/".join(path))

    # Who may do what

    def user(self, required: bool = True) -> str | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token in self.hub.users:
            return self.hub.users[token][0]
        if token or required:
            raise refusal(
                401, "Invalid credentials in Authorization header" if token else "Invalid username or password."
            )
        return None

    def check_writer(self, namespace: str):
        user = self.user()
        if user != namespace or not self.hub.users[self.headers["Authorization"].removeprefix("Bearer ")][1]:
            raise refusal(403, f"You don't have the rights to write under the namespace {namespace}")

    def repository(self, user: str, name: str, write: bool = False) -> Repository:
        reader = self.user(required=write)
        found = self.hub.repositories.get(f"{user}/{name}")
        if found is None or (found.private and reader != user):
            raise refusal(404 if reader else 401, "Repository not found", "RepoNotFound")
        if write:
            self.check_writer(user)
        return found

    def version(self, repository: Repository, revision: str) -> tuple[str, str, dict[str, File]]:
        if revision == "main":
            return repository.commits[-1]
        for commit in repository.commits:
            if commit[0] == revision:
                return commit
        raise refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    # Writing

    def validate_card(self, content: str):
        errors = []
        try:
            metadata = yaml.safe_load(content.split("---\n")[1]) if content.startswith("---\n") else {}
        except yaml.YAMLError as error:
            raise Answer(400, {"errors": [{"message": str(error)}], "warnings": []}) from error
        if metadata.get("license", "mit") not in LICENSES:
            errors.append({"message": f'"license" must be one of [{", ".join(LICENSES)}]'})
        warnings = [] if metadata else [{"message": "empty or missing yaml metadata in repo card"}]
        raise Answer(400 if errors else 200, {"errors": errors, "warnings": warnings})

    def create(self, wanted: dict):
        namespace = wanted["organization"] or self.user()
        self.check_writer(namespace)
        repo_id = f"{namespace}/{wanted['name']}"
        place = {"url": f"{self.hub.url}/{repo_id}"}
        if repo_id in self.hub.repositories:
            raise Answer(409, place | {"error": "You already created this model repo"})
        self.hub.create(repo_id, private=wanted.get("visibility") == "private")
        raise Answer(200, place)

    def preupload(self, repository: Repository):
        answers = []
        for file in json.loads(self.body)["files"]:
            old = repository.files.get(file["path"])
            large = file["path"].endswith(LARGE)
            answer = {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
            answers.append(answer | ({"oid": old.sha256 if old.large else old.blob} if old else {}))
        raise Answer(200, {"files": answers})

    def batch(self, objects: list[dict]):
        answers = []
        for wanted in objects:
            upload = {"actions": {"upload": {"href": f"{self.hub.storage}/lfs/{wanted['oid']}"}}}
            answers.append(wanted | ({} if wanted["oid"] in self.hub.stored else upload))
        raise Answer(200, {"transfer": "basic", "objects": answers})

    def commit(self, repository: Repository, repo_id: str):
        header, *operations = [json.loads(line) for line in self.body.splitlines()]
        files = dict(repository.files)
        for operation in operations:
            value = operation["value"]
            match operation["key"]:
                case "file":
                    files[value["path"]] = File(base64.b64decode(value["content"]))
                case "lfsFile" if len(self.hub.stored.get(value["oid"], b"")) == value["size"]:
                    files[value["path"]] = File(self.hub.stored[value["oid"]], large=True)
                case "deletedFile":
                    del files[value["path"]]
                case _:
                    raise refusal(400, f"cannot commit {operation['key']} {value['path']}")
        name = repository.commit(header["value"]["summary"], files)
        raise Answer(200, {"commitUrl": f"{self.hub.url}/{repo_id}/commit/{name}", "commitOid": name})

    # Reading

    def describe(self, repository: Repository, repo_id: str, *revision: str):
        name, _, files = self.version(repository, revision[-1] if revision else "main")
        siblings = [{"rfilename": path} for path in files]
        facts = {"private": repository.private, "tags": [], "downloads": 0, "siblings": siblings}
        raise Answer(200, facts | {"_id": repo_id, "id": repo_id, "modelId": repo_id, "sha": name})

    def tree(self, files: dict[str, File], folder: str, recursive: bool):
        entries: dict[str, dict] = {}
        for path, file in sorted(files.items()):
            if folder and not path.startswith(f"{folder}/"):
                continue
            below = path.removeprefix(f"{folder}/" if folder else "")
            entry = {"type": "file", "path": path, "size": len(file.content), "oid": file.blob}
            if file.large:
                entry["lfs"] = {"oid": file.sha256, "size": len(file.content), "pointerSize": 130}
            if "/" in below and not recursive:
                path = path.removesuffix(below) + below.partition("/")[0]
                entry = {"type": "directory", "path": path, "size": 0, "oid": "0" * 40}
            entries[path] = entry
        if folder and not entries:
            raise refusal(404, f"{folder} does not exist", "EntryNotFound")
        raise Answer(200, list(entries.values()))

    def resolve(self, repository: Repository, revision: str, path: str):
        name, _, files = self.version(repository, revision)
        if path not in files:
            raise refusal(404, "Entry not found", "EntryNotFound", **{"X-Repo-Commit": name})
        file, headers = files[path], {"X-Repo-Commit": name}
        if file.large:  # lies elsewhere
            there = {"X-Linked-Size": str(len(file.content)), "X-Linked-ETag": f'"{file.sha256}"'}
            raise Answer(302, None, headers | there | {"Location": f"{self.hub.storage}/lfs/{file.sha256}"})
        raise Answer(200, file.content, headers | {"ETag": f'"{file.blob}"', "Content-Length": str(len(file.content))})


@contextmanager
def serve(**users: str):
    """
    Runs a [`Hub`] on a free port of 127.0.0.1 while the block runs.

    Args:
        users: Name -> token that may write. A token `"read:<token>"` of the same user may only read.
    """
    tokens = {token: (name, True) for name, token in users.items()}
    hub = Hub(users=tokens | {f"read:{token}": (name, False) for name, token in users.items()})
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(2)]
    hub.url, hub.storage = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    threads = [threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True) for server in servers]
    for server, thread in zip(servers, threads):
        server.daemon_threads = True
        server.hub = hub  # type: ignore[attr-defined]
        thread.start()
    try:
        yield hub
    finally:
        for server, thread in zip(servers, threads):
            server.shutdown()
            server.server_close()
            thread.join()
