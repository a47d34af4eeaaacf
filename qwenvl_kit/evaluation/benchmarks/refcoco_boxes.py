"""The boxes of RefCOCO's data and of answers, in one unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.families import Family
from qwenvl_kit.geometry import PixelMap, Point, Size
from qwenvl_kit.grounding.boxes import Box
from qwenvl_kit.grounding.coordinates import PARTS

BoxFormat: TypeAlias = Literal["xywh", "xyxy", "fractions"]
"""The numbers of a box: corner, width and height in pixels, as COCO has them; two corners in
pixels; or two corners as fractions of the picture's sides."""

_SUM_TOLERANCE = 1.02
"""The share of a side by which a fraction may be above 1, as some boxes reach beyond a picture."""


@dataclass(frozen=True)
class RightBox:
    """The right box of an item.

    Attributes:
        sides: x1, y1, x2, y2.
        is_fraction: True if they are fractions of the picture's sides, False for pixels.
    """

    sides: tuple[float, float, float, float]
    is_fraction: bool

    @property
    def text(self) -> str:
        """The box as a text, such as "[12, 30.5, 200, 180]"."""
        return "[" + ", ".join(f"{side:.10g}" for side in self.sides) + "]"


def check_format(form: object) -> None:
    """Refuse a form of boxes that there is not.

    Raises:
        EvaluationError: it is none of "xywh", "xyxy", "fractions" and None.
    """
    if form not in (None, "xywh", "xyxy", "fractions"):
        raise EvaluationError(
            f"box_format={form!r} was given", expected="'xywh', 'xyxy', 'fractions' or None"
        )


def right_box(numbers: Sequence[float], form: BoxFormat, where: str) -> RightBox:
    """Return the right box of a row.

    Args:
        numbers: its four numbers.
        form: the meaning of the numbers.
        where: the place of the row, for errors.

    Raises:
        EvaluationError: these are not four numbers of a box in this form.
    """
    if len(numbers) != 4:
        raise EvaluationError(f"the box has {len(numbers)} numbers", expected="four", where=where)
    x1, y1, third, fourth = numbers
    x2, y2 = (x1 + third, y1 + fourth) if form == "xywh" else (third, fourth)
    is_fraction = form == "fractions"
    if not (x1 < x2 and y1 < y2) or (is_fraction and max(numbers) > _SUM_TOLERANCE):
        raise EvaluationError(
            f"the box is {list(numbers)}",
            expected={
                "xywh": "x, y, width and height above 0",
                "xyxy": "x1 < x2 and y1 < y2, in pixels",
                "fractions": "x1 < x2 and y1 < y2, in [0, 1]",
            }[form],
            hint="box_format=... names another meaning of its numbers",
            where=where,
        )
    return RightBox((x1, y1, x2, y2), is_fraction)


def to_right_units(family: Family, pixels: PixelMap, *, is_fraction: bool) -> Callable[[Box], Box]:
    """Return the function that turns a box of an answer into the units of the right one.

    Coordinates are those of the family: thousandths of the picture that the model sees, or pixels
    of it. They are moved to the edge of the original where they lie beyond it, as `locate` does.

    Args:
        family: the family that answered.
        pixels: the map from the picture that the model saw to the original.
        is_fraction: True if right boxes are fractions of the original's sides.
    """
    shown, original = pixels.resized, pixels.original
    is_parts = family.coordinates == "thousandths"
    scale = (shown.width_px / PARTS, shown.height_px / PARTS) if is_parts else (1.0, 1.0)
    unit = original if is_fraction else Size(height_px=1, width_px=1)

    def corner(x: float, y: float) -> tuple[float, float]:
        at = pixels.to_original(Point(x * scale[0], y * scale[1]))
        inside_x = min(max(at.x_px, 0.0), original.width_px)
        inside_y = min(max(at.y_px, 0.0), original.height_px)
        return inside_x / unit.width_px, inside_y / unit.height_px

    def convert(box: Box) -> Box:
        return Box(box.label, *corner(box.x1_px, box.y1_px), *corner(box.x2_px, box.y2_px))

    return convert


def whole_picture(size: Size) -> PixelMap:
    """Return the map of a picture that is shown as it is, without a margin."""
    return PixelMap(original=size, resized=size, padded=size)
