"""Untrusted text made safe to show in messages, reprs and reports.

Terminals and logs show these texts, and others may read them. So content and credentials are left
out, and characters that control a terminal or begin a new line are escaped.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]{6,}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_\s-]{40,}={0,2}\s*")
"""Text that may be base64: at least as long as the smallest picture, a GIF of one pixel."""

_LONG = 200
_STEERING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories of characters that are escaped: controls, invisible marks such as those of
text direction, surrogates, and line ends."""

_JOINERS = frozenset("\u200c\u200d")
"""Invisible characters that are kept: emoji and Persian and Indian words need them."""

_URL = re.compile(r"""(?<![a-zA-Z0-9+.-])([a-zA-Z0-9+.-]+:)?//([^\s'"`<>]+)""")
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]{1,30}):")
"""The scheme of a URL: at least two letters, because one letter is a drive of Windows."""

_HOST = re.compile(
    r"//(?:[^/?#\\@]*@)?((?:[a-zA-Z0-9_.-]+|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?)"
    r"(?=[/?#]|$)[^@\\]*$"
)
"""The host in the text after the scheme. With a second `@` or a backslash there is no match,
because programs read such a host differently."""

_URL_INSIDE = re.compile(r":[^/\\]*@|[/\\]{2}.*@|[a-z0-9]{2}:/|%3a|%40", re.IGNORECASE | re.DOTALL)
_QUERY = re.compile(r"(?:\?|#(?=.*=)).+", re.DOTALL)


def escaped(text: str) -> str:
    """Return a text in one line, with control characters escaped; scripts and emoji are kept."""
    return text if text.isascii() and text.isprintable() else "".join(map(_visible, text))


def _visible(character: str) -> str:
    is_plain = unicodedata.category(character) not in _STEERING or character in _JOINERS
    return character if is_plain else character.encode("unicode_escape").decode("ascii")


def plain(text: str) -> str:
    """Return a text as `escaped` does, also without memory addresses and credentials in URLs."""
    return _URL.sub(_without_credentials, _ADDRESS.sub("", escaped(text)))


def _without_credentials(url: re.Match[str]) -> str:
    """A URL with its path, but without the parts that may be secret; server URLs have a path."""
    scheme, rest = url[1] or "", url[2]
    if "@" in rest or "\\" in rest:
        return f"{scheme}//..."
    kept = re.split(r"[?#;]", rest, maxsplit=1)[0] if scheme else rest
    return f"{scheme}//{kept}{'...' if kept != rest else ''}"


def looks_like_base64(text: str) -> bool:
    """True if a text may be base64, by its characters; False for absolute paths and short names."""
    is_path = text.startswith("/") and not text.startswith("/9j/")  # as JPEG begins
    return not is_path and _BASE64.fullmatch(text) is not None


def shown(text: str) -> str:
    """Return an untrusted source as a message may show it: without content and long names."""
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
    """Return the scheme and host of a URL: everything else may be somebody's credentials.

    The host is left out too if programs could read it differently.
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
    """A text from its first visible character on, as clients read URLs."""
    for at, character in enumerate(text[:_LONG]):
        if character.isprintable() and not character.isspace():
            return text[at:]
    return text[_LONG:]


def shown_source(value: Any) -> str:
    """Return a source in a few words, without bytes, pixels or base64."""
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
    """Bytes, arrays, frames or files in a few words: kind and number; empty for other values."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} bytes>"
    if hasattr(value, "shape"):
        return f"<{type(value).__name__} {tuple(value.shape)}>"
    if isinstance(value, (list, tuple)) and value and not isinstance(value[0], (int, float)):
        return f"<{len(value)} frames>"
    return f"<{type(value).__name__}>" if hasattr(value, "read") else ""
