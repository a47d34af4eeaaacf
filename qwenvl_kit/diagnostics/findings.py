"""What an examination of the environment found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from qwenvl_kit.safe_text import plain

Status: TypeAlias = Literal["ok", "note", "problem"]
"""A note costs speed, room or a feature that not everyone uses; a problem stops the kit, or a
package that was installed for it."""

_MARKS: dict[Status, str] = {"ok": "ok", "note": "note", "problem": "PROBLEM"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what it was, such as "torch and torchvision".
        status: "ok", "note" or "problem".
        detail: what was found.
        cure: a command or a setting; empty where nothing is wrong.
    """

    name: str
    status: Status
    detail: str
    cure: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """All that an examination found. `print` it.

    Attributes:
        findings: in the order in which things were looked at.
    """

    findings: tuple[Finding, ...]

    @property
    def problems(self) -> tuple[Finding, ...]:
        """What should be cured first."""
        return tuple(finding for finding in self.findings if finding.status == "problem")

    @property
    def notes(self) -> tuple[Finding, ...]:
        """What is worth knowing."""
        return tuple(finding for finding in self.findings if finding.status == "note")

    @property
    def is_healthy(self) -> bool:
        """Whether there are no problems."""
        return not self.problems

    def __str__(self) -> str:
        return "\n".join([*self._lines(), "", self._summary()])

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


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _one_line(text: str) -> str:
    return plain(" ".join(text.split()))
