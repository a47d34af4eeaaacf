"""`serve-demo`: the messages of its page, and the page itself where Gradio is installed."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from qwenvl_kit import ImagePart, TextPart, VideoPart
from qwenvl_kit.command_line.demo import build_page, messages_of
from qwenvl_kit.command_line.options import SamplingOptions
from qwenvl_kit.command_line.program import main
from tests.command_line import stand_in


def test_the_history_of_a_page_becomes_messages() -> None:
    history = [
        {"role": "user", "content": [{"type": "file", "file": {"path": "a.mp4"}}]},
        {"role": "user", "content": [{"type": "text", "text": "What happens?"}]},
        {"role": "assistant", "content": "Nothing."},
        {"role": "user", "content": {"text": "And here?", "files": ["b.png", {"path": "c.pdf"}]}},
        {"role": "user", "content": {"text": "", "files": []}},
        {"role": "user", "content": ("d.png",)},
    ]
    messages = messages_of(history)
    assert [message.role for message in messages] == ["user", "user", "assistant", "user", "user"]
    kinds = [type(part) for part in messages[3].parts]
    assert kinds == [ImagePart, ImagePart, TextPart]
    assert isinstance(messages[0].parts[0], VideoPart)


def test_without_gradio_its_command_is_told_before_a_model_is_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["serve-demo"]) == 2
    assert "pip install 'qwenvl-kit[demo]'" in capsys.readouterr().err
    assert not stand_in.LOADED


@pytest.mark.skipif(importlib.util.find_spec("gradio") is None, reason="gradio is not installed")
def test_the_page_answers() -> None:
    page = build_page(stand_in.load(None), SamplingOptions())
    answers = [*page.fn({"text": "Which?", "files": []}, [])]
    assert answers[-1] == "I was asked: Which?"
