"""The self-test of a loaded model: `VisionChat.self_test`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from qwenvl_kit.diagnostics.findings import Diagnosis, Finding
from qwenvl_kit.embedded import GOLDEN_FILE, MODEL_FOLDER
from qwenvl_kit.errors import QwenVLKitError, UnsupportedFeatureError
from qwenvl_kit.options import Sampling
from qwenvl_kit.requests import Request
from qwenvl_kit.results import Reply, TokenScore

if TYPE_CHECKING:
    import PIL.Image

    from qwenvl_kit.pipeline.streaming import ReplyStream


NEAR_TIE = 0.1
"""Difference of log-probabilities within which bf16 may take either of two tokens: the logits of a
batch and of a single call were measured to differ by up to 0.03."""

_QUESTIONS = ("Describe this image.", "How many shapes are there?", "What is shown here?")


class TestedChat(Protocol):
    """The part of a `VisionChat` that is tested."""

    def ask(self, prompt: Any, *media: Any, sampling: Sampling | None = None) -> Reply:
        """See `VisionChat.ask`."""

    def ask_many(
        self, requests: Any, *, on_error: Literal["raise"], max_batch_size: int | None = None
    ) -> list[Reply]:
        """See `VisionChat.ask_many`."""

    def stream(self, prompt: Any, *media: Any, sampling: Sampling | None = None) -> ReplyStream:
        """See `VisionChat.stream`."""

    def clear_cache(self) -> int:
        """See `VisionChat.clear_cache`."""

    def report(self) -> Mapping[str, str]:
        """See `VisionChat.report`."""


def run_self_test(
    chat: TestedChat,
    golden: Path = GOLDEN_FILE,
    check_model: Callable[[], Mapping[str, str]] = dict,
) -> Diagnosis:
    """Ask a model questions whose answers can be checked; see `VisionChat.self_test`.

    Args:
        chat: the model.
        golden: questions for the embedded model, with the tokens of their answers.
        check_model: returns the trouble that each check of the model's own state found.
    """
    report = chat.report()
    is_embedded = report.get("model") == os.fspath(MODEL_FOLDER)
    has_adapter = report.get("adapter", "none") != "none"
    checks: list[tuple[str, Callable[[TestedChat], str]]] = [
        ("batch equals single", _check_batch),
        ("reuse equals fresh", _check_reuse),
        ("stream equals ask", _check_stream),
    ]
    findings = _check_state(check_model)
    findings += [_run(name, check, chat) for name, check in checks]
    if is_embedded and not has_adapter:
        cases = GoldenCase.load_all(golden)
        findings += [_run(f"golden: {case.answer}", case.check, chat) for case in cases]
    return Diagnosis(tuple(findings))


def _check_state(check_model: Callable[[], Mapping[str, str]]) -> list[Finding]:
    """The findings of the model's own state: weights and cache."""
    try:
        troubles = check_model()
    except QwenVLKitError as error:
        troubles = {"the model's own state": str(error)}
    return [_finding(name, trouble, "holds") for name, trouble in troubles.items()]


def _run(name: str, check: Callable[[TestedChat], str], chat: TestedChat) -> Finding:
    try:
        trouble = check(chat)
    except QwenVLKitError as error:
        trouble = str(error)
    return _finding(name, trouble, "the same tokens")


def _finding(name: str, trouble: str, sound: str) -> Finding:
    if not trouble:
        return Finding(name, "ok", sound)
    cure = "python -m qwenvl_kit doctor; then load with dtype='float32' and attention='sdpa'"
    return Finding(name, "problem", trouble, cure)


def _check_batch(chat: TestedChat) -> str:
    """A batch of questions and pictures of different sizes gives the answers of single calls."""
    sampling = Sampling(max_new_tokens=16, num_alternatives=2)
    requests = [
        Request.about(question, picture_of_squares(size), sampling=sampling)
        for question, size in zip(_QUESTIONS, (64, 128, 96))
    ]
    together = chat.ask_many(requests, on_error="raise", max_batch_size=len(requests))
    alone = [chat.ask_many([request], on_error="raise")[0] for request in requests]
    is_rounded = _is_rounded(chat)
    parted = (_difference(one, other, is_rounded) for one, other in zip(together, alone))
    return next(filter(None, parted), "")


