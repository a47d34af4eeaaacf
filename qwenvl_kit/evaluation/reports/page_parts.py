"""Parts of the page of a result, each as safe HTML: all that others wrote is escaped."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

from qwenvl_kit.errors import CalibrationError, MissingPackageError, QwenVLKitError
from qwenvl_kit.evaluation.reports.figures import (
    Line,
    interval_text,
    items_text,
    lines_of,
    percent,
    shortened,
)
from qwenvl_kit.media.policy import DEFAULT_POLICY
from qwenvl_kit.media.thumbnails import draw_thumbnails
from qwenvl_kit.messages.message import Message
from qwenvl_kit.safe_text import escaped

if TYPE_CHECKING:
    from qwenvl_kit.evaluation.items import ScoredItem
    from qwenvl_kit.evaluation.scored_run import ScoredRun

_MOST_CHARACTERS = 600
_MOST_FAILURES = 50


def safe(text: object, most: int = _MOST_CHARACTERS) -> str:
    """Return a text as HTML that shows it and does nothing else; its lines stay lines."""
    lines = shortened(str(text), most).split("\n")
    return "\n".join(escape(escaped(line)) for line in lines)


def metrics_table(result: ScoredRun) -> str:
    """Return the table of metrics and groups, each with a bar of its interval."""
    lines = lines_of(result)
    if not lines:
        return ""
    head = "".join(f"<th>{name}</th>" for name in ("score", "95% interval", "", "items"))
    body, group = [], ""
    for line in lines:
        if line.group != group:
            group = line.group
            body.append(f'<tr class="group"><th colspan="5">{safe(group)}</th></tr>')
        body.append(_metric_row(line))
    return (
        f'<div class="wide"><table class="metrics"><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def pairs_table(pairs: Iterable[tuple[str, str]]) -> str:
    """Return a table of names and values; empty values are left out."""
    rows = "".join(
        f"<tr><th>{safe(name)}</th><td>{safe(value)}</td></tr>" for name, value in pairs if value
    )
    return f'<div class="wide"><table class="pairs">{rows}</table></div>'


def failures_list(failed: Sequence[ScoredItem]) -> str:
    """Return the items that failed, with their errors."""
    rows = "".join(
        f"<tr><td>{safe(each.id)}</td><td>{safe(type(each.error).__name__)}</td>"
        f"<td>{safe(each.error)}</td></tr>"
        for each in failed[:_MOST_FAILURES]
    )
    more = len(failed) - _MOST_FAILURES
    rest = f"<p>{more:,} more are not shown.</p>" if more > 0 else ""
    return f'<div class="wide"><table class="pairs failures">{rows}</table></div>{rest}'


def item_card(found: ScoredItem) -> str:
    """Return an item with its pictures, question, answers and score."""
    value = 0.0 if found.score is None else found.score.value
    confidence = "" if found.confidence is None else f"confidence {percent(found.confidence)}"
    item = found.item
    groups = ", ".join(f"{name}: {', '.join(item.values_of(name))}" for name in item.group_names)
    lines = (
        ("question", _text(found.question)),
        ("options", "<br>".join(map(safe, found.item.choices))),
        ("right", "<br>".join(map(_text, found.targets[:10]))),
        ("answer", _text(found.answer or "(empty)")),
        ("read as", _read(found)),
        ("judge", _text(found.judge_answer) if found.judge_answer is not None else ""),
    )
    rows = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in lines if text)
    kind = "good" if found.is_right else "bad"
    return (
        f'<article><header><span class="score {kind}">{percent(value)}</span>'
        f"<strong>{safe(found.id)}</strong><small>{safe(groups)} {confidence}</small></header>"
        f"{_pictures(found)}<dl>{rows}</dl><footer>{safe(found.item.where)}</footer></article>"
    )


def confidence_plot(result: ScoredRun) -> str:
    """Return the plot of confidences; a sentence if there is none."""
    try:
        figure = result.reliability().plot()
    except CalibrationError:
        return ""
    except MissingPackageError as error:
        return f"<p>{safe(error)}</p>"
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return f'<p><img class="plot" alt="confidences" src="{_embedded(file.getvalue(), "png")}"></p>'


def _metric_row(line: Line) -> str:
    estimate = line.estimate
    name = "td" if line.group else "th"
    return (
        f"<tr><{name}>{safe(line.name)}</{name}><td>{percent(estimate.value)}</td>"
        f"<td>{interval_text(estimate)}</td><td>{_bar(line)}</td>"
        f"<td>{items_text(estimate)}</td></tr>"
    )


def _bar(line: Line) -> str:
    """The interval on a scale from 0 to 100, with a mark at the score."""
    low, value, high = (
        200 * min(1.0, max(0.0, share))
        for share in (line.estimate.low, line.estimate.value, line.estimate.high)
    )
    return (
        '<svg class="bar" viewBox="0 0 200 12" width="200" height="12" role="img" '
        f'aria-label="{escape(interval_text(line.estimate))}">'
        '<rect class="scale" x="0" y="5" width="200" height="2"/>'
        f'<rect class="interval" x="{low:.1f}" y="3" width="{max(1.0, high - low):.1f}" '
        'height="6"/>'
        f'<rect class="mark" x="{max(0.0, value - 1):.1f}" y="0" width="2" height="12"/></svg>'
    )


def _read(found: ScoredItem) -> str:
    """The part of an answer that was compared, if it is another than the answer."""
    if found.read is None:
        return "nothing could be read of it"
    return "" if found.read == (found.answer or "").strip() else _text(found.read)


def _pictures(found: ScoredItem) -> str:
    """The thumbnails of an item, or the reason why there are none."""
    try:
        media = found.media
        if not media:
            return ""
        drawn = draw_thumbnails([Message.user(*media, "?")], DEFAULT_POLICY)
    except QwenVLKitError as error:
        return f'<p class="missing">its pictures cannot be shown: {safe(error, 300)}</p>'
    return f'<p class="pictures">{"".join(_images(drawn.pictures))}{_more(drawn)}</p>'


def _more(drawn: tuple[Sequence[bytes], int]) -> str:
    pictures, number = drawn
    more = number - len(pictures)
    return f"<small>and {more:,} more</small>" if more > 0 else ""


def _images(pictures: Iterable[bytes]) -> Iterator[str]:
    for each in pictures:
        yield f'<img alt="picture of the item" src="{_embedded(each, "jpeg")}">'


def _embedded(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _text(text: object) -> str:
    """A text of others, with its lines, marked as such."""
    return f'<span class="text" dir="auto">{safe(text)}</span>'
