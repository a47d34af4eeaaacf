"""Every backend gives the answers of transformers, or says by a typed error that it cannot."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import pytest

from qwenvl_kit import Sampling, VisionChat
from qwenvl_kit.errors import UnsupportedFeatureError
from tests.media.web.servers import admitting, response, serving

from .promises import PROMISES, scene
from .subjects import SUBJECTS, Subject, local, openvino, scripted


@pytest.fixture(scope="module")
def truth() -> Iterator[VisionChat]:
    with VisionChat.from_pretrained(dtype="float32", calibrator=None) as chat:
        yield chat


def subject_of(subject: Subject) -> object:
    """What starts a server, or vLLM, is long."""
    is_here = subject.open in (local, openvino, scripted)
    return pytest.param(subject, id=subject.name, marks=[] if is_here else [pytest.mark.long])


@pytest.fixture(scope="module", params=map(subject_of, SUBJECTS))
def subject(request: pytest.FixtureRequest) -> Subject:
    chosen: Subject = request.param
    if chosen.missing:
        pytest.skip(f"{' and '.join(chosen.missing)} not installed: nox -s integration")
    return chosen


@pytest.fixture(scope="module")
def chat(subject: Subject, truth: VisionChat) -> Iterator[VisionChat]:
    with subject.open(truth) as opened:
        yield opened


@pytest.mark.parametrize("promise", PROMISES)
def test_a_backend_keeps_each_promise_or_refuses_it(
    subject: Subject,
    chat: VisionChat,
    truth: VisionChat,
    promise: str,
    record_property: Callable[[str, object], None],
) -> None:
    if promise in subject.lacks:
        with pytest.raises(UnsupportedFeatureError):
            PROMISES[promise](chat, truth)
    else:
        PROMISES[promise](chat, truth)
    record_property("backend", (subject.name, promise, promise not in subject.lacks))


def test_a_server_fetches_the_pictures_that_are_linked_to(
    chat: VisionChat, truth: VisionChat
) -> None:
    if "server" not in chat.report():
        pytest.skip("it is no server")
    told, picture, short = chat.report(), scene("blue"), Sampling(max_new_tokens=12)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    with serving({"/blue.png": response(buffer.getvalue())}) as web:
        with VisionChat.connect(
            told["server"],
            model=told["model"],
            dialect=told["dialect"],
            checkpoint=told["checkpoint"],
            send_links=True,
            media=admitting(web),
        ) as linked:
            url = web.url("/blue.png", "127.0.0.1")
            reply = linked.ask("What is this?", url, sampling=short)
        assert len(web.asked) == 2  # the header for the plan, and the server
    assert reply.text == truth.ask("What is this?", picture, sampling=short).text
    assert reply.usage.prompt_tokens == reply.plan.prompt_tokens
