"""Examples from requests and their replies, with the answers that somebody has corrected."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, Union

from qwenvl_kit.arguments.checks import explains_wrong_arguments
from qwenvl_kit.errors import QwenVLKitWarning, TrainingDataError, located
from qwenvl_kit.formats.dicts import as_messages
from qwenvl_kit.journal import from_record, read_records
from qwenvl_kit.messages.message import Message, Part, TextPart
from qwenvl_kit.messages.thinking_parts import ThinkingPart
from qwenvl_kit.requests import Request, RequestLike, as_request
from qwenvl_kit.results import Failure, Reply, Result
from qwenvl_kit.training.examples.example import Example

Correction: TypeAlias = Union[str, Message, None]
"""The right answer, as a text or an assistant's message; None to leave the request out."""

_JOURNAL_KIND = "ask_many"


@explains_wrong_arguments
def examples_from_replies(
    requests: Sequence[RequestLike],
    replies: Sequence[Result] | str | os.PathLike[str],
    corrected: Mapping[str, Correction] | None = None,
) -> list[Example]:
    """Make an example of each request with its reply, or with the answer that corrects it.

        requests = [Request.about("What is this?", path, id=path) for path in paths]
        chat.ask_many(requests, journal="run.jsonl")
        examples = examples_from_replies(requests, "run.jsonl", {"cat.jpg": "A cat."})

    Requests that failed, replies that were cut off, and calls that could not be read are left out
    unless they are corrected; a `QwenVLKitWarning` says how many.

    Args:
        requests: the requests that were asked.
        replies: their results, in their order; or the journal of `ask_many`, in which replies are
            found by the ids of their requests.
        corrected: the right answers, by the ids of the requests.

    Raises:
        TrainingDataError: there are not as many replies as requests, two requests have one id, or
            with a journal a request has none; or `corrected` names an id that is not there.
        JournalError: the file is no journal of `ask_many`.
    """
    asked = [as_request(request) for request in requests]
    right = dict(corrected or {})
    _check_ids(asked, right, is_journal=isinstance(replies, (str, os.PathLike)))
    given = _results(asked, replies)
    examples, left_out = list[Example](), list[str]()
    for at, (request, result) in enumerate(zip(asked, given)):
        where = f"requests[{at}]" if request.id is None else f"request {request.id!r}"
        is_corrected = request.id is not None and request.id in right
        answer = right[request.id] if is_corrected else _said(result)  # type: ignore[index]
        if answer is None:
            left_out += [] if is_corrected else [where]
            continue
        with located(where):
            examples.append(_example(request, answer, where))
    if left_out:
        warnings.warn(
            f"{len(left_out)} requests without a whole answer are left out, the first of them "
            f"{left_out[0]}",
            QwenVLKitWarning,
            stacklevel=3,  # through the decorator
        )
    return examples


def _check_ids(requests: Sequence[Request], corrected: Mapping[str, Any], is_journal: bool) -> None:
    ids = [request.id for request in requests]
    if is_journal and None in ids:
        raise TrainingDataError(
            f"requests[{ids.index(None)}] has no id, by which its reply could be found",
            expected="requests with ids, as they were asked",
            hint="the results of ask_many in place of the journal",
        )
    named = [each for each in ids if each is not None]
    if len(set(named)) < len(named):
        twice = next(each for each in named if named.count(each) > 1)
        raise TrainingDataError(f"two requests have the id {twice!r}", expected="ids that differ")
    unknown = [each for each in corrected if each not in set(named)]
    if unknown:
        raise TrainingDataError(
            f"an answer of {unknown[0]!r} was given, which is the id of no request",
            expected="ids of the requests",
        )


def _results(requests: Sequence[Request], replies: Any) -> list[Result | None]:
    """The result of each request; None if the journal has none."""
    if isinstance(replies, (str, os.PathLike)):
        records = {
            key: record["reply"] for key, record in read_records(replies, kind=_JOURNAL_KIND)
        }
        found = [records.get(str(request.id)) for request in requests]
        return [None if record is None else from_record(Reply, record) for record in found]
    if len(replies) != len(requests):
        raise TrainingDataError(
            f"{len(replies)} replies and {len(requests)} requests were given",
            expected="the result of each request, in their order",
        )
    return list(replies)


def _said(result: Result | None) -> Message | None:
    """The answer of a model; None if it is not whole."""
    if result is None or isinstance(result, Failure):
        return None
    if result.finish_reason != "stop" or result.unread_calls:
        return None
    parts: list[Part] = [] if result.thinking is None else [ThinkingPart(result.thinking)]
    parts += [TextPart(result.text)] if result.text.strip() else []
    parts += result.tool_calls
    return Message("assistant", tuple(parts)) if parts else None


def _example(request: Request, answer: str | Message, where: str) -> Example:
    said = Message.assistant(answer) if isinstance(answer, str) else answer
    if not isinstance(said, Message) or said.role != "assistant":
        raise TrainingDataError(
            f"an answer of type {type(answer).__name__} was given",
            expected="a text, or Message.assistant(...)",
        )
    messages = as_messages(request.messages)
    if messages[-1].role == "assistant":  # an answer that was begun
        said = Message("assistant", (*messages[-1].parts, *said.parts))
        messages = messages[:-1]
    return Example(
        (*messages, said),
        answers="last",
        tools=request.tools,
        thinking=request.thinking,
        budget=request.budget,
        where=where,
    )
