"""Objects that cannot leave the process in which they were made."""

from __future__ import annotations

from typing import Any, NoReturn, TypeVar

from qwenvl_kit.errors import PicklingError

_Class = TypeVar("_Class", bound=type)


def process_bound(cls: _Class) -> _Class:
    """Make a class whose objects cannot be pickled, copied deeply or sent to another process.

    A chat holds a model, threads and connections; a conversation or stream holds its chat.
    `copy.copy` gives another object that shares them.
    """
    for name, method in _METHODS.items():
        setattr(cls, name, method)
    return cls


def _copy(self: Any) -> Any:
    copied: Any = object.__new__(type(self))
    copied.__dict__.update(self.__dict__)
    return copied


def _refuse(self: Any, _: object) -> NoReturn:
    raise PicklingError(
        f"a {type(self).__name__} can be neither pickled nor copied, so that it cannot go to "
        "another process",
        expected="a chat in each process, loaded there",
        hint="ask_many, which runs many requests in one process; qwenvl_kit.distributed's "
        "ask_dataset for many of them; VisionChat.connect to one server from all",
    )


_METHODS = {"__copy__": _copy, "__deepcopy__": _refuse, "__reduce_ex__": _refuse}
