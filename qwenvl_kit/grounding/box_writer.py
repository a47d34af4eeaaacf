"""The writer of boxes in the form of a family: the inverse of parsing and mapping."""

from __future__ import annotations

import json
from collections.abc import Sequence

from qwenvl_kit.families import BOX_MARKS, LABEL_MARKS, Family
from qwenvl_kit.geometry import Point
from qwenvl_kit.grounding.boxes import Box
from qwenvl_kit.grounding.coordinates import PARTS
from qwenvl_kit.plans import ImagePlan


def write_boxes(boxes: Sequence[Box], plan: ImagePlan, family: Family) -> str:
    """Write the answer in which a model of the family would name these boxes.

    It is used for examples in a prompt, or for the labels of fine-tuning.

    Args:
        boxes: boxes in pixels of the upright original.
        plan: the plan of the picture; `chat.plan(...).images[0]`.
        family: the family whose form is written.
    """
    written = [(box.label, _corners(box, plan, family)) for box in boxes]
    if family.box_format == "box tokens":
        return "".join(_in_box_tokens(label, corners) for label, corners in written)
    items = [{"bbox_2d": corners, "label": label} for label, corners in written]
    return json.dumps(items, ensure_ascii=False)


def write_label(label: str, family: Family) -> str:
    """Write the name of a thing as a model of the family writes it beside a place in a sentence."""
    if family.box_format == "box tokens":
        return f"{LABEL_MARKS[0]}{label}{LABEL_MARKS[1]}"
    return label


def write_corners(corners: Sequence[Point], plan: ImagePlan, family: Family) -> str:
    """Write a box or a point, without a label, as a model of the family writes it in a sentence.

    Args:
        corners: the upper left and the lower right corner of a box, or one point, in pixels of
            the upright original.
        plan: the plan of the picture.
        family: the family whose form is written.
    """
    numbers = [round(side) for corner in corners for side in _of_model(corner, plan, family)]
    if family.box_format == "box tokens":
        pairs = ",".join(f"({x},{y})" for x, y in zip(numbers[::2], numbers[1::2]))
        return f"{BOX_MARKS[0]}{pairs}{BOX_MARKS[1]}"
    return json.dumps(numbers)


def _corners(box: Box, plan: ImagePlan, family: Family) -> list[int]:
    corners = (Point(box.x1_px, box.y1_px), Point(box.x2_px, box.y2_px))
    return [round(side) for corner in corners for side in _of_model(corner, plan, family)]


def _of_model(corner: Point, plan: ImagePlan, family: Family) -> tuple[float, float]:
    """A place in the units of a family, not yet rounded."""
    across = down = 1.0
    if family.coordinates == "thousandths":
        across, down = PARTS / plan.resized.width_px, PARTS / plan.resized.height_px
    place = plan.pixel_map.to_resized(corner)
    return place.x_px * across, place.y_px * down


def _in_box_tokens(label: str, corners: Sequence[int]) -> str:
    x1, y1, x2, y2 = corners
    return (
        f"{LABEL_MARKS[0]}{label}{LABEL_MARKS[1]}"
        f"{BOX_MARKS[0]}({x1},{y1}),({x2},{y2}){BOX_MARKS[1]}"
    )
