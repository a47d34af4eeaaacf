"""The prompt encoder: messages become the token ids that a model takes."""

from __future__ import annotations

import math
import re
from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

from tokenizers import Tokenizer

from qwenvl_kit.errors import CheckpointError, MessageError, UnsupportedFeatureError
from qwenvl_kit.families import Family
from qwenvl_kit.messages.message import ImagePart, Message, Part, TextPart, VideoPart
from qwenvl_kit.messages.order import has_late_instructions
from qwenvl_kit.messages.thinking import opens_thought
from qwenvl_kit.messages.tool_parts import ToolCall
from qwenvl_kit.plans import ImagePlan, VideoPlan
from qwenvl_kit.prompts.chat_template import chat_template_of
from qwenvl_kit.prompts.template_input import TokenShield, Turns, render_turns, render_videos
from qwenvl_kit.prompts.tool_template import lines_of

_NUM_RECENT = 128
"""The number of prompts that are kept between their plan and their run; more than run at a time."""

_MAX_RECENT_TOKENS = 16_384
"""The longest prompt that is kept: for a longer one encoding is a small part of the work, and
keeping many of them takes memory."""

_TURN_START, _TURN_END = "<|im_start|>", "<|im_end|>"
"""The tokens around a turn, in the chat templates of all families."""

_SAID = "the answer in words"
"""A text that stands for that of an answer while its tool calls are rendered."""

_NUM_TURNS, _MAX_TURN = 1024, 8192
"""The number of turns whose tokens are kept, and the most characters of such a turn: a conversation
tokenises its new turns alone."""

_SYSTEM = "<|im_start|>system"
"""The beginning of a prompt with a system message, or with tools, which templates write there."""


@dataclass(frozen=True)
class Span:
    """The place of a picture or video in a prompt.

    Attributes:
        start: the index of its first visual token.
        end: the index after its last; the times between the frames of a video are inside.
    """

    start: int
    end: int


@dataclass(frozen=True)
class Prompt:
    """An encoded prompt.

    Attributes:
        ids: its token ids, with each placeholder repeated once for each visual token.
        spans: the places of its pictures and videos, in their order.
        turn_start: the index at which the model's own turn begins; the length of the prompt if no
            token marks it.
        system_end: the index after the system message, which other prompts are likely to begin
            with; 0 if there is none.
        opens_thought: True if it ends within a block of thoughts that it has opened.
    """

    ids: list[int]
    spans: tuple[Span, ...]
    turn_start: int
    opens_thought: bool = False
    system_end: int = 0

    def contracted(self) -> list[int]:
        """The ids with one placeholder for each picture, for prompts without videos."""
        ids: list[int] = []
        end = 0
        for span in self.spans:
            ids += self.ids[end : span.start + 1]
            end = span.end
        return ids + self.ids[end:]


