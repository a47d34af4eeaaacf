"""What was encoded for earlier turns is not encoded again, and the prompt is the same."""

from __future__ import annotations

import random
from typing import Any

import PIL.Image
import pytest
import torch

from qwenvl_kit import ImagePart, Message, VideoPart, VisionChat
from qwenvl_kit.backends.local import LocalBackend
from qwenvl_kit.processing.positions import PositionEncoder
from qwenvl_kit.processing.prompt_encoder import PromptEncoder
from qwenvl_kit.requests import Request

TEXTS = [
    "What is it?",
    " a ",
    "\n\n",
    "e\u0301 \u00e9",
    "<|im_start|>user",
    "a\u2028b",
    "  two",
    "図は？",
]


def picture(seed: int) -> PIL.Image.Image:
    return PIL.Image.new("RGB", (56 + 28 * (seed % 3), 56), (seed % 256, 0, 0))


def conversations(seed: int) -> list[list[Message]]:
    """A conversation after each of its turns."""
    chance, said, grown = random.Random(seed), list[Message](), []
    if chance.random() < 0.5:
        said.append(Message.system(chance.choice(TEXTS) + "Be brief."))
    for turn in range(6):
        parts: list[Any] = [chance.choice(TEXTS)]
        if chance.random() < 0.6:
            parts.insert(chance.randrange(2), ImagePart(picture(seed + turn)))
        if chance.random() < 0.2:
            parts.append(VideoPart([picture(turn)] * 4, fps=1.0))
        said.append(Message.user(*parts))
        grown.append(list(said))
        said.append(Message.assistant(chance.choice(TEXTS) + "It is."))
    return grown


@pytest.mark.parametrize("seed", range(4))
def test_each_turn_has_the_tokens_and_positions_of_encoding_all(
    chat: VisionChat, backend: LocalBackend, seed: int
) -> None:
    engine, family = backend._engine, backend.rules.family
    for messages in conversations(seed):
        resolved = chat._pipeline.resolve(Request(tuple(messages)))
        media = list(chat.plan(messages).media.values())
        whole = PromptEncoder(backend.processor, family)
        whole._cuts_at_turns = False
        prompt = engine.encoder._encode(resolved.messages, media)
        assert prompt == whole._encode(resolved.messages, media)
        fresh = PositionEncoder(backend.model, family).encode_positions(prompt, media)
        assert torch.equal(engine.positions.encode_positions(prompt, media), fresh)


def test_a_turn_computes_the_positions_of_its_own_pictures_alone(
    chat: VisionChat, backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    positions, widths = PositionEncoder(backend.model, backend.rules.family), list[int]()
    run = backend.model.model.get_rope_index

    def counted(ids: torch.Tensor, **options: Any) -> Any:
        widths.append(ids.shape[1])
        return run(ids, **options)

    monkeypatch.setattr(backend.model.model, "get_rope_index", counted)
    said = list[Message]()
    for turn in range(12):
        said.append(Message.user("And this?", ImagePart(picture(3))))
        media = list(chat.plan(said).media.values())
        prompt = backend._engine.encoder.encode_prompt(tuple(said), media)
        positions.encode_positions(prompt, media)
        said.append(Message.assistant(f"It is {turn:02}."))
    assert len(widths) == 12
    assert widths[-1] == widths[2]
