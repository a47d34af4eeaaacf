"""What honest servers and gateways were seen to send is read as they mean it."""

from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import pytest

from .conftest import Connect
from .malice import JSON, begin, event, sending
from .speaking import Handler, Speaker

USAGE = {"prompt_tokens": 33, "completion_tokens": 5, "total_tokens": 38}


@dataclass(frozen=True)
class Seen:
    """What somebody has published of a server's answer.

    Attributes:
        where: it was published.
        sent: its bytes.
        text: of the answer that is meant.
        thinking: its thoughts.
        calls: names of the tools that are called.
        kind: its content type.
        encoding: how it is said to be compressed.
    """

    where: str
    sent: bytes
    text: str = "A red circle."
    thinking: str | None = None
    calls: tuple[str, ...] = ()
    kind: str = "text/event-stream"
    encoding: str = "identity"


def chunk(*choices: dict[str, Any], **beside: Any) -> bytes:
    body = {"id": "1", "object": "chat.completion.chunk", "choices": list(choices), **beside}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def said(content: str | None, **beside: Any) -> bytes:
    return event({"content": content}, **beside)


def called(arguments: str = "{}", **of_call: Any) -> bytes:
    """The first piece of a call."""
    function = {"name": "weather", "arguments": arguments}
    return event({"tool_calls": [{**of_call, "type": "function", "function": function}]})


def piece(**of_call: Any) -> bytes:
    """Another piece of it, which closes its arguments."""
    return event({"tool_calls": [{**of_call, "function": {"arguments": "}"}}]})


A, RED, END, DONE = said("A red "), said("circle."), event({}, "stop"), b"data: [DONE]\n\n"
WHOLE = A + RED + END + DONE

SEEN = [
    Seen("openai-python#2722: an event with a field and no data", b"retry: 3000\n\n" + WHOLE),
    Seen(
        "llmgateway#2334: a comment after an id",
        b"id: 7\n" + A + b": ping\n\n" + b"id: 8\n" + RED + b": ping\n\n" + END + DONE,
    ),
    Seen("OpenRouter: comments", b": OPENROUTER PROCESSING\n\n" * 9 + WHOLE),
    Seen("llm-gateway#2053: comments as data", b"data: : OPENROUTER PROCESSING\n\n" * 3 + WHOLE),
    Seen("omnigent#1474: empty data", A + b"data:\n\n" + b"data: \n\n" + RED + END + DONE),
    Seen("langchaingo#1171: comments between lines", b": keep-alive\n" + A + RED + END),
    Seen("spoon-core#179: usage without choices", A + RED + END + chunk(usage=USAGE) + DONE),
    Seen(
        "litellm#3276: filters of Azure, and no scores of nothing",
        chunk(prompt_filter_results=[{"prompt_index": 0}])
        + event({"role": "assistant", "content": ""}, logprobs={"content": []})
        + A
        + chunk({"index": 0, "finish_reason": None, "content_filter_offsets": {"start": 3}})
        + RED
        + END,
    ),
    Seen(
        "text-generation-inference#1648: the token's place as index",
        chunk({"index": 1, "delta": {"content": "A red "}, "finish_reason": None})
        + chunk({"index": 2, "delta": {"content": "circle."}, "finish_reason": "length"}),
    ),
    Seen(
        "vllm#35705: the last text in the last chunk", A + event({"content": "circle."}, "length")
    ),
    Seen(
        "open-webui#16377: an end in each chunk of thoughts",
        event({"reasoning_content": "Hm, "}, "stop")
        + event({"reasoning_content": "a circle."}, "stop")
        + WHOLE,
        thinking="Hm, a circle.",
    ),
    Seen(
        "vllm#2918: scores of another form",
        event({"content": "A red "}, logprobs={"content": None, "tokens": ["A"]}) + RED + END,
    ),
    Seen(
        "litellm#10686: a role without content, and null in place of scores",
        event({"role": "assistant"}, logprobs=None) + said(None, logprobs=None) + WHOLE,
    ),
    Seen(
        "sglang#3912, ollama#4357: an empty text in place of no reason",
        said("A red ", finish="") + said("circle.", finish="") + said("", finish="stop"),
    ),
    Seen("mistral-vibe#793: space behind the end", A + RED + END + b"data: [DONE] \r\n\r\n"),
    Seen(
        "opencodex#1188: no space behind the colon",
        WHOLE.replace(b"data: ", b"data:") + b"data:[DONE]\n\n",
    ),
    Seen("anything-llm#1475: empty lines", WHOLE.replace(b"\n\n", b"\n\n\n\n")),
    Seen("CRLF", WHOLE.replace(b"\n", b"\r\n")),
    Seen("terrapod#71: an encoding that is none", WHOLE, encoding="none"),
    Seen(
        "alfred-openai-workflow#52: usage in each chunk",
        chunk({"index": 0, "delta": {"content": "A red circle."}}, usage=USAGE)
        + chunk({"index": 0, "delta": {}, "finish_reason": "stop"}, usage=USAGE),
    ),
    Seen(
        "bounty-challenge#17821: JSON in place of a stream",
        json.dumps(
            {
                "object": "chat.completion",
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": "A red circle."},
                        "finish_reason": "stop",
                    }
                ],
            },
            indent=2,
        ).encode(),
        kind=JSON,
    ),
    Seen(
        "maka#1976: all calls at the same place",
        called(index=0, id="a") + called(index=0, id="b") + event({}, "tool_calls"),
        text="",
        calls=("weather", "weather"),
    ),
    Seen(
        "spring-ai#5973: the name of a call in each of its pieces",
        called(index=0, id="a", arguments="{") + piece(index=0, id="a") + event({}, "tool_calls"),
        text="",
        calls=("weather",),
    ),
    Seen(
        "term-llm#314: calls without places and names",
        called(arguments="{") + piece() + called() + event({}, "tool_calls"),
        text="",
        calls=("weather", "weather"),
    ),
    Seen(
        "openai-python#3246, AstrBot#6661: calls without places",
        called(id="a", arguments="{") + piece() + called(id="b") + event({}, "tool_calls"),
        text="",
        calls=("weather", "weather"),
    ),
]


@pytest.mark.parametrize("seen", SEEN, ids=lambda seen: seen.where)
def test_what_was_published_is_read_as_it_is_meant(connect: Connect, seen: Seen) -> None:
    def weather() -> str:
        """The weather."""
        return "sun"

    speaker = Speaker(
        owner="openai",
        logprob=None,
        failures=deque(
            [sending(lambda: [seen.sent], kind=seen.kind, Content_Encoding=seen.encoding)]
        ),
    )
    tools = [weather] if seen.calls else None
    reply = connect(speaker, max_retries=0).ask("What?", tools=tools)
    assert (reply.text, reply.thinking) == (seen.text, seen.thinking)
    assert tuple(call.name for call in reply.tool_calls) == seen.calls
    assert reply.warnings == ()


def test_an_answer_may_be_kept_open_for_as_long_as_it_may_take(connect: Connect) -> None:
    """Comments keep a line open while a long prompt is read, longer than a server may be silent."""

    def patient(handler: Handler) -> None:
        begin(handler)
        ends_at = time.monotonic() + 1.5
        while time.monotonic() < ends_at:
            handler.wfile.write(b": OPENROUTER PROCESSING\n\n")
            time.sleep(0.05)
        handler.wfile.write(WHOLE)

    speaker = Speaker(failures=deque([patient]))
    chat = connect(speaker, timeout_seconds=1.0, max_retries=0)
    assert str(chat.ask("What?")) == "A red circle."
