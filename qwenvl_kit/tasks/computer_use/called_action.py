"""The action that a reply calls, in all the ways in which models call it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import AnswerError, MessageError
from qwenvl_kit.geometry import Point
from qwenvl_kit.grounding.coordinates import PARTS, PlaceMapper
from qwenvl_kit.grounding.place_parser import parse_places
from qwenvl_kit.grounding.written_places import WrittenPlace
from qwenvl_kit.messages.tool_parts import ToolCall
from qwenvl_kit.results import Reply
from qwenvl_kit.structured_output.partial_json import PartialJson
from qwenvl_kit.tasks.computer_use.actions import Action
from qwenvl_kit.tasks.computer_use.devices import Device
from qwenvl_kit.tasks.computer_use.said_words import SaidWords, read_words


@dataclass(frozen=True)
class ReadAction:
    """An action that was read from a reply.

    Attributes:
        action: the action.
        words: the words beside its call.
        confidence: the confidence in its places, or in the whole answer.
        warnings: messages about what had to be assumed or corrected.
    """

    action: Action
    words: SaidWords
    confidence: float | None
    warnings: tuple[str, ...]


def read_action(reply: Reply, chat: VisionChat, device: Device) -> ReadAction:
    """Return the first action that a reply calls.

    A call without `<tool_call>` around it counts if the answer is that call alone: nothing is done
    with it here.

    Raises:
        AnswerError: there is none, or it cannot be read; the error has the `reply`.
    """
    try:
        return _Reading(reply, chat, device).action()
    except AnswerError as error:
        error.reply = reply
        raise


class _Reading:
    def __init__(self, reply: Reply, chat: VisionChat, device: Device) -> None:
        self._reply, self._device = reply, device
        self._text = reply.text if reply.raw_text is None else reply.raw_text
        self._written = parse_places(self._text).places
        self._mapper = PlaceMapper(reply.plan.images[0], chat.family, reply, "")
        self._is_relative = chat.family.coordinates == "thousandths"
        self._scale = PARTS / device.parts if self._is_relative else 1.0
        self._sure: list[float] = []

    def action(self) -> ReadAction:
        warnings = [*self._reply.warnings]
        calls, words = self._reply.tool_calls, read_words(self._reply.text)
        if not calls:
            calls = self._bare_calls(words)
            words = SaidWords(words.thought, "")
            warnings = [note for note in warnings if not note.startswith("what may be a call")]
            warnings.append("the call stood without <tool_call>")
        action, assumed = self._device.actions.read(calls[0], self._to_screenshot)
        if len(calls) > 1:
            warnings.append(f"{len(calls) - 1} more actions were called and ignored")
        sure = min(self._sure) if self._sure else self._reply.confidence
        warnings = [*warnings, *assumed, *self._mapper.warnings]
        return ReadAction(action, words, sure, tuple(dict.fromkeys(warnings)))

    def _bare_calls(self, words: SaidWords) -> tuple[ToolCall, ...]:
        """The call of an answer that is nothing but its JSON, perhaps after `Action:`.

        A call that is marked and cannot be read is never guessed.
        """
        unread = self._reply.unread_calls
        if not any(call.is_marked for call in unread):
            call = self._bare_call(_whole_object(words.action))
            if call is not None:
                return (call,)
        said, reason = self._reply.text[:200], str(self._reply.finish_reason)
        for first in unread[:1]:
            said, reason = first.text[:200], f"the call is unreadable: {first.reason}"
        raise AnswerError(
            f"the model called no action; it said {said!r} ({reason})",
            hint="a larger model, or Sampling(max_new_tokens=...)",
        )

    def _bare_call(self, found: dict[str, Any] | None) -> ToolCall | None:
        if found is None:
            return None
        name, arguments = found.get("name"), found.get("arguments")
        if "name" not in found and isinstance(found.get("action"), str):
            name, arguments = self._device.actions.tool, found
        if not isinstance(name, str) or not isinstance(arguments, dict):
            return None
        try:
            return ToolCall(name, arguments)
        except MessageError:  # half of a surrogate pair
            return None

    def _to_screenshot(self, numbers: Sequence[float]) -> Point:
        wanted = tuple(numbers)
        place = next((place for place in self._written if place.numbers == wanted), None)
        shift = self._reply.text_offset
        span = (0, 0) if place is None else (place.start - shift, place.stop - shift)
        scaled = tuple(number * self._scale for number in wanted)
        found = self._mapper.points([WrittenPlace("", scaled, *span)])
        if not found:
            raise AnswerError(
                f"the action has the place {list(wanted)}, which looks like fractions of 1",
                expected=f"numbers in the units of the screen, up to {self._device.parts}"
                if self._is_relative
                else "pixels of the screen as the model saw it",
            )
        if place is not None and found[0].confidence is not None:
            self._sure.append(found[0].confidence)
        return Point(found[0].x_px, found[0].y_px)


def _whole_object(text: str) -> dict[str, Any] | None:
    """The JSON object that a text consists of, with or without a fence around it."""
    inside = text.strip()
    for fence in ("```json", "```"):
        if inside.startswith(fence) and inside.endswith("```"):
            inside = inside[len(fence) : -3].strip()
            break
    if not (inside.startswith("{") and inside.endswith("}")):
        return None
    parsed = PartialJson(inside)
    is_whole = parsed.is_whole and isinstance(parsed.value, dict)
    return parsed.value if is_whole else None
