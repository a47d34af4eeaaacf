"""What planning starts from: what is known of each picture and video, and of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias, Union

from qwenvl_kit.budget.frames import frame_times
from qwenvl_kit.budget.limits import PixelLimits
from qwenvl_kit.budget.memory import ModelShape
from qwenvl_kit.families import Family
from qwenvl_kit.geometry import Size
from qwenvl_kit.messages.message import ImagePart, VideoPart


@dataclass(frozen=True)
class ImageMeasure:
    """A picture whose header is read and whose pixels are not.

    Attributes:
        where: its place in the request.
        part: what the user asked of it.
        size: its size, upright.
        orientation: the EXIF orientation by which it is turned upright.
    """

    where: str
    part: ImagePart
    size: Size
    orientation: int = 1


@dataclass(frozen=True)
class VideoMeasure:
    """A video whose frames are known and not decoded.

    Attributes:
        where: its place in the request.
        part: what the user asked of it.
        size: that of a frame, upright and with square pixels.
        num_frames: how many there are.
        times_seconds: when each frame of a file is shown, from the first on; None for a sequence
            of frames, whose times the part gives.
    """

    where: str
    part: VideoPart
    size: Size
    num_frames: int
    times_seconds: Sequence[float] | None = None


Measure: TypeAlias = Union[ImageMeasure, VideoMeasure]


@dataclass(frozen=True)
class PlanningRules:
    """What a loaded model lays down for planning.

    Attributes:
        family: the model's family.
        image_limits, video_limits: area of a picture, and of one frame or of all frames of a
            video together (the family's `video_limit_scope`), that the checkpoint's own
            processor settings allow.
        context_tokens: prompt and answer together.
        weight_bytes: the model's weights; None where not known.
        shape: the numbers of the model from which its working memory follows; None where not
            known.
        limits_are_fixed: whether a budget cannot go beyond the limits, as whoever runs the model
            resizes by them once more.
    """

    family: Family
    image_limits: PixelLimits
    video_limits: PixelLimits
    context_tokens: int
    weight_bytes: int | None = None
    shape: ModelShape | None = None
    limits_are_fixed: bool = False


def times_of(measure: VideoMeasure) -> Sequence[float]:
    """When each frame of a video is shown, in seconds."""
    if measure.times_seconds is not None:
        return measure.times_seconds
    return frame_times(measure.part, measure.num_frames)
