"""Web URLs, parsed in one way only: a URL that programs may read in two ways is refused."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from qwenvl_kit.errors import MediaForbiddenError, MediaSourceError

_PORTS = {"http": 80, "https": 443}
_MAX_CHARACTERS = 8192
_HOST = re.compile(
    r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)")
_TARGET = re.compile(r"[!-~]*")


@dataclass(frozen=True)
class WebUrl:
    """A parsed URL.

    Attributes:
        scheme: "http" or "https".
        host: a name in lower case and ASCII, or an address without brackets.
        port: a number.
        target: path and query, as they are sent.
    """

    scheme: str
    host: str
    port: int
    target: str

    def __str__(self) -> str:
        """Return scheme and host alone: path and query may hold credentials."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"

    @property
    def whole(self) -> str:
        """The complete URL; not for messages."""
        return f"{self}{self.target}"

    def joined(self, location: str) -> WebUrl:
        """Return the target of a redirect.

        Raises:
            MediaForbiddenError: as `parse_url`; or it leads from https to http.
            MediaSourceError: as `parse_url`.
        """
        try:
            there = urljoin(self.whole, location)
        except ValueError as error:
            raise _unreadable() from error
        url = parse_url(there)
        if self.scheme == "https" and url.scheme == "http":
            raise MediaForbiddenError(
                f"{self} redirects from https to http", expected="a redirect that stays encrypted"
            )
        return url


def parse_url(text: str) -> WebUrl:
    """Parse a URL, if every program would read it in the same way.

    Raises:
        MediaForbiddenError: it holds a user name or password, or an address in an odd notation.
        MediaSourceError: it is no URL of http or https, or holds characters that no URL may hold.
    """
    if len(text) > _MAX_CHARACTERS or not text.isprintable() or re.search(r"[\s\\]", text):
        raise _unreadable()
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _unreadable() from error
    if parts.scheme not in _PORTS or not host or "%" in parts.netloc:
        raise _unreadable()
    if "@" in parts.netloc:
        raise MediaForbiddenError(
            "the URL holds a user name or a password",
            expected="one without",
            hint="fetch it yourself",
        )
    target = _ascii_target(parts.path or "/", parts.query)
    return WebUrl(parts.scheme, _plain_host(host), port or _PORTS[parts.scheme], target)


def _plain_host(host: str) -> str:
    """A host as it is requested; a name that could be an address in another notation is refused."""
    if ":" in host:
        try:
            return str(ipaddress.IPv6Address(host))
        except ValueError as error:
            raise _unreadable() from error
    try:
        name = host.rstrip(".").encode("idna").decode("ascii").lower()
    except UnicodeError as error:
        raise _unreadable() from error
    if len(name) > 253 or not _HOST.fullmatch(name):
        raise _unreadable()
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        try:
            is_plain = str(ipaddress.IPv4Address(name)) == host
        except ValueError:
            is_plain = False
        if not is_plain:
            raise MediaForbiddenError(
                "the URL holds an address in an unusual notation",
                expected="four numbers, as in 192.0.2.1",
            )
    return name


def _ascii_target(path: str, query: str) -> str:
    from urllib.parse import quote

    target = quote(path, safe="/%:@!$&'()*+,;=~-._") + (
        f"?{quote(query, safe='/?%:@!$&()*+,;=~-._')}" if query else ""
    )
    if not _TARGET.fullmatch(target):
        raise _unreadable()
    return target


def _unreadable() -> MediaSourceError:
    return MediaSourceError(
        "the URL is not valid, or programs could read it in different ways",
        expected="https://host/path, without spaces, backslashes or escapes in the host",
    )
