"""Every task runs on every family, and gives its typed result, whatever a random model writes."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
import PIL.Image
import pytest
from typing_extensions import TypedDict

from qwenvl_kit import Sampling, VideoPart, VisionChat
from qwenvl_kit.documents import BLOCK_KINDS
from qwenvl_kit.errors import AnswerError, UnsupportedFeatureError
from qwenvl_kit.families import Family
from qwenvl_kit.grounding.places import Boxes, Points
from qwenvl_kit.tasks import (
    answer_from_document,
    ask_choice,
    ask_number,
    ask_video,
    ask_yes_no,
    caption_pages,
    chart_to_table,
    classify,
    compare,
    compare_by_aspects,
    count,
    describe,
    document_qa,
    extract,
    find_differences,
    find_events,
    judge_description,
    locate,
    locate_3d,
    next_action,
    outline,
    parse_document,
    parse_pages,
    point_at,
    read_table,
    read_text,
    recognize,
    stream_extract,
    summarize_video,
    think_with_images,
    to_code,
    trace_path,
    translate_text_in_image,
    write_from_image,
    zoom_answer,
)

SHORT = Sampling(max_new_tokens=12)
FORM = Sampling(max_new_tokens=160, max_cycle_tokens=None)  # random models go in circles


class Receipt(TypedDict):
    total: float
    kind: Literal["invoice", "receipt"]
    paid: bool


def _picture(seed: int) -> PIL.Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (64, 96, 3))
    return PIL.Image.fromarray(noise.astype("uint8"))


ONE, TWO = _picture(1), _picture(2)
FILM = VideoPart([ONE, TWO, ONE, TWO], fps=1.0)


def _is_receipt(value: Any) -> bool:
    return (
        isinstance(value["total"], (int, float))
        and value["kind"] in ("invoice", "receipt")
        and isinstance(value["paid"], bool)
    )


def _is_share(value: float) -> bool:
    return 0.0 <= value <= 1.0


def _classified(chat: VisionChat) -> bool:
    found = classify(chat, ONE, ["cat", "dog", "a red circle"])
    return (
        math.isclose(sum(found.probabilities.values()), 1.0) and found.label in found.probabilities
    )


def _judged(chat: VisionChat) -> bool:
    found = judge_description(chat, ONE, "A cat. It is red.")
    return len(found.claims) == 2 and _is_share(found.accuracy) and _is_share(found.coherence)


def _table(read: Callable[..., Any], chat: VisionChat) -> bool:
    try:
        found = read(chat, ONE, sampling=FORM)
    except AnswerError as error:
        return error.reply is not None
    return all(len(row) == len(found.columns) for row in found.rows)


def _acted(chat: VisionChat, device: Literal["computer", "mobile"] = "computer") -> bool:
    try:
        next_action(chat, ONE, "Click.", device=device, sampling=SHORT)
    except AnswerError as error:  # a random model calls no tool
        return error.reply is not None
    return True


def _paged(chat: VisionChat) -> bool:
    answer = document_qa(chat, [ONE, TWO], "Who?", sampling=FORM)["Who?"]
    return answer.pages == (1, 2) and answer.page in (1, 2, None)


def _parsed(chat: VisionChat) -> bool:
    pages = (
        *parse_document(chat, [ONE, TWO], sampling=SHORT).pages,
        *parse_pages(chat, ONE, sampling=SHORT),
    )
    return [page.number for page in pages] == [1, 2, 1] and all(
        block.kind in BLOCK_KINDS for page in pages for block in page.blocks
    )


def _evidenced(chat: VisionChat) -> bool:
    found = extract(chat, ONE, Receipt, evidence=True, sampling=FORM)
    return _is_receipt(found.value) and all(
        each.confidence is None or _is_share(each.confidence) for each in found.evidence.values()
    )


def _if_trained(
    is_trained: Callable[[Family], bool], task: Callable[[VisionChat], bool]
) -> Callable[[VisionChat], bool]:
    """The task where the family was trained for it, and a typed refusal elsewhere."""

    def held(chat: VisionChat) -> bool:
        if is_trained(chat.family):
            return task(chat)
        with pytest.raises(UnsupportedFeatureError) as told:
            task(chat)
        assert told.value.hint
        pytest.skip("refused, as it should be: the family was not trained for it")

    return held


def _writes(kind: str) -> Callable[[Family], bool]:
    return lambda family: kind in family.places


def _writes_pages(form: str) -> Callable[[Family], bool]:
    return lambda family: form in dict(family.document_prompts)


def _knows_times(family: Family) -> bool:
    return family.positions_in_seconds or family.video_layout == "timestamped groups"


TASKS: dict[str, Callable[[VisionChat], bool]] = {
    "describe": lambda chat: describe(chat, ONE, sampling=SHORT).confidence is not None,
    "describe a video": lambda chat: bool(describe(chat, FILM, sampling=SHORT).reply),
    "compare": lambda chat: bool(compare(chat, ONE, TWO, sampling=SHORT).reply),
    "compare by aspects": lambda chat: (
        list(compare_by_aspects(chat, ONE, TWO, aspects=["colour"], sampling=SHORT)) == ["colour"]
    ),
    "find differences": lambda chat: all(
        found.confidence is None or _is_share(found.confidence)
        for found in find_differences(chat, ONE, TWO, sampling=FORM)
    ),
    "document_qa": lambda chat: document_qa(chat, ONE, "Who?", sampling=SHORT)["Who?"].page == 1,
    "document_qa, two pages": _paged,
    "read_text": lambda chat: isinstance(read_text(chat, ONE, sampling=SHORT).lines, tuple),
    "read_text by lines": lambda chat: isinstance(
        read_text(chat, ONE, form="lines", sampling=FORM).text_lines, tuple
    ),
    "read_table": lambda chat: _table(read_table, chat),
    "chart_to_table": lambda chat: _table(chart_to_table, chat),
    "translate_text_in_image": lambda chat: bool(
        translate_text_in_image(chat, ONE, sampling=FORM).reply
    ),
    "locate": lambda chat: isinstance(locate(chat, ONE, "a cat", sampling=FORM), Boxes),
    "point_at": lambda chat: isinstance(point_at(chat, ONE, "a cat", sampling=FORM), Points),
    "extract": lambda chat: _is_receipt(extract(chat, ONE, Receipt, sampling=FORM).value),
    "stream_extract": lambda chat: _is_receipt(
        list(stream_extract(chat, ONE, Receipt, sampling=FORM))[-1]
    ),
    "classify": _classified,
    "ask_choice": lambda chat: ask_choice(chat, "Which?", ["a", "b"], ONE).label in ("a", "b"),
    "ask_yes_no": lambda chat: _is_share(ask_yes_no(chat, "Is it?", ONE).probability),
    "ask_number": lambda chat: math.isfinite(ask_number(chat, "How many?", ONE).value),
    "count": lambda chat: isinstance(count(chat, ONE, "cats").value, int),
    "ask_video": lambda chat: (
        len(ask_video(chat, FILM, "Who?", sampling=SHORT).timestamps_seconds) == 4
    ),
    "summarize_video": lambda chat: bool(summarize_video(chat, FILM, sampling=SHORT).segments),
    "write_from_image": lambda chat: bool(write_from_image(chat, ONE, sampling=SHORT).reply),
    "judge_description": _judged,
    "next_action": _acted,
    "next_action on a phone": partial(_acted, device="mobile"),
    "parse_document": _parsed,
    "parse_document as html": _if_trained(
        _writes_pages("html"),
        lambda chat: len(parse_document(chat, ONE, "html", sampling=SHORT).pages) == 1,
    ),
    "parse_document as markdown": _if_trained(
        _writes_pages("markdown"),
        lambda chat: len(parse_document(chat, ONE, "markdown", sampling=SHORT).pages) == 1,
    ),
    "answer_from_document": lambda chat: (
        answer_from_document(chat, [ONE, TWO], "Who?", sampling=FORM).page in (1, 2, None)
    ),
    "caption_pages": lambda chat: len(caption_pages(chat, [ONE, TWO], sampling=SHORT).pages) == 2,
    "extract with evidence": _evidenced,
    "recognize": _if_trained(
        _writes("attributes"),
        lambda chat: isinstance(recognize(chat, ONE, "food", sampling=SHORT).boxes, Boxes),
    ),
    "locate_3d": _if_trained(
        _writes("box in space"),
        lambda chat: locate_3d(chat, ONE, "cars", sampling=SHORT).camera is not None,
    ),
    "outline": _if_trained(
        _writes("outline"),
        lambda chat: isinstance(outline(chat, ONE, "signs", sampling=SHORT).warnings, tuple),
    ),
    "trace_path": _if_trained(
        _writes("path"),
        lambda chat: isinstance(trace_path(chat, ONE, "go", sampling=SHORT).warnings, tuple),
    ),
    "ask_choice by letters": lambda chat: (
        ask_choice(chat, "Which?", ["a", "b"], ONE, form="letters").label in ("a", "b")
    ),
    "think_with_images": _if_trained(
        lambda family: family.calls_image_tools,
        lambda chat: isinstance(think_with_images(chat, ONE, "Who?", sampling=SHORT).steps, tuple),
    ),
    "zoom_answer": lambda chat: bool(zoom_answer(chat, ONE, "Who?", sampling=SHORT).reply),
    "find_events": _if_trained(
        _knows_times,
        lambda chat: isinstance(find_events(chat, FILM, "goals", sampling=SHORT).warnings, tuple),
    ),
    "to_code": lambda chat: to_code(chat, ONE, "svg", sampling=SHORT).form == "svg",
}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_gives_its_typed_result(chat: VisionChat, task: str) -> None:
    assert TASKS[task](chat)
