"""An assistant's last message goes on, as by transformers' `continue_final_message`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoProcessor

from qwenvl_kit import ImagePart, Message, Sampling, VideoPart, VisionChat, from_dicts
from qwenvl_kit.backends.local import LocalBackend
from qwenvl_kit.errors import MessageError, UnsupportedFeatureError
from qwenvl_kit.families import family_of
from qwenvl_kit.processing.prompt_encoder import PromptEncoder
from qwenvl_kit.prompts.template_input import TokenShield
from tests.by_hand import generate_by_hand, ids_of, picture

FILES = Path(__file__).parents[3] / "shared" / "checkpoints"
NAMES = ("Qwen2-VL-2B-Instruct", "Qwen2.5-VL-3B-Instruct", "Qwen3-VL-8B-Instruct", "Qwen3.5-2B")
needs_files = pytest.mark.skipif(
    not FILES.is_dir(), reason=f"needs the side files of published checkpoints in {FILES}"
)
BEGINNINGS = ["The sky is", "The sky is ", "", " ", "1.\n\n", "<think>", "Ünï 图", "a\n```json\n{"]


def _said(beginning: str) -> list[Message]:
    shown = ImagePart(picture(112, 84))
    return [Message.user(shown, "What colour is the sky?"), Message.assistant(beginning)]


def _by_hand(processor: Any, said: list[Message], **inputs: Any) -> dict[str, Any]:
    turns = [
        {
            "role": message.role,
            "content": [
                {"type": "text", "text": part.text}
                if hasattr(part, "text")
                else {"type": "image", "image": part.source}
                for part in message.parts
            ],
        }
        for message in said
    ]
    return dict(
        processor.apply_chat_template(
            turns,
            continue_final_message=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            **inputs,
        )
    )


@pytest.mark.parametrize("beginning", ["The sky is", "1.\n\n", " "])
def test_its_prompt_and_tokens_are_those_of_transformers(
    backend: LocalBackend, chat: VisionChat, beginning: str
) -> None:
    said = _said(beginning)
    inputs = _by_hand(backend.processor, said)
    reply = chat.ask(said, sampling=Sampling(max_new_tokens=6))
    encoded = backend._engine.encoder.encode_prompt(said, reply.plan.images)
    assert encoded.ids == inputs["input_ids"][0].tolist()
    assert reply.plan.prompt_tokens == len(encoded.ids)
    _, tokens = generate_by_hand(backend, inputs, max_new_tokens=6)
    assert ids_of(reply) == tokens[0].tolist()


def test_its_text_is_what_is_new_and_a_stream_and_a_batch_give_the_same(chat: VisionChat) -> None:
    said, few = _said("The sky is"), Sampling(max_new_tokens=6)
    reply = chat.ask(said, sampling=few)
    assert reply.tokens is not None
    assert reply.text == "".join(token.text for token in reply.tokens)
    with chat.stream(said, sampling=few) as stream:
        assert "".join(delta.text for delta in stream) == reply.text
    (batched,) = chat.ask_many([said], sampling=few, on_error="raise")
    assert ids_of(batched) == ids_of(reply)


def test_frames_and_earlier_turns_may_come_before(chat: VisionChat) -> None:
    video = VideoPart([picture(56, 56, seed) for seed in range(4)], fps=2)
    said = [Message.user(video, "Who?"), Message.assistant("He."), Message.user("Where?")]
    open_ = chat.plan(said).prompt_tokens
    begun = chat.plan([*said, Message.assistant("In")]).prompt_tokens
    assert begun > open_


def _encoder(name: str) -> PromptEncoder:
    kind = json.loads((FILES / name / "config.json").read_text(encoding="utf-8"))["model_type"]
    return PromptEncoder(_processor(name), family_of(kind))


def _processor(name: str) -> Any:
    return AutoProcessor.from_pretrained(FILES / name)


def _rendered(encoder: PromptEncoder, said: list[Message]) -> str:
    shield = TokenShield(encoder.special_tokens, said)
    prompt = encoder._render(encoder._turns(said, shield))
    return "".join(piece.text for piece in shield.pieces(prompt))


@needs_files
@pytest.mark.parametrize("beginning", BEGINNINGS)
@pytest.mark.parametrize("name", NAMES)
def test_published_templates_render_it_as_transformers_does(name: str, beginning: str) -> None:
    encoder = _encoder(name)
    ours = _rendered(encoder, [Message.user("Why?"), Message.assistant(beginning)])
    turns = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": beginning}]
    assert ours == _processor(name).apply_chat_template(
        turns, tokenize=False, continue_final_message=True
    )
    assert ours.rstrip().endswith(beginning.strip())


@needs_files
@pytest.mark.parametrize("name", NAMES)
def test_a_late_system_message_is_taken_where_the_published_template_takes_it(name: str) -> None:
    encoder = _encoder(name)
    said = [Message.system("Be brief."), Message.system("Be kind."), Message.user("Hello")]
    if name == "Qwen3.5-2B":
        with pytest.raises(MessageError) as caught:
            _rendered(encoder, said)
        assert caught.value.hint == "one system message, first, with the instructions of all"
        return
    turns = [{"role": message.role, "content": message.text} for message in said]
    assert _rendered(encoder, said) == _processor(name).apply_chat_template(
        turns, tokenize=False, add_generation_prompt=True
    )


def test_thinking_does_not_go_with_an_answer_that_goes_on(chat: VisionChat) -> None:
    with pytest.raises(UnsupportedFeatureError, match="goes on"):
        chat.ask(_said("The sky is"), thinking=True)


def test_dicts_with_a_last_answer_are_taken_with_and_without_partial() -> None:
    user = {"role": "user", "content": "Hi"}
    begun = {"role": "assistant", "content": "Hel"}
    expected = (Message.user("Hi"), Message.assistant("Hel"))
    assert from_dicts([user, begun]) == from_dicts([user, {**begun, "partial": True}]) == expected


def test_tools_and_conversations_want_a_question(chat: VisionChat) -> None:
    with pytest.raises(MessageError, match="was begun"):
        chat.run_tools(_said("The"), tools=[])
    with pytest.raises(MessageError, match="was begun"):
        chat.start().ask(_said("The"))  # type: ignore[arg-type]
