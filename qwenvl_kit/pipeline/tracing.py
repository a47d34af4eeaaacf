"""Traces: requests as timelines, of media, waiting, vision, prefill and each token."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwenvl_kit.tables import Table

if TYPE_CHECKING:
    from concurrent.futures import Future

    from typing_extensions import Self

    from qwenvl_kit.backends.base import Completion, Observer
    from qwenvl_kit.pipeline.core import Pipeline, PipelineSlot, PreparedRequest
    from qwenvl_kit.results import Delta

_MOST_ROWS = 40
"""Rows of a request that are printed; the file has all."""

_BAR_COLUMNS = 40


@dataclass(frozen=True)
class TraceSpan:
    """A stage of a request.

    Attributes:
        name: "media", "waiting", "vision", "prefill", "token" or "failed".
        start_seconds: its begin, from the begin of the trace.
        seconds: the time that it took.
        text: the text of a token, or the error; empty for others.
    """

    name: str
    start_seconds: float
    seconds: float
    text: str = ""

    @property
    def end_seconds(self) -> float:
        """Its end, from the begin of the trace."""
        return self.start_seconds + self.seconds


@dataclass(frozen=True)
class TracedRequest:
    """A request of a trace.

    Attributes:
        name: the id of the request, or "request" with its number, from 1.
        prompt_tokens: tokens of the prompt.
        visual_tokens: those of them that stand for pictures and films.
        spans: its stages, in the order in which they began.
    """

    name: str
    prompt_tokens: int
    visual_tokens: int
    spans: tuple[TraceSpan, ...]

    @property
    def seconds(self) -> float:
        """The time from its begin to its end."""
        return max((span.end_seconds for span in self.spans), default=0.0) - self.start_seconds

    @property
    def start_seconds(self) -> float:
        """Its begin, from the begin of the trace."""
        return min((span.start_seconds for span in self.spans), default=0.0)


@dataclass
class _Record:
    """The notes of a request; times are of `time.perf_counter`."""

    prepared: PreparedRequest
    submitted: float
    tokens: list[tuple[float, str]] = field(default_factory=list)
    ended: float | None = None
    completion: Completion | None = None
    error: BaseException | None = None


class Trace:
    """The requests of a `with` block as timelines. `print` it, or `save` it for Perfetto.

    Requests that run in one batch share their steps: "vision" and "prefill" are then the times of
    the batch, before the first token of each. A token's span begins at the token before it.

    Args:
        slot: the pipeline of the chat.
    """

    def __init__(self, slot: PipelineSlot) -> None:
        self._slot = slot
        self._pipelines: list[Pipeline] = []
        self._lock = threading.Lock()
        self._records: list[_Record] = []
        self._begun = time.perf_counter()

    def __enter__(self) -> Self:
        self._begun = time.perf_counter()
        pipeline = self._slot.pipeline
        pipeline.tracers = (*pipeline.tracers, self)
        self._pipelines.append(pipeline)
        return self

    def __exit__(self, *_: object) -> None:
        for pipeline in self._pipelines:
            pipeline.tracers = tuple(each for each in pipeline.tracers if each is not self)
        self._pipelines.clear()

    @property
    def requests(self) -> tuple[TracedRequest, ...]:
        """The requests so far, in the order in which they were given to the model."""
        with self._lock:
            records = tuple(self._records)
        return tuple(self._request(at + 1, record) for at, record in enumerate(records))

    def follow(self, prepared: PreparedRequest, observer: Observer | None) -> FollowingObserver:
        """Return an observer that notes a request, and passes all on to another.

        Args:
            prepared: the request.
            observer: the other; None for none.
        """
        record = _Record(prepared, time.perf_counter())
        with self._lock:
            self._records.append(record)
        return FollowingObserver(record, observer)

    def to_chrome(self) -> dict[str, Any]:
        """Return the trace in Chrome's Trace Event Format, which Perfetto opens, as plain JSON.

        Source: "Trace Event Format" (Google), complete events "X" and metadata "M"; times in
        microseconds.
        """
        events: list[dict[str, Any]] = []
        for number, request in enumerate(self.requests, 1):
            where = {"pid": os.getpid(), "tid": number}
            name = {"name": "thread_name", "ph": "M", "args": {"name": request.name}}
            events.append({**name, **where})
            events += [
                {
                    "name": span.text if span.name == "token" else span.name,
                    "cat": span.name,
                    "ph": "X",
                    "ts": round(span.start_seconds * 1e6, 1),
                    "dur": round(span.seconds * 1e6, 1),
                    **where,
                    "args": {"text": span.text} if span.text else {},
                }
                for span in request.spans
            ]
        return {"traceEvents": events, "displayTimeUnit": "ms"}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the trace as a file for ui.perfetto.dev or chrome://tracing."""
        text = json.dumps(self.to_chrome(), ensure_ascii=False)
        Path(path).write_text(text, encoding="utf-8")

    def __str__(self) -> str:
        return "\n\n".join(_table(each).to_text() for each in self.requests) or "no request"

    def _repr_html_(self) -> str:
        return "".join(_table(each).to_html() for each in self.requests)

    def _request(self, number: int, record: _Record) -> TracedRequest:
        plan = record.prepared.request.plan
        return TracedRequest(
            name=record.prepared.resolved.request_id or f"request {number}",
            prompt_tokens=plan.prompt_tokens,
            visual_tokens=plan.visual_tokens,
            spans=tuple(self._spans(record)),
        )

    def _spans(self, record: _Record) -> Iterator[TraceSpan]:
        started, tokens = record.prepared.started, tuple(record.tokens)
        yield self._span("media", started, started + record.prepared.media_seconds)
        first = tokens[0][0] if tokens else record.ended
        if first is None:
            return
        at = record.submitted
        for name, seconds in self._before_first_token(record, first - record.submitted):
            yield self._span(name, at, at + seconds)
            at += seconds
        at = first  # the prefill gives the first token, which has no step of its own
        for ended, text in tokens:
            yield self._span("token", at, ended, text)
            at = ended
        if record.error is not None:
            yield self._span("failed", at, record.ended or at, type(record.error).__name__)

    def _before_first_token(self, record: _Record, seconds: float) -> Iterator[tuple[str, float]]:
        """The stages up to the first token, which the prefill gives; waiting is what is left."""
        done = record.completion
        prefill = min(seconds, 0.0 if done is None else done.prefill_seconds)
        vision = min(seconds - prefill, 0.0 if done is None else done.vision_seconds)
        yield "waiting", seconds - prefill - vision
        if vision:
            yield "vision", vision
        if prefill:
            yield "prefill", prefill

    def _span(self, name: str, start: float, end: float, text: str = "") -> TraceSpan:
        return TraceSpan(name, start - self._begun, max(0.0, end - start), text)


