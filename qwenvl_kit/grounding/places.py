"""Boxes and points that were found in a picture, with the reply that they were read from."""

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

    It is a read-only sequence that can be drawn on its picture. In a notebook, it shows itself as
    the picture with the places on it.

    Args:
        places: the boxes or points.
        reply: the answer that they were read from.
        warnings: messages about places that could not be read or had to be corrected.
        image_size: the size of the upright picture.
        source: the source of the picture.
        policy: the rules for opening it.
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
        """Return a new picture: the upright original with the places and their labels drawn on it.

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
    """Boxes that a model found in a picture; see `Places` for its attributes and `draw()`."""


class Points(Places[PointMark]):
    """Points that a model found in a picture; see `Places` for its attributes and `draw()`."""
