"""Ask for the next step towards a goal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import AnswerError, MessageError
from qwenvl_kit.geometry import Point, Size
from qwenvl_kit.grounding.coordinates import PARTS, PlaceMapper
from qwenvl_kit.grounding.parsing import parse_places
from qwenvl_kit.grounding.raw_places import WrittenPlace
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
    """One step of somebody who works at a screen.

    Attributes:
        action: what to do: a `Click`, `TypeText`, `Scroll`, `Done`, ...
        said: what the model says about it; empty if nothing.
        confidence: how sure the model was of the place, or of all that it wrote if the action has
            none, in [0, 1]: the geometric mean of the probabilities of the tokens; None without
            scores.
        warnings: what could not be read, or had to be set right, in words.
        reply: the whole reply.
    """

    action: Action
    said: str
    confidence: float | None
    warnings: tuple[str, ...]
    reply: Reply

    def __str__(self) -> str:
        """As the next prompt tells of it."""
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
    """The next step towards a goal, from what a screen shows.

    The model is offered the tool with which Qwen2.5-VL, Qwen3-VL and Qwen3.5 were trained. Qwen2-VL
    was not, and rarely understands. Nothing is done: that is for the caller, who should ask a
    person before anything that cannot be undone, as a page may hold words that mislead the model.

    Example:
        step = next_action(chat, "screen.png", "Open the settings.")
        if isinstance(step.action, Click) and step.action.at:
            mouse.click(step.action.at.x_px, step.action.at.y_px)

    Args:
        chat: who decides.
        screenshot: the screen as it is now.
        goal: what is to be reached, in words.
        earlier: the steps so far, or what they did, in words; the oldest first.
        language: of the prompt.
        prompt: how to ask instead; `{goal}` and `{earlier}` stand for those.
        sampling: how to generate; None is greedy.
        budget: what the screenshot may cost; small controls want a larger one.

    Returns:
        The step, its places in pixels of the screenshot.

    Raises:
        AnswerError: the model called for no action, or for one that there is not; it has the
            `reply`.
        MessageError: no goal, or an earlier step that is none.
        InputError: the screenshot cannot be used.
    """
    part = one_picture(chat.policy, screenshot)
    text = chosen_prompt(
        PROMPTS,
        language,
        prompt,
        goal=checked_words(goal, "what is to be reached, in words", "goal"),
        earlier=_told(earlier, language),
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
    """One answer, read as a step."""

    def __init__(self, chat: VisionChat, reply: Reply) -> None:
        self._reply = reply
        self._text = reply.text if reply.raw_text is None else reply.raw_text
        self._mapper = PlaceMapper(reply.plan.images[0], chat.family, reply, "")
        self._sure = reply.confidence

    def step(self) -> Step:
        """The first action that the model calls for."""
        calls, warnings = self._reply.tool_calls, list(self._reply.warnings)
        try:
            if not calls:
                said, reason = self._reply.text[:200], str(self._reply.finish_reason)
                for unread in self._reply.unread_calls[:1]:
                    said, reason = unread.text[:200], f"not understood, as {unread.reason}"
                raise AnswerError(
                    f"the model called for no action; it said {said!r} ({reason})",
                    hint="a larger model, or Sampling(max_new_tokens=...)",
                )
            action = action_of(calls[0], self._to_screenshot)
        except AnswerError as error:
            error.reply = self._reply
            raise
        if len(calls) > 1:
            warnings.append(f"{len(calls) - 1} more actions were called for and left out")
        warnings += self._mapper.warnings
        return Step(action, self._reply.text.strip(), self._sure, tuple(warnings), self._reply)

    def _to_screenshot(self, numbers: Sequence[float]) -> Point:
        wanted = tuple(numbers)
        written = parse_places(self._text).places
        place = next((place for place in written if place.numbers == wanted), None)
        shift = self._reply.text_offset
        span = (0, 0) if place is None else (place.start - shift, place.stop - shift)
        (mark,) = self._mapper.marks([WrittenPlace("", wanted, *span)])
        if place is not None:
            self._sure = mark.confidence
        return Point(mark.x_px, mark.y_px)


def _told(earlier: Iterable[Step | str], language: str) -> str:
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
