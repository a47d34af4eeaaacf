"""The answer of a model that looked at parts of its pictures, with the steps that it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qwenvl_kit.display.blocks import Cell, Html, bar, notes, table
from qwenvl_kit.display.pictures import Shown, figure
from qwenvl_kit.display.replies import reply_blocks
from qwenvl_kit.display.styles import framed
from qwenvl_kit.errors import InputError, QwenVLKitError
from qwenvl_kit.geometry import Size
from qwenvl_kit.grounding.boxes import Box, sides_of
from qwenvl_kit.grounding.places import Boxes
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.results import Reply
from qwenvl_kit.tasks.task_result import Answer

if TYPE_CHECKING:
    import PIL.Image

_STEP_PX = 240
"""The longer side of the picture of a step in a notebook."""


@dataclass(frozen=True)
class ImageStep:
    """One look at a part of a picture.

    Attributes:
        thought: the model's words before it; may be empty.
        tool: the name of the tool that was called; "locate" where the model was asked for places.
        label: the model's name for the part; may be empty.
        picture_index: the given picture that was looked at, from 0; None if the call names none.
        box: the part in pixels of that picture's upright original, with the confidence in its
            numbers; of a turned part, the box around it. None if nothing was shown.
        picture: the part as it was shown, with one pixel for each pixel of the original; None if
            nothing was shown.
        angle_degrees: the angle by which it was turned counter-clockwise; None if it was not.
        error: the reason, as it was told to the model, why nothing was shown; may be empty.
        reply: the reply with the call.
    """

    thought: str
    tool: str
    label: str
    picture_index: int | None
    box: Box | None
    picture: PIL.Image.Image | None = field(repr=False)
    angle_degrees: float | None
    error: str
    reply: Reply = field(repr=False)


@dataclass(frozen=True)
class GivenPicture:
    """A picture of a question: its source, its size, and the rules for opening it."""

    source: Any
    size: Size
    policy: MediaPolicy


@dataclass(frozen=True, repr=False)
class ImageAnswer(Answer):
    """An answer, and the parts of the pictures that the model looked at before.

    Attributes:
        steps: the looks, in their order; empty if the model answered at once.
        found: the boxes in the answer, each with the index of its picture.
        warnings: messages about calls that were refused, and places that were corrected.
        error: the reason why there is no final answer; then `text` is what the model said last.
        pictures: the given pictures.
    """

    steps: tuple[ImageStep, ...]
    found: tuple[tuple[int, Box], ...]
    warnings: tuple[str, ...]
    error: QwenVLKitError | None
    pictures: tuple[GivenPicture, ...]

    def boxes(self, picture_index: int = 0) -> Boxes:
        """Return the boxes of the answer in one picture, in pixels of its original.

        Raises:
            InputError: there is no such picture.
        """
        return self._on(picture_index, [box for at, box in self.found if at == picture_index])

    def regions(self, picture_index: int = 0) -> Boxes:
        """Return the parts of one picture that were looked at; their labels begin with the step.

        Raises:
            InputError: there is no such picture.
        """
        regions = [
            Box(f"{number}. {step.label}".strip(), *_sides(step.box), step.box.confidence)
            for number, step in enumerate(self.steps, start=1)
            if step.box is not None and step.picture_index == picture_index
        ]
        return self._on(picture_index, regions)

    def _on(self, picture_index: int, boxes: Sequence[Box]) -> Boxes:
        if not (type(picture_index) is int and 0 <= picture_index < len(self.pictures)):
            raise InputError(
                f"picture_index={picture_index!r} was given",
                expected=f"a whole number below {len(self.pictures)}",
            )
        given = self.pictures[picture_index]
        return Boxes(
            boxes,
            reply=self.reply,
            warnings=self.warnings,
            image_size=given.size,
            source=given.source,
            policy=given.policy,
        )

    def _known(self) -> dict[str, object]:
        return {
            "steps": len(self.steps),
            **super()._known(),
            "warnings": self.warnings or None,
            "error": None if self.error is None else type(self.error).__name__,
        }

    def _repr_html_(self) -> str:
        rows = [_row(number, step) for number, step in enumerate(self.steps, start=1)]
        looked = table(("step", "thought", "part", "in px", "confidence"), rows) if rows else ""
        told = [*self.warnings, *([] if self.error is None else [str(self.error)])]
        return framed(looked, reply_blocks(self.reply), notes(told))


def _row(number: int, step: ImageStep) -> list[Cell]:
    box = step.box
    label = step.label or step.tool
    if step.angle_degrees is not None:
        label = f"{label}, turned by {step.angle_degrees:g} degrees"
    part = Html(figure(Shown(step.picture, label), _STEP_PX).text)
    sure = Html("") if box is None else bar(box.confidence)
    return [str(number), step.thought, part, "" if box is None else sides_of(box), sure]


def _sides(box: Box) -> tuple[float, float, float, float]:
    return box.x1_px, box.y1_px, box.x2_px, box.y2_px
