"""The length of a prompt that somebody else will render."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qwenvl_kit.families import Family
from qwenvl_kit.messages.message import Message
from qwenvl_kit.plans import ImagePlan, VideoPlan
from qwenvl_kit.processing.prompt_encoder import PromptEncoder
from qwenvl_kit.prompts.tool_template import text_of

_BYTES_PER_TOKEN = 3
"""Of UTF-8. English and Chinese take a token for four and more in Qwen's vocabularies, code and
numbers for two to three; so the estimate is rather too long."""

_TURN_TOKENS = 5
"""`<|im_start|>`, the role, a line end, `<|im_end|>`, a line end."""

_GROUP_TOKENS = 10
"""The time before a group of frames, in words, and what stands around it."""


class PromptCounter:
    """Counts the tokens of prompts.

    Args:
        family: the model's family.
        encoder: renders prompts as the server does; None where the checkpoint is not known here,
            and lengths are estimated.
    """

    def __init__(self, family: Family, encoder: PromptEncoder | None) -> None:
        self._family = family
        self._encoder = encoder

    @property
    def is_exact(self) -> bool:
        """Whether lengths are counted and not estimated."""
        return self._encoder is not None

    def count(self, messages: Sequence[Message], media: Sequence[ImagePlan | VideoPlan]) -> int:
        """The length of a rendered prompt in tokens, its visual tokens as planned."""
        if self._encoder is not None:
            return len(self._encoder.encode_prompt(messages, media).ids)
        text_bytes = sum(len(text_of(message).encode()) for message in messages)
        turns = _TURN_TOKENS * (len(messages) + 2)  # a system message may be added; the answer's
        return (
            turns
            + math.ceil(text_bytes / _BYTES_PER_TOKEN)
            + sum(plan.tokens + self._beside(plan) for plan in media)
        )

    def opens_thought(
        self, messages: Sequence[Message], media: Sequence[ImagePlan | VideoPlan]
    ) -> bool | None:
        """Whether the prompt ends within the model's thoughts; None if that is not known."""
        if self._encoder is None:
            return None
        return self._encoder.encode_prompt(messages, media).opens_thought

    def _beside(self, plan: ImagePlan | VideoPlan) -> int:
        if isinstance(plan, ImagePlan) or self._family.video_layout == "one span":
            return 2
        groups = math.ceil(len(plan.frame_indices) / self._family.temporal_patch_frames)
        return groups * _GROUP_TOKENS
