"""The writer of boxes in the form of a family: the inverse of parsing and mapping."""

from __future__ import annotations

import json
from collections.abc import Sequence

from qwenvl_kit.families import Family
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


def _corners(box: Box, plan: ImagePlan, family: Family) -> list[int]:
    to_model = plan.pixel_map.to_resized
    low, high = to_model(Point(box.x1_px, box.y1_px)), to_model(Point(box.x2_px, box.y2_px))
    across = down = 1.0
    if family.coordinates == "thousandths":
        across, down = PARTS / plan.resized.width_px, PARTS / plan.resized.height_px
    sides = (low.x_px * across, low.y_px * down, high.x_px * across, high.y_px * down)
    return [round(side) for side in sides]


def _in_box_tokens(label: str, corners: Sequence[int]) -> str:
    x1, y1, x2, y2 = corners
    return (
        f"<|object_ref_start|>{label}<|object_ref_end|>"
        f"<|box_start|>({x1},{y1}),({x2},{y2})<|box_end|>"
    )
