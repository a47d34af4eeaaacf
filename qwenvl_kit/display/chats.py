"""The form of a chat: the model that is loaded, and how."""

from __future__ import annotations

from collections.abc import Mapping

from qwenvl_kit.display.blocks import folded, heading, table
from qwenvl_kit.display.styles import framed
from qwenvl_kit.safe_text import plain

_REASON = "_reason"
_LEADING = ("family", "device", "dtype", "quantization", "attention", "adapter")
"""The facts that stand in a repr, as far as they are known."""


def chat_repr(report: Mapping[str, str], *, is_open: bool) -> str:
    """Return a chat in one line, such as `VisionChat(Qwen2-VL-2B-Instruct, qwen2_vl, cpu)`."""
    facts = [report[name] for name in _LEADING if report.get(name, "none") != "none"]
    facts += [] if is_open else ["closed"]
    return f"VisionChat({', '.join(map(plain, [_name(report), *facts]))})"


def chat_html(report: Mapping[str, str], *, is_open: bool) -> str:
    """Return the report of a chat as a table; a reason stands beside the decision."""
    rows = [
        (name, plain(value), plain(report.get(f"{name}{_REASON}", "")))
        for name, value in report.items()
        if not name.endswith(_REASON)
    ]
    state = "" if is_open else " (closed)"
    facts = table(("", "value", "reason"), rows)
    return framed(heading(f"VisionChat {plain(_name(report))}{state}"), folded("report", facts))


def _name(report: Mapping[str, str]) -> str:
    """The last part of a model's path or id, and the one before where that says nothing."""
    parts = [part for part in str(report.get("model", "")).replace("\\", "/").split("/") if part]
    return "/".join(parts[-2:])
