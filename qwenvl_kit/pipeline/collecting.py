"""What a call with many requests is given, and what it gives back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

from qwenvl_kit.errors import InputError, fresh
from qwenvl_kit.messages.message import Message
from qwenvl_kit.pipeline.batch import BatchEvent, Result
from qwenvl_kit.requests import Request, RequestLike
from qwenvl_kit.results import Failure

OnError: TypeAlias = Literal["raise", "return"]


def check_batch_arguments(on_error: object, max_batch_size: object) -> None:
    """Refuse arguments of `ask_many` that cannot be meant.

    Raises:
        InputError: which, and what was expected.
    """
    if on_error not in ("raise", "return"):
        raise InputError(f"on_error={on_error!r} was given", expected="'raise' or 'return'")
    if max_batch_size is not None and (type(max_batch_size) is not int or max_batch_size < 1):
        raise InputError(
            f"max_batch_size={max_batch_size!r} was given",
            expected="a whole number above 0, or None",
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


@contextmanager
def counted(requests: object, *, is_shown: bool) -> Iterator[Callable[[], object]]:
    """Something to call for each result; with a progress bar that shows them."""
    if not is_shown or sys.stderr is None:
        yield lambda: None
        return
    from tqdm.auto import tqdm

    total = len(requests) if isinstance(requests, Sequence) else None
    with tqdm(total=total, unit="request") as bar:
        yield bar.update


def collect(
    events: Iterable[BatchEvent], on_error: OnError, note: Callable[[], object]
) -> list[Result]:
    """All results in the order of their requests.

    Args:
        events: of a run.
        on_error: "raise" raises the error of the first request that failed, in their order, once
            all before it have been answered.
        note: called for each result, as it comes.
    """
    results: list[Result] = []
    early: dict[int, Result] = {}
    for event in events:
        if event.result is None:
            continue
        note()
        early[event.index] = event.result
        while len(results) in early:
            result = early.pop(len(results))
            if on_error == "raise" and isinstance(result, Failure):
                raise fresh(result.error)
            results.append(result)
    return results
