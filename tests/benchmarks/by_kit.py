"""The kit's side of the comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qwenvl_kit import Reply, Sampling, VisionChat
from tests.benchmarks.measuring import Run, Side, timed, with_note
from tests.benchmarks.models import Subject
from tests.by_hand import ids_of


def cold(subject: Subject, side: Side) -> Run:
    """A side that begins with nothing kept."""
    subject.chat.clear_cache()
    return side()


def ask_many(
    chat: VisionChat, requests: Sequence[Any], sampling: Sampling | None = None, **settings: Any
) -> Run:
    """Many requests; their token ids are the answers."""

    def act() -> list[list[int]]:
        replies: list[Reply] = chat.ask_many(
            requests, sampling=sampling, on_error="raise", **settings
        )
        return [ids_of(reply) for reply in replies]

    return timed(act)


def ask(chat: VisionChat, messages: Any, sampling: Sampling) -> Run:
    """One request, with the number of tokens that were known."""
    replies = list[Reply]()

    def act() -> list[list[int]]:
        replies.append(chat.ask(messages, sampling=sampling))
        return [ids_of(replies[0])]

    run = timed(act)
    usage = replies[0].usage
    return with_note(run, f"{usage.reused_tokens} of {usage.prompt_tokens} prompt tokens reused")
