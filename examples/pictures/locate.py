"""Draws the first picture of README: `python examples/pictures/locate.py [FILE]`.

The embedded model finds the shapes of a picture that `draw.py` can draw, and the kit draws its
boxes. Needs matplotlib, as `draw.py` does.
"""

from __future__ import annotations

import sys
from pathlib import Path

from draw import BLUE, RED, SCALE, canvas, circle, square, triangle
from PIL import Image

from qwenvl_kit import VisionChat
from qwenvl_kit.tasks import locate

FILE = Path(__file__).parents[2] / "docs" / "images" / "boxes.png"
GREEN = (44, 160, 44)


def three_shapes() -> Image.Image:
    image, draw = canvas(360, 240, (246, 246, 250))
    circle(draw, 61, 157, 38, RED)
    square(draw, 180, 156, 43, BLUE)
    triangle(draw, 298, 97, 44, GREEN)
    return image.reduce(SCALE)


def main(file: Path) -> None:
    boxes = locate(VisionChat.from_pretrained(), three_shapes(), "all shapes")
    for box in boxes:
        print(box)
    boxes.draw().save(file, optimize=True)
    print(file)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE)
