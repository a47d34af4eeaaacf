"""The form of a chat: the model that is loaded, and how."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from qwenvl_kit.display.blocks import folded, heading, table
from qwenvl_kit.display.styles import framed
from qwenvl_kit.errors import ModelLoadError
from qwenvl_kit.safe_text import plain

_REASON = "_reason"
_LEADING = ("family", "device", "dtype", "quantization", "attention", "adapter")
"""The facts that stand in a repr, as far as they are known."""


class ShownChat(ABC):
    """The base class of a chat: it shows itself by its report."""

    @abstractmethod
    def report(self) -> Mapping[str, str]:
        """Everything that was decided when the model was loaded, in words."""

    @abstractmethod
    def health(self) -> Any:
        """The state of the chat, with `is_ready`."""

    def __repr__(self) -> str:
        return chat_repr(_known(self), is_open=self.health().is_ready)

    def _repr_html_(self) -> str:
        return chat_html(_known(self), is_open=self.health().is_ready)


def _known(chat: ShownChat) -> Mapping[str, str]:
    """The report of a chat; empty if it is closed and does not know it any more."""
    try:
        return chat.report()
    except ModelLoadError:
        return {}


def chat_repr(report: Mapping[str, str], *, is_open: bool) -> str:
    """Return a chat in one line, such as `VisionChat(Qwen2-VL-2B-Instruct, qwen2_vl, cpu)`."""
    facts = [report[name] for name in _LEADING if report.get(name, "none") != "none"]
    facts += [] if is_open else ["closed"]
    known = filter(None, [_name(report), *facts])
    return f"VisionChat({', '.join(map(plain, known))})"


def chat_html(report: Mapping[str, str], *, is_open: bool) -> str:
    """Return the report of a chat as a table; a reason stands beside the decision."""
    rows = [
        (name, plain(value), plain(report.get(f"{name}{_REASON}", "")))
        for name, value in report.items()
        if not name.endswith(_REASON)
    ]
    state = "" if is_open else " (closed)"
    facts = table(("", "value", "reason"), rows) if rows else ""
    return framed(heading(f"VisionChat {plain(_name(report))}{state}"), folded("report", facts))


def _name(report: Mapping[str, str]) -> str:
    """The last part of a model's path or id, and the one before where that says nothing."""
    parts = [part for part in str(report.get("model", "")).replace("\\", "/").split("/") if part]
    return "/".join(parts[-2:])
