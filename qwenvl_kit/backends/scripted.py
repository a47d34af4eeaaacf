"""A backend with answers written beforehand, for tests of code that uses the kit.

It plans, opens pictures and checks requests as a real backend does; only the model is missing.

    chat = VisionChat(ScriptedBackend(["A red circle."]))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias, Union

from qwenvl_kit.backends.answer_builder import StopText
from qwenvl_kit.backends.base import Backend, BackendRequest, Completion, Observer
from qwenvl_kit.budget.limits import PixelLimits
from qwenvl_kit.budget.measures import PlanningRules
from qwenvl_kit.errors import GenerationError, InputError
from qwenvl_kit.families import family_of
from qwenvl_kit.messages.message import Message
from qwenvl_kit.plans import ImagePlan, VideoPlan
from qwenvl_kit.results import Delta, FinishReason, TokenScore

Script: TypeAlias = Union[Iterable[Union[str, Exception]], Callable[[BackendRequest], str]]


class ScriptedBackend(Backend):
    """A backend that answers from a script, word by word.

    A word and the space before it are one token.

    Args:
        script: the answers in the order of the requests, an exception among them being raised in
            its turn; or a function from the request to its answer.
        logprob: the log-probability of every token; None gives replies without scores.
        context_tokens: the model's context length, prompt and answer together.
        family: the model family whose arithmetic the plans follow.

    Attributes:
        requests: the requests that were submitted, in order.
    """

    def __init__(
        self,
        script: Script,
        *,
        logprob: float | None = -0.1,
        context_tokens: int = 4096,
        family: str = "qwen2_vl",
    ) -> None:
        if isinstance(script, str):
            raise InputError("script is a string", expected="a list of answers", hint="[answer]")
        self._next = script if callable(script) else _from_list(script)
        self._logprob = logprob
        limits = PixelLimits(min_pixels=4 * 28 * 28, max_pixels=1280 * 28 * 28)
        self._rules = PlanningRules(family_of(family), limits, limits, context_tokens)
        self.requests: list[BackendRequest] = []
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="qwenvl_kit script")

    @property
    def rules(self) -> PlanningRules:
        """The planning rules of a model of the family."""
        return self._rules

    def count_prompt_tokens(
        self, messages: Sequence[Message], media: Sequence[ImagePlan | VideoPlan]
    ) -> int:
        """The length of the prompt: one token a word, and visual tokens as planned."""
        words = sum(len(_words(message.text)) for message in messages)
        return words + sum(plan.tokens for plan in media)

    def submit(
        self, request: BackendRequest, observer: Observer | None = None
    ) -> Future[Completion]:
        """Answer with the next item of the script, and keep the request in `requests`."""
        self.requests.append(request)
        return self._worker.submit(self._complete, request, observer)

    def report(self) -> Mapping[str, str]:
        """Facts that say that there is no model."""
        return {"model": "scripted", "family": self._rules.family.model_type}

    def _complete(self, request: BackendRequest, observer: Observer | None) -> Completion:
        words = _words(self._next(request))
        stop_text = StopText(request.sampling.stop)
        tokens: list[TokenScore] = []
        reason: FinishReason = "stop"
        for index, word in enumerate(words):
            if observer is not None and observer.is_cancelled():
                reason = "cancelled"
                break
            if index == request.plan.max_new_tokens:
                reason = "length"
                break
            tokens.append(TokenScore(word, token_id=index, logprob=self._logprob or 0.0))
            shown = stop_text.feed(word)
            if observer is not None:
                observer.on_delta(Delta(shown, tokens[-1]))
            if stop_text.is_stopped:
                break
        rest = stop_text.flush()
        if rest and observer is not None:
            observer.on_delta(Delta(rest))
        return Completion(
            text=stop_text.text,
            finish_reason=reason,
            tokens=None if self._logprob is None else tuple(tokens),
            end_token=None,
            completion_tokens=len(tokens),
        )


def _words(text: str) -> list[str]:
    """The words of a text, each with the space before it."""
    first, *others = text.split(" ")
    return ([first] if first else []) + [f" {word}" for word in others]


def _from_list(script: Iterable[str | Exception]) -> Callable[[BackendRequest], str]:
    answers = iter(script)

    def next_answer(_: BackendRequest) -> str:
        answer = next(answers, None)
        if answer is None:
            raise GenerationError("the script has no more answers", hint="give it one per request")
        if isinstance(answer, Exception):
            raise answer
        return answer

    return next_answer
