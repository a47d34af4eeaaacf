"""How values become a picture: the code that does it, chosen by the values themselves."""

from __future__ import annotations

from typing import Any, NamedTuple

_DARKEST_WHITE = 16
"""A brightest value below that, of 255, is no picture's: such are the numbers of classes."""

_OVERSHOOT = 0.5
"""How far bicubic resizing and sharpening go beyond black and white."""


class Dialect(NamedTuple):
    """How a library writes what cures are made of.

    Attributes:
        name: what the values are called.
        to_bytes: makes uint8 of them.
        to_floats: makes floats of 64 bits of them.
        finite: puts numbers in place of NaN and infinities; with `low` and `high` to fill in.
    """

    name: str
    to_bytes: str
    to_floats: str
    finite: str


_FINITE = "nan={low}, posinf={high}, neginf={low}"
NUMPY = Dialect(
    "array",
    "{}.astype('uint8')",
    "{}.astype('float64')",
    f"numpy.nan_to_num({{}}, {_FINITE})",
)
TORCH = Dialect("tensor", "{}.byte()", "{}.double()", f"{{}}.nan_to_num({_FINITE})")
PILLOW = NUMPY._replace(name="numpy.asarray(image)")


def cure_of(values: Any, dialect: Dialect) -> str:
    """An expression that gives the picture in values that are accepted; empty if none is known.

    Args:
        values: a NumPy array of numbers.
        dialect: how to write it.
    """
    if not values.size or values.dtype.kind not in "biuf":
        return ""
    return (
        _of_floats(values, dialect) if values.dtype.kind == "f" else _of_integers(values, dialect)
    )


def _of_integers(values: Any, dialect: Dialect) -> str:
    low, high, name = int(values.min()), int(values.max()), dialect.name
    if low >= 0 and high <= 1:  # a mask
        return dialect.to_bytes.format(f"({name} * 255)")
    if low >= 0 and _DARKEST_WHITE <= high <= 255:
        return dialect.to_bytes.format(name)
    wide = dialect.to_floats.format(name)
    fills_16_bits = low >= 0 and 0x1FFF < high <= 0xFFFF and values.dtype.kind == "u"
    if fills_16_bits or (low >= 0 and 0x7FFF < high <= 0xFFFF):
        return dialect.to_bytes.format(f"({wide} / 257)")
    return dialect.to_bytes.format(f"({_stretched(wide, low, high)} * 255)")


def _of_floats(values: Any, dialect: Dialect) -> str:
    import numpy

    finite = values[numpy.isfinite(values)]
    if not finite.size:
        return ""
    low, high, name = float(finite.min()), float(finite.max()), dialect.name
    if finite.size < values.size:
        name = dialect.finite.format(name, low=low, high=high)
    if low >= 0 and high <= 1:
        return name
    if low >= -_OVERSHOOT and high <= 1 + _OVERSHOOT:
        return f"{name}.clip(0, 1)"
    if low >= -1 and high <= 1:  # as models that make pictures want them
        return f"({name} + 1) / 2"
    is_of_bytes = low >= 0 and high <= 255 and bool((finite == numpy.rint(finite)).all())
    if is_of_bytes or (low >= -16 and 128 < high <= 271):
        return f"({name} / 255).clip(0, 1)"
    return f"({_stretched(name, low, high)}).clip(0, 1)"


def _stretched(name: str, low: float, high: float) -> str:
    """From black to the brightest as white; what goes below 0 has black at its lowest."""
    if low >= 0 or low == high:
        return f"{name} / {high}"
    return f"({name} - {low}) / {high - low}"
