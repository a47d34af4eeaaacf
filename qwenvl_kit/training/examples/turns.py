"""Turns of a conversation in training files, read as messages."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qwenvl_kit.errors import TrainingDataError, located
from qwenvl_kit.families import PLACE_MARKS
from qwenvl_kit.formats.dicts import from_dicts
from qwenvl_kit.formats.keys import check_keys, is_set, nearest, shown
from qwenvl_kit.formats.placeholders import fill_placeholders
from qwenvl_kit.formats.thinking import THINKING_KEYS
from qwenvl_kit.formats.tool_calls import parse_tool_calls
from qwenvl_kit.formats.tool_results import results_in_order
from qwenvl_kit.messages.message import ImagePart, Message, Part, Role, TextPart, VideoPart
from qwenvl_kit.messages.thinking import CLOSE, OPEN, split_thoughts
from qwenvl_kit.messages.thinking_parts import ThinkingPart
from qwenvl_kit.training.examples.places import UnwrittenPart
from qwenvl_kit.training.examples.tags import TaggedParts

_ROLES: Mapping[str, Role] = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "assistant", "function_call", "tool_call"), "assistant"),
    **dict.fromkeys(("observation", "tool", "tool_response", "function"), "tool"),
    **dict.fromkeys(("system", "developer"), "system"),
}
"""The roles of other programs."""

_CALLS = ("function_call", "tool_call")
_TURN_KEYS = ("from", "value", "role", "content", "loss", "loss_scale", "weight")
_NO_EFFECT = ("id", "name", "tool_call_id", "timestamp", "uuid")

_MARK = re.compile("|".join(map(re.escape, PLACE_MARKS)))


@dataclass(frozen=True)
class Turn:
    """A turn of a conversation in a row.

    Attributes:
        role: its role, under the name of the kit.
        content: its text, or a list of dicts.
        is_call: True if its content is a tool call.
        is_learned: False if the row says that the turn is not learned.
        given: the dict of the row; its further keys are read for contents that are lists.
    """

    role: Role
    content: Any
    is_call: bool = False
    is_learned: bool = True
    given: Mapping[str, Any] | None = None

    @property
    def is_list(self) -> bool:
        """True if its content is a list of parts, in which no text has tags."""
        return isinstance(self.content, (list, tuple))

    @property
    def says_more(self) -> bool:
        """True if calls or thoughts stand beside its content, as in OpenAI's form."""
        names = ("tool_calls", *THINKING_KEYS)
        return self.given is not None and any(is_set(self.given.get(name)) for name in names)


def read_turns(value: Any, key: str) -> list[Turn]:
    """Return the turns of a conversation.

    Args:
        value: the list of turns, or the JSON of one, as CSV files hold it.
        key: its key in the row, for errors.

    Raises:
        TrainingDataError: it is no list of turns, or a role is unknown; the error says where.
    """
    if isinstance(value, str):
        value = _from_json(value, key, "a list of turns, or the JSON of one")
    if not isinstance(value, (list, tuple)) or not value:
        raise TrainingDataError(
            f"{key} of type {type(value).__name__} with "
            f"{len(value) if isinstance(value, (list, tuple)) else 'no'} turns was given",
            expected="a list of turns",
        )
    turns = []
    for at, turn in enumerate(value):
        with located(f"{key}[{at}]"):
            turns.append(_read_turn(turn))
    return turns


def _read_turn(turn: Any) -> Turn:
    if not isinstance(turn, Mapping):
        raise TrainingDataError(
            f"a turn of type {type(turn).__name__} was given",
            expected='{"role": ..., "content": ...} or {"from": ..., "value": ...}',
        )
    role = turn.get("role", turn.get("from"))
    if not isinstance(role, str) or role not in _ROLES:
        raise TrainingDataError(
            f"the role {shown(role)} was given",
            expected=", ".join(_ROLES),
            hint=nearest(str(role), _ROLES),
        )
    content = turn.get("content", turn.get("value"))
    return Turn(_ROLES[role], content, role in _CALLS, _is_learned(turn), turn)


