"""Findings of the checks, and the diagnosis that holds them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from qwenvl_kit.display.blocks import heading, table
from qwenvl_kit.display.styles import framed
from qwenvl_kit.safe_text import plain

Status: TypeAlias = Literal["ok", "note", "problem"]
"""The weight of a finding: a note costs speed, space or a feature that not everyone uses; a problem
stops the kit, or a package that was installed for it."""

_MARKS: dict[Status, str] = {"ok": "ok", "note": "note", "problem": "PROBLEM"}


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        name: the thing that was checked, such as "torch and torchvision".
        status: "ok", "note" or "problem".
        detail: the result in words.
        cure: a command or a setting; empty if nothing is wrong.
    """

    name: str
    status: Status
    detail: str
    cure: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """The findings of all checks. `print` it.

    Attributes:
        findings: the findings, in the order of the checks.
    """

    findings: tuple[Finding, ...]

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings that should be cured first."""
        return tuple(finding for finding in self.findings if finding.status == "problem")

    @property
    def notes(self) -> tuple[Finding, ...]:
        """The findings that are worth knowing and hinder nothing."""
        return tuple(finding for finding in self.findings if finding.status == "note")

    @property
    def is_healthy(self) -> bool:
        """True if there are no problems."""
        return not self.problems

    def __str__(self) -> str:
        return "\n".join([*self._lines(), "", self._summary()])

    def __repr__(self) -> str:
        return f"Diagnosis({self._summary().rstrip('.')}; print it)"

    def _repr_html_(self) -> str:
        rows = [(_MARKS[finding.status], finding.name, _told(finding)) for finding in self.findings]
        return framed(heading(self._summary()), table(("", "check", "finding"), rows))

    def _lines(self) -> Iterator[str]:
        width = max((len(finding.name) for finding in self.findings), default=0)
        for finding in self.findings:
            head = f"{_MARKS[finding.status]:8}{finding.name:{width}}  "
            yield head + _one_line(finding.detail)
            if finding.cure:
                yield " " * len(head) + f"cure: {_one_line(finding.cure)}"

    def _summary(self) -> str:
        problems, notes = len(self.problems), len(self.notes)
        counts = f"{_count(problems, 'problem')}, {_count(notes, 'note')}"
        return f"{'Healthy' if self.is_healthy else 'Not healthy'}: {counts}."


def _told(finding: Finding) -> str:
    cure = f"\ncure: {_one_line(finding.cure)}" if finding.cure else ""
    return f"{_one_line(finding.detail)}{cure}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _one_line(text: str) -> str:
    return plain(" ".join(text.split()))
