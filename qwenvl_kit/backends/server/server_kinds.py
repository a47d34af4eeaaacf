"""The kinds of OpenAI-compatible servers, and the features of each, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal, TypeAlias

from qwenvl_kit.errors import InputError
from qwenvl_kit.structured_output.constraints import ConstraintKind

ConstraintForm: TypeAlias = Literal["response_format", "structured_outputs", "regex"]
"""The argument that carries a constraint: OpenAI's `response_format`, vLLM's `structured_outputs`,
or SGLang's `regex`."""

VideoForm: TypeAlias = Literal["jpeg sequence", "frame list"]
"""The form of chosen frames in a request: vLLM's `video/jpeg` data URL with separate timestamps, or
DashScope's list of pictures."""

ThinkingForm: TypeAlias = Literal["chat_template_kwargs", "enable_thinking"]
"""The argument that switches thinking on or off."""


@dataclass(frozen=True, kw_only=True)
class ServerKind:
    """A kind of server: the features that it has in addition to OpenAI's API.

    Attributes:
        name: its name, as `VisionChat.connect` takes it in `dialect`.
        sampling: settings that it accepts in addition to OpenAI's own (temperature, top_p,
            presence_penalty, seed, stop), by the names of `Sampling`.
        neutral: the values at which settings change nothing. They are sent for all settings that a
            request leaves open, because a server would fill those in from the checkpoint.
        constraints: the kinds of constraints that it enforces, and the argument for each.
        videos: the form in which frames are sent; None if it takes none.
        thinking: the argument that switches thinking; None if there is none.
        thoughts_key: the key under which it takes the thoughts of an earlier turn.
        tells_ids: True if it can return the token ids of prompt and answer.
        scores_prompts: True if it can return the log-probabilities of a prompt. Every server gives
            those of an answer with a constraint among the allowed tokens only.
        continues_answers: True if it can continue an assistant's last message, as transformers
            does.
        leaves_calls: True if it can leave tool calls in the text, as the model wrote them.
        takes_generation_config: True if sampling settings go into a `generation_config`.
        keeps_special_tokens: True if it can write special tokens into its answers
            (`skip_special_tokens`).
        keeps_seeds: True if a request with a seed has a random generator of its own.
        max_alternatives: most alternatives that it returns for each token.
    """

    name: str
    sampling: frozenset[str] = frozenset()
    neutral: Mapping[str, float] = field(default_factory=dict)
    constraints: Mapping[ConstraintKind, ConstraintForm] = field(
        default_factory=lambda: {"json schema": "response_format"}
    )
    videos: VideoForm | None = None
    thinking: ThinkingForm | None = None
    thoughts_key: str = "reasoning_content"
    tells_ids: bool = False
    scores_prompts: bool = False
    continues_answers: bool = False
    leaves_calls: bool = False
    takes_generation_config: bool = False
    keeps_special_tokens: bool = False
    keeps_seeds: bool = True
    max_alternatives: int = 20


OPENAI = ServerKind(name="openai")
"""OpenAI's own API and no more: the kind of a server that says nothing about itself."""

_NEUTRAL = MappingProxyType(
    {"top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0}
)
_EXTRA_SAMPLING = frozenset({"top_k", "min_p", "repetition_penalty"})

# vllm/entrypoints/openai/chat_completion/protocol.py and multimodal/media/video.py, version 0.32.
_VLLM = ServerKind(
    name="vllm",
    keeps_special_tokens=True,
    sampling=_EXTRA_SAMPLING,
    neutral=_NEUTRAL,
    constraints=MappingProxyType(
        {
            "json schema": "response_format",
            "choice": "structured_outputs",
            "regex": "structured_outputs",
        }
    ),
    videos="jpeg sequence",
    thinking="chat_template_kwargs",
    # `_parse_chat_message_content` of vllm/entrypoints/chat_utils.py reads no other key, and passes
    # it to the chat template as `reasoning_content`.
    thoughts_key="reasoning",
    tells_ids=True,
    scores_prompts=True,
    continues_answers=True,
    leaves_calls=True,
)

SERVER_KINDS: Mapping[str, ServerKind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            OPENAI,
            _VLLM,
            # SGLang's documentation, "Sampling Parameters" and "OpenAI APIs - Vision".
            replace(
                _VLLM,
                name="sglang",
                constraints=MappingProxyType(
                    {"json schema": "response_format", "choice": "regex", "regex": "regex"}
                ),
                videos=None,
                thoughts_key="reasoning_content",
                tells_ids=False,
                scores_prompts=False,
                continues_answers=False,
                leaves_calls=False,
            ),
            # transformers/cli/serving: it silently ignores logprobs and response_format, and a seed
            # is set for the whole process, so that it affects whichever request samples next.
            ServerKind(
                name="transformers",
                sampling=_EXTRA_SAMPLING,
                constraints=MappingProxyType({}),
                takes_generation_config=True,
                keeps_seeds=False,
                max_alternatives=0,
            ),
            # Alibaba Cloud's documentation of its OpenAI-compatible mode.
            ServerKind(
                name="dashscope",
                sampling=frozenset({"top_k"}),
                videos="frame list",
                thinking="enable_thinking",
                max_alternatives=5,
            ),
        )
    }
)


def server_kind_of(name: str | None, base_url: str, owner: str | None) -> ServerKind:
    """Return the kind of a server.

    Args:
        name: the caller's choice; None infers it from the other arguments.
        base_url: the server's address.
        owner: the owner of its models (`owned_by`), where some servers write their own name.

    Raises:
        InputError: no kind has that name.
    """
    if name is not None and name not in SERVER_KINDS:
        raise InputError(
            f"dialect={name!r} was given", expected=f"one of {', '.join(SERVER_KINDS)}"
        )
    if name is None and "dashscope" in base_url:
        name = "dashscope"
    return SERVER_KINDS.get(name or str(owner).lower(), OPENAI)
