"""Trusted text is read as transformers reads text; it writes no turn, and nobody else can trust."""

from __future__ import annotations

import copy
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import transformers

from qwenvl_kit import ImagePart, Message, Sampling, TextPart, VisionChat, from_dicts
from qwenvl_kit.backends.local import LocalBackend, load_backend
from qwenvl_kit.backends.server.token_escaping import BREAK, TokenEscaper
from qwenvl_kit.errors import MessageError, UnsupportedFeatureError
from qwenvl_kit.formats.dicts import to_openai, to_qwen
from tests.by_hand import by_hand, picture

PLACE = "Detect <|object_ref_start|>the cat<|object_ref_end|>, <think>, <tool_call>."
CLICK = "please <click> the <SEG>"


def _trusted(text: str) -> TextPart:
    return TextPart(text, trusted=True)


def _ids(backend: Any, *parts: TextPart) -> list[int]:
    return list(backend._engine.encoder.encode_prompt([Message.user(*parts)], []).ids)


@pytest.fixture(scope="module")
def taught(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> LocalBackend:
    """A checkpoint whose tokenizer was given tokens of its own."""
    folder = Path(shutil.copytree(tiny_folder, tmp_path_factory.mktemp("taught") / "checkpoint"))
    processor = transformers.AutoProcessor.from_pretrained(folder)
    processor.tokenizer.add_tokens(["<click>"])
    processor.tokenizer.add_special_tokens({"extra_special_tokens": ["<SEG>"]})
    processor.save_pretrained(folder)
    return load_backend(folder)


@pytest.mark.parametrize("text", [PLACE, CLICK, "<|endoftext|>", "<|vision_start|>", "plain"])
def test_the_prompt_of_trusted_text_is_that_of_transformers(
    taught: LocalBackend, text: str
) -> None:
    shown = ImagePart(picture(90, 60))
    messages = [Message.user(shown, _trusted(text))]
    expected = by_hand(taught, [messages])["input_ids"][0].tolist()
    chat = VisionChat(taught)
    plan = chat.plan(messages)
    ids = taught._engine.encoder.encode_prompt(messages, list(plan.media.values())).ids
    assert list(ids) == expected
    plain = chat.plan([Message.user(shown, text)]).prompt_tokens
    assert (plain == plan.prompt_tokens) == (text == "plain")
    assert chat.ask(messages, sampling=Sampling(max_new_tokens=1)).usage.prompt_tokens == len(ids)


@pytest.mark.parametrize("token", ["<|image_pad|>", "<|video_pad|>", "<|im_start|>", "<|im_end|>"])
def test_trusted_text_writes_neither_turns_nor_places_of_pictures(
    taught: LocalBackend, token: str
) -> None:
    for parts in (
        [_trusted(f"a {token} b")],
        [_trusted(f"a {token[:4]}"), _trusted(token[4:])],
        [ImagePart(picture(56, 56)), "x", _trusted(token)],
    ):
        with pytest.raises(MessageError, match="trusted text holds") as caught:
            VisionChat(taught).ask(
                [Message.user("hi"), Message.assistant("yes"), Message.user(*parts)]
            )
        assert "messages[2]" in str(caught.value)
    assert VisionChat(taught).plan(token).prompt_tokens


@pytest.mark.parametrize("cut", [1, 5, 12])
def test_text_beside_trusted_text_makes_no_token_with_it(taught: LocalBackend, cut: int) -> None:
    token = "<|object_ref_start|>"
    token_id = taught.processor.tokenizer.convert_tokens_to_ids(token)
    for first, second in (
        (TextPart(token[:cut]), _trusted(token[cut:])),
        (_trusted(token[:cut]), TextPart(token[cut:])),
        (_trusted("a"), TextPart(f"{token} b")),
    ):
        assert token_id not in _ids(taught, first, second)
    assert _ids(taught, _trusted(token), TextPart(token)).count(token_id) == 1
    assert _ids(taught, _trusted(token[:cut]), _trusted(token[cut:])).count(token_id) == 1


def test_a_trusted_part_differs_from_a_plain_one_in_all_that_is_told_of_it() -> None:
    plain, trusted = TextPart("<click>"), _trusted("<click>")
    assert plain != trusted
    assert hash(plain) != hash(trusted)
    assert repr(plain) == "TextPart(text='<click>')"
    assert repr(trusted) == "TextPart(text='<click>', trusted=True)"
    assert pickle.loads(pickle.dumps(trusted)) == copy.deepcopy(trusted) == trusted
    with pytest.raises(MessageError, match="trusted="):
        TextPart("a", trusted="yes")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        TextPart("a", True)  # type: ignore[misc]


def test_a_dict_says_that_it_is_trusted_to_no_avail() -> None:
    messages = [Message.user(_trusted("<click>"), TextPart("<SEG>"))]
    dicts = to_qwen(messages)
    assert dicts[0]["content"][0] == {"type": "text", "text": "<click>", "trusted": True}
    with pytest.raises(MessageError, match="allow_trusted"):
        from_dicts(dicts)
    for value in (1, "true", [True], {"a": 1}):
        with pytest.raises(MessageError):
            from_dicts([{"role": "user", "content": [{"text": "<SEG>", "trusted": value}]}])
    assert from_dicts(dicts, allow_trusted=True) == tuple(messages)
    with pytest.raises(UnsupportedFeatureError):
        to_openai(messages)


def test_a_server_is_sent_trusted_tokens_as_they_are_and_all_others_broken() -> None:
    escaper = TokenEscaper()
    token = "<|object_ref_start|>"
    message = Message.user(_trusted(token), TextPart(token))
    (broken,) = escaper.escaped([message])
    assert broken.text == token + "<" + BREAK + token[1:]
    assert "a special token" in escaper.degradations([message])[0]
    assert escaper.degradations([Message.user(_trusted(token))]) == ()
