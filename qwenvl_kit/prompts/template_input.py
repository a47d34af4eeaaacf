"""The input of a chat template: messages as turns, with special tokens in their texts hidden.

Text of a user, a document or a tool may contain a model's special tokens. Within a prompt they
would end a turn, or count as pictures. So each is replaced by a mark before the template runs, and
put back afterwards as plain text, which is tokenised apart.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import add
from typing import Any, Protocol

from qwenvl_kit.errors import MessageError, located
from qwenvl_kit.families import Family
from qwenvl_kit.messages.message import ImagePart, Message, Part, TextPart, VideoPart
from qwenvl_kit.messages.subtitles import Subtitle, at_frame
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
"""Special tokens for turns and media, which even trusted text may not contain: messages make turns,
and parts make media."""


@dataclass(frozen=True)
class PromptPiece:
    """A piece of a rendered prompt, which is tokenised apart from others.

    Attributes:
        text: its text.
        is_plain: True if special tokens in it are ordinary characters.
    """

    text: str
    is_plain: bool


class TokenShield:
    """Hides special tokens in text from a chat template and from the tokenizer.

    Args:
        special_tokens: the special tokens of the tokenizer, such as `<|im_end|>`.
        messages: the conversation; the mark is a character that it does not contain.
    """

    def __init__(self, special_tokens: Sequence[str], messages: Sequence[Message]) -> None:
        longest_first = sorted(filter(None, special_tokens), key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._hidden: list[str] = []
        self._open = _unused_mark(messages)
        self._mark = re.compile(rf"(?:{_written_forms(self._open)})([0-9]{{1,9}});")

    def hide(self, text: str) -> str:
        """Return the text with a mark in place of each special token."""
        return self._special.sub(self._replace, text)

    def hide_untrusted(self, parts: Sequence[TextPart]) -> str:
        """Join neighbouring texts; only trusted parts keep their special tokens."""
        return replace_untrusted(self._special, self._replace, parts)

    def pieces(self, prompt: str) -> Iterator[PromptPiece]:
        """Cut the rendered prompt at its marks, each of which becomes a piece of plain text."""
        position = 0
        for found in self._mark.finditer(prompt):
            number = int(found.group(1))
            if number < len(self._hidden):  # no text contains a mark, but a template may
                yield PromptPiece(prompt[position : found.start()], is_plain=False)
                yield PromptPiece(self._hidden[number], is_plain=True)
                position = found.end()
        yield PromptPiece(prompt[position:], is_plain=False)

    def _replace(self, found: re.Match[str]) -> str:
        self._hidden.append(found.group())
        return f"{self._open}{len(self._hidden) - 1};"


class Shield(Protocol):
    """The interface of a `TokenShield`: it hides special tokens in texts."""

    def hide(self, text: str) -> str:
        """Return the text without special tokens."""

    def hide_untrusted(self, parts: Sequence[TextPart]) -> str:
        """Join neighbouring texts, without special tokens in untrusted parts."""


@dataclass(frozen=True)
class Turns:
    """A conversation in the form that chat templates of transformers take.

    Attributes:
        turns: its messages.
        tools: the tools that the model may call; empty if the turns themselves describe them.
        thinking: True or False if the request switches thinking; None if it does not say.
    """

    turns: list[dict[str, Any]]
    tools: list[dict[str, Any]]
    thinking: bool | None = None


def render_turns(messages: Sequence[Message], shield: Shield, *, knows_tools: bool = True) -> Turns:
    """Turn messages into the input of a chat template.

    Args:
        messages: the conversation, with offered tools.
        shield: hides special tokens.
        knows_tools: True if the template writes tools, calls and results; the templates of
            Qwen2-VL and Qwen2.5-VL do not.

    Raises:
        MessageError: trusted text contains a token for a turn or for a picture.
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


