"""Places in texts of training data: boxes, points and labels in pixels of the original picture.

Each family writes places in a form and unit of its own. So a place stays a value until the family
and the size of the picture are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from qwenvl_kit.errors import TrainingDataError
from qwenvl_kit.families import BOX_MARKS, LABEL_MARKS, Family
from qwenvl_kit.formats.keys import shown
from qwenvl_kit.geometry import Point
from qwenvl_kit.grounding.box_writer import write_corners, write_label
from qwenvl_kit.messages.message import TextPart
from qwenvl_kit.plans import ImagePlan

_TOLERANCE_PX = 1.0
"""The distance by which a place may lie outside of its picture: tools that draw boxes round."""

_MOST_PX = 1e9
"""A bound far beyond the side of any picture; NaN and infinity lie outside of it."""


class UnwrittenPart(TextPart):
    """A text whose characters depend on the model's family; an example writes it for a model."""

    def __init__(self) -> None:
        object.__setattr__(self, "trusted", False)

    @property
    def text(self) -> NoReturn:
        """No text: it depends on the family.

        Raises:
            TrainingDataError: always.
        """
        raise TrainingDataError(
            f"{self!r} has no text before the model's family is known",
            expected="an example for check_examples or training",
            hint="a TextPart, in the form of your model, for chat.ask",
        )

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self).__name__, repr(self)))


class LabelPart(UnwrittenPart):
    """The name of a thing in a picture, which some families write between special tokens.

    Args:
        label: the name.

    Raises:
        TrainingDataError: it is no text, or empty.
    """

    def __init__(self, label: str) -> None:
        super().__init__()
        if not isinstance(label, str) or not label.strip():
            raise TrainingDataError(f"the label {shown(label)} was given", expected="a text")
        object.__setattr__(self, "label", label)

    label: str

    def __repr__(self) -> str:
        return f"LabelPart({self.label!r})"

    def written(self, family: Family, *, trusted: bool) -> tuple[TextPart, ...]:
        """The texts that stand in its place; see `PlacePart`. The label itself is never trusted."""
        text = write_label(self.label, family)
        if text == self.label or not trusted:
            return (TextPart(text),)
        return (
            TextPart(LABEL_MARKS[0], trusted=True),
            TextPart(self.label),
            TextPart(LABEL_MARKS[1], trusted=True),
        )


class PlacePart(UnwrittenPart):
    """A box or a point in a picture, in pixels of the upright original.

        PlacePart((12, 30, 96, 140))                      # a box
        PlacePart((54.5, 85), image_index=1)              # a point in the second picture
        PlacePart((0.1, 0.2, 0.5, 0.6), unit_parts=1)     # shares of the picture's sides

    Args:
        numbers: x1, y1, x2, y2 of a box, or x, y of a point.
        image_index: the picture that it lies in, counted from 0 among the pictures of the example.
        unit_parts: None if the numbers are pixels; else the number of parts of a side that they
            count: 1 or 1000.

    Raises:
        TrainingDataError: there are not two or four numbers, or a box has no area.
    """

    numbers: tuple[float, ...]
    image_index: int
    unit_parts: float | None

    def __init__(
        self, numbers: Sequence[float], *, image_index: int = 0, unit_parts: float | None = None
    ) -> None:
        super().__init__()
        object.__setattr__(self, "numbers", _checked_numbers(numbers))
        if type(image_index) is not int or image_index < 0:
            raise TrainingDataError(
                f"image_index={shown(image_index)} was given",
                expected="the number of a picture, from 0",
            )
        object.__setattr__(self, "image_index", image_index)
        object.__setattr__(self, "unit_parts", unit_parts)

    def __repr__(self) -> str:
        return f"PlacePart({self.numbers}, image_index={self.image_index})"

    def written(self, plan: ImagePlan, family: Family, *, trusted: bool) -> TextPart:
        """The text that stands in its place.

        Args:
            plan: the plan of its picture.
            family: the family of the model.
            trusted: True in a prompt, where special tokens in other texts are plain characters.

        Raises:
            TrainingDataError: it lies outside of the picture, or of the part that is shown.
        """
        text = write_corners([*self._corners(plan)], plan, family)
        return TextPart(text, trusted=trusted and text.startswith(BOX_MARKS[0]))

    def _corners(self, plan: ImagePlan) -> list[Point]:
        size, parts = plan.original, self.unit_parts
        across, down = (1.0, 1.0)
        if parts is not None:
            across, down = size.width_px / parts, size.height_px / parts
        left, top, shown = 0.0, 0.0, size
        if plan.crop is not None:
            left, top, shown = plan.crop.x1_px, plan.crop.y1_px, plan.crop.size
        corners = []
        for x, y in zip(self.numbers[::2], self.numbers[1::2]):
            place = Point(x * across, y * down)
            inside = Point(
                min(max(place.x_px, left), left + shown.width_px),
                min(max(place.y_px, top), top + shown.height_px),
            )
            if max(abs(place.x_px - inside.x_px), abs(place.y_px - inside.y_px)) > _TOLERANCE_PX:
                raise TrainingDataError(
                    f"the place {self.numbers} lies outside of its picture of {shown}",
                    expected="pixels of the upright original, before any resizing",
                    hint="bbox_type 'norm1' for shares of the sides, or another image_id",
                )
            corners.append(inside)
        return corners


def _checked_numbers(numbers: Any) -> tuple[float, ...]:
    is_list = isinstance(numbers, Sequence) and not isinstance(numbers, str)
    given = tuple(numbers) if is_list else ()
    are_numbers = all(
        isinstance(n, (int, float)) and not isinstance(n, bool) and abs(n) <= _MOST_PX
        for n in given
    )
    if len(given) not in (2, 4) or not are_numbers:
        raise TrainingDataError(
            f"the place {shown(numbers)} was given",
            expected="[x1, y1, x2, y2] of a box, or [x, y] of a point",
        )
    if len(given) == 4 and not (given[0] < given[2] and given[1] < given[3]):
        raise TrainingDataError(
            f"the box {list(given)} has no area",
            expected="x1 < x2 and y1 < y2: the upper left corner, then the lower right one",
            hint="[x, y, x + width, y + height], if its third number is a width",
        )
    return given
