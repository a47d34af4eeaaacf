"""Media items: a record of each picture and video of a request, carried from stage to stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Union

from qwenvl_kit.budget.measures import Measure
from qwenvl_kit.messages.message import ImagePart, VideoPart
from qwenvl_kit.plans import ImagePlan, Plan, VideoPlan


@dataclass(frozen=True)
class MediaItem:
    """A picture or video of a request. Each stage replaces the record by one that knows more.

    Attributes:
        where: its place in the request, such as `messages[1].parts[0]`; for errors and plans.
        part: the part that shows it. Its source is fetched, or a `Link`; each page of a document
            has a part of its own.
        measure: its size, and the number and times of a video's frames.
        plan: its planned size and tokens; None before the request is planned.
        key: a hash that identifies its source and plan, for a backend's cache; None if only its
            pixels identify it.
        content: its value in `BackendRequest.media`: decoded pixels, a `Link`, or the backend's
            own record of a picture that it knows; None before the last stage.
        notes: sentences on its subtitles, for the plan's warnings.
    """

    where: str
    part: ImagePart | VideoPart
    measure: Measure
    plan: Union[ImagePlan, VideoPlan, None] = None
    key: str | None = None
    content: Any = None
    notes: tuple[str, ...] = ()

    @property
    def source(self) -> Any:
        """The source of its part."""
        return self.part.source


def with_plan(items: Sequence[MediaItem], plan: Plan) -> tuple[MediaItem, ...]:
    """Return the items with their entries in a plan, and without a key or content of another plan.

    A plan lists pictures and videos apart, each in the order of the messages.
    """
    images, videos = iter(plan.images), iter(plan.videos)
    return tuple(
        replace(
            item,
            plan=next(images) if isinstance(item.part, ImagePart) else next(videos),
            key=None,
            content=None,
        )
        for item in items
    )
