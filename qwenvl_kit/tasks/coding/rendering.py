"""Code as a browser draws it, beside the picture that it was written for."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qwenvl_kit.display.blocks import Html, bar, facts, notes
from qwenvl_kit.display.pictures import SHOWN_PX, Shown, sheet, strip
from qwenvl_kit.display.styles import framed
from qwenvl_kit.display.text import short_repr
from qwenvl_kit.errors import MediaSizeError, MessageError, RenderError
from qwenvl_kit.media.error_mapping import mapped_errors
from qwenvl_kit.media.images import decode_image
from qwenvl_kit.media.policy import DEFAULT_POLICY, MediaPolicy
from qwenvl_kit.messages.message import ImagePart, ImageSource
from qwenvl_kit.tasks.coding.browser import Browser, Window, find_browser, take_picture
from qwenvl_kit.tasks.coding.checked import MOST_CHARACTERS
from qwenvl_kit.tasks.coding.code import Code
from qwenvl_kit.tasks.coding.forms import FORMS
from qwenvl_kit.tasks.coding.reading import check
from qwenvl_kit.tasks.coding.safe_page import page_around
from qwenvl_kit.tasks.coding.similarity import structural_similarity
from qwenvl_kit.tasks.task_input import as_image_part

if TYPE_CHECKING:
    import PIL.Image

MOST_SIDE_PX, MOST_PIXELS = 16_384, 32_000_000
"""The longest side and the most pixels of a screenshot: a browser draws all of them at once."""

LEAST_SIDE_PX = 16
_MOST_DRAWN_PX = MOST_SIDE_PX + 8000


@dataclass(frozen=True, eq=False)
class RenderComparison:
    """Code as a browser drew it, beside the picture that it was written for.

    Attributes:
        screenshot: the picture that was given, in RGB.
        rendered: the picture that the browser drew, of the same size.
        similarity: the structural similarity of both, in [0, 1]: see `structural_similarity` for
            the formula and its source.
        blank_similarity: the same figure for an empty page in the colour that the screenshot has
            most: code that is not above it draws nothing of use.
        warnings: sentences on what the code loads from elsewhere, which was left out, on problems
            of its form, and on a browser without its sandbox.
        browser: the path of the browser.
    """

    screenshot: PIL.Image.Image
    rendered: PIL.Image.Image
    similarity: float
    blank_similarity: float
    warnings: tuple[str, ...]
    browser: str

    @property
    def picture(self) -> PIL.Image.Image:
        """Both pictures side by side, with their names below them."""
        return sheet(self._shown())

    def __repr__(self) -> str:
        size = f"{self.rendered.width} x {self.rendered.height} px"
        return short_repr(
            "RenderComparison",
            size,
            similarity=self.similarity,
            blank_similarity=self.blank_similarity,
        )

    def _repr_html_(self) -> str:
        """Return both pictures, and the similarity as a bar."""
        blank = f"an empty page has {self.blank_similarity:.0%}"
        return framed(
            strip(self._shown(), SHOWN_PX),
            facts(Html(f"similarity {bar(self.similarity).text}"), blank),
            notes(self.warnings),
        )

    def _shown(self) -> list[Shown]:
        return [Shown(self.screenshot, "screenshot"), Shown(self.rendered, "rendered")]


def render_and_compare(
    code: Code | str,
    screenshot: ImageSource | ImagePart,
    *,
    browser: str | os.PathLike[str] | None = None,
    scale: float = 1.0,
    scripts: bool = False,
    sandbox: bool | None = None,
    timeout: float = 30.0,
    media_policy: MediaPolicy | None = None,
) -> RenderComparison:
    """Draw HTML or SVG with a browser of this machine, and compare it with the screenshot.

    What a model wrote is a stranger's. It stands in a sandboxed frame that may load nothing: no
    file, no address, no name; the browser has a profile of its own, no network, and hardly any of
    the environment, and is ended after its time. Scripts do not run unless you ask for it.

    Example:
        comparison = render_and_compare(to_code(chat, "shot.png"), "shot.png")
        comparison.picture.save("both.png")
        comparison.similarity

    Args:
        code: the code, of the form "html" or "svg"; or such code as a string.
        screenshot: the picture to compare with. The window of the browser has its size, and what is
            below is cut off, as on a screen.
        browser: the path of Chromium, Chrome or Edge; None looks for one.
        scale: the pixels of the screenshot for each pixel of the page: 2 for the screens of many
            laptops and phones.
        scripts: True lets scripts of the page run, still without files and network.
        sandbox: False switches off the browser's own sandbox, as some containers need it; None does
            so for root alone, for whom Chromium does not start otherwise, and says so in
            `warnings`.
        timeout: the seconds that the browser may take.
        media_policy: the rules for sources that may be opened; None takes those of every chat.

    Raises:
        BrowserMissingError: there is no browser; the error says what to install.
        RenderError: the browser fails, draws nothing, or takes too long.
        MessageError: the code is neither HTML nor SVG, or there is none.
        MediaError: the screenshot cannot be used, or has too many pixels to draw.
    """
    text, form = _text_and_form(code)
    _check_numbers(scale, timeout)
    picture = _opened_screenshot(screenshot, media_policy or DEFAULT_POLICY)
    found = find_browser(browser, sandbox)
    window = Window(picture.size, scale)
    page = page_around(text, window.css_size, is_svg=form == "svg", scripts=scripts)
    rendered = _rendered(found, page, window, timeout)
    return RenderComparison(
        screenshot=picture,
        rendered=rendered,
        similarity=structural_similarity(picture, rendered),
        blank_similarity=structural_similarity(picture, _blank(picture)),
        warnings=_warnings(code, text, form, found, sandbox),
        browser=found.path,
    )


def _text_and_form(code: Code | str) -> tuple[str, str]:
    if not isinstance(code, (Code, str)):
        raise MessageError(
            f"code of type {type(code).__name__} was given", expected="a `Code`, or a string"
        )
    is_drawing = FORMS["svg"].begins.match(str(code).lstrip())
    form = code.form if isinstance(code, Code) else "svg" if is_drawing else "html"
    text = str(code)
    if form not in ("html", "svg"):
        raise MessageError(
            f"code of the form {form!r} was given",
            expected='"html" or "svg", which a browser draws',
            hint="read it, and run it yourself",
        )
    if not text.strip() or len(text) > MOST_CHARACTERS:
        raise MessageError(
            f"code of {len(text):,} characters was given",
            expected=f"1 to {MOST_CHARACTERS:,} characters",
        )
    return text, form


def _check_numbers(scale: float, timeout: float) -> None:
    for name, value, most in (("scale", scale, 8), ("timeout", timeout, 3600)):
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not 0.1 <= value <= most:
            raise MessageError(f"{name}={value!r} was given", expected=f"a number of 0.1 to {most}")


def _opened_screenshot(screenshot: object, policy: MediaPolicy) -> PIL.Image.Image:
    """The picture to compare with, in RGB, or the part of it that its `crop` says."""
    part = as_image_part(screenshot)  # type: ignore[arg-type]
    with mapped_errors("screenshot"):
        picture = decode_image(part.source, policy).convert("RGB")
    if part.crop is not None:
        picture = picture.crop((part.crop.x1_px, part.crop.y1_px, part.crop.x2_px, part.crop.y2_px))
    _check_size(picture)
    return picture


def _check_size(picture: PIL.Image.Image) -> None:
    width, height = picture.size
    if (
        width * height > MOST_PIXELS
        or max(width, height) > MOST_SIDE_PX
        or min(width, height) < LEAST_SIDE_PX
    ):
        raise MediaSizeError(
            f"a screenshot of {width} x {height} px was given",
            expected=f"sides of {LEAST_SIDE_PX} to {MOST_SIDE_PX:,} px, and at most "
            f"{MOST_PIXELS:,} pixels",
            hint="a part of it",
            where="screenshot",
        )


def _rendered(browser: Browser, page: str, window: Window, timeout: float) -> PIL.Image.Image:
    """The picture of a page, cut or filled to the size."""
    with tempfile.TemporaryDirectory(prefix="qwenvl_kit_", ignore_cleanup_errors=True) as folder:
        file = Path(folder) / "page.html"
        file.write_text(page, encoding="utf-8", errors="replace")
        shot = take_picture(browser, Path(folder), file, window, timeout)
        return _opened(shot, window.size_px, browser)


def _opened(shot: Path, size: tuple[int, int], browser: Browser) -> PIL.Image.Image:
    from PIL import Image

    try:
        with Image.open(shot, formats=["PNG"]) as image:
            if image.width < size[0] or image.height < size[1] or max(image.size) > _MOST_DRAWN_PX:
                drawn = f"{image.width} x {image.height} px"
                raise RenderError(
                    f"the browser drew {drawn}",
                    expected=f"at least {size[0]} x {size[1]} px",
                    hint="a newer browser",
                    where=browser.path,
                )
            upper_left: PIL.Image.Image = image.convert("RGB").crop((0, 0, *size))
            return upper_left
    except (OSError, SyntaxError, ValueError) as error:
        raise RenderError(
            "the browser wrote a picture that cannot be read", where=browser.path
        ) from error


def _blank(picture: PIL.Image.Image) -> PIL.Image.Image:
    """A picture of the same size in the colour that it has most."""
    from PIL import Image

    sides = (min(256, picture.width), min(256, picture.height))
    small = picture.resize(sides, Image.Resampling.NEAREST).tobytes()
    commonest = Counter(zip(small[::3], small[1::3], small[2::3])).most_common(1)[0][0]
    return Image.new("RGB", picture.size, commonest)


def _warnings(
    code: Code | str, text: str, form: str, browser: Browser, sandbox: bool | None
) -> tuple[str, ...]:
    if isinstance(code, Code):
        told = code.warnings
    else:
        checked = check(text, form)
        told = (*checked.problems, *checked.notes)
    is_silent = browser.has_sandbox or sandbox is False
    root = "Chromium's own sandbox was switched off: it does not start for root with it"
    return told if is_silent else (*told, root)
