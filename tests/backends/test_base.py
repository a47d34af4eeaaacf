"""The base class of backends: three members make one, and all else has a default."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

import PIL.Image
import pytest

from qwenvl_kit import Request, VisionChat
from qwenvl_kit.backends.base import Backend, BackendRequest, Completion, Observer
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import UnsupportedFeatureError
from qwenvl_kit.messages.message import Message
from qwenvl_kit.plans import ImagePlan, VideoPlan


class Echo(Backend):
    """A backend with the three members that have no default."""

    rules = ScriptedBackend([]).rules

    def count_prompt_tokens(
        self, messages: Sequence[Message], media: Sequence[ImagePlan | VideoPlan]
    ) -> int:
        return len(messages) + sum(plan.tokens for plan in media)

    def submit(
        self, request: BackendRequest, observer: Observer | None = None
    ) -> Future[Completion]:
        future: Future[Completion] = Future()
        future.set_result(Completion(request.messages[-1].text, "stop", None, None, 1))
        return future


@pytest.fixture
def chat() -> VisionChat:
    return VisionChat(Echo())


def test_three_members_make_a_backend_that_answers(chat: VisionChat) -> None:
    picture = PIL.Image.new("RGB", (300, 200), "red")
    reply = chat.ask("What is this?", picture)
    assert reply.text == "What is this?"
    assert reply.usage.visual_tokens > 0
    assert [str(one) for one in chat.ask_many(["a", Request.about("b", picture)])] == ["a", "b"]


def test_what_a_backend_does_not_know_is_not_known(chat: VisionChat) -> None:
    health = chat.health()
    assert health.is_ready
    assert health.is_idle
    assert health.free_bytes is None
    assert chat.stats().decode_seconds is None
    assert chat.report() == {"backend": "Echo"}


def test_abilities_that_a_backend_lacks_are_refused(chat: VisionChat) -> None:
    with pytest.raises(UnsupportedFeatureError, match="Echo takes no adapters"):
        _ = chat.adapters
    for ask in (chat.cache_info, chat.clear_cache):
        with pytest.raises(UnsupportedFeatureError, match="keeps nothing between requests"):
            ask()


def test_a_backend_without_an_answer_cannot_be_made() -> None:
    class Mute(Echo):
        submit = Backend.submit

    with pytest.raises(TypeError, match="submit"):
        Mute()  # type: ignore[abstract]
