"""Values of the media room: headers, pages, links, and pictures that are drawn on demand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, Union

from qwenvl_kit.geometry import Size

if TYPE_CHECKING:
    import numpy
    import PIL.Image

    from qwenvl_kit.media.policy import MediaPolicy

Opened: TypeAlias = "PIL.Image.Image | Path | bytes"
"""A resolved source: a picture in memory, a file that may be read, or encoded bytes."""

DecodedMedia: TypeAlias = Union["PIL.Image.Image", "numpy.ndarray[Any, Any]"]
"""A picture, or the frames of a video as uint8 (frames, height, width, 3): RGB, upright, at the
planned size."""

Resize: TypeAlias = "Callable[[PIL.Image.Image, Size], PIL.Image.Image]"
"""A function that resizes a decoded picture; a backend has its own, so that pixels are those of
its processor."""


@dataclass(frozen=True)
class ImageHeader:
    """The facts in a picture's header.

    Attributes:
        size: the size of the upright picture.
        orientation: the EXIF orientation by which it is turned, 1 to 8 (EXIF 2.32, tag 274).
        is_plain: True if it is RGB or grey, of 8 bits, opaque and sRGB: every program shows such a
            picture alike.
        format: Pillow's name of the format; empty for pixels.
    """

    size: Size
    orientation: int
    is_plain: bool = False
    format: str = ""


@dataclass(frozen=True)
class Link:
    """A picture on the network that others will fetch; the source of a part.

    Attributes:
        url: its address; never printed.
        header: its header, read from the first bytes of the file.
    """

    url: str = field(repr=False)
    header: ImageHeader


class DrawnImage(ABC):
    """A picture that is drawn when its pixels are needed, such as a page; the source of a part."""

    @property
    @abstractmethod
    def header(self) -> ImageHeader:
        """The header of the picture that will be drawn."""

    @abstractmethod
    def draw(self, policy: MediaPolicy) -> PIL.Image.Image:
        """Draw the picture at its full size, in RGB.

        Raises:
            MediaError: it cannot be drawn, or the policy refuses it.
        """


class Page(NamedTuple):
    """A page as a picture, and its number, from 1 on."""

    number: int
    image: PIL.Image.Image


class PageSize(NamedTuple):
    """The number of a page, from 1 on, and its size as a picture."""

    number: int
    size: Size
