"""Facts of films and pictures that a prompt or a rule needs: they are measured, not decoded."""

from __future__ import annotations

from qwenvl_kit.budget.frames import sample_frames
from qwenvl_kit.geometry import Size
from qwenvl_kit.media.images import measure_image
from qwenvl_kit.media.policy import DEFAULT_POLICY, MediaPolicy
from qwenvl_kit.media.video_files import measure_file
from qwenvl_kit.messages.message import ImagePart, VideoPart


def shown_times(film: VideoPart, policy: MediaPolicy | None) -> tuple[float, ...]:
    """Return the times of the frames that a model is shown of a film, in seconds.

    Args:
        film: the part of a message that shows it.
        policy: the media policy of the chat that is asked; None for the default without a chat.

    Raises:
        MediaError: the film cannot be read.
    """
    times = measure_file(film.source, policy or DEFAULT_POLICY, film.end_seconds).times_seconds
    return tuple(times[at] for at in sample_frames(film, times))


def picture_size(picture: ImagePart | VideoPart, policy: MediaPolicy | None = None) -> Size:
    """Return the size of a picture, upright, as its header has it.

    Args:
        picture: the part of a message that shows it.
        policy: the media policy of the chat that is asked; None for the default without a chat.

    Raises:
        MediaError: the picture cannot be read.
    """
    return measure_image(picture.source, policy or DEFAULT_POLICY)
