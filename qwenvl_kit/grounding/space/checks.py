"""Boxes in space that cannot be meant as they are written: each fault in words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from qwenvl_kit.display.text import shortened
from qwenvl_kit.geometry import Size
from qwenvl_kit.grounding.boxes import Box3D
from qwenvl_kit.grounding.space.intrinsics import CameraIntrinsics

_KEY = re.compile(r"[\"']bbox_3d[\"']\s*:")
_FULL_TURN_DEGREES = 360.0
_FARTHEST_M = 1e6
"""The most metres that a number of a box may have: no camera sees farther on the ground."""


def num_written(text: str) -> int:
    """Return the number of boxes in space that an answer begins to write."""
    return sum(1 for _ in _KEY.finditer(text))


def without_repeats(boxes: Sequence[Box3D]) -> tuple[list[Box3D], list[str]]:
    """Return the boxes without exact repeats, and a warning about those.

    Models write the same box again and again where they do not find an end (QwenLM/Qwen3-VL issues
    1916 and 1934).
    """
    first: dict[Box3D, Box3D] = {}
    for box in boxes:
        first.setdefault(replace(box, confidence=None), box)
    kept = list(first.values())
    repeats = len(boxes) - len(kept)
    told = [f"exact repeats of another box, left out: {repeats}"] if repeats else []
    return kept, told


def within_sight(boxes: Sequence[Box3D]) -> tuple[list[Box3D], list[str]]:
    """Return the boxes whose numbers can be those of a scene, and a warning for each other one."""
    told = [
        f"{_quoted(box.label)}: numbers too large for a scene; left out"
        for box in boxes
        if not _is_within(box)
    ]
    return [box for box in boxes if _is_within(box)], told


def with_positive_sizes(box: Box3D) -> Box3D:
    """Return a box whose sides are not below 0."""
    sizes = (abs(box.x_size_m), abs(box.y_size_m), abs(box.z_size_m))
    return replace(box, x_size_m=sizes[0], y_size_m=sizes[1], z_size_m=sizes[2])


def faults_of(box: Box3D, camera: CameraIntrinsics, size: Size) -> Iterator[str]:
    """Yield what is odd about a box as the model wrote it."""
    sizes = (box.x_size_m, box.y_size_m, box.z_size_m)
    if any(side < 0 for side in sizes):
        yield "a side below 0, taken without its sign"
    if any(side == 0 for side in sizes):
        yield "a side of 0"
    turns = (box.x_degrees, box.y_degrees, box.z_degrees)
    if any(abs(turn) > _FULL_TURN_DEGREES for turn in turns):
        yield "turned by more than once around; the model may have written degrees"
    nearest, farthest = (pick(at.z_m for at in box.corners) for pick in (min, max))
    if farthest <= 0:
        yield "behind the camera; it is not drawn"
    elif not box.edges(camera, size):
        yield "outside the picture; it is not drawn"
    elif nearest <= 0:
        yield "partly behind the camera; that part is not drawn"


def _is_within(box: Box3D) -> bool:
    lengths = (box.x_m, box.y_m, box.z_m, box.x_size_m, box.y_size_m, box.z_size_m)
    return all(abs(length) <= _FARTHEST_M for length in lengths)


def named(index: int, box: Box3D, fault: str) -> str:
    """Return a fault with the number of its box, from 1 on, and its label."""
    return f"box {index + 1} ({_quoted(box.label)}): {fault}"


def _quoted(label: str) -> str:
    return json.dumps(shortened(label, 40), ensure_ascii=False)
