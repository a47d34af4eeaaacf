"""Texts that look like a tool call and may be an answer: they give a warning and are not made.

If a user asks "How is the tool called?", the answer may hold a call, in a code block or in prose.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from qwenvl_kit.messages.tool_parts import UnreadCall

_STRAY = re.compile(
    r"</?tool_call>|</?(?:function|parameter)\b[^<>\n]{0,80}(?:>|\Z)|✿FUNCTION✿|<invoke\b"
)
_OPENINGS = ("<tool_call>", "<function=")
_MIN_BEGUN = 4
"""The shortest beginning of an opening tag at the end of a text that counts as one."""

_ARGUMENTS = re.compile(r"""["'](?:arguments|parameters|args|input)["']\s{0,9}:""")


def lookalike_in(said: str, schemas: Mapping[str, Mapping[str, Any]]) -> UnreadCall | None:
    """The text outside of calls, if it looks like a call; otherwise None."""
    if not schemas:
        return None
    begun = said[said.rfind("<") :]
    if len(begun) > _MIN_BEGUN and any(tag.startswith(begun) for tag in _OPENINGS):
        return UnreadCall(begun, "it is cut off", is_marked=False)
    stray = _STRAY.search(said)
    if stray is not None:
        return UnreadCall(said[stray.start() :], f"{stray[0]} stands alone", is_marked=False)
    names = "|".join(map(re.escape, schemas))
    named = re.search(
        rf"""["'](?:name|function|tool|tool_name)["']\s{{0,9}}:\s{{0,9}}["'](?:{names})["']"""
        rf"""|^(?:Action:[ \t]{{0,9}}(?:{names})[ \t]{{0,9}}\n+Action Input:)"""
        rf"""|^[\[`]{{0,3}}(?:{names})\(\w+[ ]?=""",
        said,
        re.MULTILINE,
    )
    if named is None or (named[0][0] in "\"'" and not _ARGUMENTS.search(said)):
        return None
    return UnreadCall(said, "it stands without <tool_call> before it", is_marked=False)