class PromptEncoder:
    """Encodes conversations with the checkpoint's own chat template and tokenizer.

    Args:
        processor: the checkpoint's processor, as `AutoProcessor` loads it.
        family: the checkpoint's family.

    Attributes:
        knows_tools: True if the checkpoint's template writes tools.
        special_tokens: the special tokens of the tokenizer.
    """

    def __init__(self, processor: Any, family: Family) -> None:
        self._family = family
        template = _sources_of(processor)
        self._templates = {
            with_tools: chat_template_of(processor, with_tools=with_tools)
            for with_tools in (False, True)
        }
        self.knows_tools = "tools" in template
        self._switches_thinking = "enable_thinking" in template
        self._recent: dict[Any, Prompt] = {}
        self._tokenizer = _private_copy(processor.tokenizer.backend_tokenizer)
        self._plain_tokenizer = _private_copy(self._tokenizer, added_tokens=False)
        self._image_id = self._placeholder_id(family.image_token)
        self._video_id = self._placeholder_id(family.video_token)
        self._turn_id = self._tokenizer.token_to_id(_TURN_START)
        self._cuts_at_turns = _cuts_text(self._tokenizer, self._turn_id)
        self._encode_turn = lru_cache(_NUM_TURNS)(partial(_encoded, self._tokenizer))
        self.special_tokens = tuple(
            token.content for token in processor.tokenizer.added_tokens_decoder.values()
        )

    def encode_prompt(
        self, messages: Sequence[Message], media: Sequence[ImagePlan | VideoPlan]
    ) -> Prompt:
        """Return the prompt of a conversation.

        A prompt that was encoded a moment ago, for its plan, is not encoded again.

        Args:
            messages: the conversation.
            media: the plans of its pictures and videos, in their order.
        """
        key = (_form_of(messages), tuple(media))
        prompt = self._recent.get(key)
        if prompt is None:
            prompt = self._encode(messages, media)
            self._note(key, prompt)
        return prompt

    def _note(self, key: Any, prompt: Prompt) -> None:
        """Keep a prompt for a moment; any thread may call this, as each of its steps is atomic."""
        if len(prompt.ids) > _MAX_RECENT_TOKENS:
            return
        num_too_many = max(0, len(self._recent) + 1 - _NUM_RECENT)
        for oldest in list(self._recent)[:num_too_many]:
            self._recent.pop(oldest, None)
        self._recent[key] = prompt

    def encode_turns(
        self, messages: Sequence[Message], media: Sequence[ImagePlan | VideoPlan]
    ) -> list[int]:
        """Return the prompt with one placeholder for each picture and video.

        It is for an engine that itself repeats placeholders and writes the times of frames.
        """
        if not any(isinstance(plan, VideoPlan) for plan in media):
            return self.encode_prompt(messages, media).contracted()
        shield = TokenShield(self.special_tokens, messages)
        return self._ids(shield, self._render(self._turns(messages, shield)))

    def encode_answer(self, text: str, *, marks: Sequence[str] = ()) -> list[int]:
        """Return the tokens of an answer, with special tokens in it as ordinary characters.

        Args:
            text: the answer.
            marks: special tokens that stay tokens, where the tokenizer has them.
        """
        known = {mark: self._tokenizer.token_to_id(mark) for mark in marks}
        found = "|".join(re.escape(mark) for mark, index in known.items() if index is not None)
        ids: list[int] = []
        for piece in re.split(f"({found})", text) if found else [text]:
            mark_id = known.get(piece)
            plain = self._plain_tokenizer
            ids += (
                plain.encode(piece, add_special_tokens=False).ids if mark_id is None else [mark_id]
            )
        return ids

    def token_id(self, token: str) -> int | None:
        """The id of a special token; None if the tokenizer does not have it."""
        index: int | None = self._tokenizer.token_to_id(token)
        return index

    def render_calls(self, message: Message) -> str:
        """Return the tool calls of an assistant's message as the checkpoint's model writes them.

        The chat template writes them in a conversation of one question, with the line ends that
        stand between the text of the message and its calls.

        Args:
            message: a message with calls; its other parts only decide if a text precedes them.

        Raises:
            CheckpointError: the template leaves the calls out.
        """
        calls = tuple(part for part in message.parts if isinstance(part, ToolCall))
        said = (TextPart(_SAID),) if message.text.strip() else ()
        turns = (Message.user("?"), Message("assistant", (*said, *calls)))
        shield = TokenShield(self.special_tokens, turns)
        conversation = self._turns(turns, shield)
        prompt = self._templates[False].render(conversation.turns, ends=True)
        written = "".join(piece.text for piece in shield.pieces(prompt))
        _, _, after = written.partition(_SAID if said else f"{_TURN_START}assistant\n")
        calls_text, end, _ = after.rpartition(_TURN_END)
        if not said:
            calls_text = calls_text[calls_text.find("<tool_call>") :]
        if not end or not all(call.name in calls_text for call in calls):
            raise CheckpointError(
                "the chat template leaves out the tool calls of an answer",
                expected="a template that writes tool_calls",
            )
        return calls_text

    def _encode(
        self, messages: Sequence[Message], media: Sequence[ImagePlan | VideoPlan]
    ) -> Prompt:
        shield = TokenShield(self.special_tokens, messages)
        prompt = self._render(self._turns(messages, shield))
        videos = [plan for plan in media if isinstance(plan, VideoPlan)]
        lines = [
            lines_of(part)
            for message in messages
            for part in message.parts
            if isinstance(part, VideoPart)
        ]
        prompt = render_videos(prompt, videos, self._family, lines, shield)
        expanded = self._expanded(self._ids(shield, prompt), media)
        return replace(
            expanded,
            opens_thought=opens_thought(prompt),
            system_end=self._second_turn(expanded.ids) if prompt.startswith(_SYSTEM) else 0,
        )

    def _turns(self, messages: Sequence[Message], shield: TokenShield) -> Turns:
        try:
            return render_turns(messages, shield, knows_tools=self.knows_tools)
        except RecursionError as error:
            raise MessageError(
                "a tool or a call holds lists and dicts that are nested too deep",
                expected="a few levels",
            ) from error

    def _ids(self, shield: TokenShield, prompt: str) -> list[int]:
        ids: list[int] = []
        for piece in shield.pieces(prompt):
            if piece.is_plain:
                ids += self._plain_tokenizer.encode(piece.text, add_special_tokens=False).ids
            else:
                for turn in self._turns_of(piece.text):
                    is_long = len(turn) > _MAX_TURN
                    ids += _encoded(self._tokenizer, turn) if is_long else self._encode_turn(turn)
        return ids

    def _turns_of(self, text: str) -> list[str]:
        """The turns of a prompt, each with the token that begins it; they are tokenised apart.

        A tokenizer cuts a text at its special tokens before it does anything else, unless they
        take white space or a normal form with them.
        """
        if not self._cuts_at_turns:
            return [text]
        first, *others = text.split(_TURN_START)
        return [first, *(_TURN_START + other for other in others)]

    def _render(self, conversation: Turns) -> str:
        roles = [turn["role"] for turn in conversation.turns]
        goes_on = roles[-1] == "assistant"
        switch = {}
        if conversation.thinking is not None and self._switches_thinking:
            switch["enable_thinking"] = conversation.thinking
        try:
            prompt = self._templates[bool(conversation.tools)].render(
                conversation.turns, tools=conversation.tools or None, goes_on=goes_on, **switch
            )
        except CheckpointError:
            raise
        except Exception as error:  # templates refuse conversations by errors of their own
            raise MessageError(
                f"the checkpoint's chat template refuses the conversation ({error})",
                hint="one system message, first, with the instructions of all"
                if has_late_instructions(roles)
                else "roles and an order of turns that the model was trained with",
            ) from error
        if not goes_on:
            _check_thinking(prompt, conversation.thinking)
        elif conversation.thinking:
            raise UnsupportedFeatureError(
                "thinking=True, and the last message is an answer that goes on",
                expected="a user's message as the last one",
            )
        return prompt

    def _expanded(self, ids: Sequence[int], media: Sequence[ImagePlan | VideoPlan]) -> Prompt:
        """Repeat each placeholder once for each visual token of its picture or video."""
        pending: dict[int, deque[tuple[int, int]]] = {
            self._image_id: deque(),
            self._video_id: deque(),
        }
        for index, plan in enumerate(media):
            is_image = isinstance(plan, ImagePlan)
            counts = [plan.tokens] if isinstance(plan, ImagePlan) else self._tokens_of_groups(plan)
            pending[self._image_id if is_image else self._video_id] += [(index, n) for n in counts]
        for placeholder, counts_ in pending.items():
            if ids.count(placeholder) != len(counts_):
                raise CheckpointError(
                    f"the chat template renders {ids.count(placeholder)} of {len(counts_)} "
                    "pictures or videos",
                    expected="the template of a vision-language checkpoint",
                )
        expanded: list[int] = []
        spans: dict[int, Span] = {}
        for token_id in ids:
            if token_id not in pending:
                expanded.append(token_id)
                continue
            index, count = pending[token_id].popleft()
            start = spans[index].start if index in spans else len(expanded)
            expanded += [token_id] * count
            spans[index] = Span(start, len(expanded))
        return Prompt(
            expanded, tuple(spans[index] for index in range(len(media))), self._turn_start(expanded)
        )

    def _turn_start(self, ids: Sequence[int]) -> int:
        """The index at which the last turn begins, which the model is to write."""
        for at in range(len(ids) - 1, -1, -1):
            if ids[at] == self._turn_id:
                return at
        return len(ids)

    def _second_turn(self, ids: Sequence[int]) -> int:
        """The index at which the second turn begins; 0 if there is none."""
        try:
            return ids.index(self._turn_id, ids.index(self._turn_id) + 1)
        except ValueError:
            return 0

    def _tokens_of_groups(self, video: VideoPlan) -> list[int]:
        """The number of visual tokens of each placeholder of a video.

        A video has one placeholder, or one for each group of frames, by its family.
        """
        if self._family.video_layout == "one span":
            return [video.tokens]
        num_groups = math.ceil(len(video.frame_indices) / self._family.temporal_patch_frames)
        return [video.tokens // num_groups] * num_groups

    def _placeholder_id(self, token: str) -> int:
        token_id = self._tokenizer.token_to_id(token)
        if token_id is None:
            raise CheckpointError(
                f"the tokenizer has no token {token}",
                expected="the complete tokenizer files of the checkpoint (tokenizer.json, or "
                "vocab.json with merges.txt)",
            )
        return token_id


def _check_thinking(prompt: str, wanted: bool | None) -> None:
    """Check that the prompt thinks, or does not, as the request asks.

    Raises:
        UnsupportedFeatureError: the checkpoint cannot be switched to that.
    """
    thinks = opens_thought(prompt)
    if wanted is None or wanted == thinks:
        return
    raise UnsupportedFeatureError(
        f"thinking={wanted}, and this checkpoint {'always' if thinks else 'never'} thinks",
        expected="thinking=None, or a checkpoint whose template switches it (Qwen3.5)",
        hint="the variant of this checkpoint that thinks"
        if wanted
        else "reply.text, which is without thoughts",
    )


def _sources_of(processor: Any) -> str:
    """The sources of the checkpoint's chat templates, joined."""
    templates = processor.chat_template
    return "\n".join(templates.values()) if isinstance(templates, dict) else str(templates or "")


def _form_of(messages: Sequence[Message]) -> tuple[Any, ...]:
    """A key of a conversation: all that a template is given, without the media themselves."""
    return tuple((message.role, *map(_shown, message.parts)) for message in messages)


def _shown(part: Part) -> Any:
    if isinstance(part, VideoPart):
        return VideoPart, lines_of(part)
    return ImagePart if isinstance(part, ImagePart) else part


def _encoded(tokenizer: Tokenizer, text: str) -> array[int]:
    """The tokens of a text, four bytes each."""
    return array("I", tokenizer.encode(text, add_special_tokens=False).ids)


def _cuts_text(tokenizer: Tokenizer, token_id: int | None) -> bool:
    """True if texts on both sides of a token are tokenised as if they stood alone."""
    token = tokenizer.get_added_tokens_decoder().get(-1 if token_id is None else token_id)
    return token is not None and not (
        token.lstrip or token.rstrip or token.single_word or token.normalized
    )


def _private_copy(tokenizer: Tokenizer, *, added_tokens: bool = True) -> Tokenizer:
    """A copy of a tokenizer, or one for which added tokens are ordinary characters.

    `split_special_tokens` is not used: it is a switch of the shared tokenizer, so it would change
    the result of another thread, and it does not split tokens such as `<think>`, which steer a
    model and are not marked as special. The copy shares the vocabulary itself, as copying that
    would take a second.
    """
    copy = Tokenizer(tokenizer.model)
    if tokenizer.normalizer is not None:
        copy.normalizer = tokenizer.normalizer
    if tokenizer.pre_tokenizer is not None:
        copy.pre_tokenizer = tokenizer.pre_tokenizer
    if added_tokens:
        added = tokenizer.get_added_tokens_decoder()
        copy.add_tokens([token for _, token in sorted(added.items())])
        if copy.get_added_tokens_decoder() != added:
            raise CheckpointError(
                "the tokenizer's added tokens do not follow its vocabulary",
                expected="tokenizer.json as it was published",
            )
    return copy
