"""Pictures and frames are resized in the way that the checkpoint names."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from qwenvl_kit import ImagePart, Message, Sampling, VideoPart, VisionChat
from qwenvl_kit.backends.local import LocalBackend, load_backend
from qwenvl_kit.errors import CheckpointError
from tests.by_hand import by_hand, generate_by_hand, ids_of, kit_batch, picture

SEEN = [Message.user(ImagePart(picture(301, 187)), "What is this?")]
FILM = [Message.user(VideoPart([picture(111, 85, s) for s in range(3)], fps=2), "And this?")]
WAYS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3}


@pytest.fixture
def resampling(tiny_folder: Path, tmp_path: Path) -> Callable[..., LocalBackend]:
    """A checkpoint that names a way for pictures, and one for frames."""

    def make(images: Any, frames: Any = 3) -> LocalBackend:
        folder = Path(shutil.copytree(tiny_folder, tmp_path / "checkpoint", dirs_exist_ok=True))
        path = folder / "processor_config.json"
        config = json.loads(path.read_text())
        config["image_processor"]["resample"] = images
        config["video_processor"]["resample"] = frames
        path.write_text(json.dumps(config))
        return load_backend(folder)

    return make


@pytest.mark.parametrize("way", WAYS)
def test_pixels_and_tokens_are_those_of_the_processor(
    resampling: Callable[..., LocalBackend], way: str
) -> None:
    backend = resampling(WAYS[way], WAYS[way])
    chat = VisionChat(backend)
    for messages, name in ((SEEN, "pixel_values"), (FILM, "pixel_values_videos")):
        assert torch.equal(kit_batch(chat, [messages])[name], by_hand(backend, [messages])[name])
    _, tokens = generate_by_hand(backend, by_hand(backend, [SEEN]), max_new_tokens=6)
    assert ids_of(chat.ask(SEEN, sampling=Sampling(max_new_tokens=6))) == tokens[0].tolist()


def test_pictures_and_frames_may_be_resized_in_two_ways(
    resampling: Callable[..., LocalBackend],
) -> None:
    backend = resampling(2, 0)
    chat = VisionChat(backend)
    for messages, name in ((SEEN, "pixel_values"), (FILM, "pixel_values_videos")):
        assert torch.equal(kit_batch(chat, [messages])[name], by_hand(backend, [messages])[name])


@pytest.mark.parametrize("value", [4, 5, 6, -1, "bicubic", [3], 2.5, True])
def test_a_way_that_is_not_known_is_an_error_at_loading(
    resampling: Callable[..., LocalBackend], value: Any
) -> None:
    """Nor may it be one for which torchvision has no arithmetic, as transformers has none then."""
    with pytest.raises(CheckpointError, match="resample"):
        resampling(value)
    with pytest.raises(CheckpointError, match="resample"):
        resampling(3, value)