def render_videos(
    prompt: str,
    videos: Sequence[VideoPlan],
    family: Family,
    lines: Sequence[Sequence[Subtitle]],
    shield: Shield,
) -> str:
    """Write out the placeholder of each video in a rendered prompt, in the form of its family.

    If the prompt has another number of placeholders than there are videos, it is returned
    unchanged; the prompt encoder, which counts placeholders, then refuses it.

    Source of the form: `replace_video_token` of Qwen3-VL's processor in transformers. A line of
    subtitles stands after the last group of frames before its middle, as LongVideoBench has it
    (`insert_subtitles_into_frames` of lmms-eval, tasks/longvideobench/utils.py).

    Args:
        prompt: the prompt, rendered.
        videos: the plans of its videos, in their order.
        family: the model's family.
        lines: the subtitles of each video, in the order of their times.
        shield: hides special tokens in subtitles.
    """
    pieces = prompt.split(family.video_token)
    if family.video_layout == "one span" or len(pieces) != len(videos) + 1:
        return prompt
    rendered = [_render_groups(video, family, heard, shield) for video, heard in zip(videos, lines)]
    return pieces[0] + "".join(map(add, rendered, pieces[1:]))


def _render_groups(
    video: VideoPlan, family: Family, lines: Sequence[Subtitle], shield: Shield
) -> str:
    """One placeholder for each group of frames, after the time of the group."""
    times = _group_times(video.timestamps_seconds, family.temporal_patch_frames)
    heard: list[list[Subtitle]] = [[] for _ in times]
    for line in lines:
        middle = (line.start_seconds + line.end_seconds) / 2
        heard[max(0, bisect_right(times, middle) - 1)].append(line)
    return "".join(
        f"<{seconds:.1f} seconds>"
        f"{family.vision_start_token}{family.video_token}{family.vision_end_token}"
        f"{shield.hide(at_frame(spoken))}"
        for seconds, spoken in zip(times, heard)
    )


def _group_times(times: Sequence[float], frames_per_group: int) -> list[float]:
    """The time of each group of frames, in seconds: midway between its first and last frame.

    The last group is filled with copies of the last frame, as the processors do.
    """
    missing = -len(times) % frames_per_group
    filled = [*times, *[times[-1]] * missing]
    return [
        (filled[first] + filled[first + frames_per_group - 1]) / 2
        for first in range(0, len(filled), frames_per_group)
    ]


def _render_parts(parts: Sequence[Part], shield: Shield) -> Iterator[dict[str, str]]:
    """The parts of a message as a template takes them, with neighbouring texts joined.

    Joined texts are searched for special tokens, which two parts could form together. Calls and
    thoughts between two texts do not separate them: the template writes those elsewhere.
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
    """Join neighbouring texts, with their special tokens replaced.

    A token that lies completely within trusted parts stays; one that is partly untrusted does not.

    Args:
        special: the pattern of special tokens.
        replace: returns the replacement of a token.
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
    """Check that trusted text contains no token for a turn or for a picture.

    Raises:
        MessageError: it contains one.
    """
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
    """A character of Unicode's private use areas that no text of the conversation contains.

    No text contains an escape of this character either: it would look like a mark that the
    template has escaped.
    """
    text = "".join(map(text_of, messages))
    used, lowered = set(text), text.lower()
    free = (chr(code) for area in _PRIVATE_USE for code in area)
    mark = next((each for each in free if not (each in used or _is_spelled(each, lowered))), None)
    if mark is None:
        raise MessageError("the text holds every character of private use", expected="text")
    return mark


def _escapes(mark: str) -> tuple[str, ...]:
    r"""The escapes of a character in JSON and in Python: `\ue000`, `\U000f0000`."""
    return json.dumps(mark)[1:-1], ascii(mark)[1:-1]


def _is_spelled(mark: str, lowered: str) -> bool:
    """True if a text contains an escape of the mark without its backslash.

    The backslash may be the end of another text.
    """
    return any(each.lower().rpartition("\\")[2] in lowered for each in _escapes(mark))


def _written_forms(mark: str) -> str:
    """The pattern of all forms in which a template may write the mark.

    JSON within JSON has several backslashes for one.
    """
    escapes = (each.replace("\\", r"\\+") for each in _escapes(mark))
    return "|".join((re.escape(mark), *escapes))
