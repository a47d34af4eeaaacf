"""The keys of a table of TOML: those that a function knows, and the nearest to one it does not."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_type_hints

from qwenvl_kit.errors import ArgumentError
from qwenvl_kit.training.launch.foreign_keys import COUNTERPARTS


@dataclass(frozen=True)
class Place:
    """A table of a TOML file.

    Attributes:
        file: the file.
        table: the name of the table; empty for the keys before the first one.
    """

    file: Path
    table: str = ""

    def __str__(self) -> str:
        return f"{self.file} [{self.table}]" if self.table else str(self.file)

    def under(self, name: str) -> Place:
        """Return the place of a table inside this one."""
        return Place(self.file, f"{self.table}.{name}".strip("."))


@dataclass(frozen=True)
class Parameter:
    """A parameter of a function, or a field of a dataclass.

    Attributes:
        name: the name.
        annotation: the type; `Any` where it is not known while the program runs.
        is_required: True if there is no default.
    """

    name: str
    annotation: Any
    is_required: bool


def parameters_of(target: Callable[..., Any]) -> dict[str, Parameter]:
    """Return the parameters of a function, or the fields of a dataclass, by their names.

    An annotation with a name that only type checkers see, such as `torch.dtype`, becomes `Any`.
    """
    own = inspect.unwrap(target)
    names = vars(sys.modules[own.__module__])
    fields = dataclasses.fields(target) if dataclasses.is_dataclass(target) else ()
    written: dict[str, Any] = {field.name: field.type for field in fields if field.init}
    return {
        name: Parameter(
            name,
            _evaluated(written.get(name, parameter.annotation), names),
            parameter.default is parameter.empty,
        )
        for name, parameter in inspect.signature(target).parameters.items()
        if not fields or name in written
    }


def _evaluated(annotation: Any, names: dict[str, Any]) -> Any:
    if annotation is inspect.Parameter.empty:
        return Any
    if not isinstance(annotation, str):
        return annotation
    holder = type("holder", (), {"__annotations__": {"value": annotation}})
    try:
        return get_type_hints(holder, names)["value"]
    except NameError:
        return Any


def check_keys(
    keys: Iterable[str], known: Iterable[str], place: Place, others: Mapping[str, Iterable[str]]
) -> None:
    """Raise an error if a table has a key that nothing reads.

    Args:
        keys: the keys of the table.
        known: the keys that are read there.
        place: the table.
        others: the keys that other tables know, by the names of these tables.

    Raises:
        ArgumentError: a key is not known; the hint is the nearest one, or its table.
    """
    known = tuple(known)
    for key in keys:
        if key not in known:
            raise ArgumentError(
                f"there is no key {key!r}",
                expected=", ".join(known),
                hint=_nearest(key, known, others),
                where=str(place),
            )


def _nearest(key: str, known: tuple[str, ...], others: Mapping[str, Iterable[str]]) -> str:
    """The key that was likely meant, with its table if that is another one."""
    everywhere = {"": known, **others}
    counterpart = COUNTERPARTS.get(key, key)
    for table, names in everywhere.items():
        if counterpart in names:
            return counterpart if not table else f"{counterpart} in [{table}]"
    if counterpart != key:
        return counterpart
    for table, names in everywhere.items():
        if found := get_close_matches(key, tuple(names), n=1, cutoff=0.7):
            return found[0] if not table else f"{found[0]} in [{table}]"
    return ""
