"""The snippets of Qwen's own guides, to the letter, give what their own tools make of them.

Only the names of files are others: of the README of Qwen2-VL, Qwen2.5-VL, Qwen3-VL and Qwen3.5.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from qwen_vl_utils import process_vision_info
from qwen_vl_utils.vision_process import smart_nframes

from qwenvl_kit import Sampling, VisionChat, from_dicts
from qwenvl_kit.backends.local import LocalBackend, load_backend
from qwenvl_kit.formats.dicts import as_messages
from qwenvl_kit.prompts.template_input import TokenShield
from qwenvl_kit.testing import build_tiny_model
from tests.by_hand import picture
from tests.videos import write_video

FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_5")
NUM_FRAMES, FILM_FPS = 120, 10
FEW = Sampling(max_new_tokens=2)


@pytest.fixture(scope="module", params=FAMILIES)
def backend(request: pytest.FixtureRequest, tmp_path_factory: Any) -> LocalBackend:
    folder = tmp_path_factory.mktemp("guides") / request.param
    return load_backend(build_tiny_model(folder, request.param))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Files under the names that the guides have for them."""
    root = tmp_path_factory.mktemp("files")
    names = ["image1.jpg", "image2.jpg", *(f"frame{number}.jpg" for number in range(1, 5))]
    for number, name in enumerate(names):
        side = (120, 90) if name.startswith("image") else (84, 84)
        picture(*side, number).save(root / name)
    write_video(root / "video1.mp4", NUM_FRAMES, fps=FILM_FPS, width=96, height=64)
    return {path.name: str(path) for path in sorted(root.iterdir())}


def _user(*content: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(content)}]


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _base64(files: dict[str, str]) -> str:
    buffer = io.BytesIO()
    PIL.Image.open(files["image1.jpg"]).save(buffer, "JPEG")
    return base64.b64encode(buffer.getvalue()).decode()


def _url(files: dict[str, str], name: str) -> str:
    return f"file://{files[name]}"


def _frames(files: dict[str, str]) -> list[str]:
    return [_url(files, f"frame{number}.jpg") for number in range(1, 5)]


IMAGE = _text("Describe this image.")
VIDEO = _text("Describe this video.")
Snippet = Callable[[dict[str, str]], list[dict[str, Any]]]

PICTURES: dict[str, Snippet] = {
    "one image": lambda files: _user({"type": "image", "image": files["image1.jpg"]}, IMAGE),
    "a local file path": lambda files: _user(
        {"type": "image", "image": _url(files, "image1.jpg")}, IMAGE
    ),
    "a base64 encoded image": lambda files: _user(
        {"type": "image", "image": f"data:image;base64,{_base64(files)}"}, IMAGE
    ),
    "multiple images": lambda files: _user(
        {"type": "image", "image": _url(files, "image1.jpg")},
        {"type": "image", "image": _url(files, "image2.jpg")},
        _text("Identify the similarities between these images."),
    ),
    "resized_height and resized_width": lambda files: _user(
        {
            "type": "image",
            "image": files["image1.jpg"],
            "resized_height": 280,
            "resized_width": 420,
        },
        IMAGE,
    ),
    "min_pixels and max_pixels": lambda files: _user(
        {
            "type": "image",
            "image": files["image1.jpg"],
            "min_pixels": 50176,
            "max_pixels": 50176,
        },
        IMAGE,
    ),
}
FRAMES: dict[str, tuple[Snippet, float]] = {
    "an images list with its rate as text": (
        lambda files: _user({"type": "video", "video": _frames(files), "sample_fps": "1"}, VIDEO),
        1.0,
    ),
    "an images list as a video": (
        lambda files: _user({"type": "video", "video": _frames(files)}, VIDEO),
        2.0,
    ),
    "an images list with raw_fps": (
        lambda files: _user(
            {"type": "video", "video": _frames(files), "sample_fps": 4, "raw_fps": 24}, VIDEO
        ),
        4.0,
    ),
}
FILMS: dict[str, Snippet] = {
    "a video": lambda files: _user({"type": "video", "video": files["video1.mp4"]}, VIDEO),
    "a local video path": lambda files: _user(
        {
            "type": "video",
            "video": _url(files, "video1.mp4"),
            "max_pixels": 360 * 420,
            "fps": 1.0,
        },
        VIDEO,
    ),
    "a video with total_pixels": lambda files: _user(
        {
            "type": "video",
            "video": files["video1.mp4"],
            "min_pixels": 4 * 32 * 32,
            "max_pixels": 256 * 32 * 32,
            "total_pixels": 20480 * 32 * 32,
        },
        VIDEO,
    ),
    "a video with bounds of frames": lambda files: _user(
        {"type": "video", "video": files["video1.mp4"], "min_frames": 4, "max_frames": 8}, VIDEO
    ),
}


