"""The pictures of a plan, opened again to be shown: as the model sees them, and as thumbnails."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Union

from qwenvl_kit.display.pictures import THUMBNAIL_PX, Shown, fitted
from qwenvl_kit.display.text import clock, count
from qwenvl_kit.display.viewing import viewer_of, with_viewer
from qwenvl_kit.errors import MediaSourceError, QwenVLKitError, located
from qwenvl_kit.geometry import Region
from qwenvl_kit.media.documents import DocumentPage
from qwenvl_kit.media.images import decode_image
from qwenvl_kit.media.items import MediaItem, with_plan
from qwenvl_kit.media.loader import decode_media, fetch_link
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.types import DrawnImage, Link
from qwenvl_kit.messages.message import ImagePart
from qwenvl_kit.plans import ImagePlan, Plan, VideoPlan
from qwenvl_kit.safe_text import escaped, looks_like_base64, shown_url

_LONGEST_NAME = 4096
"""The most characters of a source that is kept beside a reply: the longest path of Linux."""

_Stamp = Union[tuple[int, int], None]


def viewable(plan: Plan, items: Sequence[MediaItem], policy: MediaPolicy) -> Plan:
    """Return a plan that can show its pictures.

    It holds paths, and pixels only while somebody else does: plans and replies live long.

    Args:
        plan: the plan.
        items: its pictures and videos, in the order of the messages.
        policy: the media policy by which they are opened again.
    """
    if not items:
        return plan
    kept = {item.where: _kept(item) for item in with_plan(items, plan)}
    viewer = PlannedMedia(kept, policy)
    plan = replace(
        plan,
        images=tuple(with_viewer(entry, viewer) for entry in plan.images),
        videos=tuple(with_viewer(entry, viewer) for entry in plan.videos),
    )
    return with_viewer(plan, viewer)


def with_degradations(plan: Plan, degradations: Sequence[str]) -> Plan:
    """Return a plan with more degradations, which shows the same pictures."""
    longer = replace(plan, degradations=(*plan.degradations, *degradations))
    viewer = viewer_of(plan)
    return longer if viewer is None else with_viewer(longer, viewer)


@dataclass(frozen=True)
class _Kept:
    """A picture or video to open again.

    Attributes:
        name: the name of its file; empty if it has none.
        item: its record.
        recall: gives its source; None if it is not there any more.
        stamp: the time and size of its file; None if it is no file.
    """

    name: str
    item: MediaItem
    recall: Callable[[], Any]
    stamp: _Stamp = None


class PlannedMedia:
    """The viewer of a plan. A copy that goes to another process knows no pictures.

    Args:
        kept: the pictures and videos, by their place.
        policy: the media policy.
    """

    def __init__(
        self, kept: dict[str, _Kept] | None = None, policy: MediaPolicy | None = None
    ) -> None:
        self._kept = {} if kept is None else kept
        self._policy = policy

    def __reduce__(self) -> tuple[type[PlannedMedia], tuple[()]]:
        return PlannedMedia, ()

    def __deepcopy__(self, _: object) -> PlannedMedia:
        return self

    def thumbnail(self, entry: ImagePlan | VideoPlan) -> Shown:
        """Return a small picture, or words in its place; raises nothing.

        No film is decoded, and nothing is fetched from the network.
        """
        kept = self._kept.get(entry.where)
        caption = _caption(entry, kept.name if kept else "")
        source = None if kept is None else kept.recall()
        is_remote = isinstance(source, Link) or _is_url(source)
        if source is None or isinstance(entry, VideoPlan) or is_remote:
            return Shown(None, caption)
        try:
            (shown,) = self.pictures(entry)
        except (QwenVLKitError, OSError, ValueError) as error:
            words = error.problem if isinstance(error, QwenVLKitError) else str(error)
            return Shown(None, f"{caption}: not shown: {escaped(words)}")
        image = None if shown.image is None else fitted(shown.image, THUMBNAIL_PX)
        return Shown(image, caption)

    def pictures(self, entry: ImagePlan | VideoPlan) -> list[Shown]:
        """Return a picture as planned, or the chosen frames of a video with their times.

        Raises:
            MediaError: it cannot be opened any more, or has changed.
        """
        kept = self._kept.get(entry.where)
        source = None if kept is None else kept.recall()
        if kept is None or source is None or self._policy is None:
            raise MediaSourceError(
                "the picture is not kept",
                expected="a path, or an object that your program still holds, other than bytes",
                hint="chat.plan(...).show() with a path, a Pillow picture or an array",
                where=entry.where,
            )
        _check_unchanged(kept, source)
        (item,) = decode_media([self._reopened(kept, source, entry)], self._policy)
        return _shown(entry, kept.name, item.content)

    def _reopened(self, kept: _Kept, source: Any, entry: ImagePlan | VideoPlan) -> MediaItem:
        part = kept.item.part
        part = part if part.source is source else replace(part, source=source)
        item = replace(kept.item, part=part, plan=entry)
        if not isinstance(source, Link) or self._policy is None:
            return item
        return fetch_link(item, self._policy, None)


def _kept(item: MediaItem) -> _Kept:
    """A record that holds no pixels and no bytes."""
    source = item.source
    if _is_name(source) or isinstance(source, Link):
        return _Kept(_name(source), item, lambda: source, _stamp(source))
    recall = _page_again(source) if isinstance(source, DocumentPage) else _weakly(source)
    part = replace(item.part, source="")
    measure: Any = item.measure  # which holds the part, too
    light = replace(item, part=part, measure=replace(measure, part=part))
    return _Kept(_name(source), light, recall)


def _page_again(page: DocumentPage) -> Callable[[], Any]:
    """A function that opens a page of a file again; neither bytes nor a password are held."""
    if not _is_name(page.document.source) or page.document.is_locked:
        return weakref.ref(page)
    document, number, size = page.document.anew(), page.number, page.size
    return lambda: DocumentPage(document.anew(), number, size)


def _weakly(source: Any) -> Callable[[], Any]:
    """A function that gives an object, or all frames of a sequence, while others hold it."""
    if not isinstance(source, (list, tuple)):
        return _reference(source)
    frames = [_reference(frame) for frame in source]

    def recall() -> Any:
        found = [frame() for frame in frames]
        return None if any(frame is None for frame in found) else found

    return recall


def _reference(source: Any) -> Callable[[], Any]:
    if _is_name(source):
        return lambda: source
    try:
        return weakref.ref(source)
    except TypeError:  # bytes and long texts
        return lambda: None


def _is_name(source: Any) -> bool:
    """True if a source is a path, or a short text such as a URL."""
    is_text = isinstance(source, str) and not looks_like_base64(source)
    is_short = is_text and len(source) <= _LONGEST_NAME and source[:5].lower() != "data:"
    return isinstance(source, os.PathLike) or is_short


def _name(source: Any) -> str:
    if isinstance(source, DrawnImage):
        number = getattr(source, "number", None)
        return "" if number is None else f"page {number}"
    if _is_url(source):
        return shown_url(source)
    return Path(os.fspath(source).partition("?")[0]).name if _is_name(source) else ""


def _is_url(source: Any) -> bool:
    """True for what lies in the network: its path may be secret, and showing it must not fetch."""
    return isinstance(source, str) and "://" in source[:100] and source[:5].lower() != "file:"


def _stamp(source: Any) -> _Stamp:
    if not _is_name(source) or "://" in os.fspath(source):
        return None
    try:
        found = os.stat(source)
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size


def _check_unchanged(kept: _Kept, source: Any) -> None:
    if _stamp(source) != kept.stamp:
        with located(kept.item.where):
            raise MediaSourceError(
                f"{escaped(kept.name)} has changed since it was planned", expected="the same file"
            )


def _caption(entry: ImagePlan | VideoPlan, name: str) -> str:
    title = name or entry.where
    if isinstance(entry, VideoPlan):
        times = entry.timestamps_seconds
        span = f", {clock(times[0])} to {clock(times[-1])}" if times else ""
        return f"{title}: {count(len(times), 'frame')}{span}, {count(entry.tokens, 'token')}"
    return f"{title}: {entry.resized}, {count(entry.tokens, 'token')}"


def _shown(entry: ImagePlan | VideoPlan, name: str, content: Any) -> list[Shown]:
    if isinstance(entry, ImagePlan):
        return [Shown(content, _caption(entry, name))]
    from PIL import Image

    frames = [Image.fromarray(frame) for frame in content]
    times = [clock(at) for at in entry.timestamps_seconds]
    first = f"{name or entry.where} {times[0]}"
    return [Shown(frame, caption) for frame, caption in zip(frames, [first, *times[1:]])]


def thumbnail_of(part: Any, policy: MediaPolicy) -> Shown:
    """Return the picture of a part as a thumbnail, or words in its place; raises nothing.

    A film is told in words: none is decoded.
    """
    words = _name(part.source) or type(part).__name__.removesuffix("Part").lower()
    if not isinstance(part, ImagePart):
        return Shown(None, words)
    try:
        if isinstance(part.source, Link) or _is_url(part.source):
            return Shown(None, words)
        source: Any = part.source
        drawn = isinstance(source, DrawnImage)
        image = source.draw(policy) if drawn else decode_image(source, policy)
    except (QwenVLKitError, OSError, ValueError) as error:
        return Shown(None, f"{words}: not shown: {escaped(str(error))}")
    return Shown(fitted(_cropped(image, part.crop), THUMBNAIL_PX), words)


def _cropped(image: Any, crop: Region | None) -> Any:
    return image if crop is None else image.crop((crop.x1_px, crop.y1_px, crop.x2_px, crop.y2_px))
