"""A function is a tool by its signature and docstring, and is called with what fits alone."""

from __future__ import annotations

import functools
from typing import Annotated, Any, Literal, Optional

import pytest
from pydantic import Field

from qwenvl_kit.errors import ToolError
from qwenvl_kit.tools.functions import Tool, as_tools


def weather(city: str, days: int = 1, unit: Literal["C", "F"] = "C") -> str:
    """Say what the weather will be.

    More about it, which the model does not need.

    Args:
        city: its name,
            in English.
        days (int): how many days ahead.
        unit: of the temperature.

    Returns:
        Words.
    """
    return f"{city} {days} {unit}"


def test_a_function_tells_its_name_its_purpose_and_its_parameters() -> None:
    told = Tool.of(weather).to_dict()
    assert told["type"] == "function"
    assert told["function"]["name"] == "weather"
    assert told["function"]["description"] == "Say what the weather will be."
    parameters = told["function"]["parameters"]
    assert parameters["required"] == ["city"]
    assert parameters["properties"]["city"] == {
        "type": "string",
        "description": "its name, in English.",
    }
    assert parameters["properties"]["days"]["default"] == 1
    assert parameters["properties"]["unit"]["enum"] == ["C", "F"]


def test_a_call_is_checked_before_it_is_made() -> None:
    tool = Tool.of(weather)
    assert tool.call({"city": "Rome", "days": 3}) == "Rome 3 C"
    for arguments in ({}, {"city": 3}, {"city": "Rome", "unit": "K"}, {"city": "Rome", "no": 1}):
        with pytest.raises(ToolError, match="do not fit"):
            tool.call(arguments)


class Robot:
    """A thing with a method."""

    def move(self, steps: int, *, back: Optional[bool] = None) -> int:  # noqa: UP045
        """Go."""
        return -steps if back else steps


def test_methods_and_annotations_with_conditions_are_tools_too() -> None:
    assert Tool.of(Robot().move).call({"steps": 2, "back": True}) == -2

    def small(number: Annotated[int, Field(le=3)]) -> int:
        return number

    with pytest.raises(ToolError, match="less than or equal to 3"):
        Tool.of(small).call({"number": 4})


def untyped(city):  # type: ignore[no-untyped-def]
    return city


def many(*cities: str) -> None: ...


def more(**cities: str) -> None: ...


def placed(city: str, /) -> None: ...


def strange(city: Robot) -> None: ...


async def waits(city: str) -> None: ...


def unknown(city: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (untyped, "city of untyped has no annotation"),
        (many, r"takes \*cities"),
        (more, r"takes \*cities"),
        (placed, "by position"),
        (strange, "cannot be described"),
        (unknown, "cannot be read"),
        (lambda: None, "named '<lambda>'"),
        ("weather", "of type str"),
        (3, "of type int"),
        (waits, "an async function"),
        (functools.partial(weather, "Rome"), "cannot be read"),
    ],
)
def test_a_function_that_cannot_be_told_is_refused(function: Any, problem: str) -> None:
    with pytest.raises(ToolError, match=problem):
        Tool.of(function)


def test_tools_have_names_that_differ() -> None:
    assert [tool.name for tool in as_tools([weather, Robot().move])] == ["weather", "move"]
    with pytest.raises(ToolError, match="two tools") as caught:
        as_tools([weather, weather])
    assert caught.value.where == "tools[1]"
    with pytest.raises(ToolError, match="list of functions"):
        as_tools(weather)  # type: ignore[arg-type]
    with pytest.raises(ToolError, match="list of functions"):
        as_tools(None)  # type: ignore[arg-type]
