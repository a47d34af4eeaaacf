"""Videos that are given as a sequence of frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from qwenvl_kit.errors import MediaSizeError, MediaSourceError, located
from qwenvl_kit.media.arrays import is_array
from qwenvl_kit.media.images import decode_image, measure_image
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.plans import Size, VideoPlan

if TYPE_CHECKING:
    import PIL.Image

Resize: TypeAlias = "Callable[[PIL.Image.Image, Size], PIL.Image.Image]"
"""Brings a decoded picture to a size; a backend's own, so that pixels are its processor's."""


@dataclass(frozen=True)
class FramesMeasure:
    """Size and number of the frames of a video."""

    size: Size
    num_frames: int


def measure_frames(source: Any, policy: MediaPolicy) -> FramesMeasure:
    """Size and number of frames.

    Args:
        source: a sequence of frames, or an array (N, H, W, C) or tensor (N, C, H, W).
        policy: what may be opened.

    Raises:
        MediaError: it is no sequence, it is empty, or its frames differ in size.
    """
    frames = as_frames(source)
    sizes = []
    for index, frame in enumerate(frames):
        with located(f"source[{index}]"):
            sizes.append(measure_image(frame, policy))
    for index, size in enumerate(sizes):
        if size != sizes[0]:
            raise MediaSizeError(
                f"frame {index} is {size}, the first is {sizes[0]}",
                expected="frames of one size",
                where="source",
            )
    return FramesMeasure(size=sizes[0], num_frames=len(sizes))


def decode_frames(
    source: Any, plan: VideoPlan, policy: MediaPolicy, resize: Resize
) -> list[PIL.Image.Image]:
    """The frames of the plan, in order, upright, in RGB and at the planned size.

    Each is resized before the next is decoded, so that few are held at their full size.

    Raises:
        MediaError: a frame cannot be opened or is damaged, or the policy refuses it.
    """
    frames = as_frames(source)
    decoded = []
    for index in plan.frame_indices:
        with located(f"source[{index}]"):
            decoded.append(resize(decode_image(frames[index], policy), plan.resized))
    return decoded


def as_frames(source: Any) -> Sequence[Any]:
    """The frames that a source holds.

    Raises:
        MediaSourceError: the source is not a sequence of frames, or is empty.
    """
    if is_array(source) and source.ndim == 4:
        source = list(source)
    if isinstance(source, (str, bytes)) or not isinstance(source, Sequence):
        raise MediaSourceError(
            f"a video source of type {type(source).__name__} was given",
            expected="a sequence of frames with fps or timestamps_seconds",
            hint="decode the file into frames first, or pass one picture as ImagePart",
        )
    if _repeats_one_animation(source):
        raise MediaSourceError(
            "the frames are one animated picture again and again, which shows its last frame",
            expected="a picture of its own for each frame",
            hint="[frame.copy() for frame in PIL.ImageSequence.Iterator(picture)]",
        )
    if not source:
        raise MediaSourceError("the video has no frames", expected="at least one")
    return source


def _repeats_one_animation(frames: Sequence[Any]) -> bool:
    animated = [id(frame) for frame in frames if getattr(frame, "is_animated", False) is True]
    return len(set(animated)) < len(animated)
