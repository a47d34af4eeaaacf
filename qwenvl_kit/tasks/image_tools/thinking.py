"""Thinking with images: the model looks closer at parts of its pictures before it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import (
    AnswerError,
    InputError,
    MessageError,
    QwenVLKitError,
    ToolLimitError,
    UnsupportedFeatureError,
)
from qwenvl_kit.grounding.boxes import Box
from qwenvl_kit.messages.message import ImagePart, Message, TextPart, with_system_part
from qwenvl_kit.messages.tool_parts import ToolCall
from qwenvl_kit.options import BudgetChoice, PixelBudget, Sampling
from qwenvl_kit.pipeline.tool_loop import as_message
from qwenvl_kit.requests import Media
from qwenvl_kit.results import Reply
from qwenvl_kit.tasks.image_tools.answer_places import confidence_in, find_places
from qwenvl_kit.tasks.image_tools.given_pictures import GivenViews, given_parts
from qwenvl_kit.tasks.image_tools.image_answer import GivenPicture, ImageAnswer, ImageStep
from qwenvl_kit.tasks.image_tools.offers import TOOL_NAMES, ImageTool, offer
from qwenvl_kit.tasks.image_tools.tool_calls import index_in, read_call
from qwenvl_kit.tasks.prompts import Language, check_choice, checked_words, chosen_prompt

INSTRUCTIONS = MappingProxyType({"en": "Use tools to answer.", "zh": "使用工具来回答。"})
"""The system message, by language (cookbook `think_with_images.ipynb`, second example)."""

LAST_CALL = MappingProxyType(
    {
        "en": "This was the last call. Answer the question now, without a tool.",
        "zh": "这是最后一次调用。现在请直接回答问题，不要再调用工具。",
    }
)
"""The words to a model that has used up its calls, beside the result of the last one."""

CROP_BUDGET = PixelBudget(min_tokens=256, max_tokens=2048)
"""The visual tokens of a part: small ones are enlarged until they can be read, as Qwen-Agent does
it (`min_pixels=256 * 32 * 32`)."""

_MAX_TOKENS = 2048
"""Most tokens of one reply: words, and a call or the answer."""

_WHERE = "messages[1].parts[{}]"
"""The place of each picture: the offer of the tools is a system message before them."""

_NO_MORE = "there are no more calls; answer the question"


def think_with_images(
    chat: VisionChat,
    images: Media | Sequence[Media],
    question: str,
    *,
    tools: Sequence[ImageTool] = ("zoom", "rotate"),
    max_steps: int = 8,
    language: Language = "en",
    instruction: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
    crop_budget: BudgetChoice = CROP_BUDGET,
) -> ImageAnswer:
    """Answer a question about pictures of which the model may look at parts.

    The model calls `image_zoom_in_tool` and `image_rotate_tool`, and gets each part from the pixels
    of the original, enlarged if it is small. A call that cannot be made is told to the model, which
    may correct it, and in `warnings`. An answer without a call is an answer.

    Example:
        answer = think_with_images(chat, "street.jpg", "What is the number of the car?")
        print(answer, [step.label for step in answer.steps])
        answer.regions().draw().save("looked_at.png")

    Args:
        chat: the model to ask: Qwen3-VL or Qwen3.5, which were trained for it.
        images: the picture, or several; parts are of that which an `ImagePart` shows.
        question: the question.
        tools: the tools that the model may call: "zoom", "rotate".
        max_steps: the most calls; then the model must answer.
        language: the language of the instruction, "en" or "zh".
        instruction: your own system message; empty for none.
        sampling: the generation settings of each reply; None is greedy.
        budget: the `PixelBudget` of the given pictures, or a preset such as "quick".
        crop_budget: the budget of each part.

    Returns:
        The answer, with the steps before it and its boxes in pixels of the originals.

    Raises:
        UnsupportedFeatureError: the family was not trained for it; `zoom_answer` is for all.
        MessageError: there is no question or picture, or a tool is not known.
        InputError: `max_steps` is not a whole number above 0, or a picture cannot be used.
        GenerationError: the model failed at its first reply. What fails later is `error` of the
            result, which has the steps so far.
    """
    _check(chat, tools, max_steps)
    text = checked_words(question, "a question", "question")
    system = chosen_prompt(INSTRUCTIONS, language, instruction, "instruction")
    parts = given_parts(images, chat.policy, _WHERE)
    before = (Message.system(system),) if system else ()
    asked = (*before, Message.user(*parts, text))
    messages = with_system_part(asked, offer(dict.fromkeys(tools)))
    names = [TOOL_NAMES[tool] for tool in tools]
    look = _Look(chat, parts, _Rules(names, max_steps, LAST_CALL[language], crop_budget))
    return look.answer(messages, sampling or Sampling(max_new_tokens=_MAX_TOKENS), budget)


def _check(chat: VisionChat, tools: Sequence[str], max_steps: int) -> None:
    if not chat.family.calls_image_tools:
        raise UnsupportedFeatureError(
            f"{chat.family.model_type} was not trained to call image tools",
            expected="Qwen3-VL or Qwen3.5",
            hint="zoom_answer(chat, image, question), which any family understands",
        )
    if isinstance(tools, str) or not tools:
        raise MessageError(
            f"tools={tools!r} was given", expected=f"some of {', '.join(TOOL_NAMES)}"
        )
    for tool in tools:
        check_choice(tool, TOOL_NAMES, "tools")
    if type(max_steps) is not int or max_steps < 1:
        raise InputError(f"max_steps={max_steps!r} was given", expected="a whole number above 0")


@dataclass(frozen=True)
class _Rules:
    """The tools that may be called, how often, the words after the last call, and a budget."""

    offered: Sequence[str]
    max_steps: int
    last_call: str
    crop_budget: BudgetChoice


class _Look:
    """One question, and the looks of the model until its answer."""

    def __init__(self, chat: VisionChat, parts: Sequence[ImagePart], rules: _Rules) -> None:
        self._chat, self._parts, self._rules = chat, parts, rules
        self._views = GivenViews(parts, chat.policy, _WHERE)
        self._steps: list[ImageStep] = []
        self._warnings: dict[str, None] = {}

    def answer(
        self,
        messages: tuple[Message, ...],
        sampling: Sampling,
        budget: BudgetChoice | None,
    ) -> ImageAnswer:
        """Ask, make the calls of the reply, and ask again, until there is an answer."""
        reply, is_repeated = self._chat.ask(messages, sampling=sampling, budget=budget), False
        while not _is_answer(reply, is_repeated):
            self._warnings |= dict.fromkeys(reply.warnings)
            if len(self._steps) >= self._rules.max_steps:
                return self._ended(reply, _limit_error(self._rules.max_steps))
            try:
                messages = (*messages, as_message(reply), *self._made(reply))
                latest = self._chat.ask(messages, sampling=sampling, budget=budget)
            except QwenVLKitError as error:  # the steps are kept
                return self._ended(reply, error)
            reply, is_repeated = latest, latest.text == reply.text
        return self._ended(reply, None)

    def _made(self, reply: Reply) -> list[Message]:
        """The results of the calls of a reply, as the model gets them."""
        results = list[Message]()
        for number, call in enumerate(reply.tool_calls):
            thought = _words_of(reply) if number == 0 else ""
            results.append(Message("tool", self._result(call, reply, thought)))
        for unread in reply.unread_calls[: self._rules.max_steps]:
            self._steps.append(_failed(reply, "", "", unread.reason))
            told = f"Error: this call was not understood, as {unread.reason}. Write it again."
            results.append(Message("tool", (TextPart(told),)))
        if len(self._steps) >= self._rules.max_steps and results:
            last = results[-1]
            results[-1] = Message("tool", (*last.parts, TextPart(f"\n{self._rules.last_call}")))
        return results

    def _result(
        self, call: ToolCall, reply: Reply, thought: str
    ) -> tuple[ImagePart | TextPart, ...]:
        """The result of one call: a part of a picture, or the reason why there is none."""
        if len(self._steps) >= self._rules.max_steps:  # each call needs a result
            self._warnings[f"more than {self._rules.max_steps} calls; the others were not made"] = (
                None
            )
            return (TextPart(f"Error: {_NO_MORE}"),)
        try:
            step = self._step(call, reply, thought)
        except AnswerError as error:
            self._steps.append(_failed(reply, call.name, thought, str(error)))
            self._warnings[f"a call of {call.name[:80]!r} was refused: {error}"] = None
            return (TextPart(f"Error: {error}"),)
        self._steps.append(step)
        return (ImagePart(step.picture, budget=self._rules.crop_budget),)  # type: ignore[arg-type]

    def _step(self, call: ToolCall, reply: Reply, thought: str) -> ImageStep:
        if call.name not in self._rules.offered:
            raise AnswerError(
                f"there is no tool {call.name[:80]!r}",
                expected=f"one of {', '.join(self._rules.offered)}",
            )
        num_shown = len(reply.plan.images)  # what an earlier call of this reply made is not seen
        index, notes = index_in(call, len(self._parts), min(num_shown, len(self._views)))
        view = self._views[index]
        read = read_call(call, index, view, reply.plan.images[index], notes)
        made = read.view(view)
        self._views.add(made)
        self._warnings |= dict.fromkeys(read.warnings)
        sides = made.original_box(made.bounds)
        sure = confidence_in(reply, read.numbers) if read.numbers else None
        box = Box(read.label, *sides, sure)
        return ImageStep(
            thought=thought,
            tool=call.name,
            label=read.label,
            picture_index=made.picture_index,
            box=box,
            picture=made.image,
            angle_degrees=read.angle_degrees,
            error="",
            reply=reply,
        )

    def _ended(self, reply: Reply, error: QwenVLKitError | None) -> ImageAnswer:
        found = find_places(reply, self._chat, self._views, len(self._parts))
        self._warnings |= dict.fromkeys(reply.warnings)
        if reply.finish_reason != "stop":
            self._warnings[f"the answer ended early ({reply.finish_reason})"] = None
        plans = reply.plan.images[: len(self._parts)]
        return ImageAnswer(
            reply=reply,
            steps=tuple(self._steps),
            found=found.boxes,
            warnings=(*self._warnings, *found.warnings),
            error=error,
            pictures=tuple(
                GivenPicture(part.source, plan.original, self._chat.policy)
                for part, plan in zip(self._parts, plans)
            ),
        )


def _limit_error(max_steps: int) -> ToolLimitError:
    return ToolLimitError(
        f"the model still called tools after {max_steps} steps",
        hint="think_with_images(max_steps=...)",
    )


def _is_answer(reply: Reply, is_repeated: bool) -> bool:
    """True if a reply calls nothing; a text that only looks like a call must be said twice."""
    if reply.tool_calls or any(call.is_marked for call in reply.unread_calls):
        return False
    return not reply.unread_calls or is_repeated


def _words_of(reply: Reply) -> str:
    return "\n".join(filter(None, ((reply.thinking or "").strip(), reply.text.strip())))


def _failed(reply: Reply, tool: str, thought: str, problem: str) -> ImageStep:
    return ImageStep(
        thought=thought,
        tool=tool,
        label="",
        picture_index=None,
        box=None,
        picture=None,
        angle_degrees=None,
        error=problem,
        reply=reply,
    )
