"""The next action on a screen, chosen by the model from a screenshot."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import MessageError
from qwenvl_kit.geometry import Size
from qwenvl_kit.messages.message import Message, TextPart, with_system_part
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media
from qwenvl_kit.results import Reply
from qwenvl_kit.tasks.computer_use.actions import Action
from qwenvl_kit.tasks.computer_use.called_action import ReadAction, read_action
from qwenvl_kit.tasks.computer_use.devices import DEVICES, Device, DeviceName
from qwenvl_kit.tasks.prompts import Language, check_choice, checked_words, chosen_prompt
from qwenvl_kit.tasks.task_input import one_picture

_MAX_TOKENS = 512


@dataclass(frozen=True)
class Step:
    """One step of the work at a screen.

    Attributes:
        action: the action to do: a `Click`, `TypeText`, `Scroll`, `Swipe`, `Done`, ...
        said: the action in the model's words; may be empty.
        confidence: the geometric mean of the probabilities of the tokens of the action's place, or
            of the whole answer if the action has no place, in [0, 1]; of two places it is that of
            the less sure one. None without scores.
        warnings: messages about parts that could not be read or had to be corrected.
        reply: the whole reply.
        thought: the model's reason: its line `Thought:`, or what it thought before; may be empty.
    """

    action: Action
    said: str
    confidence: float | None
    warnings: tuple[str, ...]
    reply: Reply
    thought: str = ""

    def __str__(self) -> str:
        """The words for this step in the next prompt."""
        if self.said or not self.reply.tool_calls:
            return self.said or repr(self.action)
        return json.dumps(dict(self.reply.tool_calls[0].arguments), ensure_ascii=False)


def next_action(
    chat: VisionChat,
    screenshot: Media,
    goal: str,
    *,
    earlier: Iterable[Step | str] = (),
    device: DeviceName = "computer",
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> Step:
    """Ask for the next step towards a goal, given a screenshot.

    The model gets the tool with which Qwen2.5-VL, Qwen3-VL and Qwen3.5 were trained: `computer_use`
    or `mobile_use`. Qwen2-VL was not trained with it, and rarely understands it. This function only
    returns the action; you carry it out. Ask a person before any action that cannot be undone: the
    words on a page can mislead the model.

    Example:
        step = next_action(chat, "screen.png", "Open the settings.", device="mobile")
        if isinstance(step.action, Swipe):
            phone.swipe(step.action.start, step.action.stop)

    Args:
        chat: the model to ask.
        screenshot: a picture of the screen as it is now, of any size.
        goal: the goal, in words.
        earlier: the steps so far, as `Step` or in words; the oldest first.
        device: "computer" for mouse and keyboard, "mobile" for a touchscreen.
        language: the language of the prompt, "en" or "zh".
        prompt: your own prompt; `{goal}` and `{earlier}` in it are replaced.
        sampling: the generation settings; None is greedy.
        budget: the `PixelBudget` of the screenshot, or a preset such as "quick"; small controls
            need a larger one.

    Returns:
        The step, with places in pixels of the screenshot.

    Raises:
        AnswerError: the model called no action, or an unknown one; the error has the `reply`.
        MessageError: there is no goal, no such device, or `earlier` holds something else than
            steps and words.
        InputError: the screenshot cannot be used.
    """
    check_choice(device, DEVICES, "device")
    kind = DEVICES[device]
    check_choice(language, kind.prompts, "language", hint="prompt=... in the language you want")
    part = one_picture(chat.policy, screenshot)
    text = chosen_prompt(
        kind.prompts,
        language,
        prompt,
        goal=checked_words(goal, "what is to be reached, in words", "goal"),
        earlier=kind.history(_told(earlier), language),
    )
    shown = (text, part) if kind.is_prompt_first else (part, text)
    form = Message.system(TextPart(kind.formats[language], trusted=True))
    plain = (form, Message.user(*shown))
    (plan,) = chat.plan(plain, budget=budget).images
    reply = chat.ask(
        with_system_part(plain, kind.offer(_display(chat, kind, plan.resized))),
        sampling=sampling or Sampling(max_new_tokens=_MAX_TOKENS),
        budget=budget,
    )
    return _step(read_action(reply, chat, kind), reply)


def _display(chat: VisionChat, kind: Device, resized: Size) -> Size:
    """The resolution that the model is told: the units in which it counts."""
    by_parts = chat.family.coordinates == "thousandths"
    return Size(kind.parts, kind.parts) if by_parts else resized


def _step(found: ReadAction, reply: Reply) -> Step:
    thought = found.words.thought or (reply.thinking or "").strip()
    said = found.words.action
    return Step(found.action, said, found.confidence, found.warnings, reply, thought)


def _told(earlier: Iterable[Step | str]) -> Sequence[str]:
    """The steps so far in words, each in one line."""
    if isinstance(earlier, str) or not isinstance(earlier, Iterable):
        raise MessageError(f"earlier={earlier!r} was given", expected="a list of steps")
    told = []
    for at, step in enumerate(earlier):
        if not isinstance(step, (Step, str)):
            raise MessageError(
                f"{step!r} was given", expected="a Step, or words", where=f"earlier[{at}]"
            )
        told.append(" ".join(str(step).split()))
    return told
