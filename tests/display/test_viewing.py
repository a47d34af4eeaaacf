"""Plans and replies show what the model was shown, and hold it no longer than others do."""

from __future__ import annotations

import gc
import os
import pickle
import weakref
from pathlib import Path
from typing import Any

import numpy
import PIL.Image
import pytest

from qwenvl_kit import (
    Conversation,
    DocumentPart,
    ImagePart,
    MediaPolicy,
    Message,
    Region,
    Reply,
    VideoPart,
    VisionChat,
)
from qwenvl_kit.backends.base import BackendRequest
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.display.pictures import Shown, data_url, fitted, sheet
from qwenvl_kit.errors import MediaError, MediaSourceError
from tests.videos import write_video

SEEN: list[Any] = []


def chat() -> VisionChat:
    """A chat that keeps the pixels that its model was shown."""

    def answer(request: BackendRequest) -> str:
        SEEN[:] = request.media
        return "Yes."

    return VisionChat(ScriptedBackend(answer, family="qwen3_vl"))


def noise(width: int, height: int, seed: int = 0) -> PIL.Image.Image:
    pixels = numpy.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=numpy.uint8)
    return PIL.Image.fromarray(pixels).resize((width, height))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    noise(200, 120).save(path)
    return path


@pytest.mark.parametrize("crop", [None, Region(20, 10, 180, 110)])
def test_a_plan_shows_the_pixels_that_the_model_sees(photo: Path, crop: Region | None) -> None:
    part = ImagePart(photo, crop=crop)
    reply = chat().ask("?", part)
    shown = chat().plan("?", part).show()
    (seen,) = SEEN
    at = (8, 8, 8 + seen.width, 8 + seen.height)
    assert numpy.array_equal(numpy.asarray(shown.crop(at)), numpy.asarray(seen))
    assert numpy.array_equal(numpy.asarray(reply.plan.show()), numpy.asarray(shown))


def test_a_film_is_shown_by_its_chosen_frames_and_each_plan_of_a_film_alone(tmp_path: Path) -> None:
    film = write_video(tmp_path / "film.mp4", 12, fps=2, width=112, height=84)
    picture = noise(64, 64)
    plan = chat().plan("?", VideoPart(film, num_frames=6), picture)
    frames = plan.videos[0].show()
    assert frames.width >= 6 * plan.videos[0].resized.width_px
    assert plan.show().width > frames.width or plan.show().height > frames.height
    assert plan.images[0].show().width >= plan.images[0].resized.width_px


def test_a_film_is_not_decoded_to_show_a_reply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = write_video(tmp_path / "film.mp4", 12, fps=2, width=112, height=84)
    reply = chat().ask("?", VideoPart(film, num_frames=4))
    monkeypatch.setattr("qwenvl_kit.media.loader.decode_file", None)
    html = reply._repr_html_()
    assert "film.mp4: 4 frames, 0:00.00 to 0:05.50" in html
    assert "<img" not in html


def test_a_reply_shows_a_thumbnail_of_a_file_and_of_a_picture_that_is_still_held(
    photo: Path,
) -> None:
    image = noise(300, 300)
    reply = chat().ask("?", photo, image)
    assert reply._repr_html_().count("<img") == 2


def test_a_reply_holds_no_picture(photo: Path) -> None:
    image = noise(300, 300)
    gone = weakref.ref(image)
    reply = chat().ask("?", image)
    SEEN.clear()
    del image
    gc.collect()
    assert gone() is None
    assert "<img" not in reply._repr_html_()
    with pytest.raises(MediaSourceError, match="not kept"):
        reply.plan.show()


def test_a_reply_holds_no_bytes(photo: Path) -> None:
    content = photo.read_bytes()
    reply = chat().ask("?", content)
    assert content not in [held for held in gc.get_referrers() if held is reply]
    assert len(pickle.dumps(reply)) < 4000
    assert "<img" not in reply._repr_html_()


