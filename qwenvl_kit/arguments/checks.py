"""A decorator that turns the `TypeError` of a wrong argument into an `ArgumentError`.

Signatures stay as they are written, for type checkers, editors and `inspect`. Python itself checks
the arguments; only its error is translated.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from qwenvl_kit.arguments.suggestions import Call, argument_error

_Target = TypeVar("_Target", bound=Callable[..., Any])


def explains_wrong_arguments(target: _Target) -> _Target:
    """Make a function, or the public methods of a class, raise `ArgumentError` on wrong arguments.

    Errors from inside the call pass through unchanged.
    """
    if not isinstance(target, type):
        return _explaining(target)  # type: ignore[return-value]
    for name, member in list(vars(target).items()):
        if name == "__init__" or not name.startswith("_"):
            if isinstance(member, (classmethod, staticmethod)):
                setattr(target, name, type(member)(_explaining(member.__func__)))
            elif inspect.isfunction(member):
                setattr(target, name, _explaining(member))
    return target


def _explaining(function: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            return await _called(function, args, kwargs)

        return call_async

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return _called(function, args, kwargs)

    return call


def _called(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    call = Call(function, args, kwargs)
    if call.is_of_vllm and call.unknown:  # from_vllm accepts any name, but vLLM does not
        raise argument_error(call)
    try:
        return function(*args, **kwargs)
    except TypeError as error:
        trace = error.__traceback__
        if trace is None or trace.tb_next is not None:  # raised inside the call
            raise
    raise argument_error(call)
