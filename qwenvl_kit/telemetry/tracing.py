"""A function beside `VisionChat.trace`, for who looks for it here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qwenvl_kit.chat import VisionChat
    from qwenvl_kit.pipeline.tracing import Trace


def trace(chat: VisionChat) -> Trace:
    """Record the requests of a `with` block as timelines; the same as `chat.trace()`.

    Example:
        with trace(chat) as recorded:
            chat.ask("What is this?", "photo.jpg")
        recorded.save("trace.json")

    Args:
        chat: the chat whose requests are recorded.
    """
    return chat.trace()
