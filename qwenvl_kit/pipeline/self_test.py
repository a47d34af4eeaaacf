"""Whether a loaded model answers as it should: `VisionChat.self_test`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qwenvl_kit.diagnostics.findings import Diagnosis, Finding
from qwenvl_kit.errors import QwenVLKitError
from qwenvl_kit.options import Sampling
from qwenvl_kit.requests import Request
from qwenvl_kit.results import Reply, TokenScore

if TYPE_CHECKING:
    import PIL.Image

    from qwenvl_kit.chat import VisionChat

NEAR_TIE = 0.1
"""Difference of log-probabilities within which bf16 may take either of two tokens: the logits of a
batch and of a single call were measured to differ by up to 0.03."""

_QUESTIONS = ("Describe this image.", "How many shapes are there?", "What is shown here?")


def run_self_test(chat: VisionChat, golden: Path | None) -> Diagnosis:
    """Ask a model questions whose answers can be checked.

    Args:
        chat: the model.
        golden: a file of questions with the tokens that must come out; None if there is none.
    """
    checks: list[tuple[str, Callable[[VisionChat], str]]] = [
        ("batch equals single", _check_batch),
        ("reuse equals fresh", _check_reuse),
        ("stream equals ask", _check_stream),
    ]
    findings = [_run(name, check, chat) for name, check in checks]
    if golden is not None:
        cases = GoldenCase.load_all(golden)
        findings += [_run(f"golden: {case.answer}", case.check, chat) for case in cases]
    return Diagnosis(tuple(findings))


def _run(name: str, check: Callable[[VisionChat], str], chat: VisionChat) -> Finding:
    try:
        trouble = check(chat)
    except QwenVLKitError as error:
        trouble = str(error)
    if not trouble:
        return Finding(name, "ok", "the same tokens")
    cure = "python -m qwenvl_kit doctor; then load with dtype='float32' and attention='sdpa'"
    return Finding(name, "problem", trouble, cure)


def _check_batch(chat: VisionChat) -> str:
    """Questions of unlike length about pictures of unlike size, together and alone."""
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


def _check_reuse(chat: VisionChat) -> str:
    """What is kept between calls must not change an answer."""
    question, picture = _QUESTIONS[0], picture_of_squares(96)
    sampling = Sampling(max_new_tokens=16, num_alternatives=2)
    if chat._backend.has_cache:
        chat.clear_cache()
    fresh = chat.ask(question, picture, sampling=sampling)
    chat.ask(_QUESTIONS[1], picture_of_squares(64), sampling=sampling)
    again = chat.ask(question, picture, sampling=sampling)
    return _difference(again, fresh, _is_rounded(chat))


def _check_stream(chat: VisionChat) -> str:
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
    """A question with the answer that must come out.

    Attributes:
        question: what is asked.
        side_px: of the picture, which is square.
        colours: of the squares in it.
        answer: what is to be said, in words.
        token_ids: and in tokens, the end token included.
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

    def check(self, chat: VisionChat) -> str:
        """What is wrong with a model's answer; empty if nothing is."""
        reply = chat.ask(
            self.question,
            picture_of_squares(self.side_px, *self.colours),
            sampling=Sampling(max_new_tokens=32),
        )
        ids = tuple(score.token_id for score in _scores(reply))
        return "" if ids == self.token_ids else f"{reply.text!r} instead of {self.answer!r}"


def picture_of_squares(side_px: int, *colours: str) -> PIL.Image.Image:
    """Squares side by side on white; nothing in them depends on how a library draws."""
    import PIL.Image

    image = PIL.Image.new("RGB", (side_px, side_px), "white")
    colours = colours or ("red", "blue")
    step = side_px // (len(colours) + 1)
    for index, colour in enumerate(colours):
        left, top = step * index + step // 2, (side_px - step) // 2
        image.paste(colour, (left, top, left + step * 3 // 4, top + step * 3 // 4))
    return image


def _difference(one: Reply, other: Reply, is_rounded: bool) -> str:
    """Where two answers part; empty if they do not, or part at a tie that rounding decides.

    Args:
        one: an answer.
        other: the same answer, by another way.
        is_rounded: whether the model computes in a type shorter than fp32.
    """
    for mine, its in zip(_scores(one), _scores(other)):
        if mine.token_id == its.token_id:
            continue
        if is_rounded and _is_near_tie(mine, its):
            return ""
        return f"{one.text!r} and {other.text!r} part at {mine.text!r} and {its.text!r}"
    return "" if len(_scores(one)) == len(_scores(other)) else "one answer goes on after the other"


def _is_rounded(chat: VisionChat) -> bool:
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
