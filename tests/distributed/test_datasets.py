"""Rows of data sets as they come, without Ray: what is asked of each."""

from __future__ import annotations

import io
from typing import Any

import pytest

from qwenvl_kit import ImagePart, MediaPolicy, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.distributed.actors import AskOptions
from qwenvl_kit.requests import Request
from tests.by_hand import picture


def _png() -> bytes:
    buffer = io.BytesIO()
    picture(30, 20, 7).save(buffer, "PNG")
    return buffer.getvalue()


def _request(image: Any) -> Any:
    options = AskOptions(None, "What is this?", "image", None, None, "refuse", None)
    return options.request({"id": "a", "image": image})


@pytest.mark.parametrize(
    ("image", "num_pictures"),
    [
        ({"bytes": _png(), "path": None}, 1),
        ({"bytes": _png(), "path": "photos/1.png"}, 1),
        ([{"bytes": _png(), "path": None}, {"bytes": _png(), "path": None}], 2),
        (_png(), 1),
        (None, 0),
    ],
)
def test_a_row_may_hold_pictures_as_data_sets_write_them(image: Any, num_pictures: int) -> None:
    request = _request(image)
    assert isinstance(request, Request)
    reply = VisionChat(ScriptedBackend(["yes"])).ask(list(request.conversation()))
    assert len(reply.plan.images) == num_pictures


def test_a_row_without_its_picture_fails_alone_and_is_not_printed() -> None:
    chat = VisionChat(ScriptedBackend(lambda _: "yes"), media=MediaPolicy())
    rows = [{"bytes": _png()[:60], "path": None}, {"bytes": _png(), "path": None}]
    cut, sound = chat.ask_many([_request(row) for row in rows])
    assert "IHDR" not in str(cut)
    assert sound.text == "yes"
    assert "IHDR" not in repr(ImagePart(rows[0]))
