"""The reading of events: JSON as Qwen's cookbooks show it, or sentences with times in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from qwenvl_kit.grounding.lenient_json import CUT_OFF, LooseJson, Value
from qwenvl_kit.tasks.video_times import WrittenTime, read_time, written_times

_STARTS = (
    *("start", "start_time", "start_seconds", "start_timestamp", "starttime", "start_sec"),
    *("begin", "begin_time", "from", "开始", "开始时间", "起始时间", "开始时间戳"),
)
_ENDS = (
    *("end", "end_time", "end_seconds", "end_timestamp", "endtime", "end_sec", "stop"),
    *("to", "until", "结束", "结束时间", "终止时间", "结束时间戳"),
)
_SPANS = (
    *("timestamp", "timestamps", "time", "time_range", "timerange", "span", "interval", "range"),
    *("window", "windows", "relevant_windows", "segment", "segments", "时间", "时间段", "时间戳"),
)
_WORDS = (
    *("description", "event", "caption", "sentence", "label", "title", "text", "activity"),
    *("action", "content", "summary", "query", "描述", "事件", "内容", "标题", "event_caption"),
)
"""The names of fields: `start`, `end`, `description` in the cookbook of Qwen3-VL, `start_time` and
`end_time` in that of Qwen2.5-VL, and those of data sets on which models are trained (ActivityNet:
`timestamps`, `sentence`; QVHighlights: `relevant_windows`)."""

_RANGE = re.compile(r"\s*(?:-|–|—|~|～|to|until|至|到|,|，|=>|-->)\s*")
_EDGES = " \t\r\n-–—~～:：,，.。;；*#>|`\"'()[]<"
_BULLET = re.compile(r"^[\s*#>|-]{0,8}(?:[0-9]{1,3}[.)、]\s)?")
_JOINING = re.compile(
    r"^(?:(?:(?:from|between|at|in|to|and|until|about|seconds?)\b|从|在|到|至|秒)[\s,:：]{0,3}){1,4}",
    re.IGNORECASE,
)

_LEADING_TO = re.compile(
    r"(?<=[^\W\d_])\s(?:from|between|at|in|during)$|(?:在|从|于)$", re.IGNORECASE
)
_MOST_BETWEEN = 24
_MOST_SENTENCE = 2000


@dataclass(frozen=True)
class WrittenEvent:
    """An event as it is written.

    Attributes:
        start_seconds, end_seconds: its times, which may be the wrong way round; the same if only
            one was written.
        description: its words; empty if there are none.
        start, stop: the position of its characters in the answer.
    """

    start_seconds: float
    end_seconds: float
    description: str
    start: int
    stop: int


@dataclass(frozen=True)
class ParsedEvents:
    """The events of an answer, and messages about what could not be read."""

    events: tuple[WrittenEvent, ...]
    warnings: tuple[str, ...] = ()


def parse_events(text: str) -> ParsedEvents:
    """Read the events of an answer: objects and lists of JSON, else sentences with times.

    What is broken is left out and told. The answer is read once or twice, whatever it holds.
    """
    parsed = LooseJson(text)
    reader = _Reader()
    for root in parsed.roots:
        reader.read(root)
    if reader.events:
        problems = [_problem(each) for each in parsed.problems]
        return ParsedEvents(tuple(reader.events), (*problems, *reader.warnings()))
    unread = reader.warnings()
    return ParsedEvents(() if unread else tuple(_events_in_prose(text)), unread)


def _problem(problem: str) -> str:
    return "the answer ends inside its list of events" if problem == CUT_OFF else problem


class _Reader:
    """A reader of the values of one answer; it collects events."""

    def __init__(self) -> None:
        self.events: list[WrittenEvent] = []
        self._num_unread = 0

    def warnings(self) -> tuple[str, ...]:
        number = self._num_unread
        are = "event has" if number == 1 else "events have"
        return (f"{number} {are} times that cannot be read",) if number else ()

    def read(self, root: Value) -> None:
        """Read the events of a value at any depth; brackets of an answer are nested 100 deep."""
        pending = [root]
        while pending:
            node = pending.pop()
            if node.opener == "{":
                if not self._object(node):
                    pending += [value for _, value in reversed(node.fields) if value.opener]
                pending += [item for item in reversed(node.items) if item.opener]
            elif not self._pair(node, ""):
                pending += [item for item in reversed(node.items) if item.opener]

    def _object(self, node: Value) -> bool:
        """True if an object is an event, or several events that share their words."""
        fields = {name.strip().lower().replace(" ", "_"): value for name, value in node.fields}
        words = next((fields[name].value for name in _WORDS if _is_text(fields.get(name))), "")
        start = next((fields[name] for name in _STARTS if name in fields), None)
        end = next((fields[name] for name in _ENDS if name in fields), None)
        span = next((fields[name] for name in _SPANS if name in fields), None)
        if start is None and span is None:
            return self._named_by_times(node)
        if start is None and span is not None:
            return self._span(span, words, node)
        times = [read_time(value.value) for value in (start, end) if value is not None]
        if None in times or not times or not _is_whole(node, start):
            self._num_unread += 1
            return True
        self._add(times, words, node)
        return True

    def _named_by_times(self, node: Value) -> bool:
        """Read `{"0:01 - 0:02": "A dog barks."}`; True if any field is one."""
        timed = [(_times_of(name), value) for name, value in node.fields if _is_text(value)]
        for times, value in timed:
            if times:
                self._add(times, value.value, value)
        return any(times for times, _ in timed)

    def _span(self, span: Value, words: str, node: Value) -> bool:
        """Read `[1.0, 2.0]`, `[[1.0, 2.0], ...]`, `"0:01 - 0:02"` or one time alone."""
        if span.opener in ("[", "("):
            if self._pair(span, words):
                return True
            pairs = [item for item in span.items if item.opener in ("[", "(")]
            taken = [self._pair(item, words) for item in pairs]
            self._num_unread += 0 if any(taken) or holds_objects(span) else 1
            return any(taken) or not holds_objects(span)
        times = _times_of(span.value)
        if not times:
            self._num_unread += 1
            return True
        self._add(times, words, node)
        return True

    def _pair(self, node: Value, words: str) -> bool:
        if len(node.items) != 2 or any(item.opener or not item.is_whole for item in node.items):
            return False
        times = [read_time(item.value) for item in node.items]
        if None in times:
            return False
        self._add(times, words, node)
        return True

    def _add(self, times: Sequence[float | None], words: str, node: Value) -> None:
        known = [time for time in times if time is not None]
        self.events.append(
            WrittenEvent(known[0], known[-1], " ".join(words.split()), node.start, node.stop)
        )


def holds_objects(node: Value) -> bool:
    """Return True if a list holds an object directly."""
    return any(item.opener == "{" for item in node.items)


def _is_text(value: Value | None) -> bool:
    return value is not None and isinstance(value.value, str) and bool(value.value.strip())


def _is_whole(node: Value, start: Value | None) -> bool:
    """True if an object is complete, or only its words are cut off."""
    return node.is_whole or (start is not None and start.is_whole)


def _times_of(value: Any) -> list[float]:
    """The times of a text such as `0:01 - 0:02`, or of a number."""
    one = read_time(value)
    if one is not None:
        return [one]
    if not isinstance(value, str) or len(value) > _MOST_BETWEEN * 4:
        return []
    pieces = [read_time(piece) for piece in _RANGE.split(value.strip()) if piece]
    known = [piece for piece in pieces if piece is not None]
    if len(known) == len(pieces) == 2:
        return known
    return [time.seconds for time in written_times(value)][:2]


def _events_in_prose(text: str) -> Iterator[WrittenEvent]:
    """The events of sentences: a range of times, or one time, and the words around it."""
    times = written_times(text)
    spans = list(_ranges(text, times))
    for index, (first, last) in enumerate(spans):
        before = spans[index - 1][1].stop if index else 0
        after = spans[index + 1][0].start if index + 1 < len(spans) else len(text)
        words = _words_around(text, first.start, last.stop, before, after)
        yield WrittenEvent(first.seconds, last.seconds, words, first.start, last.stop)


def _ranges(text: str, times: Sequence[WrittenTime]) -> Iterator[tuple[WrittenTime, WrittenTime]]:
    at = 0
    while at < len(times):
        following = times[at + 1] if at + 1 < len(times) else None
        if following is not None and _is_range(text[times[at].stop : following.start]):
            yield times[at], following
            at += 2
        else:
            yield times[at], times[at]
            at += 1


def _is_range(between: str) -> bool:
    """True if two times belong together: only a dash, `to` or `and` stands between them."""
    if "\n" in between or len(between) > _MOST_BETWEEN:
        return False
    plain = between.lower().strip("<>[]() \t")
    return bool(plain) and plain in _PAIRING


_PAIRING = frozenset(
    (
        *("-", "–", "—", "~", "～", "to", "until", "till", "and", "至", "到", "和", "-->", "->"),
        *("seconds to", "秒到", "秒至", "> to <", "> - <", ">-<", "> and <"),
    )
)


def _words_around(text: str, start: int, stop: int, before: int, after: int) -> str:
    """The words of an event: what follows its times in the line, else what precedes them."""
    line_end = text.find("\n", stop, after)
    following = text[stop : after if line_end < 0 else line_end][:_MOST_SENTENCE]
    line_start = max(before, text.rfind("\n", before, start) + 1)
    preceding = text[max(line_start, start - _MOST_SENTENCE) : start]
    words = _plain(following.partition("\n")[0])
    if len(words) < 2 and line_end >= 0:  # a heading: the words stand below it
        below = text[line_end:after].strip("\n")
        words = words or _plain(below.partition("\n")[0][:_MOST_SENTENCE])
    lead = _plain(_BULLET.sub("", preceding))
    return words if len(words) > 1 else lead


def _plain(words: str) -> str:
    stripped = _JOINING.sub("", words.strip(_EDGES)).strip(_EDGES)
    return " ".join(_LEADING_TO.sub("", stripped).strip(_EDGES).split())