@pytest.mark.parametrize("kind", ["picture", "array", "frames"])
def test_a_plan_shows_what_the_program_still_holds(kind: str) -> None:
    picture = noise(100, 100)
    array = numpy.asarray(picture).copy()
    source = {"picture": picture, "array": array, "frames": VideoPart([picture] * 4, fps=2)}[kind]
    plan = chat().plan("?", source)
    assert plan.show().width > 100
    gone = weakref.ref(array if kind == "array" else picture)
    del picture, array, source
    gc.collect()
    assert gone() is None
    with pytest.raises(MediaSourceError, match="not kept"):
        plan.show()


def test_a_file_that_has_changed_is_not_shown_as_what_was_asked_about(photo: Path) -> None:
    reply = chat().ask("?", photo)
    noise(200, 120, seed=1).save(photo)
    os.utime(photo, (1, 1))
    html = reply._repr_html_()
    assert "<img" not in html
    assert "has changed since it was planned" in html
    with pytest.raises(MediaSourceError, match="has changed"):
        reply.plan.show()


def test_a_file_that_is_gone_leaves_the_rest_of_the_reply(photo: Path) -> None:
    reply = chat().ask("?", photo)
    photo.unlink()
    html = reply._repr_html_()
    assert "Yes." in html
    assert "not shown" in html


def test_a_reply_from_another_process_shows_no_pictures_and_says_so(photo: Path) -> None:
    reply: Reply = pickle.loads(pickle.dumps(chat().ask("?", photo)))
    assert "<img" not in reply._repr_html_()
    with pytest.raises(MediaError, match="not kept"):
        reply.plan.show()


def test_a_plan_without_pictures_says_so() -> None:
    with pytest.raises(MediaSourceError, match="does not know its pictures"):
        chat().plan("?").show()


def test_plans_are_compared_without_their_pictures(photo: Path) -> None:
    plan, reply = chat().plan("?", photo), chat().ask("?", photo)
    assert plan.images == reply.plan.images
    assert hash(plan.images[0]) == hash(reply.plan.images[0])


def test_many_pictures_of_any_sizes_become_one_of_a_bounded_size() -> None:
    sizes = [(1, 1), (4000, 10), (10, 3000), (640, 480)] * 30
    pictures = [Shown(PIL.Image.new("RGB", size, "red"), f"number {size}") for size in sizes]
    whole = sheet(pictures)
    assert whole.width <= 1600
    assert whole.width * whole.height < 10_000_000


def test_a_picture_is_made_smaller_and_never_larger() -> None:
    assert fitted(PIL.Image.new("L", (4000, 2), 3), 120).size == (120, 1)
    assert fitted(PIL.Image.new("RGBA", (40, 20)), 120).size == (40, 20)
    assert len(data_url(noise(3000, 2000), 120)) < 40_000


def test_pages_of_a_document_are_shown_again_and_not_held(tmp_path: Path) -> None:
    path = tmp_path / "two.tiff"
    first, second = noise(173, 97), noise(173, 97, seed=2)  # a size that no other test has
    first.save(path, save_all=True, append_images=[second])
    reply = chat().ask("?", DocumentPart(path))
    html = reply._repr_html_()
    assert html.count("<img") == 2
    assert "page 2" in html
    SEEN.clear()
    del first, second
    gc.collect()
    sizes = {held.size for held in gc.get_objects() if isinstance(held, PIL.Image.Image)}
    assert (173, 97) not in sizes


def test_nothing_is_fetched_to_show_a_conversation_and_a_url_stays_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("qwenvl_kit.media.viewing.decode_image", None)
    picture = ImagePart("https://host.example/secret/cat.png?signature=secret")
    talk = Conversation(chat(), [Message.user(picture, "What?")], policy=MediaPolicy.web())
    html = talk._repr_html_()
    assert "https://host.example/..." in html
    assert "secret" not in html
