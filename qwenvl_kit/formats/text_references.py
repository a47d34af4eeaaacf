"""Places of pictures and films that are written as text, as other libraries have them.

A text of this package is never a place: such words reach the model as they stand, and show nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from qwenvl_kit.messages.message import ImagePart, Message, Part, TextPart, VideoPart

_TOKENS = re.compile(r"<\|(?:vision_start|image_pad|video_pad|vision_end|vision_pad)\|>")
"""Those of Qwen's chat templates. Nobody writes them to say something else."""

_TAGS = re.compile(
    r"(?<![`'\"“‘「])<(?P<kind>image|video|img|ImageHere)(?:[ _-]?\d+)?>(?!\s*[`'\"”’」])",
    re.IGNORECASE,
)
"""Those of ms-swift, LLaMA-Factory and LLaVA; what stands in quotes is spoken of."""


def warnings_of_places(messages: Sequence[Message]) -> tuple[str, ...]:
    """A warning, with its cure, for each text of a user that writes the place of a picture.

    The words of data sets, such as `<image>`, are also those of HTML and SVG. So they count where
    a line begins or ends with them, or where the message shows something of itself.
    """
    return tuple(
        f"{where} holds {written!r}, which is plain text to the model and shows nothing; write "
        f"none: {cure}"
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
    """Whether a line begins or ends with it, or with others like it."""
    line = text[text.rfind("\n", 0, tag.start()) + 1 :].partition("\n")[0].strip()
    return line.startswith(tag[0]) or line.endswith(tag[0])


def _cure(written: str, parts: Sequence[Part]) -> str:
    if any(isinstance(part, (ImagePart, VideoPart)) for part in parts):
        return "pictures and films stand where their parts do"
    kind = "VideoPart" if "video" in written.lower() else "ImagePart"
    return f"{kind}(...) before the question is the place, as in chat.ask(question, {kind}(...))"
