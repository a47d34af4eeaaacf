"""HTML of answers that mean harm: a real browser says that nothing of it runs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit import Diagnosis, Failure, Finding, ImagePart, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.display.growing import Growing
from qwenvl_kit.errors import MediaError
from qwenvl_kit.results import Results
from qwenvl_kit.tasks import (
    document_qa,
    locate,
    locate_3d,
    outline,
    read_text,
    recognize,
    trace_path,
)
from tests.display.samples import HOSTILE, PLAN, RED, reply_of, said, token

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

TAGS = frozenset(
    ("b", "br", "details", "div", "figcaption", "figure", "i", "img", "p", "pre", "span", "strong")
) | {"style", "summary", "table", "tbody", "td", "th", "thead", "tr"}
"""All elements that a form is made of."""

ATTRIBUTES = frozenset(("alt", "class", "colspan", "data-a", "dir", "src", "style", "tabindex"))


def forms(text: str) -> Iterator[str]:
    """Every form with a hostile text in every place where strangers' text can stand."""
    reply = replace(reply_of(token(text, 0.3, (text, 0.2))), thinking=text, request_id=text)
    reply = replace(reply, warnings=(text,), samples=(text, text))
    reply = replace(reply, plan=replace(PLAN, degradations=(text,), warnings=(text,)))
    failure = Failure(0, MediaError(text), text)
    values: list[Any] = [reply, failure, Results([reply, failure]), reply.plan, Growing(text)]
    values += [Diagnosis((Finding(text, "problem", text, text),))]
    chat = VisionChat(ScriptedBackend(lambda _: text, family="qwen3_vl"))
    conversation = chat.start(system="be brief")
    if "\ud800" not in text:  # half of a pair cannot become a part of a conversation
        conversation.ask(f"Who? {text}", RED)
    values += [conversation, document_qa(chat, [RED], ["What?"]), read_text(chat, RED)]
    values += [locate(VisionChat(ScriptedBackend([found(text)], family="qwen3_vl")), RED, "it")]
    values += [task(chat_of(text, form), RED, "it") for task, form in SCENES]
    values += [ImagePart(RED), ImagePart(text)]
    for value in values:
        yield value._repr_html_()


SCENES: tuple[tuple[Any, dict[str, Any]], ...] = (
    (recognize, {"bbox_2d": [100, 100, 900, 900]}),
    (locate_3d, {"bbox_3d": [0, 0, 5, 1, 1, 1, 0, 0, 0]}),
    (outline, {"poly_2d": [100, 100, 900, 100, 900, 900]}),
    (trace_path, {"point_2d": [100, 100]}),
)


def chat_of(label: str, place: dict[str, Any]) -> VisionChat:
    """A chat that answers with one place, whose label and name are a hostile text."""
    import json

    answer = json.dumps([{**place, "label": label, "name_en": label, label: label}])
    return VisionChat(ScriptedBackend([answer], family="qwen3_vl"))


def found(label: str) -> str:
    import json

    return json.dumps([{"bbox_2d": [100, 100, 900, 900], "label": label}])


class _Reader(HTMLParser):
    """The names of all elements and attributes, and that elements are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.sources: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.sources += [value or "" for name, value in attrs if name == "src"]
        if tag not in ("br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_form_has_no_elements_and_attributes_but_its_own(text: str) -> None:
    for html in forms(text):
        reader = _Reader()
        reader.feed(html)
        assert reader.open == []
        assert reader.tags <= TAGS
        assert reader.attributes <= ATTRIBUTES
        assert all(source.startswith("data:image/") for source in reader.sources)


def test_characters_that_turn_or_hide_text_are_made_visible() -> None:
    html = said(HOSTILE[18])._repr_html_()
    assert "safe\\u202egnp.exe \\u2066hidden\\u2069 \\u200b \\x1b[31mred" in html
    assert not set("\u202e\u2066\u2069\u200b\x1b\x00\ud800") & set(html)
    assert html.encode()


def test_right_to_left_text_does_not_turn_what_stands_around_it() -> None:
    assert '<div class="qvk-text" dir="auto">مرحبا</div>' in said("مرحبا")._repr_html_()


def dom_of(page: Path) -> str:
    """A page as a browser leaves it after its scripts have run."""
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless", "--disable-gpu", "--no-first-run", "--dump-dom"]
    command += [f"--user-data-dir={page.parent / 'profile'}", "--virtual-time-budget=2000"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # as in a container
        command.append("--no-sandbox")
    answer = subprocess.run([*command, page.as_uri()], capture_output=True, timeout=120, check=True)
    return answer.stdout.decode()


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium (apt-get install chromium)")
def test_a_browser_runs_nothing_of_any_form(tmp_path: Path) -> None:
    shown = "".join(html for text in HOSTILE for html in forms(text))
    head = "<!doctype html><meta charset=utf-8><title>still</title><body>"
    page = tmp_path / "forms.html"
    page.write_text(f"{head}{shown}", encoding="utf-8")
    dom = dom_of(page)
    assert "<title>still</title>" in dom
    assert dom.count("<script") == 0
    page.write_text(f"{head}{shown}{HOSTILE[0]}", encoding="utf-8")
    assert "<title>ran</title>" in dom_of(page), "a script that is one would have run"
