"""A page around what a model wrote, which keeps it from files, from the network and from itself."""

from __future__ import annotations

import base64
import html

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
    "media-src data:; frame-src 'none'; child-src 'none'; worker-src 'none'; object-src 'none'; "
    "base-uri 'none'; form-action 'none'"
)
"""The content security policy of the page, which documents in its frames take over (Content
Security Policy Level 3, 2.2). Nothing is loaded that does not stand in the page itself, and
`frame-src` keeps the frame from going elsewhere, by links, refreshes or scripts."""

_STYLE = "html,body{margin:0;overflow:hidden;background:#fff}"
_FRAME = "iframe{border:0;display:block}"
_IMAGE = "img{display:block;object-fit:contain}"


def page_around(text: str, size: tuple[int, int], *, is_svg: bool, scripts: bool) -> str:
    """Return a page that shows HTML or SVG as it is safe to be shown.

    HTML stands in a sandboxed frame without an origin, under the policy above. SVG is a picture: a
    browser runs no scripts in one and loads nothing for it (SVG Integration, "secure static mode").

    Args:
        text: the HTML or SVG.
        size: width and height of the frame, in CSS pixels; the window may be larger.
        is_svg: True for SVG.
        scripts: True lets scripts of the page run, in the frame.
    """
    sides = f'width="{size[0]}" height="{size[1]}"'
    policy = _POLICY + ("; script-src 'unsafe-inline'" if scripts else "")
    if is_svg:
        data = base64.b64encode(text.encode("utf-8", "replace")).decode("ascii")
        style, body = _IMAGE, f'<img {sides} src="data:image/svg+xml;base64,{data}">'
    else:
        allowed = "allow-scripts" if scripts else ""
        body = f'<iframe {sides} sandbox="{allowed}" srcdoc="{html.escape(text)}"></iframe>'
        style = _FRAME
    return (
        '<!DOCTYPE html><html><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<style>{_STYLE}{style}</style></head><body>{body}</body></html>"
    )
