"""A plugin of pytest that writes what was proven for each model family: `nox -s families`.

A row is a promise, which is a test's name; a cell holds the runs of that test that have passed
for a family, by their names in pytest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from qwenvl_kit.families import FAMILIES

APART = (
    "test_positions_and_logits_are_those_of_transformers",
    "test_a_task_gives_its_typed_result",
)
"""Tests whose variants are capabilities of their own."""

MOST_VARIANTS_NAMED = 8
LEAST_FAMILIES = 3
"""A test of fewer is about something else."""


@dataclass(frozen=True)
class Run:
    """A run of a test: its name in pytest, without brackets, and the family that it is of."""

    name: str
    family: str

    @property
    def variant(self) -> str:
        """What else it was run with."""
        return "-".join(part for part in self.name.split("-") if part != self.family)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--capabilities", type=Path, help="the page to write")


def pytest_configure(config: pytest.Config) -> None:
    page = config.getoption("--capabilities")
    if page is not None:
        config.pluginmanager.register(Capabilities(page))


class Capabilities:
    """Notes what passes, and writes it down at the end."""

    def __init__(self, page: Path) -> None:
        self._page = page
        self._passed: dict[str, list[Run]] = defaultdict(list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test, _, name = report.nodeid.removesuffix("]").partition("[")
        family = next((part for part in name.split("-") if part in FAMILIES), None)
        if report.when == "call" and report.passed and family is not None:
            self._passed[test].append(Run(name, family))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        lines = [INTRODUCTION, f"| promise | {' | '.join(FAMILIES)} |", "|---" * 8 + "|"]
        file = ""
        for test, runs in self._passed.items():
            if len({run.family for run in runs}) < LEAST_FAMILIES:
                continue
            if test.partition("::")[0] != file:
                file = test.partition("::")[0]
                lines.append(f"| **{file}** |{' |' * len(FAMILIES)}")
            lines += _rows(test.partition("::")[2], runs)
        self._page.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _rows(test: str, runs: list[Run]) -> Iterator[str]:
    """A row for each variant of a test that is to be seen apart, else one for all."""
    variants = list(dict.fromkeys(run.variant for run in runs if run.variant))
    promise = test.removeprefix("test_").replace("_", " ")
    if test in APART:
        for variant in variants:
            of_variant = [run for run in runs if run.variant == variant]
            yield _row(f"{promise}: **{variant}**<br>`{test}`", of_variant)
        return
    named = ", ".join(variants) if len(variants) <= MOST_VARIANTS_NAMED else ""
    what = f": {named}" if named else f", in {len(variants)} variants" if variants else ""
    yield _row(f"{promise}{what}<br>`{test}`", runs)


def _row(title: str, runs: list[Run]) -> str:
    return f"| {title} | {' | '.join(_cell(runs, family) for family in FAMILIES)} |"


def _cell(runs: list[Run], family: str) -> str:
    names = [run.name for run in runs if run.family == family]
    if not names:
        return "-"
    return f"`[{names[0]}]`" + (f" and {len(names) - 1} more" if len(names) > 1 else "")


INTRODUCTION = """---
hide: [navigation, toc]
---

<style>.md-grid { max-width: 100rem; }</style>

# Families

What is proven for each family of models, on tiny random models of its architecture built by
`qwenvl_kit.testing.build_tiny_model`. A row is a promise, with the test that holds it; a cell names
the run of that test that passed for the family, so that `pytest "FILE::TEST[RUN]"` shows it. `-`
says that the test does not apply there. `nox -s families` writes this page.
"""
