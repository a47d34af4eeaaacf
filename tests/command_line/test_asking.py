"""`ask` and its kin: what is asked, what is written, and the exit codes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit import ImagePart, TextPart, VideoPart
from qwenvl_kit.command_line.program import main
from tests.command_line import stand_in
from tests.videos import write_video

Captured = pytest.CaptureFixture[str]


def asked_parts() -> list[Any]:
    (request,) = stand_in.requests()
    return [*request.messages[-1].parts]


def test_a_question_alone_is_answered(capsys: Captured) -> None:
    assert main(["ask", "What is a pixel?"]) == 0
    assert capsys.readouterr().out == "I was asked: What is a pixel?\n"


def test_pictures_stand_before_the_question(folder: Path) -> None:
    assert main(["ask", "Which?", "red.png", "blue.png"]) == 0
    kinds = [type(part) for part in asked_parts()]
    assert kinds == [ImagePart, ImagePart, TextPart]


def test_a_pattern_is_replaced_by_its_files_in_order(folder: Path) -> None:
    main(["ask", "Which?", "*.png"])
    assert [part.source for part in asked_parts()[:-1]] == ["blue.png", "green.png", "red.png"]


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(folder: Path) -> None:
    (folder / "red.png").rename(folder / "[a].png")
    assert main(["ask", "Which?", "[a].png"]) == 0
    assert asked_parts()[0].source == "[a].png"


@pytest.mark.parametrize("name", ["my photo.png", "-red.png", "红色.png"])
def test_names_may_hold_spaces_dashes_and_any_script(folder: Path, name: str) -> None:
    (folder / "red.png").rename(folder / name)
    assert main(["ask", "Which?", "--", name]) == 0
    assert asked_parts()[0].source == name


def test_a_file_that_looks_like_an_option_is_told(folder: Path, capsys: Captured) -> None:
    (folder / "red.png").rename(folder / "-red.png")
    with pytest.raises(SystemExit) as stopped:
        main(["ask", "Which?", "-red.png"])
    assert stopped.value.code == 2
    assert "write ./-red.png, or put it after --" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["film.mp4", "FILM.MP4", "a film without an ending"])
def test_films_are_known_by_their_ending_or_their_first_bytes(folder: Path, name: str) -> None:
    write_video(folder / "made.mp4", num_frames=8)
    (folder / "made.mp4").rename(folder / name)
    assert main(["ask", "What happens?", name]) == 0
    assert isinstance(asked_parts()[0], VideoPart)


def test_the_question_may_come_by_the_standard_input(
    given_input: Callable[[bytes], None], capsys: Captured
) -> None:
    given_input("What is 红色?\n".encode())
    assert main(["ask", "-"]) == 0
    assert capsys.readouterr().out == "I was asked: What is 红色?\n"


def test_a_picture_may_come_by_the_standard_input(
    folder: Path, given_input: Callable[[bytes], None]
) -> None:
    given_input((folder / "red.png").read_bytes())
    assert main(["ask", "Which?", "-"]) == 0
    assert isinstance(asked_parts()[0], ImagePart)


def test_a_text_may_come_by_the_standard_input(given_input: Callable[[bytes], None]) -> None:
    given_input(b"Once upon a time.\n")
    assert main(["ask", "Summarise it.", "-"]) == 0
    assert asked_parts()[0].text == "Once upon a time.\n\n"


@pytest.mark.parametrize(
    "case",
    [
        (["-"], b"", "the standard input is empty"),
        (["-"], b" \n", "the question is empty"),
        (["-"], b"\x89PNG\r\n\x1a\n\0", "is no text"),
        (["-", "-"], b"one", "- was given twice"),
        (["  "], b"", "the question is empty"),
        (["?", "no*.png"], b"", "no file matches 'no*.png'"),
        (["?", ""], b"", "an empty name was given"),
        (["?", "pipe"], b"", "a device or a pipe; expected a file"),
        (["a \udcff"], b"", "the question holds bytes that are no text"),
        (["?", "none.png"], b"", "no file at none.png"),
        (["?", "."], b"", "."),
        (["?", "https://example.com/a.png"], b"", "--web"),
        (["?", "--max-tokens", "0"], b"", "max_new_tokens=0"),
        (["?", "--temperature", "-1"], b"", "temperature=-1.0"),
        (["?", "--budget", "huge"], b"", "one of native, quick, standard, fine"),
        (["?", "--budget", "0"], b"", "max_tokens=0"),
        (["?", "--journal", "run.jsonl"], b"", "without --each"),
        (["?", "--each"], b"", "--each was given"),
        (["?", "--key-variable", "KEY"], b"", "--base-url"),
        (["?", "--base-url", "http://x/v1", "--adapter", "a"], b"", "--adapter was given"),
        (["?", "--base-url", "http://x/v1", "--key-variable", "NO_KEY"], b"", "NO_KEY"),
        (["please fail"], b"", "the device went away. Try: another device"),
    ],
)
def test_what_cannot_be_done_is_a_paragraph_and_ends_with_2(
    folder: Path, capsys: Captured, given_input: Callable[[bytes], None], case: Any
) -> None:
    arguments, content, told = case
    if "pipe" in arguments:
        os.mkfifo("pipe")
    given_input(content)
    assert main(["ask", *arguments]) == 2
    shown = capsys.readouterr()
    assert told in shown.err
    assert "Traceback" not in shown.err
    assert shown.err.count("\n") == 1
    assert not shown.out


@pytest.mark.parametrize("arguments", [["--traceback", "ask"], ["ask", "--traceback"]])
def test_a_traceback_is_shown_where_it_is_asked_for(arguments: list[str], capsys: Captured) -> None:
    assert main([*arguments, "please fail"]) == 2
    assert "Traceback (most recent call last)" in capsys.readouterr().err
    assert main(["ask", "please fail"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_json_is_one_object_a_line(folder: Path, capsys: Captured) -> None:
    assert main(["ask", "Which?", "red.png", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    answer = json.loads(line)
    assert answer["text"] == "I was asked: Which?"
    assert answer["confidence"] == pytest.approx(0.905, abs=1e-3)
    assert answer["tokens"]["visual"] > 0
    assert answer["seconds"] >= 0
    assert answer["error"] is None


def test_a_failure_is_json_too(capsys: Captured) -> None:
    assert main(["ask", "please fail", "--json"]) == 2
    shown = capsys.readouterr()
    answer = json.loads(shown.out)
    assert answer["text"] is None
    assert answer["error"]["type"] == "GenerationError"
    assert answer["error"]["message"] in shown.err


def test_what_a_model_writes_steers_no_terminal(capsys: Captured) -> None:
    main(["ask", "hostile"])
    shown = capsys.readouterr().out
    assert shown == (
        "red\\x1b[2J\\x1b]0;owned\\x07 \\x9b31m \\u202etxt \\x08\\x00 end\nnext\tcell\n"
    )


def test_json_steers_no_terminal_and_keeps_each_character(capsys: Captured) -> None:
    main(["ask", "hostile", "--json"])
    line = capsys.readouterr().out
    assert not set("\x1b\x07\x9b\u202e\x00") & set(line)
    assert json.loads(line)["text"] == stand_in.HOSTILE


def test_the_confidence_is_written_where_it_is_asked_for(capsys: Captured) -> None:
    main(["ask", "Which?", "--confidence"])
    assert capsys.readouterr().out == "I was asked: Which?\nconfidence: 0.905\n"


def test_settings_reach_the_model() -> None:
    main(["ask", "Which?", "--max-tokens", "7", "--temperature", "0.5", "--seed", "3"])
    (request,) = stand_in.requests()
    assert request.sampling.max_new_tokens == 7
    assert request.sampling.temperature == 0.5
    assert request.sampling.seed == 3


def test_without_settings_those_of_the_checkpoint_hold() -> None:
    main(["ask", "Which?"])
    (request,) = stand_in.requests()
    assert request.sampling == stand_in.CHATS[-1].default_sampling


@pytest.mark.parametrize("name", [[], ["--model", "embedded"], ["--model", ""]])
def test_the_embedded_model_is_the_default(name: list[str]) -> None:
    main(["ask", "Which?", *name])
    assert stand_in.LOADED[-1]["model"] is None


def test_a_model_is_named_by_an_option_or_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("QWENVL_MODEL", "Qwen/One")
    main(["ask", "Which?"])
    assert stand_in.LOADED[-1]["model"] == "Qwen/One"
    main(["ask", "Which?", "--model", "two", "--adapter", "lora", "--quantization", "4bit"])
    loaded = stand_in.LOADED[-1]
    assert (loaded["model"], loaded["adapter"], loaded["quantization"]) == ("two", "lora", "4bit")
    assert not loaded["offline"]
    main(["ask", "Which?", "--offline", "--budget", "800"])
    assert stand_in.LOADED[-1]["offline"]
    assert stand_in.LOADED[-1]["budget"].max_tokens == 800


def test_the_key_of_a_server_comes_from_the_environment_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("QWENVL_API_KEY", "secret")
    server = ["--base-url", "http://127.0.0.1:1/v1"]
    main(["ask", "Which?", *server])
    assert stand_in.LOADED[-1]["api_key"] == "secret"
    monkeypatch.setenv("OTHER", "another")
    main(["ask", "Which?", *server, "--key-variable", "OTHER"])
    assert stand_in.LOADED[-1]["api_key"] == "another"
    with pytest.raises(SystemExit):
        main(["ask", "Which?", *server, "--api-key", "secret"])
    shown = capsys.readouterr()
    assert "QWENVL_API_KEY" in shown.err
    assert "secret" not in shown.err.replace("--api-key", "")


def test_a_server_is_asked_nothing_about_the_hub_offline() -> None:
    main(["ask", "Which?", "--base-url", "http://127.0.0.1:1/v1", "--offline"])
    assert stand_in.LOADED[-1]["checkpoint"] is None


def test_urls_are_fetched_where_that_is_asked_for() -> None:
    main(["ask", "Which?", "--web"])
    assert stand_in.LOADED[-1]["media"].allow_hosts == ("*",)
    main(["ask", "Which?"])
    assert stand_in.LOADED[-1]["media"] is None
