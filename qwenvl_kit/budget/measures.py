"""Measures of pictures and videos, and the rules of the model: the input of planning."""

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
    """The measure of a picture, from its header alone.

    Attributes:
        where: place in the request.
        part: the part that the user gave.
        size: size of the upright picture.
        orientation: EXIF orientation by which it is turned upright, 1 to 8.
    """

    where: str
    part: ImagePart
    size: Size
    orientation: int = 1


@dataclass(frozen=True)
class VideoMeasure:
    """The measure of a video, from its packets, without decoded frames.

    Attributes:
        where: place in the request.
        part: the part that the user gave.
        size: size of a frame, upright and with square pixels.
        num_frames: number of frames.
        times_seconds: time of each frame of a file, the first at 0; None for a sequence of frames,
            whose times the part gives.
    """

    where: str
    part: VideoPart
    size: Size
    num_frames: int
    times_seconds: Sequence[float] | None = None


Measure: TypeAlias = Union[ImageMeasure, VideoMeasure]


@dataclass(frozen=True)
class KeptLimits:
    """The sizes that an engine leaves as they are: its own processor resizes all others.

    Attributes:
        images: area limits of a picture.
        videos: area limits of one frame, or of all frames of a video together (see the family's
            `video_limit_scope`).
    """

    images: PixelLimits
    videos: PixelLimits


@dataclass(frozen=True)
class PlanningRules:
    """The rules of a loaded model for planning.

    Attributes:
        family: the model's family.
        image_limits: area limits of a picture in the checkpoint's processor settings.
        video_limits: the same of one frame, or of all frames of a video together (see the
            family's `video_limit_scope`).
        context_tokens: most tokens of prompt and answer together.
        weight_bytes: size of the weights; None if not known.
        shape: dimensions of the model, from which its activation memory follows; None if not known.
        kept: the sizes that a budget cannot go beyond, because the engine would resize once more;
            None if the kit's sizes are final.
        writes_between_frames: True if the kit itself writes what stands between the frames of a
            video, so that subtitles can stand at their frames; an engine or server that writes the
            times of frames leaves no room there.
    """

    family: Family
    image_limits: PixelLimits
    video_limits: PixelLimits
    context_tokens: int
    weight_bytes: int | None = None
    shape: ModelShape | None = None
    kept: KeptLimits | None = None
    writes_between_frames: bool = False

    @property
    def as_published(self) -> KeptLimits:
        """The checkpoint's own limits, as those of an engine that knows no others."""
        return KeptLimits(self.image_limits, self.video_limits)


def times_of(measure: VideoMeasure) -> Sequence[float]:
    """Return the time of each frame of a video in seconds."""
    if measure.times_seconds is not None:
        return measure.times_seconds
    return frame_times(measure.part, measure.num_frames)
