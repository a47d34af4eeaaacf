"""Boxes and points in a picture, in pixels of the upright original."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Union, overload

from qwenvl_kit.geometry import Point, Region, Size
from qwenvl_kit.media.images import decode_image
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.results import Reply

if TYPE_CHECKING:
    import PIL.Image


@dataclass(frozen=True)
class Box:
    """Where something is.

    Attributes:
        label: what it is, in the model's words; what was asked for where the model says nothing.
        x1_px, y1_px: its upper left corner, from the upper left corner of the picture.
        x2_px, y2_px: its lower right corner.
        confidence: how sure the model was of these numbers, in [0, 1]: the geometric mean of the
            probabilities of their tokens; None without scores.
    """

    label: str
    x1_px: float
    y1_px: float
    x2_px: float
    y2_px: float
    confidence: float | None = None

    @property
    def centre(self) -> Point:
        """Its middle."""
        return Point((self.x1_px + self.x2_px) / 2, (self.y1_px + self.y2_px) / 2)

    @property
    def area_pixels(self) -> float:
        """Its height times its width."""
        return (self.x2_px - self.x1_px) * (self.y2_px - self.y1_px)

    @property
    def region(self) -> Region:
        """All pixels that it touches, as `ImagePart(crop=...)` takes them."""
        x1, y1 = math.floor(self.x1_px), math.floor(self.y1_px)
        return Region(
            x1, y1, max(x1 + 1, math.ceil(self.x2_px)), max(y1 + 1, math.ceil(self.y2_px))
        )

    def overlap(self, other: Box) -> float:
        """Intersection over union with another box, in [0, 1]."""
        across = min(self.x2_px, other.x2_px) - max(self.x1_px, other.x1_px)
        down = min(self.y2_px, other.y2_px) - max(self.y1_px, other.y1_px)
        shared = max(0.0, across) * max(0.0, down)
        union = self.area_pixels + other.area_pixels - shared
        return shared / union if union else 0.0


@dataclass(frozen=True)
class Mark:
    """A point on something; the attributes are those of `Box`."""

    label: str
    x_px: float
    y_px: float
    confidence: float | None = None


_Place = TypeVar("_Place", bound=Union[Box, Mark])


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
        from qwenvl_kit.places.drawing import draw_places

        return draw_places(decode_image(self._source, self._policy), self._places)

    def _repr_png_(self) -> bytes:
        import io

        buffer = io.BytesIO()
        self.draw().save(buffer, "PNG")
        return buffer.getvalue()


class Boxes(Places[Box]):
    """Boxes that a model found in a picture; see `Places`."""


class Marks(Places[Mark]):
    """Points that a model found in a picture; see `Places`."""
