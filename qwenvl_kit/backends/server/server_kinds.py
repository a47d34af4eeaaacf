"""What OpenAI-compatible servers have in common, and what each has of its own, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal, TypeAlias

from qwenvl_kit.errors import InputError
from qwenvl_kit.structured_output.constraints import ConstraintKind

ConstraintForm: TypeAlias = Literal["response_format", "structured_outputs", "regex"]
"""Where a request says what the answer must look like: in OpenAI's `response_format`, in vLLM's
`structured_outputs`, or in SGLang's `regex`."""

VideoForm: TypeAlias = Literal["jpeg sequence", "frame list"]
"""How a request holds chosen frames: as vLLM's `video/jpeg` data URL with their times beside it, or
as DashScope's list of pictures."""

ThinkingForm: TypeAlias = Literal["chat_template_kwargs", "enable_thinking"]
"""Where a request says whether the model thinks first."""


@dataclass(frozen=True, kw_only=True)
class ServerDialect:
    """What a kind of server takes beside OpenAI's API.

    Attributes:
        name: of the server.
        sampling: settings that it takes beside OpenAI's own (temperature, top_p, presence_penalty,
            seed, stop), by the names of `Sampling`.
        neutral: what those are where they change nothing: said for all that a request leaves
            open, as a server would fill it in from the checkpoint.
        constraints: the kinds that it takes, and where.
        videos: how frames are sent; None where it takes none.
        thinking: how thinking is switched; None where it cannot be.
        thoughts_key: under which it takes the thoughts of an earlier turn.
        tells_ids: whether it can tell the ids of prompt and answer.
        scores_prompts: whether it can tell the log-probabilities of a prompt. Those of an answer
            that is bound to a form are told among what the form leaves, by any server.
        continues_answers: whether it can be told to go on with an assistant's last message, as
            transformers does.
        leaves_calls: whether it can be told to leave calls of tools in the text, as the model wrote
            them.
        takes_generation_config: whether sampling goes in a `generation_config`.
        keeps_special_tokens: whether it can be told to write special tokens into its answers
            (`skip_special_tokens`).
        keeps_seeds: whether a request with a seed draws by itself.
        max_alternatives: most alternatives that it tells of each token.
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


OPENAI = ServerDialect(name="openai")
"""OpenAI's own API and no more: what is taken of a server that says nothing of itself."""

_NEUTRAL = MappingProxyType(
    {"top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0}
)
_EXTRA_SAMPLING = frozenset({"top_k", "min_p", "repetition_penalty"})

# vllm/entrypoints/openai/chat_completion/protocol.py and multimodal/media/video.py, version 0.32.
_VLLM = ServerDialect(
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
    # `_parse_chat_message_content` of vllm/entrypoints/chat_utils.py takes no other, and gives it
    # to the chat template as `reasoning_content`.
    thoughts_key="reasoning",
    tells_ids=True,
    scores_prompts=True,
    continues_answers=True,
    leaves_calls=True,
)

DIALECTS: Mapping[str, ServerDialect] = MappingProxyType(
    {
        dialect.name: dialect
        for dialect in (
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
            # transformers/cli/serving: it ignores logprobs and response_format in silence, and a
            # seed is that of the whole process, whichever request draws next.
            ServerDialect(
                name="transformers",
                sampling=_EXTRA_SAMPLING,
                constraints=MappingProxyType({}),
                takes_generation_config=True,
                keeps_seeds=False,
                max_alternatives=0,
            ),
            # Alibaba Cloud's documentation of its OpenAI-compatible mode.
            ServerDialect(
                name="dashscope",
                sampling=frozenset({"top_k"}),
                videos="frame list",
                thinking="enable_thinking",
                max_alternatives=5,
            ),
        )
    }
)


def dialect_of(name: str | None, base_url: str, owner: str | None) -> ServerDialect:
    """What a server speaks.

    Args:
        name: as the caller says; None leaves it to what follows.
        base_url: its address.
        owner: by whom it says that its models are owned, which some take for their own name.

    Raises:
        InputError: no dialect has that name.
    """
    if name is not None and name not in DIALECTS:
        raise InputError(f"dialect={name!r} was given", expected=f"one of {', '.join(DIALECTS)}")
    if name is None and "dashscope" in base_url:
        name = "dashscope"
    return DIALECTS.get(name or str(owner).lower(), OPENAI)
