"""A stream that ends a cell grows in place, in a notebook that has IPython and nothing else."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

from qwenvl_kit import Reply, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.display.growing import Growing, grow
from qwenvl_kit.errors import GenerationError


class _Handle:
    def __init__(self) -> None:
        self.shown: list[Any] = []

    def update(self, obj: Any, **_: Any) -> None:
        self.shown.append(obj)


@pytest.fixture
def handle(monkeypatch: pytest.MonkeyPatch) -> _Handle:
    """The place in the notebook that IPython gives."""
    made = _Handle()

    def display(obj: Any, display_id: bool) -> _Handle:
        assert display_id is True
        made.update(obj)
        return made

    module = types.ModuleType("IPython.display")
    module.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return made


def ticks(*at: float) -> Iterator[float]:
    yield from at


def test_the_text_grows_at_most_ten_times_a_second() -> None:
    handle, clock = _Handle(), ticks(0, 0, 0.05, 0.12, 0.12, 0.15, 0.9, 0.9)
    grow(["a", "b", "c", "d", "e"], handle, so_far="_", now=lambda: next(clock))
    assert [repr(shown) for shown in handle.shown] == ["_a", "_abc", "_abcde"]


def test_a_stream_ends_as_its_reply(handle: _Handle) -> None:
    stream = VisionChat(ScriptedBackend(["one two three"])).stream("?")
    stream._ipython_display_()
    first, *_, last = handle.shown
    assert isinstance(first, Growing)
    assert isinstance(last, Reply)
    assert last.text == "one two three"
    assert stream.reply is last


def test_a_stream_that_was_read_in_part_shows_what_was_read(handle: _Handle) -> None:
    stream = VisionChat(ScriptedBackend(["one two three"])).stream("?")
    read = next(stream).text
    stream._ipython_display_()
    assert repr(handle.shown[0]) == read
    assert handle.shown[-1].text == "one two three"


def test_a_stream_that_fails_raises_its_error(handle: _Handle) -> None:
    stream = VisionChat(ScriptedBackend([])).stream("?")
    with pytest.raises(GenerationError):
        stream._ipython_display_()


def test_an_endless_answer_is_shown_by_its_end() -> None:
    html = Growing("start" + "x" * 10**6 + "end")._repr_html_()
    assert len(html) < 30_000
    assert "end</div>" in html
    assert "start" not in html
