"""The engine of vLLM, run step by step for all requests.

`LLM.chat` takes a list and fails as a whole. The engine below it takes requests one by one while
others run, and can abort each of them. So a request that vLLM refuses does not fail the others,
tokens are seen as they come, and a cancelled request is aborted.
"""

from __future__ import annotations

import atexit
import itertools
import threading
import weakref
from collections import deque
from contextlib import AbstractContextManager
from typing import Any

from qwenvl_kit.backends.admission import Gathering, check_queue_has_room
from qwenvl_kit.backends.base import Load
from qwenvl_kit.backends.vllm.error_mapping import translated
from qwenvl_kit.backends.vllm.request import EngineRequest

_IDLE_SECONDS = 1.0
_EXIT_SECONDS = 10.0


def _stop_all() -> None:
    """Stop all engines when the interpreter ends, as vLLM's own threads would crash."""
    for engine in tuple(_ENGINES):
        engine.stop()


_ENGINES: weakref.WeakSet[Engine] = weakref.WeakSet()
atexit.register(_stop_all)


class Engine:
    """A thread that runs vLLM's engine. It ends when it has had nothing to do for a second.

    Args:
        core: vLLM's `LLMEngine`.
        scoring_params: makes the `SamplingParams` for scoring an answer, from the number of
            alternatives.
        max_queued_requests: most requests that wait to be started.
    """

    def __init__(self, core: Any, scoring_params: Any, max_queued_requests: int) -> None:
        self._core = core
        self._scoring_params = scoring_params
        self._max_queued_requests = max_queued_requests
        self._changed = threading.Condition()
        self._waiting: deque[EngineRequest] = deque()
        self._running: dict[str, EngineRequest] = {}
        self._thread: threading.Thread | None = None
        self._gathering = Gathering(self._changed)
        self._names = itertools.count()
        self._is_closed = False
        _ENGINES.add(self)

    @property
    def load(self) -> Load:
        """The requests that wait and run at the moment."""
        return Load(len(self._waiting), len(self._running))

    def submit(self, request: EngineRequest) -> None:
        """Queue a request; for any thread.

        Raises:
            OverloadError: too many requests wait.
        """
        with self._changed:
            check_queue_has_room(len(self._waiting), self._max_queued_requests, "from_vllm")
            self._waiting.append(request)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="qwenvl_kit vllm", daemon=True
                )
                self._thread.start()
            self._changed.notify_all()

    def gather(self) -> AbstractContextManager[None]:
        """Return a context in which an idle engine begins nothing."""
        return self._gathering.hold()

    def close(self) -> None:
        """Release the engine as soon as no request runs; for any thread."""
        with self._changed:
            self._is_closed = True
            is_idle = self._thread is None
            self._changed.notify_all()
        if is_idle:
            self._shut_down()

    def stop(self) -> None:
        """Cancel all requests and wait for the thread, as Python is about to end."""
        with self._changed:
            cancelled = [*self._waiting, *self._running.values()]
            thread = self._thread
        for request in cancelled:
            request.is_cancelled = True
        self.close()
        if thread is not None:
            thread.join(_EXIT_SECONDS)

    def _run(self) -> None:
        while self._take_new():
            self._end_early()
            if self._running:
                self._step()
        if self._is_closed:
            self._shut_down()

    def _take_new(self) -> bool:
        """Start the requests that wait; False if the thread is to end."""
        with self._changed:
            while not self._running and (not self._waiting or self._gathering.is_active):
                was_told = self._changed.wait(_IDLE_SECONDS)
                is_over = not was_told or self._is_closed
                if is_over and not self._waiting and not self._gathering.is_active:
                    if not self._is_closed:
                        self._thread = None
                    return False
            new = list(self._waiting)
            self._waiting.clear()
        for request in new:
            if request.is_scoring:
                self._score(request)
            else:
                self._begin(request, request.prompt, request.params)
        return True

    def _begin(self, request: EngineRequest, prompt: Any, params: Any) -> None:
        """Pass a request to the engine; one that it refuses ends here."""
        name = f"qwenvl-kit-{next(self._names)}"
        try:
            self._core.add_request(name, prompt, params, lora_request=request.lora)
        except Exception as error:  # vLLM raises errors of many types
            request.future.set_exception(translated(error))
        else:
            self._running[name] = request

    def _score(self, request: EngineRequest) -> None:
        params = self._scoring_params(request.asked.sampling.num_alternatives)
        self._begin(request, request.scoring_prompt(), params)

    def _end_early(self) -> None:
        for name, request in list(self._running.items()):
            reason = request.must_end
            if reason is not None or request.has_enough:
                self._core.abort_request([name])
                del self._running[name]
                self._finish(request, reason)

    def _step(self) -> None:
        try:
            outputs = self._core.step()
        except Exception as error:  # the engine can no longer be used
            failed, self._running = self._running, {}
            for request in failed.values():
                request.future.set_exception(translated(error))
            return
        for output in outputs:
            if output.request_id in self._running:
                self._take(output, self._running[output.request_id])

    def _take(self, output: Any, request: EngineRequest) -> None:
        try:
            if request.is_scoring:
                if output.finished:
                    del self._running[output.request_id]
                    request.take_scores(output)
                    request.finish()
            elif request.take(output):
                del self._running[output.request_id]
                self._finish(request)
        except Exception as error:  # a caller waits for the future, whatever happens
            self._running.pop(output.request_id, None)
            request.future.set_exception(translated(error))

    def _finish(self, request: EngineRequest, reason: Any = None) -> None:
        """End a request, or score its answer first."""
        if reason is None and request.needs_scores:
            self._score(request)
        else:
            request.finish(reason)

    def _shut_down(self) -> None:
        core, self._core = self._core, None
        shut_down = getattr(getattr(core, "engine_core", None), "shutdown", None)
        if shut_down is not None:
            shut_down()
