"""The forms of plans: what a request shows, and what it costs."""

from __future__ import annotations

from typing import Any, Protocol

from qwenvl_kit.display.blocks import facts, folded, table
from qwenvl_kit.display.pictures import strip
from qwenvl_kit.display.replies import pictures_of
from qwenvl_kit.display.styles import framed
from qwenvl_kit.display.text import clock, count, short_repr

_MOST_TIMES = 4


class AsHtml(Protocol):
    """A value that shows itself as HTML, such as a table."""

    def to_html(self) -> str:
        """Return the HTML."""


def plan_html(plan: Any, costs: AsHtml) -> str:
    """Return a plan as HTML: thumbnails of its pictures, and the table of its costs."""
    return framed(strip(pictures_of(plan)), f'<div class="qvk-wide">{costs.to_html()}</div>')


def image_plan_html(entry: Any) -> str:
    """Return the plan of a picture as HTML."""
    sizes = [("original", str(entry.original)), ("model sees", str(entry.resized))]
    if entry.crop is not None:
        crop = entry.crop
        sizes.append(("crop", f"{crop.x1_px}, {crop.y1_px} to {crop.x2_px}, {crop.y2_px} px"))
    return framed(table(("", entry.where), [*sizes, ("tokens", f"{entry.tokens:,}")]))


def video_plan_repr(entry: Any) -> str:
    """Return the plan of a video in one line, with its first and last frames."""
    return short_repr(
        "VideoPlan",
        where=entry.where,
        frames=len(entry.frame_indices),
        times=_Words(_times(entry.timestamps_seconds)),
        resized=_Words(str(entry.resized)),
        tokens=entry.tokens,
    )


def video_plan_html(entry: Any) -> str:
    """Return the plan of a video as HTML: its frames with their times. None is decoded."""
    frames = zip(entry.frame_indices, entry.timestamps_seconds)
    rows = [(f"{index:,}", clock(at)) for index, at in frames]
    told = (
        count(len(rows), "frame"),
        _times(entry.timestamps_seconds),
        f"{entry.original}, model sees {entry.resized}",
        count(entry.tokens, "token"),
        "show() decodes the frames",
    )
    return framed(facts(entry.where, *told), folded("frames", table(("frame", "time"), rows)))


def _times(times: tuple[float, ...]) -> str:
    """All times of a few frames, or the first ones and the last."""
    if len(times) <= _MOST_TIMES:
        return ", ".join(map(clock, times))
    return f"{', '.join(map(clock, times[: _MOST_TIMES - 1]))}, ..., {clock(times[-1])}"


class _Words(str):
    """Words that stand in a repr without quotes."""

    def __repr__(self) -> str:
        return str(self)
