"""A plugin of pytest that writes the table of docs/backends.md: `nox -s integration -- table`."""

from __future__ import annotations

from pathlib import Path

import pytest

BEGIN, END = "<!-- backends: begin -->\n", "<!-- backends: end -->\n"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--backends-table", type=Path, help="the page whose table is written anew")


def pytest_configure(config: pytest.Config) -> None:
    page = config.getoption("--backends-table")
    if page is not None:
        config.pluginmanager.register(BackendsTable(page))


class BackendsTable:
    """Notes which backend keeps which promise, and writes it down at the end."""

    def __init__(self, page: Path) -> None:
        self._page = page
        self._kept: dict[str, dict[str, bool]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" or not report.passed:
            return
        for name, value in report.user_properties:
            if name == "backend":
                backend, promise, is_kept = value
                self._kept.setdefault(promise, {})[backend] = is_kept

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        backends = list(dict.fromkeys(name for kept in self._kept.values() for name in kept))
        lines = [f"| what | {' | '.join(backends)} |", "|---" * (len(backends) + 1) + "|"]
        words = {True: "yes", False: "refused", None: "not tried"}
        for promise, kept in self._kept.items():
            cells = (words[kept.get(backend)] for backend in backends)
            lines.append(f"| {promise} | {' | '.join(cells)} |")
        text = self._page.read_text(encoding="utf-8")
        before, rest = text.split(BEGIN)
        after = rest.split(END)[1]
        table = "\n".join(lines) + "\n"
        self._page.write_text(f"{before}{BEGIN}{table}{END}{after}", encoding="utf-8")
