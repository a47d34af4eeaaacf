"""Draws the pictures of the examples: `python examples/pictures/draw.py [FOLDER]`.

Needs matplotlib, for its fonts alone. The shapes are smoothed by drawing at four times the size.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

SCALE = 4
RED, BLUE, PURPLE, YELLOW = (214, 39, 40), (31, 90, 200), (130, 40, 170), (245, 205, 30)
PAPER, INK = (250, 248, 242), (30, 30, 34)


def circle(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: object) -> None:
    draw.ellipse([SCALE * v for v in (x - radius, y - radius, x + radius, y + radius)], fill=colour)


def square(draw: ImageDraw.ImageDraw, x: float, y: float, half: float, colour: object) -> None:
    draw.rectangle([SCALE * v for v in (x - half, y - half, x + half, y + half)], fill=colour)


def triangle(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: object) -> None:
    corners = [(x, y - radius), (x + radius, y + 0.85 * radius), (x - radius, y + 0.85 * radius)]
    draw.polygon([(SCALE * a, SCALE * b) for a, b in corners], fill=colour)


def canvas(width: int, height: int, colour: object) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (width * SCALE, height * SCALE), colour)
    return image, ImageDraw.Draw(image)


def shapes() -> Image.Image:
    image, draw = canvas(320, 240, (246, 246, 250))
    circle(draw, 90, 125, 46, RED)
    square(draw, 235, 115, 42, BLUE)
    return image.reduce(SCALE)


def before_and_after(*, is_after: bool) -> Image.Image:
    image, draw = canvas(280, 220, (238, 243, 238))
    triangle(draw, 80, 115, 46, PURPLE)
    (square if is_after else circle)(draw, 205, 105, 38, YELLOW)
    return image.reduce(SCALE)


def page(lines: list[str], font_name: str, size_px: int, width: int, height: int) -> Image.Image:
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    font = ImageFont.truetype(str(fonts / font_name), size_px)
    image = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(image)
    for index, line in enumerate(lines):
        draw.text((24, 20 + index * size_px * 1.45), line, font=font, fill=INK)
    return image


def receipt() -> Image.Image:
    lines = ["RECEIPT", "Date: 2024-03-18", "Tax: 4.20", "Total: 62.50"]
    return page(lines, "DejaVuSans.ttf", 28, 320, 200)


def menu() -> Image.Image:
    return page(["Fromage 6.50", "Poulet 12.80", "Pomme 3.00"], "DejaVuSerif.ttf", 30, 320, 170)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {
        "shapes": shapes(),
        "before": before_and_after(is_after=False),
        "after": before_and_after(is_after=True),
        "receipt": receipt(),
        "menu": menu(),
    }
    for name, image in pictures.items():
        image.save(folder / f"{name}.png", optimize=True)
        print(folder / f"{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
