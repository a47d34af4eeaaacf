"""A trace shows each request of a block as a timeline, and changes none of them."""

from __future__ import annotations

import json
from pathlib import Path

import PIL.Image
import pytest

from qwenvl_kit import Request, Sampling, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import GenerationError
from qwenvl_kit.telemetry import Trace, trace

RED = PIL.Image.new("RGB", (56, 56), "red")


def scripted(request: object) -> str:
    text = request.messages[-1].text  # type: ignore[attr-defined]
    if "fail" in text:
        raise GenerationError("no")
    return "a red circle"


@pytest.fixture
def chat() -> VisionChat:
    return VisionChat(ScriptedBackend(scripted))


def test_a_request_is_shown_from_its_media_to_its_last_token(chat: VisionChat) -> None:
    with chat.trace() as recorded:
        chat.ask("What is this?", RED)
    (request,) = recorded.requests
    assert request.spans[0].name == "media"
    assert [span.text for span in request.spans if span.name == "token"] == ["a", " red", " circle"]
    ends = [span.end_seconds for span in request.spans]
    assert ends == sorted(ends)
    assert request.visual_tokens == 4
    assert request.seconds > 0


def test_only_requests_of_the_block_are_shown(chat: VisionChat) -> None:
    chat.ask("before")
    with trace(chat) as recorded:
        chat.ask(Request("within", id="mine"))
    chat.ask("after")
    assert [request.name for request in recorded.requests] == ["mine"]


def test_all_entrances_are_shown(chat: VisionChat) -> None:
    with chat.trace() as recorded:
        chat.ask_many(["one", "two"])
        with chat.stream("three") as stream:
            assert "".join(delta.text for delta in stream) == "a red circle"
    assert len(recorded.requests) == 3


def test_a_failure_is_shown_and_raised_all_the_same(chat: VisionChat) -> None:
    with chat.trace() as recorded, pytest.raises(GenerationError):
        chat.ask("fail")
    assert recorded.requests[0].spans[-1].name == "failed"
    assert recorded.requests[0].spans[-1].text == "GenerationError"


def test_traces_may_lie_within_each_other(chat: VisionChat) -> None:
    with chat.trace() as outer:
        chat.ask("one")
        with chat.trace() as inner:
            chat.ask("two")
        chat.ask("three")
    assert (len(outer.requests), len(inner.requests)) == (3, 1)


def test_an_empty_trace_says_so(chat: VisionChat) -> None:
    with chat.trace() as recorded:
        pass
    assert str(recorded) == "no request"
    assert recorded.to_chrome()["traceEvents"] == []


def test_the_file_is_what_perfetto_opens(chat: VisionChat, tmp_path: Path) -> None:
    with chat.trace() as recorded:
        chat.ask(Request("Was ist das? 图片", id="图"), RED)
    recorded.save(tmp_path / "trace.json")
    written = json.loads((tmp_path / "trace.json").read_text(encoding="utf-8"))
    names, *events = written["traceEvents"]
    assert names["ph"] == "M"
    assert names["args"] == {"name": "图"}
    assert {event["ph"] for event in events} == {"X"}
    assert all(event["ts"] >= 0 and event["dur"] >= 0 for event in events)
    assert {event["cat"] for event in events} >= {"media", "token"}


def test_a_long_answer_is_printed_in_part_and_written_whole() -> None:
    chat = VisionChat(ScriptedBackend([" ".join(["word"] * 200)]))
    with chat.trace() as recorded:
        chat.ask("Write.", sampling=Sampling(max_new_tokens=300))
    assert "more tokens" in str(recorded)
    assert len(str(recorded).splitlines()) < 60
    assert sum(event["cat"] == "token" for event in recorded.to_chrome()["traceEvents"][1:]) == 200


def test_text_of_a_model_does_nothing_in_a_page() -> None:
    chat = VisionChat(ScriptedBackend(["<script>alert(1)</script>"]))
    with chat.trace() as recorded:
        chat.ask("Write.")
    assert "<script>" not in recorded._repr_html_()


def test_a_trace_of_a_model_has_vision_and_prefill(tiny_folder: Path) -> None:
    with VisionChat.from_pretrained(tiny_folder) as chat, chat.trace() as recorded:
        chat.ask("What is this?", RED, sampling=Sampling(max_new_tokens=3))
    assert isinstance(recorded, Trace)
    names = [span.name for span in recorded.requests[0].spans]
    assert names[:4] == ["media", "waiting", "vision", "prefill"]
    assert set(names[4:]) == {"token"}
