"""The form of a conversation: its turns, with what was shown in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from qwenvl_kit.display.blocks import clipped, folded, preformatted
from qwenvl_kit.display.pictures import Shown, strip
from qwenvl_kit.display.text import count, html
from qwenvl_kit.display.tokens import Piece, text_block

MOST_TURNS = 40
"""The most turns that are shown; of more, the last ones."""

MOST_PICTURES = 24
"""The most pictures that are opened to be shown."""

_MOST_CHARACTERS = 20_000
"""The most characters of a turn."""


@dataclass(frozen=True)
class Turn:
    """A message of a conversation.

    Attributes:
        role: the one who speaks.
        text: the words, without thoughts.
        thoughts: the thoughts.
        media: the parts with a source: pictures, films and documents.
        others: other parts, such as calls of tools, as text.
    """

    role: str
    text: str = ""
    thoughts: str = ""
    media: tuple[Any, ...] = ()
    others: tuple[str, ...] = field(default=())

    @classmethod
    def of(cls, role: str, parts: Sequence[Any]) -> Turn:
        """Sort the parts of a message by what they have."""
        names = [type(part).__name__ for part in parts]
        text = [part.text for part, name in zip(parts, names) if name == "TextPart"]
        thoughts = [part.text for part, name in zip(parts, names) if name == "ThinkingPart"]
        media = tuple(part for part in parts if hasattr(part, "source"))
        calls = tuple(repr(part) for part, name in zip(parts, names) if name == "ToolCall")
        return cls(role, "\n".join(text), "\n".join(thoughts), media, calls)


def conversation_html(turns: Sequence[Turn], thumbnail: Callable[[Any], Shown]) -> str:
    """Return the turns of a conversation, oldest first.

    Args:
        turns: the turns.
        thumbnail: gives the picture of a part, or words in its place.
    """
    shown = turns[-MOST_TURNS:]
    before = len(turns) - len(shown)
    left = MOST_PICTURES
    blocks = [f"<p>... {count(before, 'message')} before ...</p>"] if before else []
    for turn in shown:
        pictures = [thumbnail(part) for part in turn.media[:left]]
        rest = len(turn.media) - len(pictures)
        left -= len(pictures)
        more = [Shown(None, f"and {rest} more")] if rest else []
        blocks.append(_turn_html(turn, [*pictures, *more]))
    return "".join(blocks)


def _turn_html(turn: Turn, pictures: Sequence[Shown]) -> str:
    kind = turn.role if turn.role in ("system", "user", "assistant", "tool") else "other"
    words = clipped(turn.text, _MOST_CHARACTERS)
    thoughts = text_block([Piece(turn.thoughts)]) if turn.thoughts else ""
    blocks = (
        strip(pictures),
        folded("thoughts", thoughts),
        text_block([Piece(words)]) if words else "",
        *map(preformatted, turn.others),
    )
    who = f'<div class="qvk-who">{html(turn.role)}</div>'
    return f'<div class="qvk-turn {kind}">{who}{"".join(blocks)}</div>'
