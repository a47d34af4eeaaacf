"""A plugin of pytest: no call of the kit is one that its libraries are about to remove.

`pytest -p tests.deprecations` (`nox -s newest`) fails each test in which a call of the kit gave
such a warning. A filter of pytest cannot say so: a warning belongs to the module that its
`stacklevel` points at, which is transformers itself where it warns of one of its own keywords. So
here the stack tells who called, as it is when the warning comes.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import qwenvl_kit

KIT = str(Path(qwenvl_kit.__file__).parent)
TESTS = str(Path(__file__).parent)
KINDS = (DeprecationWarning, FutureWarning, PendingDeprecationWarning)
ADMITTED: dict[str, str] = {}
"""Beginning of a message, as a regular expression -> why no call of the kit can mend it."""

HEARD: list[str] = []


def caller() -> str | None:
    """Where the kit made the call that runs, unless a test made a later one."""
    frame = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(KIT):
            return f"{path}:{frame.f_lineno}"
        if path.startswith(TESTS) and path != __file__:
            return None
        frame = frame.f_back  # type: ignore[assignment]
    return None


@contextmanager
def listening(heard: list[str]) -> Iterator[None]:
    """Collects what calls of the kit are warned of, and shows each warning as before."""
    before = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *rest: Any) -> None:
        admitted = any(re.match(beginning, str(message)) for beginning in ADMITTED)
        if issubclass(category, KINDS) and not admitted and (place := caller()) is not None:
            heard.append(f"{place}: {category.__name__}: {message}")
        before(message, category, *rest)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before


def fail_if_heard() -> None:
    """Fails what runs with all that was heard since the last failure."""
    heard = dict.fromkeys(HEARD)
    HEARD.clear()
    if heard:
        pytest.fail("the kit calls what will be removed:\n" + "\n".join(heard), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    with listening(HEARD):  # what imports warn of fails the first test
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Iterator[None]:
    with listening(HEARD):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    result = yield
    fail_if_heard()
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    result = yield
    fail_if_heard()
    return result
