"""Tests that a page names as a proof are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT

TESTS = ROOT / "tests"
PROVEN = ("docs/guide/training.md",)
"""Pages that name tests."""


@pytest.mark.parametrize("page", PROVEN)
def test_each_test_that_a_page_names_is_there(page: str) -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / page).read_text(encoding="utf-8")))
    written = {
        name
        for file in TESTS.rglob("test_*.py")
        for name in re.findall(
            r"^(?:async )?def (test_\w+)", file.read_text(encoding="utf-8"), re.M
        )
    }
    assert named
    assert named <= written, sorted(named - written)


def _tests_of(file: Path) -> list[str]:
    return re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
