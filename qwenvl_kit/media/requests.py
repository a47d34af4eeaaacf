"""All pictures and videos of one request, in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, Union

from qwenvl_kit.budget.planning import ImageMeasure, Measure, VideoMeasure
from qwenvl_kit.errors import located
from qwenvl_kit.media.images import decode_image, measure_image, resize_image
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.videos import Resize, decode_frames, measure_frames
from qwenvl_kit.messages import ImagePart, Message, iter_media
from qwenvl_kit.plans import ImagePlan, VideoPlan

if TYPE_CHECKING:
    import PIL.Image

DecodedMedia: TypeAlias = Union["PIL.Image.Image", list["PIL.Image.Image"]]
"""A picture, or the frames of a video: RGB, upright, at the planned size."""


def measure_media(messages: Sequence[Message], policy: MediaPolicy) -> list[Measure]:
    """Sizes of all pictures and videos, from headers alone.

    Raises:
        MediaError: with the place of the part that cannot be opened.
    """
    return [_measure(where, part, policy) for where, part in iter_media(messages)]


def decode_media(
    messages: Sequence[Message],
    plans: Mapping[str, ImagePlan | VideoPlan],
    policy: MediaPolicy,
    resize: Resize = resize_image,
) -> list[DecodedMedia]:
    """Pixels of all pictures and videos, as planned.

    Raises:
        MediaError: with the place of the part that cannot be decoded.
    """
    decoded: list[DecodedMedia] = []
    for where, part in iter_media(messages):
        plan = plans[where]
        with located(where):
            if isinstance(plan, ImagePlan):
                decoded.append(resize(decode_image(part.source, policy), plan.resized))
            else:
                decoded.append(decode_frames(part.source, plan, policy, resize))
    return decoded


def _measure(where: str, part: object, policy: MediaPolicy) -> Measure:
    with located(where):
        if isinstance(part, ImagePart):
            return ImageMeasure(where, part, measure_image(part.source, policy))
        frames = measure_frames(part.source, policy)  # type: ignore[attr-defined]
        return VideoMeasure(where, part, frames.size, frames.num_frames)  # type: ignore[arg-type]
