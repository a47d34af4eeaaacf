"""Boxes of answers against right ones, by intersection over union (RefCOCO)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qwenvl_kit.evaluation.items import UNREAD, ItemScore
from qwenvl_kit.evaluation.scoring.reading import without_thoughts
from qwenvl_kit.grounding.boxes import Box
from qwenvl_kit.grounding.place_parser import parse_places

MIN_OVERLAP = 0.5
"""The least intersection over union of a box that is found (QwenLM/Qwen-VL,
eval_mm/evaluate_grounding.py, for RefCOCO, RefCOCO+ and RefCOCOg)."""


def boxes_of(answer: str) -> list[Box]:
    """Return the boxes of an answer in the numbers that it has, in its order.

    All forms are read that families write (see `qwenvl_kit.grounding.place_parser`). Corners in the
    wrong order are set right, as `locate` does.
    """
    places = parse_places(without_thoughts(answer)).boxes
    return [_ordered(place.numbers) for place in places]


def box_score(
    answer: str,
    targets: Sequence[str],
    *,
    min_overlap: float = MIN_OVERLAP,
    to_targets: Callable[[Box], Box] | None = None,
) -> ItemScore:
    """Return 1.0 if the first box of an answer overlaps a right one by at least a half.

    The strict value is 0 if the answer has several boxes, of which it could mean any.

    Source: QwenLM/Qwen-VL, eval_mm/evaluate_grounding.py, where the first box counts. lmms-eval
    (tasks/refcoco_grounding/utils.py) takes of all boxes, in pixels and in thousandths, the one
    that is nearest to the right one, which flatters; here the family says which numbers it writes.

    Args:
        answer: the answer.
        targets: the right boxes, as texts such as "[12, 30, 200, 180]": x1, y1, x2, y2.
        min_overlap: the least intersection over union, in (0, 1].
        to_targets: function that turns a box of the answer into the numbers of the right ones; None
            if they have the same.
    """
    found = boxes_of(answer)
    if not found:
        return UNREAD
    said = found[0] if to_targets is None else to_targets(found[0])
    right = [box for target in targets for box in boxes_of(target)]
    value = float(any(said.overlap(box) >= min_overlap for box in right))
    several = len({_sides(box) for box in found}) > 1
    return ItemScore(value, _written(said), 0.0 if several else value)


def _ordered(numbers: Sequence[float]) -> Box:
    x1, y1, x2, y2 = numbers
    return Box("", min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))


def _sides(box: Box) -> tuple[float, float, float, float]:
    return box.x1_px, box.y1_px, box.x2_px, box.y2_px


def _written(box: Box) -> str:
    return "[" + ", ".join(f"{side:g}" for side in _sides(box)) + "]"
