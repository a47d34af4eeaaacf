"""What was computed is not computed again, and no answer depends on it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import PIL.Image
import pytest

from qwenvl_kit import ImagePart, Message, Reply, Request, Sampling, VideoPart, VisionChat
from qwenvl_kit.backends.local import LocalBackend, load_backend
from qwenvl_kit.errors import InputError, UnsupportedFeatureError
from tests.by_hand import ids_of, picture

SHORT = Sampling(max_new_tokens=6)
QUESTIONS = ("What is it?", "What colour has it?", "Why?", "How many are there, and where?")


@pytest.fixture(scope="module")
def folder(tiny_folder: Path) -> Path:
    return tiny_folder


@pytest.fixture
def reusing(folder: Path) -> VisionChat:
    """A chat with a cache of its own, which is empty."""
    return VisionChat(load_backend(folder))


@pytest.fixture(scope="module")
def forgetting(folder: Path) -> VisionChat:
    """A chat that keeps nothing."""
    return VisionChat.from_pretrained(folder, max_cache_bytes=0)


@contextmanager
def counted(chat: VisionChat) -> Iterator[list[int]]:
    """How many pictures and frame groups each run of the vision encoder saw."""
    backend: LocalBackend = chat._backend  # type: ignore[assignment]
    runs: list[int] = []

    def note(_: object, args: object, kwargs: dict[str, object]) -> None:
        runs.append(len(kwargs["grid_thw"]))  # type: ignore[arg-type]

    hook = backend.model.model.visual.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield runs
    finally:
        hook.remove()


def same(one: Reply, other: Reply) -> bool:
    scores = zip(one.tokens or (), other.tokens or ())
    return ids_of(one) == ids_of(other) and all(
        a.logprob == pytest.approx(b.logprob, abs=2e-4) for a, b in scores
    )


def test_a_few_tokens_in_common_are_computed_again_as_no_slower(
    reusing: VisionChat, forgetting: VisionChat
) -> None:
    for seed in range(2):  # alike up to the picture
        reply = reusing.ask(QUESTIONS[0], picture(300, 200, seed), sampling=SHORT)
        assert reply.usage.reused_tokens == 0
        assert same(reply, forgetting.ask(QUESTIONS[0], picture(300, 200, seed), sampling=SHORT))
    assert reusing.cache_info().hits == 0


def test_a_second_question_about_a_picture_computes_the_question_alone(
    reusing: VisionChat, forgetting: VisionChat
) -> None:
    image = picture(300, 200)
    with counted(reusing) as runs:
        replies = [reusing.ask(question, image, sampling=SHORT) for question in QUESTIONS]
    assert runs == [1]
    assert replies[0].usage.reused_tokens == 0
    for question, reply in zip(QUESTIONS[1:], replies[1:]):
        assert reply.usage.reused_tokens >= reply.usage.visual_tokens
        assert same(reply, forgetting.ask(question, image, sampling=SHORT))


def test_a_conversation_pays_for_what_is_new(reusing: VisionChat, forgetting: VisionChat) -> None:
    one, other = reusing.start(system="Be brief."), forgetting.start(system="Be brief.")
    before = 0
    for turn, question in enumerate(QUESTIONS):
        media = [picture(120, 90, turn)] if turn in (0, 2) else []
        reply = one.ask(question, *media, sampling=SHORT)
        assert same(reply, other.ask(question, *media, sampling=SHORT))
        assert reply.usage.reused_tokens >= before
        before = reply.usage.prompt_tokens - 40 if turn else 0


def test_questions_asked_together_read_their_picture_once(
    reusing: VisionChat, forgetting: VisionChat
) -> None:
    image = picture(300, 200)
    requests = [Request.about(question, image, sampling=SHORT) for question in QUESTIONS * 3]
    with counted(reusing) as runs:
        replies = reusing.ask_many(requests, on_error="raise", max_batch_size=12)
    assert runs == [1]
    for question, reply in zip(QUESTIONS * 3, replies):
        assert same(reply, forgetting.ask(question, image, sampling=SHORT))
    assert sum(reply.usage.reused_tokens > 0 for reply in replies) == len(replies) - 1


def test_a_film_seen_before_is_neither_decoded_nor_encoded(
    reusing: VisionChat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.videos import write_video

    film = write_video(tmp_path / "film.mp4", 10, width=112, height=84)
    part = VideoPart(film, num_frames=4)
    reusing.ask([Message.user(part, "What happens?")], sampling=SHORT)
    monkeypatch.setattr("qwenvl_kit.media.loader.decode_file", None)
    with counted(reusing) as runs:
        reply = reusing.ask([Message.system("Speak."), Message.user(part, "And?")], sampling=SHORT)
    assert runs == []
    assert reply.usage.visual_tokens > 0


@pytest.mark.parametrize("as_bytes", [False, True])
def test_a_picture_seen_before_is_not_decoded_and_a_changed_one_is(
    reusing: VisionChat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_bytes: bool
) -> None:
    path = tmp_path / "picture.png"
    picture(90, 60, 1).save(path)

    def source() -> bytes | Path:
        return path.read_bytes() if as_bytes else path

    reusing.ask("?", source(), sampling=SHORT)
    with monkeypatch.context() as patched:
        patched.setattr("qwenvl_kit.media.loader.decode_image", None)
        reusing.ask("Why?", source(), sampling=SHORT)
    picture(90, 60, 2).save(path)
    os.utime(path, ns=(1, 1))
    with counted(reusing) as runs:
        reusing.ask("Why?", source(), sampling=SHORT)
    assert runs == [1]


def test_pictures_that_differ_in_one_pixel_or_in_their_sides_are_not_taken_for_each_other(
    reusing: VisionChat, forgetting: VisionChat
) -> None:
    image = picture(112, 84)
    other = image.copy()
    other.putpixel((3, 3), (0, 0, 0))
    grey = PIL.Image.new("RGB", (112, 84), "grey")
    for shown in (image, other, grey, grey.transpose(PIL.Image.Transpose.ROTATE_90)):
        reply = reusing.ask("What is it?", shown, sampling=SHORT)
        assert same(reply, forgetting.ask("What is it?", shown, sampling=SHORT))


def test_two_pictures_in_another_order_are_another_prompt(
    reusing: VisionChat, forgetting: VisionChat
) -> None:
    images = [picture(84, 84, seed) for seed in range(3)]
    for order in itertools.permutations(images):
        reply = reusing.ask("Compare.", *order, sampling=SHORT)
        assert same(reply, forgetting.ask("Compare.", *order, sampling=SHORT))


def test_what_is_kept_stays_within_its_bytes_and_the_least_recent_goes(folder: Path) -> None:
    chat = VisionChat.from_pretrained(folder, max_cache_bytes=300_000)
    for seed in range(12):
        chat.ask("What is it?", picture(112, 84, seed), sampling=SHORT)
        info = chat.cache_info()
        assert info.used_bytes <= info.max_bytes == 300_000
        assert info.used_bytes >= info.media_bytes + info.prompt_bytes > 0
    with counted(chat) as runs:
        chat.ask("Why?", picture(112, 84, 11), sampling=SHORT)
        chat.ask("Why?", picture(112, 84, 0), sampling=SHORT)
    assert runs == [1]


def test_a_system_message_of_many_requests_is_kept_once(reusing: VisionChat) -> None:
    system = Message.system("one rule after another, " * 20)
    kept = list[int]()
    for question in ("Why?", "Who is it?", "When was it?", "Where is it?"):
        reusing.ask([system, Message.user(question)], sampling=SHORT)
        kept.append(reusing.cache_info().prompt_bytes)
    assert kept[-1] < 1.5 * kept[0]


def test_a_cleared_cache_is_empty_and_tells_what_it_held(reusing: VisionChat) -> None:
    first = reusing.ask("What is it?", picture(112, 84), sampling=SHORT)
    info = reusing.cache_info()
    assert (info.num_media, info.num_prompts) == (1, 1)
    assert reusing.clear_cache() == info.used_bytes > 0
    assert reusing.cache_info().used_bytes == 0
    again = reusing.ask("What is it?", picture(112, 84), sampling=SHORT)
    assert again.usage.reused_tokens == 0
    assert same(first, again)


def test_without_room_nothing_is_kept(forgetting: VisionChat) -> None:
    for _ in range(2):
        assert forgetting.ask("?", picture(112, 84), sampling=SHORT).usage.reused_tokens == 0
    assert forgetting.cache_info().used_bytes == 0


@pytest.mark.parametrize("size", [-1, 1.5, True, "1 GB"])
def test_a_size_that_cannot_be_meant_is_refused_before_anything_is_loaded(size: object) -> None:
    with pytest.raises(InputError, match="max_cache_bytes"):
        VisionChat.from_pretrained(max_cache_bytes=size)  # type: ignore[arg-type]


def test_a_backend_that_keeps_nothing_says_so() -> None:
    from qwenvl_kit.backends.scripted import ScriptedBackend

    with pytest.raises(UnsupportedFeatureError):
        VisionChat(ScriptedBackend([])).cache_info()


def test_a_crop_of_a_file_is_another_picture(reusing: VisionChat, tmp_path: Path) -> None:
    from qwenvl_kit import Region

    path = tmp_path / "picture.png"
    picture(200, 100).save(path)
    with counted(reusing) as runs:
        for crop in (None, Region(0, 0, 100, 100), Region(100, 0, 200, 100)):
            reusing.ask([Message.user(ImagePart(path, crop=crop), "?")], sampling=SHORT)
    assert runs == [1, 1, 1]