def _rendered(backend: LocalBackend, messages: list[dict[str, Any]]) -> str:
    """The prompt with one placeholder for each picture and video."""
    encoder, said = backend._engine.encoder, as_messages(messages)
    shield = TokenShield(encoder.special_tokens, said)
    return "".join(p.text for p in shield.pieces(encoder._render(encoder._turns(said, shield))))


def _by_hand(backend: LocalBackend, messages: list[dict[str, Any]]) -> str:
    return str(
        backend.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    )


def _patch(backend: LocalBackend) -> int:
    return backend.rules.family.patch_side_px


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_have_the_prompt_and_the_sizes_of_qwen_vl_utils(
    backend: LocalBackend, files: dict[str, str], name: str
) -> None:
    messages = PICTURES[name](files)
    assert _rendered(backend, messages) == _by_hand(backend, messages)
    shown, _ = process_vision_info(messages, image_patch_size=_patch(backend))
    chat = VisionChat(backend)
    plan = chat.plan(messages)
    assert [(p.resized.width_px, p.resized.height_px) for p in plan.images] == [
        image.size for image in shown
    ]
    inputs = backend.processor(
        text=[_by_hand(backend, messages)], images=shown, do_resize=False, return_tensors="pt"
    )
    assert plan.prompt_tokens == inputs["input_ids"].shape[1]
    assert chat.ask(messages, sampling=FEW).usage.prompt_tokens == plan.prompt_tokens


@pytest.mark.parametrize("name", FRAMES)
def test_frames_have_the_prompt_and_the_rate_of_qwen_vl_utils(
    backend: LocalBackend, files: dict[str, str], name: str
) -> None:
    snippet, fps = FRAMES[name]
    messages = snippet(files)
    assert _rendered(backend, messages) == _by_hand(backend, messages)
    chat = VisionChat(backend)
    (video,) = chat.ask(messages, sampling=FEW).plan.videos
    assert video.timestamps_seconds == tuple(index / fps for index in range(4))
    if name == "an images list with its rate as text":  # which qwen-vl-utils cannot count with
        messages[0]["content"][0]["sample_fps"] = 1
    _, (frames,), rates = process_vision_info(
        messages, return_video_kwargs=True, image_patch_size=_patch(backend)
    )
    assert len(frames) == len(video.frame_indices)
    assert rates["fps"] == [fps]


@pytest.mark.parametrize("name", FILMS)
def test_films_have_the_prompt_and_the_frames_of_qwen_vl_utils(
    backend: LocalBackend, files: dict[str, str], name: str
) -> None:
    messages = FILMS[name](files)
    assert _rendered(backend, messages) == _by_hand(backend, messages)
    (video,) = VisionChat(backend).plan(messages).videos
    item = messages[0]["content"][0]
    assert len(video.frame_indices) == smart_nframes(item, NUM_FRAMES, FILM_FPS)
    side = backend.rules.family.token_side_px
    pixels = video.resized.height_px * video.resized.width_px
    assert pixels <= item.get("max_pixels", 10**9)
    groups = (len(video.frame_indices) + 1) // 2
    assert video.tokens == groups * pixels // side**2


