"""`chat` without a terminal: lines of the standard input are turns and commands."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from qwenvl_kit import ImagePart
from qwenvl_kit.command_line.chatting import find_files
from qwenvl_kit.command_line.program import main
from qwenvl_kit.errors import InputError, MediaNotFoundError
from tests.command_line import stand_in

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def here(folder: Path) -> Path:
    return folder


def talk(monkeypatch: pytest.MonkeyPatch, *lines: str, arguments: tuple[str, ...] = ()) -> int:
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines)))
    return main(["chat", *arguments])


def roles() -> list[str]:
    return [message.role for message in stand_in.requests()[-1].messages]


def test_turns_follow_one_another(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    assert talk(monkeypatch, "One?", "Two?") == 0
    assert capsys.readouterr().out == "I was asked: One?\nI was asked: Two?\n"
    assert roles() == ["user", "assistant", "user"]


def test_the_end_of_the_input_and_quit_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert talk(monkeypatch) == 0
    assert talk(monkeypatch, "/quit", "One?") == 0
    assert not stand_in.requests()


def test_a_picture_is_shown_with_the_next_question_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    talk(monkeypatch, "/image red.png", "Which?", "And?")
    first, second = stand_in.requests()
    assert isinstance(first.messages[-1].parts[0], ImagePart)
    assert len(second.messages[-1].parts) == 1
    assert isinstance(second.messages[0].parts[0], ImagePart)


def test_pictures_may_be_given_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    talk(monkeypatch, "Which?", arguments=("*.png", "--system", "Be brief."))
    assert roles() == ["system", "user"]
    assert len(stand_in.requests()[-1].messages[-1].parts) == 4


def test_reset_forgets_turns_and_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    talk(monkeypatch, "One?", "/image red.png", "/reset", "Two?", arguments=("--system", "s"))
    assert roles() == ["system", "user"]
    assert len(stand_in.requests()[-1].messages[-1].parts) == 1


def test_a_failure_leaves_the_conversation_as_it_was(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    assert talk(monkeypatch, "One?", "please fail", "Two?") == 0
    assert roles() == ["user", "assistant", "user"]
    shown = capsys.readouterr()
    assert "the device went away" in shown.err
    assert "Traceback" not in shown.err


def test_a_picture_that_failed_is_not_shown_again(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("bad.png").write_text("no picture")
    talk(monkeypatch, "/image bad.png", "Which?", "Two?")
    assert len(stand_in.requests()[-1].messages[-1].parts) == 1


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("/image", "/image was given without a file"),
        ("/image none.png", "there is no file 'none.png'"),
        ("/image no*.png", "no file matches"),
        ("/image https://example.com/a.png", "--web"),
        ("/image -", "- was given"),
        ("/frob", "There is no command /frob"),
        ("/home/x.png what is this?", "There is no command /home/x.png"),
        ("/help", "/reset"),
    ],
)
def test_commands_that_cannot_be_obeyed_are_told_and_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured, line: str, told: str
) -> None:
    assert talk(monkeypatch, line, "One?") == 0
    shown = capsys.readouterr()
    assert told in shown.err
    assert shown.out == "I was asked: One?\n"


def test_a_path_alone_is_a_picture(monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    talk(monkeypatch, str(here / "red.png"), "Which?")
    assert isinstance(stand_in.requests()[-1].messages[-1].parts[0], ImagePart)


def test_a_question_may_have_several_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    talk(monkeypatch, '"""', "One", "/quit", '"""')
    assert capsys.readouterr().out == "I was asked: One\n/quit\n"


def test_empty_lines_ask_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    talk(monkeypatch, "", "  ", "One?")
    assert len(stand_in.requests()) == 1


def test_answers_steer_no_terminal(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    talk(monkeypatch, "hostile", arguments=("--confidence",))
    shown = capsys.readouterr().out
    assert not set("\x1b\x07\x9b\u202e\x00\r") & set(shown)
    assert shown.endswith("confidence: 0.905\n")


@pytest.mark.parametrize("arguments", [("--json",), ("-",)])
def test_what_a_conversation_cannot_do_ends_with_2(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    assert talk(monkeypatch, "One?", arguments=arguments) == 2


@pytest.mark.parametrize(
    "text",
    ["my photo.png", "'my photo.png'", '"my photo.png"', "my\\ photo.png", "  my photo.png  "],
)
def test_a_path_may_hold_spaces_as_terminals_write_them(text: str, here: Path) -> None:
    (here / "red.png").rename(here / "my photo.png")
    (source,) = find_files(text)
    assert source.name == "my photo.png"


def test_several_files_may_stand_in_a_line() -> None:
    assert [each.name for each in find_files("red.png 'blue.png'")] == ["red.png", "blue.png"]
    assert len(find_files("*.png")) == 3
    with pytest.raises(MediaNotFoundError):
        find_files("red.png it's")
    with pytest.raises(InputError):
        find_files(" ")
