"""Replays: the request of a reply, prepared once more as it was executed.

A reply does not keep its request: pictures would stay in memory as long as the reply, and files and
open streams may change. So the request is given again, and held to the reply's plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from qwenvl_kit.backends.base import (
    Attribution,
    AttributionRequest,
    Backend,
    BackendRequest,
    Completion,
    Pass,
)
from qwenvl_kit.errors import InputError, UnsupportedFeatureError, fresh
from qwenvl_kit.options import Sampling
from qwenvl_kit.pipeline.core import PipelineSlot
from qwenvl_kit.results import Reply
from qwenvl_kit.structured_output.constraints import Constraint

if TYPE_CHECKING:
    from concurrent.futures import Future

    from qwenvl_kit.families import Family
    from qwenvl_kit.media.types import DecodedMedia
    from qwenvl_kit.requests import Request


_Outcome = TypeVar("_Outcome")


@dataclass(frozen=True, eq=False)
class Replay:
    """A request with its pixels, and the answer that it had.

    Attributes:
        slot: the pipeline of the chat.
        request: the request for the backend, its pictures and frames decoded.
        reply: the reply.
    """

    slot: PipelineSlot
    request: BackendRequest
    reply: Reply

    @property
    def media(self) -> tuple[DecodedMedia, ...]:
        """The pixels that the model saw: Pillow pictures, and frames as uint8 arrays."""
        return self.request.media  # type: ignore[return-value]  # `replay` has them decoded

    @property
    def family(self) -> Family:
        """The model's family."""
        return self._backend.rules.family

    def attribute(
        self,
        kind: Pass,
        explained: Sequence[int],
        layers: Sequence[int] | None = None,
        heads: Sequence[int] | None = None,
    ) -> Attribution:
        """Run a pass of the model; see `Backend.attribute`.

        Args:
            kind: the kind of the pass.
            explained: indices of tokens of the reply, rising.
            layers: the layers that count; None for all.
            heads: the heads that count; None for all.
        """
        ids = [token.token_id for token in self.reply.tokens or ()]
        with self.slot.use() as use:
            backend = use.pipeline.backend
            asked = AttributionRequest(
                self.request,
                tuple(token_id for token_id in ids if token_id is not None),
                tuple(explained),
                kind,
                None if layers is None else tuple(layers),
                None if heads is None else tuple(heads),
            )
            return backend.attribute(asked)

    def logprob(self, explained: Sequence[int], media: Sequence[DecodedMedia]) -> float:
        """The log-probability of some tokens of the answer if other pixels were shown.

        Args:
            explained: indices of tokens of the reply, rising.
            media: pictures and frames of the same sizes.

        Raises:
            UnsupportedFeatureError: the backend gives no log-probabilities of given answers.
        """
        shown = replace(self.request, media=tuple(media), media_keys=(None,) * len(media))
        with self.slot.use() as use:
            backend = use.pipeline.backend
            if backend.has_attribution:  # nothing of it enters the cache
                other = replace(self, request=shown)
                return sum(other.attribute("scores", explained).logprobs)
            completion = _scored(backend, shown, self.reply.raw_text or self.reply.text)
        return _logprob_of(completion, self.reply, explained)

    @property
    def _backend(self) -> Backend:
        return self.slot.pipeline.backend


def replay(slot: PipelineSlot, reply: Reply, request: Request) -> Replay:
    """Prepare the request of a reply once more, with the sizes and frames of the reply's plan.

    Args:
        slot: the pipeline.
        reply: the reply.
        request: the request that it answers.

    Raises:
        InputError: it is another request than that of the reply.
        MediaError: a picture cannot be opened any more.
    """
    with slot.use() as use:
        pipeline, plan = use.pipeline, reply.plan
        prepared = pipeline.prepare_as_planned(pipeline.resolve(request), plan)
        entries = list(plan.media.values())
        count = pipeline.backend.count_prompt_tokens(prepared.messages, entries)
    if count != plan.prompt_tokens:
        raise _other_request(
            f"the prompt has {count} tokens, and that of the reply had {plan.prompt_tokens}"
        )
    return Replay(slot, prepared, reply)


def _other_request(difference: str) -> InputError:
    return InputError(
        f"the request is not the one of the reply: {difference}",
        expected="the question, pictures and settings that the reply answers",
        hint="request = Request.about(...); reply = chat.ask(request)",
    )


def _scored(backend: Backend, request: BackendRequest, answer: str) -> Completion:
    """The completion of a request whose answer is given."""
    room = Sampling(max_new_tokens=len(answer.encode()) + 1, max_cycle_tokens=None)
    asked = replace(request, sampling=room, constraint=None)
    if backend.has_scoring and backend.can_score(asked):
        return _result(backend.score(asked, [answer]))[0]
    constrained = replace(asked, constraint=Constraint.from_choices([answer]))
    return _result(backend.submit(constrained))


def _result(future: Future[_Outcome]) -> _Outcome:
    failed = future.exception()
    if isinstance(failed, Exception):
        raise fresh(failed)
    return future.result()


def _logprob_of(completion: Completion, reply: Reply, explained: Sequence[int]) -> float:
    """The log-probability of the part of a scored answer that some tokens of a reply stand for.

    Raises:
        UnsupportedFeatureError: the backend gives no log-probabilities, writes another answer, or
            tokens whose texts do not join to it.
    """
    answer, tokens = reply.raw_text or reply.text, completion.tokens
    if not tokens:
        raise _not_scored("gives no log-probabilities of given answers")
    if (completion.raw_text or completion.text).strip() != answer.strip():
        raise _not_scored("does not keep to an answer that is given")
    if not reply.tokens or len(explained) == len(reply.tokens):
        return sum(token.logprob for token in tokens)
    if "".join(token.text for token in tokens).strip() != answer.strip():
        raise _not_scored("gives tokens that do not join to the answer, so no part of it is found")
    lengths = [len(token.text) for token in reply.tokens]
    start, stop = sum(lengths[: explained[0]]), sum(lengths[: explained[-1] + 1])
    total, at = 0.0, 0
    for token in tokens:
        if at < stop and at + len(token.text) > start:
            total += token.logprob
        at += len(token.text)
    return total


def _not_scored(trouble: str) -> UnsupportedFeatureError:
    return UnsupportedFeatureError(
        f"the backend {trouble}",
        hint="the whole answer, a local model, or a server that gives logprobs and keeps to the "
        "form of answers",
    )
