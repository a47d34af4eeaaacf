"""Pictures and videos from the web, if the media policy admits them."""

from qwenvl_kit.media.web.fetcher import fetch

__all__ = ["fetch"]
