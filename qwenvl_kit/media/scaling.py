"""Scaling: code, chosen by the values of an array, that turns them into a picture."""

from __future__ import annotations

from typing import Any, NamedTuple

_DARKEST_WHITE = 16
"""Lowest value, of 255, that can be white in a picture; smaller values are numbers of classes."""

_OVERSHOOT = 0.5
"""Largest overshoot of bicubic resizing and sharpening beyond black and white."""


class ArrayLibrary(NamedTuple):
    """The expressions of one library, from which suggested code is made.

    Attributes:
        name: the name of the values.
        to_bytes: converts values to uint8.
        to_floats: converts values to floats of 64 bits.
        finite: replaces NaN and infinities; takes `low` and `high`.
    """

    name: str
    to_bytes: str
    to_floats: str
    finite: str


_FINITE = "nan={low}, posinf={high}, neginf={low}"
NUMPY = ArrayLibrary(
    "array",
    "{}.astype('uint8')",
    "{}.astype('float64')",
    f"numpy.nan_to_num({{}}, {_FINITE})",
)
TORCH = ArrayLibrary("tensor", "{}.byte()", "{}.double()", f"{{}}.nan_to_num({_FINITE})")
PILLOW = NUMPY._replace(name="numpy.asarray(image)")


def scaling_code(values: Any, library: ArrayLibrary) -> str:
    """Return an expression that turns values into accepted ones; empty if none is known.

    Args:
        values: a NumPy array of numbers.
        library: the library in which the expression is written.
    """
    if not values.size or values.dtype.kind not in "biuf":
        return ""
    return (
        _of_floats(values, library) if values.dtype.kind == "f" else _of_integers(values, library)
    )


def _of_integers(values: Any, library: ArrayLibrary) -> str:
    low, high, name = int(values.min()), int(values.max()), library.name
    if low >= 0 and high <= 1:  # a mask
        return library.to_bytes.format(f"({name} * 255)")
    if low >= 0 and _DARKEST_WHITE <= high <= 255:
        return library.to_bytes.format(name)
    wide = library.to_floats.format(name)
    fills_16_bits = low >= 0 and 0x1FFF < high <= 0xFFFF and values.dtype.kind == "u"
    if fills_16_bits or (low >= 0 and 0x7FFF < high <= 0xFFFF):
        return library.to_bytes.format(f"({wide} / 257)")
    return library.to_bytes.format(f"({_stretched(wide, low, high)} * 255)")


def _of_floats(values: Any, library: ArrayLibrary) -> str:
    import numpy

    finite = values[numpy.isfinite(values)]
    if not finite.size:
        return ""
    low, high, name = float(finite.min()), float(finite.max()), library.name
    if finite.size < values.size:
        name = library.finite.format(name, low=low, high=high)
    if low >= 0 and high <= 1:
        return name
    if low >= -_OVERSHOOT and high <= 1 + _OVERSHOOT:
        return f"{name}.clip(0, 1)"
    if low >= -1 and high <= 1:  # the range of models that generate pictures
        return f"({name} + 1) / 2"
    is_of_bytes = low >= 0 and high <= 255 and bool((finite == numpy.rint(finite)).all())
    if is_of_bytes or (low >= -16 and 128 < high <= 271):
        return f"({name} / 255).clip(0, 1)"
    return f"({_stretched(name, low, high)}).clip(0, 1)"


def _stretched(name: str, low: float, high: float) -> str:
    """An expression that maps the largest value to white, and the lowest to black if below 0."""
    if low >= 0 or low == high:
        return f"{name} / {high}"
    return f"({name} - {low}) / {high - low}"
