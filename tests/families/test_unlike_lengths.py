"""Questions of unlike length about one picture are read together, and answered as if alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from qwenvl_kit import Reply, Request, Sampling, VisionChat
from qwenvl_kit.backends.local import LocalBackend
from qwenvl_kit.backends.local.engine import model_runner as forward_module
from qwenvl_kit.backends.local.engine.model_runner import ModelRunner
from tests.by_hand import by_hand, generate_by_hand, ids_of, picture

WORDS = ("what where who when why how which one of these is there and not another " * 2).split()
LENGTHS = (9, 12, 9, 10, 15, 12)
GREEDY = Sampling(max_new_tokens=12, max_cycle_tokens=None)


@pytest.fixture
def requests() -> list[Request]:
    """Six questions; all begin with one picture of over a hundred tokens."""
    shown = picture(320, 320)
    return [
        Request.about(" ".join([str(at), *WORDS[:length]]), shown, sampling=GREEDY)
        for at, length in enumerate(LENGTHS)
    ]


@pytest.fixture(params=[1, 100_000], ids=["beginning held once", "beginning held by each"])
def holding(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward_module, "_MIN_SAVED", request.param)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Rows and tokens of each pass that read prompts."""
    seen: list[tuple[int, int]] = []
    prefill = ModelRunner.prefill

    def noted(
        self: ModelRunner,
        requests: Sequence[object],
        start: int,
        stops: Sequence[int],
        *rest: object,
    ):  # type: ignore[no-untyped-def]
        seen.append((len(requests), max(stops) - start))
        return prefill(self, requests, start, stops, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(ModelRunner, "prefill", noted)
    return seen


@pytest.mark.usefixtures("holding")
def test_their_tokens_are_those_of_each_alone_and_the_picture_is_read_once(
    chat: VisionChat,
    backend: LocalBackend,
    requests: list[Request],
    passes: list[tuple[int, int]],
) -> None:
    chat.clear_cache()
    replies = chat.ask_many(requests, on_error="raise")
    read = sum(rows * width for rows, width in passes)
    assert len(requests) in [rows for rows, _ in passes]
    assert read < replies[0].usage.prompt_tokens + len(requests) * 60
    assert [ids_of(reply) for reply in replies] == [
        _alone(backend, request) for request in requests
    ]


def test_they_can_be_asked_again_and_gone_on_from(
    chat: VisionChat, requests: list[Request]
) -> None:
    chat.clear_cache()
    first: list[Reply] = chat.ask_many(requests, on_error="raise")
    again = chat.ask_many(requests[::-1], on_error="raise")[::-1]
    assert [ids_of(reply) for reply in again] == [ids_of(reply) for reply in first]
    assert all(reply.usage.reused_tokens for reply in again)


def _alone(backend: LocalBackend, request: Request) -> list[int]:
    inputs = by_hand(backend, [list(request.conversation())])
    _, tokens = generate_by_hand(backend, inputs, max_new_tokens=GREEDY.max_new_tokens)
    return [int(token) for token in tokens[0]]