def _check_reuse(chat: TestedChat) -> str:
    """The cache does not change an answer."""
    question, picture = _QUESTIONS[0], picture_of_squares(96)
    sampling = Sampling(max_new_tokens=16, num_alternatives=2)
    with suppress(UnsupportedFeatureError):
        chat.clear_cache()
    fresh = chat.ask(question, picture, sampling=sampling)
    chat.ask(_QUESTIONS[1], picture_of_squares(64), sampling=sampling)
    again = chat.ask(question, picture, sampling=sampling)
    return _difference(again, fresh, _is_rounded(chat))


def _check_stream(chat: TestedChat) -> str:
    sampling = Sampling(max_new_tokens=16, num_alternatives=2)
    question, picture = _QUESTIONS[0], picture_of_squares(96)
    with chat.stream(question, picture, sampling=sampling) as stream:
        streamed = "".join(delta.text for delta in stream)
        reply = stream.reply
    if streamed != reply.text:
        return f"the stream said {streamed!r}, its reply {reply.text!r}"
    return _difference(reply, chat.ask(question, picture, sampling=sampling), _is_rounded(chat))


@dataclass(frozen=True)
class GoldenCase:
    """A question with the answer that is expected.

    Attributes:
        question: the question.
        side_px: the side of the picture, which is square.
        colours: the colours of the squares in it.
        answer: the expected answer, in words.
        token_ids: the expected tokens, the end token included.
    """

    question: str
    side_px: int
    colours: tuple[str, ...]
    answer: str
    token_ids: tuple[int, ...]

    @classmethod
    def load_all(cls, path: Path) -> list[GoldenCase]:
        """The cases of a file."""
        entries = json.loads(path.read_text(encoding="utf-8"))
        return [
            cls(**entry | {name: tuple(entry[name]) for name in ("colours", "token_ids")})
            for entry in entries
        ]

    def check(self, chat: TestedChat) -> str:
        """The fault of the model's answer; empty if there is none."""
        reply = chat.ask(
            self.question,
            picture_of_squares(self.side_px, *self.colours),
            sampling=Sampling(max_new_tokens=32),
        )
        ids = tuple(score.token_id for score in _scores(reply))
        return "" if ids == self.token_ids else f"{reply.text!r} instead of {self.answer!r}"


def picture_of_squares(side_px: int, *colours: str) -> PIL.Image.Image:
    """Squares side by side on white; their pixels do not depend on the drawing library."""
    import PIL.Image

    image = PIL.Image.new("RGB", (side_px, side_px), "white")
    colours = colours or ("red", "blue")
    step = side_px // (len(colours) + 1)
    for index, colour in enumerate(colours):
        left, top = step * index + step // 2, (side_px - step) // 2
        image.paste(colour, (left, top, left + step * 3 // 4, top + step * 3 // 4))
    return image


def _difference(one: Reply, other: Reply, is_rounded: bool) -> str:
    """The first difference of two answers; empty if there is none, or if rounding explains it.

    Args:
        one: an answer.
        other: the answer to the same question on another path.
        is_rounded: True if the model computes in a dtype shorter than fp32.
    """
    for mine, its in zip(_scores(one), _scores(other)):
        if mine.token_id == its.token_id:
            continue
        if is_rounded and _is_near_tie(mine, its):
            return ""
        return f"{one.text!r} and {other.text!r} part at {mine.text!r} and {its.text!r}"
    return "" if len(_scores(one)) == len(_scores(other)) else "one answer goes on after the other"


def _is_rounded(chat: TestedChat) -> bool:
    report = chat.report()
    return report.get("dtype") != "float32" or report.get("quantization", "none") != "none"


def _is_near_tie(mine: TokenScore, its: TokenScore) -> bool:
    logprobs = [alternative.logprob for alternative in mine.alternatives]
    rivals = {alternative.token_id for alternative in mine.alternatives}
    is_close = len(logprobs) > 1 and logprobs[0] - logprobs[1] < NEAR_TIE
    return is_close and its.token_id in rivals


def _scores(reply: Reply) -> Sequence[TokenScore]:
    ended = () if reply.end_token is None else (reply.end_token,)
    return (*(reply.tokens or ()), *ended)
