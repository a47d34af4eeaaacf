"""The endpoint of a server: its address and credentials, and OpenAI's chat API there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import openai

from qwenvl_kit.backends.server.error_mapping import ErrorTranslator
from qwenvl_kit.backends.server.json_objects import answer_object
from qwenvl_kit.backends.server.proxies import environment_proxy
from qwenvl_kit.backends.server.response_limits import ResponseLimits, limited
from qwenvl_kit.backends.server.secret_masks import SecretMask
from qwenvl_kit.backends.server.transport import GuardedTransport, http
from qwenvl_kit.errors import InputError

_NO_KEY = "none"
_FROM_ENVIRONMENT = ("OpenAI-Organization", "OpenAI-Project")
"""Headers that the openai package would take from the environment; they are for other servers."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """Access to a server: its address, credentials, timeout and proxy.

    Attributes:
        address: the URL of its API.
        api_key: the key that it expects; None if it expects none.
        headers: additional headers of every request.
        timeout_seconds: most time between two bytes of a response.
        max_retries: most repeats of a request that failed.
        use_environment_proxy: True to use the proxy that the environment names.
        named_proxy: the proxy that the environment names; None if there is none for the address.

    Raises:
        InputError: the key or a header cannot be sent, or the proxy cannot be used.
    """

    address: str
    api_key: str | None = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    timeout_seconds: float
    max_retries: int
    use_environment_proxy: bool = False
    named_proxy: str | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "named_proxy", environment_proxy(self.address))
        _check_headers({"api_key": self.api_key or _NO_KEY, **self.headers})
        if self.use_environment_proxy:
            self._transport()  # so that the caller of connect sees an error

    @property
    def errors(self) -> ErrorTranslator:
        """The translator of the openai package's errors into the kit's."""
        secrets = [*self.headers.values(), self.api_key or "", self.named_proxy or ""]
        is_passed_over = self.named_proxy is not None and not self.use_environment_proxy
        return ErrorTranslator(SecretMask(secrets), _PASSED_OVER if is_passed_over else "")

    def make_api(self) -> Api:
        """Make the server's API, for use in one event loop."""
        client = openai.DefaultAsyncHttpxClient(
            transport=self._transport(), trust_env=False, timeout=self.timeout_seconds
        )
        return Api(
            openai.AsyncOpenAI(
                base_url=self.address,
                api_key=self.api_key or _NO_KEY,
                default_headers={
                    **dict.fromkeys(_FROM_ENVIRONMENT, openai.Omit()),
                    **self.headers,
                },
                timeout=self.timeout_seconds,
                max_retries=self.max_retries,
                http_client=client,
            )
        )

    def _transport(self) -> GuardedTransport:
        proxy = self.named_proxy if self.use_environment_proxy else None
        try:
            inner = http.AsyncHTTPTransport(limits=openai.DEFAULT_CONNECTION_LIMITS, proxy=proxy)
        except (ImportError, ValueError, http.InvalidURL) as error:
            raise InputError(
                "the environment names a proxy that cannot be used",
                expected="the URL of a proxy of http or https",
                hint="connect(use_environment_proxy=False), or another in HTTPS_PROXY",
            ) from error
        return GuardedTransport(inner, self.address)


_PASSED_OVER = (
    "connect(use_environment_proxy=True), which uses the proxy that the environment names"
)


class Api:
    """OpenAI's chat API on a server, in one event loop. Answers are JSON as it was received.

    Args:
        client: a client of the openai package.
    """

    def __init__(self, client: openai.AsyncOpenAI) -> None:
        self._client = client

    async def list_models(self, limits: ResponseLimits) -> Mapping[str, Any]:
        """Return the list of models.

        Args:
            limits: limits on the size and time of the list.

        Raises:
            ServerAnswerError: the list is too long, a web page, or no JSON object.
            Exception: any error of the client.
        """
        with limited(limits):
            listed = await self._client.get("/models", cast_to=object)
            return answer_object(listed, "data")

    async def answer(self, payload: Mapping[str, Any], limits: ResponseLimits) -> Mapping[str, Any]:
        """Return the whole answer to a request.

        Args:
            payload: the arguments of `chat.completions.create`.
            limits: limits on the size and time of the answer.

        Raises:
            ServerAnswerError: the answer is too long, a web page, or no JSON object.
            Exception: any error of the client.
        """
        with limited(limits):
            answer = await self._client.post(_CHAT, body=_body(payload), cast_to=object)
            return answer_object(answer, "choices")

    async def stream(self, payload: Mapping[str, Any], limits: ResponseLimits) -> EventStream:
        """Return the answer to a request as a stream.

        Args:
            payload: the arguments of `chat.completions.create`.
            limits: limits on the size and time of the answer.
        """
        with limited(limits):
            stream = await self._client.post(
                _CHAT,
                body=_body(payload),
                cast_to=object,
                stream=True,
                stream_cls=openai.AsyncStream[object],
            )
        return EventStream(stream)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()


class EventStream:
    """A stream of the chunks of an answer.

    Args:
        stream: a stream of the openai package.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._chunks: AsyncIterator[Any] = stream.__aiter__()

    async def next(self) -> Any:
        """Return the next chunk; None at the end."""
        return await anext(self._chunks, None)

    async def close(self) -> None:
        """Close the connection, so that the server stops."""
        await self._stream.close()


_CHAT = "/chat/completions"


def _body(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a request: the arguments, and those that are not part of OpenAI's API."""
    arguments = {name: value for name, value in payload.items() if name != "extra_body"}
    return {**arguments, **payload.get("extra_body", {})}


def _check_headers(given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        is_text = isinstance(name, str) and isinstance(value, str) and bool(value)
        if not is_text or not value.isascii() or not value.isprintable():
            raise InputError(
                f"{name} holds a character that HTTP headers cannot hold",
                expected="printable ASCII",
            )
