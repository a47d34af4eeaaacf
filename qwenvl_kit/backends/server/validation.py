"""The validation of the arguments of `VisionChat.connect`."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from qwenvl_kit.backends.server.image_encoding import ENCODINGS
from qwenvl_kit.errors import InputError

_BEFORE_HOST = re.compile(r"[^?#]*@")


def api_address(base_url: object) -> str:
    """Check the URL of an API, and return it without the path of a single call.

    Raises:
        InputError: it is no http URL, or it contains a login or a query, which would be shown
            wherever the server is named.
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
    """Check whole numbers, each given by its name.

    Raises:
        InputError: a value is no whole number, or too small.
    """
    for name, value in given.items():
        least = 0 if name == "max_retries" else 1
        is_open = value is None and name == "context_tokens"
        if not is_open and (type(value) is not int or value < least):
            raise InputError(
                f"{name}={value!r} was given", expected=f"a whole number of at least {least}"
            )


def check_seconds(**given: object) -> None:
    """Check times in seconds, each given by its name.

    Raises:
        InputError: a value is no number of seconds.
    """
    for name, value in given.items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not 0 < value < 1e6:  # type: ignore[operator]  # a number by now
            raise InputError(f"{name}={value!r} was given", expected="a number of seconds")


def check_flags(**given: object) -> None:
    """Check flags, each given by its name.

    Raises:
        InputError: a value is neither True nor False.
    """
    for name, value in given.items():
        if not isinstance(value, bool):
            raise InputError(f"{name}={value!r} was given", expected="True or False")


def check_encoding(image_encoding: object) -> None:
    """Check the image format.

    Raises:
        InputError: there is no such format.
    """
    if image_encoding not in ENCODINGS:
        raise InputError(
            f"image_encoding={image_encoding!r} was given", expected=f"one of {ENCODINGS}"
        )


def _public(address: str) -> str:
    """The part of an unusable address that may be shown: no login and no query."""
    return re.split(r"[?#]", _BEFORE_HOST.sub("", address))[0][:100]
