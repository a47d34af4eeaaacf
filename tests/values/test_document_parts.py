"""A document in a message is a value, checked when it is made."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from qwenvl_kit import DocumentPart, Message, PixelBudget, from_dicts, to_openai, to_qwen
from qwenvl_kit.errors import (
    BudgetError,
    InputError,
    MediaSizeError,
    MessageError,
    UnsupportedFeatureError,
)
from qwenvl_kit.messages.message import ImagePart, iter_media, iter_parts


def test_pages_may_come_as_any_series_of_numbers() -> None:
    for pages in ([3, 1], (3, 1), iter([3, 1]), range(3, 0, -2)):
        assert DocumentPart("a.pdf", pages=pages).pages == (3, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"pages": [0]}, MediaSizeError),
        ({"pages": [True]}, MediaSizeError),
        ({"pages": ["1"]}, MediaSizeError),
        ({"pages": [1, 2, 1]}, MediaSizeError),
        ({"pages": []}, MediaSizeError),
        ({"pages": itertools.count(1)}, MediaSizeError),
        ({"pages": itertools.repeat(1)}, MediaSizeError),
        ({"pages": 3}, MessageError),
        ({"pages": "1-3"}, MessageError),
        ({"password": b"secret"}, MessageError),
        ({"page_name": "Page"}, MessageError),
        ({"page_name": 3}, MessageError),
        ({"dpi": 0}, InputError),
        ({"dpi": "144"}, InputError),
        ({"dpi": True}, InputError),
        ({"dpi": float("nan")}, InputError),
        ({"budget": "large"}, BudgetError),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused(
    settings: dict[str, object], error: type[InputError]
) -> None:
    with pytest.raises(error) as caught:
        DocumentPart("a.pdf", **settings)  # type: ignore[arg-type]
    assert caught.value.expected


def test_neither_its_bytes_nor_its_password_are_printed() -> None:
    shown = repr(DocumentPart(b"%PDF-" * 1000, password="secret", pages=(1,)))
    assert shown == "DocumentPart(source=<5000 bytes>, pages=(1,))"
    assert len(repr(DocumentPart("data:application/pdf;base64," + "A" * 9999))) < 200


def test_documents_are_equal_by_what_they_hold() -> None:
    assert DocumentPart(b"a", pages=[1]) == DocumentPart(b"a", pages=(1,))  # type: ignore[arg-type]
    assert DocumentPart(b"a") != DocumentPart(b"b")


@pytest.mark.parametrize("role", ["user", "tool"])
def test_a_document_stands_where_pictures_stand(role: str) -> None:
    message = Message(role, (DocumentPart("a.pdf"), "What?"))  # type: ignore[arg-type]
    assert isinstance(message.parts[0], DocumentPart)
    with pytest.raises(MessageError):
        Message.system(DocumentPart("a.pdf"))


def test_a_document_has_a_place_and_is_no_picture_yet() -> None:
    messages = [Message.user("a", DocumentPart("a.pdf"), ImagePart("b.png"))]
    places = ["messages[0].parts[0]", "messages[0].parts[1]", "messages[0].parts[2]"]
    assert [where for where, _ in iter_parts(messages)] == places
    assert [where for where, _ in iter_media(messages)] == places[2:]


@pytest.mark.parametrize(
    "part",
    [
        DocumentPart("a.pdf"),
        DocumentPart(Path("a.pdf"), pages=(3, 1), password="secret", dpi=100),
        DocumentPart(b"%PDF-1.7", page_name="第{}页：", budget=PixelBudget(max_tokens=100)),
        DocumentPart("https://example.com/a.pdf", budget="native"),
    ],
)
def test_a_document_comes_back_from_qwens_dialect_as_it_was(part: DocumentPart) -> None:
    messages = (Message.user(part, "What?"),)
    assert from_dicts(to_qwen(messages)) == messages


def test_a_whole_document_goes_through_openais_dialect_and_settings_are_not_lost() -> None:
    (item,) = to_openai([Message.user(DocumentPart(b"%PDF-1.7"))])[0]["content"]
    url = "data:application/pdf;base64,JVBERi0xLjc="
    assert item == {"type": "file", "file": {"filename": "document.pdf", "file_data": url}}
    assert from_dicts([{"role": "user", "content": [item]}])[0].parts == (DocumentPart(url),)
    with pytest.raises(UnsupportedFeatureError) as caught:
        to_openai([Message.user("a", DocumentPart(b"%PDF-1.7", pages=(1,)))])
    assert caught.value.where == "messages[0].parts[1]"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjc="},
            "data:application/pdf;base64,JVBERi0xLjc=",
        ),
        ({"type": "url", "url": "https://example.com/a.pdf"}, "https://example.com/a.pdf"),
    ],
)
def test_a_document_of_anthropics_dialect_is_read(source: object, expected: str) -> None:
    item = {"type": "document", "source": source}
    assert from_dicts([{"role": "user", "content": [item]}])[0].parts == (DocumentPart(expected),)


@pytest.mark.parametrize(
    "item",
    [
        {"type": "document", "document": "a.pdf", "page": 3},
        {"type": "document"},
        {"type": "document", "source": {"type": "file", "file_id": "x"}},
        {"type": "document", "source": "a.pdf"},
        {"type": "file", "file": {"file_id": "x"}},
        {"type": "file", "file": "a.pdf"},
    ],
)
def test_a_dict_of_another_form_is_refused_with_its_place(item: dict[str, object]) -> None:
    with pytest.raises(MessageError) as caught:
        from_dicts([{"role": "user", "content": ["What?", item]}])
    assert caught.value.where.startswith("messages[0].content[1]")
