"""The backends that are held to the promises, each opened as a user would."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.base import BackendRequest
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.embedded import MODEL_FOLDER

VLLM_ARGUMENTS = {
    "dtype": "float32",
    "enforce_eager": True,
    "max_model_len": 2048,
    "max_num_seqs": 8,
    "limit_mm_per_prompt": {"image": 4, "video": 1},
    "kv_cache_memory_bytes": 64 << 20,
}
"""For a processor with little memory; without `kv_cache_memory_bytes` vLLM takes 22 GB."""

VLLM_SERVER = (
    *("--dtype", "float32", "--enforce-eager", "--max-model-len", "2048", "--max-num-seqs", "8"),
    *("--limit-mm-per-prompt", '{"image": 4, "video": 1}', "--kv-cache-memory-bytes", "67108864"),
    "--trust-request-mm-kwargs",
)
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
}
_START_SECONDS = 300.0


@dataclass(frozen=True)
class Subject:
    """A backend that is held to the promises.

    Attributes:
        name: in the table.
        open: a chat with it, given the truth.
        lacks: promises that it refuses, by a typed error or by None.
        needs: modules without which it cannot be tried.
    """

    name: str
    open: Callable[[VisionChat], AbstractContextManager[VisionChat]]
    lacks: frozenset[str] = frozenset()
    needs: tuple[str, ...] = ()

    @property
    def missing(self) -> list[str]:
        """Modules that are not installed."""
        return [name for name in self.needs if find_spec(name) is None]


@contextmanager
def local(truth: VisionChat) -> Iterator[VisionChat]:
    with VisionChat.from_pretrained(dtype="float32", calibrator=None) as chat:
        yield chat


@contextmanager
def openvino(truth: VisionChat) -> Iterator[VisionChat]:
    from tests.openvino_export import export_model

    with tempfile.TemporaryDirectory() as folder:
        export = export_model(MODEL_FOLDER, Path(folder), truth.family.model_type)
        with VisionChat.from_openvino(export, dtype="float32", calibrator=None) as chat:
            yield chat


@contextmanager
def scripted(truth: VisionChat) -> Iterator[VisionChat]:
    backend = truth._backend

    def answer(request: BackendRequest) -> str:
        most = max(64, request.plan.max_new_tokens)  # the script itself cuts it
        plan = replace(request.plan, prompt_tokens=count(request), max_new_tokens=most)
        return backend.submit(replace(request, plan=plan)).result().text

    def count(request: BackendRequest) -> int:
        return backend.count_prompt_tokens(request.messages, list(request.plan.media.values()))

    script = ScriptedBackend(answer, logprob=None, context_tokens=2048)
    script.count_prompt_tokens = backend.count_prompt_tokens  # type: ignore[method-assign]
    script._rules = replace(backend.rules, context_tokens=2048)
    with VisionChat(script) as chat:
        yield chat


@contextmanager
def vllm(truth: VisionChat) -> Iterator[VisionChat]:
    os.environ.update(QUIET, VLLM_ENABLE_V1_MULTIPROCESSING="0")
    arguments = {**VLLM_ARGUMENTS, "distributed_executor_backend": "uni"}
    with VisionChat.from_vllm(MODEL_FOLDER, calibrator=None, **arguments) as chat:
        yield chat


@contextmanager
def vllm_server(truth: VisionChat) -> Iterator[VisionChat]:
    module = ("-m", "vllm.entrypoints.openai.api_server")  # `vllm serve` fails to find its metadata
    with running(*module, "--model", str(MODEL_FOLDER), *VLLM_SERVER) as address:
        with VisionChat.connect(f"{address}/v1", checkpoint=MODEL_FOLDER) as chat:
            yield chat


@contextmanager
def transformers_server(truth: VisionChat) -> Iterator[VisionChat]:
    serve = "from transformers.cli.transformers import main; main()"
    wanted = ("serve", str(MODEL_FOLDER), "--device", "cpu", "--dtype", "float32")
    with running("-c", serve, *wanted) as address:
        model = str(MODEL_FOLDER)
        with VisionChat.connect(
            f"{address}/v1", dialect="transformers", model=model, checkpoint=model
        ) as chat:
            yield chat


@contextmanager
def running(*command: str) -> Iterator[str]:
    """The address of a server in a process of its own, which ends with the block."""
    port = free_port()
    with tempfile.TemporaryFile() as said:  # a pipe that nobody reads would hold the server up
        process = subprocess.Popen(
            [sys.executable, *command, "--host", "127.0.0.1", "--port", str(port)],
            env={**os.environ, **QUIET},
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/health", process, said)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def wait_for(url: str, process: subprocess.Popen[bytes], said: IO[bytes]) -> None:
    """Wait until a server is healthy."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            said.seek(0)
            raise RuntimeError(f"the server ended: {said.read()[-2000:].decode(errors='replace')}")
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise RuntimeError("the server did not become healthy")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


_SCORES = frozenset(
    {
        "log probabilities",
        "the likeliest tokens at each place",
        "how sure an answer of a schema is",
        "labels by their probability",
        "an explanation by occlusion",
    }
)
_FORMS = frozenset(
    {
        "answers of a schema",
        "one of several texts",
        "an answer that an expression matches",
    }
)

SUBJECTS: Sequence[Subject] = (
    Subject("transformers in this process", local),
    Subject("OpenVINO in this process", openvino, needs=("openvino",)),
    Subject("vLLM in this process", vllm, needs=("vllm",)),
    Subject("server of vLLM", vllm_server, needs=("vllm", "openai")),
    Subject(
        "server of transformers",
        transformers_server,
        lacks=_SCORES | _FORMS | {"chosen frames of a video", "sampling that a seed repeats"},
        needs=("uvicorn", "fastapi", "openai"),
    ),
    Subject("scripted", scripted, lacks=_SCORES),
)
