"""Placeholders of pictures and films that are written in the text, as other libraries do.

A text of this package is never a placeholder: such words reach the model unchanged, and show
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from qwenvl_kit.messages.message import ImagePart, Message, Part, TextPart, VideoPart

_TOKENS = re.compile(r"<\|(?:vision_start|image_pad|video_pad|vision_end|vision_pad)\|>")
"""The tokens of Qwen's chat templates, which nobody writes for another purpose."""

_TAGS = re.compile(
    r"(?<![`'\"“‘「])<(?P<kind>image|video|img|ImageHere)(?:[ _-]?\d+)?>(?!\s*[`'\"”’」])",
    re.IGNORECASE,
)
"""The tags of ms-swift, LLaMA-Factory and LLaVA; tags in quotes are only mentioned."""


def warnings_of_places(messages: Sequence[Message]) -> tuple[str, ...]:
    """A warning, with its remedy, for each text of a user that holds a placeholder of a picture.

    The tags of data sets, such as `<image>`, are tags of HTML and SVG, too. So they count only at
    the beginning or end of a line, or if the message shows a picture.
    """
    return tuple(
        f"{where} holds {written!r}, which is plain text and shows nothing; leave it out: {cure}"
        for where, written, cure in _written(messages)
    )


def _written(messages: Sequence[Message]) -> Iterator[tuple[str, str, str]]:
    for at, message in enumerate(messages):
        if message.role not in ("user", "system"):
            continue
        for index, part in enumerate(message.parts):
            found = _place_in(part.text, message.parts) if isinstance(part, TextPart) else None
            if found is not None:
                yield f"messages[{at}].parts[{index}]", found, _cure(found, message.parts)


def _place_in(text: str, parts: Sequence[Part]) -> str | None:
    if token := _TOKENS.search(text):
        return token[0]
    is_beside = any(isinstance(part, (ImagePart, VideoPart)) for part in parts)
    for tag in _TAGS.finditer(text):
        if f"</{tag['kind']}>" not in text and (is_beside or _ends_a_line(text, tag)):
            return tag[0]
    return None


def _ends_a_line(text: str, tag: re.Match[str]) -> bool:
    """True if a line begins or ends with the tag, or with others like it."""
    line = text[text.rfind("\n", 0, tag.start()) + 1 :].partition("\n")[0].strip()
    return line.startswith(tag[0]) or line.endswith(tag[0])


def _cure(written: str, parts: Sequence[Part]) -> str:
    if any(isinstance(part, (ImagePart, VideoPart)) for part in parts):
        return "pictures and videos are shown where their parts stand"
    kind = "VideoPart" if "video" in written.lower() else "ImagePart"
    return f"{kind}(...) shows the file, as in chat.ask(question, {kind}(...))"
