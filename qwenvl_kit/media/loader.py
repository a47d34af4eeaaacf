"""The media loader: opens, identifies and decodes all pictures and videos of one request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple, TypeVar, Union, cast

from qwenvl_kit.budget.measures import ImageMeasure, Measure, VideoMeasure
from qwenvl_kit.errors import located
from qwenvl_kit.media.documents import (
    check_no_document,
    decode_pages,
    document_pages,
    page_parts,
)
from qwenvl_kit.media.error_mapping import mapped_errors
from qwenvl_kit.media.fetch_cache import FetchCache
from qwenvl_kit.media.file_objects import is_file, read_file
from qwenvl_kit.media.fingerprints import identify_part
from qwenvl_kit.media.frame_sequences import decode_frames, is_sequence, measure_frames
from qwenvl_kit.media.images import decode_image, read_header, resize_image, show_image
from qwenvl_kit.media.items import MediaItem
from qwenvl_kit.media.pillow_objects import frame_of
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.sources import fetch_url, is_remote, is_web_url
from qwenvl_kit.media.subtitles.opening import fetch_subtitles, open_subtitles
from qwenvl_kit.media.types import DecodedMedia, DrawnImage, Link, Resize
from qwenvl_kit.media.video_files import decode_file, measure_file
from qwenvl_kit.messages.document_parts import DocumentPart
from qwenvl_kit.messages.message import (
    ImagePart,
    Message,
    Part,
    VideoPart,
    iter_parts,
)
from qwenvl_kit.plans import ImagePlan, VideoPlan

_MediaPart = TypeVar("_MediaPart", bound=Union[ImagePart, VideoPart, DocumentPart])


class OpenedMedia(NamedTuple):
    """The messages of a request with all media opened, and the record of each picture and video.

    Attributes:
        messages: the conversation, with fetched sources, and pages in place of documents.
        items: its pictures and videos, in the order of the messages.
    """

    messages: tuple[Message, ...]
    items: tuple[MediaItem, ...]


def open_media(
    messages: Sequence[Message],
    policy: MediaPolicy,
    fetches: FetchCache | None = None,
    *,
    takes_links: bool = False,
) -> OpenedMedia:
    """Fetch, open and measure all media of a conversation, in one walk; no pixel is decoded.

    Args:
        messages: the conversation.
        policy: the media policy.
        fetches: URLs that the call has fetched before; None for none.
        takes_links: leave pictures on the network where they are, as `Link`s, and fetch their
            headers only.

    Raises:
        MediaError: a part cannot be fetched or opened; the error has its place.
        MissingPackageError: a PDF was given, and pypdfium2 is not installed.
    """
    fetches = FetchCache() if fetches is None else fetches
    walk = _Walk(policy, fetches, takes_links=takes_links)
    places = iter_parts(messages)
    opened = []
    for message in messages:
        parts: list[Part] = []
        before: Part | None = None
        for where, part in islice(places, len(message.parts)):
            parts.extend(walk.opened(where, part, before))
            before = part
        opened.append(_with_parts(message, parts))
    return OpenedMedia(tuple(opened), tuple(walk.items))


class _Walk:
    """One walk through the parts of a conversation; it collects the media items."""

    def __init__(self, policy: MediaPolicy, fetches: FetchCache, *, takes_links: bool) -> None:
        self.items: list[MediaItem] = []
        self._policy = policy
        self._fetches = fetches
        self._takes_links = takes_links
        self._pages: dict[int, tuple[ImagePart, ...] | None] = {}

    def opened(self, where: str, part: Part, before: Part | None) -> Iterator[Part]:
        """Open a part; yield it, or the pages of a document, each after its name.

        Args:
            where: the place of the part.
            part: it, as it was given.
            before: the part before it, after which the name of a page may need a new line.
        """
        if not isinstance(part, (ImagePart, VideoPart, DocumentPart)):
            yield part
            return
        with mapped_errors(where):
            reached = self._reached(part)
            pages = None if isinstance(reached, VideoPart) else self._pages_of(part, reached)
        if isinstance(reached, VideoPart):
            yield self._film(where, reached)
            return
        if pages is None:
            self._collect(where, reached)
            yield reached
            return
        for shown in page_parts(part, pages, before):
            if isinstance(shown, ImagePart):
                page: Any = shown.source
                self._collect(f"{where}.pages[{page.number}]", shown)
            yield shown

    def _reached(self, part: _MediaPart) -> _MediaPart:
        """The part with a link or the bytes of what is on the network."""
        if self._takes_links and isinstance(part, ImagePart) and is_web_url(part.source):
            source: Any = self._fetches.probe_url(str(part.source), self._policy)
            return replace(part, source=source)
        return fetch_part(part, self._policy, self._fetches)

    def _pages_of(
        self, given: Part, reached: ImagePart | DocumentPart
    ) -> tuple[ImagePart, ...] | None:
        """The pages of a part; those of a part that stands twice share one document."""
        if id(given) not in self._pages:
            self._pages[id(given)] = document_pages(reached, self._policy)
        return self._pages[id(given)]

    def _film(self, where: str, part: VideoPart) -> VideoPart:
        """Collect a film, and return it with the lines of its subtitles."""
        with mapped_errors(where):
            measure = _measure(where, part, self._policy)
            opened, remarks = open_subtitles(part, self._policy)
        notes = tuple(f"{where}: {remark}" for remark in remarks)
        self.items.append(MediaItem(where, opened, measure, notes=notes))
        return opened

    def _collect(self, where: str, part: Any) -> None:
        with mapped_errors(where):
            self.items.append(MediaItem(where, part, _measure(where, part, self._policy)))


def fetch_media(messages: Sequence[Message], policy: MediaPolicy) -> tuple[Message, ...]:
    """Return the messages with the bytes of media on the network, and of open files.

    For who keeps messages: what they show later does not depend on the network, or on the files'
    owners. A request needs `open_media` alone.

    Raises:
        MediaError: a part cannot be fetched; the error has its place.
    """
    places = iter_parts(messages)
    return tuple(
        _with_parts(
            message,
            [_fetched(where, part, policy) for where, part in islice(places, len(message.parts))],
        )
        for message in messages
    )


def _fetched(where: str, part: Part, policy: MediaPolicy) -> Part:
    if not isinstance(part, (ImagePart, VideoPart, DocumentPart)):
        return part
    with located(where):
        return fetch_part(part, policy)


def _with_parts(message: Message, parts: Sequence[Part]) -> Message:
    """The message with other parts; the same object if no part was replaced."""
    is_same = [*map(id, parts)] == [*map(id, message.parts)]
    return message if is_same else replace(message, parts=tuple(parts))


def fetch_part(
    part: _MediaPart, policy: MediaPolicy, fetches: FetchCache | None = None
) -> _MediaPart:
    """Return the part with its bytes if it is on the network or an open file; else as it is.

    An open file is read here, so its owner may close it afterwards.

    Args:
        part: a picture, video or document; its source may be a `Link`.
        policy: the media policy.
        fetches: URLs that the call has fetched before; None for none.

    Raises:
        MediaError: the URL cannot be fetched, or the file cannot be read.
    """
    if isinstance(part, VideoPart):
        with mapped_errors():
            part = cast("_MediaPart", fetch_subtitles(part, policy, fetches))
    url = _url_of(part, policy)
    if url is None:
        return _held(part, policy)
    get = fetch_url if fetches is None else fetches.get
    with mapped_errors():
        return replace(part, source=get(url, policy))


def _held(part: _MediaPart, policy: MediaPolicy) -> _MediaPart:
    """The part with what its owner may move or close: a file's bytes, the frame of an animation."""
    source: Any = part.source
    if is_file(source):
        with mapped_errors():
            source = read_file(source, policy)
    elif isinstance(part, ImagePart):
        with mapped_errors():
            source = frame_of(source, part.frame_index)
    return part if source is part.source else replace(part, source=source)


