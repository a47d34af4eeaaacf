"""A hub on localhost, with faults that can be switched on."""

from __future__ import annotations

import hashlib
import json
import re
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = "Owner/Model"
_INFO = re.compile(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?")
_FILE = re.compile(r"/([^/]+/[^/]+)/resolve/([0-9a-f]{40})/(.+)")


@dataclass(frozen=True)
class Fault:
    """What goes wrong with requests whose address holds `where`.

    A body that is cut ends there however often the client goes on.
    """

    where: str
    status: int = 0
    code: str = ""
    message: str = ""
    cut_after_bytes: int | None = None


@dataclass
class FakeHub:
    """One repository, its commits, and what was asked of it."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    credentials: list[str | None] = field(default_factory=list)
    address: str = ""

    def publish(self, files: Mapping[str, bytes], branch: str = "main") -> str:
        """Move a branch to a new commit."""
        commit = hashlib.sha1(f"{branch} {len(self.commits)}".encode()).hexdigest()
        self.commits[commit] = dict(files)
        self.branches[branch] = commit
        return commit

    def fail(self, where: str, status: int = 0, **options: str | int) -> None:
        self.faults.append(Fault(where, status, **options))  # type: ignore[arg-type]

    def heal(self) -> None:
        self.faults.clear()
        self.requests.clear()

    def resolve(self, revision: str | None) -> str | None:
        """The commit of a branch, or of the beginning of a commit."""
        if revision is None or revision in self.branches:
            return self.branches[revision or "main"]
        whole = [commit for commit in self.commits if commit.startswith(revision)]
        return whole[0] if len(whole) == 1 else None

    @property
    def asked_files(self) -> set[str]:
        """Names of all files of which anything was asked."""
        found = (_FILE.fullmatch(path) for _, path in self.requests)
        return {match[3] for match in found if match}


def safetensors_bytes(num_values: int = 4, name: str = "weight") -> bytes:
    """A safetensors file with one tensor of BF16 zeros."""
    header = {
        name: {"dtype": "BF16", "shape": [num_values], "data_offsets": [0, 2 * num_values]},
        "__metadata__": {"format": "pt"},
    }
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(2 * num_values)


@contextmanager
def serve() -> Iterator[FakeHub]:
    hub = FakeHub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.hub.requests.append((self.command, path))
        self.hub.credentials.append(self.headers["Authorization"])
        fault = next((fault for fault in self.hub.faults if fault.where in path), None)
        if fault is not None and fault.status:
            self._refuse(fault.status, fault.code, fault.message)
        elif match := _INFO.fullmatch(path):
            self._tell(match[1], match[2])
        elif match := _FILE.fullmatch(path):
            cut = None if fault is None else fault.cut_after_bytes
            self._give(match[1], match[2], match[3], cut)
        else:
            self._refuse(404, "EntryNotFound")

    def _refuse(self, status: int, code: str = "", message: str = "") -> None:
        self._send(status, {"X-Error-Code": code, "X-Error-Message": message}, b"")

    def _tell(self, name: str, revision: str | None) -> None:
        commit = self.hub.resolve(revision)
        if name != NAME:
            self._refuse(401, "RepoNotFound")
        elif commit is None:
            self._refuse(404, "RevisionNotFound")
        else:
            files = self.hub.commits[commit].items()
            listed = [{"rfilename": file, **_metadata(file, data)} for file, data in files]
            body = json.dumps({"id": name, "sha": commit, "siblings": listed}).encode()
            self._send(200, {"Content-Type": "application/json"}, body)

    def _give(self, name: str, commit: str, file: str, cut_after_bytes: int | None) -> None:
        data = self.hub.commits.get(commit, {}).get(file)
        if name != NAME or data is None:
            return self._refuse(404, "EntryNotFound")
        headers = {"ETag": f'"{_etag(file, data)}"', "X-Repo-Commit": commit}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            return self._send(200, headers, data, cut_after_bytes)
        self.hub.ranges.append(wanted[0])
        start, stop = int(wanted[1]), min(int(wanted[2] or len(data)) + 1, len(data))
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
        nothing_more = None if cut_after_bytes is None else 0
        return self._send(206, headers, data[start:stop], nothing_more)

    def _send(
        self, status: int, headers: Mapping[str, str], body: bytes, cut: int | None = None
    ) -> None:
        self.send_response(status)
        for key, value in headers.items():
            if value:
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:cut])
            if cut is not None:
                self.close_connection = True


def _etag(file: str, data: bytes) -> str:
    digest = hashlib.sha256 if file.endswith((".safetensors", ".bin")) else hashlib.sha1
    return digest(data).hexdigest()


def _metadata(file: str, data: bytes) -> dict[str, object]:
    tag = _etag(file, data)
    if len(tag) == 40:
        return {"size": len(data), "blobId": tag}
    pointer = {"sha256": tag, "size": len(data), "pointerSize": 130}
    return {"size": len(data), "blobId": "0" * 40, "lfs": pointer}
