"""A contact sheet of drawn samples, to be looked at.

python -m examples.embedded_model.sheet OUT.png
"""

from __future__ import annotations

import argparse
import random

from PIL import Image, ImageDraw

from .drawing.canvas import FRAME_CELLS, IMAGE_CELLS, draw_grid, to_grid
from .samples import KINDS, Options, make_sample

ROW, COLUMN, ACROSS = 200, 330, 6


def contact_sheet(seed: int, options: Options, rows_a_kind: int = 1) -> Image.Image:
    """Samples of every kind as the model sees them, with one question each below."""
    rng = random.Random(seed)
    sheet = Image.new("RGB", (ACROSS * COLUMN, len(KINDS) * rows_a_kind * ROW), (90, 90, 90))
    pen = ImageDraw.Draw(sheet)
    for place in range(len(KINDS) * rows_a_kind * ACROSS):
        kind = KINDS[place // (ACROSS * rows_a_kind)]
        cells = FRAME_CELLS if kind == "video" else IMAGE_CELLS
        sample = make_sample(rng, kind, draw_grid(rng, cells, 0.3), options)
        x, y = place % ACROSS * COLUMN, place // ACROSS * ROW
        for picture in sample.pictures[:3]:
            tile = Image.fromarray(to_grid(picture, sample.grid))
            tile.thumbnail((COLUMN // min(len(sample.pictures), 3) - 5, ROW - 50))
            sheet.paste(tile, (x, y))
            x += tile.width + 3
        question = rng.choice(sample.questions)
        text = f"{question.text}\n{question.answer[:110]}"
        pen.text((place % ACROSS * COLUMN, y + ROW - 48), text, fill="white")
    return sheet


def main() -> None:
    """Saves a sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    contact_sheet(arguments.seed, Options()).save(arguments.out)


if __name__ == "__main__":
    main()
