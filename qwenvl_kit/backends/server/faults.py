"""What the openai client raises, in the kit's own errors. Keys are never part of a message."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import openai

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
_CREDENTIALS = re.compile(r"(?i)\b(?:bearer\s+\S+|sk-[\w-]{6,}|hf_\w{6,})|(?<=://)[^/\s@]*@")
_MOST_CHARACTERS = 300
_MOST_READ = 20_000


@contextmanager
def translated_errors(api_key: str, text: Callable[[], str] = str) -> Iterator[None]:
    """Turn whatever the client raises into an error of the kit, its cause attached.

    Args:
        api_key: what no message may hold.
        text: tells what there is of the answer.
    """
    try:
        yield
    except QwenVLKitError:
        raise
    except Exception as error:  # a server may answer with anything, at any time
        raise _translated(error, api_key, text()) from error


def _translated(error: Exception, api_key: str, text: str) -> QwenVLKitError:
    said = _said(error, api_key)
    if isinstance(error, openai.APITimeoutError):
        return ServerTimeoutError(
            "the server did not answer in time",
            hint="connect(timeout_seconds=...), or fewer requests at a time",
            text=text,
        )
    if isinstance(error, openai.APIStatusError):
        return _of_status(error.status_code, said)
    if isinstance(error, openai.APIConnectionError):
        reason = _without_keys(str(error.__cause__ or error), api_key)
        return ServerConnectionError(
            f"the server cannot be reached ({reason[:_MOST_CHARACTERS]})",
            expected="an OpenAI-compatible server at base_url, such as http://127.0.0.1:8000/v1",
            text=text,
        )
    if isinstance(error, openai.APIError):  # an error in the midst of a stream
        return _in_stream(said, text)
    if _is_of_transport(error):
        return ServerConnectionError(f"the line to the server was cut ({said})", text=text)
    return ServerAnswerError(
        f"the server's answer cannot be read ({type(error).__name__}: {said})",
        expected="the JSON of OpenAI's chat API",
        hint="check that base_url leads to the API itself: it often ends in /v1",
        text=text,
    )


def _of_status(status: int, said: str) -> QwenVLKitError:
    if status == 404:
        return ModelNotFoundError(
            f"the server has no such model, or no chat API there ({said})",
            hint="VisionChat.connect(base_url) without a model tells which it serves",
        )
    if status == 413:
        return MediaSizeError(
            f"the server takes no request of this size ({said})",
            hint="a smaller budget, fewer pictures, or image_encoding='jpeg'",
        )
    if status == 400 and _TOO_LONG.search(said):
        return _too_long(said)
    kind, problem, hint = _MEANINGS.get(status, (ServerRefusedError, "refuses the request", ""))
    if status >= 500 and status not in _MEANINGS:
        kind, problem = ServerError, "failed"
    return kind(f"the server {problem} ({status}: {said})", hint=hint, status=status)


_MEANINGS: dict[int, tuple[type[ServerError], str, str]] = {
    401: (ServerRefusedError, "does not accept the key", "api_key=... of this server"),
    403: (ServerRefusedError, "does not accept the key", "api_key=... of this server"),
    429: (ServerBusyError, "has too much to do", "connect(max_concurrent_requests=...)"),
    503: (ServerBusyError, "has too much to do", "connect(max_concurrent_requests=...)"),
}


def _too_long(said: str) -> ContextLengthError:
    return ContextLengthError(
        f"the prompt is longer than the server's context ({said})",
        hint="a smaller budget, fewer pictures, or connect(context_tokens=...) and fit='shrink'",
    )


def _in_stream(said: str, text: str) -> QwenVLKitError:
    if _TOO_LONG.search(said):
        return _too_long(said)
    return ServerAnswerError(f"the server gave up within an answer ({said})", text=text)


def _said(error: Exception, api_key: str) -> str:
    """What a server said, in one line and without keys; a page of HTML by its title."""
    body: Any = getattr(error, "body", None)
    if isinstance(body, dict):
        inner = body.get("error", body)
        body = inner.get("message") if isinstance(inner, dict) else inner
    text = str(body or getattr(error, "message", None) or error)
    text = _without_keys(text, api_key)[:_MOST_READ]  # cut afterwards: half a key is no key
    if "<html" in text.lower():
        title = re.search(r"(?is)<title>(.*?)</title>", text)
        text = f"a page of HTML: {title[1].strip() if title else 'without a title'}"
    return " ".join(text.split())[:_MOST_CHARACTERS]


def _without_keys(text: str, api_key: str) -> str:
    return _CREDENTIALS.sub("***", text.replace(api_key, "***") if api_key else text)


def _is_of_transport(error: Exception) -> bool:
    """Errors of the client's HTTP library that it lets through while a stream is read."""
    module = type(error).__module__.partition(".")[0]
    return module.startswith(("httpx", "httpcore", "anyio", "ssl")) or isinstance(error, OSError)
