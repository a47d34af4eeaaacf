"""Objects that cannot leave the process in which they were made."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, SupportsIndex

from qwenvl_kit.errors import PicklingError

if TYPE_CHECKING:
    from typing_extensions import Self


class ProcessBound:
    """An object that cannot be pickled, copied deeply or sent to another process.

    A chat holds a model, threads and connections; a conversation or stream holds its chat.
    `copy.copy` gives another object that shares them.
    """

    def __copy__(self) -> Self:
        copied = type(self).__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied

    def __deepcopy__(self, memo: object) -> NoReturn:
        raise self._error()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise self._error()

    def _error(self) -> PicklingError:
        return PicklingError(
            f"a {type(self).__name__} can be neither pickled nor copied, so that it cannot go to "
            "another process",
            expected="a chat in each process, loaded there",
            hint="ask_many, which runs many requests in one process; qwenvl_kit.distributed's "
            "ask_dataset for many of them; VisionChat.connect to one server from all",
        )
