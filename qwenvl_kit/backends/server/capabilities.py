"""The capabilities of a server: the models that it lists, and the features that work in a probe."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from qwenvl_kit.backends.server.endpoint import Access, Api
from qwenvl_kit.backends.server.event_loop import EventLoopThread
from qwenvl_kit.backends.server.json_objects import as_object
from qwenvl_kit.backends.server.response_limits import ResponseLimits
from qwenvl_kit.backends.server.server_kinds import ServerKind
from qwenvl_kit.checkpoints.sources import is_hub_id
from qwenvl_kit.errors import (
    ModelNotFoundError,
    QwenVLKitError,
    ServerAnswerError,
    ServerBusyError,
    ServerError,
    ServerTimeoutError,
)

_Made = TypeVar("_Made")

_CLOSING_SECONDS = 0.5
_LONGEST_NAME = 4096
_MOST_SHOWN = 200
_MOST_TOKENS = 10**9
"""A context length beyond that of any model."""

_PROBE_WORD = "quartz"
"""A word that no model writes by itself when it is asked for a number."""

_PROBE_FORM = {
    "type": "json_schema",
    "json_schema": {
        "name": "probe",
        "schema": {
            "type": "object",
            "properties": {_PROBE_WORD: {"const": 7}},
            "required": [_PROBE_WORD],
            "additionalProperties": False,
        },
        "strict": True,
    },
}


@dataclass(frozen=True)
class ListedModel:
    """A model that a server lists.

    Attributes:
        name: the name under which the server serves it.
        owner: the owner of the model (`owned_by`), where many servers write their own name.
        root: the folder or id that the server loaded; None if it does not say.
        context_tokens: most tokens of prompt and answer together; None if it does not say.
    """

    name: str
    owner: str | None = None
    root: str | None = None
    context_tokens: int | None = None

    @property
    def hub_ids(self) -> tuple[str, ...]:
        """The ids under which its checkpoint may be found on a hub.

        A server may write anything there: none of it is taken for a folder of this machine.
        """
        names = dict.fromkeys(filter(None, (self.root, self.name)))
        return tuple(name for name in names if is_hub_id(name))


@dataclass(frozen=True)
class ServerCapabilities:
    """The optional features of a server.

    Attributes:
        gives_logprobs: True if it returns log-probabilities of tokens.
        constrains_answers: True if it enforces constraints on answers.
    """

    gives_logprobs: bool
    constrains_answers: bool

    def facts(self, kind: ServerKind) -> dict[str, str]:
        """The features in words, together with those of the server's kind."""
        forms = ", ".join(sorted(kind.constraints)) if self.constrains_answers else ""
        thinking = kind.thinking or "cannot be switched"
        return {
            "logprobs": f"yes, {kind.max_alternatives} alternatives at most"
            if self.gives_logprobs
            else "no",
            "constraints": forms or "no",
            "videos": kind.videos or "no",
            "thinking": thinking,
        }


