"""All pictures and videos of one request, in order."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, Union

from qwenvl_kit.budget.measures import ImageMeasure, Measure, VideoMeasure
from qwenvl_kit.errors import located
from qwenvl_kit.media.documents import check_no_document, decode_pages
from qwenvl_kit.media.error_mapping import reading
from qwenvl_kit.media.file_objects import is_file, read_file
from qwenvl_kit.media.fingerprints import identify_part
from qwenvl_kit.media.frame_sequences import decode_frames, is_sequence, measure_frames
from qwenvl_kit.media.images import decode_image, read_header, resize_image, show_image
from qwenvl_kit.media.pillow_objects import frame_of
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.remote_images import look_at
from qwenvl_kit.media.sources import fetch_url, is_elsewhere, is_on_the_web
from qwenvl_kit.media.types import DecodedMedia, DrawnImage, Link, Resize
from qwenvl_kit.media.video_files import decode_file, measure_file
from qwenvl_kit.messages.document_parts import DocumentPart
from qwenvl_kit.messages.message import (
    ImagePart,
    Message,
    Part,
    VideoPart,
    iter_media,
    iter_parts,
    with_media,
)
from qwenvl_kit.plans import ImagePlan, VideoPlan

if TYPE_CHECKING:
    from qwenvl_kit.media.fetch_cache import Fetches

_MediaPart = TypeVar("_MediaPart", bound=Union[ImagePart, VideoPart, DocumentPart])


def measure_media(messages: Sequence[Message], policy: MediaPolicy) -> list[Measure]:
    """Sizes of all pictures and videos, from headers alone; links know them already.

    Raises:
        MediaError: with the place of the part that cannot be opened.
    """
    return [_measure(where, part, policy) for where, part in iter_media(messages)]


def fetch_media(
    messages: Sequence[Message],
    policy: MediaPolicy,
    fetches: Fetches | None = None,
    kept: Collection[str] = (),
) -> tuple[Message, ...]:
    """The messages with what is on the network fetched, and open files read, once for all.

    Args:
        messages: the conversation.
        policy: what may be opened.
        fetches: what the call has fetched before; None for nothing.
        kept: places of those that stay as they are.

    Raises:
        MediaError: with the place of the part that cannot be fetched.
    """
    fetched: dict[str, Part] = {}
    for where, part in iter_parts(messages):
        if isinstance(part, (ImagePart, VideoPart, DocumentPart)) and where not in kept:
            with located(where):
                held = fetch_part(part, policy, fetches)
            if held is not part:
                fetched[where] = held
    return with_media(messages, fetched) if fetched else tuple(messages)


def link_media(
    messages: Sequence[Message], policy: MediaPolicy, fetches: Fetches | None = None
) -> tuple[Message, ...]:
    """The messages with links in place of pictures on the network; errors as `fetch_media`."""
    look = look_at if fetches is None else fetches.look_at
    linked: dict[str, Part] = {}
    for where, part in iter_media(messages):
        if isinstance(part, ImagePart) and is_on_the_web(part.source):
            with reading(where):
                source: Any = look(str(part.source), policy)
            linked[where] = replace(part, source=source)
    return with_media(messages, linked) if linked else tuple(messages)


def links_of(messages: Sequence[Message]) -> dict[str, Link]:
    """Pictures that are links, by their places."""
    sources: dict[str, object] = {where: part.source for where, part in iter_media(messages)}
    return {where: source for where, source in sources.items() if isinstance(source, Link)}


def fetch_part(part: _MediaPart, policy: MediaPolicy, fetches: Fetches | None = None) -> _MediaPart:
    """The part with its bytes, if it is on the network or an open file, else as it is.

    A file is read once for all that is done with it, at whatever time its owner closes it.

    Raises:
        MediaError: as `fetch_media`, or the file cannot be read.
    """
    url = _url_of(part, policy)
    if url is None:
        return _held(part, policy)
    get = fetch_url if fetches is None else fetches.get
    with reading():
        return replace(part, source=get(url, policy))


def _held(part: _MediaPart, policy: MediaPolicy) -> _MediaPart:
    """The part with what its owner may move or close: a file's bytes, the frame of an animation."""
    source: Any = part.source
    if is_file(source):
        with reading():
            source = read_file(source, policy)
    elif isinstance(part, ImagePart):
        with reading():
            source = frame_of(source, part.frame_index)
    return part if source is part.source else replace(part, source=source)


def _url_of(part: ImagePart | VideoPart | DocumentPart, policy: MediaPolicy) -> str | None:
    """Where a part is on the network, as a link or not; None if it is not there."""
    source: object = part.source
    if isinstance(source, Link):
        return source.url
    return str(source) if is_elsewhere(source, policy) else None


def identify_media(
    messages: Sequence[Message], plans: Mapping[str, ImagePlan | VideoPlan], policy: MediaPolicy
) -> list[str | None]:
    """What all pictures and videos are known by, as planned, without decoding them.

    None for those in memory, whose pixels alone tell them apart.

    Raises:
        MediaError: with the place of the part that cannot be opened.
    """
    keys: list[str | None] = []
    for where, part in iter_media(messages):
        with reading(where):
            keys.append(identify_part(part.source, plans[where], policy))
    return keys


def decode_media(
    messages: Sequence[Message],
    plans: Mapping[str, ImagePlan | VideoPlan],
    policy: MediaPolicy,
    resize: Resize = resize_image,
    known: Collection[str] = (),
    *,
    resize_frame: Resize | None = None,
) -> dict[str, DecodedMedia]:
    """Pixels of all pictures and videos, as planned, by their places.

    Args:
        messages: the conversation.
        plans: what was planned for each.
        policy: what may be opened.
        resize: brings a picture to its planned size.
        known: places of those that need no pixels.
        resize_frame: does so with the frames of a video; None for the same as with pictures.

    Raises:
        MediaError: with the place of the part that cannot be decoded.
    """
    decoded: dict[str, DecodedMedia] = {
        **decode_pages(messages, plans, policy, resize, known),
    }
    for where, part in iter_media(messages):
        if where in known or where in decoded:
            continue
        plan = plans[where]
        with reading(where):
            if isinstance(plan, ImagePlan):
                decoded[where] = show_image(decode_image(part.source, policy), plan, resize)
            else:
                policy.check_num_frames(len(plan.frame_indices))
                decode = decode_frames if is_sequence(part.source) else decode_file
                decoded[where] = decode(part.source, plan, policy, resize_frame or resize)
    return decoded


def _measure(where: str, part: ImagePart | VideoPart, policy: MediaPolicy) -> Measure:
    with reading(where):
        if isinstance(part, ImagePart):
            source: object = part.source
            if isinstance(source, (Link, DrawnImage)):
                header = source.header
            else:
                header = read_header(source, policy)
            return ImageMeasure(where, part, header.size, header.orientation)
        if is_sequence(part.source):
            frames = measure_frames(part.source, policy)
            return VideoMeasure(where, part, frames.size, frames.num_frames)
        check_no_document(part.source, policy)
        film = measure_file(part.source, policy, part.end_seconds)
        return VideoMeasure(where, part, film.size, len(film.times_seconds), film.times_seconds)
