"""Where the print comes from: font families for training, and families kept out of it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import cast

import matplotlib
from PIL import ImageFont

PACKAGES = (
    "fonts-liberation fonts-dejavu fonts-roboto-unhinted fonts-open-sans fonts-lato "
    "fonts-freefont-ttf fonts-noto-core fonts-crosextra-carlito fonts-crosextra-caladea "
    "fonts-linuxlibertine fonts-cantarell fonts-inconsolata fonts-noto-cjk fonts-wqy-microhei "
    "fonts-wqy-zenhei fonts-arphic-uming fonts-arphic-ukai"
)
INSTALL = f"apt-get install --no-install-recommends {PACKAGES}"
ROOTS = (
    Path("/usr/share/fonts"),
    Path.home() / ".local/share/fonts",
    Path(matplotlib.get_data_path()) / "fonts/ttf",
)
# Family -> files.
Families = dict[str, tuple[str, ...]]
TRAINING: Families = {
    "Liberation Sans": ("LiberationSans-Regular.ttf", "LiberationSans-Bold.ttf"),
    "Liberation Serif": ("LiberationSerif-Regular.ttf", "LiberationSerif-Bold.ttf"),
    "Liberation Mono": ("LiberationMono-Regular.ttf",),
    "DejaVu Sans": ("DejaVuSans.ttf", "DejaVuSans.ttf", "DejaVuSans-Bold.ttf"),
    "DejaVu Serif": ("DejaVuSerif.ttf",),
    "DejaVu Sans Mono": ("DejaVuSansMono.ttf",),
    "Roboto": ("Roboto-Regular.ttf", "Roboto-Medium.ttf"),
    "Open Sans": ("OpenSans-Regular.ttf", "OpenSans-Semibold.ttf"),
    "Lato": ("Lato-Regular.ttf", "Lato-Bold.ttf"),
    "FreeSans": ("FreeSans.ttf",),
    "FreeSerif": ("FreeSerif.ttf",),
    "Noto Sans": ("NotoSans-Regular.ttf", "NotoSans-Bold.ttf"),
    "Carlito": ("Carlito-Regular.ttf",),
    "Caladea": ("Caladea-Regular.ttf",),
    # Pillow's own font (Aileron), which has no accents: load_default(size).
    "Pillow": ("",),
}
HELD_OUT: Families = {
    "Noto Serif": ("NotoSerif-Regular.ttf",),
    "Linux Libertine": ("LinLibertine_R.otf",),
    "Cantarell": ("Cantarell-Regular.otf",),
    "Inconsolata": ("Inconsolata.otf",),
}
# Chinese: a file of a collection is named with its number in it.
CHINESE: Families = {
    "Noto Sans CJK SC": ("NotoSansCJK-Regular.ttc#2", "NotoSansCJK-Bold.ttc#2"),
    "WenQuanYi Micro Hei": ("wqy-microhei.ttc#0",),
    "WenQuanYi Zen Hei": ("wqy-zenhei.ttc#0",),
    "AR PL UMing CN": ("uming.ttc#0",),
    "AR PL UKai CN": ("ukai.ttc#0",),
}
HELD_OUT_CHINESE: Families = {
    "Noto Serif CJK SC": ("NotoSerifCJK-Regular.ttc#2", "NotoSerifCJK-Bold.ttc#2"),
}
# What matplotlib brings: enough to check that the program works, not to train with.
SMALL: Families = {
    "DejaVu Sans": ("DejaVuSans.ttf",),
    "DejaVu Serif": ("DejaVuSerif.ttf",),
    "DejaVu Sans Mono": ("DejaVuSansMono.ttf",),
    "STIX": ("STIXGeneral.ttf",),
}


class MissingFontsError(RuntimeError):
    """Fonts for training are not installed."""


@lru_cache(maxsize=1)
def _installed() -> dict[str, Path]:
    return {
        path.name: path
        for root in ROOTS
        if root.is_dir()
        for suffix in ("*.ttf", "*.otf", "*.ttc")
        for path in sorted(root.rglob(suffix))
    }


def missing(families: Families) -> list[str]:
    """Files of `families` that no font folder holds."""
    names = [name.partition("#")[0] for files in families.values() for name in files]
    return [name for name in names if name and name not in _installed()]


def require(small: bool = False) -> None:
    """Fails with the command that installs the fonts, if one of them is missing."""
    wanted = SMALL if small else TRAINING | HELD_OUT | CHINESE | HELD_OUT_CHINESE
    if absent := missing(wanted):
        raise MissingFontsError(
            f"{len(absent)} font files are missing ({', '.join(absent[:3])}, ...). Install them:\n"
            f"    {INSTALL}\nor pass --small-fonts for a check with matplotlib's own fonts."
        )


def families(
    held_out: bool = False, accents: bool = False, small: bool = False, chinese: bool = False
) -> list[str]:
    """Names of families to print with."""
    if chinese and not small:
        return list(HELD_OUT_CHINESE if held_out else CHINESE)
    chosen = SMALL if small else HELD_OUT if held_out else TRAINING
    return [name for name in chosen if not (accents and name == "Pillow")]


def files(family: str) -> tuple[str, ...]:
    """Font files of a family."""
    return (TRAINING | HELD_OUT | SMALL | CHINESE | HELD_OUT_CHINESE)[family]


@lru_cache(maxsize=600)
def load(file: str, size: int) -> ImageFont.FreeTypeFont:
    """The font at a size in pixels; the empty name is Pillow's own."""
    if not file:
        return cast(ImageFont.FreeTypeFont, ImageFont.load_default(size))
    name, _, number = file.partition("#")
    path, index = str(_installed()[name]), int(number or 0)
    return ImageFont.truetype(path, size, index, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=20000)
def advance(file: str, character: str) -> float:
    """Width of a character in ems."""
    return load(file, 64).getlength(character) / 64


def width(file: str, text: str) -> float:
    """Width of a line in ems."""
    return sum(advance(file, character) for character in text)


@lru_cache(maxsize=100)
def rise(file: str) -> float:
    """How much higher the line of a Chinese font begins than its characters, in ems.

    Zero for others: their lines are set from the top of the line.
    """
    if "#" not in file:
        return 0.0
    return load(file, 64).getmetrics()[0] / 64 - 0.93
