"""A server on loopback that speaks OpenAI's chat API, and fails as it is told to."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Fail = Callable[["Handler"], None]


@dataclass
class Speaker:
    """What a server says.

    Attributes:
        words: the tokens of its answers.
        owner: by whom its models are owned.
        models: their names.
        logprob: of every token; None for a server that tells none.
        binds: whether it keeps to a form: the probe's alone.
        extra: what its description of a model holds beside.
        finish: why an answer ends.
        deltas: pieces of an answer in place of the words', as the API has them.
        failures: what happens to the next requests for an answer, in their turn.
        listing: what happens in place of the list of its models.
        probing: what happens in place of the answers to what connect asks.
        requests: the requests for an answer, the probes apart.
        headers: those of each.
        paths: where all requests went, in their order.
        usage: what it says that an answer took.
        pause_seconds: between tokens.
    """

    words: list[str] = field(default_factory=lambda: ["A", " red", " circle", "."])
    owner: str = "vllm"
    models: list[str] = field(default_factory=lambda: ["Qwen2-VL-tiny"])
    logprob: float | None = -0.25
    binds: bool = True
    extra: dict[str, Any] = field(default_factory=dict)
    finish: str = "stop"
    deltas: list[dict[str, Any]] = field(default_factory=list)
    failures: deque[Fail] = field(default_factory=deque)
    listing: Fail | None = None
    probing: Fail | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    usage: dict[str, Any] = field(
        default_factory=lambda: {
            "prompt_tokens": 33,
            "completion_tokens": 5,
            "total_tokens": 38,
            "prompt_tokens_details": {"cached_tokens": 16},
        }
    )
    pause_seconds: float = 0.0
    num_running: int = 0
    most_running: int = 0
    num_cut: int = 0

    def described(self) -> dict[str, Any]:
        data = [
            {"id": n, "object": "model", "owned_by": self.owner, **self.extra} for n in self.models
        ]
        return {"object": "list", "data": data}


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    speaker: Speaker
    lock: threading.Lock

    def log_message(self, *_: object) -> None:
        """In silence."""

    def do_GET(self) -> None:
        self.speaker.paths.append(self.path)
        if self.speaker.listing is not None:
            self.perform(self.speaker.listing)
        elif self.path.endswith("/models"):
            self.say(200, self.speaker.described())
        else:
            self.say(404, {"error": {"message": "nothing here"}})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        speaker = self.speaker
        speaker.paths.append(self.path)
        if not body.get("stream"):  # a probe
            self.perform(speaker.probing or (lambda _: self.say(200, self.probed(body))))
            return
        with self.lock:
            speaker.requests.append(body)
            speaker.headers.append(dict(self.headers))
            speaker.num_running += 1
            speaker.most_running = max(speaker.most_running, speaker.num_running)
            fail = speaker.failures.popleft() if speaker.failures else None
        try:
            self.perform(fail or (lambda _: self.stream(self.chunks(body))))
        finally:
            with self.lock:
                speaker.num_running -= 1

    def perform(self, act: Fail) -> None:
        """Do something, until the client has had enough of it."""
        try:
            act(self)
        except (BrokenPipeError, ConnectionResetError):
            with self.lock:
                self.speaker.num_cut += 1
            self.close_connection = True

    def probed(self, body: Mapping[str, Any]) -> dict[str, Any]:
        bound = '{"quartz": 7}' if self.speaker.binds and "response_format" in body else "seven"
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
        choice["message"] = {"role": "assistant", "content": bound}
        if body.get("logprobs") and self.speaker.logprob is not None:
            choice["logprobs"] = {"content": [self.scored("seven", 0)]}
        return {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": "m",
            "choices": [choice],
        }

    def chunks(self, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        speaker = self.speaker
        for delta in speaker.deltas or [{"content": word} for word in speaker.words]:
            choice: dict[str, Any] = {"index": 0, "delta": delta, "finish_reason": None}
            if body.get("logprobs") and speaker.logprob is not None and delta.get("content"):
                most = body.get("top_logprobs", 0)
                choice["logprobs"] = {"content": [self.scored(delta["content"], most)]}
            yield self.chunk([choice])
            time.sleep(speaker.pause_seconds)
        yield self.chunk([{"index": 0, "delta": {}, "finish_reason": speaker.finish}])
        yield self.chunk([]) | {"usage": speaker.usage}

    def chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        kind = "chat.completion.chunk"
        return {"id": "1", "object": kind, "created": 0, "model": "m", "choices": choices}

    def scored(self, token: str, num_alternatives: int) -> dict[str, Any]:
        score = {"token": token, "logprob": self.speaker.logprob, "bytes": None}
        others = [score, {"token": " blue", "logprob": -3.0, "bytes": None}][:num_alternatives]
        return {**score, "top_logprobs": others}

    def stream(self, chunks: Iterator[dict[str, Any]], most: int = 10**9) -> None:
        """Send chunks as events; after so many of them the line is cut."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for number, chunk in enumerate(chunks):
            if number >= most:
                break
            self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
            self.wfile.flush()
        else:
            self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def say(self, status: int, content: Any, headers: Mapping[str, str] | None = None) -> None:
        is_text = isinstance(content, str)
        data = content.encode() if is_text else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if is_text else "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serving(speaker: Speaker) -> Iterator[str]:
    """The address of a server that says what a speaker does."""
    kind = type("Bound", (Handler,), {"speaker": speaker, "lock": threading.Lock()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def refuse(status: int, message: str = "no", headers: Mapping[str, str] | None = None) -> Fail:
    """A failure by status."""
    return lambda handler: handler.say(status, {"error": {"message": message}}, headers)


def cut(after: int) -> Fail:
    """A stream that ends in the midst of an answer."""
    return lambda handler: handler.stream(handler.chunks({"logprobs": True}), most=after)
