"""The mapping from errors of the openai package to the kit's. Messages never contain keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import openai

from qwenvl_kit.backends.server.secret_masks import SecretMask
from qwenvl_kit.errors import (
    ContextLengthError,
    MediaSizeError,
    ModelNotFoundError,
    QwenVLKitError,
    ServerAnswerError,
    ServerBusyError,
    ServerConnectionError,
    ServerError,
    ServerRefusedError,
    ServerTimeoutError,
)

_TOO_LONG = re.compile(
    r"(?i)context.{0,12}length|maximum.{0,20}(?:context|tokens)|too many tokens|longer than the max"
)
_MOST_CHARACTERS = 300


@dataclass(frozen=True)
class ErrorTranslator:
    """A translator of all errors of the client into errors of the kit, with their cause attached.

    Attributes:
        mask: masks secrets in the server's messages and in the causes.
        unreachable_hint: the hint of an error if the server cannot be reached; may be empty.
    """

    mask: SecretMask = field(default_factory=SecretMask)
    unreachable_hint: str = ""

    @contextmanager
    def translated(self, text: Callable[[], str] = str) -> Iterator[None]:
        """Translate the errors that are raised within the context.

        Args:
            text: returns the part of the answer that was received.
        """
        try:
            yield
        except Exception as error:  # a server may send anything, at any time
            own = _kit_error_in(error)
            if own is None:
                self._mask_causes(error)
                raise self._translated(error, text()) from error
            raise self._completed(own, text()) from own.__cause__

    def said(self, error: Exception) -> str:
        """The server's message in one line and without secrets; of an HTML page, its title."""
        body: Any = getattr(error, "body", None)
        if isinstance(body, dict):
            inner = body.get("error", body)
            body = inner.get("message") if isinstance(inner, dict) else inner
        text = self.mask(str(body or getattr(error, "message", None) or error))
        if "<html" in text.lower():
            text = f"a page of HTML: {_title(text) or 'without a title'}"
        return " ".join(text.split())[:_MOST_CHARACTERS]

    def _completed(self, own: QwenVLKitError, text: str) -> QwenVLKitError:
        """Mask secrets in an error of the kit, and attach the part of the answer that came."""
        for part in ("problem", "expected", "hint"):
            setattr(own, part, self.mask(getattr(own, part)))
        own.args = (own.problem,)
        if isinstance(own, ServerError):
            own.text = own.text or text
        return own

    def _mask_causes(self, error: BaseException | None) -> None:
        """Mask secrets in the causes of an error, as a traceback shows them."""
        seen = set[int]()
        while error is not None and id(error) not in seen:
            seen.add(id(error))
            error.args = tuple(self.mask(a) if isinstance(a, str) else a for a in error.args)
            error = error.__cause__ or error.__context__

    def _translated(self, error: Exception, text: str) -> QwenVLKitError:
        said = self.said(error)
        if isinstance(error, openai.APITimeoutError):
            return self._timeout_error(text)
        if isinstance(error, openai.APIStatusError):
            return _status_error(error.status_code, said)
        if isinstance(error, openai.APIConnectionError):
            reason = self.mask(str(error.__cause__ or error))
            return ServerConnectionError(
                f"the server cannot be reached ({reason[:_MOST_CHARACTERS]})",
                expected=(
                    "an OpenAI-compatible server at base_url, such as http://127.0.0.1:8000/v1"
                ),
                hint=self.unreachable_hint,
                text=text,
            )
        if isinstance(error, openai.APIError):  # an error within a stream
            return _stream_error(said, text)
        if _is_of_transport(error):
            return ServerConnectionError(
                f"the connection to the server was lost ({said})", text=text
            )
        return ServerAnswerError(
            f"the server's answer cannot be read ({type(error).__name__}: {said})",
            expected="the JSON of OpenAI's chat API",
            hint="check that base_url leads to the API itself: it often ends in /v1",
            text=text,
        )

    def _timeout_error(self, text: str) -> ServerTimeoutError:
        hint = "connect(timeout_seconds=...), or fewer requests at a time"
        if self.unreachable_hint and not text:
            hint = f"{hint}; {self.unreachable_hint}"
        return ServerTimeoutError("the server said nothing for too long", hint=hint, text=text)


def _title(page: str) -> str:
    """The title of an HTML page; empty if it has none."""
    begins = page.lower().find("<title>")
    title, ends, _ = page[begins + len("<title>") :].partition("</")
    return title.strip() if begins >= 0 and ends else ""


def _kit_error_in(error: BaseException) -> QwenVLKitError | None:
    """The kit's own error among the causes of an error, as some clients wrap all errors."""
    seen = set[int]()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        if isinstance(cause, QwenVLKitError):
            return cause
        seen.add(id(cause))
        cause = cause.__cause__
    return None


def _status_error(status: int, said: str) -> QwenVLKitError:
    if status == 404:
        return ModelNotFoundError(
            f"the server has no such model, or no chat API there ({said})",
            hint="VisionChat.connect(base_url) without a model tells which it serves",
        )
    if status == 413:
        return MediaSizeError(
            f"the server accepts no request of this size ({said})",
            hint="a smaller budget, fewer pictures, or image_encoding='jpeg'",
        )
    if status == 400 and _TOO_LONG.search(said):
        return _context_error(said)
    kind, problem, hint = _MEANINGS.get(status, (ServerRefusedError, "refuses the request", ""))
    if status >= 500 and status not in _MEANINGS:
        kind, problem = ServerError, "failed"
    return kind(f"the server {problem} ({status}: {said})", hint=hint, status=status)


_MEANINGS: dict[int, tuple[type[ServerError], str, str]] = {
    401: (ServerRefusedError, "does not accept the key", "api_key=... of this server"),
    403: (ServerRefusedError, "does not accept the key", "api_key=... of this server"),
    429: (ServerBusyError, "is overloaded", "connect(max_concurrent_requests=...)"),
    503: (ServerBusyError, "is overloaded", "connect(max_concurrent_requests=...)"),
}


def _context_error(said: str) -> ContextLengthError:
    return ContextLengthError(
        f"the prompt is longer than the server's context ({said})",
        hint="a smaller budget, fewer pictures, or connect(context_tokens=...) and fit='shrink'",
    )


def _stream_error(said: str, text: str) -> QwenVLKitError:
    if _TOO_LONG.search(said):
        return _context_error(said)
    return ServerAnswerError(f"the server failed within an answer ({said})", text=text)


def _is_of_transport(error: Exception) -> bool:
    """True for errors of the client's HTTP library, which come through while a stream is read."""
    module = type(error).__module__.partition(".")[0]
    return module.startswith(("httpx", "httpcore", "anyio", "ssl")) or isinstance(error, OSError)
