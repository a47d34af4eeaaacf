"""The next action on a screen, chosen by the model from a screenshot."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import AnswerError, MessageError
from qwenvl_kit.geometry import Point, Size
from qwenvl_kit.grounding.coordinates import PARTS, PlaceMapper
from qwenvl_kit.grounding.place_parser import parse_places
from qwenvl_kit.grounding.written_places import WrittenPlace
from qwenvl_kit.messages.message import Message, with_system_part
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media
from qwenvl_kit.results import Reply
from qwenvl_kit.tasks.computer_use.actions import Action
from qwenvl_kit.tasks.computer_use.tool import action_of, offer
from qwenvl_kit.tasks.prompts import Language, checked_words, chosen_prompt
from qwenvl_kit.tasks.task_input import one_picture

PROMPTS = MappingProxyType(
    {
        "en": "{goal}{earlier}\n\nWhat is the next action?",
        "zh": "{goal}{earlier}\n\n下一步操作是什么？",
    }
)
_EARLIER = MappingProxyType({"en": "\n\nDone so far:\n", "zh": "\n\n已完成的操作：\n"})
_MAX_TOKENS = 512


@dataclass(frozen=True)
class Step:
    """One step of the work at a screen.

    Attributes:
        action: the action to do: a `Click`, `TypeText`, `Scroll`, `Done`, ...
        said: the model's words about it; may be empty.
        confidence: the geometric mean of the probabilities of the tokens of the action's place, or
            of the whole answer if the action has no place, in [0, 1]; None without scores.
        warnings: messages about parts that could not be read or had to be corrected.
        reply: the whole reply.
    """

    action: Action
    said: str
    confidence: float | None
    warnings: tuple[str, ...]
    reply: Reply

    def __str__(self) -> str:
        """The words for this step in the next prompt."""
        (call, *_) = self.reply.tool_calls
        return self.said or json.dumps(dict(call.arguments), ensure_ascii=False)


def next_action(
    chat: VisionChat,
    screenshot: Media,
    goal: str,
    *,
    earlier: Iterable[Step | str] = (),
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> Step:
    """Ask for the next step towards a goal, given a screenshot.

    The model gets the tool with which Qwen2.5-VL, Qwen3-VL and Qwen3.5 were trained. Qwen2-VL was
    not trained with it, and rarely understands it. This function only returns the action; you carry
    it out. Ask a person before any action that cannot be undone: the words on a page can mislead
    the model.

    Example:
        step = next_action(chat, "screen.png", "Open the settings.")
        if isinstance(step.action, Click) and step.action.at:
            mouse.click(step.action.at.x_px, step.action.at.y_px)

    Args:
        chat: the model to ask.
        screenshot: a picture of the screen as it is now.
        goal: the goal, in words.
        earlier: the steps so far, as `Step` or in words; the oldest first.
        language: the language of the prompt, "en" or "zh".
        prompt: your own prompt; `{goal}` and `{earlier}` in it are replaced.
        sampling: the generation settings; None is greedy.
        budget: the `PixelBudget` of the screenshot, or a preset such as "quick"; small controls
            need a larger one.

    Returns:
        The step, with places in pixels of the screenshot.

    Raises:
        AnswerError: the model called no action, or an unknown one; the error has the `reply`.
        MessageError: there is no goal, or `earlier` holds something else than steps and words.
        InputError: the screenshot cannot be used.
    """
    part = one_picture(chat.policy, screenshot)
    text = chosen_prompt(
        PROMPTS,
        language,
        prompt,
        goal=checked_words(goal, "what is to be reached, in words", "goal"),
        earlier=_history(earlier, language),
    )
    plain = Message.user(part, text)
    (plan,) = chat.plan([plain], budget=budget).images
    counted = chat.family.coordinates
    display = Size(PARTS, PARTS) if counted == "thousandths" else plan.resized
    reply = chat.ask(
        with_system_part((plain,), offer(display)),
        sampling=sampling or Sampling(max_new_tokens=_MAX_TOKENS),
        budget=budget,
    )
    return _Reading(chat, reply).step()


class _Reading:
    """Reads one reply as a step."""

    def __init__(self, chat: VisionChat, reply: Reply) -> None:
        self._reply = reply
        self._text = reply.text if reply.raw_text is None else reply.raw_text
        self._mapper = PlaceMapper(reply.plan.images[0], chat.family, reply, "")
        self._sure = reply.confidence

    def step(self) -> Step:
        """The first action that the model calls."""
        calls, warnings = self._reply.tool_calls, list(self._reply.warnings)
        try:
            if not calls:
                said, reason = self._reply.text[:200], str(self._reply.finish_reason)
                for unread in self._reply.unread_calls[:1]:
                    said, reason = unread.text[:200], f"the call is unreadable: {unread.reason}"
                raise AnswerError(
                    f"the model called no action; it said {said!r} ({reason})",
                    hint="a larger model, or Sampling(max_new_tokens=...)",
                )
            action = action_of(calls[0], self._to_screenshot)
        except AnswerError as error:
            error.reply = self._reply
            raise
        if len(calls) > 1:
            warnings.append(f"{len(calls) - 1} more actions were called and ignored")
        warnings += self._mapper.warnings
        return Step(action, self._reply.text.strip(), self._sure, tuple(warnings), self._reply)

    def _to_screenshot(self, numbers: Sequence[float]) -> Point:
        wanted = tuple(numbers)
        written = parse_places(self._text).places
        place = next((place for place in written if place.numbers == wanted), None)
        shift = self._reply.text_offset
        span = (0, 0) if place is None else (place.start - shift, place.stop - shift)
        (point,) = self._mapper.points([WrittenPlace("", wanted, *span)])
        if place is not None:
            self._sure = point.confidence
        return Point(point.x_px, point.y_px)


def _history(earlier: Iterable[Step | str], language: str) -> str:
    """The steps so far as a numbered list for the prompt; empty if there are none."""
    if isinstance(earlier, str) or not isinstance(earlier, Iterable):
        raise MessageError(f"earlier={earlier!r} was given", expected="a list of steps")
    lines = []
    for at, step in enumerate(earlier):
        if not isinstance(step, (Step, str)):
            raise MessageError(
                f"{step!r} was given", expected="a Step, or words", where=f"earlier[{at}]"
            )
        lines.append(f"{at + 1}. {' '.join(str(step).split())}")
    return _EARLIER[language] + "\n".join(lines) if lines else ""
