"""Pictures in HTML, as small copies, and many pictures as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qwenvl_kit.display.blocks import Html
from qwenvl_kit.display.fonts import font_for
from qwenvl_kit.display.text import html

if TYPE_CHECKING:
    import PIL.Image

THUMBNAIL_PX = 120
"""The longer side of a thumbnail."""

SHOWN_PX = 800
"""The longer side of a picture that is the subject of its form."""

_MARGIN_PX = 8
_CAPTION_PX = 13
_SHEET_PX = 1600
"""The greatest width of a sheet."""

_CELLS = ((1, 4096), (4, 640), (24, 320), (120, 200))
"""The longer side of a picture on a sheet, by the most pictures for which it holds."""

_SMALLEST_CELL_PX = 128


@dataclass(frozen=True)
class Shown:
    """A picture with the words below it.

    Attributes:
        image: the picture; None if it cannot be shown any more.
        caption: the words.
    """

    image: PIL.Image.Image | None
    caption: str


def data_url(image: PIL.Image.Image, most_px: int) -> str:
    """Return a picture as a data URL: JPEG, or PNG where that is smaller.

    Args:
        image: the picture.
        most_px: the longer side at most; a larger picture is made smaller.
    """
    import base64

    small = fitted(image, most_px)
    kinds = {"jpeg": _encoded(small, "JPEG"), "png": _encoded(small, "PNG")}
    kind = min(kinds, key=lambda name: len(kinds[name]))
    return f"data:image/{kind};base64,{base64.b64encode(kinds[kind]).decode('ascii')}"


def fitted(image: PIL.Image.Image, most_px: int) -> PIL.Image.Image:
    """Return a picture in RGB whose longer side is at most so long; it is never made larger."""
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    longest = max(rgb.size)
    if longest <= most_px:
        return rgb
    width, height = (max(1, round(side * most_px / longest)) for side in rgb.size)
    return rgb.resize((width, height), reducing_gap=2.0)


def _encoded(image: PIL.Image.Image, kind: str) -> bytes:
    import io

    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": 85} if kind == "JPEG" else {}))
    return buffer.getvalue()


def figure(shown: Shown, most_px: int = THUMBNAIL_PX) -> Html:
    """Return a picture with its caption; the caption alone if there is no picture."""
    caption = f'<figcaption dir="auto">{html(shown.caption)}</figcaption>'
    if shown.image is None:
        return Html(f"<figure>{caption}</figure>")
    url = data_url(shown.image, most_px)
    return Html(f'<figure><img src="{url}" alt="{html(shown.caption)}">{caption}</figure>')


def strip(pictures: Sequence[Shown], most_px: int = THUMBNAIL_PX) -> str:
    """Return pictures side by side as small copies; empty for none."""
    figures = "".join(figure(shown, most_px).text for shown in pictures)
    return f'<div class="qvk-strip">{figures}</div>' if figures else ""


def sheet(pictures: Sequence[Shown]) -> PIL.Image.Image:
    """Return pictures with their captions as one picture, in rows, in their order.

    One picture keeps its size; of many each is made smaller. None is made larger.
    """
    most_px = next((px for most, px in _CELLS if len(pictures) <= most), _SMALLEST_CELL_PX)
    cells = [_cell(shown, most_px) for shown in pictures]
    rows = _rows(cells)
    width = max(sum(cell.width + _MARGIN_PX for cell in row) for row in rows) + _MARGIN_PX
    heights = [max(cell.height for cell in row) + _MARGIN_PX for row in rows]
    return _pasted(rows, width, heights)


def _rows(cells: Sequence[PIL.Image.Image]) -> list[list[PIL.Image.Image]]:
    rows: list[list[PIL.Image.Image]] = [[]]
    used = _MARGIN_PX
    for cell in cells:
        if rows[-1] and used + cell.width + _MARGIN_PX > _SHEET_PX:
            rows.append([])
            used = _MARGIN_PX
        rows[-1].append(cell)
        used += cell.width + _MARGIN_PX
    return rows


def _pasted(
    rows: Sequence[Sequence[PIL.Image.Image]], width: int, heights: Sequence[int]
) -> PIL.Image.Image:
    from PIL import Image

    whole = Image.new("RGB", (width, sum(heights) + _MARGIN_PX), "white")
    top = _MARGIN_PX
    for row, height in zip(rows, heights):
        left = _MARGIN_PX
        for cell in row:
            whole.paste(cell, (left, top))
            left += cell.width + _MARGIN_PX
        top += height
    return whole


def _cell(shown: Shown, most_px: int) -> PIL.Image.Image:
    """A picture above its caption, which is cut or wrapped to the picture's width."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (most_px, 1), "white") if shown.image is None else shown.image
    image = fitted(image, most_px)
    font = font_for(shown.caption, _CAPTION_PX)
    width = max(image.width, 96)
    lines = _wrapped(shown.caption, width, font.getlength)
    height = image.height + (_CAPTION_PX + 4) * len(lines) + 2
    cell = Image.new("RGB", (width, height), "white")
    cell.paste(image, (0, 0))
    pen = ImageDraw.Draw(cell)
    for at, line in enumerate(lines):
        pen.text((0, image.height + 2 + at * (_CAPTION_PX + 4)), line, "#333333", font)
    return cell


def _wrapped(caption: str, width: int, length: object) -> list[str]:
    measure = length if callable(length) else len
    lines = [""]
    for word in caption.split():
        joined = f"{lines[-1]} {word}".strip()
        if lines[-1] and measure(joined) > width:
            lines.append(word)
        else:
            lines[-1] = joined
    return lines[:4]
