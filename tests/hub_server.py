"""A Hub on loopback for the tests: small, but it keeps real commits and serves real bytes to the real client.

It speaks what the client calls: accounts, repositories, commits with regular and LFS files (one PUT or in parts,
the sha256 checked), branches, tags, squashing, downloads with ETag and Range, Space variables. `faults` make it fail.
"""

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

WRITER, READER, STRANGER = "hf_ann_writes", "hf_ann_reads", "hf_ben_writes"  # the tokens that it knows
USERS = {WRITER: ("ann", "write"), READER: ("ann", "read"), STRANGER: ("ben", "write")}
PART = 1 << 20  # LFS files over this size go up in parts of it


@dataclass
class File:
    content: bytes
    lfs: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def git_oid(self) -> str:
        return hashlib.sha1(b"blob %d\0" % len(self.content) + self.content).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.git_oid


@dataclass
class Commit:
    title: str
    files: dict[str, File]
    parent: str | None


@dataclass
class Repo:
    private: bool = False
    gated: bool = False
    variables: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, branch: str, commit: Commit) -> str:
        names = sorted((name, file.etag) for name, file in commit.files.items())
        oid = hashlib.sha1(repr((commit.title, names, commit.parent, len(self.commits))).encode()).hexdigest()
        self.commits[oid] = commit
        self.branches[branch] = oid
        return oid

    def find(self, revision: str) -> str | None:
        return (self.branches | self.tags | {oid: oid for oid in self.commits}).get(revision)

    def files(self, revision: str = "main") -> dict[str, bytes]:
        commit = self.find(revision)
        assert commit is not None, f"no revision {revision}"
        return {name: file.content for name, file in self.commits[commit].files.items() if name != ".gitattributes"}

    def titles(self, branch: str = "main") -> list[str]:
        """The titles of a branch's commits, oldest first, without the one that made the repository."""
        oid, titles = self.branches.get(branch), []
        while oid is not None:
            titles.append(self.commits[oid].title)
            oid = self.commits[oid].parent
        return [title for title in reversed(titles) if title != "initial commit"]


@dataclass
class Fault:
    """What happens to the next `times` requests like `POST /api/models/ann/faces/commit/main`."""

    pattern: str
    status: int | None = None  # answer with it; None: cut the connection in the middle
    times: int = 1
    code: str = ""  # the X-Error-Code


class HubServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repos: dict[tuple[str, str], Repo] = {}
        self.lfs: dict[str, bytes] = {}
        self.parts: dict[tuple[str, int], bytes] = {}
        self.requests: list[str] = []
        self.statuses: list[int] = []
        self.faults: list[Fault] = []
        self.open = threading.Event()  # cleared, every commit waits
        self.open.set()
        self.stopped = False
        self.lock = threading.RLock()
        self.endpoint = f"http://127.0.0.1:{self.server_address[1]}"
        self.storage = f"http://localhost:{self.server_address[1]}"  # large files lie on another host, as on the Hub

    def start(self) -> None:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        """Gone, for connections that are kept alive too."""
        self.stopped = True
        self.open.set()
        self.shutdown()
        self.server_close()

    def repo(self, name: str, kind: str = "model") -> Repo:
        return self.repos[kind, name]

    def create(self, name: str, kind: str = "model", private: bool = False, gated: bool = False) -> Repo:
        repo = self.repos[kind, name] = Repo(private, gated)
        repo.commit("main", Commit("initial commit", {".gitattributes": File(b"", False)}, None))
        return repo

    def fault(self, request: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times and re.search(fault.pattern, request):
                    fault.times -= 1
                    return fault
        return None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the tests."""


class Refusal(Exception):
    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubServer

    def log_message(self, *arguments: Any) -> None:
        pass

    def answer(self, status: int, content: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.server.statuses.append(status)
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def json(self, value: Any, status: int = 200) -> None:
        self.answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def body(self, cut: bool = False) -> bytes:
        """Read what the client sends, or only half of it."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
                if cut:
                    break
            else:
                self.rfile.readline()
            return b"".join(chunks)
        length = int(self.headers.get("Content-Length") or 0)
        return self.rfile.read(length // 2 if cut else length)

    def handle_any(self) -> None:
        if self.server.stopped:
            self.close_connection = True
            return None
        path = unquote(urlsplit(self.path).path)
        request = f"{self.command} {path}"
        self.server.requests.append(request)
        fault = self.server.fault(request)
        cut = fault is not None and fault.status is None
        self.sent = self.body(cut)
        if fault is not None and fault.status is not None:
            return self.answer(fault.status, b"{}", {"X-Error-Code": fault.code, "X-Error-Message": "as you asked"})
        if cut:
            self.close_connection = True
            if self.command == "GET":
                self.cut_download(path)
            return None
        if "/commit/" in path:
            self.server.open.wait(60)
        for method, pattern, function in ROUTES:
            if self.command in method.split() and (match := re.fullmatch(pattern, path)):
                try:
                    with self.server.lock:
                        return function(self, **match.groupdict())
                except Refusal as refusal:
                    headers = {"X-Error-Code": refusal.code, "X-Error-Message": str(refusal)}
                    return self.answer(refusal.status, json.dumps({"error": str(refusal)}).encode(), headers)
        return self.answer(501, f"the test server has no {request}".encode())

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_any

    # Who asks, and what for

    def user(self) -> tuple[str, str] | None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token and token not in USERS:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return USERS.get(token)

    def read(self, kind: str | None, name: str) -> Repo:
        repo, user = self.server.repos.get(((kind or "models")[:-1], name)), self.user()
        owner = user is not None and user[0] == name.split("/")[0]
        if repo is None or (repo.private and not owner):
            raise Refusal(401 if user is None else 404, "Repository not found", "RepoNotFound")
        if repo.gated and not owner and self.command in ("GET", "HEAD") and "/resolve/" in self.path:
            raise Refusal(403 if user else 401, "Access to this repository is restricted", "GatedRepo")
        return repo

    def write(self, kind: str | None, name: str) -> Repo:
        repo = self.read(kind, name)
        if self.user() != (name.split("/")[0], "write"):
            raise Refusal(403, "You don't have write access", "")
        return repo

    def find(self, repo: Repo, revision: str) -> str:
        commit = repo.find(revision)
        if commit is None:
            raise Refusal(404, "Invalid rev id", "RevisionNotFound")
        return commit

    def given(self) -> Any:
        return json.loads(self.sent or b"{}")

    # Accounts and repositories

    def whoami(self) -> None:
        user = self.user()
        if user is None:
            raise Refusal(401, "Invalid username or password.")
        auth = {"type": "access_token", "accessToken": {"displayName": "test", "role": user[1]}}
        self.json({"type": "user", "name": user[0], "orgs": [], "auth": auth})

    def create_repo(self) -> None:
        given, user = self.given(), self.user()
        if user is None:
            raise Refusal(401, "Unauthorized")
        name = f"{given.get('organization') or user[0]}/{given['name']}"
        kind = given.get("type") or "model"
        if user != (name.split("/")[0], "write"):
            raise Refusal(403, "You don't have the rights to create a repository under this namespace")
        if (kind, name) in self.server.repos:
            return self.json({"error": "You already created this repo", "url": name}, 409)
        repo = self.server.create(name, kind, given.get("private") is True or given.get("visibility") == "private")
        repo.variables = {item["key"]: item["value"] for item in given.get("variables") or []}
        prefix = "" if kind == "model" else f"{kind}s/"
        return self.json({"url": f"{self.server.endpoint}/{prefix}{name}", "name": name, "id": name})

    def validate(self) -> None:
        front = self.given()["content"].split("---")
        self.json({"errors": [] if len(front) > 2 else [{"message": "no metadata"}], "warnings": []})

    def auth_check(self, kind: str, name: str, write: str | None) -> None:
        self.write(kind, name) if write else self.read(kind, name)
        self.json({})

    def info(self, kind: str, name: str, revision: str | None = None) -> None:
        repo = self.read(kind, name)
        commit = self.find(repo, revision or "main")
        files = [{"rfilename": file} for file in repo.commits[commit].files]
        facts = {"id": name, "sha": commit, "private": repo.private, "gated": repo.gated, "tags": [], "siblings": files}
        self.json(facts | {"modelId": name, "downloads": 0, "likes": 0})

    def tree(self, kind: str, name: str, revision: str) -> None:
        repo = self.read(kind, name)
        files = repo.commits[self.find(repo, revision)].files
        self.json([self.entry(path, file) for path, file in files.items()])

    def entry(self, path: str, file: File) -> dict[str, Any]:
        facts = {"type": "file", "path": path, "size": len(file.content), "oid": file.git_oid}
        lfs = {"oid": file.sha256, "size": len(file.content), "pointerSize": 130}
        return facts | ({"lfs": lfs} if file.lfs else {})

    # Commits

    def preupload(self, kind: str, name: str, revision: str) -> None:
        repo = self.write(kind, name)
        there = repo.commits[self.find(repo, revision)].files
        files = []
        for file in self.given()["files"]:
            large = b"\0" in base64.b64decode(file["sample"]) or file["path"].endswith(".safetensors")
            old = there[file["path"]].etag if file["path"] in there else None
            mode = "lfs" if large else "regular"
            files.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": old})
        self.json({"files": files})

    def batch(self, kind: str | None, name: str) -> None:
        self.write(kind, name)
        objects = []
        for item in self.given()["objects"]:
            oid, size = item["oid"], item["size"]
            upload: dict[str, Any] = {"href": f"{self.server.endpoint}/lfs/{oid}"}
            if size > PART:
                numbers = range(1, -(-size // PART) + 1)
                upload["header"] = {str(number): f"{upload['href']}/{number}" for number in numbers}
                upload["header"]["chunk_size"] = str(PART)
            verify = {"href": f"{self.server.endpoint}/lfs/{oid}/verify"}
            actions = {} if oid in self.server.lfs else {"actions": {"upload": upload, "verify": verify}}
            objects.append({"oid": oid, "size": size} | actions)
        self.json({"transfer": "basic", "objects": objects})

    def keep(self, oid: str, content: bytes) -> None:
        if hashlib.sha256(content).hexdigest() != oid:
            raise Refusal(422, "the content is not what its sha256 says")
        self.server.lfs[oid] = content

    def put(self, oid: str, number: str | None) -> None:
        if number is None:
            self.keep(oid, self.sent)
        else:
            self.server.parts[oid, int(number)] = self.sent
        self.answer(200, b"", {"ETag": hashlib.md5(self.sent).hexdigest()})

    def complete(self, oid: str) -> None:
        numbers = [part["partNumber"] for part in self.given()["parts"]]
        self.keep(oid, b"".join(self.server.parts.pop((oid, number)) for number in numbers))
        self.json({})

    def verify(self, oid: str) -> None:
        if len(self.server.lfs.get(oid, b"")) != self.given()["size"]:
            raise Refusal(404, "no such object")
        self.json({})

    def commit(self, kind: str, name: str, revision: str) -> None:
        repo = self.write(kind, name)
        if revision not in repo.branches:
            raise Refusal(404, "Invalid rev id", "RevisionNotFound")
        lines = [json.loads(line) for line in self.sent.splitlines()]
        parent = repo.branches[revision]
        files = dict(repo.commits[parent].files)
        for value in (line["value"] for line in lines if line["key"] == "file"):
            files[value["path"]] = File(base64.b64decode(value["content"]), False)
        for value in (line["value"] for line in lines if line["key"] == "lfsFile"):
            if value["oid"] not in self.server.lfs:
                raise Refusal(400, f"{value['path']} was not uploaded")
            files[value["path"]] = File(self.server.lfs[value["oid"]], True)
        for value in (line["value"] for line in lines if line["key"] == "deletedFile"):
            del files[value["path"]]
        oid = repo.commit(revision, Commit(lines[0]["value"]["summary"], files, parent))
        self.json({"commitUrl": f"{self.server.endpoint}/{name}/commit/{oid}", "commitOid": oid, "success": True})

    # Branches and tags

    def refs(self, kind: str, name: str) -> None:
        repo = self.read(kind, name)

        def listed(names: dict[str, str], where: str) -> list[dict[str, str]]:
            return [{"name": n, "ref": f"refs/{where}/{n}", "targetCommit": oid} for n, oid in names.items()]

        self.json({"branches": listed(repo.branches, "heads"), "tags": listed(repo.tags, "tags"), "converts": []})

    def branch(self, kind: str, name: str, ref: str) -> None:
        repo = self.write(kind, name)
        if ref in repo.branches:
            raise Refusal(409, "Reference already exists")
        repo.branches[ref] = self.find(repo, self.given().get("startingPoint", "main"))
        self.json({}, 201)

    def tag(self, kind: str, name: str, ref: str) -> None:
        repo = self.write(kind, name)
        if self.command == "DELETE":
            if repo.tags.pop(ref, None) is None:
                raise Refusal(404, "Tag not found", "RevisionNotFound")
            return self.json({})
        if (tag := self.given()["tag"]) in repo.tags:
            raise Refusal(409, "Tag reference exists already")
        repo.tags[tag] = self.find(repo, ref)
        return self.json({}, 201)

    def squash(self, kind: str, name: str, ref: str) -> None:
        repo = self.write(kind, name)
        files = repo.commits[self.find(repo, ref)].files
        repo.commit(ref, Commit(self.given()["message"], files, None))
        self.json({})

    # Downloads

    def resolve(self, kind: str | None, name: str, revision: str, path: str) -> None:
        repo = self.read(kind, name)
        commit = self.find(repo, revision)
        if path not in repo.commits[commit].files:
            raise Refusal(404, "Entry not found", "EntryNotFound")
        file = repo.commits[commit].files[path]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{file.etag}"'}
        if file.lfs:
            headers |= {"X-Linked-ETag": f'"{file.etag}"', "X-Linked-Size": str(len(file.content))}
            return self.answer(302, b"", headers | {"Location": f"{self.server.storage}/cdn/{file.sha256}"})
        return self.serve(file.content, headers)

    def cdn(self, oid: str) -> None:
        if self.headers.get("Authorization"):
            raise Refusal(400, "the token was shown to another host")
        self.serve(self.server.lfs[oid], {"ETag": f'"{oid}"'})

    def serve(self, content: bytes, headers: dict[str, str]) -> None:
        if match := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or ""):
            first = int(match[1])
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
            return self.answer(206, content[first:], headers | {"Content-Length": str(len(content) - first)})
        return self.answer(200, content, headers | {"Content-Length": str(len(content))})

    def cut_download(self, path: str) -> None:
        content = self.server.lfs.get(path.split("/")[-1], b"{}")
        self.answer(200, content[: len(content) // 2], {"Content-Length": str(len(content))})

    # Spaces

    def variables(self, name: str) -> None:
        repo = self.write("spaces", name)
        if self.command == "POST":
            repo.variables[self.given()["key"]] = self.given()["value"]
        self.json({key: {"value": value} for key, value in repo.variables.items()})


API = r"/api/(?P<kind>models|spaces)/(?P<name>[^/]+/[^/]+)"
ANY = r"/(?:(?P<kind>spaces)/)?(?P<name>[^/]+/[^/]+)"
ROUTES: list[tuple[str, str, Any]] = [
    ("GET", "/api/whoami-v2", Handler.whoami),
    ("POST", "/api/repos/create", Handler.create_repo),
    ("POST", "/api/validate-yaml", Handler.validate),
    ("GET", f"{API}/auth-check(?P<write>/write)?", Handler.auth_check),
    ("GET", f"{API}(?:/revision/(?P<revision>.+))?", Handler.info),
    ("GET", f"{API}/tree/(?P<revision>[^/]+)", Handler.tree),
    ("POST", f"{API}/preupload/(?P<revision>.+)", Handler.preupload),
    ("POST", rf"{ANY}\.git/info/lfs/objects/batch", Handler.batch),
    ("PUT", "/lfs/(?P<oid>[0-9a-f]+)(?:/(?P<number>[0-9]+))?", Handler.put),
    ("POST", "/lfs/(?P<oid>[0-9a-f]+)", Handler.complete),
    ("POST", "/lfs/(?P<oid>[0-9a-f]+)/verify", Handler.verify),
    ("POST", f"{API}/commit/(?P<revision>.+)", Handler.commit),
    ("GET", f"{API}/refs", Handler.refs),
    ("POST", f"{API}/branch/(?P<ref>.+)", Handler.branch),
    ("POST DELETE", f"{API}/tag/(?P<ref>.+)", Handler.tag),
    ("POST", f"{API}/super-squash/(?P<ref>.+)", Handler.squash),
    ("GET POST", "/api/spaces/(?P<name>[^/]+/[^/]+)/variables", Handler.variables),
    ("GET HEAD", f"{ANY}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", Handler.resolve),
    ("GET HEAD", "/cdn/(?P<oid>[0-9a-f]+)", Handler.cdn),
]
