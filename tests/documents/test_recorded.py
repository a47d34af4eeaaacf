"""Answers of the shapes that published models were seen to write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit.documents.reading.pages import READERS

RECORDED = Path(__file__).parents[3] / "shared" / "recorded" / "documents.json"


def cases() -> list[dict[str, Any]]:
    return json.loads(RECORDED.read_text(encoding="utf-8")) if RECORDED.is_file() else []


@pytest.mark.skipif(not RECORDED.is_file(), reason="the recorded answers are not on this machine")
def test_recorded_answers_give_their_kinds_and_places() -> None:
    for case in cases():
        form = "markdown" if "Markdown" in case["name"] else "html"
        page = READERS[form](case["text"])
        assert [block.kind for block in page.blocks] == case["kinds"], case["name"]
        boxes = [None if block.numbers is None else [*block.numbers] for block in page.blocks]
        assert boxes == case["boxes"], case["name"]
        assert not page.warnings
