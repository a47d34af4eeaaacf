"""vLLM reads the prompt that was planned, whatever the family."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from qwenvl_kit import Sampling, VisionChat
from qwenvl_kit.testing import build_tiny_model

from ..by_hand import CONVERSATIONS
from .subjects import QUIET, VLLM_ARGUMENTS

pytest.importorskip("vllm", reason="vLLM is not installed: nox -s integration")

FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
VIDEOS_AS_TRANSFORMERS = ("qwen2_vl",)
"""Of the others vLLM 0.32 itself, called by hand, has other features of the same frames."""

NAMES = [name for name in CONVERSATIONS if name != "an image after a video"]


@pytest.fixture(scope="module", params=FAMILIES)
def chats(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[VisionChat, VisionChat]]:
    """A tiny random model in vLLM, and the same in transformers."""
    os.environ.update(QUIET, VLLM_ENABLE_V1_MULTIPROCESSING="0")
    folder = build_tiny_model(tmp_path_factory.mktemp("vllm") / request.param, request.param)
    arguments = {**VLLM_ARGUMENTS, "distributed_executor_backend": "uni"}
    with VisionChat.from_vllm(folder, **arguments) as mine:
        with VisionChat.from_pretrained(folder, dtype="float32") as its:
            yield mine, its


@pytest.mark.parametrize("name", NAMES)
def test_prompt_tokens_and_answers_are_those_of_transformers(
    chats: tuple[VisionChat, VisionChat], name: str
) -> None:
    sampling = Sampling(max_new_tokens=8)
    mine, its = (chat.ask(CONVERSATIONS[name], sampling=sampling) for chat in chats)
    assert mine.usage.prompt_tokens == mine.plan.prompt_tokens == its.usage.prompt_tokens
    if "video" in name and chats[0].family.model_type not in VIDEOS_AS_TRANSFORMERS:
        return
    assert [token.token_id for token in mine.scores] == [token.token_id for token in its.scores]
