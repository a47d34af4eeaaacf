"""A reply as a notebook shows it, as a page: `python examples/pictures/reply.py [FILE.html]`.

The embedded model describes three shapes. With this seed and a high temperature it calls the square
a triangle, and the colour of that token says so. docs/images/reply.png is a picture of this page
with the pointer on the token. Needs matplotlib, as `draw.py` does.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from locate import three_shapes

from qwenvl_kit import Sampling, VisionChat

HEAD = "<!doctype html><meta charset=utf-8><meta name=viewport content='width=device-width'>"
STYLE = "<style>:root{color-scheme:light dark}body{font-family:sans-serif;margin:16px}</style>"


def main(file: Path) -> None:
    chat = VisionChat.from_pretrained()
    sampling = Sampling(max_new_tokens=64, temperature=1.3, seed=8, num_alternatives=5)
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "shapes.png"
        three_shapes().save(picture)
        reply = chat.ask("Describe this image.", picture, sampling=sampling)
        file.write_text(HEAD + STYLE + reply._repr_html_(), encoding="utf-8")
    print(repr(reply))
    print(file)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("reply.html"))
