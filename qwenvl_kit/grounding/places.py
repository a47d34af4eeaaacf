"""Boxes and points that were found in a picture, with the reply that they were read from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Union, overload

from qwenvl_kit.display.blocks import Cell, Html, bar, facts, notes, table
from qwenvl_kit.display.pictures import SHOWN_PX, Shown, figure
from qwenvl_kit.display.styles import framed
from qwenvl_kit.display.text import count
from qwenvl_kit.errors import MediaSizeError, MissingPackageError, QwenVLKitError
from qwenvl_kit.geometry import Size
from qwenvl_kit.grounding.boxes import Box, Box3D, PointMark, Polygon, centre_of, sides_of
from qwenvl_kit.grounding.drawing import draw_places, drawing_of
from qwenvl_kit.grounding.sketches import Drawable
from qwenvl_kit.media.images import decode_image
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.results import Reply

if TYPE_CHECKING:
    import PIL.Image
    import supervision

_Place = TypeVar("_Place", bound=Union[Box, PointMark, Polygon, Box3D])


class Places(Sequence[_Place], Generic[_Place]):
    """Places that a model found in a picture, in the order of its answer.

    It is a read-only sequence that can be drawn on its picture. In a notebook, it shows itself as
    the picture with the places on it.

    Args:
        places: boxes, points, outlines or boxes in space.
        reply: the answer that they were read from.
        warnings: messages about places that could not be read or had to be corrected.
        image_size: the size of the upright picture.
        source: the source of the picture.
        policy: the rules for opening it.
    """

    reads_flat = True
    """True if it takes the boxes and points of an answer, and leaves out all others."""

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

    def draw(
        self, image: PIL.Image.Image | None = None, *, font: str | None = None
    ) -> PIL.Image.Image:
        """Return a new picture: the upright original with the places and their labels drawn on it.

        No label lies upon another. Labels in Chinese, Japanese or Korean are drawn with a font of
        this machine; a warning says what to install if there is none.

        Args:
            image: the picture to draw on, of the size of the original; None opens the original.
            font: the path of a font file for all labels; None chooses one for each label.

        Raises:
            MediaError: the picture cannot be opened any more.
        """
        return draw_places(self._whole(image), self._sketches(), font)

    def _sketches(self) -> list[Drawable]:
        """The drawings of all places, in their order."""
        return [place for place in self._places if not isinstance(place, Box3D)]

    def _whole(self, image: PIL.Image.Image | None) -> PIL.Image.Image:
        """The picture that was searched, or another one of its size."""
        whole = decode_image(self._source if image is None else image, self._policy)
        if whole.size != (self.image_size.width_px, self.image_size.height_px):
            raise MediaSizeError(
                f"a picture of {whole.width} x {whole.height} px was given",
                expected=f"{self.image_size}, the size of the picture that was searched",
                where="image",
            )
        return whole

    def _repr_html_(self) -> str:
        """Return the picture with the places on it, and a table of them."""
        picture, told = self.picture_html()
        facts_told = [count(len(self), "place"), f"picture of {self.image_size}", *self._facts()]
        rows: list[list[Cell]] = [
            [place.label, *self._cells(place), bar(place.confidence)] for place in self._places
        ]
        found = table(("label", *self._headings, "confidence"), rows) if rows else ""
        return framed(picture, found, facts(*facts_told, *told), notes(self.warnings))

    def picture_html(self) -> tuple[str, list[str]]:
        """Return the picture with the places on it as HTML, and what is to tell of it."""
        told = []
        try:
            drawing = drawing_of(self._whole(None), self._sketches())
            picture = figure(Shown(drawing.image, ""), SHOWN_PX)
            told += [f"{count(drawing.num_lost, 'label')} without room"] * bool(drawing.num_lost)
        except (QwenVLKitError, OSError) as error:
            picture = Html("")
            told.append(f"the picture cannot be shown: {error}")
        return f'<div class="qvk-whole">{picture.text}</div>', told

    _headings: tuple[str, ...] = ("point in px",)
    """The headings of the columns between a label and its confidence."""

    def _cells(self, place: _Place) -> tuple[str, ...]:
        """The cells of a place under these headings."""
        return (centre_of(place),) if isinstance(place, PointMark) else ()

    def _facts(self) -> tuple[str, ...]:
        """More facts about all places."""
        return ()


class Boxes(Places[Box]):
    """Boxes that a model found in a picture; see `Places` for its attributes and `draw()`."""

    _headings = ("box in px",)

    def _cells(self, place: Box) -> tuple[str, ...]:
        return (sides_of(place),)

    def to_coco(self, *, image_id: int = 1, file_name: str = "") -> dict[str, Any]:
        """Return the boxes as a data set in the format of COCO, of one picture.

        `bbox` is [x, y, width, height] in pixels. Each annotation has a `score`, so that the list
        of annotations is also what COCO's evaluation takes as results; it is 1.0 for a box without
        scores. Categories are numbered from 1 in the order of their first boxes.

        Args:
            image_id: the number of the picture.
            file_name: its name.
        """
        names = {label: at for at, label in enumerate(self._labels, start=1)}
        size = {"width": self.image_size.width_px, "height": self.image_size.height_px}
        return {
            "images": [{"id": image_id, "file_name": file_name, **size}],
            "categories": [{"id": number, "name": name} for name, number in names.items()],
            "annotations": [
                {
                    "id": at,
                    "image_id": image_id,
                    "category_id": names[box.label],
                    "bbox": [box.x1_px, box.y1_px, box.x2_px - box.x1_px, box.y2_px - box.y1_px],
                    "area": box.area_pixels,
                    "iscrowd": 0,
                    "score": 1.0 if box.confidence is None else box.confidence,
                }
                for at, box in enumerate(self, start=1)
            ],
        }

    def to_supervision(self) -> supervision.Detections:
        """Return the boxes as `supervision.Detections`.

        `class_id` numbers the labels from 0 in the order of their first boxes, and
        `data["class_name"]` has the labels themselves. `confidence` is None without scores; where
        only some boxes have one, it is NaN for the others.

        Raises:
            MissingPackageError: supervision is not installed.
        """
        try:
            import supervision
        except ImportError as error:
            raise MissingPackageError(
                "supervision is not installed", hint="pip install supervision"
            ) from error
        import numpy

        names = {label: at for at, label in enumerate(self._labels)}
        sides = [(box.x1_px, box.y1_px, box.x2_px, box.y2_px) for box in self]
        sure = [numpy.nan if box.confidence is None else box.confidence for box in self]
        is_scored = any(box.confidence is not None for box in self)
        return supervision.Detections(
            xyxy=numpy.array(sides, numpy.float32).reshape(-1, 4),
            confidence=numpy.array(sure, numpy.float32) if is_scored or not sides else None,
            class_id=numpy.array([names[box.label] for box in self], numpy.int64),
            data={"class_name": numpy.array([box.label for box in self], dtype=numpy.str_)},
        )

    @property
    def _labels(self) -> list[str]:
        """The labels, each once, in the order of their first boxes."""
        return list(dict.fromkeys(box.label for box in self))


class Points(Places[PointMark]):
    """Points that a model found in a picture; see `Places` for its attributes and `draw()`."""
