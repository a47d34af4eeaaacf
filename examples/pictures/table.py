"""Draws the table of the cookbook: `python examples/pictures/table.py [FILE]`.

Three blocks lie on a table, seen by a camera whose intrinsics are known. What stands in `BLOCKS` is
what a model would write of them; the notebook `locate_3d` has the same numbers.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw

from qwenvl_kit.geometry import Size
from qwenvl_kit.grounding.boxes import Box3D
from qwenvl_kit.grounding.space.intrinsics import CameraIntrinsics
from qwenvl_kit.grounding.space.projection import project_point

SCALE = 4
SIZE = Size(height_px=360, width_px=480)
CAMERA = CameraIntrinsics(420, 420, 240, 180)
TILT = 0.15
"""The camera looks down by this share of a half turn, so that all things are turned by it."""

TABLE = (0.0, 0.245, 1.3, 1.5, 0.04, 0.9)
BLOCKS = {
    (205, 60, 50): (-0.32, 0.183, 1.157, 0.2, 0.2, 0.2),
    (40, 95, 200): (0.02, 0.083, 1.442, 0.3, 0.12, 0.16),
    (60, 150, 80): (0.33, 0.242, 1.130, 0.14, 0.12, 0.22),
}
_FACES = ((0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5))
_LIGHT = (0.7, 0.8, 1.0, 1.15, 0.85, 0.95)


def main(file: Path) -> None:
    image = Image.new("RGB", (SIZE.width_px * SCALE, SIZE.height_px * SCALE), (226, 229, 233))
    draw = ImageDraw.Draw(image)
    draw_box(draw, TABLE, (176, 146, 112))
    for colour, numbers in sorted(BLOCKS.items(), key=lambda block: -block[1][2]):
        draw_box(draw, numbers, colour)
    file.parent.mkdir(parents=True, exist_ok=True)
    image.reduce(SCALE).save(file, optimize=True)


def draw_box(
    draw: ImageDraw.ImageDraw, numbers: tuple[float, ...], colour: tuple[int, ...]
) -> None:
    corners = Box3D("", *numbers, 180 * TILT, 0, 0).corners
    places = [project_point(corner, CAMERA) for corner in corners]

    def distance(face: int) -> float:
        middle = [sum(corners[at][axis] for at in _FACES[face]) / 4 for axis in range(3)]
        return sum(side * side for side in middle)

    for face in sorted(range(6), key=distance, reverse=True):
        points = [
            (at.x_px * SCALE, at.y_px * SCALE) for at in (places[c] for c in _FACES[face]) if at
        ]
        draw.polygon(points, fill=tuple(min(255, round(c * _LIGHT[face])) for c in colour))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "table.png")
