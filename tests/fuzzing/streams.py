"""Streams of a server's answer, as bytes: they become an answer or an error of the kit."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from qwenvl_kit import Sampling
from qwenvl_kit.backends.server.error_mapping import ErrorTranslator
from qwenvl_kit.backends.server.event_stream import EventSplitter
from qwenvl_kit.backends.server.stream_reader import AnswerReader
from tests.fuzzing.targets import Fuzzed

SAMPLING = Sampling(max_new_tokens=64, num_alternatives=1)


def _chunks(content: bytes) -> Iterator[Any]:
    """What a client reads of events that come in pieces."""
    splitter, size = EventSplitter(), 1 + len(content) % 9
    pieces = [splitter.feed(content[at : at + size]) for at in range(0, len(content), size)]
    for event in b"".join([*pieces, splitter.finish()]).split(b"\n\n"):
        lines = [line[5:] for line in event.split(b"\n") if line.startswith(b"data:")]
        if lines and not lines[0].strip().startswith(b"[DONE]"):
            yield json.loads(b"\n".join(lines))


def _stream(content: bytes) -> None:
    reader, shown = AnswerReader(SAMPLING, None), ""
    with ErrorTranslator().translated():
        for chunk in _chunks(content):
            shown += "".join(delta.text for delta in reader.feed(chunk))
            if reader.has_ended:
                break
        shown += "".join(delta.text for delta in reader.finish())
    completion = reader.completion()
    assert shown == completion.text
    for token in completion.tokens or ():
        assert all(_is_logprob(each.logprob) for each in (token, *token.alternatives))


def _is_logprob(number: float) -> bool:
    return math.isfinite(number) and number <= 0


def _event(delta: str, beside: str = '"finish_reason": null') -> bytes:
    return b'data: {"choices": [{"index": 0, "delta": %s, %s}]}\n\n' % (
        delta.encode(),
        beside.encode(),
    )


_SCORED = (
    '"logprobs": {"content": [{"token": "A", "logprob": -0.25, "bytes": [65], "top_logprobs": '
    '[{"token": "B", "logprob": -1.5}]}]}, "finish_reason": null'
)
_CALL = '{"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]}'
_END = _event("{}", '"finish_reason": "stop"')
_USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}\n\n'

STREAM_TARGETS = {
    "server streams": Fuzzed(
        _stream,
        (
            _event('{"content": "A"}', _SCORED) + _event('{"content": " cup"}') + _END + _USAGE,
            b": ping\n\nid: 4\nretry: 3\n\n" + _event('{"reasoning": "Hm"}') + _END + b"data:\n\n",
            _event('{"role": "assistant", "content": null}') + _event(_CALL) + _END,
            (_event('{"content": "A"}') + _END + b"data: [DONE]\n\n").replace(b"\n", b"\r\n"),
        ),
    )
}
