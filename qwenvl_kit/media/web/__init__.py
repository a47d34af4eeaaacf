"""Pictures and videos from the web, if the media policy admits them.

A URL is checked in four places:

- `urls.py` parses it, and refuses a URL that programs may read in two ways;
- `MediaPolicy.check_host` checks its scheme, host and port;
- `connections.py` checks the addresses of the host, with `addresses.py`, before it connects;
- `fetcher.py` puts each hop of a redirect through all of these, and limits bytes and time.
"""

from qwenvl_kit.media.web.fetcher import fetch

__all__ = ["fetch"]