class FollowingObserver:
    """Notes the tokens and the end of a request; an `Observer`.

    Args:
        record: the notes.
        observer: the observer of the request; None for none.
    """

    def __init__(self, record: _Record, observer: Observer | None) -> None:
        self._record = record
        self._observer = observer

    def on_delta(self, delta: Delta) -> None:
        """Note a token, and pass it on."""
        if delta.token is not None:
            self._record.tokens.append((time.perf_counter(), delta.token.text))
        if self._observer is not None:
            self._observer.on_delta(delta)

    def is_read(self) -> bool:
        """True if the other observer is read: a trace does not change how requests run."""
        return self._observer is not None and self._observer.is_read()

    def is_cancelled(self) -> bool:
        """True if the other observer is cancelled."""
        return self._observer is not None and self._observer.is_cancelled()

    def note_end(self, future: Future[Completion]) -> None:
        """Note the end of the request."""
        self._record.ended = time.perf_counter()
        self._record.error = future.exception()
        if self._record.error is None:
            self._record.completion = future.result()


def _table(request: TracedRequest) -> Table:
    """A request as rows with bars."""
    rows = [_row(request, span) for span in request.spans[:_MOST_ROWS]]
    left = len(request.spans) - len(rows)
    notes = [f"and {left} more tokens"] if left else []
    shown = f"{request.prompt_tokens} prompt tokens, {request.visual_tokens} of them visual"
    notes.append(f"{shown}; {request.seconds * 1e3:.1f} ms in all")
    return Table((request.name, "from ms", "ms", "timeline"), rows, notes)


def _row(request: TracedRequest, span: TraceSpan) -> tuple[str, ...]:
    name = f"{span.name} {json.dumps(span.text, ensure_ascii=False)}" if span.text else span.name
    start = span.start_seconds - request.start_seconds
    scale = _BAR_COLUMNS / request.seconds if request.seconds else 0.0
    before = min(_BAR_COLUMNS - 1, int(start * scale))
    length = max(1, min(round(span.seconds * scale), _BAR_COLUMNS - before))
    bar = ("." * before + "#" * length).ljust(_BAR_COLUMNS, ".")
    return (name, f"{start * 1e3:.1f}", f"{span.seconds * 1e3:.1f}", bar)
