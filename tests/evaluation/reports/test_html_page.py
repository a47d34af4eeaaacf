"""The page of a result shows everything that others wrote, and runs nothing of it."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from qwenvl_kit.errors import EvaluationError, GenerationError
from qwenvl_kit.messages.message import ImagePart
from tests.evaluation.making import scored_item
from tests.evaluation.results import result_of, small_result

EVIL = "<script>alert(1)</script><img src=http://example.com/x onerror=alert(1)>'\"&"
HARMLESS = {
    *("html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "p", "b", "ul"),
    *("li", "small", "strong", "div", "table", "thead", "tbody", "tr", "th", "td", "svg", "rect"),
    *("section", "article", "header", "footer", "dl", "dt", "dd", "span", "br", "img"),
}


class Page(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(result: Any, tmp_path: Path, num_hardest: int = 20) -> Page:
    result.write_html(tmp_path / "report.html", num_hardest=num_hardest)
    return Page((tmp_path / "report.html").read_text(encoding="utf-8"))


def check_is_harmless(page: Page) -> None:
    for name, attributes in page.elements:
        assert name in HARMLESS
        assert not [each for each in attributes if each.startswith("on") or each == "href"]
        if name == "img":
            assert (attributes["src"] or "").startswith("data:image/")


def test_the_page_has_the_score_the_groups_and_the_failures(tmp_path: Path) -> None:
    page = page_of(small_result(), tmp_path)
    for text in ("50.0", "accuracy, strict", "mean over 3 of 4 items", "out of luck", "some/model"):
        assert text in page.text
    check_is_harmless(page)


def test_nothing_that_others_wrote_is_run(tmp_path: Path) -> None:
    item = scored_item(
        EVIL,
        0.0,
        groups={EVIL: EVIL},
        question=EVIL,
        targets=(EVIL,),
        choices=(EVIL, EVIL),
        answer=EVIL,
        read=EVIL + "!",
        where=EVIL,
        judge_answer=EVIL,
        confidence=0.5,
    )
    failed = scored_item("x", None, error=GenerationError(EVIL, hint=EVIL, where=EVIL))
    result = result_of(
        [item, failed],
        benchmark=EVIL,
        prompt=EVIL,
        data={"name": EVIL, "digest": EVIL},
        model={"model": EVIL, EVIL: EVIL},
        judge={"model": EVIL},
    )
    page = page_of(result, tmp_path)
    check_is_harmless(page)
    assert page.text.count("<script>alert(1)</script>") > 10


def test_browsers_are_told_to_run_nothing_and_to_fetch_nothing(tmp_path: Path) -> None:
    page = page_of(small_result(), tmp_path)
    (policy,) = (
        attributes["content"]
        for _, attributes in page.elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "script" not in policy
    content = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|url\(|@import", content)


def test_characters_that_turn_texts_around_are_escaped(tmp_path: Path) -> None:
    page = page_of(result_of([scored_item("a", 0.0, answer="\u202etxet\x07\x1b[0m")]), tmp_path)
    assert not set(page.text) & set("\u202e\x07\x1b")
    assert "\\u202etxet" in page.text


def test_the_hardest_items_have_their_pictures(tmp_path: Path) -> None:
    def media() -> Any:
        return tuple(
            ImagePart(PIL.Image.new("RGB", (640, 480), colour))
            for colour in ("red", "blue", "green", "black", "white", "gray")
        )

    page = page_of(result_of([scored_item("a", 0.0, load_media=media)]), tmp_path)
    pictures = [
        each for name, each in page.elements if name == "img" and each["alt"] != "confidences"
    ]
    assert len(pictures) == 4
    assert all((each["src"] or "").startswith("data:image/jpeg;base64,") for each in pictures)
    assert "and 2 more" in page.text


def test_pictures_that_cannot_be_shown_are_told_at_their_item(tmp_path: Path) -> None:
    def damaged() -> Any:
        return (ImagePart(b"\x89PNG\r\n\x1a\nnothing more"),)

    def missing() -> Any:
        raise EvaluationError("the file of the data is gone", where="data.tsv:7")

    items = [scored_item("a", 0.0, load_media=damaged), scored_item("b", 0.0, load_media=missing)]
    page = page_of(result_of(items), tmp_path)
    assert page.text.count("its pictures cannot be shown") == 2
    assert "the file of the data is gone" in page.text


def test_a_picture_with_a_crop_is_shown_as_the_model_saw_it(tmp_path: Path) -> None:
    from qwenvl_kit.geometry import Region

    picture = PIL.Image.new("RGB", (100, 100), "red")

    def media() -> Any:
        return (ImagePart(picture, crop=Region(0, 0, 10, 50)),)

    page = page_of(result_of([scored_item("a", 0.0, load_media=media)]), tmp_path)
    assert any(name == "img" for name, _ in page.elements)


@pytest.mark.parametrize(("number", "shown"), [(0, 0), (1, 1), (20, 2)])
def test_as_many_items_are_shown_as_are_asked_for(tmp_path: Path, number: int, shown: int) -> None:
    page = page_of(small_result(), tmp_path, number)
    assert sum(name == "article" for name, _ in page.elements) == shown


@pytest.mark.parametrize("number", [-1, 1.5, True, "many"])
def test_another_number_is_refused(tmp_path: Path, number: Any) -> None:
    with pytest.raises(EvaluationError, match="num_hardest"):
        small_result().write_html(tmp_path / "report.html", num_hardest=number)


def test_a_result_without_answers_has_a_page_too(tmp_path: Path) -> None:
    failed = result_of([each for each in small_result().items if each.is_failed])
    page = page_of(failed, tmp_path)
    assert "no score" in page.text
    assert "out of luck" in page.text


def test_a_page_without_matplotlib_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert "matplotlib" in page_of(small_result(), tmp_path).text


def test_long_texts_are_cut(tmp_path: Path) -> None:
    result = result_of([scored_item("a", 0.0, answer="word " * 100_000)])
    result.write_html(tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 100_000


def test_many_failures_are_shown_in_part(tmp_path: Path) -> None:
    failed = [scored_item(str(at), None, error=GenerationError("no")) for at in range(80)]
    assert "30 more are not shown" in page_of(result_of(failed), tmp_path).text


def test_a_loaded_result_has_a_page_without_pictures(tmp_path: Path) -> None:
    from qwenvl_kit.evaluation.result import load_result

    small_result().save(tmp_path / "result.json")
    check_is_harmless(page_of(load_result(tmp_path / "result.json"), tmp_path))


def test_items_without_confidence_have_no_plot(tmp_path: Path) -> None:
    items = tuple(replace(each, confidence=None) for each in small_result().items)
    page = page_of(replace(small_result(), items=items), tmp_path)
    assert not any(each.get("alt") == "confidences" for _, each in page.elements)
