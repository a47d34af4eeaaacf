"""The running of a command: shared options, errors as one paragraph, and exit codes."""

from __future__ import annotations

import inspect
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints

import typer

from qwenvl_kit.command_line.options import OutputOptions
from qwenvl_kit.command_line.terminal import say, write_json
from qwenvl_kit.errors import InputError, QwenVLKitError

EXIT_CODES = (
    "Exit codes: 0 all is well, 1 the doctor or a check found problems, or some of several "
    "questions failed, 2 it could not be done."
)
ANSWER_CODES = (
    "Exit codes: 0 all questions were answered, 1 some of several failed, 2 it could not be done."
)

ENDED_BY_INTERRUPT = 128 + signal.SIGINT
ENDED_BY_PIPE = 128 + getattr(signal, "SIGPIPE", 13)
"""The codes that shells give programs which such a signal has ended."""

_Command = Callable[..., int]

_shown: list[bool] = [False]


class Ended(typer.Exit):
    """A command that has run to its end, with its exit code."""


def show_tracebacks(is_wanted: bool) -> None:
    """Show the traceback of errors of the kit from now on, or leave it out."""
    _shown[0] = is_wanted


def command(
    app: typer.Typer, name: str | None = None, *, epilog: str = ANSWER_CODES
) -> Callable[[_Command], _Command]:
    """Return a decorator that makes a function a command of the program.

    A parameter whose type is a dataclass becomes as many options as the class has fields. The
    function returns its exit code.

    Args:
        app: the program.
        name: the name of the command; None for that of the function.
        epilog: the last paragraph of its help.
    """

    def add(function: _Command) -> _Command:
        app.command(name, epilog=epilog)(_spread(function))
        return function

    return add


def _spread(function: _Command) -> Callable[..., None]:
    """The function with the options of its groups as parameters; it ends with `Ended`."""
    hints = get_type_hints(function, include_extras=True)
    given = inspect.signature(function).parameters
    groups = {key: hints[key] for key in given if is_dataclass(hints[key])}

    def run(**values: Any) -> None:
        for key, kind in groups.items():
            values[key] = kind(**{each.name: values.pop(each.name) for each in fields(kind)})
        raise Ended(_exit_code(function, values))

    parameters = [*_parameters(given, hints, groups)]
    run.__name__, run.__doc__ = function.__name__, function.__doc__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def _parameters(
    given: Mapping[str, inspect.Parameter], hints: Mapping[str, Any], groups: Mapping[str, Any]
) -> Iterator[inspect.Parameter]:
    for key, parameter in given.items():
        if key not in groups:
            yield parameter.replace(annotation=hints[key], kind=inspect.Parameter.KEYWORD_ONLY)
            continue
        of_group = get_type_hints(groups[key], include_extras=True)
        for field in fields(groups[key]):
            default = inspect.Parameter.empty if field.default is MISSING else field.default
            yield inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=default,
                annotation=of_group[field.name],
            )


def _exit_code(function: _Command, values: Mapping[str, Any]) -> int:
    """Run a command; its errors are told, and become an exit code."""
    try:
        code = function(**values)
        if sys.stdout is not None:
            sys.stdout.flush()
    except QwenVLKitError as error:
        return _failed(error, values)
    except KeyboardInterrupt:
        say("")
        return ENDED_BY_INTERRUPT
    except BrokenPipeError:
        forget_output()
        return ENDED_BY_PIPE
    return code


def _failed(error: QwenVLKitError, values: Mapping[str, Any]) -> int:
    """Tell an error: as a paragraph, or with its traceback; as JSON too, where that is asked."""
    forms = [each for each in values.values() if isinstance(each, OutputOptions)]
    with_traceback = _shown[0] or any(form.traceback for form in forms)
    try:
        say(traceback.format_exc().rstrip() if with_traceback else str(error))
        if any(form.as_json for form in forms):
            write_json({"text": None, **failure_fields(error)})
    except (BrokenPipeError, InputError):  # the output itself is in trouble
        pass
    forget_output()
    return 2


def failure_fields(error: Exception) -> dict[str, Any]:
    """Return the fields of a line of JSON that tell of an error."""
    return {
        "confidence": None,
        "tokens": None,
        "seconds": None,
        "error": {"type": type(error).__name__, "message": str(error)},
    }


def forget_output() -> None:
    """Send what is still to be written nowhere, so that Python does not fail once more at its end.

    The way of https://docs.python.org/3/library/signal.html#note-on-sigpipe.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # closed, or not of the system
            stream.flush()
            continue
        with suppress(AttributeError, OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
