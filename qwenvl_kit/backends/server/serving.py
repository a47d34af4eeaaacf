"""What a server says of itself, and what it does when it is asked to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai

from qwenvl_kit.backends.server.dialects import ServerDialect
from qwenvl_kit.backends.server.faults import translated_errors
from qwenvl_kit.errors import (
    InputError,
    ModelNotFoundError,
    ServerError,
    ServerRefusedError,
)

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_FROM_ENVIRONMENT = ("OpenAI-Organization", "OpenAI-Project")
"""What the client would take from the environment, which is meant for another server."""

_PROBE_WORD = "quartz"
"""Nothing that a model would say of itself when it is asked for a number."""

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
class Served:
    """A model that a server runs.

    Attributes:
        name: by which it is asked for.
        owner: who the server says that it is owned by, which is the server's own name.
        root: what the server loaded; None if it does not say.
        context_tokens: prompt and answer together; None if it does not say.
    """

    name: str
    owner: str | None = None
    root: str | None = None
    context_tokens: int | None = None

    @property
    def checkpoint_names(self) -> tuple[str, ...]:
        """Where its checkpoint may be found: folders of this machine, ids of a hub."""
        names = dict.fromkeys(filter(None, (self.root, self.name)))
        return tuple(name for name in names if Path(name).is_dir() or _HUB_ID.fullmatch(name))


@dataclass(frozen=True)
class Talents:
    """What a server does when it is asked to.

    Attributes:
        gives_logprobs: whether it tells the log-probabilities of tokens.
        binds_answers: whether it binds answers to a form.
    """

    gives_logprobs: bool
    binds_answers: bool

    def facts(self, dialect: ServerDialect) -> dict[str, str]:
        """The same in words, with what is known of its kind."""
        forms = ", ".join(sorted(dialect.constraints)) if self.binds_answers else ""
        thinking = dialect.thinking or "cannot be switched"
        return {
            "logprobs": f"yes, {dialect.max_alternatives} alternatives at most"
            if self.gives_logprobs
            else "no",
            "constraints": forms or "no",
            "videos": dialect.videos or "no",
            "thinking": thinking,
        }


class Desk:
    """Asks a server about itself.

    Args:
        address: of its API.
        api_key: what it wants to see.
        headers: what every request carries beside.
        timeout_seconds: how long it may say nothing.
        max_retries: how often a request is repeated that came to nothing.

    Raises:
        InputError: a key or headers that cannot be sent.
    """

    def __init__(
        self,
        address: str,
        api_key: str,
        headers: Mapping[str, str],
        timeout_seconds: float,
        max_retries: int,
    ) -> None:
        self.api_key = api_key
        self._address = address
        self._options: dict[str, Any] = {
            "base_url": address,
            "api_key": api_key,
            "default_headers": {**dict.fromkeys(_FROM_ENVIRONMENT, openai.Omit()), **headers},
            "timeout": timeout_seconds,
            "max_retries": max_retries,
        }
        _check_headers({"api_key": api_key, **headers})
        self._client = openai.OpenAI(**self._options)

    def make_async_client(self) -> openai.AsyncOpenAI:
        """A client, to be used in one event loop."""
        return openai.AsyncOpenAI(**self._options)

    def find(self, model: str | None) -> Served:
        """The model of that name, or the only one.

        Raises:
            ModelNotFoundError: the server has none of that name, or several to choose from.
            ServerError: it gives no answer.
        """
        with translated_errors(self.api_key):
            try:
                listed = [_served(entry) for entry in self._client.models.list().data or ()]
            except Exception as error:
                status = getattr(error, "status_code", None)
                if model is None or status in (None, 401, 403):
                    raise
                return Served(model)  # it does not list what it serves
        if model is None:
            if len(listed) != 1:
                raise ModelNotFoundError(
                    f"the server has {len(listed)} models: {_names(listed)}",
                    expected="model=..., one of them",
                )
            return listed[0]
        same = [served for served in listed if served.name == model]
        if not same and listed and not _loads_any(listed):
            raise ModelNotFoundError(
                f"the server has no model {model!r}", expected=f"one of {_names(listed)}"
            )
        return same[0] if same else Served(model, listed[0].owner if listed else None)

    def probe(self, model: str, dialect: ServerDialect) -> Talents:
        """Ask two short questions, and see whether what was asked for comes.

        Raises:
            ServerError: the server does not answer questions at all.
        """
        scored = self._ask(model, logprobs=True, max_tokens=1)
        bound = None
        if dialect.constraints:
            bound = self._ask(model, response_format=_PROBE_FORM, max_tokens=24)
        written = getattr(getattr(bound, "message", None), "content", None)
        return Talents(
            gives_logprobs=bool(getattr(getattr(scored, "logprobs", None), "content", None)),
            binds_answers=_PROBE_WORD in (written or ""),
        )

    def _ask(self, model: str, **wanted: Any) -> Any:
        """The choice of an answer; None where the server refuses what is wanted."""
        question: Any = [{"role": "user", "content": "Say a number."}]
        try:
            with translated_errors(self.api_key):
                answer = self._client.chat.completions.create(
                    model=model, messages=question, temperature=0.0, **wanted
                )
                return answer.choices[0]
        except ServerRefusedError as error:
            if error.status in (401, 403):
                raise
            return None
        except ServerError as error:
            if error.status is None:
                raise
            return None  # some fail where they ought to refuse


def _served(entry: Any) -> Served:
    length = getattr(entry, "max_model_len", None)
    root = getattr(entry, "root", None)
    return Served(
        name=str(entry.id),
        owner=getattr(entry, "owned_by", None),
        root=root if isinstance(root, str) else None,
        context_tokens=length if type(length) is int and length > 0 else None,
    )


def _loads_any(listed: list[Served]) -> bool:
    """Whether the server loads what it is asked for, and lists only what it has already."""
    return listed[0].owner not in ("vllm", "sglang")


def _names(listed: list[Served]) -> str:
    return ", ".join(served.name for served in listed[:10]) or "none"


def _check_headers(given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        is_text = isinstance(name, str) and isinstance(value, str) and bool(value)
        if not is_text or not value.isascii() or not value.isprintable():
            raise InputError(
                f"{name} holds something that no header can hold", expected="printable ASCII"
            )
