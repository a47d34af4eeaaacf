"""Many requests: answered in batches, returned in order, failing one by one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, TypeAlias, TypeVar, Union

from qwenvl_kit.backends.base import BackendRequest
from qwenvl_kit.errors import GenerationError, InputError, QwenVLKitError, release_frames
from qwenvl_kit.messages import Message
from qwenvl_kit.requests import Request, RequestLike, as_request
from qwenvl_kit.results import Failure, Reply

OnError: TypeAlias = Literal["raise", "return"]
Result: TypeAlias = Union[Reply, Failure]
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Prepared:
    """A request that is ready to run.

    Attributes:
        request: what the backend is given.
        request_id: the id that the caller gave it.
        started: when its preparation began, on `time.perf_counter`'s clock.
        media_seconds: how long its pictures took to open, decode and resize.
    """

    request: BackendRequest
    request_id: str | None
    started: float
    media_seconds: float


Prepare: TypeAlias = Callable[[Request], Prepared]
Run: TypeAlias = Callable[[Sequence[Prepared]], Sequence[Reply]]


def run_batches(
    requests: Iterable[RequestLike],
    prepare: Prepare,
    run: Run,
    *,
    max_batch_size: int,
    on_error: OnError,
) -> Iterator[Result]:
    """The result of each request, in order, batch by batch.

    Args:
        requests: what to ask; read lazily, a batch at a time.
        prepare: opens and plans one request; what it raises fails that request alone.
        run: answers prepared requests together; when a batch fails, each of its requests is run
            alone, so that only those fail that cannot be answered.
        max_batch_size: most requests that run together.
        on_error: "raise" passes the first error on; "return" puts a `Failure` in its place.
    """
    for batch in _chunks(enumerate(requests), max_batch_size):
        results = _run_batch(batch, prepare, run)
        for result in results:
            if on_error == "raise" and isinstance(result, Failure):
                raise result.error
        yield from results


def _run_batch(
    batch: Sequence[tuple[int, RequestLike]], prepare: Prepare, run: Run
) -> list[Result]:
    results: dict[int, Result] = {}
    ready: dict[int, Prepared] = {}
    ids: dict[int, str | None] = {}
    for index, given in batch:
        try:
            request = as_request(given)
            ids[index] = request.id
            ready[index] = prepare(request)
        except Exception as error:
            results[index] = _failure(index, error, ids.get(index))
    results.update(_run_together(ready, ids, run))
    return [results[index] for index, _ in batch]


def _run_together(
    ready: dict[int, Prepared], ids: dict[int, str | None], run: Run
) -> dict[int, Result]:
    if not ready:
        return {}
    try:
        return dict(zip(ready, run(list(ready.values()))))
    except Exception as error:
        if len(ready) == 1:
            (index,) = ready
            return {index: _failure(index, error, ids[index])}
    alone = [_run_together({index: item}, ids, run) for index, item in ready.items()]
    return {index: result for results in alone for index, result in results.items()}


def _failure(index: int, cause: Exception, request_id: str | None) -> Failure:
    """The failure of one request; an error that nobody expected must not cost its neighbours."""
    error = _copied(cause) if isinstance(cause, QwenVLKitError) else _translated(cause)
    error.where = f"requests[{index}].{error.where}" if error.where else f"requests[{index}]"
    release_frames(error)
    return Failure(index=index, error=error, request_id=request_id)


def _copied(error: QwenVLKitError) -> QwenVLKitError:
    """The same error once more: one object may fail several requests, each in its own place."""
    copied = copy(error)
    copied.__cause__ = error.__cause__
    return copied.with_traceback(error.__traceback__)


def _translated(cause: Exception) -> GenerationError:
    error = GenerationError(f"an unexpected {type(cause).__name__} ({cause})")
    error.__cause__ = cause
    return error


def _chunks(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, min(size, sys.maxsize))):
        yield chunk


def check_batch_arguments(on_error: object, max_batch_size: object) -> None:
    """Refuse arguments of `ask_many` that cannot be meant.

    Raises:
        InputError: which, and what was expected.
    """
    if on_error not in ("raise", "return"):
        raise InputError(f"on_error={on_error!r} was given", expected="'raise' or 'return'")
    if type(max_batch_size) is not int or max_batch_size < 1:
        raise InputError(
            f"max_batch_size={max_batch_size!r} was given", expected="a whole number above 0"
        )


def checked_requests(requests: Any) -> Iterable[RequestLike]:
    """The requests of a call, of which a single one is no list.

    Raises:
        InputError: they cannot be iterated over, or are a single one.
    """
    if isinstance(requests, (str, Mapping, Message, Request)) or not isinstance(requests, Iterable):
        raise InputError(
            f"requests of type {type(requests).__name__} were given",
            expected="a list or iterator of requests",
            hint="chat.ask(...) for a single one",
        )
    return requests


def with_progress(results: Iterator[Result], requests: object) -> Iterable[Result]:
    """The results, counted by a progress bar as they come."""
    from tqdm.auto import tqdm

    total = len(requests) if isinstance(requests, Sequence) else None
    return tqdm(results, total=total, unit="request", disable=sys.stderr is None)  # type: ignore[no-any-return]
