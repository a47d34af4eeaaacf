"""Extraction with evidence: values and places in one answer, or places located afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import MessageError, UnsupportedFeatureError
from qwenvl_kit.geometry import Region
from qwenvl_kit.grounding.boxes import Box
from qwenvl_kit.grounding.coordinates import PlaceMapper
from qwenvl_kit.grounding.written_places import WrittenPlace
from qwenvl_kit.messages.message import VideoPart
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media
from qwenvl_kit.results import Reply
from qwenvl_kit.tasks.extract.evidence import Evidence, EvidencedExtraction
from qwenvl_kit.tasks.extract.evidence_form import EvidenceForm, ReadAnswer, WrittenValue
from qwenvl_kit.tasks.extract.later_looks import Looks, locate_values, read_back
from qwenvl_kit.tasks.prompts import Language, check_choice
from qwenvl_kit.tasks.shown_pages import PAGE_NAMES, ShownPage, message_about, shown_pages

EVIDENCE_SAMPLING = Sampling(max_new_tokens=4096)
"""Room for about a hundred values with their boxes."""

_WIDE = 0.5
"""The share of a page's area above which a box is told to be too large."""

_Value = TypeVar("_Value")


def extract_with_evidence(
    chat: VisionChat,
    source: Media | Sequence[Media],
    wanted: type[_Value] | Mapping[str, Any],
    *,
    verify: bool,
    language: Language,
    prompt: str | None,
    sampling: Sampling | None,
    budget: BudgetChoice | None,
) -> EvidencedExtraction[_Value]:
    """Read a typed value, and find the place of each value inside it; see `extract`."""
    check_choice(language, PAGE_NAMES, "language")
    pages = _pictures(source, chat, language)
    numbers = [page.number for page in pages]
    has_boxes = chat.family.box_format == "json"
    form: EvidenceForm[_Value] = EvidenceForm(
        wanted, language, prompt, pages=numbers, has_boxes=has_boxes
    )
    reply = chat.ask(
        [message_about(pages, form.prompt)],
        sampling=sampling or EVIDENCE_SAMPLING,
        budget=budget,
        constraint=form.constraint,
    )
    return _Search(chat, pages, language, budget).result(reply, form.read(reply), has_boxes, verify)


def _pictures(
    source: Media | Sequence[Media], chat: VisionChat, language: Language
) -> list[ShownPage]:
    """The pages of the source.

    Raises:
        MessageError: there are none.
        UnsupportedFeatureError: one is a video, in which a value has no page.
    """
    shown = shown_pages(
        source, chat.policy, pages=None, password=None, page_name=PAGE_NAMES[language]
    )
    if not shown:
        raise MessageError("no pictures were given", expected="at least one", where="image")
    if any(isinstance(page.part, VideoPart) for page in shown):
        raise UnsupportedFeatureError(
            "evidence was asked for in a video",
            expected="pictures or documents",
            hint="the frame as a picture, or evidence=False",
        )
    return shown


class _Search:
    """The search for the places of values on the pages of one answer."""

    def __init__(
        self,
        chat: VisionChat,
        pages: Sequence[ShownPage],
        language: Language,
        budget: BudgetChoice | None,
    ) -> None:
        self._chat = chat
        self._pages = tuple(pages)
        self._language = language
        self._budget = budget
        self._warnings: list[str] = []

    def result(
        self, reply: Reply, read: ReadAnswer[_Value], has_boxes: bool, verify: bool
    ) -> EvidencedExtraction[_Value]:
        """The typed value with the evidence of each value inside."""
        self._warnings += [*reply.warnings, *read.warnings]
        regions = {
            page.number: plan.crop or Region(0, 0, plan.original.width_px, plan.original.height_px)
            for page, plan in zip(self._pages, reply.plan.images)
        }
        looks = Looks(self._chat, self._pages, regions, self._language, self._budget)
        places = [self._page(one) for one in read.written]
        if has_boxes:
            boxes = [self._box(reply, one, page) for one, page in zip(read.written, places)]
        else:
            boxes = locate_values(looks, read.written, places)
        self._warn_of_wide(read.written, places, boxes, regions)
        seen = read_back(looks, read.written, places, boxes) if verify else {}
        evidence = {
            one.name: Evidence(
                one.value, self._confidence(reply, one), page, box, *seen.get(one.name, ())
            )
            for one, page, box in zip(read.written, places, boxes)
        }
        confidences = {
            one.name: reply.probability_between(one.start, one.stop) for one in read.written
        }
        return EvidencedExtraction(
            read.value,
            MappingProxyType(confidences),
            reply,
            MappingProxyType(evidence),
            self._pages,
            self._chat.policy,
            tuple(looks.replies),
            tuple(dict.fromkeys([*self._warnings, *looks.warnings])),
        )

    def _warn_of_wide(
        self,
        written: Sequence[WrittenValue],
        pages: Sequence[int | None],
        boxes: Sequence[Box | None],
        regions: Mapping[int, Region],
    ) -> None:
        """Tell of boxes around most of a page, which is no place of a single value."""
        for one, page, box in zip(written, pages, boxes):
            if box is None or page is None:
                continue
            if box.area_pixels > _WIDE * regions[page].size.area_pixels:
                self._warnings.append(f"{one.name}: its box takes up most of the page")

    def _page(self, one: WrittenValue) -> int | None:
        return self._pages[0].number if len(self._pages) == 1 else one.page

    def _confidence(self, reply: Reply, one: WrittenValue) -> float | None:
        calibrator = self._chat.calibrator
        if calibrator is None:
            return reply.probability_between(one.start, one.stop)
        return calibrator.confidence_between(reply, one.start, one.stop)

    def _box(self, reply: Reply, one: WrittenValue, page: int | None) -> Box | None:
        """The box that the model wrote beside a value, in pixels of its page."""
        if one.numbers is None or one.value is None:
            return None
        at = next((at for at, shown in enumerate(self._pages) if shown.number == page), None)
        if at is None:
            self._warnings.append(f"{one.name}: a box without its page")
            return None
        mapper = PlaceMapper(reply.plan.images[at], self._chat.family, reply, one.name)
        place = WrittenPlace(one.name, one.numbers, one.box_start, one.box_stop)
        found = mapper.boxes([place])
        self._warnings += [f"{one.name}: {warning}" for warning in mapper.warnings]
        return found[0] if found else None
