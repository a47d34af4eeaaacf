"""Pictures and videos from the network, as far as the media policy lets them in."""

from qwenvl_kit.media.web.fetcher import fetch

__all__ = ["fetch"]
