"""The plot of an answer's tokens, by matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qwenvl_kit.display.fonts import font_for
from qwenvl_kit.display.tokens import BOUNDS, Piece
from qwenvl_kit.errors import MissingPackageError
from qwenvl_kit.safe_text import escaped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NAMED = 60
"""The most tokens of an answer whose text stands below their bars."""

_MOST_CHARACTERS = 14
_COLOURS = ("#4363d8", "#f5a623", "#f58a1f", "#f26b1f", "#e53935")
"""Colours by level; beyond the first those of the HTML form."""


def plot_pieces(
    pieces: Sequence[Piece], confidence: float | None, ax: Axes | None = None
) -> Figure:
    """Plot the probability of each token along an answer.

    Args:
        pieces: the tokens, at least one, all with a probability.
        confidence: the confidence in the answer, drawn as a line; None for no line.
        ax: the axes to plot on; None makes a figure, which no window shows.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    axes = _new_axes(len(pieces)) if ax is None else ax
    shares = [piece.probability or 0.0 for piece in pieces]
    if len(pieces) <= MOST_NAMED:
        axes.bar(range(len(shares)), shares, color=[_COLOURS[piece.level] for piece in pieces])
        _name_tokens(axes, pieces)
    else:
        _plot_points(axes, pieces, shares)
    if confidence is not None:
        axes.axhline(confidence, color="#555555", linewidth=1, linestyle="--")
        axes.annotate(
            f"confidence {confidence:.0%}", (1, confidence), xycoords=("axes fraction", "data"),
            ha="right", va="bottom", fontsize=9, color="#555555",
        )  # fmt: skip
    axes.set(ylim=(0, 1.05), ylabel="probability of the token", xlim=(-0.6, len(shares) - 0.4))
    figure: Figure = axes.get_figure()
    return figure


def _new_axes(num_tokens: int) -> Axes:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPackageError(
            "matplotlib is not installed", hint="pip install matplotlib"
        ) from error
    width = 9.0 if num_tokens > MOST_NAMED else max(4.0, min(14.0, 1.5 + 0.32 * num_tokens))
    return Figure(figsize=(width, 3.4), layout="constrained").subplots()


def _plot_points(axes: Axes, pieces: Sequence[Piece], shares: Sequence[float]) -> None:
    """A point for each token, and its level as a colour; one path for each level."""
    for level, colour in enumerate(_COLOURS):
        at = [index for index, piece in enumerate(pieces) if piece.level == level]
        lower = 0.0 if level == len(BOUNDS) else BOUNDS[level]
        label = f"{lower:.0%} and more" if level < len(BOUNDS) else f"below {BOUNDS[-1]:.0%}"
        axes.plot(at, [shares[i] for i in at], ".", color=colour, markersize=4, label=label)
    axes.set_xlabel("index of the token")
    axes.legend(fontsize=8, loc="lower left")


def _name_tokens(axes: Axes, pieces: Sequence[Piece]) -> None:
    from matplotlib.font_manager import FontProperties

    names = [_name(piece.text) for piece in pieces]
    path = getattr(font_for("".join(names), 16), "path", None)
    font = FontProperties(fname=path) if isinstance(path, str) else FontProperties()
    font.set_size(9)
    # matplotlib reads a pair of dollar signs as a formula.
    labels = [name.replace("$", r"\$") for name in names]
    axes.set_xticks(range(len(names)), labels, rotation=60, ha="right", rotation_mode="anchor")
    for label in axes.get_xticklabels():
        label.set_fontproperties(font)


def _name(text: str) -> str:
    shown = escaped(text[:_MOST_CHARACTERS]).replace(" ", "\N{OPEN BOX}")
    return f"{shown}..." if len(text) > _MOST_CHARACTERS else shown
