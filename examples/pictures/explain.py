"""Draws the picture of docs/guide/explaining.md: `python examples/pictures/explain.py [FILE]`.

One question about a picture of three shapes, and what its answer looked at by each method. Needs
matplotlib, as `draw.py` does.
"""

from __future__ import annotations

import sys
from pathlib import Path

from locate import three_shapes
from PIL import Image, ImageDraw, ImageFont

from qwenvl_kit import Request, VisionChat
from qwenvl_kit.explain import explain

FILE = Path(__file__).parents[2] / "docs" / "images" / "explain.png"
QUESTION = "What colour is the triangle?"
GAP, LABEL = 12, 30


def titled(image: Image.Image, title: str) -> Image.Image:
    panel = Image.new("RGB", (image.width, image.height + LABEL), "white")
    panel.paste(image, (0, LABEL))
    ImageDraw.Draw(panel).text((4, 5), title, fill="black", font=ImageFont.load_default(16))
    return panel


def main(file: Path) -> None:
    chat, picture = VisionChat.from_pretrained(), three_shapes()
    request = Request.about(QUESTION, picture)
    reply = chat.ask(request)
    word = reply.text.rstrip(".")
    panels = [titled(picture, f"{QUESTION} {reply.text}")]
    for method in ("attention", "gradient", "occlusion"):
        seen = explain(chat, reply, request, word=word, method=method)
        print(seen)
        panels.append(titled(seen.draw(picture), method))
    width, height = panels[0].size
    sheet = Image.new("RGB", (2 * width + GAP, 2 * height + GAP), "white")
    for at, panel in enumerate(panels):
        sheet.paste(panel, ((at % 2) * (width + GAP), (at // 2) * (height + GAP)))
    sheet.save(file, optimize=True)
    print(file)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE)
