"""`describe`, `read`, `locate`, `extract` and `plan`: what the tasks find, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import PIL.Image
import pytest

from qwenvl_kit.command_line.program import main
from qwenvl_kit.tasks import describe, read_text
from tests.command_line import stand_in
from tests.videos import write_video

Captured = pytest.CaptureFixture[str]


def question() -> str:
    return stand_in.requests()[-1].messages[-1].text


def test_a_description_is_asked_for_as_the_task_does(folder: Path) -> None:
    main(["describe", "red.png", "--detail", "short", "--focus", "its colour"])
    by_program = question()
    describe(stand_in.load(None), "red.png", detail="short", focus="its colour")
    assert question() == by_program


@pytest.mark.parametrize("form", ["plain", "markdown"])
def test_text_is_read_as_the_task_does(folder: Path, form: str) -> None:
    main(["read", "red.png", *(["--markdown"] if form == "markdown" else [])])
    by_program = question()
    read_text(stand_in.load(None), "red.png", form=form)  # type: ignore[arg-type]
    assert question() == by_program


def test_boxes_are_lines_in_the_pixels_of_the_picture(folder: Path, capsys: Captured) -> None:
    assert main(["locate", "red.png", "a cup"]) == 0
    assert capsys.readouterr().out == "6 11 28 34 a cup\n"


def test_boxes_are_drawn_on_the_picture(folder: Path) -> None:
    assert main(["locate", "red.png", "a cup", "--output", "found.png"]) == 0
    with PIL.Image.open("found.png") as drawn, PIL.Image.open("red.png") as original:
        assert drawn.size == original.size
        assert drawn.tobytes() != original.convert("RGB").tobytes()


def test_boxes_are_json(folder: Path, capsys: Captured) -> None:
    assert main(["locate", "red.png", "a cup", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["boxes"][0]["label"] == "a cup"
    assert found["boxes"][0]["x2_px"] == pytest.approx(28.0)
    assert (found["width_px"], found["height_px"]) == (56, 56)
    assert found["error"] is None


@pytest.mark.parametrize("output", ["found", "found.xyz", "missing/found.png", "."])
def test_a_picture_that_cannot_be_written_is_told_before_anything_is_asked(
    folder: Path, capsys: Captured, output: str
) -> None:
    assert main(["locate", "red.png", "a cup", "--output", output]) == 2
    assert "--output" in capsys.readouterr().err
    assert not stand_in.LOADED


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["locate", "film.mp4", "a cup"], "film.mp4 is a film; expected a picture"),
        (["read", "film.mp4"], "film.mp4 is a film; expected a picture"),
        (["describe", "-"], "- is a text; expected a picture or film"),
        (["extract", "-", "--schema", "receipt.json"], "- is a text; expected a picture or film"),
    ],
)
def test_what_a_task_cannot_take_is_told_before_a_model_is_loaded(
    schema: str,
    capsys: Captured,
    given_input: Callable[[bytes], None],
    arguments: list[str],
    told: str,
) -> None:
    write_video(Path("film.mp4"), num_frames=8)
    given_input(b"a text")
    assert main(arguments) == 2
    assert told in capsys.readouterr().err
    assert not stand_in.LOADED


def test_one_picture_is_searched(folder: Path, capsys: Captured) -> None:
    assert main(["locate", "*.png", "a cup"]) == 2
    assert "3 pictures were given" in capsys.readouterr().err


SCHEMA = {
    "type": "object",
    "properties": {"total": {"type": "number"}, "shop": {"type": "string"}},
    "required": ["total", "shop"],
    "additionalProperties": False,
}


@pytest.fixture
def schema(folder: Path) -> str:
    (folder / "receipt.json").write_text(json.dumps(SCHEMA))
    return "receipt.json"


def test_a_value_is_read_by_a_json_schema(schema: str, capsys: Captured) -> None:
    assert main(["extract", "red.png", "--schema", schema]) == 0
    assert json.loads(capsys.readouterr().out) == {"total": 12.5, "shop": "Łódź"}


def test_a_value_has_its_confidences_in_json(schema: str, capsys: Captured) -> None:
    assert main(["extract", "red.png", "--schema", schema, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["value"]["total"] == 12.5
    assert set(found["confidences"]) == {"total", "shop"}
    assert 0 < found["confidence"] <= 1


FIELDS = "    total: float\n    shop: str\n"
CLASSES = (
    f"from dataclasses import dataclass\n@dataclass\nclass Receipt:\n{FIELDS}",
    f"from pydantic import BaseModel\nclass Receipt(BaseModel):\n{FIELDS}",
    f"from typing import TypedDict\nclass Receipt(TypedDict):\n{FIELDS}",
)


@pytest.mark.parametrize("number", range(3))
def test_a_value_is_read_by_a_class_of_a_module_in_this_folder(
    folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    module = f"receipts_{number}"
    (folder / f"{module}.py").write_text(CLASSES[number])
    monkeypatch.syspath_prepend(str(folder))
    assert main(["extract", "red.png", "--schema", f"{module}:Receipt"]) == 0
    assert json.loads(capsys.readouterr().out) == {"total": 12.5, "shop": "Łódź"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("missing.json", "cannot be read"),
        ("red.png", "no JSON"),
        ("list.json", "no object"),
        ("no_such_module:Receipt", "ModuleNotFoundError"),
        ("json:Nothing", "AttributeError"),
        ("json:dumps", "is no class"),
        ("deep.json", "no JSON"),
    ],
)
def test_a_schema_that_there_is_not_is_told(
    folder: Path, capsys: Captured, given: str, told: str
) -> None:
    (folder / "list.json").write_text("[1]")
    (folder / "deep.json").write_text("[" * 100_000)
    assert main(["extract", "red.png", "--schema", given]) == 2
    assert told in capsys.readouterr().err
    assert not stand_in.LOADED


def test_several_forms_of_reading_are_refused(folder: Path, capsys: Captured) -> None:
    assert main(["read", "red.png", "--table", "--lines"]) == 2
    assert main(["read", "red.png", "blue.png", "--table"]) == 2
    assert "one picture" in capsys.readouterr().err


def test_a_plan_is_a_table_or_json(folder: Path, capsys: Captured) -> None:
    assert main(["plan", "Which?", "red.png"]) == 0
    assert "fits" in capsys.readouterr().out
    assert main(["plan", "Which?", "red.png", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["fits"] is True
    assert plan["images"][0]["original"] == {"width_px": 56, "height_px": 56}
    assert not stand_in.requests()


def test_a_plan_that_does_not_fit_ends_with_1(
    capsys: Captured, given_input: Callable[[bytes], None]
) -> None:
    given_input(b"word " * 5000)
    assert main(["plan", "-"]) == 1
    assert "does not fit" in capsys.readouterr().out
