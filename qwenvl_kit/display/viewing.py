"""Pictures that a plan can show: a viewer beside the plan, which is no part of its value."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from qwenvl_kit.display.pictures import Shown, sheet
from qwenvl_kit.errors import MediaSourceError

if TYPE_CHECKING:
    import PIL.Image

_Value = TypeVar("_Value")
_NAME = "_viewer"


class Viewer(Protocol):
    """An object that opens the pictures of a plan again."""

    def thumbnail(self, entry: Any) -> Shown:
        """Return a small picture, or words in its place; raises nothing."""

    def pictures(self, entry: Any) -> list[Shown]:
        """Return a picture as planned, or the chosen frames of a video with their times.

        Raises:
            MediaError: it cannot be opened any more, or has changed.
        """


def with_viewer(value: _Value, viewer: Viewer) -> _Value:
    """Return a copy of a plan, or of an entry of one, with its viewer.

    The viewer is an attribute and no field: it does not count when values are compared, and does
    not go with a value that is written or replaced.
    """
    copied = copy.copy(value)
    object.__setattr__(copied, _NAME, viewer)
    return copied


def viewer_of(value: Any) -> Viewer | None:
    """Return the viewer of a plan or an entry; None if it has none."""
    viewer: Viewer | None = getattr(value, _NAME, None)
    return viewer


def show(value: Any, *entries: Any) -> PIL.Image.Image:
    """Return the pictures of entries as one picture.

    Args:
        value: the plan, or the entry, that has the viewer.
        entries: the entries of the plan.

    Raises:
        MediaError: there are no pictures, or they cannot be opened any more.
    """
    viewer = viewer_of(value)
    if viewer is None or not entries:
        raise MediaSourceError(
            "the plan has no pictures" if viewer else "the plan does not know its pictures",
            expected="a plan of `chat.plan(...)` or of a reply of this process",
        )
    return sheet([shown for entry in entries for shown in viewer.pictures(entry)])
