"""The masking of secrets in messages, in every form in which a server may repeat them."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

_CREDENTIALS = re.compile(r"(?i)\b(?:bearer\s+\S+|sk-[\w-]{6,}|hf_\w{6,})|(?<=://)[^/\s@]*@")
_PART = 6
"""Number of consecutive characters of a secret that are masked anywhere: it may have been cut."""

_MOST_CHARACTERS = 50_000
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_MASKED = "***"


class SecretMask:
    """A mask for secrets in text: whole and in part, in the forms in which servers repeat them.

    Args:
        secrets: API keys, and the values of headers.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {_lower(form) for secret in secrets if secret for form in _forms(secret)}
        self._parts = {form[at : at + _PART] for form in forms for at in _starts(form)}
        short = sorted((re.escape(form) for form in forms if len(form) < _PART), key=len)
        self._short = (
            re.compile(rf"(?<!\w)(?:{'|'.join(reversed(short))})(?!\w)") if short else None
        )

    def __call__(self, text: str) -> str:
        """Return the text with its secrets masked, cut to the most that a message may contain."""
        text = text[:_MOST_CHARACTERS]
        plain = _lower(text)
        spans = [(at, at + _PART) for at in _starts(plain) if plain[at : at + _PART] in self._parts]
        if self._short is not None:
            spans += [found.span() for found in self._short.finditer(plain)]
        return _CREDENTIALS.sub(_MASKED, _without(text, sorted(spans)))


def _forms(secret: str) -> Iterator[str]:
    """The forms of a secret: as it is, for a URL, in JSON, in HTML, and a login in clear text."""
    clear = _login(secret)
    for form in (secret, clear) if clear else (secret,):
        yield from (form, quote(form), quote(form, safe=""), quote_plus(form), html.escape(form))
        yield json.dumps(form)[1:-1]
        yield json.dumps(form)[1:-1].replace("/", "\\/")
        yield repr(form)[1:-1]


def _login(secret: str) -> str:
    """Name and password in a value of HTTP's basic authentication; empty if it is another value."""
    scheme, _, value = secret.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value, validate=True).decode()
    except ValueError:
        return ""


def _lower(text: str) -> str:
    """Return the text with ASCII letters in lower case; the positions of characters stay."""
    return text.translate(_LOWER)


def _starts(text: str) -> range:
    return range(max(0, len(text) - _PART + 1))


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    kept: list[str] = []
    at = 0
    for start, end in spans:
        if start > at or not kept:
            kept += [text[at:start], _MASKED]
        at = max(at, end)
    return "".join([*kept, text[at:]])
