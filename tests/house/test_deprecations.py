"""What the kit calls is not about to be removed: what hears of it hears rightly."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest

from tests import deprecations


def from_the_kit(call: Callable[[], None]) -> None:
    """A call as if a module of the kit made it."""
    names: dict[str, Callable[[Callable[[], None]], None]] = {}
    code = "def make(call):\n    call()"
    exec(compile(code, f"{deprecations.KIT}/pretended.py", "exec"), names)
    names["make"](call)


def by_a_library(kind: type[Warning], stacklevel: int = 1) -> Callable[[], None]:
    """Code of a library that warns."""
    names = {"kind": kind, "level": stacklevel, "warnings": warnings}
    code = "def old():\n    warnings.warn('`old` will be removed', kind, stacklevel=level)"
    exec(compile(code, "/site-packages/library.py", "exec"), names)
    return names["old"]  # type: ignore[return-value]


def heard_of(act: Callable[[], None]) -> list[str]:
    heard: list[str] = []
    with warnings.catch_warnings(record=True), deprecations.listening(heard):
        warnings.simplefilter("always")
        act()
    return heard


@pytest.mark.parametrize("kind", deprecations.KINDS)
@pytest.mark.parametrize("stacklevel", [1, 2])
def test_what_a_call_of_the_kit_is_warned_of_is_heard_whomever_the_warning_names(
    kind: type[Warning], stacklevel: int
) -> None:
    (line,) = heard_of(lambda: from_the_kit(by_a_library(kind, stacklevel)))
    assert "pretended.py:2: " in line
    assert "`old` will be removed" in line


def test_what_others_call_and_what_warns_of_other_things_is_not_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not heard_of(by_a_library(FutureWarning))
    old = by_a_library(FutureWarning)

    def given_to_the_kit() -> None:
        old()

    assert not heard_of(lambda: from_the_kit(given_to_the_kit))
    assert not heard_of(lambda: from_the_kit(by_a_library(UserWarning)))
    monkeypatch.setitem(deprecations.ADMITTED, "`old`", "a library's own affair")
    assert not heard_of(lambda: from_the_kit(by_a_library(FutureWarning)))


@pytest.mark.parametrize("kind", deprecations.KINDS)
def test_a_warning_that_names_a_module_of_the_kit_is_an_error_in_every_session(
    kind: type[Warning],
) -> None:
    with pytest.raises(kind):
        warnings.warn_explicit("old", kind, "chat.py", 1, module="qwenvl_kit.chat")
    with pytest.warns(kind):
        warnings.warn_explicit("old", kind, "chat.py", 1, module="another")
