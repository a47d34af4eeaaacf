"""qwen-vl-utils reads videos by the kit: the frames and pixels of its own readers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy
import pytest
import torch
from qwen_vl_utils import process_vision_info, vision_process
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import resize

from qwenvl_kit import MediaPolicy
from qwenvl_kit.errors import MediaError
from qwenvl_kit.integrations.qwen_vl_utils import READER_NAME, read_video, register_reader
from tests.videos import read_number, write_video


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    readers, forced = dict(vision_process.VIDEO_READER_BACKENDS), None
    forced = vision_process.FORCE_QWENVL_VIDEO_READER
    register_reader()
    yield
    vision_process.VIDEO_READER_BACKENDS = readers
    vision_process.FORCE_QWENVL_VIDEO_READER = forced
    vision_process.get_video_reader_backend.cache_clear()


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return write_video(path, 101, width=320, height=180, options={"g": "30"})


def _process(video: dict[str, Any], **settings: Any) -> tuple[torch.Tensor, dict[str, Any]]:
    messages = [{"role": "user", "content": [{"type": "video", **video}]}]
    _, videos, _ = process_vision_info(
        messages, return_video_kwargs=True, return_video_metadata=True, **settings
    )
    frames, metadata = videos[0]
    return frames, metadata


def _by_hand(path: Path, ele: dict[str, Any]) -> tuple[list[int], torch.Tensor]:
    """What qwen-vl-utils' readers do, on frames that are read one after another."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    first, last, total = vision_process.calculate_video_frame_range(ele, len(frames), 25.0)
    count = vision_process.smart_nframes(ele, total_frames=total, video_fps=25.0)
    indices = torch.linspace(first, last, count).round().long().tolist()
    chosen = numpy.stack([frames[index] for index in indices])
    return indices, torch.from_numpy(chosen).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    "ele",
    [
        {},
        {"fps": 1.0},
        {"fps": 30.0},
        {"nframes": 6},
        {"nframes": 9},
        {"video_start": 1.0, "video_end": 3.0, "fps": 4.0},
        {"max_pixels": 360 * 420, "nframes": 8},
        {"min_pixels": 300 * 300, "nframes": 4},
        {"total_pixels": 100 * 28 * 28, "nframes": 8},
        {"resized_height": 200, "resized_width": 100, "nframes": 4},
    ],
    ids=str,
)
@pytest.mark.parametrize("patch", [14, 16])
def test_frames_and_pixels_are_those_of_its_own_readers(
    film: Path, ele: dict[str, Any], patch: int
) -> None:
    register_reader(image_patch_size=patch)
    frames, metadata = _process({"video": str(film), **ele}, image_patch_size=patch)
    indices, whole = _by_hand(film, ele)
    assert metadata["frames_indices"] == indices
    assert [read_number(frame.permute(1, 2, 0)) for frame in frames] == indices
    height, width = frames.shape[2:]
    expected = resize(whole, [height, width], InterpolationMode.BICUBIC, antialias=True)
    assert torch.equal(frames, expected.float())
    vision_process.VIDEO_READER_BACKENDS[READER_NAME] = lambda _: (whole, metadata, 1.0)
    assert _process({"video": str(film), **ele}, image_patch_size=patch)[0].shape == frames.shape


def test_its_sample_rate_is_the_one_that_is_used(film: Path) -> None:
    _, _, rate = read_video({"video": str(film)}, image_patch_size=14, policy=MediaPolicy())
    assert math.isclose(rate, 8 / 101 * 25)


def test_a_file_that_cannot_be_read_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_text("once upon a time")
    with pytest.raises(MediaError, match="not a video"):
        read_video({"video": str(tmp_path / "film.mp4")}, image_patch_size=14, policy=MediaPolicy())
