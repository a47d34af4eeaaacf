"""The page of prompts says what the package and the notebooks ask, in both languages."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from qwenvl_kit import tasks
from tests.docs.blocks import ROOT
from tests.docs.notebooks import SOURCES, sources

ENGLISH, CHINESE = "docs/cookbook/prompts.md", "docs/cookbook/prompts.zh.md"
PAGES = [ENGLISH, CHINESE]
ASKING = {"ask", "plan", "stream", "watch", "about", "next_action", "summarize_video"}
"""Calls whose sentences are put to a model."""

Pair = tuple[str, str]
Row = tuple[str, list[str], list[str]]


def rows_of(page: str, table: int) -> list[Row]:
    """The rows of a table of a page: the first cell, and the texts in English and in Chinese."""
    lines = (ROOT / page).read_text(encoding="utf-8").split("\n## ")[table].splitlines()
    cells = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return [(first, texts_in(english), texts_in(chinese)) for first, english, chinese in cells[1:]]


def texts_in(cell: str) -> list[str]:
    return [text.replace("\\n", "\n") for text in re.findall(r"`([^`]+)`", cell)]


def pairs_of(rows: list[Row]) -> list[Pair]:
    return [pair for _, english, chinese in rows for pair in zip(english, chinese)]


def prompts_of_package() -> set[Pair]:
    """All prompts that the modules of the tasks show, in both languages."""
    found: set[Pair] = set()
    for module in pkgutil.walk_packages(tasks.__path__, f"{tasks.__name__}."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if name.isupper() and not name.startswith("_") and isinstance(value, Mapping):
                found |= set(both_languages(value))
    return found


def both_languages(prompts: Mapping[Any, Any]) -> Iterator[Pair]:
    """Each English text of a table of prompts with its Chinese one."""
    for key, value in prompts.items():
        if key == "en":
            yield from same_places(value, prompts["zh"])
        elif isinstance(key, tuple) and key[-1] == "en":
            in_chinese = (*key[:-1], "zh")
            yield from same_places(value, prompts[in_chinese])
        elif isinstance(value, Mapping) and "en" in value:
            yield from both_languages(value)


def same_places(english: Any, chinese: Any) -> Iterator[Pair]:
    if isinstance(english, str):
        yield english, chinese
    elif isinstance(english, Mapping):
        yield from ((english[key], chinese[key]) for key in english)
    else:
        yield from zip(english, chinese)


def texts_of(notebook: str) -> set[str]:
    """All texts that stand in the code of a notebook."""
    tree = ast.parse((SOURCES / f"{notebook}.py").read_text(encoding="utf-8"))
    return set(texts_under(tree))


def texts_under(node: ast.AST) -> Iterator[str]:
    for one in ast.walk(node):
        if isinstance(one, ast.Constant) and isinstance(one.value, str):
            yield one.value


def asked_in(notebook: str) -> set[str]:
    """The questions in a notebook, and the sentences of its calls that ask."""
    tree = ast.parse((SOURCES / f"{notebook}.py").read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    asking = [call for call in calls if ast.unparse(call.func).rpartition(".")[2] in ASKING]
    said = {text for call in asking for argument in call.args for text in texts_under(argument)}
    questions = {text for text in texts_under(tree) if text.endswith("?")}
    return questions | {text for text in said if text.endswith(".") and text[0].isupper()}


@pytest.mark.parametrize("page", PAGES)
def test_the_page_has_all_prompts_of_the_tasks_as_the_package_says_them(page: str) -> None:
    assert set(pairs_of(rows_of(page, 1))) == prompts_of_package()


def test_prompts_are_found_wherever_the_package_names_the_language() -> None:
    found = dict(prompts_of_package())
    assert found["Read all the text in this image."] == "读出图中的所有文字。"
    assert found["Find {what} in this image with grounding."] == "框出图中{what}的位置。"
    assert found["What is the title of this document?"] == "这份文档的标题是什么？"
    assert found["the colours"] == "颜色"


@pytest.mark.parametrize("page", PAGES)
def test_each_prompt_stands_beside_a_task_that_there_is(page: str) -> None:
    named = {re.split(r"[(`]", first.strip("`"))[0] for first, _, _ in rows_of(page, 1)}
    assert named - set(tasks.__all__) == set()


@pytest.mark.parametrize("page", PAGES)
def test_each_question_of_the_page_is_in_the_notebooks_that_its_row_names(page: str) -> None:
    for notebooks, english, _ in rows_of(page, 2):
        for notebook in re.findall(r"\]\((\w+)\.md\)", notebooks):
            assert set(english) - texts_of(notebook) == set(), notebook


@pytest.mark.parametrize("notebook", [source.stem for source in sources()])
def test_each_question_of_a_notebook_is_on_the_page(notebook: str) -> None:
    rows = [english for first, english, _ in rows_of(ENGLISH, 2) if f"]({notebook}.md)" in first]
    assert asked_in(notebook) - {text for english in rows for text in english} == set()


def test_questions_are_told_from_answers_of_a_script() -> None:
    assert asked_in("tools") == {"What is the total in dollars?"}
    assert asked_in("screen") == {"Open the settings."}
    assert "Describe this image." in asked_in("batches")


def test_a_question_that_is_a_prompt_of_the_package_has_the_chinese_of_the_package() -> None:
    held = 0
    for english, chinese in pairs_of(rows_of(ENGLISH, 2)):
        for prompt, translated in prompts_of_package():
            if pattern_of(prompt).fullmatch(english) and "{question}" not in prompt:
                assert pattern_of(translated).fullmatch(chinese), english
                held += 1
    assert held >= 4


def pattern_of(prompt: str) -> re.Pattern[str]:
    """The prompt with anything in place of its placeholders."""
    return re.compile("(.+)".join(map(re.escape, re.split(r"\{\w+\}", prompt))))


@pytest.mark.parametrize("table", [1, 2])
def test_both_pages_have_the_same_texts_in_both_languages(table: int) -> None:
    english, chinese = (rows_of(page, table) for page in PAGES)
    assert [row[1:] for row in english] == [row[1:] for row in chinese]
    assert all(len(row[1]) == len(row[2]) > 0 for row in english)


def test_the_chinese_gallery_shows_the_notebooks_and_pictures_of_the_english_one() -> None:
    shown = [
        re.findall(r"\]\(([^)]+)\)", (ROOT / "docs" / "cookbook" / name).read_text("utf-8"))
        for name in ("index.md", "index.zh.md")
    ]
    assert shown[0] == shown[1]
