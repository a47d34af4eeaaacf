"""The documentation in Chinese shows the code and the structure of the English one.

A page that nobody can bring up to date may be deleted: the site shows the English page in its
place.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.docs import blocks
from tests.docs.blocks import ROOT, blocks_of, promised_prints
from tests.docs.chinese import (
    HAN,
    broken_lines,
    broken_links,
    code_of,
    english_of,
    headings_of,
    pages,
    terms,
    text_of,
    untranslated,
)

PAGES = pages()
README = "README.zh-CN.md"
STALE = "bring the Chinese page up to date, or delete it: the site then shows the English one"


@pytest.mark.parametrize("page", PAGES)
def test_a_chinese_page_has_the_code_of_its_english_page_but_for_comments(page: str) -> None:
    assert code_of(page) == code_of(english_of(page)), STALE


@pytest.mark.parametrize("page", PAGES)
def test_a_chinese_page_says_that_the_same_is_printed(page: str) -> None:
    said, wanted = (
        [[*promised_prints(block).values()] for block in blocks_of(name)]
        for name in (page, english_of(page))
    )
    assert said == wanted, STALE


@pytest.mark.parametrize("page", PAGES)
def test_a_chinese_page_has_the_headings_of_its_english_page_with_their_anchors(page: str) -> None:
    assert headings_of(page) == headings_of(english_of(page)), STALE


@pytest.mark.parametrize("page", [*PAGES, README])
def test_links_of_a_chinese_page_lead_somewhere(page: str) -> None:
    assert list(broken_links(page)) == []


@pytest.mark.parametrize("page", [*PAGES, README])
def test_no_line_of_chinese_is_broken_as_a_blank_would_be_shown(page: str) -> None:
    assert broken_lines(page) == []


@pytest.mark.parametrize("page", [*PAGES, README])
def test_a_chinese_page_keeps_to_the_words_of_the_glossary(page: str) -> None:
    text = re.sub(
        r"`[^`\n]+`", "", text_of(page)
    )  # prompts are as the publisher's models know them
    assert {word: term for word, term in terms().items() if word in text} == {}


@pytest.mark.parametrize("page", PAGES)
def test_a_chinese_page_is_in_chinese(page: str) -> None:
    assert len(re.findall(HAN, text_of(page))) > 200


@pytest.mark.parametrize(
    ("language", "code", "translated", "is_the_same"),
    [
        ("python", "ask(1)  # now\n", "ask(1)  # 现在\n", True),
        ("python3", "ask(1)\n", "ask(2)\n", False),
        ("python", "ask('#')  # a\n", "ask('# b')  # a\n", False),
        ("bash", "pip install a   # all\n", "pip install a   # 全部\n", True),
        ("bash", "pip install a   # all\n", "pip install b   # all\n", False),
        ("toml", "# first\na = 1\n", "# 第一\na = 1\n", True),
        ("text", "a  # 1\n", "a  # 2\n", False),
        ("text", "Error\n├── A     one\n", "Error\n├── A     一\n", True),
        ("text", "Error\n├── A     one\n", "Error\n├── B     one\n", False),
    ],
)
def test_a_comment_may_be_translated_and_nothing_else(
    language: str, code: str, translated: str, is_the_same: bool
) -> None:
    assert (untranslated(language, code) == untranslated(language, translated)) is is_the_same


def test_the_chinese_readme_shows_the_program_of_the_english_one() -> None:
    program = next(code for language, code in code_of("README.md") if language == "python")
    assert ("python", program) in code_of(README)


def test_code_of_chinese_pages_is_left_to_the_english_ones() -> None:
    assert "docs/guide/asking.zh.md" in PAGES
    assert not set(PAGES) & set(blocks.pages())


def test_each_title_of_the_navigation_has_its_words_in_chinese() -> None:
    config = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), _Tolerant)
    (i18n,) = (plugin["i18n"] for plugin in config["plugins"] if "i18n" in plugin)
    (words,) = (one["nav_translations"] for one in i18n["languages"] if one["locale"] == "zh")
    assert _titles(config["nav"]) - set(words) == set()


class _Tolerant(yaml.SafeLoader):
    """A loader that passes over tags of MkDocs, such as `!relative`."""


_Tolerant.add_multi_constructor("!", lambda *_: None)


def _titles(nav: list[Any]) -> set[str]:
    """Titles of the navigation, but for those of the reference, which is in English."""
    found = set()
    for entry in nav:
        for title, inside in entry.items() if isinstance(entry, dict) else ():
            found.add(title)
            if title != "Reference" and isinstance(inside, list):
                found |= _titles(inside)
    return found
