from __future__ import annotations

import copy
import inspect
import io
import pickle
import re

import pytest

from qwenvl_kit import errors
from qwenvl_kit.errors import (
    InputError,
    MediaNotFoundError,
    MissingPackageError,
    QwenVLKitError,
    located,
)

KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, QwenVLKitError)
]


def _full(kind: type[QwenVLKitError]) -> QwenVLKitError:
    return kind("a cow was given", expected="a horse", hint="the stable", where="messages[0]")


def _fields(error: QwenVLKitError) -> tuple[str, ...]:
    return (error.problem, error.expected, error.hint, error.where)


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_survives_pickling_whole(kind):
    error = pickle.loads(pickle.dumps(_full(kind)))
    assert type(error) is kind
    assert _fields(error) == _fields(_full(kind))


def test_what_else_is_attached_to_an_error_survives_pickling_too():
    error = QwenVLKitError("a cow was given")
    error.seen_by = "the groom"
    assert pickle.loads(pickle.dumps(error)).seen_by == "the groom"


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_can_be_copied(kind):
    assert _fields(copy.copy(_full(kind))) == _fields(_full(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_says_where_what_was_expected_and_what_to_try(kind):
    text = str(_full(kind))
    assert text == "messages[0]: a cow was given; expected a horse. Try: the stable"


def test_an_error_with_a_problem_alone_says_only_that():
    assert str(QwenVLKitError("a cow was given")) == "a cow was given"


def test_the_tree_in_the_documentation_is_the_tree_of_the_classes():
    drawn = re.findall(r"^( *[|`+\- ]*)(\w+Error)\b", errors.__doc__ or "", re.MULTILINE)
    assert {name for _, name in drawn} == {kind.__name__ for kind in KINDS}
    parents: list[tuple[int, str]] = []
    for indent, name in drawn:
        while parents and parents[-1][0] >= len(indent):
            parents.pop()
        if parents:
            assert issubclass(getattr(errors, name), getattr(errors, parents[-1][1])), name
        parents.append((len(indent), name))


def test_bad_input_is_also_a_value_error_for_those_who_do_not_know_the_kit():
    assert issubclass(errors.InputError, ValueError)
    assert not issubclass(errors.GenerationError, ValueError)


def test_a_missing_package_is_also_an_import_error():
    with pytest.raises(ImportError, match="pip install"):
        raise MissingPackageError("bitsandbytes is missing", hint="pip install bitsandbytes")


def test_places_are_put_together_from_the_outside_in():
    with (
        pytest.raises(MediaNotFoundError) as caught,
        located("requests[3]"),
        located("messages[1]"),
    ):
        raise MediaNotFoundError("no file", where="parts[0]")
    assert caught.value.where == "requests[3].messages[1].parts[0]"


def test_errors_that_are_not_the_kits_pass_a_place_untouched():
    with pytest.raises(KeyError, match="mine"), located("messages[1]"):
        raise KeyError("mine")


def test_a_cycle_of_causes_is_released_all_the_same():
    from qwenvl_kit.raising import release_frames

    first, second = ValueError("a"), KeyError("b")
    first.__cause__, second.__cause__ = second, first
    release_frames(first)


def test_no_message_says_where_something_lies_in_memory():
    for given in (object(), lambda: None, print, io.BytesIO()):
        error = InputError(f"{given!r} was given", expected=f"not {given!r}", hint=repr(given))
        assert "0x" not in str(error)
        assert type(given).__name__ in str(error) or "<" in str(error)
