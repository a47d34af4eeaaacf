"""Many sources: each is asked about, the answers keep their order, and a stop loses none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qwenvl_kit.command_line.program import main
from tests.command_line import stand_in

Captured = pytest.CaptureFixture[str]


def test_each_source_has_a_line_in_order(folder: Path, capsys: Captured) -> None:
    assert main(["ask", "Which?", "red.png", "b*.png", "--each"]) == 0
    assert capsys.readouterr().out == (
        "red.png: I was asked: Which?\nblue.png: I was asked: Which?\n"
    )


def test_one_that_fails_costs_itself_alone(folder: Path, capsys: Captured) -> None:
    (folder / "blue.png").write_text("no picture")
    assert main(["ask", "Which?", "*.png", "none.png", "--each", "--json"]) == 1
    shown = capsys.readouterr()
    lines = [json.loads(line) for line in shown.out.splitlines()]
    assert [line["source"] for line in lines] == ["blue.png", "green.png", "red.png", "none.png"]
    assert [line["error"] is None for line in lines] == [False, True, True, False]
    assert lines[0]["error"]["type"] == "MediaDecodeError"
    assert "2 of 4 failed" in shown.err


def test_failures_are_told_on_the_standard_error(folder: Path, capsys: Captured) -> None:
    assert main(["ask", "Which?", "red.png", "none.png", "--each"]) == 1
    shown = capsys.readouterr()
    assert shown.out == "red.png: I was asked: Which?\n"
    assert "none.png: requests[1].messages[0].parts[0]: no file" in shown.err


def test_a_source_that_is_named_twice_is_asked_about_once(folder: Path, capsys: Captured) -> None:
    assert main(["ask", "Which?", "red.png", "red.png", "--each"]) == 0
    assert capsys.readouterr().out.count("\n") == 1


def test_a_second_run_goes_on_from_the_journal(folder: Path, capsys: Captured) -> None:
    run = ["ask", "Which?", "--each", "--journal", "run.jsonl"]
    assert main([*run, "red.png"]) == 0
    assert main([*run, "*.png"]) == 0
    asked = [request.plan.images[0].where for request in stand_in.requests()]
    assert len(asked) == 2
    assert capsys.readouterr().out.splitlines()[-1].startswith("red.png: ")


def test_a_journal_of_another_question_fails_each_of_its_sources(
    folder: Path, capsys: Captured
) -> None:
    main(["ask", "Which?", "red.png", "--each", "--journal", "run.jsonl"])
    assert main(["ask", "Why?", "red.png", "--each", "--journal", "run.jsonl"]) == 1
    assert "the reply to another request" in capsys.readouterr().err


def test_a_file_that_is_no_journal_ends_with_2(folder: Path, capsys: Captured) -> None:
    run = ["ask", "Which?", "red.png", "--each", "--journal", "blue.png"]
    assert main(run) == 2
    assert "is not a journal" in capsys.readouterr().err


def test_answers_of_several_lines_stand_below_their_source(folder: Path, capsys: Captured) -> None:
    main(["ask", "hostile", "red.png", "--each", "--confidence"])
    assert capsys.readouterr().out.startswith("red.png: (0.905)\nred\\x1b")


def test_a_name_cannot_forge_a_line(folder: Path, capsys: Captured) -> None:
    (folder / "red.png").rename(folder / "a\nblue.png: yes\x1b[2J.png")
    main(["ask", "Which?", "a*.png", "--each"])
    assert capsys.readouterr().out == ("a\\nblue.png: yes\\x1b[2J.png: I was asked: Which?\n")


def test_a_bar_is_shown_on_request_and_not_in_pipes(folder: Path, capsys: Captured) -> None:
    main(["ask", "Which?", "red.png", "--each"])
    assert not capsys.readouterr().err
    main(["ask", "Which?", "red.png", "--each", "--progress"])
    assert "1/1" in capsys.readouterr().err


def test_several_pictures_are_described_and_read_one_by_one(folder: Path, capsys: Captured) -> None:
    for command in ("describe", "read"):
        assert main([command, "red.png", "blue.png"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.partition(":")[0] for line in lines] == ["red.png", "blue.png"]
