"""The HTML of each form, compared with small files that a person has looked at in a browser.

`python -m tests.display.test_forms` writes them anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import PIL.Image
import pytest

from qwenvl_kit import (
    ImagePart,
    Inspection,
    MediaPolicy,
    Message,
    Request,
    VideoPart,
    VisionChat,
)
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.display.growing import Growing
from qwenvl_kit.grounding.boxes import Box
from qwenvl_kit.grounding.places import Boxes
from qwenvl_kit.results import Results
from qwenvl_kit.tasks.answer_scores import ScoredAnswers
from qwenvl_kit.tasks.ask_yes_no import YesNo
from qwenvl_kit.tasks.classify import Classification
from qwenvl_kit.tasks.compare import Comparison
from qwenvl_kit.tasks.document_qa import DocumentAnswer, DocumentAnswers
from qwenvl_kit.tasks.extract import Extraction
from qwenvl_kit.tasks.judge_description import Claim, Judgement
from qwenvl_kit.tasks.read_text import ReadText, TextLine
from qwenvl_kit.tasks.summarize_video.segments import VideoSegment, VideoSummary
from qwenvl_kit.tasks.translate_text_in_image import TextPair, Translation
from tests.display.samples import DIAGNOSIS, FAILURE, PLAN, RED, RESULTS, SURE, said

SNAPSHOTS = Path(__file__).parent / "snapshots"
SCORES = ScoredAnswers(("cat", "dog"), (-0.2, -1.9), (said("cat"), said("dog")))
BOX = Box("cup", 1.04, 2.0, 30.26, 40.0, 0.87)
INSPECTION = Inspection(
    name="Qwen/Qwen3-VL-2B-Instruct",
    origin="huggingface",
    revision="abc",
    family="qwen3_vl",
    is_mixture_of_experts=False,
    num_parameters=2_000_000_000,
    disk_bytes=4_000_000_000,
    weight_bytes={"stored": 4_000_000_000},
    context_tokens=262_144,
    quantized_as=None,
    missing=("bitsandbytes is not installed: pip install bitsandbytes",),
)


def boxes() -> Boxes:
    return Boxes(
        [BOX, Box("plate", 0.0, 0.0, 20.0, 20.0)],
        reply=SURE,
        warnings=("a box was cut off",),
        image_size=PLAN.images[0].original,
        source="gone.png",
        policy=MediaPolicy(),
    )


def conversation() -> Any:
    chat = VisionChat(ScriptedBackend(["A red square."]))
    talk = chat.start(system="Be brief.")
    talk.ask("What is this?")
    return talk


def chat() -> VisionChat:
    return VisionChat(ScriptedBackend([""]))


FORMS: dict[str, Callable[[], Any]] = {
    "boxes": boxes,
    "chat": chat,
    "classification": lambda: Classification(
        MappingProxyType(dict(zip(SCORES.answers, SCORES.probabilities))), SCORES
    ),
    "comparison": lambda: Comparison(said("The second is brighter.")),
    "conversation": conversation,
    "diagnosis": lambda: DIAGNOSIS,
    "document_answers": lambda: DocumentAnswers(
        {"Who?": DocumentAnswer(said('{"answer": "Ada", "page": 2}'), (1, 2))}, {"When?": FAILURE}
    ),
    "extraction": lambda: Extraction(
        {"total": 3.5, "items": ["tea"]},
        MappingProxyType({"total": 0.9, "items[0]": None}),
        said('{"total": 3.5, "items": ["tea"]}'),
    ),
    "failure": lambda: FAILURE,
    "growing": lambda: Growing("A red ci"),
    "image_part": lambda: ImagePart("photo.jpg", budget="fine"),
    "image_plan": lambda: PLAN.images[0],
    "inspection": lambda: INSPECTION,
    "judgement": lambda: Judgement(
        (Claim("It is red.", 0.9), Claim("It flies.", 0.1)), 0.5, 2, 0.8
    ),
    "plan": lambda: PLAN,
    "read_text": lambda: ReadText(
        said("x"), (TextLine("Exit", BOX, 0.9), TextLine("出口", None, None))
    ),
    "reply": lambda: replace(SURE, thinking="It is round.", finish_reason="length"),
    "results": lambda: RESULTS,
    "translation": lambda: Translation(
        said("x"), "English", (TextPair("出口", "Exit", BOX, 0.9, 0.8),), ("one was cut off",)
    ),
    "video_part": lambda: VideoPart("film.mp4", fps=1),
    "video_plan": lambda: PLAN.videos[0],
    "video_summary": lambda: VideoSummary(
        "A cat sleeps.", (VideoSegment(0, 60, "A cat.", SURE),), 60.0, SURE
    ),
    "yes_no": lambda: YesNo(0.85, SCORES),
}


def html_of(form: str) -> str:
    """A form without its style, an element a line."""
    html = FORMS[form]()._repr_html_()
    html = re.sub(r"<style>.*?</style>", "", html)
    return re.sub(r"(</(?:div|tr|details|figure|pre|thead|p)>)", r"\1\n", html)


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_the_one_that_was_looked_at(form: str) -> None:
    assert html_of(form) == (SNAPSHOTS / f"{form}.html").read_text("utf-8")


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_one_element_that_fetches_nothing(form: str) -> None:
    html = FORMS[form]()._repr_html_()
    assert html.startswith('<div class="qvk"><style>')
    assert html.endswith("</div>")
    assert not re.search(r"https?:|//|@import|url\(|<script|<link|\son\w+=", html)


def test_a_list_of_thousands_shows_its_first_and_last() -> None:
    html = Results([SURE] * 5000)._repr_html_()
    assert "... 4,940 more rows ..." in html
    assert "<td class=n>4999</td>" in html
    assert len(html) < 100_000


def test_pictures_in_memory_are_shown_as_thumbnails_and_files_by_their_names() -> None:
    frames = [PIL.Image.new("RGB", (320, 200), (at, 0, 0)) for at in range(40)]
    html = VideoPart(frames, fps=4)._repr_html_()
    assert html.count("<img") == 12
    assert "0:00.00" in html
    assert "0:09.75" in html
    assert ImagePart(RED)._repr_html_().count("<img") == 1
    assert "<img" not in ImagePart("missing.png")._repr_html_()


def test_a_conversation_shows_what_was_shown_in_it() -> None:
    chat = VisionChat(ScriptedBackend(["Red.", "Blue."]))
    talk = chat.start()
    talk.ask("The colour?", RED)
    talk.ask([Message.user(ImagePart(PIL.Image.new("RGB", (9, 9), "blue")), "And here?")])
    html = talk._repr_html_()
    assert html.count("<img") == 2
    for words in ("The colour?", "Red.", "And here?", "Blue.", "4 messages"):
        assert words in html


def test_a_long_conversation_shows_its_last_turns() -> None:
    chat = VisionChat(ScriptedBackend(lambda _: "Yes."))
    talk = chat.start()
    for number in range(30):
        talk.ask(f"Question {number}?")
    html = talk._repr_html_()
    assert "... 20 messages before ..." in html
    assert "Question 9?" not in html
    assert "Question 29?" in html


def test_a_failure_of_a_batch_stands_in_the_table_of_its_results() -> None:
    chat = VisionChat(ScriptedBackend(["One."]))
    results = chat.ask_many([Request.about("?", id="a"), Request.about("?", "no.png", id="b")])
    assert isinstance(results, Results)
    html = results._repr_html_()
    assert "One." in html
    assert "MediaNotFoundError" in html
    assert "2 results, 1 failure" in html


if __name__ == "__main__":
    for name in FORMS:
        (SNAPSHOTS / f"{name}.html").write_text(html_of(name), "utf-8")