class ServerProbe:
    """Questions to a server about itself, in a thread of its own: `with ServerProbe(...) as probe`.

    Args:
        access: the address and credentials of the server.
        timeout_seconds: most time for all questions together, from now on.
    """

    def __init__(self, access: Access, timeout_seconds: float) -> None:
        self._access = access
        self._errors = access.errors
        self._timeout_seconds = timeout_seconds
        self._limits = ResponseLimits(ends_at=time.monotonic() + timeout_seconds)
        self._thread = EventLoopThread("qwenvl_kit connecting")
        self._api: Api | None = None

    def __enter__(self) -> ServerProbe:
        return self

    def __exit__(self, *_: object) -> None:
        api, self._api = self._api, None
        if api is None:
            self._thread.stop()
        else:
            self._thread.run(_closed(api, self._thread))

    @property
    def seconds_left(self) -> float:
        """The time that is left for further questions."""
        return self._limits.seconds_left

    def find(self, model: str | None) -> ListedModel:
        """Return the model of that name; with None, the only model of the server.

        Raises:
            ModelNotFoundError: the server has none of that name, or several to choose from.
            ServerError: it gives no answer.
        """
        try:
            listed = self._answer(self._listed)
        except QwenVLKitError as error:
            status = _status_of(error)
            if model is None or status in (None, 401, 403):
                raise
            return ListedModel(model)  # it does not list what it serves
        if model is None:
            if len(listed) != 1:
                raise ModelNotFoundError(
                    f"the server has {len(listed)} models: {self._names(listed)}",
                    expected="model=..., one of them",
                )
            return listed[0]
        same = [served for served in listed if served.name == model]
        if not same and listed and not _loads_any(listed):
            raise ModelNotFoundError(
                f"the server has no model {model!r}", expected=f"one of {self._names(listed)}"
            )
        return same[0] if same else ListedModel(model, listed[0].owner if listed else None)

    def capabilities(self, model: str, kind: ServerKind) -> ServerCapabilities:
        """Ask two short questions that use optional features, and return those that worked.

        Raises:
            ServerError: the server does not answer questions at all.
        """
        scored = self._ask(model, logprobs=True, max_tokens=1)
        constrained: Mapping[str, Any] = {}
        if kind.constraints:
            constrained = self._ask(model, response_format=_PROBE_FORM, max_tokens=24)
        written = as_object(constrained.get("message")).get("content")
        return ServerCapabilities(
            gives_logprobs=bool(as_object(scored.get("logprobs")).get("content")),
            constrains_answers=isinstance(written, str) and _PROBE_WORD in written,
        )

    def _ask(self, model: str, **wanted: Any) -> Mapping[str, Any]:
        """The first choice of an answer; empty if the server refuses a feature."""
        question = [{"role": "user", "content": "Say a number."}]
        payload = {"model": model, "messages": question, "temperature": 0.0, **wanted}

        async def choice(api: Api) -> Mapping[str, Any]:
            answer = await api.answer(payload, self._limits)
            return as_object(answer["choices"][0])

        try:
            return self._answer(choice)
        except ServerBusyError:
            raise  # a busy server says nothing about its features
        except ServerError as error:
            if error.status in (None, 401, 403):
                raise
            return {}  # it refuses the feature; some servers fail instead

    async def _listed(self, api: Api) -> list[ListedModel]:
        listed = await api.list_models(self._limits)
        return [_served(entry) for entry in listed.get("data") or ()]

    def _answer(self, question: Callable[[Api], Awaitable[_Made]]) -> _Made:
        """Wait for the answer to a question.

        Raises:
            ServerTimeoutError: the time for all questions is over.
        """
        waited = self._thread.run(self._in_time(question))
        try:
            return waited.result()
        except BaseException:
            waited.cancel()  # the wait itself may have been interrupted
            raise

    async def _in_time(self, question: Callable[[Api], Awaitable[_Made]]) -> _Made:
        self._api = self._api or self._access.make_api()
        asked = asyncio.ensure_future(self._translated(question(self._api)))
        done, _ = await asyncio.wait({asked}, timeout=self.seconds_left)
        if done:
            return asked.result()
        asked.cancel()
        await asyncio.wait({asked}, timeout=_CLOSING_SECONDS)
        hints = ("connect(setup_timeout_seconds=...)", self._errors.unreachable_hint)
        raise ServerTimeoutError(
            "the server did not answer the questions of connect within "
            f"{self._timeout_seconds:g} seconds",
            hint="; or ".join(filter(None, hints)),
        )

    async def _translated(self, answer: Awaitable[_Made]) -> _Made:
        with self._errors.translated():
            return await answer

    def _names(self, listed: list[ListedModel]) -> str:
        names = (self._errors.mask(served.name[:_MOST_SHOWN]) for served in listed[:10])
        return ", ".join(names) or "none"


async def _closed(api: Api, thread: EventLoopThread) -> None:
    await api.close()
    thread.stop()


def _status_of(error: QwenVLKitError) -> int | None:
    """The HTTP status of a refusal; 404 for a model that was not found."""
    return 404 if isinstance(error, ModelNotFoundError) else getattr(error, "status", None)


def _served(entry: Mapping[str, Any]) -> ListedModel:
    name, owner, root = (entry.get(key) for key in ("id", "owned_by", "root"))
    if not isinstance(name, str) or len(name) > _LONGEST_NAME:
        raise ServerAnswerError(
            "the server lists a model without a usable name",
            expected=f"a text of {_LONGEST_NAME} characters at most under 'id'",
        )
    length = entry.get("max_model_len")
    return ListedModel(
        name=name,
        owner=owner if isinstance(owner, str) else None,
        root=root if isinstance(root, str) else None,
        context_tokens=length if type(length) is int and 0 < length < _MOST_TOKENS else None,
    )


def _loads_any(listed: list[ListedModel]) -> bool:
    """True if the server loads models on request, and lists only those that it has loaded."""
    return listed[0].owner not in ("vllm", "sglang")
