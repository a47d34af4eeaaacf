"""Figures of matplotlib that no window shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qwenvl_kit.errors import MissingPackageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width_inches: float, height_inches: float, *, extra: str) -> Figure:
    """Return an empty figure.

    Args:
        width_inches: its width.
        height_inches: its height.
        extra: the extra of the package that brings matplotlib, for the error.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPackageError(
            "matplotlib, which draws the plot, is not installed",
            hint=f"pip install 'qwenvl-kit[{extra}]'",
        ) from error
    return Figure(figsize=(width_inches, height_inches), layout="constrained")