def test_messages_of_a_batch_are_answered_each_as_alone(
    backend: LocalBackend, files: dict[str, str]
) -> None:
    messages1 = PICTURES["multiple images"](files)
    messages2 = [
        {"role": "system", "content": [_text("You are a helpful assistant.")]},
        {"role": "user", "content": [_text("Who are you?")]},
    ]
    chat = VisionChat(backend)
    replies = chat.ask_many([messages1, messages2], sampling=FEW, on_error="raise")
    for messages, reply in zip([messages1, messages2], replies):
        assert _rendered(backend, messages) == _by_hand(backend, messages)
        assert reply.text == chat.ask(messages, sampling=FEW).text


OPENAI: dict[str, Callable[[dict[str, str]], list[dict[str, Any]]]] = {
    "Qwen2-VL's, with a system message": lambda files: [
        {"role": "system", "content": "You are a helpful assistant."},
        *_user(
            {"type": "image_url", "image_url": {"url": _url(files, "image1.jpg")}},
            _text("What is the text in the illustrate?"),
        ),
    ],
    "Qwen2.5-VL's in base64": lambda files: [
        {"role": "system", "content": [_text("You are a helpful assistant.")]},
        *_user(
            {
                "type": "image_url",
                "image_url": {"url": f"data:image;base64,{_base64(files)}"},
            },
            _text("What is the text in the illustrate?"),
        ),
    ],
    "Qwen3.5's video": lambda files: _user(
        {"type": "video_url", "video_url": {"url": _url(files, "video1.mp4")}},
        _text("How many porcelain jars were discovered?"),
    ),
    "Qwen3-VL's limits beside a URL": lambda files: _user(
        {
            "type": "image_url",
            "image_url": {"url": _url(files, "image1.jpg")},
            "min_pixels": 64 * 32 * 32,
            "max_pixels": 2560 * 32 * 32,
        },
        _text("Read all the text in the image."),
    ),
}


@pytest.mark.parametrize("name", OPENAI)
def test_dicts_for_servers_are_those_of_the_same_messages_in_qwens_own_form(
    backend: LocalBackend, files: dict[str, str], name: str
) -> None:
    messages = OPENAI[name](files)
    own = [{**message} for message in messages]
    own[-1]["content"] = [
        item
        if item["type"] == "text"
        else {
            **{key: item[key] for key in item if key not in ("type", item["type"])},
            "type": item["type"].removesuffix("_url"),
            item["type"].removesuffix("_url"): item[item["type"]]["url"],
        }
        for item in own[-1]["content"]
    ]
    assert from_dicts(messages) == from_dicts(own)
    chat = VisionChat(backend)
    assert _rendered(backend, messages) == _by_hand(backend, own)
    assert chat.ask(messages, sampling=FEW).text == chat.ask(own, sampling=FEW).text


def test_the_snippet_of_transformers_own_documentation_is_taken(
    backend: LocalBackend, files: dict[str, str]
) -> None:
    messages = _user({"type": "image", "path": files["image1.jpg"]}, IMAGE)
    theirs = backend.processor.apply_chat_template(
        messages, tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True
    )
    plan = VisionChat(backend).plan(messages)
    assert plan.prompt_tokens == theirs["input_ids"].shape[1]


def test_an_image_placeholder_takes_the_picture_given_beside(
    backend: LocalBackend, files: dict[str, str]
) -> None:
    chat, path = VisionChat(backend), Path(files["image1.jpg"])
    messages = _user({"type": "image"}, IMAGE)
    assert _rendered(backend, PICTURES["one image"](files)) == _by_hand(backend, messages)
    beside = chat.ask(messages, path, sampling=FEW)
    assert beside.text == chat.ask("Describe this image.", path, sampling=FEW).text
