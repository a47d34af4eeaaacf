"""A pool of decoding processes: they are kept warm, and each is ended at its deadline."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from qwenvl_kit import errors
from qwenvl_kit.errors import MediaDecodeError, MediaTimeoutError, QwenVLKitError
from qwenvl_kit.media.isolation.deadlines import Deadline
from qwenvl_kit.media.isolation.shared_memory import SharedMemory

_START = (
    "import sys; sys.path[:] = {path!r}; "
    "from qwenvl_kit.media.worker.main import main; main({memory!r})"
)
_PIPE_BYTES = 2**20
"""Capacity of the pipe, where the system allows it; pixels then come in few large pieces."""

_MAX_ARENAS = "2"
"""Most memory arenas of glibc; each reserves addresses, which count as memory."""

_MAX_IDLE = 2
"""Most idle processes that are kept for the next request; each takes about 50 MB."""


class DecoderProcess:
    """A decoding process: a child process that answers one request at a time.

    It is started by a command and not by `multiprocessing`, which would run the user's main
    module a second time.
    """

    def __init__(self) -> None:
        self._memory = SharedMemory.make()
        descriptor = None if self._memory is None else self._memory.descriptor
        start = _START.format(path=_search_path(), memory=descriptor)
        try:
            self._process = subprocess.Popen(
                [sys.executable or "", "-c", start],
                pass_fds=() if descriptor is None else (descriptor,),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={"MALLOC_ARENA_MAX": _MAX_ARENAS, **os.environ},
                pipesize=_PIPE_BYTES,
            )
        except BaseException:
            if self._memory is not None:
                self._memory.close()
            raise

    def ask(
        self,
        request: Mapping[str, Any],
        timeout_seconds: float,
        payload: bytes = b"",
        answer_seconds: float | None = None,
    ) -> Generator[tuple[dict[str, Any], memoryview], None, None]:
        """Send a request; yield its answers, each with the bytes that came with it.

        The next answer overwrites the bytes.

        Args:
            request: the request, as JSON has it.
            timeout_seconds: the time for the whole request; the process is ended then.
            payload: bytes that go with the request.
            answer_seconds: the time for each answer; None for no limit but the other.

        Raises:
            MediaTimeoutError: the time is over; the process was ended.
            MediaDecodeError: the process died.
            QwenVLKitError: the process refuses the file.
        """
        deadline = Deadline(self.kill, timeout_seconds, answer_seconds)
        try:
            with deadline:
                for answer in self._exchange({**request, "num_bytes": len(payload)}, payload):
                    deadline.pause()
                    yield answer
                    deadline.go_on()
        except QwenVLKitError:  # some are also a ValueError
            raise
        except Exception as error:
            self.kill()  # its late answers must not be taken for those of another request
            if deadline.is_over:
                raise deadline.error() from error
            raise MediaDecodeError(
                f"the decoder died while it read the file (exit status {self._status()})",
                hint="convert the file, or take another",
            ) from error

    def kill(self) -> None:
        """End the process at once; may be called from any thread, and again."""
        self._process.kill()

    def close(self) -> None:
        """End the process and wait until it has ended."""
        self.kill()
        self._process.wait()
        if self._memory is not None:
            self._memory.close()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):  # data in the buffer cannot be sent any more
                    pipe.close()

    def _status(self) -> int | None:
        try:
            return self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return None

    def _exchange(
        self, request: Mapping[str, Any], payload: bytes
    ) -> Iterator[tuple[dict[str, Any], memoryview]]:
        pipe_in, pipe_out = self._process.stdin, self._process.stdout
        if pipe_in is None or pipe_out is None:
            raise EOFError
        pipe_in.write(json.dumps(request).encode() + b"\n")
        pipe_in.write(payload)
        pipe_in.flush()
        piece = bytearray()
        while True:
            facts = json.loads(pipe_out.readline() or b"")  # the end of the pipe is a ValueError
            if "error" in facts:
                raise _as_error(facts)
            if "done" in facts:
                return
            if self._memory is not None and facts["memory_start"] is not None:
                yield facts, self._memory.read(facts["memory_start"], facts["num_bytes"])
                continue
            if len(piece) != facts["num_bytes"]:
                piece = bytearray(facts["num_bytes"])
            _fill(pipe_out, memoryview(piece))
            yield facts, memoryview(piece)


def _search_path() -> list[str]:
    """The import path for the child; without empty entries, as the working directory may change."""
    path = [entry for entry in sys.path if entry]
    root = str(Path(__file__).absolute().parents[3])
    return path if root in path else [*path, root]


def _fill(pipe: Any, buffer: memoryview) -> None:
    filled = 0
    while filled < len(buffer):
        count = pipe.readinto(buffer[filled:])
        if not count:
            raise EOFError
        filled += count


def _as_error(facts: Mapping[str, Any]) -> QwenVLKitError:
    kind = getattr(errors, facts["error"], MediaDecodeError)
    said = {name: facts[name] for name in ("expected", "hint", "where")}
    error: QwenVLKitError = kind(facts["problem"], **said)
    return error


class _Pool:
    """The idle decoding processes, for the next thread that needs one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[DecoderProcess] = []

    @contextmanager
    def lease(self) -> Iterator[DecoderProcess]:
        """Lend a process for one request; after a failure it is not used again."""
        process = self._take()
        try:
            yield process
        except QwenVLKitError as error:
            if isinstance(error, MediaTimeoutError) or not self._is_alive(process):
                process.close()
            else:
                self._give_back(process)
            raise
        except BaseException:  # some of its answers were not read
            process.close()
            raise
        self._give_back(process)

    def close(self) -> None:
        """End all idle processes."""
        while self._idle:
            self._idle.pop().close()

    def forget(self) -> None:
        """Forget the processes in a forked process: they belong to its parent."""
        self._lock, self._idle = threading.Lock(), []

    def _take(self) -> DecoderProcess:
        with self._lock:
            while self._idle:
                process = self._idle.pop()
                if self._is_alive(process):
                    return process
                process.close()
        try:
            return DecoderProcess()
        except OSError as error:
            raise MediaDecodeError(
                f"no process could be started to decode the file ({error})",
                hint="MediaPolicy(isolate_video=False, isolate_images=False)",
            ) from error

    def _give_back(self, process: DecoderProcess) -> None:
        with self._lock:
            if len(self._idle) < _MAX_IDLE:
                self._idle.append(process)
                return
        process.close()

    @staticmethod
    def _is_alive(process: DecoderProcess) -> bool:
        return process._process.poll() is None


POOL = _Pool()
"""The decoding processes of this program."""

atexit.register(POOL.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=POOL.forget)
