"""Boxes and points that a model found in a picture, with the reply that they were read from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Union, overload

from qwenvl_kit.geometry import Size
from qwenvl_kit.grounding.boxes import Box, PointMark
from qwenvl_kit.grounding.drawing import draw_places
from qwenvl_kit.media.images import decode_image
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.results import Reply

if TYPE_CHECKING:
    import PIL.Image

_Place = TypeVar("_Place", bound=Union[Box, PointMark])


class Places(Sequence[_Place], Generic[_Place]):
    """Boxes or points that a model found in a picture, in the order of its answer.

    Args:
        places: the boxes or points.
        reply: the answer that they were read from.
        warnings: what could not be read of it, or had to be set right, in words.
        image_size: the upright picture's size.
        source: the picture.
        policy: how it may be opened.
    """

    def __init__(
        self,
        places: Sequence[_Place],
        *,
        reply: Reply,
        warnings: Sequence[str],
        image_size: Size,
        source: Any,
        policy: MediaPolicy,
    ) -> None:
        self._places = tuple(places)
        self.reply = reply
        self.warnings = tuple(warnings)
        self.image_size = image_size
        self._source = source
        self._policy = policy

    @overload
    def __getitem__(self, index: int) -> _Place: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[_Place, ...]: ...

    def __getitem__(self, index: int | slice) -> _Place | tuple[_Place, ...]:
        return self._places[index]

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[_Place]:
        return iter(self._places)

    def __repr__(self) -> str:
        warned = f", warnings={self.warnings}" if self.warnings else ""
        return f"{type(self).__name__}({list(self._places)}{warned})"

    def draw(self) -> PIL.Image.Image:
        """The upright picture with the places and their labels drawn on it; a new picture.

        Raises:
            MediaError: the picture cannot be opened any more.
        """
        return draw_places(decode_image(self._source, self._policy), self._places)

    def _repr_png_(self) -> bytes:
        import io

        buffer = io.BytesIO()
        self.draw().save(buffer, "PNG")
        return buffer.getvalue()


class Boxes(Places[Box]):
    """Boxes that a model found in a picture; see `Places`."""


class Points(Places[PointMark]):
    """Points that a model found in a picture; see `Places`."""
