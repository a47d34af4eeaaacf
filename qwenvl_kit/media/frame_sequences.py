"""Frame sequences: videos that are given frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qwenvl_kit.errors import MediaSizeError, MediaSourceError, located
from qwenvl_kit.geometry import Size
from qwenvl_kit.media.arrays import is_array
from qwenvl_kit.media.images import decode_image, measure_image
from qwenvl_kit.media.pillow_objects import is_animated
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.sources import is_encoded
from qwenvl_kit.media.types import Resize
from qwenvl_kit.plans import VideoPlan

if TYPE_CHECKING:
    import numpy


@dataclass(frozen=True)
class FramesMeasure:
    """The size of a video's frames, and their number."""

    size: Size
    num_frames: int


def measure_frames(source: Any, policy: MediaPolicy) -> FramesMeasure:
    """Return the size and number of frames.

    Args:
        source: a sequence of frames, or an array (N, H, W, C) or tensor (N, C, H, W).
        policy: the media policy.

    Raises:
        MediaError: it is no sequence, it is empty, or its frames differ in size.
    """
    frames = as_frames(source)
    policy.check_num_frames(len(frames))
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
) -> numpy.ndarray[Any, Any]:
    """Decode the frames of a plan, in order: upright, in RGB and at the planned size.

    Each is resized before the next is decoded, so that few are held at their full size.

    Returns:
        uint8 (frames, height, width, 3).

    Raises:
        MediaError: a frame cannot be opened or is damaged, or the policy refuses it.
    """
    frames = as_frames(source)
    decoded = new_frames(plan)
    for position, index in enumerate(plan.frame_indices):
        with located(f"source[{index}]"):
            decoded[position] = resize(decode_image(frames[index], policy), plan.resized)
    return decoded


def new_frames(plan: VideoPlan) -> numpy.ndarray[Any, Any]:
    """Allocate an array for the frames of a plan: uint8 (frames, height, width, 3)."""
    import numpy

    size = plan.resized
    return numpy.empty((len(plan.frame_indices), size.height_px, size.width_px, 3), numpy.uint8)


def is_sequence(source: Any) -> bool:
    """True if a video source is a sequence of frames; any other source is taken for a file."""
    return not is_encoded(source)


def as_frames(source: Any) -> Sequence[Any]:
    """Return the frames that a source holds.

    Raises:
        MediaSourceError: the source is not a sequence of frames, or is empty.
    """
    if is_array(source) and source.ndim == 4:
        source = list(source)
    if isinstance(source, (str, bytes)) or not isinstance(source, Sequence):
        raise MediaSourceError(
            f"a video source of type {type(source).__name__} was given",
            expected="a video file, or a sequence of frames with fps or timestamps_seconds",
            hint="pass one picture as ImagePart",
        )
    if _repeats_one_animation(source):
        raise MediaSourceError(
            "several frames are the same animated picture, which shows its last frame only",
            expected="a picture of its own for each frame",
            hint="[frame.copy() for frame in PIL.ImageSequence.Iterator(picture)]",
        )
    if not source:
        raise MediaSourceError("the video has no frames", expected="at least one")
    return source


def _repeats_one_animation(frames: Sequence[Any]) -> bool:
    animated = [id(frame) for frame in frames if is_animated(frame)]
    return len(set(animated)) < len(animated)
