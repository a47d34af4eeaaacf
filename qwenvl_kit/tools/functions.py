"""Python functions as tools: the schema of each, from its signature and docstring."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import typing_extensions

from qwenvl_kit.errors import ToolError
from qwenvl_kit.messages.message import Message, with_system_part
from qwenvl_kit.messages.tool_parts import ToolOffer
from qwenvl_kit.structured_output.json_schema import without_keyword

_ARGS = re.compile(r"^(?:Args|Arguments|Parameters):\s*$", re.MULTILINE)
_SECTION = re.compile(r"^\w[\w ]*:\s*$")
_ARGUMENT = re.compile(r"^\s+\*{0,2}(\w+)(?:\s*\([^)]*\))?:\s*(.*)$")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True)
class Tool:
    """A function that a model may call.

    Example:
        def weather(city: str) -> str:
            "Return the weather of a city."
            return "sunny"
        chat.run_tools("What is the weather in Oslo?", tools=[weather])

    Attributes:
        name: the name by which the model calls it.
        description: its purpose, from the docstring.
        parameters: the JSON schema of its arguments.
        function: the function itself.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    function: Callable[..., Any]
    _arguments: Any

    def __call__(self, **arguments: Any) -> Any:
        """Call the function itself, without checking the arguments."""
        return self.function(**arguments)

    @classmethod
    def of(cls, function: Callable[..., Any] | Tool) -> Tool:
        """Make a tool of a function.

        Each parameter needs an annotation that pydantic supports. The model is shown the
        docstring's description of each parameter, in Google style ("Args:").

        Raises:
            ToolError: it is no function, it has no name, or a parameter cannot be described.
        """
        if isinstance(function, Tool):
            return function
        if not callable(function):
            raise ToolError(
                f"a tool of type {type(function).__name__} was given", expected="a function"
            )
        if inspect.iscoroutinefunction(function):
            raise ToolError(
                "an async function was given",
                expected="one that returns its result",
                hint="def f(x: int) -> int: return asyncio.run(g(x))",
            )
        name = getattr(function, "__name__", type(function).__name__)
        if not _NAME.fullmatch(name):
            raise ToolError(
                f"a function named {name!r} was given",
                expected="a name of letters, digits and underscores",
                hint="def with a name, instead of a lambda",
            )
        summary, described = _read_docstring(inspect.getdoc(function) or "")
        arguments = _model_of(name, function, described)
        # pydantic adds titles that it makes from names.
        schema = without_keyword(arguments.model_json_schema(), "title", str)
        return cls(name, summary, schema, function, arguments)

    def to_dict(self) -> dict[str, Any]:
        """The tool in the form of chat templates and of OpenAI's API."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": dict(self.parameters),
            },
        }

    def call(self, arguments: Mapping[str, Any]) -> Any:
        """Check the arguments, and call the function with them.

        Raises:
            ToolError: the arguments do not match the parameters; the function was not called.
        """
        from pydantic import ValidationError

        try:
            checked = self._arguments.model_validate(dict(arguments))
        except ValidationError as error:
            wrong = "; ".join(
                f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()
            )
            names = ", ".join(self.parameters.get("properties", {}))
            raise ToolError(
                f"{self.name} was called with arguments that do not fit ({wrong})",
                expected=f"the arguments {names}" if names else "no arguments",
            ) from error
        given = {name: getattr(checked, name) for name in type(checked).model_fields}
        return self.function(**given)


def as_tools(functions: Iterable[Callable[..., Any] | Tool]) -> tuple[Tool, ...]:
    """Make tools of functions, whose names must be different.

    Raises:
        ToolError: a function cannot be a tool, or two have the same name.
    """
    is_list = isinstance(functions, Iterable) and not isinstance(functions, (str, Mapping))
    if callable(functions) or not is_list:
        raise ToolError(
            f"tools of type {type(functions).__name__} were given", expected="a list of functions"
        )
    tools: list[Tool] = []
    for index, function in enumerate(functions):
        tool = Tool.of(function)
        if any(tool.name == other.name for other in tools):
            raise ToolError(
                f"two tools are named {tool.name!r}",
                expected="names that differ",
                where=f"tools[{index}]",
            )
        tools.append(tool)
    return tuple(tools)


def with_tools(
    messages: Sequence[Message], functions: Sequence[Callable[..., Any]]
) -> tuple[Message, ...]:
    """Add the offer of tools to the system message of a conversation.

    Raises:
        ToolError: a function cannot be a tool, or two have the same name.
    """
    offer = ToolOffer(
        tuple(json.dumps(tool.to_dict(), ensure_ascii=False) for tool in as_tools(functions))
    )
    return with_system_part(messages, offer)


def _model_of(name: str, function: Callable[..., Any], described: Mapping[str, str]) -> Any:
    """A pydantic model of the function's parameters."""
    from pydantic import ConfigDict, Field, create_model
    from pydantic.errors import PydanticUserError

    try:
        signature = inspect.signature(function)
        hints = typing_extensions.get_type_hints(function, include_extras=True)
    except (TypeError, ValueError, NameError) as error:
        raise ToolError(
            f"the parameters of {name} cannot be read ({error})",
            expected="a Python function with annotations",
        ) from error
    fields: dict[str, Any] = {}
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ToolError(
                f"{name} takes *{parameter.name}", expected="only parameters with names"
            )
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise ToolError(
                f"{name} takes {parameter.name} by position only",
                expected="a parameter that can be passed by name",
            )
        if parameter.name not in hints:
            raise ToolError(
                f"parameter {parameter.name} of {name} has no annotation",
                expected="a type, such as `city: str`",
            )
        default = ... if parameter.default is parameter.empty else parameter.default
        field = Field(default, description=described.get(parameter.name))
        fields[parameter.name] = (hints[parameter.name], field)
    try:
        return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
    except (PydanticUserError, TypeError, NameError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ToolError(
            f"the parameters of {name} cannot be described ({reason})",
            expected="types that pydantic supports",
        ) from error


def _read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """The summary of a docstring, and its description of each argument (Google style)."""
    before, *after = _ARGS.split(text, maxsplit=1)
    summary = " ".join(before.split("\n\n")[0].split())
    described: dict[str, str] = {}
    name = ""
    for line in after[0].splitlines() if after else ():
        if _SECTION.match(line):
            break
        found = _ARGUMENT.match(line)
        if found:
            name = found[1]
            described[name] = found[2].strip()
        elif name and line.strip():
            described[name] = f"{described[name]} {line.strip()}"
    return summary, described
