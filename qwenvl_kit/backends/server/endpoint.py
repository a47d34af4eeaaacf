"""How a server is reached, and what is asked of it there."""

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
"""What the client would take from the environment, which is meant for another server."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """How a server is reached.

    Attributes:
        address: of its API.
        api_key: what it wants to see; None where it wants none.
        headers: what every request carries beside.
        timeout_seconds: how long it may say nothing.
        max_retries: how often a request is repeated that came to nothing.
        use_environment_proxy: whether to go by the proxy that the environment names.
        named_proxy: the one that it names; None if there is none for the address.

    Raises:
        InputError: a key or headers that cannot be sent, or a proxy that cannot be used.
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
            self._transport()  # while an error is the caller's to see

    @property
    def errors(self) -> ErrorTranslator:
        """What turns the client's errors into the kit's."""
        secrets = [*self.headers.values(), self.api_key or "", self.named_proxy or ""]
        is_passed_over = self.named_proxy is not None and not self.use_environment_proxy
        return ErrorTranslator(SecretMask(secrets), _PASSED_OVER if is_passed_over else "")

    def make_api(self) -> Api:
        """The server's API, to be used in one event loop."""
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


_PASSED_OVER = "the environment names a proxy, which connect(use_environment_proxy=True) goes by"


class Api:
    """OpenAI's chat API of a server, in one event loop. Its answers are JSON as it came.

    Args:
        client: of the openai package.
    """

    def __init__(self, client: openai.AsyncOpenAI) -> None:
        self._client = client

    async def list_models(self, limits: ResponseLimits) -> Mapping[str, Any]:
        """What the server serves.

        Args:
            limits: what the list may take.

        Raises:
            ServerAnswerError: it is too long, a web page, or no object.
            Exception: whatever the client raises.
        """
        with limited(limits):
            listed = await self._client.get("/models", cast_to=object)
            return answer_object(listed, "data")

    async def answer(self, payload: Mapping[str, Any], limits: ResponseLimits) -> Mapping[str, Any]:
        """The whole answer to a request.

        Args:
            payload: the arguments of `chat.completions.create`.
            limits: what the answer may take.

        Raises:
            ServerAnswerError: it is too long, a web page, or no object.
            Exception: whatever the client raises.
        """
        with limited(limits):
            answer = await self._client.post(_CHAT, body=_body(payload), cast_to=object)
            return answer_object(answer, "choices")

    async def stream(self, payload: Mapping[str, Any], limits: ResponseLimits) -> EventStream:
        """The answer to a request, as it comes.

        Args:
            payload: likewise.
            limits: likewise.
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
    """The chunks of an answer.

    Args:
        stream: of the openai package.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._chunks: AsyncIterator[Any] = stream.__aiter__()

    async def next(self) -> Any:
        """The next chunk; None at the end."""
        return await anext(self._chunks, None)

    async def close(self) -> None:
        """Have the server stop."""
        await self._stream.close()


_CHAT = "/chat/completions"


def _body(payload: Mapping[str, Any]) -> dict[str, Any]:
    """What a request holds: the arguments, and those that OpenAI's API does not have."""
    arguments = {name: value for name, value in payload.items() if name != "extra_body"}
    return {**arguments, **payload.get("extra_body", {})}


def _check_headers(given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        is_text = isinstance(name, str) and isinstance(value, str) and bool(value)
        if not is_text or not value.isascii() or not value.isprintable():
            raise InputError(
                f"{name} holds something that no header can hold", expected="printable ASCII"
            )
