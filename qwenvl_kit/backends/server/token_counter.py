"""The counter of prompt tokens, for prompts that the server renders."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qwenvl_kit.families import Family
from qwenvl_kit.messages.message import Message
from qwenvl_kit.plans import ImagePlan, VideoPlan
from qwenvl_kit.processing.prompt_encoder import PromptEncoder
from qwenvl_kit.prompts.tool_template import text_of

_BYTES_PER_TOKEN = 3
"""Bytes of UTF-8. In Qwen's vocabularies a token of English or Chinese has four or more, a token of
code or numbers two to three. So the estimate is too long rather than too short."""

_TURN_TOKENS = 5
"""`<|im_start|>`, the role, a line end, `<|im_end|>`, a line end."""

_GROUP_TOKENS = 10
"""Tokens of the timestamp before a group of frames, and of the tags around the group."""


class PromptCounter:
    """A counter of the tokens of prompts.

    Args:
        family: the model's family.
        encoder: renders prompts as the server does; None if the checkpoint is not known here, so
            that lengths are estimated.
    """

    def __init__(self, family: Family, encoder: PromptEncoder | None) -> None:
        self._family = family
        self._encoder = encoder

    @property
    def is_exact(self) -> bool:
        """True if lengths are counted, False if they are estimated."""
        return self._encoder is not None

    def count(self, messages: Sequence[Message], media: Sequence[ImagePlan | VideoPlan]) -> int:
        """The length of a rendered prompt in tokens, its visual tokens as planned."""
        if self._encoder is not None:
            return len(self._encoder.encode_prompt(messages, media).ids)
        text_bytes = sum(len(text_of(message).encode()) for message in messages)
        turns = _TURN_TOKENS * (len(messages) + 2)  # a system message may be added, and the answer
        return (
            turns
            + math.ceil(text_bytes / _BYTES_PER_TOKEN)
            + sum(plan.tokens + self._tag_tokens(plan) for plan in media)
        )

    def opens_thought(
        self, messages: Sequence[Message], media: Sequence[ImagePlan | VideoPlan]
    ) -> bool | None:
        """True if the prompt ends within the model's thoughts; None if that is not known."""
        if self._encoder is None:
            return None
        return self._encoder.encode_prompt(messages, media).opens_thought

    def _tag_tokens(self, plan: ImagePlan | VideoPlan) -> int:
        if isinstance(plan, ImagePlan) or self._family.video_layout == "one span":
            return 2
        groups = math.ceil(len(plan.frame_indices) / self._family.temporal_patch_frames)
        return groups * _GROUP_TOKENS
