"""Every backend gives the answers of transformers, or says by a typed error that it cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from qwenvl_kit import VisionChat
from qwenvl_kit.errors import UnsupportedFeatureError

from .promises import PROMISES
from .subjects import SUBJECTS, Subject


@pytest.fixture(scope="module")
def truth() -> Iterator[VisionChat]:
    with VisionChat.from_pretrained(dtype="float32", calibrator=None) as chat:
        yield chat


@pytest.fixture(scope="module", params=SUBJECTS, ids=lambda subject: subject.name)
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
