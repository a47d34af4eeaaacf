"""A video file gives what transformers gives for the same frames, read one after another."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy
import pytest
import torch
from transformers.video_utils import VideoMetadata

from qwenvl_kit import Message, Sampling, VideoPart, VisionChat
from qwenvl_kit.backends.local import LocalBackend
from tests.by_hand import generate_by_hand, ids_of, kit_batch
from tests.videos import write_video


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds, 25 frames a second, a key frame every second."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return write_video(path, 75, width=160, height=96, options={"g": "25"})


def _all_frames(path: Path) -> Any:
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return numpy.stack(frames)


def _by_hand(backend: LocalBackend, path: Path, indices: list[int], text: str) -> dict[str, Any]:
    frames = _all_frames(path)
    turn = {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": text}]}
    prompt = backend.processor.apply_chat_template(
        [turn], tokenize=False, add_generation_prompt=True
    )
    metadata = VideoMetadata(total_num_frames=len(frames), fps=25, frames_indices=indices)
    return dict(
        backend.processor(
            text=[prompt],
            videos=[frames[indices]],
            return_tensors="pt",
            videos_kwargs={
                "do_sample_frames": False,
                "cap_pixels_per_frame": False,
                "video_metadata": [metadata],
            },
        )
    )


@pytest.mark.parametrize(
    ("sampling", "indices"),
    [
        ({"num_frames": 4}, [0, 25, 49, 74]),
        ({"fps": 2}, [0, 15, 30, 44, 59, 74]),
        ({"num_frames": 3, "start_seconds": 1, "end_seconds": 2}, [25, 38, 50]),
        ({"timestamps_seconds": (0.5, 1.0, 1.53)}, [12, 25, 38]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_prompt_pixels_and_grid_of_a_file_are_those_of_the_processor(
    chat: VisionChat,
    backend: LocalBackend,
    film: Path,
    sampling: dict[str, Any],
    indices: list[int],
) -> None:
    conversation = [Message.user(VideoPart(film, **sampling), "What happens?")]
    assert chat.plan(conversation).videos[0].frame_indices == tuple(indices)
    ours, theirs = (
        kit_batch(chat, [conversation]),
        _by_hand(backend, film, indices, "What happens?"),
    )
    ours.pop("second_per_grid_ts", None)  # transformers divides by the rate of the whole film
    theirs.pop("second_per_grid_ts", None)
    for name in theirs:
        assert torch.equal(ours[name], theirs[name]), name
    assert set(ours) == set(theirs)


def test_an_answer_about_a_file_is_that_of_generate(
    chat: VisionChat, backend: LocalBackend, film: Path
) -> None:
    conversation = [Message.user(VideoPart(film, num_frames=4), "What happens?")]
    reply = chat.ask(conversation, sampling=Sampling(max_new_tokens=8))
    _, tokens = generate_by_hand(backend, kit_batch(chat, [conversation]), max_new_tokens=8)
    assert ids_of(reply) == tokens[0].tolist()


def test_a_model_that_is_told_times_is_told_those_of_a_film_of_uneven_rate(
    chat: VisionChat, backend: LocalBackend, tmp_path: Path
) -> None:
    """By the average rate they would be off by seconds."""
    family = backend.rules.family
    if family.video_layout != "timestamped groups":
        pytest.skip(f"prompts of {family.model_type} hold no times")
    times = [*range(0, 1000, 40), *range(1000, 11_000, 1000)]  # in milliseconds
    film = write_video(
        tmp_path / "uneven.mkv",
        len(times),
        width=96,
        height=96,
        pts=times,
        time_base=Fraction(1, 1000),
    )
    conversation = [Message.user(VideoPart(film, num_frames=4), "?")]
    (video,) = chat.plan(conversation).videos
    assert video.timestamps_seconds == pytest.approx((0, 3, 7, 10), abs=0.05)
    ids = kit_batch(chat, [conversation])["input_ids"][0].tolist()
    prompt = backend.processor.tokenizer.decode(ids)
    assert "<1.5 seconds>" in prompt
    assert "<8.5 seconds>" in prompt
