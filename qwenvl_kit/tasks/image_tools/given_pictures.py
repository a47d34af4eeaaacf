"""The pictures of a question, decoded when a part of one is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qwenvl_kit.errors import MessageError
from qwenvl_kit.media.error_mapping import mapped_errors
from qwenvl_kit.media.images import decode_image
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.types import DrawnImage
from qwenvl_kit.messages.message import ImagePart
from qwenvl_kit.requests import Media
from qwenvl_kit.tasks.image_tools.views import View
from qwenvl_kit.tasks.task_input import as_media, one_picture


class GivenViews:
    """The views of the given pictures, and those that were made of them.

    Args:
        parts: the given pictures.
        policy: the rules for opening them.
        where: the place of each in the request, for errors.
    """

    def __init__(self, parts: Sequence[ImagePart], policy: MediaPolicy, where: str) -> None:
        self._parts, self._policy, self._where = parts, policy, where
        self._known: dict[int, View] = {}
        self._made: list[View] = []

    def __len__(self) -> int:
        return len(self._parts) + len(self._made)

    def __getitem__(self, index: int) -> View:
        """The view with an index: the given pictures, then those that were made."""
        if index >= len(self._parts):
            return self._made[index - len(self._parts)]
        if index not in self._known:
            self._known[index] = self._opened(index)
        return self._known[index]

    def add(self, view: View) -> None:
        """Keep a view that was made."""
        self._made.append(view)

    def _opened(self, index: int) -> View:
        part = self._parts[index]
        with mapped_errors(self._where.format(index)):
            source: Any = part.source
            is_drawn = isinstance(source, DrawnImage)
            image = source.draw(self._policy) if is_drawn else decode_image(source, self._policy)
        crop = part.crop
        bounds = (
            None
            if crop is None
            else (float(crop.x1_px), float(crop.y1_px), float(crop.x2_px), float(crop.y2_px))
        )
        return View.of(image, bounds, index)


def given_parts(
    images: Media | Sequence[Media], policy: MediaPolicy, where: str
) -> list[ImagePart]:
    """Return one picture, or each of a list, as `ImagePart`s.

    Raises:
        MessageError: none were given, or a document has several pages.
    """
    given = as_media(images)
    if not given:
        raise MessageError("no pictures were given", expected="at least one", where="images")
    return [one_picture(policy, image, where.format(at)) for at, image in enumerate(given)]