def _is_learned(turn: Mapping[str, Any]) -> bool:
    """True unless `loss` (ms-swift) or `weight` (OpenAI) leaves the turn out."""
    given = [turn[key] for key in ("loss", "loss_scale", "weight") if turn.get(key) is not None]
    if any(value not in (0, 1) or isinstance(value, str) for value in given):
        raise TrainingDataError(
            f"loss, loss_scale or weight of a turn is {shown(given)}",
            expected="true or false, 1 or 0",
            hint='"weight" of the row, for the weight of the whole example',
        )
    return all(given)


def to_messages(
    turns: Sequence[Turn], tagged: TaggedParts, *, is_stripped: bool, key: str
) -> list[Message]:
    """Return a message for each turn, the tags in its text replaced.

    Args:
        turns: the turns of a conversation whose contents are texts.
        tagged: the pictures and places of the row.
        is_stripped: see `TaggedParts.parts_of`.
        key: the key of the conversation in the row, for errors.

    Raises:
        TrainingDataError: tags and pictures are not as many, or an answer holds a tag.
    """
    texts = [turn.content for turn in turns if isinstance(turn.content, str)]
    first = [part for kind in tagged.check(texts) for part in tagged.take_all(kind)]
    messages = []
    for at, turn in enumerate(turns):
        with located(f"{key}[{at}]"):
            parts = _parts_of(turn, tagged, is_stripped)
            if first and turn.role == "user":
                parts, first = [*first, *parts], []
            messages.append(Message(turn.role, tuple(parts) or (TextPart(""),)))
    messages = list(results_in_order([turn.given for turn in turns], messages))
    if first:
        raise TrainingDataError(
            "pictures were given to a conversation without a question",
            expected="a user's turn, which shows them",
        )
    return messages


def _parts_of(turn: Turn, tagged: TaggedParts, is_stripped: bool) -> list[Part]:
    given = {} if turn.given is None else turn.given
    if turn.says_more:
        (beside,) = from_dicts([{**_without_flags(turn), "role": turn.role, "content": None}])
        thoughts = [part for part in beside.parts if isinstance(part, ThinkingPart)]
        calls = beside.parts[len(thoughts) :]
        said = Turn(turn.role, turn.content or "")
        return [*thoughts, *_parts_of(said, tagged, is_stripped), *calls]
    check_keys(given, required=(), optional=(*_TURN_KEYS, *_NO_EFFECT))
    if turn.is_call:
        return list(_read_calls(turn.content))
    if not isinstance(turn.content, str):
        if turn.role == "tool" and isinstance(turn.content, Mapping):
            return [TextPart(json.dumps(turn.content, ensure_ascii=False))]
        raise TrainingDataError(
            f"content of type {type(turn.content).__name__} was given", expected="a text"
        )
    is_question = turn.role in ("user", "tool")
    parts = tagged.parts_of(turn.content, is_stripped=is_stripped and is_question)
    shown_media = [part for part in parts if isinstance(part, (ImagePart, VideoPart))]
    if shown_media and not is_question:
        kind = "image" if isinstance(shown_media[0], ImagePart) else "video"
        raise TrainingDataError(
            f"the {turn.role}'s text holds the tag <{kind}>, and models write no pictures",
            expected="tags in the turns of users and tools",
        )
    return parts


def _read_calls(content: Any) -> tuple[Part, ...]:
    value = _from_json(content, "a call", "JSON of a call") if isinstance(content, str) else content
    return parse_tool_calls(value if isinstance(value, (list, tuple)) else [value])


