"""The embedded model, and pictures of which it knows the answer."""

from __future__ import annotations

from collections.abc import Callable

import numpy
import PIL.Image
import PIL.ImageDraw
import pytest

from qwenvl_kit import Reply, Request, VisionChat

Asked = Callable[..., tuple[Request, Reply]]


@pytest.fixture(scope="session")
def chat() -> VisionChat:
    return VisionChat.from_pretrained()


@pytest.fixture(scope="session")
def shapes() -> PIL.Image.Image:
    """A red circle on the left, and a blue square on the right, 320 x 240."""
    image = PIL.Image.new("RGB", (320, 240), "white")
    pen = PIL.ImageDraw.Draw(image)
    pen.ellipse((40, 70, 130, 160), fill=(220, 30, 30))
    pen.rectangle((195, 75, 280, 160), fill=(30, 60, 220))
    return image


@pytest.fixture(scope="session")
def film() -> numpy.ndarray:
    """A red circle that moves to the right, (6, 140, 140, 3)."""
    frames = []
    for at in range(6):
        image = PIL.Image.new("RGB", (140, 140), "white")
        x = 10 + 15 * at
        PIL.ImageDraw.Draw(image).ellipse((x, 50, x + 40, 90), fill=(220, 30, 30))
        frames.append(numpy.asarray(image))
    return numpy.stack(frames)


@pytest.fixture(scope="session")
def asked(chat: VisionChat, shapes: PIL.Image.Image) -> tuple[Request, Reply]:
    request = Request.about("What colour is the circle?", shapes)
    return request, chat.ask(request)
