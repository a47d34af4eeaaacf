"""Places in comments, such as `<!-- Image (77, 230, 300, 400) -->`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from qwenvl_kit.documents.blocks import BlockKind
from qwenvl_kit.documents.reading.kind_words import kind_of
from qwenvl_kit.documents.reading.written import box_numbers

_PLACE = re.compile(
    r"\s*([A-Za-z][A-Za-z _-]{0,40}?)\s*:?\s*(?:[(\[{]([-\d.,;\s]{1,80})[)\]}]?)?\s*$"
)


@dataclass(frozen=True)
class Place:
    """The place of a picture, or of the block that follows.

    Attributes:
        words: the words of the comment.
        kind: the kind that they name; None if they name none.
        numbers: the sides; None if there are none.
        numbers_at: the position of the numbers in the answer.
        warning: a message about numbers that are no box; empty for none.
    """

    words: str
    kind: BlockKind | None
    numbers: tuple[float, ...] | None
    numbers_at: tuple[int, int]
    warning: str = ""


def place_of(comment: str, offset: int) -> Place | None:
    """Read a place from the text of a comment; None if it is another comment.

    Args:
        comment: the text between the marks of the comment.
        offset: the position of the text in the answer.
    """
    found = _PLACE.match(comment[:200])
    if found is None or len(comment) > 200:
        return None
    kind = kind_of(found[1])
    if kind is None:
        return None
    if found[2] is None and kind not in ("image", "chart"):
        return None  # a remark, such as docling's "formula-not-decoded"
    if found[2] is None:
        return Place(found[1], kind, None, (offset, offset))
    numbers = box_numbers(found[2])
    at = (offset + found.start(2), offset + found.end(2))
    warning = "" if numbers else f"({found[2].strip()[:60]}) is no box"
    return Place(found[1], kind, numbers, at, warning)
