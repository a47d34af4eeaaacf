"""What strangers wrote, as messages, reprs and reports may show it.

Whoever reads those may be a stranger too, and what shows them a terminal or a log. So content and
credentials stay out, and what would steer a terminal or begin a line of its own becomes an escape.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]{6,}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_\s-]{40,}={0,2}\s*")
"""Of no fewer characters than the smallest picture takes, a GIF of one pixel."""

_LONG = 200
_STEERING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of Unicode: controls, invisible marks such as those of direction, halves of pairs, and
ends of lines."""

_JOINERS = frozenset("\u200c\u200d")
"""Invisible too, but part of emoji and of Persian and Indian words."""

_URL = re.compile(r"""(?<![a-zA-Z0-9+.-])([a-zA-Z0-9+.-]+:)?//([^\s'"`<>]+)""")
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]{1,30}):")
"""Of two letters at least: one is a drive of Windows."""

_HOST = re.compile(
    r"//(?:[^/?#\\@]*@)?((?:[a-zA-Z0-9_.-]+|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?)"
    r"(?=[/?#]|$)[^@\\]*$"
)
"""Of what stands after the scheme. With another `@`, or a backslash, readers differ on it."""

_URL_INSIDE = re.compile(r":[^/\\]*@|[/\\]{2}.*@|[a-z0-9]{2}:/|%3a|%40", re.IGNORECASE | re.DOTALL)
_QUERY = re.compile(r"(?:\?|#(?=.*=)).+", re.DOTALL)


def escaped(text: str) -> str:
    """A text in one line, without what steers terminals; all scripts and emoji stay as they are."""
    return text if text.isascii() and text.isprintable() else "".join(map(_visible, text))


def _visible(character: str) -> str:
    is_plain = unicodedata.category(character) not in _STEERING or character in _JOINERS
    return character if is_plain else character.encode("unicode_escape").decode("ascii")


def plain(text: str) -> str:
    """A text as `escaped`, without addresses in memory and credentials in URLs."""
    return _URL.sub(_without_credentials, _ADDRESS.sub("", escaped(text)))


def _without_credentials(url: re.Match[str]) -> str:
    """A URL with its path, which a server's own address has, and without what may be a secret."""
    scheme, rest = url[1] or "", url[2]
    if "@" in rest or "\\" in rest:
        return f"{scheme}//..."
    kept = re.split(r"[?#;]", rest, maxsplit=1)[0] if scheme else rest
    return f"{scheme}//{kept}{'...' if kept != rest else ''}"


def looks_like_base64(text: str) -> bool:
    """Whether a text may be base64, by its characters: no path from the root, and no short name."""
    is_path = text.startswith("/") and not text.startswith("/9j/")  # as JPEG begins
    return not is_path and _BASE64.fullmatch(text) is not None


def shown(text: str) -> str:
    """What a stranger gave as a picture, for a message: never its content, nor much of its name."""
    if looks_like_base64(text):
        return f"<{len(text)} characters that look like base64>"
    given = _without_margin(text)
    if given[:5].lower() == "data:":
        return f"<a data URL of {len(text)} characters>"
    is_file = given[:7].lower() == "file://"
    if _SCHEME.match(given) and not is_file and ("//" in given[:40] or "@" not in given):
        return repr(shown_url(given))
    if len(text) > _LONG or _URL_INSIDE.search(given[7:] if is_file else text):
        return f"<{len(text)} characters>"
    return repr(_QUERY.sub("...", text))


def shown_url(url: str) -> str:
    """A URL by its scheme and host alone: all else may be somebody's credentials.

    Nor is a host shown that two readers might find in two places.
    """
    given = _without_margin(url)
    scheme, _, rest = given.partition(":")
    host = _HOST.match(rest)
    scheme = scheme[:20].lower()
    if host is None:
        return f"{scheme}://..." if rest.startswith("//") else f"{scheme}:..."
    more = "/..." if rest[host.end(1) :].strip("/") else ""
    return f"{scheme}://{host[1]}{more}"


def _without_margin(text: str) -> str:
    """A text from its first character that is seen, as clients read URLs."""
    for at, character in enumerate(text[:_LONG]):
        if character.isprintable() and not character.isspace():
            return text[at:]
    return text[_LONG:]


def shown_source(value: Any) -> str:
    """A source in a few words: never bytes, pixels or base64."""
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, os.PathLike):
        return f"{type(value).__name__}({shown(os.fsdecode(value))})"
    if isinstance(value, Mapping):
        held = (f"{shown_source(name)}: {shown_source(item)}" for name, item in value.items())
        return f"{{{', '.join(held)}}}"
    in_memory = _shown_content(value)
    if in_memory:
        return in_memory
    text = plain(repr(value))
    return text if len(text) <= 120 else f"{text[:100]}...{text[-10:]}"


def _shown_content(value: Any) -> str:
    """Content that is not to be printed, by its kind and number; empty for anything else."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} bytes>"
    if hasattr(value, "shape"):
        return f"<{type(value).__name__} {tuple(value.shape)}>"
    if isinstance(value, (list, tuple)) and value and not isinstance(value[0], (int, float)):
        return f"<{len(value)} frames>"
    return f"<{type(value).__name__}>" if hasattr(value, "read") else ""
