"""Answers as the command line writes them: text for people, or a line of JSON for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qwenvl_kit.command_line.options import OutputOptions
from qwenvl_kit.command_line.running import failure_fields
from qwenvl_kit.command_line.terminal import say, say_dim, write, write_json

if TYPE_CHECKING:
    from qwenvl_kit.results import Failure, Reply

_ENDINGS = {"length": "the answer was cut: --max-tokens N allows more"}


def reply_fields(reply: Reply, confidence: float | None = None) -> dict[str, Any]:
    """Return the fields of a line of JSON that tell of a reply.

    Args:
        reply: the reply.
        confidence: the confidence in what a task read from it; None for that of the reply.
    """
    usage = reply.usage
    fields: dict[str, Any] = {
        "confidence": reply.confidence if confidence is None else confidence,
        "tokens": {
            "prompt": usage.prompt_tokens,
            "visual": usage.visual_tokens,
            "completion": usage.completion_tokens,
        },
        "seconds": round(reply.timing.total, 3),
        "finish_reason": reply.finish_reason,
        "error": None,
    }
    if reply.thinking:
        fields["thinking"] = reply.thinking
    return fields


def write_reply(reply: Reply, shown: OutputOptions, *, is_written: bool = False) -> None:
    """Write the answer to one question.

    Args:
        reply: the answer.
        shown: the form.
        is_written: True if its text was written already, while it came.
    """
    if shown.as_json:
        write_json({"text": reply.text, **reply_fields(reply)})
        return
    if not is_written:
        write(reply.text)
    write_confidence(reply.confidence, shown)
    remark_on(reply)


def write_confidence(confidence: float | None, shown: OutputOptions) -> None:
    """Write the confidence, if that is asked for."""
    if shown.confidence:
        write(f"confidence: {_share(confidence)}")


def remark_on(reply: Reply) -> None:
    """Tell on the standard error of an answer that ended early, and of likely mistakes."""
    if reply.finish_reason != "stop":
        say_dim(_ENDINGS.get(reply.finish_reason, f"the answer ended early: {reply.finish_reason}"))
    for warning in reply.warnings:
        say_dim(warning)


def write_result(source: str, result: Reply | Failure, shown: OutputOptions) -> None:
    """Write the result about one of several sources in a line, or as a paragraph below its name."""
    from qwenvl_kit.results import Reply

    if isinstance(result, Reply):
        if shown.as_json:
            write_json({"source": source, "text": result.text, **reply_fields(result)})
        else:
            _write_named(source, result, shown)
    elif shown.as_json:
        write_json({"source": source, "text": None, **failure_fields(result.error)})
    else:
        say(f"{_named(source)}: {result.error}")


def _write_named(source: str, reply: Reply, shown: OutputOptions) -> None:
    text = reply.text.strip()
    gap = "\n" if "\n" in text else " "
    sure = f" ({_share(reply.confidence)})" if shown.confidence else ""
    write(f"{_named(source)}:{sure}{gap}{text}")


def _named(source: str) -> str:
    """A name in one line: a file's name may hold line ends."""
    return source.replace("\n", "\\n").replace("\t", "\\t")


def _share(confidence: float | None) -> str:
    return "not known" if confidence is None else f"{confidence:.3f}"
