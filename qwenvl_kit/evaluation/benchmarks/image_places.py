"""Pictures at the places that a text has for them, such as `<image 2>`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.items import MediaPart
from qwenvl_kit.messages.message import TextPart

_PLACE = re.compile(r"<image (\d+)>")


def numbers_in(text: str) -> list[int]:
    """Return the numbers of the pictures that a text names, in its order."""
    return [int(number) for number in _PLACE.findall(text)]


def with_pictures(text: str, pictures: Sequence[MediaPart]) -> list[TextPart | MediaPart]:
    """Return a text with its pictures at their places; without places they stand before it.

    A picture that is named twice is shown twice. Source: open-compass/VLMEvalKit,
    dataset/image_mcq.py, `split_MMMU`.

    Args:
        text: the text.
        pictures: the pictures, the first of which is `<image 1>`.

    Raises:
        EvaluationError: the text names a picture that there is not.
    """
    pieces = _PLACE.split(text)
    if len(pieces) == 1:
        return [*pictures, TextPart(text)]
    found: list[TextPart | MediaPart] = []
    for at, piece in enumerate(pieces):
        if at % 2:
            found.append(_picture(int(piece), pictures))
        elif piece:
            found.append(TextPart(piece))
    return found


def _picture(number: int, pictures: Sequence[MediaPart]) -> MediaPart:
    if not 1 <= number <= len(pictures):
        raise EvaluationError(
            f"the text names <image {number}>, and the item has {len(pictures)} pictures",
            expected="a picture for each place",
        )
    return pictures[number - 1]