def dicts_to_messages(turns: Sequence[Turn], media: Mapping[str, Sequence[Any]]) -> list[Message]:
    """Return a message for each turn of OpenAI's or transformers' form.

    Args:
        turns: the turns, some of which are message dicts.
        media: the pictures and films beside the conversation, for places that hold no source.

    Raises:
        MessageError: a dict has another form, or there are more or fewer places than media.
    """
    dicts: list[Any] = [
        Message("assistant", _read_calls(turn.content))
        if turn.is_call
        else {**_without_flags(turn), "role": turn.role}
        for turn in turns
    ]
    given = [*media.get("image", ()), *map(VideoPart, media.get("video", ()))]
    filled = fill_placeholders(dicts, given) if given else dicts
    return list(from_dicts(filled))


def _without_flags(turn: Turn) -> dict[str, Any]:
    left_out = ("loss", "loss_scale", "weight", "from", "value")
    kept = {k: v for k, v in (turn.given or {}).items() if k not in left_out}
    return {**kept, "content": turn.content}


def joined_calls(
    messages: Sequence[Message], turns: Sequence[Turn]
) -> tuple[list[Message], list[bool]]:
    """Join a turn of tool calls with the assistant's turn before it, as ms-swift does.

    Args:
        messages: the message of each turn.
        turns: the turns.

    Returns:
        The messages, and for each True if it is learned.
    """
    joined: list[Message] = []
    learned: list[bool] = []
    for message, turn in zip(messages, turns):
        if turn.is_call and joined and joined[-1].role == "assistant":
            parts = (*joined[-1].parts, *message.parts)
            joined[-1] = Message("assistant", parts)
            learned[-1] = learned[-1] or turn.is_learned
        else:
            joined.append(message)
            learned.append(turn.is_learned)
    return joined, learned


def with_thoughts(message: Message) -> Message:
    """Return an answer with the thoughts of its text as a `ThinkingPart`; others as they are.

    Raises:
        TrainingDataError: thoughts begin and do not end.
    """
    if message.role != "assistant" or any(isinstance(p, ThinkingPart) for p in message.parts):
        return message
    text, *rest = message.parts
    if not isinstance(text, TextPart) or isinstance(text, UnwrittenPart):
        return message
    opens = text.text.lstrip().startswith(OPEN)
    if not opens and CLOSE not in text.text:
        return message
    if not opens and OPEN in text.text:  # it speaks of thoughts
        return message
    found = split_thoughts(text.text, begins_inside=True)
    if not found.is_closed and any(CLOSE in _plain(part) for part in rest):
        return message  # a place stands among the thoughts
    if not found.is_closed:
        raise TrainingDataError(
            f"the answer begins with {OPEN}, and no {CLOSE} ends its thoughts",
            expected="thoughts between both, and an answer after them",
        )
    said = [TextPart(found.answer)] if found.answer else []
    return replace(message, parts=(ThinkingPart(found.thinking or ""), *said, *rest))


def _plain(part: Part) -> str:
    return part.text if type(part) is TextPart else ""


def with_trusted_marks(message: Message) -> Message:
    """Return a prompt's message whose marks of places are special tokens."""
    parts: list[Part] = []
    for part in message.parts:
        if type(part) is TextPart and not part.trusted and message.role != "assistant":
            parts += _split_marks(part.text)
        else:
            parts.append(part)
    return replace(message, parts=tuple(parts))


def _split_marks(text: str) -> list[TextPart]:
    parts, at = [], 0
    for found in _MARK.finditer(text):
        if text[at : found.start()]:
            parts.append(TextPart(text[at : found.start()]))
        parts.append(TextPart(found[0], trusted=True))
        at = found.end()
    return [*parts, TextPart(text[at:])] if text[at:] or not parts else parts


def holds_marks(message: Message) -> bool:
    """True if a prompt's message spells a mark of places as plain characters."""
    return message.role != "assistant" and any(
        type(part) is TextPart and not part.trusted and _MARK.search(part.text)
        for part in message.parts
    )


def _from_json(text: str, what: str, expected: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TrainingDataError(
            f"{what} is a text that is no JSON ({error})", expected=expected
        ) from error