def _url_of(part: ImagePart | VideoPart | DocumentPart, policy: MediaPolicy) -> str | None:
    """The URL of a part on the network, a link or not; None if it is not there."""
    source: object = part.source
    if isinstance(source, Link):
        return source.url
    return str(source) if is_remote(source, policy) else None


def fetch_link(item: MediaItem, policy: MediaPolicy, fetches: FetchCache | None) -> MediaItem:
    """Return the item with the bytes of its picture in place of a link.

    Raises:
        MediaError: the URL cannot be fetched; the error has the place of the item.
    """
    with located(item.where):
        return replace(item, part=fetch_part(item.part, policy, fetches))


def identify_media(items: Sequence[MediaItem], policy: MediaPolicy) -> tuple[MediaItem, ...]:
    """Return planned items with their keys, without decoding them; see `identify_part`.

    Raises:
        MediaError: an item cannot be opened; the error has its place.
    """
    identified = []
    for item in items:
        with mapped_errors(item.where):
            identified.append(replace(item, key=identify_part(item.source, item.plan, policy)))
    return tuple(identified)


def decode_media(
    items: Sequence[MediaItem],
    policy: MediaPolicy,
    resize: Resize = resize_image,
    *,
    resize_frame: Resize | None = None,
) -> tuple[MediaItem, ...]:
    """Return planned items with their pixels; those that have content stay as they are.

    Args:
        items: pictures and videos.
        policy: the media policy.
        resize: resizes a picture to its planned size.
        resize_frame: resizes a frame of a video; None for the same as with pictures.

    Raises:
        MediaError: an item cannot be decoded; the error has its place.
    """
    pages = decode_pages(items, policy, resize)
    decoded = []
    for at, item in enumerate(items):
        content = item.content
        if content is None:
            content = pages[at] if at in pages else _decode(item, policy, resize, resize_frame)
        decoded.append(replace(item, content=content))
    return tuple(decoded)


def _decode(
    item: MediaItem, policy: MediaPolicy, resize: Resize, resize_frame: Resize | None
) -> DecodedMedia | None:
    plan = item.plan
    with mapped_errors(item.where):
        if isinstance(plan, ImagePlan):
            return show_image(decode_image(item.source, policy), plan, resize)
        if isinstance(plan, VideoPlan):
            policy.check_num_frames(len(plan.frame_indices))
            decode = decode_frames if is_sequence(item.source) else decode_file
            return decode(item.source, plan, policy, resize_frame or resize)
    return None


def _measure(where: str, part: ImagePart | VideoPart, policy: MediaPolicy) -> Measure:
    source: Any = part.source
    if isinstance(part, ImagePart):
        is_known = isinstance(source, (Link, DrawnImage))
        header = source.header if is_known else read_header(source, policy)
        return ImageMeasure(where, part, header.size, header.orientation)
    if is_sequence(source):
        frames = measure_frames(source, policy)
        return VideoMeasure(where, part, frames.size, frames.num_frames)
    check_no_document(source, policy)
    film = measure_file(source, policy, part.end_seconds)
    return VideoMeasure(where, part, film.size, len(film.times_seconds), film.times_seconds)
