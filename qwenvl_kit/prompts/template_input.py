"""Messages as a chat template takes them, and a rendered prompt as safe pieces to tokenise.

Text that a user, a document or a tool brings may hold a model's special tokens. Written into a
prompt as they stand they would end a turn, or count as pictures. So each is replaced by a mark
before the template runs, and put back afterwards as plain text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import add
from typing import Any, Protocol

from qwenvl_kit.errors import MessageError, located
from qwenvl_kit.families import Family
from qwenvl_kit.messages.message import ImagePart, Message, Part, TextPart, VideoPart
from qwenvl_kit.plans import VideoPlan
from qwenvl_kit.prompts.tool_template import (
    asked_thinking,
    calls_of,
    hidden,
    offered_tools,
    text_of,
    thoughts_of,
    without_offers,
    write_out,
)

_PRIVATE_USE = (range(0xE000, 0xF900), range(0xF0000, 0xFFFFE), range(0x100000, 0x10FFFE))
"""Unicode 16, chapter 23.5: characters without a meaning of their own."""


_NEVER_TRUSTED = ("<|im_start|>", "<|im_end|>", Family.image_token, Family.video_token)
"""What marks turns and the places of pictures: a prompt has those that its messages have."""


@dataclass(frozen=True)
class PromptPiece:
    """A stretch of a rendered prompt.

    Attributes:
        text: what it says.
        is_plain: whether special tokens in it are to be read as ordinary characters.
    """

    text: str
    is_plain: bool


class TokenShield:
    """Hides special tokens in text from a chat template and from the tokenizer.

    Args:
        special_tokens: the tokens that carry meaning, such as `<|im_end|>`.
        messages: the conversation, searched for a mark that does not occur in it.
    """

    def __init__(self, special_tokens: Sequence[str], messages: Sequence[Message]) -> None:
        longest_first = sorted(filter(None, special_tokens), key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._hidden: list[str] = []
        self._open = _unused_mark(messages)
        self._mark = re.compile(rf"(?:{_written_forms(self._open)})([0-9]{{1,9}});")

    def hide(self, text: str) -> str:
        """The text with a mark in place of each special token."""
        return self._special.sub(self._replace, text)

    def hide_untrusted(self, parts: Sequence[TextPart]) -> str:
        """Neighbouring texts as one, in which trusted parts alone keep their special tokens."""
        return replace_untrusted(self._special, self._replace, parts)

    def pieces(self, prompt: str) -> Iterator[PromptPiece]:
        """The rendered prompt, cut where a mark stands for a token that is plain text."""
        position = 0
        for found in self._mark.finditer(prompt):
            number = int(found.group(1))
            if number < len(self._hidden):  # no text holds a mark, but a template may
                yield PromptPiece(prompt[position : found.start()], is_plain=False)
                yield PromptPiece(self._hidden[number], is_plain=True)
                position = found.end()
        yield PromptPiece(prompt[position:], is_plain=False)

    def _replace(self, found: re.Match[str]) -> str:
        self._hidden.append(found.group())
        return f"{self._open}{len(self._hidden) - 1};"


class Shield(Protocol):
    """Hides what text may not say, as a `TokenShield` does."""

    def hide(self, text: str) -> str:
        """The text without it."""

    def hide_untrusted(self, parts: Sequence[TextPart]) -> str:
        """Neighbouring texts as one, without it where nobody vouches for them."""


@dataclass(frozen=True)
class Turns:
    """A conversation in the form that chat templates of transformers take.

    Attributes:
        turns: its messages.
        tools: what the model may call; empty where the turns themselves say it.
        thinking: whether the model is to think first; None if nobody said.
    """

    turns: list[dict[str, Any]]
    tools: list[dict[str, Any]]
    thinking: bool | None = None


def render_turns(messages: Sequence[Message], shield: Shield, *, knows_tools: bool = True) -> Turns:
    """The conversation as a chat template takes it.

    Args:
        messages: what is said and offered.
        shield: hides special tokens.
        knows_tools: whether the template writes tools, calls and results; those of Qwen2-VL and
            Qwen2.5-VL do not.

    Raises:
        MessageError: trusted text writes a turn, or the place of a picture.
    """
    for index, message in enumerate(messages):
        with located(f"messages[{index}]"):
            _check_trusted(message)
    tools = hidden(offered_tools(messages), shield.hide)
    turns = [_render_turn(message, shield) for message in map(without_offers, messages) if message]
    thinking = asked_thinking(messages)
    if knows_tools:
        return Turns(turns, tools, thinking)
    return Turns(write_out(turns, tools), [], thinking)


def _render_turn(message: Message, shield: Shield) -> dict[str, Any]:
    turn: dict[str, Any] = {
        "role": message.role,
        "content": list(_render_parts(message.parts, shield)),
    }
    if thoughts := thoughts_of(message, shield.hide):
        turn["reasoning_content"] = thoughts
    calls = calls_of(message, shield.hide)
    return {**turn, "tool_calls": calls} if calls else turn


def render_videos(prompt: str, videos: Sequence[VideoPlan], family: Family) -> str:
    """The rendered prompt with each video's placeholder written out as its family holds videos.

    Where the prompt holds another number of placeholders than there are videos it is left as it
    is; whoever counts placeholders refuses it.

    Source of the form: `replace_video_token` of Qwen3-VL's processor in transformers.
    """
    pieces = prompt.split(family.video_token)
    if family.video_layout == "one span" or len(pieces) != len(videos) + 1:
        return prompt
    rendered = [_render_groups(video, family) for video in videos]
    return pieces[0] + "".join(map(add, rendered, pieces[1:]))


def _render_groups(video: VideoPlan, family: Family) -> str:
    """Each group of frames after its time: one placeholder a group."""
    return "".join(
        f"<{seconds:.1f} seconds>"
        f"{family.vision_start_token}{family.video_token}{family.vision_end_token}"
        for seconds in _group_times(video.timestamps_seconds, family.temporal_patch_frames)
    )


def _group_times(times: Sequence[float], frames_per_group: int) -> list[float]:
    """The time of each group of frames, in seconds: midway between its first and last frame.

    The last group is filled up with copies of the last frame, as the processors fill it.
    """
    missing = -len(times) % frames_per_group
    filled = [*times, *[times[-1]] * missing]
    return [
        (filled[first] + filled[first + frames_per_group - 1]) / 2
        for first in range(0, len(filled), frames_per_group)
    ]


def _render_parts(parts: Sequence[Part], shield: Shield) -> Iterator[dict[str, str]]:
    """Neighbouring texts are hidden as one: together they could make up a special token.

    Calls and thoughts between them stand elsewhere in a prompt and keep nothing apart.
    """
    said = (part for part in parts if isinstance(part, (TextPart, ImagePart, VideoPart)))
    for is_text, run in groupby(said, key=lambda part: isinstance(part, TextPart)):
        if is_text:
            texts = [part for part in run if isinstance(part, TextPart)]
            yield {"type": "text", "text": shield.hide_untrusted(texts)}
        else:
            yield from ({"type": "image" if isinstance(p, ImagePart) else "video"} for p in run)


def replace_untrusted(
    special: re.Pattern[str],
    replace: Callable[[re.Match[str]], str],
    parts: Sequence[TextPart],
) -> str:
    """Neighbouring texts as one, in which special tokens are replaced.

    Those that lie in trusted parts as a whole stay; one that is made up of both does not.

    Args:
        special: what a special token looks like.
        replace: what stands in place of one.
        parts: the texts.
    """
    trusted, at = list[tuple[int, int]](), 0
    for is_trusted, run in groupby(parts, key=lambda part: part.trusted):
        length = sum(len(part.text) for part in run)
        trusted += [(at, at + length)] if is_trusted else []
        at += length

    def replaced(found: re.Match[str]) -> str:
        start, end = found.span()
        is_trusted = any(first <= start and end <= last for first, last in trusted)
        return found.group() if is_trusted else replace(found)

    return special.sub(replaced, "".join(part.text for part in parts))


def _check_trusted(message: Message) -> None:
    """Refuse trusted text that would be a turn of its own, or another picture than those given."""
    for is_trusted, run in groupby(message.parts, key=_is_trusted):
        text = "".join(part.text for part in run if isinstance(part, TextPart))
        token = next((token for token in _NEVER_TRUSTED if is_trusted and token in text), None)
        if token is not None:
            raise MessageError(
                f"trusted text holds {token}",
                expected="turns as messages, and pictures and videos as parts",
                hint="TextPart(text) without trusted=True, if it is meant as plain characters",
            )


def _is_trusted(part: Part) -> bool:
    return isinstance(part, TextPart) and part.trusted


def _unused_mark(messages: Sequence[Message]) -> str:
    """A character of Unicode's private use areas that no text of the conversation holds.

    Nor an escape that means it, which could be taken for what a template makes of the mark.
    """
    text = "".join(map(text_of, messages))
    used, lowered = set(text), text.lower()
    free = (chr(code) for area in _PRIVATE_USE for code in area)
    mark = next((each for each in free if not (each in used or _is_spelled(each, lowered))), None)
    if mark is None:
        raise MessageError("the text holds every character of private use", expected="text")
    return mark


def _escapes(mark: str) -> tuple[str, ...]:
    r"""What JSON in ASCII writes for a character, and Python: `\ue000`, `\U000f0000`."""
    return json.dumps(mark)[1:-1], ascii(mark)[1:-1]


def _is_spelled(mark: str, lowered: str) -> bool:
    """Whether a text ends as an escape of the mark does, which may begin elsewhere."""
    return any(each.lower().rpartition("\\")[2] in lowered for each in _escapes(mark))


def _written_forms(mark: str) -> str:
    """What a template may write for the mark; JSON within JSON has several backslashes for one."""
    escapes = (each.replace("\\", r"\\+") for each in _escapes(mark))
    return "|".join((re.escape(mark), *escapes))
