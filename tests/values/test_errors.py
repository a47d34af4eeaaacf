from __future__ import annotations

import copy
import inspect
import io
import pickle
import re

import pytest

from qwenvl_kit import errors
from qwenvl_kit.diagnostics.findings import Diagnosis, Finding
from qwenvl_kit.errors import (
    InputError,
    MediaNotFoundError,
    MissingPackageError,
    QwenVLKitError,
    located,
)
from qwenvl_kit.results import Failure
from qwenvl_kit.tables import Table

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
    from qwenvl_kit.errors import release_frames

    first, second = ValueError("a"), KeyError("b")
    first.__cause__, second.__cause__ = second, first
    release_frames(first)


def test_no_message_says_where_something_lies_in_memory():
    for given in (object(), lambda: None, print, io.BytesIO()):
        error = InputError(f"{given!r} was given", expected=f"not {given!r}", hint=repr(given))
        assert "0x" not in str(error)
        assert type(given).__name__ in str(error) or "<" in str(error)


STEERING = [
    "\x00", "\x07", "\x08", "\t", "\n", "\r", "\x1b[31m", "\x7f", "\x85", "\x9b31m", "\u2028",
    "\u2029", "\u202e", "\u2066", "\u200b", "\u200e", "\ufeff", "\ud800", "\U000e0041",
    "\x1b]8;;x\x07",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_is_one_line_that_steers_no_terminal_whoever_wrote_its_words(kind):
    for mark in STEERING:
        words = f"a{mark}ERROR forged"
        error = kind(words, expected=words, hint=words, where=words)
        error.hint = words
        error.rename("nothing", "something")
        for said in (str(error), *_fields(error), *error.args, *_fields(copy.copy(error))):
            assert not any(character in said for character in mark if not character.isprintable())
            assert "ERROR forged" in said


def test_words_of_all_scripts_and_emoji_stay_as_they_are():
    words = "照片　写真 사진 ภาพ عکس‌ها صورة Bild\xa0ß 👨\u200d👩\u200d👧 ✈️ .png"
    assert str(InputError(words)) == words


def test_what_is_printed_as_a_whole_has_no_lines_of_strangers():
    for mark in STEERING:
        name = f"a{mark}ERROR forged"
        finding = Finding(name="torch", status="problem", detail=name, cure=name)
        table = Table(("part", name), [("a", name)], [name])
        failure = Failure(0, InputError(name))
        for text, num_lines in (
            (str(Diagnosis((finding,))), 4), (table.to_text(), 4), (str(failure), 1),
        ):  # fmt: skip
            assert len(text.splitlines()) == num_lines, repr(text)
            assert not any(c in text for c in mark if not c.isprintable() and c not in "\n")


def test_addresses_of_servers_keep_their_path_and_lose_what_may_be_a_secret():
    for said, told in {
        "asked http://127.0.0.1:8000/v1 twice": "asked http://127.0.0.1:8000/v1 twice",
        "403 for url: https://cdn.example/w?X-Signature=s3cret&a=b": "403 for url: https://cdn.example/w...",
        "(https://me:s3cret@host/a)": "(https://...",
        "see 'https://host/a#s3cret'": "see 'https://host/a...'",
        "at //me:s3cret@host/a": "at //...",
        "HTTP://ME:S3CRET@HOST": "HTTP://...",
        "https://host/a;jsessionid=s3cret": "https://host/a...",
    }.items():
        assert str(InputError(said)) == told


def test_long_words_are_judged_in_time_that_grows_with_their_length():
    for words in ("a" * 10**6, "a://" * 250_000, "://" * 300_000, "//" * 500_000, "+.-" * 300_000):
        assert len(InputError(words).problem) <= 2 * 10**6
