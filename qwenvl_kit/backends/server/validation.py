"""Whether the arguments of `VisionChat.connect` can be used."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from qwenvl_kit.backends.server.image_encoding import ENCODINGS
from qwenvl_kit.errors import InputError

_BEFORE_HOST = re.compile(r"[^?#]*@")


def api_address(base_url: object) -> str:
    """The address of an API, without what belongs to a single call.

    Raises:
        InputError: it is no URL of http, or holds what would be shown wherever the server is named.
    """
    if not isinstance(base_url, str):
        raise InputError(
            f"base_url of type {type(base_url).__name__} was given", expected="a string"
        )
    address = base_url.strip()
    try:
        parts = urlsplit(address)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname)
        has_login = parts.username is not None or parts.password is not None
        _ = parts.port
    except ValueError:
        is_url = has_login = False
    if not is_url:
        raise InputError(
            f"base_url={_public(address)!r} was given",
            expected="the URL of an API, such as 'http://127.0.0.1:8000/v1'",
        )
    if has_login:
        raise InputError("base_url holds a name or password", expected="api_key=... or headers=...")
    if parts.query or parts.fragment:
        raise InputError("base_url holds a query", expected="api_key=... or headers=...")
    return address.rstrip("/?#").removesuffix("/chat/completions")


def check_numbers(**given: object) -> None:
    """Check whole numbers, each by its name.

    Raises:
        InputError: one is none, or too small.
    """
    for name, value in given.items():
        least = 0 if name == "max_retries" else 1
        is_open = value is None and name == "context_tokens"
        if not is_open and (type(value) is not int or value < least):
            raise InputError(
                f"{name}={value!r} was given", expected=f"a whole number of at least {least}"
            )


def check_seconds(**given: object) -> None:
    """Check times, each by its name.

    Raises:
        InputError: one is none.
    """
    for name, value in given.items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not 0 < value < 1e6:  # type: ignore[operator]  # a number by now
            raise InputError(f"{name}={value!r} was given", expected="a number of seconds")


def check_flags(**given: object) -> None:
    """Check what is yes or no, each by its name.

    Raises:
        InputError: one is neither.
    """
    for name, value in given.items():
        if not isinstance(value, bool):
            raise InputError(f"{name}={value!r} was given", expected="True or False")


def check_encoding(image_encoding: object) -> None:
    """Check how pictures are to travel.

    Raises:
        InputError: there is no such way.
    """
    if image_encoding not in ENCODINGS:
        raise InputError(
            f"image_encoding={image_encoding!r} was given", expected=f"one of {ENCODINGS}"
        )


def _public(address: str) -> str:
    """What may be shown of what is no address: nothing that could be a login or a query."""
    return re.split(r"[?#]", _BEFORE_HOST.sub("", address))[0][:100]
